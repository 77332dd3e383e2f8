"""Folders of an account from outside: made, renamed, deleted, subscribed to, and removed beside the server."""

import shutil
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from mic_mail.clock import ManualClock
from mic_mail.mime.imap_structure import answers_of
from mic_mail.storage.changes import retention
from mic_mail.storage.delivery import Delivery
from mic_mail.storage.errors import FolderExists, NameNotAllowed, NoSuchFolder, NotPermitted, TooMany
from mic_mail.storage.local_mailstore import Account
from mic_mail.storage.maildir.sidecars import AccountSidecar
from mic_mail.storage.types import SEEN
from store_harness import REF, Root, deliver, inbox, killed_at, message, observe


def test_new_account_has_its_folders(account: Account) -> None:
    """Every mailbox starts with INBOX, Drafts, Sent, Junk, Trash and Archive, subscribed, with their special uses."""
    folders = {info.name: info for info in account.folders()}
    assert list(folders) == ["INBOX", "Archive", "Drafts", "Junk", "Sent", "Trash"]
    assert {name: info.special_use for name, info in folders.items() if info.special_use} == {
        name: f"\\{name}" for name in ("Archive", "Drafts", "Junk", "Sent", "Trash")
    }
    assert account.subscriptions() == sorted(folders)
    assert len({info.uidvalidity for info in folders.values()}) == 6
    assert len({info.mailbox_id for info in folders.values()}) == 6


def test_folders_live_and_die(account: Account) -> None:
    """CREATE makes parents, RENAME takes children along, DELETE leaves them; names are one in NFC and INBOX in any case."""
    account.create("A/B/C")
    deliver(account, account.folder("A/B").folder_id, ["x"])
    assert account.folder("A").selectable
    with pytest.raises(FolderExists):
        account.create("A/B")
    with pytest.raises(FolderExists):
        account.create("iNbOx")
    account.rename("A", "Đã lưu")
    assert [info.name for info in account.folders() if "lưu" in info.name] == ["Đã lưu", "Đã lưu/B", "Đã lưu/B/C"]
    assert account.folder("Đã lưu/B").messages == 1
    old = account.folder("Đã lưu/B")
    account.delete("Đã lưu/B")
    phantom = next(info for info in account.folders() if info.name == "Đã lưu/B")
    assert (phantom.selectable, phantom.folder_id) == (False, 0)
    with pytest.raises(NoSuchFolder):
        account.folder("Đã lưu/B")
    with pytest.raises(NoSuchFolder):
        account.view(old.folder_id)
    with account.open_message(old.folder_id, 1) as file:
        assert file.pread(0, 10_000) == message("x")
    again = account.create("Đã lưu/B")
    assert again.uidvalidity > old.uidvalidity
    assert again.mailbox_id != old.mailbox_id
    account.delete("Đã lưu/B")
    assert account.quota().messages == 0
    for wrong in ("INBOX", "nowhere"):
        with pytest.raises((NotPermitted, NoSuchFolder)):
            account.delete(wrong)
    with pytest.raises(NotPermitted):
        account.rename("Đã lưu", "Đã lưu/B/Z")
    assert account.repair(check=True).clean


def test_deleted_folder_comes_back(account: Account) -> None:
    """undelete brings a deleted folder back as it was, messages, UIDs and all."""
    deliver(account, account.create("F").folder_id, ["a", "b"])
    before = observe(account)
    account.delete("F")
    assert account.undelete(folder="F") == 2
    assert observe(account) == before
    assert account.repair(check=True).clean


def test_rename_inbox_gives_its_messages_away(account: Account) -> None:
    """RENAME INBOX moves the messages and keeps INBOX and its children (RFC 9051 §6.3.6)."""
    deliver(account, inbox(account), ["a", "b"])
    account.create("INBOX/child")
    account.rename("inbox", "old/mail")
    seen = observe(account)
    assert seen["INBOX"].messages == {}
    assert [token for token, _ in seen["old/mail"].messages.values()] == ["a", "b"]
    assert "INBOX/child" in seen
    assert deliver(account, inbox(account), ["c"]) == [3]


def test_names_that_no_client_could_show(account: Account) -> None:
    """Empty, too long, too deep, control characters and surrogates are refused; NFD meets NFC."""
    for wrong in ("", "/", "a//b", "a/", "a\n", "a\x7f", "\ud800", "x" * 701, "/".join("x" * 21)):
        with pytest.raises(NameNotAllowed):
            account.create(wrong)
    account.create("Thu\u031b")
    assert account.folder("Thư").name == "Thư"


def test_subscriptions_outlive_folders(account: Account, root: Root) -> None:
    """A subscription stays when its folder goes, and when the index goes."""
    account.create("F")
    account.subscribe("F", True)
    account.subscribe("Junk", False)
    account.delete("F")
    assert "F" in account.subscriptions()
    root.lose_index()
    assert root.use(lambda again: again.subscriptions()) == ["Archive", "Drafts", "F", "INBOX", "Sent", "Trash"]


def test_subscriptions_have_an_end(root: Root, tmp_path: Path) -> None:
    """By number and by octets; one that is too much changes nothing, and others can be taken away. No sidecar is too long to be
    believed."""
    root.settings |= {"max_subscriptions": 8, "max_subscriptions_octets": 500}

    def fill(account: Account) -> list[str]:
        with pytest.raises(TooMany):
            account.subscribe("long" * 130, True)
        account.subscribe("one", True)
        account.subscribe("two", True)
        with pytest.raises(TooMany):
            account.subscribe("three", True)
        account.subscribe("two", True)
        account.subscribe("one", False)
        account.subscribe("three", True)
        return account.subscriptions()

    wanted = ["Archive", "Drafts", "INBOX", "Junk", "Sent", "Trash", "three", "two"]
    assert root.use(fill) == wanted
    root.lose_index()
    assert root.use(lambda account: account.subscriptions()) == wanted
    sidecar = AccountSidecar(7, 1, 1, tuple(f"{number}{'x' * 690}" for number in range(7_000)))
    sidecar.write(str(tmp_path))
    assert AccountSidecar.read(str(tmp_path)) == sidecar


def test_folders_made_and_deleted_in_turn_come_to_an_end(root: Root) -> None:
    """What can be brought back is kept, so there is no room for more without end; when the time is over, there is again."""
    clock = ManualClock(datetime(2026, 7, 1, tzinfo=UTC))
    root.clock = clock
    root.settings["max_folders"] = 10

    def act(account: Account) -> None:
        account.create("kept")
        for number in range(13):
            account.create(f"x{number}")
            account.delete(f"x{number}")
        with pytest.raises(TooMany, match="deleted folders"):
            account.create("more/and/more")
        assert "more" not in observe(account)
        account.sweep()
        with pytest.raises(TooMany, match="deleted folders"):
            account.rename("INBOX", "more")
        account.rename("kept", "renamed")
        assert account.undelete(folder="x3") == 0
        account.delete("x3")
        clock.move_to(clock.now() + timedelta(days=8))
        account.sweep()
        account.create("more/and/more")
        assert account.repair(check=True).clean

    root.use(act)
    root.lose_index()
    assert "more/and/more" in root.use(observe)


def test_two_sweep_at_once(root: Root) -> None:
    """A deleted folder that another process has removed for good is no error; what is left to do is done."""
    root.settings["expunge_keep_seconds"] = 0

    def live(account: Account) -> None:
        for name in ("Archive", "Junk"):
            deliver(account, account.folder(name).folder_id, [name])
            account.delete(name)
        gone = retention.let_go(account._store, account._store.clock.steady_us(), keep=False)
        assert next(gone).name == "Junk"
        root.use(lambda other: other.sweep())
        assert list(gone) == []
        assert observe(account).keys() == {"INBOX", "Drafts", "Sent", "Trash"}

    root.use(live)


def test_a_folder_comes_back_whose_removal_has_begun(root: Root, account: Account) -> None:
    """Its messages are gone for good, for those too who have its list in memory or know it from before."""
    root.settings["expunge_keep_seconds"] = 0
    folder_id = account.folder("Archive").folder_id
    deliver(account, folder_id, ["a", "b"])
    account.keep_seen(each=True)
    account._mailstore.account(REF, "ttlan@mic.gov.vn").store_flags(folder_id, [1], "+", SEEN)
    before = account.view(folder_id)
    account.delete("Archive")
    assert root.rows(f"SELECT count(*) FROM message WHERE folder_id = {folder_id}") == [(2,)]
    line = 0
    while root.rows(f"SELECT count(*) FROM message WHERE folder_id = {folder_id}") == [(2,)]:
        line += 100
        assert not killed_at(line, lambda: root.use(lambda other: other.sweep()))
    assert account.undelete(folder="Archive") == 0
    assert list(account.view(folder_id).uids) == []
    assert not account.changes(folder_id, before.info.highest_modseq).complete
    assert deliver(account, folder_id, ["c"]) == [before.info.uidnext]
    assert observe(account)["Archive"].messages.keys() == {before.info.uidnext}
    found = {finding.kind for finding in account.repair(check=True).findings}
    assert found <= {"message-found"}  # files that the sweep had come to last


def test_tmp_that_is_removed_beside_us_is_made_again(account: Account, root: Root) -> None:
    """By whoever needs it: a delivery, a linked one, mail of other tools, the sweep."""
    deliver(account, inbox(account), ["a"])
    tmp = root.home / "Maildir/tmp"
    spool = root.path / "entry"
    spool.write_bytes(message("b"))
    tmp.rmdir()
    deliver(account, inbox(account), ["b"])
    tmp.rmdir()
    account.publish(inbox(account), [Delivery(account.stage_link(spool), answers_of(message("b")))])
    tmp.rmdir()
    (root.home / "Maildir/new/1600000000.V1I2.other").write_bytes(message("c").replace(b"\r\n", b"\n"))
    assert [token for token, _ in observe(account)["INBOX"].messages.values()] == ["a", "b", "b", "c"]
    tmp.rmdir()
    account.sweep()
    assert account.repair(check=True).clean


@pytest.mark.parametrize(
    "act",
    [
        lambda account, lost, other: account.view(lost),
        lambda account, lost, other: deliver(account, lost, ["x"]),
        lambda account, lost, other: account.copy(other, [1], lost),
        lambda account, lost, other: account.move(other, [1], lost),
        lambda account, lost, other: account.rename("Lost", "Found"),
        lambda account, lost, other: account.delete("Lost"),
    ],
    ids=["view", "deliver", "copy", "move", "rename", "delete"],
)
def test_a_folder_that_is_removed_beside_us_is_gone(account: Account, root: Root, act: Callable[..., object]) -> None:
    """Whoever meets it first hears that there is no such folder, and so does everybody after; nothing has to be repaired."""
    lost, other = account.create("Lost").folder_id, inbox(account)
    deliver(account, lost, ["a"])
    deliver(account, other, ["b"])
    account.view(lost)
    shutil.rmtree(root.home / "Maildir/.Lost")
    with pytest.raises(NoSuchFolder):
        act(account, lost, other)
    assert "Lost" not in {info.name for info in account.folders()}
    assert [token for token, _ in observe(account)["INBOX"].messages.values()] == ["b"]
    assert account.repair(check=True).clean
    assert deliver(account, account.create("Lost").folder_id, ["c"]) == [1]
    assert account.repair(check=True).clean


def test_a_new_keyword_in_a_folder_that_is_removed_does_not_stop_the_mailbox(account: Account, root: Root) -> None:
    """Its sidecar cannot be written, and must not be what everybody after has to write first."""
    lost = account.create("Lost").folder_id
    deliver(account, lost, ["a"])
    shutil.rmtree(root.home / "Maildir/.Lost")
    account.store_flags(lost, [1], "+", 0, ["work"])
    deliver(account, inbox(account), ["b"])
    account.rescan()
    assert account.repair(check=True).clean


def test_directories_of_inbox_that_are_removed_beside_us_are_made_again(account: Account, root: Root) -> None:
    """There is always an INBOX, and a place for what is expunged."""
    deliver(account, inbox(account), ["a"])
    (root.home / "Maildir/new").rmdir()
    account.view(inbox(account))
    assert (root.home / "Maildir/new").is_dir()
    shutil.rmtree(root.home / "Maildir/cur")
    (uid,) = deliver(account, inbox(account), ["b"])
    assert account.view(inbox(account)).uids.tolist() == [uid]
    (root.home / "Maildir/.expunged").rmdir()
    assert account.remove(inbox(account), [uid]).uids == [uid]
    assert account.undelete() == 1
    assert account.repair(check=True).clean
