"""Files not placed by this server, taken in as messages.

They come from other Maildir tools (`new/`), from a foreign Maildir, or from ourselves when the index was lost. Each becomes a
file of ours: named as in message_names.py, lines ended by CRLF unless we had published it (Maildir tools store bare LF; IMAP
sends and counts CRLF, RFC 5322 §2.1), scanned for its answers, INTERNALDATE from the file's time. A UID in the name is trusted
only where we may have assigned it ourselves and no other message has it; all others get new ones in order of their file times.
"""

import os
import stat
from collections.abc import Iterable
from dataclasses import dataclass
from io import FileIO

from sqlalchemy import select

from mic_mail.clock import within_calendar
from mic_mail.durable_files import write_all
from mic_mail.mime.imap_structure import Answers, answers
from mic_mail.mime.scanner import Scanner
from mic_mail.storage.changes import seen
from mic_mail.storage.changes.expunge import add_refs
from mic_mail.storage.changes.publish import insert_email, insert_message
from mic_mail.storage.changes.transaction import LocalWrite
from mic_mail.storage.index import schema
from mic_mail.storage.index.rows import FolderRow
from mic_mail.storage.index.statements import SqlStatement, keyed_by
from mic_mail.storage.maildir.maildir import MESSAGE_MODE, make_tmp
from mic_mail.storage.message_names import MessageName, format_name, parse_name
from mic_mail.storage.types import SEEN

_READ_OCTETS = 1 << 20
_MAX_BASE = 180

_M = schema.message.c
_T = schema.tombstone.c
_E = schema.email.c
_UIDS = SqlStatement(select(_M.uid).where(keyed_by(_M, "folder")))
_GONE_UIDS = SqlStatement(select(_T.uid).where(keyed_by(_T, "folder")))
_CONTENTS = SqlStatement(select(_E.base, _E.size, _E.email_pk).where(keyed_by(_E)))
_F = schema.folder.c
_FILES = SqlStatement(
    select(_M.email_pk, _F.directory, _M.name)
    .join_from(schema.message, schema.folder, (_F.account_id == _M.account_id) & (_F.folder_id == _M.folder_id))
    .where(keyed_by(_M))
)
_BURIED_FILES = SqlStatement(select(_T.email_pk, _T.name).where(keyed_by(_T), _T.email_pk.is_not(None), _T.name.is_not(None)))


@dataclass(frozen=True, slots=True)
class ForeignMaildirFile:
    """A file to take in; `name` is parsed from its file name, or from a list beside it."""

    path: str
    name: MessageName


@dataclass(frozen=True, slots=True)
class _NewMessage:
    path: str
    ready: str
    """Path of content that can be published as it is: `path`, or a converted file in `tmp/`."""
    base: str
    size: int
    mtime_us: int
    uid: int
    flags: int


@dataclass(slots=True)
class ForeignContent:
    """The content of one or more files; `email_pk` is None until its row is written."""

    base: str
    size: int
    email_pk: int | None
    paths: list[str]


class ContentTable:
    """The contents that the index knows, by base name: copies of one message share their answers.

    A name is only a claim: content is shared by the same file, or by files with the same octets. Another message under a taken
    base name gets a base name of its own, since EMAILID is made from it. Where no file is left to compare with, the name is
    trusted (a message that was moved), but not the stored answers.
    """

    def __init__(self, write: LocalWrite) -> None:
        self._write = write
        self._rows: dict[str, list[tuple[int, int]]] | None = None
        self._files: dict[int, list[str]] | None = None
        self._known: dict[str, list[ForeignContent]] = {}

    def of(self, base: str, size: int, path: str) -> ForeignContent:
        """Return the content of the file at `path`, named `base`; a new content may get another base name."""
        known = self._known.get(base)
        if known is None:
            known = self._known[base] = [ForeignContent(base, size, pk, self._paths(pk)) for size, pk in self._indexed(base)]
        taken = False
        for content in known:
            evidence = [same for there in content.paths if (same := _same(content, there, size, path)) is not None]
            if any(evidence):
                return content
            taken = taken or bool(evidence)
        if taken:
            base = self._write.store.shared.names.base(self._write.store.clock.steady_us())
        content = ForeignContent(base, size, None, [path])
        self._known.setdefault(base, []).append(content)
        return content

    def refer(self, content: ForeignContent, path: str, received_us: int) -> int:
        """Return the content's row after adding a reference; `path` is a file that holds the content."""
        if content.email_pk is None:
            answers = scan_file(path)
            content.email_pk = self._write.take_email_pk()
            insert_email(self._write, content.email_pk, content.base, answers, size=content.size, received_us=received_us)
            content.paths = [path]
        else:
            add_refs(self._write, [content.email_pk], 1)
        return content.email_pk

    def _indexed(self, base: str) -> list[tuple[int, int]]:
        if self._rows is None:
            self._rows = {}
            for known, size, email_pk in _CONTENTS.on(self._write.connection, account=self._write.store.account_id):
                self._rows.setdefault(known, []).append((size, email_pk))
        return self._rows.get(base, [])

    def _paths(self, email_pk: int) -> list[str]:
        if self._files is None:
            self._files = {}
            paths, account = self._write.store.paths, self._write.store.account_id
            for known, directory, name in _FILES.on(self._write.connection, account=account):
                self._files.setdefault(known, []).append(f"{paths.cur(directory)}/{name}")
            for known, name in _BURIED_FILES.on(self._write.connection, account=account):
                self._files.setdefault(known, []).append(f"{paths.expunged}/{name}")
        return self._files.get(email_pk, [])


def _same(content: ForeignContent, there: str, size: int, path: str) -> bool | None:
    """Return whether the file at `path` has this content, by comparison with `there`; None if that does not have it."""
    try:
        found = os.stat(there)
        if found.st_size != content.size or not stat.S_ISREG(found.st_mode):
            return None
        if size != content.size or os.path.samestat(found, os.stat(path)):
            return size == content.size
        with open(there, "rb", buffering=0) as one, open(path, "rb", buffering=0) as other:
            while chunk := one.read(_READ_OCTETS):
                if chunk != other.read(_READ_OCTETS):
                    return False
    except (FileNotFoundError, PermissionError):
        return None
    return True


def scan_file(path: str) -> Answers:
    """Return the answers about a message on disk."""
    scanner = Scanner()
    with open(path, "rb", buffering=0) as file:
        while chunk := file.read(_READ_OCTETS):
            scanner.feed(chunk)
    return answers(scanner.finish())


def adopt(
    write: LocalWrite, folder: FolderRow, foreign: Iterable[ForeignMaildirFile], contents: ContentTable, *, believe_uids: bool
) -> int:
    """Take in the readable regular files; return how many were added."""
    messages = [message for file in foreign if (message := _look_at(write, file)) is not None]
    if not messages:
        return 0
    write.touch(folder)
    cur = write.store.paths.cur(folder.directory)
    placed: list[tuple[_NewMessage, int, ForeignContent, str]] = []
    for message, given in _with_uids(write, folder, messages, believe=believe_uids):
        content, uid = contents.of(message.base, message.size, message.ready), given
        target = f"{cur}/{format_name(content.base, message.size, uid, message.flags)}"
        while target != message.ready and os.path.lexists(target):  # another file claims that UID, and waits to be renamed
            uid = write.take_uid(folder)
            target = f"{cur}/{format_name(content.base, message.size, uid, message.flags)}"
        placed.append((message, uid, content, target))
    came = write.names.rename_those_there(
        [(message.ready, target) for message, _, _, target in placed if message.ready != target]
    )
    placed = [each for each in placed if each[3] in came or each[0].ready == each[3]]
    write.names.intend(leftovers=[message.path for message, *_ in placed if message.ready != message.path])
    write.names.durable[cur] = None
    for message, uid, content, target in placed:
        try:
            email_pk = contents.refer(content, target, message.mtime_us)
        except FileNotFoundError:  # renamed already: under its new name it is a foreign file again
            continue
        insert_message(
            write,
            folder,
            uid=uid,
            flags=message.flags,
            size=message.size,
            email_pk=email_pk,
            name=os.path.basename(target),
            saved_us=message.mtime_us,
        )
        if message.flags & SEEN:
            seen.bring(write, folder, [uid])
    return len(placed)


def _look_at(write: LocalWrite, file: ForeignMaildirFile) -> _NewMessage | None:
    try:
        found = os.lstat(file.path)
        if not stat.S_ISREG(found.st_mode) or not is_readable(file.path):
            return None
        ready = file.path if _is_ours(file.path, found) else _with_crlf(write, file.path, found)
        size = os.stat(ready).st_size
    except FileNotFoundError:
        return None
    mtime_us = arrival_of(found)
    return _NewMessage(file.path, ready, _base_of(write, file.name), size, mtime_us, file.name.uid, file.name.flags)


def is_readable(path: str) -> bool:
    """Return False where the file belongs to another user, and waits until it is given to the server's."""
    try:
        os.close(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC))
    except PermissionError:
        return False
    except FileNotFoundError:
        pass  # gone meanwhile; adoption will notice
    return True


def arrival_of(found: os.stat_result) -> int:
    """Return INTERNALDATE by the file's time, which another tool may have set to anything."""
    return within_calendar(found.st_mtime_ns // 1000)


def _is_ours(path: str, found: os.stat_result) -> bool:
    """Return whether we published the file, which then stays as it is: its name has a UID and its size (Reg. 9.1)."""
    name = parse_name(os.path.basename(path))
    return name.uid > 0 and name.size == found.st_size


def _base_of(write: LocalWrite, name: MessageName) -> str:
    """Return the file's base name, or one of ours where it cannot be used in a name or an index."""
    base = name.base
    if not base or len(base) > _MAX_BASE or not base.isprintable() or not base.isascii() or ":" in base or base.startswith("."):
        return write.store.shared.names.base(write.store.clock.steady_us())
    return base


def _with_uids(
    write: LocalWrite, folder: FolderRow, messages: list[_NewMessage], *, believe: bool
) -> list[tuple[_NewMessage, int]]:
    taken: set[int] = set()
    kept: list[tuple[_NewMessage, int]] = []
    rest: list[_NewMessage] = []
    if believe:
        here = {"account": write.store.account_id, "folder": folder.folder_id}
        taken = {uid for statement in (_UIDS, _GONE_UIDS) for (uid,) in statement.on(write.connection, **here)}
    for message in sorted(messages, key=lambda message: (message.mtime_us, message.base)):
        if believe and 0 < message.uid < folder.uidnext_mark and message.uid not in taken:
            taken.add(message.uid)
            kept.append((message, message.uid))
        else:
            rest.append(message)
    folder.uidnext = max([folder.uidnext, *(uid + 1 for _, uid in kept)])
    return sorted(kept, key=lambda pair: pair[1]) + [(message, write.take_uid(folder)) for message in rest]


def _with_crlf(write: LocalWrite, path: str, found: os.stat_result) -> str:
    """Return `path`, or a durable copy of it in `tmp/` with every bare LF made CRLF."""
    with open(path, "rb", buffering=0) as source:
        if not _has_bare_lf(source):
            return path
        source.seek(0)
        make_tmp(write.store.paths)
        target = f"{write.store.paths.tmp}/{write.store.shared.names.base(write.store.clock.steady_us())}"
        fd = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, MESSAGE_MODE)
        with open(fd, "wb", buffering=0) as copy:
            last = b""
            while chunk := source.read(_READ_OCTETS):
                converted = (last + chunk).replace(b"\r\n", b"\n").replace(b"\n", b"\r\n")
                # A CR at the end may belong to the next chunk's LF.
                last = b"\r" if converted.endswith(b"\r") else b""
                write_all(copy.fileno(), converted[: len(converted) - len(last)])
            write_all(copy.fileno(), last)
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
