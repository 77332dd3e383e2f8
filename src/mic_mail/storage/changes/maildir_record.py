"""The record of what a change makes of a Maildir: renames, sidecars, directories to fsync.

maildir_names.py says in the words of mail what is done with it. A change of names is recorded in the lock file before it is
made (intent_record.py), undone if the change fails, and fsynced after it. Sidecars that a change promises are written before
its COMMIT. The order of it all is that of transaction.py.

A sidecar that cannot be written fails the change that promises it, and no other. A sidecar that may then differ from the index
stays in the record as *pending*, and each later change tries again: a full disk must not stop what frees space.
"""

import contextlib
import os
from collections.abc import Callable, Iterable, Sequence

from mic_mail.durable_files import make_durable
from mic_mail.storage.changes.sidecar_rows import ACCOUNT, folder_sidecar, rewrite_sidecar, rewritten, write_account_sidecar
from mic_mail.storage.errors import NO_ROOM
from mic_mail.storage.index.rows import AccountRow, FolderRow, read_account, read_all_folders
from mic_mail.storage.index.statements import Connection
from mic_mail.storage.local_store import LocalStore
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

_MAX_OPENED = 16
"""Folders that one change holds open."""


def finish_interrupted(store: LocalStore, fd: int, connection: Connection) -> Sequence[int]:
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


class MaildirRecord:
    """The names and sidecars that one change makes, recorded and undone, for the holder of the account's lock."""

    def __init__(self, store: LocalStore, connection: Connection, fd: int, account: AccountRow, pending: Sequence[int]) -> None:
        self.durable: dict[str, None] = {}
        """Directories to fsync before the change may be acknowledged."""
        self.is_comparison = False
        """Set where folders are compared with files as they are.

        A sidecar that may not be written, because the folder is another user's now, then stays pending.
        """
        self._remember: Callable[[], bool] | None = None
        """Makes the changes of directories durable in another way; False: it cannot."""
        self._undoing: list[Callable[[], None]] = []
        """Callbacks that undo the rest, if the whole change is to be undone."""
        self._store = store
        self._connection = connection
        self._fd = fd
        self._account = account
        self._intent: Intent | None = None
        self._written = NOTHING
        self._pending = dict.fromkeys(pending)
        """Sidecars that may differ from the index even without this change."""
        self._promised: dict[int, None] = {}
        """Sidecars that this change writes."""
        self._written_early: dict[int, None] = {}
        """Sidecars already written for a mark, with what the change had made of them by then."""

    # Marks

    def write_modseq_mark(self) -> None:
        """Write the next MODSEQ mark, in place where a full disk has no space: no EXPUNGE must fail for its number."""
        self._account.modseq_mark = self._account.modseq + MARK_STEP
        try:
            self.write_account_sidecar()
        except OSError as error:
            if error.errno not in NO_ROOM or not write_mark_in_place(self._store.paths.maildir, self._account.modseq_mark):
                raise

    @staticmethod
    def uid_mark(uidnext: int) -> int:
        """Return the UID mark of a folder with this UIDNEXT."""
        return uidnext + MARK_STEP

    @staticmethod
    def highest_uidnext(folder: FolderRow) -> int:
        """Return the UID mark: a COMMIT that was lost with the power may have given out every UID below it."""
        return folder.uidnext_mark

    @staticmethod
    def highest_modseq(account: AccountRow) -> int:
        """Return the MODSEQ mark, likewise."""
        return account.modseq_mark

    def write_uid_mark(self, folder: FolderRow) -> None:
        """Write the next UID mark of a folder."""
        before, folder.uidnext_mark = folder.uidnext_mark, self.uid_mark(folder.uidnext)
        self._written_early[folder.folder_id] = None
        try:
            folder_sidecar(folder).write(self._store.paths.folder(folder.directory))
        except OSError:  # a comparison continues after this error
            folder.uidnext_mark = before
            raise

    def write_account_sidecar(self) -> None:
        """Write the account's sidecar now."""
        self._written_early[ACCOUNT] = None
        write_account_sidecar(self._store, self._connection, self._account)

    # Sidecars

    def rewrite_account_sidecar(self) -> None:
        self.intend(sidecars=[ACCOUNT])

    def rewrite_folder_sidecar(self, folder_id: int) -> None:
        self.intend(sidecars=[folder_id])

    def rewrite_sidecars_that_differ(self, folder_of: Callable[[int], FolderRow]) -> None:
        """Rewrite differing sidecars after a comparison, when the index knows all that the sidecars hold.

        `folder_of` returns the row on which the change works.
        """
        differing = [ACCOUNT]
        for row in read_all_folders(self._connection, self._account.account_id):
            folder = folder_of(row.folder_id)
            path = self._store.paths.folder(folder.directory)
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
        self._account.serial += first
        promised = dict.fromkeys(sidecars)
        part = Intent(
            self._account.serial,
            self._store.shared.boot_id,
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
            pending = rewritten(self._store, self._connection, self._pending | self._written_early)
            intent = self._intent or Intent(self._account.serial, self._store.shared.boot_id)
            _keep_pending_sidecars(self._fd, intent, pending, self._written)
        for undo in self._undoing:
            undo()

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

    def are_remembered(self) -> bool:
        """Make the changes of directories durable without an fsync of them, after the lock is released; False: do that."""
        return self._remember is not None and self._remember()

    def write_sidecars(self) -> None:
        """Write the promised sidecars before the COMMIT: if that fails, nothing has happened."""
        for folder_id in list(self._promised):
            self._pending[folder_id] = None
            try:
                rewrite_sidecar(self._store, self._connection, folder_id)
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
