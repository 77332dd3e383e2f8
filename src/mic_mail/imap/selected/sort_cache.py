"""The orders of a folder's messages, for SORT and THREAD: made once for a state of a folder, shared by all sessions at it.

In: what the store keeps for sorting (`storage.ordering`). Out: `FolderOrder`: permutations of all messages, by criteria; what a
search found is then picked from them in one walk. Flags change none of it; a new message costs what is new, and the sort of an
order when it is next asked for. All of it runs in a lane; no single call of C takes longer there than some milliseconds, so
that the loop gets its turn: long lists are sorted in runs, which are then merged.
"""

from __future__ import annotations  # array[int] cannot be evaluated before Python 3.12

import operator
from array import array
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from itertools import compress, repeat
from threading import Lock
from typing import Any

from mic_mail.imap.parser.search_commands import Criterion, SortKey, ThreadAlgorithm
from mic_mail.imap.selected.mailbox_view import View
from mic_mail.mime import sort_keys
from mic_mail.mime.sort_keys import NOTHING
from mic_mail.storage.reads.sort_keys import Ordered

SHELF_OCTETS = 64 << 20
ORDERS_KEPT = 8
"""Of one folder."""
FORESTS_KEPT = 4
_RUN = 4096
_OVERHEAD_OCTETS = 100
"""Of one message: an object, two instants, its place in some orders."""
_PLACES = {
    SortKey.SUBJECT: 0,
    SortKey.FROM: 1,
    SortKey.TO: 2,
    SortKey.CC: 3,
    SortKey.DISPLAYFROM: 4,
    SortKey.DISPLAYTO: 5,
}
"""Where each key stands in `mime.ordering.Ordering`."""


def sorted_in_runs(positions: Sequence[int], column: Sequence[int] | Sequence[bytes], *, reverse: bool) -> list[int]:
    """`sorted` by a column, as stable as that; no single call keeps the loop waiting for more than some 3 ms, where one sort
    of 300,000 subjects takes 300, and even the last merge of two sorted halves 35."""
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
    """Two sorted lists as one, equals of the first before those of the other: block by block, each of what surely stands
    before all that is left."""
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
    """The first place from `low` on of whose key it holds, or `high`; behind that it holds everywhere."""
    while low < high:
        middle = (low + high) // 2
        if holds(key(positions[middle])):
            high = middle
        else:
            low = middle + 1
    return low


class Forests:
    """THREAD responses about all messages of a folder, by algorithm and kind of number."""

    __slots__ = ("_known",)

    def __init__(self) -> None:
        self._known: OrderedDict[tuple[ThreadAlgorithm, bool], bytes] = OrderedDict()

    def get(self, key: tuple[ThreadAlgorithm, bool]) -> bytes | None:
        """What was kept."""
        return self._known.get(key)

    def put(self, key: tuple[ThreadAlgorithm, bool], answer: bytes) -> None:
        """Keep it, and forget the oldest beyond FORESTS_KEPT."""
        self._known[key] = answer
        while len(self._known) > FORESTS_KEPT:
            self._known.popitem(last=False)


class StoredSortValues:
    """What the store has told, by UID and in columns: an object for each message would keep the collector of garbage busy."""

    __slots__ = ("received", "sent", "values")

    def __init__(self) -> None:
        self.values: dict[int, bytes] = {}
        self.sent: dict[int, int] = {}
        self.received: dict[int, int] = {}

    def take(self, ordered: Iterable[Ordered]) -> None:
        """Some messages more."""
        for uid, sent_at, received_at, value in ordered:
            self.values[uid] = value
            self.sent[uid] = sent_at
            self.received[uid] = received_at


class FolderOrder:
    """All messages of a view, in any order. From any thread: what two make at once is the same."""

    __slots__ = ("_orders", "_received", "_values", "forests", "octets", "sent", "uids")

    def __init__(self, uids: array[int], values: list[bytes], sent: array[int], received: array[int]) -> None:
        self.uids = uids
        self.sent = sent
        """Seconds since the epoch (RFC 5256 §2.2)."""
        self._values = values
        self._received = received
        self._orders: OrderedDict[tuple[Criterion, ...], array[int]] = OrderedDict()
        self.forests = Forests()
        self.octets = sum(map(len, values)) + _OVERHEAD_OCTETS * len(values)

    @classmethod
    def build(cls, uids: array[int], prior: FolderOrder | None, told: StoredSortValues) -> FolderOrder:
        """For these UIDs, of what `prior` knows and what the store has told besides."""
        first = 0
        values: list[bytes] = []
        sent, received = array("q"), array("q")
        if prior is not None:
            if prior.uids == uids[: len(prior.uids)]:  # mostly only new ones are missing
                first = len(prior.uids)
                values, sent, received = prior._values[:], prior.sent[:], prior._received[:]
            else:
                told.values.update(zip(prior.uids, prior._values, strict=True))
                told.sent.update(zip(prior.uids, prior.sent, strict=True))
                told.received.update(zip(prior.uids, prior._received, strict=True))
        for start in range(first, len(uids), _RUN):
            new = uids[start : start + _RUN]
            values += map(told.values.get, new, repeat(NOTHING))
            sent.extend(map(told.sent.get, new, repeat(0)))
            received.extend(map(told.received.get, new, repeat(0)))
        return cls(uids, values, sent, received)

    def lacking(self, uids: array[int]) -> list[int]:
        """Those of `uids` that are not among these messages."""
        if self.uids == uids[: len(self.uids)]:
            return list(uids[len(self.uids) :])
        return sorted(set(uids).difference(self.uids))

    def column(self, key: SortKey, sizes: Sequence[int]) -> Sequence[int] | Sequence[bytes]:
        """What a criterion compares, message by message."""
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
        """All positions, sorted."""
        known = self._orders.get(criteria)
        if known is None:
            known = array("I", sort(range(len(self.uids)), [(self.column(each.key, sizes), each.reverse) for each in criteria]))
            self._orders[criteria] = known
            while len(self._orders) > ORDERS_KEPT:
                self._orders.popitem(last=False)
        return known

    def pick(self, found: Sequence[int], criteria: tuple[Criterion, ...], sizes: Sequence[int]) -> list[int]:
        """These positions, sorted."""
        order = self.order(criteria, sizes)
        if len(found) == len(order):
            return order.tolist()
        return list(compress(order, map(_mask(found, len(order)).__getitem__, order)))

    def details(self, positions: Iterable[int]) -> list[sort_keys.Ordering]:
        """Everything that is known of these messages."""
        return [sort_keys.decode(self._values[at]) for at in positions]


def sort(positions: Sequence[int], columns: Sequence[tuple[Sequence[int] | Sequence[bytes], bool]]) -> list[int]:
    """Positions by several columns, each reversed or not; equals stay as they come (RFC 5256 §3)."""
    result: Sequence[int] = positions
    for column, reverse in reversed(columns):
        result = sorted_in_runs(result, column, reverse=reverse)
    return list(result)


def _mask(positions: Sequence[int], count: int) -> bytearray:
    mask = bytearray(count)
    for at in positions:
        mask[at] = 1
    return mask


class SortCache:
    """`FolderOrder` by folder, the longest unused dropped first; from any thread."""

    def __init__(self, max_octets: int = SHELF_OCTETS) -> None:
        self._max_octets = max_octets
        self._lock = Lock()
        self._known: OrderedDict[tuple[int, int, int], FolderOrder] = OrderedDict()

    def prior(self, view: View) -> FolderOrder | None:
        """The order of this folder's messages that was made last; it fits if its UIDs are those of the view."""
        key = view.account_id, view.folder_id, view.uidvalidity
        with self._lock:
            known = self._known.get(key)
            if known is not None:
                self._known.move_to_end(key)
            return known

    def put(self, view: View, order: FolderOrder) -> None:
        """Keep it for others."""
        with self._lock:
            self._known[view.account_id, view.folder_id, view.uidvalidity] = order
            while len(self._known) > 1 and sum(kept.octets for kept in self._known.values()) > self._max_octets:
                self._known.popitem(last=False)


Scores = Mapping[int, int]
"""The relevancy of positions, 1 to 100 (RFC 6203 §4)."""
