"""The directory information tree: entries by name, and search among them.

In: a `Book`; names and filters. Out: entries, in the order of the book: those above the cards, people, units, groups.
Entries lie in blocks by the numbers of their cards, so that a search that has found enough stops, and a new tree takes
over every unchanged block of the previous one. Pure.
"""

from bisect import bisect_right
from collections.abc import Generator, Iterable, Iterator
from dataclasses import dataclass

from mic_mail.addressbook import ldap_entries as book_entries
from mic_mail.addressbook.cards import Book, Card
from mic_mail.addressbook.ldap_entries import BRANCHES, LdapEntry
from mic_mail.ldap import schema
from mic_mail.ldap.attribute_index import members
from mic_mail.ldap.dn import normal, same
from mic_mail.ldap.entry_block import SUBSCHEMA, EntryBlock
from mic_mail.ldap.filters import Filter

__all__ = ["SUBSCHEMA", "FoundEntry", "Position", "Tree"]

Position = tuple[int, int]
"""Position of an entry: the rank of its kind and its number; -1 for entries above the cards.

It is the same in later books.
"""
BLOCK_NUMBERS = 2048
"""Card numbers of one block: a filter over so many takes some tenths of a millisecond."""
_BRANCHES = tuple(BRANCHES)
_FRAME = -1


@dataclass(frozen=True, slots=True)
class FoundEntry:
    """An entry in its block."""

    block: EntryBlock
    number: int

    @property
    def entry(self) -> LdapEntry:
        return self.block.entry(self.number)

    @property
    def operational(self) -> dict[str, tuple[str, ...]]:
        return self.block.operational(self.number)

    @property
    def place(self) -> Position:
        cards = self.block.cards
        return cards[self.number].place if cards else (_FRAME, self.number)


class Tree:
    """All entries of the directory."""

    def __init__(self, book: Book, previous: "Tree | None" = None) -> None:
        """Build the tree; unchanged blocks are taken from `previous`."""
        self.book = book
        self.suffix = book_entries.suffix(book.ministry)
        self._suffix = normal(self.suffix)
        self._blocks: dict[tuple[int, int], EntryBlock] = {}
        self._names: dict[str, tuple[tuple[int, int], int]] = {}
        known = previous._blocks if previous is not None and previous.book.ministry == book.ministry else {}
        cards_by_block = _cards_by_block(book)
        frame = book_entries.frame(book.ministry)
        parents = frozenset({0, *(1 + rank for rank, _ in cards_by_block)})
        self._blocks[_FRAME, 0] = EntryBlock(frame, self._suffix, book.ministry, (), parents)
        for number, entry in enumerate(frame):
            self._names[self._below(normal(entry.dn))] = (_FRAME, 0), number
        for key, cards in cards_by_block.items():
            block, branch = known.get(key), BRANCHES[_BRANCHES[key[0]]]
            if block is None or block.cards != cards:
                entries = (book_entries.entry(card, book.ministry) for card in cards)
                block = EntryBlock(entries, (branch, *self._suffix), book.ministry, cards)
            self._blocks[key] = block
            for number, card in enumerate(cards):
                attribute, value = book_entries.rdn(card, book.ministry)
                self._names[f"{attribute}={same(value)},{branch}"] = key, number

    @property
    def size(self) -> int:
        return sum(block.size for block in self._blocks.values())

    def _below(self, parts: tuple[str, ...]) -> str:
        """Return a name without the suffix of the tree."""
        return ",".join(parts[: len(parts) - len(self._suffix)])

    def _named(self, parts: tuple[str, ...]) -> FoundEntry | None:
        if parts[len(parts) - len(self._suffix) :] != self._suffix:
            return None
        known = self._names.get(self._below(parts))
        return None if known is None else FoundEntry(self._blocks[known[0]], known[1])

    # ------------------------------------------------------------ entries

    def find(self, name: str) -> FoundEntry | None:
        """Return the entry of this name; raises `BadName`."""
        return self._named(normal(name))

    def nearest(self, name: str) -> str:
        """Return the longest existing part of `name`, for a client that asked for more (RFC 4511 §4.1.9)."""
        parts = normal(name)
        found = next(filter(None, (self._named(parts[at:]) for at in range(1, len(parts)))), None)
        return found.entry.dn if found is not None else ""

    def address_of(self, name: str) -> str | None:
        """Return the address by which the entry of this name signs in; raises `BadName`."""
        found = self.find(name)
        return None if found is None else next(iter(found.entry.attributes.get("mail", ())), None)

    # ------------------------------------------------------------ searching

    def search(
        self, base: FoundEntry, scope: int, wanted: Filter, behind: Position | None = None
    ) -> Generator[list[FoundEntry], None, None]:
        """Yield the entries in `scope` of `base` for which the filter is true, in order.

        `scope`: RFC 4511 §4.5.1.2: 0, 1, 2. With `behind` only entries behind that position. Each step yields the entries
        found since the last one, maybe none, so that others may have a turn.
        """
        for block, within in self._within(base, scope):
            hidden = _up_to(block, behind) if behind is not None else 0
            if hidden >= block.size:
                continue
            looking = block.search(wanted)
            while True:
                try:
                    next(looking)
                except StopIteration as done:
                    true: int = done.value & within
                    break
                yield []
            yield [FoundEntry(block, number + hidden) for number in members(true >> hidden)]

    def holds(self, found: FoundEntry, attribute: schema.Attribute, value: bytes) -> Generator[None, None, bool | None]:
        """Return whether an entry has a value (Compare); None: it has no such attribute."""
        return found.block.holds(found.number, attribute, value)

    def _within(self, base: FoundEntry, scope: int) -> Iterator[tuple[EntryBlock, int]]:
        """Return the blocks in the scope, each with the entries that are in it."""
        frame = self._blocks[_FRAME, 0]
        itself = (base.block, 1 << base.number)
        if base.block is not frame:
            return iter([itself] if scope != 1 else [])
        if scope == 0:
            return iter([itself])
        if base.number == 0:
            branches = (frame, (1 << frame.size) - (1 if scope == 2 else 2))
            return iter([branches] if scope == 1 else [branches, *self._of_kinds(range(len(_BRANCHES)))])
        below = self._of_kinds([base.number - 1])
        return iter([itself, *below] if scope == 2 else below)

    def _of_kinds(self, ranks: Iterable[int]) -> list[tuple[EntryBlock, int]]:
        wanted = set(ranks)
        return [(block, (1 << block.size) - 1) for key, block in self._blocks.items() if key[0] in wanted]


def _cards_by_block(book: Book) -> dict[tuple[int, int], tuple[Card, ...]]:
    found: dict[tuple[int, int], list[Card]] = {}
    for card in book:
        rank, number = card.place
        found.setdefault((rank, number // BLOCK_NUMBERS), []).append(card)
    return {key: tuple(cards) for key, cards in found.items()}


def _up_to(block: EntryBlock, place: Position) -> int:
    """Return how many entries of a block stand at a position or before it."""
    if not block.cards:
        return place[1] + 1 if place[0] == _FRAME else block.size
    return bisect_right(block.cards, place, key=lambda card: card.place)
