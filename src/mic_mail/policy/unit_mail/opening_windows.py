"""Openings of a unit's mailbox, required at least three times each working day (Reg. 12.3.a).

The person in charge of the mailbox has to open it.

In: who opened the mailbox when, who was in charge when, what closed it (not issued yet, suspended, the service down), the
working calendar and the windows of the day. Out: for each working day and window, who opened it first and when, or why nobody
could. Pure.

Openings count by the keeper, by the substitute on the days of a dated substitution, and by a sign-in with the mailbox's own
password, which is in the keeper's hands (12.3.d). Openings by others are listed and do not count. A window during any part of
which the mailbox was closed is explained and not held against anybody.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, time
from enum import StrEnum
from functools import lru_cache

from mic_mail.policy.calendar import ONE_DAY, Period, WorkingDays, at_time, local_day

CLAUSE = "12.3.a"

READING = frozenset({"select", "fetch", "retr"})
"""Log events of IMAP and POP3 that count as reading a mailbox.

`pop3` (a sign-in that retrieves nothing) and `poll` are only a program's check.
"""


class Counts(StrEnum):
    """Setting `unit.openings.counts`: the log events that count as openings."""

    READ = "read"
    POLL = "poll"


@dataclass(frozen=True, slots=True)
class OpeningWindow:
    """A span of each working day, in local time, the end excluded."""

    start: time
    end: time

    def on(self, day: date) -> tuple[datetime, datetime]:
        return _instants(self.start, self.end, day)


@lru_cache(maxsize=4096)  # the same days are requested for each of some hundred mailboxes
def _instants(start: time, end: time, day: date) -> tuple[datetime, datetime]:
    return at_time(day, start), at_time(day, end)


@dataclass(frozen=True, slots=True)
class Opening:
    """One opening of the mailbox by a person."""

    at: datetime
    actor: str
    """The account that signed in."""


@dataclass(frozen=True, slots=True)
class Charge(Period):
    """Somebody is in charge over [since, until): the keeper, or a substitute."""

    holder: str
    since: datetime
    until: datetime | None


class Shut(StrEnum):
    """The reasons for which a mailbox was closed."""

    NOT_ISSUED = "not_issued"
    SUSPENDED = "suspended"
    RECLAIMED = "reclaimed"
    DOWNTIME = "downtime"
    UNREADABLE = "unreadable"
    """The mailbox's record is damaged, so nobody can sign in."""
    UNLOGGED = "unlogged"
    """The log of that time is past its retention, or the server did not run."""


@dataclass(frozen=True, slots=True)
class Closure(Period):
    """The mailbox could not be opened over [since, until)."""

    why: Shut
    since: datetime
    until: datetime | None


class WindowOutcome(StrEnum):
    """The outcome of one window on one day."""

    OPENED = "opened"
    MISSED = "missed"
    SHUT = "shut"
    """The window is explained by a closure."""
    PENDING = "pending"
    """The window is not over yet."""


@dataclass(slots=True)
class Cell:
    """One window on one day."""

    day: date
    window: OpeningWindow
    verdict: WindowOutcome = WindowOutcome.MISSED
    first: Opening | None = None
    """The first opening that counts."""
    others: list[Opening] = field(default_factory=list)
    """The first opening of each person whose openings do not count."""
    shut: Shut | None = None


@dataclass(frozen=True, slots=True)
class Circumstances:
    """The circumstances of one mailbox that decide which openings count."""

    own: frozenset[str]
    """Its own addresses; an opening by one of them was made with its password."""
    charges: Sequence[Charge]
    closures: Sequence[Closure]


def counts(how: str, setting: Counts) -> bool:
    """Return whether a log event is an opening under the setting."""
    return setting is Counts.POLL or how in READING


def working_days(first: date, last: date, calendar: WorkingDays) -> Iterator[date]:
    """Yield the days of a span on which the mailbox has to be opened."""
    day = first
    while day <= last:
        if not calendar.is_rest(day):
            yield day
        day += ONE_DAY


class OpeningTable:
    """The cells of one mailbox over a span; openings may be added in any order."""

    def __init__(self, days: Iterable[date], windows: Sequence[OpeningWindow], facts: Circumstances) -> None:
        self._facts = facts
        self._cells: Mapping[date, list[Cell]] = {day: [Cell(day, window) for window in windows] for day in days}
        self._spans = {day: [window.on(day) for window in windows] for day in self._cells}

    def add(self, opening: Opening) -> None:
        """Add an opening; one outside every window, or on a day of rest, changes nothing."""
        day = local_day(opening.at)
        for cell, (since, until) in zip(self._cells.get(day, ()), self._spans.get(day, ()), strict=True):
            if since <= opening.at < until:
                self._take(cell, opening)

    def _take(self, cell: Cell, opening: Opening) -> None:
        if self._is_in_charge(opening):
            if cell.first is None or opening.at < cell.first.at:
                cell.first = opening
            return
        for place, other in enumerate(cell.others):
            if other.actor == opening.actor:
                if opening.at < other.at:
                    cell.others[place] = opening
                return
        cell.others.append(opening)

    def _is_in_charge(self, opening: Opening) -> bool:
        return opening.actor in self._facts.own or any(
            charge.holder == opening.actor and charge.holds(opening.at) for charge in self._facts.charges
        )

    def cells(self, now: datetime) -> list[Cell]:
        """Return all cells with their verdicts as of `now`, by day and window."""
        found = [cell for day in self._cells.values() for cell in day]
        for cell in found:
            self._judge(cell, now)
        return found

    def _judge(self, cell: Cell, now: datetime) -> None:
        since, until = cell.window.on(cell.day)
        cell.shut = next((each.why for each in self._facts.closures if each.overlaps(since, until)), None)
        if cell.first is not None:
            cell.verdict = WindowOutcome.OPENED
        elif cell.shut is not None:
            cell.verdict = WindowOutcome.SHUT
        else:
            cell.verdict = WindowOutcome.PENDING if now < until else WindowOutcome.MISSED
        cell.others.sort(key=lambda opening: opening.at)
