"""Transactions of the directory's tables: each read and each change is one.

A read sees one state of the database. A change is durable when `change` returns, and raises the version by which workers notice
it. Where another process came first (it numbered a fact, took an address), the change is run again, so it must do nothing but
change the tables.
"""

import sqlite3
from collections.abc import Callable, Iterator, Sequence
from dataclasses import fields
from typing import Any, TypeVar

from sqlalchemy import ColumnElement, Engine, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import InstrumentedAttribute, Session

from mic_mail.clock import Clock
from mic_mail.directory import engine as database
from mic_mail.directory.connection import PlainChange
from mic_mail.directory.model import Base, Revision
from mic_mail.directory.records import IDS_END, not_found
from mic_mail.directory.revisions import DirectoryUnavailable
from mic_mail.errors import Text

T = TypeVar("T")
R = TypeVar("R", bound=Base)

_TAKEN = frozenset(
    {
        sqlite3.SQLITE_CONSTRAINT_UNIQUE,
        sqlite3.SQLITE_CONSTRAINT_PRIMARYKEY,
        sqlite3.SQLITE_CONSTRAINT_ROWID,
        "23505",  # PostgreSQL's unique_violation
    }
)
_MOST_KEYS = 500
"""Keys in one condition: SQLite takes 32,766 parameters, older versions 999."""
ATTEMPTS = 8
"""The number of attempts of a change."""


class WriteSession(Session):
    """The session of a change."""

    version: int
    """The directory's version from this change on."""
    clock: Clock


def read(engine: Engine, work: Callable[[Session], T]) -> T:
    """Run `work` in a read transaction."""
    with database.reading(engine) as connection, Session(connection) as session:
        return work(session)


def change(engine: Engine, clock: Clock, work: Callable[[WriteSession], T]) -> T:
    """Run `work` in a write transaction under the next version."""
    for _ in range(ATTEMPTS):
        try:
            with database.writing(engine) as connection, WriteSession(connection) as session:
                session.clock = clock
                session.version = session.scalars(
                    update(Revision).values(version=Revision.version + 1).returning(Revision.version)
                ).one()
                result = work(session)
                session.flush()
                return result
        except IntegrityError as conflict:
            if not _may_pass(conflict):
                raise
            last = conflict
    raise DirectoryUnavailable(
        Text("Danh bạ đang được sửa đổi ở nơi khác.", "Another command is changing the directory.")
    ) from last


def plainly(session: WriteSession) -> PlainChange:
    """Return the same change for plain SQL, after what the session has written so far."""
    session.flush()
    return PlainChange(database.rows_of(session.connection()), session.version, session.clock)


def _may_pass(conflict: IntegrityError) -> bool:
    """Return whether another process may have come first, so that a new attempt sees what it wrote.

    A row that refers to nothing or lacks a value is refused each time: a defect of the caller, and no traffic.
    """
    code = getattr(conflict.orig, "sqlite_errorcode", None) or getattr(conflict.orig, "sqlstate", None)
    return code is None or code in _TAKEN


def among(column: InstrumentedAttribute[int], keys: Sequence[int]) -> Iterator[ColumnElement[bool]]:
    """Yield conditions that together hold for the rows with these keys, for a query each."""
    for start in range(0, len(keys), _MOST_KEYS):
        yield column.in_(keys[start : start + _MOST_KEYS])


def existing(session: Session, kind: type[R], number: int, vi: str, en: str) -> R:
    """Return the row of this number, or raise `NotFound`; `vi` and `en` say what it is of."""
    row = session.get(kind, number) if 0 < number < IDS_END else None
    if row is None:
        raise not_found(vi, en, number)
    return row


def to_record(row: Base, kind: Callable[..., T], /, **values: object) -> T:
    """Return a row as a dataclass record: `values`, and for other fields the columns of the same names."""
    names = (field.name for field in fields(kind) if field.name not in values)  # type: ignore[arg-type]  # it is a dataclass
    return kind(**{name: getattr(row, name) for name in names}, **values)


def row_of(kind: type[R], record: Any, /, **values: object) -> R:
    """Return a record as a new row without number: `values`, and the fields named as the other columns."""
    columns = {column.key for column in kind.__table__.columns if not column.primary_key} - values.keys()
    return kind(**{field.name: getattr(record, field.name) for field in fields(record) if field.name in columns}, **values)


def add_record(session: Session, kind: type[R], record: Any, /, **values: object) -> R:
    """Add a record as by `row_of`, and return the row with its number."""
    row = row_of(kind, record, **values)
    session.add(row)
    session.flush()
    return row
