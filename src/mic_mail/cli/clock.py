"""`mic-mail clock show|confirm`: whether the machine's clock is trusted with what cannot be undone (Reg. 6.4.c)."""

import typer

from mic_mail.cli import output
from mic_mail.cli.frame import Frame, frame
from mic_mail.cli.gate import asks
from mic_mail.cli.options import ActorOption, JsonOption, ReasonOption
from mic_mail.cli.output import Column, say
from mic_mail.cli.record import on_record
from mic_mail.errors import Text
from mic_mail.i18n import dates
from mic_mail.policy.roles import Right
from mic_mail.services.mailboxes.clockmark import ClockMark
from mic_mail.services.mailboxes.credentials import Origin

app = typer.Typer(help=say("Đồng hồ máy chủ.", "The machine's clock."), no_args_is_help=True)

ONE = (
    Column("now", "Bây giờ", "Now"),
    Column("marked", "Mốc gần nhất", "Last on record"),
    Column("trusted", "Tin cậy", "Trusted"),
)


@app.command(help=say("Xem đồng hồ và mốc gần nhất.", "Show the clock and the last instant on record."))
@asks(Right.READ, whole=True)
def show(ctx: typer.Context, as_json: JsonOption = False) -> None:
    here = frame(ctx)
    mark = _mark(here)
    trusted = mark.is_trusted(here.directory.load_snapshot())
    output.record(ONE, {"now": here.clock.now(), "marked": mark.read(), "trusted": trusted}, as_json=as_json)


@app.command(
    help=say(
        "Xác nhận đồng hồ đúng, sau khi máy chủ ngừng lâu hoặc đồng hồ được chỉnh.",
        "Confirm that the clock is right, after the server was down or the clock was set.",
    )
)
@asks(Right.ACT)
def confirm(ctx: typer.Context, *, reason: ReasonOption, actor: ActorOption = None) -> None:
    here = frame(ctx)
    now = here.clock.now()
    with on_record(here, "clock_confirm", now.isoformat(), Origin(here.actor(actor), reason)):
        _mark(here).confirm(here.directory.newest_fact())
    shown = dates.instant(now)
    output.note(Text(f"Đã xác nhận: {shown.vi}. Đồng hồ được tin cậy.", f"Confirmed: {shown.en}. The clock is trusted."))


def _mark(here: Frame) -> ClockMark:
    return ClockMark(here.config.server.data_dir, here.clock)
