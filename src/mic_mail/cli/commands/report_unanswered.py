"""`mic-mail report unanswered`: mail that waits for an answer, by mailbox (Reg. 12.4).

The report of one mailbox has sender, time and deadline of each message, that of several only numbers (Reg. 4.3).
"""

from collections.abc import Sequence
from typing import Annotated

from mic_mail.cli.acts import ExplainedAct
from mic_mail.cli.authorization import requires
from mic_mail.cli.context import CliContext
from mic_mail.cli.options import Commands, option
from mic_mail.cli.output import Column, ResultTable, Row, row_of
from mic_mail.cli.output_files import OptionalDocumentFile
from mic_mail.cli.unit_options import is_in_use, waiting_rows, write_table
from mic_mail.directory.snapshot import Entry, Snapshot
from mic_mail.errors import BadInput, Text
from mic_mail.policy.authorization.roles import Right
from mic_mail.policy.reclamation import must_be_there
from mic_mail.policy.unit_mail import reply_deadlines as rules
from mic_mail.services.unit_mail.unanswered import Replies, addresses_of_units

app = Commands()

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


@app.command("Thư đến chưa được trả lời, kèm thời hạn.", "Report unanswered mail, with deadlines.")
@requires(Right.READ, act="report_unanswered", clauses="12.4 16.1.b")
def unanswered(
    *,
    mailbox: Annotated[str | None, option("--mailbox", "Một hộp thư.", "One mailbox.")] = None,
    unit: Annotated[str | None, option("--unit", "Một đơn vị.", "One unit.")] = None,
    out: OptionalDocumentFile = None,
    act: ExplainedAct,
) -> ResultTable | None:
    if mailbox and unit:
        raise BadInput(Text("Chọn --mailbox hoặc --unit.", "Give either --mailbox or --unit."))
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
            whose = "toàn hệ thống" if subject == "*" else subject
            below = f"{whose}, trong {rules.DAYS_BACK} ngày gần đây"
            titles = "Thư điện tử chờ trả lời", below, "Thư chưa được trả lời"
            write_table(here, out, columns, rows, titles=titles, clause=rules.CLAUSE)
            return None
    return ResultTable(columns, rows)


def _of_mailbox(here: CliContext, entry: Entry, snapshot: Snapshot) -> list[Row]:
    must_be_there(entry.address, entry.facts)
    now, units = here.clock.now(), addresses_of_units(here.directory, snapshot)
    return [
        row_of(MESSAGES, each, overdue=each.due_at <= now)
        for each in Replies(here.store, here.config).waiting(entry, _people(here), now, units(entry))
    ]


def _of_mailboxes(here: CliContext, snapshot: Snapshot, unit_id: int | None) -> list[Row]:
    units, finder, people = addresses_of_units(here.directory, snapshot), Replies(here.store, here.config), _people(here)
    persons = {person.person_id for person in here.directory.people(unit_id)} if unit_id is not None else set()
    now = here.clock.now()
    found = (
        (entry, finder.waiting(entry, people, now, units(entry)))
        for entry in snapshot
        if (unit_id is None or entry.owner.unit_id == unit_id or entry.owner.person_id in persons)
        and is_in_use(here, entry, snapshot)
    )
    return waiting_rows(found, now, lambda waiting: min(each.due_at for each in waiting))


def _people(here: CliContext) -> Snapshot:
    """Return all people: the person answering for a unit may belong to another by now."""
    return here.whole_directory.load_snapshot()
