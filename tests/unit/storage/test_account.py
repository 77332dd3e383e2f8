"""Messages of an account from outside: delivered, listed, flagged, expunged, copied and moved."""

import contextlib
import fcntl
import os
import sqlite3
import stat

import pytest

from mic_mail.mime.imap_structure import answers_of
from mic_mail.storage.delivery import Delivery
from mic_mail.storage.errors import NoSuchMessage, TooMany
from mic_mail.storage.index.rows import FolderRow
from mic_mail.storage.local_mailstore import Account
from mic_mail.storage.reads import reader
from mic_mail.storage.types import ANSWERED, DELETED, FLAGGED, SEEN, AccountRef
from store_harness import Root, deliver, inbox, message, observe


def test_delivery_lands_in_cur_as_received(account: Account, root: Root) -> None:
    """A published message is one read-only file in cur/, its octets as staged, its name telling size, UID and flags."""
    (uid,) = deliver(account, inbox(account), ["a"], flags=SEEN)
    (file,) = (root.home / "Maildir/cur").iterdir()
    assert file.read_bytes() == message("a")
    assert stat.S_IMODE(file.stat().st_mode) == 0o440 & ~_umask()
    assert file.name.endswith(f",S={len(message('a'))},U={uid}:2,S")
    assert root.staged() == []
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
        another_process.account(account.ref).repair()
    original, meanwhile = reader.read_state, [FLAGGED]
    passes = [1, 2]  # it looks into new/ after its first, which this clock takes for changed

    def slow(connection: sqlite3.Connection, account_id: int, wanted: int) -> tuple[int, int, FolderRow | None]:
        row = original(connection, account_id, wanted)
        if connection.in_transaction and passes and passes.pop() == 1:
            account.store_flags(folder_id, [1], "+", meanwhile.pop())
            assert list(account.view(folder_id).flags) == [SEEN | FLAGGED]
        return row

    monkeypatch.setattr(reader, "read_state", slow)
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


def test_an_origin_is_delivered_once(account: Account, root: Root) -> None:
    """A second delivery under the same origin answers with the first, in one call, in another, and after a restart."""
    first = deliver(account, inbox(account), ["a", "a"], origin="spool-1")
    assert first == [1, 1]
    assert deliver(account, inbox(account), ["a"], origin="spool-1") == [1]
    assert root.use(lambda again: deliver(again, inbox(again), ["a"], origin="spool-1")) == [1]
    assert len(observe(account)["INBOX"].messages) == 1
    assert root.staged() == []


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
