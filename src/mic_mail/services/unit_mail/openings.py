"""The openings of unit mailboxes in the windows of working days (Reg. 12.3.a), from log and record.

In: the log's folder (`mailbox_opened`, found by its index), the directory, a span of days. Out: for each mailbox its
cells (`policy.unit_mail.opening_windows`). Only the first opening of each person in a window is held, so memory grows with
mailboxes and days, not events. Blocking; for commands and the io executor.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta
from itertools import chain, groupby, pairwise
from pathlib import Path

from mic_mail.clock import Clock
from mic_mail.config.model import Config
from mic_mail.directory.instants import to_microseconds
from mic_mail.directory.snapshot import Entry, Snapshot
from mic_mail.i18n.notices import unit_mail
from mic_mail.log.files import first_instant, log_files
from mic_mail.log.query import Query
from mic_mail.log.search import LogSearch
from mic_mail.policy.calendar import FIRST_INSTANT, ONE_DAY, local_day
from mic_mail.policy.date_ranges import DateRange
from mic_mail.policy.downtime import Downtime
from mic_mail.policy.facts import MailboxKind
from mic_mail.policy.lifecycle import FactsUnreadable
from mic_mail.policy.states import FINAL, MailboxState
from mic_mail.policy.unit_mail import delegation
from mic_mail.policy.unit_mail.delegation import Part
from mic_mail.policy.unit_mail.opening_windows import (
    Cell,
    Charge,
    Circumstances,
    Closure,
    Counts,
    Opening,
    OpeningTable,
    OpeningWindow,
    Shut,
    WindowOutcome,
    counts,
    working_days,
)
from mic_mail.services.settings import lifecycle_settings
from mic_mail.services.unit_mail.weekly_reminders import Prepare, Reminder, Round

EVENT = "mailbox_opened"
DUTY = "openings"
_SHUT = {
    MailboxState.NOT_ISSUED: Shut.NOT_ISSUED,
    MailboxState.SUSPENDED: Shut.SUSPENDED,
    MailboxState.RECLAIMED: Shut.RECLAIMED,
}


@dataclass(frozen=True, slots=True)
class Attended:
    """The openings of one mailbox over a span."""

    entry: Entry
    charges: tuple[Charge, ...]
    """Keepers and substitutes, each under the present address."""
    cells: tuple[Cell, ...]

    def count(self, verdict: WindowOutcome) -> int:
        return sum(cell.verdict is verdict for cell in self.cells)

    @property
    def missed(self) -> list[Cell]:
        return [cell for cell in self.cells if cell.verdict is WindowOutcome.MISSED]

    def in_charge(self, instant: datetime) -> list[str]:
        """Return the addresses of the keeper and the substitute."""
        return list(dict.fromkeys(charge.holder for charge in self.charges if charge.holds(instant)))


class Openings:
    def __init__(self, snapshot: Snapshot, downtimes: Iterable[Downtime], config: Config, clock: Clock) -> None:
        self._snapshot = snapshot
        self._downtimes = [each for each in downtimes if each.cancelled_at is None]
        self._config = config
        self._now = clock.now()
        self._unlogged = list(_unlogged(config.log_dir, self._now))
        openings = config.unit.openings
        self._counts = Counts(openings.counts)
        self._windows = tuple(OpeningWindow(window.start, window.end) for window in openings.windows)

    def of(self, entries: Sequence[Entry], span: DateRange) -> list[Attended]:
        """Return the openings of each mailbox over the span, which ends today at the latest; in their order."""
        days = list(working_days(span.first, span.last, self._snapshot.working_days))
        known: dict[str, OpeningTable] = {}
        found: list[tuple[Entry, tuple[Charge, ...], OpeningTable]] = []
        for entry in entries:
            charges = self._charges(entry)
            closures = self._closures(entry)
            circumstances = Circumstances(frozenset(entry.addresses), list(chain.from_iterable(charges)), closures)
            tally = OpeningTable(days, self._windows, circumstances)
            found.append((entry, tuple(present for present, *_ in charges), tally))
            known.update(dict.fromkeys(entry.addresses, tally))
        for address, opening in self._logged(entries, span):
            if (tally_of := known.get(address)) is not None:
                tally_of.add(opening)
        return [Attended(entry, charges, tuple(tally.cells(self._now))) for entry, charges, tally in found]

    def _logged(self, entries: Sequence[Entry], span: DateRange) -> Iterator[tuple[str, Opening]]:
        """Yield the openings that count by the setting, in any order."""
        since_us, until_us = map(to_microseconds, span.instants)
        names: Sequence[str | None] = entries[0].addresses if len(entries) == 1 else (None,)
        for name in names if entries else ():
            query = Query(mailbox=name, event=EVENT, since_us=since_us, until_us=until_us)
            for at_us, fields in LogSearch(self._config.log_dir).each(query):
                if counts(str(fields.get("how")), self._counts):
                    at = datetime.fromtimestamp(at_us // 1_000_000, UTC)
                    yield str(fields.get("mailbox")), Opening(at, str(fields.get("actor")))

    def _charges(self, entry: Entry) -> list[list[Charge]]:
        """Return keepers and substitutes while they serve in the unit, each under all addresses, the present one first."""
        found = []
        for grant in delegation.grants(entry.kind, entry.facts):
            if grant.part is Part.MEMBER:
                continue
            person = self._snapshot.entry(self._snapshot.own.get(grant.person_id, 0))
            names = dict.fromkeys((*(person.addresses if person is not None else ()), grant.holder))
            served = delegation.in_service(grant, person.facts if person is not None else ())
            if served is not None:
                found.append([Charge(name, served.since, served.until) for name in names if name])
        return [each for each in found if each]

    def _closures(self, entry: Entry) -> list[Closure]:
        settings = lifecycle_settings(self._config, self._snapshot.working_days)
        try:
            spans = entry.timeline(settings)
        except FactsUnreadable:  # nobody can sign in, and since when is unknown
            return [Closure(Shut.UNREADABLE, FIRST_INSTANT, None)]
        closed = [Closure(_SHUT[span.state], span.since, span.until) for span in spans if span.state in _SHUT]
        down = (Closure(Shut.DOWNTIME, each.starts_at, each.ends_at) for each in self._downtimes)
        return [*closed, *down, *self._unlogged]


def _unlogged(log_dir: Path, now: datetime) -> Iterator[Closure]:
    """Yield the time before the log begins, and days without a line.

    A running server writes some lines each hour. Where neither today nor yesterday has a line, the server is down: what
    came since its last day is unknown too.
    """
    files = list(log_files(log_dir))
    yield Closure(Shut.UNLOGGED, FIRST_INSTANT, first_instant(log_dir, files) or now)
    days = sorted({file.day for file in files if file.day is not None})
    if days and now.astimezone(UTC).date() - days[-1] > ONE_DAY:
        yield Closure(Shut.UNLOGGED, datetime.combine(days[-1] + ONE_DAY, time.min, UTC), None)
    for day, following in pairwise(days):
        if following - day > ONE_DAY:
            yield Closure(Shut.UNLOGGED, *(datetime.combine(edge, time.min, UTC) for edge in (day + ONE_DAY, following)))


def unit_mailboxes(entries: Iterable[Entry]) -> list[Entry]:
    """Return the mailboxes with openings to report, by address."""
    return sorted((entry for entry in entries if entry.kind is MailboxKind.UNIT), key=lambda entry: entry.address)


def opening_reminders(downtimes: Callable[[], Iterable[Downtime]], clock: Clock) -> Prepare:
    """Return the weekly reminder (`weekly_reminders`) of the windows missed last week.

    It goes to the people in charge; where there are none, into the mailbox itself, for the next person who opens it.
    """

    def prepare(config: Config, snapshot: Snapshot, now: datetime) -> Round | None:
        if not config.unit.openings.remind:
            return None
        monday = local_day(now) - timedelta(days=local_day(now).weekday())
        span = DateRange(monday - timedelta(days=7), monday - timedelta(days=1))
        found = Openings(snapshot, downtimes(), config, clock).of(unit_mailboxes(snapshot), span)
        missed = {each.entry.mailbox_id: each for each in found if each.missed}

        def find(entry: Entry) -> Reminder | None:
            attended = missed[entry.mailbox_id]
            cells = attended.missed
            letter = unit_mail.not_opened(entry.address, span.first, span.last, len(cells), _listed(cells))
            return Reminder(len(cells), letter)

        def readers(entry: Entry) -> Sequence[Entry]:
            holders = [snapshot.resolve(address) for address in missed[entry.mailbox_id].in_charge(now)]
            people = {holder.mailbox_id: holder for holder in holders if holder is not None}
            return list(people.values()) or [entry]

        entries = [each.entry for each in found if each.missed]
        return Round(entries, lambda decision: not decision.states & set(FINAL), find, readers)

    return prepare


def _listed(cells: Sequence[Cell]) -> str:
    lines = []
    for day, of_day in groupby(cells, key=lambda cell: cell.day):
        windows = ", ".join(f"{cell.window.start:%H:%M} - {cell.window.end:%H:%M}" for cell in of_day)
        lines.append(f"- {day:%d/%m/%Y}: {windows}")
    return ";\n".join(lines) + "."
