"""Connections to a directory that lies in PostgreSQL, in a schema of its own beside whatever else is in the database.

In: the URL of the database, as libpq takes it. Out: an engine of SQLAlchemy. A change locks the row of the version first
(`transactions.change`), so changes of all nodes happen one after the other, as in a file; a read sees one commit. COMMIT waits
for the disk and for the standby that the server waits for.
"""

from typing import Any

import psycopg
from psycopg.abc import RV, PQGen
from psycopg.pq import TransactionStatus
from sqlalchemy import Connection, Engine, create_engine, text

from mic_mail import postgresql_primary, postgresql_url
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
    "tcp_keepalives_idle": 2,  # the server, too, notices within 8 s that this end is gone, and lets its locks go
    "tcp_keepalives_interval": 2,
    "tcp_keepalives_count": 3,
    "tcp_user_timeout": 8 * _MILLISECONDS,
}
_ANSWER_SECONDS = 25
"""The server gives up a statement after 20 s itself."""
_NEEDED: dict[str, object] = {"search_path": SCHEMA}
_BEGIN_SESSION = (
    "SELECT pg_backend_pid(), "
    "set_config('synchronous_commit', CASE WHEN now IN ('on', 'remote_apply') THEN now ELSE 'on' END, false) "
    "FROM current_setting('synchronous_commit') AS now"
)
"""Asks for the process, and for no less durability than `on`, whatever is set for server, role or connection."""
_CREATION = 0x6D6D6472
"""The key of the advisory lock of those who make the tables: "mmdr"."""


DriverError = psycopg.Error
Session = psycopg.Connection[Any]


def engine_of(url: str) -> Engine:
    """Return an engine for the database; opens nothing yet. Raise `BadInput` for a URL that is none."""
    settings = _settings_of(url)
    return create_engine(
        "postgresql+psycopg://",
        creator=lambda: _connected(settings),
        pool_size=MOST_CONNECTIONS,
        max_overflow=0,
        pool_timeout=_WAIT_SECONDS,
        pool_pre_ping=True,  # after a fail-over no caller gets a connection that has ended
        hide_parameters=True,
    )


def session_of(url: str) -> Session:
    """Open a session for its own sake, whose statements are transactions each. Raise `DirectoryUnavailable`."""
    try:
        session = _connected(_settings_of(url))
        session.autocommit = True
    except DriverError as error:
        raise revisions.unavailable(str(error)) from error
    return session


def _settings_of(url: str) -> dict[str, Any]:
    try:
        settings = postgresql_url.settings_of(url)
    except ValueError as error:
        raise BadInput(
            Text(
                f"URL của cơ sở dữ liệu danh bạ không dùng được: {error}.",
                f"The directory's database URL is unusable: {error}.",
            )
        ) from error
    return postgresql_url.with_options(settings, _SESSION, _NEEDED)


class _Connection(Session):
    """A connection whose server answers within `_ANSWER_SECONDS`, or counts as lost.

    A server that is stopped while its machine goes on acknowledges every octet and never answers.
    """

    def wait(self, gen: PQGen[RV], interval: float = 0.0, timeout: float | None = None) -> RV:
        try:
            return super().wait(gen, timeout=_ANSWER_SECONDS if timeout is None else timeout)
        except DriverError:
            if self.pgconn.transaction_status == TransactionStatus.ACTIVE:
                self.close()  # whoever ends the transaction would wait as long again
            raise


def _connected(settings: dict[str, Any]) -> Session:
    driver = postgresql_primary.connect(_Connection, settings)
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
