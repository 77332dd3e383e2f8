"""Instants, days, sizes and percentages as people read them.

Everything is shown in Asia/Ho_Chi_Minh, the calendar in which the regulation counts (clock.HO_CHI_MINH). Vietnamese form: "10
giờ 05 phút ngày 03/02/2026" (hour first, then day; two digits each); English: "3 February 2026, 10:05". Babel is not used: two
languages and four formats are less code than its dependency, and it does not have the ministry's form of a date.
"""

import re
from datetime import date, datetime, timedelta

from mic_mail.clock import HO_CHI_MINH
from mic_mail.errors import Text

_MONTHS = (
    "January February March April May June July August September October November December"
).split()  # fmt: skip

_GIB = 1 << 30
_MIB = 1 << 20


def local(instant: datetime) -> datetime:
    """Return `instant` on the ministry's wall clock."""
    return instant.astimezone(HO_CHI_MINH)


def day(moment: datetime | date) -> Text:
    """Return the day of `moment`: "03/02/2026", "3 February 2026"."""
    d = local(moment).date() if isinstance(moment, datetime) else moment
    return Text(f"{d:%d/%m/%Y}", f"{d.day} {_MONTHS[d.month - 1]} {d.year}")


def instant(moment: datetime) -> Text:
    """Return the minute of `moment`: "10 giờ 05 phút ngày 03/02/2026"."""
    t = local(moment)
    date_text = day(t)
    return Text(f"{t:%H} giờ {t:%M} phút ngày {date_text.vi}", f"{date_text.en}, {t:%H:%M}")


def short_day(moment: date) -> str:
    """Return the day for a table cell, the same in both languages: "03/02/2026"."""
    return f"{moment:%d/%m/%Y}"


def short(moment: datetime) -> str:
    """Return the minute for a table cell, the same in both languages: "03/02/2026 10:05"."""
    return f"{local(moment):%d/%m/%Y %H:%M}"


_DAY_OR_INSTANT = re.compile(r"\d{4}-\d\d-\d\d(?:T\d\d:\d\d(?::\d\d(?:\.\d+)?)?(?:Z|[+-]\d\d:\d\d))?")


def readable(value: str) -> str:
    """Return a recorded ISO 8601 day or instant as a table shows it; any other value unchanged."""
    if not _DAY_OR_INSTANT.fullmatch(value):
        return value
    try:
        return short(datetime.fromisoformat(value)) if "T" in value else short_day(date.fromisoformat(value))
    except ValueError:
        return value


def size(octets: int) -> Text:
    """Return a size in the units of Reg. 8.3.b (1 GB = 2^30); Vietnamese uses the decimal comma."""
    for unit, name in ((_GIB, "GB"), (_MIB, "MB"), (1 << 10, "KB")):
        if octets >= unit:
            number = f"{octets / unit:.1f}".removesuffix(".0")
            return Text(f"{number.replace('.', ',')} {name}", f"{number} {name}")
    return Text(f"{octets} byte", f"{octets} bytes" if octets != 1 else "1 byte")


def last_day_before(moment: datetime) -> Text:
    """Return the last whole day before an instant.

    A term that ends at 00:00 of one day ends with the day before (Reg. 6.4.c).
    """
    return day(local(moment) - timedelta(microseconds=1))
