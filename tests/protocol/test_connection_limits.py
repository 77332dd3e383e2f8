"""The gate at real doors."""

import imaplib
import smtplib
import socket
import struct
from collections.abc import Callable

import pytest

from harness import MailServer
from waiting import wait_for

RESET = struct.pack("ii", 1, 0)
"""SO_LINGER: closing the socket resets the connection."""


@pytest.mark.parametrize(
    ("door", "word"),
    [("smtp", b"421-4.7.0"), ("submission", b"421-4.7.0"), ("imap", b"* BYE [UNAVAILABLE]"), ("pop3", b"-ERR [SYS/TEMP]")],
)
def test_who_has_too_many_connections_is_told_so(serve: Callable[..., MailServer], door: str, word: bytes) -> None:
    """The third connection from a network with a limit of two gets the door's word and the end; the two go on."""
    server = serve({"limits": {"connections_per_network": 2, "exempt_networks": ()}})
    place = (server.host, server.ports[door])
    kept = [socket.create_connection(place, timeout=10) for _ in range(2)]
    for client in kept:
        assert client.recv(1000)
    with socket.create_connection(place, timeout=10) as third, third.makefile("rb") as lines:
        english = b"Too many connections; try again later."
        between = b"\r\n421 4.7.0 " if word.startswith(b"421-") else b" / "
        assert lines.read() == b"%b Qua nhieu ket noi; de nghi thu lai sau.%b%b\r\n" % (word, between, english)
    for client in kept:
        client.sendall(b"1 NOOP\r\n" if door == "imap" else b"NOOP\r\n")
        assert client.recv(1000)
        client.close()


def test_connections_at_all_doors_count_together(serve: Callable[..., MailServer]) -> None:
    """Who has them at one door has none left at another."""
    server = serve({"limits": {"connections_per_network": 2, "exempt_networks": ()}})
    kept = [_let_in(server, door) for door in ("smtp", "imap")]
    with socket.create_connection((server.host, server.ports["pop3"]), timeout=10) as third:
        assert third.recv(1000).startswith(b"-ERR [SYS/TEMP]")
    for client in kept:
        client.close()


def test_as_many_connections_as_there_may_be_come_in(serve: Callable[..., MailServer]) -> None:
    """All at once, and each counts once: none is dropped for another one."""
    server = serve({"limits": {"connections": 10}})

    async def wait_in_the_backlog() -> list[socket.socket]:
        return [socket.create_connection((server.host, server.ports["imap"]), 10) for _ in range(10)]

    clients = server.call(wait_in_the_backlog())
    for client in clients:
        assert client.recv(1000).startswith(b"* OK ")
    for client in clients:
        client.sendall(b"1 NOOP\r\n")
        assert client.recv(1000).startswith(b"1 OK ")
        client.close()


@pytest.mark.parametrize("door", ["submissions", "imaps", "pop3s"])
def test_who_begins_with_tls_and_says_nothing_keeps_nobody_out(serve: Callable[..., MailServer], door: str) -> None:
    """Of one network so many handshakes may be under way as connections; others come in, also where there is room for few."""
    limits = {"connections_per_network": 20, "connections": 50, "exempt_networks": ("127.0.0.2/32", "127.0.0.3/32")}
    server = serve({"limits": limits})
    silent = [socket.create_connection((server.host, server.ports[door]), 10, ("127.0.0.1", 0)) for _ in range(70)]
    wait_for(lambda: sum(_is_closed(client) for client in silent) >= 50)
    assert sum(_is_closed(client) for client in silent) == 50
    with socket.create_connection((server.host, server.ports["smtp"]), 10, ("127.0.0.2", 0)) as other:
        assert other.recv(1000).startswith(b"220 ")
    wait_for(lambda: any(event["event"] == "connection_refused" and event["door"] == door for event in server.events()))
    for client in silent:
        client.close()


def _is_closed(client: socket.socket) -> bool:
    client.setblocking(False)
    try:
        return client.recv(1) == b""
    except BlockingIOError:
        return False
    except ConnectionError:
        return True


def test_starttls_and_implicit_tls_pass_the_gate(mail_server: MailServer) -> None:
    """The gate steps aside whole: both ways into TLS work behind it."""
    with smtplib.SMTP("localhost", mail_server.ports["submission"]) as client:
        client.starttls(context=mail_server.tls())
        assert client.ehlo()[0] == 250
    with smtplib.SMTP_SSL("localhost", mail_server.ports["submissions"], context=mail_server.tls()) as client:
        assert client.noop()[0] == 250
    imap = imaplib.IMAP4("localhost", mail_server.ports["imap"])
    imap.starttls(mail_server.tls())
    imap.logout()


@pytest.mark.parametrize("door", ["smtp", "submission", "imap", "pop3"])
def test_a_connection_lost_in_the_handshake_is_counted_no_longer(serve: Callable[..., MailServer], door: str) -> None:
    """Connections that are reset when TLS has been agreed upon take nobody's place, and are nothing to be surprised at."""
    server = serve({"limits": {"connections_per_network": 2, "exempt_networks": ()}})
    words = {"imap": b"1 STARTTLS\r\n", "pop3": b"STLS\r\n"}.get(door, b"EHLO x\r\nSTARTTLS\r\n")
    for _ in range(5):
        client = _let_in(server, door)
        client.sendall(words)
        while not client.recv(10_000).endswith(b"Begin TLS.\r\n"):
            pass
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
        client.close()
    _let_in(server, door).close()
    assert [event for event in server.events() if event["event"] in ("imap_bug", "pop3_bug", "session_failed")] == []


def _let_in(server: MailServer, door: str) -> socket.socket:
    """A connection that is greeted; one that is turned away tries again for a while, as the server learns of ends later."""

    def greeted() -> socket.socket | None:
        client = socket.create_connection((server.host, server.ports[door]), timeout=10)
        if client.recv(1000).startswith((b"220 ", b"* OK", b"+OK")):
            return client
        client.close()
        return None

    return wait_for(greeted, "turned away")
