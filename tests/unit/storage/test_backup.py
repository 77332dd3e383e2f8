"""Backups restore what was there; a later one links what an earlier one has."""

import contextlib
import os
import shutil
import sqlite3
from pathlib import Path

import pytest

from mic_mail.errors import BadInput
from mic_mail.storage.backup.format import OfAnotherVersion, examine, numbers_of
from mic_mail.storage.changes import maildir_record
from mic_mail.storage.errors import NotPermitted
from mic_mail.storage.local_mailstore import Account
from mic_mail.storage.types import FLAGGED
from store_harness import Root, deliver, inbox, observe
from unit.storage.conftest import fill


def test_backup_restores(root: Root, tmp_path: Path) -> None:
    """A restore gives what was backed up; a UID given out since then is not given again; the replaced store is kept."""
    root.use(fill)
    saved = root.use(observe)
    target = tmp_path / "backup"
    root.use(lambda account: account.backup(target))
    root.use(lambda account: deliver(account, inbox(account), ["later"]))
    given = root.use(observe)["INBOX"].uidnext
    with pytest.raises(NotPermitted):
        root.use(lambda account: account.restore(target))
    told: list[tuple[int, int]] = []
    assert root.use(lambda account: account.restore(target, replace=True, progress=lambda *n: told.append(n))).clean
    assert told[-1] == (4, 4)
    back = root.use(observe)
    assert {name: seen.messages for name, seen in back.items()} == {name: seen.messages for name, seen in saved.items()}
    assert back["INBOX"].uidvalidity == saved["INBOX"].uidvalidity
    assert back["INBOX"].uidnext >= given
    assert root.use(lambda account: account.repair(check=True)).clean
    assert len(root.set_aside()) == 1


def test_after_a_failover_no_number_means_anything_else(root: Root, tmp_path: Path) -> None:
    """The failed machine went on after the backup: what clients saw there last is not known here. UIDVALIDITYs stay, and every
    new number is above all that it can have given out; QRESYNC from any of its MODSEQs finds what is gone."""
    root.use(fill)
    root.use(lambda account: account.backup(tmp_path / "backup"))
    saved = root.use(observe)

    def go_on(account: Account) -> tuple[int, int]:
        for number in range(3):
            deliver(account, inbox(account), [f"lost{number}"])
        return account.folder("INBOX").highest_modseq, account.create("new").uidvalidity

    seen_modseq, seen_uidvalidity = root.use(go_on)
    lost = root.use(observe)
    root.lose_store()

    def take_over(account: Account) -> None:
        assert account.restore(tmp_path / "backup", failover=True).clean
        changes = account.changes(inbox(account), seen_modseq)
        assert not changes.complete
        deliver(account, inbox(account), ["after"])
        assert account.create("new").uidvalidity > seen_uidvalidity

    root.use(take_over)
    after = root.use(observe)
    assert {name: seen.uidvalidity for name, seen in saved.items()} == {
        name: seen.uidvalidity for name, seen in after.items() if name in saved
    }
    old, new = saved["INBOX"].messages, after["INBOX"].messages
    assert {uid: new[uid] for uid in old} == old
    [uid] = new.keys() - old.keys()
    assert uid >= saved["INBOX"].uidnext + 1_000_000 > max(lost["INBOX"].messages)
    assert root.use(lambda account: account.folder("INBOX").highest_modseq) > seen_modseq + 999_999_000
    assert root.use(lambda account: account.repair(check=True)).clean


def test_what_was_left_behind_by_a_move_proves_no_number(root: Root, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It went to another machine and comes back from a backup: this one does not know which UIDs were given out there."""
    monkeypatch.setattr(maildir_record, "MARK_STEP", 1)
    root.use(fill)
    root.use(lambda account: account.backup(tmp_path / "there"))
    saved = root.use(observe)
    other = Root(tmp_path / "other")
    other.use(lambda account: account.restore(tmp_path / "there", moved=True))

    other.use(lambda account: [deliver(account, inbox(account), [token]) for token in ("a", "b", "c")])
    other.use(lambda account: account.backup(tmp_path / "back"))
    root.use(lambda account: account.restore(tmp_path / "back", replace=True))
    assert root.use(observe)["INBOX"].uidvalidity > saved["INBOX"].uidvalidity


def inodes(backup: Path) -> dict[str, int]:
    """Base name -> inode of each message of a backup."""
    return {path.name.partition(",")[0]: path.stat().st_ino for path in backup.rglob("cur/*")}


def test_a_backup_links_what_an_earlier_one_has(root: Root, tmp_path: Path) -> None:
    """Whatever became of flags and folders meanwhile; new mail is copied; each is whole when the other is gone."""
    first, second = tmp_path / "first", tmp_path / "second"
    root.use(fill)
    root.use(lambda account: account.backup(first))

    def go_on(account: Account) -> None:
        uids = account.view(inbox(account)).uids
        account.store_flags(inbox(account), list(uids)[:1], "+", FLAGGED)
        account.move(inbox(account), list(uids)[:1], account.folder("Archive").folder_id)
        deliver(account, inbox(account), ["later"])

    root.use(go_on)
    saved = root.use(observe)
    root.use(lambda account: account.backup(second, earlier=first))
    before, after = inodes(first), inodes(second)
    assert before.items() <= after.items()
    (fresh,) = after.keys() - before.keys()
    assert os.stat(next(second.rglob(f"cur/{fresh}*"))).st_nlink == 1
    live = {path.stat().st_ino for path in root.files()}
    assert not live & set(after.values()), "a backup shares no file with the store"
    shutil.rmtree(first)
    root.use(lambda account: account.restore(second, replace=True))
    back = root.use(observe)
    assert {name: seen.messages for name, seen in back.items()} == {name: seen.messages for name, seen in saved.items()}


@pytest.mark.parametrize("what", ["longer", "older", "a link", "gone", "not finished"])
def test_what_is_not_the_same_in_an_earlier_backup_is_copied(root: Root, tmp_path: Path, what: str) -> None:
    """By size and time; and nothing of one without its manifest."""
    first, second = tmp_path / "first", tmp_path / "second"
    root.use(lambda account: deliver(account, inbox(account), ["a"]))
    root.use(lambda account: account.backup(first))
    (message,) = first.rglob("cur/*")
    content, times = message.read_bytes(), message.stat()
    message.chmod(0o640)
    if what == "longer":
        message.write_bytes(content + b"x")
        os.utime(message, ns=(times.st_mtime_ns, times.st_mtime_ns))
    elif what == "older":
        os.utime(message, ns=(1, 1))
    elif what == "a link":
        message.rename(tmp_path / "elsewhere")
        message.symlink_to(tmp_path / "elsewhere")
    elif what == "gone":
        message.unlink()
    else:
        (first / "manifest.json").unlink()
    root.use(lambda account: account.backup(second, earlier=first))
    (copied,) = second.rglob("cur/*")
    assert copied.read_bytes() == content
    assert not copied.is_symlink()
    assert copied.stat().st_nlink == 1


def test_restored_files_can_be_used_without_root(root: Root, tmp_path: Path) -> None:
    """Their owner may write to the index and the sidecars, and to no message."""
    root.use(lambda account: deliver(account, inbox(account), ["a"]))
    root.use(lambda account: account.backup(tmp_path / "backup"))
    root.use(lambda account: account.restore(tmp_path / "backup", replace=True))
    writable = {
        os.path.basename(os.path.dirname(file)) == "cur": bool(file.stat().st_mode & 0o200)
        for home in root.path.rglob("index.sqlite")
        if ".replaced-" not in str(home)
        for file in home.parent.rglob("*")
        if file.is_file()
    }
    assert writable == {True: False, False: True}


def test_restore_without_marks_renumbers(root: Root, tmp_path: Path) -> None:
    """Where the store is gone nothing proves which UIDs were given out: every folder gets a new UIDVALIDITY."""
    root.use(fill)
    saved = root.use(observe)
    root.use(lambda account: account.backup(tmp_path / "backup"))
    root.lose_store()
    root.use(lambda account: account.restore(tmp_path / "backup"))
    back = root.use(observe)
    assert {name: seen.messages for name, seen in back.items()} == {name: seen.messages for name, seen in saved.items()}
    assert all(back[name].uidvalidity > seen.uidvalidity for name, seen in saved.items())


def test_restore_wants_a_whole_backup(root: Root, tmp_path: Path) -> None:
    """A folder without its manifest is refused, and nothing happens to the store."""
    root.use(fill)
    (tmp_path / "half").mkdir()
    with pytest.raises(BadInput):
        root.use(lambda account: account.restore(tmp_path / "half"))
    assert root.use(lambda account: account.repair(check=True)).clean


@pytest.mark.parametrize("replace", [False, True])
def test_a_backup_of_another_version_is_refused_before_anything_is_copied(root: Root, tmp_path: Path, *, replace: bool) -> None:
    """The refusal names the ways on, and nothing happens to the store."""
    if replace:
        root.use(fill)
    other = Root(tmp_path / "elsewhere")
    other.use(fill)
    other.use(lambda account: account.backup(tmp_path / "backup"))
    with contextlib.closing(sqlite3.connect(tmp_path / "backup" / "index.sqlite")) as index:
        index.execute("PRAGMA user_version = 2")
    copied: list[int] = []
    before = root.use(observe)
    with pytest.raises(OfAnotherVersion) as refusal:
        root.use(
            lambda account: account.restore(tmp_path / "backup", replace=replace, progress=lambda done, of: copied.append(done))
        )
    assert copied == []
    assert "import maildir" in str(refusal.value.remedy)
    assert root.use(observe) == before
    for look in (examine, numbers_of):
        with pytest.raises(OfAnotherVersion):
            look(tmp_path / "backup")
