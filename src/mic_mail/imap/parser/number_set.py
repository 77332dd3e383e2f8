"""Sets of sequence numbers or UIDs, as clients write them and as responses list them.

In: the octets of a `sequence-set` (RFC 9051 §9), or ascending numbers. Out: a `SequenceSet` of ascending, disjoint ranges;
positions in an ascending UID array; compact octets such as `1:3,7`. Work is bounded by the number of *ranges* and of
*existing* messages, never by the numbers that a client names: `1:4294967295` costs as much as `1`. Pure; raises only
`SequenceError`.

    wire         1,3:5,9:*     -> ranges ((1, 1), (3, 5), (9, STAR))
    resolve      UIDs 2,4,7    -> positions [1, 2) and [2, 3): `9:*` includes the last message (RFC 9051 §9, seq-range)
"""

import re
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import chain, pairwise

Ranges = tuple[tuple[int, int], ...]
"""Inclusive ranges, ascending, disjoint and never adjacent."""

MAX_NUMBER = 0xFFFF_FFFF
"""The largest number that a client may name (nz-number is an unsigned 32-bit integer)."""

STAR = 1 << 40
"""The value of `*` in a range: above every number of ten digits, so that none is mistaken for it."""

_SHAPE = re.compile(
    rb"(?:[1-9][0-9]{0,9}|\*)(?::(?:[1-9][0-9]{0,9}|\*))?(?:,(?:[1-9][0-9]{0,9}|\*)(?::(?:[1-9][0-9]{0,9}|\*))?)*+"
)


class SequenceError(ValueError):
    """The octets are not a sequence set."""


class NoSuchNumber(ValueError):
    """A command names a sequence number that does not exist: BAD (RFC 9051 §9, seq-number)."""


@dataclass(frozen=True, slots=True)
class SequenceSet:
    """A set of numbers as a client wrote it.

    `saved` is `$`, the result of the last SEARCH RETURN (SAVE) (RFC 5182); it has no ranges.
    """

    ranges: Ranges
    highest: int = 0
    """The largest number written as digits, to compare sequence numbers with the count of messages."""
    saved: bool = False

    @property
    def has_star(self) -> bool:
        """True if `*` occurs; some arguments do not allow it (RFC 7162 §7, known-uids)."""
        return bool(self.ranges) and self.ranges[-1][1] == STAR

    def positions_of_uids(self, uids: Sequence[int]) -> list[range]:
        """Return the positions of this UID set in `uids` (ascending); UIDs that do not exist are ignored."""
        if not uids:
            return []
        found: list[range] = []
        for low, high in self.bounded(uids[-1]):
            start = bisect_left(uids, low)
            stop = bisect_right(uids, high, start)
            if start < stop:
                found.append(range(start, stop))
        return found

    def positions_of_numbers(self, count: int) -> list[range] | None:
        """Return the positions of these sequence numbers among `count` messages; None if one does not exist.

        RFC 9051 §9 (seq-number): a number beyond the mailbox is BAD, also `*` in an empty mailbox.
        """
        if count == 0 or self.highest > count:
            return None
        return self.positions_within(count)

    def positions_within(self, count: int) -> list[range]:
        """Return the positions of the sequence numbers that exist; SEARCH ignores others, as in Dovecot."""
        if count == 0:
            return []
        return [range(low - 1, min(high, count)) for low, high in self.bounded(count) if low <= count]

    def bounded(self, largest: int) -> Ranges:
        """Return the ranges with `*` replaced by `largest`.

        An `n:*` that begins beyond it is `largest:n` (RFC 9051 §9, seq-range).
        """
        if not self.has_star:
            return self.ranges
        low, _ = self.ranges[-1]
        if low == STAR:
            low = largest
        return merged([*self.ranges[:-1], (min(low, largest), max(low, largest) if low <= MAX_NUMBER else largest)])

    def contains(self, number: int, largest: int) -> bool:
        """Return whether the set holds `number` in a mailbox whose largest number is `largest`."""
        return _holds(self.bounded(largest), number)


@dataclass(frozen=True, slots=True)
class Partial:
    """A range of results: `1:100` the first ones, `-1:-100` the last (RFC 5267 §4.4, RFC 9394 §3.1).

    It is written as requested, except that `500:400` becomes the equal `400:500`, since clients compare it.
    """

    first: int
    second: int

    def within(self, count: int) -> slice:
        """Return the slice of these among `count` results; results that do not exist are left out."""
        low, high = sorted((abs(self.first), abs(self.second)))
        return slice(low - 1, high) if self.first > 0 else slice(max(0, count - high), max(0, count - low + 1))

    def __bytes__(self) -> bytes:
        ends = sorted((self.first, self.second)) if self.first > 0 else (self.first, self.second)
        return b"%d:%d" % tuple(ends)


SAVED_RESULT = SequenceSet((), saved=True)


def parse_set(text: bytes) -> SequenceSet:
    """Parse a set that a client wrote; `$` gives SAVED_RESULT."""
    if text.isdigit() and len(text) < 10 and text[0] != 48:  # most commands carry a single number
        number = int(text)
        return SequenceSet(((number, number),), number)
    if text == b"$":
        return SAVED_RESULT
    if not _SHAPE.fullmatch(text):
        raise SequenceError("not a sequence set")
    pairs: list[tuple[int, int]] = []
    highest = 0
    for item in text.split(b","):
        first, colon, second = item.partition(b":")
        low = STAR if first == b"*" else int(first)
        high = low if not colon else STAR if second == b"*" else int(second)
        for end in (low, high):
            if end != STAR and end > highest:
                highest = end
        pairs.append((low, high) if low <= high else (high, low))
    if highest > MAX_NUMBER:
        raise SequenceError("number beyond 32 bits")
    return SequenceSet(merged(pairs), highest)


def merged(pairs: Iterable[tuple[int, int]]) -> Ranges:
    """Return the pairs in ascending order, with overlapping and adjacent ones merged."""
    ordered = sorted(pairs)
    if len(ordered) < 2:
        return tuple(ordered)
    result: list[tuple[int, int]] = []
    low, high = ordered[0]
    for next_low, next_high in ordered[1:]:
        if next_low <= high + 1:
            high = max(high, next_high)
        else:
            result.append((low, high))
            low, high = next_low, next_high
    result.append((low, high))
    return tuple(result)


def ranges_of(numbers: Iterable[int]) -> Ranges:
    """Return the ranges that hold exactly `numbers`, in their order."""
    result: list[tuple[int, int]] = []
    low = high = -1
    for number in numbers:
        if number == high + 1 and low >= 0:
            high = number
            continue
        if low >= 0:
            result.append((low, high))
        low = high = number
    if low >= 0:
        result.append((low, high))
    return tuple(result)


def format_ranges(ranges: Iterable[tuple[int, int]]) -> bytes:
    """Return the octets of a sequence set: `1:3,7,9:*`; empty for no ranges, which no response may carry."""
    return ",".join([_end(low) if low == high else f"{_end(low)}:{_end(high)}" for low, high in ranges]).encode()


def format_set(numbers: Sequence[int]) -> bytes:
    """Return the compact octets of ascending, distinct numbers.

    A gapless run, the common case, is recognised without iteration.
    """
    if not numbers:
        return b""
    first, last = numbers[0], numbers[-1]
    if last - first + 1 == len(numbers):
        return b"%d" % first if first == last else b"%d:%d" % (first, last)
    return format_ranges(ranges_of(numbers))


def format_in_order(numbers: Iterable[int]) -> bytes:
    """Return the octets of numbers in their order; runs that count up by one are ranges (RFC 5267 §3.2)."""
    return format_ranges(ranges_of(numbers))


def intersection(one: Ranges, other: Ranges) -> Ranges:
    """Return the numbers that both hold, in one pass over both."""
    result: list[tuple[int, int]] = []
    i = j = 0
    while i < len(one) and j < len(other):
        low, high = max(one[i][0], other[j][0]), min(one[i][1], other[j][1])
        if low <= high:
            result.append((low, high))
        if one[i][1] < other[j][1]:
            i += 1
        else:
            j += 1
    return tuple(result)


def missing(ranges: Ranges, existing: Sequence[int]) -> Ranges:
    """Return the numbers of `ranges` (no `*`) that `existing` (ascending) lacks, as ranges.

    VANISHED names these (RFC 7162 §3.2.10).
    """
    gaps: list[tuple[int, int]] = []
    for low, high in ranges:
        here = existing[bisect_left(existing, low) : bisect_right(existing, high)]
        gaps += [(a + 1, b - 1) for a, b in pairwise(chain((low - 1,), here, (high + 1,))) if a + 1 <= b - 1]
    return tuple(gaps)


def _holds(ranges: Ranges, number: int) -> bool:
    at = bisect_right(ranges, (number, STAR)) - 1
    return at >= 0 and ranges[at][0] <= number <= ranges[at][1]


def _end(number: int) -> str:
    return "*" if number == STAR else str(number)
