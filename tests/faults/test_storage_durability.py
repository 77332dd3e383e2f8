"""The order in which changes of the store become durable, and what other processes see of them meanwhile."""

import errno
import multiprocessing
import os
import threading
import time
from dataclasses import replace
from pathlib import Path

import pytest

from mic_mail.storage.maildir import sidecars
from mic_mail.storage.maildir.group_fsync import SharedSync
from mic_mail.storage.maildir.sidecars import AccountSidecar
from store_harness import REF, Root, deliver, inbox
from waiting import PATIENCE_SECONDS, wait_for


def test_durable_before_it_is_said(root: Root, monkeypatch: pytest.MonkeyPatch) -> None:
    """The content is fsynced before its name stands in cur/, the folder after the name and before publish() returns."""
    root.use(inbox)
    steps: list[str] = []
    fsync, rename = os.fsync, os.rename

    def traced_fsync(fd: int) -> None:
        steps.append(
            "fsync " + os.path.basename(os.path.dirname(path)) if os.path.isfile(path := _path(fd)) else f"fsync {path}"
        )
        fsync(fd)

    def traced_rename(old: str, new: str) -> None:
        steps.append(f"rename into {os.path.dirname(new)}")
        rename(old, new)

    monkeypatch.setattr(os, "fsync", traced_fsync)
    monkeypatch.setattr(os, "rename", traced_rename)
    store = root.store()
    account = store.account(REF)
    account.view(inbox(account))
    for number in range(2):  # the first also writes the mark
        steps.clear()
        deliver(account, inbox(account), [f"t{number}"])
    steps.append("returned")
    cur = root.home / "Maildir/cur"
    assert steps == ["fsync tmp", f"rename into {cur}", f"fsync {cur}", "returned"]
    assert root.changes[-1][0] == REF.account_id
    store.close()


def _path(fd: int) -> str:
    return os.readlink(f"/proc/self/fd/{fd}")


def _deliver_many(path: Path, settings: dict[str, object], writer: int, number: int) -> None:
    root = Root(path, settings=settings)
    root.use(lambda account: [deliver(account, 1, [f"w{writer}n{each}"]) for each in range(number)])


def test_uids_become_visible_in_order(root: Root) -> None:
    """With four writing processes an observer never sees a UID below one that it has seen before, and misses none."""
    root.use(inbox)
    forked = multiprocessing.get_context("fork")
    writers = [forked.Process(target=_deliver_many, args=(root.path, root.settings, n, 40)) for n in range(4)]
    for writer in writers:
        writer.start()
    store = root.store()
    account = store.account(REF)
    seen: list[int] = []
    modseq = 0
    deadline = time.monotonic() + PATIENCE_SECONDS
    while len(seen) < 160 and time.monotonic() < deadline:
        changes = account.changes(1, modseq)
        modseq = changes.highest_modseq
        new = [row[0] for row in changes.changed]
        assert not new or not seen or min(new) > seen[-1]
        seen += new
    for writer in writers:
        writer.join()
        assert writer.exitcode == 0
    assert seen == list(range(1, 161))
    assert account.repair(check=True).clean
    store.close()


def test_one_fsync_serves_all_who_wait(tmp_path: Path) -> None:
    """Names that stood before an fsync began are covered by it; a failure reaches everybody whom it should have covered."""
    release, running = threading.Event(), threading.Event()
    runs: list[int] = []

    def slow(fd: int) -> None:
        runs.append(fd)
        running.set()
        if len(runs) == 1:
            release.wait(10)
        else:
            raise OSError(errno.EIO, "disk")

    shared = SharedSync(slow)
    cur = os.open(tmp_path, os.O_RDONLY)
    outcomes: list[str] = []

    def wait() -> None:
        try:
            shared.make_durable(cur)
            outcomes.append("durable")
        except OSError:
            outcomes.append("failed")

    first = threading.Thread(target=wait)
    first.start()
    assert running.wait(PATIENCE_SECONDS)
    others = [threading.Thread(target=wait) for _ in range(20)]
    for thread in others:
        thread.start()
    (rounds,) = shared._folders.values()
    wait_for(lambda: rounds.users == 21)
    release.set()
    for thread in [first, *others]:
        thread.join()
    os.close(cur)
    assert outcomes[0] == "durable"
    assert outcomes.count("failed") == 20
    assert len(runs) == 2


def test_many_folders_become_durable_in_their_order(root: Root, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where messages come to before where they came from, also of more folders than are held open."""
    place = root.store()
    account = place.account(REF)
    for number in range(20):
        folder = account.create(f"F{number:02}").folder_id
        account.remove(folder, deliver(account, folder, [f"t{number}"]))
    synced: list[str] = []
    fsync = os.fsync

    def watched(fd: int) -> None:
        synced.append(_path(fd))
        fsync(fd)

    monkeypatch.setattr(os, "fsync", watched)
    account.undelete()
    monkeypatch.undo()
    folders = [Path(path).parent.name for path in synced if path.endswith("/cur")]
    assert folders == sorted(folders)
    assert len(set(folders)) == 20
    assert synced[-1].endswith(".expunged")
    place.close()


def test_a_mark_is_written_in_place_only_where_it_fits(tmp_path: Path) -> None:
    """A number may grow by the space before it, and no further; nothing is written into what is damaged."""
    sidecar = AccountSidecar(account_id=7, modseq_mark=998, uidvalidity_next=1, subscriptions=("A",))
    sidecar.write(str(tmp_path))
    assert sidecars.write_mark_in_place(str(tmp_path), 1999)
    assert not sidecars.write_mark_in_place(str(tmp_path), 10_000)
    assert AccountSidecar.read(str(tmp_path)) == replace(sidecar, modseq_mark=1999)
    for damaged in (b"", b"{", b"[" * 600):
        (tmp_path / ".mic-account").write_bytes(damaged)
        assert not sidecars.write_mark_in_place(str(tmp_path), 2000)
        assert (tmp_path / ".mic-account").read_bytes() == damaged
    (tmp_path / ".mic-account").unlink()
    assert not sidecars.write_mark_in_place(str(tmp_path), 2000)
