"""Updating an account's `search.sqlite` in the background, at any pace.

In: an account, and where the last visit stopped. It reads the index through connections of its own that can neither write nor
checkpoint, opens messages by the names in their rows, and never takes the account's lock or anything else that a delivery could
wait for: the indexing process may be stopped at any instant for any time, or killed. What cannot be read now (a file that is
being renamed, an index that is being made) is left for the next visit.
"""

import contextlib
import os
import sqlite3
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from urllib.parse import quote

from sqlalchemy import bindparam, select

from mic_mail.mime.search_text import text_parts
from mic_mail.storage.fulltext.file import DamagedSearchFile, key_of
from mic_mail.storage.fulltext.segment import IndexedDocument, TooLong
from mic_mail.storage.index import schema
from mic_mail.storage.index.connection import PRIMARY, translated
from mic_mail.storage.index.rows import read_folders
from mic_mail.storage.index.statements import SqlStatement, among, keyed_by, uid_list
from mic_mail.storage.local_store import LocalStore
from mic_mail.storage.reads.sort_keys import value_of
from mic_mail.storage.search.segments_in_memory import known_keys, live_in
from mic_mail.storage.search.writer import MOST_WORDS, drop_dead, leave

BATCH_DOCUMENTS = 256
BATCH_OCTETS = 16 << 20
"""Octets of messages read before their text is written: some 30 MB of memory."""
DROP_SECONDS = 3_600.0
IDLE_DROP_SECONDS = 86_400.0
"""Pause between two searches for text of removed messages.

`DROP_SECONDS` applies where the index has been written since, `IDLE_DROP_SECONDS` where it has not.
"""

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
    select(_E.email_id, _E.size, _E.parts, _M.name, _E.header)
    .join_from(schema.message, schema.email, _WITH_CONTENT)
    .where(_HERE, among(_M.uid))
)
_ALIVE = SqlStatement(select(_E.email_id, _E.size).where(keyed_by(_E)))
_MODSEQ = SqlStatement(select(_A.modseq).where(keyed_by(_A)))


_PASSING = {
    sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_SCHEMA, sqlite3.SQLITE_ERROR, sqlite3.SQLITE_CANTOPEN,
}  # fmt: skip
"""Errors while another process writes, or creates, the file."""


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
    """Messages in the file at the end of the last visit; fewer now means that the file was discarded."""
    unfit: set[int] = field(default_factory=set)
    """Messages with more words than a segment takes."""


def index_text(store: LocalStore, visited: Visited, go_on: Callable[[], bool] = lambda: True) -> int:
    """Bring `search.sqlite` up to date, and return how many messages were added.

    This happens only if the index was written since the last visit, or if text of removed messages is due to be dropped.
    `go_on` is called before each batch. On `Unavailable` or `DiskFull` the caller tries again later.
    """
    if not _needs_visit(store, visited):
        return 0
    try:
        return _visit(store, visited, go_on)
    finally:
        store.search.close()


def _needs_visit(store: LocalStore, visited: Visited) -> bool:
    return visited.trace != (*_trace(store), store.search.identity) or _owes_drop(store, visited)


def _owes_drop(store: LocalStore, visited: Visited) -> bool:
    pause = DROP_SECONDS if visited.written else IDLE_DROP_SECONDS
    return store.clock.monotonic() - visited.dropped_at >= pause


def _visit(store: LocalStore, visited: Visited, go_on: Callable[[], bool]) -> int:
    trace = _trace(store)
    if not trace[0]:
        return 0  # nobody has opened the account yet
    try:
        store.reserve.require_whole()
        done = _index_and_drop(store, visited, go_on)
    except DamagedSearchFile:
        store.search.discard()
        visited.modseq, visited.trace = -1, ()
        return 0
    except KeyError:
        return 0  # the segment was repacked meanwhile
    except (sqlite3.Error, OSError) as error:
        if getattr(error, "sqlite_errorcode", -1) & PRIMARY in _PASSING:
            return 0
        with translated("indexing"):
            raise
    visited.trace = () if done is None else (*trace, store.search.identity)
    return done or 0


def _index_and_drop(store: LocalStore, visited: Visited, go_on: Callable[[], bool]) -> int | None:
    """Return how many messages were indexed; None where the visit is incomplete."""
    done, whole = 0, True
    with _reading(store) as connection:
        row = _MODSEQ.on(connection, account=store.account_id).fetchone()
        modseq = row[0] if row else -1
        known = known_keys(store, [each.segment_id for each in live_in(store)])
        if modseq < visited.modseq or len(known) < visited.known:  # another index, another file
            visited.modseq = -1
        known |= visited.unfit
        folders = read_folders(connection, store.account_id)
    for folder in folders:
        cur = store.paths.cur(folder.directory)
        for batch in _batches(store, folder.folder_id, visited.modseq, known):
            if not go_on():
                return None
            reading = _Reading(store, visited)
            done += reading.index(folder.folder_id, cur, batch)
            whole = whole and reading.whole
    if done:
        store.search.tidy()
    visited.written = visited.written or visited.modseq != modseq or visited.trace[:-1] != _trace(store)
    if _owes_drop(store, visited):
        drop_dead(store, lambda: _alive(store))
        visited.dropped_at, visited.written = store.clock.monotonic(), False
    visited.known = len(known_keys(store, [each.segment_id for each in live_in(store)]))
    if not whole:
        return None
    visited.modseq = modseq
    return done


def _batches(store: LocalStore, folder_id: int, since: int, known: set[int]) -> Iterator[list[int]]:
    with _reading(store) as connection:
        fresh = _FRESH.on(connection, account=store.account_id, folder=folder_id, since=since).fetchall()
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
    def __init__(self, store: LocalStore, visited: Visited) -> None:
        self._store = store
        self._visited = visited
        self.whole = True
        """Set while every message could be read."""

    def index(self, folder_id: int, cur: str, uids: list[int]) -> int:
        with _reading(self._store) as connection:
            found = _TO_READ.on(connection, account=self._store.account_id, folder=folder_id, uids=uid_list(uids)).fetchall()
        done = words = 0
        read: dict[int, IndexedDocument] = {}
        for email_id, size, parts, name, header in found:
            key = key_of(email_id, size)
            document = self._document(key, f"{cur}/{name}", parts, header)
            if document is None:
                continue
            read[key] = document
            words += document.different_words
            if words > MOST_WORDS:
                done += leave(self._store, read)
                read, words = {}, 0
        return done + leave(self._store, read)

    def _document(self, key: int, path: str, parts: bytes, header: bytes | None) -> IndexedDocument | None:
        try:
            with open(path, "rb") as file:
                octets = file.read()
        except OSError:
            self.whole = False
            return None
        try:
            return IndexedDocument.of(text_parts(octets, parts), value_of(header, octets))
        except TooLong:
            self._visited.unfit.add(key)
            return None


def _alive(store: LocalStore) -> set[int]:
    with _reading(store) as connection:
        return {key_of(*row) for row in _ALIVE.on(connection, account=store.account_id)}


@contextlib.contextmanager
def _reading(store: LocalStore) -> Iterator[sqlite3.Connection]:
    """Open the index briefly, read-only: so closing it moves no log into the index."""
    connection = sqlite3.connect(f"file:{quote(store.paths.index)}?mode=ro", uri=True, timeout=1.0, isolation_level=None)
    try:
        yield connection
    finally:
        connection.close()


def _trace(store: LocalStore) -> tuple[int, int, int]:
    """Return what changes with each write of the index.

    Two writes within one tick of the file system's clock (4 ms) leave the same times, but not the same change mark, which
    another boot may repeat.
    """
    mark = store.shared.marks.read(store.account_id)
    return _written_at(store.paths.index), _written_at(f"{store.paths.index}-wal"), mark


def _written_at(path: str) -> int:
    try:
        return os.stat(path).st_mtime_ns
    except FileNotFoundError:
        return 0
