"""Disks that are full, links that cannot be made, and locks that do not come."""

import errno
import os
import sqlite3
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import programs
from mic_mail.mime.imap_structure import answers_of
from mic_mail.storage.changes import maildir_record
from mic_mail.storage.delivery import Delivery
from mic_mail.storage.errors import DiskFull, Unavailable
from mic_mail.storage.local_mailstore import Account
from mic_mail.storage.maildir import sidecars
from mic_mail.storage.maildir.account_lock import AccountLock
from mic_mail.storage.maildir.sidecars import FolderSidecar
from mic_mail.storage.types import DELETED, FLAGGED
from store_harness import REF, Root, deliver, inbox, killed_at, message, observe


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    disk = tmp_path / "small"
    disk.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=3m", "tmpfs", disk], capture_output=True, check=False).returncode:
        programs.lack("a file system of its own (mount, as root)")
    yield disk
    subprocess.run(["umount", "-l", disk], check=False)


def test_full_disk_refuses_for_now_and_recovers(small_disk: Path) -> None:
    """Without space nothing half-written stays and nothing acknowledged is lost; with space again, mail goes on."""
    root = Root(small_disk)
    root.use(inbox)
    answered: list[str] = []
    store = root.store()
    account = store.account(REF)
    refusals = 0
    for number in range(2000):
        try:
            deliver(account, inbox(account), [f"t{number}"])
            answered.append(f"t{number}")
        except DiskFull:
            refusals += 1
            if refusals == 3:
                break
    assert refusals == 3
    tokens = [token for token, _ in observe(account)["INBOX"].messages.values()]
    assert tokens == answered
    tmp = root.home / "Maildir/tmp"
    assert len(list(tmp.iterdir())) <= refusals  # staged whole, not published: the caller's to discard
    for file in tmp.iterdir():
        file.unlink()
    subprocess.run(["mount", "-o", "remount,size=30m", small_disk], check=True)
    deliver(account, inbox(account), ["again"])
    assert account.repair(check=True).clean
    store.close()


@pytest.mark.parametrize("number", [errno.EXDEV, errno.EMLINK, errno.EPERM])
def test_where_no_link_can_be_made_a_copy_is(root: Root, monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    """COPY and linked deliveries fall back to a durable copy."""

    def refuse(*_: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "link", refuse)
    spool = root.path / "entry"
    spool.write_bytes(message("a"))

    def act(account: Account) -> None:
        account.publish(inbox(account), [Delivery(account.stage_link(spool), answers_of(message("a")))])
        account.copy(inbox(account), [1], account.folder("Sent").folder_id)

    root.use(act)
    seen = root.use(observe)
    assert [seen[name].messages[1][0] for name in ("INBOX", "Sent")] == ["a", "a"]
    assert root.use(lambda account: account.repair(check=True)).clean


def test_a_lock_that_does_not_come_is_temporary(root: Root) -> None:
    """Whoever waits longer than lock_seconds for an account gets Unavailable, and can go on when the lock is free."""
    root.use(inbox)
    root.settings["lock_seconds"] = 0.1
    with AccountLock(str(root.home / "account.lock"), 1.0).held(), pytest.raises(Unavailable):
        root.use(lambda account: deliver(account, 1, ["a"]))
    assert root.use(lambda account: deliver(account, 1, ["a"])) == [1]


def _full(path: str, content: bytes) -> None:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def test_a_label_that_finds_no_room_stops_nothing_else(root: Root, monkeypatch: pytest.MonkeyPatch) -> None:
    """On a full disk the new label is refused, and nothing but it: EXPUNGE and the sweep, which make room, go on."""
    store = root.store()
    account = store.account(REF)
    deliver(account, inbox(account), ["a", "b", "c"])
    before = observe(account)["INBOX"].messages
    with monkeypatch.context() as full:
        full.setattr(sidecars, "replace_durably", _full)
        for _ in range(2):
            with pytest.raises(DiskFull):
                account.store_flags(inbox(account), [2], "+", FLAGGED, ("NewLabel",))
            assert observe(account)["INBOX"].messages == before
        with pytest.raises(DiskFull):
            account.subscribe("Elsewhere", True)
        account.store_flags(inbox(account), [3], "+", DELETED)
        assert account.expunge(inbox(account)).uids == [3]
        assert account.move(inbox(account), [1], account.folder_id("Archive")).pairs == [(1, 1)]
        account.sweep()
    assert "Elsewhere" not in account.subscriptions()
    account.store_flags(inbox(account), [2], "+", FLAGGED, ("NewLabel",))
    store.close()
    root.lose_index()
    assert root.use(observe)["INBOX"].messages == {2: ("b", frozenset({"\\Flagged", "NewLabel"}))}


def test_sidecars_of_a_change_that_was_undone_are_written_again_once_there_is_room(
    root: Root, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The disk fills in the midst of renaming a tree: some say the new name. Until there is room others change the account, and
    who is killed in one of those loses nothing of it."""
    store = root.store()
    account = store.account(REF)
    for name in ("A", "A/1", "A/2"):
        account.create(name)
    uids = deliver(account, inbox(account), ["a", "b", "c"])
    deliver(account, account.folder_id("A/1"), ["d"])
    before = observe(account)
    real, calls = sidecars.replace_durably, 0

    def fill(path: str, content: bytes) -> None:
        nonlocal calls
        calls += 1
        (real if calls < 3 else _full)(path, content)

    def names_in_sidecars() -> dict[str, str]:
        found = {
            name: FolderSidecar.read(str(root.home / f"Maildir/.{name.replace('/', '.')}")) for name in ("A", "A/1", "A/2")
        }
        return {name: sidecar.name for name, sidecar in found.items() if sidecar is not None}

    with monkeypatch.context() as full:
        full.setattr(sidecars, "replace_durably", fill)
        with pytest.raises(DiskFull):
            account.rename("A", "B")
        assert observe(account) == before
        assert "B" in names_in_sidecars().values()
        assert account.move(inbox(account), uids[:1], account.folder_id("Archive")).pairs
        assert account.remove(inbox(account), uids[1:2]).uids
        assert not killed_at(200, lambda: account.remove(inbox(account), uids[2:]))
    deliver(account, inbox(account), ["e"])
    assert names_in_sidecars() == {name: name for name in ("A", "A/1", "A/2")}
    assert account.repair(check=True).clean
    store.close()


class FullAtCommit:
    """A connection on a disk that is full when it matters."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    def __getattr__(self, name: str) -> Any:
        return getattr(self._connection, name)

    def execute(self, statement: str, *values: Any) -> sqlite3.Cursor:
        if statement == "COMMIT":
            raise OSError(errno.ENOSPC, "No space left on device")
        return self._connection.execute(statement, *values)


def test_what_was_refused_is_not_believed_by_the_next_boot(root: Root, monkeypatch: pytest.MonkeyPatch) -> None:
    """The sidecar is written before the COMMIT, and an epoch believes sidecars: it says again what the index says."""
    place = root.store()
    account = place.account(REF)
    account.subscribe("Goo", True)
    writer = place.store(REF).index.writer
    with monkeypatch.context() as patch:
        patch.setattr(place.store(REF).index, "writer", lambda: FullAtCommit(writer()))
        with pytest.raises(DiskFull):
            account.subscribe("Goo", False)
    assert "Goo" in account.subscriptions()
    place.close()
    root.settings["boot_id"] = "another"
    assert "Goo" in root.use(lambda account: account.subscriptions())


def test_what_was_refused_after_a_mark_was_written_is_not_believed_by_the_next_boot(
    root: Root, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A change that takes a MODSEQ above the mark writes the account's sidecar in its midst, with what it promises. Where that
    fails once the new name stands, and the change with it, the sidecar says again what the index says."""
    monkeypatch.setattr(maildir_record, "MARK_STEP", 0)
    place = root.store()
    account = place.account(REF)
    account.subscribe("Goo", True)
    real = sidecars.replace_durably

    def half_done(path: str, content: bytes) -> None:
        real(path, content)
        patch.undo()
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    with monkeypatch.context() as patch:
        patch.setattr(sidecars, "replace_durably", half_done)
        with pytest.raises(Unavailable):
            account.subscribe("Goo", False)
    assert "Goo" in account.subscriptions()
    place.close()
    root.settings["boot_id"] = "another"
    assert "Goo" in root.use(lambda account: account.subscriptions())


def test_what_is_owed_outlives_a_record_that_finds_no_room(root: Root, monkeypatch: pytest.MonkeyPatch) -> None:
    """A large change writes its own record over that of sidecars that are owed, and the disk is full in the midst of it."""
    store = root.store()
    account = store.account(REF)
    account.create("A")
    uids = deliver(account, inbox(account), [f"t{number}" for number in range(100)])
    real, pwrite = sidecars.replace_durably, os.pwrite
    lock = str(root.home / "account.lock")

    def written_but_refused(path: str, content: bytes) -> None:
        real(path, content)
        monkeypatch.setattr(sidecars, "replace_durably", _full)
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def one_block(fd: int, octets: bytes, at: int) -> int:
        if os.readlink(f"/proc/self/fd/{fd}") != lock:
            return pwrite(fd, octets, at)
        if at >= 4096:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return pwrite(fd, octets[: 4096 - at], at)

    monkeypatch.setattr(sidecars, "replace_durably", written_but_refused)
    with pytest.raises(DiskFull):
        account.rename("A", "B")
    monkeypatch.setattr(os, "pwrite", one_block)
    with pytest.raises(DiskFull):
        account.remove(inbox(account), uids)
    monkeypatch.undo()
    sidecar = FolderSidecar.read(str(root.home / "Maildir/.A"))
    assert sidecar is not None
    assert sidecar.name == "B"
    deliver(account, inbox(account), ["e"])
    sidecar = FolderSidecar.read(str(root.home / "Maildir/.A"))
    assert sidecar is not None
    assert sidecar.name == "A"
    assert account.repair(check=True).clean
    store.close()


def test_the_next_mark_finds_its_room_on_a_full_disk(root: Root, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever number an EXPUNGE takes, it makes room; and none that was taken is ever given again."""
    monkeypatch.setattr(maildir_record, "MARK_STEP", 0)
    store = root.store()
    account = store.account(REF)
    uids = deliver(account, inbox(account), ["a", "b", "c"])
    account.store_flags(inbox(account), uids, "+", DELETED)
    sidecar = root.home / "Maildir/.mic-account"
    size = sidecar.stat().st_size
    synced: list[str] = []
    fdatasync = os.fdatasync
    with monkeypatch.context() as full:
        full.setattr(sidecars, "replace_durably", _full)
        full.setattr(os, "fdatasync", lambda fd: (synced.append(os.readlink(f"/proc/self/fd/{fd}")), fdatasync(fd)))
        taken = [account.expunge(inbox(account), [uid]).modseq for uid in uids][-1]
    assert sidecar.stat().st_size == size
    assert synced == [str(sidecar)] * 3
    store.close()
    root.lose_index()
    assert root.use(lambda account: account.folder("INBOX").highest_modseq) >= taken


def test_what_sidecars_alone_know_outlives_an_epoch_that_finds_no_room(root: Root, monkeypatch: pytest.MonkeyPatch) -> None:
    """A power loss took commits, and the disk is full when the next boot compares: nothing is made of the old index then."""
    monkeypatch.setattr(maildir_record, "MARK_STEP", 0)
    root.use(lambda account: deliver(account, inbox(account), ["a"]))
    old = root.index_copy()

    def act(account: Account) -> int:
        account.subscribe("Goo", True)
        for _ in range(5):
            account.store_flags(inbox(account), [1], "+", FLAGGED)
            account.store_flags(inbox(account), [1], "-", FLAGGED)
        return account.folder("INBOX").highest_modseq

    told = root.use(act)
    root.power_loss(old)
    place = root.store()
    store = place.store(REF)
    writer = store.index.writer
    with monkeypatch.context() as patch:
        patch.setattr(store.index, "writer", lambda: FullAtCommit(writer()))
        with pytest.raises(DiskFull):
            place.account(REF).folders()
    place.close()
    assert "Goo" in root.use(lambda account: account.subscriptions())
    assert root.use(lambda account: account.folder("INBOX").highest_modseq) > told
