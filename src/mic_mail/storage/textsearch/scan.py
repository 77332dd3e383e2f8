"""SEARCH over text by reading the messages: the scan that is always right (RFC 9051 §6.4.4), and what it leaves behind.

What counts as text says mime/searchtext.py, what counts as equal mime/letters.py: exact substrings, in order and adjacent, at
any length, without case; a value without diacritics finds text with and without them, one with any finds only its like.
`search.sqlite` answers the same questions without reading a message (lookup.py); this here reads what that does not know,
and what was read for BODY or TEXT is left there, so that the second search is quick.
"""

import sqlite3
from collections.abc import Iterable, Mapping, Sequence

from mic_mail.errors import MicMailError
from mic_mail.mime.headers import fields
from mic_mail.mime.letters import Query
from mic_mail.mime.parts import Sections
from mic_mail.mime.searchtext import Zone, field_texts, pieces
from mic_mail.storage.errors import NoSuchMessage
from mic_mail.storage.ordering import value_of
from mic_mail.storage.reader import open_message, rows
from mic_mail.storage.store import Store
from mic_mail.storage.textindex.file import Damaged, key_of
from mic_mail.storage.textindex.segment import Document, TooLong
from mic_mail.storage.textsearch.filling import MOST_WORDS, SMALLEST_LEFT, leave
from mic_mail.storage.types import Column, TextTest

Texts = Sequence[tuple[Zone, str]]
Named = Mapping[bytes, Sequence[bytes]]


def find_text(
    store: Store, folder_id: int, uids: Iterable[int], tests: Sequence[TextTest]
) -> list[tuple[int, tuple[bool, ...]]]:
    """For each UID that can be read, which of the tests it passes."""
    wanted = [_Test(test) for test in tests]
    headers_suffice = all(test.kind == "HEADER" for test in wanted)
    found: list[tuple[int, tuple[bool, ...]]] = []
    read: dict[int, Document] = {}
    words = 0
    columns: tuple[Column, ...] = ("uid", "email_id", "size", "header", "parts")
    for uid, email_id, size, header, parts in rows(store, folder_id, uids, columns):
        if headers_suffice and header:
            named = _by_name(header)
            found.append((uid, tuple(test.in_header(named) for test in wanted)))
            continue
        try:
            with open_message(store, folder_id, uid) as file:
                octets = file.pread(0, file.size)
        except NoSuchMessage:
            continue
        texts = list(pieces(octets, parts))
        named = _by_name(header or octets[: Sections(parts).root.body_start])
        passes = (test.in_header(named) if test.kind == "HEADER" else test.in_texts(texts) for test in wanted)
        found.append((uid, tuple(passes)))
        if store.settings.search_file:
            try:
                document = Document.of(texts, value_of(header, octets))
            except TooLong:
                continue  # it will be read again
            read[key_of(email_id, size)] = document
            words += document.different_words
            if words > MOST_WORDS:
                _leave(store, read)
                read, words = {}, 0
    if len(read) >= SMALLEST_LEFT:
        _leave(store, read)
    return found


def _leave(store: Store, read: dict[int, Document]) -> None:
    """For the next search; one that cannot have the file now loses nothing."""
    try:
        leave(store, read)
    except Damaged:
        store.search.discard()
    except (sqlite3.Error, OSError, KeyError, MicMailError):
        pass


def _by_name(header: bytes) -> Named:
    """The values of each field; looked through once for all tests."""
    named: dict[bytes, list[bytes]] = {}
    for name, value in fields(header):
        named.setdefault(name, []).append(value)
    return named


class _Test:
    """A search key, its value made ready once."""

    def __init__(self, test: TextTest) -> None:
        self.kind = test.kind
        self._query = Query.of(test.value)
        self._field = test.field.lower().encode(errors="replace")

    def in_header(self, named: Named) -> bool:
        """An empty value asks whether the field is there at all (RFC 9051 §6.4.4)."""
        query = self._query
        return any(
            not query.text or any(query.occurs_in(text) for text in field_texts(self._field, value))
            for value in named.get(self._field, ())
        )

    def in_texts(self, texts: Texts) -> bool:
        """BODY or TEXT; every message holds the empty string."""
        zones = ("body",) if self.kind == "BODY" else ("header", "body")
        return not self._query.text or any(zone in zones and self._query.occurs_in(text) for zone, text in texts)
