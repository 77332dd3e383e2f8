"""Turns at the hash lane: a flood delays its own source, nobody is kept out for good, and the line is bounded."""

import asyncio
import itertools
from functools import partial

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mic_mail.process.fair_queue import FairLine, FairQueue, Waiting
from mic_mail.storage.errors import Unavailable

FLOOD, OTHER, HOME = "192.0.2.0/24", "198.51.100.0/24", "203.0.113.0/24"
LONG = 30.0


class Queue:
    """`FairQueue` with one turn that is taken, and the order in which others get it."""

    def __init__(self, most_waiting: int = 1_000) -> None:
        self.turns = FairQueue(1, most_waiting)
        self.order: list[str] = []
        self.refused: list[str] = []
        self.tasks: list[asyncio.Task[None]] = []

    async def begin(self) -> None:
        await self.turns.take(LONG, "the first")

    async def stand(self, name: str, source: str, suspicion: int = 1, *, ahead: bool = False) -> None:
        async def wait() -> None:
            try:
                await self.turns.take(LONG, source, lambda: suspicion, ahead=ahead)
            except Unavailable:
                self.refused.append(name)
                return
            self.order.append(name)
            self.turns.give_back()

        self.tasks.append(asyncio.create_task(wait()))
        await asyncio.sleep(0)

    async def go(self) -> list[str]:
        self.turns.give_back()
        await asyncio.gather(*self.tasks)
        return self.order


async def test_a_flood_delays_its_own_source() -> None:
    """A hundred guesses from one neighbourhood wait; who comes behind them from elsewhere waits for one of them."""
    queue = Queue()
    await queue.begin()
    for number in range(100):
        await queue.stand(f"guess {number}", FLOOD)
    await queue.stand("honest", HOME)
    await queue.stand("honest too", OTHER)
    order = await queue.go()
    assert order[:4] == ["guess 0", "honest", "honest too", "guess 1"]
    assert order[4:] == [f"guess {number}" for number in range(2, 100)], "each source in the order in which it came"


async def test_who_has_guessed_lets_others_pass() -> None:
    """Forty networks that have sent wrong passwords stand in line; who comes from one that has not is the next but one."""
    queue = Queue()
    await queue.begin()
    for number in range(40):
        await queue.stand("guess", f"192.0.{number}.0/24", 5)
    for number in range(5):
        await queue.stand("honest", f"203.0.{number}.0/24", 1)
    assert (await queue.go())[:6].count("honest") == 5


@pytest.mark.parametrize(("suspicion", "least"), [(2, 25), (3, 15), (6, 2)])
async def test_nobody_is_kept_out_for_good(suspicion: int, least: int) -> None:
    """While there are always new strangers without a stain, others are served too: fewer, the more they have guessed."""
    line = FairLine(1_000)
    of_the_office = set[asyncio.Future[None]]()
    served = 0
    for number in range(100):
        of_the_office.add(line.add("office", lambda: suspicion).turn)
        line.add(f"new {number}", lambda: 1)
        served += getattr(line.next(), "turn", None) in of_the_office
    assert least <= served < 50


async def test_who_is_ahead_goes_first_whoever_waits() -> None:
    """A line that strangers have filled keeps none out who signed in from there before."""
    queue = Queue(most_waiting=3)
    await queue.begin()
    for number in range(3):
        await queue.stand(f"guess {number}", f"{number}", 1)
    await queue.stand("too late", "4", 1)
    await queue.stand("known", "dvbe@mic.gov.vn", 0, ahead=True)
    assert (await queue.go())[0] == "known"
    assert queue.refused == ["too late"]


async def test_a_full_line_drops_who_has_most_of_the_most_suspected() -> None:
    """A flood that fills the line makes room for others, by its newest call; not for itself."""
    queue = Queue(most_waiting=4)
    await queue.begin()
    for number in range(3):
        await queue.stand(f"guess {number}", FLOOD, 4)
    await queue.stand("clerk", OTHER, 1)
    await queue.stand("guess 3", FLOOD, 4)
    await queue.stand("honest", HOME, 1)
    assert set(await queue.go()) == {"clerk", "honest", "guess 0", "guess 1"}
    assert queue.refused == ["guess 3", "guess 2"]


async def test_who_waits_too_long_and_who_hangs_up_leave_the_line() -> None:
    """The turn is handed to the next, and nothing is kept of who is gone."""
    turns = FairQueue(1, 10)
    await turns.take(LONG, FLOOD)
    with pytest.raises(Unavailable):
        await turns.take(0.01, FLOOD)
    assert not turns._others
    leaving = asyncio.create_task(turns.take(LONG, FLOOD))
    staying = asyncio.create_task(turns.take(LONG, FLOOD))
    await asyncio.sleep(0)
    leaving.cancel()
    turns.give_back()  # in the same loop turn as the cancellation
    with pytest.raises(asyncio.CancelledError):
        await leaving
    await staying
    turns.give_back()
    await turns.take(0.01, HOME)
    assert not turns._others
    assert not any(each.sources for each in turns._others._classes)


async def test_who_has_guessed_meanwhile_waits_as_who_guesses() -> None:
    """A network brings three guesses at once, when nothing is known of it: those behind the first are suspected by then."""
    line, guessed = FairLine(10), 0
    guesses = [line.add(FLOOD, lambda: 1 + guessed.bit_length()) for _ in range(3)]
    honest = [line.add(HOME, lambda: 1) for _ in range(3)]
    assert line.next() is guesses[0]
    guessed = 60
    assert [line.next() for _ in range(5)] == [*honest[:2], guesses[1], honest[2], guesses[2]]


async def test_who_was_away_has_saved_up_nothing() -> None:
    """Turns that somebody did not ask for while others were served are not owed."""
    line = FairLine(1_000)
    for number in range(100):
        line.add(f"{number}", lambda: 1)
        line.next()
    of_the_flood = {line.add(FLOOD, lambda: 4).turn for _ in range(50)}
    for number in range(50):
        line.add(f"{number}", lambda: 1)
    assert sum(getattr(line.next(), "turn", None) in of_the_flood for _ in range(32)) <= 5


@settings(max_examples=200, deadline=None)
@given(st.lists(st.tuples(st.sampled_from(["add", "next", "leave"]), st.integers(0, 6), st.integers(0, 12)), max_size=200))
def test_the_line_is_bounded_and_loses_nobody(steps: list[tuple[str, int, int]]) -> None:
    """Whatever comes: as many wait as are said to, at most as many as may, and each leaves once: served, dropped or gone."""

    async def run() -> None:
        line = FairLine(8)
        numbers = itertools.count()
        here: dict[int, Waiting] = {}
        for what, source, suspicion in steps:
            if what == "add":
                try:
                    call = line.add(f"{source}", partial(int, suspicion))
                except Unavailable:
                    assert len(here) == 8
                    continue
                here[next(numbers)] = call
                for number in [number for number, each in here.items() if each.turn.done()]:
                    assert isinstance(here.pop(number).turn.exception(), Unavailable)
            elif what == "next":
                served = line.next()
                assert (served is None) is (not here)
                here = {number: each for number, each in here.items() if each is not served}
            elif here:
                line.leave(here.pop(next(iter(here))))
            assert len(line) == len(here) == sum(len(w) for c in line._classes for w in c.sources.values()) <= 8

    asyncio.run(run())
