"""Load the segments and acts of the log into the monthly indexes.

In: the folder. Out: rows of `index`, one transaction at a time: small for the lines since the last run, up to `MOST_OCTETS` of
text for a backlog, since a transaction writes each page once however often it is changed (decision 0050). A damaged index is
deleted and rebuilt. Blocking; for an executor, one call after another.
"""

import json
import os
from dataclasses import dataclass
from pathlib import Path

from mic_mail.errors import Text
from mic_mail.log.files import LogFile, log_files, microseconds, whole_lines
from mic_mail.log.index import BLOCK_OCTETS, Block, DamagedIndex, IndexedBlocks, Month, digest_of, discard, months_on_disk
from mic_mail.log.query import keys_of

MOST_OCTETS = 16 << 20
"""Octets of text in one transaction: 1 to 2 s in the housekeeper, which serves no client meanwhile."""


@dataclass(frozen=True, slots=True)
class LoadStep:
    """The result of one call."""

    lines: int
    more: bool
    damaged: Text | None = None
    """The fault of an index that was deleted."""


def load_some(folder: Path, *, most_octets: int = MOST_OCTETS) -> LoadStep:
    """Load some blocks of one file, the oldest first; `more` until there is nothing left."""
    files = log_files(folder)
    for month in sorted({file.month for file in files}):
        of_month = {file: size for file, size in files.items() if file.month == month}
        try:
            lines = _load_month(folder, month, of_month, most_octets)
        except DamagedIndex as damage:
            discard(folder, month)
            return LoadStep(0, True, damage.text)
        if lines:
            return LoadStep(lines, True)
    return LoadStep(0, False)


def drop_empty_months(folder: Path) -> list[str]:
    """Delete the indexes of months of which retention has left no file."""
    months = {file.month for file in log_files(folder)}
    gone = [month for month in months_on_disk(folder) if month not in months]
    for month in gone:
        discard(folder, month)
    return gone


def _load_month(folder: Path, month: str, files: dict[LogFile, int], most_octets: int) -> int:
    with Month.loading(folder, month) as index:
        loaded = index.loaded()
        for file, size in files.items():
            start = loaded.get(file.name, 0)
            if size > start and (blocks := _next_blocks(folder, index, file, start, most_octets)):
                index.add(blocks)
                return blocks.lines
    return 0


def _next_blocks(folder: Path, index: Month, file: LogFile, start: int, most_octets: int) -> IndexedBlocks | None:
    """Return the next whole lines of a file in blocks, its small last block extended first; None if there are none."""
    try:
        fd = os.open(folder / file.name, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    try:
        last = index.last_block(file.name) if start else None
        grows = last is not None and last.octets < BLOCK_OCTETS and last.start + last.octets == start
        begin = last.start if last is not None and grows else start
        blocks: list[tuple[Block, set[int]]] = []
        lines = 0
        cutter = _Cutter(file.name, begin, blocks)
        for at, text in whole_lines(fd, begin, os.fstat(fd).st_size):
            lines += cutter.feed(text, count_from=start)
            if at + len(text) - begin >= most_octets:
                break
        cutter.end()
    finally:
        os.close(fd)
    return IndexedBlocks(file.name, start, blocks, lines, begin if grows else None) if lines else None


class _Cutter:
    def __init__(self, name: str, start: int, blocks: list[tuple[Block, set[int]]]) -> None:
        self._name = name
        self._blocks = blocks
        self._begin(start)

    def _begin(self, start: int) -> None:
        self._start = start
        self._octets = 0
        self._first_us = self._last_us = 0
        self._parts: list[bytes] = []
        self._keys: set[int] = set()

    def feed(self, text: bytes, *, count_from: int) -> int:
        """Take lines; return the number of those that begin at `count_from` or later."""
        count = 0
        for line in text.split(b"\n")[:-1]:
            count += self._start + self._octets >= count_from
            self._take(line)
            if self._octets >= BLOCK_OCTETS:
                self.end()
        return count

    def _take(self, line: bytes) -> None:
        self._parts.append(line)
        self._octets += len(line) + 1
        try:
            fields = json.loads(line.decode())
            at_us = microseconds(fields["at"])
            self._keys |= keys_of(fields)
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
            return  # a line cut off by a crash has no keys
        self._first_us = min(self._first_us or at_us, at_us)
        self._last_us = max(self._last_us, at_us)

    def end(self) -> None:
        if self._parts:
            digest = digest_of(b"\n".join(self._parts) + b"\n")
            block = Block(self._name, self._start, self._octets, self._first_us, self._last_us, digest)
            self._blocks.append((block, self._keys))
            self._begin(self._start + self._octets)
