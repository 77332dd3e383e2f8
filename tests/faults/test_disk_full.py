"""A server whose disk fills up: it refuses for now, keeps what it promised, lets people read, and recovers by itself.

Everything of the server lies on a small tmpfs: mail, spool, directory, logs. A ballast file takes the space away and gives it
back. Mounting needs root; elsewhere these tests say so and are skipped.
"""

import asyncio
import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from faults.actors import look
from faults.ledger import Deliveries, identify, message
from faults.small_disk import Disk, small_disk
from faults.wire import Imap, Refused, Smtp
from harness import ProcessServer, config_for, files_in, left_in_staging, read_events
from mic_mail.clock import ManualClock, SystemClock
from mic_mail.directory.snapshot import EMPTY
from mic_mail.log.maillog import MailLog
from mic_mail.mime.imap_structure import answers_of
from mic_mail.services.operations.indexing import ROUND_SECONDS, Indexing
from mic_mail.storage.delivery import Delivery
from mic_mail.storage.fulltext.segment import IndexedDocument
from mic_mail.storage.local_mailstore import LocalMailStore
from mic_mail.storage.reserve import Reserve, ReserveState
from mic_mail.storage.types import AccountRef
from population import PASSWORD, Population
from waiting import wait_for

pytestmark = pytest.mark.slow

DVBE, TTLAN = ADDRESSES = ("dvbe@mic.gov.vn", "ttlan@mic.gov.vn")
LARGE = b"large\r\n" * 60_000


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Disk]:
    with small_disk(tmp_path) as disk:
        yield disk


@pytest.fixture
def server(disk: Disk) -> Iterator[ProcessServer]:
    server = ProcessServer(config_for(disk.path / "data", {"process": {"workers": 1}, "auth": {"cleartext": True}}), disk.path)
    for address in ADDRESSES:
        server.population.issue(address.partition("@")[0])
    server.start()
    yield server
    server.stop()


class Person:
    """Who sends and reads, and writes down what was promised."""

    def __init__(self, server: ProcessServer) -> None:
        self.server = server
        self.deliveries = Deliveries()
        self.appended: list[str] = []
        self.refusals: list[str] = []
        self._count = 0

    def deliver(self, *to: str, large: bool = False) -> None:
        self._count += 1
        token = f"mail-{self._count}"
        self.deliveries.send(token, to)
        client = Smtp(self.server.ports["smtp"])
        try:
            client.deliver(to, message(token) if not large else b"X-Large: x\r\n\r\n" + LARGE)
        except Refused as refused:
            self.refusals.append(str(refused)[:9])
            self.deliveries.refuse(token)
        else:
            if large:
                self.deliveries.refuse(token)
            else:
                self.deliveries.acknowledge(token)
        client.close()

    def append(self, client: Imap) -> None:
        self._count += 1
        octets = message(f"append-{self._count}")
        try:
            client.command(b"APPEND Archive {%d+}\r\n%s" % (len(octets), octets))
        except Refused as refused:
            self.refusals.append(str(refused).split(" ", 1)[1][:2])
        else:
            self.appended.append(f"append-{self._count}")

    def reader(self) -> Imap:
        return Imap(self.server.ports["imap"], DVBE, PASSWORD)


def settled(server: ProcessServer, patience: float = 2) -> None:
    """Until the spool is empty. What the full disk held up is tried again in its time, or at once by a new housekeeper."""
    limit = time.monotonic() + patience
    asked_again = False
    while left := files_in(server.config.spool_dir):
        if time.monotonic() > limit:
            assert not asked_again, left
            asked_again, limit = True, time.monotonic() + 90
            [pid] = [one["pid"] for one in server.status()["processes"] if one["name"] == "house"]
            os.kill(pid, signal.SIGKILL)
        time.sleep(0.1)  # before the next look


def check(person: Person, patience: float = 2) -> None:
    """Promises are kept, nothing else is there, nothing is left half-written, the store is sound."""
    settled(person.server, patience)
    for number, address in enumerate(ADDRESSES, 1):
        client = Imap(person.server.ports["imap"], address, PASSWORD)
        account, _ = look(client)
        client.close()
        person.deliveries.check(address, account)
        there = sorted(one.token for one in account["Archive"].messages.values())
        assert there == (sorted(person.appended) if address == DVBE else [])
        store = LocalMailStore(person.server.config.mail_root, clock=SystemClock(), host="checking")
        report = store.account(AccountRef(number, f"mic.gov.vn/{address.partition('@')[0]}")).repair(check=True)
        store.close()
        assert report.clean, report.findings
    assert left_in_staging(person.server.config.mail_root) == []


def test_the_indexer_waits_longer_and_longer_for_a_full_disk(
    disk: Disk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It reads in vain no oftener than after 10, 20 ... 600 seconds, says so once, and says when it goes on."""
    clock = ManualClock(datetime(2026, 11, 1, tzinfo=UTC))
    (tmp_path / "data").mkdir()
    config = config_for(tmp_path / "data", {})
    people = Population(config.directory_url, clock)
    for name in ("dvbe", "ttlan"):
        people.issue(name)
    entries = list(people.directory.load_snapshot(EMPTY))
    store = LocalMailStore(disk.path, clock=clock, host="h")
    for entry in entries:
        account = store.account(AccountRef(entry.mailbox_id, entry.home))
        staged = account.stage()
        octets = b"Subject: x\r\n\r\n" + b"".join(b"%d " % number for number in range(60_000))
        staged.write(octets)
        staged.finish()
        account.publish(account.folder("INBOX").folder_id, [Delivery(staged, answers_of(octets))])
    read: list[int] = []
    make = IndexedDocument.of

    def count(*told: Any) -> IndexedDocument:
        read.append(int(clock.monotonic()))
        return make(*told)

    monkeypatch.setattr(IndexedDocument, "of", count)

    async def run(call: Callable[[], int]) -> int:
        return call()

    log = MailLog(tmp_path / "log", "index", clock=clock)
    indexing = Indexing(store, lambda: entries, run, log, clock)
    disk.leave(200_000)
    begun = int(clock.monotonic())
    for _ in range(400):
        asyncio.run(indexing.run_once())
        clock.move_to(clock.now() + timedelta(seconds=ROUND_SECONDS))
    waited = [later - earlier for earlier, later in pairwise(read)]
    assert (read[0], waited) == (begun, [10, 20, 40, 80, 160, 320, 600, 600])
    disk.give_back()
    clock.move_to(clock.now() + timedelta(minutes=10))
    asyncio.run(indexing.run_once())
    assert indexing.indexed == 2
    log.close()
    store.close()
    told = [(event["event"], event["visit"]) for event in read_events(tmp_path / "log")]
    assert told == [("visit_failed", "index"), ("visit_resumed", "index")]


def test_a_full_disk_refuses_for_now_and_recovers(server: ProcessServer, disk: Disk) -> None:
    """452 or 451 by SMTP, NO by APPEND; reading and signing in go on; the same process takes mail again when there is room
    for the reserve and more."""
    person, worker = Person(server), server.workers()
    person.deliver(DVBE)
    person.deliver(DVBE, TTLAN)
    reading = person.reader()
    person.append(reading)
    settled(server)
    assert person.refusals == []
    wait_for(lambda: server.indexed() == 4)  # which takes blocks meanwhile and gives them back
    disk.leave(0)
    person.deliver(DVBE)
    person.deliver(DVBE, TTLAN)
    person.deliver(DVBE, large=True)
    person.deliver(DVBE, TTLAN, large=True)
    person.append(reading)
    assert person.refusals == ["452 4.3.1"] * 4 + ["NO"]
    for client in (reading, person.reader()):
        client.command(b"SELECT INBOX")
        bodies = [parts for parts in client.command(b"UID FETCH 1:* (FLAGS BODY[])") if len(parts) > 1]
        assert [identify(parts[1]) for parts in bodies] == ["mail-1", "mail-2"]
        client.command(b"NOOP")
    assert server.workers() == worker
    assert left_in_staging(server.config.mail_root) == []
    assert not files_in(server.config.spool_dir)
    disk.give_back()
    reserve = Reserve(str(server.config.mail_root))
    wait_for(lambda: reserve.state is ReserveState.WHOLE)  # what opened the mailbox may have given it up
    person.refusals.clear()
    person.deliver(DVBE)
    person.deliver(DVBE, TTLAN)
    person.append(reading)
    assert person.refusals == []
    assert server.workers() == worker
    check(person)


BY_ITSELF = 180
"""Longer than any pause of the housekeeper's."""


@pytest.mark.parametrize(
    ("step", "patience"),
    [
        (1 << 12, 2),
        (3 << 12, 2),
        (1 << 15, 2),
        pytest.param(1 << 17, BY_ITSELF, marks=pytest.mark.timeout(300)),
    ],
)
def test_a_disk_that_fills_in_the_middle_of_anything(server: ProcessServer, disk: Disk, step: int, patience: float) -> None:
    """Wherever the last octet goes, what was acknowledged is there once and what was refused is not."""
    person = Person(server)
    person.deliver(DVBE, TTLAN)
    for round_number in range(6):
        disk.leave(step * (round_number + 1))
        client = person.reader()
        for _ in range(8):
            person.deliver(DVBE)
            person.deliver(DVBE, TTLAN)
            person.append(client)
            with suppress(Refused):
                client.command(b"SELECT Archive")
                client.command(b"UID STORE 1:* +FLAGS.SILENT (\\Seen)")
                client.command(b"UID COPY 1 Junk")
        client.close()
        disk.give_back()
        person.deliver(DVBE)
    assert person.refusals
    assert {text for text in person.refusals if text[0] == "4"} <= {"452 4.3.1", "451 4.3.0"}
    check(person, patience)
