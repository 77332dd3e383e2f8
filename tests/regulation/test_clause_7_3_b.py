"""Reg. 7.3.b: one working day after receipt; of everything else the Centre's own target, said to be so."""

from datetime import UTC, date, datetime, time, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mic_mail.clock import HO_CHI_MINH, ManualClock
from mic_mail.config.model import Config
from mic_mail.directory.records import UnitRecord
from mic_mail.policy.calendar import WorkingDays, Year
from mic_mail.policy.requests import (
    NEXT,
    PENDING,
    RULES,
    Filing,
    Item,
    Request,
    RequestChannel,
    RequestKind,
    RequestRefused,
    RequestState,
    check,
    check_step,
    deadline,
    deadline_clause,
    earlier,
)
from mic_mail.services.requests.register import Register
from population import migrated

CLOSES = time(17, 30)
FRIDAY = datetime(2026, 11, 27, 10, tzinfo=HO_CHI_MINH)


def filing(
    kind: RequestKind = RequestKind.RESTORE, received: datetime = FRIDAY, channel: RequestChannel = RequestChannel.TELEPHONE
) -> Filing:
    items = dict.fromkeys((*RULES[kind].needs, *((Item.ADDRESS, Item.POSITION) if kind is RequestKind.CHANGE else ())), "x")
    return Filing(kind, channel, "Nguyễn Thị Hoa", 1, received, "1/CV", None, items)


def request(number: int, state: RequestState, kind: RequestKind = RequestKind.RESTORE, received: datetime = FRIDAY) -> Request:
    return Request(number, filing(kind, received), state, "lan", FRIDAY)


def test_the_next_working_day_at_the_end_of_office_hours() -> None:
    """Received on a Friday: Monday 17:30; on a day of rest, or when that Monday is off, later; the clause is named."""
    monday = datetime(2026, 11, 30, 17, 30, tzinfo=HO_CHI_MINH)
    assert deadline(filing(), WorkingDays(), CLOSES, 3) == monday
    assert deadline(filing(received=FRIDAY + timedelta(hours=13)), WorkingDays(), CLOSES, 3) == monday
    off = WorkingDays(off=frozenset({date(2026, 11, 30)}))
    assert deadline(filing(), off, CLOSES, 3) == monday + timedelta(days=1)
    assert deadline(filing(RequestKind.RESET, channel=RequestChannel.LETTER), WorkingDays(), CLOSES, 3) == monday + timedelta(
        days=2
    )
    assert [kind for kind in RequestKind if deadline_clause(kind)] == [RequestKind.RESTORE]


def test_a_changed_calendar_moves_open_deadlines(tmp_path) -> None:
    """Nothing is stored: the register asks the calendar that is on record whenever it is read."""
    clock = ManualClock(FRIDAY.astimezone(UTC))
    directory = migrated(f"sqlite:///{tmp_path / 'directory.sqlite'}", clock)
    unit = directory.add_unit(UnitRecord(0, "CNTT", "Vụ CNTT"))
    asked = directory.requests.add(
        Filing(RequestKind.RESTORE, RequestChannel.FAX, "Hoa", unit.unit_id, FRIDAY), "lan", clock.now()
    )
    clock.move_to(datetime(2026, 11, 30, 17, 31, tzinfo=HO_CHI_MINH))
    assert [due.request for due in Register(directory, Config(), clock).overdue()] == [asked]
    directory.years.put(Year(2026, off=frozenset({date(2026, 11, 30)})))
    assert Register(directory, Config(), clock).overdue() == []
    clock.move_to(datetime(2026, 12, 1, 17, 31, tzinfo=HO_CHI_MINH))
    register = Register(directory, Config(), clock)
    assert register.due(asked).overdue
    done = directory.requests.step(asked, RequestState.DONE, "lan", clock.now(), result="x")
    assert not register.due(done).overdue
    directory.close()


@given(st.sampled_from(RequestKind), st.datetimes(datetime(2020, 1, 1), datetime(2030, 1, 1)), st.integers(1, 10))
def test_a_deadline_is_a_working_day_after_so_many(kind: RequestKind, received: datetime, target: int) -> None:
    """Counted day by day: exactly so many days of work lie after the day of receipt, the last being the deadline's."""
    at = received.replace(tzinfo=HO_CHI_MINH)
    channel = RequestChannel.LETTER
    due = deadline(filing(kind, at, channel), WorkingDays(), CLOSES, target).astimezone(HO_CHI_MINH)
    days = [at.date() + timedelta(days=n) for n in range(1, (due.date() - at.date()).days + 1)]
    assert sum(day.weekday() < 5 for day in days) == (1 if kind is RequestKind.RESTORE else target)
    assert (due.weekday() < 5, due.time()) == (True, CLOSES)


@pytest.mark.clause("7.3.a")
def test_clause_7_3_a_by_telephone_and_fax_too() -> None:
    """Reg. 7.3.a takes any way, from a person or a unit; other requests are written (6.2), a reset above all (15.2)."""
    for kind in RequestKind:
        for channel in RequestChannel:
            if channel in RULES[kind].channels:
                check(filing(kind, channel=channel))
                continue
            with pytest.raises(RequestRefused) as refused:
                check(filing(kind, channel=channel))
            assert refused.value.clause == ("15.2" if kind is RequestKind.RESET else "6.2")
    assert RULES[RequestKind.RESTORE].channels == frozenset(RequestChannel)
    assert RequestChannel.TELEPHONE not in RULES[RequestKind.RESET].channels


@pytest.mark.clause("6.2")
@given(st.sampled_from(RequestState), st.sampled_from(RequestState), st.sampled_from(RequestKind))
def test_clause_6_2_what_is_settled_stays_settled(now: RequestState, to: RequestState, kind: RequestKind) -> None:
    """Only what waits can move, and a kind whose approval is the act cannot be called done without it."""
    try:
        check_step(request(1, now, kind), to)
    except RequestRefused:
        assert to not in NEXT[now] or (to is RequestState.DONE and RULES[kind].acts)
    else:
        assert now in PENDING


@pytest.mark.clause("5.4.a")
@given(
    st.lists(
        st.tuples(st.integers(0, 3), st.sampled_from(RequestState), st.sampled_from([RequestKind.ISSUE, RequestKind.RESET]))
    )
)
def test_clause_5_4_a_who_was_received_before(rows: list[tuple[int, RequestState, RequestKind]]) -> None:
    """Among open requests for an issue exactly one has nobody before it: the earliest, of equals the first entered."""
    requests = [
        request(number, state, kind, FRIDAY + timedelta(hours=hours))
        for number, (hours, state, kind) in enumerate(rows, start=1)
    ]
    waiting = [r for r in requests if r.kind is RequestKind.ISSUE and r.state in PENDING]
    first = [r for r in waiting if not list(earlier(requests, r.filing.received_at, r.request_id))]
    assert first == sorted(waiting, key=lambda r: (r.filing.received_at, r.request_id))[:1]
    assert Item.NAME in RULES[RequestKind.ISSUE].needs
