"""Killed at any step, a message from outside that was answered 250 before it was read for markings is read, and flagged once.

As in `test_delivery_kills`. What is left to read is a long text, for which no reader has to start.
"""

import asyncio
import fcntl
import os
import shutil
import smtplib
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from addresses import parsed
from faults.killed_delivery import ACKNOWLEDGED, CLIENT, SECRET, killed_delivery, prepare
from harness import ProcessServer, files_in, read_events
from mic_mail.app.context import ServerContext, open_context
from mic_mail.clock import ManualClock, SystemClock
from mic_mail.config.model import Config
from mic_mail.quarantine.held_messages import HeldMessages, HeldRecord, HeldState
from mic_mail.quarantine.unread_messages import MOST_ATTEMPTS, UnreadMessages, UnreadRecord
from mic_mail.services.transport.envelope import Accepted, Envelope, Recipient
from mic_mail.services.transport.incoming_message import IncomingMessage
from mic_mail.services.transport.unread_documents import UnreadDocuments
from mic_mail.storage.errors import DiskFull
from mic_mail.storage.types import AccountRef
from regulation.secrecy_setup import MARKED, send
from waiting import wait_for

LINE = "Kính gửi các đơn vị: cập nhật thông tin, giữ bí mật.\r\n".encode()
HEADER = b"From: lan@one.example\r\nSubject: x\r\nContent-Type: text/plain; charset=utf-8\r\n\r\n"
MESSAGE = HEADER + LINE * 15_000 + "TỐI MẬT\r\n".encode() + LINE * 15_000
RECORD = UnreadRecord("TRACE-1", "lan@one.example", ("dvbe@mic.gov.vn",), "192.0.2.1", "session")


async def take_in(context: ServerContext, mailboxes: int, message: bytes = MESSAGE) -> bool:
    recipients = tuple(
        Recipient(parsed(mailbox.address), (mailbox.mailbox_id,)) for mailbox in list(context.access.snapshot)[:mailboxes]
    )
    incoming = IncomingMessage(Envelope("TRACE-1", CLIENT, parsed("lan@one.example"), recipients))
    for at in range(0, len(message), 1 << 18):
        await context.mailflow.write(incoming, message[at : at + (1 << 18)])
    return isinstance(await context.mailflow.finish(incoming), Accepted)


def look(config: Config) -> tuple[list[int], list[HeldRecord]]:
    """After recovery: how many messages each mailbox has, and what was flagged."""

    async def after() -> list[int]:
        context = await open_context(config, SystemClock(), "after", secret=SECRET)
        try:
            await context.mailflow.recover()
            await context.mailflow.checkers.secrecy.unread.resume()
            await context.mailflow.settle()
            found = []
            for mailbox in context.access.snapshot:
                account = context.store.account(AccountRef(mailbox.mailbox_id, mailbox.home))
                found.append(account.folder("INBOX").messages)
            return found
        finally:
            await context.close()

    found = asyncio.run(after())
    assert files_in(config.spool_dir) == files_in(config.unread_dir) == []
    return found, list(HeldMessages(config.held_dir).records())


@pytest.mark.parametrize(
    ("mailboxes", "every"),
    [(1, 2), pytest.param(1, 1, marks=pytest.mark.slow), pytest.param(2, 1, marks=pytest.mark.slow)],
    ids=["one-mailbox", "one-mailbox-each-step", "two-mailboxes-each-step"],
)
def test_a_message_is_flagged_once_wherever_the_server_is_killed(memory: Path, mailboxes: int, every: int) -> None:
    behind_the_reply = 0
    for step in range(1, 200, every):
        config = prepare(memory / str(step))
        delivery = killed_delivery(config, step, lambda context: take_in(context, mailboxes))
        is_flagged = any(HeldMessages(config.held_dir).records())
        messages, records = look(config)
        assert sum(messages) in (0, mailboxes), f"killed at step {step}"
        if delivery.said == ACKNOWLEDGED:
            behind_the_reply += not is_flagged
            assert sum(messages) == mailboxes, f"lost at step {step}"
        if sum(messages):
            [record] = records
            assert (record.state, record.held_id, record.sender) == (HeldState.FLAGGED, "TRACE-1", "lan@one.example")
            assert [event["event"] for event in read_events(config.log_dir)].count("marked_message_flagged") in (1, 2)
        shutil.rmtree(memory / str(step))
        if not delivery.killed:
            break
    else:
        raise AssertionError("it never ends")
    assert behind_the_reply


@pytest.mark.slow
def test_a_server_that_is_killed_reads_after_its_restart(serve_processes: Callable[..., ProcessServer]) -> None:
    """By its worker: no other process may start document readers.

    Mostly the kill comes while the first reader starts; where it comes later, the message has been flagged before.
    """
    server = serve_processes({"process": {"workers": 1}, "secrecy": {"seconds": 60}})  # the machine may be busy
    server.population.issue("dvbe")
    server.start()
    with smtplib.SMTP("127.0.0.1", server.ports["smtp"], "client.example", 60) as client:
        assert send(client, MARKED["large"], "dvbe@mic.gov.vn")[0] == 250
        server.kill()
    server.start()
    wait_for(lambda: list(HeldMessages(server.config.held_dir).records()))
    wait_for(lambda: not files_in(server.config.unread_dir))
    [record] = HeldMessages(server.config.held_dir).records()
    assert (record.state, record.where) == (HeldState.FLAGGED, ("stamp/docx",))
    assert [event["event"] for event in server.events()].count("marked_message_flagged") in (1, 2)


def kept(folder: Path) -> UnreadMessages:
    (folder / "message").write_bytes(MESSAGE)
    return UnreadMessages(folder / "held" / "unread")


def test_the_entry_of_a_living_process_is_its_own(tmp_path: Path) -> None:
    """Another process takes it up once its owner is gone, with the same facts."""
    store = kept(tmp_path)
    entry = store.keep(RECORD, tmp_path / "message")
    assert store.resume(10) == []
    entry.release()
    [again] = UnreadMessages(tmp_path / "held" / "unread").resume(10)
    assert (again.record, again.path.read_bytes() == MESSAGE) == (RECORD, True)
    assert os.stat(tmp_path / "message").st_nlink == 2
    assert store.resume(10) == []
    again.end()
    assert os.stat(tmp_path / "message").st_nlink == 1
    assert store.resume(10) == []


def test_a_message_that_ends_each_process_is_not_read_for_ever(tmp_path: Path) -> None:
    store = kept(tmp_path)
    store.keep(RECORD, tmp_path / "message").release()
    begun = []
    for _ in range(MOST_ATTEMPTS + 2):
        [entry] = store.resume(10)
        begun.append(entry.begin())
        entry.release()  # as by a kill
    assert begun == [True] * MOST_ATTEMPTS + [False] * 2


async def test_an_orderly_stop_is_no_attempt(tmp_path: Path) -> None:
    context = await open_context(prepare(tmp_path), SystemClock(), "server", secret=SECRET)
    store = kept(tmp_path)
    store.keep(RECORD, tmp_path / "message").release()
    begun = []
    for _ in range(MOST_ATTEMPTS + 2):
        is_reading = asyncio.Event()

        async def read(record: UnreadRecord, path: Path, may_be_read: bool, is_reading: asyncio.Event = is_reading) -> None:
            begun.append(may_be_read)
            is_reading.set()
            await asyncio.Event().wait()

        unread = UnreadDocuments(context.runtime, store, read)
        assert await unread.resume()
        await is_reading.wait()
        await unread.close()
    await context.close()
    assert begun == [True] * (MOST_ATTEMPTS + 2)


async def test_a_disk_in_trouble_is_no_attempt(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The message is flagged once its record can be written, however often that failed; until then its entry stays.

    It is tried after growing pauses, with a line in the log each time.
    """
    config = prepare(tmp_path)
    clock = ManualClock(SystemClock().now())
    context = await open_context(config, clock, "server", secret=SECRET)

    def full(*_: object) -> None:
        raise DiskFull("full")

    with monkeypatch.context() as bad:
        bad.setattr(HeldMessages, "flag", full)
        assert await take_in(context, 1)
        for _ in range(MOST_ATTEMPTS + 1):
            await context.mailflow.settle()
            assert await context.mailflow.checkers.secrecy.unread.resume()
            await context.mailflow.settle()
            clock.move_to(clock.now() + timedelta(hours=1))
            assert await context.mailflow.checkers.secrecy.unread.resume()
        await context.mailflow.settle()
    assert list(HeldMessages(config.held_dir).records()) == []
    clock.move_to(clock.now() + timedelta(hours=1))
    await context.mailflow.checkers.secrecy.unread.resume()
    await context.mailflow.settle()
    assert len(list(HeldMessages(config.held_dir).records())) == 1
    assert files_in(config.unread_dir) == []
    await context.close()
    names = [event["event"] for event in read_events(config.log_dir)]
    assert (names.count("message_not_flagged"), names.count("marked_message_flagged")) == (MOST_ATTEMPTS + 2, 1)


def test_a_leftover_that_becomes_an_entry_is_let_go(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its owner renames it, and goes, in the moment in which it is taken for a leftover."""
    store = kept(tmp_path)
    entry = store.keep(RECORD, tmp_path / "message")
    mark, draft = (tmp_path / "held" / "unread" / f"TRACE-1.{ending}" for ending in ("json", "json~"))
    entry.release()
    mark.rename(draft)
    lock = fcntl.flock

    def lock_late(descriptor: int, operation: int) -> None:
        if draft.exists():
            draft.rename(mark)
        lock(descriptor, operation)

    monkeypatch.setattr(fcntl, "flock", lock_late)
    assert store.resume(0) == []
    assert [each.record for each in store.resume(10)] == [RECORD]


async def test_the_degree_of_a_marked_message_is_that_of_its_long_text(tmp_path: Path) -> None:
    config = prepare(tmp_path)
    context = await open_context(config, SystemClock(), "server", secret=SECRET)
    assert await take_in(context, 1, MESSAGE.replace(b"Subject: x", "Subject: Độ mật: Mật".encode()))
    [record] = HeldMessages(config.held_dir).records()
    await context.close()
    assert (record.degree, set(record.where)) == ("secret", {"stamp/text", "subject/message"})


def test_leftovers_are_removed_and_foreign_files_stay(tmp_path: Path) -> None:
    store = kept(tmp_path)
    living = store.keep(RECORD, tmp_path / "message")
    folder = tmp_path / "held" / "unread"
    for name in ("A.msg", "B.json~", "C.json", "D.json", "D.msg"):
        (folder / name).write_bytes(b"{}")
    assert store.resume(10) == []
    assert {path.name for path in folder.iterdir()} == {"TRACE-1.json", "TRACE-1.msg", "D.json", "D.msg"}
    living.end()


async def test_an_unreadable_record_stays_and_is_reported_once(tmp_path: Path) -> None:
    """Its message waits, the others are read, and it is read once its record is repaired."""
    config = prepare(tmp_path)
    store = UnreadMessages(config.unread_dir)
    (tmp_path / "message").write_bytes(MESSAGE)
    store.keep(RECORD, tmp_path / "message").release()
    mark = config.unread_dir / "TRACE-1.json"
    octets = mark.read_bytes()
    mark.write_bytes(octets[:20])
    context = await open_context(config, SystemClock(), "server", secret=SECRET)
    secrecy = context.mailflow.checkers.secrecy
    for _ in range(2):
        assert not await secrecy.unread.resume()
        await context.mailflow.settle()
        assert (secrecy.report()["unread_damaged"], store.damaged()) == (1, 1)
    assert {path.name for path in config.unread_dir.iterdir()} == {"TRACE-1.json", "TRACE-1.msg"}
    mark.write_bytes(octets)
    assert await secrecy.unread.resume()
    await context.mailflow.settle()
    assert not await secrecy.unread.resume()
    await context.close()
    [record] = HeldMessages(config.held_dir).records()
    assert record.held_id == "TRACE-1"
    assert ("unread_damaged" in secrecy.report(), store.damaged()) == (False, 0)
    [event] = [event for event in read_events(config.log_dir) if event["event"] == "unread_record_damaged"]
    assert (event["trace"], event["file"], event["clause"]) == ("TRACE-1", str(mark), "4.1")


async def test_a_backup_has_what_is_unread(tmp_path: Path) -> None:
    """Copied back, an entry is read like one that a killed process has left; one that ends meanwhile is left out."""
    config = prepare(tmp_path)
    store = kept(tmp_path)
    assert UnreadMessages(config.unread_dir).copy_into(tmp_path / "0") == 0
    owned = store.keep(RECORD, tmp_path / "message")
    store.keep(replace(RECORD, trace_id="TRACE-2"), tmp_path / "message").release()
    assert store.copy_into(tmp_path / "1") == 2
    (tmp_path / "held" / "unread" / "TRACE-2.msg").unlink()
    assert store.copy_into(tmp_path / "2", tmp_path / "1") == 1
    assert (tmp_path / "1" / "TRACE-1.msg").samefile(tmp_path / "2" / "TRACE-1.msg")
    owned.release()
    shutil.rmtree(config.unread_dir)
    shutil.copytree(tmp_path / "2", config.unread_dir)
    context = await open_context(config, SystemClock(), "restored", secret=SECRET)
    assert await context.mailflow.checkers.secrecy.unread.resume()
    await context.mailflow.settle()
    await context.close()
    [record] = HeldMessages(config.held_dir).records()
    assert (record.held_id, record.sender) == ("TRACE-1", "lan@one.example")


async def test_a_flag_that_fails_before_the_reply_is_no_flag(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The log says what was found, and that nobody is notified of it; it never says both."""
    config = prepare(tmp_path)
    context = await open_context(config, SystemClock(), "server", secret=SECRET)

    def full(*_: object) -> None:
        raise DiskFull("full")

    monkeypatch.setattr(HeldMessages, "flag", full)
    assert await take_in(context, 1, HEADER.replace(b"Subject: x", "Subject: Độ mật: Mật".encode()) + LINE)
    await context.close()
    flagging = [event for event in read_events(config.log_dir) if str(event["event"]).endswith("_flagged")]
    assert [(event["event"], event["degree"]) for event in flagging] == [("message_not_flagged", "confidential")]


def test_nothing_is_left_where_no_entry_can_be_made(tmp_path: Path) -> None:
    store = kept(tmp_path)
    with pytest.raises(FileNotFoundError):
        store.keep(RECORD, tmp_path / "gone")
    assert list((tmp_path / "held" / "unread").iterdir()) == []


async def test_what_cannot_wait_is_read_before_the_reply(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """On a disk without hard links, and while too many wait."""
    config = prepare(tmp_path)
    context = await open_context(config, SystemClock(), "server", secret=SECRET)

    def flagged() -> int:
        return len(list(HeldMessages(config.held_dir).records()))

    def no_link(*_: object) -> None:
        raise OSError("no links here")

    def nothing_waits(self: object) -> int:
        return 10**6

    try:
        for patch in (("os.link", no_link), (f"{UnreadDocuments.__module__}.UnreadDocuments.__len__", nothing_waits)):
            with monkeypatch.context() as bad:
                bad.setattr(*patch)
                assert await take_in(context, 1)
                assert flagged() == 1
            shutil.rmtree(config.held_dir)
    finally:
        await context.close()
