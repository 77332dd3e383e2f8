"""What sends goes on: a disk that fails or is full, a clock that was set back, files that somebody has removed."""

import errno
import os
from pathlib import Path

import pytest

from harness import read_events
from mic_mail.queue import local_queue as queue_files
from mic_mail.queue.queue import QueueEntry
from mic_mail.queue.recipient_log import Standing
from unit.services.queue.office import SENDER, STUFFED, ZONE, offices
from unit.smtpclient.server import PLAIN, Server
from waiting import stays_on_loop, wait_on_loop


@pytest.mark.parametrize("folder", ["said", "ended", "live"])
async def test_a_folder_that_cannot_be_read_for_a_while(tmp_path: Path, folder: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """From the beginning, or while it runs: it is looked at again, and nothing waits for a restart."""
    monkeypatch.setattr("mic_mail.services.queue.queue_manager.POLL_SECONDS", 0.05)
    server = Server(PLAIN)

    def logged_failures() -> int:
        return sum(event["event"] == "queue_not_read" for event in read_events(tmp_path / "log"))

    async with offices(tmp_path, {"127.0.0.4": server}, ZONE) as office:
        queue = tmp_path / "queue"
        os.rename(queue / folder, queue / "away")
        async with office.sending():
            await wait_on_loop(logged_failures)
            os.rename(queue / "away", queue / folder)
            office.put("A", "b@two.example")
            await office.until()
            before = logged_failures()
            os.rename(queue / folder, queue / "away")
            await wait_on_loop(lambda: logged_failures() > before)
            os.rename(queue / "away", queue / folder)
            office.put("B", "b@two.example")
            await office.until()
    assert server.messages == [STUFFED] * 2


async def test_a_full_disk_sends_nothing_twice(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of two recipients one is deferred and the other has it: neither is written down, and the other gets it once."""
    server = Server(PLAIN, answers={b"RCPT TO:<late": b"450 4.2.1 later\r\n"})

    def full(_entry: QueueEntry, *, sync: bool) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    async with offices(tmp_path, {"127.0.0.4": server}, ZONE) as office, office.sending() as senders:
        with monkeypatch.context() as patch:
            patch.setattr(QueueEntry, "_write_down", full)
            office.put("A", "late@two.example", "good@two.example")
            await senders.poll()
            decided = (Standing.OPEN, Standing.DELIVERED)
            await wait_on_loop(
                lambda: (
                    [tuple(r.standing for r in entry.state.recipients) for entry in senders._active.known(["A"])] == [decided]
                )
            )


async def test_an_entry_whose_log_cannot_be_read_is_tried_ever_more_seldom(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each failure doubles its pause, though none can be recorded."""
    pauses = []

    def noted(seconds: int, _: object) -> float:
        pauses.append(seconds)
        return 0.01

    monkeypatch.setattr("mic_mail.services.queue.job_attempt.pause", noted)
    server = Server(PLAIN)
    refresh = QueueEntry.refresh

    def broken(entry: QueueEntry) -> bool:
        if len(pauses) < 4:
            raise OSError(errno.EIO, "Input/output error")
        return refresh(entry)

    monkeypatch.setattr(QueueEntry, "refresh", broken)
    async with offices(tmp_path, {"127.0.0.4": server}, ZONE) as office, office.sending():
        office.put("A", "b@two.example")
        await office.until()
    assert pauses[:4] == [1, 2, 3, 4]
    assert server.messages == [STUFFED]


async def test_a_lasting_error_of_the_queue_is_logged_ever_more_seldom(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with offices(tmp_path, {}, ZONE) as office, office.sending() as senders:

        def broken() -> None:
            raise OSError(errno.EIO, "Input/output error")

        monkeypatch.setattr(office.queue, "names", broken)
        for _ in range(100):
            await senders._poll_if_possible()
    assert [event["event"] for event in read_events(tmp_path / "log")].count("queue_not_read") == 1


async def test_one_entry_that_the_disk_refuses_does_not_hide_others(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is damaged, and logged once; it is added once the disk returns it."""
    exists = queue_files._exists

    def broken(path: str) -> bool:
        if path.endswith("A.msg"):
            raise OSError(errno.EIO, "Input/output error")
        return exists(path)

    server = Server(PLAIN)
    async with offices(tmp_path, {"127.0.0.4": server}, ZONE) as office:
        office.put("A", "b@two.example")
        office.put("B", "b@two.example")
        with monkeypatch.context() as patch:
            patch.setattr(queue_files, "_exists", broken)
            async with office.sending() as senders:
                await wait_on_loop(lambda: server.messages)
                await senders.poll()
        async with office.sending():
            await office.until()
    assert server.messages == [STUFFED] * 2
    told = [event["trace"] for event in read_events(tmp_path / "log") if event["event"] == "queue_entry_damaged"]
    assert told == ["A"]


async def test_a_clock_that_was_set_back(tmp_path: Path) -> None:
    """A pause that was begun under a clock years ahead ends when the process begins, and not in years."""
    server = Server(PLAIN)
    async with offices(tmp_path, {"127.0.0.4": server}, ZONE) as office:
        office.put("A", "b@two.example")
        entry = office.taken_up("A")
        ahead_us = office.clock.now_us() + 5 * 365 * 86_400_000_000
        entry.tried([0], Standing.OPEN, "4.4.1 nobody", next_try_us=ahead_us)
        async with office.sending():
            await office.until()
    assert server.messages == [STUFFED]


async def test_files_that_somebody_has_removed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """At its next try the entry is forgotten, and not tried again and again; the log says so once. Brought back it is sent."""
    monkeypatch.setattr("mic_mail.queue.scheduler.FIRST_PAUSE", 0.2)
    server = Server(PLAIN, answers={b"RCPT": b"450 4.2.1 later\r\n"})
    live, away = tmp_path / "queue" / "live", tmp_path / "away"
    away.mkdir()
    async with offices(tmp_path, {"127.0.0.4": server}, ZONE) as office, office.sending() as senders:
        office.put("A", "b@two.example", age=5 * 3_600)
        await senders.poll()
        await office.tried("A")
        server.answers.clear()
        for name in ("A.env", "A.log", "A.msg"):
            os.rename(live / name, away / name)
        await wait_on_loop(lambda: senders.waiting == len(senders._attempt._delivery_log._locks) == 0)
        for name in ("A.msg", "A.log", "A.env"):
            os.rename(away / name, live / name)
        await senders.poll()
        await office.until()
    assert server.messages == [STUFFED]
    told = [event["trace"] for event in read_events(tmp_path / "log") if event["event"] == "queue_entry_damaged"]
    assert told == ["A"]


async def test_what_is_held_says_nothing_of_its_destination(tmp_path: Path) -> None:
    """Nobody was asked: a destination that is dead stays so."""
    async with offices(tmp_path, {"127.0.0.5": Server(PLAIN)}, ZONE) as office, office.sending() as senders:
        for number in range(3):
            office.put(f"M{number}", "b@two.example")
        await senders.poll()
        silent = await wait_on_loop(lambda: senders._schedule._destinations.get("two.example"))
        await wait_on_loop(lambda: (silent.silences, silent.troubles) == (1, 3))
        office.stopped.add(SENDER)
        office.put("HELD", "b@two.example")
        senders._schedule.ask_again("two.example")
        await senders.poll()
        await stays_on_loop(lambda: (silent.silences, silent.troubles) == (1, 3))
