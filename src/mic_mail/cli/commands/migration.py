"""`mic-mail migration plan|list|done|paper`: units that still use another mail system (Reg. 14.5).

Each has a plan with the date by which it leaves that system.
"""

from pathlib import Path
from typing import Annotated

import typer

from mic_mail.cli import output
from mic_mail.cli.acts import ExplainedAct, GroundedAct
from mic_mail.cli.authorization import requires
from mic_mail.cli.context import CliContext, frame
from mic_mail.cli.date_args import read_day
from mic_mail.cli.options import JsonOption
from mic_mail.cli.output import Column, Row, say
from mic_mail.cli.output_files import check_kind, write_paper
from mic_mail.errors import Text
from mic_mail.policy.authorization.roles import Right
from mic_mail.policy.migration_plans import Standing
from mic_mail.services.reports.migration_register import STANDINGS, Register

app = typer.Typer(
    help=say("Đơn vị còn dùng hệ thống thư khác (14.5).", "Units on other mail systems (14.5)."), no_args_is_help=True
)

PLANS = (
    Column("plan_id", "Số", "No", right=True),
    Column("unit", "Ký hiệu", "Symbol"),
    Column("name", "Đơn vị", "Unit"),
    Column("system", "Hệ thống", "System"),
    Column("mailboxes", "Hộp thư", "Mailboxes", right=True),
    Column("planned_on", "Hạn", "By"),
    Column("standing", "Tình trạng", "State", names=STANDINGS),
    Column("times_replaced", "Số lần lùi", "Put off", right=True),
    Column("contact", "Đầu mối", "Contact"),
    Column("document", "Văn bản", "Document"),
    Column("ended_at", "Kết thúc", "Ended"),
)


@app.command(
    help=say("Ghi kế hoạch chuyển của đơn vị; ghi lại là lùi ngày.", "Record a unit's plan; recording it again postpones it.")
)
@requires(Right.ACT, act="migration_plan", clauses="14.5")
def plan(
    unit: Annotated[str, typer.Argument(metavar="UNIT", help=say("Ký hiệu đơn vị.", "The unit's symbol."))],
    *,
    system: Annotated[str, typer.Option("--system", help=say("Hệ thống đang dùng.", "The system that it uses."))],
    mailboxes: Annotated[int, typer.Option("--mailboxes", help=say("Số hộp thư ở đó.", "Number of mailboxes in that system."))],
    by: Annotated[str, typer.Option("--by", help=say("Ngày chuyển xong, 31/03/2027.", "The planned day, e.g. 31/03/2027."))],
    contact: Annotated[str, typer.Option("--contact", help=say("Đầu mối của đơn vị.", "The contact in the unit."))] = "",
    act: GroundedAct,
) -> Text:
    here = act.here
    which, day, origin = here.directory.unit(unit), read_day(by), act.origin
    with act.recorded(which.symbol, system=system, mailboxes=mailboxes, planned_on=day):
        made = _register(here).plan(which, origin, system=system, mailboxes=mailboxes, planned_on=day, contact=contact)
    return Text(f"Đã ghi kế hoạch số {made.plan_id} của {which.symbol}.", f"Plan {made.plan_id} is recorded.")


@app.command("list", help=say("Liệt kê kế hoạch; mặc định: chưa xong.", "List the plans, by default open ones."))
@requires(Right.READ, clauses="14.5")
def list_plans(
    ctx: typer.Context,
    *,
    overdue: Annotated[bool, typer.Option("--overdue", help=say("Chỉ quá hạn.", "Only those overdue."))] = False,
    everything: Annotated[bool, typer.Option("--all", help=say("Cả đã kết thúc.", "Also those that ended."))] = False,
    as_json: JsonOption = False,
) -> None:
    found = _register(frame(ctx)).known(all_of_them=everything)
    rows: list[Row] = [
        {
            "plan_id": each.plan.plan_id,
            "unit": each.unit.symbol,
            "name": each.unit.name,
            "system": each.plan.system,
            "mailboxes": each.plan.mailboxes,
            "planned_on": each.plan.planned_on,
            "standing": each.standing.value,
            "times_replaced": each.times_replaced,
            "contact": each.plan.contact or None,
            "document": each.plan.end_document or each.plan.document,
            "ended_at": each.plan.ended_at,
        }
        for each in found
        if not overdue or each.standing is Standing.OVERDUE
    ]
    output.listing(PLANS, rows, as_json=as_json)


@app.command(help=say("Ghi đơn vị đã chuyển xong.", "Record that a unit has left the system."))
@requires(Right.ACT, act="migration_done", clauses="14.5")
def done(
    number: Annotated[int, typer.Argument(metavar="NUMBER", help=say("Số của kế hoạch.", "The plan's number."))],
    *,
    act: GroundedAct,
) -> Text:
    here = act.here
    with act.recorded(str(number)):
        ended = _register(here).finish(number, act.origin)
    return Text(f"Kế hoạch số {number} đã hoàn thành: {ended.system}.", f"Plan {number} is done.")


@app.command(help=say("Lập sổ theo dõi thành tệp PDF, XLSX, HTML, CSV.", "Write the register as PDF, XLSX, HTML or CSV."))
@requires(Right.READ, act="migration_paper", clauses="14.5")
def paper(
    *,
    out: Annotated[
        Path, typer.Option("--out", help=say("Tệp .pdf, .xlsx, .html hoặc .csv.", "A file .pdf, .xlsx, .html or .csv."))
    ],
    act: ExplainedAct,
) -> Text:
    here = act.here
    check_kind(out)
    with act.recorded("*"):
        written = write_paper(here, out, _register(here).paper())
    names = ", ".join(map(str, written))
    return Text(f"Đã ghi {names}.", f"{len(written)} files are written." if len(written) > 1 else "The file is written.")


def _register(here: CliContext) -> Register:
    return Register(here.directory, here.config, here.clock)
