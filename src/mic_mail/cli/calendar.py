"""`mic-mail calendar prefill|set|show|count`: the working calendar, by which deadlines count (Reg. 7.3.b, 10.3, 12.4).

The authority is what was entered, a file for each year; `prefill` only writes down what a library expects, marked so.
"""

import sys
from datetime import date
from pathlib import Path
from typing import Annotated

import typer

from mic_mail.cli import output
from mic_mail.cli.days import read_day
from mic_mail.cli.frame import frame
from mic_mail.cli.gate import asks, open_to_all
from mic_mail.cli.options import ActorOption, DocumentOption, JsonOption, WhyOption
from mic_mail.cli.output import Cell, Column, say
from mic_mail.cli.record import on_record
from mic_mail.errors import BadInput, Text
from mic_mail.i18n import dates
from mic_mail.policy import yearfile
from mic_mail.policy.calendar import SATURDAY, Year, local_day
from mic_mail.policy.roles import Right
from mic_mail.services.mailboxes.credentials import Origin

app = typer.Typer(help=say("Lịch làm việc.", "The working calendar."), no_args_is_help=True)

COLUMNS = (
    Column("year", "Năm", "Year", right=True),
    Column("provisional", "Dự kiến", "Provisional"),
    Column("off", "Ngày nghỉ", "Off"),
    Column("worked", "Ngày làm bù", "Worked"),
    Column("document", "Văn bản", "Document"),
)
COUNTED = (
    Column("start", "Từ ngày", "From"),
    Column("days", "Ngày làm việc", "Working days", right=True),
    Column("due", "Hạn", "Due"),
    Column("known", "Đã có lịch", "Calendar entered"),
)
YearNumber = Annotated[int, typer.Argument(metavar="YEAR", min=yearfile.FIRST_YEAR, max=yearfile.LAST_YEAR)]


@app.command(help=say("In lịch dự kiến của một năm, để sửa rồi nhập.", "Print the expected calendar of a year, to be mended."))
@open_to_all
def prefill(year: YearNumber) -> None:
    from holidays import country_holidays

    named = country_holidays("VN", years=year, language="vi")
    off = {day: name for day, name in named.items() if day.weekday() < SATURDAY}
    worked = frozenset(day for day in named.weekend_workdays if day.year == year)
    sys.stdout.write(yearfile.write(Year(year, frozenset(off), worked, provisional=True), off))


@app.command(
    "set", help=say("Nhập lịch của một năm; thay lịch đã nhập.", "Enter the calendar of a year; replaces the old one.")
)
@asks(Right.ACT)
def set_year(
    ctx: typer.Context,
    file: Annotated[Path, typer.Argument(help=say("Tệp theo mẫu của prefill.", "A file as prefill writes it."))],
    *,
    document: DocumentOption = None,
    reason: WhyOption = "",
    actor: ActorOption = None,
) -> None:
    here = frame(ctx)
    try:
        year = yearfile.read(file.read_text("utf-8"), document)
    except (OSError, UnicodeDecodeError) as error:
        raise BadInput(Text(f"Không đọc được tệp {file}.", "The file cannot be read.")) from error
    origin = Origin(here.actor(actor), reason, year.document)
    with on_record(
        here, "calendar_set", str(year.year), origin,
        off=sorted(year.off), worked=sorted(year.worked), provisional=year.provisional,
    ):  # fmt: skip
        here.directory.years.put(year)
    output.note(
        Text(
            f"Đã nhập lịch năm {year.year}{' (dự kiến)' if year.provisional else ''}: "
            f"{len(year.off)} ngày nghỉ, {len(year.worked)} ngày làm bù.",
            f"The calendar of {year.year} is entered{' (provisional)' if year.provisional else ''}: "
            f"{len(year.off)} days off, {len(year.worked)} days worked.",
        )
    )


@app.command(help=say("Xem lịch đã nhập.", "Show what was entered."))
@asks(Right.READ)
def show(
    ctx: typer.Context,
    year: Annotated[int | None, typer.Argument(metavar="[YEAR]")] = None,
    as_json: JsonOption = False,
) -> None:
    here = frame(ctx)
    years = [each for each in here.directory.years.all() if year in {None, each.year}]
    rows: list[dict[str, Cell]] = [
        {
            "year": each.year,
            "provisional": each.provisional,
            "off": [output.told(dates.day(day)) if not as_json else day.isoformat() for day in sorted(each.off)],
            "worked": [output.told(dates.day(day)) if not as_json else day.isoformat() for day in sorted(each.worked)],
            "document": each.document,
        }
        for each in years
    ]
    output.listing(COLUMNS, rows, as_json=as_json)
    this_year = local_day(here.clock.now()).year
    known = here.directory.years.working_days().known
    missing = [number for number in (this_year, this_year + 1) if number not in known]
    if missing and year is None:
        named = ", ".join(map(str, missing))
        output.note(
            Text(
                f"Chưa có lịch năm {named}: chỉ thứ bảy, chủ nhật được tính là ngày nghỉ.",
                f"No calendar of {named} yet: only Saturdays and Sundays count as days of rest.",
            )
        )


@app.command(help=say("Tính hạn theo ngày làm việc.", "Count working days from a day."))
@asks(Right.READ)
def count(
    ctx: typer.Context,
    start: Annotated[str, typer.Argument(metavar="DAY", help=say("Ngày nhận, không tính.", "Day of receipt, not counted."))],
    days: Annotated[int, typer.Argument(min=0, max=366, help=say("Số ngày làm việc.", "Working days."))],
    as_json: JsonOption = False,
) -> None:
    calendar = frame(ctx).directory.years.working_days()
    first = read_day(start)
    due = calendar.after(first, days)
    row: dict[str, Cell] = {"start": first, "days": days, "due": due, "known": _known(calendar.known, first, due)}
    output.record(COUNTED, row, as_json=as_json)


def _known(years: frozenset[int], first: date, last: date) -> bool:
    return set(range(first.year, last.year + 1)) <= years
