"""Where time comes from.

Every rule takes the time as an argument; the programs' edges take a `Clock`. `datetime.now` and `time.time` occur in this
file only. On disk and between modules an instant is an aware `datetime` in UTC, or an `int` of microseconds since the epoch
where the name ends in `_us`. The regulation counts in `HO_CHI_MINH` (Vietnam has had no change of offset since 1975).
"""

import time
from datetime import UTC, datetime
from typing import Protocol
from zoneinfo import ZoneInfo

HO_CHI_MINH = ZoneInfo("Asia/Ho_Chi_Minh")

_FIRST_US, _LAST_US = (
    int(instant.timestamp()) * 1_000_000 for instant in (datetime(1, 1, 2, tzinfo=UTC), datetime(9999, 12, 31, tzinfo=UTC))
)
"""A day from the ends of the calendar, so that every zone has a date for them."""


def within_calendar(instant_us: int) -> int:
    """The nearest instant that can be written as a date: what clients and foreign files claim may be none."""
    return min(max(instant_us, _FIRST_US), _LAST_US)


def instant_of(at_us: int) -> datetime:
    """Microseconds since the epoch as an aware instant."""
    return datetime.fromtimestamp(at_us / 1_000_000, UTC)


class Clock(Protocol):
    """A source of instants; tests pass one that they move by hand."""

    def now(self) -> datetime:
        """The present instant, aware, in UTC."""

    def now_us(self) -> int:
        """The present instant in microseconds since the epoch."""

    def monotonic(self) -> float:
        """Seconds that never run backwards, for time limits and ages."""


class SystemClock:
    """The machine's clock."""

    def now(self) -> datetime:
        return datetime.now(UTC)

    def now_us(self) -> int:
        return time.time_ns() // 1000

    def monotonic(self) -> float:
        return time.monotonic()


class ManualClock:
    """A clock that stands until it is moved; `monotonic` moves with it."""

    def __init__(self, start: datetime) -> None:
        self._now = start.astimezone(UTC)
        self._elapsed = 0.0

    def now(self) -> datetime:
        return self._now

    def now_us(self) -> int:
        return int(self._now.timestamp() * 1_000_000)

    def monotonic(self) -> float:
        return self._elapsed

    def move_to(self, instant: datetime) -> None:
        """Set the present to `instant` (aware); moving back leaves `monotonic` where it was."""
        instant = instant.astimezone(UTC)
        self._elapsed += max(0.0, (instant - self._now).total_seconds())
        self._now = instant
