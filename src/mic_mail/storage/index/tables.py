"""Tables of the files that an account has beside its mail: every row belongs to an account."""

import sqlite3
from collections.abc import Iterator, Sequence
from typing import Any

from sqlalchemy import Column, Integer, MetaData, PrimaryKeyConstraint, Table, Text
from sqlalchemy.dialects import sqlite
from sqlalchemy.engine import Dialect
from sqlalchemy.schema import CreateIndex, CreateTable
from sqlalchemy.types import TypeEngine

TEXT = Text().with_variant(Text(collation="C"), "postgresql")
"""Text that is compared and sorted by its code points, as SQLite does."""


def columns(kind: type[TypeEngine[Any]] | TypeEngine[Any], *names: str) -> Iterator[Column[Any]]:
    return (Column(name, kind, nullable=False) for name in names)


def table(metadata: MetaData, name: str, *of_row: Column[Any], key: Sequence[str] = (), with_rowid: bool = False) -> Table:
    """Make a table whose rows belong to an account and are identified by `key` within it."""
    primary_key = PrimaryKeyConstraint("account_id", *key)
    return Table(name, metadata, *columns(Integer, "account_id"), *of_row, primary_key, sqlite_with_rowid=with_rowid)


def creation(metadata: MetaData, dialect: Dialect | None = None) -> tuple[str, ...]:
    """Return the statements that create the tables and their indexes, in SQLite unless another `dialect` is asked for."""
    dialect = dialect or sqlite.dialect()
    statements: list[str] = []
    for each in metadata.sorted_tables:
        statements.append(str(CreateTable(each).compile(dialect=dialect)))
        indexes = sorted(each.indexes, key=lambda index: str(index.name))
        statements += [str(CreateIndex(index).compile(dialect=dialect)) for index in indexes]
    return tuple(statements)


def stamp(connection: sqlite3.Connection, application_id: int, version: int) -> None:
    connection.execute(f"PRAGMA application_id = {application_id}")
    connection.execute(f"PRAGMA user_version = {version}")


def stamps(connection: sqlite3.Connection) -> tuple[int, int]:
    """Return the application id and the version of a file."""
    (application_id,) = connection.execute("PRAGMA application_id").fetchone()
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    return application_id, version
