"""The housekeeper's work on an account: remove what is past retention, keep the index small.

Each effect is idempotent and a short critical section of its own, so that deliveries can come between; after a kill in the
middle less is left to do next time. `keep` (legal hold, a running handover) retains everything that could be restored, and so
does the mark of a hold (retention.py).
"""

import contextlib
import os
import shutil

from mic_mail.storage.changes import retention
from mic_mail.storage.changes.flags_in_names import flush_names, lag_behind
from mic_mail.storage.changes.staging import ABANDONED_SECONDS, unlink_quietly
from mic_mail.storage.errors import DiskFull
from mic_mail.storage.index.connection import translated
from mic_mail.storage.local_store import LocalStore
from mic_mail.storage.maildir.folder_names import EXPUNGED, OWN_PREFIX
from mic_mail.storage.maildir.maildir import make_tmp
from mic_mail.storage.reserve import ReserveState
from mic_mail.storage.types import SweptState


def sweep(store: LocalStore, *, keep: bool = False, trusted: bool = True) -> SweptState:
    """Flush names, remove what is past retention, and checkpoint the index.

    Without a `trusted` clock, nothing is removed. What `keep` or a hold protects stays.
    """
    are_named = False
    with contextlib.suppress(DiskFull):  # the names stay pending; what follows frees space
        flush_names(store)
        are_named = True
    if trusted:
        _drop(store, store.clock.steady_us(), keep=keep)
    mark = store.shared.marks.read(store.account_id)
    with translated("reading the index"):
        due_us = retention.due_us(store) if are_named and not lag_behind(store) else 0  # a STORE since the flush may owe names
    with translated("checkpoint"), store.lock.held():
        store.index.renew_log(begin=store.reserve.state is not ReserveState.GIVEN_UP)
        return SweptState(store.mark_to_come, due_us if store.mark_to_come == mark + 2 else 0)


def _drop(store: LocalStore, now_us: int, *, keep: bool) -> None:
    for folder in retention.let_go(store, now_us, keep=keep):
        if folder.directory == f"{EXPUNGED}/{folder.mailbox_id}":
            shutil.rmtree(store.paths.folder(folder.directory), ignore_errors=True)
    _drop_abandoned(store, now_us // 1_000_000 - ABANDONED_SECONDS)


def checkpoint(store: LocalStore) -> None:
    """Move the write-ahead log into the index as far as readers allow."""
    store.ready()
    with translated("checkpoint"), store.lock.held():
        store.index.checkpoint()


def _drop_abandoned(store: LocalStore, before_seconds: int) -> None:
    make_tmp(store.paths)
    with os.scandir(store.paths.tmp) as entries:
        staged = [entry.path for entry in entries]
    for path in filter(lambda path: _is_older(path, before_seconds), staged):
        unlink_quietly(path)
    with os.scandir(store.paths.maildir) as entries:
        made = [entry.path for entry in entries if entry.name.startswith(f"{OWN_PREFIX}new-")]
    for path in filter(lambda path: _is_older(path, before_seconds), made):
        shutil.rmtree(path, ignore_errors=True)


def _is_older(path: str, before_seconds: int) -> bool:
    """Return whether the entry's change time is older.

    A staged link has the modification time of the message that it links to. False also for a file that is published or put into
    place at this moment.
    """
    try:
        return os.lstat(path).st_ctime < before_seconds
    except FileNotFoundError:
        return False
