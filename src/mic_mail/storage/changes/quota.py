"""Quota from index rows, never inodes: exact, incremental, and verifiable by a recount."""

from sqlalchemy import case, func, literal_column, select

from mic_mail.storage.index import schema
from mic_mail.storage.index.rows import FolderRow, read_account, read_all_folders
from mic_mail.storage.index.statements import SqlStatement, keyed_by, whole_sum
from mic_mail.storage.store import Store, Write
from mic_mail.storage.types import DELETED, SEEN, Quota

_M = schema.message.c
_UNSEEN = _M.flags.op("&")(literal_column(str(SEEN))) == literal_column("0")
_DELETED = _M.flags.op("&")(literal_column(str(DELETED))) != literal_column("0")
_COUNT = SqlStatement(
    select(
        func.count(),
        whole_sum(case((_UNSEEN, literal_column("1")), else_=literal_column("0"))),
        whole_sum(case((_DELETED, literal_column("1")), else_=literal_column("0"))),
        whole_sum(_M.size),
        whole_sum(case((_DELETED, _M.size), else_=literal_column("0"))),
    ).where(keyed_by(_M, "folder"))
)


def quota(store: Store) -> Quota:
    with store.reading() as connection:
        row = read_account(connection, store.account_id)
    return Quota(row.octets, row.messages) if row else Quota(0, 0)


def recount_within(write: Write, *, fix: bool = True) -> list[str]:
    """Return the names of folders with wrong counters ("": the account's); correct them if `fix`."""
    wrong: list[str] = []
    octets = messages = 0
    for row in read_all_folders(write.connection, write.store.account_id):
        folder = write.any_folder(row.folder_id)
        counted = counts(write, folder)
        if counted != (folder.messages, folder.unseen, folder.deleted, folder.octets, folder.deleted_octets):
            wrong.append(folder.name)
            if fix:
                recount_folder(write, folder)
                write.keep(folder)
        if folder.deleted_at_us is None:
            messages += counted[0]
            octets += counted[3]
    if (write.account.messages, write.account.octets) != (messages, octets):
        wrong.append("")
        if fix:
            write.account.messages, write.account.octets = messages, octets
    return wrong


def recount_folder(write: Write, folder: FolderRow) -> None:
    """Correct the counters of a row; the caller writes it and adjusts the account's counters."""
    folder.messages, folder.unseen, folder.deleted, folder.octets, folder.deleted_octets = counts(write, folder)


def counts(write: Write, folder: FolderRow) -> tuple[int, int, int, int, int]:
    """Return messages, unseen, deleted, octets and deleted octets, counted from the rows."""
    row = _COUNT.on(write.connection, account=folder.account_id, folder=folder.folder_id).fetchone()
    messages, unseen, deleted, octets, deleted_octets = row
    return messages, unseen, deleted, octets, deleted_octets
