"""Connections take turns, whatever one of them has pipelined."""

import asyncio
import base64
import smtplib
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from harness import MailServer
from mic_mail.services.transport import author_check
from mic_mail.services.transport.pipeline import Pipeline
from population import PASSWORD

PAIRS = 1_500
"""Of MAIL and RSET; what a server reads at once."""


class Turns:
    """Counts what is done between one turn of the loop and the next."""

    def __init__(self) -> None:
        self.now = self.all = self.most = 0
        self._loop = asyncio.get_running_loop()
        self._handle = self._loop.call_soon(self._next)

    def count(self) -> None:
        self.now += 1
        self.all += 1

    def _next(self) -> None:
        self.most, self.now = max(self.most, self.now), 0
        self._handle = self._loop.call_soon(self._next)

    def stop(self) -> None:
        self._handle.cancel()


@contextmanager
def turns_of(server: MailServer, monkeypatch: pytest.MonkeyPatch) -> Iterator[Turns]:
    """Counts the senders that are asked about."""

    async def begin() -> Turns:
        return Turns()

    async def end() -> None:
        turns.stop()

    turns = server.call(begin())
    ask: Callable[..., Any] = Pipeline.check_sender

    async def counted(*given: Any, **named: Any) -> Any:
        turns.count()
        return await ask(*given, **named)

    with monkeypatch.context() as patches:
        patches.setattr(Pipeline, "check_sender", counted)
        yield turns
    server.call(end())


def test_thousands_of_pipelined_commands_leave_others_their_turn(
    serve: Callable[..., MailServer], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not many commands of one connection are answered in one turn of the loop."""
    server = serve({"smtp": {"junk_commands": 100_000}})
    place = (server.host, server.ports["smtp"])
    with turns_of(server, monkeypatch) as turns, socket.create_connection(place, 30) as client:
        client.sendall(b"EHLO x\r\n" + b"MAIL FROM:<a@example.org>\r\nRSET\r\n" * PAIRS + b"QUIT\r\n")
        while client.recv(65_536):
            pass
    assert turns.all == PAIRS
    assert turns.most <= 64


def test_a_header_of_very_many_fields_is_read_beside_the_loop(mail_server: MailServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever has signed in may write 65,000 of them; a usual header is not worth the way to a thread."""
    readers: list[str] = []
    read: Callable[..., author_check.SubmittedHeader] = author_check.read

    def watched(*given: Any, **named: Any) -> author_check.SubmittedHeader:
        readers.append(threading.current_thread().name)
        return read(*given, **named)

    monkeypatch.setattr(author_check, "read", watched)
    with smtplib.SMTP_SSL("localhost", mail_server.ports["submissions"], context=mail_server.tls()) as client:
        client.ehlo()
        signed_in = client.docmd("AUTH PLAIN", base64.b64encode(f"\0dvbe@mic.gov.vn\0{PASSWORD}".encode()).decode())
        assert signed_in[0] == 235
        for more in (b"", b"a:\r\n" * 65_000):
            header = b"From: dvbe@mic.gov.vn\r\nSubject: x\r\n" + more
            client.sendmail("dvbe@mic.gov.vn", ["ttlan@mic.gov.vn"], header + b"\r\nx\r\n")
    assert readers[0] == "server"
    assert readers[1] != "server"
