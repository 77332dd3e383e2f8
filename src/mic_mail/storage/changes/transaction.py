"""The critical section: the only way to change anything in an account.

    lock -> finish what a killed holder began -> BEGIN IMMEDIATE -> [record -> names -> rows]* -> open folders -> sidecars
         -> COMMIT -> leftovers -> clear the record -> unlock -> fsync folders -> notify the observers

Inside it, the modules take MODSEQ and UIDs, record each change of names before they make it, and change rows. Any exception
before the COMMIT undoes names and rows; nobody has seen them. publish.py gives the reasons for this order.

What a change makes of files and folders is in maildir_names.py, by the record of maildir_record.py.
"""

import contextlib
import os
import sqlite3
from collections.abc import Callable, Iterator, Sequence

from sqlalchemy import delete

from mic_mail.errors import Text
from mic_mail.storage.changes.maildir_names import MaildirNames
from mic_mail.storage.changes.maildir_record import finish_interrupted
from mic_mail.storage.errors import Busy, NoSuchFolder, TooMany
from mic_mail.storage.index import schema
from mic_mail.storage.index.connection import translated
from mic_mail.storage.index.rows import (
    FolderRow,
    read_account_and_folder,
    read_folder,
    read_folder_named,
    read_folders,
    write_account,
    write_counters,
    write_folder,
)
from mic_mail.storage.index.statements import Connection, SqlStatement, insert, keyed_by
from mic_mail.storage.store import Store
from mic_mail.storage.types import KEYWORD_SHIFT, MAX_KEYWORDS

_S = schema.subscription.c
_SUBSCRIBE = SqlStatement(insert(schema.subscription).on_conflict_do_nothing(), ("account_id", "name"))
_UNSUBSCRIBE = SqlStatement(delete(schema.subscription).where(keyed_by(_S, "name")))


@contextlib.contextmanager
def writing(
    store: Store, folder_id: int = 0, *, patience: float | None = None, sync: bool = True, adds: bool = False
) -> Iterator["Write"]:
    """One change of one account: all or nothing; on leaving the block it is durable and observers know.

    `folder_id`: the folder that it mainly concerns, read together with the account. Raises `Busy` where another writer holds
    the account for longer than `patience` seconds, or where `patience` is given and the store would have to be opened first.
    Without `sync`, folders are not fsynced: the journal covers the changes of names (journal.py). A change that `adds` to the
    account is refused, `DiskFull`, while the remaining space is for removals (reserve.py).
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
def _locked(store: Store, patience: float | None) -> Iterator[int]:
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
    store: Store,
    fd: int,
    prepare: Callable[[sqlite3.Connection], None] = lambda connection: None,
    *,
    folder_id: int = 0,
    pending: Sequence[int] = (),
) -> Iterator["Write"]:
    """Run the part between lock and unlock.

    `fd` is the locked file. `prepare` makes the tables where there are none.
    """
    connection = store.index.writer()
    connection.execute("BEGIN IMMEDIATE")
    write: Write | None = None
    try:
        prepare(connection)
        write = Write(store, connection, fd, folder_id, pending)
        yield write
        write.save_rows()
        write.names.write_sidecars()
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")  # first: where names cannot be undone now, the next holder must find no open change
        if write is not None:
            write.names.undo()
        raise
    write.names.settle()


class Write:
    """The operations available inside the critical section."""

    def __init__(self, store: Store, connection: Connection, fd: int, folder_id: int = 0, pending: Sequence[int] = ()) -> None:
        account, folder = read_account_and_folder(connection, store.account_id, folder_id)
        assert account is not None, "opened without an account row"
        self.store = store
        self.connection = connection
        self.account = account
        self._account_before = account.values
        self.mark = store.mark_to_come
        """The account's change mark after this change: while it stands, nothing has changed since."""
        self.took_modseq = False
        self.came: list[tuple[int, int, int, int]] = []
        """(uid, flags, modseq, size) of the messages that this change put into folders."""
        self.names = MaildirNames(store, connection, fd, account, pending)
        self._folders: dict[int, FolderRow] = {}
        self._keys: dict[int, tuple[str, int | None, str | None]] = {}
        """`FolderRow.key` of each folder as it was read."""
        self._modseqs: dict[int, int] = {}
        """`highest_modseq` of each folder as it was read."""
        self._dirty_folders: dict[int, FolderRow] = {}
        if folder is not None:
            self._known(folder)

    # Numbers

    @property
    def modseq(self) -> int:
        """The one MODSEQ of this change."""
        if not self.took_modseq:
            self.took_modseq = True
            self.account.modseq += 1
            if self.account.modseq > self.account.modseq_mark:
                self.names.write_modseq_mark()
        return self.account.modseq

    def announce(self) -> None:
        """Take this change's MODSEQ where no row carries it, so that observers are notified."""
        self.took_modseq = self.modseq > 0

    def take_uid(self, folder: FolderRow) -> int:
        """Take the folder's next UID; the caller also calls `touch` for the folder."""
        uid = folder.uidnext
        if uid >= folder.uidnext_mark:
            self.names.write_uid_mark(folder)
        folder.uidnext = uid + 1
        return uid

    def take_email_pk(self) -> int:
        self.account.email_next += 1
        return self.account.email_next - 1

    def take_uidvalidity(self) -> int:
        """Take a value never used before in this account, at least the time in seconds (RFC 9051 §2.3.1.1)."""
        value = max(self.account.uidvalidity_next, self.store.clock.steady_us() // 1_000_000)
        self.account.uidvalidity_next = value + 1
        self.names.write_account_sidecar()
        return value

    def count(self, folder: FolderRow, flags: int, octets: int, messages: int = 1) -> None:
        """Add messages with these flags to the folder's and the account's counters, or subtract them (both negative)."""
        folder.count(flags, octets, messages)
        if folder.deleted_at_us is not None:
            return
        self.account.messages += messages
        self.account.octets += octets

    # Folders

    def folder(self, folder_id: int) -> FolderRow:
        """Return a folder that is not deleted."""
        folder = self.any_folder(folder_id)
        if folder.deleted_at_us is not None:
            raise NoSuchFolder(folder.name)
        return folder

    def any_folder(self, folder_id: int) -> FolderRow:
        """Return a folder, deleted or not."""
        folder = self._folders.get(folder_id) or read_folder(self.connection, self.store.account_id, folder_id)
        if folder is None:
            raise NoSuchFolder(f"#{folder_id}")
        return self._known(folder)

    def folder_named(self, name: str) -> FolderRow | None:
        folder = read_folder_named(self.connection, self.store.account_id, name)
        return folder and self._known(folder)

    def folder_called(self, name: str, likely_id: int) -> FolderRow:
        """Return the folder with this name; nothing is asked where it is `likely_id`, read together with the account."""
        folder = self._folders.get(likely_id)
        if folder is None or folder.name != name or folder.deleted_at_us is not None:
            folder = self.folder_named(name)
        if folder is None:
            raise NoSuchFolder(name)
        return folder

    def _known(self, folder: FolderRow) -> FolderRow:
        """Return the row that this change works on; `folder` if it is the first."""
        if (known := self._folders.get(folder.folder_id)) is not None:
            return known
        self._keys[folder.folder_id], self._modseqs[folder.folder_id] = folder.key, folder.highest_modseq
        self._folders[folder.folder_id] = folder
        return folder

    def modseq_before(self, folder: FolderRow) -> int:
        """Return the folder's HIGHESTMODSEQ before this change."""
        return self._modseqs.get(folder.folder_id, 0)

    def add_folder(self, folder: FolderRow) -> None:
        self._folders[folder.folder_id] = folder
        write_folder(self.connection, folder, new=True)

    def touch(self, folder: FolderRow) -> None:
        """Give the folder this change's MODSEQ, since its messages change."""
        folder.highest_modseq = self.modseq
        self.keep(folder)

    def keep(self, folder: FolderRow) -> None:
        """Write the row back at the end."""
        self._dirty_folders[folder.folder_id] = folder

    def save(self, folder: FolderRow) -> None:
        """Write the row now, because its name is looked up later in the same change."""
        write_folder(self.connection, folder)

    def keyword_bits(self, folder: FolderRow, names: Sequence[str], *, add: bool = True) -> int:
        """Return the bits of keywords; unknown ones are added to the folder's table, or left out."""
        if not names:
            return 0
        known = list(folder.keyword_names())
        places = {name.lower(): place for place, name in enumerate(known)}  # RFC 9051 §2.3.2: flags are case-insensitive
        bits = 0
        for name in names:
            place = places.get(name.lower())
            if place is None:
                if not add:
                    continue
                if len(known) >= MAX_KEYWORDS:
                    raise TooMany(Text("Thư mục đã có quá nhiều nhãn.", "The folder has too many keywords."))
                place = places[name.lower()] = len(known)
                known.append(name)
            bits |= 1 << (KEYWORD_SHIFT + place)
        if len(known) > len(folder.keyword_names()):
            folder.set_keywords(known)
            self.names.rewrite_folder_sidecar(folder.folder_id)
            self.keep(folder)
        return bits

    def subscribe(self, name: str, subscribed: bool) -> None:
        if subscribed:
            _SUBSCRIBE.on(self.connection, account_id=self.store.account_id, name=name)
        else:
            _UNSUBSCRIBE.on(self.connection, account=self.store.account_id, name=name)
        self.names.rewrite_account_sidecar()

    def count_folders(self) -> int:
        return len(read_folders(self.connection, self.store.account_id))

    # End

    def save_rows(self) -> None:
        for folder_id, folder in self._dirty_folders.items():
            write = write_counters if self._keys.get(folder_id) == folder.key else write_folder
            write(self.connection, folder)
        if self.account.values != self._account_before:
            write_account(self.connection, self.account)
