"""Clocks: the sources of the present time.

Every rule takes the time as an argument; the programs' edges take a `Clock`. `datetime.now` and `time.time` occur in this file
only. On disk and between modules an instant is an aware `datetime` in UTC, or an `int` of microseconds since the epoch if the
name ends in `_us`. The regulation counts in `HO_CHI_MINH` (Vietnam has had no change of offset since 1975).

The wall clock can be set, also to a false time. A clock here knows its steps: by how much the wall clock was set since it was
last accepted as true (`docs/decisions/0094`). An answer cached under a `Validity` is not used before the time at which it was
made, and an age never counts over a step.
"""

import time
import uuid
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import lru_cache, partial
from pathlib import Path
from typing import Generic, TypeVar
from zoneinfo import ZoneInfo

HO_CHI_MINH = ZoneInfo("Asia/Ho_Chi_Minh")

_FIRST_US, _LAST_US = (
    int(instant.timestamp()) * 1_000_000 for instant in (datetime(1, 1, 2, tzinfo=UTC), datetime(9999, 12, 31, tzinfo=UTC))
)
"""The limits of the calendar, each a day inside it, so that every zone has a date for them."""


def within_calendar(instant_us: int) -> int:
    """Return the nearest instant that can be written as a date.

    Clients and foreign files may claim one that cannot.
    """
    return min(max(instant_us, _FIRST_US), _LAST_US)


def instant_of(at_us: int) -> datetime:
    """Return microseconds since the epoch as an aware instant."""
    return datetime.fromtimestamp(at_us / 1_000_000, UTC)


STEP_SECONDS = 60.0
"""A step up to this is accepted without confirmation: records are off by no more than that."""


class Clock(ABC):
    """A source of instants that knows the wall clock's steps; tests pass one that they move by hand."""

    def __init__(self) -> None:
        self._believed = self._offset(self.now())
        self.ages_from: datetime | None = None
        """The instant at which a step was last accepted; None: no step is known.

        Records from before may use another time.
        """

    @abstractmethod
    def now(self) -> datetime:
        """Return the present instant, aware, in UTC."""

    @abstractmethod
    def now_us(self) -> int:
        """Return the present instant in microseconds since the epoch."""

    @abstractmethod
    def monotonic(self) -> float:
        """Return seconds that never run backwards, for time limits and ages."""

    @property
    @abstractmethod
    def boot_id(self) -> str:
        """The id of the boot since which `boottime` counts."""

    @abstractmethod
    def boottime(self) -> float:
        """Return seconds since the machine was booted, including those in which it slept."""

    def _offset(self, now: datetime) -> float:
        return now.timestamp() - self.boottime()

    def step_seconds(self) -> float:
        """Return the seconds by which the wall clock was set since it was last accepted; negative: backwards."""
        return self._offset(self.now()) - self._believed

    def is_settled(self) -> bool:
        """Return whether the wall clock can be trusted for what is recorded."""
        return abs(self.step_seconds()) <= STEP_SECONDS

    def steady_now(self) -> datetime:
        """Return the present instant without a step that is not accepted yet.

        For open sessions and connections, and for what is recorded.
        """
        now = self.now()
        step = self._offset(now) - self._believed
        return now if abs(step) <= STEP_SECONDS else now - timedelta(seconds=step)

    def steady_us(self) -> int:
        """Return `steady_now` in microseconds since the epoch."""
        step = self.step_seconds()
        return self.now_us() - (0 if abs(step) <= STEP_SECONDS else round(step * 1_000_000))

    def readings(self) -> tuple[datetime, ...]:
        """Return the instants that may be the present one.

        The wall clock's, and the steady one as well while the wall clock is not settled.
        """
        return (self.now(),) if self.is_settled() else (self.now(), self.steady_now())

    def age_seconds(self, at_us: int) -> float:
        """Return the seconds since a recorded instant, or since the last accepted step if that is shorter."""
        now_us = self.steady_us()
        from_us = 0 if self.ages_from is None else int(self.ages_from.timestamp() * 1_000_000)
        if at_us > now_us:
            at_us = from_us or now_us
        return max(0, now_us - max(at_us, from_us)) / 1_000_000

    def accept_time(self, now: datetime) -> None:
        """Accept `now` as the true present instant."""
        if abs(self._offset(now) - self._believed) > STEP_SECONDS:
            self.ages_from = now
        self._believed = self._offset(now)


@lru_cache(maxsize=1)
def _boot_id() -> str:
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    except OSError:  # a sandbox: a new id each time, so that no boot is taken for the same
        return str(uuid.uuid4())


class SystemClock(Clock):
    """The machine's clock; a sign-in reads it 35 times, so it is read without a function of Python's."""

    now = staticmethod(partial(datetime.now, UTC))
    monotonic = staticmethod(time.monotonic)
    boottime = staticmethod(partial(time.clock_gettime, time.CLOCK_BOOTTIME))

    def now_us(self) -> int:
        return time.time_ns() // 1000

    def step_seconds(self) -> float:
        return time.time() - time.clock_gettime(time.CLOCK_BOOTTIME) - self._believed

    @property
    def boot_id(self) -> str:
        return _boot_id()


class ManualClock(Clock):
    """A clock that stands still until it is moved; `monotonic` moves with it."""

    boot_id = ""

    def __init__(self, start: datetime) -> None:
        self._now = start.astimezone(UTC)
        self._elapsed = 0.0
        self.boot_id = str(uuid.uuid4())
        super().__init__()

    def now(self) -> datetime:
        return self._now

    def now_us(self) -> int:
        return int(self._now.timestamp() * 1_000_000)

    def monotonic(self) -> float:
        return self._elapsed

    def boottime(self) -> float:
        return self._elapsed

    def move_to(self, instant: datetime) -> None:
        """Let the time until `instant` (aware) pass.

        If it lies in the past, no time passes, and the step is accepted immediately.
        """
        instant = instant.astimezone(UTC)
        if instant < self._now:
            self.set_to(instant)
            self.accept_time(instant)
        else:
            self._elapsed += (instant - self._now).total_seconds()
            self._now = instant

    def set_to(self, instant: datetime) -> None:
        """Set the wall clock alone, as an operator or a broken time server does; no time passes."""
        self._now = instant.astimezone(UTC)


@dataclass(frozen=True, slots=True)
class Validity:
    """The span [made_at, until) of wall clock time in which an answer may be reused.

    `until` None: without end.
    """

    made_at: datetime
    until: datetime | None = None

    def holds(self, now: datetime) -> bool:
        return self.made_at <= now and (self.until is None or now < self.until)


K = TypeVar("K")
V = TypeVar("V")


class TimedCache(Generic[K, V]):
    """Answers that hold for the objects from which they were made, and for a span of wall clock time."""

    def __init__(self) -> None:
        self._known: dict[K, tuple[tuple[object, ...], Validity, V]] = {}

    def get(self, key: K, made_of: tuple[object, ...], now: datetime) -> V | None:
        """Return the answer for `key` if it was made from these very objects and holds at `now`."""
        known = self._known.get(key)
        if known is None or not known[1].holds(now):
            return None
        for before, present in zip(known[0], made_of, strict=True):
            if before is not present:
                return None
        return known[2]

    def put(self, key: K, made_of: tuple[object, ...], validity: Validity, answer: V) -> V:
        self._known[key] = made_of, validity, answer
        return answer

    def forget(self, key: K) -> None:
        self._known.pop(key, None)

    def retain(self, is_current: Callable[[K, tuple[object, ...]], bool]) -> None:
        """Forget every answer for which `is_current(key, made_of)` is false."""
        self._known = {key: known for key, known in self._known.items() if is_current(key, known[0])}

    def clear(self) -> None:
        self._known.clear()
