"""The question of the change feed's poll, asked of every watched account each two seconds: what is the newest MODSEQ?

In: a store. Out: its MODSEQ, foreign files taken in first. The file system is asked before the index: while neither the index
nor its write-ahead log nor any folder's `new/` has moved, the last answer stands and no connection is opened, so that the
handles of an account in which nothing happens can rest (`Store.rest`).

Every commit writes the log, and every file that comes into a directory moves its time. Times have the grain of the kernel's
tick; so an answer is kept only if all had been still for SETTLED_NS before it was begun, and what moves afterwards shows.
"""

import math
import os

from mic_mail.storage.index.connection import translated
from mic_mail.storage.index.rows import read_folders
from mic_mail.storage.maintenance.external_changes import take_in_new
from mic_mail.storage.reads.reader import highest_modseq
from mic_mail.storage.store import Polled, Store

SETTLED_NS = 3_000_000_000
"""More than external_changes.py waits before it believes that a `new/` has been emptied for good."""


def unmoved(store: Store) -> int | None:
    """The last answer if it still stands: a few stats, no handle."""
    polled = store.polled
    if polled is None or store.opened_identity is None:
        return None
    return polled.modseq if _traces(polled.watched) == polled.traces else None


def poll(store: Store) -> int:
    """The account's newest MODSEQ, asked of the index. Handles that rested rest again: who closed last has moved files too."""
    rested = store.rests
    store.ready()
    files = (store.place.index, f"{store.place.index}-wal")
    file_traces = _traces(files)  # before the folders are read: one that is made later moves the log
    with translated("reading the index"), store.index.reading() as connection:
        news = tuple(store.place.new(row.directory) for row in read_folders(connection, store.account_id))
    traces = file_traces + _traces(news)
    take_in_new(store)
    modseq = highest_modseq(store)
    still = max(traces) < store.clock.now_us() * 1000 - SETTLED_NS
    store.polled = Polled(modseq, files + news, traces) if still else None
    if rested:
        store.rest(math.inf)
    return modseq


def _traces(paths: tuple[str, ...]) -> tuple[int, ...]:
    """When each was last written, 0 for what is missing, or may not be looked at."""
    return tuple(map(_trace, paths))


def _trace(path: str) -> int:
    try:
        return os.stat(path).st_mtime_ns
    except (FileNotFoundError, PermissionError):
        return 0
