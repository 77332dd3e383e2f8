"""The address book: a card for each unit, person and group, with what the directory shows of them to everybody (Reg. 2.6).

In: names and addresses that `services.mailboxes.addressbook` has chosen. Out: immutable cards in one order. Pure.
Never here: states, rank, employment, quota, last use: of a person the book has the name, the unit, the position as recorded
and the address, and nothing else (docs/decisions/0071).
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property
from uuid import NAMESPACE_DNS, UUID, uuid5

from mic_mail.policy.transliteration import by_given_name


class Kind(StrEnum):
    """What a card is of."""

    PERSON = "person"
    UNIT = "unit"
    GROUP = "group"


_ORDER = {kind: place for place, kind in enumerate(Kind)}


def key_of(kind: Kind, number: int) -> str:
    """The key of a card."""
    return f"{kind}-{number}"


@dataclass(frozen=True, slots=True)
class UnitName:
    """A unit as others name it."""

    symbol: str
    name: str


@dataclass(frozen=True, slots=True)
class Card:
    """One entry. `number` is the directory's own for the person, unit or group mailbox, and never another one's."""

    kind: Kind
    number: int
    name: str
    unit: UnitName
    """Where a person works, the unit itself, or the unit that answers for a group."""
    position: str = ""
    addresses: tuple[str, ...] = ()
    """None: a person without a mailbox is information, not an error (Reg. 2.6)."""

    @property
    def key(self) -> str:
        """Names the card for ever, also when the person moves or gets another address."""
        return key_of(self.kind, self.number)

    @property
    def place(self) -> tuple[int, int]:
        """Where it stands in the book; a card that comes later moves no other one."""
        return _ORDER[self.kind], self.number


@dataclass(frozen=True, slots=True)
class Person:
    """A name in its parts: Đỗ Văn Bê is of the family Đỗ, and called Bê."""

    family: str
    middle: str
    given: str

    @classmethod
    def of(cls, name: str) -> "Person":
        """In Vietnamese order; who has one name alone has it as the family's, for which every format asks."""
        first, *rest = name.split() or [""]
        return cls(first, " ".join(rest[:-1]), rest[-1] if rest else "")

    @property
    def sorted_by(self) -> tuple[str, str]:
        """Vietnamese lists go by the given name, then by what stands before it."""
        if not self.given:
            return self.family, ""
        return self.given, f"{self.family} {self.middle}".strip()


@dataclass(frozen=True, slots=True)
class Ministry:
    """Whose book it is."""

    name: str
    domain: str

    def uuid(self, card: Card) -> UUID:
        """The same on every machine and after every restart (RFC 9562 §5.5)."""
        return uuid5(NAMESPACE_DNS, f"{card.key}.{self.domain}")

    def login(self, address: str) -> str:
        """An address without the ministry's own domain."""
        return address.removesuffix(f"@{self.domain}")


@dataclass(frozen=True)
class Book:
    """All cards, by `place`."""

    ministry: Ministry
    cards: tuple[Card, ...] = ()
    hidden: frozenset[str] = frozenset()
    """Keys of what the directory knows and does not show, or shows no more: who has the book may have it from before."""

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
        """As a printed directory has it: units by symbol, in each the unit, its groups, its people by given name."""
        kinds = (Kind.UNIT, Kind.GROUP, Kind.PERSON)
        return sorted(
            self.cards,
            key=lambda card: (card.unit.symbol.casefold(), kinds.index(card.kind), by_given_name(card.name), card.number),
        )
