"""Strangers who ask and do not read the answers: what is theirs ends when their time is up, whatever still lies unread."""

import contextlib
import socket
import time
from collections.abc import Callable, Iterator

import pytest

from harness import MailServer, config_for, stopping
from ldap_client import search
from mic_mail.connection import connection
from mic_mail.ldap.server import LdapConnection

SIGN_IN_SECONDS = 4.0
"""Instead of a minute."""
QUESTION = search(3, "(objectClass=*)", "objectClasses", "attributeTypes", base="cn=subschema", scope=0)
"""Whose answer is long, and which strangers may ask."""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MailServer]:
    config = config_for(tmp_path_factory.mktemp("unread"), {"listen": {"doors": ("ldap",)}})
    made = MailServer(config.model_copy(update={"ldap": config.ldap.model_copy(update={"sign_in_seconds": SIGN_IN_SECONDS})}))
    with stopping([made]):
        yield made


def asking(server: MailServer, until: Callable[[LdapConnection], bool]) -> socket.socket:
    """Somebody who takes few octets ahead and asks until it is so; where that moment passed unseen, once more."""
    while True:
        with contextlib.suppress(ConnectionError):  # cut, as its time was up
            return asked(server, until)


def asked(server: MailServer, until: Callable[[LdapConnection], bool]) -> socket.socket:
    client = socket.socket()
    client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
    client.settimeout(0.2)
    client.connect((server.host, server.ports["ldap"]))

    async def looked() -> bool:
        return any(isinstance(one, LdapConnection) and until(one) for one in server.running.server.servers._ldap.open)

    try:
        while not server.call(looked()):
            with contextlib.suppress(TimeoutError):
                client.sendall(QUESTION)
    except ConnectionError:
        client.close()
        raise
    return client


def wait_for_the_end(server: MailServer, seconds: float, meanwhile: Callable[[], object]) -> None:
    ends = time.monotonic() + seconds
    while server.running.server.servers.connections["ldap"]:
        assert time.monotonic() < ends
        meanwhile()
        time.sleep(0.1)  # it reads now and then


def test_who_has_said_all_and_reads_nothing(server: MailServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """Half closed while the session waits for more: what is unread is waited for no longer than behind a goodbye."""
    monkeypatch.setattr(connection, "CLOSING_SECONDS", 0.5)
    with asking(server, lambda one: one._waiting is not None and one._transport.get_write_buffer_size() > 0) as client:
        client.shutdown(socket.SHUT_WR)
        wait_for_the_end(server, 2 * SIGN_IN_SECONDS, lambda: None)


def test_who_reads_a_little_now_and_then(server: MailServer) -> None:
    """That is no way to stay for longer than one may stay without signing in."""
    with asking(server, lambda one: one._paused) as client:
        wait_for_the_end(server, 3 * SIGN_IN_SECONDS, lambda: client.recv(1_000))
