"""Sessions that end, servers that stop or only read: what is told, and nothing is left behind."""

import contextlib
import os
import signal
import socket
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager, closing
from typing import Any

import psycopg
import pytest

from mic_mail.storage.errors import Busy, DiskFull, OutcomeUnknown, Unavailable
from mic_mail.storage.index import rows
from mic_mail.storage.index.postgresql import database as database_module
from mic_mail.storage.index.postgresql.connection import PostgresqlConnection
from mic_mail.storage.index.postgresql.database import Database
from postgresql_server import PostgresqlServer
from unit.storage.postgresql.index_rows import (
    SHORT,
    add,
    backend,
    deliver,
    modseq,
    waits,
)
from waiting import wait_for

pytestmark = pytest.mark.needs_tool("postgres")


def is_gone(server: PostgresqlServer, pid: int) -> bool:
    """The session is not listed, and its process has ended, which closes the connection last."""
    if os.path.exists(f"/proc/{pid}"):
        return False
    with contextlib.suppress(AssertionError):  # it may be ending all others, or recovering
        return not server.psql(f"SELECT 1 FROM pg_stat_activity WHERE pid = {pid}")
    return False


def end(server: PostgresqlServer, pid: int) -> None:
    """End a session, as a restart does to all."""
    server.psql(f"SELECT pg_terminate_backend({pid})")
    wait_for(lambda: is_gone(server, pid))


def kill(server: PostgresqlServer, pid: int) -> None:
    """Kill a session's process, after which the server ends all others and recovers."""
    os.kill(pid, signal.SIGKILL)
    wait_for(lambda: is_gone(server, pid))


def test_a_connection_that_broke_while_idle_is_replaced(server: PostgresqlServer, database: Database) -> None:
    """A reader and a writer notice nothing."""
    for use in (database.reading, database.snapshot, lambda: database.changing(1)):
        with use() as connection:
            pid = backend(connection)
        end(server, pid)
        with use() as connection:
            assert backend(connection) != pid
            assert rows.read_account(connection, 1) is not None


@pytest.mark.parametrize("break_off", [end, kill])
def test_a_session_that_ends_in_a_read(
    break_off: Callable[[PostgresqlServer, int], None], server: Any, database: Database
) -> None:

    def read(use: Callable[[], AbstractContextManager[PostgresqlConnection]]) -> None:
        with use() as connection:
            break_off(server, backend(connection))
            rows.read_account(connection, 1)

    for use in (database.reading, database.snapshot):
        with pytest.raises(Unavailable, match="PostgreSQL postgres at /"):
            read(use)
        assert modseq(database) == 7


@pytest.mark.parametrize("break_off", [end, kill])
def test_a_session_that_ends_in_a_change(
    break_off: Callable[[PostgresqlServer, int], None], server: PostgresqlServer, database: Database
) -> None:
    """Nothing has happened, and that is known: COMMIT was never sent."""

    def change(settled: bool) -> None:
        with database.changing(1) as connection:
            pid = backend(connection)
            add(connection)
            if settled:
                connection.settle()
            break_off(server, pid)

    for settled in (True, False):
        with pytest.raises(Unavailable) as raised:
            change(settled)
        assert type(raised.value) is Unavailable
        assert modseq(database) == 7
        with database.changing(1, 60):
            pass


@contextlib.contextmanager
def waiting_for_standby(server: PostgresqlServer) -> Iterator[None]:
    """Each COMMIT waits for a standby that never comes."""
    change = "ALTER SYSTEM {} synchronous_standby_names{}; SELECT pg_reload_conf()"
    server.psql(change.format("SET", " = 'nobody'"))
    wait_for(lambda: server.psql("SHOW synchronous_standby_names") == "nobody\n")
    try:
        yield
    finally:
        wait_for(server.answers)
        server.psql(change.format("RESET", ""))
        wait_for(lambda: server.psql("SHOW synchronous_standby_names") == "\n")


@pytest.mark.parametrize("call", ["pg_terminate_backend", "pg_cancel_backend", "kill"])
def test_a_commit_whose_outcome_nobody_knows(
    call: str, server: PostgresqlServer, database: Database, threads: ThreadPoolExecutor
) -> None:
    """The connection breaks while COMMIT waits for a standby, or somebody ends the wait, which looks like success."""

    def change() -> None:
        with database.changing(1) as connection:
            add(connection)

    modseq(database)
    with waiting_for_standby(server):
        changing: Future[None] = threads.submit(change)
        pid = wait_for(lambda: waits(server, "SyncRep"))
        if call == "kill":
            os.kill(pid, signal.SIGKILL)
        else:
            server.psql(f"SELECT {call}({pid})")
        with pytest.raises(OutcomeUnknown, match="at COMMIT"):
            changing.result(60)
    assert modseq(database) == 8


@pytest.mark.parametrize(("state", "expected"), [("57P01", OutcomeUnknown), ("23514", psycopg.errors.CheckViolation)])
def test_an_error_in_place_of_the_end_of_commit(state: str, expected: type[Exception], database: Database) -> None:
    """What ends the session may have come after the commit; another error is the reason why there was none."""

    def change() -> None:
        with database.changing(1) as connection:
            connection.run("CREATE TEMPORARY TABLE checked (x int)")
            connection.run(
                "CREATE FUNCTION pg_temp.fail() RETURNS trigger LANGUAGE plpgsql AS "
                f"$$ BEGIN RAISE EXCEPTION 'as it happens' USING ERRCODE = '{state}'; END $$"
            )
            connection.run(
                "CREATE CONSTRAINT TRIGGER at_commit AFTER INSERT ON checked DEFERRABLE INITIALLY DEFERRED "
                "FOR EACH ROW EXECUTE FUNCTION pg_temp.fail()"
            )
            connection.settle()
            connection.run("INSERT INTO checked VALUES (1)")

    with pytest.raises(expected, match="as it happens"):
        change()


def test_a_server_that_cannot_write_its_log(server: PostgresqlServer, database: Database) -> None:
    """It ends by PANIC at COMMIT, which says nothing of what comes back when it has started again."""

    def change() -> None:
        with database.changing(1) as connection:
            add(connection)
            connection.settle()
            server.forbid_writing(backend(connection))

    with pytest.raises(OutcomeUnknown, match="at COMMIT"):
        change()
    wait_for(server.answers)
    assert modseq(database) in {7, 8}


@pytest.mark.parametrize("error", [MemoryError, UnicodeDecodeError("utf-8", b"", 0, 1, "")])
def test_rows_that_cannot_be_taken_at_commit(
    error: type[Exception] | Exception, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The server has COMMIT by then, so nobody may take the change for undone."""

    def give(connection: PostgresqlConnection, cursor: object, result: object) -> None:
        raise error

    def change() -> None:
        with database.changing(1) as connection:
            add(connection)
            connection.run("SELECT 1")
            monkeypatch.setattr(PostgresqlConnection, "_give", give)

    with pytest.raises(OutcomeUnknown, match="at COMMIT"):
        change()
    monkeypatch.undo()
    assert modseq(database) == 8


@pytest.mark.parametrize("within", ["_send", "_collect", "_push", "_wait"])
def test_an_interruption_of_commit(within: str, database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    """The change is not told to be undone: once COMMIT is left with libpq, it goes out even as the connection is closed."""

    def interrupted(*_: object) -> int:
        raise KeyboardInterrupt

    def change() -> None:
        with database.changing(1) as connection:
            add(connection)
            monkeypatch.setattr(PostgresqlConnection, within, interrupted)

    with pytest.raises(OutcomeUnknown, match=r"at COMMIT: .*KeyboardInterrupt"):
        change()
    monkeypatch.undo()
    assert database._idle == []
    with database.changing(1):
        pass
    assert modseq(database) == (7 if within == "_send" else 8)


def test_settings_of_a_role_change_nothing_that_a_commit_needs(server: PostgresqlServer, other: Database) -> None:
    """A warning is heard, COMMIT waits until it is durable, and each statement of a change sees the newest commit."""
    others = {"client_min_messages": "error", "synchronous_commit": "off", "default_transaction_isolation": "serializable"}
    server.psql("".join(f"ALTER ROLE test SET {name} = '{value}';" for name, value in others.items()))
    names = ("client_min_messages", "synchronous_commit", "transaction_isolation")
    options = "options='-c client_min_messages=error'"
    try:
        with closing(Database(f"{server.connection_string} {options}")) as database, database.changing(1) as connection:
            shown = [connection.run(f"SHOW {name}").fetchone()[0] for name in names]
    finally:
        server.psql("ALTER ROLE test RESET ALL")
    assert shown == ["warning", "on", "read committed"]


@pytest.mark.parametrize(
    ("asked", "expected"),
    [("off", "on"), ("local", "on"), ("remote_write", "on"), ("on", "on"), ("remote_apply", "remote_apply")],
)
def test_a_commit_is_as_durable_as_the_server_asks_and_no_less_than_ours(
    asked: str, expected: str, server: PostgresqlServer, database: Database
) -> None:
    def found(connection_string: str) -> str:
        with closing(Database(connection_string)) as database, database.changing(1) as connection:
            return str(connection.run("SHOW synchronous_commit").fetchone()[0])

    server.psql(f"ALTER ROLE test SET synchronous_commit = '{asked}'")
    try:
        assert found(server.connection_string) == expected
    finally:
        server.psql("ALTER ROLE test RESET ALL")
    assert found(f"{server.connection_string} options='-c synchronous_commit={asked}'") == expected


def test_no_change_of_settings_weakens_a_commit(server: PostgresqlServer, database: Database) -> None:
    change = "ALTER SYSTEM {} synchronous_commit{}; SELECT pg_reload_conf()"
    with database.reading() as connection:
        pid = backend(connection)
    server.psql(change.format("SET", " = 'off'"))
    try:
        wait_for(lambda: server.psql("SHOW synchronous_commit") == "off\n")
        with database.changing(1) as connection:
            assert (backend(connection), connection.run("SHOW synchronous_commit").fetchone()) == (pid, ("on",))
    finally:
        server.psql(change.format("RESET", ""))
        wait_for(lambda: server.psql("SHOW synchronous_commit") == "on\n")


def test_text_is_unicode_whatever_a_connection_string_asks(server: PostgresqlServer, database: Database) -> None:
    latin = f"{server.connection_string} client_encoding=LATIN1 options='-c client_encoding=LATIN1'"
    with closing(Database(latin)) as other, other.reading() as connection:
        assert connection.run("SELECT CAST($1 AS TEXT)", "Lưu trữ").fetchone() == ("Lưu trữ",)


def test_a_server_that_stops_and_starts(server: PostgresqlServer, database: Database) -> None:
    """It is said what is away, and where; afterwards everything goes on."""
    modseq(database)
    server.stop()
    for use in (database.reading, database.snapshot, lambda: database.changing(1, SHORT)):
        with pytest.raises(Unavailable, match=r"PostgreSQL postgres at /.*connection") as raised, use():
            pass
        assert "\n" not in str(raised.value)
    server.start()
    assert modseq(database) == 7
    with database.changing(1) as connection:
        add(connection)
    assert modseq(database) == 8


def test_a_change_that_goes_to_sleep_loses_its_account(server: PostgresqlServer, database: Database) -> None:
    sleepy = f"{server.connection_string} options='-c idle_in_transaction_session_timeout=50'"
    with closing(Database(sleepy)) as other:

        def change() -> None:
            with other.changing(1) as connection:
                pid = backend(connection)
                add(connection)
                connection.settle()
                wait_for(lambda: is_gone(server, pid))
                with database.changing(1):
                    pass

        with pytest.raises(Unavailable) as raised:
            change()
        assert type(raised.value) is Unavailable
        assert modseq(other) == 7


def test_a_change_that_goes_to_sleep_while_it_sends_loses_its_account(
    server: PostgresqlServer, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It has sent more than waits on this side, and asked for no result: for the server it is not idle."""
    monkeypatch.setattr(database_module, "_STATEMENT_SECONDS", SHORT)
    never_idle = f"{server.connection_string} options='-c idle_in_transaction_session_timeout=0'"
    with closing(Database(never_idle, lock_seconds=SHORT)) as other:

        def change() -> None:
            with other.changing(1) as connection:
                pid = backend(connection)
                add(connection)
                for uid in range(1, 500):
                    deliver(connection, uid)
                wait_for(lambda: is_gone(server, pid))
                with database.changing(1):
                    pass

        with pytest.raises(Unavailable) as raised:
            change()
        assert type(raised.value) is Unavailable
    assert modseq(database) == 7


def test_sessions_have_their_limits(database: Database) -> None:
    expected = {
        "idle_in_transaction_session_timeout": "5s", "statement_timeout": "20s", "lock_timeout": "10s", "jit": "off",
        "transaction_timeout": "1min", "application_name": "mic-mail", "client_encoding": "UTF8",
    }  # fmt: skip
    with database.reading() as connection:
        assert {name: connection.run(f"SHOW {name}").fetchone()[0] for name in expected} == expected
    parameters = {name: str(database._settings[name]) for name in ("keepalives_idle", "tcp_user_timeout", "connect_timeout")}
    assert parameters == {"keepalives_idle": "2", "tcp_user_timeout": "8000", "connect_timeout": "5"}


def test_a_server_that_does_not_answer_is_given_up(server: PostgresqlServer, database: Database) -> None:
    connection = PostgresqlConnection(database.driver(), "here", SHORT)
    pid = backend(connection)
    os.kill(pid, signal.SIGSTOP)
    try:
        with pytest.raises(Unavailable, match="here: no answer within"):
            connection.run("SELECT 1").fetchone()
        assert not connection.has_ended
    finally:
        os.kill(pid, signal.SIGCONT)
        connection.close()


def test_patience_ends_with_a_host_that_does_not_answer(database: Database) -> None:
    """It takes the connection and says nothing."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        silent_one = Database(f"host=127.0.0.1 port={port} connect_timeout=600")
        with pytest.raises(Unavailable, match="timeout"), silent_one.changing(1, SHORT):
            pass


@contextlib.contextmanager
def stopped(pid: int) -> Iterator[None]:
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


def test_patience_ends_with_a_session_that_does_not_answer(server: PostgresqlServer, database: Database) -> None:
    """Neither of the end of its last user's transaction, nor of the lock."""
    with closing(Database(server.connection_string)) as other, contextlib.ExitStack() as stack:
        other._statement_seconds = 600
        with other.snapshot() as connection:
            pid = backend(connection)
            stack.enter_context(stopped(pid))
        with other.changing(1, SHORT) as connection:
            second = backend(connection)
        assert second != pid
        stack.enter_context(stopped(second))
        with pytest.raises(Unavailable, match="no answer within") as raised, other.changing(1, SHORT):
            pass
        assert type(raised.value) is Unavailable


def test_a_server_that_only_reads_is_left(server: PostgresqlServer, database: Database) -> None:
    """One that follows another since a fail-over: an open connection is thrown away, no new one is made."""

    def change() -> None:
        with database.changing(1) as connection:
            connection.run("SET TRANSACTION READ ONLY")
            add(connection)

    with pytest.raises(Unavailable, match="read-only transaction"):
        change()
    assert database._idle == []
    server.psql("ALTER ROLE test SET default_transaction_read_only = on")
    try:
        with pytest.raises(Unavailable, match="read-only"), database.reading():
            pass
    finally:
        server.psql("SET default_transaction_read_only = off; ALTER ROLE test RESET default_transaction_read_only")
    assert modseq(database) == 7


@pytest.mark.parametrize(
    ("state", "expected"),
    [
        ("53100", DiskFull),
        ("53300", Unavailable),
        ("57014", Unavailable),
        ("58030", Unavailable),
        ("40001", Busy),
        ("40P01", Busy),
        ("55P03", Busy),
        ("08P01", psycopg.errors.ProtocolViolation),
        ("23505", psycopg.errors.UniqueViolation),
        ("42601", psycopg.errors.SyntaxError),
    ],
)
def test_errors_of_the_server(state: str, expected: type[Exception], database: Database) -> None:
    """Those that pass become the store's; mistakes of the program stay what they are."""
    with pytest.raises(expected, match="as it happens") as raised, database.changing(1) as connection:
        connection.run(f"DO $$ BEGIN RAISE EXCEPTION 'as it happens' USING ERRCODE = '{state}'; END $$").fetchone()
    assert type(raised.value) is expected
    assert modseq(database) == 7
