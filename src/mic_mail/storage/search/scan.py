"""SEARCH over text by reading the messages: the scan that is always right (RFC 9051 §6.4.4).

mime/search_text.py defines what counts as text, mime/text_folding.py what counts as equal: exact substrings, in order and
adjacent, at any length, without case. A value without diacritics finds text with and without them, one with any finds only its
like. Segments answer the same queries without reading a message (lookup.py). This module reads the messages that they
do not know, and adds what was read for BODY or TEXT to them, so that the second search is quick. Answers about a large message
are kept as well, as messages never change.
"""

from collections.abc import Iterable, Sequence

from mic_mail.mime.headers import fields
from mic_mail.mime.part_table import Sections
from mic_mail.mime.search_text import Zone, field_texts, text_parts
from mic_mail.mime.text_folding import SearchValue, occurring
from mic_mail.storage.errors import NoSuchMessage
from mic_mail.storage.fulltext.segment import IndexedDocument, TooLong
from mic_mail.storage.fulltext.segments import key_of
from mic_mail.storage.reads.message_rows import rows
from mic_mail.storage.reads.sort_keys import value_of
from mic_mail.storage.search.writer import MOST_WORDS, SMALLEST_LEFT, keep_texts
from mic_mail.storage.store import Store
from mic_mail.storage.types import Column, TextTest

LARGE_OCTETS = 1 << 20
"""Size from which on the answers about a message are kept."""
Texts = Sequence[tuple[Zone, str]]


def find_text(
    store: Store, folder_id: int, uids: Iterable[int], tests: Sequence[TextTest]
) -> list[tuple[int, tuple[bool, ...]]]:
    """Return, for each UID that can be read, which of the tests it passes."""
    wanted = [_Test(test) for test in tests]
    headers_suffice = all(test.kind == "HEADER" for test in wanted)
    found: list[tuple[int, tuple[bool, ...]]] = []
    read: dict[int, IndexedDocument] = {}
    words = 0
    columns: tuple[Column, ...] = ("uid", "email_id", "size", "header", "parts")
    asked = rows(store, folder_id, uids, columns)
    leaves = store.settings.search_file and len(asked) >= SMALLEST_LEFT  # else the work would be lost
    for uid, email_id, size, header, parts in asked:
        if headers_suffice and header:
            named = _Fields(header)
            found.append((uid, tuple(test.in_header(named) for test in wanted)))
            continue
        key = key_of(email_id, size)
        if size >= LARGE_OCTETS and (known := _kept(store, key, tests)) is not None:
            found.append((uid, known))
            continue
        try:
            with store.open_message(folder_id, uid) as file:
                octets = file.pread(0, file.size)
        except NoSuchMessage:
            continue
        texts = list(text_parts(octets, parts))
        passed = _passes(wanted, _Fields(header or octets[: Sections(parts).root.body_start]), texts)
        found.append((uid, passed))
        if size >= LARGE_OCTETS:
            _keep(store, key, tests, passed)
        if leaves:
            try:
                document = IndexedDocument.of(texts, value_of(header, octets))
            except TooLong:
                continue  # it will be read again, for another query
            read[key] = document
            words += document.different_words
            if words > MOST_WORDS:
                keep_texts(store, read)
                read, words = {}, 0
    if len(read) >= SMALLEST_LEFT:
        keep_texts(store, read)
    return found


def _kept(store: Store, key: int, tests: Sequence[TextTest]) -> tuple[bool, ...] | None:
    kept = [store.shared.searched.answer((store.account_id, key, test)) for test in tests]
    return None if None in kept else tuple(map(bool, kept))


def _keep(store: Store, key: int, tests: Sequence[TextTest], passed: Sequence[bool]) -> None:
    for test, passes in zip(tests, passed, strict=True):
        store.shared.searched.keep_answer((store.account_id, key, test), (key,) if passes else (), 4 * len(test.value))


class _Fields:
    def __init__(self, header: bytes) -> None:
        self._values: dict[bytes, list[bytes]] = {}
        for name, value in fields(header):
            self._values.setdefault(name, []).append(value)
        self._texts: dict[bytes, list[list[str]]] = {}

    def texts(self, name: bytes) -> Sequence[Sequence[str]]:
        if name not in self._texts:
            self._texts[name] = [list(field_texts(name, value)) for value in self._values.get(name, ())]
        return self._texts[name]


class _Test:
    def __init__(self, test: TextTest) -> None:
        self.kind = test.kind
        self.query = SearchValue.of(test.value)
        self.zones = ("body",) if self.kind == "BODY" else ("header", "body")
        self._field = test.field.lower().encode(errors="replace")

    def in_header(self, named: _Fields) -> bool:
        """Test header fields; an empty value asks whether the field is present (RFC 9051 §6.4.4)."""
        query = self.query
        return any(not query.text or any(map(query.occurs_in, texts)) for texts in named.texts(self._field))


def _passes(tests: Sequence[_Test], named: _Fields, texts: Texts) -> tuple[bool, ...]:
    passed = [test.in_header(named) if test.kind == "HEADER" else not test.query.text for test in tests]
    for zone, text in texts:
        asking = [at for at, test in enumerate(tests) if not passed[at] and test.kind != "HEADER" and zone in test.zones]
        for at, occurs in zip(asking, occurring([tests[at].query for at in asking], text), strict=True):
            passed[at] = occurs
    return tuple(passed)
