"""Who reads slowly but steadily gets all of it; who reads nothing at all is cut off."""

import socket
import ssl
import time
from collections.abc import Callable

import pytest

from harness import MailServer
from mic_mail.connection.connection import HIGH_WATER_OCTETS
from mic_mail.imap.server import ImapConnection
from mic_mail.ldap.server import LdapConnection
from mic_mail.net.tcp_ack import outstanding
from mic_mail.pop3.server import Pop3Connection
from population import PASSWORD
from waiting import wait_for

UNREAD = 2.0
MESSAGE = b"Subject: big\r\n\r\n" + (b"x" * 76 + b"\r\n") * 200_000


@pytest.fixture
def server(serve: Callable[..., MailServer], monkeypatch: pytest.MonkeyPatch) -> MailServer:
    """With one large message in the mailbox."""
    for door in (ImapConnection, Pop3Connection, LdapConnection):
        monkeypatch.setattr(door, "UNREAD_SECONDS", UNREAD)
    server = serve()
    server.issue("dvbe")
    client = connect(server, "imaps")
    say(client, b'a LOGIN dvbe@mic.gov.vn "%s"\r\n' % PASSWORD.encode(), b"a OK")
    say(client, b"b APPEND INBOX {%d+}\r\n%b\r\n" % (len(MESSAGE), MESSAGE), b"b OK")
    client.close()
    return server


def connect(server: MailServer, door: str, *, narrow: bool = False) -> ssl.SSLSocket:
    """Greeted; `narrow` takes few octets ahead."""
    plain = socket.socket()
    if narrow:
        plain.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
    plain.settimeout(30)
    plain.connect(("127.0.0.1", server.ports[door]))
    secured = server.tls().wrap_socket(plain, server_hostname="localhost")
    say(secured, b"", b"OK")
    return secured


def say(client: ssl.SSLSocket, words: bytes, until: bytes) -> None:
    client.sendall(words)
    heard = b""
    while until not in heard:
        heard += client.recv(4_096)


def asking(server: MailServer, door: str) -> ssl.SSLSocket:
    """A client that has asked for all of the message."""
    client = connect(server, door, narrow=True)
    if door == "imaps":
        say(client, b'a LOGIN dvbe@mic.gov.vn "%s"\r\n' % PASSWORD.encode(), b"a OK")
        say(client, b"b SELECT INBOX\r\n", b"b OK")
        client.sendall(b"c FETCH 1 BODY.PEEK[]\r\n")
    else:
        say(client, b"USER dvbe@mic.gov.vn\r\n", b"+OK")
        say(client, b"PASS %s\r\n" % PASSWORD.encode(), b"+OK")
        client.sendall(b"RETR 1\r\n")
    return client


def counted(client: ssl.SSLSocket, octets: int) -> int:
    """How many came before the end, if fewer than that; else that many or a few more."""
    found = 0
    try:
        while found < octets and (piece := client.recv(65_536)):
            found += len(piece)
    except OSError:
        pass
    return found


@pytest.mark.parametrize("door", ["imaps", pytest.param("pop3s", marks=pytest.mark.slow)])
def test_who_reads_slowly_is_waited_for(server: MailServer, door: str) -> None:
    """A few KiB a second, for several times as long as one may read nothing; then the rest, complete."""
    client = asking(server, door)
    before = 0
    ends = time.monotonic() + 4 * UNREAD
    while time.monotonic() < ends:
        before += len(client.recv(3_000))
        time.sleep(0.25)  # it reads slowly
    assert before + counted(client, len(MESSAGE) - before) >= len(MESSAGE)


@pytest.mark.parametrize("door", ["imaps", "pop3s"])
def test_who_reads_nothing_is_cut_off(server: MailServer, door: str) -> None:
    """Where nothing is taken for so long; by the test above not before."""
    client = asking(server, door)
    name = door.removesuffix("s")
    assert server.running.server.servers.connections[name] == 1
    wait_for(lambda: not server.running.server.servers.connections[name])
    assert counted(client, len(MESSAGE)) < len(MESSAGE)


@pytest.mark.clause("7.1")
@pytest.mark.parametrize("door", ["imaps", "pop3s"])
def test_who_loses_the_right_to_read_gets_no_more(server: MailServer, door: str) -> None:
    """What lies in the server's buffers when a mailbox is suspended is thrown away, however slowly its reader takes it."""
    client = asking(server, door)
    servers, name = server.running.server.servers, door.removesuffix("s")
    (connection,) = servers._servers[name].open
    wait_for(lambda: outstanding(connection._transport) > HIGH_WATER_OCTETS)
    server.suspend(server.population.directory.mailbox("dvbe@mic.gov.vn"))
    wait_for(lambda: not servers.connections[name])
    assert counted(client, len(MESSAGE)) < HIGH_WATER_OCTETS
