"""The critical section on one machine: the only way to change anything in an account.

    lock -> finish what a killed holder began -> BEGIN IMMEDIATE -> [record -> names -> rows]* -> open folders -> sidecars
         -> COMMIT -> leftovers -> clear the record -> unlock -> fsync folders -> notify the observers

Inside it, the rules take MODSEQ and UIDs, record each change of names before they make it, and change rows (`store.Write`). Any
exception before the COMMIT undoes names and rows; nobody has seen them. publish.py gives the reasons for this order.

What a change makes of files and folders is in maildir_names.py, by the record of maildir_record.py.
"""

import contextlib
import os
import sqlite3
from collections.abc import Callable, Iterator, Sequence

from mic_mail.storage.changes.maildir_names import MaildirNames
from mic_mail.storage.changes.maildir_record import finish_interrupted
from mic_mail.storage.errors import Busy
from mic_mail.storage.index.connection import translated
from mic_mail.storage.index.rows import read_account_and_folder
from mic_mail.storage.local_store import LocalStore
from mic_mail.storage.store import Write


class LocalWrite(Write):
    """The operations available inside a critical section."""

    store: LocalStore
    names: MaildirNames


@contextlib.contextmanager
def writing(
    store: LocalStore, folder_id: int = 0, *, patience: float | None = None, sync: bool = True, adds: bool = False
) -> Iterator[LocalWrite]:
    """Run one change, as `Store.writing`.

    Raises `Busy` also where `patience` is given and the store would have to be opened first. Without `sync`, folders are not
    fsynced: the journal covers the changes of names (journal.py). A change that `adds` to the account is refused, `DiskFull`,
    while the remaining space is for removals (reserve.py).
    """
    folders: list[int] = []
    try:
        with translated(f"account {store.account_id}"):
            if adds:
                store.reserve.require_whole()
            with _locked(store, patience) as fd:
                try:
                    pending = finish_interrupted(store, fd, store.index.writer())
                    with transaction(store, fd, folder_id=folder_id, pending=pending) as write:
                        yield write
                        if sync:
                            write.names.open_durable(folders)
                except BaseException as error:
                    store.index.suspect(error)
                    raise
            if sync and not write.names.are_remembered():
                for folder in folders:
                    store.shared.syncs.make_durable(folder)
    finally:
        for folder in folders:
            os.close(folder)
    if write.took_modseq:
        store.shared.on_change(store.account_id, write.account.modseq)


@contextlib.contextmanager
def _locked(store: LocalStore, patience: float | None) -> Iterator[int]:
    """Hold the account's lock with the current index open: another process may have replaced it meanwhile."""
    while True:
        if patience is None:
            store.ready()
        elif store.opened_identity is None:
            raise Busy(f"account {store.account_id} is not open")
        with store.lock.held(patience) as fd:
            if store.is_ready:
                yield fd
                return
        if patience is not None:
            raise Busy(f"account {store.account_id} has another index")


@contextlib.contextmanager
def transaction(
    store: LocalStore,
    fd: int,
    prepare: Callable[[sqlite3.Connection], None] = lambda connection: None,
    *,
    folder_id: int = 0,
    pending: Sequence[int] = (),
) -> Iterator[LocalWrite]:
    """Run the part between lock and unlock.

    `fd` is the locked file. `prepare` makes the tables where there are none.
    """
    connection = store.index.writer()
    connection.execute("BEGIN IMMEDIATE")
    names: MaildirNames | None = None
    try:
        prepare(connection)
        account, folder = read_account_and_folder(connection, store.account_id, folder_id)
        assert account is not None, "opened without an account row"
        names = MaildirNames(store, connection, fd, account, pending)
        write = LocalWrite(store, connection, account, folder, names=names, mark=store.mark_to_come)
        yield write
        write.save_rows()
        names.write_sidecars()
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")  # first: where names cannot be undone now, the next holder must find no open change
        if names is not None:
            names.undo()
        raise
    names.settle()
