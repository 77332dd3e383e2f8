"""Queue and spool of a test, in files or in PostgreSQL."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from postgresql_server import PostgresqlServer
from queue_grounds import FILES, ROWS, NewQueue, NewSpool, clear, opening, queue_database, spools


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run what a test says of any queue or spool on both."""
    if {"new_queue", "new_spool"} & set(metafunc.fixturenames) and not list(metafunc.definition.iter_markers("parametrize")):
        in_postgresql = pytest.param(ROWS, marks=pytest.mark.needs_tool("postgres"))
        metafunc.parametrize("ground", [FILES, in_postgresql], indirect=True)


@pytest.fixture(scope="session")
def queue_server() -> Iterator[PostgresqlServer]:
    """A PostgreSQL with the tables of the queue, for all tests of this process."""
    with queue_database() as server:
        yield server


@pytest.fixture
def database(queue_server: PostgresqlServer) -> PostgresqlServer:
    """The same, without entries and nodes."""
    clear(queue_server)
    return queue_server


@pytest.fixture
def ground(request: pytest.FixtureRequest) -> str:
    return getattr(request, "param", FILES)


@pytest.fixture
def new_queue(tmp_path: Path, ground: str, request: pytest.FixtureRequest) -> Iterator[NewQueue]:
    server = request.getfixturevalue("queue_server") if ground == ROWS else None
    with opening(server, tmp_path) as new:
        yield new


@pytest.fixture
def new_spool(tmp_path: Path, ground: str, request: pytest.FixtureRequest) -> Iterator[NewSpool]:
    server = request.getfixturevalue("queue_server") if ground == ROWS else None
    with spools(server, tmp_path) as new:
        yield new
