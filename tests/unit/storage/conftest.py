"""A root of the test's own, on files or in PostgreSQL, and what an account of it is filled with."""

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from mic_mail.storage.index.postgresql.creation import create
from mic_mail.storage.index.postgresql.database import Database
from mic_mail.storage.local_mailstore import Account
from mic_mail.storage.types import DELETED, FLAGGED
from postgresql_server import PostgresqlServer, postgresql_server
from store_harness import REF, Root, deliver, inbox
from unit.storage.grounds import LOCAL_ONLY, ON_BOTH, DatabaseRoot


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run the tests of the rules on both grounds."""
    if (
        "root" in metafunc.fixturenames
        and metafunc.module.__name__.rpartition(".")[2] in ON_BOTH
        and metafunc.function.__name__ not in LOCAL_ONLY
    ):
        in_postgresql = pytest.param("postgresql", marks=pytest.mark.needs_tool("postgres"))
        metafunc.parametrize("ground", ["files", in_postgresql], indirect=True)


@pytest.fixture(scope="session")
def postgresql() -> Iterator[PostgresqlServer]:
    """A PostgreSQL with the tables of the store, for all tests of this process."""
    with postgresql_server() as server:
        with closing(Database(server.connection_string)) as database:
            create(database)
        yield server


@pytest.fixture
def ground(request: pytest.FixtureRequest) -> str:
    return getattr(request, "param", "files")


@pytest.fixture
def root(tmp_path: Path, ground: str, request: pytest.FixtureRequest) -> Root | DatabaseRoot:
    if ground == "files":
        return Root(tmp_path)
    root = DatabaseRoot(request.getfixturevalue("postgresql").connection_string, tmp_path)
    root.clear()
    return root


@pytest.fixture
def account(root: Root) -> Iterator[Account]:
    store = root.store()
    yield store.account(REF)
    store.close()


def fill(account: Account) -> None:
    deliver(account, inbox(account), ["a", "b", "c", "d"], received_at_us=1_500_000_000_000_000)
    account.store_flags(inbox(account), [2], "+", FLAGGED, ["work"])
    account.copy(inbox(account), [1], account.create("Đã lưu").folder_id)
    account.store_flags(inbox(account), [4], "+", DELETED)
    account.expunge(inbox(account))
    account.delete("Junk")
    account._mailstore.flush_names()
