"""Whoever sends is killed again and again: every message arrives, and hardly one twice; what failed is told of.

As a program (`python -m faults.test_queue_manager_kills QUEUE NAMESERVER PORT REPORTS`) it sends what waits in a queue.
"""

import asyncio
import json
import os
import random
import re
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from addresses import parsed
from dns_server import name_server
from event_loops import loop_thread
from mic_mail.clock import SystemClock
from mic_mail.log.maillog import MailLog
from mic_mail.net.dns import Resolver
from mic_mail.process.executors import Executors
from mic_mail.queue.local_queue import LocalQueue
from mic_mail.queue.queue import QueueEnvelope, QueueRecipient
from mic_mail.services.queue.delivery_log import FinishedRecipients
from mic_mail.services.queue.queue_manager import QueueManager, SendingSettings
from mic_mail.smtpclient.client import Timeouts
from mic_mail.smtpclient.pool import ConnectionSettings
from runtimes import runtime
from unit.smtpclient.server import Server

pytestmark = pytest.mark.slow

TESTS = Path(__file__).parents[1]
OFFER = b"250-mx.example\r\n250 PIPELINING\r\n"
MESSAGES, KILLS = 300, 12


class Sink(Server):
    """A server in a thread of its own."""

    @contextmanager
    def running(self) -> Iterator["Sink"]:
        with loop_thread() as loop:
            listening = loop.call(asyncio.start_server(self.serve, "127.0.0.1", 0))
            self.port = listening.sockets[0].getsockname()[1]
            yield self


def test_every_message_arrives_whoever_is_killed(tmp_path: Path) -> None:
    """Three hundred to ten domains, one recipient in ten unknown; twelve kills, while some are being sent. Each recipient's end
    is in the log."""
    queue, rng = LocalQueue(tmp_path / "queue"), random.Random(4)
    for number in range(MESSAGES):
        message = tmp_path / f"m{number}"
        message.write_bytes(b"Subject: m%d.\r\n\r\nx\r\n" % number)
        local = "unknown" if number % 10 == 0 else "known"
        recipients = (
            QueueRecipient(parsed(f"{local}@d{number % 7}.example")),
            QueueRecipient(parsed(f"also@d{number % 10}.example")),
        )
        entry_id, at_us = f"E{number:03}", SystemClock().now_us()
        envelope = QueueEnvelope(trace_id=entry_id, sender=parsed("a@mic.gov.vn"), recipients=recipients, accepted_at_us=at_us)
        queue.put(entry_id, message, envelope)
    zone = {(f"d{n}.example", "A"): ["127.0.0.1"] for n in range(10)}
    sink = Sink(OFFER, answers={b"RCPT TO:<unknown": b"550 5.1.1 who\r\n"})
    kills, limit = 0, time.monotonic() + 120
    with sink.running(), name_server(zone) as names:
        arguments = [str(queue._live.parent), names.place, str(sink.port)]
        command = [sys.executable, "-m", "faults.test_queue_manager_kills", *arguments]
        while queue.names():
            assert time.monotonic() < limit, queue.names()
            process = subprocess.Popen([*command, str(tmp_path / "reports")], cwd=TESTS, stdout=subprocess.PIPE)
            assert process.stdout is not None
            process.stdout.readline()  # it has begun
            before = len(sink.messages)
            while queue.names() and (kills >= KILLS or len(sink.messages) < before + 3 + rng.randrange(20)):
                assert time.monotonic() < limit, queue.names()
                time.sleep(0.002)  # before the next look
            os.kill(process.pid, signal.SIGKILL)
            process.wait(10)
            kills += 1
    arrived: Counter[int] = Counter()
    for octets in sink.messages:
        found = re.search(rb"Subject: m(\d+)\.", octets)
        if octets.endswith(b"\r\n.\r\n") and found is not None:  # else it was cut, or empty since nobody takes it
            arrived[int(found[1])] += 1
    # A message to two domains is sent twice, to one once; to nobody but the unknown not at all.
    for number in range(MESSAGES):
        domains = {number % 7, number % 10}
        expected = len(domains) - (1 if number % 10 == 0 and len(domains) == 2 else 0)
        assert arrived[number] >= expected, number
    doubled = sum(arrived.values()) - sum(len({n % 7, n % 10}) - (n % 10 == 0 and n % 7 != n % 10) for n in range(MESSAGES))
    assert doubled <= kills * 40, "what was under way when it was killed, at most"
    told = Counter((tmp_path / "reports").read_text().split())
    assert set(told) == {f"E{number:03}" for number in range(0, MESSAGES, 10)}
    assert kills > KILLS
    events = [json.loads(line) for path in (tmp_path / "log").iterdir() for line in path.read_bytes().splitlines()]
    ended = {(event["trace"], event["recipient"]) for event in events if event["event"] in ("message_sent", "message_not_sent")}
    missing = [
        (f"E{number:03}", address)
        for number in range(MESSAGES)
        for address in (f"{'unknown' if number % 10 == 0 else 'known'}@d{number % 7}.example", f"also@d{number % 10}.example")
        if (f"E{number:03}", address) not in ended
    ]
    assert missing == []


async def _send(queue: Path, nameserver: str, port: int, reports: Path) -> None:
    clock = SystemClock()
    log = MailLog(queue.parent / "log", "sender", clock=clock)

    async def report(told: FinishedRecipients) -> None:
        with reports.open("a") as file:
            file.write(f"{told.entry.entry_id}\n")

    timeouts = Timeouts(5, 5, 5, 5, 5, 5, 1)
    settings = SendingSettings(frozenset(), ConnectionSettings("mail.mic.gov.vn", port, timeouts=timeouts))
    unused: Any = None
    senders = QueueManager(
        runtime(unused, clock, log=log, executors=Executors(io_threads=4, hash_threads=1)),
        LocalQueue(queue), Resolver([nameserver], seconds=5), settings,
        may_send=lambda mailbox_id: True, report=report,
    )  # fmt: skip
    print("begun", flush=True)
    await senders.run()


if __name__ == "__main__":
    import uvloop

    uvloop.run(_send(Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]), Path(sys.argv[4])))
