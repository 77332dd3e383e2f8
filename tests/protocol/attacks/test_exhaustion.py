"""Messages and commands that cost a server more than their sender: taken or refused within bounds, and read by anybody.

Weaknesses of others: address lists and large headers (CVE-2024-23184, 23185 Dovecot), MIME within MIME (CVE-2020-12100, 25275
Dovecot), literals before a sign-in (CVE-2024-34055 Cyrus, CVE-2024-37358 James, CVE-2025-61600 Stalwart), patterns of LIST
(CVE-2021-40110 James), newlines and arguments that nobody expects (CVE-2020-10957, 10958, 10967 Dovecot), sign-ins that are
given up (CVE-2017-15132 Dovecot).
"""

import base64
import contextlib
import resource
import socket
import time
from collections.abc import Callable, Iterator

import pytest

from faults.wire import Cut, Imap, Line, Refused, Smtp
from harness import MailServer, config_for, stopping
from ldapwords import search
from population import PASSWORD

USER = "dvbe@mic.gov.vn"
MIB = 1 << 20
SECONDS = 12.0
"""Of this process, in which the server is, for one message and all that is asked about it; the worst takes a fifth of that."""
MEMORY_MIB = 160


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MailServer]:
    settings = {
        "auth": {"cleartext": True}, "smtp": {"errors": 1000}, "imap": {"errors": 1000},
        "listen": {"doors": ("smtp", "submission", "imap", "pop3", "ldap", "http", "https")},
        "ldap": {"anonymous_networks": ("127.0.0.0/8",)},
    }  # fmt: skip
    made = MailServer(config_for(tmp_path_factory.mktemp("exhaustion"), settings))
    with stopping([made]):
        made.issue("dvbe")
        yield made


@pytest.fixture(autouse=True)
def bounded() -> Iterator[None]:
    """Processor time and the peak of memory, of the server and of what attacks it together."""
    began, before = time.process_time(), peak_mib()
    yield
    assert time.process_time() - began < SECONDS
    assert peak_mib() - before < MEMORY_MIB


def peak_mib() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


# ------------------------------------------------------------ messages


def head(*fields: bytes) -> bytes:
    return b"From: a@a.example\r\nSubject: x\r\n" + b"".join(field + b"\r\n" for field in fields)


def nested(levels: int) -> bytes:
    opened = b"".join(
        b"Content-Type: multipart/mixed; boundary=b%d\r\n\r\n--b%d\r\n" % (level, level) for level in range(levels)
    )
    return head() + opened + b"\r\nx\r\n"


def parts(count: int, part: bytes) -> bytes:
    return head(b"Content-Type: multipart/mixed; boundary=b", b"") + (b"--b\r\n" + part) * count + b"--b--\r\n"


MESSAGES: dict[str, Callable[[], bytes]] = {
    "an address list of 100,000": lambda: head(b"To: " + b",\r\n ".join(b"a%d@b.example" % n for n in range(100_000))),
    "20,000 fields of addresses": lambda: head(*(b"To: a%d@b.example" % n for n in range(20_000))),
    "20,000 Cc, each a group": lambda: head(*(b"Cc: g:a@b,c@d;" for _ in range(20_000))),
    "a header of 8 MB": lambda: head(*(b"X-%d: %b" % (n, b"y" * 900) for n in range(9_000))),
    "one field of 8 MB": lambda: head(b"X: " + b"\r\n ".join([b"y" * 900] * 9_000)),
    "one line of 8 MB": lambda: head(b"X: " + b"y" * (8 * MIB)),
    "100,000 parts": lambda: parts(100_000, b"\r\nx\r\n"),
    "100,000 attached messages": lambda: parts(100_000, b"Content-Type: message/rfc822\r\n\r\nSubject: y\r\n\r\n"),
    "a digest of 20,000": lambda: parts(20_000, b"\r\nSubject: y\r\n\r\nz\r\n").replace(b"/mixed", b"/digest"),
    "100,000 levels": lambda: nested(100_000),
    "50,000 messages within one another": lambda: head() + b"Content-Type: message/rfc822\r\n\r\n" * 50_000,
    "parts that are all boundaries": lambda: parts(1, b"\r\n" + b"--b\r\n" * 300_000),
    "lines that are nearly boundaries": lambda: (
        parts(1, b"\r\n" + b"--" + b"b" * 60 + b"\r\n").replace(b"\r\nx", b"\r\n") + (b"--" + b"b" * 69 + b"\r\n") * 50_000
    ),
    "100,000 parameters": lambda: head(b"Content-Type: text/plain" + b"".join(b";\r\n p%d=x" % n for n in range(100_000))),
    "100,000 sections of one": lambda: head(
        b"Content-Type: text/plain" + b"".join(b";\r\n n*%d*=%%41" % n for n in range(50_000))
    ),
    "a name in 9,999 sections": lambda: head(
        b"Content-Disposition: attachment" + b"".join(b";\r\n filename*%d*=%%e1%%ba%%ad" % n for n in range(9_999))
    ),
    "references to 100,000": lambda: head(b"References: " + b"\r\n ".join(b"<%d@x>" % n for n in range(100_000))),
    "100,000 encoded words": lambda: head(b"Subject: " + b"\r\n ".join([b"=?utf-8?q?=E1=BA=AD?="] * 50_000)),
    "500,000 comments": lambda: head(b"To: " + b"(" * 500_000),
    "comments side by side": lambda: head(b"To: " + b"(x)" * 200_000 + b" a@b"),
    "quotes without end": lambda: head(b"To: " + b'"' + b"\\" * 500_000),
    "a list of at-signs": lambda: head(b"To: " + b"@" * 500_000),
    "a list of less-than": lambda: head(b"To: " + b"<" * 300_000, b"Cc: " + b"a:" * 200_000),
    "marks on one letter": lambda: head(b"Subject: a" + "\u0301\u0323".encode() * 100_000),
    "HTML of 300,000 levels": lambda: head(b"Content-Type: text/html") + b"\r\n" + b"<div>" * 300_000,
    "HTML of entities": lambda: head(b"Content-Type: text/html") + b"\r\n" + b"&#x110" * 200_000,
    "HTML of angle brackets": lambda: head(b"Content-Type: text/html") + b"\r\n" + b"<!--" * 300_000,
    "quoted-printable of equals": lambda: head(b"Content-Transfer-Encoding: quoted-printable") + b"\r\n" + b"=" * MIB,
    "base64 of nothing": lambda: head(b"Content-Transfer-Encoding: base64") + b"\r\n" + b"!?\r\n" * 500_000,
    "uuencode without end": lambda: head() + b"\r\nbegin 644 x\r\n" + b"M" * 60 + b"\r\n" * 500_000,
    "nothing but quotes of others": lambda: head() + b"\r\n" + b"> " * 500_000,
    "spaces": lambda: head() + b"\r\n" + b" \t" * MIB,
    "NUL in names and values": lambda: head(b"To: \0\0", b"X\0: y", b"\0", b"Content-Type: \0/\0; \0=\0") + b"\r\n\0\r\n",
    "colons": lambda: head(b":" * 500_000) + b"\r\n",
    "folds of nothing": lambda: head(b"Subject:" + b"\r\n " * 200_000),
    "a date of digits": lambda: head(b"Date: " + b"1" * 200_000, b"Message-ID: " + b"<" * 200_000),
}


SOON = {
    "20,000 fields of addresses", "one field of 8 MB", "100,000 parts", "100,000 levels", "50,000 messages within one another",
    "500,000 comments", "100,000 sections of one", "HTML of angle brackets", "NUL in names and values", "a date of digits",
}  # fmt: skip
"""One of each kind; the others are looked at by `make test-slow`."""


@pytest.mark.parametrize("name", [pytest.param(name, marks=() if name in SOON else pytest.mark.slow) for name in MESSAGES])
def test_a_message(server: MailServer, name: str) -> None:
    """It is taken or refused at the door; whoever has it in the mailbox all the same is answered all that mail programs ask."""
    client = Smtp(server.ports["smtp"])
    message = MESSAGES[name]()
    message += b"" if message.endswith(b"\r\n") else b"\r\n"
    reader = Imap(server.ports["imap"], USER, PASSWORD)
    try:
        client.deliver([USER], message)
    except Refused as refusal:
        assert str(refusal).startswith(("550", "552", "554")), refusal  # noqa: PT017 - both ways are right
        reader.command(b"APPEND INBOX {%d+}\r\n%b" % (len(message), message))
    client.close()
    reader.command(b"SELECT INBOX")
    (found,) = [
        each
        for each in reader.command(
            b"FETCH * (UID ENVELOPE BODYSTRUCTURE PREVIEW RFC822.SIZE BODY.PEEK[HEADER.FIELDS (SUBJECT TO REFERENCES)] "
            b"BODY.PEEK[1]<0.1000> BODY.PEEK[2.MIME])"
        )
        if b" FETCH " in each[0]
    ]
    assert b"BODYSTRUCTURE (" in b"".join(found)
    reader.command(b"SEARCH OR TEXT nothing OR TO nothing SUBJECT nothing")
    reader.command(b"SORT (SUBJECT FROM TO DATE) UTF-8 ALL")
    reader.command(b"THREAD REFERENCES UTF-8 ALL")
    reader.command(b"STORE 1:* +FLAGS.SILENT (\\Deleted)")
    reader.command(b"EXPUNGE")
    reader.close()


# ------------------------------------------------------------ commands


SIGNED_IN: dict[str, bytes] = {
    "a pattern of stars": b'LIST "" "' + b"*%" * 400 + b'x"',
    "patterns in numbers": b'LIST "" (' + b" ".join([b'"*%*%*%*x"'] * 50) + b")",
    "a sequence of sequences": b"FETCH " + b",".join(b"%d:*" % n for n in range(1, 2_000)) + b" UID",
    "a sequence that runs backwards": b"UID FETCH " + b",".join([b"4294967295:1"] * 700) + b" UID",
    "the same word a thousand times": b"SEARCH " + b"TEXT a " * 1_000 + b"ALL",
    "NOT NOT NOT": b"SEARCH " + b"NOT " * 1_500 + b"ALL",
    "OR in a chain": b"SEARCH " + b"OR ALL " * 1_000 + b"ALL",
    "a thousand items": b"FETCH 1:* (" + b" ".join([b"BODY.PEEK[1.2.3.4.5.6.7.8.9]"] * 250) + b")",
    "a thousand keys to sort by": b"SORT (" + b" ".join([b"SUBJECT"] * 900) + b") UTF-8 ALL",
    "header fields": b"FETCH 1:* BODY.PEEK[HEADER.FIELDS (" + b" ".join(b"x%d" % n for n in range(1_000)) + b")]",
    "a STATUS without end": b"STATUS INBOX (" + b"MESSAGES " * 900 + b"UIDNEXT)",
    "an APPEND of wrong dates": b'APPEND INBOX "' + b"9" * 5_000 + b'" {1+}\r\nx',
    "an APPEND of nothing": b"APPEND INBOX {0+}\r\n",
    "an APPEND of minus one": b"APPEND INBOX {-1+}",
    "flags": b"STORE 1 FLAGS (" + b" ".join(b"k%d" % n for n in range(1_500)) + b")",
    "levels of a name": b"CREATE " + b"/".join([b"a"] * 400),
    "an ID of many": b"ID (" + b" ".join(b'"k%d" "v"' % n for n in range(500)) + b")",
    "ENABLE of many": b"ENABLE " + b" ".join([b"CONDSTORE"] * 900),
}


@pytest.mark.parametrize("name", SIGNED_IN)
def test_a_command(server: MailServer, name: str) -> None:
    """Twenty times in one write: answered each, and the connection goes on, or it is ended."""
    reader = Imap(server.ports["imap"], USER, PASSWORD)
    reader.command(b"APPEND INBOX {14+}\r\nSubject: x\r\n\r\n")
    reader.command(b"SELECT INBOX")
    reader.send(b"".join(b"A%d %b\r\n" % (number, SIGNED_IN[name]) for number in range(20)) + b"Z NOOP\r\n")
    answered = 0
    try:
        while not (response := reader.response())[0].startswith(b"Z "):
            answered += response[0].startswith(b"A")
        assert answered == 20
    except Cut:
        pass
    reader.close()


STRANGERS: dict[str, tuple[str, bytes]] = {
    "literals that are filled": ("imap", b"A LOGIN {4000+}\r\n" + b"x" * 4_000 + b" {4000+}\r\n" + b"y" * 4_000 + b"\r\n"),
    "literals within a line": ("imap", b"A LOGIN " + b"{1+}\r\nx" * 4_000 + b"\r\n"),
    "literals of nothing": ("imap", b"A LOGIN " + b"{0+}\r\n" * 4_000 + b"\r\n"),
    "a literal of 10 GB": ("imap", b"A LOGIN {9999999999}\r\n"),
    "a literal of more than there are numbers": ("imap", b"A LOGIN {99999999999999999999999999}\r\n"),
    "newlines": ("imap", b"\r\n" * 20_000),
    "newlines of POP3": ("pop3", b"\r\n" * 20_000),
    "newlines of SMTP": ("smtp", b"\r\n" * 20_000),
    "newlines of submission": ("submission", b"\r\n" * 20_000),
    "NOOP with words": ("submission", b"EHLO x\r\n" + b'NOOP "x" y\r\n' * 2_000),
    "an empty name in quotes": ("smtp", b'EHLO x\r\nMAIL FROM:<""@x>\r\nRCPT TO:<""@mic.gov.vn>\r\n' * 200),
    "sign-ins that are given up": ("submission", b"EHLO x\r\n" + b"AUTH PLAIN\r\n*\r\n" * 500),
    "sign-ins of IMAP that are given up": ("imap", b"A AUTHENTICATE PLAIN\r\n*\r\n" * 500),
    "RSET, HELP, VRFY, EXPN": ("smtp", b"EHLO x\r\n" + b"RSET\r\nHELP\r\nVRFY x\r\nEXPN x\r\n" * 1_000),
    "EHLO": ("smtp", b"EHLO " + b"x" * 400 + b"\r\n" + b"EHLO y\r\n" * 5_000),
    "an EHLO without end": ("smtp", b"EHLO " + b"x" * 12_000 + b"\r\n"),
    "MAIL without end": ("smtp", b"EHLO x\r\n" + b"MAIL FROM:<a@a.example>\r\nRSET\r\n" * 3_000),
    "chunks of nothing": ("smtp", b"EHLO x\r\nMAIL FROM:<>\r\nRCPT TO:<dvbe@mic.gov.vn>\r\n" + b"BDAT 0\r\n" * 5_000),
    "chunks of one": ("smtp", b"EHLO x\r\nMAIL FROM:<>\r\nRCPT TO:<dvbe@mic.gov.vn>\r\n" + b"BDAT 1\r\nx" * 5_000),
    "a chunk of more than there are numbers": ("smtp", b"EHLO x\r\nMAIL FROM:<>\r\nBDAT 99999999999999999999999\r\n"),
    "USER": ("pop3", b"USER x\r\n" * 5_000),
    "CAPA": ("pop3", b"CAPA\r\n" * 5_000),
    "sign-ins of POP3 that are given up": ("pop3", b"AUTH PLAIN\r\n*\r\n" * 500),
}


@pytest.mark.parametrize("name", STRANGERS)
def test_a_stranger(server: MailServer, name: str) -> None:
    """Four who do not read, and one who does: answered or hung up on; then the door serves the next one."""
    door, octets = STRANGERS[name]
    deaf = [socket.create_connection(("127.0.0.1", server.ports[door]), 20) for _ in range(4)]
    for client in deaf:
        client.settimeout(0.2)
        with contextlib.suppress(OSError):
            client.sendall(octets)
    reading = Line(server.ports[door])
    first = reading.line()
    try:
        reading.send(octets + {"imap": b"Z LOGOUT\r\n"}.get(door, b"QUIT\r\n"))
        while line := reading.line():
            assert len(line) < 2_000
    except Cut:
        pass
    reading.close()
    for client in deaf:
        client.close()
    again = Line(server.ports[door])
    assert again.line() == first
    again.close()


@pytest.mark.parametrize(
    ("door", "octets"),
    [
        ("ldap", b"".join(search(number, "(cn=*)") for number in range(2, 300))),
        ("http", b"GET /x HTTP/1.1\r\nHost: mail.mic.gov.vn\r\n\r\n" * 400),
        ("https", b"GET / HTTP/1.1\r\nHost: mail.mic.gov.vn\r\n\r\n" * 400),
        ("https", b"POST / HTTP/1.1\r\nHost: mail.mic.gov.vn\r\nContent-Length: 999999999\r\n\r\n" + b"x" * 20_000),
    ],
)
def test_who_asks_and_never_reads(server: MailServer, door: str, octets: bytes) -> None:
    """Requests one behind the other at the doors that answer at length: only so many are read as answers are taken."""
    clients = []
    for _ in range(8):
        plain = socket.socket()
        plain.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
        plain.settimeout(20)
        plain.connect(("127.0.0.1", server.ports[door]))
        client = server.tls().wrap_socket(plain, server_hostname="localhost") if door == "https" else plain
        client.settimeout(0.1)
        clients.append(client)
        with contextlib.suppress(OSError):
            for _ in range(200):
                client.sendall(octets)
    reader = Imap(server.ports["imap"], USER, PASSWORD)
    reader.command(b"NOOP")
    reader.close()
    for client in clients:
        client.close()


def test_wrong_names_and_passwords_of_any_size(server: MailServer) -> None:
    """Neither is hashed or kept beyond its bounds: 12 KB are refused as 12 octets are."""
    client = Smtp(server.ports["submission"])
    for size in (10, 1_000, 8_000):
        response = base64.b64encode(b"\0" + b"x" * size + b"\0" + b"y" * 500)
        client.send(b"AUTH PLAIN " + response + b"\r\n")
        assert client.line()[:1] == b"5"
    client.close()
