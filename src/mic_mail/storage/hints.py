"""Hints between the servers that have the same mailboxes: what has changed just now, for those who look at it.

A hint says that something has changed, never what; the store is asked for that. It may be lost.
"""

from collections.abc import Sequence
from typing import NamedTuple, Protocol

HINT_OCTETS = 5_000
"""Octets of the longest hint."""


class Heard(NamedTuple):
    """A hint that was heard."""

    hint: bytes
    is_own: bool
    """True if this server has sent it."""


class HintListener(Protocol):
    """A connection that hears the hints of all servers; belongs to one event loop."""

    def fileno(self) -> int:
        """Return the descriptor that is readable when there may be hints, or when the connection is lost."""
        ...

    def heard(self) -> list[Heard]:
        """Return the hints that have come, without a wait. `Unavailable` where the connection is lost."""
        ...

    def close(self) -> None: ...


class Hints(Protocol):
    """One server's end; from any thread."""

    def send(self, hints: Sequence[bytes]) -> None:
        """Send hints of up to `HINT_OCTETS` each. Blocks; `Unavailable` where they are lost."""
        ...

    def listen(self) -> HintListener:
        """Hear all hints from now on. Blocks; raises `Unavailable`."""
        ...
