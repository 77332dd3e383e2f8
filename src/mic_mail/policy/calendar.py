"""Dates and terms as the regulation counts them: local days of Ho Chi Minh City, calendar months, ends of days.

In: aware instants and dates. Out: aware instants in UTC. Never reads a clock.

A term of months runs from a day that is not itself counted and ends with the end of the day of the same number, or of the
month's last day where there is none (Civil Code 2015, Articles 147-148). An act that follows a term therefore happens at
00:00 of the next day: left on 31/08/2026, six months end with 28/02/2027, reclaimed at 00:00 on 01/03/2027.
"""

from calendar import monthrange
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from enum import StrEnum

from mic_mail.clock import HO_CHI_MINH

ONE_DAY = timedelta(days=1)
SATURDAY = 5

RestDay = Callable[[date], bool]
"""Whether nobody works on that day; asked only where `terms.roll` moves the end of a term."""


class TermEnd(StrEnum):
    """Setting `terms.end`: where on its last day a term ends."""

    END_OF_DAY = "end_of_day"
    START_OF_DAY = "start_of_day"


def local_day(instant: datetime) -> date:
    """The calendar day in Ho Chi Minh City on which `instant` falls."""
    return instant.astimezone(HO_CHI_MINH).date()


def start_of(day: date) -> datetime:
    """00:00 of `day` in Ho Chi Minh City."""
    return datetime.combine(day, time.min, HO_CHI_MINH).astimezone(UTC)


def add_months(day: date, months: int) -> date:
    """The day of the same number `months` later, or the last day of a month that has no such day."""
    year, month0 = divmod(day.year * 12 + day.month - 1 + months, 12)
    return date(year, month0 + 1, min(day.day, monthrange(year, month0 + 1)[1]))


def after_last_day(last: date, end: TermEnd, rest_day: RestDay | None = None) -> datetime:
    """The first instant after a term whose last day is `last`; with `rest_day`, a last day of rest moves on (`terms.roll`)."""
    while rest_day is not None and rest_day(last):
        last += ONE_DAY
    return start_of(last + ONE_DAY if end is TermEnd.END_OF_DAY else last)


def after_months(start: date, months: int, end: TermEnd, rest_day: RestDay | None = None) -> datetime:
    """The first instant after a term of `months` that began on `start`."""
    return after_last_day(add_months(start, months), end, rest_day)


def after_days(start: date, days: int, end: TermEnd) -> datetime:
    """The first instant after a term of `days` that began on `start`."""
    return after_last_day(start + timedelta(days=days), end)


@dataclass(frozen=True, slots=True)
class WorkingDays:
    """The days of work: Monday to Friday, but for days that are off, and with weekend days that were swapped in.

    Both lists are what the government announces year by year (Labour Code 2019, Articles 111-112); without them only weekends
    are days of rest.
    """

    off: frozenset[date] = frozenset()
    worked: frozenset[date] = frozenset()

    def is_rest(self, day: date) -> bool:
        return day not in self.worked and (day in self.off or day.weekday() >= SATURDAY)

    def after(self, start: date, days: int) -> date:
        """The last day of a term of working days that began on `start`, which is not counted (Reg. 7.3.b, 12.4)."""
        day = start
        while days > 0:
            day += ONE_DAY
            days -= not self.is_rest(day)
        return day
