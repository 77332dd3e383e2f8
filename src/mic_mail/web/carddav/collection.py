"""An address book as a WebDAV collection: which cards, their entity tags, and tokens that say what has changed since.

In: a `Book`. Out: keys, tags, tokens. Pure. A token (RFC 6578) is made of what it stands for and stored nowhere, so it is good
in every process and after every restart: the cards fall into BUCKETS by their keys, and the token holds a digest of each. What
has changed since lies in buckets with another digest, and all of these is told: a client that is told again of a card with the
tag that it knows fetches nothing, and one that is told again of a card that is gone does nothing (docs/decisions/0071).
"""

from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from hashlib import blake2b
from zlib import crc32

from mic_mail.addressbook.cards import Book, Card, Ministry

BUCKETS = 128
DIGEST_OCTETS = 4
TOKEN = "urn:mic-mail:sync:1:"  # noqa: S105 - no secret
VERSION = b"1"
"""Grows when the same card becomes another vCard, so that clients fetch it anew."""


class BadToken(Exception):
    """Not a token of ours: the client begins from nothing (RFC 6578 §3.2, DAV:valid-sync-token)."""


def etag(card: Card, ministry: Ministry) -> str:
    """The entity tag; equal only where all that is shown is."""
    fields = (
        card.kind,
        str(card.number),
        card.name,
        card.unit.symbol,
        card.unit.name,
        card.position,
        ministry.name,
        ministry.domain,
    )
    hashed = blake2b(VERSION, digest_size=12)
    for field in (*fields, *card.addresses):
        hashed.update(field.encode("utf-8", "surrogatepass") + b"\0")
    return f'"{hashed.hexdigest()}"'


def bucket(key: str) -> int:
    return crc32(key.encode()) % BUCKETS


@dataclass(frozen=True)
class Collection:
    """Cards by their keys; `gone`: the keys of cards that may have been here and are not."""

    ministry: Ministry
    cards: dict[str, Card]
    gone: frozenset[str]

    def __len__(self) -> int:
        return len(self.cards)

    @cached_property
    def etags(self) -> dict[str, str]:
        return {key: etag(card, self.ministry) for key, card in self.cards.items()}

    @cached_property
    def _digests(self) -> bytes:
        sums = [blake2b(digest_size=DIGEST_OCTETS) for _ in range(BUCKETS)]
        for key, tag in self.etags.items():  # in the order of the book
            sums[bucket(key)].update(f"{key} {tag}\n".encode())
        return b"".join(one.digest() for one in sums)

    @cached_property
    def token(self) -> str:
        """What a client keeps that has everything."""
        return TOKEN + urlsafe_b64encode(self._digests).decode()

    @cached_property
    def tag(self) -> str:
        """Changes with everything (CTag, and the collection's entity tag)."""
        return f'"{blake2b(self._digests, digest_size=12).hexdigest()}"'

    def since(self, token: str) -> tuple[list[str], list[str]]:
        """The keys of cards to look at again, and of cards that are gone."""
        if not token:
            return list(self.cards), []
        try:
            known = urlsafe_b64decode(token.removeprefix(TOKEN).encode())
        except ValueError as error:
            raise BadToken from error
        if not token.startswith(TOKEN) or len(known) != len(self._digests):
            raise BadToken
        size = DIGEST_OCTETS
        changed = {
            number for number in range(BUCKETS)
            if known[number * size : number * size + size] != self._digests[number * size : number * size + size]
        }  # fmt: skip
        if not changed:
            return [], []
        return [key for key in self.cards if bucket(key) in changed], sorted(key for key in self.gone if bucket(key) in changed)


class AddressBookCollection:
    """The address books that there are: the ministry's, and each unit's own."""

    def __init__(self, book: Book) -> None:
        self.book = book
        self.whole = Collection(book.ministry, dict(book.by_key), book.hidden)
        self._units: dict[str, list[Card]] = {}
        self._symbols: dict[str, str] = {}
        self._own: dict[str, Collection] = {}
        for card in book:
            self._units.setdefault(card.unit.symbol, []).append(card)
            for address in card.addresses:
                self._symbols[address] = card.unit.symbol
        _ = self.whole.token  # made where the shelf is: in a lane

    @classmethod
    def of(cls, book: Book, previous: "AddressBookCollection | None" = None) -> "AddressBookCollection":
        """As `AddressBookCache` has it made."""
        return cls(book)

    def of_unit(self, address: str) -> Collection | None:
        """The book of the unit to which the mailbox of `address` belongs; None where that is not in the book."""
        symbol = self._symbols.get(address)
        if symbol is None:
            return None
        found = self._own.get(symbol)
        if found is None:
            cards = {card.key: card for card in self._units[symbol]}
            elsewhere = frozenset(key for key in self.book.by_key if key not in cards)
            found = self._own[symbol] = Collection(self.book.ministry, cards, self.book.hidden | elsewhere)
        return found

    def unit_name(self, address: str) -> str:
        symbol = self._symbols.get(address, "")
        return next((card.unit.name for card in self._units.get(symbol, ())), "")


def chosen(collection: Collection, keys: Iterable[str]) -> Iterator[Card]:
    """The cards of these keys that are there."""
    return (collection.cards[key] for key in keys if key in collection.cards)
