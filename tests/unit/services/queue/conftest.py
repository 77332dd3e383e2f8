"""The tests of this folder run on the loop of the server."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from event_loops import uvloop_alone as pytest_asyncio_loop_factories
from mic_mail.process.executors import Executor
from mic_mail.queue.queue import Queue
from postgresql_server import PostgresqlServer
from queue_grounds import FILES, ROWS, clear, opening, queue_database
from unit.services.queue import office

__all__ = ["pytest_asyncio_loop_factories"]


@pytest.fixture
def executor_calls(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """The calls that executors were given: each is a change of threads."""
    calls: list[Any] = []
    submit = Executor.submit

    def counted(executor: Executor, *call: Any) -> Any:
        calls.append(call)
        return submit(executor, *call)

    monkeypatch.setattr(Executor, "submit", counted)
    return calls


ON_BOTH = {"test_queue_manager", "test_decisions", "test_queue_manager_faults", "test_server_failures"}
"""Modules whose tests run on queues of files and in PostgreSQL."""
LOCAL_ONLY = {
    "test_what_something_in_this_server_is_in_the_way_of",
    "test_one_that_cannot_be_read",
    "test_a_short_message_changes_threads_twice",
    "test_a_folder_that_cannot_be_read_for_a_while",
    "test_a_lasting_error_of_the_queue_is_logged_ever_more_seldom",
    "test_one_entry_that_the_disk_refuses_does_not_hide_others",
    "test_files_that_somebody_has_removed",
}
"""Tests of these modules that are about files, or count what files cost."""


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    is_of_both = metafunc.module.__name__.rpartition(".")[2] in ON_BOTH
    if is_of_both and metafunc.function.__name__ not in LOCAL_ONLY:
        in_postgresql = pytest.param(ROWS, marks=pytest.mark.needs_tool("postgres"))
        metafunc.parametrize("ground", [FILES, in_postgresql], indirect=True)


@pytest.fixture(scope="session")
def queue_server() -> Iterator[PostgresqlServer]:
    with queue_database() as server:
        yield server


@pytest.fixture(autouse=True)
def ground(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The queue of an office lies there."""
    if getattr(request, "param", FILES) == FILES:
        yield
        return
    server = request.getfixturevalue("queue_server")
    with opening(server, tmp_path) as new:

        def new_queue(_: Path) -> Queue:
            clear(server)
            return new()

        monkeypatch.setattr(office, "new_queue", new_queue)
        yield
