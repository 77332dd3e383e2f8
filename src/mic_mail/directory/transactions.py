"""Transactions of the directory's tables: each read and each change is one.

A read sees one state of the database. A change is durable when `change` returns, and raises the version by which workers notice
it. Where another process came first (it numbered a fact, took an address), the change is run again, so it must do nothing but
change the tables.
"""

import sqlite3
from collections.abc import Callable
from typing import TypeVar

from sqlalchemy import Engine, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from mic_mail.directory import engine as database
from mic_mail.directory.engine import DirectoryUnavailable
from mic_mail.directory.model import Revision
from mic_mail.errors import Text

T = TypeVar("T")

_TAKEN = frozenset({sqlite3.SQLITE_CONSTRAINT_UNIQUE, sqlite3.SQLITE_CONSTRAINT_PRIMARYKEY, sqlite3.SQLITE_CONSTRAINT_ROWID})
ATTEMPTS = 8
"""The number of attempts of a change."""


class Tables:
    """The tables behind one engine; safe from several threads."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def read(self, work: Callable[[Session], T]) -> T:
        """Return what `work` reads, in one transaction."""
        with database.reading(self._engine) as connection, Session(connection) as session:
            return work(session)

    def change(self, work: Callable[[Session, int], T]) -> T:
        """Run `work` in a write transaction under the next version."""
        for _ in range(ATTEMPTS):
            try:
                with database.writing(self._engine) as connection, Session(connection) as session:
                    version = session.scalars(
                        update(Revision).values(version=Revision.version + 1).returning(Revision.version)
                    ).one()
                    result = work(session, version)
                    session.flush()
                    return result
            except IntegrityError as conflict:
                if not _may_pass(conflict):
                    raise
                last = conflict
        raise DirectoryUnavailable(
            Text("Danh bạ đang được sửa đổi ở nơi khác.", "Another command is changing the directory.")
        ) from last


def _may_pass(conflict: IntegrityError) -> bool:
    """Return whether another process may have come first, so that a new attempt sees what it wrote.

    A row that refers to nothing or lacks a value is refused each time: a defect of the caller, and no traffic.
    """
    code = getattr(conflict.orig, "sqlite_errorcode", None)
    return code is None or code in _TAKEN
