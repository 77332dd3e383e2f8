"""Updating an account's `search.sqlite` in the background, at any pace (indexing.py).

It reads the index through connections of its own that can neither write nor checkpoint, and opens messages by the names in
their rows. A file that is being renamed, or an index that is being made, is left for the next visit.
"""

import contextlib
import os
import sqlite3
from collections.abc import Callable, Iterator
from urllib.parse import quote

from mic_mail.storage.fulltext.segments import DamagedSegments
from mic_mail.storage.index.connection import PRIMARY, translated
from mic_mail.storage.index.rows import FolderRow
from mic_mail.storage.local_store import LocalStore
from mic_mail.storage.search.indexing import (
    IDLE_DROP_SECONDS,
    MessageSource,
    Visited,
    add_missing,
    count_known,
    drop_removed,
)

DROP_SECONDS = 3_600.0
"""Pause between two searches for text of removed messages where the index has been written since."""

_PASSING = {
    sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_SCHEMA, sqlite3.SQLITE_ERROR, sqlite3.SQLITE_CANTOPEN,
}  # fmt: skip
"""Errors while another process writes, or creates, the file."""


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
    except DamagedSegments:
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
    source = _Files(store)
    added = add_missing(source, visited, go_on)
    if added is None:
        return None
    visited.written = visited.written or visited.modseq != added.modseq or visited.trace[:-1] != _trace(store)
    if _owes_drop(store, visited):
        drop_removed(source)
        visited.dropped_at, visited.written = store.clock.monotonic(), False
    visited.known = count_known(store)
    if not added.whole:
        return None
    visited.modseq = added.modseq
    return added.messages


class _Files(MessageSource):
    store: LocalStore

    @contextlib.contextmanager
    def reading(self) -> Iterator[sqlite3.Connection]:
        """Open the index briefly, read-only: so closing it moves no log into the index."""
        path = f"file:{quote(self.store.paths.index)}?mode=ro"
        connection = sqlite3.connect(path, uri=True, timeout=1.0, isolation_level=None)
        try:
            yield connection
        finally:
            connection.close()

    def octets(self, folder: FolderRow, name: str, email_pk: int, size: int) -> bytes | None:
        try:
            with open(f"{self.store.paths.cur(folder.directory)}/{name}", "rb") as file:
                return file.read()
        except OSError:
            return None


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
