"""Lanes: one hop, turns per account, patience, and what a cancelled waiter does and does not undo."""

import asyncio
import threading
import time
from collections.abc import AsyncIterator, Callable
from functools import partial

import pytest

from mic_mail.process.executors import AccountExecutors, Executors, TimedSemaphore
from mic_mail.storage.errors import Unavailable
from mic_mail.storage.types import AccountRef
from waiting import stays_on_loop, wait_for, wait_on_loop

ONE, TWO = AccountRef(1, "mic.gov.vn/one"), AccountRef(2, "mic.gov.vn/two")


@pytest.fixture
async def executors() -> AsyncIterator[Executors]:
    """Lanes of the test's own loop."""
    made = Executors(io_threads=8, hash_threads=1, patience=5)
    yield made
    await asyncio.to_thread(made.close)


class Gate:
    """A blocking call that tells when it runs and ends when it is let go."""

    def __init__(self) -> None:
        self.running = 0
        self.most = 0
        self.done = 0
        self._lock = threading.Lock()
        self._open = threading.Event()

    def __call__(self) -> int:
        with self._lock:
            self.running += 1
            self.most = max(self.most, self.running)
        assert self._open.wait(10)
        with self._lock:
            self.running -= 1
            self.done += 1
        return self.done

    def let_go(self) -> None:
        self._open.set()


async def test_one_writer_and_two_readers_per_account(executors: Executors) -> None:
    """A busy account takes three threads of the lane at most, and another account is not held up by it."""
    accounts = AccountExecutors(executors)
    writing, reading = Gate(), Gate()
    tasks = [asyncio.create_task(accounts.write(ONE, writing)) for _ in range(5)]
    tasks += [asyncio.create_task(accounts.read(ONE, reading)) for _ in range(5)]
    await wait_on_loop(lambda: writing.running == 1 and reading.running == 2)
    assert await accounts.write(TWO, lambda: "through") == "through"
    writing.let_go()
    reading.let_go()
    await asyncio.gather(*tasks)
    assert (writing.most, reading.most) == (1, 2)
    assert not accounts._accounts  # nothing is remembered of idle accounts


async def test_writers_of_an_account_go_in_the_order_they_came(executors: Executors) -> None:
    """Two deliveries to one mailbox are published in the order in which they were accepted."""
    accounts = AccountExecutors(executors)
    seen: list[int] = []
    await asyncio.gather(*(accounts.write(ONE, seen.append, number) for number in range(100)))
    assert seen == list(range(100))


async def test_a_call_that_began_ends_though_its_waiter_is_cancelled(executors: Executors) -> None:
    """A client that hangs up in the middle of a durable step undoes nothing, and the next writer still waits for its end."""
    accounts = AccountExecutors(executors)
    first = Gate()
    task = asyncio.create_task(accounts.write(ONE, first))
    await wait_on_loop(lambda: first.running == 1)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    second = asyncio.create_task(accounts.write(ONE, lambda: first.done))
    await stays_on_loop(lambda: not second.done(), seconds=0.05)
    first.let_go()
    assert await second == 1


async def test_a_call_that_did_not_begin_never_begins(executors: Executors) -> None:
    """A cancelled waiter in the queue leaves it."""
    accounts = AccountExecutors(executors)
    first = Gate()
    ran: list[str] = []
    holding = asyncio.create_task(accounts.write(ONE, first))
    await wait_on_loop(lambda: first.running == 1)
    waiting = asyncio.create_task(accounts.write(ONE, ran.append, "cancelled"))
    after = asyncio.create_task(accounts.write(ONE, ran.append, "after"))
    await asyncio.sleep(0)
    waiting.cancel()
    await asyncio.sleep(0)
    first.let_go()
    await asyncio.gather(holding, after)
    assert ran == ["after"]


async def test_who_waits_too_long_is_told_to_try_later(executors: Executors) -> None:
    """451 and [UNAVAILABLE] instead of a connection that hangs; the turn is not lost for others."""
    accounts = AccountExecutors(executors)
    executors.patience = 0.05
    first = Gate()
    holding = asyncio.create_task(accounts.write(ONE, first))
    await wait_on_loop(lambda: first.running == 1)
    with pytest.raises(Unavailable):
        await accounts.write(ONE, lambda: None)
    first.let_go()
    await holding
    assert await accounts.write(ONE, lambda: "free again") == "free again"


async def test_a_full_queue_refuses_at_once() -> None:
    """The number of waiting commands is bounded."""
    slots = TimedSemaphore(1, most_waiting=2)
    await slots.acquire(1)
    waiting = [asyncio.create_task(slots.acquire(5)) for _ in range(2)]
    await asyncio.sleep(0)
    with pytest.raises(Unavailable):
        await slots.acquire(5)
    for task in waiting:
        slots.release()
        await task


async def test_a_caller_that_left_takes_no_place_in_the_queue() -> None:
    """Callers whose time ran out or who were cancelled are not counted among those that wait."""
    slots = TimedSemaphore(1, most_waiting=1)
    await slots.acquire(1)
    for _ in range(3):
        with pytest.raises(Unavailable, match="waited"):
            await slots.acquire(0.001)
        cancelled = asyncio.create_task(slots.acquire(5))
        await asyncio.sleep(0)
        cancelled.cancel()
        await asyncio.wait([cancelled])
    waiting = asyncio.create_task(slots.acquire(5))
    await asyncio.sleep(0)
    slots.release()
    await waiting
    slots.release()
    assert slots.callers == 0


async def test_a_caller_that_leaves_behind_one_just_woken_is_not_counted() -> None:
    """Though a slot is free, a caller waits for one turn of the loop: behind another that has its slot and has not resumed."""
    slots = TimedSemaphore(2, most_waiting=1)
    for _ in range(2):
        await slots.acquire(1)
    begins = asyncio.Event()

    async def late() -> None:
        await begins.wait()
        await slots.acquire(5)

    woken, leaving = asyncio.create_task(slots.acquire(5)), asyncio.create_task(late())
    await asyncio.sleep(0)
    begins.set()
    for _ in range(2):
        slots.release()
    asyncio.get_running_loop().call_soon(leaving.cancel)
    await asyncio.wait([leaving])
    assert leaving.cancelled()
    await woken
    slots.release()
    assert slots.callers == 0


class Ends:
    """A receiver that notes how its calls ended; what is told a second time fails."""

    def __init__(self) -> None:
        self.ends: list[object] = []

    def cancelled(self) -> bool:
        return False

    def set_result(self, result: object, /) -> None:
        self.ends.append(result)
        assert len(self.ends) != 2, "it has heard enough"

    def set_exception(self, exception: BaseException, /) -> None:
        self.ends.append(exception)


async def test_a_call_without_a_waiter_needs_no_task(executors: Executors) -> None:
    """Its end comes by one call on the loop; for an account that is busy it waits its turn, and no longer than others."""
    accounts, ends = AccountExecutors(executors), Ends()
    gate = Gate()
    before = len(asyncio.all_tasks())
    accounts.start(ONE, gate, ends, writes=True)
    assert (len(asyncio.all_tasks()), ends.ends) == (before, [])
    await wait_on_loop(lambda: gate.running == 1)
    later = Ends()
    accounts.start(ONE, lambda: "later", later, writes=True)
    accounts.start(ONE, lambda: "read", ends, writes=False)
    await wait_on_loop(lambda: ends.ends == ["read"])
    executors.patience = 0.001
    refused = Ends()
    accounts.start(ONE, lambda: "never", refused, writes=True)
    await wait_on_loop(lambda: [type(end) for end in refused.ends] == [Unavailable])
    gate.let_go()
    await wait_on_loop(lambda: later.ends == ["later"])
    assert not accounts._accounts
    assert not accounts._waiting


async def test_one_call_wakes_one_thread(executors: Executors) -> None:
    """The others sleep on; calls beyond the threads wait, and are taken without being waked for."""
    io = executors.io_executor
    await wait_on_loop(lambda: len(io._idle) == 8)
    gate = Gate()
    for number in range(1, 11):
        task = io.submit(gate)
        assert len(io._idle) == max(0, 8 - number)
    await wait_on_loop(lambda: gate.running == 8)
    gate.let_go()
    assert await task <= 10
    await wait_on_loop(lambda: len(io._idle) == 8)


async def test_a_receiver_that_fails_keeps_no_result_from_others(executors: Executors) -> None:
    """It is told to the loop's handler of exceptions."""
    accounts, ends = AccountExecutors(executors), Ends()
    told: list[str] = []
    asyncio.get_running_loop().set_exception_handler(lambda loop, context: told.append(str(context["exception"])))
    for number in range(3):
        accounts.start(ONE, partial(int, number), ends, writes=True)
        assert await accounts.write(ONE, lambda: "next") == "next"
    assert ends.ends == [0, 1, 2]
    assert told[0].startswith("it has heard enough")
    assert len(told) == 1


async def test_errors_come_back_to_the_waiter(executors: Executors) -> None:
    """Whatever a call raises is raised where its result was awaited, also what a future cannot hold."""

    def fail(error: BaseException) -> None:
        raise error

    with pytest.raises(KeyError):
        await executors.io(fail, KeyError("x"))
    with pytest.raises(RuntimeError):
        await executors.cpu(fail, StopIteration())
    assert await executors.cpu(lambda: 1) == 1


async def test_only_so_many_hashes_run_at_once(executors: Executors) -> None:
    """The memory of password hashing is bounded by the lane's width."""
    gate = Gate()
    tasks = [asyncio.create_task(executors.hash(gate, f"mail{n}")) for n in range(4)]
    await wait_on_loop(lambda: gate.running == 1)
    await stays_on_loop(lambda: gate.running == 1, seconds=0.05)
    gate.let_go()
    await asyncio.gather(*tasks)
    assert gate.most == 1


async def test_who_is_let_ahead_goes_first(executors: Executors) -> None:
    """A person who signed in from there before is hashed for before the strangers who stand in line."""
    gate = Gate()
    order: list[object] = []
    running = asyncio.create_task(executors.hash(gate, "192.0.2.0/24"))
    await wait_on_loop(lambda: gate.running == 1)
    others = [asyncio.create_task(executors.hash(partial(order.append, number), "192.0.2.0/24")) for number in range(3)]
    await asyncio.sleep(0)
    known = asyncio.create_task(executors.hash_ahead(partial(order.append, "known"), "dvbe@mic.gov.vn"))
    await asyncio.sleep(0)
    gate.let_go()
    await asyncio.gather(running, known, *others)
    assert order == ["known", 0, 1, 2]


async def test_many_results_in_one_turn_wake_the_loop_once(executors: Executors) -> None:
    """Thousands of calls all come back, in any order of threads, and none is lost between two wake-ups."""
    results = await asyncio.gather(*(executors.io(lambda n=n: n) for n in range(5_000)))
    assert results == list(range(5_000))


async def test_the_cpu_lane_is_one_thread(executors: Executors) -> None:
    """Pure Python work never has more than one thread beside the loop."""

    def name() -> str:
        time.sleep(0.001)  # others would begin beside it
        return threading.current_thread().name

    names = await asyncio.gather(*(executors.cpu(name) for _ in range(20)))
    assert len(set(names)) == 1


class Ahead(Ends):
    """A receiver that begins its next call where it learns the end of the last, as a client that pipelines."""

    def __init__(self, begin: Callable[["Ahead"], None], left: int) -> None:
        super().__init__()
        self.begin, self.left = begin, left

    def set_result(self, result: object, /) -> None:
        self.ends.append(TURN[0])
        if len(self.ends) < self.left:
            self.begin(self)
            time.sleep(0.002)  # the loop has more to do than the executor, which is ready again


TURN = [0]


async def test_results_that_follow_at_once_leave_the_loop_its_turns(executors: Executors) -> None:
    accounts = AccountExecutors(executors)
    ahead = Ahead(lambda self: accounts.start(ONE, lambda: None, self, writes=False), left=50)
    ahead.begin(ahead)
    while len(ahead.ends) < ahead.left:
        TURN[0] += 1
        await asyncio.sleep(0)
    assert len(set(ahead.ends)) == ahead.left  # each in a turn of its own


async def test_a_slot_given_up_before_a_waiter_takes_it_belongs_to_nobody_else(executors: Executors) -> None:
    """A call asked for in the turn that brings the end of the one before it takes its account's slots, none that are spare."""
    accounts, gate = AccountExecutors(executors), threading.Event()
    first, second, third = Ends(), Ends(), Ends()
    executors.patience = 0.1
    accounts.start(ONE, threading.Event().is_set, first, writes=True)
    wait_for(lambda: executors.io_executor._finished)  # its end is scheduled on the loop, which waits here
    accounts.start(ONE, gate.wait, second, writes=True)
    await wait_on_loop(lambda: first.ends == [False])
    await wait_on_loop(lambda: not accounts._waiting)
    accounts.start(TWO, lambda: "free", third, writes=True)
    await wait_on_loop(lambda: third.ends)
    gate.set()
    await wait_on_loop(lambda: second.ends == [True])
    assert third.ends == ["free"]
    assert not accounts._accounts
