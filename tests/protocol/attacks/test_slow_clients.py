"""Clients that send an octet now and then, at every door: their time is up while they still send, and others are served.

Slowloris, and handshakes that nobody ends (CVE-2014-3430 Dovecot). A door counts from the beginning, not from the last octet.
"""

import imaplib
import select
import socket
import time
from collections.abc import Iterator

import pytest

from harness import MailServer, config_for, stopping
from mic_mail.app import protocol_servers as app_doors
from mic_mail.app import web_process as app_web
from mic_mail.config.model import Config
from mic_mail.connection import connection
from mic_mail.smtp import connection as smtp_connection
from population import PASSWORD
from waiting import PATIENCE_SECONDS

SECONDS = 0.5
"""Instead of half a minute and more."""
CLIENTS = 15
HELLO = b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"x" * 500
"""How TLS begins: a record of 512 octets that never comes to its end."""
WORDS = {
    "imap": b"A LOGIN dvbe@mic.gov.vn " + b"x" * 500,
    "pop3": b"USER " + b"x" * 300,
    "ldap": b"\x30\x82\x01\x00\x02\x01\x01\x60\x81\xf8" + b"x" * 200,
    "http": b"GET / HTTP/1.1\r\nX: " + b"y" * 500,
    **dict.fromkeys(("imaps", "pop3s", "submissions", "ldaps", "https"), HELLO),
}


def impatient(config: Config) -> Config:
    """Less than the bounds of the settings let anybody set."""
    doors = {name: getattr(config, name).model_copy(update={"sign_in_seconds": SECONDS}) for name in ("imap", "pop3", "ldap")}
    return config.model_copy(update={**doors, "web": config.web.model_copy(update={"request_seconds": SECONDS})})


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MailServer]:
    with pytest.MonkeyPatch.context() as patch:
        for module in (app_doors, app_web, connection, smtp_connection):
            patch.setattr(module, "HANDSHAKE_SECONDS", SECONDS)
        made = MailServer(impatient(config_for(tmp_path_factory.mktemp("slow"), {"listen": {"doors": (*WORDS, "submission")}})))
        with stopping([made]):
            made.issue("dvbe")
            yield made


def still_open(clients: list[socket.socket], octet: bytes) -> list[socket.socket]:
    """Each sends one more; without those that the server has hung up on."""
    left = []
    for client in clients:
        try:
            client.send(octet)
            left.append(client)
        except OSError:
            client.close()
    readable, _, _ = select.select(left, [], [], 0)
    for client in readable:
        try:
            if client.recv(4_096):
                continue
        except OSError:
            pass
        left.remove(client)
        client.close()
    return left


@pytest.mark.parametrize("door", WORDS)
def test_who_drips_is_cut(server: MailServer, door: str) -> None:
    """Fifteen of them, an octet each few milliseconds; meanwhile somebody signs in."""
    clients = [socket.create_connection(("127.0.0.1", server.ports[door]), 10) for _ in range(CLIENTS)]
    limit = time.monotonic() + PATIENCE_SECONDS
    for number in range(10_000):
        clients = still_open(clients, WORDS[door][number % len(WORDS[door]) :][:1])
        if number == 3:
            imap = imaplib.IMAP4_SSL("localhost", server.ports["imaps"], ssl_context=server.tls())
            imap.authenticate("PLAIN", lambda _: f"\0dvbe@mic.gov.vn\0{PASSWORD}".encode())
            imap.logout()
        if not clients:
            break
        assert time.monotonic() < limit, f"{len(clients)} are still there"
        time.sleep(0.01)  # it drips
    assert number > 3, "cut before somebody could sign in"


@pytest.mark.parametrize(
    ("door", "words"), [("imap", b"A STARTTLS\r\n"), ("pop3", b"STLS\r\n"), ("submission", b"EHLO x\r\nSTARTTLS\r\n")]
)
def test_a_handshake_that_is_asked_for_and_never_comes(server: MailServer, door: str, words: bytes) -> None:
    """After STARTTLS as well: the connection ends."""
    clients = [socket.create_connection(("127.0.0.1", server.ports[door]), 10) for _ in range(CLIENTS)]
    for client in clients:
        client.sendall(words)
        said = b""
        while b"Begin TLS" not in said:
            said += client.recv(4_096)
    limit = time.monotonic() + PATIENCE_SECONDS
    for octet in HELLO * 100:
        clients = still_open(clients, bytes([octet]))
        if not clients:
            break
        assert time.monotonic() < limit, f"{len(clients)} are still there"
        time.sleep(0.01)  # it drips
