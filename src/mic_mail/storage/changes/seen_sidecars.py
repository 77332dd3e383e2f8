"""The sidecars of \\Seen of each reader (seen.py): written out in the background, and read back after a rebuild.

One for each folder and reader, written under the account's lock, unsynced; `seen_unwritten` remembers across a kill which of
them lag behind. The readers are listed in `.mic-account`, durable before they get an answer.
"""

import contextlib
from collections.abc import Collection, Iterable

from mic_mail.storage.changes.transaction import LocalWrite, writing
from mic_mail.storage.index import reader_seen_rows
from mic_mail.storage.index.connection import translated
from mic_mail.storage.index.reader_seen_rows import SeenReader
from mic_mail.storage.index.rows import FolderRow, read_all_folders, read_folder
from mic_mail.storage.index.statements import Connection
from mic_mail.storage.local_store import LocalStore
from mic_mail.storage.maildir.sidecars import SeenSidecar

SIDECARS_AT_ONCE = 4
"""Sidecars in one critical section: one of 10,000 messages takes 4 ms."""


def write_out(store: LocalStore) -> None:
    """Write the sidecars that lag behind."""
    while True:
        with translated("reading the index"), store.index.reading() as connection:
            due = reader_seen_rows.pending_sidecars(connection, store.account_id, 1)
        if not due:
            return
        with writing(store) as write:
            known = {reader.reader_id: reader for reader in reader_seen_rows.all_readers(write.connection, store.account_id)}
            for folder_id, reader_id in reader_seen_rows.pending_sidecars(write.connection, store.account_id, SIDECARS_AT_ONCE):
                folder = read_folder(write.connection, store.account_id, folder_id)
                if folder is not None and reader_id in known:
                    path = store.paths.folder(folder.directory)
                    with contextlib.suppress(FileNotFoundError, NotADirectoryError):  # noticed at the next access
                        sidecar(write.connection, folder, known[reader_id]).write(path)
                reader_seen_rows.paid(write.connection, store.account_id, folder_id, reader_id)


def sidecar(connection: Connection, folder: FolderRow, reader: SeenReader) -> SeenSidecar:
    """Return one reader's sidecar of a folder. Ranges span UIDs that no longer exist: that makes fewer."""
    return SeenSidecar(
        reader.person, folder.mailbox_id, _ranges(reader_seen_rows.seen_uids(connection, reader, folder.folder_id))
    )


def _ranges(uids: Iterable[int]) -> list[tuple[int, int]]:
    found: list[tuple[int, int]] = []
    for uid in uids:
        if found and found[-1][1] == uid - 1:
            found[-1] = (found[-1][0], uid)
        else:
            found.append((uid, uid))
    return found


def adopt_readers(write: LocalWrite, persons: Collection[str] | None) -> None:
    """Make the readers those of `.mic-account`, before a MODSEQ is taken, which may rewrite that file."""
    account_id = write.store.account_id
    known = {reader.person: reader for reader in reader_seen_rows.all_readers(write.connection, account_id)}
    for person in known.keys() - set(persons or ()):
        reader_seen_rows.drop_reader(write.connection, known[person])
    write.account.seen_each = int(persons is not None)
    for person in sorted(set(persons or ()) - known.keys()):
        reader_seen_rows.add_reader(write.connection, account_id, person, 0)


def adopt_seen_sidecars(write: LocalWrite) -> None:
    """Restore what readers had seen, after a rebuild; without a sidecar the common state is used."""
    account_id = write.store.account_id
    for reader in reader_seen_rows.all_readers(write.connection, account_id):
        for folder in read_all_folders(write.connection, account_id):
            found = SeenSidecar.read(write.store.paths.folder(folder.directory), reader.person)
            if found is not None and found.mailbox_id == folder.mailbox_id:
                reader_seen_rows.take_ranges(write.connection, reader, folder.folder_id, found.seen)
            else:
                reader_seen_rows.owe(write.connection, account_id, folder.folder_id, [reader])
    if write.account.seen_each:
        write.store.names_due = True
