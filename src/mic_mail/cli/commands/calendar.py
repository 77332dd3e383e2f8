"""`mic-mail calendar`: the working calendar, by which terms count (Reg. 7.3.b, 10.3, 12.4).

A fresh server has the expected calendar of the years around today on record. What the Centre confirms, or enters from a file
for each year, is authoritative; `prefill` prints the expected calendar as a draft.
"""

import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from mic_mail.cli import output
from mic_mail.cli.acts import Act, GroundedAct
from mic_mail.cli.authorization import open_to_all, requires
from mic_mail.cli.context import CliContext
from mic_mail.cli.date_args import read_day
from mic_mail.cli.options import Commands, JsonOption, argument
from mic_mail.cli.output import Cell, Column, ResultRecord, row_of
from mic_mail.cli.output_files import not_readable, read_file
from mic_mail.directory.records import NotFound
from mic_mail.errors import Text
from mic_mail.policy import calendar_file
from mic_mail.policy.authorization.roles import Right
from mic_mail.policy.calendar import Year, local_day
from mic_mail.services.operations.working_calendar import day_names, expected_year

app = Commands()

COLUMNS = (
    Column("year", "Năm", "Year", right=True),
    Column("provisional", "Dự kiến", "Provisional"),
    Column("off", "Ngày nghỉ", "Off"),
    Column("worked", "Ngày làm bù", "Worked"),
    Column("document", "Văn bản", "Document"),
)
DAYS = (
    Column("day", "Ngày", "Day"),
    Column("weekday", "Thứ", "Weekday"),
    Column("kind", "Loại", "Kind", names={"off": Text("nghỉ", "off"), "worked": Text("làm bù", "worked")}),
    Column("name", "Tên gọi", "Name"),
    Column(
        "state",
        "Lịch",
        "Calendar",
        names={"expected": Text("dự kiến", "expected"), "confirmed": Text("chính thức", "confirmed")},
    ),
    Column("document", "Văn bản", "Document"),
)
_WEEKDAYS = tuple(
    map(
        Text,
        ("thứ hai", "thứ ba", "thứ tư", "thứ năm", "thứ sáu", "thứ bảy", "chủ nhật"),
        ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"),
    )
)
COUNTED = (
    Column("start", "Từ ngày", "From"),
    Column("days", "Ngày làm việc", "Working days", right=True),
    Column("due", "Hạn", "Due"),
    Column("known", "Đã có lịch", "Calendar entered"),
    Column("expected", "Lịch dự kiến", "Calendar expected"),
)
LONGEST_FILE = 100_000
"""The octets read of a year's file: a year has 366 days."""
YearNumber = Annotated[int, typer.Argument(metavar="YEAR", min=calendar_file.FIRST_YEAR, max=calendar_file.LAST_YEAR)]


@app.command("In lịch dự kiến của một năm, để sửa rồi nhập.", "Print the expected calendar of a year, for correction.")
@open_to_all()
def prefill(year: YearNumber) -> None:
    sys.stdout.write(calendar_file.write(*expected_year(year)))


@app.command("Nhập lịch của một năm; thay lịch đã nhập.", "Enter the calendar of a year, replacing the old one.", name="set")
@requires(Right.ACT, act="calendar_set", clauses="10.3")
def set_year(
    file: Annotated[Path, argument("FILE", "Tệp theo mẫu của prefill.", "A file in the form that prefill prints.")],
    *,
    act: GroundedAct,
) -> Text:
    try:
        text = read_file(act.here, file, LONGEST_FILE).decode()
    except UnicodeDecodeError as error:
        raise not_readable(file, Text("không phải UTF-8", "it is not UTF-8")) from error
    year = calendar_file.read(text, act.document)
    act.origin = replace(act.origin, document=year.document)
    return _put(act, year)


@app.command(
    "Xác nhận lịch dự kiến của một năm theo văn bản đã ban hành; ngày sai thì sửa tệp và dùng set.",
    "Confirm the expected calendar of a year after the announcement; for wrong days correct the file and use set.",
)
@requires(Right.ACT, act="calendar_set")
def confirm(year: YearNumber, *, act: GroundedAct) -> Text:
    missing = Text("Thiếu số văn bản công bố lịch.", "The number of the document that announced the calendar is missing.")
    document = act.origin.must_have_document("12.4", missing)
    return _put(act, replace(_on_record(act.here, year), document=document, provisional=False))


def _on_record(here: CliContext, number: int) -> Year:
    for year in here.directory.years.all():
        if year.year == number:
            return year
    how = f"mic-mail calendar prefill {number} > {number}.toml; mic-mail calendar set {number}.toml"
    raise NotFound(Text(f"Chưa có lịch năm {number}.", f"No calendar recorded for {number}."), remedy=Text(how, how))


def _put(act: Act, year: Year) -> Text:
    with act.recorded(str(year.year), off=sorted(year.off), worked=sorted(year.worked), provisional=year.provisional):
        act.here.directory.years.put(year)
    return Text(
        f"Đã nhập lịch năm {year.year}{' (dự kiến)' if year.provisional else ''}: "
        f"{len(year.off)} ngày nghỉ, {len(year.worked)} ngày làm bù.",
        f"The calendar of {year.year} is entered{' (expected)' if year.provisional else ''}: "
        f"{len(year.off)} days off, {len(year.worked)} days worked.",
    )


@app.command("Xem lịch đã nhập.", "Show what was entered.")
@requires(Right.READ, clauses="10.3")
def show(
    here: CliContext, year: Annotated[int | None, typer.Argument(metavar="[YEAR]")] = None, as_json: JsonOption = False
) -> None:
    years = [each for each in here.directory.years.all() if year in {None, each.year}]
    rows = (row_of(COLUMNS, each, off=sorted(each.off), worked=sorted(each.worked)) for each in years)
    output.listing(COLUMNS, rows, as_json=as_json)
    this_year = local_day(here.clock.now()).year
    calendar = here.directory.years.working_days()
    soon = (this_year, this_year + 1)
    expected = [number for number in soon if number in calendar.expected]
    if expected and year is None:
        _print_expected(expected)
    missing = [number for number in soon if number not in calendar.known]
    if missing and year is None:
        named = ", ".join(map(str, missing))
        output.note(
            f"Chưa có lịch năm {named}: chỉ thứ bảy, chủ nhật được tính là ngày nghỉ.",
            f"No calendar recorded for {named}: only Saturdays and Sundays count as days off.",
        )


@app.command(
    "Các ngày nghỉ và ngày làm bù của một năm; mặc định năm nay.",
    "The days off and worked of a year; default: this one.",
    name="list",
)
@requires(Right.READ, clauses="10.3")
def list_days(
    here: CliContext, year: Annotated[int | None, typer.Argument(metavar="[YEAR]")] = None, as_json: JsonOption = False
) -> None:
    found = _on_record(here, year if year is not None else local_day(here.clock.now()).year)
    names = day_names(found.year)
    rows: list[dict[str, Cell]] = [
        {
            "day": day,
            "weekday": _WEEKDAYS[day.weekday()],
            "kind": "off" if day in found.off else "worked",
            "name": names.get(day) if day in found.off else None,
            "state": "expected" if found.provisional else "confirmed",
            "document": found.document,
        }
        for day in sorted(found.off | found.worked)
    ]
    output.listing(DAYS, rows, as_json=as_json)
    if found.provisional:
        _print_expected([found.year])


def _print_expected(years: Sequence[int]) -> None:
    """Print how an expected calendar becomes the announced one."""
    named = ", ".join(map(str, years))
    output.note(
        f"Lịch năm {named} là dự kiến; khi có thông báo chính thức: mic-mail calendar confirm NĂM --document SỐ",
        f"The calendar of {named} is expected; once announced: mic-mail calendar confirm YEAR --document NUMBER",
    )


@app.command("Tính hạn theo ngày làm việc.", "Count working days from a day.")
@requires(Right.READ, clauses="7.3.b")
def count(
    here: CliContext,
    start: Annotated[str, argument("DAY", "Ngày nhận, không tính.", "Day of receipt, not counted.")],
    days: Annotated[int, argument("DAYS", "Số ngày làm việc.", "Working days.", min=0, max=366)],
) -> ResultRecord:
    calendar = here.directory.years.working_days()
    first = read_day(start)
    due = calendar.after(first, days)
    years = set(range(first.year, due.year + 1))
    row: dict[str, Cell] = {
        "start": first,
        "days": days,
        "due": due,
        "known": years <= calendar.known,
        "expected": bool(years & calendar.expected),
    }
    return ResultRecord(COUNTED, row)
