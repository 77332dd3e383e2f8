"""The names of files follow the flags of the index, later; and the flags follow names that other tools gave.

A STORE marks rows `name_dirty` where the name of the file now differs (flags.py), and `flush_names` renames later (after 2 s,
at CLOSE, at drain): 1,000 renames in a folder of 10,000 cost 16 ms, as much as a whole STORE elsewhere. The flags in the name
of a dirty row are never read: that would undo an acknowledged STORE.
"""

import time

from sqlalchemy import bindparam, literal_column, select, update

from mic_mail.storage.changes.flags import write_flags
from mic_mail.storage.changes.seen_sidecars import write_out
from mic_mail.storage.changes.transaction import LocalWrite, writing
from mic_mail.storage.index import reader_seen_rows, schema
from mic_mail.storage.index.connection import translated
from mic_mail.storage.index.rows import FolderRow, MessageRow, read_folder
from mic_mail.storage.index.statements import SqlStatement, keyed_by
from mic_mail.storage.local_store import LocalStore
from mic_mail.storage.maildir.maildir import locate
from mic_mail.storage.message_names import NAMED_FLAGS, name_with_flags, parse_name

NAMES_AT_ONCE = 500
"""Renames in one critical section: about 10 ms."""

PAUSE_SECONDS = 0.005
"""Pause of a background flush between two slices, in which threads that wait for the account get it."""

PUT_OFF_ROUNDS = 15
"""Rounds in succession that a background flush ends early while others change the account.

There is one in `storage.names_after`.
"""

_M = schema.message.c
_HERE = keyed_by(_M, "folder")
_D = schema.message.alias("dirty").c
_DIRTY_UIDS = (
    select(_D.uid)
    .where(keyed_by(_D, "folder"), _D.name_dirty == literal_column("1"), _D.uid > bindparam("after"))
    .order_by(_D.uid)
    .limit(bindparam("most"))
)
"""By themselves, since only then SQLite takes their index.

Else it reads all messages of the folder in search of one.
"""
_DIRTY = SqlStatement(select(_M.uid, _M.flags, _M.name).where(_HERE, _M.uid.in_(_DIRTY_UIDS)).order_by(_M.uid))
_DIRTY_FOLDERS = SqlStatement(select(_M.folder_id).where(keyed_by(_M), _M.name_dirty == literal_column("1")).distinct())
_SET_NAME = SqlStatement(
    update(schema.message).where(_HERE, _M.uid == bindparam("at")).values(name=bindparam("new_name"), name_dirty=0)
)
_SET_DIRTY = SqlStatement(update(schema.message).where(_HERE, _M.uid == bindparam("at")).values(name_dirty=1))


def flush_names(store: LocalStore, *, gives_way: bool = False) -> int:
    """Rename the account's files whose names lag behind, in slices; return the renames.

    Pending \\Seen sidecars are written.

    With `gives_way` it stops after a slice if another writer has changed the account meanwhile, and leaves the rest due. A
    STORE or EXPUNGE of a large mailbox is done in slices, too, and would wait for a slice of names before each of its own; what
    it expunges needs no name any more. It does not stop in more than `PUT_OFF_ROUNDS` calls in succession.
    """
    store.ready()
    # a STORE sets it before its commit, whose rows cannot be seen yet
    with translated("renaming files"), store.lock.held():
        store.names_due = False
    renamed = 0
    may_stop = gives_way and store.names_put_off < PUT_OFF_ROUNDS
    try:
        is_whole = True
        for folder_id in _dirty_folders(store):
            done, is_whole = _flush_folder(store, folder_id, pauses=gives_way, may_stop=may_stop)
            renamed += done
            if not is_whole:
                break
        write_out(store)
        store.names_put_off = 0 if is_whole else store.names_put_off + 1
        if not is_whole:  # else it is left as it is: another thread may set it at any time
            store.names_due = True
    except BaseException:
        store.names_due = True
        raise
    return renamed


def _flush_folder(store: LocalStore, folder_id: int, *, pauses: bool, may_stop: bool) -> tuple[int, bool]:
    """Return how many were renamed, and whether those were all."""
    renamed = after = 0
    while True:
        done, after, mark = _flush_slice(store, folder_id, after)
        renamed += done
        if not after:
            return renamed, True
        if pauses:
            time.sleep(PAUSE_SECONDS)
        if may_stop and store.shared.marks.read(store.account_id) != mark:
            return renamed, False


def _dirty_folders(store: LocalStore) -> list[int]:
    with translated("reading the index"), store.index.reading() as connection:
        return [folder for (folder,) in _DIRTY_FOLDERS.on(connection, account=store.account_id)]


def lag_behind(store: LocalStore) -> bool:
    """Return whether names of files, or sidecars of readers, are still to be written."""
    with store.index.reading() as connection:
        dirty = _DIRTY_FOLDERS.on(connection, account=store.account_id).fetchone()
        return dirty is not None or bool(reader_seen_rows.pending_sidecars(connection, store.account_id, 1))


def _flush_slice(store: LocalStore, folder_id: int, after: int) -> tuple[int, int, int]:
    """Return how many were renamed, the UID to continue after (0: that was all), and the account's change mark then."""
    with writing(store) as write:
        folder = read_folder(write.connection, store.account_id, folder_id)
        rows = _DIRTY.on(
            write.connection, account=store.account_id, folder=folder_id, after=after, most=NAMES_AT_ONCE
        ).fetchall()
        if folder is None or not rows:
            return 0, 0, write.mark
        cur = store.paths.cur(folder.directory)
        present = locate(cur, (name for _, _, name in rows))
        renames: list[tuple[str, str]] = []
        for uid, flags, name in rows:
            now = present.get(name, name)  # a missing file keeps its row until the folder is next opened
            new_name = name_with_flags(now, flags) if name in present else name
            if new_name != now:
                renames.append((f"{cur}/{now}", f"{cur}/{new_name}"))
            _SET_NAME.on(write.connection, account=store.account_id, folder=folder_id, at=uid, new_name=new_name)
        write.names.rename(renames, durable=False)  # losing such a rename loses nothing
        return len(renames), rows[-1][0] if len(rows) == NAMES_AT_ONCE else 0, write.mark


def take_foreign_name(write: LocalWrite, folder: FolderRow, row: MessageRow, name: str) -> None:
    """Record that another tool renamed the file; on a dirty row the flags of the acknowledged STORE win."""
    here = {"account": write.store.account_id, "folder": folder.folder_id}
    _SET_NAME.on(write.connection, **here, at=row.uid, new_name=name)
    if row.name_dirty:
        _SET_DIRTY.on(write.connection, **here, at=row.uid)
        return
    flags = (row.flags & ~NAMED_FLAGS) | parse_name(name).flags
    if flags != row.flags:
        write_flags(write, folder, [(row.uid, flags, row.flags, 0, row.size)])
