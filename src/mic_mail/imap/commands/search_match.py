"""The part of SEARCH without text: a tree of keys evaluated against the columns of a selected mailbox.

In: a `SearchKey` tree, columns in the order of the messages, and the results of text scans so far. Out: which messages match
for certain and which may still match, as masks: integers with one byte of 0 or 1 per message, so that AND, OR and NOT are
single operations on all messages.

Text keys are undecided until their messages are scanned. The caller gets them from `text_keys`, cheapest first, scans only the
messages that are still `undecided`, adds the result, and evaluates again, until nothing is undecided. A tree may have
thousands of keys: it is evaluated with pauses, and never holds more masks than it is deep.

Standards: RFC 9051 §6.4.4, RFC 3501 §6.4.4, RFC 5032 (WITHIN), RFC 7162 §3.1.5, RFC 8514 §4.3, RFC 8474 §6, RFC 5182 (`$`).
"""

from collections.abc import Generator, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta, tzinfo
from itertools import compress

from mic_mail.imap.parser.search_keys import (
    Age,
    All,
    And,
    DateComparison,
    DateKey,
    DateOf,
    HasFlag,
    HasKeyword,
    InSet,
    ModSeq,
    Not,
    ObjectId,
    Or,
    Recent,
    SearchKey,
    Size,
    nodes,
)
from mic_mail.storage.types import TextTest

Mask = int
"""One byte per message, 0 or 1, the first message in the lowest byte."""

_COST = {"HEADER": 0, "BODY": 1, "TEXT": 2}


@dataclass(frozen=True, slots=True)
class Columns:
    """The message data by position; columns that the tree does not need are absent.

    `zone` is the time zone of day boundaries.
    """

    uids: Sequence[int]
    flags: Sequence[int]
    modseqs: Sequence[int]
    sizes: Sequence[int]
    keywords: Mapping[str, int]
    """The flag bit of each keyword, by its name in lower case."""
    recent: Mask
    saved_uids: Sequence[int]
    """The result of the last SEARCH RETURN (SAVE), ascending."""
    now: int
    """Seconds since the epoch, for YOUNGER and OLDER."""
    zone: tzinfo
    instants: Mapping[DateOf, Sequence[int | None]]
    """Seconds since the epoch, None where there is no such instant.

    For SENT, midnight (UTC) of the written day.
    """
    identifiers: Mapping[str, Sequence[str | None]]


@dataclass(frozen=True, slots=True)
class TextScanResult:
    """The result of a text scan: of the messages in `asked`, those in `found` match."""

    asked: Mask
    found: Mask


@dataclass(frozen=True, slots=True)
class MatchMasks:
    """Masks of matches: `certain`, and `possible`, which adds those that text has yet to decide."""

    certain: Mask
    possible: Mask

    @property
    def undecided(self) -> Mask:
        """The messages that text has yet to decide."""
        return self.possible ^ self.certain


def match(key: SearchKey, columns: Columns, scans: Mapping[TextTest, TextScanResult]) -> Generator[None, None, MatchMasks]:
    """Evaluate the tree with the scans so far, pausing after each key that was compared to all messages."""
    return _Evaluation(columns, scans).of(key)


def text_keys(key: SearchKey) -> list[TextTest]:
    """Return the text keys of the tree, each once, header fields first, since they are the cheapest."""
    found = dict.fromkeys(node for node in nodes(key) if isinstance(node, TextTest))
    return sorted(found, key=lambda test: _COST[test.kind])


def positions(mask: Mask, count: int) -> list[int]:
    return list(compress(range(count), mask.to_bytes(count, "little"))) if mask else []


def mask_of(chosen: Iterable[int], count: int) -> Mask:
    octets = bytearray(count)
    for position in chosen:
        octets[position] = 1
    return int.from_bytes(octets, "little")


def everything(count: int) -> Mask:
    return int.from_bytes(b"\x01" * count, "little")


class _Evaluation:
    """One evaluation of a tree; `_leaf` handles each key type."""

    def __init__(self, columns: Columns, scans: Mapping[TextTest, TextScanResult]) -> None:
        self._columns = columns
        self._scans = scans
        self._count = len(columns.uids)
        self._all = everything(self._count)

    def of(self, key: SearchKey) -> Generator[None, None, MatchMasks]:
        if isinstance(key, Not):
            verdict = yield from self.of(key.key)
            return MatchMasks(self._all ^ verdict.possible, self._all ^ verdict.certain)
        if isinstance(key, And):
            return (yield from self._all_of(key.keys))
        if isinstance(key, Or):
            return (yield from self._any_of(key.keys))
        if isinstance(key, TextTest):
            scan = self._scans.get(key, TextScanResult(0, 0))
            return MatchMasks(scan.found, scan.found | (self._all ^ scan.asked))
        mask = self._leaf(key)
        yield
        return MatchMasks(mask, mask)

    def _all_of(self, keys: Iterable[SearchKey]) -> Generator[None, None, MatchMasks]:
        certain = possible = self._all
        for key in keys:
            verdict = yield from self.of(key)
            certain &= verdict.certain
            possible &= verdict.possible
            if not possible:
                break
        return MatchMasks(certain, possible)

    def _any_of(self, keys: Iterable[SearchKey]) -> Generator[None, None, MatchMasks]:
        certain = possible = 0
        for key in keys:
            verdict = yield from self.of(key)
            certain |= verdict.certain
            possible |= verdict.possible
            if certain == self._all:
                break
        return MatchMasks(certain, possible)

    def _leaf(self, key: SearchKey) -> Mask:
        columns = self._columns
        match key:
            case All():
                return self._all
            case HasFlag(bit):
                return self._bit(bit)
            case HasKeyword(keyword):
                return self._bit(columns.keywords.get(keyword.lower(), 0))
            case Recent():
                return columns.recent
            case Size(larger, octets):
                return _mask([size > octets if larger else size < octets for size in columns.sizes])
            case ModSeq(modseq):
                return _mask([value >= modseq for value in columns.modseqs])
            case InSet():
                return self._in_set(key)
            case DateKey():
                return self._date(key)
            case Age(older, seconds):
                return self._age(older, seconds)
            case ObjectId(column, value):
                return _mask([identifier == value for identifier in columns.identifiers[column]])
            case _:
                raise AssertionError(key)

    def _bit(self, bit: int) -> Mask:
        return _mask([flags & bit != 0 for flags in self._columns.flags]) if bit else 0

    def _in_set(self, key: InSet) -> Mask:
        columns = self._columns
        if key.messages.saved:
            saved = set(columns.saved_uids)
            return _mask([uid in saved for uid in columns.uids])
        wanted = key.messages
        ranges = wanted.positions_of_uids(columns.uids) if key.by_uid else wanted.positions_within(self._count)
        octets = bytearray(self._count)
        for span in ranges:
            octets[span.start : span.stop] = b"\x01" * len(span)
        return int.from_bytes(octets, "little")

    def _date(self, key: DateKey) -> Mask:
        """Compare whole days: for SENT as written, else in the server's zone (RFC 9051 §6.4.4)."""
        begin, end = _day(key.day, UTC if key.of is DateOf.SENT else self._columns.zone)
        instants = self._columns.instants[key.of]
        match key.order:
            case DateComparison.BEFORE:
                return _mask([instant is not None and instant < begin for instant in instants])
            case DateComparison.SINCE:
                return _mask([instant is not None and instant >= begin for instant in instants])
            case DateComparison.ON:
                return _mask([instant is not None and begin <= instant < end for instant in instants])

    def _age(self, older: bool, seconds: int) -> Mask:
        """Compare INTERNALDATE; YOUNGER and OLDER both include the boundary (RFC 5032 §3)."""
        boundary = self._columns.now - seconds
        instants = self._columns.instants[DateOf.INTERNAL]
        if older:
            return _mask([instant is not None and instant <= boundary for instant in instants])
        return _mask([instant is not None and instant >= boundary for instant in instants])


def _day(day: date, zone: tzinfo) -> tuple[int, int]:
    """Return the first second of the day and of the next one.

    Days at the ends of the calendar count as 24 hours of UTC.
    """
    begin = (day - date(1970, 1, 1)).days * 86_400
    offset = datetime.combine(day, time(12), zone).utcoffset() if 1 < day.year < 9999 else None
    begin -= int((offset or timedelta()).total_seconds())
    return begin, begin + 86_400


def _mask(truths: list[bool]) -> Mask:
    return int.from_bytes(bytes(truths), "little")
