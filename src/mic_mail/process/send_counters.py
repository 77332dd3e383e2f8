"""Counters of what each mailbox has sent in the last hour and day, shared by all processes.

In: a mailbox, what it sends, the time. Out: sums over all processes. Each process writes a file of its own (`<folder>/NAME.1`),
which is kept over restarts, and reads the files of the others. So no lock is needed and the sums are exact at any time: a
process that adds first and then reads cannot pass a limit together with another process. A mailbox's record is at its number:
13 slots of 5 minutes and 25 of an hour, each with the number of its time, so that nothing has to be cleared. No fsync: a kill
loses nothing, a power cut half a minute.

9 µs for a write and 2 for a read on ext4, 4 ms at worst beside four threads that fsync; hence it is done on the loop. Never
here: what a mailbox may send (`services.abuse.send_limits`).
"""

import contextlib
import os
import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import lru_cache, reduce
from pathlib import Path
from typing import Final, NamedTuple

VERSION: Final = ".1"
"""The version of the layout: files of another version are not read."""
SHORT_SECONDS: Final = 300
SHORT_SLOTS: Final = 13
"""One slot more than an hour: the hour begins anywhere within a slot, and that slot counts whole."""
LONG_SECONDS: Final = 3_600
LONG_SLOTS: Final = 25
RECORD_OCTETS: Final = 1_024
SETTLED_SECONDS: Final = 2.0
_SHORT: Final = struct.Struct("<5IQ")
_LONG: Final = struct.Struct("<3IQ")
_SHORT_OCTETS: Final = SHORT_SLOTS * _SHORT.size
_LONG_OCTETS: Final = LONG_SLOTS * _LONG.size
_USED_OCTETS: Final = _SHORT_OCTETS + _LONG_OCTETS
_MOST: Final = 0xFFFFFFFF
_MOST_OCTETS: Final = 0xFFFFFFFFFFFFFFFF


class Amounts(NamedTuple):
    """Amounts sent: recipients count when they are named, messages and octets when a message is accepted."""

    messages: int = 0
    recipients: int = 0
    octets: int = 0

    def plus(self, other: "Amounts") -> "Amounts":
        return Amounts(self[0] + other[0], self[1] + other[1], self[2] + other[2])


NAMES: Final = Amounts._fields


@dataclass(frozen=True, slots=True)
class Window:
    """The amounts in one span of time, by slot: (number of the slot, amounts), oldest first."""

    seconds: int
    slots: int
    taken: tuple[tuple[int, Amounts], ...] = ()

    def total(self) -> Amounts:
        return reduce(Amounts.plus, (amounts for _, amounts in self.taken), Amounts())

    def free_at(self, name: str, wanted: int, limit: int) -> float:
        """Return from when on (seconds since 1970) `wanted` more fit into `limit`, if nothing else is taken."""
        over = getattr(self.total(), name) + wanted - limit
        for number, amounts in self.taken:
            over -= getattr(amounts, name)
            if over <= 0:
                return float((number + self.slots) * self.seconds)
        return float((self.taken[-1][0] + self.slots) * self.seconds) if self.taken else 0.0


@dataclass(frozen=True, slots=True)
class Sums:
    """The amounts of one mailbox, summed over all processes."""

    hour: Window = field(default_factory=lambda: Window(SHORT_SECONDS, SHORT_SLOTS))
    day: Window = field(default_factory=lambda: Window(LONG_SECONDS, LONG_SLOTS))
    refused: Amounts = field(default_factory=Amounts)
    """Messages and recipients that were refused within the hour."""


class SendCounters:
    """The counters as one process sees and increments them."""

    def __init__(self, folder: Path, name: str | None) -> None:
        """Open the counters; the own file `name` is created by the first `add`; None for a process that only reads."""
        self._folder = folder
        self._own_name = name and name + VERSION
        self._own = -1
        self._others: dict[str, int] = {}
        self._listed = -1

    def sums(self, mailbox_id: int, now: float) -> Sums:
        """Return what the mailbox has sent lately; raise OSError where that cannot be read."""
        at = mailbox_id * RECORD_OCTETS
        hour, day = int(now // SHORT_SECONDS), int(now // LONG_SECONDS)
        found = [_read(os.pread(fd, _USED_OCTETS, at), hour, day) for fd in self._files(now)]
        if len(found) == 1:
            return found[0]
        return Sums(
            _joined(Window(SHORT_SECONDS, SHORT_SLOTS), [one.hour for one in found]),
            _joined(Window(LONG_SECONDS, LONG_SLOTS), [one.day for one in found]),
            reduce(Amounts.plus, (one.refused for one in found), Amounts()),
        )

    def totals(self, mailbox_id: int, now: float) -> tuple[Amounts, Amounts]:
        """Return the totals of the hour and the day alone; they are needed for each recipient."""
        at = mailbox_id * RECORD_OCTETS
        hour, day = int(now // SHORT_SECONDS), int(now // LONG_SECONDS)
        found = [_totals(os.pread(fd, _USED_OCTETS, at), hour, day) for fd in self._files(now)]
        if not found:
            return Amounts(), Amounts()
        return reduce(Amounts.plus, [one[0] for one in found]), reduce(Amounts.plus, [one[1] for one in found])

    def add(self, mailbox_id: int, now: float, amounts: Amounts, *, refused: bool = False) -> None:
        """Count these amounts; negative ones undo a count at the time at which it was made. Raise OSError if that fails."""
        assert self._own_name is not None
        if self._own < 0:
            self._own = os.open(self._folder / self._own_name, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o640)
            self._listed = -1
        at = mailbox_id * RECORD_OCTETS
        record = bytearray(os.pread(self._own, _USED_OCTETS, at).ljust(_USED_OCTETS, b"\0"))
        number = int(now // SHORT_SECONDS)
        place = number % SHORT_SLOTS * _SHORT.size
        known, messages, recipients, not_messages, not_recipients, octets = _SHORT.unpack_from(record, place)
        if known != number and min(amounts) < 0:
            return  # it was counted more than an hour ago: its slot holds another time
        if known != number:
            messages = recipients = not_messages = not_recipients = octets = 0
        if refused:
            not_messages, not_recipients = not_messages + amounts.messages, not_recipients + amounts.recipients
        else:
            messages, recipients, octets = _grown((messages, recipients, octets), amounts)
        _SHORT.pack_into(
            record, place, number, messages, recipients, min(not_messages, _MOST), min(not_recipients, _MOST), octets
        )
        if not refused:
            number = int(now // LONG_SECONDS)
            place = _SHORT_OCTETS + number % LONG_SLOTS * _LONG.size
            known, *taken = _LONG.unpack_from(record, place)
            _LONG.pack_into(record, place, number, *_grown(tuple(taken) if known == number else (0, 0, 0), amounts))
        os.pwrite(self._own, record, at)

    def _files(self, now: float) -> Iterator[int]:
        """Yield the files of all processes that ever counted here; list them again when one was added."""
        try:
            changed = os.stat(self._folder).st_mtime_ns
        except FileNotFoundError:
            return
        if changed != self._listed:
            # A file created within the same tick of the file system's clock would not be noticed.
            self._listed = changed if now - changed / 1e9 > SETTLED_SECONDS else -1
            for name in os.listdir(self._folder):
                if name.endswith(VERSION) and name not in self._others:
                    with contextlib.suppress(FileNotFoundError):
                        self._others[name] = os.open(self._folder / name, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
        yield from self._others.values()

    def close(self) -> None:
        for fd in (self._own, *self._others.values()):
            if fd >= 0:
                os.close(fd)
        self._own, self._listed = -1, -1
        self._others.clear()


def _grown(taken: tuple[int, ...], by: Amounts) -> tuple[int, int, int]:
    messages, recipients, octets = taken
    return (
        min(max(0, messages + by.messages), _MOST),
        min(max(0, recipients + by.recipients), _MOST),
        min(max(0, octets + by.octets), _MOST_OCTETS),
    )


@lru_cache(maxsize=512)  # most records are as they were at the last read
def _totals(record: bytes, hour: int, day: int) -> tuple[Amounts, Amounts]:
    found = _read(record, hour, day)
    return found.hour.total(), found.day.total()


def _read(record: bytes, hour: int, day: int) -> Sums:
    """Return the amounts of a record that count now, near ones in the future too: the clock was set back."""
    if not record.strip(b"\0"):
        return Sums()
    record = record.ljust(_USED_OCTETS, b"\0")
    short: list[tuple[int, Amounts]] = []
    refused = Amounts()
    for number, messages, recipients, not_messages, not_recipients, octets in _SHORT.iter_unpack(record[:_SHORT_OCTETS]):
        if abs(number - hour) < SHORT_SLOTS:
            short.append((number, Amounts(messages, recipients, octets)))
            refused = refused.plus(Amounts(not_messages, not_recipients))
    long = [
        (number, Amounts(messages, recipients, octets))
        for number, messages, recipients, octets in _LONG.iter_unpack(record[_SHORT_OCTETS:])
        if abs(number - day) < LONG_SLOTS
    ]
    return Sums(
        Window(SHORT_SECONDS, SHORT_SLOTS, tuple(sorted(short, key=_number))),
        Window(LONG_SECONDS, LONG_SLOTS, tuple(sorted(long, key=_number))),
        refused,
    )


def _number(slot: tuple[int, Amounts]) -> int:
    return slot[0]


def _joined(empty: Window, windows: list[Window]) -> Window:
    found: dict[int, Amounts] = {}
    for window in windows:
        for number, amounts in window.taken:
            found[number] = found.get(number, Amounts()).plus(amounts)
    return Window(empty.seconds, empty.slots, tuple(sorted(found.items(), key=_number)))
