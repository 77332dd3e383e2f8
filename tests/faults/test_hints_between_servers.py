"""Two servers of one database tell each other of changes at once, whatever happens to the connections between them.

They poll once a minute only, so a session in IDLE hears by hints what it hears.
"""

import os
import signal
from collections.abc import Callable, Iterator

import pytest

from harness import ProcessServer
from postgresql_server import PostgresqlServer, postgresql_server
from protocol.dialog import Connection
from protocol.imap_sessions import answer, sign_in
from waiting import wait_for

ADDRESS = "dvbe@mic.gov.vn"
Make = Callable[[dict[str, object]], ProcessServer]
pytestmark = [pytest.mark.needs_tool("postgres"), pytest.mark.timeout(300)]


@pytest.fixture
def database() -> Iterator[PostgresqlServer]:
    with postgresql_server(max_connections="60") as server:
        yield server


@pytest.fixture
def servers(serve_processes: Make, database: PostgresqlServer) -> list[ProcessServer]:
    url = f"postgresql://test@/postgres?host={database.folder}"
    made = [serve_processes({"process": {"workers": 2, "poll_seconds": 60}, "storage": {"database": url}}) for _ in range(2)]
    for server in made:
        server.population.issue("dvbe")
        server.start()
        server.wait_for(_hears)
    return made


def _hints(state: dict[str, object]) -> list[dict[str, object]]:
    processes = state["processes"]
    assert isinstance(processes, list)
    return [one["hints"] for one in processes if one.get("hints")]


def _hears(state: dict[str, object]) -> bool:
    return [hints["arrive"] for hints in _hints(state)] == [True]


def _selected(server: ProcessServer) -> Connection:
    session = sign_in(server, ADDRESS)
    session.send(b"s SELECT INBOX\r\n")
    assert answer(session, b"s").startswith(b"s OK")
    return session


def _idle(session: Connection) -> None:
    session.send(b"i IDLE\r\n")
    assert (session.response() or b"").startswith(b"+")


def _append(session: Connection) -> None:
    session.send(b"a APPEND INBOX {8+}\r\nA: b\r\n\r\n\r\n")
    assert answer(session, b"a").startswith(b"a OK")


def _hear(session: Connection, messages: int) -> None:
    """Until the session is told of so many messages; it must not be told of fewer later."""
    while (told := session.response()) != b"* %d EXISTS" % messages:
        assert told is not None


def test_a_change_at_one_server_is_told_at_the_other(servers: list[ProcessServer]) -> None:
    """In each of its processes, each time; and status tells how many hints there were."""
    here, there = servers
    writer, idle = _selected(here), [_selected(there)]
    while 0 in there.connected("imap", len(idle)):
        idle.append(_selected(there))
    for session in idle:
        _idle(session)
    for number in range(1, 21):
        _append(writer)
        for session in idle:
            _hear(session, number)
    (hints,) = _hints(there.status())
    assert isinstance(hints["heard"], int)
    assert hints["heard"] >= 20


def test_what_was_missed_is_looked_for(servers: list[ProcessServer], database: PostgresqlServer) -> None:
    """While the listening connections are cut off, and after the process that has one was killed."""
    here, there = servers
    writer, idle = _selected(here), _selected(there)
    _idle(idle)
    listening = "FROM pg_stat_activity WHERE query LIKE 'LISTEN%'"
    for number in range(1, 4):
        database.psql(f"SELECT pg_terminate_backend(pid, 60000) {listening}")
        _append(writer)
        _hear(idle, number)
    wait_for(lambda: database.psql(f"SELECT count(*) {listening}") == "2\n")
    (bridge,) = [one["pid"] for one in here.status()["processes"] if one.get("hints")]
    os.kill(bridge, signal.SIGKILL)
    here.wait_for(lambda state: _hears(state) and bridge not in [one["pid"] for one in state["processes"]])
    writer = _selected(here)
    _append(writer)
    _hear(idle, 4)


def test_it_is_told_where_no_hints_arrive(servers: list[ProcessServer], database: PostgresqlServer) -> None:
    database.stop()
    servers[0].wait_for(lambda state: [hints["arrive"] for hints in _hints(state)] == [False])
    database.start()
    servers[0].wait_for(_hears)
