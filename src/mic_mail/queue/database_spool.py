"""The spool of several nodes: rows in PostgreSQL, and the reports that its entries cause.

    spool_entry     envelope, beginning of the message, and the process that holds the entry until an instant
    spool_piece     the rest of a message of more than `PIECE_OCTETS`
    spool_report    a report, which is due once it refers to no entry

    put        one transaction; `250` is answered after its COMMIT. The process that has put an entry holds it
    hold       until `held_until`, by the database's clock; extended while the process works on the entry
    take up    whoever finds an entry that nobody holds, and whose next attempt is due, holds it (FOR UPDATE SKIP LOCKED)
    progress   the envelope is replaced, if nobody else has taken the entry up, and its reports become due; the hold ends
    end        the row is removed, by the same rule; reports that were kept and not recorded go with it (ON DELETE CASCADE)

    a process dies, or its node    its entries are free after `HOLD_SECONDS`
    a hold has ended too early     the entry is delivered by two, each mailbox takes it once, and one of them records it
    a COMMIT without answer        of a put: the same put finds out; of anything else: the entry is taken up again

The lease of the queue (node_lease.py) is not needed here, since nothing in the spool leaves for other servers: a mailbox
recognises what it has by its origin. Nor are disks, or standbys, waited for at an end, which would only be found out again.
Blocking.
"""

import contextlib
import os
import secrets
import threading
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import ClassVar, Final

from mic_mail.queue.database_queue import DatabaseQueue, insert
from mic_mail.queue.errors import UNREADABLE, LeaseLost, trouble
from mic_mail.queue.local_reports import LocalReports
from mic_mail.queue.local_spool import LocalSpool, LocalSpoolEntry
from mic_mail.queue.message_pieces import PIECE_OCTETS, MessagePieces, ReadAt, reader
from mic_mail.queue.pending_reports import PendingReports
from mic_mail.queue.queue import Queue, QueueEnvelope
from mic_mail.queue.scratch import Scratch
from mic_mail.queue.spool import LONGEST_PAUSE_SECONDS, MESSAGE_MODE, Spool, SpoolDraft, SpoolEntry, SpoolEnvelope
from mic_mail.storage.errors import OutcomeUnknown, Unavailable
from mic_mail.storage.index.postgresql.database import Database
from mic_mail.storage.reserve import Reserves

HOLD_SECONDS: Final = 15.0
_MOST_TAKEN_UP: Final = 100
"""Entries taken up by one call: their messages are in memory until they are delivered."""
_PAGE: Final = 200
_SUFFIX: Final = ".msg"

_PIECES: Final = MessagePieces("spool")
TABLES: Final = (
    """CREATE TABLE spool_entry (
        entry_id text COLLATE "C" PRIMARY KEY,
        holder text COLLATE "C",
        held_until timestamptz,
        next_try_us bigint NOT NULL,
        envelope bytea NOT NULL,
        size bigint NOT NULL,
        beginning bytea NOT NULL)""",
    _PIECES.table,
    """CREATE TABLE spool_report (
        name text COLLATE "C" PRIMARY KEY,
        entry_id text COLLATE "C" REFERENCES spool_entry ON DELETE CASCADE,
        envelope bytea NOT NULL,
        message bytea NOT NULL)""",
    "CREATE INDEX spool_report_of_entry ON spool_report (entry_id) WHERE entry_id IS NOT NULL",
)
"""Statements by which `storage.index.postgresql.creation` makes the spool beside the tables of the mailboxes."""

_PUT = """INSERT INTO spool_entry (entry_id, envelope, size, beginning, next_try_us, holder, held_until)
    VALUES ($1, CAST($2 AS bytea), $3, CAST($4 AS bytea), $5, $6, clock_timestamp() + make_interval(secs => $7))
    ON CONFLICT DO NOTHING"""
_TAKE_IN = """INSERT INTO spool_entry (entry_id, envelope, size, beginning, next_try_us)
    VALUES ($1, CAST($2 AS bytea), $3, CAST($4 AS bytea), $5) ON CONFLICT DO NOTHING"""
_HAS = "SELECT 1 FROM spool_entry WHERE entry_id = $1"
_NAMES = "SELECT entry_id FROM spool_entry ORDER BY entry_id"
_ENVELOPE = "SELECT envelope FROM spool_entry WHERE entry_id = $1"
_FREE = """SELECT entry_id, envelope FROM spool_entry
    WHERE (held_until IS NULL OR held_until < clock_timestamp()) AND entry_id > $1
    AND (next_try_us <= $2 OR next_try_us > $3) ORDER BY entry_id LIMIT $4"""
_TAKE_UP = """UPDATE spool_entry SET holder = $2, held_until = clock_timestamp() + make_interval(secs => $3)
    WHERE entry_id IN (
        SELECT entry_id FROM spool_entry WHERE entry_id = $1 AND (held_until IS NULL OR held_until < clock_timestamp())
        FOR UPDATE SKIP LOCKED)
    RETURNING envelope, size, beginning"""
_EXTEND = """UPDATE spool_entry SET held_until = clock_timestamp() + make_interval(secs => $3)
    WHERE holder = $1 AND held_until IS NOT NULL AND entry_id = ANY(string_to_array($2, ' '))"""
_RELEASE = "UPDATE spool_entry SET holder = NULL, held_until = NULL WHERE entry_id = $1 AND holder = $2"
_RELEASE_ALL = "UPDATE spool_entry SET holder = NULL, held_until = NULL WHERE holder = $1"
_PROGRESS = """UPDATE spool_entry SET envelope = CAST($3 AS bytea), next_try_us = $4, held_until = NULL
    WHERE entry_id = $1 AND holder = $2"""
_LOCK = "SELECT 1 FROM spool_entry WHERE entry_id = $1 AND holder = $2 FOR UPDATE"
_END = "DELETE FROM spool_entry WHERE entry_id = $1 AND holder = $2"
_ANY_TIME_US: Final = (1 << 63) - 1
_SOON = "SET LOCAL synchronous_commit TO off"

_KEEP = """INSERT INTO spool_report (name, entry_id, envelope, message)
    SELECT $1, entry_id, CAST($3 AS bytea), CAST($4 AS bytea) FROM spool_entry WHERE entry_id = $2 FOR KEY SHARE
    ON CONFLICT (name) DO UPDATE SET envelope = excluded.envelope, message = excluded.message
    WHERE spool_report.entry_id IS NOT NULL"""
_KEEP_DUE = """INSERT INTO spool_report (name, envelope, message) VALUES ($1, CAST($2 AS bytea), CAST($3 AS bytea))
    ON CONFLICT DO NOTHING"""
_MAKE_DUE = """UPDATE spool_report SET entry_id = NULL WHERE entry_id = $1 AND name = ANY(string_to_array($2, ' '))
    AND EXISTS (SELECT 1 FROM spool_entry WHERE entry_id = $1 AND holder = $3)"""
_FORGET = "DELETE FROM spool_report WHERE entry_id = $1"
_DUE = "SELECT name FROM spool_report WHERE entry_id IS NULL ORDER BY name LIMIT 1000"
_REPORT = "SELECT message, envelope FROM spool_report WHERE name = $1"
_TAKE_REPORT = "DELETE FROM spool_report WHERE name = $1 RETURNING message, envelope"
_DONE = "DELETE FROM spool_report WHERE name = $1"


class DatabaseSpool(Spool):
    """All entries of one database; safe from several threads."""

    poll_seconds: ClassVar[float] = 2.0
    hold_seconds: ClassVar[float | None] = HOLD_SECONDS

    def __init__(self, database: Database, root: Path, reserves: Reserves | None = None, *, closes: bool = False) -> None:
        """`database` has its tables, and is closed with the spool if it `closes`."""
        super().__init__(root, reserves)
        self._tmp.mkdir(parents=True, exist_ok=True, mode=0o750)
        self._root = root
        self.database = database
        self._closes = closes
        self.holder = secrets.token_hex(8)
        """This process, as one that holds entries."""
        self._in_progress: set[str] = set()
        self._lock = threading.Lock()

    def close(self) -> None:
        """Give back what this process holds."""
        try:
            if self._in_progress:
                with self.database.transaction() as connection:
                    connection.run(_RELEASE_ALL, self.holder)
        finally:
            if self._closes:
                self.database.close()

    def draft(self, spool_id: str) -> "DatabaseSpoolDraft":
        return DatabaseSpoolDraft(self, spool_id)

    def has(self, spool_id: str) -> bool:
        with self.database.reading() as connection:
            return connection.run(_HAS, spool_id).fetchone() is not None

    def names(self) -> list[str]:
        with self.database.reading() as connection:
            return [spool_id for (spool_id,) in connection.run(_NAMES)]

    def read(self, spool_id: str) -> SpoolEnvelope | None:
        with self.database.reading() as connection:
            row = connection.run(_ENVELOPE, spool_id).fetchone()
        return None if row is None else _decoded(row[0])

    # Holds

    def recover(
        self,
        now_us: int | None = None,
        waits: Callable[[SpoolEnvelope], bool] = lambda envelope: False,
        unreadable: Callable[[Path, OSError], None] = lambda path, error: None,
    ) -> "Iterator[DatabaseSpoolEntry]":
        """Yield up to 100 entries."""
        taken_up = 0
        for spool_id, envelope in self._free(now_us):
            if waits(envelope):
                continue
            entry = self._take_up(spool_id)
            if entry is not None:
                yield entry
                taken_up += 1
                if taken_up == _MOST_TAKEN_UP:
                    return

    def _free(self, now_us: int | None) -> Iterator[tuple[str, SpoolEnvelope]]:
        """Yield the entries that nobody holds; those whose envelope cannot be read are left to administrators."""
        due_us, ahead_us = (_ANY_TIME_US,) * 2 if now_us is None else (now_us, now_us + LONGEST_PAUSE_SECONDS * 1_000_000)
        last, is_last = "", False
        while not is_last:
            with self.database.reading() as connection:
                rows = connection.run(_FREE, last, due_us, ahead_us, _PAGE).fetchall()
            is_last = len(rows) < _PAGE
            for last, octets in rows:
                if (envelope := _decoded(octets)) is not None:
                    yield last, envelope

    def _take_up(self, spool_id: str) -> "DatabaseSpoolEntry | None":
        with self.database.transaction() as connection:
            connection.run(_SOON)
            row = connection.run(_TAKE_UP, spool_id, self.holder, str(HOLD_SECONDS)).fetchone()
        if row is None or (envelope := _decoded(row[0])) is None:
            return None
        return self.holding(spool_id, envelope, row[1], row[2])

    def holding(self, spool_id: str, envelope: SpoolEnvelope, size: int, beginning: bytes) -> "DatabaseSpoolEntry":
        """Return an entry that this process holds from now on."""
        with self._lock:
            self._in_progress.add(spool_id)
        return DatabaseSpoolEntry(self, spool_id, envelope, size, beginning)

    def extend_holds(self) -> None:
        with self._lock:
            held = " ".join(self._in_progress)
        if held:
            with self.database.transaction() as connection:
                connection.run(_SOON)
                connection.run(_EXTEND, self.holder, held, str(HOLD_SECONDS))

    def drop_hold(self, spool_id: str) -> None:
        """Extend the hold of an entry no longer."""
        with self._lock:
            self._in_progress.discard(spool_id)

    # Entries and reports of this machine from before its spool was a database

    def take_in(self) -> None:
        """Take in what this machine has in files; what cannot be read stays there. By one process, when it starts."""
        if not (self._root / "live").is_dir():
            return
        with closing(LocalSpool(self._root)) as files:
            reports = LocalReports(self._root / "owed", files)
            for name in reports.due():
                with contextlib.suppress(OSError, ValueError):
                    if (found := reports.read(name)) is not None:
                        with self.database.transaction() as connection:
                            connection.run(_KEEP_DUE, name, found[1].encode(), found[0])
                        reports.done(name)
            for entry in files.recover():
                with contextlib.suppress(OSError), open(entry.path, "rb", buffering=0) as message:
                    reports.forget(entry.spool_id, ())  # of an attempt that was interrupted
                    self._take_in(entry, message.fileno())
                entry.release()

    def _take_in(self, entry: LocalSpoolEntry, message: int) -> None:
        """Take in one entry; a kill before its end has it taken in once more, and its mailboxes know it by its origin."""
        size, envelope = os.fstat(message).st_size, entry.envelope
        with self.database.transaction() as connection:
            connection.run(
                _TAKE_IN, entry.spool_id, envelope.encode(), size, reader(message)(PIECE_OCTETS, 0), envelope.next_try_us
            )
            if size > PIECE_OCTETS:
                _PIECES.write(connection, entry.spool_id, size, reader(message))
        entry.end()


def _decoded(octets: bytes) -> SpoolEnvelope | None:
    try:
        return SpoolEnvelope.decode(octets)
    except ValueError:
        return None


class DatabaseSpoolDraft(SpoolDraft):
    """A draft in a file without a name."""

    __slots__ = ("_scratch", "_spool", "_spool_id", "size")

    def __init__(self, spool: DatabaseSpool, spool_id: str) -> None:
        self._spool = spool
        self._spool_id = spool_id
        self._scratch: Scratch | None = spool.scratch()
        self.size = 0

    @property
    def _open(self) -> Scratch:
        assert self._scratch is not None, "neither committed nor discarded"
        return self._scratch

    @property
    def path(self) -> str:
        return self._open.path

    def write(self, octets: bytes | bytearray | memoryview) -> None:
        self._open.write(octets)
        self.size = self._open.size

    def append_rest(self, source: int, offset: int) -> None:
        self._open.append_rest(source, offset)
        self.size = self._open.size

    def finish(self) -> None:
        """Do nothing: COMMIT makes it durable."""

    def commit(self, envelope: SpoolEnvelope) -> "DatabaseSpoolEntry":
        read = reader(self._open.fd)
        try:
            beginning = read(PIECE_OCTETS, 0)
            try:
                self._put(envelope, beginning, read)
            except OutcomeUnknown:  # the same once more waits for the first, and does nothing if that has succeeded
                self._put(envelope, beginning, read)
        except UNREADABLE as error:
            self.discard()
            raise trouble(error) from error
        if self.size <= PIECE_OCTETS:
            self.discard()
        entry = self._spool.holding(self._spool_id, envelope, self.size, beginning)
        entry.scratch, self._scratch = self._scratch, None
        return entry

    def _put(self, envelope: SpoolEnvelope, beginning: bytes, read: ReadAt) -> None:
        with self._spool.database.transaction() as connection:
            row = self._spool_id, envelope.encode(), self.size, beginning, envelope.next_try_us
            made = connection.run(_PUT, *row, self._spool.holder, str(HOLD_SECONDS))
            if self.size > PIECE_OCTETS and made.rowcount:
                _PIECES.write(connection, self._spool_id, self.size, read)

    def discard(self) -> None:
        scratch, self._scratch = self._scratch, None
        if scratch is not None:
            scratch.discard()


class DatabaseSpoolEntry(SpoolEntry):
    """An entry that this process holds."""

    __slots__ = ("_beginning", "_size", "_spool", "scratch")

    is_local: ClassVar[bool] = False

    def __init__(self, spool: DatabaseSpool, spool_id: str, envelope: SpoolEnvelope, size: int, beginning: bytes) -> None:
        super().__init__(spool_id, envelope)
        self._spool = spool
        self._size = size
        self._beginning = beginning
        self.scratch: Scratch | None = None
        """A file that has the message."""

    @property
    def content(self) -> bytes | None:
        return self._beginning if len(self._beginning) == self._size else None

    @property
    def path(self) -> Path:
        """A file without a name, which is read from the database when it is first asked for."""
        if self.scratch is None:
            scratch = Scratch(self._spool._tmp, MESSAGE_MODE, _SUFFIX, self._spool.require_space)
            try:
                with self._spool.database.reading() as connection:
                    _PIECES.read(connection, self.spool_id, self._beginning, self._size, scratch.write)
            except BaseException:
                scratch.discard()
                raise
            self.scratch = scratch
        return Path(self.scratch.path)

    def settle(self, mailbox_ids: Sequence[int], *, now_us: int, told: Sequence[str] = (), warned: bool = False) -> None:
        envelope = self.envelope.after_attempt(mailbox_ids, now_us=now_us, told=told, warned=warned)
        key = self.spool_id, self._spool.holder
        try:
            with self._spool.database.transaction() as connection:
                if told:
                    connection.run(_LOCK, *key)
                    connection.run(_MAKE_DUE, self.spool_id, " ".join(told), self._spool.holder)
                if envelope.open_targets:
                    recorded = connection.run(_PROGRESS, *key, envelope.encode(), envelope.next_try_us)
                else:
                    connection.run(_SOON)
                    recorded = connection.run(_END, *key)
        except Unavailable as error:
            raise trouble(error) from error
        if not recorded.rowcount:
            raise LeaseLost
        self.envelope = envelope
        self.close()

    def release(self) -> None:
        self.close()
        with self._spool.database.transaction() as connection:
            connection.run(_SOON)
            connection.run(_RELEASE, self.spool_id, self._spool.holder)

    def close(self) -> None:
        self._spool.drop_hold(self.spool_id)
        if self.scratch is not None:
            self.scratch.discard()
            self.scratch = None


class DatabaseReports(PendingReports):
    """The reports of one database."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def keep(self, name: str, message: bytes, envelope: QueueEnvelope) -> None:
        try:
            with self._database.transaction() as connection:
                if not connection.run(_KEEP, name, name.rsplit("-", 2)[0], envelope.encode(), message).rowcount:
                    raise LeaseLost
        except Unavailable as error:
            raise trouble(error) from error

    def forget(self, spool_id: str, recorded: Collection[str]) -> None:
        with self._database.transaction() as connection:
            connection.run(_FORGET, spool_id)

    def due(self) -> list[str]:
        with self._database.reading() as connection:
            return [name for (name,) in connection.run(_DUE)]

    def read(self, name: str) -> tuple[bytes, QueueEnvelope] | None:
        with self._database.reading() as connection:
            row = connection.run(_REPORT, name).fetchone()
        return None if row is None else (row[0], QueueEnvelope.decode(row[1]))

    def hand_over(self, name: str, queue: Queue) -> bool:
        assert isinstance(queue, DatabaseQueue)
        try:
            with self._database.transaction() as connection:
                row = connection.run(_TAKE_REPORT, name).fetchone()
                if row is not None:
                    message = row[0]
                    insert(
                        connection, name, row[1], len(message), lambda octets, at: message[at : at + octets], comes_again=False
                    )
        except Unavailable as error:
            raise trouble(error) from error
        return row is not None

    def done(self, name: str) -> None:
        with self._database.transaction() as connection:
            connection.run(_DONE, name)
