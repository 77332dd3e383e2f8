"""Followed searches (RFC 5267 §4.3): their state in a view while it catches up.

Pure; `search_context` has the steps. A *context* is a search and the UIDs in its client's list, in the order of the list. An
expunged message leaves the lists before its EXPUNGE is sent (§4.3.4). For other messages that are new or changed, the view
only notes that they have to be matched again.
"""

from __future__ import annotations  # array[int] cannot be evaluated before Python 3.12

from array import array
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass

from mic_mail.imap.parser.fetch_items import FetchItem
from mic_mail.imap.parser.number_set import ranges_of
from mic_mail.imap.parser.search_keys import SearchKey
from mic_mail.imap.parser.sort import Criterion
from mic_mail.imap.responses import context_updates, correlators

MAX_CONTEXTS = 16
"""Most followed searches of one session."""

Pairs = list[tuple[int, list[int]]]
"""Positions in a client's list, counted from 1, and the UIDs added or removed there.

0: wherever they belong (§4.3.3).
"""


@dataclass(slots=True)
class Context:
    """One followed search."""

    tag: bytes
    key: SearchKey
    """The keys without FUZZY, message numbers and `$`.

    These keep the meaning that they had at the time of the search (§4.3).
    """
    criteria: tuple[Criterion, ...]
    """The criteria of a SORT; empty for mailbox order."""
    by_uid: bool
    mailbox: tuple[bytes, int] | None
    """The name, ready to send, and UIDVALIDITY, for ESEARCH (RFC 7377 §2.1)."""
    items: tuple[FetchItem, ...]
    """Items to fetch of new messages that match (RFC 5465 §7)."""
    moves: bool
    """True if the matches may change although no message does."""
    uids: array[int]
    """The UIDs of the client's list, in its order."""

    def without(self, gone: Collection[int]) -> Pairs:
        """Remove messages from the list and return the removals to send.

        They go from the end to the beginning, so that no position moves before its turn.
        """
        places = [at for at, uid in enumerate(self.uids) if uid in gone]
        if not places:
            return []
        before, self.uids = self.uids, array("I", [uid for uid in self.uids if uid not in gone])
        if not self.criteria:
            return [(0, [before[at] for at in places])]
        return [(low + 1, list(before[low : high + 1])) for low, high in reversed(ranges_of(places))]

    def become(self, uids: Sequence[int]) -> Pairs:
        """Extend the list to `uids`, which keep its order, and return the additions to send.

        They go from the beginning to the end.
        """
        known = set(self.uids)
        places = [at for at, uid in enumerate(uids) if uid not in known]
        if not places:
            return []
        self.uids = array("I", uids)
        if not self.criteria:
            return [(0, [uids[at] for at in places])]
        return [(low + 1, list(uids[low : high + 1])) for low, high in ranges_of(places)]

    def format_update(self, removed: Pairs, added: Pairs, position: Callable[[int], int | None]) -> bytes:
        """Return the line, or none; a client that searched without UID gets numbers by the view's `position`."""

        def named(pairs: Pairs) -> Iterator[tuple[int, list[int]]]:
            for place, uids in pairs:
                yield place, uids if self.by_uid else [at + 1 for uid in uids if (at := position(uid)) is not None]

        changes = [(word, named(pairs)) for word, pairs in ((b"REMOVEFROM", removed), (b"ADDTO", added)) if pairs]
        return context_updates(correlators(self.tag, by_uid=self.by_uid, mailbox=self.mailbox), changes) if changes else b""


class Contexts:
    """The contexts of one view, and the messages that have to be matched again for them."""

    __slots__ = ("_by_tag", "arrived", "changed")

    def __init__(self) -> None:
        self._by_tag: dict[bytes, Context] = {}
        self.changed: set[int] = set()
        """UIDs of messages that are new or have changed."""
        self.arrived: set[int] = set()
        """The new ones among them."""

    def __contains__(self, tag: bytes) -> bool:
        return tag in self._by_tag

    def __len__(self) -> int:
        return len(self._by_tag)

    def __iter__(self) -> Iterator[Context]:
        return iter(list(self._by_tag.values()))

    @property
    def due(self) -> bool:
        """True if some list may have to change."""
        return bool(self._by_tag) and (bool(self.changed) or any(context.moves for context in self))

    def add(self, context: Context) -> None:
        """Follow one more search."""
        self._by_tag[context.tag] = context

    def cancel(self, tag: bytes) -> None:
        """Stop following a search, if it was followed."""
        self._by_tag.pop(tag, None)

    def note(self, changed: Iterable[int], arrived: Iterable[int]) -> None:
        """Note changed and new messages."""
        if self._by_tag:
            self.arrived.update(arrived)
            self.changed.update(changed, self.arrived)

    def settle(self, changed: Collection[int]) -> None:
        """Note that these have been matched."""
        self.changed.difference_update(changed)
        self.arrived.intersection_update(self.changed)

    def expunged(self, gone: Collection[int], position: Callable[[int], int | None]) -> list[bytes]:
        """Remove expunged messages from all lists; return the lines to send while they still have numbers."""
        if not self._by_tag:
            return []
        self.changed.difference_update(gone)
        some = set(gone)
        return [line for context in self if (line := context.format_update(context.without(some), [], position))]
