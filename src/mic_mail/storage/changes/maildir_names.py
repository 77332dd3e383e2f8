"""A change's effect on a Maildir, in the words of mail: the rules call these operations and know no file.

    messages    place, sync, present, copy, move, stage_copy, expunge, restorable, restore
    folders     make_folder, is_taken, rename_folders, delete_folder, is_restorable, restore_folder
    readers     forget_reader, forget_readers
    sidecars    rewrite_account_sidecar, rewrite_folder_sidecar
    marks       uid_mark, highest_uidnext, highest_modseq, write_uid_mark, write_modseq_mark

In: rows of the index, as they are before the operation, and new names from it. Each operation records what it is about to do
(maildir_record.py), does it, and notes what is to be fsynced. Expunged messages and deleted folders lie in `.expunged/`. The
columns `name` and `directory` are true when the change commits; `directory` is set here alone.

A file may have another name than its row, since another tool has changed its flags. `present` and `restorable` find the names
that files have now, and the operations after them use those.
"""

import glob
import os
import secrets
from collections.abc import Callable, Collection, Iterable, Sequence
from functools import partial
from typing import cast

from mic_mail.storage.changes.maildir_record import MaildirRecord
from mic_mail.storage.changes.sidecar_rows import folder_sidecar
from mic_mail.storage.changes.staging import StagedFile, link_or_copy, stage_link
from mic_mail.storage.delivery import Arrival
from mic_mail.storage.durable_by_journal import FileNames, Hold, Remember, unheld
from mic_mail.storage.index.rows import FolderRow, MessageRow
from mic_mail.storage.journal.frames import MessageLocation
from mic_mail.storage.local_store import LocalStore
from mic_mail.storage.maildir.folder_names import EXPUNGED, OWN_PREFIX, encode_directory
from mic_mail.storage.maildir.maildir import locate, make_folder_tree
from mic_mail.storage.maildir.sidecars import SEEN_SIDECAR, seen_path
from mic_mail.storage.message_names import MAX_NAME_OCTETS, expunged_name, format_name, parse_name
from mic_mail.storage.store import Store


class MaildirNames(MaildirRecord):
    """The operations of one change on files and folders, for the holder of the account's lock."""

    _present: dict[str, str]
    """Present names of files, by the names in their rows, as `present` found them.

    No change moves messages of two folders.
    """
    _restorable: dict[str, str]
    """The same in `.expunged/`, as `restorable` found them."""

    # Messages

    def place(
        self,
        folder: FolderRow,
        arrivals: Sequence[Arrival],
        now_us: int,
        hold: Hold,
        meanwhile: Callable[[], None],
    ) -> list[str]:
        """Give the staged files of deliveries their names in a folder; return the paths by which they can be opened.

        Their content is durable before it gets its name: by `hold`, if that takes those that are not yet. `meanwhile` is
        called once, while the journal may be writing.
        """
        cur = self._store.paths.cur(folder.directory)
        renames = [(cast("StagedFile", each.delivery.staged).path, f"{cur}/{each.name}") for each in arrivals]
        unfinished = [
            (_location(folder, each, now_us), octets) for each in arrivals if (octets := each.delivery.octets) is not None
        ]
        with (hold if unfinished else unheld)(unfinished, meanwhile) as held:
            if held is not None:
                self._undoing.append(held)
            else:
                for each in arrivals:
                    if each.delivery.octets is not None:
                        each.delivery.staged.finish()
            if held is None or len(unfinished) < len(arrivals):
                self.durable[cur] = None
            self.intend(renames=renames)
            for each, (old, new) in zip(arrivals, renames, strict=True):
                received_us = each.delivery.received_at_us
                if received_us is not None:  # the file's time gives INTERNALDATE if the index is lost
                    os.utime(old, ns=(received_us * 1000, received_us * 1000))
                os.rename(old, new)
        return [new for _, new in renames]

    def sync(self, folder: FolderRow) -> None:
        """Make durable what an earlier change placed in a folder: its process may have been killed before that."""
        self.durable[self._store.paths.cur(folder.directory)] = None

    def present(self, folder: FolderRow, rows: Sequence[MessageRow]) -> list[MessageRow]:
        """Return those of these messages of a folder whose files are there."""
        self._present = present = locate(self._store.paths.cur(folder.directory), (row.name for row in rows))
        return [row for row in rows if row.name in present]

    def copy(self, source: FolderRow, target: FolderRow, names: Sequence[tuple[str, str]]) -> None:
        """Copy present messages under new names: (the row's name, the copy's name)."""
        old_cur, new_cur = self._store.paths.cur(source.directory), self._store.paths.cur(target.directory)
        present = self._present
        self.intend(links=[f"{new_cur}/{new}" for _, new in names])
        for old, new in names:
            link_or_copy(f"{old_cur}/{present[old]}", f"{new_cur}/{new}")
        # Fsync the source directory first. While only the journal holds its name (journal.py), a surviving copy would be taken
        # for it.
        self.durable |= dict.fromkeys((old_cur, new_cur))

    def move(self, source: FolderRow, target: FolderRow, names: Sequence[tuple[str, str]]) -> None:
        """Move present messages to new names: (the row's name, the name in the target)."""
        old_cur, new_cur = self._store.paths.cur(source.directory), self._store.paths.cur(target.directory)
        present = self._present
        self.rename([(f"{old_cur}/{present[old]}", f"{new_cur}/{new}") for old, new in names])

    def stage_copy(self, folder: FolderRow, row: MessageRow, target: Store) -> StagedFile:
        """Stage a present message in another account; `finish` has to follow."""
        assert isinstance(target, LocalStore)
        path = f"{self._store.paths.cur(folder.directory)}/{self._present[row.name]}"
        return stage_link(target, path, durable=False)

    def expunge(self, folder: FolderRow, going: Sequence[MessageRow], remember: Remember | None = None) -> dict[int, str]:
        """Move messages to `.expunged/`; return their names there by UID, without those that have no file.

        `remember` makes it durable, only if the change does nothing else to names.
        """
        moved = self._move_to_expunged(folder, going)
        if remember is not None:
            self._remember = partial(remember, folder.mailbox_id, [*moved.values()])
        return {uid: expunged_as for uid, (_, expunged_as) in moved.items()}

    def _move_to_expunged(self, folder: FolderRow, going: Sequence[MessageRow]) -> dict[int, FileNames]:
        cur, expunged = self._store.paths.cur(folder.directory), self._store.paths.expunged
        moved = {row.uid: (row.name, _expunged_name(folder, row, row.name)) for row in going}
        absent = self.move_those_there(cur, expunged, [*moved.values()])
        if not absent:
            return moved
        present = locate(cur, absent)
        for row in going:
            if row.name in present:
                moved[row.uid] = present[row.name], _expunged_name(folder, row, present[row.name])
        again = [moved[row.uid] for row in going if row.name in present]
        self.rename([(f"{cur}/{name}", f"{expunged}/{expunged_as}") for name, expunged_as in again])
        lost = set(absent).difference(present)
        return {row.uid: moved[row.uid] for row in going if row.name not in lost}

    def forget(self, names: Iterable[str]) -> None:
        """Remove files from `.expunged/` after the COMMIT."""
        self.intend(leftovers=[f"{self._store.paths.expunged}/{name}" for name in names])

    def restorable(self, names: Iterable[str]) -> Collection[str]:
        """Return those of these names of expunged messages whose files are there."""
        self._restorable = locate(self._store.paths.expunged, names)
        return self._restorable.keys()

    def restore(self, messages: Sequence[tuple[str, FolderRow, str]]) -> None:
        """Restore expunged messages: (name in `.expunged/`, folder, new name in it)."""
        expunged, restorable = self._store.paths.expunged, self._restorable
        self.rename(
            [
                (f"{expunged}/{restorable[name]}", f"{self._store.paths.cur(folder.directory)}/{new_name}")
                for name, folder, new_name in messages
            ]
        )

    # Folders

    def make_folder(self, folder: FolderRow) -> None:
        """Make the directory of a new row; one that is there under its name is used as it is."""
        folder.directory = encode_directory(folder.name)
        final = self._store.paths.folder(folder.directory)
        if os.path.isdir(final):
            make_folder_tree(final)
            folder_sidecar(folder).write(final)
            return
        staging = f"{self._store.paths.maildir}/{OWN_PREFIX}new-{secrets.token_hex(8)}"
        make_folder_tree(staging)
        with open(f"{staging}/maildirfolder", "wb"):
            pass  # Maildir++: marks a folder, not an account
        folder_sidecar(folder).write(staging)
        self.rename([(staging, final)])

    def is_taken(self, name: str) -> bool:
        """Return whether a folder cannot get this name, whatever the index says."""
        return os.path.lexists(self._store.paths.folder(encode_directory(name)))

    def rename_folders(self, folders: Sequence[FolderRow]) -> None:
        """Make the directories follow the rows' new names.

        One record for all is linear in a tree of thousands.
        """
        pairs: list[tuple[str, str]] = []
        for folder in folders:
            directory = encode_directory(folder.name)
            pairs.append((self._store.paths.folder(folder.directory), self._store.paths.folder(directory)))
            folder.directory = directory
        self.intend(sidecars=[folder.folder_id for folder in folders])
        self.rename(pairs)

    def delete_folder(self, folder: FolderRow) -> None:
        """Move a folder to `.expunged/` with all that is in it."""
        directory = f"{EXPUNGED}/{folder.mailbox_id}"
        self.rename([(self._store.paths.folder(folder.directory), self._store.paths.folder(directory))])
        folder.directory = directory

    def is_restorable(self, folder: FolderRow) -> bool:
        """Return whether a deleted folder is still there."""
        return os.path.isdir(self._store.paths.folder(folder.directory))

    def restore_folder(self, folder: FolderRow) -> None:
        """Restore a deleted folder under the name of its row, which is not taken."""
        directory = encode_directory(folder.name)
        self.rename([(self._store.paths.folder(folder.directory), self._store.paths.folder(directory))])
        folder.directory = directory

    # Readers

    def forget_reader(self, folders: Iterable[FolderRow], person: str) -> None:
        """Remove after the COMMIT what was written out of a reader's \\Seen."""
        self.intend(leftovers=[seen_path(self._store.paths.folder(folder.directory), person) for folder in folders])

    def forget_readers(self, folder: FolderRow) -> None:
        """Remove after the COMMIT what was written out of all readers' \\Seen in a folder."""
        self.intend(leftovers=glob.glob(f"{glob.escape(self._store.paths.folder(folder.directory))}/{SEEN_SIDECAR}*"))

    # Marks of the account

    def has_mark(self, name: str) -> bool:
        return self._store.has_mark(name)


def _location(folder: FolderRow, arrival: Arrival, now_us: int) -> MessageLocation:
    received_us = arrival.delivery.received_at_us
    return MessageLocation(folder.mailbox_id, arrival.name, now_us if received_us is None else received_us)


def _expunged_name(folder: FolderRow, row: MessageRow, name: str) -> str:
    """Return the file's name in `.expunged/`: with the folder's id, without what makes it too long."""
    expunged_as = expunged_name(folder.mailbox_id, name)
    if _fits(expunged_as):
        return expunged_as
    base = parse_name(name).base
    expunged_as = expunged_name(folder.mailbox_id, format_name(base, row.size, row.uid, row.flags))
    return expunged_as if _fits(expunged_as) else expunged_name(folder.mailbox_id, format_name(base, row.size, row.uid, 0))


def _fits(name: str) -> bool:
    return len(name) <= MAX_NAME_OCTETS and (name.isascii() or len(name.encode()) <= MAX_NAME_OCTETS)
