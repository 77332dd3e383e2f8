"""Detection of mail that other Maildir tools put into our folders, and of folders that they removed.

We publish into `cur/`, so only others change `new/`: its modification time is the whole test, one stat for each folder. A time
is only remembered once it is older than the clock's resolution, since a file can arrive in the same instant as the one that was
seen. Changes in `cur/` are searched at the first opening after a boot, after a file is not found, and by `rescan`. A directory
that is not found starts the same comparison as `rescan`: the folder is gone then, and the caller gets that answer.
"""

import contextlib
import os
from collections.abc import Callable
from typing import TypeVar

from mic_mail.storage.changes.transaction import writing
from mic_mail.storage.errors import Unavailable
from mic_mail.storage.index.connection import translated
from mic_mail.storage.index.rows import FolderRow, read_folder, read_folders
from mic_mail.storage.index.view_cache import NewestView
from mic_mail.storage.local_store import LocalStore
from mic_mail.storage.maildir.cached_read import CachedReader
from mic_mail.storage.maildir.maildir import FOLDER_MODE, is_directory, names_in
from mic_mail.storage.maintenance.adopt import ContentTable, ForeignMaildirFile, adopt
from mic_mail.storage.maintenance.repair import rescan
from mic_mail.storage.message_names import parse_name

T = TypeVar("T")

_SETTLED_US = 2_000_000
_LOST = -1
_TRIES = 5
"""Attempts of a change while other tools rename the same files."""


def take_in_new(store: LocalStore, folder_id: int | None = None) -> bool:
    """Take in what was added to `new/`; True if anything was."""
    with store.reading() as connection:
        if folder_id is None:
            folders = read_folders(connection, store.account_id)
        else:
            row = read_folder(connection, store.account_id, folder_id)
            folders = [row] if row is not None and row.deleted_at_us is None else []
    came = [_has_come(store, folder) for folder in folders]  # a list, since every folder has to be checked
    return any(came)


def new_changed(store: LocalStore, folder: FolderRow) -> int:
    """Return the time of `new/` if it differs from the one last seen, else 0.

    Return `_LOST` if `new/` is gone, and 0 also where access is denied.
    """
    return _changed_since(store, folder.directory, folder.new_mtime_ns)


def is_new_unchanged(store: LocalStore, known: NewestView) -> bool:
    """Return whether no other tool has touched `new/` of a folder since its view was made."""
    with translated("looking for new files"):
        return not _changed_since(store, known.directory, known.new_mtime_ns)


def is_known_unchanged(store: LocalStore, known: NewestView, cached: CachedReader) -> bool:
    """Return the same, and that the index is the one that was opened, as far as the kernel knows it. Never waits."""
    index, new = cached.stat(store.paths.index), cached.stat(store.paths.new(known.directory))
    if store.index.doubtful or index is None or new is None:
        return False
    return index.st_ino == store.opened_identity and new.st_mtime_ns == known.new_mtime_ns


def _changed_since(store: LocalStore, directory: str, seen_mtime_ns: int) -> int:
    try:
        mtime_ns = os.stat(store.paths.new(directory)).st_mtime_ns
    except FileNotFoundError:
        return _LOST
    except PermissionError:
        return 0
    return mtime_ns if mtime_ns != seen_mtime_ns else 0


def _has_come(store: LocalStore, folder: FolderRow) -> bool:
    """Take in new files of one folder, unless it belongs to another user now; True if any came."""
    try:
        return _look_into(store, folder)
    except (PermissionError, Unavailable) as error:
        if not isinstance(error.__cause__ or error, PermissionError):
            raise
        return False


def _look_into(store: LocalStore, folder: FolderRow) -> bool:
    new = store.paths.new(folder.directory)
    mtime_ns = new_changed(store, folder)
    if not mtime_ns:
        return False
    if mtime_ns == _LOST:
        return compare_if_lost(store)
    settled = mtime_ns // 1000 < store.clock.now_us() - _SETTLED_US
    if not names_in(new) and not settled:
        return False
    with writing(store) as write:
        kept = write.any_folder(folder.folder_id)
        if kept.deleted_at_us is not None or kept.directory != folder.directory:
            return False
        foreign = [ForeignMaildirFile(f"{new}/{name}", parse_name(name)) for name in sorted(names_in(new))]
        came = adopt(write, kept, foreign, ContentTable(write), believe_uids=False)
        kept.new_mtime_ns = mtime_ns if settled and not came else 0
        write.keep(kept)
    return came > 0


def compare_if_lost(store: LocalStore) -> bool:
    """Compare index and files if a directory was removed, and return whether one was; recreate `new/`."""
    with translated("reading the index"), store.index.reading() as connection:
        folders = read_folders(connection, store.account_id)
    if all(map(_cannot_be_lost, (store.paths.expunged, *(store.paths.cur(folder.directory) for folder in folders)))):
        for folder in folders:
            with contextlib.suppress(FileExistsError, FileNotFoundError):
                os.mkdir(store.paths.new(folder.directory), mode=FOLDER_MODE)
        return False
    rescan(store)
    return True


def _cannot_be_lost(path: str) -> bool:
    try:
        return is_directory(path)
    except PermissionError:
        return True


def despite_loss(store: LocalStore, act: Callable[[], T]) -> T:
    """Run `act`; if another tool removed a directory or renamed a file meanwhile, compare and run again."""
    for _ in range(_TRIES - 1):
        try:
            return act()
        except Unavailable as error:
            if not isinstance(error.__cause__, FileNotFoundError):
                raise
            compare_if_lost(store)
    return act()
