"""What a connection held is free when it is over, without waiting for the collector of garbage.

The collector comes after hundreds of thousands of objects, the buffers of TLS are some hundred kilobytes each: connections that
come and go by the minute would fill the memory of a worker before it does.
"""

import contextlib
import gc
import re
import socket
import ssl
import struct
from collections import Counter
from collections.abc import Iterator

import pytest

from harness import MailServer, config_for, stopping
from mic_mail.connection.connection import Connection
from mic_mail.connection.session_core import Session
from mic_mail.imap.parser.reader import Reader
from mic_mail.smtp.connection import SmtpConnection
from population import PASSWORD
from waiting import wait_for

USER = "dvbe@mic.gov.vn"
CONNECTIONS = 5
KINDS = (Connection, SmtpConnection, ssl.SSLObject, Session, Reader)
IMAP = (f'a LOGIN {USER} "{PASSWORD}"'.encode(), b"b SELECT INBOX", b"c NOOP")
SMTP = (b"EHLO x", b"MAIL FROM:<a@example.net>", f"RCPT TO:<{USER}>".encode(), b"DATA", b"Subject: x\r\n\r\nx\r\n.")
DIALOGUES = {
    "imap": IMAP,
    "imaps": IMAP,
    "pop3": (f"USER {USER}".encode(), b"PASS " + PASSWORD.encode(), b"STAT"),
    "pop3s": (f"USER {USER}".encode(), b"PASS " + PASSWORD.encode(), b"STAT"),
    "smtp": SMTP,
    "submissions": (b"EHLO x",),
    "submission": (b"EHLO x", b"STARTTLS", b"EHLO x"),
    "ldap": (),
    "ldaps": (),
    "https": (b"GET / HTTP/1.1\r\nHost: x\r\n",),
}
QUIT = {
    "imap": b"z LOGOUT", "pop3": b"QUIT", "smtp": b"QUIT", "subm": b"QUIT", "ldap": b"0\x05\x02\x01\x01B\x00",
    "http": b"GET / HTTP/1.0\r\n",
}  # fmt: skip
IMPLICIT_TLS = {"imaps", "pop3s", "submissions", "ldaps", "https"}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MailServer]:
    settings = {"auth": {"cleartext": True}, "listen": {"doors": tuple(DIALOGUES)}}
    made = MailServer(config_for(tmp_path_factory.mktemp("freed"), settings))
    with stopping([made]):
        made.issue("dvbe")
        yield made


def alive() -> int:
    """How many of these there are. By class alone: `isinstance` of an abstract class takes seconds for all objects."""
    return sum(issubclass(kind, KINDS) * number for kind, number in Counter(map(type, gc.get_objects())).items())


def read_answer(made: socket.socket, line: bytes) -> None:
    """The whole answer to a line: what is left of one would be taken for the next, or for TLS."""
    tag = re.escape(line[:1]) if line else rb"\*"
    end = re.compile(rb"(?:^|\n)(?:%b (?:OK|NO|BAD)|\d{3} |\+OK|-ERR)[^\n]*\n\Z" % tag)
    heard = b""
    while not end.search(heard) and not heard.startswith(b"HTTP/"):
        octets = made.recv(65_536)
        assert octets, heard
        heard += octets


def ctx(server: MailServer, door: str, *, politely: bool) -> None:
    with socket.create_connection(("127.0.0.1", server.ports[door]), 10) as plain:
        made = server.tls().wrap_socket(plain, server_hostname="localhost") if door in IMPLICIT_TLS else plain
        if door[:4] not in ("http", "ldap"):
            read_answer(made, b"")
        for line in DIALOGUES[door]:
            made.sendall(line + b"\r\n")
            read_answer(made, line)
            if line == b"STARTTLS":
                made = server.tls().wrap_socket(made, server_hostname="localhost")
        if politely:
            made.sendall(QUIT[door[:4]] + b"\r\n")
            with contextlib.suppress(OSError):
                while made.recv(65_536):
                    pass
        made.close()


@pytest.mark.parametrize("politely", [True, False], ids=["by goodbye", "broken off"])
@pytest.mark.parametrize("door", DIALOGUES)
def test_nothing_waits_for_the_collector(server: MailServer, door: str, politely: bool) -> None:
    ctx(server, door, politely=politely)  # what is made once is made
    gc.collect()
    gc.disable()
    try:
        before = alive()
        for _ in range(CONNECTIONS):
            ctx(server, door, politely=politely)
        wait_for(lambda: alive() <= before)
    finally:
        gc.enable()


STARTTLS = {
    "smtp": (b"EHLO x", b"STARTTLS"),
    "submission": (b"EHLO x", b"STARTTLS"),
    "imap": (b"a STARTTLS",),
    "pop3": (b"STLS",),
}
CLIENT_HELLO = bytes.fromhex("160301020001000001fc0303")
"""The beginning of one."""


@pytest.mark.parametrize("sent", [b"", CLIENT_HELLO, b"garbage\r\n"], ids=["nothing", "half a hello", "garbage"])
@pytest.mark.parametrize("resets", [True, False], ids=["reset", "closed"])
@pytest.mark.parametrize("door", STARTTLS)
def test_nothing_is_left_of_a_handshake_that_was_broken_off(server: MailServer, door: str, sent: bytes, resets: bool) -> None:
    def break_off() -> None:
        with socket.create_connection(("127.0.0.1", server.ports[door]), 10) as made:
            read_answer(made, b"")
            for line in STARTTLS[door]:
                made.sendall(line + b"\r\n")
                read_answer(made, line)
            made.sendall(sent)
            if resets:
                made.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))

    break_off()
    gc.collect()
    gc.disable()
    try:
        before = alive()
        for _ in range(CONNECTIONS):
            break_off()
        wait_for(lambda: alive() <= before)
    finally:
        gc.enable()
