"""A 250 for a message is heard, whatever happens to the connection behind it: who does not hear it sends the message again."""

import asyncio
import socket
from collections.abc import Callable
from typing import Any

import pytest

from harness import MailServer
from mic_mail.services.transport.header_checks import HeaderChecks
from mic_mail.services.transport.pipeline import Pipeline
from mic_mail.smtp.connection import SmtpConnection
from mic_mail.smtp.connection_handler import SmtpHandler
from mic_mail.storage.errors import Unavailable

MESSAGE = b"MAIL FROM:<a@example.org>\r\nRCPT TO:<dvbe@mic.gov.vn>\r\nBDAT 17 LAST\r\nSubject: x\r\n\r\nx\r\n"


class Held:
    """Something that does not come to its end before the test says so, once it was asked for the `nth` time."""

    def __init__(self, patch: pytest.MonkeyPatch, name: str, nth: int) -> None:
        self._do: Callable[..., Any] = getattr(Pipeline, name)
        self._left = nth
        self._loop: asyncio.AbstractEventLoop | None = None
        self._event = asyncio.Event()

        async def held(flow: Pipeline, *given: Any, **named: Any) -> Any:
            return await self._held(flow, *given, **named)

        patch.setattr(Pipeline, name, held)

    async def _held(self, *given: Any, **named: Any) -> Any:
        self._left -= 1
        if not self._left:
            self._loop = asyncio.get_running_loop()
            await self._event.wait()
        return await self._do(*given, **named)

    def let_go(self) -> None:
        assert self._loop is not None
        self._loop.call_soon_threadsafe(self._event.set)


def ctx(server: MailServer) -> socket.socket:
    """Greeted, and EHLO said."""
    client = socket.create_connection((server.host, server.ports["smtp"]), 20)
    read_until(client, b"220 ")
    client.sendall(b"EHLO x\r\n")
    read_until(client, b"250 ")
    return client


def read_until(client: socket.socket, until: bytes) -> bytes:
    """The answers up to the first line that begins like this, and what came with it."""
    heard = b""
    while not any(line.startswith(until) for line in heard.splitlines()):
        piece = client.recv(65_536)
        assert piece, heard
        heard += piece
    return heard


def rest(client: socket.socket) -> bytes:
    heard = b""
    while piece := client.recv(65_536):
        heard += piece
    return heard


def codes(heard: bytes) -> list[bytes]:
    """One for each reply: a refusal has a line in each language, the last of them without a hyphen (RFC 5321 §4.2.1)."""
    return [line[:3] for line in heard.splitlines() if line[3:4] != b"-"]


@pytest.mark.parametrize("waits", ["check_recipient", "finish"])
def test_nobody_waits_for_the_next_message(mail_server: MailServer, monkeypatch: pytest.MonkeyPatch, waits: str) -> None:
    """What the next one asks of a name server or the disk takes its time; the first one is told of meanwhile."""
    held = Held(monkeypatch, waits, 2)
    with ctx(mail_server) as client:
        client.sendall(MESSAGE * 2 + b"QUIT\r\n")
        heard = read_until(client, b"250 2.6.0")
        assert b"221" not in codes(heard)
        held.let_go()
        assert codes(heard + rest(client)) == [b"250"] * 6 + [b"221"]


def test_what_was_answered_stands_before_421(mail_server: MailServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """A defect in the second message, before anything of it was waited for."""
    ask: Callable[..., Any] = Pipeline.check_sender
    asked = 0

    async def fails(*given: Any, **named: Any) -> Any:
        nonlocal asked
        asked += 1
        assert asked < 2
        return await ask(*given, **named)

    monkeypatch.setattr(Pipeline, "check_sender", fails)
    with ctx(mail_server) as client:
        client.sendall(MESSAGE * 2)
        assert codes(rest(client)) == [b"250", b"250", b"250", b"421"]


@pytest.mark.parametrize("octets", [0, 200_000])
def test_a_header_that_cannot_be_looked_at_now(mail_server: MailServer, monkeypatch: pytest.MonkeyPatch, octets: int) -> None:
    """451 for that message, small or large; the session goes on, and the next one is taken."""
    check: Callable[..., Any] = HeaderChecks.check_loop
    asked = 0

    def fails_once(*given: Any) -> Any:
        nonlocal asked
        asked += 1
        if asked == 1:
            raise Unavailable("too many are waiting")
        return check(*given)

    monkeypatch.setattr(HeaderChecks, "check_loop", fails_once)
    text = b"Subject: x\r\n\r\n" + b"x" * 78 * (octets // 80) + b"\r\n"
    envelope = b"MAIL FROM:<a@example.org>\r\nRCPT TO:<dvbe@mic.gov.vn>\r\n"
    with ctx(mail_server) as client:
        client.sendall(envelope + b"BDAT %d LAST\r\n" % len(text) + text + MESSAGE + b"QUIT\r\n")
        assert codes(rest(client)) == [b"250", b"250", b"451", b"250", b"250", b"250", b"221"]


def test_what_is_answered_and_not_sent_stands_before_421(mail_server: MailServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where it is somebody else who ends it: a drain that takes too long, a password that was changed."""
    Held(monkeypatch, "check_recipient", 2)
    with ctx(mail_server) as client:
        client.sendall(MESSAGE * 2)
        heard = read_until(client, b"250 2.6.0")

        async def end() -> None:
            for connection in mail_server.running.server.servers._smtp.open:
                connection.expire("shutdown")

        mail_server.call(end())
        assert codes(heard + rest(client)) == [b"250"] * 4 + [b"421"]


def test_nothing_is_taken_behind_421(mail_server: MailServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """A message that arrives in the very turn in which the server says that it goes away."""
    arrived: Callable[[SmtpConnection, bytes], None] = SmtpConnection.data_received

    def ended_meanwhile(connection: SmtpConnection, data: bytes) -> None:
        arrived(connection, data)
        if b"BDAT" in data:
            connection.drain()

    begun: list[object] = []
    begin: Callable[..., Any] = SmtpHandler._begin
    monkeypatch.setattr(SmtpHandler, "_begin", lambda handler: (begun.append(handler), begin(handler))[1])
    monkeypatch.setattr(SmtpConnection, "data_received", ended_meanwhile)
    with ctx(mail_server) as client:
        client.sendall(MESSAGE[: MESSAGE.index(b"BDAT")])
        assert codes(read_until(client, b"250 2.1.5")) == [b"250", b"250"]
        client.sendall(MESSAGE[MESSAGE.index(b"BDAT") :])
        assert codes(rest(client)) == [b"421"]
    mail_server.stop()
    assert not begun
