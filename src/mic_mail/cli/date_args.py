"""Days and instants as administrators type them, in the time of Ho Chi Minh City.

`31/08/2026` or `2026-08-31`, also with a time after a blank. A year out of bounds is refused here, because a fact is for ever.
"""

from datetime import UTC, date, datetime

from mic_mail.clock import HO_CHI_MINH
from mic_mail.errors import BadInput, Text

_DAYS = ("%d/%m/%Y", "%Y-%m-%d")
_INSTANTS = tuple(f"{day}{gap}%H:%M{seconds}" for day in _DAYS for gap in (" ", "T") for seconds in ("", ":%S"))
FIRST_YEAR, LAST_YEAR = 1945, 2199


def read_day(text: str) -> date:
    for form in _DAYS:
        try:
            read = datetime.strptime(text.strip(), form)  # noqa: DTZ007 - only its day is used
        except ValueError:
            continue
        return _meant(read, text).date()
    raise _unreadable(text)


def optional_day(text: str | None) -> date | None:
    return None if text is None else read_day(text)


def read_instant(text: str) -> datetime:
    """Read an instant; a day alone means its 00:00, an offset or Z overrides the ministry's time zone."""
    for form in (*_INSTANTS, *_DAYS):
        try:
            read = datetime.strptime(text.strip(), form).replace(tzinfo=HO_CHI_MINH)
        except ValueError:
            continue
        return _meant(read, text).astimezone(UTC)
    try:
        instant = datetime.fromisoformat(text.strip())
    except ValueError:
        raise _unreadable(text) from None
    _meant(instant, text)
    return (instant if instant.tzinfo else instant.replace(tzinfo=HO_CHI_MINH)).astimezone(UTC)


def _meant(read: datetime, text: str) -> datetime:
    if FIRST_YEAR <= read.year <= LAST_YEAR:
        return read
    raise BadInput(
        Text(f"Năm trong “{text}” không hợp lệ.", "Not a valid year."),
        remedy=Text(f"Năm từ {FIRST_YEAR} đến {LAST_YEAR}.", f"Give a year from {FIRST_YEAR} to {LAST_YEAR}."),
    )


def _unreadable(text: str) -> BadInput:
    return BadInput(
        Text(f"Không hiểu ngày “{text}”.", "This is not a day or an instant."),
        remedy=Text("Viết 31/08/2026 hoặc 31/08/2026 10:00.", "Write 31/08/2026 or 31/08/2026 10:00."),
    )
