"""Writing an account's segments: adding documents in as few as possible, and removing dead text.

New documents are packed together with the segments that are no larger than they, so that a mailbox has a few dozen segments at
most and a message is packed about ten times in its life. Everything is computed before a lock is taken; a process that finds
that another was faster begins anew with what is left. Raises what `Segments` raises, and OSError where the disk is full and its
reserve is for removals (reserve.py).
"""

import contextlib
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass

from mic_mail.errors import MicMailError
from mic_mail.storage.fulltext.segment import IndexedDocument, Packed, pack, unpack
from mic_mail.storage.fulltext.segments import DamagedSegments, Live
from mic_mail.storage.search.segments_in_memory import keys_in, known_keys, live_in
from mic_mail.storage.store import Store

MOST_DOCUMENTS = 1_024
MOST_OCTETS = 3 << 20
"""Size limit of a segment, unless one batch alone is larger.

It is written in one transaction, for which others wait.
"""
MOST_WORDS = 300_000
"""Limit of the different words, counted for each message, that are packed together: 50 MB of memory.

Logs and lists instead of letters have so many; one message alone may have more (segment.MAX_WORDS).
"""
SMALLEST_LEFT = 32
"""Documents that a search adds at least; fewer make no segment of their own.

They are read again until the indexer comes.
"""
_ATTEMPTS = 3
DEAD_SHARE = 8
"""A segment is repacked immediately when one in so many of its messages is gone."""
DEAD_US = 7 * 86_400 * 1_000_000
"""A segment is repacked after a week when any of its messages is gone."""


@dataclass(frozen=True, slots=True)
class _Segment:
    live: Live
    keys: Collection[int]


def leave(store: Store, read: Mapping[int, IndexedDocument]) -> int:
    """Add those of these documents, by key, that segments lack; return how many."""
    return sum(_leave_at_last(store, some) for some in _at_once(read))


def keep_texts(store: Store, read: Mapping[int, IndexedDocument]) -> None:
    """Add documents that a search has read; never an error."""
    try:
        leave(store, read)
    except DamagedSegments:
        store.search.discard()
    except (KeyError, OSError, MicMailError):
        pass
    except store.search.errors:
        pass


def _at_once(read: Mapping[int, IndexedDocument]) -> Iterator[dict[int, IndexedDocument]]:
    some: dict[int, IndexedDocument] = {}
    words = 0
    for key, document in read.items():
        if document.large_zones():
            yield {key: document}
            continue
        words += document.different_words
        if some and words > MOST_WORDS:
            yield some
            some, words = {}, document.different_words
        some[key] = document
    if some:
        yield some


def _leave_at_last(store: Store, read: Mapping[int, IndexedDocument]) -> int:
    for _ in range(_ATTEMPTS):
        with contextlib.suppress(KeyError):  # a segment was replaced between two reads
            done = _leave(store, read)
            if done is not None:
                return done
    return 0


def _leave(store: Store, read: Mapping[int, IndexedDocument]) -> int | None:
    store.require_room()
    live = live_in(store)
    known = known_keys(store, [each.segment_id for each in live])
    new = {key: document for key, document in read.items() if key not in known}
    if not new:
        return 0
    is_long = any(document.large_zones() for document in new.values())
    is_long = is_long or sum(document.different_words for document in new.values()) > MOST_WORDS
    joined = [] if is_long else _small_enough(store, live, len(new))
    keys, documents = list(new), list(new.values())
    for each in joined:
        keys += each.keys
        documents += unpack(_packed(store, each), range(len(each.keys)))
    instead_of = [each.live.segment_id for each in joined]
    added = store.search.add(pack(documents), keys, known=[each.segment_id for each in live], instead_of=instead_of)
    return len(new) if added else None


def _small_enough(store: Store, live: list[Live], documents: int) -> list[_Segment]:
    """Return the segments to merge into the next one, from the smallest on."""
    segments = [_Segment(each, keys_in(store, each.segment_id)) for each in live]
    taken: list[_Segment] = []
    octets = 0
    for each in sorted(segments, key=lambda segment: len(segment.keys)):
        octets += each.live.octets
        if len(each.keys) > documents or documents + len(each.keys) > MOST_DOCUMENTS or octets > MOST_OCTETS:
            break
        taken.append(each)
        documents += len(each.keys)
    return taken


def _packed(store: Store, each: _Segment) -> Packed:
    return store.search.packed(each.live.segment_id, len(each.keys))


def drop_dead(store: Store, all_keys: Callable[[], Collection[int]]) -> int:
    """Remove text of messages that no longer exist; return how many segments were repacked."""
    now_us = store.clock.now_us()
    live = live_in(store)
    alive = all_keys()  # after the segments, so that none of them holds a message added later
    marks: dict[int, int | None] = {}
    done = 0
    for each in live:
        keys = keys_in(store, each.segment_id)
        kept = [place for place, key in enumerate(keys) if key in alive]
        dead = len(keys) - len(kept)
        since = each.dead_since_us
        if dead and (dead * DEAD_SHARE >= len(keys) or (since is not None and now_us - since > DEAD_US)):
            done += _pack_anew(store, each, kept)
        elif (since is None) != (dead == 0):
            marks[each.segment_id] = now_us if dead else None
    if marks:
        store.search.mark_dead(marks)
    if done:
        store.search.tidy()
    return done


def _pack_anew(store: Store, each: Live, kept: list[int]) -> bool:
    keys = keys_in(store, each.segment_id)
    packed = store.search.packed(each.segment_id, len(keys))
    fresh = pack(unpack(packed, kept)) if kept else None
    known = [one.segment_id for one in live_in(store)]
    return store.search.add(fresh, [keys[place] for place in kept], known=known, instead_of=[each.segment_id])
