"""One connection to PostgreSQL, which runs the statements of an index.

Statements are sent when one of their results is asked for, all that wait in one round trip (libpq's pipeline mode), and
prepared at their first use. It uses libpq through `psycopg.pq`: a statement costs 26 us so, and 48 us by psycopg's cursors.

In: SQLite's SQL of a statement, and its values. Out: rows of int, str, bytes and None, as `sqlite3` has them. Errors leave as
the store's own (failures.py), with the first result that is asked for after the statement that failed, at the latest at the end
of the block. A connection has one user at a time; it never leaves a transaction open to the next (`has_ended`).
"""

import contextlib
import itertools
import select
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from operator import itemgetter
from typing import Any

import psycopg
from psycopg.adapt import Transformer
from psycopg.pq import ConnStatus, DiagnosticField, ExecStatus, TransactionStatus
from psycopg.pq.abc import PGconn, PGresult
from sqlalchemy import Integer, LargeBinary, String
from sqlalchemy.dialects.postgresql.base import PGDialect
from sqlalchemy.types import TypeEngine

from mic_mail.storage.errors import NotOurs, OutcomeUnknown, Unavailable
from mic_mail.storage.index.postgresql.failures import ends_session, is_of_server, leaves_session, of_error
from mic_mail.storage.index.statements import BY_SQL, RowStatement

DIALECT = PGDialect(paramstyle="numeric_dollar")  # type: ignore[no-untyped-call]
_MOST_PREPARED = 100
"""Statements that a session keeps prepared; the server holds about 22 KiB for each."""
_MOST_WAITING = 1_000
"""Statements that wait for their results: rows of one `executemany` come without end."""
_TEXT, _BINARY = 0, 1
_DONE = (ExecStatus.COMMAND_OK, ExecStatus.TUPLES_OK)
_SYNC = "sync"
"""Stands for a point up to which a failure has the server skip what was sent."""


@dataclass(frozen=True, slots=True)
class _Form:
    """A statement in PostgreSQL's SQL."""

    sql: bytes
    in_order: Callable[[Any], Sequence[Any]]
    """Puts its values in order."""
    encoders: Sequence[Callable[[Any], bytes | None]]
    formats: Sequence[int]


@lru_cache(maxsize=1024)
def _in_postgresql(sql: str) -> _Form:
    statement = BY_SQL[sql]
    compiled = statement.compiled(DIALECT)
    names: list[str] = compiled.positiontup or []
    encoders = [_encoder(compiled.binds[name].type) for name in names]
    formats = [_BINARY if encode is _as_octets else _TEXT for encode in encoders]
    in_order = _in_order(names)
    if isinstance(statement, RowStatement):
        places = [statement.names.index(name) for name in names]
        in_order = tuple if places == list(range(len(statement.names))) else _in_order(places)
    return _Form(str(compiled).encode(), in_order, encoders, formats)


def _in_order(keys: Sequence[Any]) -> Callable[[Any], Sequence[Any]]:
    if len(keys) > 1:
        return itemgetter(*keys)
    return lambda values: [values[key] for key in keys]


# Values. Eight octets sent for a whole number would be one, whatever they say: so the type of the column chooses the format.


def _encoder(kind: TypeEngine[Any]) -> Callable[[Any], bytes | None]:
    if isinstance(kind, Integer):
        return _as_number
    if isinstance(kind, String | LargeBinary):
        return _as_octets
    return _as_text


def _as_number(value: object) -> bytes | None:
    """Return a whole number as text: its prepared form is the same whatever its size."""
    if isinstance(value, int):
        return b"%d" % value
    if value is None:
        return None
    raise TypeError(f"no whole number: {type(value).__name__}")


def _as_octets(value: object) -> bytes | None:
    """Return text or octets as they are; they are sent with their length."""
    if isinstance(value, str):
        return value.encode()
    if value is None or isinstance(value, bytes):
        return value
    if isinstance(value, bytearray | memoryview):
        return bytes(value)
    raise TypeError(f"no text and no octets: {type(value).__name__}")


def _encoded(form: _Form, values: Sequence[Any]) -> list[bytes | None]:
    with contextlib.suppress(UnicodeEncodeError):  # which holds the text
        return [encode(value) for encode, value in zip(form.encoders, values, strict=True)]
    raise psycopg.DataError("text that UTF-8 cannot hold")


def _as_text(value: object) -> bytes | None:
    """Return a value of which no column says the type; the server reads it as the type that it finds."""
    if not isinstance(value, str):
        return _as_number(value)
    if "\0" in value:  # it would be cut off there
        raise psycopg.DataError("text with U+0000")
    return value.encode()


class PostgresqlCursor:
    """Rows that a statement returned, or will have returned once they are asked for."""

    __slots__ = ("_connection", "_rowcount", "_rows")

    def __init__(self, connection: "PostgresqlConnection") -> None:
        self._connection = connection
        self._rows: Iterator[Any] | None = None
        self._rowcount = -1

    def take(self, rows: list[Any], changed: int) -> None:
        self._rows, self._rowcount = iter(rows), changed

    def _taken(self) -> Iterator[Any]:
        if self._rows is None:
            self._connection.settle()
        if self._rows is None:
            raise psycopg.InterfaceError("the statement has failed")
        return self._rows

    @property
    def rowcount(self) -> int:
        """Rows changed; -1 of a statement that returns rows."""
        self._taken()
        return self._rowcount

    def fetchone(self) -> Any:
        return next(self._taken(), None)

    def fetchall(self) -> list[Any]:
        return list(self._taken())

    def __iter__(self) -> Iterator[Any]:
        return self._taken()


def require_no_pooler(where: str, libpq: PGconn, process: int) -> None:
    """Raise `NotOurs` unless the other end has named this process at its greeting, which says of itself that it is it."""
    if process != libpq.backend_pid:
        raise NotOurs(
            f"{where}: a pooler answers in place of PostgreSQL, and none may stand between: "
            "name the host and port of PostgreSQL itself"
        )


class PostgresqlConnection:
    """A session with the server; a `Connection` of the rules (statements.py)."""

    def __init__(self, driver: psycopg.Connection[Any], where: str, answer_seconds: float) -> None:
        """`answer_seconds`: within this time the server answers, or counts as lost."""
        self.where = where
        self.used_at = 0.0
        """When its last user gave it back."""
        self.round_trips = 0
        self._driver = driver
        self._libpq = driver.pgconn
        self._rows_of = Transformer(driver)
        self._prepared: OrderedDict[str, bytes] = OrderedDict()
        """Names of prepared statements by SQLite's SQL, the least recently used first."""
        self._numbers = itertools.count()
        self._waiting: list[PostgresqlCursor | str | None] = []
        """Takers of the results to come: a cursor, SQL of a statement to be prepared, None for one to be let go, or `_SYNC`."""
        self._unusable = False
        self._failed = False
        """Set once a statement of the open transaction has failed."""
        self._failed_last = False
        """True if the first statement that failed was the last of all that waited."""
        self._is_ending = False
        """True while the end of a transaction has been sent and its result is still to come."""
        self._warning = ""
        self._longest_ms = self._answer_ms = int(answer_seconds * 1000)
        self._socket = select.poll()
        self._socket.register(self._libpq.socket, select.POLLIN)
        self._libpq.notice_handler = self._on_notice
        self._libpq.enter_pipeline_mode()

    # Statements

    def execute(self, sql: str, values: Any = (), /) -> PostgresqlCursor:
        form = _in_postgresql(sql)
        return self._send(sql, form, form.in_order(values))

    def executemany(self, sql: str, rows: Iterable[Any], /) -> None:
        """Run a statement with the values of each row, all in one round trip."""
        form = _in_postgresql(sql)
        for values in rows:
            if len(self._waiting) >= _MOST_WAITING:
                self.settle()
            self._send(sql, form, form.in_order(values))

    def run(self, sql: str, *values: int | str | bytes) -> PostgresqlCursor:
        """Run a statement of PostgreSQL's own; octets stand only where it says `CAST($1 AS bytea)`."""
        are_octets = [isinstance(value, bytes) and f"CAST(${at} AS bytea)" in sql for at, value in enumerate(values, 1)]
        encoders = [_as_octets if is_octets else _as_text for is_octets in are_octets]
        formats = [_BINARY if is_octets else _TEXT for is_octets in are_octets]
        return self._send(sql, _Form(sql.encode(), tuple, encoders, formats), values)

    def _send(self, key: str, form: _Form, values: Sequence[Any]) -> PostgresqlCursor:
        """Send a statement, or leave it with libpq to be sent; its taker waits before it can be lost by an interruption."""
        octets = _encoded(form, values)
        cursor = PostgresqlCursor(self)
        try:
            name = self._prepared.get(key)
            if name is None:
                name = self._prepare(key, form.sql)
            else:
                self._prepared.move_to_end(key)
            self._waiting.append(cursor)
            self._libpq.send_query_prepared(name, octets, form.formats, _BINARY)
            return cursor
        except psycopg.Error as error:
            failure = self._lost(error)
        raise failure

    def _prepare(self, key: str, form: bytes) -> bytes:
        if len(self._prepared) >= _MOST_PREPARED:
            _, oldest = self._prepared.popitem(last=False)
            self._waiting.append(None)
            self._libpq.send_query_params(b"DEALLOCATE " + oldest, None)
        name = b"s%d" % next(self._numbers)
        self._waiting.append(key)
        self._libpq.send_prepare(name, form)
        self._prepared[key] = name
        return name

    # Results

    def settle(self) -> None:
        """Send what waits and take the results; raise the first error among them."""
        failed = self._collect()
        if failed is not None:
            raise self._failure(failed)

    def _failure(self, failed: psycopg.Error) -> Exception:
        """Return the error to raise; after most the session is given up."""
        self._failed = True
        self._unusable = self._unusable or not leaves_session(failed)
        return of_error(self.where, failed)

    def _collect(self) -> psycopg.Error | None:
        """Take the results of all that waits; return the first error."""
        if not self._waiting:
            return None
        failed: psycopg.Error | None = None
        was_unusable, self._unusable = self._unusable, True  # until the last result is there
        try:
            if self._waiting[-1] is not _SYNC:
                self._push()
            waiting, self._waiting = self._waiting, []
            for place, taker in enumerate(waiting, 2):
                result = self._next_result()
                if taker is _SYNC:
                    continue
                if result.status in _DONE:
                    if isinstance(taker, PostgresqlCursor):
                        self._give(taker, result)
                else:
                    if isinstance(taker, str):
                        self._prepared.pop(taker, None)
                    elif taker is None:  # the server keeps what it was to let go, and nobody knows it by name any more
                        was_unusable = True
                    if failed is None:
                        failed = psycopg.errors.error_from_result(result, encoding="utf-8")
                        self._failed_last = place == len(waiting)
                self._libpq.get_result()  # the end of this statement's results
        except psycopg.Error as error:
            self._waiting = []
            return failed or error
        self._unusable = was_unusable
        return failed

    def _push(self) -> None:
        """Send all, up to a point from which the server goes on whatever failed before."""
        self.round_trips += 1
        self._waiting.append(_SYNC)
        self._libpq.pipeline_sync()
        while self._libpq.flush():  # what the server answers meanwhile is read, or it would wait for us as we for it
            self._socket.modify(self._libpq.socket, select.POLLIN | select.POLLOUT)
            try:
                if self._wait() & select.POLLIN:
                    self._libpq.consume_input()
            finally:
                self._socket.modify(self._libpq.socket, select.POLLIN)

    def _give(self, cursor: PostgresqlCursor, result: PGresult) -> None:
        if result.status == ExecStatus.TUPLES_OK:
            self._rows_of.set_pgresult(result)
            cursor.take(self._rows_of.load_rows(0, result.ntuples, tuple), -1)
        else:
            cursor.take([], result.command_tuples or 0)

    def _next_result(self) -> PGresult:
        while self._libpq.is_busy():
            self._wait()
            self._libpq.consume_input()
        result = self._libpq.get_result()
        if result is None:
            raise psycopg.OperationalError(self._libpq.get_error_message())
        return result

    def _wait(self) -> int:
        """Wait until the socket has something; return what."""
        events = self._socket.poll(self._answer_ms)
        if not events:
            raise psycopg.OperationalError(f"no answer within {self._answer_ms / 1000:g} s")
        return events[0][1]

    def answer_within(self, seconds: float | None) -> None:
        """Have the server answer within this time from now on; None: within the longest, as it was made with."""
        self._answer_ms = self._longest_ms if seconds is None else min(self._longest_ms, int(seconds * 1000))

    def _lost(self, error: psycopg.Error) -> Exception:
        self._unusable, self._waiting = True, []
        return of_error(self.where, error)

    def _on_notice(self, notice: PGresult) -> None:
        if notice.error_field(DiagnosticField.SEVERITY_NONLOCALIZED) == b"WARNING":
            self._warning = notice.get_error_message("utf-8").strip().partition("\n")[0]

    # Transactions

    def commit(self) -> None:
        """Make the open transaction durable, or undo it; `OutcomeUnknown` where nobody can tell.

        That is so after any interruption, too: the server may have COMMIT by then.
        """
        if self._failed:
            self.roll_back()
            raise Unavailable(f"{self.where}: a statement of this change had failed")
        if not self.is_alive():
            raise self._lost(psycopg.OperationalError("the server has closed the connection before COMMIT"))
        self._warning = interrupted = ""
        try:
            self.run("COMMIT")
            failed = self._collect()
        except Unavailable as error:
            interrupted = str(error)
        except BaseException as error:  # noqa: BLE001 - not chained: it may be of rows that came with it, and hold them
            interrupted = f"{self.where}: {type(error).__name__}"
        if interrupted:
            self._unusable = True
            raise OutcomeUnknown(f"at COMMIT: {interrupted}")
        if failed is not None:
            reason = self._failure(failed)
            if not is_of_server(failed) or (self._failed_last and ends_session(failed)):
                raise OutcomeUnknown(f"at COMMIT: {reason}")
            self.roll_back()
            raise reason
        if self._warning:  # of a wait for standbys that somebody ended
            raise OutcomeUnknown(f"{self.where}: at COMMIT: {self._warning}")

    def roll_back(self) -> None:
        """Undo the open transaction. Where that fails, so does the session, and with it the transaction."""
        if self._unusable:
            return
        with contextlib.suppress(psycopg.Error, Unavailable):
            if self._waiting:
                self._push()
            self.run("ROLLBACK")
            self._push()
            self._collect()
        self._failed = False

    def end_snapshot(self) -> None:
        """End a transaction that has changed nothing; its result is taken by the next user."""
        if self._waiting:
            self.settle()
        self.run("COMMIT")
        try:
            self._push()
            self._is_ending = True
            return
        except psycopg.Error as error:
            failure = self._lost(error)
        raise failure

    def is_alive(self) -> bool:
        """Return whether the connection still stands, as far as this side has heard; asks nothing of the server."""
        try:
            while self._socket.poll(0):
                self._libpq.consume_input()
        except psycopg.Error:
            return False
        return not self._unusable and self._libpq.status == ConnStatus.OK

    def is_ready(self) -> bool:
        """Return whether the next user may have it: it stands, and has no transaction open."""
        if not self.is_alive() or self._collect() is not None:
            return False
        self._is_ending = self._failed = False
        return not self._unusable and self._libpq.transaction_status == TransactionStatus.IDLE

    @property
    def has_ended(self) -> bool:
        """Return whether its user has left nothing open."""
        if self._unusable:
            return False
        return self._is_ending or (not self._waiting and self._libpq.transaction_status == TransactionStatus.IDLE)

    def close(self) -> None:
        self._unusable = True
        self._driver.close()
