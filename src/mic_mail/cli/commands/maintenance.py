"""`mic-mail maintenance announce|list|cancel|report`: technical downtime (Reg. 10.3).

It is announced 3 working days ahead. The housekeeper sends the notices: within half a minute each mailbox has one, and IMAP
announces it at sign-in.
"""

from typing import Annotated

import typer

from mic_mail.cli import output
from mic_mail.cli.acts import GroundedAct
from mic_mail.cli.authorization import requires
from mic_mail.cli.context import CliContext, frame
from mic_mail.cli.date_args import read_instant
from mic_mail.cli.options import JsonOption
from mic_mail.cli.output import Column, Row, say
from mic_mail.errors import Text
from mic_mail.i18n import dates
from mic_mail.policy.authorization.roles import Right
from mic_mail.policy.downtime import Downtime
from mic_mail.services.operations import downtimes

app = typer.Typer(help=say("Tạm ngừng có báo trước.", "Announced downtime."), no_args_is_help=True)

COLUMNS = (
    Column("id", "Số", "No.", right=True),
    Column("starts_at", "Từ", "From"),
    Column("ends_at", "Đến", "Until"),
    Column("state", "Tình trạng", "State"),
    Column("incident", "Sự cố", "Incident"),
    Column("incident_id", "Sự cố số", "Incident no.", right=True),
    Column("reason", "Lý do", "Reason"),
    Column("document", "Văn bản", "Document"),
    Column("announced_at", "Thông báo lúc", "Announced"),
    Column("report", "Báo cáo", "Report"),
    Column("overdue", "Thiếu báo cáo", "Report owed"),
)
Number = Annotated[int, typer.Argument(metavar="ID", help=say("Số của đợt, như list in.", "Its number, as list prints it."))]


@app.command(
    help=say("Thông báo một đợt tạm ngừng, trước ít nhất 03 ngày làm việc.", "Announce downtime at least 3 working days ahead.")
)
@requires(Right.ACT, act="maintenance_announce", clauses="10.3")
def announce(
    *,
    starts: Annotated[str, typer.Option("--from", help=say("Từ, ví dụ 24/02/2026 08:00.", "Start, e.g. 24/02/2026 08:00."))],
    ends: Annotated[str, typer.Option("--until", help=say("Đến.", "End."))],
    incident: Annotated[
        bool,
        typer.Option(
            "--incident",
            help=say("Sự cố: không cần báo trước, phải báo cáo.", "An incident: no notice period, but a report is due."),
        ),
    ] = False,
    number: Annotated[
        int | None,
        typer.Option(
            "--for", help=say("Sự cố số, trong sổ sự cố; bỏ trống: ghi mới.", "The recorded incident; default: a new one.")
        ),
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
        Text(
            f"Đã ghi đợt tạm ngừng số {found.downtime_id}: từ {begins.vi} đến {ends_text.vi}.",
            f"Downtime {found.downtime_id} recorded: from {begins.en} to {ends_text.en}.",
        )
    )
    if found.incident:
        no = _incidents(here)[found.downtime_id]
        output.note(
            Text(
                f"Sự cố số {no}. Sau sự cố phải báo cáo: incident close {no} --result ... --document SỐ.",
                f"Incident {no}. Report it afterwards: incident close {no} --result ... --document NUMBER.",
            )
        )


@app.command("list", help=say("Liệt kê các đợt tạm ngừng.", "List the downtimes."))
@requires(Right.READ, clauses="10.3")
def list_downtimes(ctx: typer.Context, as_json: JsonOption = False) -> None:
    here = frame(ctx)
    now, incidents = here.clock.now(), _incidents(here)

    def row(each: Downtime) -> Row:
        if each.cancelled_at is not None:
            state = Text("đã hủy", "called off")
        elif now < each.starts_at:
            state = Text("sắp tới", "ahead")
        else:
            state = Text("đang diễn ra", "running") if now < each.ends_at else Text("đã qua", "over")
        return {
            "id": each.downtime_id,
            "starts_at": each.starts_at,
            "ends_at": each.ends_at,
            "state": state,
            "incident": each.incident,
            "incident_id": incidents.get(each.downtime_id),
            "reason": each.reason,
            "document": each.document,
            "announced_at": each.announced_at,
            "report": each.report,
            "overdue": each.owes_report(now),
        }

    output.listing(COLUMNS, map(row, here.directory.downtimes.all()), as_json=as_json)


@app.command(
    help=say(
        "Hủy một đợt chưa qua; ai đã được báo sẽ được báo lại.",
        "Cancel a downtime and notify everybody who had the announcement.",
    )
)
@requires(Right.ACT, act="maintenance_cancel", clauses="10.3")
def cancel(number: Number, *, act: GroundedAct) -> Text:
    here = act.here
    with act.recorded(str(number)):
        downtimes.cancel(here.directory, number, here.clock.now())
    return Text(f"Đã hủy đợt tạm ngừng số {number}.", f"Downtime {number} is cancelled.")


@app.command(help=say("Ghi số văn bản báo cáo một sự cố.", "Record the document that reports an incident."))
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
