"""Sidecars built from the rows of the index, and their writing.

In: rows, a connection. Out: `FolderSidecar`, `AccountSidecar`, and their files. transaction.py decides when they are written.
"""

import contextlib
import sqlite3
from collections.abc import Iterable

from mic_mail.storage.index import reader_seen_rows
from mic_mail.storage.index.metadata_format import to_sidecar
from mic_mail.storage.index.rows import AccountRow, FolderRow, read_account, read_folder, subscribed_names
from mic_mail.storage.index.statements import Connection
from mic_mail.storage.local_store import LocalStore
from mic_mail.storage.maildir.sidecars import AccountSidecar, FolderSidecar

ACCOUNT = 0
"""The account's own sidecar in `Intent.sidecars`, beside those of folders."""


def rewritten(store: LocalStore, connection: Connection, folder_ids: Iterable[int]) -> list[int]:
    """Rewrite sidecars from an index of this epoch; return those that could not be written."""
    try:
        account = read_account(connection, store.account_id)
    except sqlite3.Error:
        return list(folder_ids)
    if account is None or account.boot_id != store.shared.boot_id:
        return []
    pending: list[int] = []
    for folder_id in folder_ids:
        try:
            rewrite_sidecar(store, connection, folder_id)
        except (OSError, sqlite3.Error):
            pending.append(folder_id)
    return pending


def rewrite_sidecar(store: LocalStore, connection: Connection, folder_id: int) -> None:
    """Rewrite one sidecar; OSError as the file system raised it."""
    if folder_id == ACCOUNT:
        if (account := read_account(connection, store.account_id)) is not None:
            write_account_sidecar(store, connection, account)
    elif (folder := read_folder(connection, store.account_id, folder_id)) is not None:
        with contextlib.suppress(FileNotFoundError):  # another tool removed the folder; the next access notices
            folder_sidecar(folder).write(store.paths.folder(folder.directory))


def folder_sidecar(folder: FolderRow) -> FolderSidecar:
    return FolderSidecar(
        name=folder.name,
        mailbox_id=folder.mailbox_id,
        uidvalidity=folder.uidvalidity,
        uidnext_mark=folder.uidnext_mark,
        keywords=folder.keyword_names(),
        special_use=folder.special_use,
        metadata=to_sidecar(folder.metadata),
        folder_id=folder.folder_id,
    )


def account_sidecar(connection: Connection, row: AccountRow) -> AccountSidecar:
    return AccountSidecar(
        account_id=row.account_id,
        modseq_mark=row.modseq_mark,
        uidvalidity_next=row.uidvalidity_next,
        subscriptions=subscribed_names(connection, row.account_id),
        metadata=to_sidecar(row.metadata),
        readers=readers_of(connection, row),
    )


def readers_of(connection: Connection, row: AccountRow) -> tuple[str, ...] | None:
    """Return the addresses of readers with their own \\Seen; None: it is one for all."""
    return (
        tuple(reader.person for reader in reader_seen_rows.all_readers(connection, row.account_id)) if row.seen_each else None
    )


def write_account_sidecar(store: LocalStore, connection: Connection, row: AccountRow) -> None:
    account_sidecar(connection, row).write(store.paths.maildir)
