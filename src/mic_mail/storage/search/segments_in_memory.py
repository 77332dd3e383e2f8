"""What a process remembers of an account's search segments: which there are, and the keys of their messages.

While mail keeps coming, a segment is joined with others within minutes. What is cached of one that has gone is dropped when the
segments are next listed: nobody asks for it any more, and most of the cache would be of such ones.
"""

from array import array
from collections.abc import Iterable
from dataclasses import dataclass

from mic_mail.mime.search_text import ZONES
from mic_mail.storage.fulltext.cache import SearchCache
from mic_mail.storage.fulltext.segment import Flow, Words
from mic_mail.storage.fulltext.segments import SIEVE_PIECES, Live
from mic_mail.storage.store import Store


@dataclass(frozen=True, slots=True)
class _Known:
    """The segments of an account as they were last listed, in ascending order."""

    segment_ids: "array[int]"


def live_in(store: Store) -> list[Live]:
    """Return the segments of an account, and drop what is cached of those that have gone since the last call."""
    live = store.search.live()
    cache, at = store.shared.searched, (store.account_id,)
    segment_ids = array("q", sorted([each.segment_id for each in live]))
    known = cache.get(_Known, at)
    if known is None or known.segment_ids != segment_ids:
        for segment_id in set(known.segment_ids).difference(segment_ids) if known is not None else ():
            _drop(cache, (store.account_id, segment_id))
        cache.put(at, _Known(segment_ids), 8 * len(segment_ids))
    return live


def _drop(cache: SearchCache, segment: tuple[int, int]) -> None:
    cache.drop(array, segment)
    cache.drop(list, segment)
    for zone in ZONES:
        for kind in (Words, Flow):
            cache.drop(kind, (*segment, zone))
        if cache.get(bool, (*segment, zone)):
            for number in range(SIEVE_PIECES):
                cache.drop(bytes, (*segment, zone, number))
        cache.drop(bool, (*segment, zone))


def keys_in(store: Store, segment_id: int) -> "array[int]":
    """Return the keys of a segment's messages."""

    def read() -> "tuple[array[int], int]":
        keys = store.search.keys(segment_id)
        return keys, 8 * len(keys)

    return store.shared.searched.of(array, (store.account_id, segment_id), read)


def known_keys(store: Store, live: Iterable[int]) -> set[int]:
    """Return the keys of all messages of these segments."""
    known: set[int] = set()
    for segment_id in live:
        known.update(keys_in(store, segment_id))
    return known
