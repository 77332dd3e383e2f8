"""The directory's database: connections, transactions, schema.

SQLite by default: write-ahead log, foreign keys on, writers queue at BEGIN IMMEDIATE for a bounded time. Several servers have
one in PostgreSQL (`postgresql`). Other databases are reached by their SQLAlchemy URL. A failure of the database raises
`DirectoryUnavailable`, a temporary trouble.
"""

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, create_engine, event, inspect, text
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.exc import ArgumentError, DatabaseError, DataError, InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as NoConnection
from sqlalchemy.pool import ConnectionPoolEntry, QueuePool

from mic_mail.config.model import is_postgresql
from mic_mail.directory import revisions
from mic_mail.directory.connection import IN_MEMORY, Rows, set_up
from mic_mail.errors import BadInput, Text, in_ascii

_WRITES = "mic_mail_writes"
_POSTGRESQL = "postgresql"
_PASSING = ("08", "25006", "25P03", "25P04", "40", "53", "55P03", "57", "58", "F0", "XX")
"""Beginnings of SQLSTATEs of PostgreSQL's errors that pass without a change of this program, whatever their class."""


class UnusableUrl(BadInput):
    """`directory.url` names no database that this program can use.

    The message does not repeat the URL: it may contain a password.
    """


def connect(url: str) -> Engine:
    """Return an engine for `url`; opens nothing yet.

    Its errors name no parameters: these may be verifiers.
    """
    pool = QueuePool if IN_MEMORY in url else None
    try:
        if is_postgresql(url):
            from mic_mail.directory import postgresql

            return postgresql.engine_of(url)
        engine = create_engine(url, poolclass=pool, hide_parameters=True)
    except ArgumentError as error:
        raise UnusableUrl(
            Text("directory.url không phải URL của cơ sở dữ liệu nào.", "directory.url is not a database URL."),
            remedy=Text(
                'Bỏ mục này, hoặc viết như "sqlite:////var/lib/mic-mail/directory/directory.sqlite".',
                'Remove the setting, or write it as "sqlite:////var/lib/mic-mail/directory/directory.sqlite".',
            ),
        ) from error
    except ImportError as error:
        driver = error.name or str(error)
        raise UnusableUrl(
            Text(
                f"Chưa cài trình điều khiển {driver} của directory.url.",
                f"The driver of directory.url is not installed: {in_ascii(driver)}.",
            ),
            remedy=Text(
                "Cài gói đó vào môi trường Python của mic-mail, hoặc nêu trình điều khiển khác trong URL.",
                "Install that package into mic-mail's environment, or name another driver in the URL.",
            ),
        ) from error
    if engine.dialect.name == "sqlite":
        event.listen(engine, "connect", _set_up_sqlite)
        event.listen(engine, "begin", _begin_sqlite)
    return engine


@contextmanager
def reading(engine: Engine) -> Iterator[Connection]:
    """Yield a connection whose statements see one state of the database."""
    if engine.dialect.name == _POSTGRESQL:
        from mic_mail.directory import postgresql

        with _temporary_troubles(), postgresql.reading(engine) as connection:
            yield connection
        return
    with _temporary_troubles(), engine.connect() as connection:
        yield connection


def rows_of(connection: Connection) -> Rows:
    """Return what executes plain SQL within the transaction of `connection`."""

    def run(statement: str, **values: object) -> Iterator[tuple[Any, ...]]:
        found = connection.execute(text(statement), values)
        return iter(found) if found.returns_rows else iter(())

    return run


@contextmanager
def writing(engine: Engine) -> Iterator[Connection]:
    """Yield a connection in a write transaction: committed at the end, rolled back by an exception."""
    with _temporary_troubles(), engine.connect().execution_options(**{_WRITES: True}) as connection, connection.begin():
        yield connection


def migrate(engine: Engine, *, must_exist: bool = False) -> None:
    """Migrate the schema to this program's version; several processes may try at the same time.

    Tables are created where there are none, unless they `must_exist`: an emptied file must not pass for a directory without
    mailboxes.
    """
    if not must_exist and engine.dialect.name == "sqlite" and engine.url.database and IN_MEMORY not in str(engine.url):
        Path(engine.url.database).parent.mkdir(mode=0o700, exist_ok=True)
    with writing(engine) as connection:
        if engine.dialect.name == _POSTGRESQL:
            from mic_mail.directory import postgresql

            postgresql.prepare_to_create(connection)
        revision = _revision(connection)
        if revision == revisions.HEAD:
            return
        if must_exist and revision is None:
            raise revisions.empty()
        if revision is not None and not revisions.is_known(revision):
            raise revisions.unknown(revision)
        from mic_mail.directory import migrate  # Alembic is a tenth of what a process loads to start

        if revision is None:
            migrate.create(connection)
        else:
            migrate.upgrade(connection)


def must_be_current(engine: Engine) -> None:
    """Raise `DirectoryUnavailable` with what to do unless the schema is of this program's version."""
    with reading(engine) as connection:
        revision = _revision(connection)
    revisions.must_be_head(revision)


def _revision(connection: Connection) -> str | None:
    """Return the revision of the tables, as Alembic has recorded it; None: no tables were created yet."""
    if not inspect(connection).has_table("alembic_version"):
        return None
    revision: str | None = connection.scalar(text("SELECT version_num FROM alembic_version"))
    return revision


def _set_up_sqlite(connection: DBAPIConnection, _record: ConnectionPoolEntry) -> None:
    assert isinstance(connection, sqlite3.Connection)
    set_up(connection)


def _begin_sqlite(connection: Connection) -> None:
    # A deferred transaction that reads first and writes later cannot wait for its turn: it fails immediately.
    writes = connection.get_execution_options().get(_WRITES, False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")


@contextmanager
def _temporary_troubles() -> Iterator[None]:
    try:
        yield
    except DataError as error:  # PostgreSQL takes no U+0000 in a text, and no number beyond its type
        raise BadInput(
            Text("Danh bạ không lưu được một giá trị trong số này.", "The directory cannot store one of these values."),
            remedy=Text("Bỏ ký tự điều khiển và số quá lớn.", "Leave out control characters and numbers that are too large."),
        ) from error
    except DatabaseError as error:
        # A damaged file raises a plain DatabaseError. Its other subclasses are mistakes of the caller, or for the caller to
        # handle.
        if not isinstance(error, OperationalError) and type(error) is not DatabaseError and not _passes(error):
            raise
        raise revisions.unavailable(str(error.orig)) from error
    except InterfaceError as error:
        raise revisions.unavailable(str(error.orig)) from error
    except NoConnection as error:
        raise revisions.unavailable("all connections of this process are in use") from error
    except UnicodeDecodeError as error:  # SQLite's message quotes octets of a damaged schema
        raise revisions.unavailable("malformed database schema") from error


def _passes(error: DatabaseError) -> bool:
    state = getattr(error.orig, "sqlstate", None)
    return isinstance(state, str) and state.startswith(_PASSING)
