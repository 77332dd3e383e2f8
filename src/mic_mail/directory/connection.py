"""Connections to the directory's database, for both ways to read it.

`source` reads by sqlite3, `engine` by SQLAlchemy.
"""

import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Protocol

from mic_mail.clock import Clock

BUSY_MILLISECONDS = 10_000
IN_MEMORY = "mode=memory"
"""A part of the URL of an SQLite database in memory: connections share it, as they do a file."""


class Rows(Protocol):
    """Executes a statement within one transaction and yields its rows."""

    def __call__(self, statement: str, **values: object) -> Iterator[tuple[Any, ...]]: ...


@dataclass(frozen=True, slots=True)
class PlainChange:
    """A write transaction of plain SQL, under the next version of the directory."""

    run: Rows
    version: int
    clock: Clock


def set_up(connection: sqlite3.Connection) -> None:
    """Prepare a new connection: write-ahead log, waiting for writers, durable commits."""
    connection.isolation_level = None  # transactions begin by statements
    connection.execute(f"PRAGMA busy_timeout = {BUSY_MILLISECONDS}")
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = FULL")  # an acknowledged fact survives a power cut
    connection.execute("PRAGMA foreign_keys = ON")
