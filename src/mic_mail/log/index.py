"""The search index of the log: one SQLite file a month beside the segments, `log-2026-11.sqlite`.

    file     a segment, or the acts of the month: how far it has been loaded
    block    about 8 KiB of whole lines of a file: offset, first and last instant, a digest of the octets
    posting  key -> block (`query.key_of`)

It holds no text: a search reads the blocks that it returns, and the lines decide. The file can be deleted at any time and is
rebuilt from the segments; lines not loaded yet are read from there. It is also a witness: a file that has become shorter than
what was loaded, or whose octets have changed, is detected before the next anchor (`verify`).

In: lines. Out: blocks. One transaction loads some blocks and records their end, so that a process killed anywhere loads
nothing twice and skips nothing. Only `Month` uses SQL; blocking.
"""

import contextlib
import json
import os
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path
from urllib.parse import quote

from mic_mail.errors import Text, Trouble, in_ascii

VERSION = 1
APPLICATION_ID = 0x6D6D6C67
"""SQLite's `application_id`: "mmlg"."""
BLOCK_OCTETS = 8 << 10
BUSY_SECONDS = 5.0
CACHE_KIB = 64 << 10

_SCHEMA = (
    "CREATE TABLE file (file INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, octets INTEGER NOT NULL)",
    """CREATE TABLE block (block INTEGER PRIMARY KEY, file INTEGER NOT NULL, start INTEGER NOT NULL, octets INTEGER NOT NULL,
       first_us INTEGER NOT NULL, last_us INTEGER NOT NULL, digest BLOB NOT NULL)""",
    "CREATE INDEX block_by_file ON block (file, start)",
    "CREATE INDEX block_by_time ON block (last_us, first_us)",
    "CREATE TABLE posting (key INTEGER NOT NULL, block INTEGER NOT NULL, PRIMARY KEY (key, block)) WITHOUT ROWID",
)
_DAMAGE = frozenset({sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_ERROR})
"""Error codes that mean damage; SQLITE_ERROR stands for a missing table."""

# The joins run in the order written: a key leaves few blocks, which are sorted; by time no sort is needed.
_BY_KEYS = """
SELECT name, start, b.octets, first_us, last_us, digest
FROM posting p CROSS JOIN block b ON b.block = p.block CROSS JOIN file f ON f.file = b.file
WHERE p.key = :key AND last_us >= :since AND first_us < :until
  AND NOT EXISTS (SELECT 1 FROM json_each(:others) other
                  WHERE NOT EXISTS (SELECT 1 FROM posting o WHERE o.key = other.value AND o.block = b.block))
ORDER BY last_us DESC
"""
_BY_TIME = """
SELECT name, start, b.octets, first_us, last_us, digest FROM block b CROSS JOIN file f ON f.file = b.file
WHERE last_us >= :since AND first_us < :until ORDER BY last_us DESC
"""
_OF_FILE = """
SELECT name, start, b.octets, first_us, last_us, digest FROM file f CROSS JOIN block b ON b.file = f.file
WHERE name = ? ORDER BY start
"""
_LAST_OF_FILE = """
SELECT name, start, b.octets, first_us, last_us, digest FROM file f CROSS JOIN block b ON b.file = f.file
WHERE name = ? ORDER BY start DESC LIMIT 1
"""
_BEFORE_ALL, _AFTER_ALL = -1, 1 << 62


class IndexUnavailable(Trouble):
    """The index is busy, out of space or unreadable for this account: no reason to discard it."""

    def __init__(self, month: str, why: str) -> None:
        super().__init__(
            Text(f"Chỉ mục nhật ký {month} tạm thời không dùng được.", f"The log index of {month} is unavailable."),
            remedy=Text(f"SQLite: {why}", f"SQLite: {in_ascii(why)}"),
        )
        self.month = month


class DamagedIndex(Exception):
    """The index of a month cannot be used: not SQLite, not whole, of another version."""

    def __init__(self, month: str, why: Text | str) -> None:
        """`why` is a message of SQLite, or a sentence of ours."""
        super().__init__(f"log-{month}.sqlite: {why}")
        self.text = Text(f"log-{month}.sqlite: {why.vi if isinstance(why, Text) else why}", str(self))
        self.month = month


@dataclass(frozen=True, slots=True)
class Block:
    """A block of whole lines of a file."""

    name: str
    start: int
    octets: int
    first_us: int
    last_us: int
    digest: bytes = b""


@dataclass(slots=True)
class IndexedBlocks:
    """The consecutive blocks of a file that one transaction adds, each with its keys."""

    name: str
    start: int
    blocks: list[tuple[Block, set[int]]]
    lines: int
    """Number of new lines."""
    replaces: int | None = None
    """The start of the file's last block, if the first of these is that block grown."""

    @property
    def end(self) -> int:
        return self.blocks[-1][0].start + self.blocks[-1][0].octets


def path_of(folder: Path, month: str) -> Path:
    return folder / f"log-{month}.sqlite"


def months_on_disk(folder: Path) -> list[str]:
    """Return the months that have an index, oldest first."""
    return sorted(path.name[4:-7] for path in folder.glob("log-[0-9][0-9][0-9][0-9]-[0-9][0-9].sqlite"))


def discard(folder: Path, month: str) -> None:
    for suffix in ("-wal", "-shm", ""):
        with contextlib.suppress(FileNotFoundError):
            os.unlink(f"{path_of(folder, month)}{suffix}")


def digest_of(octets: bytes) -> bytes:
    """Return the digest of a block: it detects changes, but does not prove their absence."""
    return blake2b(octets, digest_size=8).digest()


class Month:
    """An open index."""

    def __init__(self, month: str, connection: sqlite3.Connection) -> None:
        self.month = month
        self._db = connection

    @classmethod
    @contextlib.contextmanager
    def reading(cls, folder: Path, month: str) -> Iterator["Month | None"]:
        """Open one state of the index; None if there is none, or none that can be opened now."""
        path = path_of(folder, month)
        with _log_damage(month):
            try:
                connection = _connect(f"file:{quote(str(path))}?mode=ro") if path.exists() else None
            except sqlite3.OperationalError:  # deleted meanwhile, or unreadable for this account
                connection = None
        if connection is None:
            yield None
            return
        with closing(connection):
            with _log_damage(month):
                usable = _is_ours(connection)
                connection.execute("BEGIN")
            yield cls(month, connection) if usable else None

    @classmethod
    @contextlib.contextmanager
    def loading(cls, folder: Path, month: str) -> Iterator["Month"]:
        """Open the index for loading; create it if missing."""
        with _log_damage(month), closing(_connect(f"file:{quote(str(path_of(folder, month)))}?mode=rwc")) as connection:
            connection.execute(f"PRAGMA cache_size = -{CACHE_KIB}")
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("PRAGMA synchronous = NORMAL")
            _create_if_empty(connection)
            if not _is_ours(connection):
                raise DamagedIndex(month, Text("thuộc phiên bản khác", "another version"))
            yield cls(month, connection)

    # ------------------------------------------------------------ loading

    def loaded(self) -> dict[str, int]:
        """Return the loaded octets of each file."""
        with _log_damage(self.month):
            return dict(self._db.execute("SELECT name, octets FROM file").fetchall())

    def last_block(self, name: str) -> Block | None:
        """Return the last block of a file, which may grow."""
        row = self._db.execute(_LAST_OF_FILE, (name,)).fetchone()
        return Block(*row) if row else None

    def add(self, added: IndexedBlocks) -> bool:
        """Load blocks in one transaction; change nothing and return False if another process has loaded them."""
        self._db.execute("BEGIN IMMEDIATE")
        try:
            done = self._add(added)
            self._db.execute("COMMIT")
        finally:
            if self._db.in_transaction:  # on a full disk SQLite has already rolled back: raise that error
                self._db.execute("ROLLBACK")
        return done

    def _add(self, added: IndexedBlocks) -> bool:
        db = self._db
        row = db.execute("SELECT file, octets FROM file WHERE name = ?", (added.name,)).fetchone()
        if row is None:
            db.execute("INSERT INTO file (name, octets) VALUES (?, 0)", (added.name,))
            row = db.execute("SELECT file, octets FROM file WHERE name = ?", (added.name,)).fetchone()
        file, octets = row
        if octets != added.start:
            return False
        ids = self._take_blocks(file, added)
        postings = sorted((key, block) for block, (_, keys) in zip(ids, added.blocks, strict=True) for key in keys)
        db.executemany("INSERT OR IGNORE INTO posting VALUES (?, ?)", postings)
        db.execute("UPDATE file SET octets = ? WHERE file = ?", (added.end, file))
        return True

    def _take_blocks(self, file: int, added: IndexedBlocks) -> list[int]:
        db = self._db
        ids: list[int] = []
        for block, _ in added.blocks:
            if block.start == added.replaces:
                (number,) = db.execute(
                    "UPDATE block SET octets = ?, first_us = min(first_us, ?), last_us = max(last_us, ?), digest = ?"
                    " WHERE file = ? AND start = ? RETURNING block",
                    (block.octets, block.first_us, block.last_us, block.digest, file, block.start),
                ).fetchone()
            else:
                number = db.execute(
                    "INSERT INTO block (file, start, octets, first_us, last_us, digest) VALUES (?, ?, ?, ?, ?, ?)",
                    (file, block.start, block.octets, block.first_us, block.last_us, block.digest),
                ).lastrowid
            ids.append(number)
        return ids

    # ------------------------------------------------------------ searching

    def latest_us(self) -> int:
        """Return the instant of the latest line in the index."""
        with _log_damage(self.month):
            return int(self._db.execute("SELECT max(last_us) FROM block").fetchone()[0] or 0)

    def candidates(self, keys: Sequence[int], since_us: int | None, until_us: int | None) -> Iterator[Block]:
        """Yield blocks that have all keys (the rarest first) and may overlap the span, the latest first."""
        values = {"since": _BEFORE_ALL if since_us is None else since_us, "until": _AFTER_ALL if until_us is None else until_us}
        with _log_damage(self.month):
            if keys:
                rows = self._db.execute(_BY_KEYS, {**values, "key": keys[0], "others": json.dumps(keys[1:])})
            else:
                rows = self._db.execute(_BY_TIME, values)
            for row in rows:
                yield Block(*row)

    def blocks(self, name: str) -> list[Block]:
        with _log_damage(self.month):
            return [Block(*row) for row in self._db.execute(_OF_FILE, (name,))]

    def check(self) -> None:
        """Check the whole file; raise `DamagedIndex` with the fault."""
        with _log_damage(self.month):
            (answer,) = self._db.execute("PRAGMA quick_check(1)").fetchone()
        if answer != "ok":
            raise DamagedIndex(self.month, str(answer))


def _connect(uri: str) -> sqlite3.Connection:
    return sqlite3.connect(uri, uri=True, isolation_level=None, timeout=BUSY_SECONDS, check_same_thread=False)


def _create_if_empty(connection: sqlite3.Connection) -> None:
    """Create the schema; two loaders may try concurrently."""
    connection.execute("BEGIN IMMEDIATE")
    if not connection.execute("SELECT 1 FROM sqlite_master").fetchone() and not any(_marks(connection)):
        for statement in _SCHEMA:
            connection.execute(statement)
        connection.execute(f"PRAGMA user_version = {VERSION}")
        connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
    connection.execute("COMMIT")


def _is_ours(connection: sqlite3.Connection) -> bool:
    return _marks(connection) == (APPLICATION_ID, VERSION)


def _marks(connection: sqlite3.Connection) -> tuple[int, int]:
    (application,) = connection.execute("PRAGMA application_id").fetchone()
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    return application, version


@contextlib.contextmanager
def _log_damage(month: str) -> Iterator[None]:
    try:
        yield
    except sqlite3.DatabaseError as error:
        if isinstance(error, sqlite3.OperationalError) and error.sqlite_errorcode & 0xFF not in _DAMAGE:
            raise IndexUnavailable(month, str(error)) from error
        raise DamagedIndex(month, str(error)) from error
