"""The change feed's poll of every watched account, every two seconds: its newest MODSEQ.

In: a store. Out: its MODSEQ, foreign files taken in first. The file system is checked before the index: while neither the index
nor its write-ahead log nor any folder's `new/` has changed, the last answer stands and no connection is opened, so that the
handles of an inactive account can be closed (`LocalStore.rest`).

Every commit writes the log, and every file added to a directory changes its time. Times have the resolution of the kernel's
tick; so an answer is cached only if all files had been still for SETTLED_NS before it was begun, and any later change shows.
"""

import math
import os

from mic_mail.storage.index.connection import translated
from mic_mail.storage.index.rows import read_folders
from mic_mail.storage.local_store import LocalStore, Polled
from mic_mail.storage.maintenance.external_changes import take_in_new
from mic_mail.storage.reads.reader import highest_modseq

SETTLED_NS = 3_000_000_000
"""More than external_changes.py waits before it takes a `new/` as emptied for good."""


def unmoved(store: LocalStore) -> int | None:
    """Return the last answer if it still stands: a few stats, no handle."""
    polled = store.polled
    if polled is None or store.opened_identity is None:
        return None
    return polled.modseq if _traces(polled.watched) == polled.traces else None


def poll(store: LocalStore) -> int:
    """Return the account's newest MODSEQ; close handles opened for it, since a later close changes files."""
    rested = store.rests
    store.ready()
    files = (store.paths.index, f"{store.paths.index}-wal")
    file_traces = _traces(files)  # before the folders are read: a folder made later changes the log
    with translated("reading the index"), store.index.reading() as connection:
        news = tuple(store.paths.new(row.directory) for row in read_folders(connection, store.account_id))
    traces = file_traces + _traces(news)
    take_in_new(store)
    modseq = highest_modseq(store)
    still = max(traces) < store.clock.now_us() * 1000 - SETTLED_NS
    store.polled = Polled(modseq, files + news, traces) if still else None
    if rested:
        store.rest(math.inf)
    return modseq


def _traces(paths: tuple[str, ...]) -> tuple[int, ...]:
    return tuple(map(_trace, paths))


def _trace(path: str) -> int:
    try:
        return os.stat(path).st_mtime_ns
    except (FileNotFoundError, PermissionError):
        return 0
