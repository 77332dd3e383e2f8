"""Accounts are held, commits seen, failed changes undone, and connections bounded."""

import math
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from typing import Any

import psycopg
import pytest

from mic_mail.storage.errors import AccountGone, Busy, Overloaded, Unavailable
from mic_mail.storage.index import rows
from mic_mail.storage.index.postgresql import database as database_module
from mic_mail.storage.index.postgresql.connection import PostgresqlConnection
from mic_mail.storage.index.postgresql.database import Database
from postgresql_server import PostgresqlServer
from unit.storage.postgresql.index_rows import SHORT, account_row, add, backend, deliver, folder_row, modseq, waits
from waiting import stays, wait_for

pytestmark = pytest.mark.needs_tool("postgres")


def test_each_statement_sees_the_newest_commit_and_a_snapshot_one(database: Database, other: Database) -> None:
    with database.reading() as reading, database.snapshot() as snapshot:
        before = rows.read_account(reading, 1), rows.read_account(snapshot, 1)
        with other.changing(1) as connection:
            add(connection)
        read, stable = rows.read_account(reading, 1), rows.read_account(snapshot, 1)
        assert read is not None
        assert stable is not None
        assert (read.modseq, stable.modseq) == (8, 7)
        assert before == (stable, stable)
    with database.snapshot() as snapshot:
        assert rows.read_account(snapshot, 1) == read


def test_a_snapshot_changes_nothing(database: Database) -> None:
    with pytest.raises(Unavailable, match="read-only transaction"), database.snapshot() as connection:
        add(connection)
    assert modseq(database) == 7


class Unforeseen(BaseException):
    """What no code catches."""


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, Unforeseen])
def test_any_exception_undoes_a_change(error: type[BaseException], database: Database, other: Database) -> None:
    """The connection goes on; the account is free."""

    def change() -> None:
        with database.changing(1) as connection:
            add(connection)
            deliver(connection, 1)
            raise error

    with pytest.raises(error):
        change()
    assert len(database._idle) == 1
    with other.changing(1, SHORT) as connection:
        assert connection.run("SELECT count(*) FROM message").fetchone() == (0,)
    assert modseq(database) == 7


def test_an_interrupted_wait_leaves_no_connection_in_a_transaction(
    database: Database, other: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(_: object) -> int:
        raise KeyboardInterrupt

    def change() -> None:
        with database.changing(1) as connection, monkeypatch.context() as patch:
            add(connection)
            patch.setattr(PostgresqlConnection, "_wait", interrupted)
            rows.read_account(connection, 1)

    with pytest.raises(KeyboardInterrupt):
        change()
    assert database._idle == []
    with other.changing(1):
        assert modseq(database) == 7


def test_a_change_with_a_failed_statement_is_not_made(database: Database) -> None:
    """Even if somebody has caught the error."""

    def change() -> None:
        with database.changing(1) as connection:
            add(connection)
            rows.write_account(connection, account_row(), new=True)
            with pytest.raises(psycopg.errors.UniqueViolation):
                connection.settle()

    with pytest.raises(Unavailable, match="had failed"):
        change()
    assert modseq(database) == 7


def test_a_failure_is_told_at_the_end_of_the_block_at_the_latest(database: Database) -> None:
    with pytest.raises(psycopg.errors.UniqueViolation), database.changing(1) as connection:
        rows.write_account(connection, account_row(), new=True)
    with pytest.raises(psycopg.errors.DivisionByZero), database.reading() as connection:
        connection.run("SELECT 1 / 0")
    assert modseq(database) == 7


# Locks


def test_who_waits_for_an_account_gets_what_the_first_has_left(
    server: PostgresqlServer, database: Database, other: Database, threads: ThreadPoolExecutor
) -> None:
    """Its folders, too."""

    def second() -> str:
        with other.changing(1) as connection:
            account, folder = rows.read_account_and_folder(connection, 1, 1)
            assert account is not None
            assert folder is not None
            return f"{account.modseq} {folder.keywords}"

    with database.changing(1) as connection:
        waiting = threads.submit(second)
        wait_for(lambda: waits(server, "transactionid"))
        add(connection)
        folder = folder_row()
        folder.set_keywords(["Khẩn"])
        rows.write_counters(connection, folder)
        assert not waiting.done()
    assert waiting.result(60) == '8 ["Khẩn"]'


def test_patience_with_an_account_ends(server: PostgresqlServer, database: Database, other: Database) -> None:
    """As `Busy`, or without patience as `Unavailable`; both say which account. Others are not held."""
    with database.making(2) as connection:
        rows.write_account(connection, account_row(2), new=True)
    with database.changing(1), closing(Database(server.connection_string, lock_seconds=SHORT)) as hasty:
        with pytest.raises(Busy, match="account 1 in PostgreSQL"), other.changing(1, SHORT):
            pass
        with pytest.raises(Busy, match="account 1 in PostgreSQL"), other.changing(1, 0):
            pass
        with pytest.raises(Unavailable, match=f"account 1 .* busy for {SHORT} s") as raised, hasty.changing(1):
            pass
        assert type(raised.value) is Unavailable
        with other.changing(2):
            pass
    with other.changing(1, SHORT) as connection:
        assert connection.run("SHOW lock_timeout").fetchone() != ("10s",)
    with other.changing(1) as connection:
        assert connection.run("SHOW lock_timeout").fetchone() == ("10s",)


def test_patience_ends_however_often_is_waited(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    """The limit of one wait does not hold for this one, as it would not for the second of two."""
    lock = database_module._LOCK_ACCOUNT.replace("WHERE", ", pg_sleep(600) WHERE").partition("FOR")[0]
    with monkeypatch.context() as patch:
        patch.setattr(database_module, "_LOCK_ACCOUNT", lock)
        with pytest.raises(Busy, match=f"account 1 .* busy for {SHORT} s"), database.changing(1, SHORT):
            pass
    assert len(database._idle) == 1
    with database.changing(1, SHORT) as connection:
        assert connection.run("SHOW statement_timeout").fetchone() == ("20s",)


def test_an_account_that_is_not_there_is_not_held(database: Database) -> None:
    with pytest.raises(Unavailable, match=r"account 99 .* does not exist"), database.changing(99):
        pass


def test_an_account_is_made_by_one_at_a_time(server: PostgresqlServer, other: Database, database: Database) -> None:
    with ThreadPoolExecutor() as threads:

        def second() -> rows.AccountRow | None:
            with other.making(3) as connection:
                return rows.read_account(connection, 3)

        with database.making(3) as connection:
            waiting = threads.submit(second)
            wait_for(lambda: waits(server, "advisory"))
            rows.write_account(connection, account_row(3), new=True)
        assert waiting.result(60) == account_row(3)


def test_an_account_that_is_held_gets_a_row_of_another_table(database: Database) -> None:
    """As a mark of a hold, by who holds it himself, in a transaction of its own that stays if the first fails."""

    def change() -> None:
        with database.changing(1):
            with database.making(1) as connection:
                rows.write_folder(connection, folder_row(2, "Lưu trữ"), new=True)
            raise ValueError

    with pytest.raises(ValueError, match=r"^$"):
        change()
    with database.reading() as connection:
        assert len(rows.read_folders(connection, 1)) == 2


# Connections of a process


def test_text_is_added_by_one_at_a_time_and_waits_for_no_disk(database: Database, other: Database) -> None:
    """Who changes the account is not kept out, nor who adds text to another; the next change is as durable as ever."""
    with database.filling(1, 1.0) as connection:
        assert connection.run("SHOW synchronous_commit").fetchone() == ("off",)
        with pytest.raises(Busy, match=r"account 1 .* busy for 0.01 s"), other.filling(1, 0.01):
            pass
        with other.changing(1, 0.01):
            pass
        with pytest.raises(AccountGone, match=r"account 2 .* does not exist"), other.filling(2, 0.01):
            pass
    with database.changing(1) as connection:
        assert connection.run("SHOW synchronous_commit").fetchone() == ("on",)
    with other.filling(1, 0.01):
        pass


def test_who_finds_no_connection_waits_and_then_says_so(
    server: PostgresqlServer, threads: ThreadPoolExecutor, database: Any
) -> None:
    with closing(Database(server.connection_string, most=1)) as one:
        with one.reading():
            waiting = threads.submit(modseq, one)
            stays(lambda: not waiting.done())
            with pytest.raises(Busy, match="all 1 connections"), one.changing(1, SHORT):
                pass
        assert waiting.result(60) == 7
        one._lock_seconds = SHORT
        with one.reading(), pytest.raises(Overloaded, match="all 1 connections"), one.snapshot():
            pass
        assert modseq(one) == 7


def test_connections_are_opened_as_they_are_needed_and_closed(server: PostgresqlServer, database: Database) -> None:
    def sessions() -> int:
        return int(server.psql("SELECT count(*) FROM pg_stat_activity WHERE application_name = 'counted'"))

    with closing(Database(f"{server.connection_string} application_name=counted")) as counted:
        assert sessions() == 0
        for _ in range(3):
            modseq(counted)
        assert sessions() == 1
        with counted.reading() as used:
            modseq(counted)
            assert sessions() == 2
            counted.close()
            wait_for(lambda: sessions() == 1)
            assert rows.read_account(used, 1) is not None
        wait_for(lambda: sessions() == 0)
        assert modseq(counted) == 7


def test_connections_that_rest_are_closed(server: PostgresqlServer, database: Database) -> None:
    """The others stay, and those in use; the next use opens others."""
    now = 100.0
    with closing(Database(server.connection_string, monotonic=lambda: now)) as resting:
        with resting.reading() as used, resting.reading(), resting.reading() as last:
            pid = backend(last)
        assert backend(used)
        now = 200.0
        with resting.reading() as recent:
            assert (resting.rest(100.0), resting.rest(101.0), resting.rest(300.0)) == (0, 2, 0)
            wait_for(lambda: server.psql(f"SELECT count(*) FROM pg_stat_activity WHERE pid = {pid}") == "0\n")
            assert rows.read_account(recent, 1) is not None
        assert (resting.rest(200.0), resting.rest(200.1), resting.rest(300.0)) == (0, 1, 0)
        assert modseq(resting) == 7


def test_it_is_open_until_the_last_connection_rests(database: Database) -> None:
    """One that is in use now will rest later, so whoever closes what rests has to come again."""
    database.close()
    assert not database.is_open
    with database.reading():
        assert database.rest(math.inf) == 0
        assert database.is_open
    assert database.is_open
    assert database.rest(math.inf) == 1
    assert not database.is_open
