"""`mic-mail maintenance`: technical downtime, announced 3 working days ahead (Reg. 10.3).

The housekeeper sends the notices within half a minute, and IMAP announces the downtime at sign-in.
"""

from typing import Annotated

from mic_mail.cli import output
from mic_mail.cli.acts import GroundedAct
from mic_mail.cli.authorization import requires
from mic_mail.cli.context import CliContext
from mic_mail.cli.date_args import read_instant
from mic_mail.cli.options import Commands, argument, option
from mic_mail.cli.output import Column, ResultTable, Row, row_of
from mic_mail.errors import Text
from mic_mail.i18n import dates
from mic_mail.policy.authorization.roles import Right
from mic_mail.policy.downtime import Downtime
from mic_mail.services.operations import downtimes

app = Commands()

COLUMNS = (
    Column("id", "Số", "No.", right=True, of="downtime_id"),
    Column("starts_at", "Từ", "From"),
    Column("ends_at", "Đến", "Until"),
    Column("state", "Tình trạng", "State"),
    Column("incident", "Sự cố", "Incident"),
    Column("incident_id", "Sự cố số", "Incident no.", right=True),
    Column("reason", "Lý do", "Reason"),
    Column("document", "Văn bản", "Document"),
    Column("announced_at", "Thông báo lúc", "Announced"),
    Column("report", "Báo cáo", "Report"),
    Column("overdue", "Thiếu báo cáo", "Report missing"),
)
Number = Annotated[int, argument("ID", "Số của đợt, như list in.", "Its number, as list prints it.")]


@app.command("Thông báo một đợt tạm ngừng, trước ít nhất 03 ngày làm việc.", "Announce downtime at least 3 working days ahead.")
@requires(Right.ACT, act="maintenance_announce", clauses="10.3")
def announce(
    *,
    starts: Annotated[str, option("--from", "Từ, ví dụ 24/02/2026 08:00.", "Start, e.g. 24/02/2026 08:00.")],
    ends: Annotated[str, option("--until", "Đến.", "End.")],
    incident: Annotated[
        bool,
        option(
            "--incident", "Sự cố: không cần báo trước, phải báo cáo.", "An incident: no notice period, but a report is due."
        ),
    ] = False,
    number: Annotated[
        int | None,
        option("--for", "Sự cố số, trong sổ sự cố; bỏ trống: ghi mới.", "The recorded incident; default: a new one."),
    ] = None,
    act: GroundedAct,
) -> None:
    here = act.here
    starts_at, ends_at = read_instant(starts), read_instant(ends)
    with act.recorded(starts_at.isoformat(), until=ends_at, incident=incident):
        now = here.clock.now()
        drafted = downtimes.draft(here.config, here.directory, (starts_at, ends_at), act.origin, now, incident=incident)
        found = downtimes.announce(here.directory, drafted, number)
    begins, ends_text = dates.instant(found.starts_at), dates.instant(found.ends_at)
    output.note(
        f"Đã ghi đợt tạm ngừng số {found.downtime_id}: từ {begins.vi} đến {ends_text.vi}.",
        f"Downtime {found.downtime_id} recorded: from {begins.en} to {ends_text.en}.",
    )
    if found.incident:
        no = _incidents(here)[found.downtime_id]
        output.note(
            f"Sự cố số {no}. Sau sự cố phải báo cáo: incident close {no} --result ... --document SỐ.",
            f"Incident {no}. Report it afterwards: incident close {no} --result ... --document NUMBER.",
        )


@app.command("Liệt kê các đợt tạm ngừng.", "List the downtimes.", name="list")
@requires(Right.READ, clauses="10.3")
def list_downtimes(here: CliContext) -> ResultTable:
    now, incidents = here.clock.now(), _incidents(here)

    def row(each: Downtime) -> Row:
        if each.cancelled_at is not None:
            state = Text("đã hủy", "cancelled")
        elif now < each.starts_at:
            state = Text("sắp tới", "upcoming")
        else:
            state = Text("đang diễn ra", "in progress") if now < each.ends_at else Text("đã qua", "over")
        incident_id, overdue = incidents.get(each.downtime_id), each.owes_report(now)
        return row_of(COLUMNS, each, state=state, incident_id=incident_id, overdue=overdue)

    return ResultTable(COLUMNS, map(row, here.directory.downtimes.all()))


@app.command(
    "Hủy một đợt chưa qua; ai đã được báo sẽ được báo lại.", "Cancel a downtime and notify everybody who had the announcement."
)
@requires(Right.ACT, act="maintenance_cancel", clauses="10.3")
def cancel(number: Number, *, act: GroundedAct) -> Text:
    here = act.here
    with act.recorded(str(number)):
        downtimes.cancel(here.directory, number, here.clock.now())
    return Text(f"Đã hủy đợt tạm ngừng số {number}.", f"Downtime {number} is cancelled.")


@app.command("Ghi số văn bản báo cáo một sự cố.", "Record the document that reports an incident.")
@requires(Right.ACT, act="maintenance_report", clauses="10.1")
def report(number: Number, *, act: GroundedAct) -> Text:
    here = act.here
    with act.recorded(str(number)):
        downtimes.report(here.directory, number, act.document, here.clock.now())
    return Text(f"Đã ghi báo cáo của đợt số {number}.", f"The report of downtime {number} is recorded.")


def _incidents(here: CliContext) -> dict[int, int]:
    """Return the incident that caused each downtime; incidents of the whole ministry concern everybody."""
    found = here.whole_directory.incidents.all()
    return {downtime_id: incident.incident_id for incident in found for downtime_id in incident.downtimes}
