"""What is past its retention is removed: expunged messages, deleted folders, the history of UIDs, origins of deliveries.

Each step is idempotent and a short change of its own, so that deliveries can come between; after a kill in the middle less is
left to do next time. The mark of a hold (legal_hold.py) may have been set a moment ago, so each change that destroys checks it.
"""

import math
from collections.abc import Iterator

from sqlalchemy import bindparam, delete, func, select, update

from mic_mail.storage.changes.expunge import drop_refs
from mic_mail.storage.changes.legal_hold import is_held
from mic_mail.storage.index import reader_seen_rows, schema
from mic_mail.storage.index.rows import FolderRow, read_all_folders, read_folder
from mic_mail.storage.index.statements import SqlStatement, among, keyed_by, uid_list
from mic_mail.storage.store import Store

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


def due_us(store: Store) -> float:
    """Return when the next thing passes its retention."""
    keep_us, history_us = (
        seconds * 1_000_000 for seconds in (store.settings.expunge_keep_seconds, store.settings.history_keep_seconds)
    )
    with store.reading() as connection:
        (expunged, history, delivered, deleted) = _OLDEST.on(connection, account=store.account_id).fetchone()
    due = [
        at + keep
        for at, keep in ((expunged, keep_us), (history, history_us), (delivered, history_us), (deleted, keep_us))
        if at is not None
    ]
    return min(due, default=math.inf)


def let_go_messages(store: Store, before_us: int) -> None:
    """Remove messages that were expunged before an instant."""
    while _let_go_some(store, before_us):
        pass


def _let_go_some(store: Store, before_us: int) -> bool:
    """Remove a slice of expired expunged messages; True if there may be more."""
    with store.writing() as write:
        if is_held(write):
            return False
        rows = _EXPIRED.on(write.connection, account=store.account_id, before=before_us).fetchall()
        if not rows:
            return False
        write.names.forget(name for _, _, _, name in rows if name)
        for folder_id, uid, _, _ in rows:
            _FORGET.on(write.connection, account=store.account_id, folder=folder_id, at=uid)
        drop_refs(write, (email_pk for _, _, email_pk, _ in rows))
    return len(rows) == _AT_ONCE


def expired_folders(store: Store, before_us: int) -> list[int]:
    """Return folders that were deleted before an instant."""
    with store.reading() as connection:
        rows = read_all_folders(connection, store.account_id)
    return [row.folder_id for row in rows if row.deleted_at_us is not None and row.deleted_at_us < before_us]


def let_go_folder(store: Store, folder_id: int) -> FolderRow | None:
    """Remove an expired deleted folder: its rows in slices, its own row last; return it.

    None: it was restored meanwhile, or is to be retained, or another process removes it.
    """
    while True:
        with store.writing() as write:
            folder = read_folder(write.connection, store.account_id, folder_id)
            if folder is None or folder.deleted_at_us is None or is_held(write):
                return None
            here = {"account": store.account_id, "folder": folder_id}
            messages = _SOME_MESSAGES.on(write.connection, **here).fetchall()
            tombstones = _SOME_TOMBSTONES.on(write.connection, **here).fetchall()
            drop_refs(write, [email_pk for _, email_pk in messages])
            drop_refs(write, [email_pk for _, email_pk, _ in tombstones if email_pk is not None])
            write.names.forget(name for _, _, name in tombstones if name)
            _DROP_MESSAGES.on(write.connection, **here, uids=uid_list(uid for uid, _ in messages))
            reader_seen_rows.drop_states(write.connection, store.account_id, folder_id, [uid for uid, _ in messages])
            _DROP_TOMBSTONES.on(write.connection, **here, uids=uid_list(uid for uid, _, _ in tombstones))
            done = not messages and not tombstones
            if done:
                _DROP_FOLDER.on(write.connection, **here)
                reader_seen_rows.drop_states(write.connection, store.account_id, folder_id, None)
        if done:
            return folder


def let_go_history(store: Store, before_us: int) -> None:
    """Remove old vanished UIDs, raising the floor (RFC 7162 §3.2.5.2), and equally old delivery origins."""
    with store.writing() as write:
        for folder_id, modseq in _HISTORY.on(write.connection, account=store.account_id, before=before_us).fetchall():
            folder = write.any_folder(folder_id)
            folder.expunge_floor = max(folder.expunge_floor, modseq)
            write.keep(folder)
            _DROP_HISTORY.on(write.connection, account=store.account_id, folder=folder_id, before=before_us)
        _DROP_ORIGINS.on(write.connection, account=store.account_id, before=before_us)


def let_go(store: Store, now_us: int, *, keep: bool) -> Iterator[FolderRow]:
    """Remove all that is past its retention; yield the rows of deleted folders that are gone.

    `keep` retains everything that could be restored.
    """
    if not keep:
        before = now_us - store.settings.expunge_keep_seconds * 1_000_000
        let_go_messages(store, before)
        for folder_id in expired_folders(store, before):
            if (folder := let_go_folder(store, folder_id)) is not None:
                yield folder
    let_go_history(store, now_us - store.settings.history_keep_seconds * 1_000_000)
