"""Messages of queue, spool and quarantine as rows: the beginning in the row of their entry, the rest in pieces.

A message of up to `PIECE_OCTETS` is one row, so that it is put and read in one round trip; of a larger one neither side ever
holds more than some pieces.
"""

import errno
import os
from collections.abc import Callable
from typing import Final

from mic_mail.storage.index.postgresql.connection import PostgresqlConnection

PIECE_OCTETS: Final = 256 << 10
_PIECES_AT_ONCE: Final = 4

ReadAt = Callable[[int, int], bytes]
"""Returns octets of a message: how many at most, and from where on."""


class MessagePieces:
    """The pieces of all messages of one kind."""

    def __init__(self, kind: str) -> None:
        """`kind` is that of the table `{kind}_piece`, whose messages go by the key of `{kind}_entry`."""
        self.table = f"""CREATE TABLE {kind}_piece (
            entry_id text COLLATE "C" REFERENCES {kind}_entry ON DELETE CASCADE,
            number integer,
            octets bytea NOT NULL,
            PRIMARY KEY (entry_id, number))"""
        table = f"{kind}_piece"  # a name of this program's
        self._insert = f"INSERT INTO {table} (entry_id, number, octets) VALUES ($1, $2, CAST($3 AS bytea))"  # noqa: S608
        self._select = f"SELECT octets FROM {table} WHERE entry_id = $1 AND number = $2"  # noqa: S608

    def write(self, connection: PostgresqlConnection, entry_id: str, size: int, read: ReadAt) -> None:
        """Write what the row of the entry does not have, in the transaction that makes that row."""
        for number in range(1, -(-size // PIECE_OCTETS)):
            connection.run(self._insert, entry_id, number, read(PIECE_OCTETS, number * PIECE_OCTETS))
            if number % _PIECES_AT_ONCE == 0:
                connection.settle()

    def read(
        self,
        connection: PostgresqlConnection,
        entry_id: str,
        beginning: bytes | None,
        size: int,
        write: Callable[[bytes], None],
    ) -> None:
        """Write a message out; OSError, EIO, where it is not whole. `beginning` is that of its row, None if there is no row."""
        piece, number, octets = beginning, 0, 0
        while piece is not None:
            write(piece)
            number, octets = number + 1, octets + len(piece)
            row = connection.run(self._select, entry_id, number).fetchone() if octets < size else None
            piece = None if row is None else row[0]
        if octets != size:
            raise OSError(errno.EIO, f"the message has {octets} of {size} octets")


def reader(fd: int) -> ReadAt:
    """Return how to read an open file."""
    return lambda octets, at: os.pread(fd, octets, at)
