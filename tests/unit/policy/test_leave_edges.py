"""Reg. 6.4.c and 7.2.a day by day, against a naive re-computation that only walks through a calendar on the wall."""

from datetime import UTC, date, datetime, timedelta

from hypothesis import example, given
from hypothesis import strategies as st

from mic_mail.clock import HO_CHI_MINH
from mic_mail.policy.facts import Draft, Fact, FactKind, MailboxKind, record
from mic_mail.policy.lifecycle import LifecycleSettings, MailboxState, decide

ONE = timedelta(days=1)
ISSUED_ON = date(2024, 1, 2)
SETTINGS = LifecycleSettings()
days = st.dates(date(2025, 1, 1), date(2029, 12, 31))


def noon(day: date) -> datetime:
    return datetime(day.year, day.month, day.day, 12, tzinfo=HO_CHI_MINH).astimezone(UTC)


def midnight(day: date) -> datetime:
    return datetime(day.year, day.month, day.day, tzinfo=HO_CHI_MINH).astimezone(UTC)


def last_of_term(start: date, months: int) -> date:
    """Turn the pages of the calendar `months` times; where the page has no such number, its last one counts."""
    page = start.replace(day=1)
    for _ in range(months):
        page = (page + timedelta(days=31)).replace(day=1)
    found = page
    while found.day < start.day and (found + ONE).month == page.month:
        found += ONE
    return found


def chain(*told: tuple[FactKind, date, date, dict[str, str]]) -> list[Fact]:
    """Effective at 00:00 of a day, recorded at noon of another."""
    facts: list[Fact] = []
    for kind, effective, recorded, data in told:
        draft = Draft(kind, midnight(effective), "test", data=data)
        previous = facts[-1] if facts else None
        facts.append(record(draft, mailbox_id=1, previous=previous, recorded_at=noon(recorded)))
    return facts


def born() -> tuple[FactKind, date, date, dict[str, str]]:
    return FactKind.IMPORTED, ISSUED_ON, ISSUED_ON, {}


def naive_leaver(day: date, official: date, told: date, *, leads: bool, back: date | None) -> MailboxState:
    """By the words of 6.4.c and readings of it: at once or after a month; after 6 or 12 months; a week where told too late."""
    reclaimed_after = last_of_term(official, 12 if leads else 6)
    if reclaimed_after < told:
        reclaimed_after = told + timedelta(days=7)
    if back is not None and back <= reclaimed_after and day >= back:
        return MailboxState.ACTIVE
    if day > reclaimed_after:
        return MailboxState.RECLAIMED
    locked = day > last_of_term(official, 1) if leads else day >= official
    return MailboxState.SEND_LOCKED if locked else MailboxState.ACTIVE


@given(days, st.integers(-60, 500), st.booleans(), st.one_of(st.none(), st.integers(0, 420)), st.integers(-10, 520))
@example(date(2026, 8, 31), 0, False, None, 181)
@example(date(2026, 8, 31), 0, False, None, 182)
@example(date(2028, 1, 31), 0, True, None, 30)
@example(date(2027, 8, 31), 0, False, 182, 182)
def test_every_day_of_a_leaver(official: date, told_after: int, leads: bool, back_after: int | None, after: int) -> None:
    """Late and early notices, both ranks, a return: the state at noon is what the calendar says."""
    told, day = official + timedelta(days=told_after), official + timedelta(days=after)
    back = None if back_after is None else official + timedelta(days=back_after)
    told_facts = [born(), (FactKind.LEFT, official, told, {"level": "department" if leads else "division"})]
    if back is not None:
        told_facts.append((FactKind.RETURNED, back, max(told, back), {}))
    decision = decide(MailboxKind.PERSONAL, chain(*told_facts), noon(day), last_activity=noon(day), settings=SETTINGS)
    assert decision.states == {naive_leaver(day, official, told, leads=leads, back=back)}


@given(days, days, st.booleans(), st.booleans())
def test_a_correction_in_time_counts_alone(official: date, right: date, leads: bool, leads_rightly: bool) -> None:
    """Recorded before either term is over, it leaves nothing of the wrong day or rank, at no later day."""
    told = min(official, right)
    levels = {True: "department", False: "division"}
    corrected = chain(
        born(),
        (FactKind.LEFT, official, told, {"level": levels[leads]}),
        (FactKind.LEAVE_CORRECTED, right, told, {"level": levels[leads_rightly]}),
    )
    for after in (-1, 0, 1, 27, 28, 29, 30, 31, 32, 180, 181, 182, 183, 184, 185, 364, 365, 366, 367):
        day = right + timedelta(days=after)
        decision = decide(MailboxKind.PERSONAL, corrected, noon(day), last_activity=noon(day), settings=SETTINGS)
        assert decision.states == {naive_leaver(day, right, told, leads=leads_rightly, back=None)}, day


@given(days, st.one_of(st.none(), st.tuples(st.integers(0, 170), st.integers(0, 400))), st.integers(0, 700))
def test_every_day_without_use(used: date, absence: tuple[int, int] | None, after: int) -> None:
    """Six months from the last use, or from the last day of an absence that was notified in time: then suspended."""
    day = used + timedelta(days=after)
    facts, counted = [born()], used
    if absence is not None:
        begins = used + timedelta(days=absence[0])
        until = begins + timedelta(days=absence[1])
        facts.append((FactKind.ABSENCE, begins, begins, {"until": until.isoformat()}))
        counted = until
    if absence is not None and day < begins:
        return  # it is not recorded yet
    states = decide(MailboxKind.PERSONAL, chain(*facts), noon(day), last_activity=noon(used), settings=SETTINGS).states
    assert (MailboxState.SUSPENDED in states) == (day > last_of_term(max(counted, used), 6))


def test_one_fact_from_a_clock_that_was_ahead() -> None:
    """A leave that is recorded after it was told in time, whatever an earlier fact says of the day: six months, no more."""
    ahead = FactKind.QUOTA_SET, date(2026, 9, 1), date(2027, 9, 1), {}
    left = FactKind.LEFT, date(2026, 9, 2), date(2026, 9, 2), {"level": "division"}
    facts = chain(born(), ahead, left)
    for day, state in ((date(2027, 3, 2), MailboxState.SEND_LOCKED), (date(2027, 3, 3), MailboxState.RECLAIMED)):
        found = decide(MailboxKind.PERSONAL, facts, noon(day), last_activity=noon(date(2027, 1, 1)), settings=SETTINGS)
        assert state in found.states, day
        assert (MailboxState.RECLAIMED in found.states) is (state is MailboxState.RECLAIMED)


def test_an_absence_that_is_told_after_a_fact_from_a_clock_that_was_ahead() -> None:
    """Reg. 7.2.a: the reason counts from when it was notified."""
    ahead = FactKind.QUOTA_SET, date(2024, 1, 3), date(2026, 1, 3), {}
    absent = FactKind.ABSENCE, date(2024, 3, 1), date(2024, 3, 1), {"until": "2024-12-31"}
    found = decide(
        MailboxKind.PERSONAL, chain(born(), ahead, absent), noon(date(2024, 10, 1)), last_activity=None, settings=SETTINGS
    )
    assert MailboxState.SUSPENDED not in found.states
