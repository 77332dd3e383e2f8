"""The housekeeper's work on an account: remove what is past retention, keep the index small.

Each effect is idempotent and a short critical section of its own, so that deliveries can come between; after a kill in the
middle less is left to do next time. `keep` (legal hold, a running handover) retains everything that could be restored, and so
does the mark of a hold (legal_hold.py). That mark may have been set a moment ago, so each section that destroys checks it.
"""

import contextlib
import math
import os
import shutil
from dataclasses import dataclass

from sqlalchemy import bindparam, delete, func, select, update

from mic_mail.storage.changes.expunge import drop_refs
from mic_mail.storage.changes.flags_in_names import flush_names, lag_behind
from mic_mail.storage.changes.legal_hold import is_held
from mic_mail.storage.changes.staging import ABANDONED_SECONDS, unlink_quietly
from mic_mail.storage.changes.transaction import writing
from mic_mail.storage.errors import DiskFull
from mic_mail.storage.index import reader_seen_rows, schema
from mic_mail.storage.index.connection import translated
from mic_mail.storage.index.rows import read_all_folders
from mic_mail.storage.index.statements import SqlStatement, among, keyed_by, uid_list
from mic_mail.storage.local_store import LocalStore
from mic_mail.storage.maildir.folder_names import EXPUNGED, OWN_PREFIX
from mic_mail.storage.maildir.maildir import make_tmp
from mic_mail.storage.reserve import ReserveState

_AT_ONCE = 500
"""Messages in one critical section."""

_T = schema.tombstone.c
_M = schema.message.c
_D = schema.delivery.c
_F = schema.folder.c
_HERE = keyed_by(_T, "folder")
_EXPIRED = SqlStatement(
    select(_T.folder_id, _T.uid, _T.email_pk, _T.name)
    .where(keyed_by(_T), _T.email_pk.is_not(None), _T.expunged_us < bindparam("before"))
    .limit(_AT_ONCE)
)
_FORGET = SqlStatement(update(schema.tombstone).where(_HERE, _T.uid == bindparam("at")).values(email_pk=None, name=None))
_HISTORY = SqlStatement(
    select(_T.folder_id, func.max(_T.modseq))
    .where(keyed_by(_T), _T.email_pk.is_(None), _T.expunged_us < bindparam("before"))
    .group_by(_T.folder_id)
)
_DROP_HISTORY = SqlStatement(delete(schema.tombstone).where(_HERE, _T.email_pk.is_(None), _T.expunged_us < bindparam("before")))
_OLDEST = SqlStatement(
    select(
        select(func.min(_T.expunged_us)).where(keyed_by(_T), _T.email_pk.is_not(None)).scalar_subquery(),
        select(func.min(_T.expunged_us)).where(keyed_by(_T), _T.email_pk.is_(None)).scalar_subquery(),
        select(func.min(_D.published_us)).where(keyed_by(_D)).scalar_subquery(),
        select(func.min(_F.deleted_at_us)).where(keyed_by(_F)).scalar_subquery(),
    )
)
_DROP_ORIGINS = SqlStatement(delete(schema.delivery).where(keyed_by(_D), _D.published_us < bindparam("before")))
_IN_FOLDER = keyed_by(_M, "folder")
_SOME_MESSAGES = SqlStatement(select(_M.uid, _M.email_pk).where(_IN_FOLDER).limit(_AT_ONCE))
_DROP_MESSAGES = SqlStatement(delete(schema.message).where(_IN_FOLDER, among(_M.uid)))
_SOME_TOMBSTONES = SqlStatement(select(_T.uid, _T.email_pk, _T.name).where(_HERE).limit(_AT_ONCE))
_DROP_TOMBSTONES = SqlStatement(delete(schema.tombstone).where(_HERE, among(_T.uid)))
_DROP_FOLDER = SqlStatement(delete(schema.folder).where(keyed_by(_F, "folder")))


@dataclass(frozen=True, slots=True)
class SweptState:
    """An account as a sweep has left it: until one of both changes, another sweep would find nothing to do."""

    mark: int
    """Its change mark."""
    due_us: float
    """The instant at which something passes its retention; in the past where something is kept beyond it."""


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
        due_us = _due_us(store) if are_named and not lag_behind(store) else 0  # a STORE since the flush may owe names
    with translated("checkpoint"), store.lock.held():
        store.index.renew_log(begin=store.reserve.state is not ReserveState.GIVEN_UP)
        return SweptState(store.mark_to_come, due_us if store.mark_to_come == mark + 2 else 0)


def _due_us(store: LocalStore) -> float:
    """Return when the next thing passes its retention. What is abandoned in `tmp/` is left to the next full visit."""
    keep_us, history_us = (
        seconds * 1_000_000 for seconds in (store.settings.expunge_keep_seconds, store.settings.history_keep_seconds)
    )
    with store.index.reading() as connection:
        (expunged, history, delivered, deleted) = _OLDEST.on(connection, account=store.account_id).fetchone()
    due = [
        at + keep
        for at, keep in ((expunged, keep_us), (history, history_us), (delivered, history_us), (deleted, keep_us))
        if at is not None
    ]
    return min(due, default=math.inf)


def _drop(store: LocalStore, now_us: int, *, keep: bool) -> None:
    if not keep:
        before = now_us - store.settings.expunge_keep_seconds * 1_000_000
        while _let_go_messages(store, before):
            pass
        for row in _expired_folders(store, before):
            _let_go_folder(store, row)
    _let_go_history(store, now_us - store.settings.history_keep_seconds * 1_000_000)
    _drop_abandoned(store, now_us // 1_000_000 - ABANDONED_SECONDS)


def checkpoint(store: LocalStore) -> None:
    """Move the write-ahead log into the index as far as readers allow."""
    store.ready()
    with translated("checkpoint"), store.lock.held():
        store.index.checkpoint()


def _let_go_messages(store: LocalStore, before_us: int) -> bool:
    """Remove a slice of expired expunged messages; True if there may be more."""
    with writing(store) as write:
        if is_held(store):
            return False
        rows = _EXPIRED.on(write.connection, account=store.account_id, before=before_us).fetchall()
        if not rows:
            return False
        write.names.intend(leftovers=[f"{store.paths.expunged}/{name}" for _, _, _, name in rows if name])
        for folder_id, uid, _, _ in rows:
            _FORGET.on(write.connection, account=store.account_id, folder=folder_id, at=uid)
        drop_refs(write, (email_pk for _, _, email_pk, _ in rows))
    return len(rows) == _AT_ONCE


def _expired_folders(store: LocalStore, before_us: int) -> list[int]:
    with translated("reading the index"), store.index.reading() as connection:
        rows = read_all_folders(connection, store.account_id)
    return [row.folder_id for row in rows if row.deleted_at_us is not None and row.deleted_at_us < before_us]


def _let_go_folder(store: LocalStore, folder_id: int) -> None:
    """Remove an expired deleted folder: its rows in slices, its own row last, then its directory."""
    while True:
        with writing(store) as write:
            folder = write.any_folder(folder_id)
            if folder.deleted_at_us is None or is_held(store):
                return  # restored meanwhile, or to be retained
            here = {"account": store.account_id, "folder": folder_id}
            messages = _SOME_MESSAGES.on(write.connection, **here).fetchall()
            tombstones = _SOME_TOMBSTONES.on(write.connection, **here).fetchall()
            drop_refs(write, [email_pk for _, email_pk in messages])
            drop_refs(write, [email_pk for _, email_pk, _ in tombstones if email_pk is not None])
            write.names.intend(leftovers=[f"{store.paths.expunged}/{name}" for _, _, name in tombstones if name])
            _DROP_MESSAGES.on(write.connection, **here, uids=uid_list(uid for uid, _ in messages))
            _DROP_TOMBSTONES.on(write.connection, **here, uids=uid_list(uid for uid, _, _ in tombstones))
            done = not messages and not tombstones
            if done:
                _DROP_FOLDER.on(write.connection, **here)
                reader_seen_rows.drop_states(write.connection, store.account_id, folder_id, None)
        if done:
            break
    if folder.directory == f"{EXPUNGED}/{folder.mailbox_id}":
        shutil.rmtree(store.paths.folder(folder.directory), ignore_errors=True)


def _let_go_history(store: LocalStore, before_us: int) -> None:
    """Remove old vanished UIDs, raising the floor (RFC 7162 §3.2.5.2), and equally old delivery origins."""
    with writing(store) as write:
        for folder_id, modseq in _HISTORY.on(write.connection, account=store.account_id, before=before_us).fetchall():
            folder = write.any_folder(folder_id)
            folder.expunge_floor = max(folder.expunge_floor, modseq)
            write.keep(folder)
            _DROP_HISTORY.on(write.connection, account=store.account_id, folder=folder_id, before=before_us)
        _DROP_ORIGINS.on(write.connection, account=store.account_id, before=before_us)


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
