"""Index against files: make one from the other."""

import sqlite3

from mic_mail.storage import schema
from mic_mail.storage.folders import make_folder
from mic_mail.storage.rows import AccountRow, write_account
from mic_mail.storage.section import Write, transaction
from mic_mail.storage.sidecars import AccountSidecar
from mic_mail.storage.store import Store
from mic_mail.storage.types import INBOX


def rebuild(store: Store, fd: int) -> None:
    """An index from the Maildir alone, in one transaction."""
    sidecar = AccountSidecar.read(store.place.maildir)

    def make_tables(connection: sqlite3.Connection) -> None:
        schema.create(connection)
        write_account(connection, _first_row(store, sidecar), new=True)

    with transaction(store, fd, make_tables) as write:
        make_folder(write, INBOX)
        _make_defaults(write)


def _first_row(store: Store, sidecar: AccountSidecar | None) -> AccountRow:
    """Counters above everything that the old index can have given out."""
    mark = sidecar.modseq_mark if sidecar else 0
    return AccountRow(
        account_id=store.account_id,
        serial=0,
        modseq=mark,
        modseq_mark=mark,
        uidvalidity_next=sidecar.uidvalidity_next if sidecar else 1,
        folder_next=1,
        email_next=1,
        octets=0,
        messages=0,
        boot_id=store.shared.boot_id,
    )


def _make_defaults(write: Write) -> None:
    write.subscribe(INBOX, True)
    for name, special_use in write.store.settings.default_folders.items():
        make_folder(write, name, special_use=special_use)
        write.subscribe(name, True)


def start_epoch(store: Store, fd: int) -> None:
    raise NotImplementedError
