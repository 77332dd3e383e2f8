"""`mic-mail report passed-on`: units' mail not passed on to the document system (Reg. 12.3.c).

Of one mailbox: the sender and time, the deadline, and for how many working days each message has waited. Of several: figures
alone. Subjects are for the unit only (4.3); the reminder in the mailbox has them.
"""

from collections.abc import Sequence
from pathlib import Path

import typer

from mic_mail.cli import output
from mic_mail.cli.acts import ExplainedAct
from mic_mail.cli.authorization import requires
from mic_mail.cli.context import CliContext
from mic_mail.cli.options import JsonOption
from mic_mail.cli.output import Column, Row, say
from mic_mail.cli.output_files import check_kind, print_written, write_paper
from mic_mail.cli.unit_options import MailboxOption, PaperOption, UnitOption, chosen, is_in_use
from mic_mail.directory.snapshot import Entry, Snapshot
from mic_mail.documents import document as papers
from mic_mail.policy.authorization.roles import Right
from mic_mail.policy.unit_mail import document_handoff as rules
from mic_mail.services.reports.document_header import paper
from mic_mail.services.unit_mail.document_handoff import PassedOn

app = typer.Typer(no_args_is_help=True)

MESSAGES = (
    Column("received_at", "Nhận lúc", "Received"),
    Column("sender", "Người gửi", "Sender"),
    Column("message_id", "Message-ID", "Message-ID", json_only=True),
    Column("due_at", "Hạn chuyển", "Due"),
    Column("age", "Số ngày làm việc", "Working days", right=True),
    Column("overdue", "Quá hạn", "Overdue"),
)
MAILBOXES = (
    Column("mailbox", "Hộp thư", "Mailbox"),
    Column("name", "Tên", "Name"),
    Column("waiting", "Chưa chuyển", "Not passed on", right=True),
    Column("late", "Quá hạn", "Overdue", right=True),
    Column("oldest", "Lâu nhất (ngày làm việc)", "Oldest (working days)", right=True),
)


@app.command(
    "passed-on",
    help=say("Thư đơn vị chưa chuyển vào hệ thống văn bản.", "Report unit mail not passed on to the document system."),
)
@requires(Right.READ, act="report_passed_on", clauses="12.3.c 16.1.b")
def passed_on(
    *,
    mailbox: MailboxOption = None,
    unit: UnitOption = None,
    out: PaperOption = None,
    act: ExplainedAct,
    as_json: JsonOption = False,
) -> None:
    here = act.here
    if out is not None:
        check_kind(out)
    choice = chosen(here, mailbox, unit, clause=rules.CLAUSE)
    with act.recorded(choice.subject, concerns=choice.unit):
        snapshot = here.directory.load_snapshot()
        entries = choice.mailboxes(snapshot)
        columns: Sequence[Column] = MESSAGES if mailbox is not None else MAILBOXES
        rows = _of_mailbox(here, snapshot, entries[0]) if mailbox is not None else _of_mailboxes(here, snapshot, entries)
        if out is not None:
            print_written(_write(here, out, choice.title, columns, rows))
            return
    output.listing(columns, rows, as_json=as_json)


def _of_mailbox(here: CliContext, snapshot: Snapshot, entry: Entry) -> list[Row]:
    now = here.clock.now()
    return [
        {
            "received_at": each.received_at,
            "sender": each.sender,
            "message_id": each.message_id or None,
            "due_at": each.due_at,
            "age": each.age,
            "overdue": each.due_at <= now,
        }
        for each in PassedOn(here.store, here.config).pending(entry, snapshot, now)
    ]


def _of_mailboxes(here: CliContext, snapshot: Snapshot, entries: Sequence[Entry]) -> list[Row]:
    """Return the mailboxes in which mail waits, the most overdue first."""
    now, finder = here.clock.now(), PassedOn(here.store, here.config)
    rows: list[tuple[int, Row]] = []
    for entry in entries:
        if not is_in_use(here, entry, snapshot):
            continue
        waiting = finder.pending(entry, snapshot, now)
        if waiting:
            late = sum(each.due_at <= now for each in waiting)
            row: Row = {
                "mailbox": entry.address,
                "name": entry.display_name,
                "waiting": len(waiting),
                "late": late,
                "oldest": max(each.age for each in waiting),
            }
            rows.append((late, row))
    return [row for _, row in sorted(rows, key=lambda each: -each[0])]


_WIDE = frozenset({"mailbox", "sender", "name"})


def _write(here: CliContext, out: Path, whose: str, columns: Sequence[Column], rows: Sequence[Row]) -> list[Path]:
    shown = [column for column in columns if not column.json_only]
    table = papers.Table(
        "Thư chưa được đánh dấu đã chuyển",
        [papers.Column(column.vi, right=column.right, wide=2 if column.key in _WIDE else 1) for column in shown],
        [[row[column.key] for column in shown] for row in rows],  # type: ignore[misc]  # each of these keys holds a cell
    )
    made = paper(
        here.config,
        "Thư đến chưa chuyển vào hệ thống quản lý văn bản",
        f"{whose}, trong {rules.DAYS_BACK} ngày gần đây",
        here.clock.now(),
        [table],
        clause_id=rules.CLAUSE,
    )
    return write_paper(here, out, made)
