"""Whose turn it is among searches: who asks for little goes ahead, and nobody works without end."""

import asyncio
from datetime import timedelta

from conversing import LdapTalk
from ldapwords import codes, search, small_book
from mic_mail.clock import ManualClock
from mic_mail.connection.actions import Action
from mic_mail.ldap.actions import Turn
from mic_mail.ldap.conversation import WORK_SECONDS
from mic_mail.ldap.tree import Tree
from mic_mail.ldap.turns import HALF_LIFE_SECONDS, Turns

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
    """Of a slow machine: each look at it takes ten milliseconds, so each item of a filter some more."""

    def monotonic(self) -> float:
        self.move_to(self.now() + timedelta(milliseconds=10))
        return super().monotonic()


class Recorded(LdapTalk):
    """Remembers turns."""

    def __init__(self) -> None:
        super().__init__(TREE, strangers=True)
        self.turns: list[float] = []

    def result_of(self, action: Action) -> object:
        if isinstance(action, Turn):
            self.turns.append(action.worked)
            return None
        return super().result_of(action)


def test_no_search_works_without_end() -> None:
    """It ends with what was found up to there, long before its time is over; the next one begins anew."""
    talk = Recorded()
    talk.session._talk.clock = Slow(talk.clock.now())
    answer = talk.say(search(2, "(|" + "(cn>=a)" * 200 + ")"))
    assert codes(answer) == [11]
    assert WORK_SECONDS <= sum(talk.turns) < WORK_SECONDS + 0.2
    assert codes(talk.say(search(3, "(cn>=a)"))) == [0]


def test_waiting_is_no_work() -> None:
    """Of two requests with minutes between them, only what they took is counted."""
    talk = Recorded()
    talk.say(search(2))
    talk.clock.move_to(talk.clock.now() + timedelta(minutes=10))
    talk.say(search(3))
    assert talk.turns == []
