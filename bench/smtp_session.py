"""What one small message costs on the event loop, apart from its delivery: the conversation alone, then with its connection.

python bench/smtp_session.py [alone | wire | profile]

The message and the commands are those of smtp_load.c: 4 KiB on the MX door, MAIL, RCPT and DATA in one piece, then the body.
Everything is real but for what follows `LocalDeliverer.small`, which answers in the next turn of the loop. `alone` hands the
pieces over in memory; `wire` is uvloop and 8 connections of another process. Counted is the CPU of the loop's thread, the least
of several rounds: the machine's other work makes figures larger, never smaller.
"""

import asyncio
import cProfile
import os
import pstats
import socket
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from functools import partial
from pathlib import Path
from time import thread_time

import uvloop

from mic_mail.app.context import ServerContext, open_context
from mic_mail.clock import SystemClock
from mic_mail.config.model import Config
from mic_mail.directory.records import MailboxRecord
from mic_mail.directory.repository import Directory
from mic_mail.net.tls import self_signed, write_pair
from mic_mail.policy.facts import Draft, FactKind, MailboxKind
from mic_mail.process.startup import make_folders
from mic_mail.services.authentication.identity import Peer
from mic_mail.services.transport.envelope import Role
from mic_mail.smtp.connection import SmtpServices
from mic_mail.smtp.connection_handler import SmtpHandler
from mic_mail.smtp.server import SmtpServer
from mic_mail.smtp.session import Limits, ListenerProfile

ROUNDS, MESSAGES, SESSIONS = 12, 2_000, 8
ADDRESS = "user0@mic.gov.vn"
HELLO = b"EHLO load.test\r\n"
ENVELOPE = b"MAIL FROM:<sender@example.net>\r\nRCPT TO:<%s>\r\nDATA\r\n" % ADDRESS.encode()
HEADER = (
    b"From: =?UTF-8?B?VHLhuqduIFRo4buLIExhbg==?= <sender@example.net>\r\nTo: <%s>\r\n"
    b"Subject: =?UTF-8?B?Q8O0bmcgdsSDbiBz4buR?= 1\r\nMessage-ID: <1.1@example.net>\r\n"
    b"Date: Tue, 24 Nov 2026 10:00:00 +0700\r\nMIME-Version: 1.0\r\n"
    b"Content-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: base64\r\n\r\n" % ADDRESS.encode()
)
BODY = HEADER + (b"QUJDREVGR0hJSktMTU5PUFFSU1RVVldYWVphYmNkZWZnaGlqa2xtbm9wcXJzdHV2d3h5ejAxMjM0\r\n" * 46) + b".\r\n"
LIMITS = Limits(message_octets=35 << 20, attachment_octets=20 << 20, messages=1 << 40)


class AtOnce:
    """Stands where the message would be delivered."""

    async def small(self, parcel: object, octets: bytes, answered: object, *, passed_over: object) -> None:
        """Durable in the next turn of the loop."""
        loop = asyncio.get_running_loop()
        delivered = loop.create_future()
        loop.call_soon(delivered.set_result, None)
        await delivered

    async def settle(self) -> None:
        """Nothing is under way."""


class MemoryWire:
    """A client that sends `MESSAGES` messages, in memory."""

    def __init__(self, services: SmtpServices, door: ListenerProfile) -> None:
        self.services, self.door = services, door
        self.over = self.in_message = self.has_unsent_acceptance = False
        self.unsent_octets = 0
        self.time = asyncio.get_running_loop().time
        self.writes = 0
        self._pieces = self._script()

    @staticmethod
    def _script() -> Iterator[bytes]:
        yield HELLO
        for _ in range(MESSAGES):
            yield ENVELOPE
            yield BODY
        yield b""

    def write(self, octets: bytes) -> None:
        self.unsent_octets += len(octets)

    async def flush(self) -> None:
        if self.unsent_octets:
            self.writes += 1
            self.unsent_octets = 0
            self.has_unsent_acceptance = False

    async def read(self, octets: int, deadline: float) -> bytes:
        await self.flush()
        return next(self._pieces)

    async def yield_to_loop(self) -> None:
        pass

    async def start_tls(self) -> Peer:
        raise NotImplementedError

    def describe(self) -> Peer:
        return Peer("127.0.0.1", 50_000, 25, "smtp", None, "0123456789ABCDEF")

    def expire(self, name: str) -> None:
        self.over = True

    def close(self) -> None:
        self.over = True


def services(context: ServerContext) -> SmtpServices:
    config = context.config
    return SmtpServices(
        mailflow=context.mailflow,
        access=context.access,
        clock=context.clock,
        log=context.log,
        tls=None,
        hostname=config.server.hostname,
        support=config.support,
        limits=LIMITS,
    )


async def alone(context: ServerContext) -> float:
    given = services(context)
    door = ListenerProfile(given.hostname, given.support, Role.MX, LIMITS)
    wire = MemoryWire(given, door)
    began = thread_time()
    await SmtpHandler(wire, lambda: False).run()
    spent = thread_time() - began
    # The greeting, the answer to EHLO, then at most three writes a message: replies that wait are written together, except that
    # none waits for the check of a recipient.
    assert 2 + MESSAGES <= wire.writes <= 2 + 3 * MESSAGES, wire.writes
    return spent


async def over_wire(context: ServerContext) -> float:
    """The connections of a child process, from the first to the last."""
    listening = socket.create_server(("127.0.0.1", 0))
    child = os.fork()
    if child == 0:
        status = 1
        try:
            _send_all(listening.getsockname()[1])
            status = 0
        finally:
            os._exit(status)
    server = SmtpServer(services(context))
    loop = asyncio.get_running_loop()
    began = thread_time()
    door = await loop.create_server(partial(server.factory(door="smtp"), None), sock=listening)
    _, status = await loop.run_in_executor(None, os.waitpid, child, 0)
    spent = thread_time() - began
    assert status == 0, status
    door.close()
    return spent


def _send_all(port: int) -> None:
    """The client: every session says the same, in step, so that the server finds several ready at once, as under load."""
    sessions = [socket.create_connection(("127.0.0.1", port)) for _ in range(SESSIONS)]
    for session in sessions:
        session.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        _expect(session, b"220 ")
    for saying, answer in [(HELLO, b"250 "), *[(ENVELOPE, b"354 "), (BODY, b"250 ")] * (MESSAGES // SESSIONS)]:
        for session in sessions:
            session.sendall(saying)
        for session in sessions:
            _expect(session, answer)


def _expect(session: socket.socket, code: bytes) -> None:
    heard = b""
    while not heard.endswith(b"\r\n") or not heard[heard.rfind(b"\n", 0, -1) + 1 :].startswith(code):
        piece = session.recv(65_536)
        if not piece:
            raise ConnectionError(heard)
        heard += piece


@contextmanager
def profile() -> Iterator[None]:
    profiler = cProfile.Profile()
    with profiler:
        yield
    pstats.Stats(profiler).sort_stats("tottime").print_stats(45)


async def open_in(folder: Path) -> ServerContext:
    """Real rooms over one mailbox that never fills."""
    clock = SystemClock()
    config = Config.model_validate({"server": {"data_dir": folder}})
    make_folders(config)
    write_pair(config.certificate, config.key, self_signed(["localhost"], clock.now()))
    Directory(config.directory_url, clock=clock).migrate()
    context = await open_context(config, clock, "bench", secret=b"s" * 32)
    context.directory.add_domain("mic.gov.vn")
    record = MailboxRecord(0, MailboxKind.PERSONAL, ADDRESS, "mic.gov.vn/user0", "user0", 1 << 50, None, None)
    issued = Draft(FactKind.ISSUED, clock.now() - timedelta(days=30), "bench", data={"address": ADDRESS})
    context.directory.issue_mailbox(record, issued)
    await context.access.refresh()
    context.mailflow._acceptance.delivering = AtOnce()  # type: ignore[assignment]  # the one part that is not real
    return context


async def measure(what: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        context = await open_in(Path(folder))
        try:
            await measure_in(context, what)
        finally:  # else the log is written into the folder while it is removed
            await context.close()


async def measure_in(context: ServerContext, what: str) -> None:
    ways: dict[str, Callable[[ServerContext], object]] = {"alone": alone, "wire": over_wire}
    for name, way in ways.items():
        if what in {name, "both"}:
            least = min([await way(context) for _ in range(ROUNDS)])  # type: ignore[misc]  # both are coroutines
            print(f"{name:<8} {least / MESSAGES * 1e6:6.1f} us a message")
    if what == "profile":
        with profile():
            await alone(context)


if __name__ == "__main__":
    uvloop.run(measure(sys.argv[1] if len(sys.argv) > 1 else "both"))
