"""The page on which workers count their connections: who waits for whom, and for how long."""

import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mic_mail.net.connection_balancer import BRIEF_ENDS, COLUMNS, SLACK, ConnectionCounts, Share, new_page


def tallies(workers: int) -> list[ConnectionCounts]:
    """One page, seen by so many workers."""
    fd = new_page(workers)
    try:
        return [ConnectionCounts(os.dup(fd), row) for row in range(workers)]
    finally:
        os.close(fd)


def take(share: Share, connections: int = 1) -> None:
    for _ in range(connections):
        share.come()
        share.change(+1)


def test_whoever_has_more_waits_and_equals_do_not() -> None:
    """Also after a connection has ended."""
    first, second = (tally.share(0) for tally in tallies(2))
    assert not first.should_wait()
    take(first)
    assert first.should_wait()
    assert not second.should_wait()
    take(second)
    assert not first.should_wait()
    second.change(-1)
    assert first.should_wait()


def test_kinds_are_counted_apart_and_together() -> None:
    """A worker with many idle sessions does not wait with messages; the total counts everything."""
    one, other = tallies(2)
    take(one.share(1), 20)
    assert not one.share(0).should_wait()
    take(other.share(COLUMNS - 1), 3)
    assert (one.total(), other.total()) == (23, 23)


def test_nobody_waits_twice_for_a_worker_that_does_not_come() -> None:
    """It may be busy, draining or dead; it is waited for again as soon as it has come, also where another one was faster."""
    first, second = (tally.share(0) for tally in tallies(2))
    take(first)
    first.give_up()
    assert not first.should_wait()
    take(first)
    assert not first.should_wait()
    second.come()
    assert first.should_wait()


def test_one_that_was_given_up_does_not_hide_another() -> None:
    """Each of the others is waited for on its own account."""
    first, second, third = (tally.share(0) for tally in tallies(3))
    take(second)
    take(first, 3)
    first.give_up()
    take(third)
    assert first.should_wait()


def test_where_connections_pour_in_nearly_as_many_are_enough() -> None:
    """Up to an eighth; with few connections each one counts."""
    first, second = (tally.share(0) for tally in tallies(2))
    take(second, 10 * SLACK)
    take(first, 10 * SLACK + 10)
    assert not first.should_wait()
    take(first)
    assert first.should_wait()


def test_brief_connections_need_not_be_shared_evenly(monkeypatch: pytest.MonkeyPatch) -> None:
    """As many more as have just ended are no reason to wait, until two seconds later; a few that end count for nothing."""
    now = 10.0
    monkeypatch.setattr("mic_mail.net.connection_balancer.time.monotonic_ns", lambda: int(now * 1e9))
    first, _ = (tally.share(0) for tally in tallies(2))
    take(first, BRIEF_ENDS)
    first.change(-(BRIEF_ENDS - 1))
    assert first.should_wait()
    first.change(-1)
    take(first, BRIEF_ENDS)
    assert not first.should_wait()
    take(first)
    assert first.should_wait()
    first.change(-1)
    now = 11.9
    assert not first.should_wait()
    now = 12.0
    assert first.should_wait()


def test_ends_of_long_ago_are_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    """A connection that ends in a later second begins to count anew."""
    now = 10.0
    monkeypatch.setattr("mic_mail.net.connection_balancer.time.monotonic_ns", lambda: int(now * 1e9))
    first, _ = (tally.share(0) for tally in tallies(2))
    take(first, BRIEF_ENDS + 2)
    first.change(-BRIEF_ENDS)
    now = 60.0
    first.change(-1)
    assert first.should_wait()


def test_connections_that_have_come_are_no_ends() -> None:
    """Many that begin at once and stay are shared evenly."""
    first, _ = (tally.share(0) for tally in tallies(2))
    for _ in range(2 * BRIEF_ENDS):
        first.change_coming(+1)
        first.change(+1)
        first.change_coming(-1)
    assert first.open == 2 * BRIEF_ENDS
    assert first.should_wait()


def test_a_successor_begins_with_a_clean_row() -> None:
    """What a killed worker had open is gone with it; the rows of the others stay."""
    fd = new_page(2)
    dead, other = ConnectionCounts(os.dup(fd), 0), ConnectionCounts(os.dup(fd), 1)
    take(dead.share(0), 5)
    take(other.share(0), 2)
    successor = ConnectionCounts(fd, 0)
    assert successor.total() == 2
    assert not successor.share(0).should_wait()
    assert other.share(0).should_wait()


@given(st.integers(1, 5), st.lists(st.integers(0, 1 << 16), max_size=200))
def test_workers_that_obey_it_stay_even(workers: int, looks: list[int]) -> None:
    """Whoever happens to look first: one may always take, and nobody gets more than an eighth and one above another."""
    shares = [tally.share(0) for tally in tallies(workers)]
    for look in looks:
        willing = [share for share in shares if not share.should_wait()]
        take(willing[look % len(willing)])
        fewest = min(share.open for share in shares)
        assert max(share.open for share in shares) <= fewest + fewest // SLACK + 1


def test_who_holds_more_strangers_than_the_others() -> None:
    """More than twice as many, of all kinds together: who has half as many drops its own."""
    one, other = tallies(2)
    one.share(0).change(+5, +5)
    assert not one.others_hold_more_anonymous()
    assert other.others_hold_more_anonymous()
    other.share(1).change(+3, +3)
    assert not other.others_hold_more_anonymous()
    one.share(1).change(+2, +2)
    assert other.others_hold_more_anonymous()
    one.share(0).change(0, -1)
    assert not other.others_hold_more_anonymous()
