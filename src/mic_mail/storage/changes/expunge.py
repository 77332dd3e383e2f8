"""EXPUNGE: files go to `.expunged/`, rows become tombstones, which can be read and undone for a time.

A tombstone carries the answers (`email_pk`) and the file's name below `.expunged/` until the sweep removes both. What stays
then is the history of UIDs for QRESYNC; when that is removed too, `expunge_floor` says from where on it is complete. MOVE
leaves a tombstone that points to the message's new place. Expunged mail does not count against the quota.
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import replace

from sqlalchemy import bindparam, delete, exists, insert, literal_column, null, select, update

from mic_mail.storage.changes.change_result import change_result
from mic_mail.storage.changes.legal_hold import must_not_be_frozen
from mic_mail.storage.durable_by_journal import Remember
from mic_mail.storage.index import reader_seen_rows, schema
from mic_mail.storage.index.rows import FolderRow, MessageRow
from mic_mail.storage.index.statements import RowStatement, SqlStatement, among, keyed_by, uid_list
from mic_mail.storage.message_names import expunged_name
from mic_mail.storage.store import Store, Write
from mic_mail.storage.types import DELETED, ExpungeResult

_M = schema.message.c
_HERE = keyed_by(_M, "folder")
_COLUMNS = (_M.uid, _M.flags, _M.size, _M.created_modseq, _M.email_pk, _M.saved_us, _M.name, _M.name_dirty)
_SELECT_AMONG = SqlStatement(select(*_COLUMNS).where(_HERE, among(_M.uid)).order_by(_M.uid))
_SELECT_ALL = SqlStatement(select(*_COLUMNS).where(_HERE).order_by(_M.uid))
_SELECT_DELETED = SqlStatement(
    select(*_COLUMNS).where(_HERE, _M.flags.op("&")(literal_column(str(DELETED))) != 0).order_by(_M.uid)
)
_DELETE_AMONG = SqlStatement(delete(schema.message).where(_HERE, among(_M.uid)))
# In the order of the table, since rows are bound by position.
_TOMBSTONE_COLUMNS = (
    "account_id", "folder_id", "uid", "modseq", "created_modseq", "expunged_us", "flags", "size", "saved_us", "email_pk",
    "name", "moved_folder_id", "moved_uid",
)  # fmt: skip
_INSERT_TOMBSTONE = RowStatement(insert(schema.tombstone), _TOMBSTONE_COLUMNS)
_INSERT_TOMBSTONES = SqlStatement(
    insert(schema.tombstone).from_select(
        _TOMBSTONE_COLUMNS,
        select(
            _M.account_id, _M.folder_id, _M.uid, bindparam("new_modseq"), _M.created_modseq, bindparam("now_us"), _M.flags,
            _M.size, _M.saved_us, _M.email_pk, bindparam("mailbox").op("||")(_M.name), null(), null(),
        ).where(_HERE, among(_M.uid)),
    )
)  # fmt: skip
"""The same for messages whose rows are still there: without a step of Python for each."""
_T = schema.tombstone.c
_SET_TOMBSTONE_NAME = SqlStatement(
    update(schema.tombstone).where(keyed_by(_T, "folder", "at")).values(name=bindparam("new_name"))
)
_E = schema.email.c
_ADD_REFS = SqlStatement(update(schema.email).where(keyed_by(_E, "email")).values(refs=_E.refs + bindparam("more")))

_DROP_UNREFERENCED = SqlStatement(delete(schema.email).where(keyed_by(_E, "email"), _E.refs <= literal_column("0")))
_O = schema.ordering.c
_DROP_ORDERING = SqlStatement(
    delete(schema.ordering).where(
        keyed_by(_O), among(_O.email_pk), ~exists().where(_E.account_id == _O.account_id, _E.email_pk == _O.email_pk)
    )
)


def read_messages(write: Write, folder_id: int, uids: Iterable[int] | None) -> list[MessageRow]:
    """Return these messages of a folder, or all, ascending by UID."""
    account = write.store.account_id
    if uids is None:
        rows = _SELECT_ALL.on(write.connection, account=account, folder=folder_id)
    else:
        rows = _SELECT_AMONG.on(write.connection, account=account, folder=folder_id, uids=uid_list(uids))
    return list(map(MessageRow._make, rows))


def expunge(
    store: Store, folder_id: int, uids: Iterable[int] | None, remember: Remember = lambda mailbox_id, names: False
) -> ExpungeResult:
    """Expunge messages with \\Deleted, only among `uids` if given."""
    with store.writing(folder_id) as write:
        if uids is None:
            rows = _SELECT_DELETED.on(write.connection, account=store.account_id, folder=folder_id)
            going = list(map(MessageRow._make, rows))
        else:
            going = [row for row in read_messages(write, folder_id, uids) if row.flags & DELETED]
        folder = write.folder(folder_id)
        result = tombstone_files(write, folder, going, remember)
    return replace(result, made=change_result(write, folder, vanished=result.uids))


def remove(store: Store, folder_id: int, uids: Iterable[int]) -> ExpungeResult:
    """Expunge messages whatever their flags."""
    with store.writing(folder_id) as write:
        return tombstone_files(write, write.folder(folder_id), read_messages(write, folder_id, uids))


def tombstone_files(
    write: Write, folder: FolderRow, going: list[MessageRow], remember: Remember | None = None
) -> ExpungeResult:
    """Expunge these messages as part of a change; `remember` only if it does nothing else to names."""
    if not going:
        return ExpungeResult([], write.account.modseq)
    must_not_be_frozen(write)
    tombstone(write, folder, going, kept=write.names.expunge(folder, going, remember))
    return ExpungeResult([row.uid for row in going], write.modseq)


def tombstone_lost(write: Write, folder: FolderRow, going: list[MessageRow]) -> None:
    """Turn messages whose files another tool removed into tombstones without content."""
    tombstone(write, folder, going, lost=True)
    drop_refs(write, (row.email_pk for row in going))


def tombstone(
    write: Write,
    folder: FolderRow,
    going: list[MessageRow],
    *,
    kept: dict[int, str] | None = None,
    moved_to: dict[int, tuple[int, int]] | None = None,
    lost: bool = False,
) -> None:
    """Turn rows into tombstones.

    `kept`: names in `.expunged/` by UID; `moved_to`: (folder, uid) by UID; `lost`: there is no content.
    """
    if not going:
        return
    write.touch(folder)
    account = write.store.account_id
    here = {"account": account, "folder": folder.folder_id}
    uids = uid_list(row.uid for row in going)
    if moved_to is None and not lost:
        _insert_tombstones(write, folder, going, uids, kept or {})
    else:
        folder_id, modseq, now_us, nowhere = folder.folder_id, write.modseq, write.store.clock.steady_us(), (None, None)
        names, places = kept or {}, moved_to or {}
        write.connection.executemany(
            _INSERT_TOMBSTONE.sql,
            [
                (
                    account, folder_id, row.uid, modseq, row.created_modseq, now_us, row.flags, row.size, row.saved_us,
                    None if lost else row.email_pk, names.get(row.uid), *places.get(row.uid, nowhere),
                )
                for row in going
            ],
        )  # fmt: skip
    _DELETE_AMONG.on(write.connection, **here, uids=uids)
    if write.account.seen_each:
        reader_seen_rows.drop_states(write.connection, account, folder.folder_id, (row.uid for row in going))
    octets: Counter[int] = Counter()
    for row in going:
        octets[row.flags] += row.size
    for flags, messages in Counter(row.flags for row in going).items():
        write.count(folder, flags, -octets[flags], -messages)


def _insert_tombstones(write: Write, folder: FolderRow, going: list[MessageRow], uids: str, kept: Mapping[int, str]) -> None:
    """Insert tombstones from the rows, which are there until afterwards, and set the names that are not as usual."""
    here = {"account": write.store.account_id, "folder": folder.folder_id}
    mailbox = expunged_name(folder.mailbox_id, "")
    now_us = write.store.clock.steady_us()
    _INSERT_TOMBSTONES.on(write.connection, **here, uids=uids, mailbox=mailbox, new_modseq=write.modseq, now_us=now_us)
    unusual = [row.uid for row in going if kept.get(row.uid) != mailbox + row.name]
    _SET_TOMBSTONE_NAME.on_each(write.connection, (here | {"at": uid, "new_name": kept.get(uid)} for uid in unusual))


def add_refs(write: Write, email_pks: Iterable[int], more: int) -> None:
    """Change the number of rows that refer to each of these contents by `more`."""
    account = write.store.account_id
    _ADD_REFS.on_each(write.connection, ({"account": account, "email": email_pk, "more": more} for email_pk in email_pks))


def drop_refs(write: Write, email_pks: Iterable[int]) -> None:
    """Count one row less for each of these contents, and delete those without references."""
    gone = list(email_pks)
    add_refs(write, gone, -1)
    account = write.store.account_id
    _DROP_UNREFERENCED.on_each(write.connection, ({"account": account, "email": email_pk} for email_pk in gone))
    _DROP_ORDERING.on(write.connection, account=account, uids=uid_list(gone))
