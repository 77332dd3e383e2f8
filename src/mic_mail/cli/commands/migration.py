"""`mic-mail migration`: units on other mail systems, and the day by which each leaves (Reg. 14.5)."""

from typing import Annotated

from mic_mail.cli.acts import ExplainedAct, GroundedAct
from mic_mail.cli.authorization import requires
from mic_mail.cli.context import CliContext
from mic_mail.cli.date_args import read_day
from mic_mail.cli.options import Commands, argument, option
from mic_mail.cli.output import Column, ResultTable, row_of
from mic_mail.cli.output_files import DocumentFile, print_written, write_paper
from mic_mail.errors import Text
from mic_mail.policy.authorization.roles import Right
from mic_mail.policy.migration_plans import PlanStanding
from mic_mail.services.reports.migration_register import STANDINGS, MigrationRegister

app = Commands()

PLANS = (
    Column("plan_id", "Số", "No.", right=True, of="plan.plan_id"),
    Column("unit", "Ký hiệu", "Symbol", of="unit.symbol"),
    Column("name", "Đơn vị", "Unit", of="unit.name"),
    Column("system", "Hệ thống", "System", of="plan.system"),
    Column("mailboxes", "Hộp thư", "Mailboxes", right=True, of="plan.mailboxes"),
    Column("planned_on", "Hạn", "By", of="plan.planned_on"),
    Column("standing", "Tình trạng", "State", names=STANDINGS),
    Column("times_replaced", "Số lần lùi", "Postponed", right=True),
    Column("contact", "Đầu mối", "Contact"),
    Column("document", "Văn bản", "Document"),
    Column("ended_at", "Kết thúc", "Ended", of="plan.ended_at"),
)


@app.command("Ghi kế hoạch chuyển của đơn vị; ghi lại là lùi ngày.", "Record a unit's plan; recording it again postpones it.")
@requires(Right.ACT, act="migration_plan", clauses="14.5")
def plan(
    unit: Annotated[str, argument("UNIT", "Ký hiệu đơn vị.", "The unit's symbol.")],
    *,
    system: Annotated[str, option("--system", "Hệ thống đang dùng.", "The system that it uses.")],
    mailboxes: Annotated[int, option("--mailboxes", "Số hộp thư ở đó.", "Number of mailboxes in that system.")],
    by: Annotated[str, option("--by", "Ngày chuyển xong, 31/03/2027.", "The planned day, e.g. 31/03/2027.")],
    contact: Annotated[str, option("--contact", "Đầu mối của đơn vị.", "The contact in the unit.")] = "",
    act: GroundedAct,
) -> Text:
    here = act.here
    which, day, origin = here.directory.unit(unit), read_day(by), act.origin
    with act.recorded(which.symbol, system=system, mailboxes=mailboxes, planned_on=day):
        made = here.use_cases(MigrationRegister).plan(
            which, origin, system=system, mailboxes=mailboxes, planned_on=day, contact=contact
        )
    return Text(f"Đã ghi kế hoạch số {made.plan_id} của {which.symbol}.", f"Plan {made.plan_id} is recorded.")


@app.command("Liệt kê kế hoạch; mặc định: chưa xong.", "List the plans, by default open ones.", name="list")
@requires(Right.READ, clauses="14.5")
def list_plans(
    here: CliContext,
    *,
    overdue: Annotated[bool, option("--overdue", "Chỉ quá hạn.", "Only those overdue.")] = False,
    everything: Annotated[bool, option("--all", "Cả đã kết thúc.", "Also those that ended.")] = False,
) -> ResultTable:
    found = here.use_cases(MigrationRegister).known(all_of_them=everything)
    rows = (
        row_of(PLANS, each, contact=each.plan.contact or None, document=each.plan.end_document or each.plan.document)
        for each in found
        if not overdue or each.standing is PlanStanding.OVERDUE
    )
    return ResultTable(PLANS, rows)


@app.command("Ghi đơn vị đã chuyển xong.", "Record that a unit has left the system.")
@requires(Right.ACT, act="migration_done", clauses="14.5")
def done(number: Annotated[int, argument("NUMBER", "Số của kế hoạch.", "The plan's number.")], *, act: GroundedAct) -> Text:
    here = act.here
    with act.recorded(str(number)):
        ended = here.use_cases(MigrationRegister).finish(number, act.origin)
    return Text(f"Kế hoạch số {number} đã hoàn thành: {ended.system}.", f"Plan {number} is done.")


@app.command("Lập sổ theo dõi thành tệp PDF, XLSX, HTML, CSV.", "Write the register as PDF, XLSX, HTML or CSV.")
@requires(Right.READ, act="migration_paper", clauses="14.5")
def paper(*, out: DocumentFile, act: ExplainedAct) -> None:
    here = act.here
    with act.recorded("*"):
        print_written(write_paper(here, out, here.use_cases(MigrationRegister).paper()))
