"""The tables of a database are made once, and those of another version refused."""

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing

import psycopg
import pytest

from mic_mail.storage.errors import NotOurs
from mic_mail.storage.index import schema
from mic_mail.storage.index.postgresql.creation import create
from mic_mail.storage.index.postgresql.database import Database
from postgresql_server import PostgresqlServer
from unit.storage.postgresql.index_rows import make_account, modseq

pytestmark = pytest.mark.needs_tool("postgres")


@pytest.fixture
def empty(server: PostgresqlServer) -> Iterator[str]:
    """The connection string of an empty database."""
    server.psql("DROP DATABASE IF EXISTS empty WITH (FORCE)")
    server.psql("CREATE DATABASE empty")
    yield server.connection_string.replace("dbname=postgres", "dbname=empty")
    server.psql("DROP DATABASE empty WITH (FORCE)")


def test_nodes_that_start_together_make_the_tables_once(empty: str, threads: ThreadPoolExecutor) -> None:
    ready = threading.Barrier(4)

    def start() -> bool:
        ready.wait(60)
        return create(Database(empty))

    assert sorted(node.result(60) for node in [threads.submit(start) for _ in range(4)]) == [False, False, False, True]
    with closing(Database(empty)) as database:
        with database.making(1) as connection:
            make_account(connection)
        assert modseq(database) == 7


@pytest.mark.parametrize(
    ("version", "advice"),
    [(schema.DATABASE_VERSION + 1, "newer program on this node"), (schema.DATABASE_VERSION - 1, "only the program")],
)
def test_a_database_of_another_version_is_refused(version: int, advice: str, empty: str) -> None:
    with closing(Database(empty)) as database:
        assert create(database)
        with database.driver() as driver:
            driver.execute("UPDATE index_version SET version = %s", (version,))
        with pytest.raises(NotOurs, match=f"version {version}.*{advice}"):
            create(database)


def test_a_database_in_another_encoding_is_refused(server: PostgresqlServer, empty: str) -> None:
    server.psql("DROP DATABASE empty")
    server.psql("CREATE DATABASE empty ENCODING 'SQL_ASCII' LOCALE 'C' TEMPLATE template0")
    with pytest.raises(NotOurs, match="SQL_ASCII"):
        create(Database(empty))


def test_tables_are_made_completely_or_not_at_all(empty: str, monkeypatch: pytest.MonkeyPatch) -> None:
    database = Database(empty)
    with monkeypatch.context() as patch:
        patch.setattr(schema, "creation_in_postgresql", lambda dialect: ("CREATE TABLE account (x int)", "CREATE NONSENSE"))
        with pytest.raises(psycopg.errors.SyntaxError):
            create(database)
    assert create(database)
