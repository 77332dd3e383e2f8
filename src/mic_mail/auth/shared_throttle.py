"""A sign-in throttle shared by all processes: each broadcasts the failures that it counts.

No process asks another before a password is checked: each decides by what it knows, immediately and also when it is the only
one left. A lost broadcast gives an attacker one extra attempt from one process. Digests are the same in all processes, so one
stale password counts once wherever it is tried. Only results are broadcast: a password still being checked here may be right,
and may reach another process at the same moment. A right password needs to be hashed by one process only.
"""

import json
from collections.abc import Callable
from typing import Final

from mic_mail.auth.throttle import Throttle, ThrottleSettings, Verdict

LONGEST: Final = 4_000
"""Octets of a broadcast; an address longer than any mailbox's is not broadcast."""


class SharedThrottle:
    """The counters of this process, and its broadcasts."""

    def __init__(self, tell: Callable[[bytes], None]) -> None:
        """Broadcast with `tell`, which calls `on_message` of every other process, without guarantee."""
        self._own = Throttle()
        self._tell = tell

    def configure(self, settings: ThrottleSettings) -> None:
        """Apply other limits from now on; counters are kept."""
        self._own.configure(settings)

    def check(self, mailbox: str, peer: str, digest: bytes | None, now: float, *, open_questions: int = 0) -> Verdict:
        """Call `Throttle.check`."""
        return self._own.check(mailbox, peer, digest, now, open_questions=open_questions)

    def knows(self, mailbox: str, peer: str, now: float) -> bool:
        """Call `Throttle.knows`."""
        return self._own.knows(mailbox, peer, now)

    def suspicion(self, peer: str, now: float, *, open_questions: int) -> int:
        """Call `Throttle.suspicion`."""
        return self._own.suspicion(peer, now, open_questions=open_questions)

    def suspect(self, mailbox: str, peer: str, digest: bytes, now: float) -> None:
        """Count it here provisionally, until `wrong`, `right` or, if it could not be checked, `forgive`."""
        self._own.wrong(mailbox, peer, digest, now)

    def forgive(self, mailbox: str, peer: str, digest: bytes) -> None:
        """Call `Throttle.forgive`, for a provisional count."""
        self._own.forgive(mailbox, peer, digest)

    def wrong(self, mailbox: str, peer: str, digest: bytes, now: float) -> None:
        """Call `Throttle.wrong`; together with `suspect` it counts once."""
        self._own.wrong(mailbox, peer, digest, now)
        self._say("wrong", mailbox, peer, digest)

    def right(self, mailbox: str, peer: str, digest: bytes | None, now: float) -> None:
        """Call `Throttle.right`; broadcast only a change, for an active mail program once an hour."""
        if self._own.right(mailbox, peer, digest, now):
            self._say("right", mailbox, peer, digest or b"")

    def seen(self, mailbox: str, peer: str, now: float) -> None:
        """Call `Throttle.seen`; broadcast once an hour."""
        if self._own.seen(mailbox, peer, now):
            self._say("seen", mailbox, peer, b"")

    def is_home(self, peer: str) -> bool:
        """Call `Throttle.is_home`."""
        return self._own.is_home(peer)

    def known(self, now: float) -> list[tuple[str, str, float]]:
        """Call `Throttle.known`."""
        return self._own.known(now)

    def remember(self, mailbox: str, net: str, since: float) -> None:
        """Call `Throttle.remember`."""
        self._own.remember(mailbox, net, since)

    def _say(self, what: str, mailbox: str, peer: str, digest: bytes) -> None:
        told = json.dumps([what, mailbox, peer, digest.hex()]).encode()
        if len(told) <= LONGEST:
            self._tell(told)

    def on_message(self, told: bytes, now: float) -> bytes | None:
        """Count what another process broadcast, ignoring malformed messages.

        Return the digest of a password that it has found right, else None.
        """
        try:
            what, mailbox, peer, digits = map(str, json.loads(told))
            digest = bytes.fromhex(digits)
        except (ValueError, TypeError):
            return None
        match what:
            case "wrong":
                self._own.wrong(mailbox, peer, digest, now)
            case "right":
                self._own.right(mailbox, peer, digest or None, now)
                return digest or None
            case "seen":
                self._own.seen(mailbox, peer, now)
        return None
