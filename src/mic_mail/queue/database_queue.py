"""The outbound queue of several nodes: rows in PostgreSQL, which any node's sender goes on with.

    queue_node     a node that sends, and the end of its lease (node_lease.py)
    queue_entry    envelope, beginning of the message, log, and the node that has taken it up; NULL: any may
    queue_piece    the rest of a message of more than `PIECE_OCTETS`

    put        one transaction; `250` is answered after its COMMIT
    take up    the row gets the node's name, if that has its lease and no other has the row (FOR UPDATE SKIP LOCKED)
    progress   lines are appended to the row, if it is still this node's: so nobody who lost the lease writes anything
    decision   a line is appended whoever has the row, which is marked for that node's next poll
    end        the row is removed, or becomes a mark if its writer may put it again

    a node ends                its row is removed, and the database makes its entries free (ON DELETE SET NULL)
    a node dies                the same by another node, after its lease
    a COMMIT without answer    of a put: the same put finds out; of lines: they are appended again, which changes no result;
                               of an end: the row is asked for

Blocking. Messages are read into files without names, for as long as an attempt uses them.
"""

import json
import os
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing, suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import ClassVar, Final

from mic_mail.errors import Text, in_ascii
from mic_mail.queue.binary_domains import BinaryDomains
from mic_mail.queue.errors import UNREADABLE, LeaseLost, trouble
from mic_mail.queue.local_queue import LocalQueue
from mic_mail.queue.message_pieces import PIECE_OCTETS, MessagePieces, ReadAt, reader
from mic_mail.queue.node_lease import NodeLease
from mic_mail.queue.queue import DamagedEntry, EntryEnded, Queue, QueueEntry, QueueEnvelope, encoded, replayed
from mic_mail.queue.recipient_log import AdminDecision, EntryState
from mic_mail.queue.scratch import Scratch
from mic_mail.storage.errors import OutcomeUnknown, Unavailable
from mic_mail.storage.index.postgresql.connection import PostgresqlConnection
from mic_mail.storage.index.postgresql.database import Database

_LOOKED_AT_TOGETHER: Final = 200
_FORGET_SECONDS: Final = 3_600.0
_SUFFIX: Final = ".msg"

_PIECES: Final = MessagePieces("queue")
TABLES: Final = (
    'CREATE TABLE queue_node (node_id text COLLATE "C" PRIMARY KEY, lease_until timestamptz NOT NULL)',
    """CREATE TABLE queue_entry (
        entry_id text COLLATE "C" PRIMARY KEY,
        node_id text COLLATE "C" REFERENCES queue_node ON DELETE SET NULL,
        envelope bytea NOT NULL,
        size bigint NOT NULL,
        beginning bytea NOT NULL,
        log bytea NOT NULL DEFAULT '',
        comes_again boolean NOT NULL,
        is_decided boolean NOT NULL DEFAULT false,
        ended_at timestamptz)""",
    "CREATE INDEX queue_entry_free ON queue_entry (entry_id) WHERE node_id IS NULL AND ended_at IS NULL",
    "CREATE INDEX queue_entry_of_node ON queue_entry (node_id) WHERE node_id IS NOT NULL",
    "CREATE INDEX queue_entry_decided ON queue_entry (node_id) WHERE is_decided",
    "CREATE INDEX queue_entry_ended ON queue_entry (ended_at) WHERE ended_at IS NOT NULL",
    _PIECES.table,
)
"""Statements by which `storage.index.postgresql.creation` makes the queue beside the tables of the mailboxes."""

_PUT = """INSERT INTO queue_entry (entry_id, envelope, size, beginning, comes_again, log)
    VALUES ($1, CAST($2 AS bytea), $3, CAST($4 AS bytea), $5, CAST($6 AS bytea)) ON CONFLICT DO NOTHING"""
_WITHDRAW = "DELETE FROM queue_entry WHERE entry_id = $1 AND node_id IS NULL"
_HAS = "SELECT ended_at IS NULL FROM queue_entry WHERE entry_id = $1"
_NAMES = "SELECT entry_id FROM queue_entry WHERE ended_at IS NULL ORDER BY entry_id"
_LOOK = """SELECT entry_id, envelope, size, log FROM queue_entry
    WHERE entry_id = ANY(string_to_array($1, ' ')) AND ended_at IS NULL ORDER BY entry_id"""
_LOG = "SELECT log FROM queue_entry WHERE entry_id = $1 AND ended_at IS NULL"
_OWN_LOG = "SELECT log FROM queue_entry WHERE entry_id = $1 AND node_id = $2"
_BEGINNING = "SELECT substring(beginning FROM $2 FOR $3) FROM queue_entry WHERE entry_id = $1 AND ended_at IS NULL"
_FREE = "SELECT entry_id FROM queue_entry WHERE node_id IS NULL AND ended_at IS NULL ORDER BY entry_id LIMIT 5000"
_OWN = "SELECT entry_id FROM queue_entry WHERE node_id = $1"
_TAKE_UP = """WITH me AS (SELECT node_id FROM queue_node WHERE node_id = $1 FOR KEY SHARE)
    UPDATE queue_entry SET node_id = me.node_id FROM me WHERE entry_id IN (
        SELECT entry_id FROM queue_entry
        WHERE entry_id = ANY(string_to_array($2, ' ')) AND ended_at IS NULL AND (node_id IS NULL OR node_id = $1)
        ORDER BY entry_id FOR UPDATE SKIP LOCKED)
    RETURNING entry_id, envelope, size, log"""
_TAKE_OVER = """DELETE FROM queue_node WHERE node_id IN (
    SELECT node_id FROM queue_node WHERE lease_until < clock_timestamp() FOR UPDATE SKIP LOCKED)"""
_DECIDED = "UPDATE queue_entry SET is_decided = false WHERE node_id = $1 AND is_decided RETURNING entry_id"
_DECIDE = """UPDATE queue_entry SET log = log || CAST($2 AS bytea), is_decided = true
    WHERE entry_id = $1 AND ended_at IS NULL"""
_APPEND = "UPDATE queue_entry SET log = log || CAST($3 AS bytea) WHERE entry_id = $1 AND node_id = $2"
_MARK = """UPDATE queue_entry SET ended_at = clock_timestamp(), node_id = NULL, envelope = '', beginning = '', log = '',
    is_decided = false WHERE entry_id = $1 AND node_id = $2 AND comes_again"""
_REMOVE_PIECES = """DELETE FROM queue_piece WHERE entry_id = $1
    AND EXISTS (SELECT 1 FROM queue_entry WHERE entry_id = $1 AND ended_at IS NOT NULL)"""
_REMOVE = "DELETE FROM queue_entry WHERE entry_id = $1 AND node_id = $2"
_FORGET = "DELETE FROM queue_entry WHERE ended_at < clock_timestamp() - interval '30 days'"


def insert(
    connection: PostgresqlConnection,
    entry_id: str,
    envelope: bytes,
    size: int,
    read: ReadAt,
    *,
    comes_again: bool,
    log: bytes = b"",
) -> None:
    """Put an entry as part of a transaction; one that is here, or whose mark is, stays as it is."""
    made = connection.run(_PUT, entry_id, envelope, size, read(PIECE_OCTETS, 0), str(comes_again), log)
    if size > PIECE_OCTETS and made.rowcount:
        _PIECES.write(connection, entry_id, size, read)


class DatabaseQueue(Queue):
    """All entries of one database; safe from several threads."""

    poll_seconds: ClassVar[float] = 2.0
    lease: NodeLease

    def __init__(
        self, database: Database, lease: NodeLease, root: Path, *, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        """`database` has its tables; below `root` is what each node has for itself: messages while they are sent."""
        self._root = root
        self.scratch_folder = root / "tmp"
        self.scratch_folder.mkdir(parents=True, exist_ok=True, mode=0o750)
        self.database = database
        self.lease = lease
        self.binary_domains = BinaryDomains(root / "binarymime")
        self._monotonic = monotonic
        self._forgot_at = -_FORGET_SECONDS
        self.behind: dict[str, DatabaseQueueEntry] = {}
        """Entries with lines that the database has not taken."""
        self._may_have_taken_up = False
        """Set where nobody knows whether entries were taken up."""

    def close(self) -> None:
        self.lease.close()
        self.database.close()

    # Writers

    def put(self, entry_id: str, message: Path, envelope: QueueEnvelope) -> None:
        self._put(entry_id, message, envelope.encode(), comes_again=True)

    def take(self, entry_id: str, message: Path, envelope: Path) -> bool:
        try:
            octets = envelope.read_bytes()
            self._put(entry_id, message, octets, comes_again=True)
            envelope.unlink(missing_ok=True)
        except FileNotFoundError:
            return False
        except OSError as error:
            raise trouble(error) from error
        return True

    def accept(self, entry_id: str, message: Path, envelope: QueueEnvelope) -> bool:
        self._put(entry_id, message, envelope.encode(), comes_again=False)
        return True

    def _put(self, entry_id: str, message: Path, envelope: bytes, *, comes_again: bool) -> None:
        try:
            with open(message, "rb", buffering=0) as file:
                try:
                    self._insert(entry_id, file.fileno(), envelope, comes_again=comes_again)
                except OutcomeUnknown:  # the same once more waits for the first, and does nothing if that has succeeded
                    self._insert(entry_id, file.fileno(), envelope, comes_again=comes_again)
        except FileNotFoundError:
            raise
        except UNREADABLE as error:
            raise trouble(error) from error

    def _insert(self, entry_id: str, message: int, envelope: bytes, *, comes_again: bool, log: bytes = b"") -> None:
        with self.database.transaction() as connection:
            size = os.fstat(message).st_size
            insert(connection, entry_id, envelope, size, reader(message), comes_again=comes_again, log=log)

    def withdraw(self, entry_id: str) -> None:
        with self.database.transaction() as connection:
            connection.run(_WITHDRAW, entry_id)

    # Readers

    def has(self, entry_id: str) -> bool:
        return self._is_live(entry_id) is True

    def had(self, entry_id: str) -> bool:
        return self._is_live(entry_id) is not None

    def _is_live(self, entry_id: str) -> bool | None:
        with self.database.reading() as connection:
            row = connection.run(_HAS, entry_id).fetchone()
        return None if row is None else row[0]

    def names(self) -> list[str]:
        with self.database.reading() as connection:
            return [entry_id for (entry_id,) in connection.run(_NAMES)]

    def look_at(self, entry_id: str) -> "DatabaseQueueEntry | DamagedEntry | None":
        return next(self.look_at_each([entry_id]), None)

    def look_at_each(self, entry_ids: Iterable[str]) -> "Iterator[DatabaseQueueEntry | DamagedEntry]":
        """Yield them in the order of their ids."""
        ids = _possible(entry_ids)
        for some in (ids[at : at + _LOOKED_AT_TOGETHER] for at in range(0, len(ids), _LOOKED_AT_TOGETHER)):
            with self.database.reading() as connection:
                rows = connection.run(_LOOK, " ".join(some)).fetchall()
            for row in rows:
                yield self._read(*row, is_own=False)

    def _read(
        self, entry_id: str, envelope: bytes, size: int, log: bytes, *, is_own: bool
    ) -> "DatabaseQueueEntry | DamagedEntry":
        try:
            decoded = QueueEnvelope.decode(envelope)
        except ValueError as error:
            why = in_ascii(error)
            return DamagedEntry(entry_id, Text(f"không đọc được phong bì ({why})", f"its envelope cannot be read: {why}"))
        state = replayed(log, len(decoded.recipients))
        return DatabaseQueueEntry(self, entry_id, decoded, state, size=size, is_own=is_own)

    # The process that sends

    def available(self) -> list[str]:
        """Return up to 5,000 entries that no node has; on the way write what waits, and free what dead nodes had."""
        for entry in list(self.behind.values()):
            entry.write_what_waits()
        if self.lease.may_take_over():
            with self.database.transaction() as connection:
                connection.run(_TAKE_OVER)
        with self.database.reading() as connection:
            free = [entry_id for (entry_id,) in connection.run(_FREE)]
            if self._may_have_taken_up:
                free += [entry_id for (entry_id,) in connection.run(_OWN, self.lease.node_id)]
                self._may_have_taken_up = False
        return free

    def take_up(self, entry_ids: Iterable[str]) -> "Iterator[DatabaseQueueEntry | DamagedEntry]":
        try:
            with self.database.transaction() as connection:
                rows = connection.run(_TAKE_UP, self.lease.node_id, " ".join(_possible(entry_ids))).fetchall()
        except Unavailable:
            self._may_have_taken_up = True
            raise
        return (self._read(*row, is_own=True) for row in sorted(rows))

    def decided(self) -> list[str]:
        with self.database.transaction() as connection:
            return sorted(entry_id for (entry_id,) in connection.run(_DECIDED, self.lease.node_id))

    def sweep(self) -> None:
        """Take in what this machine queued in files, before its queue was a database; what cannot be read stays there."""
        if not (self._root / "live").is_dir():
            return
        with closing(LocalQueue(self._root)) as files:
            files.sweep()
            for entry in files.entries():
                with suppress(OSError), open(entry.path, "rb", buffering=0) as message:
                    log = files.log_of(entry.entry_id)
                    whole_lines = log[: log.rfind(b"\n") + 1]
                    self._insert(
                        entry.entry_id, message.fileno(), entry.envelope.encode(), comes_again=True, log=whole_lines
                    )  # a kill before the end: it is put once more, which does nothing
                    entry.end()

    def forget_ended(self) -> None:
        """Remove marks of a month ago, once an hour."""
        if self._monotonic() - self._forgot_at >= _FORGET_SECONDS:
            with self.database.transaction() as connection:
                connection.run(_FORGET)
            self._forgot_at = self._monotonic()


def _possible(entry_ids: Iterable[str]) -> Sequence[str]:
    """Return those that may be ids: notifications come from other processes."""
    return [each for each in entry_ids if each.isascii() and each.isprintable() and each and " " not in each]


@dataclass(slots=True)
class DatabaseQueueEntry(QueueEntry):
    """One queued message in a database."""

    is_local: ClassVar[bool] = False

    queue: DatabaseQueue
    size: int = 0
    """Size of the message as it is stored."""
    is_own: bool = False
    """Set if this process has taken it up: it appends only while that is so."""
    _uses: int = 0
    _scratch: Scratch | None = None
    _fetching: threading.Lock = field(default_factory=threading.Lock, repr=False)

    # The message

    @property
    def path_text(self) -> str:
        self.fetch()
        assert self._scratch is not None
        return self._scratch.path

    @property
    def octets(self) -> int:
        return self.size - self.envelope.return_path_octets

    def beginning(self, octets: int) -> bytes:
        with self.queue.database.reading() as connection:
            row = connection.run(_BEGINNING, self.entry_id, self.envelope.return_path_octets + 1, octets).fetchone()
        return b"" if row is None else bytes(row[0])

    def may_be_tried(self) -> bool:
        return self.queue.lease.is_held()

    def begin_use(self) -> None:
        self._uses += 1

    def fetch(self) -> None:
        with self._fetching:
            if self._scratch is None:
                scratch = Scratch(self.queue.scratch_folder, 0o600, _SUFFIX, lambda: None)
                try:
                    self._read_into(scratch)
                except BaseException:
                    scratch.discard()
                    raise
                self._scratch = scratch

    def _read_into(self, scratch: Scratch) -> None:
        with self.queue.database.reading() as connection:
            row = connection.run(_BEGINNING, self.entry_id, 1, PIECE_OCTETS).fetchone()
            _PIECES.read(connection, self.entry_id, None if row is None else row[0], self.size, scratch.write)

    def end_use(self) -> None:
        self._uses -= 1
        if not self._uses and self._scratch is not None:
            self._scratch.discard()
            self._scratch = None

    # The log

    def _stored_state(self) -> EntryState | None:
        with self.queue.database.reading() as connection:
            if self.is_own:
                row = connection.run(_OWN_LOG, self.entry_id, self.queue.lease.node_id).fetchone()
            else:
                row = connection.run(_LOG, self.entry_id).fetchone()
        return None if row is None else replayed(row[0], len(self.envelope.recipients))

    def _write_down(self, *, sync: bool) -> None:
        try:
            with self.queue.database.transaction() as connection:
                written = connection.run(_APPEND, self.entry_id, self.queue.lease.node_id, b"".join(self._unwritten)).rowcount
        except Unavailable:
            self.queue.behind[self.entry_id] = self
            raise
        self._unwritten.clear()
        self.queue.behind.pop(self.entry_id, None)
        if not written:
            raise LeaseLost

    def write_what_waits(self) -> None:
        """Write the lines that the database has refused; forget them if another node has the entry."""
        with self._turn:
            try:
                self._write_down(sync=False)
            except LeaseLost:
                return

    def _decide(self, line: dict[str, object], decision: AdminDecision, *, sync: bool = True) -> None:
        octets = encoded({**line, "said": asdict(decision)})
        with self._turn:
            try:
                with self.queue.database.transaction() as connection:
                    is_here = connection.run(_DECIDE, self.entry_id, octets).rowcount == 1
            except Unavailable as error:
                raise trouble(error) from error
            if not is_here:
                raise EntryEnded(self.entry_id)
            self.state = self.state.after(json.loads(octets))

    def end(self) -> None:
        with self._turn:
            try:
                with self.queue.database.transaction() as connection:
                    key = self.entry_id, self.queue.lease.node_id
                    marked = connection.run(_MARK, *key)
                    connection.run(_REMOVE_PIECES, self.entry_id)
                    removed = connection.run(_REMOVE, *key)
                is_lost = not marked.rowcount + removed.rowcount and self.queue.has(self.entry_id)
            except Unavailable as error:
                if self._unwritten:
                    self.queue.behind[self.entry_id] = self
                raise trouble(error) from error
            self._unwritten.clear()
            self.queue.behind.pop(self.entry_id, None)
            if is_lost:
                raise LeaseLost
            self.has_ended = True
