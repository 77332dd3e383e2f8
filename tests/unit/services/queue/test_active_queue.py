"""The active queue: entries in memory, each once; recipients that are being tried, each by one attempt."""

import asyncio
import shutil
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from addresses import parsed
from harness import read_events
from mic_mail.clock import SystemClock
from mic_mail.log.maillog import MailLog
from mic_mail.process.executors import Executors
from mic_mail.queue.local_queue import LocalQueue
from mic_mail.queue.queue import QueueEntry, QueueEnvelope, QueueRecipient
from mic_mail.queue.recipient_log import Standing
from mic_mail.queue.scheduler import DeliveryJob
from mic_mail.services.queue.active_queue import MAX_READ, ActiveQueue
from runtimes import runtime


class Fixture:
    """A queue on disk and its entries in memory."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.queue = LocalQueue(folder / "queue")
        self.log = MailLog(folder / "log", "sender", clock=SystemClock())
        unused: Any = None
        executors = Executors(io_threads=2, hash_threads=1)
        self.active = ActiveQueue(runtime(unused, SystemClock(), log=self.log, executors=executors), self.queue)
        self.added: list[QueueEntry] = []

    def put(self, *entry_ids: str) -> None:
        message = self.folder / "message"
        message.write_bytes(b"Subject: x\r\n\r\nx\r\n")
        recipients = (QueueRecipient(parsed("b@one.example")), QueueRecipient(parsed("c@one.example")))
        for entry_id in entry_ids:
            envelope = QueueEnvelope(sender=parsed("a@mic.gov.vn"), trace_id=entry_id, recipients=recipients, accepted_at_us=0)
            self.queue.put(entry_id, message, envelope)

    async def add(self, *entry_ids: str) -> None:
        await self.active.add(entry_ids, self.added.append)


async def test_two_polls_add_a_new_entry_once(tmp_path: Path) -> None:
    """Two additions at the same time read the same new entry, and one of them adds it."""
    here = Fixture(tmp_path)
    here.put("A", "B")
    await asyncio.gather(here.add("A", "B", "GONE"), here.add("A", "B"))
    assert [entry.entry_id for entry in here.added] == ["A", "B"]
    assert here.active.known(["A", "GONE"]) == here.added[:1]
    assert len(here.active) == 2


async def test_an_unreadable_entry_is_logged_once_and_added_when_it_is_restored(tmp_path: Path) -> None:
    """A damaged envelope costs one log line however often it is read, and no entry."""
    here = Fixture(tmp_path)
    here.put("A")
    envelope = tmp_path / "queue" / "live" / "A.env"
    octets = envelope.read_bytes()
    envelope.write_bytes(b"{")
    await here.add("A")
    await here.add("A")
    assert here.added == []
    envelope.write_bytes(octets)
    await here.add("A")
    here.log.close()
    assert [entry.entry_id for entry in here.added] == ["A"]
    assert [event["trace"] for event in read_events(tmp_path / "log") if event["event"] == "queue_entry_damaged"] == ["A"]


async def test_new_entries_are_read_together(tmp_path: Path, executor_calls: list[Any]) -> None:
    """A restart with a long queue changes threads once for many entries, not for each."""
    here = Fixture(tmp_path)
    names = [f"{number:03}" for number in range(2 * MAX_READ + 1)]
    here.put(*names)
    executor_calls.clear()
    await here.add(*names)
    assert [entry.entry_id for entry in here.added] == names
    assert len(executor_calls) == 3


async def test_an_entry_that_the_disk_refuses_costs_no_entry_before_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The entries read before a disk error are added, and the error is raised: the next poll reads the rest."""
    here = Fixture(tmp_path)
    here.put("A", "B", "C")
    look_at = here.queue.look_at

    def fails_at_b(entry_id: str) -> Any:
        if entry_id == "B":
            raise OSError("disk")
        return look_at(entry_id)

    monkeypatch.setattr(here.queue, "look_at", fails_at_b)
    with pytest.raises(OSError, match="disk"):
        await here.add("A", "B", "C")
    monkeypatch.undo()
    await here.add("A", "B", "C")
    assert [entry.entry_id for entry in here.added] == ["A", "B", "C"]


async def test_decisions_of_another_process_are_read(tmp_path: Path) -> None:
    """A refresh returns the entries to retry; an entry whose log cannot be read is remembered until it can."""
    here = Fixture(tmp_path)
    here.put("A", "B", "C")
    await here.add("A", "B", "C")
    for entry_id in ("A", "B"):
        found = here.queue.read(entry_id)
        assert found is not None
        found.retry()
    log = tmp_path / "queue" / "live" / "B.log"
    shutil.move(log, tmp_path / "B.log")
    log.mkdir()
    assert [entry.entry_id for entry in await here.active.refresh(here.added)] == ["A"]
    assert here.active.unread == {"B"}
    log.rmdir()
    shutil.move(tmp_path / "B.log", log)
    assert [entry.entry_id for entry in await here.active.refresh(here.active.known(["B"]))] == ["B"]
    assert here.active.unread == set()


async def test_no_recipient_is_claimed_twice(tmp_path: Path) -> None:
    """Whatever order attempts begin and end in, each recipient has one, and the last end leaves no claim."""
    active = Fixture(tmp_path).active

    @given(st.lists(st.tuples(st.booleans(), st.frozensets(st.integers(0, 5)))))
    def check(steps: list[tuple[bool, frozenset[int]]]) -> None:
        running: list[DeliveryJob] = []
        for begins, places in steps:
            if begins:
                running.append(active.claim(DeliveryJob("A", "one.example", tuple(places))))
            elif running:
                active.release(running.pop(0))
            assert sorted(active.claimed("A")) == sorted(place for job in running for place in job.places)
        for job in running:
            active.release(job)
        assert not active.claimed("A")

    check()


async def test_an_entry_that_ends_is_not_tried_and_leaves(tmp_path: Path) -> None:
    """It ends once, without open or claimed recipients; where the end fails it stays, to be ended again."""
    here = Fixture(tmp_path)
    here.put("A")
    await here.add("A")
    (entry,) = here.added
    assert not here.active.may_end(entry), "its recipients are open"
    entry.tried([0, 1], Standing.DELIVERED, "2.0.0 ok", next_try_us=0)
    job = here.active.claim(DeliveryJob("A", "one.example", (1,)))
    assert not here.active.may_end(entry), "one of them is being tried"
    here.active.release(job)

    async def fail() -> None:
        async with here.active.ending(entry):
            assert here.active.get("A") is None
            assert not here.active.may_end(entry)
            raise OSError("full")

    with pytest.raises(OSError, match="full"):
        await fail()
    assert here.active.get("A") is entry
    async with here.active.ending(entry):
        pass
    assert entry not in here.active
    assert here.active.get("A") is None
