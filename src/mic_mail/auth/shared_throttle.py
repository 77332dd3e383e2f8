"""One throttle for all processes: what each counts it tells the others, and what they tell it counts as well.

Nobody is asked before a password is looked at: each process decides by what it knows, at once and also when it is the only one
left. What is told may be lost; then a guesser gets a try more from one process. Digests are the same in all processes, so that
one stale password counts once wherever it comes in. Only what was found out is told: a password that is still being checked
here may be right, and come to another process at the same moment. What was right, one process alone need have hashed.
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

    def check(self, mailbox: str, peer: str, digest: bytes | None, now: float, *, open_questions: int = 0) -> Verdict:
        """As `Throttle.check`."""
        return self._own.check(mailbox, peer, digest, now, open_questions=open_questions)

    def knows(self, mailbox: str, peer: str, now: float) -> bool:
        """As `Throttle.knows`."""
        return self._own.knows(mailbox, peer, now)

    def suspicion(self, peer: str, now: float, *, open_questions: int) -> int:
        """As `Throttle.suspicion`."""
        return self._own.suspicion(peer, now, open_questions=open_questions)

    def suspect(self, mailbox: str, peer: str, digest: bytes, now: float) -> None:
        """Count it here until it is known: as wrong, by `wrong`; as right, by `right`; or nobody could find out: `forgive`."""
        self._own.wrong(mailbox, peer, digest, now)

    def forgive(self, mailbox: str, peer: str, digest: bytes) -> None:
        """As `Throttle.forgive`, for what was suspected."""
        self._own.forgive(mailbox, peer, digest)

    def wrong(self, mailbox: str, peer: str, digest: bytes, now: float) -> None:
        """As `Throttle.wrong`; counts once with what was suspected."""
        self._own.wrong(mailbox, peer, digest, now)
        self._say("wrong", mailbox, peer, digest)

    def right(self, mailbox: str, peer: str, digest: bytes | None, now: float) -> None:
        """As `Throttle.right`; told only where it changes something, which for a mail program at work is once an hour."""
        if self._own.right(mailbox, peer, digest, now):
            self._say("right", mailbox, peer, digest or b"")

    def seen(self, mailbox: str, peer: str, now: float) -> None:
        """As `Throttle.seen`; told once an hour."""
        if self._own.seen(mailbox, peer, now):
            self._say("seen", mailbox, peer, b"")

    def is_home(self, peer: str) -> bool:
        """As `Throttle.is_home`."""
        return self._own.is_home(peer)

    def known(self, now: float) -> list[tuple[str, str, float]]:
        """As `Throttle.known`."""
        return self._own.known(now)

    def remember(self, mailbox: str, net: str, since: float) -> None:
        """As `Throttle.remember`."""
        self._own.remember(mailbox, net, since)

    def _say(self, what: str, mailbox: str, peer: str, digest: bytes) -> None:
        told = json.dumps([what, mailbox, peer, digest.hex()]).encode()
        if len(told) <= LONGEST:
            self._tell(told)

    def on_message(self, told: bytes, now: float) -> bytes | None:
        """Count what another process has told; nonsense counts nothing. The digest of a password that it has found right."""
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
