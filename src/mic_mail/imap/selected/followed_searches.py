"""Searches that are followed (RFC 5267 §4.3): what a view knows of them while it catches up. Pure; `contexts` has the steps.

A *context* is a search and the UIDs that its client has in its list, in the order of the list. A message that is expunged
leaves the lists at once, before its EXPUNGE is told (§4.3.4); of the others that are new or have changed the view notes only
that they are to be looked at again.
"""

from __future__ import annotations  # array[int] cannot be evaluated before Python 3.12

from array import array
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass

from mic_mail.imap.parser.fetch_items import FetchItem
from mic_mail.imap.parser.number_set import ranges_of
from mic_mail.imap.parser.search_commands import Criterion
from mic_mail.imap.parser.search_keys import SearchKey
from mic_mail.imap.responses import context_updates, correlators

MAX_CONTEXTS = 16
"""Of one session."""

Pairs = list[tuple[int, list[int]]]
"""Positions in a client's list, counted from 1 (0: wherever it belongs, §4.3.3), and the UIDs that come or go there."""


@dataclass(slots=True)
class Context:
    """One search that is followed."""

    tag: bytes
    key: SearchKey
    """Without FUZZY, message numbers and `$`: those mean what they meant when the search was asked for (§4.3)."""
    criteria: tuple[Criterion, ...]
    """Of a SORT; none for the order of the mailbox."""
    by_uid: bool
    mailbox: tuple[bytes, int] | None
    """Name, ready to send, and UIDVALIDITY, where ESEARCH asked (RFC 7377 §2.1)."""
    items: tuple[FetchItem, ...]
    """What to fetch of a new message that is found (RFC 5465 §7)."""
    moves: bool
    """Which messages match may change though none of them does."""
    uids: array[int]
    """What the client has, in the order of its list."""

    def without(self, gone: Collection[int]) -> Pairs:
        """Take these out of the list: what to tell, from the end to the beginning, as no position may move before its turn."""
        places = [at for at, uid in enumerate(self.uids) if uid in gone]
        if not places:
            return []
        before, self.uids = self.uids, array("I", [uid for uid in self.uids if uid not in gone])
        if not self.criteria:
            return [(0, [before[at] for at in places])]
        return [(low + 1, list(before[low : high + 1])) for low, high in reversed(ranges_of(places))]

    def become(self, uids: Sequence[int]) -> Pairs:
        """Make the list this one, which holds all of it in the same order: what to tell, from the beginning to the end."""
        known = set(self.uids)
        places = [at for at, uid in enumerate(uids) if uid not in known]
        if not places:
            return []
        self.uids = array("I", uids)
        if not self.criteria:
            return [(0, [uids[at] for at in places])]
        return [(low + 1, list(uids[low : high + 1])) for low, high in ranges_of(places)]

    def format_update(self, removed: Pairs, added: Pairs, position: Callable[[int], int | None]) -> bytes:
        """The line, or none; `position` is the view's: a client that asked without UID is told message numbers."""

        def named(pairs: Pairs) -> Iterator[tuple[int, list[int]]]:
            for place, uids in pairs:
                yield place, uids if self.by_uid else [at + 1 for uid in uids if (at := position(uid)) is not None]

        changes = [(word, named(pairs)) for word, pairs in ((b"REMOVEFROM", removed), (b"ADDTO", added)) if pairs]
        return context_updates(correlators(self.tag, by_uid=self.by_uid, mailbox=self.mailbox), changes) if changes else b""


class Contexts:
    """The contexts of one view, and the messages that have yet to be looked at for them."""

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
        """Whether some list may have to change."""
        return bool(self._by_tag) and (bool(self.changed) or any(context.moves for context in self))

    def add(self, context: Context) -> None:
        """Follow one more."""
        self._by_tag[context.tag] = context

    def cancel(self, tag: bytes) -> None:
        """Follow it no longer, if it was."""
        self._by_tag.pop(tag, None)

    def note(self, changed: Iterable[int], arrived: Iterable[int]) -> None:
        """These messages have changed, those are new."""
        if self._by_tag:
            self.arrived.update(arrived)
            self.changed.update(changed, self.arrived)

    def settle(self, changed: Collection[int]) -> None:
        """These have been looked at."""
        self.changed.difference_update(changed)
        self.arrived.intersection_update(self.changed)

    def expunged(self, gone: Collection[int], position: Callable[[int], int | None]) -> list[bytes]:
        """These messages are no more, but have their numbers still: what to tell before they lose them."""
        if not self._by_tag:
            return []
        self.changed.difference_update(gone)
        some = set(gone)
        return [line for context in self if (line := context.format_update(context.without(some), [], position))]
