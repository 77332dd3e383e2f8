"""Parse the Date field as an instant.

In: the value of a Date field, read as tolerantly as mail needs. Out: seconds since the epoch, or the day; or None. Never
raises; 2 us. RFC 5322 §3.3 and §4.3; also the forms of `asctime`, old news software and ISO 8601.
"""

import re
from functools import lru_cache

from mic_mail.mime.headers import strip_comments

_USUAL = re.compile(
    rb"[ \t]*+(?:[A-Za-z]{3},[ ])?(\d{1,2})[ ]([A-Z][a-z]{2})[ ](\d{4})[ ](\d\d):([0-5]\d):([0-5]\d)[ ]([+-]\d{4})"
)
"""The form of RFC 5322 §3.3, which nearly all programs write; trailing text is ignored."""
_MONTHS = {name: number for number, name in enumerate(b"jan feb mar apr may jun jul aug sep oct nov dec".split(), 1)}

_MONTHS |= {name.title(): number for name, number in _MONTHS.items()}
_FIELDS = ("year", "month", "day", "hour", "minute", "second")
_TIME = rb"(?:[ \tT]*+(?P<hour>\d{1,2})[:.](?P<minute>\d{1,2})(?:[:.](?P<second>\d{1,2})(?:[.,]\d*+)?)?)?"
_ZONE = rb"[ \t]*(?P<zone>(?:GMT|UTC?)?[+-]\d{1,2}:?\d{2}|[A-Za-z]{1,5})?"
_DAY_FIRST = re.compile(
    rb"[ \t]*+(?:[A-Za-z]{2,9}+[., \t]++)?(?P<day>\d{1,2})[ \t-]*+"
    rb"(?P<month>[A-Za-z]{3})[a-z]*+[., \t-]*+(?P<year>\d{2,4})[ \t,]*+" + _TIME + _ZONE
)
_ASCTIME = re.compile(
    rb"[ \t]*+(?:[A-Za-z]{2,9}+[., \t]++)?(?P<month>[A-Za-z]{3})[a-z]*+[. \t]++(?P<day>\d{1,2}),?"
    + _TIME
    + _ZONE
    + rb"[ \t,]++(?P<year>\d{4})"
)
_ISO = re.compile(rb"[ \t]*+(?P<year>\d{4})-(?P<month>\d{2})-(?P<day>\d{2})" + _TIME + _ZONE)

_ZONES = {b"EST": -5, b"EDT": -4, b"CST": -6, b"CDT": -5, b"MST": -7, b"MDT": -6, b"PST": -8, b"PDT": -7}
"""Named zones of RFC 5322 §4.3; any other name means an unknown zone, and counts as UTC."""


def parse_date(value: bytes) -> int | None:
    """Return seconds since the epoch (UTC), or None when the value holds no date."""
    found = _read(value)
    return None if found is None else found[0] - found[1]


def written_day(value: bytes) -> int | None:
    """Return the day as written in days since 1970-01-01, without time and zone; None without a date."""
    found = _read(value)
    return None if found is None else found[0] // 86_400


def _read(value: bytes) -> tuple[int, int] | None:
    """Return the local time as seconds since the epoch, and the seconds that the zone is east of UTC."""
    if len(value) > 200:
        return None
    usual = _USUAL.match(value)
    if usual is not None:
        day_, word, year_, hour_, minute_, second_, zone = usual.groups()
        month, day, hour = _MONTHS.get(word), int(day_), int(hour_)
        if month is not None and 1 <= day <= 31 and hour <= 24:
            seconds = _days(int(year_), month, day) * 86_400 + hour * 3600 + int(minute_) * 60 + int(second_)
            return seconds, _offset(zone)
    value = strip_comments(value)
    for form in (_DAY_FIRST, _ASCTIME, _ISO):
        match = form.match(value)
        if match:
            local = _local(match)
            if local is not None:
                return local, _offset(match["zone"])
    return None


def _local(match: re.Match[bytes]) -> int | None:
    year_, word, day_, hour_, minute_, second_ = match.group(*_FIELDS)
    month = _MONTHS.get(word.lower()) or (int(word) if word.isdigit() else 0)
    day, year = int(day_), int(year_)
    if len(year_) < 4:  # RFC 5322 §4.3
        year += 2000 if year < 50 and len(year_) == 2 else 1900
    hour, minute, second = int(hour_ or 0), int(minute_ or 0), int(second_ or 0)
    if not (1 <= month <= 12 and 1 <= day <= 31 and hour <= 24 and minute <= 59 and second <= 60):
        return None
    return _days(year, month, day) * 86_400 + hour * 3600 + minute * 60 + second


@lru_cache(maxsize=64)
def _days(year: int, month: int, day: int) -> int:
    """Return the days since 1970-01-01 (proleptic Gregorian); years start in March: leap days come last."""
    year -= month <= 2
    shifted = (month + 9) % 12
    return 365 * year + year // 4 - year // 100 + year // 400 + (153 * shifted + 2) // 5 + day - 1 - 719_468


@lru_cache(maxsize=64)
def _offset(zone: bytes | None) -> int:
    """Return the seconds east of UTC."""
    if not zone:
        return 0
    sign = max(zone.find(b"+"), zone.find(b"-"))
    if sign < 0:
        return _ZONES.get(zone.upper(), 0) * 3600
    digits = zone[sign + 1 :].replace(b":", b"")
    hours, minutes = int(digits[:-2]), int(digits[-2:])
    if hours > 23 or minutes > 59:
        return 0
    seconds = hours * 3600 + minutes * 60
    return -seconds if zone[sign] == 0x2D else seconds
