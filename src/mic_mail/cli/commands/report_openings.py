"""`mic-mail report openings`: openings of unit mailboxes by window of each working day (Reg. 12.3.a)."""

from mic_mail.cli import output
from mic_mail.cli.acts import ExplainedAct
from mic_mail.cli.authorization import requires
from mic_mail.cli.context import CliContext
from mic_mail.cli.options import Commands, JsonOption
from mic_mail.cli.output import Column, Row, row_of
from mic_mail.cli.output_files import OptionalDocumentFile, print_written, write_paper
from mic_mail.cli.unit_options import MailboxOption, SinceOption, UnitOption, UntilOption, chosen, span_of
from mic_mail.policy.authorization.roles import Right
from mic_mail.policy.unit_mail.opening_windows import WindowOutcome
from mic_mail.services.reports.opening_report import SHUT, VERDICTS, openings_paper, share
from mic_mail.services.unit_mail.openings import Attended, Openings

app = Commands()

DAYS = 7
"""The default span of the report, in days."""
WINDOWS = (
    Column("day", "Ngày", "Day"),
    Column("window", "Khung giờ", "Window"),
    Column("verdict", "Kết quả", "Result", names=VERDICTS),
    Column("opened_at", "Mở lúc", "Opened at", of="first.at"),
    Column("opened_by", "Người mở", "Opened by", of="first.actor"),
    Column("why", "Lý do", "Why", names=SHUT),
    Column("others", "Người khác mở", "Others"),
)
MAILBOXES = (
    Column("mailbox", "Hộp thư", "Mailbox"),
    Column("keepers", "Người quản lý", "In charge"),
    Column("due", "Phải mở", "Due", right=True),
    Column("opened", "Đã mở", "Opened", right=True),
    Column("missed", "Không mở", "Not opened", right=True),
    Column("shut", "Không thể mở", "Shut", right=True),
    Column("share", "Tỷ lệ (%)", "Share (%)", right=True),
)


@app.command(
    "Việc mở hộp thư đơn vị ba lần mỗi ngày làm việc.", "Report the openings of unit mailboxes, three each working day."
)
@requires(Right.READ, act="report_openings", clauses="12.3.a 16.1.b")
def openings(
    *,
    mailbox: MailboxOption = None,
    unit: UnitOption = None,
    first: SinceOption = None,
    last: UntilOption = None,
    out: OptionalDocumentFile = None,
    act: ExplainedAct,
    as_json: JsonOption = False,
) -> None:
    here = act.here
    span = span_of(here.clock.now(), first, last, days=DAYS)
    choice = chosen(here, mailbox, unit, clause="12.3.a")
    with act.recorded(choice.subject, concerns=choice.unit, first=span.first, last=span.last):
        people = here.whole_directory.load_snapshot()  # the unit's own part no longer has a keeper who moved away
        finder = Openings(people, here.directory.downtimes.all(), here.config, here.clock)
        attended = finder.of(choice.mailboxes(here.directory.load_snapshot()), span)
        if out is not None:
            made = openings_paper(here.config, attended, span, choice.title, here.clock.now())
            print_written(write_paper(here, out, made))
            return
    if mailbox is not None:
        output.listing(WINDOWS, _windows(attended[0]), as_json=as_json)
    else:
        output.listing(MAILBOXES, [_figures(here, each) for each in attended], as_json=as_json)


def _windows(attended: Attended) -> list[Row]:
    return [
        row_of(
            WINDOWS,
            cell,
            window=f"{cell.window.start:%H:%M}-{cell.window.end:%H:%M}",
            why=cell.shut if cell.first is None else None,
            others=[opening.actor for opening in cell.others],
        )
        for cell in attended.cells
    ]


def _figures(here: CliContext, attended: Attended) -> Row:
    opened, missed = attended.count(WindowOutcome.OPENED), attended.count(WindowOutcome.MISSED)
    part = share(attended)
    return {
        "mailbox": attended.entry.address,
        "keepers": attended.in_charge(here.clock.now()),
        "due": opened + missed,
        "opened": opened,
        "missed": missed,
        "shut": attended.count(WindowOutcome.SHUT),
        "share": None if part is None else round(part, 1),
    }
