"""Name, list and read the files of the log.

    2026-11-24.worker0.4711.1.jsonl   a segment of the mail log: UTC day, process, its PID, a counter of the process
    audit-2026-11.jsonl               the acts of a UTC month
    anchors.chain                     the closed extents and days (`anchor_chain`)
    log-2026-11.sqlite                the search index of that month's files (`index`)

Segments and files of acts only grow, by whole lines; readers therefore read up to the last line end. In: the folder. Out:
`LogFile`s, lines, digests. Ignored: any other name, links, folders.
"""

import contextlib
import json
import os
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time
from hashlib import sha256
from pathlib import Path

GENESIS = "0" * 64
"""The digest that stands before the first line."""
READ_OCTETS = 1 << 20

_SEGMENT = re.compile(r"([0-9]{4}-[0-9]{2}-[0-9]{2})\.[^./]+\.[0-9]+\.[0-9]+\.jsonl")
_ACTS = re.compile(r"audit-([0-9]{4}-[0-9]{2})\.jsonl")


@dataclass(frozen=True, slots=True, order=True)
class LogFile:
    """A segment, or the acts of a month (`day` is None)."""

    name: str
    month: str
    """`2026-11`."""
    day: date | None
    """The UTC day of a segment."""


def log_file(name: str) -> LogFile | None:
    """Return the log file of this name; None for every other file."""
    day = segment_day(name)
    if day is not None:
        return LogFile(name, name[:7], day)
    acts = _ACTS.fullmatch(name)
    return LogFile(name, acts[1], None) if acts else None


def segment_day(name: str) -> date | None:
    """Return the UTC day of a segment; None for every other file."""
    segment = _SEGMENT.fullmatch(name)
    with contextlib.suppress(ValueError):
        return date.fromisoformat(segment[1]) if segment else None
    return None


def log_files(folder: Path) -> dict[LogFile, int]:
    """Return all log files in order of name, with their current octets."""
    found: dict[LogFile, int] = {}
    with contextlib.suppress(FileNotFoundError), os.scandir(folder) as entries:
        for entry in sorted(entries, key=lambda entry: entry.name):
            file = log_file(entry.name)
            if file is not None and entry.is_file(follow_symlinks=False):
                with contextlib.suppress(FileNotFoundError):  # retention was faster
                    found[file] = entry.stat(follow_symlinks=False).st_size
    return found


def first_instant(folder: Path, files: Iterable[LogFile]) -> datetime | None:
    """Return the instant of the oldest event in these segments; None if there are none.

    Every segment of the first day is read for its first line, as processes start at different times.
    """
    days = {file: file.day for file in files if file.day is not None}
    first = min(days.values(), default=None)
    if first is None:
        return None
    found = []
    for file in days:
        if file.day == first:
            with contextlib.suppress(OSError, ValueError), open(folder / file.name, "rb") as segment:
                line = json.loads(segment.readline(READ_OCTETS))
                found.append(microseconds(line.get("at") if isinstance(line, dict) else None))
    start = datetime.combine(first, time.min, UTC)
    return min((datetime.fromtimestamp(at / 1_000_000, UTC) for at in found if at), default=start)


def oldest_line(folder: Path) -> datetime | None:
    """Return the instant of the oldest event or act of the log; None if it is empty."""
    files = log_files(folder)
    acts = min((file for file in files if file.day is None), default=None)
    found = [first_instant(folder, files)]
    if acts is not None:
        with contextlib.suppress(OSError, ValueError), open(folder / acts.name, "rb") as lines:
            line = json.loads(lines.readline(READ_OCTETS))
            at = microseconds(line.get("at") if isinstance(line, dict) else None)
            found.append(datetime.fromtimestamp(at / 1_000_000, UTC) if at else None)
    return min((instant for instant in found if instant is not None), default=None)


def digest(line: bytes) -> str:
    """Return SHA-256 of a line with its end: what `tail -n 1 FILE | sha256sum` prints for the last."""
    return sha256(line).hexdigest()


def read_chunks(fd: int, start: int, end: int, *, octets: int = READ_OCTETS) -> Iterator[bytes]:
    """Yield the octets between two offsets in pieces; fewer where the file ends before."""
    while start < end and (piece := os.pread(fd, min(octets, end - start), start)):
        yield piece
        start += len(piece)


def whole_lines(fd: int, start: int, end: int, *, octets: int = READ_OCTETS) -> Iterator[tuple[int, bytes]]:
    """Yield offset and octets of whole lines between two offsets, about `octets` at a time.

    A line without an end is left out.
    """
    rest = b""
    for piece in read_chunks(fd, start, end, octets=octets):
        whole, newline, left = (rest + piece).rpartition(b"\n")
        if newline:
            yield start, whole + newline
            start += len(whole) + 1
        rest = left


def microseconds(at: object) -> int:
    """Return the instant of a line (`maillog.stamp`) in microseconds since the epoch; 0 if invalid."""
    try:
        instant = datetime.fromisoformat(at)  # type: ignore[arg-type]  # what is no text is refused like what is no instant
        return int(instant.timestamp()) * 1_000_000 + instant.microsecond
    except (TypeError, ValueError, OverflowError):
        return 0
