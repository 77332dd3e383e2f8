"""Actions that an LDAP session requests beside those of every session (`connection.actions`)."""

from collections.abc import Generator
from dataclasses import dataclass
from typing import TypeVar

from mic_mail.connection.actions import Action, Step

T = TypeVar("T")
Steps = Generator[Step, object, T]
"""A part of the session's dialogue: yields steps, is sent their results, returns a T."""


@dataclass(frozen=True, slots=True)
class Consult(Action):
    """Get the newest `Tree`."""


@dataclass(frozen=True, slots=True)
class Turn(Action):
    """Wait for the connection's next turn (`search_scheduler`). Gives None."""

    worked: float
    """Seconds of work since the last turn."""


@dataclass(frozen=True, slots=True)
class Leave(Action):
    """End the present sign-in, since another bind has begun (RFC 4513 §4). Gives None."""
