"""Where things are found: one SQLite file a month beside the segments, `log-2026-11.sqlite`.

    file     a segment, or the acts of the month: how far it has been loaded
    block    about 8 KiB of whole lines of a file: where they lie, from when to when they are, a digest of their octets
    posting  key -> block (`query.key_of`)

It holds no text: a search reads the blocks that it names, and the lines decide. The file can be deleted at any time and is
made anew from the segments; what it has not loaded yet is read there. It is a witness beside it: a file that has become shorter
than what was loaded, or whose octets have changed, is found out before the next anchor (`checking`).

In: lines. Out: blocks. One transaction loads a stretch and says how far it went, so that a process that is killed anywhere
loads nothing twice and leaves nothing out. Only `Month` speaks SQL; blocking.
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
"""Of what SQLite calls an operational error: the last is a table that is not there."""

# The order of the joins is as written: of what one key names few blocks are left, which are sorted; by time nothing is.
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


class Unavailable(Trouble):
    """Busy, no room, not to be read by this account: no reason to throw anything away."""

    def __init__(self, month: str, why: str) -> None:
        super().__init__(
            Text(f"Chỉ mục nhật ký {month} tạm thời không dùng được.", f"The log's index of {month} cannot be used now."),
            remedy=Text(f"SQLite: {why}", f"SQLite: {in_ascii(why)}"),
        )
        self.month = month


class Damaged(Exception):
    """The index of a month cannot be used: not SQLite, not whole, of another version."""

    def __init__(self, month: str, why: str) -> None:
        super().__init__(f"log-{month}.sqlite: {why}")
        self.month = month


@dataclass(frozen=True, slots=True)
class Block:
    """Some whole lines of a file."""

    name: str
    start: int
    octets: int
    first_us: int
    last_us: int
    digest: bytes = b""


@dataclass(slots=True)
class IndexedBlocks:
    """What one transaction adds of a file: blocks that follow one another, each with its keys."""

    name: str
    start: int
    blocks: list[tuple[Block, set[int]]]
    lines: int
    """How many are new."""
    replaces: int | None = None
    """The start of the file's last block, where the first of these is that block grown."""

    @property
    def end(self) -> int:
        return self.blocks[-1][0].start + self.blocks[-1][0].octets


def path_of(folder: Path, month: str) -> Path:
    """The index of a month."""
    return folder / f"log-{month}.sqlite"


def months_on_disk(folder: Path) -> list[str]:
    """The months that have an index, oldest first."""
    return sorted(path.name[4:-7] for path in folder.glob("log-[0-9][0-9][0-9][0-9]-[0-9][0-9].sqlite"))


def discard(folder: Path, month: str) -> None:
    """Take a month's index away; harmless where there is none."""
    for suffix in ("-wal", "-shm", ""):
        with contextlib.suppress(FileNotFoundError):
            os.unlink(f"{path_of(folder, month)}{suffix}")


def digest_of(octets: bytes) -> bytes:
    """What a block remembers of its octets: to find what has changed, not to prove that nothing has."""
    return blake2b(octets, digest_size=8).digest()


class Month:
    """An open index."""

    def __init__(self, month: str, connection: sqlite3.Connection) -> None:
        self.month = month
        self._db = connection

    @classmethod
    @contextlib.contextmanager
    def reading(cls, folder: Path, month: str) -> Iterator["Month | None"]:
        """One state of the index; None where there is none, or none that can be opened now."""
        path = path_of(folder, month)
        with _log_damage(month):
            try:
                connection = _connect(f"file:{quote(str(path))}?mode=ro") if path.exists() else None
            except sqlite3.OperationalError:  # gone meanwhile, or not to be read by this account
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
        """Made where there is none."""
        with _log_damage(month), closing(_connect(f"file:{quote(str(path_of(folder, month)))}?mode=rwc")) as connection:
            connection.execute(f"PRAGMA cache_size = -{CACHE_KIB}")
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("PRAGMA synchronous = NORMAL")
            _create_if_empty(connection)
            if not _is_ours(connection):
                raise Damaged(month, "another version")
            yield cls(month, connection)

    # ------------------------------------------------------------ loading

    def loaded(self) -> dict[str, int]:
        """How many octets of each file are in here."""
        with _log_damage(self.month):
            return dict(self._db.execute("SELECT name, octets FROM file").fetchall())

    def last_block(self, name: str) -> Block | None:
        """The last of a file, which may grow."""
        row = self._db.execute(_LAST_OF_FILE, (name,)).fetchone()
        return Block(*row) if row else None

    def add(self, stretch: IndexedBlocks) -> bool:
        """Load a stretch, in one transaction. False: somebody else has loaded it meanwhile, and nothing is changed."""
        self._db.execute("BEGIN IMMEDIATE")
        try:
            done = self._add(stretch)
            self._db.execute("COMMIT")
        finally:
            if self._db.in_transaction:  # SQLite has rolled back itself where the disk is full: that is what has to be told
                self._db.execute("ROLLBACK")
        return done

    def _add(self, stretch: IndexedBlocks) -> bool:
        db = self._db
        row = db.execute("SELECT file, octets FROM file WHERE name = ?", (stretch.name,)).fetchone()
        if row is None:
            db.execute("INSERT INTO file (name, octets) VALUES (?, 0)", (stretch.name,))
            row = db.execute("SELECT file, octets FROM file WHERE name = ?", (stretch.name,)).fetchone()
        file, octets = row
        if octets != stretch.start:
            return False
        ids = self._take_blocks(file, stretch)
        postings = sorted((key, block) for block, (_, keys) in zip(ids, stretch.blocks, strict=True) for key in keys)
        db.executemany("INSERT OR IGNORE INTO posting VALUES (?, ?)", postings)
        db.execute("UPDATE file SET octets = ? WHERE file = ?", (stretch.end, file))
        return True

    def _take_blocks(self, file: int, stretch: IndexedBlocks) -> list[int]:
        """The blocks into the table; their numbers."""
        db = self._db
        ids: list[int] = []
        for block, _ in stretch.blocks:
            if block.start == stretch.replaces:
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

    # ------------------------------------------------------------ finding

    def latest_us(self) -> int:
        """When the latest line in here is from."""
        with _log_damage(self.month):
            return int(self._db.execute("SELECT max(last_us) FROM block").fetchone()[0] or 0)

    def candidates(self, keys: Sequence[int], since_us: int | None, until_us: int | None) -> Iterator[Block]:
        """Blocks that have all keys (the rarest first) and may reach into the span; the latest first."""
        values = {"since": _BEFORE_ALL if since_us is None else since_us, "until": _AFTER_ALL if until_us is None else until_us}
        with _log_damage(self.month):
            if keys:
                rows = self._db.execute(_BY_KEYS, {**values, "key": keys[0], "others": json.dumps(keys[1:])})
            else:
                rows = self._db.execute(_BY_TIME, values)
            for row in rows:
                yield Block(*row)

    def blocks(self, name: str) -> list[Block]:
        """All of a file, in order."""
        with _log_damage(self.month):
            return [Block(*row) for row in self._db.execute(_OF_FILE, (name,))]

    def check(self) -> None:
        """Read the whole file; `Damaged` says what is wrong with it."""
        with _log_damage(self.month):
            (answer,) = self._db.execute("PRAGMA quick_check(1)").fetchone()
        if answer != "ok":
            raise Damaged(self.month, str(answer))


def _connect(uri: str) -> sqlite3.Connection:
    return sqlite3.connect(uri, uri=True, isolation_level=None, timeout=BUSY_SECONDS, check_same_thread=False)


def _create_if_empty(connection: sqlite3.Connection) -> None:
    """Two loaders may try at once."""
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
            raise Unavailable(month, str(error)) from error
        raise Damaged(month, str(error)) from error
