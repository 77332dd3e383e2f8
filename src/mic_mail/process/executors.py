"""Threads beside the event loop: where blocking work runs, in which order, and how long it may wait for its turn.

A worker has four lanes. *cpu* is one thread (with more, pure Python starves the loop: p99 of an echo 181 ms beside four
threads, 8 ms beside one); *delivery* is one too, which publishes small messages wave by wave; *io* waits for disks; *hash*
verifies passwords and is narrow, because each call takes megabytes.
`AccountExecutors` stands in front of the io lane: one writer and two readers per account, so one busy mailbox never fills the
lane.

The promises:
  - one hop per call: a result is handed back to the loop once, however many threads finish in the same loop turn;
  - a call that has begun ends in its thread whatever happens to the task that waits for it, and keeps its account's turn until
    then; what must follow a durable step (the log line, the notification) therefore belongs into the call itself;
  - a call that has not begun when its waiter is cancelled never begins;
  - who waits longer than the patience gets `Unavailable` ([UNAVAILABLE], 451), and so does who finds the queue full.
"""

import asyncio
import threading
import time
from collections import deque
from collections.abc import Callable
from queue import SimpleQueue
from typing import ParamSpec, TypeVar

from mic_mail.process.fair_queue import FairQueue, Suspicion, not_suspected
from mic_mail.storage.errors import Unavailable
from mic_mail.storage.types import AccountRef

P = ParamSpec("P")
T = TypeVar("T")

WRITERS_PER_ACCOUNT = 1
READERS_PER_ACCOUNT = 2
WAITING_PER_ACCOUNT = 1_000
WAITING_FOR_HASH = 1_000
CLOSE_SECONDS = 2.0
"""Within the margin that the supervisor gives to a child that drains."""

_Finished = tuple["asyncio.Future[object]", object, BaseException | None, Callable[[], None] | None]
_Call = tuple["asyncio.Future[object]", Callable[[], object], Callable[[], None] | None]


class Executor:
    """Threads that take calls in order. Belongs to the loop in which it was made."""

    def __init__(self, name: str, threads: int) -> None:
        self._loop = asyncio.get_running_loop()
        self._calls: SimpleQueue[_Call | None] = SimpleQueue()
        self._finished: deque[_Finished] = deque()
        self._told = False  # the loop knows that something lies in _finished
        self._threads = [threading.Thread(target=self._run, name=f"{name}-{i}", daemon=True) for i in range(threads)]
        for thread in self._threads:
            thread.start()

    def submit(self, fn: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> "asyncio.Future[T]":
        """The future result of `fn(*args, **kwargs)`; cancelling it prevents only a call that has not begun."""
        return self._submit(lambda: fn(*args, **kwargs), None)

    def _submit(self, call: Callable[[], T], after: Callable[[], None] | None) -> "asyncio.Future[T]":
        """Likewise; `after` is called on the loop when the call has ended or will never begin."""
        future: asyncio.Future[T] = self._loop.create_future()
        self._calls.put((future, call, after))  # type: ignore[arg-type]  # the queue forgets T, `_deliver` gives it back
        return future

    def _run(self) -> None:
        while (item := self._calls.get()) is not None:
            future, call, after = item
            result, error = None, None
            if not future.cancelled():
                try:
                    result = call()
                except BaseException as caught:  # noqa: BLE001 - handed to the waiter, whatever it is
                    error = caught
            self._finished.append((future, result, error, after))
            del item, future, call, after, result, error
            if not self._told:
                self._told = True
                try:
                    self._loop.call_soon_threadsafe(self._deliver)
                except RuntimeError:  # the loop has closed: nobody waits any more
                    return

    def _deliver(self) -> None:
        self._told = False
        while self._finished:
            future, result, error, after = self._finished.popleft()
            if after is not None:
                after()
            if future.cancelled():
                continue
            if error is None:
                future.set_result(result)
            elif isinstance(error, StopIteration):  # a future cannot carry it
                future.set_exception(RuntimeError("a lane call raised StopIteration"))
            else:
                future.set_exception(error)

    def thread_ids(self) -> list[int]:
        """The numbers by which the system knows the threads."""
        return [thread.native_id for thread in self._threads if thread.native_id is not None]

    def end(self) -> None:
        """Take no call after those that are queued."""
        for _ in self._threads:
            self._calls.put(None)

    def join(self, deadline: float) -> None:
        """Wait for the threads, until `time.monotonic()` passes the deadline."""
        for thread in self._threads:
            thread.join(max(0.0, deadline - time.monotonic()))


class Turns:
    """A number of turns; those who find none wait in order, no longer than their patience."""

    __slots__ = ("_free", "_most_waiting", "_waiting")

    def __init__(self, turns: int, most_waiting: int) -> None:
        self._free = turns
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._most_waiting = most_waiting

    async def take(self, patience: float) -> None:
        """Return with a turn, or raise `Unavailable`."""
        if self._free and not self._waiting:
            self._free -= 1
            return
        if len(self._waiting) >= self._most_waiting:
            raise Unavailable("too many are waiting")
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append(turn)
        try:
            async with asyncio.timeout(patience):
                await turn
        except TimeoutError:
            if turn.done() and not turn.cancelled():
                self.give_back()
            raise Unavailable(f"waited {patience:g} s") from None
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():  # it came in the same loop turn as the cancellation
                self.give_back()
            raise

    def give_back(self) -> None:
        """Hand the turn to the next who still waits."""
        while self._waiting:
            turn = self._waiting.popleft()
            if not turn.done():
                turn.set_result(None)
                return
        self._free += 1

    def idle(self, turns: int) -> bool:
        """Whether all `turns` are free and nobody waits."""
        return self._free == turns and not self._waiting


class Executors:
    """The lanes of one worker; make it inside the running loop."""

    def __init__(self, *, io_threads: int = 4, hash_threads: int = 2, patience: float = 20.0) -> None:
        self.patience = patience
        self.cpu_lane = Executor("cpu", 1)
        self.io_lane = Executor("io", io_threads)
        self._delivery_lane = Executor("delivery", 1)
        self._hash_lane = Executor("hash", hash_threads)
        self._hash_turns = FairQueue(hash_threads, WAITING_FOR_HASH)

    async def cpu(self, fn: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run pure Python work (scan, render, search) in slices of at most about 2 ms each."""
        return await self.cpu_lane.submit(fn, *args, **kwargs)

    async def delivery(self, fn: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Publish a wave of messages, in mailboxes that are free."""
        return await self._delivery_lane.submit(fn, *args, **kwargs)

    async def io(self, fn: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run a call that waits for a disk and belongs to no account (spool, directory)."""
        return await self.io_lane.submit(fn, *args, **kwargs)

    async def hash(self, fn: Callable[[], T], source: str, suspicion: Suspicion = not_suspected) -> T:
        """Run a password hash; at most `hash_threads` at once, so the memory they take is bounded. Sources take turns, and
        who is suspected gets fewer (`fairturns`)."""
        await self._hash_turns.take(self.patience, source, suspicion)
        return await self._hash_lane._submit(fn, self._hash_turns.give_back)

    async def hash_ahead(self, fn: Callable[[], T], source: str, suspicion: Suspicion = not_suspected) -> T:
        """The same, before those who came by `hash`."""
        await self._hash_turns.take(self.patience, source, suspicion, ahead=True)
        return await self._hash_lane._submit(fn, self._hash_turns.give_back)

    def close_to_the_loop(self) -> list[int]:
        """The threads that hand the interpreter to and fro with the loop: for deliveries and all work on accounts."""
        return self._delivery_lane.thread_ids() + self.io_lane.thread_ids()

    def close(self) -> None:
        """Let the queued calls end and the threads with them; one that waits for a lock that others hold is left behind."""
        lanes = (self.cpu_lane, self.io_lane, self._delivery_lane, self._hash_lane)
        for lane in lanes:
            lane.end()
        deadline = time.monotonic() + CLOSE_SECONDS
        for lane in lanes:
            lane.join(deadline)


class _AccountTurns:
    __slots__ = ("readers", "writers")

    def __init__(self) -> None:
        self.writers = Turns(WRITERS_PER_ACCOUNT, WAITING_PER_ACCOUNT)
        self.readers = Turns(READERS_PER_ACCOUNT, WAITING_PER_ACCOUNT)

    def idle(self) -> bool:
        return self.writers.idle(WRITERS_PER_ACCOUNT) and self.readers.idle(READERS_PER_ACCOUNT)


class AccountExecutors:
    """The way to an account's store: one writer and two readers at a time, in the order they came."""

    def __init__(self, lanes: Executors) -> None:
        self._lanes = lanes
        self._accounts: dict[int, _AccountTurns] = {}

    async def write(self, ref: AccountRef, fn: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run a call that changes the account."""
        turns = self._turns(ref)
        return await self._in_turn(ref, turns, turns.writers, lambda: fn(*args, **kwargs))

    async def read(self, ref: AccountRef, fn: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run a call that only reads the account."""
        turns = self._turns(ref)
        return await self._in_turn(ref, turns, turns.readers, lambda: fn(*args, **kwargs))

    def _turns(self, ref: AccountRef) -> _AccountTurns:
        turns = self._accounts.get(ref.account_id)
        if turns is None:
            turns = self._accounts[ref.account_id] = _AccountTurns()
        return turns

    async def _in_turn(self, ref: AccountRef, turns: _AccountTurns, kind: Turns, call: Callable[[], T]) -> T:
        def ended() -> None:
            kind.give_back()
            if turns.idle():
                self._accounts.pop(ref.account_id, None)

        await kind.take(self._lanes.patience)
        return await self._lanes.io_lane._submit(call, ended)
