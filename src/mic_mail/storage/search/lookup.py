"""SEARCH by an account's segments: which messages of a folder they know, and which of those pass a test.

In: a folder's UIDs, which of them are asked about, one test. Out: `LookedUp`, exactly the result of a scan of the same messages
(scan.py); unknown messages are left to the scan. No error of the place where segments lie: a damaged file is discarded, an
inaccessible one knows nothing.

A query costs what the segments cost, not what the folder's messages do: the sets of messages are masks of one octet each, which
are compared as a whole, and only matches are placed one by one. Four results are computed once and cached (fulltext/cache.py):
the keys of a folder's messages, their places in the segments, the parts of the segments that queries have needed, and the
answers of segments that hold large texts.
"""

import contextlib
from array import array
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from itertools import compress

from mic_mail.mime.search_text import FIELD_ZONES, Zone
from mic_mail.mime.text_folding import SearchValue
from mic_mail.storage.fulltext.segment import Flow, Phrase, Words, needle, sieve_places
from mic_mail.storage.fulltext.segments import SIEVE_OCTETS, DamagedSegments, key_of
from mic_mail.storage.index.rows import read_folder
from mic_mail.storage.reads.aligned_column import aligned
from mic_mail.storage.reads.message_rows import rows
from mic_mail.storage.search.segments_in_memory import keys_in, live_in
from mic_mail.storage.store import Store
from mic_mail.storage.types import LookedUp, TextTest

LARGE_OCTETS = 64 << 10
"""Octets a document from which on a segment's answers are kept.

Such a segment holds texts of megabytes, which are read for each phrase.
"""
FIRST_WORDS = 1 << 14
"""Words at the beginning of a large text in which a phrase is searched first.

Reading all of it takes milliseconds.
"""
_ATTEMPTS = 3
"""Segments may be repacked between two reads of the file."""


def look_up(store: Store, folder_id: int, uids: Sequence[int], wanted: bytes, test: TextTest) -> LookedUp:
    """Return what is known of the messages among `uids` whose octet in `wanted` is 1.

    `uids` is best the shared list (`FolderView.uids`).
    """
    query = SearchValue.of(test.value)
    if not query.text or not store.settings.search_file:
        return LookedUp.nothing(len(uids))  # an empty value asks whether a field is present, or nothing at all
    store.ready()  # a rebuilt index makes cached results about it void
    looked_up = _LookedUp(store, test, query, wanted)
    try:
        for _ in range(_ATTEMPTS):
            with contextlib.suppress(KeyError):
                if looked_up.ask(_places_of(store, folder_id, _keys_of(store, folder_id, uids))):
                    break
    except DamagedSegments:
        throw_away(store)
        return LookedUp.nothing(len(uids))
    except store.search.errors:
        pass  # results so far stay true
    return LookedUp(looked_up.known, bytes(looked_up.found))


def throw_away(store: Store) -> None:
    """Discard the damaged file."""
    with contextlib.suppress(*store.search.errors):  # the next caller finds it as damaged as we did
        store.search.discard()


class _LookedUp:
    def __init__(self, store: Store, test: TextTest, query: SearchValue, wanted: bytes) -> None:
        self._store = store
        self._test = test
        self._query = query
        self._decides = test.kind != "HEADER" or test.field.lower() in FIELD_ZONES  # else the match may be in another field
        self._left = wanted
        self.known = bytes(len(wanted))
        self.found = bytearray(len(wanted))

    def ask(self, places: "Places") -> bool:
        """Query the messages that are left; False if a segment was repacked, so that some have no answer."""
        matches: list[int] = []
        lost: list[_Held] = []
        unasked = list(places.held)
        try:
            while unasked:
                held = unasked[-1]
                if self._left.find(1, held.low, held.high) >= 0:
                    try:
                        matches += self._matches(held)
                    except KeyError:
                        lost.append(held)
                unasked.pop()
        finally:
            self._take(places, matches, [*lost, *unasked])
        return not lost

    def _matches(self, held: "_Held") -> list[int]:
        """Return the positions of the messages of a segment that match: of those left, and perhaps of others."""
        hits = _Segment(self._store, held).having(self._test, self._query, lambda: self._wanted_places(held))
        if held.is_whole:
            return [held.positions[hit] for hit in hits]
        return list(compress(held.positions, map(hits.__contains__, held.places))) if hits else []

    def _wanted_places(self, held: "_Held") -> "array[int]":
        """Return the places of the messages of a segment that are left: a step for each of its messages."""
        if self._left.count(1, held.low, held.high) == held.high - held.low:
            return held.places
        return array("H", compress(held.places, map(self._left.__getitem__, held.positions)))

    def _take(self, places: "Places", matches: list[int], unanswered: "list[_Held]") -> None:
        known = bytearray(_combined(int.__and__, self._left, places.known))
        for held in unanswered:
            for position in held.positions:
                known[position] = 0
        for position in matches:
            if not self._decides:
                known[position] = 0
            elif known[position]:
                self.found[position] = 1
        self.known = _combined(int.__or__, self.known, known)
        self._left = _combined(int.__xor__, self._left, known)


def _combined(operation: Callable[[int, int], int], one: bytes | bytearray, other: bytes | bytearray) -> bytes:
    return operation(int.from_bytes(one, "little"), int.from_bytes(other, "little")).to_bytes(len(one), "little")


class _Segment:
    def __init__(self, store: Store, held: "_Held") -> None:
        self._store = store
        self._held = held
        self._segment_id = held.segment_id
        self._at = store.account_id, held.segment_id

    def having(self, test: TextTest, query: SearchValue, wanted: Callable[[], Collection[int]]) -> Collection[int]:
        """Return the documents that match, among `wanted` and perhaps others.

        Only a phrase asks for `wanted`: the documents with a word are known at once.
        """
        zones = _zones_of(test)
        if not self._held.is_large:
            return self._having(zones, query, wanted)

        key = (*self._at, zones, query)
        hits = self._store.shared.searched.answer(key)
        if hits is None:
            hits = self._having(zones, query, lambda: range(self._held.documents))
            self._store.shared.searched.keep_answer(key, hits, 4 * len(query.text))
        return hits

    def _having(self, zones: Iterable[Zone], query: SearchValue, wanted: Callable[[], Collection[int]]) -> set[int]:
        found: set[int] = set()
        is_word = " " not in query.text.strip(" ")
        for zone in zones:
            is_sieved = self._held.is_large and self._is_sieved(zone)
            if is_sieved and self._is_sieved_out(zone, query):
                continue
            if is_word and is_sieved and self._store.shared.searched.get(Words, (*self._at, zone)) is None:
                if self._store.search.has_word(self._segment_id, zone, needle(query.text), folded=query.folded):
                    found.add(0)  # such a text is alone in its segment
                continue
            words = self._words(zone)
            if is_word:
                found |= words.having(words.numbers(needle(query.text), folded=query.folded))
                continue
            phrase = Phrase(query, words)
            candidates = phrase.candidates.intersection(wanted()) - found if phrase.candidates else phrase.candidates
            if candidates and self._held.is_large and words.are_narrow and not self._has_flow(zone):
                early = phrase.among(candidates, self._store.search.beginnings(self._segment_id, zone, candidates, FIRST_WORDS))
                found |= early
                candidates -= early
            if candidates:
                found |= phrase.among(candidates, self._flow(zone))
        return found

    def _is_sieved(self, zone: Zone) -> bool:
        search, segment_id = self._store.search, self._segment_id
        return self._store.shared.searched.of(bool, (*self._at, zone), lambda: (search.is_sieved(segment_id, zone), 0))

    def _is_sieved_out(self, zone: Zone, query: SearchValue) -> bool:
        """Return whether the sieve of a large text shows that the query does not occur in it."""
        cached = self._store.shared.searched.of
        for place in sieve_places(query):
            number, at = divmod(place >> 3, SIEVE_OCTETS)
            piece = cached(bytes, (*self._at, zone, number), lambda: self._sieve_piece(zone, number))  # noqa: B023 - called at once
            if not piece[at] >> (place & 7) & 1:
                return True
        return False

    def _sieve_piece(self, zone: Zone, number: int) -> tuple[bytes, int]:
        return self._store.search.sieve_piece(self._segment_id, zone, number), SIEVE_OCTETS

    def _words(self, zone: Zone) -> Words:
        def read() -> tuple[Words, int]:
            words = Words.unpack(self._store.search.words(self._segment_id, zone))
            return words, words.octets

        return self._store.shared.searched.of(Words, (*self._at, zone), read)

    def _has_flow(self, zone: Zone) -> bool:
        return self._store.shared.searched.get(Flow, (*self._at, zone)) is not None

    def _flow(self, zone: Zone) -> Flow:
        def read() -> tuple[Flow, int]:
            flow = Flow.unpack(self._store.search.flow(self._segment_id, zone))
            return flow, flow.octets

        return self._store.shared.searched.of(Flow, (*self._at, zone), read)


def _zones_of(test: TextTest) -> tuple[Zone, ...]:
    if test.kind == "BODY":
        return ("body",)
    if test.kind == "TEXT":
        return ("header", "body")
    return next(((zone,) for zone in FIELD_ZONES if zone == test.field.lower()), ("header",))


# ------------------------------------------------------------------ the places of messages


@dataclass(slots=True)
class FolderKeys:
    """The keys of a folder's messages, aligned with its UIDs; -1 where a message is gone."""

    uids: "array[int]"
    keys: "array[int]"


@dataclass(frozen=True, slots=True)
class _Held:
    """The messages of a folder that lie in one segment: their places there, and their positions in the folder."""

    segment_id: int
    documents: int
    """All documents of the segment."""
    is_large: bool
    """Set where they are so large that answers are kept."""
    places: "array[int]"
    positions: "array[int]"
    low: int
    high: int
    """The range of the positions: most segments hold messages of one period."""
    is_whole: bool
    """Set where each place of the segment is the place of one message."""


@dataclass(slots=True)
class Places:
    """A folder's messages by segment."""

    keys: FolderKeys
    live: tuple[int, ...]
    held: list[_Held]
    known: bytes
    """The mask of all messages that lie in segments."""


def _keys_of(store: Store, folder_id: int, uids: Sequence[int]) -> FolderKeys:
    mailbox = _mailbox_of(store, folder_id)
    at = (store.account_id, *mailbox)
    known = store.shared.searched.get(FolderKeys, at)
    if known is not None and (known.uids is uids or known.uids == uids):
        return known
    listed = uids if isinstance(uids, array) else array("I", uids)

    def ask(some: Sequence[int]) -> dict[int, int]:
        messages = rows(store, folder_id, some, ("uid", "email_id", "size"))
        return {uid: key_of(email_id, size) for uid, email_id, size in messages}

    old = known or FolderKeys(array("I"), array("q"))
    making = aligned(listed, old.uids, old.keys, ask, missing=-1)
    while True:
        try:
            next(making)
        except StopIteration as end:
            made = FolderKeys(listed, end.value)
            is_same = _mailbox_of(store, folder_id) == mailbox  # else the index was replaced meanwhile
            return store.shared.searched.put(at, made, 12 * len(listed)) if is_same else made


def _mailbox_of(store: Store, folder_id: int) -> tuple[str, int]:
    """Return MAILBOXID and UIDVALIDITY, under which a UID keeps its meaning even in a rebuilt index."""
    with store.reading() as connection:
        folder = read_folder(connection, store.account_id, folder_id)
    return ("", 0) if folder is None else (folder.mailbox_id, folder.uidvalidity)


def _places_of(store: Store, folder_id: int, keys: FolderKeys) -> Places:
    segments = sorted(live_in(store), key=lambda each: each.segment_id)
    live = tuple([each.segment_id for each in segments])
    at = (store.account_id, folder_id)
    known = store.shared.searched.get(Places, at)
    if known is not None and known.keys is keys and known.live == live:
        return known
    first, more = positions_by_key(keys.keys) if live else ({}, {})
    held: list[_Held] = []
    mask = bytearray(len(keys.keys))
    for each in segments:
        in_segment = keys_in(store, each.segment_id)
        pairs: list[tuple[int, int]] = []
        for place, key in enumerate(in_segment):
            # Entries are removed as they are found: dropping a large dictionary as a whole would hold the interpreter.
            if (position := first.pop(key, None)) is not None:
                pairs += [(place, each) for each in (position, *more.pop(key, ()))]
        if pairs:
            places, positions = array("H", [place for place, _ in pairs]), array("I", [position for _, position in pairs])
            is_large = each.octets > LARGE_OCTETS * len(in_segment)
            low, high = min(positions), max(positions) + 1
            is_whole = places == array("H", range(len(in_segment)))
            held.append(_Held(each.segment_id, len(in_segment), is_large, places, positions, low, high, is_whole))
            for position in positions:
                mask[position] = 1
    found = Places(keys, live, held, bytes(mask))
    return store.shared.searched.put(at, found, 6 * sum(len(each.places) for each in held) + len(mask))


def positions_by_key(keys: Iterable[int]) -> tuple[dict[int, int], dict[int, list[int]]]:
    """Return the first position of each key, and the further ones: copies within a folder share a key."""
    first: dict[int, int] = {}
    more: dict[int, list[int]] = {}
    for position, key in enumerate(keys):
        if first.setdefault(key, position) != position:
            more.setdefault(key, []).append(position)
    return first, more
