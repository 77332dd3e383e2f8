"""What an LDAP session asks of the world beside what every session asks (`connection.actions`)."""

from collections.abc import Generator
from dataclasses import dataclass
from typing import TypeVar

from mic_mail.connection.actions import Action, Step

T = TypeVar("T")
Steps = Generator[Step, object, T]
"""A piece of conversation: yields steps, is sent their results, returns a T."""


@dataclass(frozen=True, slots=True)
class Consult(Action):
    """The newest `Tree`."""


@dataclass(frozen=True, slots=True)
class Turn(Action):
    """Go on when it is one's turn again (`turns`). Gives None."""

    worked: float
    """Seconds since the last turn."""


@dataclass(frozen=True, slots=True)
class Leave(Action):
    """Whoever was signed in is so no more: another bind has begun (RFC 4513 §4). Gives None."""
