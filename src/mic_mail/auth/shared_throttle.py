"""A sign-in throttle shared by all processes of all servers of the same mailboxes: each broadcasts what it counts.

No process asks another before a password is checked: each decides by what it knows, immediately and also when it is the only
one left. A lost broadcast gives an attacker one extra attempt from one process. Digests are the same in all processes, so one
stale password counts once wherever it is tried. Only results are broadcast: a password still being checked here may be right,
and may reach another process at the same moment. A right password needs to be hashed by one process only.
"""

import json
from collections.abc import Callable
from typing import Final

from mic_mail.auth.throttle import Throttle

LONGEST: Final = 4_000
"""Octets of a broadcast; an address longer than any mailbox's is not broadcast."""


class SharedThrottle(Throttle):
    """The counters of this process, and its broadcasts."""

    def __init__(self, broadcast: Callable[[bytes], None]) -> None:
        """Broadcast with `broadcast`, which calls `on_message` of every other process, without guarantee."""
        super().__init__()
        self._broadcast = broadcast

    def suspect(self, mailbox: str, peer: str, digest: bytes, now: float) -> None:
        """Count it here provisionally, until `wrong`, `right` or, if it could not be checked, `forgive`."""
        super().wrong(mailbox, peer, digest, now)

    def wrong(self, mailbox: str, peer: str, digest: bytes, now: float) -> None:
        """Count a wrong password, and broadcast it; together with `suspect` it counts once."""
        super().wrong(mailbox, peer, digest, now)
        self._send("wrong", mailbox, peer, digest)

    def right(self, mailbox: str, peer: str, digest: bytes | None, now: float) -> bool:
        """Record a sign-in; broadcast only a change, for an active mail program once an hour."""
        if news := super().right(mailbox, peer, digest, now):
            self._send("right", mailbox, peer, digest or b"")
        return news

    def seen(self, mailbox: str, peer: str, now: float) -> bool:
        """Record a sign-in by an app password; broadcast once an hour."""
        if news := super().seen(mailbox, peer, now):
            self._send("seen", mailbox, peer, b"")
        return news

    def _send(self, event: str, mailbox: str, peer: str, digest: bytes) -> None:
        message = json.dumps([event, mailbox, peer, digest.hex()]).encode()
        if len(message) <= LONGEST:
            self._broadcast(message)

    def on_message(self, message: bytes, now: float) -> bytes | None:
        """Count what another process broadcast, ignoring malformed messages.

        Return the digest of a password that it has found right, else None.
        """
        try:
            event, mailbox, peer, digits = map(str, json.loads(message))
            digest = bytes.fromhex(digits)
        except (ValueError, TypeError):
            return None
        match event:
            case "wrong":
                super().wrong(mailbox, peer, digest, now)
            case "right":
                super().right(mailbox, peer, digest or None, now)
                return digest or None
            case "seen":
                super().seen(mailbox, peer, now)
        return None
