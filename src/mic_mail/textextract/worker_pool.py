"""The pool of worker processes that read documents: started on demand, killed when one takes too long.

In: a message, in memory or as a file, and its sender. Out: its findings, within a bound of seconds whatever the message does: a
late worker is killed, a crashed one is replaced, and the message then counts as unread, which the caller has to judge. Senders
take turns; one whose documents took long gets fewer of them (`process.fair_queue`). Bound to the event loop. An idle worker is
ended after a while, and one that has read many messages too, so that nothing can accumulate in it.
"""

import asyncio
import json
import math
import os
import socket
import subprocess
import sys
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import NamedTuple

from mic_mail.process.executors import Executors
from mic_mail.process.fair_queue import FairQueue
from mic_mail.process.protection import Protection
from mic_mail.storage.errors import Unavailable
from mic_mail.textextract.limits import Bounds
from mic_mail.textextract.result import Findings, Missed, Unread
from mic_mail.textextract.worker import ANSWER, FILE, OCTETS, REQUEST

MODULE = "mic_mail.textextract.worker"
WAIT_SHARE = 0.7
"""Longest wait for a turn, as a share of `Bounds.seconds`."""
MOST_WAITING = 1_000
CLOCK_FACTOR = 2.0
"""Wall-clock seconds allowed per second of processor time: on a busy machine a worker gets half a CPU."""
GRACE_SECONDS = 1.0
"""Added to the worker's own limit: it stops by itself first, and its findings until then count."""
ANSWER_SECONDS = 9.5
"""Most seconds until an answer, unless `Bounds.seconds` are many; a slow start of a worker counts."""
LEAST_SECONDS = 1.0
"""With less time than this left, reading is not begun."""
START_SECONDS = 10.0
"""Most seconds for the start of a new worker on a busy machine."""
_ENVIRONMENT = ("PYTHON", "LC_", "LANG", "TZ", "LD_LIBRARY_PATH", "MALLOC_")
"""Prefixes of environment variables passed to a worker: no settings, which may hold passwords."""
IDLE_SECONDS = 300.0
MOST_READ = 500
MOST_ANSWER = 1 << 20


class OpenFile(NamedTuple):
    """A message's file, passed to a worker, which may open none."""

    descriptor: int
    size: int


class _Worker:
    """One worker process, and the socket to it."""

    def __init__(self, process: "subprocess.Popen[bytes]", channel: socket.socket) -> None:
        self.process = process
        self.channel = channel
        self.read = 0

    async def ready(self) -> Protection:
        """Wait until it has started and has its limits."""
        try:
            return Protection(**json.loads(await self._answer()))
        except TypeError as error:
            raise ValueError("not a protection") from error

    async def ask(self, source: bytes | OpenFile, patience: float) -> Findings:
        """Have a message read within `patience` seconds; `OSError` or `ValueError` if the worker fails."""
        if isinstance(source, bytes):
            request = REQUEST.pack(OCTETS, len(source), patience) + source
            await asyncio.get_running_loop().sock_sendall(self.channel, request)
        else:  # a few octets, and nothing is in flight: this does not block
            socket.send_fds(self.channel, [REQUEST.pack(FILE, source.size, patience)], [source.descriptor])
        findings = Findings.decode(await self._answer())
        self.read += 1
        return findings

    async def _answer(self) -> bytes:
        (size,) = ANSWER.unpack(await self._receive(ANSWER.size))
        if size > MOST_ANSWER:
            raise ValueError("the answer is too long")
        return await self._receive(size)

    async def _receive(self, size: int) -> bytes:
        loop = asyncio.get_running_loop()
        held = b""
        while len(held) < size:
            piece = await loop.sock_recv(self.channel, size - len(held))
            if not piece:
                raise ConnectionResetError("the worker is gone")
            held += piece
        return held

    def end(self) -> None:
        """Kill it; blocks for the moment that takes."""
        self.channel.close()
        self.process.kill()
        self.process.wait()


class ReadingCosts:
    """Recent seconds of reading by sender, as a suspicion for `FairQueue`. Pure."""

    HALF_LIFE_SECONDS = 60.0
    FREE_SECONDS = 1.0
    """Seconds without a loss of turns; twice that is one step of suspicion, four times two."""
    MOST_SENDERS = 10_000
    """Senders remembered; beyond it the one read longest ago is dropped."""

    def __init__(self) -> None:
        self._spent: dict[str, tuple[float, float]] = {}
        """Seconds by sender, and the time of that value; the newest last."""

    def add(self, sender: str, seconds: float, now: float) -> None:
        total = self._seconds(sender, now) + seconds
        self._spent.pop(sender, None)
        self._spent[sender] = (total, now)
        if len(self._spent) > self.MOST_SENDERS:
            del self._spent[next(iter(self._spent))]

    def suspicion(self, sender: str, now: float) -> int:
        """Return the steps of suspicion: 0 for a sender whose documents are read quickly."""
        return int(math.log2(max(1.0, self._seconds(sender, now) / self.FREE_SECONDS)))

    def _seconds(self, sender: str, now: float) -> float:
        spent, at = self._spent.get(sender, (0.0, now))
        return float(spent * 0.5 ** ((now - at) / self.HALF_LIFE_SECONDS))


class WorkerPool:
    """The workers of one process and direction: at most `most` messages are read at a time, others wait."""

    def __init__(
        self,
        bounds: Bounds,
        executors: Executors,
        *,
        most: int = 1,
        nice: int = 5,
        most_seconds: float | None = None,
        started: Callable[[Protection], None] = lambda protection: None,
    ) -> None:
        """Call `started` with the protection of each new worker.

        `most_seconds` of wall-clock time are allowed for an answer that nobody waits for, or more if `bounds.seconds` are many.
        """
        self.bounds = bounds
        self._executors = executors
        self._nice = nice
        self._most_seconds = most_seconds
        self._started = started
        self._turns = FairQueue(most, MOST_WAITING)
        self._costs = ReadingCosts()
        self._free: list[_Worker] = []
        self._starting: list[asyncio.Task[_Worker | None]] = []
        """Workers being started that no caller waits for."""
        self._idle: asyncio.TimerHandle | None = None
        self._ending: set[asyncio.Future[None]] = set()
        self._closed = False

    async def extract(self, source: bytes | Path, sender: str = "") -> Findings:
        """Read a message of `sender` (a mailbox, a network) in its turn, within `bounds.seconds` of CPU."""
        now = asyncio.get_running_loop().time
        patience = self.bounds.seconds * WAIT_SHARE
        until = now() + self.answer_seconds
        try:
            await self._turns.take(patience, sender, lambda: self._costs.suspicion(sender, now()))
        except Unavailable:
            return _missed(Unread.UNAVAILABLE)
        try:
            worker = await self._ready_worker(until - now() - LEAST_SECONDS)
            if worker is None:
                return _missed(Unread.UNAVAILABLE)
            began = now()
            try:
                return await self._read(worker, source, self._reading_seconds(until - began))
            finally:
                self._costs.add(sender, now() - began, now())
        finally:
            self._turns.give_back()

    @property
    def answer_seconds(self) -> float:
        """The longest time until an answer, by the clock."""
        return max((WAIT_SHARE + 1) * self.bounds.seconds + GRACE_SECONDS, self._most_seconds or ANSWER_SECONDS)

    def _reading_seconds(self, left: float) -> float:
        """Return how long a message may be read, of the seconds left until the answer."""
        return left if self._most_seconds else min(CLOCK_FACTOR * self.bounds.seconds + GRACE_SECONDS, left)

    async def _ready_worker(self, patience: float) -> _Worker | None:
        """Return an idle worker or a new one; None if none is ready in time. A late one is kept for the next."""
        if self._free:
            return self._free.pop()
        starting = self._starting.pop() if self._starting else asyncio.create_task(self._start(self.bounds))
        try:
            await asyncio.wait({starting}, timeout=patience)
        except asyncio.CancelledError:
            self._starting.append(starting)
            raise
        if not starting.done():
            self._starting.append(starting)
            return None
        return starting.result()

    async def _ask(self, worker: _Worker, source: bytes | Path, patience: float) -> Findings:
        if isinstance(source, bytes):
            return await worker.ask(source, patience)
        file = await self._executors.io(_open, source)
        try:
            return await worker.ask(file, patience)
        finally:
            os.close(file.descriptor)

    async def _start(self, bounds: Bounds) -> _Worker | None:
        """Start a worker and wait for its limits; None on failure."""
        try:
            worker = await self._executors.io(_start, bounds, self._nice)
        except OSError:
            return None
        try:
            async with asyncio.timeout(START_SECONDS):
                protection = await worker.ready()
        except (OSError, ValueError, TimeoutError):
            self._let_go(worker)
            return None
        except asyncio.CancelledError:
            self._let_go(worker)
            raise
        self._started(protection)
        return worker

    async def _read(self, worker: _Worker, source: bytes | Path, seconds: float) -> Findings:
        try:
            async with asyncio.timeout(seconds):
                findings = await self._ask(worker, source, max(seconds - GRACE_SECONDS, seconds / 2))
        except TimeoutError:
            findings = _missed(Unread.TOO_SLOW)
        except (OSError, ValueError):
            findings = _missed(Unread.CRASHED)
        except asyncio.CancelledError:
            self._let_go(worker)
            raise
        else:
            if worker.read < MOST_READ and not self._closed:
                self._free.append(worker)
                self._rest()
                return findings
        self._let_go(worker)
        return findings

    def _let_go(self, worker: _Worker) -> None:
        """End it in a thread; only `close` waits for that."""
        self._until_ended(asyncio.ensure_future(self._executors.io(worker.end)))

    def _until_ended(self, ending: "asyncio.Future[None]") -> None:
        self._ending.add(ending)
        ending.add_done_callback(self._ending.discard)

    def _rest(self) -> None:
        if self._idle is not None:
            self._idle.cancel()
        self._idle = asyncio.get_running_loop().call_later(IDLE_SECONDS, self._end_all)

    def _end_all(self) -> None:
        while self._free:
            self._let_go(self._free.pop())
        while self._starting:
            self._until_ended(asyncio.ensure_future(self._end_started(self._starting.pop())))

    async def _end_started(self, starting: "asyncio.Task[_Worker | None]") -> None:
        if (worker := await starting) is not None:
            await self._executors.io(worker.end)

    def renew(self) -> None:
        """End idle workers after a change of the bounds."""
        self._end_all()

    async def close(self) -> None:
        """End every worker; messages being read count as unread."""
        self._closed = True
        if self._idle is not None:
            self._idle.cancel()
        self._end_all()
        while self._ending:
            await asyncio.gather(*self._ending, return_exceptions=True)


def _start(bounds: Bounds, nice: int) -> _Worker:
    ours, theirs = socket.socketpair()
    with theirs:
        try:
            process = subprocess.Popen(  # noqa: S603 - this program's own interpreter and module
                [sys.executable, "-P", "-m", MODULE, str(theirs.fileno()), str(nice), json.dumps(asdict(bounds))],
                pass_fds=(theirs.fileno(),),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                env={name: value for name, value in os.environ.items() if name.startswith(_ENVIRONMENT)},
                process_group=0,  # in this session, or its niceness would have no effect (sched(7), autogroup)
            )
        except BaseException:
            ours.close()
            raise
    ours.setblocking(False)
    return _Worker(process, ours)


def _open(path: Path) -> OpenFile:
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    return OpenFile(descriptor, os.fstat(descriptor).st_size)


def _missed(reason: Unread) -> Findings:
    return Findings(missed=(Missed(reason, "message"),))
