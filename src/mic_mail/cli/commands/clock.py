"""`mic-mail clock`: trust in the machine's clock, and records with a false time (Reg. 6.4.c)."""

from mic_mail.cli.acts import CONFIRMS_CLOCK, Act
from mic_mail.cli.authorization import requires
from mic_mail.cli.context import CliContext
from mic_mail.cli.options import Commands, ReasonOption
from mic_mail.cli.output import Column, ResultRecord, ResultTable, Row, row_of
from mic_mail.errors import Text
from mic_mail.i18n import dates
from mic_mail.policy.authorization.roles import Right
from mic_mail.policy.facts import FactKind
from mic_mail.services.mailboxes.clock_trust import ClockMark
from mic_mail.services.operations.false_records import FalseRecord, false_records

app = Commands()

ONE = (
    Column("now", "Bây giờ", "Now"),
    Column("marked", "Mốc gần nhất", "Last on record"),
    Column("trusted", "Tin cậy", "Trusted"),
)


@app.command("Xem đồng hồ và mốc gần nhất.", "Show the clock and the last recorded time.")
@requires(Right.READ, whole=True, clauses="6.4.c")
def show(here: CliContext) -> ResultRecord:
    mark = _mark(here)
    trusted = mark.is_trusted(here.directory.load_snapshot())
    return ResultRecord(ONE, {"now": here.clock.now(), "marked": mark.read(), "trusted": trusted})


@app.command(
    "Xác nhận đồng hồ đúng, sau khi máy chủ ngừng lâu hoặc đồng hồ được chỉnh.",
    "Confirm that the clock is right, after the server was down or the clock was set.",
)
@requires(Right.ACT, act=CONFIRMS_CLOCK, clauses="6.4.c")
def confirm(*, reason: ReasonOption, act: Act) -> Text:
    here = act.here
    now = here.clock.now()
    with act.recorded(now.isoformat()):
        _mark(here).confirm(here.directory.newest_fact())
    shown = dates.instant(now)
    return Text(f"Đã xác nhận: {shown.vi}. Đồng hồ được tin cậy.", f"Confirmed: {shown.en}. The clock is trusted.")


RECORDS = (
    Column("recorded_at", "Giờ đã ghi", "Recorded as of"),
    Column("subject", "Đối tượng", "Subject"),
    Column("what", "Mã việc", "Code", json_only=True),
    Column("what_name", "Nội dung", "What"),
    Column("actor", "Người thực hiện", "Actor"),
    Column("fact", "Số trong hồ sơ", "Fact", of="seq"),
    Column("effective_at", "Có hiệu lực từ", "In force from"),
)


@app.command(
    "Liệt kê việc đã ghi với giờ sai: ở tương lai, hoặc muộn hơn việc được ghi sau đó.",
    "List records with a false time: in the future, or later than records made after them.",
)
@requires(Right.READ, whole=True)
def records(here: CliContext) -> ResultTable:
    found = false_records(here.directory.load_snapshot(), here.audit, here.clock.now())
    return ResultTable(RECORDS, map(_row, found))


def _row(found: FalseRecord) -> Row:
    return row_of(RECORDS, found, what_name=found.what if found.seq is None else FactKind(found.what).label)


def _mark(here: CliContext) -> ClockMark:
    return ClockMark(here.config.state_dir, here.clock)
