"""A PostgreSQL of the tests' own, with a database that has one account."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing

import pytest

from mic_mail.storage.index import schema
from mic_mail.storage.index.postgresql.creation import create
from mic_mail.storage.index.postgresql.database import Database
from postgresql_server import PostgresqlServer, postgresql_server
from unit.storage.postgresql.index_rows import make_account


@pytest.fixture(scope="package")
def server() -> Iterator[PostgresqlServer]:
    with postgresql_server() as server:
        yield server


@pytest.fixture
def database(server: PostgresqlServer) -> Iterator[Database]:
    """With account 1, which has an INBOX."""
    with closing(Database(server.connection_string)) as database:
        create(database)
        server.psql(f"TRUNCATE {', '.join(table.name for table in schema.metadata.sorted_tables)}")
        with database.making(1) as connection:
            make_account(connection)
        yield database


@pytest.fixture
def other(server: PostgresqlServer, database: Database) -> Iterator[Database]:
    """Another process's."""
    with closing(Database(server.connection_string)) as other:
        yield other


@pytest.fixture
def threads() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor() as threads:
        yield threads
