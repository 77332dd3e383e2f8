"""Which notices are due, against a naive walk through the days."""

from datetime import date, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mic_mail.policy.due_notices import USEFUL, DueNotices, NoticeKind, WarnDays, due_notices, warned_keys
from mic_mail.policy.facts import Detail, Draft, Fact, FactKind, MailboxKind, record
from mic_mail.policy.lifecycle import LifecycleSettings, timeline
from mic_mail.policy.states import MailboxState
from unit.policy.instants import local

SETTINGS = LifecycleSettings(password_days=92)
DAYS = WarnDays()


def chain(*told: tuple[FactKind, str, str, dict[str, Detail]]) -> list[Fact]:
    """Facts by kind, effective and recorded."""
    facts: list[Fact] = []
    for kind, effective, recorded, data in told:
        draft = Draft(kind, local(effective), "test", data=data)
        facts.append(record(draft, mailbox_id=7, previous=facts[-1] if facts else None, recorded_at=local(recorded)))
    return facts


def issued(day: str = "2026-01-05") -> tuple[FactKind, str, str, dict[str, Detail]]:
    return FactKind.IMPORTED, day, day, {}


def left(day: str, recorded: str | None = None) -> tuple[FactKind, str, str, dict[str, Detail]]:
    return FactKind.LEFT, day, recorded or day, {"level": "division"}


def look(facts: list[Fact], now: datetime, used: datetime | None = None, days: WarnDays = DAYS) -> DueNotices:
    spans = timeline(MailboxKind.PERSONAL, facts, last_activity=used, settings=SETTINGS)
    return due_notices(7, facts, spans, now, days)


def keys(facts: list[Fact], now: str, used: str | None = None) -> list[str]:
    return sorted(each.key for each in look(facts, local(now), local(used or now)).due)


def test_a_leaver_is_warned() -> None:
    """By each of the days ahead, each from its own 00:00 until the next; then it has happened."""
    facts = chain(issued(), left("2026-08-31"))  # reclaimed at 00:00 on 01/03/2027
    assert keys(facts, "2027-01-29 23:59") == []
    for moment, ahead in (
        ("2027-01-30", 30),
        ("2027-02-14 23:00", 30),
        ("2027-02-15", 14),
        ("2027-02-22", 7),
        ("2027-02-28", 1),
    ):
        assert keys(facts, moment) == [f"reclaim_coming:7:2027-03-01:{ahead}"], moment
    assert keys(facts, "2027-03-01") == ["reclaimed:7:2027-03-01:0"]
    assert keys(facts, "2027-03-07 23:59") == ["reclaimed:7:2027-03-01:0"]
    assert keys(facts, "2027-03-08") == []


def test_a_corrected_day_warns_anew() -> None:
    """The key is that of another day."""
    correction = (FactKind.LEAVE_CORRECTED, "2026-08-20", "2027-02-10", {"level": "division"})
    facts = chain(issued(), left("2026-08-31"), correction)
    assert "reclaim_coming:7:2027-02-21:14" in keys(facts, "2027-02-10 08:00")


def test_a_late_notice_is_warned_of_at_once() -> None:
    """Seven days are left: the warning of seven days comes, the longer ones are past."""
    facts = chain(issued(), left("2026-01-10", "2026-09-10 10:00"))  # waits until 18/09/2026
    assert "reclaim_coming:7:2026-09-18:14" in keys(facts, "2026-09-10 11:00")
    assert "reclaim_coming:7:2026-09-18:7" in keys(facts, "2026-09-11 11:00")


def test_a_lock_that_is_noticed_late_is_news() -> None:
    """Counted from the official day, told when the server learned of it."""
    facts = chain(issued(), left("2026-05-10", "2026-07-20"))
    assert "send_locked:7:2026-05-10:0" in keys(facts, "2026-07-20 01:00")
    assert "send_locked:7:2026-05-10:0" not in keys(facts, "2026-07-28")


def test_who_returns_is_warned_no_more() -> None:
    """Nothing is coming any more."""
    facts = chain(issued(), left("2026-08-31"), (FactKind.RETURNED, "2026-12-01", "2026-12-01", {}))
    assert keys(facts, "2027-02-28") == []


def test_inactivity_is_warned_of() -> None:
    """30, 14, 7 and 1 days before the six months are over; use or an absence moves them."""
    facts = chain(issued())
    assert keys(facts, "2026-11-01", used="2026-05-31 08:00") == ["inactivity:7:2026-12-01:30"]
    assert keys(facts, "2026-11-30", used="2026-05-31 08:00") == ["inactivity:7:2026-12-01:1"]
    assert keys(facts, "2026-12-01", used="2026-05-31 08:00") == ["suspended:7:2026-12-01:0"]
    absent = chain(issued(), (FactKind.ABSENCE, "2026-06-01", "2026-06-01", {"until": "2026-12-31"}))
    assert keys(absent, "2026-11-30", used="2026-05-31 08:00") == []


def test_who_is_suspended_is_not_warned_of_inactivity() -> None:
    """Nobody can do anything against it; the suspension itself was told, by its fact."""
    facts = chain(issued(), (FactKind.SUSPENDED, "2026-11-20", "2026-11-20", {"cause": "c"}))
    assert keys(facts, "2026-11-24", used="2026-05-31 08:00") == ["suspended:7:2"]


def test_a_password_that_grows_old() -> None:
    """14, 7 and 1 days ahead; then that it is due. One that was reset is due at once, and told with the act."""
    facts = chain(issued(), (FactKind.PASSWORD_SET, "2026-05-31", "2026-05-31", {}))  # 92 days end with 31/08
    assert keys(facts, "2026-08-18") == ["password_ending:7:2026-09-01:14"]
    assert keys(facts, "2026-09-01") == ["password_ended:7:2026-09-01:0"]
    reset = chain(issued(), (FactKind.PASSWORD_RESET, "2026-05-31", "2026-05-31", {}))
    assert keys(reset, "2026-06-01") == []


@pytest.mark.parametrize(
    ("kind", "data", "key"),
    [
        (FactKind.RESTORED, {}, "restored:7:2"),
        (FactKind.ABSENCE, {"until": "2027-01-31"}, "absence_noted:7:2"),
        (FactKind.TRANSFERRED, {"unit_from": "A", "unit_to": "B"}, "transferred:7:2"),
    ],
)
def test_what_is_recorded_is_told_once(kind: FactKind, data: dict[str, Detail], key: str) -> None:
    """From its recording, whenever it takes effect, for a week."""
    facts = chain(issued(), (kind, "2026-12-24", "2026-11-24 10:00", data))
    assert keys(facts, "2026-11-24 10:00") == [key]
    assert keys(facts, "2026-12-01 10:00") == []


def test_a_reclaim_silences_the_rest() -> None:
    """A suspension that is to come in a reclaimed mailbox is nobody's business."""
    facts = chain(issued(), left("2026-08-31"))
    assert keys(facts, "2027-03-02", used="2026-09-20") == ["reclaimed:7:2027-03-01:0"]


def test_the_longest_terms_of_all() -> None:
    """A date at the end of the calendar is no error."""
    facts = chain(issued(), left("9999-12-01", "2026-01-06"))
    assert look(facts, local("2026-06-01"), local("2026-06-01")).due == ()


days_ahead = st.lists(st.integers(1, 180), max_size=5, unique=True).map(tuple)
days = st.dates(date(2026, 2, 1), date(2027, 12, 31))


@given(days, st.integers(-40, 400), days_ahead)
def test_against_a_walk_through_the_days(official: date, after: int, ahead: tuple[int, ...]) -> None:
    """A warning is due exactly when its day has come, the mailbox is not reclaimed, and no smaller one's day has."""
    facts = chain(issued(), left(official.isoformat(), "2026-01-06"))
    month, year = (official.month + 5) % 12 + 1, official.year + (official.month + 5) // 12
    last = (
        next(date(year, month, day) for day in range(official.day, 27, -1) if _is_date(year, month, day))
        if official.day > 28
        else date(year, month, official.day)
    )
    reclaimed_on = last + timedelta(days=1)
    today = official + timedelta(days=after)
    now = local(f"{today.isoformat()} 12:00")
    naive = None
    for number in sorted(ahead):
        if today < reclaimed_on and today >= reclaimed_on - timedelta(days=number):
            naive = number
            break
    due = look(facts, now, now, WarnDays(reclaim=ahead)).due
    told = [each.key for each in due if each.kind is NoticeKind.RECLAIM_COMING]
    assert told == ([] if naive is None else [f"reclaim_coming:7:{reclaimed_on.isoformat()}:{naive}"])
    assert set(told) <= set(warned_keys(7, local(reclaimed_on.isoformat())))


def _is_date(year: int, month: int, day: int) -> bool:
    try:
        date(year, month, day)
    except ValueError:
        return False
    return True


@given(days, days, st.integers(0, 500))
def test_nothing_is_due_before_the_next_look(official: date, used: date, minutes: int) -> None:
    """Until the instant that a look names, nothing becomes due that it did not find."""
    facts = chain(issued(), (FactKind.PASSWORD_SET, "2026-01-06", "2026-01-06", {}), left(official.isoformat(), "2026-01-06"))
    last_use = local(used.isoformat())
    now = last_use + timedelta(minutes=minutes)
    first = look(facts, now, last_use)
    until = first.again_at
    if until is None:
        until = now + timedelta(days=4000)
    assert until > now
    between = now + (until - now) / 2
    assert {each.key for each in look(facts, between, last_use).due} <= {each.key for each in first.due}
    assert all(now - each.since < USEFUL or each.span is not None for each in first.due)


@given(days, st.integers(0, 400), st.integers(0, 170))  # before the reclaim, which silences the lock
def test_what_came_since_the_beginning_is_told_however_late(official: date, begun: int, later: int) -> None:
    """A lock that came since the server began to send notices is due at every later look; an older one for a week."""
    facts = chain(issued(), left(official.isoformat(), "2026-01-06"))
    locked = max(local(official.isoformat()), local("2026-01-06"))
    begun_at, now = locked + timedelta(days=begun - 200), locked + timedelta(days=later)
    spans = timeline(MailboxKind.PERSONAL, facts, last_activity=now, settings=SETTINGS)
    lock = [each for each in spans if each.state is MailboxState.SEND_LOCKED and each.holds(now)]
    due = [each for each in due_notices(7, facts, spans, now, DAYS, begun=begun_at).due if each.kind is NoticeKind.SEND_LOCKED]
    assert bool(due) == bool(lock and (begun_at <= locked or now < locked + USEFUL))
    assert all(each.is_late(now) == (later >= 1) for each in due)


def test_what_is_recorded_after_a_fact_from_a_clock_that_was_ahead() -> None:
    """The notice of it goes out now, not when the clock has come to that fact."""
    ahead = FactKind.QUOTA_SET, "2026-08-01", "2027-08-01", {}
    absent = FactKind.ABSENCE, "2026-09-10", "2026-09-01 09:00", {"until": "2026-09-20"}
    corrected = FactKind.LEAVE_CORRECTED, "2026-08-31", "2026-09-01 09:00", {"level": "division"}
    facts, now = chain(issued(), left("2026-08-30"), ahead, absent, corrected), local("2026-09-01 10:00")
    told = {each.kind: each.since for each in look(facts, now, used=now).due}
    assert told == {NoticeKind.ABSENCE_NOTED: local("2026-09-01 09:00"), NoticeKind.SEND_LOCKED: local("2026-09-01 09:00")}
