"""Months and working days as the regulation counts them."""

from datetime import UTC, date, datetime, time, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mic_mail.clock import HO_CHI_MINH
from mic_mail.policy.calendar import (
    LAST_INSTANT,
    ONE_DAY,
    TermEnd,
    WorkingDays,
    Year,
    add_months,
    after_days,
    after_months,
    later,
    local_day,
    start_of,
)

# As announced: the holidays around each case, and the working Saturdays that were swapped in.
ANNOUNCED = WorkingDays(
    off=frozenset(
        [
            date(2025, 5, 1),
            date(2025, 5, 2),
            date(2026, 1, 1),
            date(2026, 1, 2),
            date(2026, 8, 31),
            date(2026, 9, 1),
            date(2026, 9, 2),
        ]
        + [date(2026, 2, day) for day in range(16, 21)]
    ),
    worked=frozenset([date(2025, 4, 26), date(2026, 1, 10), date(2026, 8, 22)]),
)


@pytest.mark.parametrize(
    ("received", "days", "due"),
    [
        (date(2025, 12, 31), 1, date(2026, 1, 5)),
        (date(2025, 4, 25), 1, date(2025, 4, 26)),
        (date(2026, 2, 13), 1, date(2026, 2, 23)),
        (date(2026, 2, 13), 2, date(2026, 2, 24)),
        (date(2026, 8, 28), 2, date(2026, 9, 4)),
        (date(2026, 1, 9), 1, date(2026, 1, 10)),
        (date(2026, 1, 9), 0, date(2026, 1, 9)),
    ],
)
def test_working_days(received, days, due):
    """Weekends, Tết, 2 September and swapped Saturdays count as announced."""
    assert ANNOUNCED.after(received, days) == due


@pytest.mark.parametrize(
    ("stop", "announced"),
    [
        (date(2026, 2, 24), date(2026, 2, 11)),
        (date(2026, 1, 12), date(2026, 1, 7)),
        (date(2026, 11, 26), date(2026, 11, 22)),
        (date(2026, 11, 29), date(2026, 11, 24)),
    ],
)
def test_full_working_days_before(stop, announced):
    """Reg. 10.3: three full working days lie between, the day of notice not counted; a rest day is as good as its eve."""
    assert ANNOUNCED.before(stop, 3) == announced
    assert sum(not ANNOUNCED.is_rest(announced + ONE_DAY * n) for n in range(1, (stop - announced).days)) == 3


@pytest.mark.parametrize(
    ("received", "due"),
    [
        ("2026-02-13 16:59", "2026-02-23 17:30"),
        ("2026-02-13 23:59", "2026-02-23 17:30"),
        ("2026-02-14 08:00", "2026-02-23 17:30"),
        ("2026-01-09 00:00", "2026-01-10 17:30"),
    ],
)
def test_a_deadline_is_the_end_of_office_hours(received, due):
    """Reg. 7.3.b: whenever on a day it came, the term is over when the office closes on its last day."""
    came, ends = (datetime.fromisoformat(text).replace(tzinfo=HO_CHI_MINH) for text in (received, due))
    assert ANNOUNCED.deadline(came, 1, time(17, 30)) == ends


def test_years_add_up():
    """What each year announced, and which years are known."""
    years = [Year(2026, frozenset({date(2026, 1, 2)}), frozenset({date(2026, 1, 10)})), Year(2027, provisional=True)]
    days = WorkingDays.of(years)
    assert days.known == {2026, 2027}
    assert days.is_rest(date(2026, 1, 2))
    assert not days.is_rest(date(2026, 1, 10))


@pytest.mark.parametrize(
    ("start", "months", "end"),
    [
        (date(2026, 8, 31), 6, date(2027, 2, 28)),
        (date(2027, 8, 31), 6, date(2028, 2, 29)),
        (date(2026, 12, 15), 1, date(2027, 1, 15)),
        (date(2024, 2, 29), 12, date(2025, 2, 28)),
        (date(2026, 1, 31), 1, date(2026, 2, 28)),
    ],
)
def test_months(start, months, end):
    """A month without the day ends the term with its own last day."""
    assert add_months(start, months) == end


@given(st.dates(date(2000, 1, 1), date(2100, 1, 1)), st.integers(0, 36))
def test_terms_of_months(start, months):
    """A term ends in the right month, never after its day, and the act follows at 00:00 of the next day."""
    end = add_months(start, months)
    assert (end.year - start.year) * 12 + end.month - start.month == months
    assert end.day == start.day or (end.day < start.day and (end + ONE_DAY).day == 1)
    assert after_months(start, months, TermEnd.END_OF_DAY) == start_of(end + ONE_DAY)
    assert local_day(start_of(end)) == end


far = st.dates() | st.dates(max_value=date(1, 3, 1)) | st.dates(min_value=date(9998, 6, 1))


@given(far, far, st.integers(0, 36), st.sampled_from(TermEnd), st.sampled_from([None, ANNOUNCED.is_rest]))
def test_no_date_is_too_far(one, other, months, end, rest_day):
    """From the first day of the calendar to its last nothing fails, no term ends before it began, and order is kept."""
    first, second = sorted((one, other))
    assert start_of(first) <= start_of(second)
    assert after_months(first, months, end, rest_day) <= after_months(second, months, end, rest_day)
    assert start_of(first) <= after_months(first, months, end, rest_day) <= LAST_INSTANT
    assert start_of(first) <= after_days(first, months, end) <= LAST_INSTANT
    assert first <= add_months(first, months)
    assert first <= ANNOUNCED.after(first, 3)
    assert local_day(start_of(first)) == first
    assert start_of(first) <= later(start_of(first), timedelta(days=months)) <= LAST_INSTANT
    assert local_day(datetime.combine(second, datetime.max.time(), UTC)) >= second
