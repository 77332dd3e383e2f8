"""Others at work in the same instant: another process, an administrator, a foreign Maildir tool, a limit that is reached."""

import errno
import fcntl
import os
import resource
import shutil
import signal
import threading
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path

import pytest

from kills import Say, in_child
from mic_mail.mime.imap_structure import answers_of
from mic_mail.storage.changes import maildir_record, retention
from mic_mail.storage.delivery import Delivery
from mic_mail.storage.errors import Unavailable
from mic_mail.storage.local_mailstore import Account
from mic_mail.storage.maildir.intent_record import NOTHING, Intent, clear_intent, read_intent, write_intent
from mic_mail.storage.maildir.sidecars import FolderSidecar
from mic_mail.storage.maintenance import sweep
from mic_mail.storage.types import DELETED, FLAGGED, SEEN
from store_harness import REF, Root, deliver, inbox, message, observe
from waiting import PATIENCE_SECONDS


@contextmanager
def waiting_for_the_lock(root: Root, act: Callable[[Account], object]) -> Iterator[None]:
    """`act` has begun in another process's store and waits for the account's lock while the block runs; then it has ended."""
    store = root.store()
    account = store.account(REF)
    observe(account)
    failures: list[BaseException] = []

    def run() -> None:
        try:
            act(account)
        except BaseException as error:  # noqa: BLE001 - raised again below
            failures.append(error)

    thread = threading.Thread(target=run)
    has_asked, flock = threading.Event(), fcntl.flock

    def asked(fd: int, operation: int) -> None:
        if threading.current_thread() is thread:
            has_asked.set()
        flock(fd, operation)

    with (root.home / "account.lock").open() as file, pytest.MonkeyPatch.context() as patches:
        flock(file, fcntl.LOCK_EX)
        patches.setattr(fcntl, "flock", asked)
        thread.start()
        assert has_asked.wait(PATIENCE_SECONDS)
        yield
    thread.join()
    store.close()
    for failure in failures:
        raise failure


def test_who_waited_for_the_lock_writes_to_the_index_that_lies_there_now(root: Root) -> None:
    """It was made anew, or restored, in between: what was acknowledged is in it, not only in the one that is gone."""
    root.use(lambda account: deliver(account, inbox(account), ["a"]))
    index = root.home / "index.sqlite"

    def act(account: Account) -> None:
        account.store_flags(inbox(account), [1], "+", FLAGGED)
        deliver(account, inbox(account), ["b"])

    with waiting_for_the_lock(root, act):
        shutil.copy(index, index.with_suffix(".new"))
        root.lose_index()
        index.with_suffix(".new").rename(index)
    assert root.use(observe)["INBOX"].messages == {1: ("a", frozenset({"\\Flagged"})), 2: ("b", frozenset())}


def test_numbers_given_out_while_a_restore_waits_are_not_given_again(root: Root, tmp_path: Path) -> None:
    """The marks are read when nobody can raise them any more."""
    root.use(lambda account: deliver(account, inbox(account), ["a"]))
    root.use(lambda account: account.backup(tmp_path / "backup"))
    maildir = str(root.home / "Maildir")
    with waiting_for_the_lock(root, lambda account: account.restore(tmp_path / "backup", replace=True)):
        sidecar = FolderSidecar.read(maildir)
        assert sidecar is not None
        replace(sidecar, uidnext_mark=5001).write(maildir)
    assert root.use(lambda account: account.folder("INBOX").uidnext) >= 5001


@pytest.mark.slow
def test_a_backup_ends_beside_somebody_who_never_stops_writing(root: Root, tmp_path: Path) -> None:
    """An index of many pages is copied as of one instant, however often it changes meanwhile."""
    store = root.store()
    account = store.account(REF)
    padding = b"".join(b"X-Padding: %b\r\n" % (b"x" * 70) for _ in range(1500))
    answers = answers_of(b"Subject: large\r\n%b\r\n" % padding)
    deliveries = []
    for _ in range(500):  # 60 MB of index, and no more of messages than has to be
        staged = account.stage()
        staged.write(b"Subject: large\r\n\r\n")
        staged.finish_later()
        deliveries.append(Delivery(staged, answers))
    account.publish(inbox(account), deliveries)
    writer = root.store().account(REF)
    ended = threading.Event()

    def write() -> None:
        while not ended.is_set():
            writer.store_flags(inbox(writer), [1], "+", SEEN)
            writer.store_flags(inbox(writer), [1], "-", SEEN)

    writing = threading.Thread(target=write)
    writing.start()
    backup = threading.Thread(target=account.backup, args=[tmp_path / "backup"])
    backup.start()
    backup.join(30)
    ended.set()
    stuck = backup.is_alive()
    writing.join()
    backup.join()
    assert not stuck
    store.close()


def test_a_folder_that_is_brought_back_is_not_swept_away(root: Root) -> None:
    """The sweep had found its term over, and comes to it when it is a folder again."""
    store = root.store()
    account = store.account(REF)
    saved = account.create("Saved").folder_id
    deliver(account, saved, ["a", "b"])
    account.delete("Saved")
    assert account.undelete(folder="Saved") == 2
    assert retention.let_go_folder(store.store(REF), saved) is None
    assert len(observe(account)["Saved"].messages) == 2
    assert account.repair(check=True).clean
    store.close()


def test_a_sweep_beside_deliveries_comes_to_its_end(root: Root, monkeypatch: pytest.MonkeyPatch) -> None:
    """A staged file that is published between the listing and the look at its age is nobody's to drop, and stops nothing."""
    store = root.store()
    account = store.account(REF)
    deliver(account, inbox(account), ["a"])
    staged = account.stage()
    staged.write(b"x")
    real = os.scandir

    @contextmanager
    def scan(path: str) -> Iterator[list[os.DirEntry[str]]]:
        with real(path) as entries:
            listed = list(entries)
        if str(path).endswith("/tmp"):
            staged.discard()
        yield listed

    monkeypatch.setattr(os, "scandir", scan)
    sweep._drop_abandoned(store.store(REF), 0)
    store.close()


@pytest.mark.parametrize("act", ["move", "expunge"])
def test_names_that_cannot_be_undone_now_stop_the_mailbox_only_until_they_can(
    root: Root, monkeypatch: pytest.MonkeyPatch, act: str
) -> None:
    """A disk that takes no more writes in the middle of a change, and takes them again: all is as before the change."""
    store = root.store()
    account = store.account(REF)
    deliver(account, inbox(account), ["a", "b"])
    target = account.create("Target").folder_id
    if act == "expunge":
        account.store_flags(inbox(account), [1, 2], "+", DELETED)
        account.flush_names()
    before = observe(account)
    real, calls = os.rename, 0

    def fail(old: str, new: str) -> None:
        nonlocal calls
        calls += 1
        if calls > 1:
            raise OSError(errno.EROFS, os.strerror(errno.EROFS))
        real(old, new)

    with monkeypatch.context() as bad:
        bad.setattr(os, "rename", fail)
        with pytest.raises(Unavailable):
            account.move(inbox(account), [1, 2], target) if act == "move" else account.expunge(inbox(account))
    assert {name: seen.messages for name, seen in observe(account).items()} == {
        name: seen.messages for name, seen in before.items()
    }
    deliver(account, inbox(account), ["c"])
    assert account.repair(check=True).clean
    store.close()


def test_a_directory_that_is_gone_does_not_stop_what_a_kill_left_from_being_undone(root: Root) -> None:
    """Killed in a MOVE, and the folder that the message came from removed by another tool: it is found where it is."""
    root.use(lambda account: [account.create("From"), account.create("To")])
    root.use(lambda account: deliver(account, account.folder("From").folder_id, ["a"]))
    [old] = (root.home / "Maildir/.From/cur").iterdir()
    new = root.home / "Maildir/.To/cur" / old.name
    with (root.home / "account.lock").open("r+b") as file:
        write_intent(file.fileno(), Intent(1 << 40, "first boot", [(str(old), str(new))]))
    old.rename(new)
    shutil.rmtree(root.home / "Maildir/.From")
    root.use(lambda account: account.rescan())
    seen = root.use(observe)
    assert "From" not in seen
    assert [token for token, _ in seen["To"].messages.values()] == ["a"]


@pytest.mark.parametrize("act", ["expunge", "move", "copy", "rescan"])
def test_a_file_that_is_renamed_in_that_moment_is_found_again(root: Root, act: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another tool sets flags, or takes mail out of `new/`, between our look and our rename or link."""
    store = root.store()
    account = store.account(REF)
    target = account.create("Target").folder_id
    deliver(account, inbox(account), ["a", "b"])
    account.store_flags(inbox(account), [1], "+", DELETED)
    (root.home / "Maildir/new/1600000000.V1I2.other").write_bytes(message("c"))
    left = [1]

    def beside(real: Callable[[str, str], None]) -> Callable[[str, str], None]:
        def run(old: str, new: str) -> None:
            if left and "/Maildir/" in old:
                left.pop()
                folder, _, name = old.rpartition("/")
                moved = f"{folder.removesuffix('/new').removesuffix('/cur')}/cur/{name.partition(':')[0]}:2,S"
                os.replace(old, moved)
            real(old, new)

        return run

    with monkeypatch.context() as others:
        others.setattr(os, "rename", beside(os.rename))
        others.setattr(os, "link", beside(os.link))
        match act:
            case "expunge":
                assert account.expunge(inbox(account)).uids == [1]
            case "move":
                assert [uid for uid, _ in account.move(inbox(account), [1, 2], target).pairs] == [1, 2]
            case "copy":
                assert [uid for uid, _ in account.copy(inbox(account), [1, 2], target, every=True).pairs] == [1, 2]
            case "rescan":
                account.rescan()
    assert not left
    account.rescan()
    account.flush_names()
    assert account.repair(check=True).clean
    account.undelete()
    assert {token for seen in observe(account).values() for token, _ in seen.messages.values()} == {"a", "b", "c"}
    store.close()


def test_a_sidecar_that_cannot_be_opened_for_want_of_a_descriptor_is_not_a_damaged_one(root: Root) -> None:
    """Whoever took it for one would write another over it: a new UIDVALIDITY, and keywords that mean something else."""
    root.use(inbox)
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    held: list[int] = []
    resource.setrlimit(resource.RLIMIT_NOFILE, (256, limits[1]))
    try:
        with suppress(OSError):
            while True:
                held.append(os.open("/dev/null", os.O_RDONLY))
        with pytest.raises(OSError, match="Too many open files"):
            FolderSidecar.read(str(root.home / "Maildir"))
    finally:
        for fd in held:
            os.close(fd)
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)
    assert FolderSidecar.read(str(root.home / "Maildir"))


@pytest.mark.parametrize("act", ["append", "copy", "move", "expunge"])
@pytest.mark.parametrize("again", [True, False])
def test_what_is_committed_is_done_once_though_its_folder_is_renamed_before_the_fsync(
    root: Root, monkeypatch: pytest.MonkeyPatch, act: str, again: bool
) -> None:
    """Another session renames it as soon as the lock is free, and (`again`) makes a new one of that name: the change is
    acknowledged, not repeated, and it is the folder itself that is fsynced."""
    store, other = root.store(), root.store()
    account, beside = store.account(REF), other.account(REF)
    account.create("A")
    here, target = inbox(account), account.folder_id("A")
    uids = deliver(account, here, ["a", "b"])
    deliver(account, target, ["c"], flags=DELETED)
    shared = store.store(REF).shared
    make_durable, fsync = shared.syncs.make_durable, os.fsync
    synced: list[int] = []
    left = [1]

    def renamed_first(at: int) -> None:
        if left:
            left.pop()
            beside.rename("A", "B")
            if again:
                beside.create("A")
            monkeypatch.setattr(os, "fsync", noting)
        make_durable(at)

    def noting(fd: int) -> None:
        synced.append(os.fstat(fd).st_ino)
        fsync(fd)

    monkeypatch.setattr(shared.syncs, "make_durable", renamed_first)
    match act:
        case "append":
            deliver(account, target, ["d"])
        case "copy":
            assert len(account.copy(here, uids, target).pairs) == 2
        case "move":
            assert len(account.move(here, uids, target).pairs) == 2
        case "expunge":
            assert account.expunge(target).uids == [1]
    assert not left
    assert (root.home / "Maildir/.B/cur").stat().st_ino in synced
    assert not again or (root.home / "Maildir/.A/cur").stat().st_ino not in synced
    expected = {"append": ["c", "d"], "copy": ["a", "b", "c"], "move": ["a", "b", "c"], "expunge": []}[act]
    assert sorted(token for token, _ in observe(account)["B"].messages.values()) == expected
    assert account.repair(check=True).clean
    store.close()
    other.close()


@pytest.mark.parametrize("renames", range(1, 4))
def test_a_kill_while_a_damaged_index_is_set_aside_forgets_nothing(root: Root, renames: int) -> None:
    """Another process has it open, and the last commits are in its log only: without that it must not pass for a whole one."""
    living = root.store()
    account = living.account(REF)
    deliver(account, inbox(account), ["a", "b"])
    account.checkpoint()
    deliver(account, inbox(account), ["c", "d", "e"])

    def set_aside(say: Say) -> None:
        left = renames
        rename = os.rename

        def dying(old: str, new: str) -> None:
            nonlocal left
            rename(old, new)
            left -= ".broken" in new
            if not left:
                os.kill(os.getpid(), signal.SIGKILL)

        store = root.store().store(REF)
        store.ready()
        os.rename = dying
        store.index.doubtful = True
        store.index.damage = lambda: ["page 7"]  # type: ignore[method-assign]
        store.ready()

    assert in_child(set_aside).killed
    found = root.use(lambda account: (observe(account)["INBOX"], deliver(account, inbox(account), ["f"])))
    assert [token for token, _ in found[0].messages.values()] == ["a", "b", "c", "d", "e"]
    assert found[1][0] > 5
    deliver(account, inbox(account), ["g"])
    assert len(root.use(observe)["INBOX"].messages) == 7
    living.close()


@pytest.mark.parametrize("act", ["deliver", "move", "copy", "expunge"])
def test_a_record_of_an_earlier_boot_takes_back_nothing_that_was_acknowledged(
    root: Root, monkeypatch: pytest.MonkeyPatch, act: str
) -> None:
    """The disk had the record when the power failed, but not that it was cleared; and the index is lost or damaged."""
    records: list[bytes] = []
    write_intent = maildir_record.write_intent

    def noting(fd: int, *rest: object) -> object:
        written = write_intent(fd, *rest)
        records.append(os.pread(fd, os.fstat(fd).st_size, 0))
        return written

    root.use(lambda account: [account.create("Target"), deliver(account, inbox(account), ["a", "b"], flags=DELETED)])
    monkeypatch.setattr(maildir_record, "write_intent", noting)

    def run(account: Account) -> None:
        match act:
            case "deliver":
                deliver(account, inbox(account), ["c"])
            case "move":
                account.move(inbox(account), [1], account.folder_id("Target"))
            case "copy":
                account.copy(inbox(account), [1], account.folder_id("Target"))
            case "expunge":
                account.expunge(inbox(account), [1])

    root.use(run)
    monkeypatch.setattr(maildir_record, "write_intent", write_intent)
    wanted = {name: seen.messages for name, seen in root.use(observe).items()}
    (root.home / "account.lock").write_bytes(records[-1])
    root.power_loss({})
    assert {name: seen.messages for name, seen in root.use(observe).items()} == wanted


def test_a_record_is_what_one_change_has_written_and_nothing_older(tmp_path: Path) -> None:
    """Frame by frame, as far as it was written; what a longer one has left behind it is not read."""
    with (tmp_path / "account.lock").open("w+b") as file:
        fd = file.fileno()
        parts = [Intent(number, "boot", links=[f"link {number}"]) for number in range(3)]
        written = NOTHING
        for part in parts:
            written = write_intent(fd, part, written)
        found = read_intent(fd)
        assert found is not None
        assert found.links == ["link 0", "link 1", "link 2"]
        os.ftruncate(fd, written.end - 1)
        found = read_intent(fd)
        assert found is not None
        assert found.links == ["link 0", "link 1"]
        for first in (parts[0], Intent(7, "boot", links=["link 7"])):  # of the same length, and one the same
            clear_intent(fd)
            write_intent(fd, first)
            found = read_intent(fd)
            assert found is not None
            assert found.links == first.links


def test_a_record_that_an_earlier_version_left_is_read(tmp_path: Path) -> None:
    """It was killed within an EXPUNGE before records had `moves`, and the server was updated then."""
    body = b'{"serial":7,"boot_id":"boot","renames":[["/old","/new"]],"links":[],"leftovers":[],"sidecars":[]}'
    file = tmp_path / "account.lock"
    file.write_bytes(len(body).to_bytes(8, "big") + zlib.crc32(body).to_bytes(4, "big") + body + bytes(12))
    with file.open("rb") as opened:
        assert read_intent(opened.fileno()) == Intent(7, "boot", renames=[("/old", "/new")])
