"""The connections to one account's index.

There is one writer, used only under the account's lock, and up to two idle readers; all may be closed at any time
(`Store.rest`) and reopen at the next use. Errors of SQLite leave as `Unavailable` or `DiskFull`:
damage to an index is temporary for the peer, since the files are the mail and `repair` rebuilds the index from them.
"""

import contextlib
import os
import sqlite3
import sys
import threading
from contextlib import AbstractContextManager
from types import TracebackType
from urllib.parse import quote

from mic_mail.clock import Clock
from mic_mail.storage.errors import DiskFull, Unavailable, of_os_error

_IDLE_READERS = 2
_BUSY_SECONDS = 5.0
PRIMARY = 0xFF
"""Mask of the primary part of a result code."""
_CACHE_KIB = 64
"""Cache of one connection.

Larger ones gain next to nothing, since the kernel holds the file's pages (docs/decisions/0134).
"""
_AUTO_CHECKPOINT_PAGES = 4_000
"""The last resort, 16 MB of write-ahead log; the housekeeper checkpoints long before."""
_LONGEST_LEFT_LOG = 256 << 10
"""Octets of a log that stays when its index rests: some nine deliveries.

The next connection reads all of it first.
"""
_BEGUN_LOG_OCTETS = 32 + 24 + 4096
"""Octets of a log that `renew_log` has begun: its header, and the header and the octets of one page."""


SQLITE_ERRORS = (sqlite3.Error, UnicodeDecodeError)
"""Exceptions of sqlite3.

Where SQLite's message quotes octets of a damaged schema, Python fails to decode the message instead.
"""


class translated:  # noqa: N801 - read as a function: `with translated("reading the index"):`
    """Turn errors of SQLite and files into the store's own; a generator would cost four times as much."""

    __slots__ = ("_kind", "_what")

    def __init__(self, what: str, kind: type[Unavailable] = Unavailable) -> None:
        self._what = what
        self._kind = kind

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if isinstance(error, SQLITE_ERRORS):
            full = getattr(error, "sqlite_errorcode", None) == sqlite3.SQLITE_FULL
            raise (DiskFull if full else self._kind)(f"{self._what}: {error}") from error
        if isinstance(error, OSError):
            raise of_os_error(self._what, error, self._kind) from error


def is_damage(error: BaseException) -> bool:
    """Return whether SQLite reports that the file is no database, or a damaged one."""
    code = getattr(error, "sqlite_errorcode", 0) & PRIMARY
    return code in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB) or isinstance(error, UnicodeDecodeError)


class Index:
    """One account's index file, opened as needed.

    Every connection has one user at a time: a reader is taken off the list while it is used, and the writer belongs to the
    holder of the account's lock. So a thread that finds a reader on the list, or holds the lock, may close it.
    """

    def __init__(
        self, path: str, *, synchronous: str, clock: Clock, busy_seconds: float = _BUSY_SECONDS, leaves_log: bool = False
    ) -> None:
        """`leaves_log`: a short log stays when the index rests (`_close_at_rest`), from Python 3.12 on."""
        self._path = path
        self._leaves_log = leaves_log and sys.version_info >= (3, 12)
        self._busy_seconds = busy_seconds
        self._synchronous = synchronous
        self._clock = clock
        self._lock = threading.Lock()
        self._writer: sqlite3.Connection | None = None
        self._writer_used_at = 0.0
        self._readers: list[tuple[sqlite3.Connection, float]] = []
        """Idle readers, with the time when each was returned."""
        self._generation = 0
        self.doubtful = False
        """Set once SQLite has found the file damaged."""

    def reading(self) -> AbstractContextManager[sqlite3.Connection]:
        """Return a reader; each statement sees the newest commit."""
        return _Reading(self, in_snapshot=False)

    def snapshot(self) -> AbstractContextManager[sqlite3.Connection]:
        """Return a reader whose statements all see the same commit. Keep it short, for checkpoints."""
        return _Reading(self, in_snapshot=True)

    def take_reader(self) -> tuple[sqlite3.Connection, int]:
        """Take a reader for exclusive use, with the generation to return it with; for `_Reading`."""
        with self._lock:
            generation = self._generation
            connection = self._readers.pop()[0] if self._readers else None
        return connection or self._connect(), generation

    def give_back(self, connection: sqlite3.Connection, generation: int) -> None:
        """Return a reader, which becomes idle or is closed."""
        with self._lock:
            keep = generation == self._generation and len(self._readers) < _IDLE_READERS
            if keep:
                self._readers.append((connection, self._clock.monotonic()))
        if not keep:
            connection.close()

    def suspect(self, error: BaseException) -> None:
        """Mark the index doubtful if the error means damage: the store's next use checks all of it."""
        if is_damage(error):
            self.doubtful = True

    def damage(self) -> list[str]:
        """Return what SQLite finds wrong with the file, reading every page."""
        connection = self._connect()
        try:
            problems = [str(text) for (text,) in connection.execute("PRAGMA quick_check(10)")]
        except SQLITE_ERRORS as error:
            if not is_damage(error):
                raise
            return [str(error)]
        finally:
            connection.close()
        return [] if problems == ["ok"] else problems

    def writer(self) -> sqlite3.Connection:
        """Return the one writer; the caller holds the account's lock while it uses it."""
        if self._writer is None:
            self._writer = self._promoted() or self._connect()
        self._writer_used_at = self._clock.monotonic()
        return self._writer

    def _promoted(self) -> sqlite3.Connection | None:
        """Turn an idle reader into the writer, which is cheaper than connecting.

        Such a reader is, for example, that of a delivery's quota query.
        """
        with self._lock:
            return self._readers.pop()[0] if self._readers else None

    def make(self) -> sqlite3.Connection:
        """Return a writer, creating the file if need be; under the account's lock."""
        self.close_writer()
        self._writer = self._connect(mode="rwc")
        self._writer_used_at = self._clock.monotonic()
        self._writer.execute("PRAGMA journal_mode = WAL")
        return self._writer

    def _connect(self, *, mode: str = "rw") -> sqlite3.Connection:
        connection = sqlite3.connect(
            f"file:{quote(self._path)}?mode={mode}",
            uri=True,
            timeout=self._busy_seconds,
            isolation_level=None,
            check_same_thread=False,
            cached_statements=256,
        )
        connection.execute(f"PRAGMA synchronous = {self._synchronous}")
        connection.execute(f"PRAGMA cache_size = -{_CACHE_KIB}")
        connection.execute(f"PRAGMA wal_autocheckpoint = {_AUTO_CHECKPOINT_PAGES}")
        connection.execute("PRAGMA temp_store = MEMORY")
        return connection

    def checkpoint(self) -> None:
        """Move the log into the index as far as readers allow; under the account's lock."""
        self.writer().execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()

    def renew_log(self, *, begin: bool = True) -> None:
        """Move the log into the index; where it held changes, begin another, for the next change to append to.

        Under the account's lock. The new log holds the index's first page as it is, so nothing is lost with it. A log that
        holds no more than that page only goes: an index that nobody changes leaves none. `begin` is False where the disk has no
        room for another.
        """
        held_changes = self._log_octets() > _BEGUN_LOG_OCTETS
        self.checkpoint()
        if begin and self._leaves_log and held_changes and not self._log_octets():
            writer = self.writer()
            (version,) = writer.execute("PRAGMA user_version").fetchone()
            with contextlib.suppress(sqlite3.OperationalError):  # a full disk: the next change begins the log
                writer.execute(f"PRAGMA user_version = {version}")

    def _log_octets(self) -> int:
        try:
            return os.stat(f"{self._path}-wal").st_size
        except OSError:
            return 0

    def close_writer(self) -> None:
        if self._writer is not None:
            self._writer.close()
            self._writer = None

    def rest_writer(self) -> None:
        """Close the writer of an index that rests; what it has committed is durable then."""
        if self._writer is not None:
            self._close_at_rest(self._writer, sync=True)
            self._writer = None

    def _close_at_rest(self, connection: sqlite3.Connection, *, sync: bool) -> None:
        """Close a connection; a short log stays, durable if `sync`.

        At the last close SQLite would move the log into the index, with a sync of each, and remove it. The next change would
        make a new log, and sync its header and its directory before it is answered. To a log that is there it only appends.
        What is left is bounded: a longer log is moved as ever, and so is every log by the hourly sweep, which begins another.
        """
        # the version is compared again for the type checker, to which `setconfig` is unknown before
        if self._leaves_log and sys.version_info >= (3, 12) and self._has_short_log(sync=sync):
            connection.setconfig(sqlite3.SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, True)
        connection.close()

    def _has_short_log(self, *, sync: bool) -> bool:
        """Return whether there is a log that may stay, made durable if `sync`.

        SQLite holds no lock on its file that closing it here could drop.
        """
        try:
            fd = os.open(f"{self._path}-wal", os.O_RDONLY | os.O_CLOEXEC)
        except OSError:
            return False
        try:
            is_short = 0 < os.fstat(fd).st_size <= _LONGEST_LEFT_LOG
            if is_short and sync:
                os.fdatasync(fd)
        except OSError:  # SQLite moves the log into the index, or keeps it, as it sees fit
            return False
        finally:
            os.close(fd)
        return is_short

    def close_readers(self) -> None:
        """Close idle readers now and busy ones when they are returned."""
        with self._lock:
            self._generation += 1
            idle, self._readers = self._readers, []
        for connection, _ in idle:
            connection.close()

    def rest_readers(self, before: float) -> int:
        """Close the readers unused since `before`; return how many."""
        with self._lock:
            idle = [reader for reader in self._readers if reader[1] < before]
            self._readers = [reader for reader in self._readers if reader[1] >= before]
        for connection, _ in idle:
            self._close_at_rest(connection, sync=False)
        return len(idle)

    @property
    def rests(self) -> bool:
        """Return whether neither the writer nor an idle reader is open."""
        return self._writer is None and not self._readers

    def writer_rests(self, before: float) -> bool:
        """Return whether there is a writer unused since `before`; a guess unless the lock is held."""
        return self._writer is not None and self._writer_used_at < before

    def identity(self) -> int | None:
        """Return the file's inode, None if there is none; a changed one means that the index was replaced."""
        try:
            return os.stat(self._path).st_ino
        except FileNotFoundError:
            return None


class _Reading(AbstractContextManager[sqlite3.Connection]):
    __slots__ = ("_connection", "_generation", "_in_snapshot", "_index")

    def __init__(self, index: Index, *, in_snapshot: bool) -> None:
        self._index = index
        self._in_snapshot = in_snapshot
        self._connection: sqlite3.Connection
        self._generation: int

    def __enter__(self) -> sqlite3.Connection:
        self._connection, self._generation = self._index.take_reader()
        if self._in_snapshot:
            self._run("BEGIN")
        return self._connection

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if error is not None:
            self._fail(error)
            return
        if self._in_snapshot:
            self._run("COMMIT")
        self._index.give_back(self._connection, self._generation)

    def _run(self, statement: str) -> None:
        try:
            self._connection.execute(statement)
        except BaseException as error:
            self._fail(error)
            raise

    def _fail(self, error: BaseException) -> None:
        self._index.suspect(error)
        try:
            if self._connection.in_transaction:
                self._connection.rollback()
        finally:
            self._index.give_back(self._connection, self._generation)
