"""Messages sent to real servers: Postfix's sink and our own; what arrives is what was given, octet for octet."""

import asyncio
import os
import socket
import ssl
import subprocess
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import pytest

import programs
from addresses import parsed
from harness import MailServer
from mic_mail.queue.queue import QueueRecipient
from mic_mail.smtpclient.client import SmtpClient, Timeouts
from mic_mail.smtpclient.commands import MailParameters
from mic_mail.smtpclient.results import RecipientResult, Result
from mic_mail.storage.types import INBOX, AccountRef
from waiting import listens, wait_for

PATIENCE = Timeouts(5, 10, 10, 10, 10, 20, 2)
MESSAGE = (
    b"From: a@mic.gov.vn\r\nTo: b@example.org\r\nSubject: d\xe1\xba\xa5u ch\xe1\xba\xa5m\r\n\r\n"
    b".\r\n..\r\n.x\r\n\r\nno end of line" + b"\r\nlong " + b"x" * 900 + b"\r\n" * 3 + b"\xff\x80 eight bits\r\n"
)


async def pieces(octets: bytes, size: int) -> AsyncIterator[bytes]:
    for at in range(0, len(octets), size):
        yield octets[at : at + size]


async def sent(peer: SmtpClient, *to: str, octets: bytes = MESSAGE, size: int = 7) -> list[Result]:
    sending = MailParameters(parsed("a@mic.gov.vn"), len(octets), "8BITMIME")
    return await peer.send(sending, [QueueRecipient(parsed(address)) for address in to], pieces(octets, size))


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        port: int = one.getsockname()[1]
        return port


@pytest.fixture
def sink(tmp_path: Path) -> Iterator[Callable[..., tuple[int, Path]]]:
    """Postfix's, with options; each message becomes a file."""
    running: list[subprocess.Popen[bytes]] = []

    def start(*options: str) -> tuple[int, Path]:
        port, folder = free_port(), tmp_path / f"sink{len(running)}"
        folder.mkdir(mode=0o777)
        folder.chmod(0o777)
        account = ["-u", "nobody"] if os.geteuid() == 0 else []
        command = [programs.need("smtp-sink"), *account, *options, "-R", str(folder), "-d", "m.%M.", f"127.0.0.1:{port}", "10"]
        running.append(subprocess.Popen(command))
        wait_for(lambda: listens(port), "smtp-sink does not start")
        return port, folder

    yield start
    for process in running:
        process.kill()
        process.wait(10)


@pytest.mark.needs_tool("smtp-sink")
@pytest.mark.parametrize("options", [(), ("-p",), ("-e",), ("-8", "-p")], ids=["all", "no pipelining", "HELO alone", "7 bits"])
async def test_postfix_sink(sink: Callable[..., tuple[int, Path]], options: tuple[str, ...]) -> None:
    port, folder = sink(*options)
    peer = await SmtpClient.connect("127.0.0.1", port, "mail.mic.gov.vn", PATIENCE)
    for _ in range(3):
        results = await sent(peer, "b@example.org", "c@example.org")
        assert [result.outcome for result in results] == [RecipientResult.DELIVERED] * 2
    await peer.close()
    files = sorted(folder.iterdir())
    assert len(files) == 3
    for file in files:
        _, _, body = file.read_bytes().replace(b"\r\n", b"\n").partition(b"\n\nFrom: a@")
        text = file.read_bytes().replace(b"\r\n", b"\n")
        assert MESSAGE.replace(b"\r\n", b"\n").rstrip(b"\n") in text, body[:200]


@pytest.mark.needs_tool("smtp-sink")
@pytest.mark.parametrize(
    ("options", "fate"),
    [
        (("-r", "MAIL"), RecipientResult.DEFERRED),
        (("-f", "MAIL"), RecipientResult.FAILED),
        (("-r", "RCPT"), RecipientResult.DEFERRED),
        (("-f", "RCPT"), RecipientResult.FAILED),
        (("-r", "DATA"), RecipientResult.DEFERRED),
        (("-f", "DATA"), RecipientResult.FAILED),
        (("-r", "."), RecipientResult.DEFERRED),
        (("-f", "."), RecipientResult.FAILED),
    ],
)
async def test_postfix_sink_that_refuses(
    sink: Callable[..., tuple[int, Path]], options: tuple[str, ...], fate: RecipientResult
) -> None:
    """With 4xx and 5xx at each step, pipelined."""
    port, _ = sink(*options)
    peer = await SmtpClient.connect("127.0.0.1", port, "mail.mic.gov.vn", PATIENCE)
    for _ in range(2):
        assert {result.outcome for result in await sent(peer, "b@example.org", "c@example.org")} == {fate}
    await peer.close()


async def test_our_own_server_by_tls(serve: Callable[..., MailServer]) -> None:
    """Enciphered and pipelined; the stored message ends with the octets that were given."""
    server = serve()
    mailbox = server.issue("dvbe", name="Đỗ Văn Bê")
    context = ssl.create_default_context(cafile=str(server.config.certificate))
    peer = await SmtpClient.connect("127.0.0.1", server.ports["smtp"], "other.example", PATIENCE)
    await peer.start_tls(context, "localhost")
    assert peer.offer.has("PIPELINING")
    results = await sent(peer, "dvbe@mic.gov.vn", "nobody@mic.gov.vn", size=4096)
    await peer.close()
    assert [(result.outcome.value, result.status) for result in results] == [("delivered", "2.6.0"), ("failed", "5.1.1")]
    account = server.running.context.store.account(AccountRef(mailbox.mailbox_id, mailbox.home))
    folder_id = account.folder(INBOX).folder_id
    with account.open_message(folder_id, 1) as message:
        assert message.pread(0, message.size).endswith(MESSAGE)


async def test_many_connections_at_once(serve: Callable[..., MailServer]) -> None:
    """Twenty, ten messages each, to a server that counts them."""
    server = serve()
    mailbox = server.issue("dvbe", name="Đỗ Văn Bê")

    async def one(number: int) -> int:
        peer = await SmtpClient.connect("127.0.0.1", server.ports["smtp"], f"h{number}.example", PATIENCE)
        fates = [(await sent(peer, "dvbe@mic.gov.vn", size=4096))[0].outcome for _ in range(10)]
        await peer.close()
        return fates.count(RecipientResult.DELIVERED)

    assert await asyncio.gather(*map(one, range(20))) == [10] * 20
    account = server.running.context.store.account(AccountRef(mailbox.mailbox_id, mailbox.home))
    assert account.quota().messages == 200
