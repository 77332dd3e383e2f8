"""Verify passwords, with the throttle, the cache of verified passwords and the decoys.

In: an attempt (address, verifiers or none, the password) and the peer's address. Out: RIGHT, WRONG, `AppPasswordMatch` or
`Wait`. The hash runs in the executor passed in; everything else takes microseconds in the event loop. A password that several
connections send at the same time (a mail program opens five) is hashed once; a delayed connection does not learn its result. A
network's attempts still being checked cause no refusal: further ones queue until the results are known. An app password is
recognised by its digest and costs no hash; a wrong or revoked one costs the same as any wrong password. Not here: texts,
policy, the log.
"""

import asyncio
import contextlib
import secrets
from collections import Counter, deque
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import Final

from mic_mail.auth import password_hash
from mic_mail.auth.app_passwords import recognised
from mic_mail.auth.password_hash import Decoys, VerifiedCache
from mic_mail.auth.shared_throttle import SharedThrottle
from mic_mail.auth.throttle import ThrottleDecision, Verdict, neighbourhood, network
from mic_mail.errors import Text, Trouble
from mic_mail.policy.credentials.verifiers import AppCredential, Credential, ScramKeys

PATIENCE: Final = 20.0
"""Seconds that an attempt waits for results of others from its network; the same as for a hash."""
MOST_WAITING: Final = 1_000
"""Waiting attempts of one network."""


class VerifyResult(Enum):
    """The result for a password."""

    RIGHT = "right"
    WRONG = "wrong"
    WRONG_AGAIN = "wrong-again"
    """The same wrong password as a moment ago."""


@dataclass(frozen=True, slots=True)
class Wait:
    """Too many wrong passwords: `seconds` until the next attempt, by the throttle's `rule`."""

    seconds: float
    rule: str


@dataclass(frozen=True, slots=True)
class AppPasswordMatch:
    """A match of the app password with this number."""

    number: int


@dataclass(frozen=True, slots=True)
class PasswordAttempt:
    """A sign-in attempt with `password` as `address`; `credential` is None for an unknown user."""

    address: str
    credential: Credential | None
    password: str = field(repr=False)
    others: Sequence[AppCredential] = ()
    """The app passwords that are valid now."""


HashExecutor = Callable[[Callable[[], bool], str, Callable[[], int]], Awaitable[bool]]
"""Runs a blocking check elsewhere, for a source with a suspicion (`process.fair_queue`).

Raises errors.Trouble when its queue is too long.
"""


@dataclass(frozen=True, slots=True)
class HashExecutors:
    """Two queues to the same threads: guessing clients must not delay mailboxes known at their network.

    Among the known each mailbox is a source of its own, so that a large office does not wait. The others are distinguished by
    their neighbourhood, and by the failed guesses from their network (decision 0088).
    """

    known: HashExecutor
    others: HashExecutor


@dataclass(frozen=True, slots=True)
class _Running:
    """A password that is being hashed, and for which network."""

    network: str
    task: asyncio.Task[VerifyResult]


class TooManyWaiting(Trouble):
    """Too many attempts of this network are being checked to get a result in time."""

    def __init__(self) -> None:
        super().__init__(Text("Mạng này đang có quá nhiều người đăng nhập.", "Too many concurrent sign-ins from this network."))


class PasswordVerifier:
    """The password checks of one process; bound to the event loop."""

    def __init__(
        self,
        digest_key: bytes,
        *,
        throttle: SharedThrottle,
        decoys: Decoys,
        cache_seconds: float,
        executors: HashExecutors,
        monotonic: Callable[[], float],
    ) -> None:
        """Use `digest_key` for digests of passwords in memory; it is the same in all processes that broadcast to each other."""
        self._digest_key = digest_key
        self._throttle = throttle
        self._decoys = decoys
        self._cache_seconds = cache_seconds
        self._executors = executors
        self._monotonic = monotonic
        self._verified = VerifiedCache(digest_key)
        self._running: dict[bytes, _Running] = {}
        self._asked: Counter[str] = Counter()
        """Passwords by network that count as wrong until they are checked."""
        self._lines: dict[str, deque[asyncio.Future[bool]]] = {}
        """Attempts by network that wait for one of those; empty where none is being checked."""

    def configure(self, *, decoys: Decoys, cache_seconds: float) -> None:
        """Apply other settings from now on.

        Running hashes continue, and verified passwords stay cached, unless the cache time gets shorter.
        """
        if cache_seconds < self._cache_seconds:
            self._verified = VerifiedCache(self._digest_key)
        self._decoys = decoys
        self._cache_seconds = cache_seconds

    async def check(self, claim: PasswordAttempt, peer: str) -> VerifyResult | AppPasswordMatch | Wait:
        """Decide an attempt; raise errors.Trouble when no result is available in time."""
        if (app := recognised(claim.password, claim.others)) is not None:
            if (wait := await self.may_try(claim.address, peer)) is not None:
                return wait
            self._throttle.seen(claim.address, peer, self._monotonic())
            return AppPasswordMatch(app.number)
        version = claim.credential.version if claim.credential else 0
        digest = self._verified.digest(claim.address, version, claim.password)
        running = self._running.get(digest)
        if running is None:
            verdict = await self._settled(claim.address, peer, digest)
            running = self._running.get(digest)  # it may have started meanwhile
        if running is not None:
            return await self._joined(running, claim, peer, digest)
        now = self._monotonic()
        if verdict.answer is ThrottleDecision.WAIT:
            return Wait(verdict.seconds, verdict.rule)
        if verdict.answer is ThrottleDecision.KNOWN_WRONG:
            return VerifyResult.WRONG_AGAIN
        if self._verified.holds(digest, now):
            self._throttle.right(claim.address, peer, None, now)
            return VerifyResult.RIGHT
        way = self._way(claim, peer, now)
        # Counted as wrong until it proves right: a thousand connections in parallel get no more attempts than in sequence.
        self._throttle.suspect(claim.address, peer, digest, now)
        net = network(peer)
        task = asyncio.get_running_loop().create_task(self._verify(claim, peer, digest, way))
        self._running[digest] = _Running(net, task)
        self._asked[net] += 1

        def over(_: object) -> None:
            self._running.pop(digest, None)
            self._answered(net)

        task.add_done_callback(over)
        return await asyncio.shield(task)

    async def _settled(self, mailbox: str, peer: str, digest: bytes | None) -> Verdict:
        """Return the throttle's verdict, once it no longer depends on checks in progress.

        Raises `TooManyWaiting`.
        """
        net = network(peer)
        verdict = self._verdict(mailbox, peer, digest)
        if verdict.answer is not ThrottleDecision.LATER:
            return verdict
        if len(self._lines.get(net, ())) >= MOST_WAITING:
            raise TooManyWaiting
        ahead = False
        try:
            async with asyncio.timeout(PATIENCE):
                while verdict.answer is ThrottleDecision.LATER:
                    ahead = await self._next_answer(net, ahead=ahead)
                    verdict = self._verdict(mailbox, peer, digest)
        except TimeoutError:
            raise TooManyWaiting from None
        return verdict

    def _verdict(self, mailbox: str, peer: str, digest: bytes | None) -> Verdict:
        return self._throttle.check(mailbox, peer, digest, self._monotonic(), open_questions=self._asked[network(peer)])

    async def _next_answer(self, net: str, *, ahead: bool) -> bool:
        """Wait for a result; return whether a further wait goes to the front of the queue, as before."""
        line = self._lines.setdefault(net, deque())
        turn: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        (line.appendleft if ahead else line.append)(turn)
        try:
            return await turn
        except asyncio.CancelledError:
            with contextlib.suppress(ValueError):  # it was woken in this loop iteration
                line.remove(turn)
            raise

    def _answered(self, net: str) -> None:
        """A result is known: wake the next waiter, or all if none is being checked any more."""
        self._asked[net] -= 1
        is_asked = self._asked[net] > 0
        if not is_asked:
            del self._asked[net]
        line = self._lines.get(net)
        while line:
            turn = line.popleft()
            if not turn.done():
                turn.set_result(is_asked)
                if is_asked:
                    break
        if not line:
            self._lines.pop(net, None)

    async def _joined(self, running: _Running, claim: PasswordAttempt, peer: str, digest: bytes) -> VerifyResult | Wait:
        """Share the result of another connection's check.

        From another network it is subject to that network's limits, and counted there.
        """
        if network(peer) == running.network:
            return await asyncio.shield(running.task)
        if (wait := await self.may_try(claim.address, peer)) is not None:
            return wait
        outcome = await asyncio.shield(running.task)
        if outcome is VerifyResult.RIGHT:
            self._throttle.right(claim.address, peer, None, self._monotonic())
        else:
            self._throttle.wrong(claim.address, peer, digest, self._monotonic())
        return outcome

    def _way(self, claim: PasswordAttempt, peer: str, now: float) -> Callable[[], Awaitable[bool]]:
        """Return the call of the hash for this attempt, with its place in the queues."""
        question, net = self._question(claim), network(peer)
        if self._throttle.knows(claim.address, peer, now):
            return lambda: self._executors.known(question, claim.address, lambda: 0)

        def suspicion() -> int:
            return self._throttle.suspicion(peer, self._monotonic(), open_questions=self._asked[net])

        return lambda: self._executors.others(question, neighbourhood(peer), suspicion)

    async def _verify(
        self, claim: PasswordAttempt, peer: str, digest: bytes, way: Callable[[], Awaitable[bool]]
    ) -> VerifyResult:
        try:
            right = await way()
        except BaseException:  # no result, so it was not wrong either
            self._throttle.forgive(claim.address, peer, digest)
            raise
        now = self._monotonic()
        if not right:
            self._throttle.wrong(claim.address, peer, digest, now)
            return VerifyResult.WRONG
        self._throttle.right(claim.address, peer, digest, now)
        self._verified.add(digest, now + self._cache_seconds)
        return VerifyResult.RIGHT

    def on_message(self, message: bytes) -> None:
        """Apply another process's broadcast: a password right there is not hashed again."""
        now = self._monotonic()
        right = self._throttle.on_message(message, now)
        if right is not None:
            self._verified.add(right, now + self._cache_seconds)

    def _question(self, claim: PasswordAttempt) -> Callable[[], bool]:
        credential, password, decoys = claim.credential, claim.password, self._decoys
        if credential is None:
            return lambda: decoys.refuse(claim.address, password)
        encoded = credential.argon2
        return lambda: password_hash.verify(encoded, password)

    async def check_code(self, address: str, peer: str, look: Callable[[], Awaitable[bool]]) -> bool | Wait:
        """Check a code of a second factor with `look`; limited like passwords.

        It is counted under a name of its own: the password is right by then, and each time it is entered its wrong ones are
        forgotten.
        """
        name, digest = _code_of(address), secrets.token_bytes(16)
        if (wait := await self.may_try(name, peer)) is not None:
            return wait
        net = network(peer)
        self._throttle.suspect(name, peer, digest, self._monotonic())
        self._asked[net] += 1
        try:
            right = await look()
        except BaseException:
            self._throttle.forgive(name, peer, digest)
            raise
        finally:
            self._answered(net)
        if right:
            self._throttle.right(name, peer, digest, self._monotonic())
        else:
            self._throttle.wrong(name, peer, digest, self._monotonic())
        return right

    def second_factor_set_from(self, address: str, peer: str) -> None:
        """Record that the second factor was set from here.

        Guesses from other networks then cannot lock the user out.
        """
        self._throttle.right(_code_of(address), peer, None, self._monotonic())

    # ------------------------------------------------------------ SCRAM: no hash, the client did the work

    async def may_try(self, address: str, peer: str) -> Wait | None:
        """Return a `Wait` if a SCRAM exchange may not go on, else None.

        Called before the keys are given and before a proof is checked, which has to follow without any wait. Raises
        errors.Trouble when no result is available in time.
        """
        verdict = await self._settled(address, peer, None)
        return Wait(verdict.seconds, verdict.rule) if verdict.answer is ThrottleDecision.WAIT else None

    def decoy_keys(self, address: str) -> ScramKeys:
        """Return keys for an unknown user."""
        return self._decoys.scram(address)

    def proof_was_wrong(self, address: str, peer: str) -> None:
        """Count a wrong proof; each counts, as it does not reveal whether it is the same password again."""
        self._throttle.wrong(address, peer, secrets.token_bytes(16), self._monotonic())

    def proof_was_right(self, address: str, peer: str, *, by_app: bool) -> None:
        if by_app:
            self._throttle.seen(address, peer, self._monotonic())
        else:
            self._throttle.right(address, peer, None, self._monotonic())


def _code_of(address: str) -> str:
    """Return the name under which a mailbox's codes are counted; it is not a mailbox."""
    return f"code\0{address}"
