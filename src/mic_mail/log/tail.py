"""Follow the log behind its writers: each line once, and after a kill the last ones again (Reg. 16.3).

In: the folder and a `LogPosition`. Out: the lines added since, a batch at a time, and the cursor after them; the octets deleted
before they were read. A cursor is stored in a file of its own, replaced whole. Blocking.

A segment is written on its own UTC day alone, so files of past days are not checked again once they are read to the end.
"""

import contextlib
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, timedelta
from pathlib import Path

from mic_mail.log.files import log_file

MOST_LINES = 2_000
MOST_OCTETS = 1 << 20
"""Octets read of each file in one batch."""
_LOOKED_BACK = timedelta(days=1)
"""Days read again, as a process may still write yesterday's segment in the first moment of today."""


@dataclass(frozen=True, slots=True)
class TailLine:
    """One line of the log, decoded."""

    name: str
    start: int
    fields: Mapping[str, object]


@dataclass(frozen=True, slots=True)
class LogPosition:
    """The position up to which the log was read."""

    floor: date
    """Files of earlier days are read to the end, except those in `offsets`."""
    offsets: Mapping[str, int] = field(default_factory=dict)
    sizes: Mapping[str, int] = field(default_factory=dict)
    """Sizes of the files when last seen."""


@dataclass(frozen=True, slots=True)
class TailBatch:
    """The next lines."""

    lines: tuple[TailLine, ...]
    cursor: LogPosition
    """The position after them."""
    missed_octets: int
    """Octets of files that were deleted before they were read."""
    is_full: bool
    """True if there was more to read."""


def at_the_end(folder: Path, today: date) -> LogPosition:
    """Return a cursor at the end: existing lines are not read."""
    sizes = _sizes(folder, LogPosition(today - _LOOKED_BACK))
    return LogPosition(today - _LOOKED_BACK, sizes, sizes)


def once_more(today: date) -> LogPosition:
    """Return a cursor at the start of yesterday's files, for a reader that has lost its own."""
    return LogPosition(today - _LOOKED_BACK)


def read_on(folder: Path, cursor: LogPosition, today: date, *, most_lines: int = MOST_LINES) -> TailBatch:
    """Read the next lines of all files, an equal share of each, at most `most_lines`."""
    sizes = _sizes(folder, cursor)
    offsets, lines, is_full = (
        {name: cursor.offsets.get(name, 0) for name in cursor.offsets.keys() | sizes},
        list[TailLine](),
        False,
    )
    behind = [name for name in sorted(sizes) if sizes[name] > offsets[name]]
    share = max(1, most_lines // len(behind)) if behind else 0
    for name in behind:
        if len(lines) >= most_lines:
            is_full = True
            break
        read, offsets[name], has_more = _lines(folder / name, name, offsets[name], share)
        lines.extend(read)
        is_full = is_full or has_more
    missed = sum(max(0, cursor.sizes.get(name, 0) - start) for name, start in cursor.offsets.items() if name not in sizes)
    floor = today - _LOOKED_BACK  # a clock set back causes those days to be read again rather than skipped
    kept = {name: at for name, at in offsets.items() if name in sizes and (at < sizes[name] or _is_recent(name, floor))}
    return TailBatch(tuple(lines), LogPosition(floor, kept, {name: sizes[name] for name in kept}), missed, is_full)


def unread_octets(folder: Path, cursor: LogPosition) -> int:
    return sum(max(0, size - cursor.offsets.get(name, 0)) for name, size in _sizes(folder, cursor).items())


def _is_recent(name: str, floor: date) -> bool:
    file = log_file(name)
    return file is not None and (file.month >= f"{floor:%Y-%m}" if file.day is None else file.day >= floor)


def _sizes(folder: Path, cursor: LogPosition) -> dict[str, int]:
    found: dict[str, int] = {}
    with contextlib.suppress(FileNotFoundError), os.scandir(folder) as entries:
        for entry in entries:
            if entry.name in cursor.offsets or _is_recent(entry.name, cursor.floor):
                with contextlib.suppress(FileNotFoundError):
                    found[entry.name] = entry.stat(follow_symlinks=False).st_size
    return found


def _lines(path: Path, name: str, start: int, most: int) -> tuple[list[TailLine], int, bool]:
    """Return whole lines from an offset on, the offset of the next one, and whether there are more."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError:
        return [], start, False
    try:
        text = os.pread(fd, MOST_OCTETS, start)
    finally:
        os.close(fd)
    found: list[TailLine] = []
    whole = text[: text.rfind(b"\n") + 1]
    if not whole and len(text) == MOST_OCTETS:  # no line of this log is as long
        return [], start + len(text), True
    split = _split(whole)
    for line in split[:most]:
        with contextlib.suppress(ValueError, RecursionError):
            fields = json.loads(line)
            if isinstance(fields, dict):
                found.append(TailLine(name, start, fields))
        start += len(line)
    return found, start, len(split) > most or len(text) == MOST_OCTETS


def _split(text: bytes) -> list[bytes]:
    return [line + b"\n" for line in text.split(b"\n")[:-1]]


def encoded(cursor: LogPosition) -> Mapping[str, object]:
    """Return a cursor in a form for JSON."""
    return {"floor": cursor.floor.isoformat(), "offsets": dict(cursor.offsets), "sizes": dict(cursor.sizes)}


def decoded(kept: Mapping[str, object]) -> LogPosition:
    """Parse a cursor; `KeyError`, `TypeError`, `ValueError` if it is invalid."""
    offsets, sizes = kept["offsets"], kept["sizes"]
    if not isinstance(offsets, dict) or not isinstance(sizes, dict):
        raise TypeError(kept)
    if not all(type(octets) is int and octets >= 0 for octets in (*offsets.values(), *sizes.values())):
        raise ValueError(kept)
    return LogPosition(date.fromisoformat(str(kept["floor"])), offsets, sizes)


def load(path: Path) -> LogPosition | None:
    """Return the cursor in a file; None if there is none, or one that cannot be read."""
    try:
        return decoded(json.loads(path.read_bytes()))
    except (OSError, ValueError, KeyError, TypeError):
        return None


def save(path: Path, cursor: LogPosition) -> None:
    """Replace the file whole; after a power failure it may be older, and some lines are read again."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o750)
    fresh = path.with_suffix(".new")
    fresh.write_text(json.dumps(encoded(cursor)))
    fresh.replace(path)
