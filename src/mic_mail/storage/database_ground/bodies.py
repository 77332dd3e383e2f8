"""Bodies of messages as rows: staged in this process, written with the change that publishes them, read piece by piece.

A body belongs to a content (`email_pk`), so copies share it. A trigger removes it with the content's row (schema.py). It lies
in pieces, so that neither side ever holds a large message as a whole.
"""

import contextlib
import os
from collections.abc import Iterator
from tempfile import SpooledTemporaryFile
from typing import Self

from sqlalchemy import bindparam, func, insert, select

from mic_mail.storage.errors import NoSuchMessage, Unavailable, of_os_error
from mic_mail.storage.index import schema
from mic_mail.storage.index.statements import Connection, SqlStatement, keyed_by, whole_sum
from mic_mail.storage.store import Store, Write
from mic_mail.storage.types import RepairFinding

PIECE_OCTETS = 256 << 10
_PIECES_AT_ONCE = 4

_M = schema.message.c
_T = schema.tombstone.c
_B = schema.body.c
_E = schema.email.c
_INSERT_PIECE = SqlStatement(insert(schema.body))
_PIECE = SqlStatement(select(_B.octets).where(keyed_by(_B, "email"), _B.piece == bindparam("piece")))
_OF_MESSAGE = SqlStatement(
    select(_M.email_pk, _M.size, _B.octets)
    .join_from(schema.message, schema.body, (_B.account_id == _M.account_id) & (_B.email_pk == _M.email_pk))
    .where(keyed_by(_M, "folder", "at"), _B.piece == bindparam("piece"))
)
_OF_TOMBSTONE = SqlStatement(select(_T.email_pk, _T.size, _T.moved_folder_id, _T.moved_uid).where(keyed_by(_T, "folder", "at")))

_MOVES_FOLLOWED = 16


def write_body(connection: Connection, account_id: int, email_pk: int, pieces: Iterator[bytes]) -> None:
    """Write a body as part of a change; no more than `_PIECES_AT_ONCE` wait to be sent."""
    for piece, octets in enumerate(pieces, 1):
        cursor = _INSERT_PIECE.on(connection, account_id=account_id, email_pk=email_pk, piece=piece - 1, octets=octets)
        if piece % _PIECES_AT_ONCE == 0:
            assert cursor.rowcount == 1


def read_piece(connection: Connection, account_id: int, email_pk: int, number: int) -> bytes | None:
    """Return one piece of a body, if there is one of this number."""
    row = _PIECE.on(connection, account=account_id, email=email_pk, piece=number).fetchone()
    return None if row is None else row[0]


def read_body(connection: Connection, account_id: int, email_pk: int, size: int) -> Iterator[bytes]:
    """Yield the pieces of a body; `Unavailable` where one is not whole."""
    for number, at in enumerate(range(0, size, PIECE_OCTETS)):
        piece = read_piece(connection, account_id, email_pk, number)
        if piece is None or len(piece) != min(PIECE_OCTETS, size - at):
            raise Unavailable(_too_short(account_id, email_pk, number))
        yield piece


def _too_short(account_id: int, email_pk: int, piece: int) -> str:
    return f"account {account_id}: of content {email_pk}, piece {piece} is missing or too short; repair finds all that are"


class StagingFile:
    """The content of messages on their way, one after the other: in memory while it is small, else in a temporary file."""

    __slots__ = ("_users", "end", "file")

    def __init__(self) -> None:
        self.file = SpooledTemporaryFile(max_size=PIECE_OCTETS)  # noqa: SIM115 - closed by the last `leave`, or with the last user
        self.end = 0
        self._users = 0

    def enter(self) -> int:
        """Return where the content of another message begins."""
        self._users += 1
        return self.end

    def leave(self) -> None:
        self._users -= 1
        if not self._users:
            with contextlib.suppress(OSError):  # of what it writes last
                self.file.close()


class StagedBody:
    """An incoming message in a staging file of its own, or a copy in one with others.

    `DiskFull` or `Unavailable` leaves nothing of it behind.
    """

    __slots__ = ("_at", "_is_there", "_staging", "base", "size")

    def __init__(self, base: str) -> None:
        self.base = base
        """The part of its name that it keeps for ever."""
        self.size = 0
        self._is_there = True
        self._staging = StagingFile()
        self._at = self._staging.enter()

    def share(self, staging: StagingFile) -> None:
        """Lie in a file with others, since each has a descriptor and memory; before the first `write`. It has no `path`."""
        self._staging.leave()
        self._staging, self._at = staging, staging.enter()

    @property
    def path(self) -> str:
        """The path of its descriptor: the file itself has no name."""
        assert self._staging.end == self.size, "a file of its own"
        file = self._staging.file
        try:
            file.rollover()
            file.flush()
        except OSError as error:
            raise self._discarded(error) from error
        return f"/proc/self/fd/{file.fileno()}"

    def write(self, octets: bytes | bytearray | memoryview) -> None:
        try:
            written = self._staging.file.write(octets)
        except OSError as error:
            raise self._discarded(error) from error
        self.size += written
        self._staging.end += written

    def append_rest(self, source: int, offset: int) -> None:
        """Append the open file `source` from `offset` on."""
        try:
            while octets := os.pread(source, PIECE_OCTETS, offset):
                self.write(octets)
                offset += len(octets)
        except OSError as error:
            raise self._discarded(error) from error

    def finish(self) -> None:
        """Complete the content; the change that publishes it makes it durable."""
        self.finish_later()

    def finish_later(self) -> None:
        """Leave nothing in a buffer: a file that has no room for it says so here, not within a change."""
        try:
            self._staging.file.flush()
        except OSError as error:
            raise self._discarded(error) from error

    def discard(self) -> None:
        """Drop the content; harmless when called twice."""
        if self._is_there:
            self._is_there = False
            self._staging.leave()

    def _discarded(self, error: OSError) -> Unavailable:
        self.discard()
        return of_os_error("staging", error)

    def pieces(self) -> Iterator[bytes]:
        """Yield the content, at least one piece; may be called again, where the change is tried again."""
        try:
            for at in range(0, self.size or 1, PIECE_OCTETS):
                self._staging.file.seek(self._at + at)
                yield self._staging.file.read(min(PIECE_OCTETS, self.size - at))
        except OSError as error:
            raise of_os_error("reading what was staged", error) from error


class MessageBody:
    """A message opened; a small one is in memory, of a large one the piece that was read last. Any thread may read."""

    __slots__ = ("_at", "_email_pk", "_store", "size")

    def __init__(self, store: Store, email_pk: int, size: int, first: bytes) -> None:
        self.size = size
        self._store = store
        self._email_pk = email_pk
        self._at = 0, first
        """A piece, and its number; replaced as a whole."""

    def pread(self, offset: int, length: int) -> bytes:
        """Read up to `length` octets, fewer at the end of the message."""
        end = min(offset + length, self.size)
        parts: list[bytes] = []
        while offset < end:
            number, start = divmod(offset, PIECE_OCTETS)
            part = self._piece(number)[start : start + end - offset]
            if not part:
                raise Unavailable(_too_short(self._store.account_id, self._email_pk, number))
            parts.append(part)
            offset += len(part)
        return b"".join(parts)

    def _piece(self, number: int) -> bytes:
        at, octets = self._at
        if at != number:
            with self._store.reading() as connection:
                row = _PIECE.on(connection, account=self._store.account_id, email=self._email_pk, piece=number).fetchone()
            if row is None:
                raise Unavailable(f"account {self._store.account_id}: a message that is being read has been removed")
            octets = row[0]
            self._at = number, octets
        return octets

    def close(self) -> None:
        self._at = -1, b""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()


def open_message(store: Store, folder_id: int, uid: int, hint: str | None = None) -> MessageBody:
    """Open a message, as `Store.open_message`; there are no hints here."""
    asked = folder_id, uid
    with store.reading() as connection:
        for _ in range(_MOVES_FOLLOWED):
            here = {"account": store.account_id, "folder": folder_id, "at": uid}
            row = _OF_MESSAGE.on(connection, **here, piece=0).fetchone()
            if row is not None:
                return MessageBody(store, *row)
            row = _OF_TOMBSTONE.on(connection, **here).fetchone()
            if row is None:
                break
            email_pk, size, folder_id, uid = row
            if email_pk is not None:
                first = _PIECE.on(connection, account=store.account_id, email=email_pk, piece=0).fetchone()
                if first is None:
                    break
                return MessageBody(store, email_pk, size, first[0])
            if folder_id is None:
                break
    raise NoSuchMessage(*asked)


_LACKING = SqlStatement(
    select(_E.email_pk, _E.size, whole_sum(func.length(_B.octets)))
    .join_from(schema.email, schema.body, (_B.account_id == _E.account_id) & (_B.email_pk == _E.email_pk), isouter=True)
    .where(keyed_by(_E))
    .group_by(_E.email_pk, _E.size)
    .having(whole_sum(func.length(_B.octets)) != _E.size)
)


def verify_bodies(write: Write) -> Iterator[RepairFinding]:
    """Yield the contents whose bodies are not as long as their rows say."""
    for email_pk, size, octets in _LACKING.on(write.connection, account=write.store.account_id).fetchall():
        yield RepairFinding("content-changed", "", f"{email_pk}: {octets} of {size} octets")
