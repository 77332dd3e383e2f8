"""`mic-mail report usage|problems`: reports of the Centre, and of one unit (Reg. 16.1, 16.2, 18)."""

from datetime import date
from typing import Annotated

from mic_mail.cli.acts import ExplainedAct
from mic_mail.cli.authorization import requires
from mic_mail.cli.context import CliContext
from mic_mail.cli.date_args import read_day
from mic_mail.cli.options import Commands, option
from mic_mail.cli.output_files import DocumentFile, print_written, write_paper
from mic_mail.policy.authorization.roles import Right
from mic_mail.policy.calendar import ONE_DAY, add_months, local_day
from mic_mail.policy.date_ranges import DateRange
from mic_mail.policy.requests import RequestKind
from mic_mail.services.reports.problems import Problems
from mic_mail.services.reports.usage import Usage

app = Commands()

FirstOption = Annotated[
    str | None, option("--from", "Từ ngày; mặc định: một kỳ trước.", "First day; default: one interval ago.")
]
LastOption = Annotated[str | None, option("--until", "Đến hết ngày; mặc định: hôm qua.", "Last day; default: yesterday.")]

UnitOption = Annotated[str | None, option("--unit", "Chỉ một đơn vị.", "Only one unit.")]


@app.command("Tình hình sử dụng trong một khoảng thời gian.", "Report the usage of a period.")
@requires(Right.READ, act="report_usage", clauses="16.1.b 16.1.c 16.2")
def usage(
    *, out: DocumentFile, first: FirstOption = None, last: LastOption = None, unit: UnitOption = None, act: ExplainedAct
) -> None:
    here = act.here
    span = _span(here, first, last)
    which = here.directory.unit(unit) if unit else None
    with act.recorded(which.symbol if which else "*", concerns=which, first=span.first, last=span.last):
        paper = Usage(here.directory, here.store, here.config, here.clock, span).paper(which)
        print_written(write_paper(here, out, paper))


@app.command("Tổng hợp vướng mắc (Điều 18).", "Report the problems reported to the Centre (18).")
@requires(Right.READ, act="report_problems", clauses="18")
def problems(
    *,
    out: DocumentFile,
    first: FirstOption = None,
    last: LastOption = None,
    kinds: Annotated[
        list[RequestKind] | None, option("--kind", "Loại yêu cầu; có thể lặp lại.", "Kinds of requests; repeatable.")
    ] = None,
    unit: UnitOption = None,
    act: ExplainedAct,
) -> None:
    here = act.here
    span = _span(here, first, last)
    which = here.directory.unit(unit) if unit else None
    wanted = kinds or [RequestKind.PROBLEM]
    with act.recorded(which.symbol if which else "*", concerns=which, kinds=wanted, first=span.first, last=span.last):
        paper = Problems(here.directory, here.config, here.clock, span, wanted).paper(which)
        print_written(write_paper(here, out, paper))


def _span(here: CliContext, first: str | None, last: str | None) -> DateRange:
    ends = read_day(last) if last else local_day(here.clock.now()) - ONE_DAY
    return DateRange(read_day(first) if first else _interval_before(ends, here.config.report.usage_months), ends)


def _interval_before(last: date, months: int) -> date:
    return add_months(last + ONE_DAY, -months)
