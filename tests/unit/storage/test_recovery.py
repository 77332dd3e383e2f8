"""What is lost comes back: index, power, foreign files, a Dovecot Maildir, backup and restore, search."""

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

from mic_mail.clock import ManualClock
from mic_mail.errors import BadInput
from mic_mail.storage.errors import NoSuchMessage, NotPermitted, Unavailable
from mic_mail.storage.mailstore import Account
from mic_mail.storage.types import DELETED, FLAGGED, SEEN, TextTest
from store_harness import Root, deliver, message, observe


@pytest.fixture
def root(tmp_path: Path) -> Root:
    return Root(tmp_path)


def inbox(account: Account) -> int:
    return account.folder("INBOX").folder_id


def fill(account: Account) -> None:
    deliver(account, inbox(account), ["a", "b", "c", "d"], received_at_us=1_500_000_000_000_000)
    account.store_flags(inbox(account), [2], "+", FLAGGED, ["work"])
    account.copy(inbox(account), [1], account.create("Đã lưu").folder_id)
    account.store_flags(inbox(account), [4], "+", DELETED)
    account.expunge(inbox(account))
    account.delete("Junk")
    account.flush_names()


def test_index_is_made_again_from_the_files(root: Root) -> None:
    """Without its index a store says the same: folders, UIDs, UIDVALIDITY, flags, keywords, dates, tombstones."""
    root.use(fill)
    before = root.use(observe)
    dates = root.use(lambda account: account.rows(inbox(account), [1, 2, 3], ["internaldate_us", "email_id", "envelope"]))
    root.lose_index()
    after = root.use(observe)
    assert {name: seen.messages for name, seen in after.items()} == {name: seen.messages for name, seen in before.items()}
    assert {name: seen.uidvalidity for name, seen in after.items()} == {name: s.uidvalidity for name, s in before.items()}
    assert (
        root.use(lambda account: account.rows(inbox(account), [1, 2, 3], ["internaldate_us", "email_id", "envelope"])) == dates
    )
    assert [stone.uid for stone in root.use(lambda account: account.tombstones())] == [4]
    assert root.use(lambda account: deliver(account, inbox(account), ["e"])) > [before["INBOX"].uidnext]
    assert root.use(lambda account: account.undelete(folder="Junk")) == 0
    assert root.use(lambda account: account.folder("Junk").name) == "Junk"
    assert root.use(lambda account: account.repair(check=True)).clean


@pytest.mark.parametrize(
    "told", [{}, {".Sent": None}, {".Sent": 0}, {".Sent": 1 << 61}, {".Sent": "3"}, {".Sent": 4}, {".Junk": 5, ".Trash": 5}]
)
def test_folders_keep_their_numbers_without_an_index(root: Root, told: dict[str, object]) -> None:
    """A session goes on asking by the number. Where a sidecar does not tell it, or another's, it is one that no other has."""
    root.use(lambda account: (account.create("Aa"), account.create("Zz"), account.delete("Aa"), account.create("Aa")))

    def numbers(account: Account) -> dict[str, int]:
        return {info.name: info.folder_id for info in account.folders()}

    before = root.use(numbers)
    for directory, number in told.items():
        sidecar = root.home / "Maildir" / directory / ".mic-folder"
        fields = json.loads(sidecar.read_bytes()) | {"folder_id": number}
        if number is None:
            del fields["folder_id"]
        sidecar.write_text(json.dumps(fields))
    assert root.use(lambda account: account.repair(check=True)).clean == (set(told.values()) <= {None, 0})
    root.lose_index()
    after = root.use(numbers)
    assert after.keys() == before.keys()
    assert len(set(after.values())) == len(after)
    sound = before.keys() - {directory[1:] for directory in told}
    if 4 not in told.values():
        assert {name: after[name] for name in sound} == {name: before[name] for name in sound}
    assert root.use(lambda account: account.create("Bb").folder_id) > max(*before.values(), *after.values())
    assert root.use(lambda account: account.repair(check=True)).clean


def no_letters(whole: bytes) -> bytes:
    """The schema is no text any more: SQLite's message quotes octets that are no UTF-8."""
    return whole.replace(b"CREATE TABLE", b"CRE\xc9TE\xffTABL\xc9"[:12])


def no_header(whole: bytes) -> bytes:
    return whole[:100] + b"\xff" * (len(whole) - 100)


@pytest.mark.parametrize("damage", [lambda _: b"", lambda _: b"not a database at all" * 100, no_header, no_letters])
def test_damaged_index_is_set_aside(root: Root, damage: Callable[[bytes], bytes]) -> None:
    """An index that SQLite cannot read never stops anybody: it is kept aside and made anew."""
    root.use(fill)
    before = root.use(observe)
    index = root.home / "index.sqlite"
    index.write_bytes(damage(index.read_bytes()))
    after = root.use(observe)
    assert {name: seen.messages for name, seen in after.items()} == {name: seen.messages for name, seen in before.items()}


def test_power_loss_starts_an_epoch(root: Root) -> None:
    """Under another boot id every MODSEQ is above the mark, and QRESYNC from before is told that its history is not whole."""
    root.use(fill)
    old = root.use(lambda account: account.folder("INBOX"))
    root.power_loss(root.index_copy())
    new = root.use(lambda account: account.view(inbox(account)))
    assert new.info.uidvalidity == old.uidvalidity
    assert min(new.modseqs) > 1000 >= old.highest_modseq
    assert new.info.expunge_floor == new.info.highest_modseq
    assert not root.use(lambda account: account.changes(inbox(account), old.highest_modseq)).complete
    assert new.info.uidnext >= old.uidnext


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


def lose_nothing(root: Root) -> None:
    """The next opening is one like any other."""


def another_boot(root: Root) -> None:
    root.settings["boot_id"] = "second boot"


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
    (root.home / "Maildir/subscriptions").write_bytes(b"V\t2\n\nGood\n\xff\xfe\n")
    assert "Good" in root.use(lambda account: account.subscriptions())


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


@pytest.mark.parametrize("before_opening", [lose_nothing, Root.lose_index, another_boot])
def test_a_name_that_is_known_is_no_proof_of_a_content(root: Root, before_opening: Callable[[Root], None]) -> None:
    """Another message under a base name and size that are taken has its own answers and EMAILID; a copy shares both."""
    root.use(lambda account: deliver(account, inbox(account), ["a", "g"]))
    root.use(lambda account: account.remove(inbox(account), [2]))
    maildir = root.home / "Maildir"
    (known,) = (maildir / "cur").iterdir()
    (buried,) = (file for file in (maildir / ".expunged").iterdir() if file.is_file())
    base = known.name.partition(",")[0]
    (maildir / "new" / base).write_bytes(message("b"))
    (maildir / ".Sent/cur" / known.name).write_bytes(message("c"))
    (maildir / ".Junk/cur" / known.name).write_bytes(message("a"))
    os.link(known, maildir / ".Trash/cur" / known.name)
    (maildir / ".Drafts/new" / buried.name.partition(".")[2].partition(",")[0]).write_bytes(message("h"))
    before_opening(root)
    root.use(lambda account: account.rescan())
    seen = root.use(observe)
    assert [token for token, _ in seen["INBOX"].messages.values()] == ["a", "b"]
    assert [token for name in ("Sent", "Junk", "Trash", "Drafts") for token, _ in seen[name].messages.values()] == [*"caah"]

    def identities(account: Account) -> dict[str, set[str]]:
        found: dict[str, set[str]] = {}
        for info in account.folders():
            rows = account.rows(info.folder_id, account.view(info.folder_id).uids, ["envelope", "email_id"])
            for envelope, email_id in rows:
                found.setdefault(envelope.split(b"<")[-1].split(b"@")[0].decode(), set()).add(email_id)
        return found

    found = root.use(identities)
    assert sorted(found) == ["a", "b", "c", "h"]
    assert all(len(ids) == 1 for ids in found.values())
    assert len(set.union(*found.values())) == 4
    root.lose_index()
    assert root.use(identities) == found
    assert root.use(lambda account: account.undelete()) == 1
    assert root.use(observe)["INBOX"].messages.keys() > seen["INBOX"].messages.keys()
    assert root.use(lambda account: account.repair(check=True)).clean


def test_a_message_keeps_its_emailid_through_a_move_whose_commit_was_lost(root: Root) -> None:
    """Its file lies elsewhere than its row says: no file is left to compare with, and the name is believed."""
    root.use(lambda account: deliver(account, account.folder("Sent").folder_id, ["a"]))
    index = root.index_copy()
    email_id = root.use(lambda account: account.rows(account.folder("Sent").folder_id, [1], ["email_id"]))
    root.use(lambda account: account.move(account.folder("Sent").folder_id, [1], inbox(account)))
    root.power_loss(index)
    (uid,) = root.use(observe)["INBOX"].messages
    assert root.use(lambda account: account.rows(inbox(account), [uid], ["email_id"])) == email_id
    assert root.use(lambda account: account.repair(check=True)).clean


def test_lost_file_is_found_out_by_whoever_opens_it(root: Root) -> None:
    """A message that another tool removed is NoSuchMessage, and vanishes for all."""
    root.use(lambda account: deliver(account, inbox(account), ["a", "b"]))
    next(file for file in (root.home / "Maildir/cur").iterdir() if "U=1:" in file.name).unlink()

    def look(account: Account) -> list[int]:
        with pytest.raises(NoSuchMessage):
            account.open_message(inbox(account), 1)
        return account.view(inbox(account)).uids.tolist()

    assert root.use(look) == [2]
    assert root.use(lambda account: account.repair(check=True)).clean


def test_dirty_flags_survive_a_foreign_rename(root: Root) -> None:
    """Flags that were stored and not yet in the name win over what another tool wrote into it."""
    store = root.store()
    from store_harness import REF

    account = store.account(REF)
    deliver(account, inbox(account), ["a"])
    account.store_flags(inbox(account), [1], "+", FLAGGED)
    (file,) = (root.home / "Maildir/cur").iterdir()
    file.rename(f"{file}S")
    with account.open_message(inbox(account), 1) as opened:
        assert opened.pread(0, 1000) == message("a")
    assert account.view(inbox(account)).flags.tolist() == [FLAGGED]
    store.close()
    assert root.use(lambda again: again.repair(check=True)).clean


def test_dovecot_maildir_is_taken_over(root: Root) -> None:
    """UIDs, UIDVALIDITY, keywords, flags, folders and subscriptions of a Dovecot Maildir stay what they were."""
    maildir = root.home / "Maildir"
    for folder in ("", ".Sent Items", ".&ARA-&AOM- g&Hu0-i"):
        for part in ("cur", "new", "tmp"):
            (maildir / folder / part).mkdir(parents=True)
    names = {"1500000000.M1P1.host,S=1,W=2": 5, "1500000001.M1P1.host": 9}
    for place, name in enumerate(names):
        (maildir / "cur" / f"{name}:2,Sb").write_bytes(message("ab"[place]).replace(b"\r\n", b"\n"))
    lines = "".join(f"{uid} :{name}\n" for name, uid in names.items())
    (maildir / "dovecot-uidlist").write_text(f"3 V1234567890 N12 G0123456789abcdef\n{lines}")
    (maildir / "dovecot-keywords").write_text("0 $Forwarded\n1 work\n")
    (maildir / "subscriptions").write_text("V\t2\n\nSent Items\n")
    seen = root.use(observe)
    assert seen["INBOX"].uidvalidity == 1234567890
    assert seen["INBOX"].messages == {
        5: ("a", frozenset({"\\Seen", "work"})),
        9: ("b", frozenset({"\\Seen", "work"})),
    }
    assert seen["INBOX"].uidnext == 12
    folders = {info.name: info for info in root.use(lambda account: account.folders())}
    assert folders["Sent Items"].special_use == "\\Sent"
    assert "Sent" not in folders
    assert "Đã gửi" in folders
    assert "Sent Items" in root.use(lambda account: account.subscriptions())
    root.lose_index()
    assert root.use(observe)["INBOX"].messages == seen["INBOX"].messages
    assert root.use(lambda account: account.repair(check=True)).clean


def test_repair_mends_what_check_finds(root: Root) -> None:
    """--check changes nothing and names each difference; repair puts it right."""
    root.use(fill)
    (root.home / "Maildir/.mic-account").write_bytes(b"{")
    (root.home / "Maildir/.Sent/.mic-folder").unlink()
    checked = root.use(lambda account: account.repair(check=True))
    assert {finding.kind for finding in checked.findings} == {"account-sidecar", "folder-sidecar"}
    assert root.use(lambda account: account.repair(check=True)) == checked
    root.use(lambda account: account.repair())
    assert root.use(lambda account: account.repair(check=True)).clean


def test_an_index_damaged_in_its_middle_is_made_anew(root: Root) -> None:
    """Whoever meets the damage is told to come again, and then finds everything; only `repair --check` leaves it as it is."""
    root.use(lambda account: deliver(account, inbox(account), [f"m{number}" for number in range(200)]))
    index = root.home / "index.sqlite"
    whole = index.read_bytes()
    damaged = whole[: 30 * 4096] + b"\xff" * (len(whole) - 30 * 4096)
    index.write_bytes(damaged)
    assert {finding.kind for finding in root.use(lambda account: account.repair(check=True)).findings} == {"index-damaged"}
    assert "index-damaged" in {finding.kind for finding in root.use(lambda account: account.repair()).findings}
    assert len(root.use(observe)["INBOX"].messages) == 200
    index.write_bytes(damaged)

    def come_again(account: Account) -> int:
        with pytest.raises(Unavailable):
            observe(account)
        return len(observe(account)["INBOX"].messages)

    assert root.use(come_again) == 200
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


def test_sweep_lets_go_after_the_term(tmp_path: Path) -> None:
    """After seven days expunged mail and deleted folders are gone from disk, but not under a hold; history has its floor."""
    clock = ManualClock(datetime(2026, 1, 1, tzinfo=UTC))
    root = Root(tmp_path, clock=clock)
    root.use(fill)
    root.use(lambda account: deliver(account, account.folder("Đã lưu").folder_id, ["x"]))
    root.use(lambda account: account.delete("Đã lưu"))
    clock.move_to(clock.now() + timedelta(days=8))
    root.use(lambda account: account.sweep(keep=True))
    assert len(root.use(lambda account: account.tombstones())) == 1
    root.use(lambda account: account.sweep())
    assert root.use(lambda account: account.tombstones()) == []
    assert list((root.home / "Maildir/.expunged").iterdir()) == []
    assert root.use(lambda account: account.repair(check=True)).clean
    assert root.use(lambda account: account.changes(inbox(account), 0)).vanished == [4]
    clock.move_to(clock.now() + timedelta(days=90))
    root.use(lambda account: account.sweep())
    changes = root.use(lambda account: account.changes(inbox(account), 2))
    assert (changes.vanished, changes.complete) == ([], False)


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
    assert len(list(root.home.parent.glob("dvbe.replaced-*"))) == 1


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
    live = {path.stat().st_ino for path in root.home.rglob("cur/*")}
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
    other = Root(tmp_path / "elsewhere")
    other.use(lambda account: account.restore(tmp_path / "backup"))
    back = other.use(observe)
    assert {name: seen.messages for name, seen in back.items()} == {name: seen.messages for name, seen in saved.items()}
    assert all(back[name].uidvalidity > seen.uidvalidity for name, seen in saved.items())


def test_restore_wants_a_whole_backup(root: Root, tmp_path: Path) -> None:
    """A folder without its manifest is refused, and nothing happens to the store."""
    root.use(fill)
    (tmp_path / "half").mkdir()
    with pytest.raises(BadInput):
        root.use(lambda account: account.restore(tmp_path / "half"))
    assert root.use(lambda account: account.repair(check=True)).clean


@pytest.mark.parametrize(
    ("test", "hits"),
    [
        (TextTest("BODY", "XIN"), True),
        (TextTest("BODY", "Subject"), False),
        (TextTest("TEXT", "subject: a"), True),
        (TextTest("HEADER", "A", "subject"), True),
        (TextTest("HEADER", "", "message-id"), True),
        (TextTest("HEADER", "", "x-none"), False),
        (TextTest("HEADER", "dvbe", "Subject"), False),
    ],
)
def test_text_is_found(root: Root, test: TextTest, hits: bool) -> None:
    """BODY, TEXT and HEADER find decoded substrings without case."""
    root.use(lambda account: deliver(account, inbox(account), ["a"]))
    assert root.use(lambda account: account.find_text(inbox(account), [1, 7], [test])) == [(1, (hits,))]


def test_keywords_and_seen_survive_reopening(root: Root) -> None:
    """Flags are there after the process has gone, whether or not their names had followed."""
    root.use(lambda account: deliver(account, inbox(account), ["a"]))
    root.use(lambda account: account.store_flags(inbox(account), [1], "+", SEEN, ["z"]))
    assert root.use(observe)["INBOX"].messages[1] == ("a", frozenset({"\\Seen", "z"}))


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
