"""A shutdown waits for commands and messages that are under way, and for nobody else."""

import asyncio
import contextlib
from collections.abc import Callable
from socket import create_connection

import pytest

import mic_mail.connection.connection
import mic_mail.smtp.connection
from harness import MailServer

DOORS = ("imaps", "pop3s", "submissions")
SECONDS = 20.0
"""Less than the 30 s after which uvloop itself gives a client up."""


def test_a_client_that_is_gone_is_not_waited_for(serve: Callable[..., MailServer], monkeypatch: pytest.MonkeyPatch) -> None:
    """A connection over TLS ends by the client's close_notify, which a telephone without a network never sends."""
    for module in (mic_mail.connection.connection, mic_mail.smtp.connection):
        monkeypatch.setattr(module, "CLOSING_SECONDS", 3600.0)
    server = serve()
    with contextlib.ExitStack() as stack:
        clients = []
        for door in DOORS:
            plain = stack.enter_context(create_connection((server.host, server.ports[door]), 10))
            clients.append(stack.enter_context(server.tls().wrap_socket(plain, server_hostname="localhost")))
        for client in clients:
            assert client.recv(1000)

        async def drain() -> None:
            servers = server.running.server.servers._servers.values()
            await asyncio.wait_for(asyncio.gather(*(each.drain(3600) for each in servers)), SECONDS)

        server.call(drain())
        for client, goodbye in zip(clients, (b"* BYE ", b"-ERR ", b"421"), strict=True):
            assert client.recv(1000).startswith(goodbye)
            assert client.recv(1000) == b""
