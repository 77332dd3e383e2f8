"""Index against files: one comparison for all purposes.

    rebuild       the index is lost: start from an empty one, trust the UIDs in names, continue above the marks
    start_epoch   another boot: the last commits may be lost; the same, and re-stamp every message with a MODSEQ above the mark,
                  so that each client asks again for what a lost commit may have told it (RFC 7162: a MODSEQ means one state)
    rescan        other tools may have made changes; a file that appears takes a new UID, as a client never looks back
    check         only report what differs

The order is folders (directories), then messages (`cur`, `new`), then the content of `.expunged/`. Everything happens in one
critical section. A listing alone never makes a message disappear (maildir.locate).
"""

import os
import sqlite3
from collections.abc import Iterable
from dataclasses import dataclass, replace

from sqlalchemy import bindparam, update

from mic_mail.storage.changes import seen_sidecars
from mic_mail.storage.changes.expunge import read_messages, tombstone, tombstone_lost
from mic_mail.storage.changes.flags_in_names import take_foreign_name
from mic_mail.storage.changes.folders import make_folder, new_folder_row
from mic_mail.storage.changes.sidecar_rows import folder_sidecar
from mic_mail.storage.changes.transaction import LocalWrite, transaction
from mic_mail.storage.errors import NameNotAllowed
from mic_mail.storage.index import schema
from mic_mail.storage.index.metadata_format import from_sidecar
from mic_mail.storage.index.rows import (
    AccountRow,
    FolderRow,
    MessageRow,
    read_all_folders,
    read_folder,
    read_folders,
    subscribed_names,
    write_account,
)
from mic_mail.storage.index.statements import SqlStatement, keyed_by
from mic_mail.storage.local_store import LocalStore
from mic_mail.storage.maildir import dovecot
from mic_mail.storage.maildir.folder_names import EXPUNGED, decode_directory, encode_directory, is_text
from mic_mail.storage.maildir.maildir import FOLDER_MODE, is_directory, locate, make_folder_tree, names_in, others_in
from mic_mail.storage.maildir.sidecars import AccountSidecar, FolderSidecar
from mic_mail.storage.maintenance.adopt import ContentTable, ForeignMaildirFile, adopt, is_readable
from mic_mail.storage.maintenance.adopt_tombstones import adopt_tombstones
from mic_mail.storage.message_names import UNKNOWN_UID, expunged_name, parse_name
from mic_mail.storage.types import INBOX, RepairFinding, TellFinding

_M = schema.message.c
_RESTAMP = SqlStatement(update(schema.message).where(keyed_by(_M)).values(modseq=bindparam("new_modseq")))


def rebuild(store: LocalStore, fd: int) -> None:
    """Build an index from the Maildir alone. A store without a sidecar of ours is new, or foreign."""
    sidecar = AccountSidecar.read(store.paths.maildir)

    def make_tables(connection: sqlite3.Connection) -> None:
        schema.create(connection)
        write_account(connection, _first_row(store, sidecar), new=True)

    with transaction(store, fd, make_tables) as write:
        seen_sidecars.adopt_readers(write, sidecar.readers if sidecar else None)
        names = sidecar.subscriptions if sidecar else dovecot.read_subscriptions(store.paths.maildir)
        for name in names:
            write.subscribe(name, True)
        comparison = FolderComparison(write, believe_uids=True)
        comparison.run()
        adopt_tombstones(write, comparison.contents)
        seen_sidecars.adopt_seen_sidecars(write)
        if sidecar is None or len(read_folders(write.connection, store.account_id)) == 1:
            _make_defaults(write)  # new, or killed while it was new


def _first_row(store: LocalStore, sidecar: AccountSidecar | None) -> AccountRow:
    """Return counters above everything that the old index can have given out."""
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
        metadata=from_sidecar(sidecar.metadata, mark) if sidecar else None,
    )


_KNOWN_NAMES = {
    "\\Drafts": ("Drafts",),
    "\\Sent": ("Sent", "Sent Items", "Sent Messages", "Sent Mail"),
    "\\Junk": ("Junk", "Spam", "Junk E-mail", "Junk Email", "Bulk Mail"),
    "\\Trash": ("Trash", "Deleted Items", "Deleted Messages"),
    "\\Archive": ("Archive", "Archives"),
}
"""Folder names of mail programs from before SPECIAL-USE.

A foreign Maildir that has one of them must not get a second folder for that use.
"""


def _make_defaults(write: LocalWrite) -> None:
    write.subscribe(INBOX, True)
    for name, special_use in write.store.settings.default_folders.items():
        known = (name, *_KNOWN_NAMES.get(special_use, ()))
        folder = next((folder for each in known if (folder := write.folder_named(each)) is not None), None)
        if folder is None:
            folder = make_folder(write, name, special_use=special_use)
        elif folder.special_use is None:
            folder.special_use = special_use
            write.keep(folder)
            write.names.rewrite_folder_sidecar(folder.folder_id)
        write.subscribe(folder.name, True)


def start_epoch(store: LocalStore, fd: int) -> list[RepairFinding]:
    """Start a new epoch, at the first opening under another boot id or of a restored store."""
    with transaction(store, fd) as write:
        _adopt_sidecars(write)
        for row in read_all_folders(write.connection, store.account_id):
            folder = write.any_folder(row.folder_id)
            folder.uidnext = max(folder.uidnext, folder.uidnext_mark)  # clients may know a UID given by a lost commit
        comparison = FolderComparison(write, believe_uids=True)
        comparison.run()
        _RESTAMP.on(write.connection, account=store.account_id, new_modseq=write.modseq)
        for row in read_all_folders(write.connection, store.account_id):
            folder = write.any_folder(row.folder_id)
            folder.expunge_floor = write.modseq
            write.touch(folder)
        write.names.rewrite_sidecars_that_differ(write.any_folder)
        write.account.boot_id = store.shared.boot_id
        return comparison.findings


def _adopt_sidecars(write: LocalWrite) -> None:
    """Adopt sidecars, which may be ahead of an index that lost commits."""
    account = AccountSidecar.read(write.store.paths.maildir)
    if account is not None:
        write.account.modseq_mark = max(write.account.modseq_mark, account.modseq_mark)
        write.account.uidvalidity_next = max(write.account.uidvalidity_next, account.uidvalidity_next)
    write.account.modseq = write.account.modseq_mark
    if account is not None:  # all of it before a MODSEQ is taken, which rewrites the sidecar
        write.account.metadata = from_sidecar(account.metadata, write.account.modseq + 1, write.account.metadata)
        seen_sidecars.adopt_readers(write, account.readers)
        known = set(subscribed_names(write.connection, write.store.account_id))
        for name in known.symmetric_difference(account.subscriptions):
            write.subscribe(name, name not in known)
    for row in read_all_folders(write.connection, write.store.account_id):
        sidecar = FolderSidecar.read(write.store.paths.folder(row.directory))
        if sidecar is not None and sidecar.mailbox_id == row.mailbox_id:
            _adopt_folder_sidecar(write, write.any_folder(row.folder_id), sidecar)


def _adopt_folder_sidecar(write: LocalWrite, folder: FolderRow, sidecar: FolderSidecar) -> None:
    folder.uidnext_mark = max(folder.uidnext_mark, sidecar.uidnext_mark)
    if len(sidecar.keywords) > len(folder.keyword_names()):  # tables only grow
        folder.set_keywords(sidecar.keywords)
    folder.special_use = sidecar.special_use
    folder.metadata = from_sidecar(sidecar.metadata, write.modseq, folder.metadata)
    write.keep(folder)


@dataclass(slots=True)
class _Difference:
    renamed: list[tuple[MessageRow, str]]
    missing: list[MessageRow]
    foreign: list[ForeignMaildirFile]


class FolderComparison:
    """A pass over all folders of an account inside a critical section."""

    def __init__(
        self, write: LocalWrite, *, believe_uids: bool = False, check: bool = False, tell: TellFinding | None = None
    ) -> None:
        self.write = write
        write.names.is_comparison = True
        self.findings: list[RepairFinding] = []
        self._tell = tell or self.findings.append
        self.contents = ContentTable(write)
        self._believe_uids = believe_uids
        self._check = check
        self._paths = write.store.paths
        self._uidlists: dict[str, dovecot.UidList] = {}

    def run(self) -> None:
        self._compare_directories()
        for row in read_all_folders(self.write.connection, self.write.store.account_id):
            self.compare_folder(self.write.any_folder(row.folder_id))

    def _find(self, kind: str, folder: str, detail: str) -> None:
        self._tell(RepairFinding(kind, folder, detail))

    # Directories

    def _compare_directories(self) -> None:
        if not self._check:
            self._make_what_is_never_lost()
        rows = read_all_folders(self.write.connection, self.write.store.account_id)
        known = {row.directory for row in rows}
        unknown = [directory for directory in self._paths.directories() if directory not in known]
        lost = [row for row in rows if row.directory and not self._may_be_there(row.directory)]
        expunged = {entry for entry in os.listdir(self._paths.expunged) if os.path.isdir(f"{self._paths.expunged}/{entry}/cur")}
        by_mailbox_id = {row.mailbox_id: row for row in lost}
        taken = {row.mailbox_id for row in rows}
        found = self._originals_first(unknown)
        if not self._check:
            self._keep_free([sidecar.folder_id for _, sidecar in found if sidecar is not None])
        for directory, sidecar in found:
            row = by_mailbox_id.pop(sidecar.mailbox_id, None) if sidecar else None
            self._take_directory(directory, sidecar, row, taken)
        for row in by_mailbox_id.values():
            self._lose_directory(row, in_expunged=row.mailbox_id in expunged)
        for entry in expunged - {row.mailbox_id for row in rows}:
            self._take_expunged_directory(entry)

    def _may_be_there(self, directory: str) -> bool:
        try:
            return is_directory(self._paths.cur(directory))
        except PermissionError:  # another user's now: its messages wait until it is given back
            return True

    def _originals_first(self, directories: list[str]) -> list[tuple[str, FolderSidecar | None]]:
        """Return the directories with their sidecars, a copied one after the one whose name matches the sidecar."""
        found = [(directory, FolderSidecar.read(self._paths.folder(directory))) for directory in directories]
        return sorted(found, key=lambda each: each[1] is None or encode_directory(each[1].name) != each[0])

    def _keep_free(self, folder_ids: Iterable[int]) -> None:
        """Reserve the numbers that folders had in a lost index, which sessions may still use."""
        account = self.write.account
        used = [folder_id for folder_id in folder_ids if folder_id < _MAX_FOLDER_ID]
        account.folder_next = max([account.folder_next, *(folder_id + 1 for folder_id in used)])

    def _make_what_is_never_lost(self) -> None:
        if not os.path.isdir(self._paths.cur("")) or not os.path.isdir(self._paths.expunged):
            make_folder_tree(self._paths.maildir)
            os.makedirs(self._paths.expunged, mode=FOLDER_MODE, exist_ok=True)
            self.write.names.durable[self._paths.maildir] = None

    def _take_directory(self, directory: str, sidecar: FolderSidecar | None, row: FolderRow | None, taken: set[str]) -> None:
        """Take in a directory without a row: renamed by another tool (or by a lost commit), or new."""
        name = self._free_name(directory, sidecar)
        self._find("folder-renamed" if row else "folder-found", name, directory)
        if self._check:
            return
        if not is_text(directory):
            self.write.names.rename([(self._paths.folder(directory), self._paths.folder(encode_directory(name)))])
            directory = encode_directory(name)
        if row is not None:
            folder = self.write.any_folder(row.folder_id)
            if sidecar is not None:
                _adopt_folder_sidecar(self.write, folder, sidecar)
            self._restore_folder(folder)
            folder.name, folder.directory, folder.modseq = name, directory, self.write.modseq
            self.write.save(folder)
            self.write.names.rewrite_folder_sidecar(folder.folder_id)
            return
        try:
            make_folder_tree(self._paths.folder(directory))
            folder = self._insert_foreign(directory, name, sidecar, taken)
        except PermissionError:
            self._find("file-unreadable", name, directory)
            return
        taken.add(folder.mailbox_id)
        self.write.add_folder(folder)

    def _free_name(self, directory: str, sidecar: FolderSidecar | None) -> str:
        listed = sidecar.name if sidecar is not None else None
        if listed is not None and directory == encode_directory(listed):
            name = listed
        else:  # a hash tells nothing; then use the name from before an interrupted rename
            name = decode_directory(directory) or listed or directory.lstrip(".").encode(errors="replace").decode() or "folder"
        try:
            name = self.write.store.canonical_name(name)
        except NameNotAllowed:
            name = "folder"
        free, number = name, 2
        while self.write.folder_named(free) is not None or not (is_text(directory) or self._name_is_free(free)):
            free = f"{name} ({number})"
            number += 1
        return free

    def _name_is_free(self, name: str) -> bool:
        """Return whether a directory, whose own name is not UTF-8, can be named after `name`."""
        return not os.path.lexists(self._paths.folder(encode_directory(name)))

    def _insert_foreign(self, directory: str, name: str, sidecar: FolderSidecar | None, taken: set[str]) -> FolderRow:
        path = self._paths.folder(directory)
        folder = new_folder_row(self.write, name, directory)
        if sidecar is not None and sidecar.mailbox_id not in taken:
            self._keep_free([sidecar.folder_id])
            if 0 < sidecar.folder_id < _MAX_FOLDER_ID and not self._is_taken(sidecar.folder_id):
                folder.folder_id = sidecar.folder_id
            folder.mailbox_id = sidecar.mailbox_id
            folder.uidvalidity = sidecar.uidvalidity
            folder.uidnext = folder.uidnext_mark = sidecar.uidnext_mark
            folder.special_use = sidecar.special_use
            folder.set_keywords(sidecar.keywords)
            folder.metadata = from_sidecar(sidecar.metadata, self.write.modseq)
        elif (uidlist := dovecot.read_uidlist(path)) is not None:
            self._uidlists[directory] = uidlist
            folder.uidvalidity = uidlist.uidvalidity
            folder.uidnext = folder.uidnext_mark = uidlist.uidnext
            folder.set_keywords(dovecot.read_keywords(path))
        else:
            # Without a mark, the UIDs in names are the only evidence; the UIDVALIDITY is new anyway.
            claimed = [parse_name(file).uid for file in names_in(f"{path}/cur")]
            highest = max([uid for uid in claimed if uid < _MAX_CLAIMED_UID], default=0)
            if highest:  # else the mark of a new folder stays, so that the first delivery writes none
                folder.uidnext_mark = highest + 1
        self.write.account.uidvalidity_next = max(self.write.account.uidvalidity_next, folder.uidvalidity + 1)
        try:
            folder_sidecar(folder).write(path)
        except PermissionError:  # another user's now, read-only
            self.write.names.rewrite_folder_sidecar(folder.folder_id)
        return folder

    def _is_taken(self, folder_id: int) -> bool:
        return read_folder(self.write.connection, self.write.store.account_id, folder_id) is not None

    def _lose_directory(self, row: FolderRow, *, in_expunged: bool) -> None:
        """Handle a row without a directory: deleted by another tool, or by a lost commit."""
        if row.deleted_at_us is not None and not in_expunged:
            return  # nothing left to restore; the sweep removes the row
        self._find("folder-gone", row.name, row.directory)
        if self._check:
            return
        folder = self.write.any_folder(row.folder_id)
        if not in_expunged:
            tombstone_lost(self.write, folder, read_messages(self.write, folder.folder_id, None))
        self.write.account.messages -= folder.messages
        self.write.account.octets -= folder.octets
        folder.directory, folder.modseq = f"{EXPUNGED}/{row.mailbox_id}", self.write.modseq
        if (sidecar := FolderSidecar.read(self._paths.folder(folder.directory))) is not None:
            _adopt_folder_sidecar(self.write, folder, sidecar)
        folder.deleted_at_us = self.write.store.clock.steady_us()
        self.write.save(folder)

    def _take_expunged_directory(self, mailbox_id: str) -> None:
        directory = f"{EXPUNGED}/{mailbox_id}"
        sidecar = FolderSidecar.read(self._paths.folder(directory))
        self._find("deleted-folder-found", sidecar.name if sidecar else "", directory)
        if self._check or sidecar is None or sidecar.mailbox_id != mailbox_id:
            return
        folder = self._insert_foreign(directory, sidecar.name, sidecar, set())
        folder.deleted_at_us = self.write.store.clock.steady_us()
        self.write.add_folder(folder)

    def _restore_folder(self, folder: FolderRow) -> None:
        if folder.deleted_at_us is not None:
            folder.deleted_at_us = None
            self.write.account.messages += folder.messages
            self.write.account.octets += folder.octets

    # Messages

    def compare_folder(self, folder: FolderRow) -> None:
        try:
            difference = self._difference(folder)
        except PermissionError:
            self._find("file-unreadable", folder.name, folder.directory)
            return
        for row, name in difference.renamed:
            self._find("message-renamed", folder.name, f"{row.name} -> {name}")
        for row in difference.missing:
            self._find("message-gone", folder.name, row.name)
        for file in difference.foreign:
            readable = is_readable(file.path)
            self._find("message-found" if readable else "file-unreadable", folder.name, os.path.basename(file.path))
        for name in sorted(others_in(self._paths.cur(folder.directory)) | others_in(self._paths.new(folder.directory))):
            self._find("not-a-message", folder.name, name)
        if self._check:
            return
        for row, name in difference.renamed:
            self._take_name(folder, row, name)
        self._tombstone_missing(folder, difference.missing)
        try:
            adopt(self.write, folder, difference.foreign, self.contents, believe_uids=self._believe_uids)
        except PermissionError:  # no UID or no name can be assigned there: they wait until that is allowed
            self._find("file-unreadable", folder.name, folder.directory)

    def _take_name(self, folder: FolderRow, row: MessageRow, name: str) -> None:
        """Take the new name of a file that another tool renamed, or restore that of a row whose name a replay lost."""
        if parse_name(name).uid == UNKNOWN_UID:
            cur = self._paths.cur(folder.directory)
            self.write.names.rename([(f"{cur}/{name}", f"{cur}/{row.name}")])
        else:
            take_foreign_name(self.write, folder, row, name)

    def _difference(self, folder: FolderRow) -> _Difference:
        cur, new = self._paths.cur(folder.directory), self._paths.new(folder.directory)
        rows = read_messages(self.write, folder.folder_id, None)
        present = names_in(cur)
        absent = [row for row in rows if row.name not in present]
        located = _each_once(locate(cur, [row.name for row in absent]))
        renamed = [(row, located[row.name]) for row in absent if located.get(row.name, row.name) != row.name]
        accounted = {row.name for row in rows} | {name for _, name in renamed}
        uidlist = self._uidlists.get(folder.directory)
        foreign = [_foreign_file(cur, name, uidlist) for name in sorted(present - accounted)]
        if folder.deleted_at_us is None:
            foreign += [_foreign_file(new, name, uidlist) for name in sorted(names_in(new))]
        return _Difference(renamed, [row for row in absent if row.name not in located], foreign)

    def _tombstone_missing(self, folder: FolderRow, missing: list[MessageRow]) -> None:
        """Turn rows without files into tombstones, with the content if a lost commit moved it to `.expunged/`."""
        names = {row.uid: expunged_name(folder.mailbox_id, row.name) for row in missing}
        located = locate(self._paths.expunged, names.values())
        expunged = [row for row in missing if names[row.uid] in located]
        tombstone(self.write, folder, expunged, kept={row.uid: located[names[row.uid]] for row in expunged})
        tombstone_lost(self.write, folder, [row for row in missing if names[row.uid] not in located])


def _each_once(located: dict[str, str]) -> dict[str, str]:
    """Map each file to one row only: copies in one folder share a base name."""
    first = {now: name for name, now in reversed(located.items())}
    return {name: now for now, name in reversed(first.items())}


_MAX_CLAIMED_UID = 1 << 31
_MAX_FOLDER_ID = 1 << 31


def _foreign_file(directory: str, name: str, uidlist: dovecot.UidList | None) -> ForeignMaildirFile:
    parsed = parse_name(name)
    if uidlist is not None and (uid := uidlist.uid_of(name)):
        parsed = replace(parsed, uid=uid)
    return ForeignMaildirFile(f"{directory}/{name}", parsed)
