"""Actions of a POP3 session: those of every session (`connection.actions`)."""

from collections.abc import Generator
from typing import TypeVar

from mic_mail.connection.actions import Step

T = TypeVar("T")


Steps = Generator[Step, object, T]
"""A part of the session's dialogue: yields steps, is sent their results, returns a T."""
