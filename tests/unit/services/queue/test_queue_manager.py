"""What waits in the queue is sent: real name servers, real servers on addresses of their own, each failing in its way."""

import asyncio
import os
import random
import ssl
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization

from addresses import parsed
from dns_server import NameServer, name_server
from harness import read_events
from mic_mail.clock import SystemClock
from mic_mail.log.maillog import MailLog
from mic_mail.net.dns import Resolver
from mic_mail.net.tls import self_signed, write_pair
from mic_mail.process.executors import Executors
from mic_mail.queue.queue import Entry, Envelope, Queue, Recipient
from mic_mail.queue.recipient_log import AdminDecision, Hold, Standing
from mic_mail.services.queue.delivery_log import FinishedRecipients
from mic_mail.services.queue.queue_manager import QueueManager, SendingSettings
from mic_mail.smtpclient.client import Patience
from mic_mail.smtpclient.mta_sts_cache import Policies, PolicySettings
from mic_mail.smtpclient.pool import ConnectionSettings
from mic_mail.smtpclient.smarthost import Smarthost
from mic_mail.smtpclient.tls_requirements import TlsRequirements
from runtimes import runtime
from unit.smtpclient.test_client import PLAIN, Server
from waiting import stays_on_loop, wait_on_loop

HEAD = b"Return-Path: <a@mic.gov.vn>\r\n"
MESSAGE = b"From: a@mic.gov.vn\r\nSubject: x\r\n\r\n.x\r\n"
STUFFED = b"From: a@mic.gov.vn\r\nSubject: x\r\n\r\n..x\r\n.\r\n"
SENDER = 7
OPEN = b"250-mx.example\r\n250 PIPELINING\r\n"
"""What is offered without TLS."""


@dataclass
class Office:
    """A queue, whoever sends from it, and what was reported."""

    folder: Path
    names: NameServer
    port: int
    stopped: set[int] = field(default_factory=set)
    told: list[FinishedRecipients] = field(default_factory=list)
    give_up_seconds: float = 5 * 86_400.0
    warn_seconds: float = 4 * 3_600.0
    is_paused: bool = False
    smarthost: Smarthost | None = None
    authorities: Path | None = None
    seconds: float = 1.0
    """How long others are waited for, at each step."""
    web_port: int = 0
    """Where policies are fetched; 0: there are none."""

    def __post_init__(self) -> None:
        self.queue = Queue(self.folder / "queue")
        self.clock = SystemClock()
        self.log = MailLog(self.folder / "log", "sender", clock=self.clock)
        self.executors = Executors(io_threads=4, hash_threads=1)
        unused: Any = None
        self.runtime = runtime(unused, self.clock, log=self.log, executors=self.executors)
        (self.folder / "message").write_bytes(HEAD + MESSAGE)

    def put(self, entry_id: str, *addresses: str, age: float = 0.0, body: str = "7BIT", **more: Any) -> None:
        recipients = tuple(Recipient(parsed(address)) for address in addresses)
        at_us = self.clock.now_us() - int(age * 1_000_000)
        envelope = Envelope(
            **{"sender": parsed("a@mic.gov.vn"), **more}, trace_id=entry_id, recipients=recipients, accepted_at_us=at_us,
            return_path_octets=len(HEAD), body=body, submitted_by=SENDER,
        )  # fmt: skip
        self.queue.put(entry_id, self.folder / "message", envelope)

    async def report(self, told: FinishedRecipients) -> None:
        self.told.append(told)

    def senders(self) -> QueueManager:
        patience = Patience(*[self.seconds] * 7)
        connections = ConnectionSettings("mail.mic.gov.vn", self.port, patience=patience, authorities=self.authorities)
        resolver = Resolver([self.names.place], seconds=self.seconds)
        policies = Policies(
            self.folder / "sts", resolver, PolicySettings(self.web_port, self.authorities, 1.0), executors=self.executors,
            clock=self.clock, tell=self.log.event,
        )  # fmt: skip
        settings = SendingSettings(
            frozenset({"mail.mic.gov.vn"}), connections,
            self.give_up_seconds, self.warn_seconds, smarthost=self.smarthost,
        )  # fmt: skip
        return QueueManager(
            self.runtime, self.queue, resolver, settings, policies=policies if self.web_port else None,
            may_send=lambda mailbox_id: mailbox_id not in self.stopped, report=self.report, random=random.Random(1),
            is_paused=lambda: self.is_paused,
        )  # fmt: skip

    @asynccontextmanager
    async def sending(self) -> AsyncIterator[QueueManager]:
        senders = self.senders()
        running = asyncio.create_task(senders.run())
        try:
            yield senders
        finally:
            await senders.end()
            await running

    async def until(self, *left: str) -> None:
        """Wait until just these entries wait."""
        await wait_on_loop(lambda: self.queue.names() == sorted(left), self.queue.names)

    async def reported(self, number: int) -> None:
        await wait_on_loop(lambda: len(self.told) >= number, lambda: self.told)

    async def tried(self, entry_id: str, attempts: int = 1) -> None:
        await wait_on_loop(lambda: (entry := self.queue.read(entry_id)) and min(entry.state.attempts) >= attempts, entry_id)


@asynccontextmanager
async def offices(folder: Path, servers: dict[str, Server], zone: dict[tuple[str, str], list[str]]) -> AsyncIterator[Office]:
    """`servers`: by address; all listen on one port."""
    listening, port = [], 0
    for address, server in servers.items():
        one = await asyncio.start_server(server.serve, address, port)
        port = port or one.sockets[0].getsockname()[1]
        listening.append(one)
    with name_server(zone, signed=[name for name, _ in zone if "signed" in name]) as names:
        office = Office(folder, names, port or 9)
        try:
            yield office
        finally:
            office.log.close()
            for one in listening:
                one.close()


ZONE = {
    ("one.example", "MX"): ["10 mx1.one.example.", "20 mx2.one.example."],
    ("mx1.one.example", "A"): ["127.0.0.2"],
    ("mx2.one.example", "A"): ["127.0.0.3"],
    ("two.example", "A"): ["127.0.0.4"],
    ("null.example", "MX"): ["0 ."],
}


async def test_messages_leave(tmp_path: Path) -> None:
    """By the best exchanger, without Return-Path, one message for all recipients of a domain; then nothing is left."""
    one, two = Server(OPEN), Server(PLAIN)
    async with offices(tmp_path, {"127.0.0.2": one, "127.0.0.4": two}, ZONE) as office:
        office.put("A", "b@one.example", "c@ONE.example", "d@two.example")
        async with office.sending() as senders:
            await office.until()
            office.put("B", "b@one.example")
            await senders.poll()
            await office.until()
            assert senders.transactions == {"new": 2, "kept": 1}
    assert one.messages == [STUFFED] * 2
    assert two.messages == [STUFFED]
    sent = {(e["trace"], e["recipient"]): e for e in read_events(tmp_path / "log") if e["event"] == "message_sent"}
    assert [each["nth_on_connection"] for each in sent.values()] == [1, 1, 1, 2]
    assert [line for line in one.lines if line.startswith(b"RCPT")] == [
        b"RCPT TO:<b@one.example>", b"RCPT TO:<c@one.example>", b"RCPT TO:<b@one.example>",
    ]  # fmt: skip
    assert one.connections == 1, "the connection was kept"
    assert office.told == []


async def test_connections_from_before_the_clock_was_set(tmp_path: Path) -> None:
    """They serve no other message, whether they were idle then or in use: certificates were looked at by another time."""
    one = Server(OPEN)
    async with offices(tmp_path, {"127.0.0.2": one}, ZONE) as office, office.sending() as senders:
        office.put("A", "b@one.example")
        await senders.poll()
        await office.until()
        senders.clock_moved()
        office.put("B", "b@one.example")
        await senders.poll()
        await office.until()
        assert senders.transactions == {"new": 2, "kept": 0}
        connections, terms = senders._connections, TlsRequirements("mx1.one.example")
        peer = connections.take_idle("127.0.0.2", terms)
        assert peer is not None
        senders.clock_moved()
        await connections.give_back("127.0.0.2", terms, peer)
        assert connections.take_idle("127.0.0.2", terms) is None
    assert one.messages == [STUFFED] * 2


async def test_the_next_exchanger_where_the_first_is_of_no_use(tmp_path: Path) -> None:
    """Not there; busy; closes; says nothing of sense. The message is there once."""
    for number, first in enumerate(
        (None, Server(greeting=b"421 busy\r\n"), Server(answers={b"MAIL": b""}), Server(greeting=b"x\r\n"))
    ):
        second = Server()
        servers = {"127.0.0.3": second, **({"127.0.0.2": first} if first is not None else {})}
        async with offices(tmp_path / str(number), servers, ZONE) as office:
            office.put("A", "b@one.example")
            async with office.sending():
                await office.until()
        assert second.messages == [STUFFED]


async def test_what_was_perhaps_taken_is_not_given_to_another(tmp_path: Path) -> None:
    """The connection ends after the whole message was sent: later again, not elsewhere at once."""
    first, second = Server(answers={b"END": b""}), Server()
    async with offices(tmp_path, {"127.0.0.2": first, "127.0.0.3": second}, ZONE) as office:
        office.put("A", "b@one.example")
        async with office.sending():
            await office.tried("A")
    assert second.messages == []
    assert office.queue.names() == ["A"]


async def test_what_was_not_sent_to_its_end_is_given_to_another(tmp_path: Path) -> None:
    """The connection ends in the midst of the message: nobody has taken it, and the next exchanger is asked at once."""

    class Deaf(Server):
        async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.write(self.greeting)
            while not (line := await reader.readline()).startswith(b"From"):
                writer.write(self.answer(line))
            writer.transport.abort()

    second = Server(OPEN)
    async with offices(tmp_path, {"127.0.0.2": Deaf(OPEN), "127.0.0.3": second}, ZONE) as office:
        whole = MESSAGE + (b"x" * 998 + b"\r\n") * 20_000
        (office.folder / "message").write_bytes(HEAD + whole)
        office.put("A", "b@one.example")
        async with office.sending():
            await office.until()
    assert [len(message) for message in second.messages] == [len(whole) + len("..\r\n")]


@pytest.mark.parametrize(
    ("content", "offer", "mail"),
    [
        (MESSAGE, b"250-mx\r\n250 8BITMIME\r\n", b"MAIL FROM:<a@mic.gov.vn>"),
        (MESSAGE + b"\xc3\xaa\r\n" * 99_999, b"250-mx\r\n250 8BITMIME\r\n", b"MAIL FROM:<a@mic.gov.vn> BODY=8BITMIME"),
        (MESSAGE + b"x\r\n" * 99_999 + b"\xc3\xaa", b"250-mx\r\n250 8BITMIME\r\n", b"MAIL FROM:<a@mic.gov.vn> BODY=8BITMIME"),
        (MESSAGE + b"\xc3\xaa", b"250 mx\r\n", b"MAIL FROM:<a@mic.gov.vn>"),
    ],
    ids=["seven", "eight", "eight late", "eight and not offered"],
)
async def test_eight_bits_that_nobody_has_declared(tmp_path: Path, content: bytes, offer: bytes, mail: bytes) -> None:
    """Many programs say nothing of them: the next server hears it from us (RFC 6152 §3)."""
    server = Server(offer)
    async with offices(tmp_path, {"127.0.0.4": server}, ZONE) as office:
        (office.folder / "message").write_bytes(HEAD + content)
        office.put("A", "b@two.example")
        async with office.sending():
            await office.until()
    assert [line for line in server.lines if line.startswith(b"MAIL")] == [mail]
    assert server.messages[0].startswith(STUFFED[:-3])


@pytest.mark.parametrize(
    ("sender", "to", "content", "status"),
    [
        ("a@mic.gov.vn", "b@two.example", MESSAGE, None),
        ("a@bộ.vn", "b@bê.example", MESSAGE, None),
        ("a@mic.gov.vn", "b@two.example", MESSAGE + b"\xc3\xaa", "5.6.7"),
        ("bê@mic.gov.vn", "b@two.example", MESSAGE, "5.6.7"),
        ("a@mic.gov.vn", "bê@two.example", MESSAGE, "5.6.7"),
    ],
)
async def test_smtputf8_that_is_not_needed(tmp_path: Path, sender: str, to: str, content: bytes, status: str | None) -> None:
    """Programs ask for it with every message; what holds none of it goes to who does not know it (RFC 6531 §3.2)."""
    server = Server(PLAIN)
    zone = {**ZONE, ("xn--b-dga.example", "A"): ["127.0.0.4"]}
    async with offices(tmp_path, {"127.0.0.4": server}, zone) as office:
        (office.folder / "message").write_bytes(HEAD + content)
        office.put("A", to, sender=parsed(sender), smtputf8=True)
        async with office.sending():
            await office.until()
    assert len(server.messages) == (status is None)
    assert all(line.isascii() for line in server.lines)
    reasons = [told.entry.state.reasons[0][:5] for told in office.told]
    assert reasons == ([status] if status is not None else [])


async def test_a_kept_connection_that_has_gone(tmp_path: Path) -> None:
    """The server hung up meanwhile, which is heard of when the next message begins; a new connection, and no deferral."""
    server = Server(OPEN)
    async with offices(tmp_path, {"127.0.0.4": server}, ZONE) as office, office.sending() as senders:
        office.put("A", "b@two.example")
        await senders.poll()
        await office.until()
        server.hang_up_at = b"MAIL"
        office.put("B", "b@two.example")
        await senders.poll()
        await office.until()
    assert server.messages == [STUFFED] * 2
    assert server.connections == 2


@pytest.mark.parametrize("more", [b"250 2.0.0 ok\r\n", b"421 4.4.2 idle for too long\r\n", b"2"])
async def test_a_server_that_says_more_than_it_was_asked(tmp_path: Path, more: bytes) -> None:
    """Its next words would be taken for answers to what comes next: the connection serves no other message."""
    server = Server(OPEN, answers={b"END": b"250 2.0.0 ok\r\n" + more})
    async with offices(tmp_path, {"127.0.0.4": server}, ZONE) as office, office.sending() as senders:
        for entry_id in ("A", "B"):
            office.put(entry_id, "b@two.example")
            await senders.poll()
            await office.until()
    assert server.messages == [STUFFED] * 2
    assert server.connections == 2


async def test_each_recipient_has_its_own_fate(tmp_path: Path) -> None:
    """Delivered, failed, deferred; who failed is told of when the entry ends, and the rest waits."""
    server = Server(answers={b"RCPT TO:<bad": b"550 5.1.1 who\r\n", b"RCPT TO:<late": b"450 4.2.1 later\r\n"})
    async with offices(tmp_path, {"127.0.0.4": server}, ZONE) as office, office.sending() as senders:
        office.put("A", "good@two.example", "bad@two.example", "late@two.example")
        await senders.poll()
        await office.tried("A")
        entry = office.queue.read("A")
        assert entry is not None
        assert entry.state.standings == (Standing.DELIVERED, Standing.FAILED, Standing.OPEN)
        assert entry.state.reasons[1] == "5.1.1 550 5.1.1 who"
        assert office.told == []
        server.answers = {}
        entry.retry()
        await senders.apply_decisions("A")
        await office.until()
        (told,) = office.told
        assert told.ended == (1,)
    assert len(server.messages) == 2
    assert [line for line in server.lines if line.startswith(b"RCPT")][-1] == b"RCPT TO:<late@two.example>"


@pytest.mark.parametrize(
    ("address", "status"), [("b@null.example", "5.1.10"), ("b@gone.example", "5.1.2"), (f"b@{'a' * 64}.example", "5.1.2")]
)
async def test_no_way(tmp_path: Path, address: str, status: str) -> None:
    async with offices(tmp_path, {}, ZONE) as office:
        office.put("A", address)
        async with office.sending():
            await office.until()
    (told,) = office.told
    assert told.ended == (0,)
    assert told.entry.state.reasons[0].startswith(status)


async def test_too_late(tmp_path: Path) -> None:
    """Five days after it was accepted nothing is deferred any more; four hours after, the sender hears of it, once."""
    async with offices(tmp_path, {}, ZONE) as office, office.sending() as senders:
        office.put("OLD", "b@two.example", age=6 * 86_400)
        office.put("LATE", "b@one.example", age=5 * 3_600)
        await senders.poll()
        await office.tried("LATE")
        await office.until("LATE")
        for attempts in (2, 3):
            entry = office.queue.read("LATE")
            assert entry is not None
            entry.retry()
            await senders.apply_decisions("LATE")
            await office.tried("LATE", attempts)
    by_name = {told.entry.entry_id: told for told in office.told}
    assert len(office.told) == 2
    assert (by_name["OLD"].ended, by_name["OLD"].late) == ((0,), ())
    assert by_name["OLD"].entry.state.reasons[0].startswith("5.4.7")
    assert (by_name["LATE"].ended, by_name["LATE"].late) == ((), (0,))


async def test_mail_of_who_may_not_send_stays(tmp_path: Path) -> None:
    """Reg. 7.1, 7.2.c; and what a person holds."""
    server = Server()
    async with offices(tmp_path, {"127.0.0.4": server}, ZONE) as office:
        office.stopped.add(SENDER)
        office.put("A", "b@two.example")
        async with office.sending() as senders:
            await stays_on_loop(lambda: office.queue.names() == ["A"] and server.messages == [])
            entry = office.queue.read("A")
            assert entry is not None
            entry.hold(Hold.PERSON)
            office.stopped.clear()
            await senders.apply_decisions("A")
            await stays_on_loop(lambda: server.messages == [])
            entry.hold(Hold.NO)
            await senders.apply_decisions("A")
            await office.until()
    assert server.messages == [STUFFED]


@pytest.mark.parametrize("restarted", [False, True], ids=["", "restarted"])
@pytest.mark.parametrize("by_person", [False, True], ids=["mailbox", "person"])
async def test_what_was_held_for_longer_than_it_is_tried(tmp_path: Path, by_person: bool, restarted: bool) -> None:
    """It has its whole time from then on: the first deferral does not end it, whoever sends by then."""
    server = Server(PLAIN, answers={b"RCPT": b"451 4.7.1 come again in five minutes\r\n"})
    async with offices(tmp_path, {"127.0.0.4": server}, ZONE) as office:
        office.put("A", "b@two.example", age=6 * 86_400)
        person = office.queue.read("A")
        assert person is not None
        if by_person:
            person.hold(Hold.PERSON, AdminDecision("mai", "x", office.clock.now_us() - 5 * 86_400_000_000))
        else:
            office.stopped.add(SENDER)

        async def free(senders: QueueManager | None = None) -> None:
            await asyncio.sleep(0.3)  # what is held would be tried meanwhile
            if by_person:
                person.hold(Hold.NO, AdminDecision("mai", "x", office.clock.now_us()))
            office.stopped.clear()
            if senders is not None:
                senders.on_message("A")
                await office.tried("A")

        async with office.sending() as senders:
            await free(None if restarted else senders)
        if restarted:
            async with office.sending():
                await office.tried("A")
        entry = office.queue.read("A")
        assert entry is not None
        assert entry.state.standings == (Standing.OPEN,)
        assert entry.free_since_us > office.clock.now_us() - 60_000_000
        office.give_up_seconds = 0.0
        entry.retry()
        async with office.sending():
            await office.until()
    assert office.told[-1].entry.state.reasons[0].startswith("5.4.7")


async def test_each_domain_has_its_own_time(tmp_path: Path) -> None:
    """One that waits for hours keeps none of the others, whoever has begun anew or decided something meanwhile."""
    server = Server(PLAIN)
    async with offices(tmp_path, {"127.0.0.2": server, "127.0.0.4": server}, ZONE) as office:
        office.put("A", "b@one.example", "c@two.example")
        entry = office.queue.read("A")
        assert entry is not None
        now_us = office.clock.now_us()
        entry.tried([0], Standing.OPEN, "4.0.0 later", next_try_us=now_us + 4 * 3_600_000_000)
        entry.tried([1], Standing.OPEN, "4.4.1 nobody", next_try_us=now_us + 1)
        assert entry.state.next_try_us == now_us + 1

        def standings() -> tuple[Standing, ...]:
            again = office.queue.read("A")
            assert again is not None
            return again.state.standings

        async with office.sending() as senders:
            await wait_on_loop(lambda: standings()[1] is Standing.DELIVERED)
            senders.on_message("A")
            await stays_on_loop(lambda: standings() == (Standing.OPEN, Standing.DELIVERED))


@pytest.mark.parametrize(
    ("age", "tries"),
    [(0, 0), (5 * 3_600, 0), (6 * 86_400, 0), (6 * 86_400, 3)],
    ids=["early", "late", "stood still", "too late"],
)
async def test_what_something_in_this_server_is_in_the_way_of(tmp_path: Path, age: int, tries: int) -> None:
    """A message that cannot be read: that counts as a try, and its sender hears that it is late, and of its end; but one that
    was hardly tried, since the server stood still, is not given up for the first trouble."""
    async with offices(tmp_path, {"127.0.0.4": Server(PLAIN)}, ZONE) as office:
        office.put("A", "b@two.example", age=age)
        for _ in range(tries):
            office.queue.read("A").tried([0], Standing.OPEN, "4.4.1 nobody", next_try_us=0)
        os.unlink(office.queue._live / "A.msg")
        (office.queue._live / "A.msg").symlink_to("/proc/self/mem")
        async with office.sending():
            await office.tried("A") if age < 86_400 else None
            await office.reported(int(age > 0))
        reports = [(told.ended, told.late, told.entry.state.reasons[0][:5]) for told in office.told]
        assert reports == ([((0,), (), "5.3.0")] if tries else [((), (0,), "4.3.0")] if age else [])
    assert read_events(tmp_path / "log")[0]["event"] == "sending_failed"


async def test_two_domains_are_late_at_once(tmp_path: Path) -> None:
    """The sender hears of it once, though he is being told for the one when the other is put off."""
    servers = {address: Server(PLAIN, answers={b"RCPT": b"451 4.3.0 later\r\n"}) for address in ("127.0.0.2", "127.0.0.4")}
    async with offices(tmp_path, servers, ZONE) as office:
        office.put("A", "b@one.example", "c@two.example", age=5 * 3_600)
        report = office.report

        async def slowly(told: FinishedRecipients) -> None:
            await asyncio.sleep(0.5)  # the other domain is put off meanwhile
            await report(told)

        office.report = slowly  # type: ignore[method-assign]
        senders = office.senders()
        running = asyncio.create_task(senders.run())
        await office.tried("A")
        await senders.end()
        await running
    assert [told.ended for told in office.told] == [()]


@dataclass
class Gated(Server):
    """Has the whole message and says nothing until it may."""

    reached: asyncio.Event = field(default_factory=asyncio.Event)
    gate: asyncio.Event = field(default_factory=asyncio.Event)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        readline = reader.readline

        async def gated() -> bytes:
            line = await readline()
            if line == b".\r\n":
                self.reached.set()
                await self.gate.wait()
            return line

        reader.readline = gated  # type: ignore[method-assign]  # of this connection
        await super().serve(reader, writer)


@pytest.mark.parametrize("answer", [b"250 2.0.0 ok\r\n", b"451 4.3.0 later\r\n", b"554 5.7.0 no\r\n"])
async def test_what_is_dropped_while_it_is_sent(tmp_path: Path, answer: bytes) -> None:
    """The server has it already: it decides what becomes of it, and only then is the sender told, of what is so."""
    server = Gated(PLAIN, answers={b"END": answer})
    async with offices(tmp_path, {"127.0.0.4": server}, ZONE) as office:
        office.put("A", "b@two.example")
        async with office.sending() as senders:
            await server.reached.wait()
            person = office.queue.read("A")
            assert person is not None
            person.drop([0], AdminDecision("mai", "x"))
            senders.on_message("A")
            await stays_on_loop(lambda: office.queue.names() == ["A"] and office.told == [], "nothing is settled yet")
            server.gate.set()
            await office.until()
    assert server.messages == [STUFFED]
    standings = [told.entry.state.standings[0] for told in office.told]
    assert standings == ([] if answer.startswith(b"250") else [Standing.DROPPED])


async def test_what_is_dropped_while_sending_is_paused(tmp_path: Path) -> None:
    """It ends, and its sender is told, at once; mail to others goes when sending goes on."""
    server = Server(PLAIN)
    async with offices(tmp_path, {"127.0.0.4": server}, ZONE) as office:
        office.is_paused = True
        office.put("A", "b@two.example")
        office.put("B", "b@two.example", "c@two.example")
        async with office.sending() as senders:
            for entry_id in ("A", "B"):
                person = office.queue.read(entry_id)
                assert person is not None
                person.drop([0], AdminDecision("mai", "x"))
                senders.on_message(entry_id)
            await office.until("B")
            await office.reported(2)
            assert server.connections == 0
            office.is_paused = False
            senders.wake()
            await office.until()
    assert sorted((told.entry.entry_id, told.ended) for told in office.told) == [("A", (0,)), ("B", (0,))]
    assert server.messages == [STUFFED]


async def test_a_decision_during_a_try_begins_no_second_one(tmp_path: Path) -> None:
    """Of two domains one is being sent to, the other waits: a retry of the entry does not send to the first again."""
    one, two = Server(PLAIN, answers={b"RCPT": b"450 4.2.1 later\r\n"}), Gated(PLAIN)
    async with offices(tmp_path, {"127.0.0.2": one, "127.0.0.3": one, "127.0.0.4": two}, ZONE) as office:
        office.put("A", "b@one.example", "c@two.example")
        async with office.sending() as senders:
            await two.reached.wait()

            def tried() -> int:
                entry = office.queue.read("A")
                assert entry is not None
                return entry.state.attempts[0]

            await wait_on_loop(tried)
            for _ in range(3):
                before, person = tried(), office.queue.read("A")
                assert person is not None
                person.retry(AdminDecision("mai"))
                senders.on_message("A")
                await wait_on_loop(lambda before=before: tried() > before)  # type: ignore[misc]
            one.answers.clear()
            two.gate.set()
            person.retry(AdminDecision("mai"))
            senders.on_message("A")
            await office.until()
    assert two.messages == [STUFFED]
    assert one.messages[-1] == STUFFED


async def test_a_decision_that_no_word_comes_of(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Or whose log cannot be read just then: it is done with the next look all the same, and what waited waits on."""
    server = Server(PLAIN, answers={b"RCPT": b"450 4.2.1 later\r\n"})
    async with offices(tmp_path, {"127.0.0.4": server}, ZONE) as office, office.sending() as senders:
        office.put("A", "b@two.example")
        office.put("B", "b@two.example")
        await senders.poll()
        await office.tried("A")
        await office.tried("B")
        server.answers.clear()
        for entry in office.queue.entries():
            entry.retry(AdminDecision("mai"))
        with monkeypatch.context() as patch:
            patch.setattr(Entry, "refresh", lambda _entry: (_ for _ in ()).throw(OSError(5, "Input/output error")))
            senders.on_message("A")
            await stays_on_loop(lambda: office.queue.names() == ["A", "B"])
        await senders.poll()
        await office.until()


async def test_a_retry_asks_a_destination_that_is_silent(tmp_path: Path) -> None:
    """Nobody was there and nothing is tried for minutes; somebody has put that right and says so: it goes at once."""
    async with offices(tmp_path, {"127.0.0.5": Server(PLAIN)}, ZONE) as office, office.sending() as senders:
        for number in range(4):
            office.put(f"M{number}", "b@two.example")
        await senders.poll()
        for number in range(4):
            await office.tried(f"M{number}") if number < 2 else None
        await wait_on_loop(lambda: senders.under_way == 0)
        server = Server(PLAIN)
        listening = await asyncio.start_server(server.serve, "127.0.0.4", office.port)
        for entry in office.queue.entries():
            entry.retry(AdminDecision("mai"))
        senders.on_message("")
        await office.until()
        listening.close()
    assert server.messages == [STUFFED] * 4


async def test_where_nobody_was_is_looked_up_again(tmp_path: Path) -> None:
    """The next try asks the name servers, as soon as their answers have ended: the domain has perhaps moved."""
    server = Server(PLAIN)
    zone = {**ZONE, ("two.example", "MX"): ["10 old.two.example."], ("old.two.example", "A"): ["127.0.0.9"]}
    async with offices(tmp_path, {"127.0.0.4": server}, zone) as office, office.sending() as senders:
        office.names.ttl = 0
        office.put("A", "b@two.example")
        await senders.poll()
        await office.tried("A")
        office.names.zone["two.example", "MX"] = ["10 two.example."]
        office.put("B", "b@two.example")
        await senders.poll()
        await office.until("A")
    assert server.messages == [STUFFED]


async def test_a_retry_asks_the_name_servers_again(tmp_path: Path) -> None:
    """Whoever has put another exchanger into the DNS and asks for a retry does not wait until the old answer has ended."""
    server = Server(PLAIN)
    zone = {**ZONE, ("two.example", "MX"): ["10 old.two.example."], ("old.two.example", "A"): ["127.0.0.9"]}
    async with offices(tmp_path, {"127.0.0.4": server}, zone) as office, office.sending() as senders:
        office.put("A", "b@two.example")
        await senders.poll()
        await office.tried("A")
        office.names.zone["two.example", "MX"] = ["10 two.example."]
        for entry in office.queue.entries():
            entry.retry(AdminDecision("mai"))
        senders.on_message("A")
        await office.until()
    assert server.messages == [STUFFED]


async def test_one_that_cannot_be_read(tmp_path: Path) -> None:
    """The log says so once, and what came behind it goes on; whoever brings its files back sees it sent."""
    server = Server(PLAIN)
    async with offices(tmp_path, {"127.0.0.4": server}, ZONE) as office:
        office.put("A", "b@two.example")
        office.put("B", "b@two.example")
        envelope = office.queue._live / "A.env"
        whole = envelope.read_bytes()
        envelope.write_bytes(whole[:20])
        async with office.sending() as senders:
            for _ in range(3):
                await senders.poll()
            await office.until("A")
            assert server.messages == [STUFFED]
            envelope.write_bytes(whole)
            await senders.poll()
            await office.until()
    events = [event for event in read_events(tmp_path / "log") if event["event"] == "queue_entry_damaged"]
    assert [event["trace"] for event in events] == ["A"]
    assert server.messages == [STUFFED] * 2


async def test_what_an_earlier_process_left(tmp_path: Path) -> None:
    """Killed between two domains: the first has it once."""
    one, two = Server(), Server()
    async with offices(tmp_path, {"127.0.0.2": one, "127.0.0.4": two}, ZONE) as office:
        office.put("A", "b@one.example", "c@two.example")
        entry = office.queue.read("A")
        assert entry is not None
        entry.tried([0], Standing.DELIVERED, "2.0.0 ok", next_try_us=0)
        async with office.sending():
            await office.until()
    assert (one.messages, two.messages) == ([], [STUFFED])


async def test_a_message_that_cannot_be_read(tmp_path: Path) -> None:
    """In the middle of it: the server gets no end of it, and the connection serves no other message."""
    server = Server(OPEN)
    async with offices(tmp_path, {"127.0.0.4": server}, ZONE) as office:
        (office.folder / "message").write_bytes(HEAD + MESSAGE + b"x\r\n" * 70_000)
        office.put("A", "b@two.example")
        senders = office.senders()
        pieces = senders._attempt._delivery._signed_chunks

        async def broken(file: Any, signature: bytes) -> AsyncGenerator[bytes]:
            async for piece in pieces(file, signature):
                yield piece
                raise OSError(5, "Input/output error")

        senders._attempt._delivery._signed_chunks = broken  # type: ignore[method-assign]  # a disk that fails under a file that is open
        running = asyncio.create_task(senders.run())
        await wait_on_loop(lambda: server.messages)
        await senders.end()
        await running
    assert len(server.messages) == 1, "it began"
    assert all(not message.endswith(b".\r\n") for message in server.messages)
    assert office.queue.names() == ["A"]


# ------------------------------------------------------------ TLS


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> tuple[ssl.SSLContext, bytes]:
    folder = tmp_path_factory.mktemp("tls")
    write_pair(folder / "cert.pem", folder / "key.pem", self_signed(["mx.signed.example"], SystemClock().now()))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "cert.pem", folder / "key.pem")
    key = x509.load_pem_x509_certificate((folder / "cert.pem").read_bytes()).public_key()
    der, spki = serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    return context, sha256(key.public_bytes(der, spki)).digest()


def signed(digest: bytes) -> dict[tuple[str, str], list[str]]:
    return {
        ("signed.example", "MX"): ["10 mx.signed.example."],
        ("mx.signed.example", "A"): ["127.0.0.4"],
        ("_25._tcp.mx.signed.example", "TLSA"): [f"3 1 1 {digest.hex()}"],
    }


async def test_with_the_key_that_the_dns_names(tmp_path: Path, pair: tuple[ssl.SSLContext, bytes]) -> None:
    server = Server(context=pair[0])
    async with offices(tmp_path, {"127.0.0.4": server}, signed(pair[1])) as office:
        office.put("A", "b@signed.example")
        async with office.sending():
            await office.until()
    assert server.messages == [STUFFED]
    assert server.lines[:3] == [b"EHLO mail.mic.gov.vn", b"STARTTLS", b"EHLO mail.mic.gov.vn"]


@pytest.mark.parametrize("offers", [True, False])
async def test_another_key_or_none(tmp_path: Path, pair: tuple[ssl.SSLContext, bytes], offers: bool) -> None:
    """RFC 7672: nothing is sent, not in the open either."""
    server = Server(context=pair[0]) if offers else Server(PLAIN)
    async with offices(tmp_path, {"127.0.0.4": server}, signed(b"\0" * 32 if offers else pair[1])) as office:
        office.put("A", "b@signed.example")
        async with office.sending():
            await office.tried("A")
    assert server.messages == []
    entry = office.queue.read("A")
    assert entry is not None
    assert entry.state.reasons[0].startswith("4.7.5")
    assert not any(line.startswith(b"MAIL") for line in server.lines)


async def test_in_the_open_where_the_handshake_fails(tmp_path: Path) -> None:
    """RFC 7435: TLS that nobody has asked for keeps no mail back."""
    server = Server(answers={b"STARTTLS": b"454 not now\r\n"})
    async with offices(tmp_path, {"127.0.0.4": server}, ZONE) as office:
        office.put("A", "b@two.example")
        async with office.sending():
            await office.until()
    assert server.messages == [STUFFED]
    assert server.connections == 2


@pytest.mark.parametrize("by_line", [b"MAIL", b"RCPT"])
async def test_in_the_open_where_it_may_not_be(tmp_path: Path, by_line: bytes) -> None:
    """The handshake fails today and the server takes nothing without TLS (530, RFC 3207 §4): no word on the message, which
    waits, and goes when TLS works again."""
    server = Server(
        answers={b"STARTTLS": b"454 4.7.0 not now\r\n", by_line: b"530 5.7.0 Must issue a STARTTLS command first\r\n"}
    )
    async with offices(tmp_path, {"127.0.0.4": server}, ZONE) as office, office.sending() as senders:
        office.put("A", "b@two.example", "c@two.example")
        await senders.poll()
        await office.tried("A")
        entry = office.queue.read("A")
        assert entry is not None
        assert entry.state.reasons[0].startswith("4.7.5 454 ")
        server.answers.clear()
        entry.retry(AdminDecision("mai"))
        senders.on_message("A")
        await office.until()
    assert office.told == []


async def test_a_server_that_takes_nothing_in_the_open_is_asked_once_a_message(tmp_path: Path) -> None:
    """Not again and again over the connection that was kept."""
    no_tls = b"530 5.7.0 Must issue a STARTTLS command first\r\n"
    server = Server(answers={b"STARTTLS": b"454 4.7.0 not now\r\n", b"MAIL": no_tls})
    async with offices(tmp_path, {"127.0.0.4": server}, ZONE) as office, office.sending() as senders:
        for entry_id in ("A", "B"):
            office.put(entry_id, "b@two.example")
            await senders.poll()
            await office.tried(entry_id)
    assert [line[:4] for line in server.lines].count(b"MAIL") == 2


async def test_many_messages_to_many_domains_of_which_some_are_dead(tmp_path: Path) -> None:
    """Two hundred to twenty, a quarter dead: all of the living have theirs, and the dead are asked a few times only."""
    live = Server()
    zone = {(f"d{n}.example", "A"): ["127.0.0.4" if n % 4 else "127.0.0.9"] for n in range(20)}
    async with offices(tmp_path, {"127.0.0.4": live}, zone) as office:
        for number in range(200):
            office.put(f"M{number:03}", f"b@d{number % 20}.example")
        async with office.sending() as senders:
            await office.until(*(f"M{number:03}" for number in range(200) if number % 20 % 4 == 0))
            await wait_on_loop(lambda: senders.under_way == 0)
        left = [entry.state.attempts[0] for entry in office.queue.entries()]
    assert len(live.messages) == 150
    assert len(left) == 50
    assert sum(left) <= 5 * 6, "each dead destination was asked a few times, not for each message"
