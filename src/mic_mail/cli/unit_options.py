"""The reports of Reg. 12.3 and 12.4: their options, and their table of waiting mail."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Annotated, Any

from mic_mail.cli.context import CliContext
from mic_mail.cli.date_args import read_day
from mic_mail.cli.options import option
from mic_mail.cli.output import Cell, Column, Row
from mic_mail.cli.output_files import print_written, write_paper
from mic_mail.directory.records import UnitRecord
from mic_mail.directory.snapshot import Entry, Snapshot
from mic_mail.documents import document as papers
from mic_mail.errors import BadInput, Text
from mic_mail.policy.calendar import ONE_DAY, local_day
from mic_mail.policy.date_ranges import DateRange
from mic_mail.policy.facts import MailboxKind
from mic_mail.policy.reclamation import must_be_there
from mic_mail.services.reports.document_header import paper
from mic_mail.services.settings import lifecycle_settings
from mic_mail.services.unit_mail.openings import unit_mailboxes

MailboxOption = Annotated[str | None, option("--mailbox", "Một hộp thư đơn vị.", "One unit mailbox.")]
UnitOption = Annotated[str | None, option("--unit", "Hộp thư của một đơn vị.", "The mailboxes of one unit.")]
SinceOption = Annotated[str | None, option("--from", "Từ ngày.", "First day.")]
UntilOption = Annotated[str | None, option("--until", "Đến hết ngày; mặc định: hôm qua.", "Last day; default: yesterday.")]
_WIDE = frozenset({"mailbox", "sender", "name"})


@dataclass(frozen=True, slots=True)
class MailboxChoice:
    """The mailboxes of a report."""

    subject: str
    """The subject for the record: an address, a unit's symbol, or `*`."""
    title: str
    """The title for the document."""
    unit: UnitRecord | None
    """The unit that it concerns; None: the ministry."""
    takes: Callable[[Entry], bool]

    def mailboxes(self, snapshot: Snapshot) -> list[Entry]:
        return unit_mailboxes(entry for entry in snapshot if self.takes(entry))


def chosen(here: CliContext, mailbox: str | None, unit: str | None, *, clause: str) -> MailboxChoice:
    """Return the mailboxes of --mailbox or --unit, one of them or none.

    Raise `BadInput` for a mailbox that is no unit's.
    """
    if mailbox and unit:
        raise BadInput(Text("Chọn --mailbox hoặc --unit.", "Give either --mailbox or --unit."))
    if mailbox:
        entry = here.entry(mailbox)
        if entry.kind is not MailboxKind.UNIT:
            raise BadInput(
                Text(f"{entry.address} không phải hộp thư đơn vị.", f"{entry.address} is not a unit's mailbox."), clause=clause
            )
        must_be_there(entry.address, entry.facts)
        mailbox_id = entry.mailbox_id
        concerns = here.directory.units_by_id().get(entry.owner.unit_id or 0)
        return MailboxChoice(entry.address, entry.address, concerns, lambda other: other.mailbox_id == mailbox_id)
    if unit:
        which = here.directory.unit(unit)
        return MailboxChoice(which.symbol, which.name, which, lambda other: other.owner.unit_id == which.unit_id)
    return MailboxChoice("*", "Toàn hệ thống", None, lambda other: True)


def span_of(now: datetime, first: str | None, last: str | None, *, days: int) -> DateRange:
    """Return the days that were named, or `days` until yesterday."""
    ends = read_day(last) if last else local_day(now) - ONE_DAY
    return DateRange(read_day(first) if first else ends - timedelta(days=days - 1), ends)


def is_in_use(here: CliContext, entry: Entry, snapshot: Snapshot) -> bool:
    """Return whether the mailbox receives mail.

    One whose record is damaged is left out (`directory check` names it).
    """
    settings = lifecycle_settings(here.config, snapshot.working_days)
    decision = entry.decide_if_readable(here.clock.now(), settings)
    return decision is not None and decision.receives


def waiting_rows(
    found: Iterable[tuple[Entry, Sequence[Any]]], now: datetime, oldest: Callable[[Sequence[Any]], Cell]
) -> list[Row]:
    """Return a row for each mailbox in which messages wait for their `due_at`, the most overdue first."""
    rows = [(sum(each.due_at <= now for each in waiting), entry, waiting) for entry, waiting in found if waiting]
    return [
        {"mailbox": entry.address, "name": entry.display_name, "waiting": len(waiting), "late": late, "oldest": oldest(waiting)}
        for late, entry, waiting in sorted(rows, key=lambda row: -row[0])
    ]


def write_table(
    here: CliContext, out: Path, columns: Sequence[Column], rows: Sequence[Row], *, titles: tuple[str, str, str], clause: str
) -> None:
    """Write a listing as a document; `titles`, in Vietnamese: its title, its subtitle, the table's."""
    shown, (title, below, name) = [column for column in columns if not column.json_only], titles
    table = papers.Table(
        name,
        [papers.Column(column.vi, right=column.right, wide=_share(column, rows)) for column in shown],
        [[row[column.key] for column in shown] for row in rows],  # type: ignore[misc]  # its cells are texts, numbers, instants
    )
    print_written(write_paper(here, out, paper(here.config, title, below, here.clock.now(), [table], clause_id=clause)))


def _share(column: Column, rows: Sequence[Row]) -> int:
    """Return the column's share of the width (`papers.Column.wide`).

    Instants take no more than they need, and stay whole.
    """
    if any(isinstance(row[column.key], datetime) for row in rows):
        return 0
    return 2 if column.key in _WIDE else 1
