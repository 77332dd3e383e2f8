"""Transactions of the directory's tables: each read and each change is one.

A read sees one state of the database. A change is durable when `change` returns, and raises the version by which workers notice
it. Where another process came first (it numbered a fact, took an address), the change is run again, so it must do nothing but
change the tables.
"""

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
                last = conflict
        raise DirectoryUnavailable(
            Text("Danh bạ đang được sửa đổi ở nơi khác.", "Another command is changing the directory.")
        ) from last
