"""People decide at random while messages are being sent: each recipient has it once, or its sender is told; never both."""

import asyncio
import contextlib
import random
import re
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from mic_mail.queue.queue import EntryEnded
from mic_mail.queue.recipient_log import AdminDecision, Standing
from unit.services.queue.office import OPEN, Office, offices
from unit.smtpclient.server import Server
from waiting import PATIENCE_SECONDS, wait_on_loop

DOMAINS, ENTRIES, PEOPLE, ACTS = 6, 120, 3, 400


@dataclass
class UnreliableServer(Server):
    """Takes its time, and puts off or refuses some; who is in `arrived` has the message."""

    rng: random.Random = field(default_factory=lambda: random.Random(7))
    arrived: Counter[bytes] = field(default_factory=Counter)

    def answer(self, line: bytes) -> bytes:
        if line.startswith(b"RCPT"):
            return self.rng.choice([b"250 ok\r\n", b"250 ok\r\n", b"450 4.2.1 later\r\n", b"550 5.1.1 no\r\n"])
        return super().answer(line)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        readline, write, named = reader.readline, writer.write, []

        async def slowly() -> bytes:
            line = await readline()
            if line.startswith((b"RCPT", b"MAIL")):
                await asyncio.sleep(self.rng.random() * 0.02)  # decisions come at any moment of it
                if line.startswith(b"MAIL"):
                    named.clear()
                else:
                    named.append(line)
            if line == b".\r\n":
                await asyncio.sleep(self.rng.random() * 0.05)  # decisions come at any moment of it
            return line

        def written(octets: bytes) -> None:
            if octets.startswith((b"450", b"550")) and named:
                named.pop()
            if octets.startswith(b"250 2.0.0 OK") and self.messages and named:
                for line in named:
                    self.arrived[re.search(rb"<(.+?)>", line)[1]] += 1  # type: ignore[index]
                named.clear()
            write(octets)

        reader.readline = slowly  # type: ignore[method-assign]  # of this connection
        writer.write = written  # type: ignore[method-assign,assignment]
        await super().serve(reader, writer)


def _decide(office: Office, rng: random.Random, loop: asyncio.AbstractEventLoop, hear: Callable[[str], None]) -> None:
    """A person at a terminal; some words are lost."""
    for _ in range(ACTS):
        names = office.queue.names()
        entry = office.queue.read(rng.choice(names)) if names else None
        if entry is None:
            continue
        said = AdminDecision("mai", "thử", office.clock.now_us())
        with contextlib.suppress(EntryEnded):
            match rng.randrange(5):
                case 0:
                    entry.hold(said)
                case 1:
                    entry.release(said)
                case 2 if entry.state.open and rng.random() < 0.4:
                    entry.drop([rng.choice(entry.state.open)], said)
                case _:
                    entry.retry(said)
        if rng.random() < 0.7:
            loop.call_soon_threadsafe(hear, rng.choice([entry.entry_id, ""]))


@pytest.mark.slow
@pytest.mark.clause("4.2")
async def test_whatever_people_decide_nothing_is_doubled_or_lost(tmp_path: Path) -> None:
    """Three people, four hundred decisions each, a hundred and twenty messages to six domains."""
    server = UnreliableServer(OPEN)
    zone = {(f"d{number}.example", "A"): ["127.0.0.4"] for number in range(DOMAINS)}
    async with offices(tmp_path, {"127.0.0.4": server}, zone) as office:
        office.seconds = 60.0  # whoever does not wait for an answer sends again, and then twice is right
        addresses = []
        for number in range(ENTRIES):
            to = [f"u{number}@d{(number + more) % DOMAINS}.example" for more in range(3)]
            addresses += to
            office.put(f"E{number:03}", *to)
        async with office.sending() as senders:
            loop = asyncio.get_running_loop()
            people = [
                threading.Thread(target=_decide, args=(office, random.Random(number), loop, senders.on_message))
                for number in range(PEOPLE)
            ]
            for person in people:
                person.start()
            await wait_on_loop(lambda: not any(person.is_alive() for person in people))
            limit = time.monotonic() + PATIENCE_SECONDS
            while time.monotonic() < limit:
                for entry in office.queue.entries():
                    with contextlib.suppress(EntryEnded):
                        entry.release(AdminDecision("mai"))
                        entry.retry(AdminDecision("mai"))
                senders.on_message("")
                await asyncio.sleep(0.2)  # before it is asked for again
                if not office.queue.names():
                    break
            assert office.queue.names() == []
    ends: Counter[str] = Counter()
    for told in office.told:
        for place in told.ended:
            assert told.entry.state.recipients[place].standing in {Standing.FAILED, Standing.DROPPED}
            ends[str(told.entry.envelope.recipients[place].address)] += 1
    arrived = Counter({address.decode(): count for address, count in server.arrived.items()})
    wrong = {address: (arrived[address], ends[address]) for address in addresses if arrived[address] + ends[address] != 1}
    assert not wrong
    assert len(set(arrived) & set(addresses)) > ENTRIES / 2
    assert list(office.queue._live.iterdir()) == []
