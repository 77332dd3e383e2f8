"""SEARCH by `search.sqlite`: which messages of a folder it knows, and which of those pass a test.

In: a folder's UIDs, positions among them, one test. Out: `LookedUp`, exactly the result of a scan of the same messages
(scan.py); unknown messages are left to the scan. Never an error: a damaged file is discarded, an inaccessible one knows
nothing.

Three results are computed once and cached (fulltext/cache.py): the keys of a folder's messages, their places in the segments,
and the parts of the segments that queries have needed.
"""

import contextlib
import sqlite3
from array import array
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from mic_mail.mime.search_text import FIELD_ZONES, Zone
from mic_mail.mime.text_folding import SearchValue
from mic_mail.storage.fulltext.file import DamagedSearchFile, key_of
from mic_mail.storage.fulltext.segment import Flow, Phrase, Words, needle
from mic_mail.storage.index.connection import translated
from mic_mail.storage.index.rows import read_folder
from mic_mail.storage.reads.aligned_column import aligned
from mic_mail.storage.reads.reader import rows
from mic_mail.storage.store import Store
from mic_mail.storage.types import LookedUp, TextTest

_ATTEMPTS = 3
"""Segments may be repacked between two reads of the file."""


def look_up(store: Store, folder_id: int, uids: Sequence[int], wanted: Sequence[int], test: TextTest) -> LookedUp:
    """Return what is known of the messages at positions `wanted` of `uids`.

    `uids` is best the shared list (`FolderView.uids`).
    """
    query = SearchValue.of(test.value)
    if not query.text or not store.settings.search_file:
        return LookedUp((), ())  # an empty value asks whether a field is present, or nothing at all
    store.ready()  # a rebuilt index makes cached results about it void
    looked_up = _LookedUp(store, test, query)
    try:
        for _ in range(_ATTEMPTS):
            with contextlib.suppress(KeyError):
                places = _places_of(store, folder_id, _keys_of(store, folder_id, uids))
                left = None if len(wanted) == len(uids) and not looked_up.known else set(wanted).difference(looked_up.known)
                if looked_up.ask(places, left):
                    break
    except DamagedSearchFile:
        throw_away(store)
        return LookedUp((), ())
    except (sqlite3.Error, OSError):
        pass  # results so far stay true
    return LookedUp(looked_up.known, looked_up.found)


def throw_away(store: Store) -> None:
    """Discard the damaged file."""
    with contextlib.suppress(sqlite3.Error, OSError):  # the next caller finds it as damaged as we did
        store.search.discard()


class _LookedUp:
    def __init__(self, store: Store, test: TextTest, query: SearchValue) -> None:
        self._store = store
        self._test = test
        self._query = query
        self._decides = test.kind != "HEADER" or test.field.lower() in FIELD_ZONES  # else the match may be in another field
        self.known: list[int] = []
        self.found: list[int] = []

    def ask(self, places: "Places", wanted: set[int] | None) -> bool:
        """Query the positions `wanted`, or all; False if a segment was repacked, so that some have no answer."""
        whole = True
        least, most = (min(wanted), max(wanted)) if wanted else (0, len(places.keys.uids))
        for segment_id, (low, high), (in_segment, positions) in zip(places.segments, places.spans, places.lists, strict=True):
            if high < least or low > most:
                continue
            if wanted is not None:
                chosen = [at for at, position in enumerate(positions) if position in wanted]
                if not chosen:
                    continue
                in_segment = array("H", [in_segment[at] for at in chosen])  # noqa: PLW2901 - what is left of it
                positions = array("I", [positions[at] for at in chosen])  # noqa: PLW2901
            try:
                hits = _Segment(self._store, segment_id).having(self._test, self._query, in_segment)
            except KeyError:
                whole = False
                continue
            self._take(hits, in_segment, positions)
        return whole

    def _take(self, hits: set[int], in_segment: "array[int]", positions: "array[int]") -> None:
        pairs = zip(in_segment, positions, strict=True)
        if self._decides:
            self.known.extend(positions)
            self.found += [position for place, position in pairs if place in hits] if hits else []
        else:
            self.known += [position for place, position in pairs if place not in hits]


class _Segment:
    def __init__(self, store: Store, segment_id: int) -> None:
        self._store = store
        self._segment_id = segment_id

    def having(self, test: TextTest, query: SearchValue, wanted: Iterable[int]) -> set[int]:
        found: set[int] = set()
        for zone in _zones_of(test):
            words = self._words(zone)
            if " " not in query.text.strip(" "):
                found |= words.having(words.numbers(needle(query.text), folded=query.folded))
                continue
            phrase = Phrase(query, words)
            candidates = phrase.candidates.intersection(wanted) - found
            if candidates:
                found |= phrase.among(candidates, self._flow(zone))
        return found

    def _words(self, zone: Zone) -> Words:
        def read() -> tuple[Words, int]:
            words = Words.unpack(self._store.search.words(self._segment_id, zone))
            return words, words.octets

        return self._store.shared.searched.of(Words, (self._segment_id, zone), read)

    def _flow(self, zone: Zone) -> Flow:
        def read() -> tuple[Flow, int]:
            flow = Flow.unpack(self._store.search.flow(self._segment_id, zone))
            return flow, flow.octets

        return self._store.shared.searched.of(Flow, (self._segment_id, zone), read)


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


@dataclass(slots=True)
class Places:
    """A folder's messages by segment: their places in it, and their positions in the folder."""

    keys: FolderKeys
    live: tuple[int, ...]
    segments: list[int]
    lists: "list[tuple[array[int], array[int]]]"
    spans: list[tuple[int, int]]
    """First and last of these positions: most segments hold messages of one period."""


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
    with translated("reading the index"), store.index.reading() as connection:
        folder = read_folder(connection, store.account_id, folder_id)
    return ("", 0) if folder is None else (folder.mailbox_id, folder.uidvalidity)


def _places_of(store: Store, folder_id: int, keys: FolderKeys) -> Places:
    live = tuple(sorted(each.segment_id for each in store.search.live()))
    at = (store.account_id, folder_id)
    known = store.shared.searched.get(Places, at)
    if known is not None and known.keys is keys and known.live == live:
        return known
    first, more = positions_by_key(keys.keys) if live else ({}, {})
    segments: list[int] = []
    lists: list[tuple[array[int], array[int]]] = []
    for segment_id in live:
        pairs: list[tuple[int, int]] = []
        for place, key in enumerate(keys_in(store, segment_id)):
            # Entries are removed as they are found: dropping a large dictionary as a whole would hold the interpreter.
            if (position := first.pop(key, None)) is not None:
                pairs += [(place, each) for each in (position, *more.pop(key, ()))]
        if pairs:
            segments.append(segment_id)
            lists.append((array("H", [place for place, _ in pairs]), array("I", [position for _, position in pairs])))
    found = Places(keys, live, segments, lists, [(min(positions), max(positions)) for _, positions in lists])
    return store.shared.searched.put(at, found, 6 * sum(len(places) for places, _ in lists))


def positions_by_key(keys: Iterable[int]) -> tuple[dict[int, int], dict[int, list[int]]]:
    """Return the first position of each key, and the further ones: copies within a folder share a key."""
    first: dict[int, int] = {}
    more: dict[int, list[int]] = {}
    for position, key in enumerate(keys):
        if first.setdefault(key, position) != position:
            more.setdefault(key, []).append(position)
    return first, more


def keys_in(store: Store, segment_id: int) -> "array[int]":
    """Return the keys of a segment's messages."""

    def read() -> "tuple[array[int], int]":
        keys = store.search.keys(segment_id)
        return keys, 8 * len(keys)

    return store.shared.searched.of(array, segment_id, read)


def known_keys(store: Store, live: Iterable[int]) -> set[int]:
    """Return the keys of all messages of these segments."""
    known: set[int] = set()
    for segment_id in live:
        known.update(keys_in(store, segment_id))
    return known
