"""Search the log: read the blocks that the indexes return, and everything not loaded yet.

In: the folder and a `Query`. Out: `FoundLine` lines; the search goes from the latest back, the result is in order of time. The
index only narrows the search, the lines decide. So a result is complete and correct whether the housekeeper runs or not and
whether an index exists or not, only slower without. Safe beside writers, loaders and retention. Blocking.
"""

import heapq
import json
import os
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, replace
from itertools import groupby
from pathlib import Path

from mic_mail.log.files import LogFile, log_files, microseconds, whole_lines
from mic_mail.log.index import Block, DamagedIndex, IndexUnavailable, Month
from mic_mail.log.query import Fields, Query, pairs_of

DAY_US = 86_400 * 1_000_000


@dataclass(frozen=True, slots=True)
class FoundLine:
    """One line of the log."""

    at_us: int
    name: str
    start: int
    line: bytes
    """The line without its end."""

    @property
    def fields(self) -> Fields:
        """The decoded line, decoded again on each access, as only the octets are kept in memory."""
        fields: Fields = json.loads(self.line)
        return fields

    @property
    def event(self) -> str:
        fields = self.fields
        return str(fields.get("event", fields.get("act", "")))


class LogSearch:
    """The log of one folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._distrusted: set[str] = set()
        self.unread_octets = 0
        """Octets that the last search read without an index."""

    def newest(self, query: Query, limit: int) -> list[FoundLine]:
        """Return the latest `limit` lines that match `query`, in order of time.

        Without the index of a month that proves damaged, the search is repeated.
        """
        while True:
            try:
                return self._newest(query, limit)
            except (DamagedIndex, IndexUnavailable) as trouble:
                self._distrusted.add(trouble.month)

    def each(self, query: Query) -> Iterator[tuple[int, Fields]]:
        """Yield instant (us) and fields of every matching line, file by file, in bounded memory."""
        files = log_files(self._folder)
        self.unread_octets = 0
        for month in sorted({file.month for file in files if not _is_outside(file.month, query)}):
            blocks = self._candidates(month, {file: size for file, size in files.items() if file.month == month}, query)
            for _, of_file in groupby(_joined(blocks), key=lambda block: block.name):
                with _Reader(self._folder, query) as reader:
                    for block in of_file:
                        yield from ((found.at_us, fields) for found, fields in reader.read(block))

    def _candidates(self, month: str, files: dict[LogFile, int], query: Query) -> list[Block]:
        """Return the blocks of a month that may hold lines, in the order of the files."""
        blocks: list[Block] = []
        loaded: dict[str, int] = {}
        try:
            with Month.reading(self._folder, month) as index:
                if index is not None and month not in self._distrusted:
                    loaded = index.loaded()
                    blocks = list(index.candidates(query.keys(), query.since_us, query.until_us))
        except (DamagedIndex, IndexUnavailable):
            self._distrusted.add(month)
            blocks, loaded = [], {}
        return sorted([*blocks, *self._unread(files, loaded, query)], key=lambda block: (block.name, block.start))

    def _newest(self, query: Query, limit: int) -> list[FoundLine]:
        best = _Best(limit)
        files = log_files(self._folder)
        self.unread_octets = 0
        with _Reader(self._folder, query) as reader, ExitStack() as stack:
            indexes: list[Month] = []
            for month in sorted({file.month for file in files}, reverse=True):
                index = None if month in self._distrusted else stack.enter_context(Month.reading(self._folder, month))
                loaded = {} if index is None else index.loaded()
                if index is not None:
                    indexes.append(index)
                for block in self._unread({file: size for file, size in files.items() if file.month == month}, loaded, query):
                    best.take((found for found, _ in reader.read(block)))
            for index in indexes:
                if best.is_full and best.floor_us >= index.latest_us():
                    continue
                for block in index.candidates(query.keys(), query.since_us, query.until_us):
                    if best.is_full and best.floor_us >= block.last_us:
                        break
                    best.take((found for found, _ in reader.read(block)))
        return best.in_order()

    def _unread(self, files: dict[LogFile, int], loaded: dict[str, int], query: Query) -> Iterator[Block]:
        for file, size in files.items():
            start = loaded.get(file.name, 0)
            if size > start and not _is_before(file, query):
                self.unread_octets += size - start
                yield Block(file.name, start, size - start, 0, 0)


def _joined(blocks: Iterable[Block]) -> Iterator[Block]:
    """Yield adjacent blocks joined into one, which is cheaper to read."""
    joined: Block | None = None
    for block in blocks:
        if joined is not None and (joined.name, joined.start + joined.octets) == (block.name, block.start):
            joined = replace(joined, octets=joined.octets + block.octets)
            continue
        if joined is not None:
            yield joined
        joined = block
    if joined is not None:
        yield joined


class _Best:
    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._heap: list[tuple[int, str, int, FoundLine]] = []

    def take(self, lines: Iterator[FoundLine]) -> None:
        for found in lines:
            entry = (found.at_us, found.name, found.start, found)
            if self.is_full:
                heapq.heappushpop(self._heap, entry)
            else:
                heapq.heappush(self._heap, entry)

    @property
    def is_full(self) -> bool:
        return len(self._heap) >= self._limit

    @property
    def floor_us(self) -> int:
        return self._heap[0][0]

    def in_order(self) -> list[FoundLine]:
        return [found for _, _, _, found in sorted(self._heap, key=lambda entry: entry[:3])]


def _is_before(file: LogFile, query: Query) -> bool:
    """Return whether a segment's day, and events within the next one, are before the query's span."""
    if file.day is None or query.since_us is None:
        return False
    return microseconds(f"{file.day}T00:00:00.000000Z") + 2 * DAY_US < query.since_us


def _is_outside(month: str, query: Query) -> bool:
    """Return whether a month's files lie outside the span; a segment is named by the day of its start."""
    begins = microseconds(f"{month}-01T00:00:00.000000Z")
    after = (query.until_us is not None and query.until_us <= begins) or begins == 0
    return after or (query.since_us is not None and begins + 33 * DAY_US < query.since_us)


class _Reader:
    def __init__(self, folder: Path, query: Query) -> None:
        self._folder = folder
        self._query = query
        self._needles = query.needles()
        self._wanted = frozenset(query.wanted())
        self._open: dict[str, int | None] = {}
        self._stack = ExitStack()

    def __enter__(self) -> "_Reader":
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def read(self, block: Block) -> Iterator[tuple[FoundLine, Fields]]:
        fd = self._descriptor(block.name)
        if fd is None:
            return
        for at, text in whole_lines(fd, block.start, block.start + block.octets):
            for start, line in self._likely(text) if self._needles else _all_lines(text):
                if (fields := _decoded(line)) is not None:
                    at_us = microseconds(fields.get("at"))
                    if self._query.in_time(at_us) and self._wanted <= set(pairs_of(fields)):
                        yield FoundLine(at_us, block.name, at + start, line), fields

    def _likely(self, text: bytes) -> Iterator[tuple[int, bytes]]:
        """Yield lines that contain all searched octets: usually one in a block of 30, found in 10 us."""
        folded = text.lower()
        first, *others = self._needles
        at = folded.find(first)
        while at >= 0:
            start, end = folded.rfind(b"\n", 0, at) + 1, folded.index(b"\n", at)
            if all(folded.find(other, start, end) >= 0 for other in others):
                yield start, text[start:end]
            at = folded.find(first, end)

    def _descriptor(self, name: str) -> int | None:
        if name not in self._open:
            try:
                fd = os.open(self._folder / name, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
            except OSError:
                self._open[name] = None
            else:
                self._stack.callback(os.close, fd)
                self._open[name] = fd
        return self._open[name]


def _all_lines(text: bytes) -> Iterator[tuple[int, bytes]]:
    start = 0
    for line in text.split(b"\n")[:-1]:
        yield start, line
        start += len(line) + 1


def _decoded(line: bytes) -> Fields | None:
    try:
        fields = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return fields if isinstance(fields, dict) else None
