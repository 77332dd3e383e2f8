"""Reading the log behind its writers: each line once, and after a kill the last ones again (Reg. 16.3).

In: the folder and a `Cursor`. Out: the lines that came since, a batch at a time, and the cursor behind them; what was taken
away before it was read. A cursor is kept in a file of its own, replaced whole. Blocking.

A segment is written on its own UTC day alone, so that files of days that are over need no look once they are read to the end.
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
"""Of one batch."""
_LOOKED_BACK = timedelta(days=1)
"""A process may still write yesterday's segment in the first moment of today."""


@dataclass(frozen=True, slots=True)
class Line:
    """One line of the log, decoded."""

    name: str
    start: int
    fields: Mapping[str, object]


@dataclass(frozen=True, slots=True)
class Cursor:
    """How far the log was read."""

    floor: date
    """Files of earlier days are read to the end, but for those in `offsets`."""
    offsets: Mapping[str, int] = field(default_factory=dict)
    sizes: Mapping[str, int] = field(default_factory=dict)
    """How long the files were, as far as they were seen."""


@dataclass(frozen=True, slots=True)
class Batch:
    """What came next."""

    lines: tuple[Line, ...]
    cursor: Cursor
    """Behind them."""
    missed_octets: int
    """Of files that were taken away before they were read."""

    @property
    def is_full(self) -> bool:
        return len(self.lines) >= MOST_LINES


def at_the_end(folder: Path, today: date) -> Cursor:
    """From now on: what is there already is not read."""
    sizes = _sizes(folder, Cursor(today - _LOOKED_BACK))
    return Cursor(today - _LOOKED_BACK, sizes, sizes)


def read_on(folder: Path, cursor: Cursor, today: date, *, most_lines: int = MOST_LINES) -> Batch:
    """The next lines, at most `most_lines`; of each file in its order."""
    sizes = _sizes(folder, cursor)
    offsets, lines = dict(cursor.offsets), list[Line]()
    for name in sorted(sizes):
        start = offsets.get(name, 0)
        if sizes[name] > start and len(lines) < most_lines:
            read, offsets[name] = _lines(folder / name, name, start, most_lines - len(lines))
            lines.extend(read)
        else:
            offsets[name] = start
    missed = sum(max(0, cursor.sizes.get(name, 0) - start) for name, start in cursor.offsets.items() if name not in sizes)
    floor = today - _LOOKED_BACK  # a clock that is set back reads those days again rather than not at all
    kept = {name: at for name, at in offsets.items() if name in sizes and (at < sizes[name] or _is_recent(name, floor))}
    return Batch(tuple(lines), Cursor(floor, kept, {name: sizes[name] for name in kept}), missed)


def unread_octets(folder: Path, cursor: Cursor) -> int:
    """How much there is behind a cursor."""
    return sum(max(0, size - cursor.offsets.get(name, 0)) for name, size in _sizes(folder, cursor).items())


def _is_recent(name: str, floor: date) -> bool:
    file = log_file(name)
    return file is not None and (file.month >= f"{floor:%Y-%m}" if file.day is None else file.day >= floor)


def _sizes(folder: Path, cursor: Cursor) -> dict[str, int]:
    """The files that may have something new."""
    found: dict[str, int] = {}
    with contextlib.suppress(FileNotFoundError), os.scandir(folder) as entries:
        for entry in entries:
            if entry.name in cursor.offsets or _is_recent(entry.name, cursor.floor):
                with contextlib.suppress(FileNotFoundError):
                    found[entry.name] = entry.stat(follow_symlinks=False).st_size
    return found


def _lines(path: Path, name: str, start: int, most: int) -> tuple[list[Line], int]:
    """Whole lines from an offset on, and where the next one begins. What is no line of the log is passed over."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError:
        return [], start
    try:
        text = os.pread(fd, MOST_OCTETS, start)
    finally:
        os.close(fd)
    found: list[Line] = []
    whole = text[: text.rfind(b"\n") + 1]
    if not whole and len(text) == MOST_OCTETS:  # no line of ours is as long
        return [], start + len(text)
    for line in _split(whole)[:most]:
        with contextlib.suppress(ValueError, RecursionError):
            fields = json.loads(line)
            if isinstance(fields, dict):
                found.append(Line(name, start, fields))
        start += len(line)
    return found, start


def _split(text: bytes) -> list[bytes]:
    """At line feeds alone, which stay."""
    return [line + b"\n" for line in text.split(b"\n")[:-1]]


def encoded(cursor: Cursor) -> Mapping[str, object]:
    """As JSON holds it."""
    return {"floor": cursor.floor.isoformat(), "offsets": dict(cursor.offsets), "sizes": dict(cursor.sizes)}


def decoded(kept: Mapping[str, object]) -> Cursor:
    """As it was; `KeyError`, `TypeError`, `ValueError` for what was none."""
    offsets, sizes = kept["offsets"], kept["sizes"]
    if not isinstance(offsets, dict) or not isinstance(sizes, dict):
        raise TypeError(kept)
    return Cursor(date.fromisoformat(str(kept["floor"])), offsets, sizes)


def load(path: Path) -> Cursor | None:
    """The cursor in a file; None where there is none, or one that cannot be read."""
    try:
        return decoded(json.loads(path.read_bytes()))
    except (OSError, ValueError, KeyError, TypeError):
        return None


def save(path: Path, cursor: Cursor) -> None:
    """Replace the file whole. After a power cut an older one may stand there: then some lines are read again."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o750)
    fresh = path.with_suffix(".new")
    fresh.write_text(json.dumps(encoded(cursor)))
    fresh.replace(path)
