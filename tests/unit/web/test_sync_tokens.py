"""Tokens of sync-collection (RFC 6578): a client that does what it is told has what there is, whenever it asks."""

from hypothesis import given
from hypothesis import strategies as st

from ldap_client import CNTT, KHTC, MINISTRY
from mic_mail.addressbook.cards import Book, Card, CardKind, key_of
from mic_mail.web.carddav.collection import AddressBookCollection, Collection

NUMBERS = range(1, 40)
names = st.sampled_from(["Đỗ Văn Bê", "Lê Hoa", "Trần Thị Lan"])
cards = st.builds(
    Card,
    st.just(CardKind.PERSON),
    st.sampled_from(NUMBERS),
    names,
    st.sampled_from([CNTT, KHTC]),
    st.just(""),
    st.lists(st.sampled_from(["a@mic.gov.vn", "b@mic.gov.vn"]), max_size=1).map(tuple),
)
"""Of people who come, move, are renamed, get and lose addresses, and go."""


def book_of(several: list[Card]) -> Book:
    """Whoever is not shown is known to the directory all the same."""
    shown = {card.key for card in several}
    return Book.of(MINISTRY, several, {key_of(CardKind.PERSON, number) for number in NUMBERS} - shown)


books = st.lists(cards, max_size=12, unique_by=lambda card: card.key).map(book_of)


class Client:
    """Keeps cards, and fetches those whose tag is new to it."""

    def __init__(self) -> None:
        self.token = ""
        self.cards: dict[str, Card] = {}
        self.tags: dict[str, str] = {}
        self.fetched = 0

    def sync(self, collection: Collection) -> None:
        changed, gone = collection.since(self.token)
        for key in changed:
            if self.tags.get(key) != collection.etags[key]:
                self.fetched += 1
                self.cards[key], self.tags[key] = collection.cards[key], collection.etags[key]
        for key in gone:
            self.cards.pop(key, None)
            self.tags.pop(key, None)
        self.token = collection.token


@given(st.lists(st.tuples(books, st.booleans()), min_size=1, max_size=6))
def test_a_client_has_what_there_is(history: list[tuple[Book, bool]]) -> None:
    """Through any history of the directory, of which it sees some moments; at each another process answers."""
    client = Client()
    for book, looks in [*history[:-1], (history[-1][0], True)]:
        if looks:
            client.sync(AddressBookCollection(book).whole)
    assert client.cards == dict(history[-1][0].by_key)
    before = client.fetched
    client.sync(AddressBookCollection(history[-1][0]).whole)
    assert client.fetched == before


@given(st.lists(books, min_size=1, max_size=4))
def test_the_own_units_book_follows_its_people(history: list[Book]) -> None:
    """Who moves to another unit leaves the book of the one before."""
    client = Client()
    me = Card(CardKind.UNIT, 1, CNTT.name, CNTT, "", ("cntt@mic.gov.vn",))
    for book in history:
        collection = AddressBookCollection(Book.of(MINISTRY, [me, *book.cards], book.hidden)).of_unit("cntt@mic.gov.vn")
        assert collection is not None
        client.sync(collection)
    expected = {card.key: card for card in [me, *history[-1].cards] if card.unit == CNTT}
    assert client.cards == expected
