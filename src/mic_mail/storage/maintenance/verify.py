"""The invariants of a store, checked one by one and repaired where possible.

    numbers   uid < uidnext <= mark; a message's MODSEQ <= its folder's <= the account's <= mark; counters equal a recount
    contents  `refs` of each content equals the rows that point to it
    names     each row's name holds its UID, size and (unless dirty) flags; the file has that size
    sidecars  agree with the index, and have no smaller marks
    readers   have seen only messages that exist
    expunged  each tombstone's file lies in `.expunged/`

The integrity of the SQLite file, and whether files and rows match at all, is checked by repair.py and reconcile.py; `repair`
runs those first.
"""

import os
from collections.abc import Iterator
from dataclasses import replace

from sqlalchemy import bindparam, func, literal_column, select, update

from mic_mail.storage.changes.expunge import drop_refs, read_messages, tombstone_lost
from mic_mail.storage.changes.quota import recount_within
from mic_mail.storage.changes.sidecar_rows import folder_sidecar, readers_of
from mic_mail.storage.changes.transaction import LocalWrite
from mic_mail.storage.index import reader_seen_rows, schema
from mic_mail.storage.index.metadata_format import to_sidecar
from mic_mail.storage.index.rows import FolderRow, MessageRow, read_account, read_all_folders, read_folder, subscribed_names
from mic_mail.storage.index.statements import SqlStatement, keyed_by
from mic_mail.storage.maildir.maildir import locate
from mic_mail.storage.maildir.sidecars import AccountSidecar, FolderSidecar
from mic_mail.storage.maintenance.adopt import ContentTable, ForeignMaildirFile, adopt
from mic_mail.storage.message_names import NAMED_FLAGS, parse_name
from mic_mail.storage.types import RepairFinding

_M = schema.message.c
_T = schema.tombstone.c
_E = schema.email.c
_MAXIMA = SqlStatement(select(func.max(_M.uid), func.max(_M.modseq)).where(keyed_by(_M, "folder")))
_GONE_MAXIMA = SqlStatement(select(func.max(_T.uid), func.max(_T.modseq)).where(keyed_by(_T, "folder")))
_MESSAGE_REFS = SqlStatement(select(_M.email_pk, func.count()).where(keyed_by(_M)).group_by(_M.email_pk))
_GONE_REFS = SqlStatement(select(_T.email_pk, func.count()).where(keyed_by(_T), _T.email_pk.is_not(None)).group_by(_T.email_pk))
_REFS = SqlStatement(select(_E.email_pk, _E.refs).where(keyed_by(_E)))
_SET_REFS = SqlStatement(update(schema.email).where(keyed_by(_E, "email")).values(refs=bindparam("new_refs")))
_SET_DIRTY = SqlStatement(update(schema.message).where(keyed_by(_M, "folder", "at")).values(name_dirty=literal_column("1")))
_TOMBSTONE_NAMES = SqlStatement(select(_T.folder_id, _T.uid, _T.email_pk, _T.name).where(keyed_by(_T), _T.name.is_not(None)))
_FORGET_TOMBSTONE = SqlStatement(update(schema.tombstone).where(keyed_by(_T, "folder", "at")).values(email_pk=None, name=None))


def verify(write: LocalWrite, *, check: bool) -> Iterator[RepairFinding]:
    """Yield all findings; unless `check`, each is put right before the search continues."""
    folders = [write.any_folder(row.folder_id) for row in read_all_folders(write.connection, write.store.account_id)]
    for folder in folders:
        yield from _names(write, folder, check=check)
    yield from _check_tombstones(write, check=check)
    yield from _contents(write, check=check)
    for folder in folders:
        yield from _numbers(write, folder, check=check)
        yield from _folder_sidecar(write, folder, check=check)
    yield from _readers(write, check=check)
    yield from _account_sidecar(write, check=check)
    yield from _counters(write, check=check)


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


def _contents(write: LocalWrite, *, check: bool) -> Iterator[RepairFinding]:
    account = write.store.account_id
    counted: dict[int, int] = {}
    for statement in (_MESSAGE_REFS, _GONE_REFS):
        for email_pk, count in statement.on(write.connection, account=account):
            counted[email_pk] = counted.get(email_pk, 0) + count
    known = dict(_REFS.on(write.connection, account=account).fetchall())
    for email_pk in counted.keys() - known.keys():
        yield RepairFinding("content-missing", "", str(email_pk))
    for email_pk, refs in known.items():
        if refs != counted.get(email_pk, 0):
            yield RepairFinding("content-refs", "", f"{email_pk}: {refs}, counted {counted.get(email_pk, 0)}")
            if not check:
                _SET_REFS.on(write.connection, account=account, email=email_pk, new_refs=counted.get(email_pk, 0) + 1)
                drop_refs(write, [email_pk])


def _numbers(write: LocalWrite, folder: FolderRow, *, check: bool) -> Iterator[RepairFinding]:
    here = {"account": write.store.account_id, "folder": folder.folder_id}
    maxima = [_MAXIMA.on(write.connection, **here).fetchone(), _GONE_MAXIMA.on(write.connection, **here).fetchone()]
    uid = max(row[0] or 0 for row in maxima)
    modseq = max(row[1] or 0 for row in maxima)
    if not uid < folder.uidnext <= folder.uidnext_mark:
        yield RepairFinding("uidnext", folder.name, f"{uid} < {folder.uidnext} <= {folder.uidnext_mark}")
        if not check:
            folder.uidnext = max(folder.uidnext, folder.uidnext_mark, uid + 1)
            folder.uidnext_mark = folder.uidnext
            write.keep(folder)
    if not modseq <= folder.highest_modseq <= write.account.modseq <= write.account.modseq_mark:
        yield RepairFinding("modseq", folder.name, f"{modseq} <= {folder.highest_modseq} <= {write.account.modseq}")
        if not check:
            write.account.modseq = max(write.account.modseq, write.account.modseq_mark, folder.highest_modseq, modseq)
            write.touch(folder)


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


def _readers(write: LocalWrite, *, check: bool) -> Iterator[RepairFinding]:
    account = write.store.account_id
    for folder_id, uid in reader_seen_rows.stray(write.connection, account):
        folder = read_folder(write.connection, account, folder_id)
        yield RepairFinding("seen-stray", folder.name if folder else "", f"uid {uid}")
        if not check:
            reader_seen_rows.drop_states(write.connection, account, folder_id, [uid])
    if reader_seen_rows.put_right(write.connection, account, check=check):
        yield RepairFinding("counters", "", "differ from a recount")


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


def _counters(write: LocalWrite, *, check: bool) -> Iterator[RepairFinding]:
    for name in recount_within(write, fix=not check):
        yield RepairFinding("counters", name, "differ from a recount")
