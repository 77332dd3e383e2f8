"""Actions that an LDAP session requests beside those of every session (`connection.actions`)."""

from dataclasses import dataclass

from mic_mail.connection.actions import Action


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
