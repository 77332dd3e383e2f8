"""The statements of an index in PostgreSQL: it takes each of them, and what they return is as in SQLite."""

import importlib
import pkgutil
import random
import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import closing

import pytest
from sqlalchemy import select
from sqlalchemy.dialects.postgresql.base import PGDialect

import mic_mail.storage
from mic_mail.storage.index import schema
from mic_mail.storage.index.statements import (
    BY_SQL,
    RowStatement,
    SqlStatement,
    among,
    column_list,
    uid_list,
    whole_sum,
)
from mic_mail.storage.reads import message_rows
from postgresql_server import PostgresqlServer, postgresql_server

pytestmark = pytest.mark.needs_tool("postgres")
DIALECT = PGDialect(paramstyle="numeric_dollar")
TYPES = {"bigint", "bytea", "integer", "text"}
"""Of columns, as the driver makes int, bytes and str of them: no Decimal."""
_M = schema.message.c


@pytest.fixture(scope="module")
def server() -> Iterator[PostgresqlServer]:
    with postgresql_server() as server:
        server.psql(";\n".join(schema.creation_in_postgresql(DIALECT)))
        yield server


def of_index(*, with_bodies: bool = False) -> list[SqlStatement | RowStatement]:
    """Those that modules have, and those made for what a FETCH asks; the text index is a file of its own and has others.

    `with_bodies`: also those of tables that only PostgreSQL has.
    """
    found: list[SqlStatement | RowStatement] = []
    others = ("mic_mail.storage.fulltext", *(() if with_bodies else ("mic_mail.storage.database_ground",)))
    for module in pkgutil.walk_packages(mic_mail.storage.__path__, "mic_mail.storage."):
        if not module.name.startswith(others):
            found += flat(vars(importlib.import_module(module.name)).values())
    for columns in (("uid", "name"), tuple({**message_rows._OF_MESSAGE, **message_rows._OF_EMAIL})):
        made = message_rows._Answers(columns)
        found += (made.of_range, made.of_some, made.of_tombstones)
    return found


def flat(values: Iterable[object]) -> Iterator[SqlStatement | RowStatement]:
    """The statements among these values and in their tuples."""
    for value in values:
        if isinstance(value, SqlStatement | RowStatement):
            yield value
        elif isinstance(value, tuple):
            yield from flat(value)


def test_postgresql_takes_every_statement(server: PostgresqlServer) -> None:
    statements = sorted({str(statement.compiled(DIALECT)) for statement in of_index(with_bodies=True)})
    assert len(statements) > 120
    script = [f"PREPARE statement_{number} AS {sql};" for number, sql in enumerate(statements)]
    rows = server.psql("\n".join([*script, "SELECT name, result_types FROM pg_prepared_statements;"])).splitlines()
    assert len(rows) == len(statements)
    for name, types in (row.split("\t") for row in rows):
        assert set(types.strip("{}").split(",")) - {""} <= TYPES, statements[int(name.split("_")[1])]


Row = list[str]


def in_both(
    server: PostgresqlServer, rows: list[str], statement: SqlStatement, **values: int | str
) -> tuple[list[Row], list[Row]]:
    """What a statement returns after these changes of empty tables, in SQLite and in PostgreSQL."""
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as connection:
        schema.create(connection)
        for row in rows:
            connection.execute(row)
        here = [[str(value) for value in row] for row in statement.on(connection, **values)]
    compiled = statement.compiled(DIALECT)
    given = ", ".join(f"'{values[name]}'" for name in compiled.positiontup or ())
    execute = f"EXECUTE asked({given})" if given else "EXECUTE asked"
    script = [f"PREPARE asked AS {compiled}", "BEGIN", *rows, execute, "ROLLBACK"]
    return here, [line.split("\t") for line in server.psql(";\n".join(script) + ";").splitlines()]


def folder_row(number: int, name: str) -> str:
    values = {column.name: "'0'" for column in schema.folder.c} | {"folder_id": str(number), "name": f"'{name}'"}
    return f"INSERT INTO folder ({', '.join(values)}) VALUES ({', '.join(values.values())})"


def message_row(uid: int, flags: int, size: int) -> str:
    names = ", ".join(column.name for column in schema.message.c)
    return f"INSERT INTO message ({names}) VALUES (1, 1, {uid}, {flags}, {uid}, {size}, 0, 0, 0, 0, '')"


def test_names_have_one_order(server: PostgresqlServer) -> None:
    """That of their octets: IMAP's lists come in it."""
    rows = [folder_row(number, name) for number, name in enumerate("b B a Đ đ á z Z _ - 10 9".split())]
    here, there = in_both(server, rows, SqlStatement(select(schema.folder.c.name).order_by(schema.folder.c.name)))
    assert here == there


def test_lists_and_sums_are_alike(server: PostgresqlServer) -> None:
    """Columns in the order of UIDs, whatever that of the changes; sums that are whole numbers, also of nothing."""
    rows = [message_row(uid, 1 << 62 if uid % 2 else 3, 10**12) for uid in (5, 2, 9, 4_000_000_000, 1)]
    for some in (rows, []):
        lists = SqlStatement(select(column_list(_M.flags, _M.uid), column_list(_M.uid, _M.uid), whole_sum(_M.size)))
        here, there = in_both(server, some, lists)
        assert [[value.replace(" ", "") for value in row] for row in there] == here
    for uids in ([], [1], [9, 2, 7, 4_000_000_000]):
        for clause in (among(_M.uid), ~among(_M.uid)):
            statement = SqlStatement(select(_M.uid).where(clause).order_by(_M.uid))
            here, there = in_both(server, rows, statement, uids=uid_list(uids))
            assert here == there


def test_what_readers_have_seen_is_tallied_alike(server: PostgresqlServer) -> None:
    """Random changes, as statements of the store make them; the tallies are the numbers of rows."""
    chance = random.Random(21)
    upsert = "ON CONFLICT (account_id, reader_id, folder_id, uid) DO UPDATE SET seen = excluded.seen, modseq = excluded.modseq"
    rows: list[str] = []
    for modseq in range(1, 200):
        reader, folder, uid = chance.randint(1, 2), chance.randint(1, 2), chance.randint(1, 9)
        if chance.random() < 0.3:
            rows.append(f"DELETE FROM seen WHERE reader_id = {reader} AND folder_id = {folder} AND uid > {uid}")
        else:
            rows.append(f"INSERT INTO seen VALUES (1, {reader}, {folder}, {uid}, {chance.randint(0, 1)}, {modseq}) {upsert}")
    tally, seen = schema.seen_tally.c, schema.seen.c
    tallies = SqlStatement(select(*tally).order_by(tally.reader_id, tally.folder_id))
    here, there = in_both(server, rows, tallies)
    assert here == there
    counted = select(seen.reader_id, seen.folder_id, whole_sum(seen.seen)).group_by(seen.reader_id, seen.folder_id)
    _, numbers = in_both(server, rows, SqlStatement(counted))
    assert {(reader, folder): number for _, reader, folder, number, _ in there if number != "0"} == {
        (reader, folder): number for reader, folder, number in numbers if number != "0"
    }


def test_a_statement_is_found_by_its_text() -> None:
    """Of those with one text for SQLite any may be found, so they have one text for PostgreSQL."""
    of_text: dict[str, set[str]] = {}
    for statement in of_index():
        of_text.setdefault(statement.sql, set()).add(str(statement.compiled(DIALECT)))
        assert BY_SQL[statement.sql].sql == statement.sql
    assert [texts for texts in of_text.values() if len(texts) > 1] == []
