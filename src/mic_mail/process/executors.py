"""Thread executors beside the event loop for blocking work.

They define where a call runs, in which order, and how long it may wait. A worker has four executors. *cpu* is one thread (more
threads of pure Python starve the loop: p99 of an echo 181 ms beside four threads, 8 ms beside one). *delivery* is one thread,
too, and publishes small messages batch by batch. *io* waits for disks. *hash* verifies passwords and is narrow, because each
call takes megabytes. `AccountExecutors` stands in front of the io executor: one writer and two readers per account, so one busy
mailbox never fills it.

Guarantees:
  - One hop per call: a result is handed back to the loop once, however many threads finish in the same loop turn.
  - A call that has begun ends in its thread whatever happens to the task that waits for it, and keeps its account's slot until
    then. What must follow a durable step (the log line, the notification) therefore belongs into the call itself.
  - A call that has not begun when its waiter is cancelled never begins.
  - A call that waits longer than the patience, or finds the queue full, raises `Unavailable` ([UNAVAILABLE], 451).
"""

import asyncio
import contextlib
import threading
import time
from collections import deque
from collections.abc import Callable
from typing import ParamSpec, Protocol, TypeVar

from mic_mail.process.fair_queue import FairQueue, Suspicion, not_suspected
from mic_mail.storage.errors import Unavailable
from mic_mail.storage.types import AccountRef

P = ParamSpec("P")
T = TypeVar("T")
T_contra = TypeVar("T_contra", contravariant=True)

WRITERS_PER_ACCOUNT = 1
READERS_PER_ACCOUNT = 2
WAITING_PER_ACCOUNT = 1_000
WAITING_FOR_HASH = 1_000
CLOSE_SECONDS = 2.0
"""Less than the margin that the supervisor gives to a draining child."""


class Receiver(Protocol[T_contra]):
    """Receives the end of a call on the loop, in the turn that brings it.

    It is a future, or what needs no task to wait.
    """

    def cancelled(self) -> bool:
        """Return whether nobody wants the result: a call not yet begun never begins."""
        ...

    def set_result(self, result: T_contra, /) -> None: ...

    def set_exception(self, exception: BaseException, /) -> None: ...


_Finished = tuple[Receiver[object], object, BaseException | None, Callable[[], None] | None]
_Call = tuple[Receiver[object], Callable[[], object], Callable[[], None] | None]


class Executor:
    """Threads that run calls in order. An executor belongs to the loop in which it was created."""

    def __init__(self, name: str, threads: int, measure_lag: Callable[[], None] = lambda: None) -> None:
        """`measure_lag` is called on the loop before results are handed back."""
        self._measure_lag = measure_lag
        self._loop = asyncio.get_running_loop()
        self._calls: deque[_Call | None] = deque()
        self._idle: list[threading.Lock] = []
        """The locks on which idle threads wait; the last to become idle is woken first, since its caches are warm."""
        self._finished: deque[_Finished] = deque()
        self._is_scheduled = False  # a call of _deliver is scheduled on the loop
        self._threads = [threading.Thread(target=self._run, name=f"{name}-{i}", daemon=True) for i in range(threads)]
        for thread in self._threads:
            thread.start()

    def submit(self, fn: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> "asyncio.Future[T]":
        """Return the future result of `fn(*args, **kwargs)`; cancelling stops only a call not yet begun."""
        return self._submit(lambda: fn(*args, **kwargs), None)

    def _submit(self, call: Callable[[], T], after: Callable[[], None] | None) -> "asyncio.Future[T]":
        """Submit `call`; `after` is called on the loop when the call has ended or will never begin."""
        future: asyncio.Future[T] = self._loop.create_future()
        self._submit_to(future, call, after)
        return future

    def _submit_to(self, receiver: Receiver[T], call: Callable[[], T], after: Callable[[], None] | None) -> None:
        """Submit `call` and hand its end to `receiver`."""
        self._calls.append((receiver, call, after))  # type: ignore[arg-type]  # the queue loses T, `_deliver` restores it
        self._wake()

    def _wake(self) -> None:
        """Wake one idle thread, if there is one.

        With a `queue.SimpleQueue` the thread that takes a call wakes a second one, which finds nothing and waits again.
        """
        if self._idle:
            with contextlib.suppress(IndexError):  # the thread has seen the call itself
                self._idle.pop().release()

    def _take(self, idle: threading.Lock) -> _Call | None:
        """Return the next call; wait on `idle`, which the thread holds, while there is none."""
        while True:
            if self._calls:
                with contextlib.suppress(IndexError):  # another thread was quicker
                    return self._calls.popleft()
            self._idle.append(idle)
            if self._calls:  # submitted before this thread was seen to be idle
                try:
                    self._idle.remove(idle)
                except ValueError:
                    pass  # it has been woken already
                else:
                    continue
            idle.acquire()

    def _run(self) -> None:
        idle = threading.Lock()
        idle.acquire()
        while (item := self._take(idle)) is not None:
            receiver, call, after = item
            result, error = None, None
            if not receiver.cancelled():
                try:
                    result = call()
                except BaseException as caught:  # noqa: BLE001 - handed to the waiter, whatever it is
                    error = caught
            self._finished.append((receiver, result, error, after))
            del item, receiver, call, after, result, error
            if not self._is_scheduled:
                self._is_scheduled = True
                try:
                    self._loop.call_soon_threadsafe(self._deliver)
                except RuntimeError:  # the loop has closed: nothing waits any more
                    return

    def _deliver(self) -> None:
        self._is_scheduled = False
        self._measure_lag()
        for _ in range(len(self._finished)):  # not what receivers have begun since: the rest of the loop has its turn first
            receiver, result, error, after = self._finished.popleft()
            if after is not None:
                after()
            if receiver.cancelled():
                continue
            try:
                if error is None:
                    receiver.set_result(result)
                elif isinstance(error, StopIteration):  # a future cannot carry it
                    receiver.set_exception(RuntimeError("a call raised StopIteration"))
                else:
                    receiver.set_exception(error)
            except Exception as failure:  # noqa: BLE001 - a receiver that fails must not keep the others from their results
                context = {"message": "a receiver of a call's result failed", "exception": failure}
                self._loop.call_exception_handler(context)

    def thread_ids(self) -> list[int]:
        """Return the system's ids of the threads."""
        return [thread.native_id for thread in self._threads if thread.native_id is not None]

    def end(self) -> None:
        """Accept no more calls; the queued ones still run."""
        for _ in self._threads:
            self._calls.append(None)
            self._wake()

    def join(self, deadline: float) -> None:
        """Wait for the threads, until `time.monotonic()` passes the deadline."""
        for thread in self._threads:
            thread.join(max(0.0, deadline - time.monotonic()))


class TimedSemaphore:
    """A semaphore on which a limited number of callers wait, each for a limited time.

    Callers that find no free slot wait in order, no longer than their patience. Beyond `most_waiting` of them, a caller
    is refused at once.
    """

    __slots__ = ("_most_waiting", "_semaphore", "_slots", "callers")

    def __init__(self, slots: int, most_waiting: int) -> None:
        self._semaphore = asyncio.Semaphore(slots)
        self._slots = slots
        self._most_waiting = most_waiting
        self.callers = 0
        """Callers that hold a slot or wait for one."""

    async def acquire(self, patience: float) -> None:
        """Return with a slot, or raise `Unavailable`."""
        waiting = self.callers - self._slots
        if waiting >= self._most_waiting:
            raise Unavailable("too many are waiting")
        self.callers += 1
        try:
            if waiting < 0:
                await self._semaphore.acquire()  # at once, or as soon as a caller that was woken before has resumed
                return
            async with asyncio.timeout(patience):
                await self._semaphore.acquire()
        except TimeoutError:
            self.callers -= 1
            raise Unavailable(f"waited {patience:g} s") from None
        except asyncio.CancelledError:
            self.callers -= 1
            raise

    def try_acquire(self) -> bool:
        """Take a slot if one is free and nobody waits for it."""
        if self.callers >= self._slots or self._semaphore.locked():
            return False
        self.callers += 1
        with contextlib.suppress(StopIteration):  # a semaphore that is not locked is acquired without a wait
            self._semaphore.acquire().send(None)
        return True

    def release(self) -> None:
        """Hand the slot to the next caller that still waits."""
        self.callers -= 1
        self._semaphore.release()


class Executors:
    """The executors of one worker; create it inside the running loop."""

    def __init__(
        self,
        *,
        io_threads: int = 4,
        hash_threads: int = 2,
        patience: float = 20.0,
        measure_lag: Callable[[], None] = lambda: None,
    ) -> None:
        self.patience = patience
        """Seconds that a call waits for its turn: the setting `process.queue_seconds`."""
        self.cpu_executor = Executor("cpu", 1, measure_lag)
        self.io_executor = Executor("io", io_threads, measure_lag)
        self._delivery_executor = Executor("delivery", 1, measure_lag)
        self._hash_executor = Executor("hash", hash_threads, measure_lag)
        self._hash_turns = FairQueue(hash_threads, WAITING_FOR_HASH)

    async def cpu(self, fn: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run pure Python work (scan, render, search) in slices of at most about 2 ms each."""
        return await self.cpu_executor.submit(fn, *args, **kwargs)

    async def delivery(self, fn: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Publish a batch of messages in mailboxes that are free."""
        return await self._delivery_executor.submit(fn, *args, **kwargs)

    async def io(self, fn: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run a call that waits for a disk and belongs to no account (spool, directory)."""
        return await self.io_executor.submit(fn, *args, **kwargs)

    async def hash(self, fn: Callable[[], T], source: str, suspicion: Suspicion = not_suspected) -> T:
        """Run a password hash, at most `hash_threads` at once; sources take fair turns (`process.fair_queue`)."""
        await self._hash_turns.take(self.patience, source, suspicion)
        return await self._hash_executor._submit(fn, self._hash_turns.give_back)

    async def hash_ahead(self, fn: Callable[[], T], source: str, suspicion: Suspicion = not_suspected) -> T:
        """Run a password hash before all calls that were made by `hash`."""
        await self._hash_turns.take(self.patience, source, suspicion, ahead=True)
        return await self._hash_executor._submit(fn, self._hash_turns.give_back)

    def loop_bound_threads(self) -> list[int]:
        """Return the ids of the threads that exchange the interpreter lock with the loop: cpu, delivery and io."""
        executors = (self.cpu_executor, self._delivery_executor, self.io_executor)
        return [thread for executor in executors for thread in executor.thread_ids()]

    def close(self) -> None:
        """Let queued calls and threads end; abandon a thread that waits for another process's lock."""
        executors = (self.cpu_executor, self.io_executor, self._delivery_executor, self._hash_executor)
        for executor in executors:
            executor.end()
        deadline = time.monotonic() + CLOSE_SECONDS
        for executor in executors:
            executor.join(deadline)


class _AccountSlots:
    __slots__ = ("readers", "writers")

    def __init__(self) -> None:
        self.writers = TimedSemaphore(WRITERS_PER_ACCOUNT, WAITING_PER_ACCOUNT)
        self.readers = TimedSemaphore(READERS_PER_ACCOUNT, WAITING_PER_ACCOUNT)


class AccountExecutors:
    """Access to an account's store: one writer and two readers at a time, in order of arrival."""

    def __init__(self, executors: Executors) -> None:
        self._executors = executors
        self._accounts: dict[int, _AccountSlots] = {}
        self._spare: list[_AccountSlots] = []
        """Slots of accounts that are idle again; as many as were busy at once."""
        self._waiting: set[asyncio.Task[None]] = set()
        """The tasks of `start` that wait for a slot."""

    async def write(self, ref: AccountRef, fn: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run a call that changes the account."""
        slots = self._slots(ref)
        return await self._run(ref, slots, slots.writers, lambda: fn(*args, **kwargs))

    def start(self, ref: AccountRef, call: Callable[[], T], receiver: Receiver[T], *, writes: bool) -> None:
        """Run a call that changes the account or only reads it, and hand its end to `receiver`, never before the return.

        Where the account has a free slot no task is made: a task costs two turns of the loop.
        """
        slots = self._slots(ref)
        kind = slots.writers if writes else slots.readers
        if kind.try_acquire():
            self._executors.io_executor._submit_to(receiver, call, self._ended(ref, slots, kind))
        else:
            task = asyncio.get_running_loop().create_task(self._start_later(ref, call, receiver, writes=writes))
            self._waiting.add(task)
            task.add_done_callback(self._waiting.discard)

    async def _start_later(self, ref: AccountRef, call: Callable[[], T], receiver: Receiver[T], *, writes: bool) -> None:
        slots = self._slots(ref)  # only now: those of the call to `start` may have become idle, and another account's
        kind = slots.writers if writes else slots.readers
        try:
            await kind.acquire(self._executors.patience)
        except Unavailable as error:
            receiver.set_exception(error)
        else:
            self._executors.io_executor._submit_to(receiver, call, self._ended(ref, slots, kind))

    async def read(self, ref: AccountRef, fn: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run a call that only reads the account."""
        slots = self._slots(ref)
        return await self._run(ref, slots, slots.readers, lambda: fn(*args, **kwargs))

    def _slots(self, ref: AccountRef) -> _AccountSlots:
        slots = self._accounts.get(ref.account_id)
        if slots is None:
            slots = self._accounts[ref.account_id] = self._spare.pop() if self._spare else _AccountSlots()
        return slots

    async def _run(self, ref: AccountRef, slots: _AccountSlots, kind: TimedSemaphore, call: Callable[[], T]) -> T:
        await kind.acquire(self._executors.patience)
        return await self._executors.io_executor._submit(call, self._ended(ref, slots, kind))

    def _ended(self, ref: AccountRef, slots: _AccountSlots, kind: TimedSemaphore) -> Callable[[], None]:
        def ended() -> None:
            kind.release()
            idle = not slots.writers.callers and not slots.readers.callers
            if idle and self._accounts.get(ref.account_id) is slots:
                self._spare.append(self._accounts.pop(ref.account_id))

        return ended
