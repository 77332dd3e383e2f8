"""Small messages that come together: published together, and nobody's trouble is another's."""

import asyncio
import contextlib
import errno
import os
import smtplib
import threading
from collections.abc import Callable, Sequence
from datetime import UTC, datetime

import pytest

from addresses import parsed
from harness import MailServer
from mic_mail.clock import ManualClock
from mic_mail.mime.imap_structure import most_octets
from mic_mail.services.transport import delivery, delivery_worker
from mic_mail.services.transport.delivery import LocalDeliverer
from mic_mail.services.transport.delivery_worker import DeliveryWorker, LocalDelivery, PendingDelivery
from mic_mail.services.transport.envelope import Recipient
from mic_mail.storage.changes.transaction import writing
from mic_mail.storage.errors import Busy, OverQuota, Unavailable
from mic_mail.storage.journal import journal
from mic_mail.storage.journal.journal import FOLDER, LOCK
from mic_mail.storage.maildir.account_lock import AccountLock
from mic_mail.storage.reserve import Reserve
from mic_mail.storage.types import AccountRef, Published
from store_harness import arrivals_in
from waiting import wait_for, wait_on_loop

NOW = datetime(2026, 11, 24, 3, tzinfo=UTC)
NAMES = ("dvbe", "ttlan", "pqkhanh")


class Office:
    """A server with three mailboxes that have been used, and its delivery."""

    def __init__(self, server: MailServer) -> None:
        self.server = server
        for name in NAMES:
            server.issue(name)
        server.refresh()
        self.context = server.running.context
        for mailbox in self.context.access.snapshot:
            self.context.store.account(AccountRef.of(mailbox)).folders()

    def ref(self, name: str) -> AccountRef:
        return AccountRef.of(self.mailbox(name))

    def mailbox(self, name: str):
        return next(entry for entry in self.context.access.snapshot if entry.address.startswith(f"{name}@"))

    def parcel(self, name: str, number: int) -> LocalDelivery:
        mailbox = self.mailbox(name)
        return LocalDelivery(
            f"T{number}", parsed("a@a.example"), Recipient(parsed(mailbox.address), (mailbox.mailbox_id,)), mailbox
        )

    def deliver(self, *wanted: tuple[str, bytes]) -> list[Published | BaseException]:
        """All at once; what became of each."""

        async def all_at_once() -> list[Published | BaseException]:
            delivering: LocalDeliverer = self.context.mailflow._acceptance.delivering
            calls = (delivering.small(self.parcel(name, n), octets) for n, (name, octets) in enumerate(wanted))
            return await asyncio.gather(*calls, return_exceptions=True)

        return self.server.call(all_at_once())

    def deliver_in_turn(self, released: threading.Event, *wanted: tuple[str, bytes]) -> list[Published | BaseException]:
        """The first alone, so that a wave takes it; the others while that waits. Released once these have ended."""

        async def in_turn() -> list[Published | BaseException]:
            delivering: LocalDeliverer = self.context.mailflow._acceptance.delivering
            calls = [delivering.small(self.parcel(name, n), octets) for n, (name, octets) in enumerate(wanted)]
            first = asyncio.ensure_future(calls[0])
            while delivering._next_batch or not delivering._is_publishing:
                await asyncio.sleep(0)
            others = await asyncio.gather(*calls[1:], return_exceptions=True)
            released.set()
            return [await first, *others]

        return self.server.call(in_turn())

    def inbox(self, name: str) -> list[bytes]:
        folder = self.server.config.mail_root / self.mailbox(name).home / "Maildir" / "cur"
        return sorted(path.read_bytes() for path in folder.iterdir())

    def left_behind(self, name: str) -> list[str]:
        """Files of messages that are not published."""
        return os.listdir(self.server.config.mail_root / self.mailbox(name).home / "Maildir" / "tmp")

    def journal(self) -> list[bytes]:
        folder = self.server.config.mail_root / FOLDER
        if not folder.exists():
            return []
        return [each.octets for path in folder.iterdir() if path.name != LOCK for each in arrivals_in(str(path))]

    def uids(self, name: str) -> list[int]:
        account = self.context.store.account(self.ref(name))
        return list(account.view(account.folder("INBOX").folder_id).uids)


def message(number: int) -> bytes:
    return b"Subject: %d\r\n\r\n%d\r\n" % (number, number)


@pytest.fixture
def office(serve: Callable[..., MailServer]) -> Office:
    return Office(serve(clock=ManualClock(NOW)))


def test_many_for_several_mailboxes_are_there_once_each(office: Office) -> None:
    """Every one of 300 is answered with its own place; the journal has held those that came together."""
    wanted = [(NAMES[number % 3], message(number)) for number in range(300)]
    outcomes = office.deliver(*wanted)
    assert len(office.journal()) > 250
    for name in NAMES:
        mine = [octets for to, octets in wanted if to == name]
        assert office.inbox(name) == sorted(mine)
        uids = [outcome.uid for (to, _), outcome in zip(wanted, outcomes, strict=True) if to == name]
        assert sorted(uids) == office.uids(name)


def test_senders_that_are_answered_together_are_published_together(office: Office, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each needs some turns of the loop until it sends again; after the first wave all of them share a batch and its flush."""
    monkeypatch.setattr(delivery, "GATHER_SECONDS", 30.0)
    sizes: list[int] = []
    publish_batch = DeliveryWorker.publish_batch

    def count(worker: DeliveryWorker, batch: Sequence[PendingDelivery], *, by_journal: bool) -> None:
        sizes.append(len(batch))
        publish_batch(worker, batch, by_journal=by_journal)

    monkeypatch.setattr(DeliveryWorker, "publish_batch", count)
    delivering: LocalDeliverer = office.context.mailflow._acceptance.delivering

    async def send(sender: int) -> None:
        for turn in range(4):
            for _ in range(3 * sender if turn else 0):
                await asyncio.sleep(0)
            await delivering.small(office.parcel(NAMES[sender % 3], sender), message(10 * turn + sender))

    async def all_senders() -> None:
        await asyncio.gather(*(send(sender) for sender in range(5)))

    office.server.call(all_senders())
    assert sizes == [5, 5, 5, 5]


def test_a_sender_who_stays_away_is_not_waited_for_again(office: Office, monkeypatch: pytest.MonkeyPatch) -> None:
    """One pause without another message, and the next batch waits for nobody."""
    pauses: list[float] = []

    async def deliver() -> None:
        loop = asyncio.get_running_loop()
        delivering: LocalDeliverer = office.context.mailflow._acceptance.delivering
        await asyncio.gather(*(delivering.small(office.parcel("dvbe", n), message(n)) for n in range(3)))
        end_pause = delivering._end_pause
        monkeypatch.setattr(delivering, "_end_pause", lambda pause: (pauses.append(loop.time()), end_pause(pause)))
        for number in range(3, 6):
            await delivering.small(office.parcel("dvbe", number), message(number))

    office.server.call(deliver())
    assert len(pauses) == 1
    assert len(office.inbox("dvbe")) == 6


def test_the_reserve_is_looked_at_twice_a_message(office: Office, monkeypatch: pytest.MonkeyPatch) -> None:
    """Before its file is made, and before the change of its mailbox: each look is a system call."""
    office.deliver(*((name, message(number)) for number, name in enumerate(NAMES)))
    office.context.store.prepare_journal()  # it looks, too, and may not have begun on a busy machine
    looks: list[str] = []
    octets = Reserve._octets
    monkeypatch.setattr(Reserve, "_octets", lambda reserve: (looks.append(reserve.folder), octets(reserve))[1])
    office.deliver(*((name, message(number)) for number, name in enumerate(NAMES)))
    assert len(looks) == 2 * len(NAMES)


def test_one_alone_needs_no_journal(office: Office) -> None:
    """It is durable by its own file and folder."""
    office.deliver(("dvbe", message(1)))
    assert office.journal() == []
    assert office.inbox("dvbe") == [message(1)]


def test_one_closely_after_another_goes_by_the_journal(office: Office, monkeypatch: pytest.MonkeyPatch) -> None:
    """Waves of one message each that follow closely: each would cost two fsyncs else."""
    monkeypatch.setattr(delivery, "CLOSE_SECONDS", 30.0)
    for number in range(3):
        office.deliver(("dvbe", message(number)))
    assert office.journal() == [message(1), message(2)]
    assert office.inbox("dvbe") == [message(0), message(1), message(2)]


def test_one_alone_goes_by_a_journal_that_holds_others(office: Office, monkeypatch: pytest.MonkeyPatch) -> None:
    """The file system is synced for these in any case; two fsyncs of its own would keep the sender waiting for nothing."""
    monkeypatch.setattr(delivery, "CLOSE_SECONDS", 0.0)
    office.deliver(*((name, message(number)) for number, name in enumerate(NAMES)))
    assert len(office.journal()) == 3
    office.deliver(("dvbe", message(3)))
    assert office.journal()[3:] == [message(3)]
    office.context.store.journal.settle(0)
    office.deliver(("dvbe", message(4)))
    assert office.journal() == []
    assert office.inbox("dvbe") == [message(0), message(3), message(4)]


def test_a_mailbox_that_others_write_holds_nobody_up(office: Office) -> None:
    """While one mailbox is locked the others' messages arrive; those for it wait for their turn and arrive after."""
    with writing(office.context.store.store(office.ref("dvbe"))):
        mine = [(name, message(number)) for number, name in enumerate(("dvbe", "ttlan", "dvbe", "pqkhanh", "ttlan"))]

        async def all_at_once() -> "asyncio.Future[list[Published]]":
            delivering: LocalDeliverer = office.context.mailflow._acceptance.delivering
            calls = [delivering.small(office.parcel(name, n), octets) for n, (name, octets) in enumerate(mine)]
            return asyncio.gather(*calls)

        waiting = office.server.call(all_at_once())
        for name, count in (("ttlan", 2), ("pqkhanh", 1)):
            while len(office.inbox(name)) < count:
                pass
        assert office.inbox("dvbe") == []
        assert not waiting.done()

    async def the_rest() -> list[Published]:
        return await waiting

    assert len(office.server.call(the_rest())) == 5
    assert office.inbox("dvbe") == [message(0), message(2)]


def test_who_waits_too_long_for_a_mailbox_leaves_nothing(office: Office) -> None:
    """The turn does not come: each hears that the mailbox is unavailable, and no file of theirs stays."""
    office.context.executors.patience = 0.1
    slots = office.context.account_executors._slots(office.ref("dvbe")).writers
    office.server.call(slots.acquire(1))
    with writing(office.context.store.store(office.ref("dvbe"))):
        outcomes = office.deliver(("dvbe", message(0)), ("dvbe", message(1)))
    assert [type(outcome) for outcome in outcomes] == [Unavailable] * 2
    wait_for(lambda: office.left_behind("dvbe") == [])
    assert office.inbox("dvbe") == []


def test_an_entry_that_waits_too_long_for_a_mailbox_leaves_nothing_there(office: Office) -> None:
    """The turn does not come: the entry stays in the spool, its link in the mailbox's `tmp` does not."""
    office.context.executors.patience = 0.1
    slots = office.context.account_executors._slots(office.ref("dvbe")).writers
    office.server.call(slots.acquire(1))
    with smtplib.SMTP(office.server.host, office.server.ports["smtp"]) as client:
        client.sendmail("a@a.example", ["dvbe@mic.gov.vn", "ttlan@mic.gov.vn"], message(0))
    office.server.call(office.context.mailflow.settle())
    assert len(office.inbox("ttlan")) == 1
    assert office.left_behind("dvbe") == []


def test_one_whose_sender_has_gone_before_its_turn_is_not_delivered(office: Office) -> None:
    """Nobody was told anything, so the sender will come again: it must not be there twice then."""
    slots = office.context.account_executors._slots(office.ref("dvbe")).writers
    office.server.call(slots.acquire(1))

    async def send_and_leave() -> "asyncio.Task[Published]":
        delivering: LocalDeliverer = office.context.mailflow._acceptance.delivering
        staying, leaving = (asyncio.create_task(delivering.small(office.parcel("dvbe", n), message(n))) for n in range(2))
        await wait_on_loop(lambda: office.ref("dvbe").account_id in delivering._queues)  # a batch has written both files
        leaving.cancel()
        await asyncio.wait([leaving])
        slots.release()
        return staying

    with writing(office.context.store.store(office.ref("dvbe"))):
        staying = office.server.call(send_and_leave())

    async def the_rest() -> Published:
        return await staying

    office.server.call(the_rest())
    assert office.inbox("dvbe") == [message(0)]
    wait_for(lambda: office.left_behind("dvbe") == [])


def test_no_more_wait_than_there_is_memory_for(office: Office, monkeypatch: pytest.MonkeyPatch) -> None:
    """Beyond that the client hears at once that it should come again; the others are not harmed."""
    monkeypatch.setattr(delivery, "MOST_WAITING", 3)
    outcomes = office.deliver(*(("dvbe", message(number)) for number in range(5)))
    assert [isinstance(outcome, Unavailable) for outcome in outcomes] == [False, False, False, True, True]
    assert office.inbox("dvbe") == [message(0), message(1), message(2)]


def test_no_more_octets_wait_than_there_is_memory_for(office: Office, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the index may say of them counts: of a small message it may be four times as much."""
    weight = len(message(0)) + most_octets(len(message(0)))
    monkeypatch.setattr(delivery, "MOST_WAITING_OCTETS", 3 * weight)
    for _ in range(2):  # what has waited weighs nothing
        outcomes = office.deliver(*(("dvbe", message(number)) for number in range(5)))
        assert [isinstance(outcome, Unavailable) for outcome in outcomes] == [False, False, False, True, True]


def test_a_store_that_was_replaced_holds_no_wave_up(office: Office) -> None:
    """Whoever has to open it first hears that it is busy, and waits in its own turn; the message arrives."""
    store = office.context.store.store(office.ref("dvbe"))
    os.unlink(store.paths.index)
    with pytest.raises(Busy), writing(store, patience=0.02):
        pass
    [published] = office.deliver(("dvbe", message(0)))
    assert isinstance(published, Published)
    assert office.inbox("dvbe") == [message(0)]


def test_what_cannot_be_filed_is_one_messages_trouble(office: Office, monkeypatch: pytest.MonkeyPatch) -> None:
    """A defect in the filing of one leaves the others of its wave alone, and no file behind."""
    place = delivery_worker.place

    def fails_for_two(local: LocalDelivery) -> tuple[str, tuple[str, ...]]:
        if local.trace_id == "T2":
            raise RuntimeError("a defect")
        return place(local)

    monkeypatch.setattr(delivery_worker, "place", fails_for_two)
    outcomes = office.deliver(*(("dvbe", message(number)) for number in range(4)))
    assert [isinstance(outcome, Published) for outcome in outcomes] == [True, True, False, True]
    assert office.inbox("dvbe") == [message(0), message(1), message(3)]
    assert office.left_behind("dvbe") == []


def test_a_disk_that_hangs_is_not_waited_for_without_end(office: Office) -> None:
    """What no wave has taken within the patience hears that the mailbox is unavailable, and is not delivered later."""
    office.context.executors.patience = 0.2
    hanging, released = threading.Event(), threading.Event()

    async def hang() -> None:
        office.context.executors._delivery_executor.submit(lambda: (hanging.set(), released.wait(30)))

    office.server.call(hang())
    assert hanging.wait(30)
    taken, *late = office.deliver_in_turn(released, *(("dvbe", message(number)) for number in range(3)))
    assert isinstance(taken, Published)
    assert [type(outcome) for outcome in late] == [Unavailable] * 2
    assert office.inbox("dvbe") == [message(0)]


def test_a_full_mailbox_refuses_its_own_messages_alone(serve: Callable[..., MailServer]) -> None:
    """Of a wave the full mailbox takes what fits and refuses the rest; nothing half-done stays in its folders, and no replay
    would give back what was refused."""
    server = serve(clock=ManualClock(NOW))
    office = Office(server)
    large = [b"Subject: %d\r\n\r\n" % number + b"y" * 60_000 + b"\r\n" for number in range(5)]
    full = server.issue("full", quota_octets=2 * len(large[0]) + 100)
    server.refresh()
    office.context.store.account(office.ref("full")).folders()
    outcomes = office.deliver(*zip(("full", "dvbe", "full", "ttlan", "full"), large, strict=True))
    refused = [isinstance(outcome, OverQuota) for outcome in outcomes]
    assert refused == [False, False, False, False, True]
    assert len(office.inbox("full")) == 2
    assert office.journal() == large[:-1]
    tmp = server.config.mail_root / full.home / "Maildir" / "tmp"
    assert list(tmp.iterdir()) == []


def test_what_was_refused_in_its_turn_comes_by_no_replay(
    serve: Callable[..., MailServer], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A wave finds the mailbox busy, which then turns out to be full: the journal has forgotten the message."""
    server = serve(clock=ManualClock(NOW))
    office = Office(server)
    large = b"Subject: large\r\n\r\n" + b"y" * 60_000 + b"\r\n"
    full = server.issue("full", quota_octets=len(large) - 1)
    server.refresh()
    office.context.store.account(office.ref("full")).folders()
    with contextlib.ExitStack() as busy:
        busy.enter_context(AccountLock(str(server.config.mail_root / full.home / "account.lock"), 30).held())
        in_turn = delivery_worker.DeliveryWorker.publish_in_turn
        monkeypatch.setattr(
            delivery_worker.DeliveryWorker, "publish_in_turn", lambda self, batch: (busy.close(), in_turn(self, batch))[1]
        )
        refused, published = office.deliver(("full", large), ("dvbe", message(1)))
    assert isinstance(refused, OverQuota)
    assert isinstance(published, Published)
    assert office.journal() == [message(1)]


def test_without_room_for_a_journal_messages_arrive_all_the_same(office: Office, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each is then durable by its own file."""
    monkeypatch.setattr(journal, "SEGMENT_OCTETS", 10)
    office.deliver(*((name, message(number)) for number, name in enumerate(NAMES)))
    assert office.journal() == []
    assert [len(office.inbox(name)) for name in NAMES] == [1, 1, 1]


def test_a_full_journal_that_cannot_be_settled_says_why(office: Office, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever makes room in it hears of the broken disk first, and alone: the log has to have the reason from there too."""

    def fail(fd: int) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(delivery, "CLOSE_SECONDS", 30.0)
    monkeypatch.setattr(journal, "SEGMENT_OCTETS", journal.BLOCK_OCTETS)
    monkeypatch.setattr(journal, "sync_file_system", fail)
    for number in range(4):
        office.deliver(("dvbe", message(number)))
    office.server.call(office.context.mailflow._acceptance.delivering.tasks.settle())
    office.server.stop()
    (told,) = [event["error"] for event in office.server.events() if event["event"] == "journal_failed"]
    assert os.strerror(errno.EIO) in told["en"]
    assert len(office.inbox("dvbe")) == 4


def test_a_stopped_server_leaves_no_segment(office: Office) -> None:
    """The drain settles what the journal held."""
    office.deliver(*((name, message(number)) for number, name in enumerate(NAMES)))
    assert len(office.journal()) == 3
    office.server.stop()
    assert office.journal() == []
    assert os.listdir(office.server.config.mail_root / FOLDER) == [LOCK]
