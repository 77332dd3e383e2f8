"""The primary is found among several servers, whatever has become of the others; real ones are asked.

No wait has a limit (`connect_timeout` is 0): who waits for a host that does not answer waits until the test fails.
"""

import socket
from collections.abc import Iterator
from contextlib import ExitStack, closing
from typing import Any

import psycopg
import pytest

from mic_mail import postgresql_primary, postgresql_url
from postgresql_server import PostgresqlServer, postgresql_server
from waiting import wait_for


@pytest.fixture
def primary() -> Iterator[PostgresqlServer]:
    with postgresql_server() as server:
        yield server


@pytest.fixture
def standby() -> Iterator[PostgresqlServer]:
    with postgresql_server(is_standby=True) as server:
        yield server


@pytest.fixture
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Wait for every host that answers, however busy this machine is."""
    monkeypatch.setattr(postgresql_primary, "_MORE_SECONDS", 60.0)


@pytest.fixture
def silent() -> Iterator[str]:
    """The port of a machine that takes no connection: SYN is lost, as with one that is cut off."""
    with ExitStack() as sockets:
        listener = sockets.enter_context(socket.create_server(("127.0.0.1", 0), backlog=0))
        port = listener.getsockname()[1]
        for _ in range(4):  # more than its queue holds
            waiting = sockets.enter_context(socket.socket())
            waiting.setblocking(False)
            waiting.connect_ex(("127.0.0.1", port))
        yield str(port)


def settings(*hosts: tuple[str, str]) -> dict[str, Any]:
    names, ports = (",".join(values) for values in zip(*hosts, strict=True))
    return postgresql_url.settings_of(f"host={names} port={ports} user=test dbname=postgres connect_timeout=0")


def at(server: PostgresqlServer) -> tuple[str, str]:
    return (str(server.folder), "5432")


def found(*hosts: tuple[str, str]) -> str:
    """Return the folder of the server to which a connection is made."""
    with closing(postgresql_primary.connect(psycopg.Connection, settings(*hosts))) as driver:
        assert driver.autocommit
        row = driver.execute("SHOW unix_socket_directories").fetchone()
        return str(row and row[0])


def test_the_one_that_takes_changes_is_found_wherever_it_stands(primary: PostgresqlServer, standby: PostgresqlServer) -> None:
    for hosts in ((at(primary), at(standby)), (at(standby), at(primary))):
        assert found(*hosts) == str(primary.folder)


def test_hosts_that_do_not_answer_delay_nobody(primary: PostgresqlServer, standby: PostgresqlServer, silent: str) -> None:
    standby.pause()
    try:
        assert found(("127.0.0.1", silent), at(standby), at(primary)) == str(primary.folder)
    finally:
        standby.resume()


def test_an_old_primary_that_wakes_does_not_win(
    primary: PostgresqlServer, standby: PostgresqlServer, request: pytest.FixtureRequest
) -> None:
    primary.pause()
    try:
        standby.psql("SELECT pg_promote()")
        assert found(at(primary), at(standby)) == str(standby.folder)
    finally:
        primary.resume()
    request.getfixturevalue("patient")
    for hosts in ((at(primary), at(standby)), (at(standby), at(primary))):
        assert found(*hosts) == str(standby.folder)


def test_each_host_says_why_it_is_not_used(standby: PostgresqlServer, silent: str) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        refusing = str(closed.getsockname()[1])
        hosts = settings(at(standby), ("127.0.0.1", silent), ("127.0.0.1", refusing)) | {"connect_timeout": 1}
        with pytest.raises(psycopg.OperationalError) as failed:
            postgresql_primary.connect(psycopg.Connection, hosts)
    only_reads, no_answer, refused = str(failed.value).split("; ")
    assert only_reads == f"{standby.folder}: it only reads"
    assert no_answer == "127.0.0.1: no answer"
    assert "Connection refused" in refused


@pytest.mark.usefixtures("patient")
def test_no_connection_is_left_with_the_others(primary: PostgresqlServer, standby: PostgresqlServer) -> None:
    standby.psql("SELECT pg_promote()")
    asked = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'mic-mail'"
    with closing(postgresql_primary.connect(psycopg.Connection, settings(at(primary), at(standby)))):
        wait_for(lambda: primary.psql(asked).strip() == "0")
        assert standby.psql(asked).strip() == "1"


def test_one_port_stands_for_all(primary: PostgresqlServer, standby: PostgresqlServer) -> None:
    hosts = settings(at(standby), at(primary)) | {"port": "5432"}
    with closing(postgresql_primary.connect(psycopg.Connection, hosts)) as driver:
        assert driver.info.host == str(primary.folder)
