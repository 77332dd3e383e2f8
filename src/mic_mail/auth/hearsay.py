"""One throttle for all processes: what each counts it tells the others, and what they tell it counts as well.

Nobody is asked before a password is looked at: each process decides by what it knows, at once and also when it is the only one
left. What is told may be lost; then a guesser gets a try more from one process. Digests are the same in all processes, so that
one stale password counts once wherever it comes in.
"""

import json
from collections.abc import Callable
from typing import Final

from mic_mail.auth.throttle import Throttle, ThrottleSettings, Verdict

LONGEST: Final = 4_000
"""Octets of what is told; an address that is longer than any mailbox's is kept to oneself."""


class SharedThrottle:
    """The counters of this process, and whom it tells."""

    def __init__(self, tell: Callable[[bytes], None]) -> None:
        """`tell` reaches the `hear` of every other process, or does not."""
        self._own = Throttle()
        self._tell = tell

    def configure(self, settings: ThrottleSettings) -> None:
        """Other limits from now on; what was counted stays counted."""
        self._own.configure(settings)

    def check(self, mailbox: str, peer: str, digest: bytes | None, now: float) -> Verdict:
        """As `Throttle.check`."""
        return self._own.check(mailbox, peer, digest, now)

    def wrong(self, mailbox: str, peer: str, digest: bytes, now: float) -> None:
        """As `Throttle.wrong`."""
        self._own.wrong(mailbox, peer, digest, now)
        self._say("wrong", mailbox, peer, digest)

    def forgive(self, mailbox: str, peer: str, digest: bytes) -> None:
        """As `Throttle.forgive`."""
        self._own.forgive(mailbox, peer, digest)
        self._say("forgive", mailbox, peer, digest)

    def right(self, mailbox: str, peer: str, digest: bytes | None, now: float) -> None:
        """As `Throttle.right`."""
        self._own.right(mailbox, peer, digest, now)
        self._say("right", mailbox, peer, digest or b"")

    def _say(self, what: str, mailbox: str, peer: str, digest: bytes) -> None:
        told = json.dumps([what, mailbox, peer, digest.hex()]).encode()
        if len(told) <= LONGEST:
            self._tell(told)

    def hear(self, told: bytes, now: float) -> None:
        """Count what another process has told; nonsense counts nothing."""
        try:
            what, mailbox, peer, digits = map(str, json.loads(told))
            digest = bytes.fromhex(digits)
        except (ValueError, TypeError):
            return
        match what:
            case "wrong":
                self._own.wrong(mailbox, peer, digest, now)
            case "forgive":
                self._own.forgive(mailbox, peer, digest)
            case "right":
                self._own.right(mailbox, peer, digest or None, now)
