"""Transactions of plain SQL on the directory's database: for an SQLite file without SQLAlchemy.

Most processes and commands only read, and SQLAlchemy is two fifths of what a command loads and a third of the memory that a
worker does not share. The few kinds of changes that the start of a server makes are plain SQL, too. A statement is SQL that
SQLite and PostgreSQL understand, with named parameters (`:mailbox_id`). Values come as the database has them; `rows` makes them
days, instants and octets.
"""

import contextlib
import os
import sqlite3
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from mic_mail.config.model import directory_file
from mic_mail.directory import revisions
from mic_mail.directory.connection import Rows, set_up

if TYPE_CHECKING:  # loaded for a change, or for another database
    from sqlalchemy import Engine


MOST_IDLE = 4
"""Connections that stay open for later reads; threads that read together more seldom open their own."""


class Source:
    """The database behind one URL; safe from several threads."""

    def __init__(self, url: str) -> None:
        self.url = url
        self._file = _plain_file(url)
        self._idle: list[sqlite3.Connection] = []
        if self._file is None:
            _ = self.engine  # an unusable URL is refused at once

    @cached_property
    def engine(self) -> "Engine":
        """The engine for changes; opens nothing yet."""
        from mic_mail.directory import engine

        return engine.connect(self.url)

    @contextmanager
    def reading(self) -> Iterator[Rows]:
        """Yield what executes statements that all see one state of the database."""
        if self._file is None:
            from mic_mail.directory import engine

            with engine.reading(self.engine) as connection:
                yield engine.rows_of(connection)
            return
        with self._transaction("BEGIN", "ROLLBACK") as rows:
            yield rows

    @property
    def is_file(self) -> bool:
        """True for an SQLite file, which needs no SQLAlchemy."""
        return self._file is not None

    def writing(self) -> AbstractContextManager[Rows]:
        """Return a write transaction of an SQLite file: committed at the end, rolled back by an exception."""
        return self._transaction("BEGIN IMMEDIATE", "COMMIT")

    @contextmanager
    def _transaction(self, begin: str, end: str) -> Iterator[Rows]:
        with _temporary_troubles():
            own = self._connection()
            try:
                own.execute(begin)
                yield lambda statement, **values: own.execute(statement, values)
                own.execute(end)
            except BaseException:
                # Closing alone would not end the transaction while a frame of the traceback holds a statement's rows.
                with contextlib.suppress(sqlite3.Error):
                    own.rollback()
                own.close()
                raise
            if len(self._idle) < MOST_IDLE:  # one more by a thread at the same moment does no harm
                self._idle.append(own)
            else:
                own.close()

    def must_be_current(self) -> None:
        """Raise `DirectoryUnavailable` with what to do unless the tables are of this program's revision."""
        if self._file is None:
            from mic_mail.directory import engine

            engine.must_be_current(self.engine)
            return
        revisions.must_be_head(self._revision())

    def is_known_to_be_current(self) -> bool:
        """Return whether the tables are of this program's revision; False where only SQLAlchemy could tell."""
        return self._file is not None and self._file.exists() and self._revision() == revisions.HEAD

    def _revision(self) -> str | None:
        """Return the revision of the tables in an SQLite file; None: no tables were created yet."""
        with self.reading() as rows:
            has_one = any(rows("SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = 'alembic_version'"))
            found = next(rows("SELECT version_num FROM alembic_version"), None) if has_one else None
        return None if found is None else str(found[0])

    def close(self) -> None:
        while self._idle:
            self._idle.pop().close()
        if "engine" in vars(self):
            self.engine.dispose()

    def _connection(self) -> sqlite3.Connection:
        try:
            return self._idle.pop()
        except IndexError:
            made = sqlite3.connect(str(self._file), check_same_thread=False)
            try:
                set_up(made)
            except BaseException:
                made.close()  # else the exception keeps it open until the next collection
                raise
            return made


def _plain_file(url: str) -> Path | None:
    """Return the SQLite file that a URL names without options; None for all else, which SQLAlchemy opens."""
    found = directory_file(url)
    if found is None or str(found) in {".", ":memory:"} or "%" in url:
        return None
    return Path(os.path.abspath(found))  # as SQLAlchemy does, by which changes go


@contextmanager
def _temporary_troubles() -> Iterator[None]:
    """Raise `DirectoryUnavailable` for failures of the database; mistakes of the caller pass."""
    try:
        yield
    except sqlite3.DatabaseError as error:  # a damaged file raises a plain DatabaseError
        if not isinstance(error, sqlite3.OperationalError) and type(error) is not sqlite3.DatabaseError:
            raise
        raise revisions.unavailable(str(error)) from error
    except sqlite3.InterfaceError as error:
        raise revisions.unavailable(str(error)) from error
    except UnicodeDecodeError as error:  # SQLite's message quotes octets of a damaged schema
        raise revisions.unavailable("malformed database schema") from error
