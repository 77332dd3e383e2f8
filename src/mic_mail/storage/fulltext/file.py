"""`search.sqlite`: the packed text of an account's messages, and the only module that opens it.

    segment   some messages that were packed together: their keys, in the order of their places, and a value for each
    zone      by segment and zone: the blob of words and the blob of flows (segment.py), with checksums
    sieve     the sieve of a zone with one large text, in pieces that are read one by one

The file lies beside the account's index. A process that finds it damaged, of another version or of another machine's octet
order discards it, and it is rebuilt. Its transactions only write prepared blobs (a segment of 1,000 messages: 4 ms), and never
while the account's lock is held.
"""

import contextlib
import fcntl
import os
import secrets
import sqlite3
import threading
import zlib
from array import array
from collections.abc import Callable, Collection, Iterator, Mapping
from typing import Any, cast

from sqlalchemy import bindparam, delete, insert, literal_column, select, update

from mic_mail.clock import Clock
from mic_mail.mime.search_text import ZONES, Zone
from mic_mail.storage.fulltext.schema import metadata, segment, sieve, zone
from mic_mail.storage.fulltext.segment import TEXT_VERSION, Flow, Packed, flow_beginnings, words_span
from mic_mail.storage.fulltext.segments import SIEVE_OCTETS, DamagedSegments, Live, Segments
from mic_mail.storage.index.connection import SQLITE_ERRORS, Index, is_damage
from mic_mail.storage.index.statements import SqlStatement
from mic_mail.storage.index.tables import creation, stamp, stamps

VERSION = TEXT_VERSION
"""A file of another version is discarded."""
APPLICATION_ID = 0x6D6D6973
"""SQLite's `application_id`: "mmis"."""
BUSY_SECONDS = 0.25
"""Longest wait for the file; after it a search reads the messages, and an indexer comes again."""
WORDS_OCTETS = 64 << 10
"""Octets of words, or of a flow, that are read at once, where a query stops at the first occurrence.

Each piece has a checksum.
"""
FREED_PAGES = 2_000
"""Pages given back to the file system in one transaction: 8 MB."""

_S, _Z, _P = segment.c, zone.c, sieve.c
_THIS = (_S.account_id == bindparam("account"), _S.segment_id == bindparam("at"))
_THIS_ZONE = (_Z.account_id == bindparam("account"), _Z.segment_id == bindparam("at"))
_LIVE = SqlStatement(select(_S.segment_id, _S.octets, _S.dead_since_us).where(_S.account_id == bindparam("account")))
_KEYS = SqlStatement(select(_S.checksum, _S.messages).where(*_THIS))
_VALUES = SqlStatement(select(_S.values_checksum, _S.values_blob).where(*_THIS))
_WORDS = SqlStatement(select(_Z.words_checksum, _Z.words).where(*_THIS_ZONE, _Z.zone == bindparam("place")))
_WORDS_PLACE = SqlStatement(
    select(literal_column("rowid"), _Z.words_checksums).where(*_THIS_ZONE, _Z.zone == bindparam("place"))
)
_FLOW_PLACE = SqlStatement(select(literal_column("rowid"), _Z.flow_checksums).where(*_THIS_ZONE, _Z.zone == bindparam("place")))
_FLOW = SqlStatement(select(_Z.flow_checksum, _Z.flow).where(*_THIS_ZONE, _Z.zone == bindparam("place")))
_SIEVED = SqlStatement(select(_Z.sieved).where(*_THIS_ZONE, _Z.zone == bindparam("place")))
_THIS_SIEVE = (_P.account_id == bindparam("account"), _P.segment_id == bindparam("at"))
_SIEVE = SqlStatement(
    select(_P.checksum, _P.bits).where(*_THIS_SIEVE, _P.zone == bindparam("place"), _P.piece == bindparam("number"))
)
_ADD_SIEVE = SqlStatement(insert(sieve))
_DROP_SIEVES = SqlStatement(delete(sieve).where(*_THIS_SIEVE))
_ADD = SqlStatement(insert(segment))
_ADD_ZONE = SqlStatement(insert(zone))
_DROP = SqlStatement(delete(segment).where(*_THIS))
_DROP_ZONES = SqlStatement(delete(zone).where(*_THIS_ZONE))
_MARK_DEAD = SqlStatement(update(segment).where(*_THIS).values(dead_since_us=bindparam("since")))


class OtherVersion(DamagedSegments):
    """Another version of this program made the file: whoever finds it makes it anew, but nothing is damaged."""


class SearchFile(Segments):
    """One account's file in one process; opened when needed."""

    errors = (sqlite3.Error, OSError)

    def __init__(self, path: str, account_id: int, clock: Clock) -> None:
        self._path = path
        self._account_id = account_id
        # Never synced: each fsync would delay deliveries, and a file that a power loss leaves incomplete is found damaged.
        self._index = Index(path, synchronous="off", clock=clock, busy_seconds=BUSY_SECONDS)
        self._writing = threading.Lock()
        self._identity: int | None = None
        """Inode that our readers are on; another process may have discarded the file."""
        self._written: int | None = None
        """Inode that our writer is on."""
        self._suspect: int | None = None
        """Inode of the file that was found damaged."""

    @property
    def identity(self) -> int:
        """Inode of the present file; 0 if there is none."""
        return self._index.identity() or 0

    def live(self) -> list[Live]:
        """Return the present segments; none where there is no file."""
        with self._reading() as connection:
            rows = _LIVE.on(connection, account=self._account_id).fetchall() if connection is not None else []
        return [Live(*row) for row in rows]

    def keys(self, segment_id: int) -> "array[int]":
        keys = array("q")
        keys.frombytes(self._blob(_KEYS, at=segment_id))
        return keys

    def words(self, segment_id: int, zone: Zone) -> bytes:
        return self._blob(_WORDS, at=segment_id, place=ZONES.index(zone))

    def has_word(self, segment_id: int, zone: Zone, part: bytes, *, folded: bool) -> bool:
        with self._pieces(_WORDS_PLACE, "words", segment_id, zone) as piece:
            first = piece(0)
            start, end = words_span(first, folded=folded)
            before = b""
            for number in range(start // WORDS_OCTETS, -(-end // WORDS_OCTETS)):
                octets = piece(number) if number else first
                at = number * WORDS_OCTETS
                some = before + octets[max(0, start - at) : end - at]
                if part in some:
                    return True
                before = some[max(0, len(some) - len(part) + 1) :]
        return False

    def beginnings(self, segment_id: int, zone: Zone, documents: Collection[int], words: int) -> Flow:
        with self._pieces(_FLOW_PLACE, "flow", segment_id, zone) as piece:
            read: dict[int, bytes] = {}

            def octets(start: int, end: int) -> bytes:
                for number in range(start // WORDS_OCTETS, -(-end // WORDS_OCTETS)):
                    if number not in read:
                        read[number] = piece(number)
                first = start // WORDS_OCTETS
                some = b"".join([read[number] for number in range(first, -(-end // WORDS_OCTETS))])
                return some[start - first * WORDS_OCTETS : end - first * WORDS_OCTETS]

            return flow_beginnings(octets, documents, words)

    @contextlib.contextmanager
    def _pieces(self, statement: SqlStatement, column: str, segment_id: int, zone: Zone) -> Iterator[Callable[[int], bytes]]:
        """Yield what returns a piece of a blob by its number, checked; all are of one state of the file."""
        with self._reading(in_snapshot=True) as connection:
            rowid, octets = self._row(connection, statement, at=segment_id, place=ZONES.index(zone))
            assert connection is not None
            checksums = array("I")
            if not isinstance(octets, bytes) or len(octets) % checksums.itemsize:
                raise self._damaged(f"segment {segment_id}")
            checksums.frombytes(octets)
            with connection.blobopen("zone", column, rowid, readonly=True) as blob:
                yield lambda number: self._piece(blob, checksums, number)

    def _piece(self, blob: sqlite3.Blob, checksums: "array[int]", number: int) -> bytes:
        """Return WORDS_OCTETS of a blob, checked."""
        blob.seek(min(number * WORDS_OCTETS, len(blob)))  # a damaged row may be shorter
        octets = blob.read(WORDS_OCTETS)
        if number >= len(checksums) or zlib.crc32(octets) != checksums[number]:
            raise self._damaged(f"piece {number}")
        return octets

    def flow(self, segment_id: int, zone: Zone) -> bytes:
        return self._blob(_FLOW, at=segment_id, place=ZONES.index(zone))

    def is_sieved(self, segment_id: int, zone: Zone) -> bool:
        return self._sieve_length(segment_id, zone) > 0

    def _sieve_length(self, segment_id: int, zone: Zone) -> int:
        with self._reading() as connection:
            row = (
                None
                if connection is None
                else _SIEVED.on(connection, account=self._account_id, at=segment_id, place=ZONES.index(zone)).fetchone()
            )
        if row is None:
            raise KeyError(segment_id)
        return int(row[0])

    def sieve_piece(self, segment_id: int, zone: Zone, number: int) -> bytes:
        return self._blob(_SIEVE, at=segment_id, place=ZONES.index(zone), number=number)

    def values(self, segment_id: int) -> bytes:
        return self._blob(_VALUES, at=segment_id)

    def packed(self, segment_id: int, documents: int) -> Packed:
        zones = {zone: (self.words(segment_id, zone), self.flow(segment_id, zone)) for zone in ZONES}
        return Packed(documents, zones, self.values(segment_id))

    def _blob(self, statement: SqlStatement, **at: int) -> bytes:
        with self._reading() as connection:
            checksum, blob = self._row(connection, statement, **at)
        if zlib.crc32(blob) != checksum:
            raise self._damaged(f"segment {at['at']}")
        return bytes(blob)

    def _row(self, connection: sqlite3.Connection | None, statement: SqlStatement, **at: int) -> tuple[Any, Any]:
        """Return the row of a part of a segment; `KeyError` if the segment is gone."""
        row = None if connection is None else statement.on(connection, account=self._account_id, **at).fetchone()
        if row is not None:
            return cast("tuple[Any, Any]", row)
        if connection is not None and _KEYS.on(connection, account=self._account_id, at=at["at"]).fetchone():
            raise self._damaged(f"segment {at['at']} lacks a part")  # segments come and go as a whole
        raise KeyError(at["at"])

    @contextlib.contextmanager
    def _reading(self, *, in_snapshot: bool = False) -> Iterator[sqlite3.Connection | None]:
        if self._follow() is None:
            yield None
            return
        try:
            with self._index.snapshot() if in_snapshot else self._index.reading() as connection:
                yield connection
        except SQLITE_ERRORS as error:
            if is_damage(error) or "no such" in str(error):
                raise self._damaged(error) from error
            raise

    def _damaged(self, what: object, kind: type[DamagedSegments] = DamagedSegments) -> DamagedSegments:
        self._suspect = self._index.identity()
        return kind(f"{self._path}: {what}")

    def _follow(self) -> int | None:
        identity = self._index.identity()
        if identity != self._identity:
            self._index.close_readers()
            if identity is not None:
                self._check()
            self._identity = identity
        return identity

    def _check(self) -> None:
        try:
            with self._index.reading() as connection:
                found = stamps(connection)
        except SQLITE_ERRORS as error:
            if is_damage(error):
                raise self._damaged(error) from error
            raise
        if found != (APPLICATION_ID, VERSION):
            kind = OtherVersion if found[0] == APPLICATION_ID else DamagedSegments
            raise self._damaged(f"version {found[1]}", kind)

    # Writing

    def add(
        self, packed: Packed | None, keys: Collection[int], *, known: Collection[int], instead_of: Collection[int] = ()
    ) -> bool:
        rows = [] if packed is None else _rows(packed)
        sieves = [] if packed is None else _sieve_rows(packed)
        octets = 0 if packed is None else packed.octets
        values = b"" if packed is None else packed.values
        messages = array("q", keys).tobytes()
        at = {"account_id": self._account_id, "segment_id": secrets.randbits(62)}
        with self._transaction() as connection:
            live = {row[0] for row in _LIVE.on(connection, account=self._account_id)}
            if live != set(known):
                return False
            for old in instead_of:
                _DROP.on(connection, account=self._account_id, at=old)
                _DROP_ZONES.on(connection, account=self._account_id, at=old)
                _DROP_SIEVES.on(connection, account=self._account_id, at=old)
            if rows:
                row = {"checksum": zlib.crc32(messages), "messages": messages}
                row |= {"values_checksum": zlib.crc32(values), "values_blob": values}
                _ADD.on(connection, **at, dead_since_us=None, octets=octets, **row)
                _ADD_ZONE.on_each(connection, (at | row for row in rows))
                _ADD_SIEVE.on_each(connection, (at | row for row in sieves))
            return True

    def mark_dead(self, since: Mapping[int, int | None]) -> None:
        with self._transaction() as connection:
            for segment_id, instant in since.items():
                _MARK_DEAD.on(connection, account=self._account_id, at=segment_id, since=instant)

    def tidy(self) -> None:
        """Give freed pages back to the file system, and move the log into the file, as far as others allow."""
        if self._follow() is None:
            return
        with self._writing:
            connection = self._writer()
            connection.execute(f"PRAGMA incremental_vacuum({FREED_PAGES})").fetchall()
            connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchall()

    @contextlib.contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        with self._writing:
            connection = self._writer()
            try:
                connection.execute("BEGIN IMMEDIATE")
                try:
                    yield connection
                    connection.execute("COMMIT")
                finally:
                    if connection.in_transaction:
                        connection.execute("ROLLBACK")
            except SQLITE_ERRORS as error:
                if is_damage(error) or "no such" in str(error):
                    raise self._damaged(error) from error
                raise

    def _writer(self) -> sqlite3.Connection:
        if self._follow() is None:
            self._make()
        if self._identity != self._written:
            self._index.close_writer()
            self._written = self._identity
        return self._index.writer()

    @contextlib.contextmanager
    def _alone(self) -> Iterator[None]:
        folder = os.open(os.path.dirname(self._path), os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            fcntl.flock(folder, fcntl.LOCK_EX)
            yield
        finally:
            os.close(folder)

    def _make(self) -> None:
        """Create the file beside its place, then move it there: nobody ever sees half of it."""
        with self._alone():
            if self._index.identity() is None:
                making = f"{self._path}.new"
                _remove(making)
                _remove(self._path)  # a log without its file, left by a process killed while discarding it
                _fill(making)
                os.rename(making, self._path)
        self._identity = self._index.identity()

    def discard(self) -> None:
        """Discard the file that was found damaged; a newer file in its place stays.

        A process that has it open goes on with data that nobody else sees, until its next query.
        """
        with self._writing, self._alone():
            self._index.close_writer()
            self._index.close_readers()
            if self._index.identity() == self._suspect:
                _remove(self._path)
            self._identity = self._written = None

    def damage(self) -> list[str]:
        """Return what is wrong with the file, checking every octet; nothing if another version of the program made it."""
        try:
            if self._follow() is None:
                return []
            if problems := self._index.damage():
                raise self._damaged("; ".join(problems))
            for each in self.live():
                with contextlib.suppress(KeyError):  # repacked meanwhile
                    self.packed(each.segment_id, len(self.keys(each.segment_id)))
                    for zone in ZONES:
                        self._verify_checksums(each.segment_id, zone)
        except OtherVersion:
            return []
        except DamagedSegments as error:
            return [str(error)]
        return []

    def _verify_checksums(self, segment_id: int, zone: Zone) -> None:
        """Read what searches read in pieces."""
        for statement, blob in ((_WORDS_PLACE, self.words(segment_id, zone)), (_FLOW_PLACE, self.flow(segment_id, zone))):
            with self._reading() as connection:
                _, checksums = self._row(connection, statement, at=segment_id, place=ZONES.index(zone))
            if checksums != _checksums(blob):
                raise self._damaged(f"segment {segment_id}")
        for number in range(self._sieve_length(segment_id, zone)):
            self.sieve_piece(segment_id, zone, number)

    @property
    def rests(self) -> bool:
        """Return whether no connection is open, except those that a thread is using."""
        return self._index.rests

    def rest(self, before: float) -> None:
        """Close connections unused since `before`."""
        self._index.rest_readers(before)
        if self._index.writer_rests(before) and self._writing.acquire(blocking=False):
            try:
                self._index.close_writer()
            finally:
                self._writing.release()

    def close(self) -> None:
        with self._writing:
            self._index.close_writer()
        self._index.close_readers()


def _fill(path: str) -> None:
    connection = sqlite3.connect(path, isolation_level=None)
    try:
        connection.execute("PRAGMA auto_vacuum = INCREMENTAL")
        for statement in creation(metadata):
            connection.execute(statement)
        stamp(connection, APPLICATION_ID, VERSION)
        connection.execute("PRAGMA journal_mode = WAL").fetchall()
    finally:
        connection.close()


def _remove(path: str) -> None:
    for suffix in ("", "-wal", "-shm", "-journal"):
        with contextlib.suppress(FileNotFoundError):
            os.unlink(path + suffix)


def _rows(packed: Packed) -> list[dict[str, object]]:
    return [
        {
            "zone": place,
            "words_checksum": zlib.crc32(packed.zones[name][0]),
            "flow_checksum": zlib.crc32(packed.zones[name][1]),
            "sieved": -(-len(packed.sieves.get(name, b"")) // SIEVE_OCTETS),
            "words_checksums": _checksums(packed.zones[name][0]),
            "flow_checksums": _checksums(packed.zones[name][1]),
            "words": packed.zones[name][0],
            "flow": packed.zones[name][1],
        }
        for place, name in enumerate(ZONES)
    ]


def _checksums(blob: bytes) -> bytes:
    return array("I", [zlib.crc32(blob[at : at + WORDS_OCTETS]) for at in range(0, len(blob), WORDS_OCTETS)]).tobytes()


def _sieve_rows(packed: Packed) -> list[dict[str, object]]:
    return [
        {
            "zone": ZONES.index(name),
            "piece": number,
            "checksum": zlib.crc32(bits[at : at + SIEVE_OCTETS]),
            "bits": bits[at : at + SIEVE_OCTETS],
        }
        for name, bits in packed.sieves.items()
        for number, at in enumerate(range(0, len(bits), SIEVE_OCTETS))
    ]
