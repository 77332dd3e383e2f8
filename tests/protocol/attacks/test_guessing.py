"""Guessing passwords from many addresses, at all doors: who guesses waits, who belongs there goes on, nobody learns a name.

Each address of 127.0.0.0/8 is a network of its own to the guard (`auth.throttle`), which all doors share.
"""

import base64
import contextlib
import re
import socket
from collections.abc import Callable, Iterator

import pytest

from faults.wire import Cut, Line, Smtp
from harness import MailServer, config_for, stopping
from mic_mail.auth import password_hash
from population import PASSWORD

SETTINGS = {
    "auth": {"cleartext": True}, "listen": {"doors": ("smtp", "submission", "imap", "pop3", "https")},
    "limits": {"exempt_networks": ("127.0.0.0/8",)},
}  # fmt: skip
RIGHT, WRONG, WAIT = "right", "wrong", "wait"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MailServer]:
    """Each test has mailboxes and networks of its own: what is counted is counted for a quarter of an hour."""
    made = MailServer(config_for(tmp_path_factory.mktemp("guessing"), SETTINGS))
    with stopping([made]):
        yield made


def by_imap(server: MailServer, name: str, password: str, source: str) -> tuple[str, bytes]:
    client = Line(server.ports["imap"], source=source)
    client.line()
    client.send(b'A LOGIN "%b" "%b"\r\n' % (name.encode(), password.encode()))
    return outcome(client, client.line()[2:], b"OK", b"NO [AUTHENTICATIONFAILED]")


def by_pop3(server: MailServer, name: str, password: str, source: str) -> tuple[str, bytes]:
    client = Line(server.ports["pop3"], source=source)
    client.line()
    client.send(b"USER %b\r\nPASS %b\r\n" % (name.encode(), password.encode()))
    client.line()
    return outcome(client, client.line(), b"+OK", b"-ERR [AUTH]")


def by_smtp(server: MailServer, name: str, password: str, source: str) -> tuple[str, bytes]:
    client = Smtp(server.ports["submission"], source=source)
    client.send(b"AUTH PLAIN " + base64.b64encode(f"\0{name}\0{password}".encode()) + b"\r\n")
    return outcome(client, client.reply(), b"235", b"535")


def outcome(client: Line, line: bytes, right: bytes, wrong: bytes) -> tuple[str, bytes]:
    client.close()
    return RIGHT if line.startswith(right) else WRONG if line.startswith(wrong) else WAIT, line


DOORS: dict[str, Callable[[MailServer, str, str, str], tuple[str, bytes]]] = {
    "imap": by_imap, "pop3": by_pop3, "smtp": by_smtp,
}  # fmt: skip


def test_from_everywhere_at_one_mailbox(server: MailServer) -> None:
    """Sixty networks, a password each, at three doors: strangers wait; the owner signs in from where he did before."""
    server.issue("dvbe")
    assert by_imap(server, "dvbe@mic.gov.vn", PASSWORD, "127.1.0.1")[0] == RIGHT
    said = [
        DOORS[("imap", "pop3", "smtp")[number % 3]](server, "dvbe@mic.gov.vn", f"sai {number}", f"127.2.{number}.1")[0]
        for number in range(60)
    ]
    assert said[:40] == [WRONG] * 40
    assert said[-5:] == [WAIT] * 5
    assert by_imap(server, "dvbe@mic.gov.vn", PASSWORD, "127.2.200.1")[0] == WAIT
    for door in DOORS.values():
        assert door(server, "dvbe@mic.gov.vn", PASSWORD, "127.1.0.1")[0] == RIGHT
    server.issue("ttlan")
    assert by_imap(server, "ttlan@mic.gov.vn", PASSWORD, "127.2.0.1")[0] == RIGHT, "another mailbox, from one of those"


def test_an_old_telephone_harms_nobody(server: MailServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same wrong password two hundred times is hashed and counts once; its owner and the office go on."""
    server.issue("nvan")
    server.issue("lthoa")
    hashed: list[str] = []
    verify = password_hash.verify
    monkeypatch.setattr(password_hash, "verify", lambda encoded, password: hashed.append(password) or verify(encoded, password))
    for number in range(200):
        assert by_imap(server, "nvan@mic.gov.vn", "mat khau cu", "127.3.0.1")[0] == WRONG, number
    assert hashed == ["mat khau cu"]
    assert by_imap(server, "nvan@mic.gov.vn", PASSWORD, "127.3.0.1")[0] == RIGHT
    assert by_smtp(server, "lthoa@mic.gov.vn", PASSWORD, "127.3.0.1")[0] == RIGHT


def test_one_network_at_all_names(server: MailServer) -> None:
    """A password at 70 names, there or not: the network waits, and who has signed in from it does not."""
    server.issue("qtrung")
    server.issue("pmai")
    assert by_imap(server, "qtrung@mic.gov.vn", PASSWORD, "127.4.0.1")[0] == RIGHT
    said = [by_smtp(server, f"ten{number}@mic.gov.vn", "Mic@2026", "127.4.0.1")[0] for number in range(70)]
    assert said[:60] == [WRONG] * 60
    assert said[-1] == WAIT
    assert by_pop3(server, "pmai@mic.gov.vn", PASSWORD, "127.4.0.1")[0] == WAIT
    assert by_imap(server, "qtrung@mic.gov.vn", PASSWORD, "127.4.0.1")[0] == RIGHT
    assert by_imap(server, "pmai@mic.gov.vn", PASSWORD, "127.4.0.2")[0] == RIGHT


@pytest.mark.parametrize("door", DOORS)
def test_no_answer_tells_who_has_a_mailbox(server: MailServer, door: str) -> None:
    """A wrong password and a name that nobody has are answered alike (CVE-2019-20892 and kin; RFC 4954 §6, 535)."""
    server.issue(f"co{door}")
    there = DOORS[door](server, f"co{door}@mic.gov.vn", "sai", "127.5.0.1")
    nobody = DOORS[door](server, f"khong{door}@mic.gov.vn", "sai", "127.5.0.1")
    assert re.sub(rb"[0-9A-Z]{16}", b"", there[1]) == re.sub(rb"[0-9A-Z]{16}", b"", nobody[1])
    assert there[0] == nobody[0] == WRONG


def test_no_challenge_tells_who_has_a_mailbox(server: MailServer) -> None:
    """SCRAM says salt and rounds before any proof: to a name that nobody has the same ones each time, as long as those of a
    mailbox (RFC 5802 §9)."""
    server.issue("cosan")

    def challenge(name: str) -> tuple[bytes, bytes]:
        client = Smtp(server.ports["submission"], source="127.8.0.1")
        client.send(b"AUTH SCRAM-SHA-256 " + base64.b64encode(f"n,,n={name},r=abcdefgh".encode()) + b"\r\n")
        fields = dict(part.split(b"=", 1) for part in base64.b64decode(client.reply().split(b" ")[1]).split(b","))
        client.close()
        return fields[b"s"], fields[b"i"]

    somebody, nobody = challenge("cosan@mic.gov.vn"), challenge("khongco@mic.gov.vn")
    assert challenge("khongco@mic.gov.vn") == nobody
    assert challenge("cosan@mic.gov.vn") == somebody
    assert challenge("khonghe@mic.gov.vn")[0] != nobody[0]
    assert len(base64.b64decode(nobody[0])) == len(base64.b64decode(somebody[0]))
    assert nobody[1] == somebody[1]


def test_one_connection_guesses_a_few_times(server: MailServer) -> None:
    """Then it is ended: at each door a connection has so many mistakes (RFC 4954 §4, RFC 9051 §11.1)."""
    for door, line in (("imap", b"A LOGIN x@mic.gov.vn p%d\r\n"), ("pop3", b"USER x@mic.gov.vn\r\nPASS p%d\r\n")):
        client = Line(server.ports[door], source="127.6.0.1")
        heard = 0
        with contextlib.suppress(Cut):
            for number in range(100):
                client.send(line % number)
                client.line()
                heard += 1
        assert heard < 90
        client.close()


CLAIMS = [
    b"X-Forwarded-For: 192.0.2.%d",
    b"Forwarded: for=192.0.2.%d",
    b"X-Real-IP: 192.0.2.%d",
    b"X-Originating-IP: 192.0.2.%d",
]


def test_nobody_says_himself_where_he_is(server: MailServer) -> None:
    """At the address book, with the fields by which proxies tell of clients: what counts is who is at the other end."""
    server.issue("hvan")
    statuses = []
    for number in range(14):
        with socket.create_connection(("127.0.0.1", server.ports["https"]), 20, ("127.7.0.1", 0)) as plain:
            client = server.tls().wrap_socket(plain, server_hostname="localhost")
            told = base64.b64encode(f"hvan@mic.gov.vn:sai {number}".encode())
            fields = b"\r\n".join([claim % (number + 1) for claim in CLAIMS])
            client.sendall(
                b"PROPFIND /dav/ HTTP/1.1\r\nHost: localhost\r\nDepth: 0\r\nContent-Length: 0\r\nConnection: close\r\n"
                b"Authorization: Basic " + told + b"\r\n" + fields + b"\r\n\r\n"
            )
            statuses.append(client.recv(65_536).split(b" ")[1])
    assert statuses[:9] == [b"401"] * 9
    assert statuses[-1] == b"429"
    assert by_imap(server, "hvan@mic.gov.vn", PASSWORD, "127.7.0.1")[0] == WAIT
    assert by_imap(server, "hvan@mic.gov.vn", PASSWORD, "127.7.0.2")[0] == RIGHT


@pytest.mark.parametrize(
    "line",
    [
        b"XCLIENT ADDR=192.0.2.1 NAME=mail.mic.gov.vn LOGIN=dvbe@mic.gov.vn",
        b"XFORWARD ADDR=192.0.2.1 HELO=mail.mic.gov.vn",
        b"PROXY TCP4 192.0.2.1 192.0.2.2 5000 25",
        b"ETRN mic.gov.vn'; DROP TABLE x --",
        b"AUTH EXTERNAL =",
        b"DEBUG",
        b"WIZ",
        b"TURN",
    ],
)
def test_words_by_which_others_were_someone_else(server: MailServer, line: bytes) -> None:
    """At the door for strangers and at that for mail programs: unknown, and nobody is signed in (CVE-1999-0095, -0145)."""
    for door in ("smtp", "submission"):
        client = Smtp(server.ports[door])
        client.send(line + b"\r\n")
        assert client.reply()[:1] == b"5", (door, line)
        client.send(b"MAIL FROM:<dvbe@mic.gov.vn>\r\nRCPT TO:<x@else.example>\r\n")
        replies = [client.reply()[:3], client.reply()[:3]]
        assert replies[1] in (b"550", b"503", b"530"), (door, replies)
        client.close()
