"""Sort orders of a folder's messages, for SORT and THREAD.

An order is made once per state of a folder and shared by all sessions.

In: sort keys from the store (`storage.reads.sort_keys`). Out: `FolderOrder`: permutations of all messages, by criteria, from
which the results of a search are picked in one pass. Flags do not affect it; new messages cost their own keys, and a sort
when an order is next requested. Everything runs in an executor. No single call of C takes longer than some milliseconds, so
that the loop gets its turn: long lists are sorted in runs, which are then merged.
"""

from __future__ import annotations  # array[int] cannot be evaluated before Python 3.12

import operator
from array import array
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from itertools import compress, repeat
from typing import Any, NamedTuple

from mic_mail.imap.parser.sort import Criterion, SortKey, ThreadAlgorithm
from mic_mail.mime import sort_keys
from mic_mail.mime.sort_keys import NOTHING
from mic_mail.storage.reads.sort_keys import Ordered

ORDERS_KEPT = 8
"""Orders cached per folder."""
COMPARED_MESSAGES = 20_000
"""Most messages of a search whose threads are kept.

They are compared with those of the next search on the loop, in 0.3 ms.
"""
_RUN = 4096
_OVERHEAD_OCTETS = 100
"""Memory per message: an object, two instants, its place in some orders."""
_PLACES = {
    SortKey.SUBJECT: 0,
    SortKey.FROM: 1,
    SortKey.TO: 2,
    SortKey.CC: 3,
    SortKey.DISPLAYFROM: 4,
    SortKey.DISPLAYTO: 5,
}
"""The index of each key in `mime.sort_keys.Ordering`."""


def sorted_in_runs(positions: Sequence[int], column: Sequence[int] | Sequence[bytes], *, reverse: bool) -> list[int]:
    """Sort positions by a column, stably, in short calls.

    No call blocks the loop for more than some 3 ms; one sort of 300,000 subjects takes 300 ms, and even the last merge of two
    sorted halves 35 ms.
    """
    key: Callable[[int], object] = column.__getitem__
    runs = [
        sorted(positions[start : start + _RUN], key=key, reverse=reverse)  # type: ignore[arg-type]  # ints or bytes
        for start in range(0, len(positions), _RUN)
    ]
    while len(runs) > 1:
        runs = [
            _merged(runs[at], runs[at + 1], column, reverse=reverse) if at + 1 < len(runs) else runs[at]
            for at in range(0, len(runs), 2)
        ]
    return runs[0] if runs else []


def _merged(one: list[int], other: list[int], column: Sequence[int] | Sequence[bytes], *, reverse: bool) -> list[int]:
    """Merge two sorted lists block by block, equals of the first before those of the second.

    Each block holds what certainly precedes the rest.
    """
    key: Callable[[int], Any] = column.__getitem__
    before, not_behind = (operator.gt, operator.ge) if reverse else (operator.lt, operator.le)
    result: list[int] = []
    i = j = 0
    while i < len(one) and j < len(other):
        end, other_end = min(i + _RUN, len(one)), min(j + _RUN, len(other))
        last, other_last = key(one[end - 1]), key(other[other_end - 1])
        if before(other_last, last):
            end = _first(one, i, end, key, partial(before, other_last))
        else:
            other_end = _first(other, j, other_end, key, partial(not_behind, last))
        result += sorted(one[i:end] + other[j:other_end], key=key, reverse=reverse)
        i, j = end, other_end
    result += one[i:]
    result += other[j:]
    return result


def _first(positions: Sequence[int], low: int, high: int, key: Callable[[int], Any], holds: Callable[[Any], bool]) -> int:
    """Return the first index from `low` on whose key satisfies `holds`, or `high`.

    All later keys satisfy it.
    """
    while low < high:
        middle = (low + high) // 2
        if holds(key(positions[middle])):
            high = middle
        else:
            low = middle + 1
    return low


class StoredSortValues:
    """Sort keys from the store, in columns by UID.

    An object per message would burden the garbage collector.
    """

    __slots__ = ("received", "sent", "values")

    def __init__(self) -> None:
        self.values: dict[int, bytes] = {}
        self.sent: dict[int, int] = {}
        self.received: dict[int, int] = {}

    def take(self, ordered: Iterable[Ordered]) -> None:
        """Add the keys of more messages."""
        for uid, sent_at, received_at, value in ordered:
            self.values[uid] = value
            self.sent[uid] = sent_at
            self.received[uid] = received_at


class KeptThreads(NamedTuple):
    """The kind of a THREAD response; of each kind the last one is kept."""

    algorithm: ThreadAlgorithm
    by_uid: bool
    whole: bool
    """It is that for all messages of the folder."""


class FolderOrder:
    """All messages of a view, in any order; thread-safe, since concurrent results are equal."""

    __slots__ = ("_orders", "_received", "_threads", "_values", "octets", "sent", "uids")

    def __init__(self, uids: array[int], values: list[bytes], sent: array[int], received: array[int]) -> None:
        self.uids = uids
        self.sent = sent
        """Sent dates in seconds since the epoch (RFC 5256 §2.2)."""
        self._values = values
        self._received = received
        self._orders: OrderedDict[tuple[Criterion, ...], array[int]] = OrderedDict()
        self._threads: dict[KeptThreads, tuple[array[int], bytes]] = {}
        self.octets = sum(map(len, values)) + _OVERHEAD_OCTETS * len(values)

    @classmethod
    def build(cls, uids: array[int], prior: FolderOrder | None, stored: StoredSortValues) -> FolderOrder:
        """Build the order of these UIDs from `prior` and from the keys that the store returned."""
        first = 0
        values: list[bytes] = []
        sent, received = array("q"), array("q")
        if prior is not None:
            if prior.uids == uids[: len(prior.uids)]:  # usually only new messages are missing
                first = len(prior.uids)
                values, sent, received = prior._values[:], prior.sent[:], prior._received[:]
            else:
                stored.values.update(zip(prior.uids, prior._values, strict=True))
                stored.sent.update(zip(prior.uids, prior.sent, strict=True))
                stored.received.update(zip(prior.uids, prior._received, strict=True))
        for start in range(first, len(uids), _RUN):
            new = uids[start : start + _RUN]
            values += map(stored.values.get, new, repeat(NOTHING))
            sent.extend(map(stored.sent.get, new, repeat(0)))
            received.extend(map(stored.received.get, new, repeat(0)))
        return cls(uids, values, sent, received)

    def lacking(self, uids: array[int]) -> list[int]:
        """Return the `uids` that are not among these messages."""
        if self.uids == uids[: len(self.uids)]:
            return list(uids[len(self.uids) :])
        return sorted(set(uids).difference(self.uids))

    def column(self, key: SortKey, sizes: Sequence[int]) -> Sequence[int] | Sequence[bytes]:
        """Return the values that a criterion compares, message by message."""
        match key:
            case SortKey.SIZE:
                return sizes
            case SortKey.DATE:
                return self.sent
            case SortKey.ARRIVAL:
                return self._received
            case _:
                return sort_keys.keys(self._values, _PLACES[key])

    def order(self, criteria: tuple[Criterion, ...], sizes: Sequence[int]) -> array[int]:
        """Return all positions, sorted."""
        known = self._orders.get(criteria)
        if known is None:
            known = array("I", sort(range(len(self.uids)), [(self.column(each.key, sizes), each.reverse) for each in criteria]))
            self._orders[criteria] = known
            while len(self._orders) > ORDERS_KEPT:
                self._orders.popitem(last=False)
        return known

    def pick(self, found: Sequence[int], criteria: tuple[Criterion, ...], sizes: Sequence[int]) -> list[int]:
        """Return these positions, sorted."""
        order = self.order(criteria, sizes)
        if len(found) == len(order):
            return order.tolist()
        return list(compress(order, map(_mask(found, len(order)).__getitem__, order)))

    def thread_keys(self, positions: Iterable[int]) -> list[sort_keys.ThreadKeys]:
        """Return the keys of these messages by which they are threaded."""
        return [sort_keys.thread_keys(self._values[at]) for at in positions]

    def threads_of(self, kept: KeptThreads, positions: Sequence[int]) -> bytes | None:
        """Return the THREAD response for these messages, if it is kept."""
        of, response = self._threads.get(kept, (array("I"), None))
        if kept.whole:
            return response
        return response if len(of) == len(positions) and of == array("I", positions) else None

    def keep_threads(self, kept: KeptThreads, positions: Sequence[int], response: bytes) -> None:
        """Keep a THREAD response in place of the one of the same kind."""
        if kept.whole:
            self._threads[kept] = array("I"), response
        elif len(positions) <= COMPARED_MESSAGES:
            self._threads[kept] = array("I", positions), response


def sort(positions: Sequence[int], columns: Sequence[tuple[Sequence[int] | Sequence[bytes], bool]]) -> list[int]:
    """Sort positions by several columns, each reversed or not; equals keep their order (RFC 5256 §3)."""
    result: Sequence[int] = positions
    for column, reverse in reversed(columns):
        result = sorted_in_runs(result, column, reverse=reverse)
    return list(result)


def _mask(positions: Sequence[int], count: int) -> bytearray:
    mask = bytearray(count)
    for at in positions:
        mask[at] = 1
    return mask


Scores = Mapping[int, int]
"""The relevancy of positions, 1 to 100 (RFC 6203 §4)."""
