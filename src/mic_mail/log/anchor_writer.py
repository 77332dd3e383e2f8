"""Anchor the log: append its state to the chain of anchors, hourly and after each day (Reg. 8.2).

In: the folder, the current instant, the heads of the chains of facts. Out: records of `anchor_chain`. Writing an event costs
nothing extra: files are read here, by the housekeeper, each octet once (a new process reads anchored octets again). Idempotent
and safe to be killed anywhere: a record is the last step of each call, and anything it missed is in the next one. A call reads
at most `MOST_OCTETS`, so that a server with years of log starts with many short records and not with a long one. A file that
contradicts a record (shorter, or different) is never put into a later one: `verify` reports it permanently.
"""

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING

from mic_mail.log.anchor_chain import Anchor, AnchorFile, AnchorKind, ChainState, ChainWriter, Extent, Head, digest_of_heads
from mic_mail.log.files import LogFile, log_files, read_chunks
from mic_mail.log.maillog import stamp

if TYPE_CHECKING:
    from hashlib import _Hash

SETTLING = timedelta(minutes=5)
"""Wait after midnight UTC, by which writers have written their last events of the day."""
MOST_OCTETS = 256 << 20


@dataclass(slots=True)
class _Progress:
    octets: int
    lines: int
    sha: "_Hash"


class AnchorWriter:
    """Anchors one folder. For an executor: one thread at a time."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._anchors = AnchorFile(folder)
        self._progress: dict[str, _Progress] = {}

    def anchor(self, now: datetime, heads: Iterable[Head]) -> tuple[Anchor | None, bool]:
        """Append one record of the changes, or None if there are none; and return whether more are left."""
        with self._anchors.writing() as writing:
            extents, more = self._grown(writing.known, _finished(now))
            closes = None if more else self._over(writing.known, _finished(now))
            moved = [head for head in heads if writing.known.heads.get(head.mailbox_id) != head]
            if not (extents or closes or moved):
                return None, False
            return self._write_anchor(writing, now, extents, closes, moved), more

    def announce_removal(self, names: Sequence[str], months: int, now: datetime) -> None:
        """Record that these segments may be deleted (`retention`)."""
        with self._anchors.writing() as writing:
            if fresh := tuple(name for name in names if name not in writing.known.removed):
                writing.add(at=_stamp(now), kind=AnchorKind.REMOVAL, removed=fresh, months=months)

    def _write_anchor(
        self, writing: ChainWriter, now: datetime, extents: list[Extent], closes: tuple[date, date] | None, moved: list[Head]
    ) -> Anchor:
        every = {**writing.known.heads, **{head.mailbox_id: head for head in moved}}
        return writing.add(
            at=_stamp(now),
            kind=AnchorKind.CHECKPOINT if closes is None else AnchorKind.DAY,
            files=tuple(extents),
            closes=closes,
            heads=tuple(moved),
            facts=digest_of_heads(every.values()),
        )

    def _over(self, known: ChainState, finished: date) -> tuple[date, date] | None:
        if known.closed is not None:
            first = known.closed + timedelta(days=1)
        else:
            first = min((file.day for file in log_files(self._folder) if file.day), default=finished)
        return (first, finished) if first <= finished else None

    def _grown(self, known: ChainState, finished: date) -> tuple[list[Extent], bool]:
        """Return the extents beyond the last record, up to `MOST_OCTETS`; and whether there is more."""
        extents: list[Extent] = []
        left = MOST_OCTETS
        for file, size in log_files(self._folder).items():
            before = known.files.get(file.name)
            if before is not None and size <= before.octets:
                if file.day is not None and file.day <= finished:
                    self._progress.pop(file.name, None)
                continue
            if left <= 0:
                return extents, True
            extent = self._read(file, before, whole=file.day is not None and file.day <= finished)
            if extent is not None and (before is None or extent.octets > before.octets):
                extents.append(extent)
                left -= extent.octets
        return extents, False

    def _read(self, file: LogFile, before: Extent | None, *, whole: bool) -> Extent | None:
        """Read a file to its last line end, or all of it once its day is over; None if it differs from its anchor."""
        try:
            fd = os.open(self._folder / file.name, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
        except OSError:
            return None
        try:
            os.fsync(fd)  # a power failure cannot remove what a record holds
            end = os.fstat(fd).st_size
            if not whole:
                end = _last_line_end(fd, end)
            progress = self._progress.get(file.name)
            if progress is None or (before is not None and progress.octets != before.octets):
                progress = _Progress(0, 0, sha256())
                if before is not None and not (
                    _feed(fd, progress, before.octets) and progress.sha.hexdigest() == before.sha256
                ):
                    return None
            if not _feed(fd, progress, end):
                return None
            self._progress[file.name] = progress
            return Extent(file.name, progress.octets, progress.lines, progress.sha.hexdigest())
        finally:
            os.close(fd)


def _feed(fd: int, progress: _Progress, end: int) -> bool:
    """Read on to `end`; return False if the file ends before."""
    for piece in read_chunks(fd, progress.octets, end):
        progress.sha.update(piece)
        progress.lines += piece.count(b"\n")
        progress.octets += len(piece)
    return progress.octets == end


def _last_line_end(fd: int, size: int) -> int:
    end = size
    while end > 0:
        start = max(0, end - (64 << 10))
        cut = os.pread(fd, end - start, start).rfind(b"\n")
        if cut >= 0:
            return start + cut + 1
        end = start
    return 0


def _finished(now: datetime) -> date:
    return (now.astimezone(UTC) - SETTLING).date() - timedelta(days=1)


def _stamp(now: datetime) -> str:
    return stamp(int(now.timestamp()) * 1_000_000 + now.microsecond)
