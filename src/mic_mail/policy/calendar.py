"""Dates and terms as the regulation counts them: local days in Ho Chi Minh City, calendar months.

In: aware instants and dates. Out: aware instants in UTC. Never reads a clock.

A term of months runs from a day that is not itself counted and ends with the end of the day of the same number, or of the
month's last day where there is none (Civil Code 2015, Articles 147-148). An act that follows a term therefore happens at 00:00
of the next day: left on 31/08/2026, six months end with 28/02/2027, reclaimed at 00:00 on 01/03/2027.

No function here fails on a date, however far: a result beyond the calendar stops at its first or last instant. A fact recorded
with an impossible year must not make its mailbox unreadable for every service.
"""

from calendar import monthrange
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import MAXYEAR, UTC, date, datetime, time, timedelta
from enum import StrEnum

from mic_mail.clock import HO_CHI_MINH

ONE_DAY = timedelta(days=1)
SATURDAY = 5

FIRST_INSTANT = datetime.min.replace(tzinfo=UTC)
LAST_INSTANT = datetime.combine(date.max, time.min, HO_CHI_MINH).astimezone(UTC)
"""The edges of the calendar; each has a local time, so both can be shown."""

RestDay = Callable[[date], bool]
"""A callable that returns whether a day is a day of rest; used only with `terms.roll`."""


class TermEnd(StrEnum):
    """Setting `terms.end`: the point of its last day at which a term ends."""

    END_OF_DAY = "end_of_day"
    START_OF_DAY = "start_of_day"


class Period:
    """A fact that holds over [since, until), without end if `until` is None.

    The class is a base of dataclasses with these fields.
    """

    __slots__ = ()
    since: datetime
    until: datetime | None

    def holds(self, instant: datetime) -> bool:
        return self.since <= instant and (self.until is None or instant < self.until)

    def overlaps(self, since: datetime, until: datetime | None) -> bool:
        """Return whether the fact holds at some instant of [since, until)."""
        return (self.until is None or since < self.until) and (until is None or self.since < until)


def edges_after(periods: Iterable[Period], now: datetime) -> set[datetime]:
    """Return the instants after `now` at which one of the periods begins or ends."""
    return {edge for each in periods for edge in (each.since, each.until) if edge is not None and edge > now}


def local_day(instant: datetime) -> date:
    """Return the calendar day in Ho Chi Minh City on which `instant` falls."""
    return min(instant, LAST_INSTANT).astimezone(HO_CHI_MINH).date()


def start_of(day: date) -> datetime:
    """Return 00:00 of `day` in Ho Chi Minh City."""
    if day == date.min:  # its 00:00 there lies in the year before
        return FIRST_INSTANT
    return datetime.combine(day, time.min, HO_CHI_MINH).astimezone(UTC)


def add_days(day: date, days: int) -> date:
    return day + timedelta(days=days) if days <= (date.max - day).days else date.max


def later(instant: datetime, span: timedelta) -> datetime:
    return instant + span if span <= LAST_INSTANT - instant else LAST_INSTANT


def add_months(day: date, months: int) -> date:
    """Return the day of the same number `months` later, or the month's last day if it has no such day."""
    year, month0 = divmod(day.year * 12 + day.month - 1 + months, 12)
    if year > MAXYEAR:
        return date.max
    return date(year, month0 + 1, min(day.day, monthrange(year, month0 + 1)[1]))


def after_last_day(last: date, end: TermEnd, rest_day: RestDay | None = None) -> datetime:
    """Return the first instant after a term whose last day is `last`.

    With `rest_day`, a last day that is a day of rest moves on (`terms.roll`).
    """
    while rest_day is not None and last < date.max and rest_day(last):
        last += ONE_DAY
    return start_of(add_days(last, 1) if end is TermEnd.END_OF_DAY else last)


def after_months(start: date, months: int, end: TermEnd, rest_day: RestDay | None = None) -> datetime:
    """Return the first instant after a term of `months` that began on `start`."""
    return after_last_day(add_months(start, months), end, rest_day)


def after_days(start: date, days: int, end: TermEnd) -> datetime:
    """Return the first instant after a term of `days` that began on `start`."""
    return after_last_day(add_days(start, days), end)


@dataclass(frozen=True, slots=True)
class Year:
    """One year as the government announced it: days off, and weekend days worked instead.

    `provisional`: expected and not announced yet ("dự kiến"); it counts until the announcement replaces it.
    """

    year: int
    off: frozenset[date] = frozenset()
    worked: frozenset[date] = frozenset()
    document: str | None = None
    provisional: bool = False


@dataclass(frozen=True, slots=True)
class WorkingDays:
    """The working days: Monday to Friday, without days off and with weekend days that were swapped in.

    The government announces both lists year by year (Labour Code 2019, Articles 111-112); in a year without them only weekends
    are days of rest.
    """

    off: frozenset[date] = frozenset()
    worked: frozenset[date] = frozenset()
    known: frozenset[int] = frozenset()
    """The years that were entered; in other years a deadline may come too early."""
    expected: frozenset[int] = frozenset()
    """The years in `known` that are not yet officially announced; their deadlines may still move."""

    @classmethod
    def of(cls, years: Iterable[Year]) -> "WorkingDays":
        """Combine years into one calendar; a day named by two of them is worked if either says so."""
        entered = list(years)
        return cls(
            off=frozenset(day for year in entered for day in year.off),
            worked=frozenset(day for year in entered for day in year.worked),
            known=frozenset(year.year for year in entered),
            expected=frozenset(year.year for year in entered if year.provisional),
        )

    def is_rest(self, day: date) -> bool:
        return day not in self.worked and (day in self.off or day.weekday() >= SATURDAY)

    def after(self, start: date, days: int) -> date:
        """Return the last day of a term of working days that began on `start`, which is not counted.

        Reg. 7.3.b, 12.4.
        """
        day = start
        while days > 0 and day < date.max:
            day += ONE_DAY
            days -= not self.is_rest(day)
        return day

    def before(self, end: date, days: int) -> date:
        """Return the last day to announce something so that `days` full working days lie before `end`.

        Reg. 10.3.
        """
        day = end
        while days > 0 and day > date.min:
            day -= ONE_DAY
            days -= not self.is_rest(day)
        return day - ONE_DAY if day > date.min else day

    def deadline(self, received: datetime, days: int, closes: time) -> datetime:
        """Return the end of office hours on the last day of a term of working days that began on receipt.

        Something received on a day of rest, or after office hours, still counts as received on that day, and the day of receipt
        is not counted.
        """
        return at_time(self.after(local_day(received), days), closes)


WEEKENDS = WorkingDays()
"""The calendar used if no year was entered: Monday to Friday are worked."""


def at_time(day: date, moment: time) -> datetime:
    """Return a time of day in Ho Chi Minh City as an instant."""
    return datetime.combine(day, moment, HO_CHI_MINH).astimezone(UTC)
