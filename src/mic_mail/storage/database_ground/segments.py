"""An account's segments as rows (`fulltext.segments`): packed text of its messages.

A segment is one row of `search_segment` and, for each zone, one of `search_zone`. Parts of long values are read by themselves,
since the server stores them as they are (schema.py). There are no checksums and nothing is ever found damaged: PostgreSQL
answers for its rows, as it does for bodies.

Segments that a program with another `TEXT_VERSION` has made are unknown to this one.
"""

import secrets
from array import array
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from sqlalchemy import ColumnElement, bindparam, delete, func, insert, literal, select, update

from mic_mail.mime.search_text import ZONES, Zone
from mic_mail.storage.fulltext.segment import TEXT_VERSION, Flow, Packed, flow_beginnings, words_span
from mic_mail.storage.fulltext.segments import SIEVE_OCTETS, Live, Segments
from mic_mail.storage.index import schema
from mic_mail.storage.index.postgresql.database import Database
from mic_mail.storage.index.statements import Connection, SqlStatement, keyed_by

BUSY_SECONDS = 0.25
"""Longest wait for another process that adds text to the same account; after it a search goes on without adding its own."""
_WORDS_OCTETS = 1 << 20
"""Octets of words that are read at once, where a query stops at the first occurrence."""

_S, _Z = schema.search_segment.c, schema.search_zone.c
_OURS = _S.version == literal(TEXT_VERSION)
_THIS = keyed_by(_S, "segment")
_THIS_ZONE = keyed_by(_Z, "segment", "zone")


def _part(column: ColumnElement[bytes]) -> SqlStatement:
    """Build "so many octets of the column from `first` on", which is 1 at its beginning."""
    return SqlStatement(select(func.substr(column, bindparam("first"), bindparam("count"))).where(_THIS_ZONE))


_LIVE = SqlStatement(select(_S.segment_id, _S.octets, _S.dead_since_us).where(keyed_by(_S), _OURS))
_KEYS = SqlStatement(select(_S.messages).where(_THIS))
_VALUES = SqlStatement(select(_S.sort_values).where(_THIS))
_WORDS = SqlStatement(select(_Z.words).where(_THIS_ZONE))
_FLOW = SqlStatement(select(_Z.flow).where(_THIS_ZONE))
_SIEVE_LENGTH = SqlStatement(select(func.length(_Z.sieve)).where(_THIS_ZONE))
_ZONES = SqlStatement(select(_Z.zone, _Z.words, _Z.flow).where(keyed_by(_Z, "segment")))
_PART_OF_WORDS, _PART_OF_FLOW, _PART_OF_SIEVE = map(_part, (_Z.words, _Z.flow, _Z.sieve))
_ADD = SqlStatement(insert(schema.search_segment))
_ADD_ZONE = SqlStatement(insert(schema.search_zone))
_DROP = SqlStatement(delete(schema.search_segment).where(_THIS))
_DROP_ZONES = SqlStatement(delete(schema.search_zone).where(keyed_by(_Z, "segment")))
_MARK_DEAD = SqlStatement(update(schema.search_segment).where(_THIS).values(dead_since_us=bindparam("since")))
_OLD = SqlStatement(select(_S.segment_id).where(keyed_by(_S), _S.version < literal(TEXT_VERSION)))


class SegmentRows(Segments):
    """One account's segments in the database."""

    def __init__(self, account_id: int, database: Database) -> None:
        self._account_id = account_id
        self._database = database

    def live(self) -> list[Live]:
        with self._database.reading() as connection:
            return [Live(*row) for row in _LIVE.on(connection, account=self._account_id)]

    def keys(self, segment_id: int) -> "array[int]":
        keys = array("q")
        keys.frombytes(self._value(_KEYS, segment=segment_id))
        return keys

    def values(self, segment_id: int) -> bytes:
        return bytes(self._value(_VALUES, segment=segment_id))

    def words(self, segment_id: int, zone: Zone) -> bytes:
        return bytes(self._of_zone(_WORDS, segment_id, zone))

    def flow(self, segment_id: int, zone: Zone) -> bytes:
        return bytes(self._of_zone(_FLOW, segment_id, zone))

    def has_word(self, segment_id: int, zone: Zone, part: bytes, *, folded: bool) -> bool:
        read = self._reader(_PART_OF_WORDS, segment_id, zone)
        start, end = words_span(read(0, _WORDS_OCTETS), folded=folded)
        before = b""
        for at in range(start, end, _WORDS_OCTETS):
            some = before + read(at, min(end, at + _WORDS_OCTETS))
            if part in some:
                return True
            before = some[max(0, len(some) - len(part) + 1) :]
        return False

    def beginnings(self, segment_id: int, zone: Zone, documents: Collection[int], words: int) -> Flow:
        return flow_beginnings(self._reader(_PART_OF_FLOW, segment_id, zone), documents, words)

    def is_sieved(self, segment_id: int, zone: Zone) -> bool:
        return int(self._of_zone(_SIEVE_LENGTH, segment_id, zone)) > 0

    def sieve_piece(self, segment_id: int, zone: Zone, number: int) -> bytes:
        return self._reader(_PART_OF_SIEVE, segment_id, zone)(number * SIEVE_OCTETS, (number + 1) * SIEVE_OCTETS)

    def packed(self, segment_id: int, documents: int) -> Packed:
        """Return the whole segment, in one round trip."""
        at = {"account": self._account_id, "segment": segment_id}
        with self._database.reading() as connection:
            zones, values = _ZONES.on(connection, **at), _VALUES.on(connection, **at).fetchone()
            by_zone = {ZONES[place]: (words, flow) for place, words, flow in zones}
        if values is None or len(by_zone) < len(ZONES):
            raise KeyError(segment_id)
        return Packed(documents, by_zone, values[0])

    def _reader(self, statement: SqlStatement, segment_id: int, zone: Zone) -> Callable[[int, int], bytes]:
        """Return what reads the octets of a column from one offset to another."""
        return lambda start, end: bytes(self._of_zone(statement, segment_id, zone, first=start + 1, count=end - start))

    def _of_zone(self, statement: SqlStatement, segment_id: int, zone: Zone, **at: int) -> Any:
        return self._value(statement, segment=segment_id, zone=ZONES.index(zone), **at)

    def _value(self, statement: SqlStatement, **at: int) -> Any:
        with self._database.reading() as connection:
            row = statement.on(connection, account=self._account_id, **at).fetchone()
        if row is None:
            raise KeyError(at["segment"])
        return row[0]

    # Writing

    def add(
        self, packed: Packed | None, keys: Collection[int], *, known: Collection[int], instead_of: Collection[int] = ()
    ) -> bool:
        """Add a segment as `Segments.add`; `Busy` where another process is doing the same."""
        with self._filling() as connection:
            if {row[0] for row in _LIVE.on(connection, account=self._account_id)} != set(known):
                return False
            self._drop(connection, instead_of)
            if packed is not None:
                at = {"account_id": self._account_id, "segment_id": secrets.randbits(62)}
                messages = array("q", keys).tobytes()
                row = {"octets": packed.octets, "messages": messages, "sort_values": packed.values}
                _ADD.on(connection, **at, version=TEXT_VERSION, dead_since_us=None, **row)
                for place, zone in enumerate(ZONES):
                    words, flow = packed.zones[zone]
                    sieve = packed.sieves.get(zone, b"")
                    _ADD_ZONE.on(connection, **at, zone=place, sieve=sieve, words=words, flow=flow)
            return True

    def mark_dead(self, since: Mapping[int, int | None]) -> None:
        with self._filling() as connection:
            for segment_id, instant in since.items():
                _MARK_DEAD.on(connection, account=self._account_id, segment=segment_id, since=instant)

    def tidy(self) -> None:
        """Do nothing: the server's own housekeeping gives space back."""

    def discard(self) -> None:
        """Remove the segments of older versions, which nobody reads once all servers have this one."""
        with self._filling() as connection:
            self._drop(connection, [row[0] for row in _OLD.on(connection, account=self._account_id)])

    def _drop(self, connection: Connection, segments: Collection[int]) -> None:
        for segment_id in segments:
            for statement in (_DROP, _DROP_ZONES):
                statement.on(connection, account=self._account_id, segment=segment_id)

    @contextmanager
    def _filling(self) -> Iterator[Connection]:
        with self._database.filling(self._account_id, BUSY_SECONDS) as connection:
            yield connection
