"""What the journal cannot make durable is fsynced by itself, and nothing is promised before."""

import errno
import os
import shutil
import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path
from tempfile import TemporaryDirectory, gettempdir

import pytest

from mic_mail.clock import ManualClock
from mic_mail.mime.imap_structure import answers_of
from mic_mail.storage.delivery import Delivery
from mic_mail.storage.errors import Unavailable
from mic_mail.storage.journal import journal
from mic_mail.storage.journal.frames import Journaled
from mic_mail.storage.local_mailstore import LocalMailStore
from mic_mail.storage.maildir import syncfs
from store_harness import REF, Root, deliver, inbox, message, observe
from unit.storage.journal.conftest import Crash, held, in_inbox, lose_content, segments
from waiting import PATIENCE_SECONDS, wait_for


def test_what_the_journal_cannot_take_is_fsynced(root: Root, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its file before it has a name, and its folder; no message is published twice or without its answers."""
    store = root.store()
    account = store.account(REF)
    here = inbox(account)
    deliver(account, here, ["before"])  # and the marks are written
    order: list[str] = []
    fsync, rename = os.fsync, os.rename
    monkeypatch.setattr(os, "fsync", lambda fd: (order.append(os.readlink(f"/proc/self/fd/{fd}")), fsync(fd))[1])
    monkeypatch.setattr(os, "rename", lambda old, new: (order.append(f"to {new}"), rename(old, new))[1])
    octets = message("one")
    staged = account.stage()
    staged.write(octets)
    staged.finish_later()
    account.publish(here, [Delivery(staged, lambda: answers_of(octets), octets=octets)])
    file, name, folder = order
    assert file == staged.path
    assert name.startswith(f"to {folder}/")
    assert folder == str(root.home / "Maildir/cur")
    assert in_inbox(observe(account)) == {"before": 1, "one": 2}
    store.close()


def test_a_sync_that_failed_meanwhile_promises_nothing(
    root: Root, store: LocalMailStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The kernel tells an error once: it may have been about what another thread had written before and syncs later."""
    one, other = (Journaled(REF.home, f"{number}.M1P1Q1.x", b"x") for number in (1, 2))
    sync = os.fdatasync

    def fail(fd: int) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    def meanwhile() -> None:
        monkeypatch.setattr(os, "fdatasync", fail)
        with store.journal.holding([other]) as durable:
            assert not durable
        monkeypatch.setattr(os, "fdatasync", sync)

    with store.journal.holding([one], meanwhile) as durable:
        assert not durable


@pytest.mark.parametrize("fails", [False, True])
def test_who_writes_while_a_sync_is_under_way_shares_the_next(
    root: Root, store: LocalMailStore, monkeypatch: pytest.MonkeyPatch, fails: bool
) -> None:
    """A sync covers what was written before it began: one more for all who came meanwhile, and its error is told to all."""
    store.prepare_journal()
    sync, first, syncs = os.fdatasync, threading.Event(), []

    def slow(fd: int) -> None:
        syncs.append(fd)
        if len(syncs) == 1:
            assert first.wait(10)
        elif fails:
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        sync(fd)

    def hold(number: int) -> bool:
        with store.journal.holding([Journaled(REF.home, f"{number}.M1P1.h", message("a"))]) as held:
            return held is not None

    monkeypatch.setattr(os, "fdatasync", slow)
    with ThreadPoolExecutor(5) as threads:
        leading = threads.submit(hold, 0)
        wait_for(lambda: syncs)
        following = [threads.submit(hold, number) for number in range(1, 5)]
        wait_for(lambda: len(held(root)) == 5)
        first.set()
        assert leading.result(PATIENCE_SECONDS)
        assert [each.result(PATIENCE_SECONDS) for each in following] == [not fails] * 4
    assert len(syncs) == 2


def test_a_disk_that_cannot_sync_keeps_the_segment(
    root: Root, store: LocalMailStore, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The error is told, the messages stay in the journal for a replay, and from then on each is fsynced by itself."""
    account = store.account(REF)
    deliver(account, inbox(account), ["a"], together=True)

    def fail(fd: int) -> None:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(journal, "sync_file_system", fail)
    clock.move_to(clock.now() + timedelta(seconds=60))
    with pytest.raises(Unavailable):
        store.settle_journal()
    with store.journal.holding([Journaled(REF.home, "1.M1P1Q1.x", b"x")]) as durable:
        assert not durable
    store.close()
    root.store().settle_left_behind()
    assert [arrival.octets for arrival in held(root)] == [message("a")]
    crash = Crash(root)
    lose_content(crash.file_of("a"))
    assert list(in_inbox(crash.root.use(observe))) == ["a"]
    assert segments(crash.root) == []


OTHER_DISK = Path("/dev/shm")
other_disk = pytest.mark.skipif(
    not OTHER_DISK.exists() or OTHER_DISK.stat().st_dev == Path(gettempdir()).stat().st_dev, reason="one file system only"
)


@other_disk
def test_each_turn_asks_anew_where_accounts_lie(
    root: Root, store: LocalMailStore, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A mailbox may be moved to another disk while the server runs: that one is synced then."""
    inbox(store.account(REF))
    synced: list[int] = []
    monkeypatch.setattr(journal, "sync_file_system", lambda fd: synced.append(os.fstat(fd).st_dev))
    stays, moves = Journaled("mic.gov.vn/stays", "1.M1P1Q1.x", b"x"), Journaled(REF.home, "1.M1P1Q1.x", b"x")

    def turn() -> set[int]:
        synced.clear()
        for each in (stays, moves):
            with store.journal.holding([each]) as durable:
                assert durable
        clock.move_to(clock.now() + timedelta(seconds=60))
        store.settle_journal()
        return set(synced)

    here = {root.path.stat().st_dev}
    assert turn() == here
    with TemporaryDirectory(dir=OTHER_DISK) as elsewhere:
        shutil.move(root.home / "Maildir", elsewhere)
        (root.home / "Maildir").symlink_to(f"{elsewhere}/Maildir")
        assert turn() == here | {OTHER_DISK.stat().st_dev}


def test_a_segment_that_could_not_be_written_is_not_trusted(
    root: Root, store: LocalMailStore, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An fdatasync that succeeds after one that failed proves nothing: no more is promised until the server starts anew."""

    def fail(fd: int) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    one = [Journaled(REF.home, "1.M1P1Q1.x", b"x")]
    with monkeypatch.context() as bad:
        bad.setattr(os, "fdatasync", fail)
        with store.journal.holding(one) as durable:
            assert not durable
    clock.move_to(clock.now() + timedelta(days=1))
    with store.journal.holding(one) as durable:
        assert not durable


@pytest.mark.parametrize("readonly", [False, True])
def test_after_a_failed_sync_nothing_counts_as_settled(
    root: Root, clock: ManualClock, monkeypatch: pytest.MonkeyPatch, readonly: bool
) -> None:
    """The kernel tells an error once: a wave of just then would be taken for settled by the next sync, ours or another's."""
    store = root.store()
    store.prepare_journal()

    def hold(octets: bytes) -> bool:
        with store.journal.holding([Journaled(REF.home, "1.M1P1Q1.x", octets)]) as durable:
            return durable

    def fail(fd: int) -> None:
        assert hold(b"during")
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    def refuse(old: str, new: str) -> None:
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    assert hold(b"before")
    clock.move_to(clock.now() + timedelta(seconds=60))
    with monkeypatch.context() as bad:
        bad.setattr(journal, "sync_file_system", fail)
        if readonly:
            bad.setattr(os, "rename", refuse)
        with pytest.raises(Unavailable) as told:
            store.settle_journal()
        assert os.strerror(errno.EIO) in told.value.detail
    assert not hold(b"after")
    clock.move_to(clock.now() + timedelta(seconds=60))
    store.settle_journal()
    root.store().settle_left_behind()
    store.close()
    assert sorted(arrival.octets for arrival in held(root)) == [b"before", b"during"]


def test_no_journal_where_syncfs_proves_nothing(root: Root, monkeypatch: pytest.MonkeyPatch) -> None:
    """FUSE answers it at once: told at the start, no segment is left, and each message is durable by itself."""
    monkeypatch.setattr(syncfs, "file_system_type", lambda fd: 0x65735546)
    store = root.store()
    with pytest.raises(Unavailable) as told:
        store.prepare_journal()
    assert "0x65735546" in told.value.detail
    with store.journal.holding([Journaled(REF.home, "1.M1P1Q1.x", b"x")]) as durable:
        assert not durable
    assert not store.journal.is_full
    assert segments(root) == []
    store.close()


@other_disk
def test_no_journal_for_a_mailbox_where_syncfs_proves_nothing(
    root: Root, store: LocalMailStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Others have theirs."""
    (root.path / "mic.gov.vn/here/Maildir").mkdir(parents=True)
    (root.path / "mic.gov.vn/there").mkdir()
    here = os.stat(root.path).st_dev
    monkeypatch.setattr(syncfs, "file_system_type", lambda fd: 0xEF53 if os.fstat(fd).st_dev == here else 0x65735546)
    with TemporaryDirectory(dir=OTHER_DISK) as elsewhere:
        (root.path / "mic.gov.vn/there/Maildir").symlink_to(elsewhere)
        answers = []
        for home in ("mic.gov.vn/there", "mic.gov.vn/here"):
            with store.journal.holding([Journaled(home, "1.M1P1Q1.x", b"x")]) as durable:
                answers.append(durable is not None)
    assert answers == [False, True]


def test_the_type_of_a_file_system() -> None:
    """As the manual page numbers them."""
    for path, number in (("/proc", 0x9FA0), ("/dev/shm", 0x01021994)):
        fd = os.open(path, os.O_RDONLY)
        try:
            assert syncfs.file_system_type(fd) == number
        finally:
            os.close(fd)
