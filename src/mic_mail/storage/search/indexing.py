"""Adding the text of new messages to an account's segments: what the indexers of both grounds do alike.

In: an account's index and messages, as its ground reads them (`MessageSource`), and where the last visit stopped. It never
takes the account's lock or anything else that a delivery could wait for: the process may be stopped at any instant for any
time, or killed. What cannot be read now is left for the next visit.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass, field

from sqlalchemy import bindparam, select

from mic_mail.mime.search_text import text_parts
from mic_mail.storage.fulltext.segment import IndexedDocument, TooLong
from mic_mail.storage.fulltext.segments import key_of
from mic_mail.storage.index import schema
from mic_mail.storage.index.rows import FolderRow, read_folders
from mic_mail.storage.index.statements import Connection, SqlStatement, among, keyed_by, uid_list
from mic_mail.storage.reads.sort_keys import value_of
from mic_mail.storage.search.segments_in_memory import known_keys, live_in
from mic_mail.storage.search.writer import MOST_WORDS, drop_dead, leave
from mic_mail.storage.store import Store

BATCH_DOCUMENTS = 256
BATCH_OCTETS = 16 << 20
"""Octets of messages read before their text is written: some 30 MB of memory."""
IDLE_DROP_SECONDS = 86_400.0
"""Pause between two searches for text of removed messages where nothing tells that there is any."""

_M = schema.message.c
_E = schema.email.c
_A = schema.account.c
_HERE = keyed_by(_M, "folder")
_WITH_CONTENT = (_E.account_id == _M.account_id) & (_E.email_pk == _M.email_pk)
_FRESH = SqlStatement(
    select(_M.uid, _E.email_id, _E.size)
    .join_from(schema.message, schema.email, _WITH_CONTENT)
    .where(_HERE, _M.modseq > bindparam("since"))
    .order_by(_M.uid)
)
_TO_READ = SqlStatement(
    select(_E.email_pk, _E.email_id, _E.size, _E.parts, _M.name, _E.header)
    .join_from(schema.message, schema.email, _WITH_CONTENT)
    .where(_HERE, among(_M.uid))
)
_ALIVE = SqlStatement(select(_E.email_id, _E.size).where(keyed_by(_E)))
_MODSEQ = SqlStatement(select(_A.modseq).where(keyed_by(_A)))


@dataclass(slots=True)
class Visited:
    """Progress of one process's visits to an account; lost with the process."""

    modseq: int = -1
    trace: tuple[int, ...] = ()
    """Times of the index and its log and the change mark when the last visit began.

    Last, the identity of the search file after it.
    """
    dropped_at: float = -IDLE_DROP_SECONDS
    written: bool = True
    """Set where the index has been written since text was last dropped."""
    known: int = 0
    """Messages in the segments at the end of the last visit."""
    unfit: set[int] = field(default_factory=set)
    """Messages with more words than a segment takes."""


class MessageSource(ABC):
    """An account as an indexer reads it."""

    def __init__(self, store: Store) -> None:
        self.store = store

    @abstractmethod
    def reading(self) -> AbstractContextManager[Connection]:
        """Return a reader of the index."""

    @abstractmethod
    def octets(self, folder: FolderRow, name: str, email_pk: int, size: int) -> bytes | None:
        """Return a message; None where it cannot be read now."""


@dataclass(frozen=True, slots=True)
class Added:
    """The result of a visit."""

    messages: int
    modseq: int
    """The account's MODSEQ when the visit began."""
    whole: bool
    """Set where every message up to that MODSEQ could be read."""


def add_missing(source: MessageSource, visited: Visited, go_on: Callable[[], bool]) -> Added | None:
    """Add the messages that came after `visited.modseq`; None where `go_on`, called before each batch, ended that."""
    store, done, whole = source.store, 0, True
    known = known_keys(store, [each.segment_id for each in live_in(store)])
    with source.reading() as connection:
        row = _MODSEQ.on(connection, account=store.account_id).fetchone()
        modseq = row[0] if row else -1
        folders = read_folders(connection, store.account_id)
    if modseq < visited.modseq or len(known) < visited.known:  # another index, another place of segments
        visited.modseq = -1
    known |= visited.unfit
    for folder in folders:
        if folder.highest_modseq <= visited.modseq:
            continue
        for batch in _batches(source, folder.folder_id, visited.modseq, known):
            if not go_on():
                return None
            reading = _Reading(source, visited)
            done += reading.index(folder, batch)
            whole = whole and reading.whole
    if done:
        store.search.tidy()
    return Added(done, modseq, whole)


def drop_removed(source: MessageSource) -> None:
    """Remove the text of messages that no longer exist, as soon as it is worthwhile (writer.py)."""
    drop_dead(source.store, lambda: _alive(source))


def count_known(store: Store) -> int:
    """Return how many messages the segments hold."""
    return len(known_keys(store, [each.segment_id for each in live_in(store)]))


def _batches(source: MessageSource, folder_id: int, since: int, known: set[int]) -> Iterator[list[int]]:
    with source.reading() as connection:
        fresh = _FRESH.on(connection, account=source.store.account_id, folder=folder_id, since=since).fetchall()
    batch: list[int] = []
    octets = 0
    for uid, email_id, size in fresh:
        key = key_of(email_id, size)
        if key in known:
            continue
        known.add(key)
        batch.append(uid)
        octets += size
        if len(batch) >= BATCH_DOCUMENTS or octets >= BATCH_OCTETS:
            yield batch
            batch, octets = [], 0
    if batch:
        yield batch


class _Reading:
    def __init__(self, source: MessageSource, visited: Visited) -> None:
        self._source = source
        self._visited = visited
        self.whole = True
        """Set while every message could be read."""

    def index(self, folder: FolderRow, uids: list[int]) -> int:
        store = self._source.store
        here = {"account": store.account_id, "folder": folder.folder_id}
        with self._source.reading() as connection:
            found = _TO_READ.on(connection, **here, uids=uid_list(uids)).fetchall()
        done = words = 0
        read: dict[int, IndexedDocument] = {}
        for email_pk, email_id, size, parts, name, header in found:
            key = key_of(email_id, size)
            document = self._document(key, self._source.octets(folder, name, email_pk, size), parts, header)
            if document is None:
                continue
            read[key] = document
            words += document.different_words
            if words > MOST_WORDS:
                done += leave(store, read)
                read, words = {}, 0
        return done + leave(store, read)

    def _document(self, key: int, octets: bytes | None, parts: bytes, header: bytes | None) -> IndexedDocument | None:
        if octets is None:
            self.whole = False
            return None
        try:
            return IndexedDocument.of(text_parts(octets, parts), value_of(header, octets))
        except TooLong:
            self._visited.unfit.add(key)
            return None


def _alive(source: MessageSource) -> set[int]:
    with source.reading() as connection:
        return {key_of(*row) for row in _ALIVE.on(connection, account=source.store.account_id)}
