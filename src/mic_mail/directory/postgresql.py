"""Connections to a directory that lies in PostgreSQL, in a schema of its own beside whatever else is in the database.

In: the URL of the database, as libpq takes it. Out: an engine of SQLAlchemy. A change locks the row of the version first
(`transactions.change`), so changes of all nodes happen one after the other, as in a file; a read sees one commit. COMMIT waits
for the disk and for the standby that the server waits for.
"""

from typing import Any

import psycopg
from sqlalchemy import Connection, Engine, create_engine, text

from mic_mail import postgresql_url
from mic_mail.directory import revisions
from mic_mail.errors import BadInput, Text

SCHEMA = "directory"
MOST_CONNECTIONS = 4
"""The most of one process: its threads wait for each other beyond it."""
_WAIT_SECONDS = 10
_MILLISECONDS = 1_000
_SESSION: dict[str, object] = {
    "lock_timeout": _WAIT_SECONDS * _MILLISECONDS,
    "statement_timeout": 20 * _MILLISECONDS,
    "idle_in_transaction_session_timeout": 30 * _MILLISECONDS,
    "jit": "off",
}
_NEEDED: dict[str, object] = {"search_path": SCHEMA}
_BEGIN_SESSION = (
    "SELECT pg_backend_pid(), "
    "set_config('synchronous_commit', CASE WHEN now IN ('on', 'remote_apply') THEN now ELSE 'on' END, false) "
    "FROM current_setting('synchronous_commit') AS now"
)
"""Asks for the process, and for no less durability than `on`, whatever is set for server, role or connection."""
_CREATION = 0x6D6D6472
"""The key of the advisory lock of those who make the tables: "mmdr"."""


def engine_of(url: str) -> Engine:
    """Return an engine for the database; opens nothing yet. Raise `BadInput` for a URL that is none."""
    try:
        settings = postgresql_url.settings_of(url)
    except ValueError as error:
        raise BadInput(
            Text(
                f"URL của cơ sở dữ liệu danh bạ không dùng được: {error}.",
                f"The directory's database URL is unusable: {error}.",
            )
        ) from error
    settings = postgresql_url.with_options(settings, _SESSION, _NEEDED)
    return create_engine(
        "postgresql+psycopg://",
        creator=lambda: _connected(settings),
        pool_size=MOST_CONNECTIONS,
        max_overflow=0,
        pool_timeout=_WAIT_SECONDS,
        pool_pre_ping=True,  # after a fail-over no caller gets a connection that has ended
        hide_parameters=True,
    )


def _connected(settings: dict[str, Any]) -> psycopg.Connection[Any]:
    driver = psycopg.connect(**settings, autocommit=True)
    try:
        ((process, _),) = driver.execute(_BEGIN_SESSION)
        if process != driver.info.backend_pid:
            where = postgresql_url.named(settings)
            raise revisions.unavailable(f"{where}: a pooler answers in place of PostgreSQL; name its own host and port")
        driver.autocommit = False
    except BaseException:
        driver.close()
        raise
    return driver


def reading(engine: Engine) -> Connection:
    """Return a connection whose statements will see one commit."""
    return engine.connect().execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)


def prepare_to_create(connection: Connection) -> None:
    """Hold others off who make the tables, too, and make the schema in which they will be."""
    connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _CREATION})
    connection.execute(text(f"CREATE SCHEMA IF NOT EXISTS {SCHEMA}"))
