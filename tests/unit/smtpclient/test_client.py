"""Messages sent to servers that do everything right, and to those that fail in every way, at every step."""

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from addresses import parsed
from mic_mail.clock import SystemClock
from mic_mail.net.tls import self_signed, write_pair
from mic_mail.queue.queue import QueueRecipient
from mic_mail.smtpclient.client import SmtpClient, Timeouts
from mic_mail.smtpclient.commands import MailParameters
from mic_mail.smtpclient.results import PeerTrouble, RecipientResult, Result, Step
from unit.smtpclient.server import ALL, PLAIN, Server
from waiting import PATIENCE_SECONDS

QUICK = Timeouts(1, 1, 1, 1, 1, 1, 1)
"""For servers that hang."""
LONG = Timeouts(*[PATIENCE_SECONDS] * 7)
"""For all others: how long a busy machine takes for an answer nobody can know."""
MESSAGE = b"From: a@mic.gov.vn\r\n\r\n.x\r\n..\r\nend\r\n"
STUFFED = b"From: a@mic.gov.vn\r\n\r\n..x\r\n...\r\nend\r\n.\r\n"


@asynccontextmanager
async def running(server: Server) -> AsyncIterator[Server]:
    listening = await asyncio.start_server(server.serve, "127.0.0.1", 0)
    server.port = listening.sockets[0].getsockname()[1]
    try:
        yield server
    finally:
        listening.close()


async def connected(server: Server, timeouts: Timeouts = LONG) -> SmtpClient:
    return await SmtpClient.connect("127.0.0.1", server.port, "mail.mic.gov.vn", timeouts)


async def pieces(*octets: bytes) -> AsyncIterator[bytes]:
    for piece in octets:
        yield piece


def to(*names: str) -> list[QueueRecipient]:
    return [QueueRecipient(parsed(f"{name}@example.org")) for name in names]


SENDING = MailParameters(parsed("a@mic.gov.vn"), len(MESSAGE), "8BITMIME")


async def sent(
    server: Server,
    *names: str,
    sending: MailParameters = SENDING,
    message: tuple[bytes, ...] = (MESSAGE,),
    timeouts: Timeouts = LONG,
) -> list[Result]:
    peer = await connected(server, timeouts)
    try:
        return await peer.send(sending, to(*names), pieces(*message))
    finally:
        await peer.close()


async def test_replies_that_arrive_together_are_waited_for_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """A pipelined message sets two timers: for the first of its replies, and for the one at its end."""
    timers: list[float] = []
    timeout = asyncio.timeout

    def counted(seconds: float) -> asyncio.Timeout:
        timers.append(seconds)
        return timeout(seconds)

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"220 mx.example\r\n")
        await reader.readline()
        writer.write(ALL)
        for _ in range(3):
            await reader.readline()
        writer.write(b"250 2.1.0 OK\r\n250 2.1.5 OK\r\n354 go\r\n")
        await reader.readuntil(b"\r\n.\r\n")
        writer.write(b"250 2.0.0 OK\r\n")
        await reader.read()
        writer.close()

    server = Server()
    server.serve = serve  # type: ignore[method-assign]
    async with running(server):
        peer = await connected(server)
        monkeypatch.setattr(asyncio, "timeout", counted)
        (result,) = await peer.send(SENDING, to("b"), pieces(MESSAGE))
        monkeypatch.undo()
        peer.abort()
    assert result.outcome is RecipientResult.DELIVERED
    assert len(timers) == 2


@pytest.mark.parametrize("ehlo", [ALL, PLAIN], ids=["pipelined", "one by one"])
async def test_a_message(ehlo: bytes) -> None:
    """Introduced, named, stuffed, ended; goodbye said."""
    async with running(Server(ehlo)) as server:
        (one, two) = await sent(server, "b", "c", message=(MESSAGE[:25], MESSAGE[25:]))
    assert (one.outcome, one.status, one.text) == (RecipientResult.DELIVERED, "2.0.0", "250 2.0.0 OK")
    assert two == one
    assert server.messages == [STUFFED]
    assert server.lines == [
        b"EHLO mail.mic.gov.vn", b"MAIL FROM:<a@mic.gov.vn> BODY=8BITMIME", b"RCPT TO:<b@example.org>",
        b"RCPT TO:<c@example.org>", b"DATA", b"QUIT",
    ]  # fmt: skip


async def test_a_server_that_knows_helo_alone() -> None:
    async with running(Server(answers={b"EHLO": b"502 what?\r\n"})) as server:
        (result,) = await sent(server, "b")
    assert result.outcome is RecipientResult.DELIVERED
    assert server.lines[:3] == [b"EHLO mail.mic.gov.vn", b"HELO mail.mic.gov.vn", b"MAIL FROM:<a@mic.gov.vn>"]


@pytest.mark.parametrize("ehlo", [ALL, PLAIN], ids=["pipelined", "one by one"])
@pytest.mark.parametrize(
    ("refused", "fates"),
    [
        ({b"MAIL": b"451 4.3.0 later\r\n"}, [("deferred", "4.3.0")] * 3),
        ({b"MAIL": b"550 5.7.1 no\r\n"}, [("failed", "5.7.1")] * 3),
        ({b"RCPT TO:<c": b"550 5.1.1 who\r\n"}, [("delivered", "2.0.0"), ("failed", "5.1.1"), ("delivered", "2.0.0")]),
        ({b"RCPT TO:<c": b"450 busy\r\n"}, [("delivered", "2.0.0"), ("deferred", "4.0.0"), ("delivered", "2.0.0")]),
        ({b"RCPT TO:<d": b"552 too many\r\n"}, [("delivered", "2.0.0"), ("delivered", "2.0.0"), ("deferred", "4.0.0")]),
        ({b"RCPT TO:<d": b"552 5.2.2 full\r\n"}, [("delivered", "2.0.0"), ("delivered", "2.0.0"), ("failed", "5.2.2")]),
        ({b"RCPT": b"550 5.1.1 who\r\n"}, [("failed", "5.1.1")] * 3),
        ({b"RCPT": b"550 5.1.1 who\r\n", b"DATA": b"503 none\r\n"}, [("failed", "5.1.1")] * 3),
        ({b"DATA": b"451 4.3.1 full\r\n"}, [("deferred", "4.3.1")] * 3),
        ({b"DATA": b"250 what\r\n"}, [("deferred", "4.0.0")] * 3),
        ({b"END": b"554 5.7.1 spam\r\n"}, [("failed", "5.7.1")] * 3),
        ({b"END": b"450 4.7.1 grey\r\n"}, [("deferred", "4.7.1")] * 3),
        ({b"END": b"354 more?\r\n"}, [("deferred", "4.0.0")] * 3),
        ({b"END": b"554 5.7.1 spam\r\n", b"RCPT TO:<c": b"450 4.2.1 x\r\n"},
         [("failed", "5.7.1"), ("deferred", "4.2.1"), ("failed", "5.7.1")]),
    ],
)  # fmt: skip
async def test_refusals(ehlo: bytes, refused: dict[bytes, bytes], fates: list[tuple[str, str]]) -> None:
    """Each recipient by its own reply; the connection serves the next message all the same, which is whole."""
    async with running(Server(ehlo, answers=refused)) as server:
        peer = await connected(server)
        results = await peer.send(SENDING, to("b", "c", "d"), pieces(MESSAGE))
        assert [(result.outcome.value, result.status) for result in results] == fates
        server.answers = {}
        server.messages.clear()
        (result,) = await peer.send(SENDING, to("e"), pieces(MESSAGE))
        assert result.outcome is RecipientResult.DELIVERED
        assert server.messages == [STUFFED]
        assert server.connections == 1
        await peer.close()


async def test_nothing_of_a_message_goes_to_nobody() -> None:
    """Pipelined: DATA was said before the refusals were heard; an empty message ends it."""
    async with running(Server(answers={b"RCPT": b"550 5.1.1 who\r\n"})) as server:
        server_reads = asyncio.create_task(sent(server, "b"))
        (result,) = await server_reads
    assert result.outcome is RecipientResult.FAILED
    assert all(MESSAGE[:10] not in message for message in server.messages)


async def test_binary_goes_in_chunks() -> None:
    octets = (b"a\nb\x00" * 100, b".\r\n", b"\xff" * 5)
    async with running(Server()) as server:
        sending = MailParameters(parsed("a@mic.gov.vn"), 408, "BINARYMIME")
        (result,) = await sent(server, "b", sending=sending, message=octets)
    assert result.outcome is RecipientResult.DELIVERED
    assert b"".join(server.messages) == b"".join(octets)
    assert [line for line in server.lines if line.startswith(b"BDAT")] == [b"BDAT 400", b"BDAT 3", b"BDAT 5 LAST"]


async def test_what_this_server_cannot_take_is_not_tried() -> None:
    async with running(Server(PLAIN)) as server:
        (result,) = await sent(server, "b", sending=MailParameters(parsed("a@mic.gov.vn"), 9, "BINARYMIME"))
        assert (result.outcome, result.status) == (RecipientResult.FAILED, "5.6.1")
        peer = await connected(server)
        results = await peer.send(SENDING, [QueueRecipient(parsed("bê@example.org")), *to("c")], pieces(MESSAGE))
        await peer.close()
    assert [(result.outcome.value, result.status) for result in results] == [("failed", "5.6.7"), ("delivered", "2.0.0")]


# ------------------------------------------------------------ servers that fail


Behave = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@pytest.mark.parametrize(
    ("changes", "step", "timeouts"),
    [
        ({"greeting": b"554 no service\r\n"}, Step.GREETING, LONG),
        ({"greeting": b"421 later\r\n"}, Step.GREETING, LONG),
        ({"greeting": b"HTTP/1.1 400 Bad Request\r\n"}, Step.GREETING, LONG),
        ({"greeting": b"220-x\r\n"}, Step.GREETING, QUICK),
        ({"greeting": b""}, Step.GREETING, QUICK),
        ({"answers": {b"EHLO": b"421 later\r\n"}}, Step.HELLO, LONG),
        ({"answers": {b"EHLO": b"500 ?\r\n", b"HELO": b"550 no\r\n"}}, Step.HELLO, LONG),
        ({"answers": {b"EHLO": b""}}, Step.HELLO, LONG),
        ({"answers": {b"EHLO": b"250-x\r\n" * 300}}, Step.HELLO, LONG),
        ({"answers": {b"MAIL": b""}}, Step.TALK, LONG),
        ({"answers": {b"MAIL": b"421 bye\r\n"}}, Step.TALK, LONG),
        ({"answers": {b"RCPT": b"garbage\r\n"}}, Step.TALK, LONG),
        ({"answers": {b"RCPT": b"250-half\r\n"}}, Step.TALK, QUICK),
        ({"answers": {b"DATA": b""}}, Step.TALK, LONG),
        ({"answers": {b"END": b""}}, Step.END, LONG),
        ({"answers": {b"END": b"250-half\r\n"}}, Step.END, QUICK),
        ({"answers": {b"END": b"2"}}, Step.END, QUICK),
    ],
)
@pytest.mark.parametrize("ehlo", [ALL, PLAIN], ids=["pipelined", "one by one"])
async def test_a_server_of_no_use(changes: dict[str, object], step: Step, timeouts: Timeouts, ehlo: bytes) -> None:
    """Said where it failed, in time, and the connection is gone."""
    async with running(Server(**{"ehlo": ehlo, **changes})) as server:  # type: ignore[arg-type]
        with pytest.raises(PeerTrouble) as trouble:
            await sent(server, "b", timeouts=timeouts)
    assert trouble.value.step is step
    assert str(trouble.value).isascii()


LARGE = (MESSAGE, *[b"x" * 65_000 + b"\r\n"] * 200)
"""So much that it does not fit between two machines unread."""


async def answered_within_the_message(said: bytes, ehlo: bytes, *, body: str = "8BITMIME") -> list[Result]:
    """By a server that reads a little of the message, says this and reads no more."""

    async def behave(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        server = Server(ehlo)
        writer.write(server.greeting)
        while line := await reader.readline():
            if line.startswith((b"From", b"BDAT")):
                break
            writer.write(server.answer(line))
        writer.write(said)
        await writer.drain()
        for _ in range(3):
            await asyncio.sleep(0.1)  # turns of the loop, in which the client reads it: a reset would take it away
        writer.close()

    listening = await asyncio.start_server(behave, "127.0.0.1", 0)
    try:
        peer = await SmtpClient.connect("127.0.0.1", listening.sockets[0].getsockname()[1], "mail.mic.gov.vn", LONG)
        try:
            return await peer.send(MailParameters(parsed("a@mic.gov.vn"), 9, body), to("b", "c"), pieces(*LARGE))
        finally:
            assert not peer.may_serve
            await peer.close()
    finally:
        listening.close()


@pytest.mark.parametrize("ehlo", [ALL, PLAIN], ids=["pipelined", "one by one"])
@pytest.mark.parametrize("said", [b"", b"250 2.0.0 taken\r\n", b"421 4.3.2 bye\r\n", b"25"])
async def test_no_word_on_a_message_that_was_not_sent_to_its_end(said: bytes, ehlo: bytes) -> None:
    """Whoever hangs up, or says yes to what he has not seen, has taken nothing: another server may be asked."""
    with pytest.raises(PeerTrouble) as trouble:
        await answered_within_the_message(said, ehlo)
    assert trouble.value.step is Step.TALK


@pytest.mark.parametrize("ehlo", [ALL, PLAIN], ids=["pipelined", "one by one"])
async def test_a_refusal_within_the_message(ehlo: bytes) -> None:
    """It counts, and the rest is not sent; nor is an end, which would make a message of the part."""
    results = await answered_within_the_message(b"552 5.3.4 too large\r\n", ehlo)
    assert [(result.outcome, result.status) for result in results] == [(RecipientResult.FAILED, "5.3.4")] * 2


async def test_a_chunk_that_was_answered_twice() -> None:
    """The second answer would be taken for that to the last chunk."""
    server = Server(answers={b"BDAT 400": b"250 2.0.0 400\r\n250 2.0.0 408\r\n"})
    async with running(server):
        with pytest.raises(PeerTrouble) as trouble:
            await sent(
                server,
                "b",
                sending=MailParameters(parsed("a@mic.gov.vn"), 408, "BINARYMIME"),
                message=(b"a\nb\x00" * 100, b"\xff" * 8),
            )
    assert trouble.value.step is Step.TALK


@pytest.mark.parametrize("ehlo", [ALL, PLAIN], ids=["pipelined", "one by one"])
async def test_a_refusal_before_hanging_up(ehlo: bytes) -> None:
    """Of MAIL, and the connection with it: who is not wanted hears it now, and not in five days."""

    async def behave(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        server = Server(ehlo)
        writer.write(server.greeting)
        while not (line := await reader.readline()).startswith(b"MAIL"):
            writer.write(server.answer(line))
        writer.write(b"554 5.7.1 not from there\r\n")
        writer.close()

    listening = await asyncio.start_server(behave, "127.0.0.1", 0)
    peer = await SmtpClient.connect("127.0.0.1", listening.sockets[0].getsockname()[1], "mail.mic.gov.vn", LONG)
    results = await peer.send(SENDING, to("b", "c"), pieces(MESSAGE))
    listening.close()
    assert [(result.outcome, result.status) for result in results] == [(RecipientResult.FAILED, "5.7.1")] * 2


async def test_nobody_listens() -> None:
    async with running(Server()) as server:
        pass
    with pytest.raises(PeerTrouble) as trouble:
        await connected(server)
    assert trouble.value.step is Step.CONNECT


async def test_a_server_that_reads_nothing() -> None:
    """A large message is given up when nothing is taken any more."""

    async def deaf(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"220 x\r\n250-x\r\n250 PIPELINING\r\n250 a\r\n250 b\r\n354 go\r\n")
        await asyncio.sleep(30)

    listening = await asyncio.start_server(deaf, "127.0.0.1", 0, limit=1024)
    peer = await SmtpClient.connect("127.0.0.1", listening.sockets[0].getsockname()[1], "x", QUICK)
    with pytest.raises(PeerTrouble, match="does not accept"):
        await peer.send(MailParameters(parsed("a@b"), 9), to("b"), pieces(*[b"x" * 998 + b"\r\n"] * 100_000))
    assert peer.is_over
    listening.close()


async def test_a_flood_of_replies() -> None:
    """However many positive replies come, none is taken for the one at the end of the message; nor do they fill the memory."""

    async def flood(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"220 x\r\n")
        while True:
            writer.write(b"250 OK\r\n" * 1000)
            await writer.drain()

    listening = await asyncio.start_server(flood, "127.0.0.1", 0)
    results: list[Result] = []
    with contextlib.suppress(PeerTrouble):
        peer = await SmtpClient.connect("127.0.0.1", listening.sockets[0].getsockname()[1], "x", LONG)
        results = await peer.send(MailParameters(parsed("a@b"), 9), to(*map(str, range(5_000))), pieces(b"x"))
    assert all(result.outcome is not RecipientResult.DELIVERED for result in results)
    listening.close()


# ------------------------------------------------------------ TLS


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> tuple[ssl.SSLContext, Path]:
    folder = tmp_path_factory.mktemp("tls")
    certificate, key = folder / "cert.pem", folder / "key.pem"
    write_pair(certificate, key, self_signed(["mx.example"], SystemClock().now()))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    return context, certificate


def unchecked() -> ssl.SSLContext:
    """As mail is mostly sent: enciphered, to whom is not asked."""
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return context


async def test_tls(pair: tuple[ssl.SSLContext, Path]) -> None:
    """Introduced anew; what was offered in the open is forgotten."""
    async with running(Server(context=pair[0])) as server:
        peer = await connected(server)
        assert peer.offer.has("STARTTLS")
        server.ehlo = PLAIN
        session = await peer.start_tls(unchecked(), "mx.example")
        assert (session.version() or "").startswith("TLSv1.")
        assert not peer.offer.has("PIPELINING")
        (result,) = await peer.send(SENDING, to("b"), pieces(MESSAGE))
        await peer.close()
    assert result.outcome is RecipientResult.DELIVERED
    assert server.lines.count(b"EHLO mail.mic.gov.vn") == 2


@pytest.mark.parametrize("name", ["mx.example", "other.example"])
async def test_a_certificate_that_is_checked(pair: tuple[ssl.SSLContext, Path], name: str) -> None:
    trusting = ssl.create_default_context(cafile=str(pair[1]))
    async with running(Server(context=pair[0])) as server:
        peer = await connected(server)
        if name == "mx.example":
            await peer.start_tls(trusting, name)
            await peer.close()
            return
        with pytest.raises(PeerTrouble, match=r"[Hh]ostname mismatch") as trouble:
            await peer.start_tls(trusting, name)
        assert trouble.value.step is Step.TLS
        assert peer.is_over


@pytest.mark.parametrize(
    "answer", [b"454 not now\r\n", b"220 go\r\n250 injected\r\n", b"220 go\r\n2", b"", b"220 go\r\n" + b"x" * 10], ids=repr
)
async def test_tls_that_does_not_begin(pair: tuple[ssl.SSLContext, Path], answer: bytes) -> None:
    """Refused; said more than asked, in the open; closed."""
    async with running(Server(answers={b"STARTTLS": answer})) as server:
        peer = await connected(server)
        with pytest.raises(PeerTrouble) as trouble:
            await peer.start_tls(unchecked(), "mx.example")
        assert trouble.value.step is Step.TLS
        await peer.close()
