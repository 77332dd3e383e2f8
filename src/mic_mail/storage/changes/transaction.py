"""The critical section: the only way to change anything in an account.

    lock -> finish what a killed holder began -> BEGIN IMMEDIATE -> [record -> names -> rows]* -> open folders -> sidecars
         -> COMMIT -> leftovers -> clear the record -> unlock -> fsync folders -> notify the observers

Inside it, the modules take MODSEQ and UIDs, record each change of names before they make it, and change rows. Any exception
before the COMMIT undoes names and rows; nobody has seen them. publish.py gives the reasons for this order.

A sidecar that cannot be written fails the change that promises it, and no other. A sidecar that may then differ from the index
stays in the record as *pending*, and each later change tries again: a full disk must not stop what frees space.
"""

import contextlib
import os
import sqlite3
from collections.abc import Callable, Iterable, Iterator, Sequence

from sqlalchemy import delete, insert

from mic_mail.durable_files import make_durable
from mic_mail.errors import Text
from mic_mail.storage.changes.sidecar_rows import ACCOUNT, folder_sidecar, rewrite_sidecar, rewritten, write_account_sidecar
from mic_mail.storage.errors import NO_ROOM, Busy, NoSuchFolder, TooMany
from mic_mail.storage.index import schema
from mic_mail.storage.index.connection import SqlStatement, keyed_by, translated
from mic_mail.storage.index.rows import (
    FolderRow,
    read_account,
    read_account_and_folder,
    read_all_folders,
    read_folder,
    read_folder_named,
    read_folders,
    write_account,
    write_counters,
    write_folder,
)
from mic_mail.storage.maildir.intent_record import (
    NOTHING,
    Intent,
    Written,
    clear_intent,
    move_of,
    read_intent,
    roll_back,
    roll_forward,
    write_intent,
)
from mic_mail.storage.maildir.sidecars import MARK_STEP, FolderSidecar, write_mark_in_place
from mic_mail.storage.store import Store
from mic_mail.storage.types import KEYWORD_SHIFT, MAX_KEYWORDS

_S = schema.subscription.c
_SUBSCRIBE = SqlStatement(insert(schema.subscription).prefix_with("OR IGNORE"), ("account_id", "name"))
_UNSUBSCRIBE = SqlStatement(delete(schema.subscription).where(keyed_by(_S, "name")))

_MAX_OPENED = 16
"""Folders that one change holds open."""


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
                            write.open_durable(folders)
                except BaseException as error:
                    store.index.suspect(error)
                    raise
            if sync and not (write.remember is not None and write.remember()):
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
        write.write_sidecars()
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")  # first: where names cannot be undone now, the next holder must find no open change
        if write is not None:
            write.undo()
            for undo in write.undoing:
                undo()
        raise
    write.settle()


def finish_interrupted(store: Store, fd: int, connection: sqlite3.Connection) -> Sequence[int]:
    """Complete or undo a change that a killed holder left half done; return sidecars still pending."""
    intent = read_intent(fd)
    if intent is None:
        return ()
    pending: list[int] = []
    if intent.boot_id == store.shared.boot_id:
        account = read_account(connection, store.account_id)
        if account is not None and account.serial >= intent.serial:
            roll_forward(intent)
        else:
            roll_back(intent)
        pending = rewritten(store, connection, dict.fromkeys(intent.sidecars))
    _keep_pending_sidecars(fd, intent, pending)
    return pending


def _keep_pending_sidecars(fd: int, intent: Intent, pending: Sequence[int], written: Written = NOTHING) -> None:
    if pending:
        write_intent(fd, Intent(intent.serial, intent.boot_id, sidecars=list(pending)))
    else:
        clear_intent(fd, written)


class Write:
    """The operations available inside the critical section."""

    def __init__(
        self, store: Store, connection: sqlite3.Connection, fd: int, folder_id: int = 0, pending: Sequence[int] = ()
    ) -> None:
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
        self.durable: dict[str, None] = {}
        """Directories to fsync before the change may be acknowledged."""
        self.remember: Callable[[], bool] | None = None
        """Makes the changes of directories durable in another way; False: it cannot."""
        self.undoing: list[Callable[[], None]] = []
        """Callbacks that undo the rest, if the whole change is to be undone."""
        self.is_comparison = False
        """Set where folders are compared with files as they are.

        A sidecar that may not be written, because the folder is another user's now, then stays pending.
        """
        self._fd = fd
        self._folders: dict[int, FolderRow] = {}
        self._keys: dict[int, tuple[str, int | None, str | None]] = {}
        """`FolderRow.key` of each folder as it was read."""
        self._modseqs: dict[int, int] = {}
        """`highest_modseq` of each folder as it was read."""
        self._dirty_folders: dict[int, FolderRow] = {}
        self._intent: Intent | None = None
        self._written = NOTHING
        self._pending = dict.fromkeys(pending)
        """Sidecars that may differ from the index even without this change."""
        self._promised: dict[int, None] = {}
        """Sidecars that this change writes."""
        self._written_early: dict[int, None] = {}
        """Sidecars already written for a mark, with what the change had made of them by then."""
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
                self._write_next_mark()
        return self.account.modseq

    def _write_next_mark(self) -> None:
        """Write the next MODSEQ mark, in place where a full disk has no space: no EXPUNGE must fail for its number."""
        self.account.modseq_mark = self.account.modseq + MARK_STEP
        self._written_early[ACCOUNT] = None
        try:
            write_account_sidecar(self.store, self.connection, self.account)
        except OSError as error:
            if error.errno not in NO_ROOM or not write_mark_in_place(self.store.paths.maildir, self.account.modseq_mark):
                raise

    def announce(self) -> None:
        """Take this change's MODSEQ where no row carries it, so that observers are notified."""
        self.took_modseq = self.modseq > 0

    def take_uid(self, folder: FolderRow) -> int:
        """Take the folder's next UID; the caller also calls `touch` for the folder."""
        uid = folder.uidnext
        if uid >= folder.uidnext_mark:
            before, folder.uidnext_mark = folder.uidnext_mark, uid + MARK_STEP
            self._written_early[folder.folder_id] = None
            try:
                folder_sidecar(folder).write(self.store.paths.folder(folder.directory))
            except OSError:  # a comparison continues after this error
                folder.uidnext_mark = before
                raise
        folder.uidnext = uid + 1
        return uid

    def take_email_pk(self) -> int:
        self.account.email_next += 1
        return self.account.email_next - 1

    def take_uidvalidity(self) -> int:
        """Take a value never used before in this account, at least the time in seconds (RFC 9051 §2.3.1.1)."""
        value = max(self.account.uidvalidity_next, self.store.clock.steady_us() // 1_000_000)
        self.account.uidvalidity_next = value + 1
        self._written_early[ACCOUNT] = None
        write_account_sidecar(self.store, self.connection, self.account)
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
            self.intend(sidecars=[folder.folder_id])
            self.keep(folder)
        return bits

    def subscribe(self, name: str, subscribed: bool) -> None:
        if subscribed:
            _SUBSCRIBE.on(self.connection, account_id=self.store.account_id, name=name)
        else:
            _UNSUBSCRIBE.on(self.connection, account=self.store.account_id, name=name)
        self.rewrite_account_sidecar()

    def count_folders(self) -> int:
        return len(read_folders(self.connection, self.store.account_id))

    def rewrite_account_sidecar(self) -> None:
        self.intend(sidecars=[ACCOUNT])

    def rewrite_sidecars_that_differ(self) -> None:
        """Rewrite differing sidecars after a comparison, when the index knows all that the sidecars hold."""
        differing = [ACCOUNT]
        for row in read_all_folders(self.connection, self.store.account_id):
            folder = self.any_folder(row.folder_id)
            path = self.store.paths.folder(folder.directory)
            if os.path.isdir(path) and FolderSidecar.read(path) != folder_sidecar(folder):
                differing.append(folder.folder_id)
        self.intend(sidecars=differing)

    # Names

    def intend(
        self,
        *,
        renames: Iterable[tuple[str, str]] = (),
        moves: Iterable[tuple[str, str, str, str]] = (),
        links: Iterable[str] = (),
        leftovers: Iterable[str] = (),
        sidecars: Iterable[int] = (),
    ) -> None:
        """Record changes of names before they are made."""
        first = self._intent is None
        self.account.serial += first
        promised = dict.fromkeys(sidecars)
        part = Intent(
            self.account.serial,
            self.store.shared.boot_id,
            list(renames),
            list(moves),
            list(links),
            list(leftovers),
            [*self._pending, *promised] if first else list(promised),
        )
        try:
            self._written = write_intent(self._fd, part, self._written)
        except OSError:
            if first and self._pending:  # the record that held the pending sidecars was overwritten
                _keep_pending_sidecars(self._fd, part, list(self._pending))
            raise
        self._promised |= promised
        if self._intent is None:
            self._intent = part
        else:
            self._intent.add(part)

    def rename(self, pairs: Sequence[tuple[str, str]], *, durable: bool = True) -> None:
        """Record and do renames of files or directories whose sources exist."""
        if not pairs:
            return
        self.intend(renames=pairs)
        if not durable:
            for old, new in pairs:
                os.rename(old, new)
            return
        for old, new in pairs:
            os.rename(old, new)
        self.durable |= dict.fromkeys([new.rpartition("/")[0] for _, new in pairs])
        self.durable |= dict.fromkeys([old.rpartition("/")[0] for old, _ in pairs])

    def move_those_there(self, source: str, target: str, names: Sequence[tuple[str, str]]) -> list[str]:
        """Record and do renames of (old, new) names from one directory to another; return the old names without a file.

        Whether a file is there is learnt from its rename: a look before it would cost as much as a sixth of that.
        """
        self.intend(moves=[move_of(source, target, names)])
        absent: list[str] = []
        for old, new in names:
            try:
                os.rename(f"{source}/{old}", f"{target}/{new}")
            except FileNotFoundError:
                absent.append(old)
        self.durable |= dict.fromkeys((target, source))
        return absent

    def rename_those_there(self, pairs: Sequence[tuple[str, str]]) -> set[str]:
        """Rename files that another tool may rename or remove meanwhile; return the targets that exist now."""
        self.intend(renames=pairs)
        came: set[str] = set()
        for old, new in pairs:
            with contextlib.suppress(FileNotFoundError):
                os.rename(old, new)
                came.add(new)
        self.durable |= dict.fromkeys(os.path.dirname(path) for pair in pairs for path in reversed(pair))
        return came

    # End

    def undo(self) -> None:
        """Restore names and sidecars; sidecars that cannot be written now are left to the next holder."""
        if self._intent is not None:
            roll_back(self._intent)
        if self._intent is not None or self._written_early:
            pending = rewritten(self.store, self.connection, self._pending | self._written_early)
            intent = self._intent or Intent(self.account.serial, self.store.shared.boot_id)
            _keep_pending_sidecars(self._fd, intent, pending, self._written)

    def open_durable(self, opened: list[int]) -> None:
        """Open the directories to be fsynced after the COMMIT, while their names still lead there.

        Once the lock is released other writers rename folders; a committed change must not fail by that, since it would be
        repeated. Where there are many directories (a comparison of a whole account), the first are fsynced now and only the
        last `_MAX_OPENED` are held open.
        """
        now = len(self.durable) - _MAX_OPENED
        for place, path in enumerate(self.durable):
            if place < now:
                make_durable(path)
            else:
                opened.append(os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC))

    def save_rows(self) -> None:
        for folder_id, folder in self._dirty_folders.items():
            write = write_counters if self._keys.get(folder_id) == folder.key else write_folder
            write(self.connection, folder)
        if self.account.values != self._account_before:
            write_account(self.connection, self.account)

    def write_sidecars(self) -> None:
        """Write the promised sidecars before the COMMIT: if that fails, nothing has happened."""
        for folder_id in list(self._promised):
            self._pending[folder_id] = None
            try:
                rewrite_sidecar(self.store, self.connection, folder_id)
            except PermissionError:
                if not self.is_comparison or folder_id == ACCOUNT:
                    raise
                del self._promised[folder_id]

    def settle(self) -> None:
        """Remove leftovers and clear the record, after the COMMIT and still under the lock."""
        if self._intent is not None:
            roll_forward(self._intent)
            pending = [folder_id for folder_id in self._pending if folder_id not in self._promised]
            _keep_pending_sidecars(self._fd, self._intent, pending, self._written)
