"""`mic-mail report unanswered`: mail that waits for an answer, by mailbox (Reg. 12.4).

Of one mailbox: the sender and time, and the deadline of the answer. Of several: figures alone. Subjects are for the unit only
(4.3).
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from mic_mail.cli import output
from mic_mail.cli.acts import ExplainedAct
from mic_mail.cli.authorization import requires
from mic_mail.cli.context import CliContext
from mic_mail.cli.options import JsonOption
from mic_mail.cli.output import Column, Row, say
from mic_mail.cli.output_files import check_kind, print_written, write_paper
from mic_mail.cli.unit_options import PaperOption, is_in_use
from mic_mail.directory.snapshot import Entry, Snapshot
from mic_mail.documents import document as papers
from mic_mail.errors import BadInput, Text
from mic_mail.policy.authorization.roles import Right
from mic_mail.policy.reclamation import must_be_there
from mic_mail.policy.unit_mail import reply_deadlines as rules
from mic_mail.services.reports.document_header import paper
from mic_mail.services.unit_mail.unanswered import Replies, addresses_of_units

app = typer.Typer(no_args_is_help=True)

MESSAGES = (
    Column("received_at", "Nhận lúc", "Received"),
    Column("sender", "Người gửi", "Sender"),
    Column("due_at", "Hạn trả lời", "Due"),
    Column("overdue", "Quá hạn", "Overdue"),
)
MAILBOXES = (
    Column("mailbox", "Hộp thư", "Mailbox"),
    Column("name", "Tên", "Name"),
    Column("waiting", "Chờ trả lời", "Waiting", right=True),
    Column("late", "Quá hạn", "Overdue", right=True),
    Column("oldest", "Hạn sớm nhất", "Earliest due"),
)


@app.command(help=say("Thư đến chưa được trả lời, kèm thời hạn.", "Report unanswered mail, with deadlines."))
@requires(Right.READ, act="report_unanswered", clauses="12.4 16.1.b")
def unanswered(
    *,
    mailbox: Annotated[str | None, typer.Option("--mailbox", help=say("Một hộp thư.", "One mailbox."))] = None,
    unit: Annotated[str | None, typer.Option("--unit", help=say("Một đơn vị.", "One unit."))] = None,
    out: PaperOption = None,
    act: ExplainedAct,
    as_json: JsonOption = False,
) -> None:
    if mailbox and unit:
        raise BadInput(Text("Chọn --mailbox hoặc --unit.", "Give either --mailbox or --unit."))
    if out is not None:
        check_kind(out)
    here = act.here
    which = here.directory.unit(unit) if unit else None
    right = Right.READ_LOG if mailbox else Right.READ
    subject = mailbox or (which.symbol if which else "*")
    with act.recorded(subject, right=right, concerns=which):
        snapshot = here.directory.load_snapshot()
        columns: Sequence[Column] = MESSAGES if mailbox else MAILBOXES
        if mailbox:
            rows = _of_mailbox(here, here.entry(mailbox), snapshot)
        else:
            rows = _of_mailboxes(here, snapshot, which.unit_id if which else None)
        if out is not None:
            _write(here, out, subject, columns, rows)
    if out is None:
        output.listing(columns, rows, as_json=as_json)
    else:
        print_written([out])


def _of_mailbox(here: CliContext, entry: Entry, snapshot: Snapshot) -> list[Row]:
    must_be_there(entry.address, entry.facts)
    now, units = here.clock.now(), addresses_of_units(here.directory, snapshot)
    return [
        {"received_at": each.received_at, "sender": each.sender, "due_at": each.due_at, "overdue": each.due_at <= now}
        for each in Replies(here.store, here.config).waiting(entry, _people(here), now, units(entry))
    ]


def _of_mailboxes(here: CliContext, snapshot: Snapshot, unit_id: int | None) -> list[Row]:
    """Return the mailboxes in which mail waits, the most overdue first."""
    now, units, finder = here.clock.now(), addresses_of_units(here.directory, snapshot), Replies(here.store, here.config)
    persons = {person.person_id for person in here.directory.people(unit_id)} if unit_id is not None else set()
    people, rows = _people(here), list[tuple[int, Row]]()
    for entry in snapshot:
        if unit_id is not None and entry.owner.unit_id != unit_id and entry.owner.person_id not in persons:
            continue
        if not is_in_use(here, entry, snapshot):
            continue
        waiting = finder.waiting(entry, people, now, units(entry))
        if waiting:
            late = sum(each.due_at <= now for each in waiting)
            oldest = min(each.due_at for each in waiting)
            row: Row = {
                "mailbox": entry.address,
                "name": entry.display_name,
                "waiting": len(waiting),
                "late": late,
                "oldest": oldest,
            }
            rows.append((late, row))
    return [row for _, row in sorted(rows, key=lambda each: -each[0])]


def _people(here: CliContext) -> Snapshot:
    """Return all people: the person answering for a unit may belong to another by now."""
    return here.whole_directory.load_snapshot()


def _write(here: CliContext, out: Path, subject: str, columns: Sequence[Column], rows: list[Row]) -> None:
    table = papers.Table(
        "Thư chưa được trả lời",
        [
            papers.Column(column.vi, right=column.right, wide=2 if column.key in {"mailbox", "sender", "name"} else 1)
            for column in columns
        ],
        [[row[column.key] for column in columns] for row in rows],  # type: ignore[misc]  # its cells are texts, numbers, instants
    )
    whose = "toàn hệ thống" if subject == "*" else subject
    made = paper(
        here.config,
        "Thư điện tử chờ trả lời",
        f"{whose}, trong {rules.DAYS_BACK} ngày gần đây",
        here.clock.now(),
        [table],
        clause_id=rules.CLAUSE,
    )
    write_paper(here, out, made)
