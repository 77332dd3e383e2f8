"""Whose turn it is among searches: who asks for little goes ahead, and nobody works without end."""

import asyncio
from datetime import timedelta

import pytest

from ldap_client import ask, codes, large_book, search, small_book, text, tlv
from mic_mail.clock import ManualClock
from mic_mail.connection.actions import Action
from mic_mail.ldap.actions import Turn
from mic_mail.ldap.attribute_index import AttributeColumn
from mic_mail.ldap.context import SLICE_SECONDS, WORK_SECONDS
from mic_mail.ldap.dit import Tree
from mic_mail.ldap.search_scheduler import HALF_LIFE_SECONDS, Turns
from session_harness import START, LdapSettings, LdapTalk

TREE = Tree(small_book())


def test_who_used_least_goes_first() -> None:
    """However many connections the other one has, and in whatever order they come; one turn in a round of the loop."""

    async def order() -> list[str]:
        turns, told = Turns(), list[str]()
        turns.charge("greedy", 3.0, 0.0)
        turns.charge("light", 0.1, 0.0)

        async def one(who: str) -> None:
            await turns.take(who, 1.0)
            told.append(who)

        waiting = [asyncio.ensure_future(one(who)) for who in (*["greedy"] * 50, "light", "new")]
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert told == []
        await asyncio.gather(*waiting)
        return told

    assert asyncio.run(order()) == ["new", "light", *["greedy"] * 50]


class Counted(Turns):
    """Counts its rounds."""

    def __init__(self) -> None:
        super().__init__()
        self.rounds = 0

    def _give(self) -> None:
        self.rounds += 1
        super()._give()


def test_one_has_a_turn_in_a_round_and_without_anybody_there_is_none() -> None:
    """Between any two turns the loop goes round; who used alike goes by who came first; nothing turns while nobody waits."""

    async def rounds() -> tuple[list[int], list[tuple[int, int]], int]:
        turns, told = Counted(), list[tuple[int, int]]()

        async def one(number: int) -> None:
            await turns.take("same", 0.0)
            told.append((number, turns.rounds))

        await asyncio.gather(*(one(number) for number in range(20)))
        first = list(told)
        for _ in range(50):
            await asyncio.sleep(0)
        idle = turns.rounds
        await asyncio.wait_for(one(20), 10)
        return [number for number, _ in first], first, idle

    order, told, idle = asyncio.run(rounds())
    assert order == list(range(20))
    assert len({turn for _, turn in told}) == 20
    assert idle == 20


def test_who_does_not_wait_any_more_takes_nobodys_turn() -> None:
    async def told() -> bool:
        turns = Turns()
        given_up = asyncio.ensure_future(turns.take("a", 0.0))
        other = asyncio.ensure_future(turns.take("b", 0.0))
        await asyncio.sleep(0)
        given_up.cancel()
        await asyncio.wait_for(other, 10)
        return True

    assert asyncio.run(told())


def test_what_was_used_is_forgotten() -> None:
    """By and by, and of the many who used least at once."""
    turns = Turns()
    turns.charge("a", 2.0, 10.0)
    assert turns.used("a", 10.0 + HALF_LIFE_SECONDS) == 1.0
    turns.charge("a", 1.0, 10.0 + HALF_LIFE_SECONDS)
    assert turns.used("a", 10.0 + HALF_LIFE_SECONDS) == 2.0
    for number in range(10_000):
        turns.charge(number, 0.01, 20.0)
    assert turns.used("a", 20.0) > 0.9
    assert sum(turns.used(number, 20.0) > 0 for number in range(10_000)) < 5_000


class Slow(ManualClock):
    """Of a slow machine: each look at it takes ten milliseconds, or so many, so each item of a filter some more."""

    step = timedelta(milliseconds=10)

    def monotonic(self) -> float:
        self.move_to(self.now() + self.step)
        return super().monotonic()


class Recorded(LdapTalk):
    """Remembers turns."""

    def __init__(self, clock: ManualClock | None = None, tree: Tree = TREE) -> None:
        super().__init__(tree, LdapSettings(entries=100_000), strangers=True)
        self.session._context.clock = clock or self.clock
        self.turns: list[float] = []

    def result_of(self, action: Action) -> object:
        if isinstance(action, Turn):
            self.turns.append(action.worked)
            return None
        return super().result_of(action)


def test_no_search_works_without_end() -> None:
    """It ends with what was found up to there, long before its time is over; the next one begins anew."""
    ctx = Recorded(Slow(START))
    answer = ctx.say(search(2, "(|" + "(cn>=a)" * 200 + ")"))
    assert codes(answer) == [11]
    assert WORK_SECONDS <= sum(ctx.turns) < WORK_SECONDS + 0.2
    assert codes(ctx.say(search(3, "(cn>=a)"))) == [0]


WHO_AM_I = ask(2, tlv(0x77, text("1.3.6.1.4.1.4203.1.11.3", 0x80)))


@pytest.mark.parametrize("request_", [search(2, "(uid=dvbe)"), WHO_AM_I], ids=["searches", "others"])
@pytest.mark.parametrize("at_once", [True, False])
def test_what_many_small_requests_take_is_counted_once(request_: bytes, at_once: bool) -> None:
    """Each far below a slice, together far above: others have their turn in between, and what was counted is what they took."""
    clock = Slow(START)
    clock.step = timedelta(microseconds=20)
    ctx = Recorded(clock)
    for said in [request_ * 1000] if at_once else [request_] * 1000:
        ctx.say(said)
    took = (clock.now() - START).total_seconds()
    assert len(ctx.turns) > 10
    assert all(turn < 2 * SLICE_SECONDS for turn in ctx.turns)
    assert took / 2 < sum(ctx.turns) <= took


def test_a_long_answer_has_many_turns() -> None:
    """Others have theirs behind every few pieces of it, and not when all of it is sent."""
    clock = Slow(START)
    clock.step = timedelta(milliseconds=1)
    ctx = Recorded(clock, Tree(large_book()))
    assert codes(ctx.say(search(2))) == [0]
    assert len(ctx.turns) > 20
    assert max(ctx.turns) < 5 * SLICE_SECONDS


def test_waiting_is_no_work() -> None:
    """Of two requests with minutes between them, only what they took is counted."""
    ctx = Recorded()
    ctx.say(search(2))
    ctx.clock.move_to(ctx.clock.now() + timedelta(minutes=10))
    ctx.say(search(3))
    assert ctx.turns == []


def test_a_filter_of_many_long_pieces_leaves_others_their_turn() -> None:
    """Each is made comparable before anything is looked for, stretch by stretch."""
    slices = list(AttributeColumn({"nguyen van a": [0]}, 1).containing("", ["\u0301\u0327a" * 800] * 15, ""))
    assert len(slices) >= 15
