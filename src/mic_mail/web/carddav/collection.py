"""An address book as a WebDAV collection: the cards, their entity tags, and sync tokens.

In: a `Book`. Out: keys, tags, tokens. Pure. A token (RFC 6578) is computed from the content and stored nowhere, so it is
valid in every process and after every restart: the cards fall into BUCKETS by their keys, and the token holds a digest of
each bucket. Changes since a token lie in the buckets whose digest differs, and all cards of these are reported. A client
that gets a card again with the tag that it has fetches nothing; one that gets a removed card again does nothing
(docs/decisions/0071).
"""

from base64 import urlsafe_b64decode, urlsafe_b64encode
from dataclasses import dataclass
from functools import cached_property
from hashlib import blake2b
from zlib import crc32

from mic_mail.addressbook.cards import Book, Card, Ministry
from mic_mail.web.carddav.xml import DAV, PreconditionFailed

BUCKETS = 128
DIGEST_OCTETS = 4
TOKEN = "urn:mic-mail:sync:1:"  # noqa: S105 - no secret
VERSION = b"1"
"""Version of the vCard form; increased when it changes, so that clients fetch all cards again."""


def etag(card: Card, ministry: Ministry) -> str:
    """Return the entity tag; two tags are equal only where everything that the card shows is."""
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
    """Cards by their keys; `gone` holds the keys of cards that may have been here and are not."""

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
        """The sync token of a client that has everything."""
        return TOKEN + urlsafe_b64encode(self._digests).decode()

    @cached_property
    def tag(self) -> str:
        """The CTag, which is also the collection's entity tag; it changes with every change."""
        return f'"{blake2b(self._digests, digest_size=12).hexdigest()}"'

    def since(self, token: str) -> tuple[list[str], list[str]]:
        """Return the keys of cards to fetch again, and of cards that are gone.

        A client with a token not of ours is told to start anew (RFC 6578 §3.2).
        """
        if not token:
            return list(self.cards), []
        try:
            known = urlsafe_b64decode(token.removeprefix(TOKEN).encode())
        except ValueError as error:
            raise PreconditionFailed(DAV, "valid-sync-token") from error
        if not token.startswith(TOKEN) or len(known) != len(self._digests):
            raise PreconditionFailed(DAV, "valid-sync-token")
        size = DIGEST_OCTETS
        changed = {
            number for number in range(BUCKETS)
            if known[number * size : number * size + size] != self._digests[number * size : number * size + size]
        }  # fmt: skip
        if not changed:
            return [], []
        return [key for key in self.cards if bucket(key) in changed], sorted(key for key in self.gone if bucket(key) in changed)


class AddressBookCollection:
    """The address books of the server: the ministry's, and each unit's own."""

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
        _ = self.whole.token  # made here, in an executor, not in the loop

    @classmethod
    def of(cls, book: Book, previous: "AddressBookCollection | None" = None) -> "AddressBookCollection":
        """Make the collections for `AddressBookCache`."""
        return cls(book)

    def of_unit(self, address: str) -> Collection | None:
        """Return the book of the unit to which the mailbox of `address` belongs.

        None where the address is not in the book.
        """
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
