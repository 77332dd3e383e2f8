"""A connection to PostgreSQL returns what SQLite returns, in few round trips and with bounds."""

import json
import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import psycopg
import pytest
from sqlalchemy import LargeBinary, Select, String, bindparam, cast, select
from sqlalchemy.types import NullType

from mic_mail.storage.errors import Busy
from mic_mail.storage.index import reader_seen_rows, rows, schema
from mic_mail.storage.index.postgresql import connection as connection_module
from mic_mail.storage.index.postgresql.connection import PostgresqlConnection
from mic_mail.storage.index.postgresql.database import Database
from mic_mail.storage.index.statements import Connection, SqlStatement
from unit.storage.postgresql.index_rows import (
    add,
    deliver,
    folder_row,
    make_account,
)
from unit.storage.test_statements import of_index

pytestmark = pytest.mark.needs_tool("postgres")


def in_sqlite() -> sqlite3.Connection:
    connection = sqlite3.connect(":memory:", isolation_level=None)
    schema.create(connection)
    return connection


def fill(connection: Connection) -> None:
    """Some rows of every table."""
    rows.write_folder(connection, folder_row(2, "Lưu trữ"), new=True)
    for uid in range(1, 6):
        deliver(connection, uid)
    reader = reader_seen_rows.add_reader(connection, 1, "b@mic.gov.vn", 3)
    reader_seen_rows.set_states(connection, [reader], 1, [(1, 1), (2, 1), (3, 0)], 9)


def values_of(statement: SqlStatement) -> dict[str, object]:
    """Something for each value that a statement takes."""
    compiled = statement.compiled(connection_module.DIALECT)
    some = {
        name: "[1,2,9]" if name == "uids" else "1" if isinstance(compiled.binds[name].type, String) else 1
        for name in compiled.positiontup or []
    }
    return some | statement._constants


def plain(row: tuple[Any, ...]) -> list[Any]:
    """A row, its lists as such: their spaces differ."""
    return [json.loads(value) if isinstance(value, str) and value.startswith("[") else value for value in row]


def test_statements_return_what_sqlite_returns(database: Database) -> None:
    """All that read, with the same values of the same types; and the functions on top."""
    with closing(in_sqlite()) as here:
        make_account(here)
        fill(here)
        with database.changing(1) as connection:
            fill(connection)
        compared = 0
        with database.snapshot() as there:
            for statement in of_index():
                if isinstance(statement, SqlStatement) and isinstance(statement._clause, Select):
                    values = values_of(statement)
                    expected = [plain(row) for row in statement.on(here, **values)]
                    found = [plain(row) for row in statement.on(there, **values)]
                    assert (sorted(map(repr, found)), statement.sql) == (sorted(map(repr, expected)), statement.sql)
                    compared += len(expected) > 0
            assert compared > 30
            for read in (rows.read_account, rows.read_folders, reader_seen_rows.all_readers):
                assert read(there, 1) == read(here, 1)  # type: ignore[operator]


def test_a_cursor_has_rows_one_by_one_and_counts_changes(database: Database) -> None:
    """A statement without rows returns None, one that returns rows counts none."""
    with database.changing(1) as connection:
        for uid in range(1, 4):
            deliver(connection, uid)
        cursor = connection.run("SELECT uid FROM message ORDER BY uid")
        assert (cursor.rowcount, cursor.fetchone(), list(cursor), cursor.fetchone()) == (-1, (1,), [(2,), (3,)], None)
        changed = connection.run("UPDATE message SET flags = 0 WHERE uid > $1", 1)
        assert (changed.rowcount, changed.fetchone(), changed.fetchall()) == (2, None, [])


def test_results_are_asked_for_all_at_once(database: Database) -> None:
    """Two round trips to begin and read; what a delivery writes goes with its COMMIT."""
    with database.changing(1) as connection:
        pass
    with database.changing(1) as connection:
        before = connection.round_trips
        add(connection)
        deliver(connection, 1)
    assert connection.round_trips - before == 2


def test_a_generator_of_rows_is_one_round_trip(database: Database) -> None:
    with database.changing(1) as connection:
        before = connection.round_trips
        reader = reader_seen_rows.SeenReader(1, 1, "b@mic.gov.vn", 3)
        reader_seen_rows.set_states(connection, [reader], 1, [(uid, 1) for uid in range(500)], 9)
        connection.settle()
        assert connection.round_trips - before == 1
        assert len(reader_seen_rows.seen_uids(connection, reader, 1)) == 500


def test_no_more_rows_wait_than_memory_is_meant_to_hold(database: Database) -> None:
    reader = reader_seen_rows.SeenReader(1, 1, "b@mic.gov.vn", 3)
    most = 0

    def changes(connection: PostgresqlConnection) -> Iterator[dict[str, int]]:
        nonlocal most
        for uid in range(3 * connection_module._MOST_WAITING):
            most = max(most, len(connection._waiting))
            yield {"account_id": 1, "reader_id": 1, "folder_id": 1, "uid": uid, "seen": 1, "modseq": 9}

    with database.changing(1) as connection:
        reader_seen_rows._SET.on_each(connection, changes(connection))  # type: ignore[arg-type]
        assert len(reader_seen_rows.seen_uids(connection, reader, 1)) == 3 * connection_module._MOST_WAITING
    assert most <= connection_module._MOST_WAITING


def test_large_values_pass_both_ways(database: Database) -> None:
    """Both sides send more than a socket takes: nobody waits for the other."""
    octets = os.urandom(1 << 20) * 4
    echo = SqlStatement(select(cast(bindparam("octets", type_=LargeBinary()), LargeBinary)))
    with database.reading() as connection:
        cursors = [echo.on(connection, octets=octets) for _ in range(8)]
        assert [cursor.fetchone() == (octets,) for cursor in cursors] == [True] * 8


def test_a_session_keeps_a_bounded_number_of_statements_prepared(database: Database) -> None:
    with database.reading() as connection:
        for number in [*range(connection_module._MOST_PREPARED + 20), 0]:
            assert connection.run(f"SELECT {number}").fetchone() == (number,)
        ((kept,),) = connection.run("SELECT count(*) FROM pg_prepared_statements")
    assert kept == connection_module._MOST_PREPARED


def test_a_conflict_leaves_no_more_statements_prepared(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    """After it the server skips what was sent, and so what was to make room."""
    monkeypatch.setattr(connection_module, "_MOST_PREPARED", 10)

    def conflict(number: int) -> None:
        with database.changing(1) as connection:
            for more in range(9):
                connection.run(f"SELECT {number} + {more}")
            connection.settle()
            connection.run("DO $$ BEGIN RAISE EXCEPTION 'as it happens' USING ERRCODE = '55P03'; END $$")
            connection.run(f"SELECT {number}")

    for number in range(5):
        with pytest.raises(Busy):
            conflict(number)
    with database.reading() as connection:
        ((kept,),) = connection.run("SELECT count(*) FROM pg_prepared_statements")
    assert kept <= connection_module._MOST_PREPARED


def test_text_with_nul_is_refused_and_not_cut(database: Database) -> None:
    with pytest.raises(psycopg.DataError), database.changing(1) as connection:
        rows.write_folder(connection, folder_row(2, "a\0b"), new=True)
    with database.reading() as connection:
        assert len(rows.read_folders(connection, 1)) == 1


def test_text_is_no_whole_number(database: Database) -> None:
    """Nor are octets, however many they are; with SQLite either would be in the column as it is."""
    statement = SqlStatement(select(schema.account.c.modseq).where(schema.account.c.modseq == bindparam("number")))
    untyped = SqlStatement(select(schema.account.c.modseq + bindparam("number", type_=NullType())))
    for value in ("abcdefgh", b"abcdefgh"):
        with pytest.raises((TypeError, psycopg.DataError)), database.reading() as connection:
            statement.on(connection, number=value).fetchall()
        with pytest.raises((TypeError, psycopg.DataError)), database.reading() as connection:
            untyped.on(connection, number=value).fetchall()
        with pytest.raises((TypeError, psycopg.DataError)), database.reading() as connection:
            connection.run("SELECT $1::bigint", value).fetchone()  # type: ignore[arg-type]
    with pytest.raises(psycopg.DataError, match=r"U\+0000"), database.reading() as connection:
        connection.run("SELECT $1::bigint", "12\0")


def test_a_value_of_no_column_is_refused(database: Database) -> None:
    with database.reading() as connection, pytest.raises(TypeError, match="float"):
        connection.run("SELECT $1::text", 1.5)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="float"), database.changing(1) as connection:
        rows.write_folder(connection, folder_row(2, 1.5), new=True)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="float"), database.changing(1) as connection:
        rows.write_folder(connection, folder_row(1.5), new=True)  # type: ignore[arg-type]
