"""A server whose connections are used up by strangers who say nothing: others get in, and whoever is signed in stays."""

import base64
import contextlib
import imaplib
import os
import poplib
import select
import signal
import smtplib
import socket
import ssl
from collections.abc import Callable, Iterator

import pytest

from harness import ProcessServer, config_for
from ldap_client import bind
from population import PASSWORD
from unit.web.conftest import Browser
from waiting import wait_for

LIMIT = 120
NETWORKS = [f"127.1.{number}.1" for number in range(20)]
DOORS = ("smtp", "submission", "submissions", "imap", "imaps", "pop3", "pop3s", "ldap", "ldaps", "https")
PLAIN = f"\0dvbe@mic.gov.vn\0{PASSWORD}".encode()
IMPLICIT = ("submissions", "imaps", "pop3s", "ldaps", "https")
GREETINGS = {"smtp": b"220 ", "submission": b"220 ", "submissions": b"220 ", "pop3": b"+OK", "pop3s": b"+OK"}
SETTINGS = {
    "listen": {"doors": DOORS},
    "limits": {"connections": LIMIT},
    "process": {"workers": 2},
    "search": {"enabled": False},
    "web": {"request_seconds": 120},
    "smtp": {"command_seconds": 300},
}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ProcessServer]:
    """Two workers and a process for the pages."""
    folder = tmp_path_factory.mktemp("eviction")
    started = ProcessServer(config_for(folder / "data", SETTINGS), folder)
    started.population.issue("dvbe", name="Đỗ Văn Bé")
    started.start()
    started.wait_for(lambda state: all(one["ready"] for one in state["processes"]))
    yield started
    started.stop()


def connect(server: ProcessServer, door: str, source: str) -> socket.socket:
    return socket.create_connection((server.host, server.ports[door]), 30, (source, 0))


def come_in(server: ProcessServer, door: str, source: str) -> bytes:
    """What a client hears that does what is usual at a door."""
    plain = connect(server, door, source)
    with contextlib.ExitStack() as stack:
        client: socket.socket = stack.enter_context(plain)
        if door in IMPLICIT:
            client = stack.enter_context(server.tls().wrap_socket(plain, server_hostname="localhost"))
        if door == "https":
            client.sendall(b"GET /robots.txt HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        elif door.startswith("ldap"):
            client.sendall(bind(1, "dvbe@mic.gov.vn", PASSWORD) if door == "ldaps" else bind(1, "", ""))
        return client.recv(1000)


def is_greeted(door: str, said: bytes) -> bool:
    if door == "https":
        return said.startswith(b"HTTP/1.1 200 ")
    if door.startswith("ldap"):
        return said[:1] == b"0" and b"room" not in said
    return said.startswith(GREETINGS.get(door, b"* OK"))


def is_closed(client: socket.socket) -> bool:
    """Whether the server has ended it, whatever it had said before."""
    client.setblocking(False)
    try:
        while client.recv(4096):
            pass
    except BlockingIOError:
        return False
    except ConnectionError:
        return True
    return True


@contextlib.contextmanager
def flooded(server: ProcessServer, doors: tuple[str, ...]) -> Iterator[list[socket.socket]]:
    """Twenty networks, each with ten idle connections, hold all that there are."""
    idle = [connect(server, doors[number % len(doors)], network) for number in range(10) for network in NETWORKS]
    wait_for(lambda: sum(not is_closed(client) for client in idle) <= LIMIT)
    try:
        yield idle
    finally:
        for client in idle:
            client.close()


def members(server: ProcessServer, stack: contextlib.ExitStack) -> list[Callable[[], object]]:
    """Somebody signed in at each door of mail; what shows that the session goes on."""
    imap = imaplib.IMAP4_SSL("localhost", server.ports["imaps"], ssl_context=server.tls(), timeout=30)
    imap.authenticate("PLAIN", lambda _: PLAIN)
    pop = poplib.POP3_SSL("localhost", server.ports["pop3s"], context=server.tls(), timeout=30)
    pop.user("dvbe@mic.gov.vn")
    pop.pass_(PASSWORD)
    smtp = smtplib.SMTP_SSL("localhost", server.ports["submissions"], context=server.tls(), timeout=30)
    smtp.ehlo("there")
    assert smtp.docmd("AUTH", f"PLAIN {base64.b64encode(PLAIN).decode()}")[0] == 235
    ldap = server.tls().wrap_socket(connect(server, "ldaps", "127.0.0.1"), server_hostname="localhost")
    ldap.sendall(bind(1, "dvbe@mic.gov.vn", PASSWORD))
    ldap.recv(1000)
    for closing in (imap.shutdown, pop.close, smtp.close, ldap.close):
        stack.callback(closing)

    def searches() -> None:
        ldap.sendall(bind(2, "dvbe@mic.gov.vn", PASSWORD))
        assert ldap.recv(1000)

    def answers() -> None:
        assert smtp.noop()[0] == 250

    return [imap.noop, pop.noop, answers, searches]


@pytest.mark.parametrize("doors", [("imap", "smtp"), ("submission", "pop3", "ldap"), ("imaps", "pop3s", "submissions")])
def test_strangers_who_use_up_all_connections_keep_nobody_out(server: ProcessServer, doors: tuple[str, ...]) -> None:
    """At the limit of all workers a client from another network is greeted at every door while the strangers still hold on;
    nobody who is signed in is dropped, and neither is another network's one connection that has said nothing yet."""
    server.forget_events()
    with contextlib.ExitStack() as stack:
        alive = members(server, stack)
        quiet = stack.enter_context(connect(server, "imap", "127.2.0.1"))
        assert quiet.recv(1000)
        with flooded(server, doors) as idle:
            for number, door in enumerate(DOORS):
                if door != "https":
                    assert is_greeted(door, come_in(server, door, f"127.3.{number}.1")), door
            assert sum(not is_closed(client) for client in idle) > LIMIT // 2
            assert not is_closed(quiet)
            for goes_on in alive:
                goes_on()
    wait_for(lambda: "no-room" in reasons(server))
    assert "total" not in reasons(server)


@contextlib.contextmanager
def stands_still(pid: int) -> Iterator[None]:
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


@pytest.mark.parametrize("holds_none", [False, True])
@pytest.mark.parametrize("row", [0, 1])
def test_whichever_worker_a_client_reaches(server: ProcessServer, row: int, *, holds_none: bool) -> None:
    """Each worker alone lets clients of other networks in, also where the other one holds all of the strangers and does not
    answer; once it does, it makes room, and no more connections are open than may be."""
    pids = server.workers()
    reached, other = pids[row], pids[1 - row]
    with contextlib.ExitStack() as stack:
        with stands_still(reached) if holds_none else contextlib.nullcontext():
            idle = stack.enter_context(flooded(server, ("imap", "smtp")))
        with stands_still(other):
            greeted = [stack.enter_context(connect(server, "imap", f"127.6.{number}.1")) for number in range(12)]
            for client in greeted:
                assert is_greeted("imap", client.recv(1000))
        wait_for(lambda: sum(not is_closed(client) for client in (*idle, *greeted)) <= LIMIT)
        assert not any(map(is_closed, greeted))


def reasons(server: ProcessServer) -> set[str]:
    """Why connections were cut or refused since `forget_events`, as far as it is written: the log is a moment behind."""
    return {event["reason"] for event in server.events() if event["event"] in ("connection_cut", "connection_refused")}


def test_the_pages_too(server: ProcessServer) -> None:
    """They have a process and a total of their own."""
    browser = Browser(server)  # type: ignore[arg-type]  # it has ports and a certificate like the other kind
    browser.signed_in("dvbe")
    held = browser.client._transport._pool.connections[0]
    with flooded(server, ("https",)) as idle:
        for number in range(5):
            assert is_greeted("https", come_in(server, "https", f"127.3.{number}.1"))
        assert sum(not is_closed(client) for client in idle) > LIMIT // 2
        assert browser.get("/mailbox").status_code == 200
        assert browser.client._transport._pool.connections[0] is held
    browser.close()


@pytest.mark.parametrize(
    ("door", "word"),
    [("smtp", b"421-4.7.0"), ("submission", b"421-4.7.0"), ("imap", b"* BYE [UNAVAILABLE] "), ("pop3", b"-ERR [SYS/TEMP]")],
)
def test_who_has_to_go_is_told_so(server: ProcessServer, door: str, word: bytes) -> None:
    """The oldest connection of the network that holds most hears the door's word behind its greeting, and the end."""
    oldest = connect(server, door, "127.4.0.1")
    assert is_greeted(door, oldest.recv(1000))
    more = [connect(server, door, "127.4.0.1") for _ in range(LIMIT)]
    while not select.select([oldest], [], [], 0)[0] and len(more) < 5 * LIMIT:  # the worker that has it takes one of them
        more.append(connect(server, door, "127.4.0.1"))
    heard = b""
    while octets := oldest.recv(1000):
        heard += octets
    assert heard.startswith(word)
    for client in (oldest, *more):
        client.close()


def test_tls_that_began_within_goes_as_well(server: ProcessServer) -> None:
    """A connection that said STARTTLS and then nothing is a stranger's like any other."""
    with connect(server, "imap", "127.5.0.1") as begun:
        begun.recv(1000)
        begun.sendall(b"1 STARTTLS\r\n")
        assert begun.recv(1000).startswith(b"1 OK")
        more = [connect(server, "imap", "127.5.0.1") for _ in range(LIMIT)]
        while not is_closed(begun) and len(more) < 5 * LIMIT:
            more.append(connect(server, "imap", "127.5.0.1"))
        wait_for(lambda: is_closed(begun))
        for client in more:
            client.close()


@pytest.mark.slow
def test_a_client_that_signs_in_under_the_flood_gets_through(server: ProcessServer) -> None:
    """Where strangers come without end: its own connection is one of few of its network's, and goes after all of theirs."""
    context: ssl.SSLContext = server.tls()
    with flooded(server, ("imaps",)):
        for number in range(4):
            client = imaplib.IMAP4_SSL("localhost", server.ports["imaps"], ssl_context=context, timeout=30)
            more = [connect(server, "imaps", network) for network in NETWORKS[number::4]]
            client.authenticate("PLAIN", lambda _: PLAIN)
            client.logout()
            for each in more:
                each.close()
