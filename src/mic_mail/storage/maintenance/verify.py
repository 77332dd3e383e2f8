"""The invariants of a store, checked one by one and repaired where possible.

    names     each row's name holds its UID, size and (unless dirty) flags; the file has that size
    sidecars  agree with the index, and have no smaller marks
    expunged  each tombstone's file lies in `.expunged/`
    rows      agree with each other (changes/verify_rows.py)

The integrity of the SQLite file, and whether files and rows match at all, is checked by repair.py and reconcile.py; `repair`
runs those first.
"""

import os
from collections.abc import Iterator
from dataclasses import replace

from sqlalchemy import literal_column, select, update

from mic_mail.storage.changes.expunge import drop_refs, read_messages, tombstone_lost
from mic_mail.storage.changes.sidecar_rows import folder_sidecar, readers_of
from mic_mail.storage.changes.transaction import LocalWrite
from mic_mail.storage.changes.verify_rows import verify_contents, verify_counters, verify_numbers, verify_readers
from mic_mail.storage.index import schema
from mic_mail.storage.index.metadata_format import to_sidecar
from mic_mail.storage.index.rows import FolderRow, MessageRow, read_account, read_all_folders, subscribed_names
from mic_mail.storage.index.statements import SqlStatement, keyed_by
from mic_mail.storage.maildir.maildir import locate
from mic_mail.storage.maildir.sidecars import AccountSidecar, FolderSidecar
from mic_mail.storage.maintenance.adopt import ContentTable, ForeignMaildirFile, adopt
from mic_mail.storage.message_names import NAMED_FLAGS, parse_name
from mic_mail.storage.types import RepairFinding

_M = schema.message.c
_T = schema.tombstone.c
_SET_DIRTY = SqlStatement(update(schema.message).where(keyed_by(_M, "folder", "at")).values(name_dirty=literal_column("1")))
_TOMBSTONE_NAMES = SqlStatement(select(_T.folder_id, _T.uid, _T.email_pk, _T.name).where(keyed_by(_T), _T.name.is_not(None)))
_FORGET_TOMBSTONE = SqlStatement(update(schema.tombstone).where(keyed_by(_T, "folder", "at")).values(email_pk=None, name=None))


def verify(write: LocalWrite, *, check: bool) -> Iterator[RepairFinding]:
    """Yield all findings; unless `check`, each is put right before the search continues."""
    folders = [write.any_folder(row.folder_id) for row in read_all_folders(write.connection, write.store.account_id)]
    for folder in folders:
        yield from _names(write, folder, check=check)
    yield from _check_tombstones(write, check=check)
    yield from verify_contents(write, check=check)
    for folder in folders:
        yield from verify_numbers(write, folder, check=check)
        yield from _folder_sidecar(write, folder, check=check)
    yield from verify_readers(write, check=check)
    yield from _account_sidecar(write, check=check)
    yield from verify_counters(write, check=check)


def _names(write: LocalWrite, folder: FolderRow, *, check: bool) -> Iterator[RepairFinding]:
    cur = write.store.paths.cur(folder.directory)
    changed: list[MessageRow] = []
    for row in read_messages(write, folder.folder_id, None):
        named = parse_name(row.name)
        if (named.uid, named.size) != (row.uid, row.size):
            yield RepairFinding("name-differs", folder.name, f"uid {row.uid} size {row.size}: {row.name}")
            changed.append(row)
        elif not row.name_dirty and named.flags != row.flags & NAMED_FLAGS:
            yield RepairFinding("name-flags", folder.name, row.name)
            if not check:
                _SET_DIRTY.on(write.connection, account=write.store.account_id, folder=folder.folder_id, at=row.uid)
                write.store.names_due = True
        elif _size_of(f"{cur}/{row.name}") not in (row.size, None):
            yield RepairFinding("content-changed", folder.name, row.name)
            changed.append(row)
    if changed and not check:
        # Other content under the same UID would contradict every client's cache: it is a new message.
        tombstone_lost(write, folder, changed)
        foreign = [
            ForeignMaildirFile(f"{cur}/{row.name}", replace(parse_name(row.name), uid=0, flags=row.flags)) for row in changed
        ]
        adopt(write, folder, foreign, ContentTable(write), believe_uids=False)


def _size_of(path: str) -> int | None:
    try:
        return os.stat(path).st_size
    except (FileNotFoundError, PermissionError):
        return None


def _check_tombstones(write: LocalWrite, *, check: bool) -> Iterator[RepairFinding]:
    account = write.store.account_id
    rows = _TOMBSTONE_NAMES.on(write.connection, account=account).fetchall()
    present = locate(write.store.paths.expunged, (name for _, _, _, name in rows))
    for folder_id, uid, email_pk, name in rows:
        if name not in present:
            yield RepairFinding("expunged-gone", write.any_folder(folder_id).name, name)
            if not check:
                _FORGET_TOMBSTONE.on(write.connection, account=account, folder=folder_id, at=uid)
                drop_refs(write, [email_pk])


def _folder_sidecar(write: LocalWrite, folder: FolderRow, *, check: bool) -> Iterator[RepairFinding]:
    path = write.store.paths.folder(folder.directory)
    if folder.deleted_at_us is not None and not os.path.isdir(path):
        return
    wanted = folder_sidecar(folder)
    found = FolderSidecar.read(path)
    if found is not None and found.uidnext_mark >= folder.uidnext_mark:
        folder_id = found.folder_id or wanted.folder_id  # a sidecar from before it held the number agrees in the rest
        if replace(found, folder_id=folder_id) == replace(wanted, uidnext_mark=found.uidnext_mark):
            return
    yield RepairFinding("folder-sidecar", folder.name, "differs from the index" if found else "missing or damaged")
    if not check:
        write.names.rewrite_folder_sidecar(folder.folder_id)


def _account_sidecar(write: LocalWrite, *, check: bool) -> Iterator[RepairFinding]:
    found = AccountSidecar.read(write.store.paths.maildir)
    row = read_account(write.connection, write.store.account_id)
    subscriptions = subscribed_names(write.connection, write.store.account_id)
    if (
        found is not None
        and row is not None
        and found.account_id == row.account_id
        and found.subscriptions == subscriptions
        and found.metadata == to_sidecar(row.metadata)
        and found.readers == readers_of(write.connection, row)
        and found.modseq_mark >= row.modseq_mark
        and found.uidvalidity_next >= row.uidvalidity_next
    ):
        return
    yield RepairFinding("account-sidecar", "", "differs from the index" if found else "missing or damaged")
    if not check:
        write.names.rewrite_account_sidecar()
