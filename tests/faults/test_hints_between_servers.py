"""Two servers of one database tell each other of changes at once, whatever happens to the connections between them.

They poll once a minute only, so a session in IDLE hears by hints what it hears.
"""

import base64
import json
import os
import random
import signal
import subprocess
import sys
from collections.abc import Iterator

import pytest

from harness import ProcessServer, config_for, stopping
from mic_mail.auth.password_hash import DECOY_KEY
from population import PASSWORD
from postgresql_server import PostgresqlServer, postgresql_server
from protocol.dialog import Connection
from protocol.imap_sessions import answer, sign_in
from waiting import wait_for

PEOPLE = ("dvbe", "ttlan", "nvb", "bedv", "lvc", "ptd")
"""Each test has a mailbox of its own."""
pytestmark = [pytest.mark.needs_tool("postgres"), pytest.mark.timeout(300)]


@pytest.fixture(scope="module")
def database() -> Iterator[PostgresqlServer]:
    with postgresql_server(max_connections="60") as server:
        yield server


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory, database: PostgresqlServer) -> Iterator[list[ProcessServer]]:
    url = f"postgresql://test@/postgres?host={database.folder}"
    made: list[ProcessServer] = []
    with stopping(made):
        for number in range(2):
            folder = tmp_path_factory.mktemp(f"hints{number}")
            settings = {
                "process": {"workers": 2, "poll_seconds": 60},
                "storage": {"database": url},
                "auth": {"failures_per_mailbox": 4},
            }
            server = ProcessServer(config_for(folder / "data", settings), folder)
            (folder / "data" / DECOY_KEY).write_bytes(b"k" * 32)
            made.append(server)
            for name in PEOPLE if number == 0 else ():
                server.population.issue(name)
            server.start()
        yield made


@pytest.fixture
def servers(running: list[ProcessServer]) -> list[ProcessServer]:
    """Both, once each hears the other."""
    for server in running:
        server.wait_for(_hears)
    return running


def _hints(state: dict[str, object]) -> list[dict[str, object]]:
    processes = state["processes"]
    assert isinstance(processes, list)
    json.dumps(processes, allow_nan=False)  # of a number that is not known yet, nothing is said
    return [one["hints"] for one in processes if one.get("hints")]


def _hears(state: dict[str, object]) -> bool:
    return [hints["arrive"] for hints in _hints(state)] == [True]


def _selected(server: ProcessServer, name: str) -> Connection:
    session = sign_in(server, f"{name}@mic.gov.vn")
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
    writer, idle = _selected(here, "dvbe"), [_selected(there, "dvbe")]
    while 0 in there.connected("imap", len(idle)):
        idle.append(_selected(there, "dvbe"))
    for session in idle:
        _idle(session)
    for number in range(1, 21):
        _append(writer)
        for session in idle:
            _hear(session, number)
    (hints,) = _hints(there.status())
    assert isinstance(hints["heard"], int)
    assert hints["heard"] >= 20


@pytest.mark.clause("7.2.c")
def test_a_suspension_by_a_command_at_one_server_ends_sessions_at_the_other(servers: list[ProcessServer]) -> None:
    """The directory is one, and they are told of its changes as well."""
    here, there = servers
    session = _selected(there, "nvb")
    _idle(session)
    words = "mailbox suspend nvb@mic.gov.vn --cause c --reason x".split()
    command = [sys.executable, "-m", "mic_mail", "--config", str(here.file), *words]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    assert (session.response() or b"").startswith(b"* BYE")


def _signed_in(server: ProcessServer, name: str, password: str) -> bytes:
    """The answer to a sign-in, which also an intruder's client might get."""
    session = Connection(server, "imaps")
    session.response()
    session.send(f'l LOGIN {name}@mic.gov.vn "{password}"\r\n'.encode())
    return answer(session, b"l")


def _tell_all(here: ProcessServer, there: ProcessServer, name: str) -> None:
    """Return once each process there has heard what was said here before."""
    writer, idle = _selected(here, name), [_selected(there, name)]
    while 0 in there.connected("imap", len(idle)):
        idle.append(_selected(there, name))
    for session in idle:
        _idle(session)
    _append(writer)
    for session in idle:
        while not (session.response() or b"").endswith(b" EXISTS"):
            pass


def test_wrong_passwords_at_one_server_count_at_the_other(servers: list[ProcessServer]) -> None:
    """A guesser has as many attempts as one server allows, however many there are; a stale password counts once."""
    here, there = servers
    for number in range(3):
        assert b"AUTHENTICATIONFAILED" in _signed_in(here, "lvc", f"wrong {number}")
    _tell_all(here, there, "ptd")
    for number in range(3):
        assert b"AUTHENTICATIONFAILED" in _signed_in(there, "lvc", f"wrong {number}"), "the same ones"
    assert b"AUTHENTICATIONFAILED" in _signed_in(there, "lvc", "wrong 3")
    assert b"Too many" in _signed_in(there, "lvc", PASSWORD)
    _tell_all(there, here, "ptd")
    assert b"Too many" in _signed_in(here, "lvc", PASSWORD)


def test_forged_hints_change_nothing(servers: list[ProcessServer], database: PostgresqlServer) -> None:
    """Who may connect to the database can send hints, but say nothing of passwords; it is counted, for the administrator."""
    here, there = servers
    forged = json.dumps(["wrong", "ptd@mic.gov.vn", "127.0.0.1", "00"]).encode()
    for number in range(10):
        for kind in (b"W", b"w", b"?", b""):
            text = base64.b64encode(kind + forged + b"%d" % number).decode()
            database.psql(f"SELECT pg_notify('mic_mail_hints', 'nobody {text}')")
    for server in servers:
        server.wait_for(lambda state: [hints["unreadable"] for hints in _hints(state)] == [10])
    _tell_all(here, there, "ptd")


def _noop(session: Connection) -> list[bytes]:
    """What a session is told with NOOP, but for flags."""
    session.send(b"n NOOP\r\n")
    told = []
    while (heard := session.response()) is not None and not heard.startswith(b"n "):
        told.append(heard)
    assert heard is not None
    assert heard.startswith(b"n OK")
    return [each for each in told if b" FETCH " not in each and not each.endswith(b" RECENT")]


@pytest.mark.parametrize(
    "rounds",
    [
        pytest.param(1_000, marks=pytest.mark.slow),
        pytest.param(100_000, marks=[pytest.mark.campaign, pytest.mark.timeout(3_600)]),
    ],
)
def test_what_one_server_has_answered_the_next_command_at_the_other_shows(servers: list[ProcessServer], rounds: int) -> None:
    """OK here, then NOOP there, never misses. NOOP asks by itself: the poll comes once a minute, and nobody is in IDLE."""
    sessions = [_selected(server, "bedv") for server in servers]
    misses = 0
    chance = random.Random(149)
    for number in range(rounds):
        here, there = chance.sample(sessions, 2)
        if number % 2:
            here.send(b"d UID STORE 1:* +FLAGS.SILENT (\\Deleted)\r\nx EXPUNGE\r\n")
            assert answer(here, b"x").startswith(b"x OK")
            wanted = [b"* 1 EXPUNGE"]
        else:
            _append(here)
            wanted = [b"* 1 EXISTS"]
        misses += _noop(there) != wanted
    assert misses == 0


def test_what_was_missed_is_looked_for(servers: list[ProcessServer], database: PostgresqlServer) -> None:
    """While the listening connections are cut off, and after the process that has one was killed."""
    here, there = servers
    writer, idle = _selected(here, "ttlan"), _selected(there, "ttlan")
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
    writer = _selected(here, "ttlan")
    _append(writer)
    _hear(idle, 4)


def test_it_is_told_where_no_hints_arrive(servers: list[ProcessServer], database: PostgresqlServer) -> None:
    database.stop()
    servers[0].wait_for(lambda state: [hints["arrive"] for hints in _hints(state)] == [False])
    database.start()
    servers[0].wait_for(_hears)
