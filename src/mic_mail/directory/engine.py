"""The directory's database: connections, transactions, schema.

SQLite by default: write-ahead log, foreign keys on, writers queue at BEGIN IMMEDIATE for a bounded time. Other databases are
reached by their SQLAlchemy URL. A failure of the database raises `DirectoryUnavailable`, a temporary trouble.
"""

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sqlalchemy import Connection, Engine, create_engine, event, inspect, text
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.exc import ArgumentError, DatabaseError, InterfaceError, OperationalError
from sqlalchemy.pool import ConnectionPoolEntry, QueuePool

from mic_mail.directory.records import BRING_BACK
from mic_mail.errors import BadInput, Text, Trouble, in_ascii

BUSY_MILLISECONDS = 10_000
BASE = "0010"
"""The oldest revision that is migrated."""
HEAD = "0012"
"""The newest revision in `migrations/versions`."""
IN_MEMORY = "mode=memory"
"""A part of the URL of an SQLite database in memory: connections share it, as they do a file."""
_WRITES = "mic_mail_writes"


class DirectoryUnavailable(Trouble):
    """The database does not answer, is locked for too long, full, or of an unknown version."""


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
    with _temporary_troubles(), engine.connect() as connection:
        yield connection


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
        revision = _revision(connection)
        if revision == HEAD:
            return
        if must_exist and revision is None:
            raise _empty()
        if revision is not None and not _is_known(revision):
            raise _unknown_revision(revision)
        from mic_mail.directory import migrate  # Alembic is a tenth of what a process loads to start

        if revision is None:
            migrate.create(connection)
        else:
            migrate.upgrade(connection)


def must_be_current(engine: Engine) -> None:
    """Raise `DirectoryUnavailable` with what to do unless the schema is of this program's version."""
    with reading(engine) as connection:
        revision = _revision(connection)
    if revision is None:
        raise _empty()
    if revision < HEAD and _is_known(revision):
        raise DirectoryUnavailable(
            Text(
                f"Danh bạ chưa được nâng cấp ({revision}; chương trình này cần {HEAD}).",
                f"The directory is not upgraded yet ({in_ascii(revision)}; this version needs {HEAD}).",
            ),
            remedy=Text(
                "Khởi động lại máy chủ: khi khởi động, máy chủ nâng cấp danh bạ.",
                "Restart the server: it upgrades the directory when it starts.",
            ),
        )
    if revision != HEAD:
        raise _unknown_revision(revision)


def _empty() -> DirectoryUnavailable:
    return DirectoryUnavailable(Text("Cơ sở dữ liệu danh bạ trống.", "The directory database is empty."), remedy=BRING_BACK)


def _revision(connection: Connection) -> str | None:
    """Return the revision of the tables, as Alembic has recorded it; None: no tables were created yet."""
    if not inspect(connection).has_table("alembic_version"):
        return None
    revision: str | None = connection.scalar(text("SELECT version_num FROM alembic_version"))
    return revision


def _is_known(revision: str) -> bool:
    """Return whether this program ships the revision; they are numbered."""
    return revision.isdecimal() and BASE <= revision <= HEAD


def _unknown_revision(revision: str) -> DirectoryUnavailable:
    if revision.isdecimal() and revision < BASE:
        return DirectoryUnavailable(
            Text(
                f"Danh bạ thuộc phiên bản quá cũ ({revision}; chương trình này biết từ {BASE}).",
                f"The directory is of too old a version ({revision}; this version knows {BASE} and later).",
            ),
            remedy=Text(
                f"Chạy một lần bản mic-mail cũ hơn còn biết {revision} để nâng cấp danh bạ lên {BASE}, rồi khởi động lại.",
                f"Start an older version that still knows {revision} once, to upgrade it to {BASE}; then start again.",
            ),
        )
    return DirectoryUnavailable(
        Text(
            f"Danh bạ thuộc phiên bản mới hơn ({revision}; chương trình này biết đến {HEAD}).",
            f"The directory was upgraded by a newer version ({in_ascii(revision)}; this version knows {HEAD}).",
        ),
        remedy=Text(
            "Chạy bản mic-mail đã nâng cấp danh bạ, hoặc khôi phục bản sao lưu trước khi nâng cấp.",
            "Run the version that upgraded it, or restore the backup from before the upgrade.",
        ),
    )


def _set_up_sqlite(connection: DBAPIConnection, _record: ConnectionPoolEntry) -> None:
    assert isinstance(connection, sqlite3.Connection)
    connection.isolation_level = None  # this module sends BEGIN itself
    connection.execute(f"PRAGMA busy_timeout = {BUSY_MILLISECONDS}")
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = FULL")  # an acknowledged fact survives a power cut
    connection.execute("PRAGMA foreign_keys = ON")


def _begin_sqlite(connection: Connection) -> None:
    # A deferred transaction that reads first and writes later cannot wait for its turn: it fails immediately.
    writes = connection.get_execution_options().get(_WRITES, False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")


@contextmanager
def _temporary_troubles() -> Iterator[None]:
    try:
        yield
    except DatabaseError as error:
        # A damaged file raises a plain DatabaseError. Its other subclasses are mistakes of the caller, or for the caller to
        # handle.
        if not isinstance(error, OperationalError) and type(error) is not DatabaseError:
            raise
        raise _unavailable(str(error.orig)) from error
    except InterfaceError as error:
        raise _unavailable(str(error.orig)) from error
    except UnicodeDecodeError as error:  # SQLite's message quotes octets of a damaged schema
        raise _unavailable("malformed database schema") from error


def _unavailable(why: str) -> DirectoryUnavailable:
    return DirectoryUnavailable(
        Text(
            "Cơ sở dữ liệu danh bạ tạm thời không truy cập được.",
            "The directory database cannot be reached at the moment.",
        ),
        remedy=Text(
            f"Kiểm tra tệp hoặc máy chủ cơ sở dữ liệu: {why}",
            f"Check the database file or server: {in_ascii(why)}",
        ),
    )
