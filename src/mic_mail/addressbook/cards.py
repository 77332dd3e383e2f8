"""The address book: a card for each unit, person and group, with their public data (Reg. 2.6).

In: names and addresses selected by `services.mailboxes.address_book`. Out: immutable cards in one order. Pure. Never here:
states, rank, employment, quota, last use. Of a person the book has the name, the unit, the position as recorded and the
address, and nothing else (docs/decisions/0071).
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from uuid import NAMESPACE_DNS, UUID, uuid5

from mic_mail.i18n.labels import LabelledEnum
from mic_mail.policy.naming.transliteration import by_given_name


class CardKind(LabelledEnum):
    """The kinds of cards."""

    PERSON = "person", "cá nhân", "person"
    UNIT = "unit", "đơn vị", "unit"
    GROUP = "group", "nhóm", "group"


_ORDER = {kind: place for place, kind in enumerate(CardKind)}


def key_of(kind: CardKind, number: int) -> str:
    return f"{kind}-{number}"


@dataclass(frozen=True, slots=True)
class UnitName:
    """The symbol and name of a unit."""

    symbol: str
    name: str


@dataclass(frozen=True, slots=True)
class Card:
    """One entry of the book.

    `number` is the directory's own number of the person, unit or group mailbox, and never reused.
    """

    kind: CardKind
    number: int
    name: str
    unit: UnitName
    """The person's unit, the unit itself, or the unit that answers for a group."""
    position: str = ""
    addresses: tuple[str, ...] = ()
    """Empty for a person without a mailbox, which is information, not an error (Reg. 2.6)."""

    @property
    def key(self) -> str:
        """The card's permanent name, unchanged when the person moves or gets another address."""
        return key_of(self.kind, self.number)

    @property
    def place(self) -> tuple[int, int]:
        """The card's position in the book; a later card moves no other."""
        return _ORDER[self.kind], self.number


@dataclass(frozen=True, slots=True)
class PersonName:
    """A name in its parts: Đỗ Văn Bê has the family name Đỗ and the given name Bê."""

    family: str
    middle: str
    given: str

    @classmethod
    def of(cls, name: str) -> "PersonName":
        """Split a name in Vietnamese order.

        A single name becomes the family name, which every format requires.
        """
        first, *rest = name.split() or [""]
        return cls(first, " ".join(rest[:-1]), rest[-1] if rest else "")

    @property
    def sorted_by(self) -> tuple[str, str]:
        """The sort key of Vietnamese lists: the given name, then the names before it."""
        if not self.given:
            return self.family, ""
        return self.given, f"{self.family} {self.middle}".strip()


@dataclass(frozen=True, slots=True)
class Ministry:
    """The owner of the book."""

    name: str
    domain: str

    def uuid(self, card: Card) -> UUID:
        """Return the card's UUID, the same on every machine and after every restart (RFC 9562 §5.5)."""
        return uuid5(NAMESPACE_DNS, f"{card.key}.{self.domain}")

    def login(self, address: str) -> str:
        """Return an address without the ministry's own domain."""
        return address.removesuffix(f"@{self.domain}")


@dataclass(frozen=True)
class Book:
    """All cards, in the order of `place`."""

    ministry: Ministry
    cards: tuple[Card, ...] = ()
    hidden: frozenset[str] = frozenset()
    """Keys of entries known to the directory and not shown, or no longer shown.

    A client may still have them from before.
    """

    @classmethod
    def of(cls, ministry: Ministry, cards: Iterable[Card], hidden: Iterable[str] = ()) -> "Book":
        return cls(ministry, tuple(sorted(cards, key=lambda card: card.place)), frozenset(hidden))

    @cached_property
    def by_key(self) -> Mapping[str, Card]:
        return {card.key: card for card in self.cards}

    def __iter__(self) -> Iterator[Card]:
        return iter(self.cards)

    def __len__(self) -> int:
        return len(self.cards)

    def for_people(self) -> list[Card]:
        """Return the cards in the order of a printed directory.

        Units by symbol; within each the unit, its groups, its people by given name.
        """
        kinds = (CardKind.UNIT, CardKind.GROUP, CardKind.PERSON)
        return sorted(
            self.cards,
            key=lambda card: (card.unit.symbol.casefold(), kinds.index(card.kind), by_given_name(card.name), card.number),
        )
