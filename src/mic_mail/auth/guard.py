"""Is this password right, and may it be tried at all? Joins the throttle, the cache of verified passwords and the decoys.

In: a claim (address, verifiers or none, what was typed) and the peer's address. Out: RIGHT, WRONG, `ByApp` or `Wait`. The hash
runs in the lane that is passed in; everything else takes microseconds on the event loop. One password that several connections
bring at once (a mail program opens five) is hashed once; who has to wait hears nothing of it. An app password is known by its
digest and costs no hash; what is no right one, or was revoked, costs what every wrong password costs. Never: texts, policy, the
log.
"""

import asyncio
import secrets
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import Protocol

from mic_mail.auth import passwords
from mic_mail.auth.apppasswords import Recognisable, recognised
from mic_mail.auth.hearsay import SharedThrottle
from mic_mail.auth.passwords import Decoys, VerifiedCache
from mic_mail.auth.throttle import Answer, neighbourhood, network


class Outcome(Enum):
    """What became of a password."""

    RIGHT = "right"
    WRONG = "wrong"
    WRONG_AGAIN = "wrong-again"
    """This very password was wrong a moment ago."""


@dataclass(frozen=True, slots=True)
class Wait:
    """Too many wrong ones: `seconds` until the next try, by the throttle's `rule`."""

    seconds: float
    rule: str


@dataclass(frozen=True, slots=True)
class ByApp:
    """It is the app password of this number."""

    number: int


class AppVerifiable(Recognisable, Protocol):
    """The part of a stored app password that is needed here."""

    @property
    def number(self) -> int: ...


class Verifiable(Protocol):
    """The part of a stored credential that a password is checked against."""

    @property
    def version(self) -> int: ...
    @property
    def argon2(self) -> str: ...


@dataclass(frozen=True, slots=True)
class Claim:
    """Somebody says that `password` is that of `address`; `credential` is None where there is no such user."""

    address: str
    credential: Verifiable | None
    password: str = field(repr=False)
    others: Sequence[AppVerifiable] = ()
    """The app passwords that open something now."""


HashLane = Callable[[Callable[[], bool], str, Callable[[], int]], Awaitable[bool]]
"""Runs a blocking check elsewhere, for a source, and how much that is suspected (`process.fairturns`); raises errors.Trouble
when its queue is too long."""


@dataclass(frozen=True, slots=True)
class HashLanes:
    """Two ways to the same threads: strangers who guess must not keep those waiting who have signed in from there before.

    Among these each mailbox is a source of its own, so that an office does not wait for being large; strangers are told apart
    by their neighbourhood, and by what was guessed in vain from their network (decision 0088).
    """

    known: HashLane
    others: HashLane


@dataclass(frozen=True, slots=True)
class _Running:
    """A password that is being hashed, and for which network."""

    network: str
    task: asyncio.Task[Outcome]


class Guard:
    """The password checks of one process; belongs to the event loop."""

    def __init__(
        self,
        verified: VerifiedCache,
        *,
        throttle: SharedThrottle,
        decoys: Decoys,
        cache_seconds: float,
        lanes: HashLanes,
        monotonic: Callable[[], float],
    ) -> None:
        self._throttle = throttle
        self._decoys = decoys
        self._cache_seconds = cache_seconds
        self._lanes = lanes
        self._monotonic = monotonic
        self._verified = verified
        self._running: dict[bytes, _Running] = {}
        self._asked: Counter[str] = Counter()
        """How many of them each network has asked."""

    async def check(self, claim: Claim, peer: str) -> Outcome | ByApp | Wait:
        """The answer to a claim; raises errors.Trouble when nobody could find out in time."""
        if (app := recognised(claim.password, claim.others)) is not None:
            if (wait := self.may_try(claim.address, peer)) is not None:
                return wait
            self._throttle.seen(claim.address, peer, self._monotonic())
            return ByApp(app.number)
        version = claim.credential.version if claim.credential else 0
        digest = self._verified.digest(claim.address, version, claim.password)
        running = self._running.get(digest)
        if running is not None:
            return await self._joined(running, claim, peer, digest)
        now = self._monotonic()
        verdict = self._throttle.check(claim.address, peer, digest, now)
        if verdict.answer is Answer.WAIT:
            return Wait(verdict.seconds, verdict.rule)
        if verdict.answer is Answer.KNOWN_WRONG:
            return Outcome.WRONG_AGAIN
        if self._verified.holds(digest, now):
            self._throttle.right(claim.address, peer, None, now)
            return Outcome.RIGHT
        way = self._way(claim, peer, now)
        # Counted as wrong until it proves right: a thousand connections at once get no more tries than one after another.
        self._throttle.suspect(claim.address, peer, digest, now)
        net = network(peer)
        task = asyncio.get_running_loop().create_task(self._verify(claim, peer, digest, way))
        self._running[digest] = _Running(net, task)
        self._asked[net] += 1

        def over(_: object) -> None:
            self._running.pop(digest, None)
            self._asked[net] -= 1
            if not self._asked[net]:
                del self._asked[net]

        task.add_done_callback(over)
        return await asyncio.shield(task)

    async def _joined(self, running: _Running, claim: Claim, peer: str, digest: bytes) -> Outcome | Wait:
        """The answer that another connection waits for already; to another network under its own limits, and counted there."""
        if network(peer) == running.network:
            return await asyncio.shield(running.task)
        if (wait := self.may_try(claim.address, peer)) is not None:
            return wait
        outcome = await asyncio.shield(running.task)
        if outcome is Outcome.RIGHT:
            self._throttle.right(claim.address, peer, None, self._monotonic())
        else:
            self._throttle.wrong(claim.address, peer, digest, self._monotonic())
        return outcome

    def _way(self, claim: Claim, peer: str, now: float) -> Callable[[], Awaitable[bool]]:
        """To the hash of this claim, in its place among those who wait."""
        question, net = self._question(claim), network(peer)
        if self._throttle.knows(claim.address, peer, now):
            return lambda: self._lanes.known(question, claim.address, lambda: 0)

        def suspicion() -> int:
            return self._throttle.suspicion(peer, self._monotonic(), open_questions=self._asked[net])

        return lambda: self._lanes.others(question, neighbourhood(peer), suspicion)

    async def _verify(self, claim: Claim, peer: str, digest: bytes, way: Callable[[], Awaitable[bool]]) -> Outcome:
        try:
            right = await way()
        except BaseException:  # nobody found out, so it was not wrong either
            self._throttle.forgive(claim.address, peer, digest)
            raise
        now = self._monotonic()
        if not right:
            self._throttle.wrong(claim.address, peer, digest, now)
            return Outcome.WRONG
        self._throttle.right(claim.address, peer, digest, now)
        self._verified.add(digest, now + self._cache_seconds)
        return Outcome.RIGHT

    def hear(self, told: bytes) -> None:
        """What another process has found out: nobody hashes a second time what was right there."""
        now = self._monotonic()
        right = self._throttle.hear(told, now)
        if right is not None:
            self._verified.add(right, now + self._cache_seconds)

    def _question(self, claim: Claim) -> Callable[[], bool]:
        credential, password = claim.credential, claim.password
        if credential is None:
            return lambda: self._decoys.refuse(password)
        encoded = credential.argon2
        return lambda: passwords.verify(encoded, password)

    async def check_code(self, address: str, peer: str, look: Callable[[], Awaitable[bool]]) -> bool | Wait:
        """Whether a code of a second factor is right, which `look` finds out; may be tried as often as a password.

        Counted under a name of its own: the password is right by then, and each time it is typed it forgets what was mistyped.
        """
        name, digest = f"code\0{address}", secrets.token_bytes(16)
        if (wait := self.may_try(name, peer)) is not None:
            return wait
        self._throttle.suspect(name, peer, digest, self._monotonic())
        try:
            right = await look()
        except BaseException:
            self._throttle.forgive(name, peer, digest)
            raise
        if right:
            self._throttle.right(name, peer, digest, self._monotonic())
        else:
            self._throttle.wrong(name, peer, digest, self._monotonic())
        return right

    # ------------------------------------------------------------ SCRAM: no hash, the client did the work

    def may_try(self, address: str, peer: str) -> Wait | None:
        """Whether a SCRAM exchange may go on; asked before the keys are given and before a proof is looked at."""
        verdict = self._throttle.check(address, peer, None, self._monotonic())
        return Wait(verdict.seconds, verdict.rule) if verdict.answer is Answer.WAIT else None

    def decoy_keys(self, address: str) -> passwords.Scram:
        """Keys of a user who does not exist."""
        return self._decoys.scram(address)

    def proof_was_wrong(self, address: str, peer: str) -> None:
        """Each wrong proof counts: unlike a password it does not show whether it is the same wrong one again."""
        self._throttle.wrong(address, peer, secrets.token_bytes(16), self._monotonic())

    def proof_was_right(self, address: str, peer: str, *, by_app: bool) -> None:
        if by_app:
            self._throttle.seen(address, peer, self._monotonic())
        else:
            self._throttle.right(address, peer, None, self._monotonic())
