"""Backup and restore of one mailbox that lies in files; the format is in format.py.

A backup runs during normal use: it takes no lock, and opens each message like any reader. Messages expunged before it are not
in it. A restore puts the whole store in the place of the present one, which is kept as `<home>.replaced-<instant>`
(swap_store.py); the next opening starts a new epoch, so that clients ask again. UIDs given out since the backup must not mean
other messages: numbering continues above the marks of the replaced store, or, where those are gone or older than the backup,
every folder gets a new UIDVALIDITY. Where the backup is the last state of a mailbox that has moved, all numbers stay as they
are. Where its machine has failed since, UIDVALIDITYs stay, and numbering continues far above the backup
(`format.FAILOVER_UIDS`).
"""

import contextlib
import os
import shutil
import sqlite3
from collections.abc import Iterator, Mapping
from pathlib import Path

from sqlalchemy import bindparam, update

from mic_mail.durable_files import make_durable, replace_durably
from mic_mail.errors import Text
from mic_mail.storage.backup.files import copy_out, linked
from mic_mail.storage.backup.format import (
    FAILOVER_MODSEQS,
    FAILOVER_UIDS,
    FAILOVER_UIDVALIDITIES,
    MESSAGES,
    base_of,
    drop_what_is_not_copied,
    held_ids,
    ids_in_backup,
    messages_of,
    must_be_of_this_version,
    new_backup,
    old_account,
    opened,
    read_manifest,
    write_manifest,
    write_sidecars,
)
from mic_mail.storage.changes.legal_hold import Mark, is_on, must_not_be_frozen
from mic_mail.storage.changes.quota import quota
from mic_mail.storage.changes.sidecar_rows import account_sidecar, folder_sidecar
from mic_mail.storage.errors import NoSuchMessage, NotPermitted
from mic_mail.storage.index import schema
from mic_mail.storage.index.connection import translated
from mic_mail.storage.index.rows import read_account, read_all_folders, read_folders, write_account, write_folder
from mic_mail.storage.index.statements import SqlStatement
from mic_mail.storage.local_store import LocalStore
from mic_mail.storage.maildir.maildir import FOLDER_MODE, MESSAGE_MODE, AccountPaths, make_folder_tree
from mic_mail.storage.maildir.sidecars import AccountSidecar, FolderSidecar
from mic_mail.storage.maildir.swap_store import finish, replaced, restoring
from mic_mail.storage.maildir.swap_store import replace as put_in_place
from mic_mail.storage.message_names import email_id
from mic_mail.storage.reads.open_message import open_message
from mic_mail.storage.types import Progress, Ready

_KEPT_MODE = 0o640
"""Mode of files that are written again: the index and the sidecars.

Root can write to any file, so only other users need it.
"""

_ADOPT_ROWS = tuple(
    SqlStatement(update(table).where(table.c.account_id == bindparam("old")).values(account_id=bindparam("new")))
    for table in schema.metadata.sorted_tables
)


def backup(store: LocalStore, target: Path, *, earlier: Path | None = None, progress: Progress = lambda done, of: None) -> None:
    """Write a backup into `target`, a folder that does not exist yet, during normal use.

    Messages that the backup `earlier` of the same mailbox has are linked from there.
    """
    store.ready()
    with new_backup(target) as paths:
        _copy_index(store, paths.index)
        with contextlib.closing(sqlite3.connect(paths.index, isolation_level=None)) as index:
            account = read_account(index, store.account_id)
            assert account is not None
            messages = 0
            known = messages_of(earlier) if earlier is not None else {}
            for row in read_folders(index, store.account_id):
                for _ in _copy_folder(store, index, row.folder_id, paths.folder(row.directory), known):
                    messages += 1
                    progress(messages, account.messages)
            write_sidecars(index, store.account_id, paths)
        write_manifest(paths, store.account_id, store.clock.steady_us(), messages)


def _copy_index(store: LocalStore, path: str) -> None:
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as copy:
        with store.index.reading() as connection:
            connection.backup(copy)  # in one step: between two steps it would begin anew after each write
        copy.execute("PRAGMA journal_mode = DELETE")  # one file, complete in itself
        drop_what_is_not_copied(copy)


def _copy_folder(
    store: LocalStore, index: sqlite3.Connection, folder_id: int, path: str, known: Mapping[str, str]
) -> Iterator[int]:
    make_folder_tree(path)
    for uid, name, _ in MESSAGES.on(index, account=store.account_id, folder=folder_id).fetchall():
        try:
            with open_message(store, folder_id, uid) as file:
                earlier = known.get(base_of(name))
                if earlier is None or not linked(earlier, os.fstat(file.fd), f"{path}/cur/{name}"):
                    copy_out(file.fd, f"{path}/cur/{name}", MESSAGE_MODE)
        except NoSuchMessage:
            continue  # expunged and past retention since the index was copied: the restore's epoch finds it gone
        yield uid
    make_durable(f"{path}/cur")


def restore(
    store: LocalStore, source: Path, *, replace: bool, moved: bool, failover: bool, progress: Progress, ready: Ready
) -> None:
    """Put the backup `source` in place of the account's store; only with `replace` where that holds mail."""
    messages = read_manifest(source)
    with translated("restore"):
        with contextlib.closing(opened(source)) as index:
            must_be_of_this_version(index)  # before everything is copied
        finish(store.paths.home)
    if not replace and os.path.isdir(store.paths.maildir) and quota(store).messages:
        raise NotPermitted(Text("Hộp thư đang có thư.", "The mailbox is not empty."))
    done = 0

    def copy_file(source: str, target: str) -> str:
        nonlocal done
        _copy_file(source, target)
        if os.path.basename(os.path.dirname(target)) == "cur":
            done += 1
            progress(done, messages)
        return target

    home = store.paths.home
    instant = store.clock.steady_us()
    staging = restoring(home, instant)
    with translated("restore"):
        try:
            shutil.copytree(source, staging, copy_function=copy_file)
            os.unlink(f"{staging}/manifest.json")
            os.makedirs(home, mode=FOLDER_MODE, exist_ok=True)
            with store.lock.held():
                _set_numbers(
                    store, AccountPaths(staging), store.paths, moved=moved, failover=failover
                )  # nobody gives out numbers any more
                must_not_be_frozen(store)
                if is_on(store, Mark.HOLD):
                    replace_durably(AccountPaths(staging).mark(Mark.HOLD), b"")
                ready(replaced(home, instant))
                store.index.close_writer()
                put_in_place(home, instant)
        except BaseException:
            shutil.rmtree(staging, ignore_errors=True)
            raise
        store.index.close_readers()


def has_more(store: LocalStore, source: Path) -> bool:
    """Return whether the store holds a message, by its EMAILID, that the backup lacks."""
    store.ready()
    known = ids_in_backup(source)
    with translated("examining"), store.index.reading() as connection:
        return any(number not in known for number in held_ids(connection))


def has_all(store: LocalStore, source: Path) -> bool:
    """Return whether the store has each message of the backup, by EMAILID and without the backup's index."""
    store.ready()
    with translated("examining"), store.index.reading() as connection:
        held = set(held_ids(connection))
        return all(email_id(base) in held for base in messages_of(source))


def _copy_file(source: str, target: str) -> None:
    is_message = os.path.basename(os.path.dirname(target)) == "cur"
    fd = os.open(source, os.O_RDONLY | os.O_CLOEXEC)
    try:
        copy_out(fd, target, MESSAGE_MODE if is_message else _KEPT_MODE)
    finally:
        os.close(fd)


def _set_numbers(store: LocalStore, staged: AccountPaths, live: AccountPaths, *, moved: bool, failover: bool) -> None:
    """Make the restored index number above everything given out, and start a new epoch when opened, unless it has `moved`."""
    now = store.clock.steady_us() // 1_000_000
    index = sqlite3.connect(staged.index, isolation_level=None)
    try:
        must_be_of_this_version(index)
        index.execute("BEGIN")
        old = old_account(index)
        for statement in _ADOPT_ROWS:  # the mailbox may have another number in the directory by now
            statement.on(index, old=old, new=store.account_id)
        account = read_account(index, store.account_id)
        assert account is not None
        known = AccountSidecar.read(live.maildir)
        is_behind = (
            known is not None and known.modseq_mark < account.modseq
        )  # it was used elsewhere since: by whom is not known
        if known is not None:
            account.modseq_mark = max(account.modseq_mark, known.modseq_mark)
            account.uidvalidity_next = max(account.uidvalidity_next, known.uidvalidity_next)
        if failover:
            account.modseq_mark += FAILOVER_MODSEQS
            account.uidvalidity_next = max(account.uidvalidity_next, now) + FAILOVER_UIDVALIDITIES
        marks = _live_marks(live) if known is not None and not is_behind else {}
        for folder in read_all_folders(index, store.account_id):
            sidecar = marks.get(folder.mailbox_id)
            if moved:
                folder.uidnext_mark = max(folder.uidnext_mark, folder.uidnext)
            elif failover:
                folder.uidnext_mark = max(folder.uidnext_mark, folder.uidnext) + FAILOVER_UIDS
            elif sidecar is not None and sidecar.uidvalidity == folder.uidvalidity:
                folder.uidnext_mark = max(folder.uidnext_mark, sidecar.uidnext_mark)
            else:
                folder.uidvalidity = max(account.uidvalidity_next, now)
                account.uidvalidity_next = folder.uidvalidity + 1
            write_folder(index, folder)
            if folder.deleted_at_us is None:
                folder_sidecar(folder).write(staged.folder(folder.directory))
        account.boot_id = store.shared.boot_id if moved else "restored"
        write_account(index, account)
        account_sidecar(index, account).write(staged.maildir)
        index.execute("COMMIT")
        index.execute("PRAGMA journal_mode = WAL")
    finally:
        index.close()


def _live_marks(live: AccountPaths) -> dict[str, FolderSidecar]:
    paths = [live.folder(directory) for directory in live.directories()]
    if os.path.isdir(live.expunged):
        paths += [entry.path for entry in os.scandir(live.expunged) if entry.is_dir(follow_symlinks=False)]
    found = [sidecar for path in paths if (sidecar := FolderSidecar.read(path)) is not None]
    return {sidecar.mailbox_id: sidecar for sidecar in found}
