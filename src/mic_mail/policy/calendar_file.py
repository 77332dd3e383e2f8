"""The working calendar of a year as a file that people write and sign. Pure.

TOML in, `Year` out, and back.

year = 2026
provisional = false
document = "Thông báo 9441/TB-BNV"
off = ["01/01/2026", "02/01/2026"]       # a weekday that is off
worked = ["10/01/2026"]                  # a weekend day that is worked
"""

import tomllib
from collections.abc import Iterable, Mapping
from datetime import date, datetime

from mic_mail.errors import BadInput, Text, in_ascii
from mic_mail.policy.calendar import SATURDAY, Year

FIRST_YEAR, LAST_YEAR = 1945, 2199
_KEYS = {"year", "provisional", "document", "off", "worked"}


class BadYearFile(BadInput):
    """The file names no year, or days outside it."""

    def __init__(self, why: Text) -> None:
        super().__init__(
            Text(f"Tệp lịch làm việc sai: {why.vi}.", f"The calendar file has a mistake: {why.en}."),
            remedy=Text("Xem mẫu: mic-mail calendar prefill NĂM", "Print a template: mic-mail calendar prefill YEAR"),
        )


def read(text: str, document: str | None) -> Year:
    """Parse the year from a file.

    `document`, if given, is the announcement, and the year is then no longer provisional.
    """
    try:
        table = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise BadYearFile(Text("không phải TOML", "it is not TOML")) from error
    unknown = sorted(set(table) - _KEYS)
    if unknown:
        raise BadYearFile(Text(f"không có mục {unknown[0]}", f"unknown key {in_ascii(unknown[0])}"))
    number = table.get("year")
    if type(number) is not int or not FIRST_YEAR <= number <= LAST_YEAR:
        raise BadYearFile(Text("thiếu year", "year is missing"))
    off, worked = (_days(table.get(key, []), number) for key in ("off", "worked"))
    for day in sorted(worked):
        if day.weekday() < SATURDAY:
            shown = f"{day:%d/%m/%Y}"
            raise BadYearFile(Text(f"{shown} không phải ngày cuối tuần", f"{shown} is not a weekend day"))
    if off & worked:
        shown = f"{min(off & worked):%d/%m/%Y}"
        raise BadYearFile(Text(f"{shown} vừa nghỉ vừa làm", f"{shown} is listed both as off and as worked"))
    named = document or table.get("document") or None
    provisional = document is None and bool(table.get("provisional", named is None))
    if not provisional and not isinstance(named, str):
        raise BadYearFile(Text("thiếu số văn bản", "the document is missing"))
    return Year(number, off, worked, named, provisional=provisional)


def _days(value: object, year: int) -> frozenset[date]:
    if not isinstance(value, list):
        raise BadYearFile(Text("off và worked là danh sách ngày", "off and worked must be lists of days"))
    days = [_day(each) for each in value]
    for day in days:
        if day.year != year:
            raise BadYearFile(Text(f"{day:%d/%m/%Y} không thuộc năm {year}", f"{day:%d/%m/%Y} is not of {year}"))
    return frozenset(days)


def _day(value: object) -> date:
    if isinstance(value, date) and not isinstance(value, datetime):
        return value
    try:
        return datetime.strptime(str(value).strip(), "%d/%m/%Y").date()  # noqa: DTZ007 - only the day is used
    except ValueError:
        raise BadYearFile(Text(f"không hiểu ngày “{value}”", "a day cannot be read (write 31/08/2026)")) from None


def write(year: Year, names: Mapping[date, str] | None = None) -> str:
    """Write a file that `read` parses; `names` gives each day's name, as a comment."""
    lines = [f"year = {year.year}", f"provisional = {'true' if year.provisional else 'false'}"]
    if year.provisional:
        lines[-1] += "  # dự kiến: thay bằng thông báo chính thức"
    if year.document:
        escaped = year.document.replace("\\", "\\\\").replace('"', '\\"')
        lines.append(f'document = "{escaped}"')
    lines += ["off = [", *_lines(year.off, names or {}), "]", "worked = [", *_lines(year.worked, names or {}), "]", ""]
    return "\n".join(lines)


def _lines(days: Iterable[date], names: Mapping[date, str]) -> list[str]:
    return [f'    "{day:%d/%m/%Y}",' + (f"  # {names[day]}" if day in names else "") for day in sorted(days)]
