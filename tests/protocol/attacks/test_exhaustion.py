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
from functools import partial

import pytest

from cost_growth import assert_linear
from faults.wire import Cut, Imap, Line, Refused, Smtp
from harness import MailServer, config_for, stopping
from ldap_client import search
from population import PASSWORD

USER = "dvbe@mic.gov.vn"
MIB = 1 << 20
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
    """The peak of memory, of the server and of what attacks it together."""
    before = peak_mib()
    yield
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


MESSAGES: dict[str, tuple[int, Callable[[int], bytes]]] = {
    "an address list of 100,000": (100_000, lambda n: head(b"To: " + b",\r\n ".join(b"a%d@b.example" % i for i in range(n)))),
    "20,000 fields of addresses": (20_000, lambda n: head(*(b"To: a%d@b.example" % i for i in range(n)))),
    "20,000 Cc, each a group": (20_000, lambda n: head(*(b"Cc: g:a@b,c@d;" for _ in range(n)))),
    "a header of 8 MB": (9_000, lambda n: head(*(b"X-%d: %b" % (i, b"y" * 900) for i in range(n)))),
    "one field of 8 MB": (9_000, lambda n: head(b"X: " + b"\r\n ".join([b"y" * 900] * n))),
    "one line of 8 MB": (8 * MIB, lambda n: head(b"X: " + b"y" * n)),
    "100,000 parts": (100_000, lambda n: parts(n, b"\r\nx\r\n")),
    "100,000 attached messages": (100_000, lambda n: parts(n, b"Content-Type: message/rfc822\r\n\r\nSubject: y\r\n\r\n")),
    "a digest of 20,000": (20_000, lambda n: parts(n, b"\r\nSubject: y\r\n\r\nz\r\n").replace(b"/mixed", b"/digest")),
    "100,000 levels": (100_000, nested),
    "50,000 messages within one another": (50_000, lambda n: head() + b"Content-Type: message/rfc822\r\n\r\n" * n),
    "parts that are all boundaries": (300_000, lambda n: parts(1, b"\r\n" + b"--b\r\n" * n)),
    "lines that are nearly boundaries": (
        50_000,
        lambda n: (
            parts(1, b"\r\n" + b"--" + b"b" * 60 + b"\r\n").replace(b"\r\nx", b"\r\n") + (b"--" + b"b" * 69 + b"\r\n") * n
        ),
    ),
    "100,000 parameters": (
        100_000,
        lambda n: head(b"Content-Type: text/plain" + b"".join(b";\r\n p%d=x" % i for i in range(n))),
    ),
    "100,000 sections of one": (
        50_000,
        lambda n: head(b"Content-Type: text/plain" + b"".join(b";\r\n n*%d*=%%41" % i for i in range(n))),
    ),
    "a name in 9,999 sections": (
        9_999,
        lambda n: head(b"Content-Disposition: attachment" + b"".join(b";\r\n filename*%d*=%%e1%%ba%%ad" % i for i in range(n))),
    ),
    "references to 100,000": (100_000, lambda n: head(b"References: " + b"\r\n ".join(b"<%d@x>" % i for i in range(n)))),
    "100,000 encoded words": (50_000, lambda n: head(b"Subject: " + b"\r\n ".join([b"=?utf-8?q?=E1=BA=AD?="] * n))),
    "500,000 comments": (500_000, lambda n: head(b"To: " + b"(" * n)),
    "comments side by side": (200_000, lambda n: head(b"To: " + b"(x)" * n + b" a@b")),
    "quotes without end": (500_000, lambda n: head(b"To: " + b'"' + b"\\" * n)),
    "a list of at-signs": (500_000, lambda n: head(b"To: " + b"@" * n)),
    "a list of less-than": (300_000, lambda n: head(b"To: " + b"<" * n, b"Cc: " + b"a:" * (2 * n // 3))),
    "marks on one letter": (100_000, lambda n: head(b"Subject: a" + "\u0301\u0323".encode() * n)),
    "HTML of 300,000 levels": (300_000, lambda n: head(b"Content-Type: text/html") + b"\r\n" + b"<div>" * n),
    "HTML of entities": (200_000, lambda n: head(b"Content-Type: text/html") + b"\r\n" + b"&#x110" * n),
    "HTML of angle brackets": (300_000, lambda n: head(b"Content-Type: text/html") + b"\r\n" + b"<!--" * n),
    "quoted-printable of equals": (MIB, lambda n: head(b"Content-Transfer-Encoding: quoted-printable") + b"\r\n" + b"=" * n),
    "base64 of nothing": (500_000, lambda n: head(b"Content-Transfer-Encoding: base64") + b"\r\n" + b"!?\r\n" * n),
    "uuencode without end": (500_000, lambda n: head() + b"\r\nbegin 644 x\r\n" + b"M" * 60 + b"\r\n" * n),
    "nothing but quotes of others": (500_000, lambda n: head() + b"\r\n" + b"> " * n),
    "spaces": (MIB, lambda n: head() + b"\r\n" + b" \t" * n),
    "NUL in names and values": (
        1,
        lambda _: head(b"To: \0\0", b"X\0: y", b"\0", b"Content-Type: \0/\0; \0=\0") + b"\r\n\0\r\n",
    ),
    "colons": (500_000, lambda n: head(b":" * n) + b"\r\n"),
    "folds of nothing": (200_000, lambda n: head(b"Subject:" + b"\r\n " * n)),
    "a date of digits": (200_000, lambda n: head(b"Date: " + b"1" * n, b"Message-ID: " + b"<" * n)),
}


SOON = {
    "20,000 fields of addresses", "one field of 8 MB", "100,000 parts", "100,000 levels", "50,000 messages within one another",
    "500,000 comments", "100,000 sections of one", "HTML of angle brackets", "NUL in names and values", "a date of digits",
}  # fmt: skip
"""One of each kind; the others are looked at by `make test-slow`."""


def assert_cost(make: Callable[[int], bytes], run: Callable[[bytes], object], size: int) -> None:
    """In time linear in its length; what has none is answered once."""
    if size < 4:
        run(make(size))
    else:
        assert_linear(make, run, (size // 4, size), clock=time.process_time)


@pytest.mark.parametrize("name", [pytest.param(name, marks=() if name in SOON else pytest.mark.slow) for name in MESSAGES])
def test_a_message(server: MailServer, name: str) -> None:
    """It is taken or refused at the door; whoever has it in the mailbox all the same is answered all that mail programs ask.

    That takes time which is linear in its size.
    """
    size, make = MESSAGES[name]
    assert_cost(make, partial(deliver_and_read, server), size)


def deliver_and_read(server: MailServer, message: bytes) -> None:
    client = Smtp(server.ports["smtp"])
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


SIGNED_IN: dict[str, tuple[int, Callable[[int], bytes]]] = {
    "a pattern of stars": (400, lambda n: b'LIST "" "' + b"*%" * n + b'x"'),
    "patterns in numbers": (50, lambda n: b'LIST "" (' + b" ".join([b'"*%*%*%*x"'] * n) + b")"),
    "a sequence of sequences": (2_000, lambda n: b"FETCH " + b",".join(b"%d:*" % i for i in range(1, n)) + b" UID"),
    "a sequence that runs backwards": (700, lambda n: b"UID FETCH " + b",".join([b"4294967295:1"] * n) + b" UID"),
    "the same word a thousand times": (1_000, lambda n: b"SEARCH " + b"TEXT a " * n + b"ALL"),
    "NOT NOT NOT": (1_500, lambda n: b"SEARCH " + b"NOT " * n + b"ALL"),
    "OR in a chain": (1_000, lambda n: b"SEARCH " + b"OR ALL " * n + b"ALL"),
    "a thousand items": (250, lambda n: b"FETCH 1:* (" + b" ".join([b"BODY.PEEK[1.2.3.4.5.6.7.8.9]"] * n) + b")"),
    "a thousand keys to sort by": (900, lambda n: b"SORT (" + b" ".join([b"SUBJECT"] * n) + b") UTF-8 ALL"),
    "header fields": (
        1_000,
        lambda n: b"FETCH 1:* BODY.PEEK[HEADER.FIELDS (" + b" ".join(b"x%d" % i for i in range(n)) + b")]",
    ),
    "a STATUS without end": (900, lambda n: b"STATUS INBOX (" + b"MESSAGES " * n + b"UIDNEXT)"),
    "an APPEND of wrong dates": (5_000, lambda n: b'APPEND INBOX "' + b"9" * n + b'" {1+}\r\nx'),
    "an APPEND of nothing": (1, lambda _: b"APPEND INBOX {0+}\r\n"),
    "an APPEND of minus one": (1, lambda _: b"APPEND INBOX {-1+}"),
    "flags": (1_500, lambda n: b"STORE 1 FLAGS (" + b" ".join(b"k%d" % i for i in range(n)) + b")"),
    "levels of a name": (400, lambda n: b"CREATE " + b"/".join([b"a"] * n)),
    "an ID of many": (500, lambda n: b"ID (" + b" ".join(b'"k%d" "v"' % i for i in range(n)) + b")"),
    "ENABLE of many": (900, lambda n: b"ENABLE " + b" ".join([b"CONDSTORE"] * n)),
}


@pytest.mark.parametrize("name", SIGNED_IN)
def test_a_command(server: MailServer, name: str) -> None:
    """Twenty times in one write: answered each, and the connection goes on, or it is ended; in time linear in its length."""
    reader = Imap(server.ports["imap"], USER, PASSWORD)
    reader.command(b"APPEND INBOX {14+}\r\nSubject: x\r\n\r\n")
    reader.close()
    size, make = SIGNED_IN[name]
    assert_cost(make, partial(say_twenty_times, server), size)


def say_twenty_times(server: MailServer, command: bytes) -> None:
    reader = Imap(server.ports["imap"], USER, PASSWORD)
    reader.command(b"SELECT INBOX")
    reader.send(b"".join(b"A%d %b\r\n" % (number, command) for number in range(20)) + b"Z NOOP\r\n")
    answered = 0
    try:
        while not (response := reader.response())[0].startswith(b"Z "):
            answered += response[0].startswith(b"A")
        assert answered == 20
    except Cut:
        pass
    reader.close()


STRANGERS: dict[str, tuple[str, int, Callable[[int], bytes]]] = {
    "literals that are filled": (
        "imap",
        4_000,
        lambda n: b"A LOGIN {%d+}\r\n" % n + b"x" * n + b" {%d+}\r\n" % n + b"y" * n + b"\r\n",
    ),
    "literals within a line": ("imap", 4_000, lambda n: b"A LOGIN " + b"{1+}\r\nx" * n + b"\r\n"),
    "literals of nothing": ("imap", 4_000, lambda n: b"A LOGIN " + b"{0+}\r\n" * n + b"\r\n"),
    "a literal of 10 GB": ("imap", 1, lambda _: b"A LOGIN {9999999999}\r\n"),
    "a literal of more than there are numbers": ("imap", 1, lambda _: b"A LOGIN {99999999999999999999999999}\r\n"),
    "newlines": ("imap", 20_000, lambda n: b"\r\n" * n),
    "newlines of POP3": ("pop3", 20_000, lambda n: b"\r\n" * n),
    "newlines of SMTP": ("smtp", 20_000, lambda n: b"\r\n" * n),
    "newlines of submission": ("submission", 20_000, lambda n: b"\r\n" * n),
    "NOOP with words": ("submission", 2_000, lambda n: b"EHLO x\r\n" + b'NOOP "x" y\r\n' * n),
    "an empty name in quotes": ("smtp", 200, lambda n: b'EHLO x\r\nMAIL FROM:<""@x>\r\nRCPT TO:<""@mic.gov.vn>\r\n' * n),
    "sign-ins that are given up": ("submission", 500, lambda n: b"EHLO x\r\n" + b"AUTH PLAIN\r\n*\r\n" * n),
    "sign-ins of IMAP that are given up": ("imap", 500, lambda n: b"A AUTHENTICATE PLAIN\r\n*\r\n" * n),
    "RSET, HELP, VRFY, EXPN": ("smtp", 1_000, lambda n: b"EHLO x\r\n" + b"RSET\r\nHELP\r\nVRFY x\r\nEXPN x\r\n" * n),
    "EHLO": ("smtp", 5_000, lambda n: b"EHLO " + b"x" * 400 + b"\r\n" + b"EHLO y\r\n" * n),
    "an EHLO without end": ("smtp", 12_000, lambda n: b"EHLO " + b"x" * n + b"\r\n"),
    "MAIL without end": ("smtp", 3_000, lambda n: b"EHLO x\r\n" + b"MAIL FROM:<a@a.example>\r\nRSET\r\n" * n),
    "chunks of nothing": (
        "smtp",
        5_000,
        lambda n: b"EHLO x\r\nMAIL FROM:<>\r\nRCPT TO:<dvbe@mic.gov.vn>\r\n" + b"BDAT 0\r\n" * n,
    ),
    "chunks of one": ("smtp", 5_000, lambda n: b"EHLO x\r\nMAIL FROM:<>\r\nRCPT TO:<dvbe@mic.gov.vn>\r\n" + b"BDAT 1\r\nx" * n),
    "a chunk of more than there are numbers": (
        "smtp",
        1,
        lambda _: b"EHLO x\r\nMAIL FROM:<>\r\nBDAT 99999999999999999999999\r\n",
    ),
    "USER": ("pop3", 5_000, lambda n: b"USER x\r\n" * n),
    "CAPA": ("pop3", 5_000, lambda n: b"CAPA\r\n" * n),
    "sign-ins of POP3 that are given up": ("pop3", 500, lambda n: b"AUTH PLAIN\r\n*\r\n" * n),
}


@pytest.mark.parametrize("name", STRANGERS)
def test_a_stranger(server: MailServer, name: str) -> None:
    """Four who do not read, and one who does: answered or hung up on; then the door serves the next one.

    That takes time which is linear in what they say.
    """
    door, size, make = STRANGERS[name]
    assert_cost(make, partial(say_and_leave, server, door), size)


def say_and_leave(server: MailServer, door: str, octets: bytes) -> None:
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
        assert client.reply()[:1] == b"5"
    client.close()
