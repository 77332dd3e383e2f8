"""Files that we did not put where they lie, taken in as messages.

They come from other Maildir tools (`new/`), from a stranger's Maildir, or from ourselves when the index was lost. Each
becomes a file of ours: named as maildir.py says, lines ended by CRLF unless we had published it (Maildir tools store bare
LF; what IMAP sends and counts is CRLF, RFC 5322 §2.1), scanned for its answers, INTERNALDATE from the file's time. A UID
that the name claims is believed only where we may have given it ourselves and nobody else has it; all others take new ones
in order of their file times.
"""

import os
import stat
from collections.abc import Iterable
from dataclasses import dataclass
from io import FileIO

from sqlalchemy import bindparam, select

from mic_mail.mime.render import Answers, answers
from mic_mail.mime.scanner import Scanner
from mic_mail.storage import schema
from mic_mail.storage.expunge import add_refs
from mic_mail.storage.index import Statement
from mic_mail.storage.maildir import MESSAGE_MODE, MessageName, format_name, parse_name
from mic_mail.storage.publish import insert_email, insert_message
from mic_mail.storage.rows import FolderRow
from mic_mail.storage.section import Write

_READ_OCTETS = 1 << 20
_MAX_BASE = 180

_M = schema.message.c
_T = schema.tombstone.c
_E = schema.email.c
_UIDS = Statement(select(_M.uid).where(_M.account_id == bindparam("account"), _M.folder_id == bindparam("folder")))
_GONE_UIDS = Statement(select(_T.uid).where(_T.account_id == bindparam("account"), _T.folder_id == bindparam("folder")))
_CONTENTS = Statement(select(_E.base, _E.size, _E.email_pk).where(_E.account_id == bindparam("account")))


@dataclass(frozen=True, slots=True)
class Stranger:
    """A file to take in; `name` holds what its name, or a list beside it, says of it."""

    path: str
    name: MessageName


@dataclass(frozen=True, slots=True)
class _Guest:
    """The same after a look at the file."""

    path: str
    ready: str
    """Where content lies that can be published as it is: `path`, or a converted file in `tmp/`."""
    base: str
    size: int
    mtime_us: int
    uid: int
    flags: int


class Contents:
    """The contents that the index knows, by base name and size: copies of one message share their answers."""

    def __init__(self, write: Write) -> None:
        self._write = write
        self._known: dict[tuple[str, int], int] | None = None

    def email_pk(self, base: str, size: int, path: str, received_us: int) -> int:
        """The content's row, with one reference more."""
        if self._known is None:
            rows = _CONTENTS.on(self._write.connection, account=self._write.store.account_id)
            self._known = {(base, size): email_pk for base, size, email_pk in rows}
        known = self._known.get((base, size))
        if known is not None:
            add_refs(self._write, [known], 1)
            return known
        email_pk = insert_email(self._write, base, size, received_us, scan_file(path))
        self._known[base, size] = email_pk
        return email_pk


def scan_file(path: str) -> Answers:
    """The answers about a message on disk."""
    scanner = Scanner()
    with open(path, "rb", buffering=0) as file:
        while chunk := file.read(_READ_OCTETS):
            scanner.feed(chunk)
    return answers(scanner.finish())


def adopt(write: Write, folder: FolderRow, strangers: Iterable[Stranger], contents: Contents, *, believe_uids: bool) -> int:
    """Take files into a folder; how many came. What is no regular file, cannot be read, or has gone meanwhile, is left."""
    guests = [guest for stranger in strangers if (guest := _look_at(write, stranger)) is not None]
    if not guests:
        return 0
    write.touch(folder)
    cur = write.store.place.cur(folder.directory)
    placed = [
        (guest, uid, f"{cur}/{format_name(guest.base, guest.size, uid, guest.flags)}")
        for guest, uid in _with_uids(write, folder, guests, believe=believe_uids)
    ]
    write.rename([(guest.ready, target) for guest, _, target in placed if guest.ready != target])
    write.intend(leftovers=[guest.path for guest, _, _ in placed if guest.ready != guest.path])
    write.durable[cur] = None
    for guest, uid, target in placed:
        email_pk = contents.email_pk(guest.base, guest.size, target, guest.mtime_us)
        insert_message(
            write,
            folder,
            uid=uid,
            flags=guest.flags,
            size=guest.size,
            email_pk=email_pk,
            name=os.path.basename(target),
            saved_us=guest.mtime_us,
        )
    return len(placed)


def _look_at(write: Write, stranger: Stranger) -> _Guest | None:
    try:
        found = os.lstat(stranger.path)
        if not stat.S_ISREG(found.st_mode) or not is_readable(stranger.path):
            return None
        ready = stranger.path if _is_ours(stranger.path, found) else _with_crlf(write, stranger.path, found)
        size = os.stat(ready).st_size
    except FileNotFoundError:
        return None
    mtime_us = found.st_mtime_ns // 1000
    return _Guest(stranger.path, ready, _base_of(write, stranger.name), size, mtime_us, stranger.name.uid, stranger.name.flags)


def is_readable(path: str) -> bool:
    """False where the server may not read the file: it is another user's, and waits until it is given to the server's."""
    try:
        os.close(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC))
    except PermissionError:
        return False
    except FileNotFoundError:
        pass  # gone meanwhile: whoever takes it in will see that
    return True


def _is_ours(path: str, found: os.stat_result) -> bool:
    """Published by us: the name has a UID and the file's size. Such a file is as it came and stays so (Reg. 9.1)."""
    name = parse_name(os.path.basename(path))
    return name.uid > 0 and name.size == found.st_size


def _base_of(write: Write, name: MessageName) -> str:
    """The stranger's base name, or one of ours where it could not stand in a name or an index."""
    base = name.base
    if not base or len(base) > _MAX_BASE or not base.isprintable() or not base.isascii() or ":" in base or base.startswith("."):
        return write.store.shared.names.base(write.store.clock.now_us())
    return base


def _with_uids(write: Write, folder: FolderRow, guests: list[_Guest], *, believe: bool) -> list[tuple[_Guest, int]]:
    taken: set[int] = set()
    kept: list[tuple[_Guest, int]] = []
    rest: list[_Guest] = []
    if believe:
        here = {"account": write.store.account_id, "folder": folder.folder_id}
        taken = {uid for statement in (_UIDS, _GONE_UIDS) for (uid,) in statement.on(write.connection, **here)}
    for guest in sorted(guests, key=lambda guest: (guest.mtime_us, guest.base)):
        if believe and 0 < guest.uid < folder.uidnext_mark and guest.uid not in taken:
            taken.add(guest.uid)
            kept.append((guest, guest.uid))
        else:
            rest.append(guest)
    folder.uidnext = max([folder.uidnext, *(uid + 1 for _, uid in kept)])
    return sorted(kept, key=lambda pair: pair[1]) + [(guest, write.take_uid(folder)) for guest in rest]


def _with_crlf(write: Write, path: str, found: os.stat_result) -> str:
    """`path`, or a durable copy of it in `tmp/` with every bare LF made CRLF."""
    with open(path, "rb", buffering=0) as source:
        if not _has_bare_lf(source):
            return path
        source.seek(0)
        target = f"{write.store.place.tmp}/{write.store.shared.names.base(write.store.clock.now_us())}"
        fd = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, MESSAGE_MODE)
        with open(fd, "wb", buffering=0) as copy:
            last = b""
            while chunk := source.read(_READ_OCTETS):
                converted = (last + chunk).replace(b"\r\n", b"\n").replace(b"\n", b"\r\n")
                # A CR at the end may belong to the next chunk's LF.
                last = b"\r" if converted.endswith(b"\r") else b""
                _write_all(copy, converted[: len(converted) - len(last)])
            _write_all(copy, last)
            os.utime(copy.fileno(), ns=(found.st_mtime_ns, found.st_mtime_ns))
            os.fsync(copy.fileno())
    return target


def _has_bare_lf(file: FileIO) -> bool:
    last = b""
    while chunk := file.read(_READ_OCTETS):
        if chunk.count(b"\n") != (last + chunk).count(b"\r\n"):
            return True
        last = chunk[-1:]
    return False


def _write_all(file: FileIO, octets: bytes) -> None:
    view = memoryview(octets)
    while view:
        view = view[file.write(view) :]
