"""Sort keys for SORT and THREAD from an account's segments, where the text readers store them.

Any reader of a message's text stores its key there too (decision 0045). In: UIDs of a folder. Out: what `reads.sort_keys` would
make of those messages that segments know; nothing for the others. No error of the place where they lie, as with text
(lookup.py). The instants are the index's own: a rebuilt index may have others.
"""

from array import array
from collections.abc import Iterable

from mic_mail.storage.fulltext.segment import unpack_values
from mic_mail.storage.fulltext.segments import DamagedSegments, key_of
from mic_mail.storage.reads.message_rows import rows
from mic_mail.storage.reads.sort_keys import Ordered, ordered
from mic_mail.storage.search.lookup import positions_by_key, throw_away
from mic_mail.storage.search.segments_in_memory import keys_in, live_in
from mic_mail.storage.store import Store


def indexed(store: Store, folder_id: int, uids: Iterable[int]) -> list[Ordered]:
    """Return the entries of those of these messages that segments know, in no order."""
    if not store.settings.search_file:
        return []
    store.ready()
    found: list[Ordered] = []
    try:
        segments = [each.segment_id for each in live_in(store)]
        if segments:
            _find(store, folder_id, uids, segments, found)
    except DamagedSegments:
        throw_away(store)
    except KeyError:
        pass  # repacked: results so far stay true
    except store.search.errors:
        pass  # likewise
    return found


def _find(store: Store, folder_id: int, uids: Iterable[int], segments: Iterable[int], found: list[Ordered]) -> None:
    messages = rows(store, folder_id, uids, ("uid", "email_id", "size", "sent_at", "internaldate_us"))
    first, more = positions_by_key(key_of(email_id, size) for _, email_id, size, _, _ in messages)
    for segment_id in segments:
        keys = keys_in(store, segment_id)
        if first.keys().isdisjoint(keys):
            continue
        for key, value in zip(keys, _values_in(store, segment_id, keys), strict=True):
            if value and (position := first.pop(key, None)) is not None:
                for at in (position, *more.pop(key, ())):
                    uid, _, _, sent_at, received_us = messages[at]
                    found.append(ordered(uid, sent_at, received_us, value))


def _values_in(store: Store, segment_id: int, keys: "array[int]") -> list[bytes]:
    """Return the values of a segment's messages, by place; empty where there is none."""

    def read() -> tuple[list[bytes], int]:
        blob = store.search.values(segment_id)
        return unpack_values(blob, len(keys)), len(blob) + 40 * len(keys)

    return store.shared.searched.of(list, (store.account_id, segment_id), read)
