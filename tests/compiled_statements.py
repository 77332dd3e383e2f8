"""Statements of the directory that are compiled once in a process of tests.

SQLAlchemy keeps what it has compiled for each engine, and each server, command and directory of a test has an engine of
its own: a third of the time of such tests went into compiling the same statements. Here all engines of SQLite share one cache,
since their dialects differ in nothing that is compiled.
"""

from typing import Any

from sqlalchemy import Connection, Engine, event
from sqlalchemy.dialects.sqlite.pysqlite import SQLiteDialect_pysqlite


def share() -> None:
    """Let the engines made from here on share what they compile."""
    cache: dict[Any, Any] = {}
    # The dialect is a part of the key, and is compared by identity.
    SQLiteDialect_pysqlite.__hash__ = lambda self: hash(type(self))  # type: ignore[method-assign]
    SQLiteDialect_pysqlite.__eq__ = lambda self, other: type(self) is type(other)  # type: ignore[method-assign]

    @event.listens_for(Engine, "engine_connect")
    def use(connection: Connection) -> None:
        if isinstance(connection.dialect, SQLiteDialect_pysqlite):
            connection.execution_options(compiled_cache=cache)
