"""One process's connections to the PostgreSQL that holds the indexes.

    reading()    each statement sees the newest commit
    snapshot()   all statements see one commit; a long one may take minutes
    changing()   a transaction that holds an account: the row of the account is locked first
    making()     a transaction that holds the number of an account that may have no row yet, against others like it
    filling()    a transaction that holds the text index of an account, against others like it
    marking()    no transaction, but a hold of an account's marks, for several transactions one after the other
    transaction()  a transaction that holds no account

There are at most `most` connections, opened as they are needed; who finds none waits. A connection that the server has closed
meanwhile is replaced before it is used, so that a restart costs nobody an error afterwards. A change is never repeated here.

`changing` locks the row in a statement of its own: what a statement joins to a row for which it had to wait may be older than
that row (READ COMMITTED), so folders are read by a later one.

A connection is a session of one server process, PostgreSQL 17 or newer, from its start to its end: limits and durability are
settings of the session, and statements stay prepared in it. So no pooler may stand between, as PgBouncer: it is found by the
number of the server process, of which it tells another than that process does.
"""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

import psycopg

from mic_mail import postgresql_primary, postgresql_url
from mic_mail.storage.errors import AccountGone, Busy, Overloaded, Unavailable
from mic_mail.storage.index.postgresql.connection import PostgresqlConnection, PostgresqlCursor, require_no_pooler
from mic_mail.storage.index.postgresql.failures import of_error

_STATEMENT_SECONDS = 20.0
_TRANSACTION_STATEMENTS = 3
"""A transaction ends after the time of so many of the longest statements.

No other limit of the server counts while it has been sent statements and not yet been asked for their results.
"""
_LONG_SECONDS = 1_800.0
"""A long snapshot may take so long: that of a backup, which reads all rows of a mailbox."""
_LONG_IDLE_SECONDS = 60.0
"""So long it may wait for its reader, who writes to a disk."""
_LONG = "SELECT set_config('transaction_timeout', $1, true), set_config('idle_in_transaction_session_timeout', $2, true)"
_MORE_SECONDS = 5.0
"""After its own limit the server has so long to say that a statement took too long."""
_SESSION = {
    "idle_in_transaction_session_timeout": 5_000,
    "plan_cache_mode": "force_generic_plan",  # statements go by keys, so each set of values would get the same plan
    "jit": "off",
}
_NEEDED = {"client_min_messages": "warning"}
"""What no connection string may change: only a warning tells that somebody has ended the wait for a standby."""
_BEGIN_SESSION = (
    "SELECT pg_backend_pid(), "
    "set_config('synchronous_commit', CASE WHEN now IN ('on', 'remote_apply') THEN now ELSE 'on' END, false) "
    "FROM current_setting('synchronous_commit') AS now"
)
"""Asks for the process, and for no less durability than `on`, whatever is set for server, role or connection.

Who has set more has a reason. What is set so, a later change of the server's settings does not undo.
"""
_NOT_DURABLE = "SET LOCAL synchronous_commit TO off"
_KEEP_ACCOUNT = "SELECT account_id FROM account WHERE account_id = $1 FOR KEY SHARE"
"""Lets others change an account and nobody delete it."""
_LOCK_ACCOUNT = "SELECT account_id FROM account WHERE account_id = $1 FOR NO KEY UPDATE"
_LOCK_NUMBER = "SELECT CAST(pg_advisory_xact_lock($1, $2) AS TEXT)"
_PATIENCE = "SELECT set_config('lock_timeout', $1, true), set_config('statement_timeout', $2, true)"
_NO_PATIENCE = "SET LOCAL statement_timeout TO DEFAULT"
_MORE_MS = 100
"""A statement may take so much longer than one wait for a lock, which then ends first and is told as such.

The time of a statement counts over all of its waits; he who is third in a row has two.
"""
_MORE_PATIENCE = 2.0
"""Seconds beyond his patience that anyone waits for servers that do not answer: libpq waits no less."""
_LOCK_MARKS = "SELECT CAST(pg_advisory_lock($1, $2) AS TEXT)"
_UNLOCK_MARKS = "SELECT CAST(pg_advisory_unlock($1, $2) AS TEXT)"
_ACCOUNTS = 0x6D6D6978
"""First of the two keys of an advisory lock of an account: "mmix"."""
_MARKS = 0x6D6D6B73
"""The same of the lock of its marks: "mmks"."""
_TEXTS = 0x6D6D6973
"""The same of its text index: "mmis"."""

T = TypeVar("T")


class Database:
    """The connections of one process; safe from several threads, not across a fork."""

    def __init__(
        self,
        connection_string: str,
        *,
        most: int = 8,
        lock_seconds: float = 10.0,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """`lock_seconds`: a change waits so long for its account, and everyone for a connection.

        `monotonic`: the clock of `rest`.
        """
        settings = postgresql_url.settings_of(connection_string)
        self._lock_seconds = lock_seconds
        self._monotonic = monotonic
        self._statement_seconds = max(_STATEMENT_SECONDS, 2 * lock_seconds)
        session = _SESSION | {
            "lock_timeout": int(lock_seconds * 1000),
            "statement_timeout": int(self._statement_seconds * 1000),
            "transaction_timeout": int(_TRANSACTION_STATEMENTS * self._statement_seconds * 1000),
        }
        self._settings = postgresql_url.with_options(settings, session, _NEEDED)
        self.where = postgresql_url.named(settings)
        self._most = most
        self._turns = threading.Semaphore(most)
        self._lock = threading.Lock()
        self._lent = 0
        self._idle: list[PostgresqlConnection] = []
        """The last one returned is the next to be used, so the first rest longest."""
        self._generation = 0

    @contextmanager
    def reading(self) -> Iterator[PostgresqlConnection]:
        """Lend a connection on which each statement sees the newest commit."""
        with self._borrowed() as connection:
            yield connection
            connection.settle()

    @contextmanager
    def snapshot(self, *, is_long: bool = False) -> Iterator[PostgresqlConnection]:
        """Lend a connection whose statements all see the same commit; a long one keeps the server from removing old rows."""
        with self._borrowed() as connection:
            try:
                connection.run("BEGIN ISOLATION LEVEL REPEATABLE READ, READ ONLY")
                if is_long:
                    connection.run(_LONG, str(int(_LONG_SECONDS * 1000)), str(int(_LONG_IDLE_SECONDS * 1000)))
                yield connection
                connection.end_snapshot()
            except BaseException:
                connection.roll_back()
                raise

    @contextmanager
    def transaction(self) -> Iterator[PostgresqlConnection]:
        """Run a transaction that holds no account; durable at the end of the block, undone by any exception in it."""
        with self._borrowed() as connection, _transaction(connection):
            yield connection

    @contextmanager
    def changing(self, account_id: int, patience: float | None = None) -> Iterator[PostgresqlConnection]:
        """Hold an account: one transaction, durable at the end of the block, undone by any exception in it.

        `Unavailable` after the database's own `lock_seconds`, or `Busy` after `patience` seconds. Where no server
        answers it may take 2 s more.
        """
        with self.changing_asked(account_id, lambda _: None, patience) as (connection, _):
            yield connection

    @contextmanager
    def changing_asked(
        self, account_id: int, ask: Callable[[PostgresqlConnection], T], patience: float | None = None
    ) -> Iterator[tuple[PostgresqlConnection, T]]:
        """Hold an account as `changing` does; the statements of `ask` go in the same round trip.

        Yields the connection and what `ask` has returned. It must not ask for the results of its statements itself, which see
        what those have left for whom this one has waited.
        """
        until = None if patience is None else time.monotonic() + patience
        with self._borrowed(patience) as connection, _transaction(connection):
            if until is not None:
                left_ms = max(1, int(_left(until) * 1000))
                connection.run(_PATIENCE, str(left_ms), str(left_ms + _MORE_MS))
            locked = connection.run(_LOCK_ACCOUNT, account_id)
            if until is not None:
                connection.run(_NO_PATIENCE)
            asked = ask(connection)
            self._require(connection, account_id, locked, patience)
            connection.answer_within(None)
            yield connection, asked

    @contextmanager
    def changing_on(self, connection: PostgresqlConnection, account_id: int) -> Iterator[None]:
        """Hold an account as `changing` does, on a connection that `marking` has lent."""
        with _transaction(connection):
            self._require(connection, account_id, connection.run(_LOCK_ACCOUNT, account_id), None)
            yield

    @contextmanager
    def making(self, account_id: int) -> Iterator[PostgresqlConnection]:
        """Hold the number of an account, with or without a row, against others that make it; a transaction, as `changing`.

        It keeps out nobody who changes the account.
        """
        with self._borrowed() as connection, _transaction(connection):
            self._require(connection, account_id, connection.run(_LOCK_NUMBER, _ACCOUNTS, account_id), None)
            yield connection

    @contextmanager
    def filling(self, account_id: int, patience: float) -> Iterator[PostgresqlConnection]:
        """Hold the text index of an account, against others that add to it; a transaction, as `changing`.

        It keeps out nobody who changes the account, only who deletes it. `Busy` after `patience` seconds. COMMIT waits for no
        disk and no standby: text that is lost is made again.
        """
        with self._borrowed(patience) as connection, _transaction(connection):
            patience_ms = max(1, int(patience * 1000))
            connection.run(_PATIENCE, str(patience_ms), str(patience_ms + _MORE_MS))
            connection.run(_LOCK_NUMBER, _TEXTS, account_id)
            kept = connection.run(_KEEP_ACCOUNT, account_id)
            connection.run(_NO_PATIENCE)
            connection.run(_NOT_DURABLE)
            self._require(connection, account_id, kept, patience)
            connection.answer_within(None)
            yield connection

    @contextmanager
    def marking(self, account_id: int) -> Iterator[PostgresqlConnection]:
        """Hold the marks of an account against others that set or lift one, over several transactions (`changing_on`).

        No transaction is open meanwhile, so the block may do what takes long, as writing to another database. Where the
        connection is lost, so is the hold.
        """
        with self._borrowed() as connection:
            try:
                self._require(connection, account_id, connection.run(_LOCK_MARKS, _MARKS, account_id), None)
                yield connection
            finally:
                try:
                    connection.run(_UNLOCK_MARKS, _MARKS, account_id).fetchone()
                except Unavailable:  # with the session the server ends its locks
                    connection.close()

    def _require(
        self, connection: PostgresqlConnection, account_id: int, locked: PostgresqlCursor, patience: float | None
    ) -> None:
        """Take the result of a statement that locks; raise what says why there is no lock."""
        try:
            held = locked.fetchone()
        except Unavailable as error:
            if not connection.is_alive():
                raise
            if patience is None:
                raise Unavailable(f"account {account_id} in {self.where} busy for {self._lock_seconds} s") from error
            raise Busy(f"account {account_id} in {self.where} busy for {patience} s") from error
        if held is None:
            raise AccountGone(f"account {account_id} in {self.where} does not exist")

    # Connections

    @contextmanager
    def _borrowed(self, patience: float | None = None) -> Iterator[PostgresqlConnection]:
        seconds = self._lock_seconds if patience is None else patience
        until = time.monotonic() + seconds
        if not self._turns.acquire(timeout=seconds):
            kind = Overloaded if patience is None else Busy
            raise kind(f"{self.where}: all {self._most} connections of this process in use for {seconds} s")
        try:
            with self._lock:
                self._lent += 1
            generation = self._generation
            limit = None if patience is None else _left(until) + _MORE_PATIENCE
            connection = self._taken(limit) or self._connect(limit)
            try:
                yield connection
            finally:
                self._give_back(connection, generation)
        finally:
            with self._lock:
                self._lent -= 1
            self._turns.release()

    def _taken(self, limit: float | None) -> PostgresqlConnection | None:
        """Return an idle connection that is good; close those that are not."""
        while True:
            with self._lock:
                if not self._idle:
                    return None
                connection = self._idle.pop()
            connection.answer_within(limit)
            if connection.is_ready():
                return connection
            connection.close()

    def _give_back(self, connection: PostgresqlConnection, generation: int) -> None:
        connection.used_at = self._monotonic()
        if connection.has_ended:
            with self._lock:
                if generation == self._generation:
                    self._idle.append(connection)
                    return
        connection.close()

    def _connect(self, limit: float | None) -> PostgresqlConnection:
        driver = self.driver(limit)
        connection = PostgresqlConnection(driver, self.where, self._statement_seconds + _MORE_SECONDS)
        connection.answer_within(limit)
        try:
            process, _ = connection.run(_BEGIN_SESSION).fetchone()
            require_no_pooler(self.where, driver.pgconn, process)
        except BaseException:
            connection.close()
            raise
        return connection

    def driver(self, limit: float | None = None) -> psycopg.Connection[Any]:
        """Open a connection of the driver's own, with the settings of all others, within `limit` seconds."""
        settings = self._settings
        if limit is not None:
            settings = settings | {"connect_timeout": min(int(limit), settings["connect_timeout"] or int(limit))}
        try:
            return postgresql_primary.connect(psycopg.Connection, settings)
        except psycopg.Error as error:
            failure = of_error(self.where, error)
        raise failure

    def rest(self, before: float) -> int:
        """Close the idle connections unused since `before`; return how many. Each has a process of the server to itself."""
        with self._lock:
            resting = [connection for connection in self._idle if connection.used_at < before]
            self._idle = [connection for connection in self._idle if connection.used_at >= before]
        for connection in resting:
            connection.close()
        return len(resting)

    @property
    def is_open(self) -> bool:
        """Return whether there are connections that `rest` would close in time: idle ones, or some that will be."""
        with self._lock:
            return bool(self._idle) or self._lent > 0

    def close(self) -> None:
        """Close idle connections now and those in use when they return; the next use opens others."""
        with self._lock:
            self._generation += 1
            idle, self._idle = self._idle, []
        for connection in idle:
            connection.close()


@contextmanager
def _transaction(connection: PostgresqlConnection) -> Iterator[None]:
    """Run a block as one transaction, durable at its end, undone by any exception in it."""
    try:
        connection.run("BEGIN ISOLATION LEVEL READ COMMITTED")
        yield
    except BaseException:
        connection.roll_back()
        raise
    connection.commit()


def _left(until: float) -> float:
    return max(0.0, until - time.monotonic())
