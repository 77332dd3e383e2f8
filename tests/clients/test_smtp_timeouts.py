"""How long the SMTP door waits, and how it says goodbye: 421, never in silence (RFC 5321 §3.8, §4.5.3.2)."""

import socket
import threading
from collections.abc import Callable

import pytest

from harness import MailServer
from mic_mail.smtp.session import Limits
from mic_mail.smtp.transfer_rate import TransferRate


@pytest.fixture
def server(serve: Callable[..., MailServer]) -> MailServer:
    """A server of little patience: what a test waits for comes within a second."""
    server = serve()
    server.issue("dvbe")
    impatient = {"command_seconds": 0.3, "data_seconds": 0.3, "message_seconds": 0.2, "slowest_octets_per_second": 10_000_000}

    async def shorten() -> None:
        servers = server.running.server.servers
        services = servers._smtp.services
        limits = Limits(services.limits.message_octets, services.limits.attachment_octets, **impatient)
        servers._smtp.configure(type(services)(**{**{f: getattr(services, f) for f in services.__slots__}, "limits": limits}))

    server.call(shorten())
    return server


def read_to_end(server: MailServer, *pieces: bytes) -> bytes:
    """Everything that the server says until it closes."""
    with socket.create_connection((server.host, server.ports["smtp"]), timeout=10) as client:
        for piece in pieces:
            client.sendall(piece)
        said = b""
        while octets := client.recv(65536):
            said += octets
    return said


@pytest.mark.parametrize(
    "pieces",
    [
        (),
        (b"EHLO x\r\n",),
        (b"EHLO x\r\nMAIL FR",),
        (b"EHLO x\r\nMAIL FROM:<a@a.example>\r\nRCPT TO:<dvbe@mic.gov.vn>\r\nDATA\r\nSubject: x",),
        (b"EHLO x\r\nMAIL FROM:<a@a.example>\r\nRCPT TO:<dvbe@mic.gov.vn>\r\nBDAT 100\r\nSubject: x",),
    ],
)
def test_who_says_nothing_hears_421(server: MailServer, pieces: tuple[bytes, ...]) -> None:
    """At every point of the conversation, and the connection ends behind it."""
    assert read_to_end(server, *pieces).splitlines()[-1].startswith(b"421 4.4.2 ")


def test_octets_that_trickle_in_do_not_extend_the_time_for_a_command(server: MailServer) -> None:
    """One deadline for a whole line: a letter now and then keeps nobody connected."""
    with socket.create_connection((server.host, server.ports["smtp"]), timeout=10) as client:
        said = b""
        client.settimeout(0.05)
        for _ in range(200):
            try:
                client.sendall(b"N")
                octets = client.recv(65536)
            except TimeoutError:
                continue
            except ConnectionError:
                break
            if not octets:
                break
            said += octets
    assert b"\r\n421 4.4.2 " in said


def test_a_message_that_crawls_is_cut(server: MailServer) -> None:
    """After `message_seconds` a transfer has to be faster than `slowest_rate`; what is cut leaves nothing behind."""
    said = []
    with socket.create_connection((server.host, server.ports["smtp"]), timeout=10) as client:
        client.sendall(b"EHLO x\r\nMAIL FROM:<a@a.example>\r\nRCPT TO:<dvbe@mic.gov.vn>\r\nDATA\r\n")
        client.settimeout(0.05)
        for _ in range(200):
            try:
                client.sendall(b"a line\r\n")
                octets = client.recv(65536)
            except TimeoutError:
                continue
            except ConnectionError:
                break
            if not octets:
                break
            said.append(octets)
    assert b"421 4.4.2 The message arrives too slowly" in b"".join(said)


def test_a_fast_message_may_take_its_time() -> None:
    """The rate is judged only after `message_seconds`, and only against what has come."""

    class Loop:
        now = 0.0

        def time(self) -> float:
            return self.now

    loop = Loop()
    pace = TransferRate(loop.time, Limits(1, 1, message_seconds=600, slowest_octets_per_second=1024))
    loop.now = 599
    assert not pace.too_slow(1)
    loop.now = 601
    assert pace.too_slow(1)
    assert not pace.too_slow(700_000)


def test_at_shutdown_idle_clients_hear_421_and_a_message_comes_to_its_end(mail_server: MailServer) -> None:
    """RFC 5321 §3.8: 421; the message whose end is still to come is accepted, durable, and answered before the goodbye."""
    idle = socket.create_connection((mail_server.host, mail_server.ports["smtp"]), timeout=10)
    busy = socket.create_connection((mail_server.host, mail_server.ports["smtp"]), timeout=10)
    idle.recv(1000)
    busy.sendall(b"EHLO x\r\nMAIL FROM:<a@a.example>\r\nRCPT TO:<dvbe@mic.gov.vn>\r\nDATA\r\nSubject: x\r\n\r\n")
    said = b""
    while b"354" not in said:
        said += busy.recv(65536)
    stopping = threading.Thread(target=mail_server.stop)
    stopping.start()
    assert idle.recv(1000).startswith(b"421 4.3.2 ")
    assert idle.recv(1000) == b""
    busy.sendall(b"x\r\n.\r\n")
    said = b""
    while octets := busy.recv(65536):
        said += octets
    stopping.join(20)
    idle.close()
    busy.close()
    assert [line[:9] for line in said.splitlines()] == [b"250 2.6.0", b"421 4.3.2"]
    assert len(list((mail_server.config.mail_root / "mic.gov.vn/dvbe/Maildir/cur").iterdir())) == 1
