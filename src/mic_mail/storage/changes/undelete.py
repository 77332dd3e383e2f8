"""`.expunged/`: restoring what was expunged or deleted.

An expunged message is restored under a new UID, since clients were told that the old one vanished. A deleted folder is restored
as it was.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from sqlalchemy import bindparam, select, update

from mic_mail.storage.changes import seen
from mic_mail.storage.changes.publish import insert_message
from mic_mail.storage.changes.quota import recount_folder
from mic_mail.storage.errors import FolderExists, NoSuchFolder
from mic_mail.storage.index import schema
from mic_mail.storage.index.rows import FolderRow, read_all_folders
from mic_mail.storage.index.statements import Connection, SqlStatement, among, keyed_by, uid_list
from mic_mail.storage.message_names import format_name, parse_name
from mic_mail.storage.store import Store, Write
from mic_mail.storage.types import DELETED, SEEN, Tombstone

_T = schema.tombstone.c
_E = schema.email.c
_F = schema.folder.c
_SELECT_KEPT = SqlStatement(
    select(_F.name, _T.uid, _T.size, _T.flags, _T.expunged_us, _E.email_id, _E.envelope, _T.folder_id, _T.email_pk, _T.name)
    .join_from(schema.tombstone, schema.email, (_E.account_id == _T.account_id) & (_E.email_pk == _T.email_pk))
    .join(schema.folder, (_F.account_id == _T.account_id) & (_F.folder_id == _T.folder_id))
    .where(keyed_by(_T), _T.name.is_not(None), _T.expunged_us >= bindparam("since"))
    .order_by(_T.folder_id, _T.uid)
)
_FORGET = SqlStatement(
    update(schema.tombstone)
    .where(keyed_by(_T, "folder", "at"))
    .values(email_pk=None, name=None, moved_folder_id=bindparam("to_folder"), moved_uid=bindparam("to_uid"))
)


_FATES = SqlStatement(
    select(_T.uid, _T.expunged_us, _T.name, _T.moved_folder_id, _T.moved_uid).where(keyed_by(_T, "folder"), among(_T.uid))
)


@dataclass(frozen=True, slots=True)
class _TombstoneRow:
    folder: str
    uid: int
    size: int
    flags: int
    expunged_us: int
    email_id: str
    envelope: bytes
    folder_id: int
    email_pk: int
    name: str


def tombstones(store: Store, folder_id: int | None = None) -> list[Tombstone]:
    with store.reading() as connection:
        rows = _SELECT_KEPT.on(connection, account=store.account_id, since=0).fetchall()
    return [
        Tombstone(row.folder, row.uid, row.size, row.flags, row.expunged_us, row.email_id, row.envelope)
        for row in (_TombstoneRow(*row) for row in rows)
        if folder_id is None or row.folder_id == folder_id
    ]


@dataclass(frozen=True, slots=True)
class MessageOutcome:
    """The index's knowledge of a message that left its folder."""

    gone_at_us: int
    folder: str
    uid: int
    """The last folder and UID of the message."""
    can_come_back: bool
    """Set where the message was expunged, by itself or with its folder, and is still retained.

    Otherwise it is past retention, or another tool removed its file, or it was moved to where it is now.
    """


def message_outcomes(store: Store, mailbox_id: str, uids: Iterable[int]) -> dict[int, MessageOutcome]:
    """Return the outcome of those of these UIDs that left the folder with this id, after all moves.

    The folder may be a deleted one. A UID that is past history, or whose message is still there, is left out.
    """
    wanted = list(uids)
    with store.snapshot() as connection:
        folders = {row.folder_id: row for row in read_all_folders(connection, store.account_id)}
        folder = next((row for row in folders.values() if row.mailbox_id == mailbox_id), None)
        if folder is None:
            return {}
        here = {"account": store.account_id, "folder": folder.folder_id}
        rows = {row[0]: row for row in _FATES.on(connection, **here, uids=uid_list(wanted))}
        found = {uid: _message_outcome(store, connection, folders, (folder, uid), rows.get(uid)) for uid in wanted}
    return {uid: fate for uid, fate in found.items() if fate is not None}


def _message_outcome(
    store: Store,
    connection: Connection,
    folders: Mapping[int, FolderRow],
    at: tuple[FolderRow, int],
    row: tuple[int, int, str | None, int | None, int | None] | None,
) -> MessageOutcome | None:
    fate: MessageOutcome | None = None
    while row is not None:
        _, gone_at_us, name, moved_folder_id, moved_uid = row
        fate = MessageOutcome(gone_at_us, at[0].name, at[1], can_come_back=name is not None)
        moved_to = folders.get(moved_folder_id or 0)
        if moved_to is None:
            return fate
        at = moved_to, moved_uid or 0
        here = {"account": store.account_id, "folder": at[0].folder_id}
        row = _FATES.on(connection, **here, uids=uid_list([at[1]])).fetchone()
    deleted_at_us = at[0].deleted_at_us  # the message is still there, unless the folder is deleted as a whole
    return fate if deleted_at_us is None else MessageOutcome(deleted_at_us, at[0].name, at[1], can_come_back=True)


def undelete(store: Store, *, folder: str | None = None, since_us: int = 0, uids: Iterable[int] | None = None) -> int:
    """Restore messages and folders gone since `since_us`; return how many messages came back.

    Without `folder`, those of all folders are restored. With `uids`, only these messages are restored, and no folder.
    """
    name = None if folder is None else store.canonical_name(folder)
    wanted = None if uids is None else set(uids)
    with store.writing() as write:
        came = 0
        if wanted is None:
            came = sum(_restore_folder(write, row) for row in _deleted_folders(write, name, since_us))
        if name is not None and write.folder_named(name) is None:
            raise NoSuchFolder(name)
        return came + _restore_messages(write, name, since_us, wanted)


def _deleted_folders(write: Write, name: str | None, since_us: int) -> list[FolderRow]:
    """Return the newest deleted folder of each name that is free now."""
    newest: dict[str, FolderRow] = {}
    for row in read_all_folders(write.connection, write.store.account_id):
        if row.deleted_at_us is not None and row.deleted_at_us >= since_us and name in (None, row.name):
            newest[row.name] = max(newest.get(row.name, row), row, key=lambda row: row.deleted_at_us or 0)
    return [row for row in newest.values() if write.folder_named(row.name) is None]


def _restore_folder(write: Write, row: FolderRow) -> int:
    if not write.names.is_restorable(row):
        return 0
    if write.names.is_taken(row.name):
        raise FolderExists(row.name)
    folder = write.any_folder(row.folder_id)
    write.names.restore_folder(folder)
    folder.deleted_at_us, folder.modseq = None, write.modseq
    recount_folder(write, folder)  # the sweep may have begun to remove it, of which no history tells
    write.touch(folder)
    folder.expunge_floor = folder.highest_modseq
    write.save(folder)
    write.account.messages += folder.messages
    write.account.octets += folder.octets
    return folder.messages


def _restore_messages(write: Write, name: str | None, since_us: int, wanted: set[int] | None) -> int:
    store = write.store
    account = store.account_id
    rows = [_TombstoneRow(*row) for row in _SELECT_KEPT.on(write.connection, account=account, since=since_us)]
    rows = [row for row in rows if name in (None, row.folder) and (wanted is None or row.uid in wanted)]
    restorable = write.names.restorable(row.name for row in rows)
    restored: list[tuple[_TombstoneRow, FolderRow, int, str]] = []
    for row in rows:
        folder = write.any_folder(row.folder_id)
        if folder.deleted_at_us is None and row.name in restorable:
            write.touch(folder)
            uid = write.take_uid(folder)
            base = parse_name(row.name.removeprefix(f"{folder.mailbox_id}.")).base
            restored.append((row, folder, uid, format_name(base, row.size, uid, row.flags & ~DELETED)))
    write.names.restore([(row.name, folder, new_name) for row, folder, _, new_name in restored])
    now_us = store.clock.steady_us()
    for row, folder, uid, new_name in restored:
        _FORGET.on(write.connection, account=account, folder=row.folder_id, at=row.uid, to_folder=row.folder_id, to_uid=uid)
        insert_message(
            write,
            folder,
            uid=uid,
            flags=row.flags & ~DELETED,
            size=row.size,
            email_pk=row.email_pk,
            name=new_name,
            saved_us=now_us,
        )
        if row.flags & SEEN:
            seen.bring(write, folder, [uid])
    return len(restored)
