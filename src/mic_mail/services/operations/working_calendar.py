"""Expected working calendars: provisional until the Centre enters or confirms the announced one.

In: a year. Out: a provisional `Year`, from the `holidays` library and the exchanged days of `exchanged_days/YEAR.toml`
(Labour Code 2019, Articles 111-112). `prefill` records the years around a day where none is on record (Reg. 7.3.b,
10.3, 12.3.a, 12.4); it never replaces a year. Blocking.
"""

from collections.abc import Mapping
from datetime import date
from functools import cache
from importlib.resources import files

from mic_mail.directory.repository import Directory
from mic_mail.errors import Text, in_ascii
from mic_mail.policy import calendar_file
from mic_mail.policy.calendar import SATURDAY, Year

_EXCHANGED = files(__package__) / "exchanged_days"


@cache
def expected_year(number: int) -> tuple[Year, Mapping[date, str]]:
    """Return the calendar that is expected for a year, and the Vietnamese name of each day off."""
    from holidays import country_holidays  # a quarter of a second, only where it is needed

    named = country_holidays("VN", years=number, language="vi")
    exchanged = _exchanged(number)
    names = {day: name for day, name in named.items() if day.weekday() < SATURDAY}
    names |= dict.fromkeys(exchanged.off - names.keys(), "Ngày nghỉ hoán đổi")
    worked = frozenset(day for day in named.weekend_workdays if day.year == number) | exchanged.worked
    return Year(number, frozenset(names) - exchanged.worked, worked - exchanged.off, provisional=True), names


@cache
def day_names(number: int) -> Mapping[date, Text]:
    """Return the names of a year's days off, as far as they are expected."""
    from holidays import country_holidays

    _, names = expected_year(number)
    english = country_holidays("VN", years=number, language="en_US")
    return {day: Text(name, _in_english(english.get(day, ""))) for day, name in names.items()}


def _in_english(name: str) -> str:
    """Return the library's name; for an exchanged day it names the other day in American style."""
    return "Exchanged day off" if not name or any(map(str.isdigit, name)) else in_ascii(name)


def _exchanged(number: int) -> Year:
    file = _EXCHANGED / f"{number}.toml"
    return calendar_file.read(file.read_text("utf-8"), None) if file.is_file() else Year(number)


def prefill(directory: Directory, today: date) -> list[int]:
    """Record the expected calendars of the years around `today` where none is; return those years."""
    around = range(max(today.year - 1, calendar_file.FIRST_YEAR), min(today.year + 1, calendar_file.LAST_YEAR) + 1)
    on_record = directory.years.working_days().known
    return [number for number in around if number not in on_record and directory.years.add(expected_year(number)[0])]
