"""An account in PostgreSQL."""

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from mic_mail.storage.database_ground.account import DatabaseAccount
from mic_mail.storage.database_ground.mailstore import DatabaseMailStore
from postgresql_server import PostgresqlServer
from store_harness import REF
from unit.storage.grounds import DatabaseRoot


@pytest.fixture
def root(postgresql: PostgresqlServer, tmp_path: Path) -> DatabaseRoot:
    root = DatabaseRoot(postgresql.connection_string, tmp_path)
    root.clear()
    return root


@pytest.fixture
def store(root: DatabaseRoot) -> Iterator[DatabaseMailStore]:
    with closing(root.store()) as store:
        yield store


@pytest.fixture
def account(store: DatabaseMailStore) -> DatabaseAccount:
    return store.account(REF)
