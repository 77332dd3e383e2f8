"""`mic-mail report passed-on`: units' mail not passed on to the document system (Reg. 12.3.c).

The report of one mailbox has sender, time and deadline of each message, that of several only numbers. Subjects are for the unit
alone (Reg. 4.3); the reminder in the mailbox has them.
"""

from collections.abc import Sequence

from mic_mail.cli.acts import ExplainedAct
from mic_mail.cli.authorization import requires
from mic_mail.cli.context import CliContext
from mic_mail.cli.options import Commands
from mic_mail.cli.output import Column, ResultTable, Row, row_of
from mic_mail.cli.output_files import OptionalDocumentFile
from mic_mail.cli.unit_options import MailboxOption, UnitOption, chosen, is_in_use, waiting_rows, write_table
from mic_mail.directory.snapshot import Entry, Snapshot
from mic_mail.policy.authorization.roles import Right
from mic_mail.policy.unit_mail import document_handoff as rules
from mic_mail.services.unit_mail.document_handoff import PassedOn

app = Commands()

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
    "Thư đơn vị chưa chuyển vào hệ thống văn bản.", "Report unit mail not passed on to the document system.", name="passed-on"
)
@requires(Right.READ, act="report_passed_on", clauses="12.3.c 16.1.b")
def passed_on(
    *, mailbox: MailboxOption = None, unit: UnitOption = None, out: OptionalDocumentFile = None, act: ExplainedAct
) -> ResultTable | None:
    here = act.here
    choice = chosen(here, mailbox, unit, clause=rules.CLAUSE)
    with act.recorded(choice.subject, concerns=choice.unit):
        snapshot = here.directory.load_snapshot()
        entries = choice.mailboxes(snapshot)
        columns: Sequence[Column] = MESSAGES if mailbox is not None else MAILBOXES
        rows = _of_mailbox(here, snapshot, entries[0]) if mailbox is not None else _of_mailboxes(here, snapshot, entries)
        if out is not None:
            below = f"{choice.title}, trong {rules.DAYS_BACK} ngày gần đây"
            titles = "Thư đến chưa chuyển vào hệ thống quản lý văn bản", below, "Thư chưa được đánh dấu đã chuyển"
            write_table(here, out, columns, rows, titles=titles, clause=rules.CLAUSE)
            return None
    return ResultTable(columns, rows)


def _of_mailbox(here: CliContext, snapshot: Snapshot, entry: Entry) -> list[Row]:
    now = here.clock.now()
    return [
        row_of(MESSAGES, each, message_id=each.message_id or None, overdue=each.due_at <= now)
        for each in PassedOn(here.store, here.config).pending(entry, snapshot, now)
    ]


def _of_mailboxes(here: CliContext, snapshot: Snapshot, entries: Sequence[Entry]) -> list[Row]:
    now, finder = here.clock.now(), PassedOn(here.store, here.config)
    in_use = (entry for entry in entries if is_in_use(here, entry, snapshot))
    found = ((entry, finder.pending(entry, snapshot, now)) for entry in in_use)
    return waiting_rows(found, now, lambda waiting: max(each.age for each in waiting))
