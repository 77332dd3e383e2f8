"""The opening of messages, which are files.

A message is opened by the path that its row gave earlier (`message_rows.paths`), or by the name in its row. Where that fails,
the row is read again (names follow flags), then again under the lock, then the file is searched by its base name: only then is
it gone. No read transaction outlives a call.
"""

import os
from types import TracebackType
from typing import Self

from sqlalchemy import bindparam, select

from mic_mail.storage.changes.expunge import read_messages, tombstone_lost
from mic_mail.storage.changes.flags_in_names import take_foreign_name
from mic_mail.storage.changes.transaction import writing
from mic_mail.storage.errors import NoSuchMessage
from mic_mail.storage.index import schema
from mic_mail.storage.index.connection import translated
from mic_mail.storage.index.rows import read_folder
from mic_mail.storage.index.statements import SqlStatement, keyed_by
from mic_mail.storage.local_store import LocalStore
from mic_mail.storage.maildir.maildir import locate

_M = schema.message.c
_T = schema.tombstone.c
_HERE = keyed_by(_M, "folder")
_GONE_HERE = keyed_by(_T, "folder")
_NAME = SqlStatement(select(_M.name).where(_HERE, _M.uid == bindparam("at")))
_TOMBSTONE = SqlStatement(select(_T.name, _T.moved_folder_id, _T.moved_uid).where(_GONE_HERE, _T.uid == bindparam("at")))

_MOVES_FOLLOWED = 16


class MessageFile:
    """An open message, readable whatever happens to its name; any thread may read."""

    __slots__ = ("fd", "size")

    def __init__(self, fd: int) -> None:
        self.fd = fd
        self.size = os.fstat(fd).st_size

    def pread(self, offset: int, length: int) -> bytes:
        """Read up to `length` octets, fewer at the end of the file."""
        with translated("reading a message"):
            return os.pread(self.fd, length, offset)

    def close(self) -> None:
        fd, self.fd = self.fd, -1
        if fd >= 0:
            os.close(fd)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()


def read_message(hint: str, size: int) -> bytes | None:
    """Return all octets of a message, or None where `paths` or the index is wrong about path or size.

    After None, use `open_message`. Three system calls instead of four: the read itself shows that nothing follows the
    last octet.
    """
    with translated("reading a message"):
        try:
            fd = os.open(hint, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        except FileNotFoundError:
            return None
        try:
            octets = os.pread(fd, size + 1, 0)
        finally:
            os.close(fd)
    return octets if len(octets) == size else None


def open_message(store: LocalStore, folder_id: int, uid: int, hint: str | None = None) -> MessageFile:
    """Return an open file of a message, also of an expunged one while it is retained.

    Raises `NoSuchMessage` for any other. `hint` is the path that `paths` returned.
    """
    with translated("opening a message"):
        if hint is not None and (file := _try_open(hint)) is not None:
            return file
        store.ready()
        for _ in range(2):  # the second time under the name that new flags gave it meanwhile
            path = _path_of(store, folder_id, uid)
            if path is not None and (file := _try_open(path)) is not None:
                return file
        found = _open_under_lock(store, folder_id, uid)
        if found is None:
            raise NoSuchMessage(folder_id, uid)
        return found


def _path_of(store: LocalStore, folder_id: int, uid: int) -> str | None:
    with store.index.snapshot() as connection:
        for _ in range(_MOVES_FOLLOWED):
            here = {"account": store.account_id, "folder": folder_id, "at": uid}
            folder = read_folder(connection, store.account_id, folder_id)
            if folder is None:
                return None
            row = _NAME.on(connection, **here).fetchone()
            if row is not None:
                return f"{store.paths.cur(folder.directory)}/{row[0]}"
            row = _TOMBSTONE.on(connection, **here).fetchone()
            if row is None:
                return None
            name, folder_id, uid = row
            if folder_id is None:
                return f"{store.paths.expunged}/{name}" if name else None
    return None


def _try_open(path: str) -> MessageFile | None:
    try:
        return MessageFile(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC))
    except FileNotFoundError:
        return None


def _open_under_lock(store: LocalStore, folder_id: int, uid: int) -> MessageFile | None:
    """Open a message while nobody renames files, by its row's name or the one that another tool gave it."""
    with writing(store) as write:
        folder = read_folder(write.connection, store.account_id, folder_id)
        rows = read_messages(write, folder_id, [uid])
        if folder is None or not rows:
            path = _path_of(store, folder_id, uid)
            return _try_open(path) if path else None
        cur = store.paths.cur(folder.directory)
        name = locate(cur, [rows[0].name]).get(rows[0].name)
        if name is None:
            if folder.deleted_at_us is None:
                tombstone_lost(write, folder, rows)
            return None
        if name != rows[0].name:
            take_foreign_name(write, folder, rows[0], name)
        return _try_open(f"{cur}/{name}")
