"""A queue, the manager that sends from it, servers on addresses of their own, and what was reported."""

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from addresses import parsed
from dns_server import NameServer, name_server
from mic_mail.clock import SystemClock
from mic_mail.log.maillog import MailLog
from mic_mail.process.executors import Executors
from mic_mail.process.runtime import Runtime
from mic_mail.queue.local_queue import LocalQueue
from mic_mail.queue.queue import Queue, QueueEntry, QueueEnvelope, QueueRecipient
from mic_mail.services.queue.delivery_log import FinishedRecipients
from mic_mail.services.queue.queue_manager import QueueManager, SendingSettings
from mic_mail.smtpclient.client import Timeouts
from mic_mail.smtpclient.mta_sts_cache import Policies, PolicySettings
from mic_mail.smtpclient.pool import ConnectionSettings
from mic_mail.smtpclient.smarthost import Smarthost
from runtimes import runtime
from unit.smtpclient.server import Server
from waiting import PATIENCE_SECONDS, wait_on_loop

HEAD = b"Return-Path: <a@mic.gov.vn>\r\n"
MESSAGE = b"From: a@mic.gov.vn\r\nSubject: x\r\n\r\n.x\r\n"
STUFFED = b"From: a@mic.gov.vn\r\nSubject: x\r\n\r\n..x\r\n.\r\n"
SENDER = 7
OPEN = b"250-mx.example\r\n250 PIPELINING\r\n"
"""What is offered without TLS."""


def new_queue(folder: Path) -> Queue:
    """The queue of an office; the fixture `ground` replaces this for one in PostgreSQL."""
    return LocalQueue(folder / "queue")


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
    seconds: float = PATIENCE_SECONDS
    """How long others are waited for, at each step; less where one of them hangs."""
    web_port: int = 0
    """Where policies are fetched; 0: there are none."""

    def __post_init__(self) -> None:
        self.queue = new_queue(self.folder)
        self.clock = SystemClock()
        self.log = MailLog(self.folder / "log", "sender", clock=self.clock)
        self.executors = Executors(io_threads=4, hash_threads=1)
        (self.folder / "message").write_bytes(HEAD + MESSAGE)

    @property
    def runtime(self) -> Runtime:
        """By the clock that the office has now: a test may have given it another one."""
        unused: Any = None
        return runtime(unused, self.clock, log=self.log, executors=self.executors)

    def put(self, entry_id: str, *addresses: str, age: float = 0.0, body: str = "7BIT", **more: Any) -> None:
        recipients = tuple(QueueRecipient(parsed(address)) for address in addresses)
        at_us = self.clock.now_us() - int(age * 1_000_000)
        envelope = QueueEnvelope(
            **{"sender": parsed("a@mic.gov.vn"), **more}, trace_id=entry_id, recipients=recipients, accepted_at_us=at_us,
            return_path_octets=len(HEAD), body=body, submitted_by=SENDER,
        )  # fmt: skip
        self.queue.put(entry_id, self.folder / "message", envelope)

    def taken_up(self, entry_id: str) -> QueueEntry:
        """An entry as an earlier process had it, which has ended by the time when this one sends."""
        (entry,) = self.queue.take_up([entry_id])
        assert isinstance(entry, QueueEntry)
        return entry

    async def report(self, told: FinishedRecipients) -> None:
        self.told.append(told)

    def senders(self) -> QueueManager:
        timeouts = Timeouts(*[self.seconds] * 7)
        connections = ConnectionSettings("mail.mic.gov.vn", self.port, timeouts=timeouts, authorities=self.authorities)
        resolver = self.names.resolver()
        policies = Policies(self.runtime, self.folder / "sts", resolver, PolicySettings(self.web_port, self.authorities, 1.0))
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
        if self.queue.lease is not None:
            self.queue.lease.end()
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
        await wait_on_loop(
            lambda: (entry := self.queue.read(entry_id)) and min(each.attempts for each in entry.state.recipients) >= attempts,
            entry_id,
        )


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
