"""What a POP3 session asks of the world is what every session asks (`connection.actions`)."""

from collections.abc import Generator
from typing import TypeVar

from mic_mail.connection.actions import Step

T = TypeVar("T")


Steps = Generator[Step, object, T]
"""A piece of conversation: yields steps, is sent their results, returns a T."""
