"""Is this password right, and may it be tried at all? Joins the throttle, the cache of verified passwords and the decoys.

In: a claim (address, verifiers or none, what was typed) and the peer's address. Out: RIGHT, WRONG, `AppPasswordMatch` or
`Wait`. The hash runs in the lane that is passed in; everything else takes microseconds on the event loop. One password that
several connections bring at once (a mail program opens five) is hashed once; who has to wait hears nothing of it. A network's
tries that are still being looked at send nobody away: who comes beyond them stands in line until they are known. An app
password is known by its digest and costs no hash; what is no right one, or was revoked, costs what every wrong password costs.
Never: texts, policy, the log.
"""

import asyncio
import contextlib
import secrets
from collections import Counter, deque
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import Final, Protocol

from mic_mail.auth import password_hash
from mic_mail.auth.app_passwords import Recognisable, recognised
from mic_mail.auth.password_hash import Decoys, VerifiedCache
from mic_mail.auth.shared_throttle import SharedThrottle
from mic_mail.auth.throttle import Answer, Verdict, neighbourhood, network
from mic_mail.errors import Text, Trouble

PATIENCE: Final = 20.0
"""Seconds that somebody waits for answers to others of his network; as for a turn at the hash."""
MOST_WAITING: Final = 1_000
"""Of one network."""


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
class AppPasswordMatch:
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
class PasswordAttempt:
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
class HashExecutors:
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


class TooManyWaiting(Trouble):
    """So many others of this network are being looked at that nobody could find out in time."""

    def __init__(self) -> None:
        super().__init__(Text("Mạng này đang có quá nhiều người đăng nhập.", "Too many sign in from this network at once."))


class Guard:
    """The password checks of one process, for its life; belongs to the event loop."""

    def __init__(
        self,
        digest_key: bytes,
        *,
        throttle: SharedThrottle,
        decoys: Decoys,
        cache_seconds: float,
        lanes: HashExecutors,
        monotonic: Callable[[], float],
    ) -> None:
        """`digest_key` marks passwords in memory, and is the same in all processes of a server."""
        self._digest_key = digest_key
        self._throttle = throttle
        self._decoys = decoys
        self._cache_seconds = cache_seconds
        self._lanes = lanes
        self._monotonic = monotonic
        self._verified = VerifiedCache(digest_key)
        self._running: dict[bytes, _Running] = {}
        self._asked: Counter[str] = Counter()
        """Of each network, what counts as wrong until it is known."""
        self._lines: dict[str, deque[asyncio.Future[bool]]] = {}
        """Of each network, who waits for an answer to one of those; none without one that is asked."""

    def configure(self, *, decoys: Decoys, cache_seconds: float) -> None:
        """Other settings from now on: what is being hashed goes on, and right passwords stay known, unless they shall be
        forgotten sooner."""
        if cache_seconds < self._cache_seconds:
            self._verified = VerifiedCache(self._digest_key)
        self._decoys = decoys
        self._cache_seconds = cache_seconds

    async def check(self, claim: PasswordAttempt, peer: str) -> Outcome | AppPasswordMatch | Wait:
        """The answer to a claim; raises errors.Trouble when nobody could find out in time."""
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
            running = self._running.get(digest)  # it may have begun while this waited
        if running is not None:
            return await self._joined(running, claim, peer, digest)
        now = self._monotonic()
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
            self._answered(net)

        task.add_done_callback(over)
        return await asyncio.shield(task)

    async def _settled(self, mailbox: str, peer: str, digest: bytes | None) -> Verdict:
        """What the throttle says, once that does not depend on what is being looked at; raises `TooManyWaiting`."""
        net = network(peer)
        verdict = self._verdict(mailbox, peer, digest)
        if verdict.answer is not Answer.LATER:
            return verdict
        if len(self._lines.get(net, ())) >= MOST_WAITING:
            raise TooManyWaiting
        ahead = False
        try:
            async with asyncio.timeout(PATIENCE):
                while verdict.answer is Answer.LATER:
                    ahead = await self._next_answer(net, ahead=ahead)
                    verdict = self._verdict(mailbox, peer, digest)
        except TimeoutError:
            raise TooManyWaiting from None
        return verdict

    def _verdict(self, mailbox: str, peer: str, digest: bytes | None) -> Verdict:
        return self._throttle.check(mailbox, peer, digest, self._monotonic(), open_questions=self._asked[network(peer)])

    async def _next_answer(self, net: str, *, ahead: bool) -> bool:
        """Whether who finds that it was not enough stands at the head of the line, as before."""
        line = self._lines.setdefault(net, deque())
        turn: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        (line.appendleft if ahead else line.append)(turn)
        try:
            return await turn
        except asyncio.CancelledError:
            with contextlib.suppress(ValueError):  # it was called in this loop turn
                line.remove(turn)
            raise

    def _answered(self, net: str) -> None:
        """One that was asked is known: the next in line looks again, and all of them where nothing is asked any more."""
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

    async def _joined(self, running: _Running, claim: PasswordAttempt, peer: str, digest: bytes) -> Outcome | Wait:
        """The answer that another connection waits for already; to another network under its own limits, and counted there."""
        if network(peer) == running.network:
            return await asyncio.shield(running.task)
        if (wait := await self.may_try(claim.address, peer)) is not None:
            return wait
        outcome = await asyncio.shield(running.task)
        if outcome is Outcome.RIGHT:
            self._throttle.right(claim.address, peer, None, self._monotonic())
        else:
            self._throttle.wrong(claim.address, peer, digest, self._monotonic())
        return outcome

    def _way(self, claim: PasswordAttempt, peer: str, now: float) -> Callable[[], Awaitable[bool]]:
        """To the hash of this claim, in its place among those who wait."""
        question, net = self._question(claim), network(peer)
        if self._throttle.knows(claim.address, peer, now):
            return lambda: self._lanes.known(question, claim.address, lambda: 0)

        def suspicion() -> int:
            return self._throttle.suspicion(peer, self._monotonic(), open_questions=self._asked[net])

        return lambda: self._lanes.others(question, neighbourhood(peer), suspicion)

    async def _verify(self, claim: PasswordAttempt, peer: str, digest: bytes, way: Callable[[], Awaitable[bool]]) -> Outcome:
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

    def on_message(self, told: bytes) -> None:
        """What another process has found out: nobody hashes a second time what was right there."""
        now = self._monotonic()
        right = self._throttle.on_message(told, now)
        if right is not None:
            self._verified.add(right, now + self._cache_seconds)

    def _question(self, claim: PasswordAttempt) -> Callable[[], bool]:
        credential, password, decoys = claim.credential, claim.password, self._decoys
        if credential is None:
            return lambda: decoys.refuse(claim.address, password)
        encoded = credential.argon2
        return lambda: password_hash.verify(encoded, password)

    async def check_code(self, address: str, peer: str, look: Callable[[], Awaitable[bool]]) -> bool | Wait:
        """Whether a code of a second factor is right, which `look` finds out; may be tried as often as a password.

        Counted under a name of its own: the password is right by then, and each time it is typed it forgets what was mistyped.
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
        """The mailbox's second factor was set from here: guesses from other networks do not keep its person out."""
        self._throttle.right(_code_of(address), peer, None, self._monotonic())

    # ------------------------------------------------------------ SCRAM: no hash, the client did the work

    async def may_try(self, address: str, peer: str) -> Wait | None:
        """Whether a SCRAM exchange may go on; asked before the keys are given and before a proof is looked at, which has to
        follow without waiting for anything. Raises errors.Trouble when nobody could find out in time."""
        verdict = await self._settled(address, peer, None)
        return Wait(verdict.seconds, verdict.rule) if verdict.answer is Answer.WAIT else None

    def decoy_keys(self, address: str) -> password_hash.Scram:
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


def _code_of(address: str) -> str:
    """The name under which codes of a mailbox are counted: of no password."""
    return f"code\0{address}"
