"""What a POP3 session asks of the world beside what every session asks (`connection.actions`)."""

from collections.abc import Generator
from dataclasses import dataclass
from typing import TypeVar

from mic_mail.connection.actions import Action, Step

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Used(Action):
    """The person reads mail (Reg. 7.2.a). Gives None."""


Steps = Generator[Step, object, T]
"""A piece of conversation: yields steps, is sent their results, returns a T."""
