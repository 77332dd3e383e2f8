"""An account from outside: deliver, list, flag, expunge, copy, move, folders, quota, idempotency, names."""

import contextlib
import fcntl
import os
import shutil
import sqlite3
import stat
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from mic_mail.clock import ManualClock
from mic_mail.mime.imap_structure import answers_of
from mic_mail.storage.changes.staging import Delivery
from mic_mail.storage.errors import FolderExists, NameNotAllowed, NoSuchFolder, NoSuchMessage, NotPermitted, OverQuota, TooMany
from mic_mail.storage.index.rows import FolderRow
from mic_mail.storage.maildir.sidecars import AccountSidecar
from mic_mail.storage.mailstore import Account
from mic_mail.storage.reads import reader
from mic_mail.storage.store import Store
from mic_mail.storage.types import ANSWERED, DELETED, FLAGGED, SEEN, AccountRef, Quota
from store_harness import REF, Root, deliver, message, observe
from unit.storage.conftest import inbox


@pytest.fixture
def account(root: Root):
    store = root.store()
    yield store.account(REF)
    store.close()


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


def test_delivery_lands_in_cur_as_received(account: Account, root: Root) -> None:
    """A published message is one read-only file in cur/, its octets as staged, its name telling size, UID and flags."""
    (uid,) = deliver(account, inbox(account), ["a"], flags=SEEN)
    (file,) = (root.home / "Maildir/cur").iterdir()
    assert file.read_bytes() == message("a")
    assert stat.S_IMODE(file.stat().st_mode) == 0o440 & ~_umask()
    assert file.name.endswith(f",S={len(message('a'))},U={uid}:2,S")
    assert list((root.home / "Maildir/tmp").iterdir()) == []
    assert list((root.home / "Maildir/new").iterdir()) == []


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


@pytest.mark.parametrize("news", [True, False])
def test_a_view_is_of_its_snapshot_whoever_looks_meanwhile(
    account: Account, root: Root, monkeypatch: pytest.MonkeyPatch, news: bool
) -> None:
    """Another session changes a flag and keeps its view while this one reads: no flag comes in of which no change tells."""
    folder_id = inbox(account)
    deliver(account, folder_id, ["a"])
    since = account.view(folder_id).info.highest_modseq
    account.store_flags(folder_id, [1], "+", SEEN)
    with contextlib.closing(root.store()) as another_process:  # so that this one has to ask the index
        another_process.account(account.ref).recount()
    original, meanwhile = reader._live_folder, [FLAGGED]
    passes = [1, 2]  # it looks into new/ after its first, which this clock takes for changed

    def slow(store: Store, connection: sqlite3.Connection, wanted: int) -> FolderRow:
        row = original(store, connection, wanted)
        if connection.in_transaction and passes and passes.pop() == 1:
            account.store_flags(folder_id, [1], "+", meanwhile.pop())
            assert list(account.view(folder_id).flags) == [SEEN | FLAGGED]
        return row

    monkeypatch.setattr(reader, "_live_folder", slow)
    fresh = account.folder_delta(folder_id, since, since)[1] if news else account.view(folder_id)
    assert fresh is not None
    assert meanwhile == []
    assert list(fresh.flags) == [SEEN]
    told = account.changes(folder_id, fresh.info.highest_modseq)
    assert [(uid, flags) for uid, flags, *_ in told.changed] == [(1, SEEN | FLAGGED)]
    assert list(account.view(folder_id).flags) == [SEEN | FLAGGED]


def test_views_are_shared_and_never_change(account: Account) -> None:
    """view() gives the same object while nothing changed; a change makes a new one and leaves the old as it was."""
    deliver(account, inbox(account), ["a", "b", "c"])
    old = account.view(inbox(account))
    assert account.view(inbox(account)) is old
    before = old.uids.tobytes(), old.flags.tobytes()
    account.store_flags(inbox(account), [2], "+", FLAGGED | DELETED)
    account.expunge(inbox(account))
    deliver(account, inbox(account), ["d"])
    new = account.view(inbox(account))
    assert list(new.uids) == [1, 3, 4]
    assert (old.uids.tobytes(), old.flags.tobytes()) == before
    assert new.info.highest_modseq == account.folder("INBOX").highest_modseq > old.info.highest_modseq


def test_changes_tell_each_message_once(account: Account) -> None:
    """changes(since) lists new and changed messages by UID, and what vanished, each in one list."""
    deliver(account, inbox(account), ["a", "b", "c"])
    since = account.folder("INBOX").highest_modseq
    account.store_flags(inbox(account), [1, 2], "+", SEEN, ["$Forwarded"])
    account.store_flags(inbox(account), [2], "+", DELETED)
    account.expunge(inbox(account))
    deliver(account, inbox(account), ["d"])
    changes = account.changes(inbox(account), since)
    assert [row[0] for row in changes.changed] == [1, 4]
    assert changes.vanished == [2]
    assert changes.keywords == ("$Forwarded",)
    assert changes.complete
    assert account.changes(inbox(account), changes.highest_modseq).changed == []


@pytest.mark.parametrize(
    ("operation", "bits", "expected"),
    [("+", ANSWERED, SEEN | ANSWERED), ("-", SEEN, 0), ("=", FLAGGED, FLAGGED), ("+", SEEN, SEEN), ("-", FLAGGED, SEEN)],
)
def test_store_does_what_it_says(account: Account, operation, bits: int, expected: int) -> None:
    """STORE adds, removes or replaces flags; a message that is so already keeps its MODSEQ."""
    deliver(account, inbox(account), ["a"], flags=SEEN)
    before = account.view(inbox(account)).modseqs[0]
    result = account.store_flags(inbox(account), [1, 99], operation, bits)
    ((uid, flags, modseq),) = result.changed
    assert (uid, flags) == (1, expected)
    assert (modseq == before) == (expected == SEEN)


def test_unchanged_since_holds_back(account: Account) -> None:
    """UNCHANGEDSINCE leaves what is newer, and names it (RFC 7162 §3.1.3)."""
    deliver(account, inbox(account), ["a", "b"])
    old = account.folder("INBOX").highest_modseq
    account.store_flags(inbox(account), [2], "+", SEEN)
    result = account.store_flags(inbox(account), [1, 2], "+", FLAGGED, unchanged_since=old)
    assert [uid for uid, _, _ in result.changed] == [1]
    assert result.failed == [2]


def test_keywords_meet_without_case_and_end_at_58(account: Account) -> None:
    """A keyword keeps its place and first spelling; the 59th of a folder is refused."""
    deliver(account, inbox(account), ["a"])
    account.store_flags(inbox(account), [1], "+", 0, ["Work"])
    assert account.store_flags(inbox(account), [1], "+", 0, ["work"]).keywords == ("Work",)
    account.store_flags(inbox(account), [1], "+", 0, [f"k{n}" for n in range(57)])
    with pytest.raises(TooMany):
        account.store_flags(inbox(account), [1], "+", 0, ["one-more"])
    ((_, flags, _),) = account.store_flags(inbox(account), [1], "-", 0, ["unknown"]).changed
    assert flags == ((1 << 58) - 1) << 5


def test_names_follow_flags(account: Account, root: Root) -> None:
    """Flags are in the index at once and in the names after flush_names; both before and after the message opens."""
    deliver(account, inbox(account), ["a", "b"])
    account.store_flags(inbox(account), [1], "+", SEEN | FLAGGED, ["work"])
    assert sorted(file.name[-1] for file in (root.home / "Maildir/cur").iterdir()) == [",", ","]
    assert account.flush_names() == 1
    assert sorted(file.name.partition(":2,")[2] for file in (root.home / "Maildir/cur").iterdir()) == ["", "FSa"]
    assert account.flush_names() == 0
    account.open_message(inbox(account), 1).close()


def test_a_locked_account_keeps_no_other_accounts_names_back(root: Root) -> None:
    """Names follow in every account that is free; those of a locked one stay due, and follow when it is free again."""
    root.settings["lock_seconds"] = 0.05
    store = root.store()
    locked, free = (store.account(AccountRef(number, f"mic.gov.vn/u{number}")) for number in (1, 2))
    for account in (locked, free):
        deliver(account, inbox(account), ["a"])
        account.store_flags(inbox(account), [1], "+", SEEN)

    def seen(number: int) -> bool:
        return [file.name[-1] for file in (root.path / f"mic.gov.vn/u{number}/Maildir/cur").iterdir()] == ["S"]

    with open(root.path / "mic.gov.vn/u1/account.lock") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        store.flush_names()
        assert (seen(1), seen(2)) == (False, True)
    store.flush_names()
    assert seen(1)
    store.close()


def test_expunged_messages_stay_readable(account: Account) -> None:
    """A session that has not heard of an EXPUNGE still reads answers and content; undelete brings the message back."""
    deliver(account, inbox(account), ["a", "b"])
    account.store_flags(inbox(account), [1, 2], "+", DELETED)
    assert account.expunge(inbox(account), [2]).uids == [2]
    assert account.rows(inbox(account), [1, 2], ["uid", "envelope"])[1][0] == 2
    with account.open_message(inbox(account), 2) as file:
        assert file.pread(0, 10_000) == message("b")
    assert account.quota().messages == 1
    assert [stone.uid for stone in account.tombstones()] == [2]
    assert account.undelete(folder="INBOX") == 1
    assert {token for token, _ in observe(account)["INBOX"].messages.values()} == {"a", "b"}
    assert account.view(inbox(account)).uids.tolist() == [1, 3]
    with account.open_message(inbox(account), 2) as file:
        assert file.pread(0, 10_000) == message("b")
    assert account.repair(check=True).clean


def test_a_message_is_found_where_its_path_has_changed(account: Account) -> None:
    """Paths are hints: a name that followed its flags, a message expunged or moved in between, a folder renamed."""
    folder = account.create("Viec").folder_id
    deliver(account, folder, ["a", "b", "c"])
    paths = account.paths(folder, [1, 2, 3, 4])
    assert sorted(paths) == [1, 2, 3]

    def read(uid: int) -> bytes:
        with account.open_message(folder, uid, paths.get(uid)) as file:
            return file.pread(0, 10_000)

    account.store_flags(folder, [1], "+", SEEN)
    assert account.flush_names() == 1
    account.remove(folder, [2])
    account.move(folder, [3], inbox(account))
    assert [read(uid) for uid in (1, 2, 3)] == [message(token) for token in "abc"]
    account.rename("Viec", "Viec khac")
    assert read(1) == message("a")
    with pytest.raises(NoSuchMessage):
        read(4)


def test_copy_and_move_keep_the_message(account: Account) -> None:
    """COPY and MOVE keep content, flags by name, EMAILID and INTERNALDATE; UIDs are new and in order."""
    deliver(account, inbox(account), ["a", "b", "c"], keywords=("x", "y"), received_at_us=1_600_000_000_000_000)
    trash = account.folder("Trash").folder_id
    account.store_flags(trash, [], "+", 0, ["y"])
    copied = account.copy(inbox(account), [3, 1], trash)
    assert copied.pairs == [(1, 1), (3, 2)]
    moved = account.move(inbox(account), [2, 3], trash)
    assert moved.pairs == [(2, 3), (3, 4)]
    seen = observe(account)
    assert [token for token, _ in seen["Trash"].messages.values()] == ["a", "c", "b", "c"]
    assert {flags for _, flags in seen["Trash"].messages.values()} == {frozenset({"x", "y"})}
    columns = ["email_id", "internaldate_us"]
    assert account.rows(inbox(account), [1], columns) == account.rows(trash, [1], columns)
    assert account.rows(trash, [1], ["internaldate_us"]) == [(1_600_000_000_000_000,)]
    with account.open_message(inbox(account), 2) as file:  # an observer that still has it in its list
        assert file.pread(0, 10_000) == message("b")
    assert account.changes(inbox(account), 0).vanished == [2, 3]
    assert account.repair(check=True).clean


def test_quota_refuses_and_leaves_nothing(account: Account, root: Root) -> None:
    """Above the limit nothing is published and nothing counted; the staged file is the caller's to discard."""
    size = len(message("a"))
    deliver(account, inbox(account), ["a"])
    staged = account.stage()
    staged.write(message("b"))
    staged.finish()
    with pytest.raises(OverQuota):
        account.publish(inbox(account), [Delivery(staged, answers_of(message("b")))], limit_octets=2 * size - 1)
    staged.discard()
    staged.discard()
    assert account.quota().octets == size
    assert list((root.home / "Maildir/tmp").iterdir()) == []
    with pytest.raises(OverQuota):
        account.copy(inbox(account), [1], account.folder("Sent").folder_id, limit_octets=2 * size - 1)
    assert account.repair(check=True).clean


def test_an_origin_is_delivered_once(account: Account, root: Root) -> None:
    """A second delivery under the same origin answers with the first, in one call, in another, and after a restart."""
    first = deliver(account, inbox(account), ["a", "a"], origin="spool-1")
    assert first == [1, 1]
    assert deliver(account, inbox(account), ["a"], origin="spool-1") == [1]
    assert root.use(lambda again: deliver(again, inbox(again), ["a"], origin="spool-1")) == [1]
    assert len(observe(account)["INBOX"].messages) == 1
    assert list((root.home / "Maildir/tmp").iterdir()) == []


def test_linked_delivery_shares_the_file(account: Account, root: Root) -> None:
    """stage_link publishes a second name of a spool entry; the spool may go afterwards."""
    spool = root.path / "spool-entry"
    spool.write_bytes(message("a"))
    staged = account.stage_link(spool)
    account.publish(inbox(account), [Delivery(staged, answers_of(message("a")))])
    (file,) = (root.home / "Maildir/cur").iterdir()
    assert file.stat().st_ino == spool.stat().st_ino
    spool.unlink()
    assert observe(account)["INBOX"].messages[1][0] == "a"


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


def test_subscriptions_have_an_end(tmp_path: Path) -> None:
    """By number and by octets; one that is too much changes nothing, and others can be taken away. No sidecar is too long to be
    believed."""
    root = Root(tmp_path, settings={"boot_id": "first boot", "max_subscriptions": 8, "max_subscriptions_octets": 500})

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


def test_folders_made_and_deleted_in_turn_come_to_an_end(tmp_path: Path) -> None:
    """What can be brought back is kept, so there is no room for more without end; when the time is over, there is again."""
    clock = ManualClock(datetime(2026, 7, 1, tzinfo=UTC))
    root = Root(tmp_path, clock=clock, settings={"boot_id": "first boot", "max_folders": 10})

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


def test_recent_is_told_once(account: Account) -> None:
    """take_recent gives each message to one session only (RFC 3501 §2.3.2)."""
    deliver(account, inbox(account), ["a", "b"])
    assert account.take_recent(inbox(account)) == 1
    assert account.take_recent(inbox(account)) == 3
    deliver(account, inbox(account), ["c"])
    assert account.folder("INBOX").recent_from == 3


def test_message_gone_is_said_so(account: Account) -> None:
    """What never was, or is past keeping, is NoSuchMessage."""
    with pytest.raises(NoSuchMessage):
        account.open_message(inbox(account), 1)
    assert account.rows(inbox(account), [1, 5], ["uid"]) == []


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


def test_quota_at_rest_of_a_sound_index(account: Account, root: Root) -> None:
    """Who looks at thousands of accounts once opens none of them: no handle stays, no epoch begins, no sidecar is written."""
    deliver(account, inbox(account), ["a", "b"])
    expected = account.quota()
    with contextlib.closing(root.store()) as reporting:
        there = {path: path.stat().st_mtime_ns for path in root.home.rglob(".mic-*")}
        assert reporting.account(account.ref).quota_at_rest() == expected
        assert reporting.store(account.ref).rests
        assert not reporting.store(account.ref).is_ready
        assert {path: path.stat().st_mtime_ns for path in root.home.rglob(".mic-*")} == there


def test_quota_at_rest_of_what_has_no_store(root: Root) -> None:
    """A mailbox that nobody has used yet; a report makes nothing of it."""
    with contextlib.closing(root.store()) as reporting:
        assert reporting.account(AccountRef(7, "m/nobody")).quota_at_rest() == Quota(0, 0)
        assert not (root.path / "m/nobody").exists()


@pytest.mark.parametrize("what", ["no index", "an index of another version", "a damaged index", "another boot"])
def test_quota_at_rest_where_only_opening_can_tell(root: Root, what: str) -> None:
    """The store is opened as at any first use, and the answer is as right."""

    def fill(account: Account) -> Quota:
        deliver(account, inbox(account), ["a", "b"])
        return account.quota()

    expected = root.use(fill)
    if what == "no index":
        root.lose_index()
    elif what == "an index of another version":
        with contextlib.closing(sqlite3.connect(root.home / "index.sqlite")) as connection:
            connection.execute("PRAGMA user_version = 0")
    elif what == "a damaged index":
        (root.home / "index.sqlite").write_bytes(b"no index of SQLite " * 1000)
    else:
        root.settings["boot_id"] = "second boot"
    with contextlib.closing(root.store()) as reporting:
        assert reporting.account(REF).quota_at_rest() == expected
        assert reporting.store(REF).is_ready
