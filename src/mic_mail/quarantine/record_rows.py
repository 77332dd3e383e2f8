"""Held messages and their records as rows in PostgreSQL, which administrators see and decide on at any node.

    held_entry    the record, its mark, and the beginning of the message; NULL: there is none any more
    held_piece    the rest of a message of more than `PIECE_OCTETS`

A change holds the row of its record (FOR UPDATE), so of two decisions at once the second one finds the first. What is added is
one transaction; where its outcome is not known the message is refused, and its sender tries again. Blocking; no clock.
"""

import contextlib
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from functools import partial
from hashlib import sha256
from pathlib import Path
from typing import Final

from mic_mail.errors import Text, Trouble
from mic_mail.quarantine.record_files import RecordFiles
from mic_mail.quarantine.record_place import Described, Mark, RecordChange, RecordPlace, StoreFull, chunks
from mic_mail.queue.message_pieces import PIECE_OCTETS, MessagePieces, ReadAt
from mic_mail.queue.scratch import Scratch
from mic_mail.storage.errors import DiskFull, Unavailable
from mic_mail.storage.index.postgresql.connection import PostgresqlConnection
from mic_mail.storage.index.postgresql.database import Database

_PIECES: Final = MessagePieces("held")
TABLES: Final = (
    "CREATE SEQUENCE held_mark",
    """CREATE TABLE held_entry (
        entry_id text COLLATE "C" PRIMARY KEY,
        kind text COLLATE "C" NOT NULL,
        mark bigint NOT NULL DEFAULT nextval('held_mark'),
        record bytea NOT NULL,
        size bigint NOT NULL DEFAULT 0,
        beginning bytea)""",
    "CREATE INDEX held_entry_of_kind ON held_entry (kind, entry_id)",
    _PIECES.table,
)
"""Statements by which `storage.index.postgresql.creation` makes the tables beside those of the mailboxes."""

_USED = "SELECT count(*), CAST(coalesce(sum(size), 0) AS bigint) FROM held_entry WHERE kind = $1 AND beginning IS NOT NULL"
_LOCK = "SELECT record FROM held_entry WHERE entry_id = $1 FOR UPDATE"
_READ = "SELECT record FROM held_entry WHERE entry_id = $1"
_EACH = "SELECT entry_id, mark FROM held_entry WHERE kind = $1 ORDER BY entry_id"
_ADD = """INSERT INTO held_entry (entry_id, kind, record, size, beginning)
    VALUES ($1, $2, CAST($3 AS bytea), $4, CAST($5 AS bytea)) ON CONFLICT DO NOTHING"""
_RECORD = """INSERT INTO held_entry (entry_id, kind, record) VALUES ($1, $2, CAST($3 AS bytea))
    ON CONFLICT (entry_id) DO UPDATE SET record = excluded.record, mark = nextval('held_mark')"""
_NO_MESSAGE = "UPDATE held_entry SET beginning = NULL, size = 0 WHERE entry_id = $1"
_NO_PIECES = "DELETE FROM held_piece WHERE entry_id = $1"
_FORGET = "DELETE FROM held_entry WHERE entry_id = $1"
_MESSAGE = "SELECT beginning, size FROM held_entry WHERE entry_id = $1 AND beginning IS NOT NULL"


class RecordRows(RecordPlace):
    """The records and messages of one kind; safe from several threads."""

    def __init__(self, database: Database, kind: str, scratch_folder: Path, *, closes: bool = False) -> None:
        """`database` has its tables, and is closed with this if it `closes`; `kind` is part of the keys.

        `scratch_folder` has messages while they are read, in files without names.
        """
        self.database = database
        self.kind = kind
        self._scratch_folder = scratch_folder
        self._closes = closes

    def close(self) -> None:
        if self._closes:
            self.database.close()

    def key(self, held_id: str) -> str:
        return f"{self.kind}:{held_id}"

    def prepare(self) -> None: ...

    def used(self) -> tuple[int, int]:
        with self.database.reading() as connection:
            number, octets = connection.run(_USED, self.kind).fetchone()
        return number, octets

    @contextmanager
    def changing(self, held_id: str) -> "Iterator[RecordRowsChange]":
        with _storing(), self.database.transaction() as connection:
            yield RecordRowsChange(self, connection, self.key(held_id))

    def read(self, held_id: str) -> bytes | None:
        with self.database.reading() as connection:
            row = connection.run(_READ, self.key(held_id)).fetchone()
        return None if row is None else row[0]

    def each(self) -> Iterator[tuple[str, Mark, Callable[[], bytes]]]:
        with self.database.reading() as connection:
            rows = connection.run(_EACH, self.kind).fetchall()
        for key, mark in rows:
            held_id = key.partition(":")[2]
            yield held_id, mark, partial(self._read_again, held_id)

    def _read_again(self, held_id: str) -> bytes:
        octets = self.read(held_id)
        if octets is None:
            raise FileNotFoundError(held_id)
        return octets

    @contextmanager
    def message(self, held_id: str) -> Iterator[Path]:
        key = self.key(held_id)
        self._scratch_folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        with contextlib.ExitStack() as opened:
            with self.database.reading() as connection:
                row = connection.run(_MESSAGE, key).fetchone()
                if row is None:
                    path = self._scratch_folder / f"{held_id}.gone"
                else:
                    scratch = Scratch(self._scratch_folder, 0o600, ".msg", lambda: None)
                    opened.callback(scratch.discard)
                    _PIECES.read(connection, key, row[0], row[1], scratch.write)
                    path = Path(scratch.path)
            yield path

    def copy_into(self, folder: Path, earlier: Path | None = None) -> int:
        """Copy nothing: a backup of the database has them."""
        return 0

    def forget(self, held_id: str) -> None:
        with self.database.transaction() as connection:
            connection.run(_FORGET, self.key(held_id))

    def sweep(self, now_seconds: float, over: Callable[[], Collection[str]]) -> None:
        """Do nothing: a transaction leaves nothing behind."""

    def take_in(self, root: Path) -> None:
        """Take in what this machine had in files; by one process, when it starts. It is removed there when it is here."""
        files = RecordFiles(root)
        for held_id, _, read in files.each():
            with contextlib.suppress(FileNotFoundError), files.message(held_id) as path:
                record = read()
                with self.database.transaction() as connection:
                    if path.exists():
                        insert(connection, self, held_id, record, path)
                    elif connection.run(_READ, self.key(held_id)).fetchone() is None:
                        connection.run(_RECORD, self.key(held_id), self.kind, record)
                files.forget(held_id)


class RecordRowsChange(RecordChange):
    """A change of one record, in a transaction that holds its row."""

    def __init__(self, rows: RecordRows, connection: PostgresqlConnection, key: str) -> None:
        self._rows = rows
        self._connection = connection
        self._key = key

    def read(self) -> bytes | None:
        row = self._connection.run(_LOCK, self._key).fetchone()
        return None if row is None else row[0]

    def add(self, source: bytes | Path, describe: Described) -> None:
        digest, size = sha256(), 0
        for piece in chunks(source):
            digest.update(piece)
            size += len(piece)
        insert(self._connection, self._rows, self._key.partition(":")[2], describe(size, digest.hexdigest()), source)

    def write(self, record: bytes, *, has_message: bool) -> None:
        self._connection.run(_RECORD, self._key, self._rows.kind, record)
        if not has_message:
            self._connection.run(_NO_MESSAGE, self._key)
            self._connection.run(_NO_PIECES, self._key)


def insert(connection: PostgresqlConnection, rows: RecordRows, held_id: str, record: bytes, source: bytes | Path) -> None:
    """Add a record with its message; what is there stays as it is."""
    with contextlib.ExitStack() as opened:
        if isinstance(source, bytes):
            size, read = len(source), _slices(source)
        else:
            file = opened.enter_context(open(source, "rb", buffering=0))
            size = file.seek(0, 2)

            def read(octets: int, at: int) -> bytes:
                file.seek(at)
                return file.read(octets)

        key = rows.key(held_id)
        made = connection.run(_ADD, key, rows.kind, record, size, read(PIECE_OCTETS, 0))
        if size > PIECE_OCTETS and made.rowcount:
            _PIECES.write(connection, key, size, read)


def _slices(source: bytes) -> ReadAt:
    return lambda octets, at: source[at : at + octets]


@contextmanager
def _storing() -> Iterator[None]:
    try:
        yield
    except DiskFull as error:
        raise StoreFull(Text("Máy chủ tạm hết chỗ.", "No room on the server.")) from error
    except Unavailable as error:
        raise Trouble(Text("Không ghi được thư được giữ.", "The message cannot be stored.")) from error
