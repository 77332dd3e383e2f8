"""Files and folders that others made, changed or closed: taken in, or left and told, and no mailbox is stopped by one."""

import json
import os
import re
import shutil
import socket
import tempfile
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from mic_mail.storage.errors import Unavailable
from mic_mail.storage.local_mailstore import Account
from mic_mail.storage.types import FLAGGED, SEEN
from store_harness import Root, deliver, inbox, message, observe
from unit.storage.before_opening import another_boot, lose_nothing


def test_foreign_mail_in_new_is_taken_in(root: Root) -> None:
    """What another tool drops into new/ is in the next view, CRLF, under a new UID, once."""
    root.use(lambda account: deliver(account, inbox(account), ["a"]))
    dropped = root.home / "Maildir/new/1600000000.V1I2.other"
    dropped.write_bytes(message("b").replace(b"\r\n", b"\n"))
    os.utime(dropped, (1_600_000_000, 1_600_000_000))
    seen = root.use(observe)["INBOX"].messages
    assert [token for token, _ in seen.values()] == ["a", "b"]
    assert list((root.home / "Maildir/new").iterdir()) == []
    assert root.use(lambda account: account.rows(inbox(account), [2], ["internaldate_us"])) == [(1_600_000_000_000_000,)]
    assert root.use(lambda account: account.repair(check=True)).clean


@pytest.mark.skipif(not os.access("/dev/shm", os.W_OK), reason="needs a file system that keeps any time")
@pytest.mark.parametrize("seconds", [-(1 << 62), -(1 << 40), 1 << 40, 1 << 62])
def test_a_foreign_file_of_any_time_is_taken_in(seconds: int) -> None:
    """Whenever a file claims to be from, it becomes a message, whose INTERNALDATE is within the calendar."""
    with tempfile.TemporaryDirectory(dir="/dev/shm") as folder:
        root = Root(Path(folder))
        root.use(observe)
        dropped = root.home / "Maildir/new/1600000000.V1I2.other"
        dropped.write_bytes(message("b"))
        os.utime(dropped, (seconds, seconds))
        assert [token for token, _ in root.use(observe)["INBOX"].messages.values()] == ["b"]
        [(received_us,)] = root.use(lambda account: account.rows(inbox(account), [1], ["internaldate_us"]))
        assert 1 <= (datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=received_us)).year <= 9999


def test_foreign_changes_in_cur(root: Root) -> None:
    """A renamed file gives its flags, a removed one vanishes, a copied one is a new message."""
    root.use(lambda account: deliver(account, inbox(account), ["a", "b", "c"]))
    cur = root.home / "Maildir/cur"
    first, second, third = sorted(cur.iterdir(), key=lambda file: file.name.split("U=")[1])
    root.use(lambda account: account.store_flags(inbox(account), [3], "+", FLAGGED))
    third = next(file for file in cur.iterdir() if "U=3:" in file.name)
    (cur / f"copy{first.name}").write_bytes(first.read_bytes())
    first.rename(cur / f"{first.name}S")
    second.unlink()
    third.rename(third.with_name(third.name.replace(":2,F", ":2,R")))
    report = root.use(lambda account: account.rescan())
    assert not report.clean
    seen = root.use(observe)["INBOX"].messages
    assert seen == {
        1: ("a", frozenset({"\\Seen"})),
        3: ("c", frozenset({"\\Answered"})),
        4: ("a", frozenset()),
    }
    assert root.use(lambda account: account.repair(check=True)).clean


@pytest.mark.parametrize("before_opening", [lose_nothing, Root.lose_index, another_boot])
def test_folders_whose_names_are_not_utf_8_get_names_that_are(root: Root, before_opening: Callable[[Root], None]) -> None:
    """The index cannot hold such a name: the directory is renamed, its mail is there, and nothing else suffers."""
    root.use(lambda account: deliver(account, inbox(account), ["a"]))
    root.use(lambda account: deliver(account, account.create("Work").folder_id, ["w"]))
    maildir = os.fsencode(root.home / "Maildir")
    for place, octets in enumerate((b".\xff\xfe", b".\xfe\xff")):
        for part in (b"cur", b"new", b"tmp"):
            os.makedirs(os.path.join(maildir, octets, part))
        with open(os.path.join(maildir, octets, b"cur", b"1600000000.%d.\xff:2,S" % place), "wb") as file:
            file.write(message(f"f{place}"))
    (root.home / "Maildir/.??").mkdir()  # what stands in the way of a name is left alone
    os.rename(os.path.join(maildir, b".Work"), os.path.join(maildir, b".Work\xff"))
    before_opening(root)
    findings = root.use(lambda account: account.repair(check=True)).findings
    if before_opening is lose_nothing:
        assert {finding.kind for finding in findings} >= {"folder-found", "folder-renamed"}
    root.use(lambda account: account.rescan())
    seen = root.use(observe)
    assert seen["INBOX"].messages == {1: ("a", frozenset())}
    found = sorted(token for folder in seen.values() for token, _ in folder.messages.values())
    assert found == ["a", "f0", "f1", "w"]
    assert all(entry.isascii() for entry in os.listdir(root.home / "Maildir"))
    assert root.use(lambda account: account.repair()).clean
    assert root.use(lambda account: account.repair(check=True)).clean


def test_a_message_that_gets_a_name_that_is_not_utf_8_is_a_new_one(root: Root) -> None:
    """Its row cannot follow such a name; its octets are there under a UID of their own."""
    root.use(lambda account: deliver(account, inbox(account), ["a", "b"]))
    for file in (root.home / "Maildir/cur").iterdir():
        os.rename(file, os.fsencode(file) + b"S\xff")
    root.use(lambda account: account.rescan())
    assert sorted(token for token, _ in root.use(observe)["INBOX"].messages.values()) == ["a", "b"]
    assert root.use(lambda account: account.repair(check=True)).clean


def test_a_dovecot_subscription_that_is_not_utf_8_is_left_out(root: Root) -> None:
    """No client can have asked for it."""
    (root.home / "Maildir/cur").mkdir(parents=True)
    (root.home / "Maildir/subscriptions").write_bytes(b"V\t2\n\nGood\n\xff\xfe\nn\0l\nbell\7\n")
    subscribed = root.use(lambda account: account.subscriptions())
    assert "Good" in subscribed
    assert [name for name in subscribed if not name.isprintable()] == []


@pytest.fixture
def unprivileged() -> Iterator[Root]:
    """A root whose server is not root, who may read everything: root takes another effective user for as long."""
    with tempfile.TemporaryDirectory() as folder:
        if os.geteuid() == 0:
            if not all(parent.stat().st_mode & 0o001 for parent in Path(folder).parents):
                pytest.skip("only root may enter the folder for temporary files")
            os.chown(folder, 65534, 65534)
            os.seteuid(65534)
        yield Root(Path(folder))
        os.seteuid(os.getuid())


def put_unreadable(path: Path, token: str) -> None:
    """As a file of somebody else's is to the server."""
    path.write_bytes(message(token))
    path.chmod(0)


@pytest.mark.parametrize("before_opening", [lose_nothing, Root.lose_index, another_boot])
def test_a_file_that_cannot_be_read_is_left_and_told(unprivileged: Root, before_opening: Callable[[Root], None]) -> None:
    """Wherever it lies: the mailbox goes on, each look names it, and it is taken in once it can be read."""
    root = unprivileged
    root.use(lambda account: deliver(account, inbox(account), ["a", "b"]))
    root.use(lambda account: account.remove(inbox(account), [2]))
    maildir = root.home / "Maildir"
    strangers = [maildir / "new/1600000000.V1I2.other", maildir / f"cur/1600000001.V1I3.other,S={len(message('s'))},U=9:2,S"]
    for place, path in enumerate(strangers):
        put_unreadable(path, "st"[place])
    before_opening(root)
    assert root.use(observe)["INBOX"].messages == {1: ("a", frozenset())}
    for look in (Account.rescan, Account.repair, lambda account: account.repair(check=True)):
        findings = root.use(look).findings
        assert {(finding.kind, finding.detail) for finding in findings} == {
            ("file-unreadable", path.name) for path in strangers
        }
    for path in strangers:
        path.chmod(0o600)
    root.use(lambda account: account.rescan())
    assert sorted(token for token, _ in root.use(observe)["INBOX"].messages.values()) == ["a", "s", "t"]
    assert root.use(lambda account: account.repair(check=True)).clean


@pytest.mark.parametrize("mode", [0o000, 0o400, 0o500])
@pytest.mark.parametrize("before_opening", [lose_nothing, Root.lose_index, another_boot])
def test_a_folder_that_the_server_may_not_use_closes_no_mailbox(
    unprivileged: Root, before_opening: Callable[[Root], None], mode: int
) -> None:
    """Not entered, not listed or not written into: the other folders go on, and its mail is there once it is given back."""
    root = unprivileged
    root.use(lambda account: deliver(account, inbox(account), ["a"]))
    root.use(lambda account: deliver(account, account.create("Work").folder_id, ["w"], keywords=("Known",)))
    uidvalidity = root.use(lambda account: account.folder("Work").uidvalidity)
    path = root.home / "Maildir/.Work"
    (path / ".mic-folder").write_text((path / ".mic-folder").read_text().replace("Known", "Other"))
    if before_opening is not Root.lose_index:
        (path / "new/1600000000.V1I2.other").write_bytes(message("n"))
    path.chmod(mode)
    try:
        before_opening(root)
        assert root.use(lambda account: deliver(account, inbox(account), ["b"])) > [1]
        for look in (Account.rescan, Account.repair, lambda account: account.repair(check=True)):
            root.use(look)
        assert root.use(lambda account: account.folder("INBOX").messages) == 2
        assert root.use(lambda account: account._mailstore.newest_modseq(account.ref)) > 0
        if before_opening is not Root.lose_index:
            assert root.use(lambda account: list(account.view(account.folder_id("Work")).uids))[0] == 1
        if mode == 0o500:
            assert root.use(observe)["Work"].messages[1][0] == "w"
            if before_opening is not lose_nothing:  # no UID is given that the sidecar could not say
                with pytest.raises(Unavailable):
                    root.use(lambda account: deliver(account, account.folder_id("Work"), ["x"]))
    finally:
        path.chmod(0o700)
    root.use(Account.rescan)
    after = root.use(observe)["Work"]
    assert after.uidvalidity == uidvalidity
    assert {token for token, _ in after.messages.values()} == ({"w"} if before_opening is Root.lose_index else {"w", "n"})
    assert root.use(lambda account: deliver(account, account.folder_id("Work"), ["x"])) > [max(after.messages)]
    assert root.use(lambda account: account.repair(check=True)).clean


@pytest.mark.parametrize("before_opening", [lose_nothing, Root.lose_index, another_boot])
@pytest.mark.parametrize("part", ["cur", ""])
def test_a_folder_of_somebody_elses_is_taken_in_once_it_can_be_read(
    unprivileged: Root, before_opening: Callable[[Root], None], part: str
) -> None:
    """One that we have never had: what of it may not be listed, or made, keeps it out and nothing else."""
    root = unprivileged
    root.use(lambda account: deliver(account, inbox(account), ["a"]))
    foreign = root.home / "Maildir/.Foreign"
    (foreign / "cur").mkdir(parents=True)
    (foreign / "cur/1600000000.V1I2.other:2,").write_bytes(message("n"))
    (foreign / part).chmod(0o500 if not part else 0)
    try:
        before_opening(root)
        for look in (Account.rescan, Account.repair):
            assert ("file-unreadable", "Foreign") in {(each.kind, each.folder) for each in root.use(look).findings}
        assert root.use(observe)["INBOX"].messages == {1: ("a", frozenset())}
    finally:
        (foreign / part).chmod(0o700)
    root.use(Account.rescan)
    assert [token for token, _ in root.use(observe)["Foreign"].messages.values()] == ["n"]
    assert root.use(lambda account: account.repair(check=True)).clean


def test_an_expunged_file_that_cannot_be_read_does_not_stop_the_making_of_an_index(unprivileged: Root) -> None:
    """It cannot be brought back; everything else is as before."""
    root = unprivileged
    root.use(lambda account: deliver(account, inbox(account), ["a", "b"]))
    root.use(lambda account: account.remove(inbox(account), [2]))
    next((root.home / "Maildir/.expunged").iterdir()).chmod(0)
    root.lose_index()
    assert root.use(observe)["INBOX"].messages == {1: ("a", frozenset())}


def test_what_is_no_file_is_no_message(root: Root, monkeypatch: pytest.MonkeyPatch) -> None:
    """A pipe, a socket, a link or a directory is told as what it is, kept out of the way, and never taken for mail."""
    root.use(lambda account: deliver(account, inbox(account), ["a"]))
    maildir = root.home / "Maildir"
    (maildir / "outside").write_bytes(message("b"))
    for part in ("cur", "new"):
        os.mkfifo(maildir / part / "pipe")
        (maildir / part / "link").symlink_to(maildir / "outside")
        (maildir / part / "directory").mkdir()
        with socket.socket(socket.AF_UNIX) as bound:
            monkeypatch.chdir(maildir / part)  # the name of a socket has 107 octets at most
            bound.bind("socket")
    for look in (Account.rescan, Account.repair, lambda account: account.repair(check=True)):
        assert {(finding.kind, finding.detail) for finding in root.use(look).findings} == {
            ("not-a-message", name) for name in ("pipe", "link", "directory", "socket")
        }
    assert root.use(observe)["INBOX"].messages == {1: ("a", frozenset())}
    for part in ("cur", "new"):
        (maildir / part / "directory").rmdir()
        for name in ("pipe", "link", "socket"):
            (maildir / part / name).unlink()
    assert root.use(lambda account: account.repair(check=True)).clean


def test_strangers_that_claim_the_next_uids_do_not_overwrite_each_other(root: Root) -> None:
    """Files of one base name, copied from another folder: the UID that one gets is in the name of the other."""
    root.use(lambda account: deliver(account, inbox(account), ["a"]))
    size = len(message("b"))
    for uid, token in ((1, "b"), (2, "c"), (3, "d")):
        (root.home / f"Maildir/cur/1600000000.V1I2.other,S={size},U={uid}:2,").write_bytes(message(token))
    root.use(lambda account: account.rescan())
    assert sorted(token for token, _ in root.use(observe)["INBOX"].messages.values()) == ["a", "b", "c", "d"]
    assert root.use(lambda account: account.repair(check=True)).clean


@pytest.mark.parametrize("before_opening", [lose_nothing, Root.lose_index])
def test_a_folder_copied_with_its_sidecar_is_another_folder(root: Root, before_opening: Callable[[Root], None]) -> None:
    """The one that is called as the sidecar says stays what it was; of no two folders MAILBOXID is the same (RFC 8474 §4.1)."""
    root.use(lambda account: deliver(account, account.create("Saved").folder_id, ["a"]))
    saved = root.use(lambda account: account.folder("Saved"))
    shutil.copytree(root.home / "Maildir/.Saved", root.home / "Maildir/.Copy")
    before_opening(root)
    root.use(lambda account: account.rescan())
    after = {folder.name: folder for folder in root.use(lambda account: account.folders())}
    assert (after["Saved"].mailbox_id, after["Saved"].uidvalidity) == (saved.mailbox_id, saved.uidvalidity)
    assert len({folder.mailbox_id for folder in after.values()}) == len(after)
    assert [token for token, _ in root.use(observe)["Copy"].messages.values()] == ["a"]
    assert root.use(lambda account: account.repair(check=True)).clean


@pytest.mark.parametrize("mailbox_id", ["../../../elsewhere", "", "A\r\n* BYE", 7, "a.b"])
def test_a_sidecar_chooses_no_path_and_no_words_of_ours(root: Root, mailbox_id: object) -> None:
    """A MAILBOXID that is none (RFC 8474 §4.1) is a damaged sidecar: the folder gets one of ours."""
    root.use(lambda account: deliver(account, account.create("Saved").folder_id, ["a"]))
    path = root.home / "Maildir/.Saved/.mic-folder"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"mailbox_id": mailbox_id}))
    root.lose_index()
    assert re.fullmatch("F[0-9a-f]{20}", root.use(lambda account: account.folder("Saved").mailbox_id))
    root.use(lambda account: account.delete("Saved"))
    assert root.use(lambda account: account.undelete(folder="Saved")) == 1


def test_a_name_that_another_tool_made_long_can_be_expunged_and_flagged(root: Root) -> None:
    """What it added is left out where the name would not fit into a directory any more."""
    root.use(lambda account: deliver(account, inbox(account), ["a", "b"]))
    for file in list((root.home / "Maildir/cur").iterdir()):
        front = file.name.partition(":2,")[0]
        file.rename(file.with_name(f"{front},X={'x' * (255 - len(front) - 6)}:2,"))
    root.use(lambda account: account.rescan())
    assert root.use(lambda account: account.remove(inbox(account), [1])).uids == [1]
    root.use(lambda account: account.store_flags(inbox(account), [2], "+", FLAGGED | SEEN))
    assert root.use(lambda account: account.flush_names()) == 0
    assert root.use(lambda account: account.repair(check=True)).clean
    root.lose_index()
    assert root.use(lambda account: account.undelete()) == 1
    assert sorted(root.use(observe)["INBOX"].messages.values()) == [
        ("a", frozenset()),
        ("b", frozenset({"\\Flagged", "\\Seen"})),
    ]


def test_a_folder_that_may_not_be_looked_into_is_not_gone(unprivileged: Root) -> None:
    """Another user's for a while: the other folders go on, and when it is given back its messages are what they were."""
    root = unprivileged
    root.use(lambda account: deliver(account, account.create("Saved").folder_id, ["a", "b"]))
    before = root.use(observe)
    folder = root.home / "Maildir/.Saved"
    folder.chmod(0)
    try:
        (root.home / "Maildir/new/1600000000.V1I2.other").write_bytes(message("c"))
        findings = root.use(lambda account: account.rescan()).findings
        assert ("file-unreadable", "Saved") in {(finding.kind, finding.folder) for finding in findings}
        assert root.use(lambda account: account.folder("INBOX").messages) == 1
    finally:
        folder.chmod(0o700)
    assert root.use(observe)["Saved"] == before["Saved"]
    assert root.use(lambda account: account.repair(check=True)).clean


def test_what_the_first_opening_of_a_foreign_maildir_writes_down_grows_with_it_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The record of what is intended is added to, folder by folder, not written anew."""
    pwrite = os.pwrite
    written = [0]

    def noting(fd: int, octets: bytes, at: int) -> int:
        written[-1] += len(octets)
        return pwrite(fd, octets, at)

    monkeypatch.setattr(os, "pwrite", noting)
    for folders in (20, 60):
        root = Root(tmp_path / str(folders))
        for number in range(folders):
            cur = root.home / f"Maildir/.F{number}/cur"
            cur.mkdir(parents=True)
            for message_number in range(3):
                (cur / f"1600000000.V{number}M{message_number}.other:2,S").write_bytes(message("a"))
        written.append(0)
        root.use(observe)
    assert written[2] < 4 * written[1]
