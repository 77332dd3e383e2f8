"""Turns, connections at once, dead destinations and pauses, on a clock of the test's own."""

import random
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cost_growth import calls_of
from mic_mail.queue.scheduler import (  # fmt: skip
    FIRST_PAUSE,
    FIRST_SILENCE,
    HOUR,
    LONGEST_PAUSE,
    LONGEST_SILENCE,
    MOST_REMEMBERED,
    REMEMBERED,
    SPREAD,
    TROUBLES,
    DeliveryJob,
    End,
    Schedule,
    pause,
)


def middle() -> float:
    return 0.5


def job(number: int, domain: str = "a.example") -> DeliveryJob:
    return DeliveryJob(f"E{number}", domain, (0,))


def filled(*jobs: DeliveryJob, most: int = 20, at_once: int = 200) -> Schedule:
    schedule = Schedule(most=most, at_once=at_once, random=middle)
    for each in jobs:
        schedule.add(each, 0.0)
    return schedule


def begun(schedule: Schedule, now: float = 0.0) -> list[DeliveryJob]:
    """All that may begin now."""
    return list(iter(lambda: schedule.next(now), None))


def test_the_pauses_of_a_message() -> None:
    """They grow, and stop growing; spread by a tenth."""
    assert [pause(attempts, middle) / 60 for attempts in range(1, 9)] == [5, 10, 20, 40, 80, 160, 240, 240]
    assert pause(1, lambda: 0.0) == pytest.approx(FIRST_PAUSE * (1 - SPREAD))
    assert pause(10_000, lambda: 1.0) == pytest.approx(LONGEST_PAUSE * (1 + SPREAD))


def test_in_turns_among_destinations() -> None:
    """A thousand to one keep the one to another waiting for one try."""
    schedule = filled(*(job(number) for number in range(1000)), job(0, "b.example"), at_once=1)
    order = []
    for _ in range(4):
        (one,) = begun(schedule)
        order.append(one.domain)
        schedule.done(one, End.SERVED, 0.0)
    assert order == ["a.example", "b.example", "a.example", "a.example"]


def test_within_a_destination_the_first_that_is_due() -> None:
    schedule = Schedule(random=middle)
    for number, due in ((1, 30.0), (2, 10.0), (3, 10.0), (4, 20.0)):
        schedule.add(job(number), due)
    assert begun(schedule, 5.0) == []
    assert schedule.due() == 10.0
    (first,) = begun(schedule, 60.0)
    schedule.done(first, End.SERVED, 60.0)
    assert [first.entry_id, *(each.entry_id for each in begun(schedule, 60.0))] == ["E2", "E3", "E4"]


def test_more_at_once_to_who_serves_well_and_no_more_than_is_allowed() -> None:
    schedule = filled(*(job(number) for number in range(2000)), most=5)
    running, seen = begun(schedule), [0]
    while running:
        seen.append(len(running))
        schedule.done(running.pop(0), End.SERVED, 0.0)
        running += begun(schedule)
    assert seen[1] == 1
    assert max(seen) == 5


def test_a_limit_that_changes() -> None:
    """Fewer at once from then on, though more are running; and more again."""
    schedule = filled(*(job(number) for number in range(2000)), most=8)
    running = begun(schedule)
    for most, wanted in ((8, 8), (3, 3), (6, 6)):
        schedule.limit(most)
        for _ in range(100):
            schedule.done(running.pop(0), End.SERVED, 0.0)
            running += begun(schedule)
        assert len(running) == wanted


def test_never_more_than_all_at_once() -> None:
    schedule = filled(*(job(number, f"d{number}.example") for number in range(50)), at_once=7)
    assert len(begun(schedule)) == 7
    assert schedule.running == 7


def test_a_dead_destination_is_left_alone() -> None:
    """After some troubles nothing is tried; then one asks for all, with longer and longer silences, until it serves again."""
    schedule, now, tries, silences = filled(*(job(number) for number in range(100))), 0.0, 0, []
    for _ in range(12):
        while running := begun(schedule, now):
            assert len(running) == 1
            for each in running:
                tries += 1
                schedule.done(each, End.TROUBLE, now)
                schedule.add(each, now)
        due = schedule.silent_until("a.example", now)
        silences.append(due - now)
        now = due
    assert tries <= TROUBLES + 1 + 12
    assert silences[0] == FIRST_SILENCE
    assert silences == sorted(silences)
    assert silences[-1] == LONGEST_SILENCE
    (one,) = begun(schedule, now)
    schedule.done(one, End.SERVED, now)
    assert len(begun(schedule, now)) >= 1
    assert schedule.silent_until("a.example", now) == now


def test_others_do_not_wait_for_the_dead() -> None:
    schedule = filled(*(job(n, "dead.example") for n in range(50)), *(job(n, "live.example") for n in range(50)))
    now, delivered = 0.0, 0
    while delivered < 50:
        running = begun(schedule, now)
        assert running, "the living are served without a pause"
        for each in running:
            is_dead = each.domain == "dead.example"
            schedule.done(each, End.TROUBLE if is_dead else End.SERVED, now)
            delivered += not is_dead
    assert schedule.silent_until("dead.example", now) > now


def test_an_entry_that_is_held() -> None:
    """Nothing of it begins, wherever it waited."""
    schedule = filled(*(job(number) for number in range(5)), DeliveryJob("E1", "b.example", (1, 2)))
    schedule.add(job(1), 99.0)
    first = schedule.next(0.0)
    assert first is not None
    gone = schedule.remove("E1")
    assert {(each.entry_id, each.domain) for each in gone} == {("E1", "a.example"), ("E1", "b.example")}
    left = begun(schedule, 100.0)
    assert "E1" not in {each.entry_id for each in left}


def silent(*, at_once: int = 200) -> tuple[Schedule, float]:
    """One whose only destination is silent while four jobs wait there, and when the silence ends."""
    schedule = filled(*(job(number) for number in range(4)), at_once=at_once)
    for _ in range(TROUBLES):
        (one,) = begun(schedule)
        schedule.done(one, End.TROUBLE, 0.0)
        schedule.add(one, 0.0)
        assert schedule.running == 0
    assert begun(schedule) == []
    return schedule, schedule.silent_until("a.example", 0.0)


def test_all_is_removed_while_a_destination_is_silent() -> None:
    """And the silence ends while nothing may begin: others go on, and so does it."""
    schedule, until = silent(at_once=1)
    schedule.add(job(9, "b.example"), 0.0)
    (other,) = begun(schedule)
    schedule.remove("E0", "E1", "E2", "E3")
    assert schedule.next(until) is None, "the only place is taken"
    schedule.done(other, End.SERVED, until)
    assert begun(schedule, until) == []
    schedule.add(job(5), until)
    schedule.add(job(6, "c.example"), until)
    (one,) = begun(schedule, until)
    schedule.done(one, End.SERVED, until)
    assert len(begun(schedule, until)) == 1


def test_messages_that_come_one_by_one_to_a_dead_destination() -> None:
    """The third in a row that finds nobody there is the last for a while; one that is served begins anew."""
    schedule, now = Schedule(random=middle), 0.0
    ends = [End.TROUBLE, End.TROUBLE, End.SERVED, *([End.TROUBLE] * TROUBLES)]
    for number, end in enumerate(ends):
        schedule.add(job(number), now)
        (one,) = begun(schedule, now)
        now += 60.0
        schedule.done(one, end, now)
    schedule.add(job(99), now)
    assert begun(schedule, now) == []
    assert schedule.silent_until("a.example", now) == now + FIRST_SILENCE
    (one,) = begun(schedule, now + FIRST_SILENCE)
    schedule.done(one, End.TROUBLE, now + FIRST_SILENCE)
    assert schedule.silent_until("a.example", now + FIRST_SILENCE) == now + FIRST_SILENCE + 2 * FIRST_SILENCE


def test_troubles_are_forgotten() -> None:
    """After a while, and where too many had some."""
    schedule = Schedule(random=middle)
    assert REMEMBERED > LONGEST_SILENCE * (1 + SPREAD)
    for number in range(MOST_REMEMBERED + 5):
        schedule.add(job(number, f"d{number}.example"), 0.0)
        (one,) = begun(schedule)
        schedule.done(one, End.TROUBLE, 0.0)
    assert schedule.next(REMEMBERED / 2) is None
    assert len(schedule._destinations) == len(schedule._troubled) == MOST_REMEMBERED
    assert schedule.next(REMEMBERED) is None
    assert not schedule._destinations
    assert not schedule._troubled


@given(st.integers(0, 1 << 30), st.integers(1, 12), st.integers(1, 60), st.integers(1, 30), st.integers(1, 8))
def test_everything_is_tried_until_it_is_delivered(seed: int, domains: int, jobs: int, at_once: int, most: int) -> None:
    """Whatever fails in between: each job is given out once at a time, within the bounds, and all come to their end."""
    rng = random.Random(seed)
    schedule = Schedule(most=most, at_once=at_once, random=rng.random)
    attempts: Counter[str] = Counter()
    for number in range(jobs):
        schedule.add(DeliveryJob(f"E{number}", f"d{rng.randrange(domains)}", (0,)), rng.random() * 100)
    running: list[DeliveryJob] = []
    now, delivered = 0.0, set()
    for _ in range(100_000):
        if rng.random() < 0.2:  # somebody decides something: what waits is planned anew
            for gone in schedule.remove(*(f"E{rng.randrange(jobs)}" for _ in range(3))):
                schedule.add(gone, now + rng.choice([0.0, 1000.0]))
        running += begun(schedule, now)
        assert len({each.entry_id for each in running}) == len(running) <= at_once
        assert max(Counter(each.domain for each in running).values(), default=0) <= max(most, 1)
        if running:
            one = running.pop(rng.randrange(len(running)))
            attempts[one.entry_id] += 1
            luck = rng.random()
            schedule.done(one, End.TROUBLE if luck < 0.4 else End.SERVED, now)
            if luck < 0.6:
                schedule.add(one, now + pause(attempts[one.entry_id], rng.random))
            else:
                delivered.add(one.entry_id)
        elif (due := schedule.due()) is not None:
            now = max(now, due)
        else:
            break
    assert len(delivered) == jobs
    assert len(schedule) == schedule.running == 0
    assert now < 400 * HOUR


def test_the_dead_cost_nothing_while_others_are_served() -> None:
    """A job of a living destination takes as many steps beside a thousand silent ones as beside a hundred."""

    def steps(silent: int) -> int:
        schedule = Schedule(random=lambda: 0.5)
        for number in range(silent):
            for attempt in range(TROUBLES + 1):
                schedule.add(DeliveryJob(f"{number}.{attempt}", f"dead{number}", (0,)), 0.0)
            for _ in range(TROUBLES):
                job = schedule.next(0.0)
                assert job is not None
                schedule.done(job, End.TROUBLE, 0.0)
        for number in range(101):
            schedule.add(DeliveryJob(f"l{number}", "living", (0,)), 1.0)

        def serve(jobs: int = 100) -> None:
            for _ in range(jobs):
                job = schedule.next(1.0)
                assert job is not None
                assert job.domain == "living"
                schedule.done(job, End.SERVED, 1.0)

        serve(1)  # which takes each dead one off the turns
        return calls_of(serve)

    assert steps(1_000) == steps(100)
