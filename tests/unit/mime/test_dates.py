"""Dates as mail programs have written them."""

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mic_mail.mime.dates import parse_date, written_day

MORNING = int(datetime(2026, 11, 24, 9, 30, tzinfo=timezone(timedelta(hours=7))).timestamp())

DATES = {
    b"Tue, 24 Nov 2026 09:30:00 +0700": MORNING,
    b"24 Nov 2026 09:30:00 +0700": MORNING,
    b"Tue, 24 Nov 2026 02:30 GMT": MORNING,
    b"Tue, 24 Nov 2026 02:30:00": MORNING,
    b"Tue,24 Nov 2026 02:30:00 UT": MORNING,
    b"Tue, 24 Nov 26 02:30:00 Z": MORNING,
    b"Tue, 24 Nov 2026 9:30:0 +0700 (ICT)": MORNING,
    b"Tuesday, 24-Nov-26 02:30:00 GMT": MORNING,
    b"Tue, 24 November 2026 09.30.00 +0700": MORNING,
    b"Tue Nov 24 02:30:00 2026": MORNING,
    b"Tue Nov 24 09:30:00 +0700 2026": MORNING,
    b"2026-11-24T09:30:00+07:00": MORNING,
    b"2026-11-24 02:30:00Z": MORNING,
    b"Mon, 23 Nov 2026 21:30:00 EST": MORNING,
    b"Mon, 23 Nov 2026 18:30:00 PST": MORNING,
    b"\r\n Tue, 24 Nov 2026\r\n 09:30:00 +0700": MORNING,
    b"Tue, 24 Nov 2026 09:30:00 GMT+0700": MORNING,
    b"24 Nov 2026": int(datetime(2026, 11, 24, tzinfo=UTC).timestamp()),
    b"Wed, 11 Feb 98 11:51 CST": int(datetime(1998, 2, 11, 17, 51, tzinfo=UTC).timestamp()),
    b"Thu, 1 Jan 1970 00:00:00 +0000": 0,
    b"Tue, 24 Nov 126 02:30:00 Z": MORNING,
    b"": None,
    b"hom qua": None,
    b"%date_raw_header%": None,
    b"Tue, 32 Nov 2026 09:30:00 +0700": None,
    b"Tue, 24 Nov 2026 25:30:00 +0700": None,
    b"Tue, 24 Foo 2026 09:30:00 +0700": None,
    b"x" * 300: None,
}


@pytest.mark.parametrize("value", DATES, ids=lambda value: repr(value)[:40])
def test_dates(value: bytes) -> None:
    """RFC 5322, its obsolete forms, asctime, ISO 8601; nonsense is no date."""
    assert parse_date(value) == DATES[value]


@given(st.datetimes(min_value=datetime(1900, 1, 1), max_value=datetime(9999, 12, 30)), st.integers(-1439, 1439))
def test_every_date_is_read(naive: datetime, minutes: int) -> None:
    """A date by the book is the instant that it says."""
    instant = naive.replace(microsecond=0, tzinfo=timezone(timedelta(minutes=minutes)))
    months = "Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec".split()
    sign = "-" if minutes < 0 else "+"
    zone = f"{sign}{abs(minutes) // 60:02}{abs(minutes) % 60:02}"
    text = f"{instant.day} {months[instant.month - 1]} {instant.year} {instant:%H:%M:%S} {zone}"
    assert parse_date(text.encode()) == int((instant - datetime(1970, 1, 1, tzinfo=UTC)).total_seconds())


@given(st.text(alphabet="0123456789 :+-,TNovZ(", max_size=40))
def test_anything_is_read(value: str) -> None:
    """No value is too broken."""
    parse_date(value.encode())


@pytest.mark.parametrize(
    "value",
    [
        "Mon, 2 Feb 2026 00:30:00 +0700",
        "Mon, 2 Feb 2026 23:30:00 -1100",
        "2 Feb 2026 0:30 +7:00",
        "Mon Feb  2 23:59:59 -0800 2026",
        "Mon, 2 Feb 2026 00:30:00 +0700 (giờ (Hà Nội))",
        "2026-02-02T00:00:00+14:00",
        "2 Feb 2026 23:00 PST",
        "2 Feb 2026",
    ],
)
def test_the_day_that_is_written(value: str) -> None:
    """SENTON disregards time and zone (RFC 9051 §6.4.4), wherever the zone stands and however it is written."""
    assert written_day(value.encode()) == 20486
    assert written_day(b"no date") is None
