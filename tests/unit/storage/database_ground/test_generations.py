"""Backups of mailboxes in PostgreSQL: one format for both grounds, one instant, all or nothing."""

import random
import threading
import time
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest

from mic_mail.clock import ManualClock
from mic_mail.storage.account_rules import AccountRules
from mic_mail.storage.backup.format import examine
from mic_mail.storage.database_ground.account import DatabaseAccount
from mic_mail.storage.database_ground.bodies import PIECE_OCTETS
from mic_mail.storage.database_ground.mailstore import _Known
from mic_mail.storage.errors import Frozen, NoSuchFolder, NotPermitted, Unavailable
from mic_mail.storage.index.postgresql.removal import tables_of_accounts
from mic_mail.storage.types import FLAGGED, SEEN, AccountRef
from store_harness import REF, Root, deliver, inbox, killed_at, observe
from unit.storage.conftest import fill
from unit.storage.database_ground.test_bodies import large, publish
from unit.storage.grounds import DatabaseRoot
from waiting import wait_for

pytestmark = pytest.mark.needs_tool("postgres")

BE, LAN = "dvbe@mic.gov.vn", "ttlan@mic.gov.vn"


def tokens(root: Any) -> list[str]:
    return [token for token, _ in root.use(observe)["INBOX"].messages.values()]


def live(root: Any) -> None:
    """A mailbox with everything that a backup keeps."""
    root.use(fill)
    root.use(lambda account: publish(account, large(2 * PIECE_OCTETS + 17)))
    root.use(lambda account: account.keep_seen(each=True, persons=(BE, LAN)))
    root.use(lambda account: account.subscribe("Đã lưu", True))
    root.use(lambda account: account.subscribe("Chưa có", True))
    root.use(lambda account: account.annotate(None, [("", "/shared/comment", b"all")]))
    root.use(lambda account: account.annotate(inbox(account), [(BE, "/private/comment", b"mine\0")]))
    with closing(root.store()) as store:
        store.account(REF, BE).store_flags(inbox(store.account(REF)), [1], "+", SEEN)
        store.account(REF, LAN).store_flags(inbox(store.account(REF)), [2, 3], "+", SEEN)
        store.flush_names()


def everything(root: Any) -> dict[str, Any]:
    """All that any client can be told of the mailbox, with all its numbers."""
    found: dict[str, Any] = {}
    with closing(root.store()) as store:
        for person in (None, BE, LAN):
            account: AccountRules = store.account(REF, person)
            for info in account.folders():
                found[f"{person} {info.name}"] = info
                view = account.view(info.folder_id)
                columns = (
                    "uid",
                    "flags",
                    "modseq",
                    "email_id",
                    "thread_id",
                    "savedate_us",
                    "internaldate_us",
                    "size",
                    "envelope",
                    "parts",
                    "header",
                    "preview",
                )
                found[f"{person} {info.name} rows"] = account.rows(info.folder_id, view.uids, columns)
                found[f"{person} {info.name} view"] = list(zip(view.uids, view.flags, view.modseqs, strict=True))
                found[f"{person} {info.name} notes"] = account.annotations(info.folder_id, ("", BE, LAN))
                if person is None:
                    found[f"{info.name} gone"] = sorted(account.changes(info.folder_id, 0).vanished)
                    for uid in view.uids:
                        with account.open_message(info.folder_id, uid) as body:
                            found[f"{info.name} {uid}"] = body.pread(0, body.size)
        found["subscribed"] = account.subscriptions()
        found["notes"] = account.annotations(None, ("", BE, LAN))
        found["modseq"] = account.highest_modseq()
        found["quota"] = account.quota()
    return found


def test_a_mailbox_moves_into_the_database_and_back(root: DatabaseRoot, tmp_path: Path) -> None:
    """Nothing of it changes: UIDs, UIDVALIDITYs, MODSEQs, ids, flags, each reader's own, subscriptions, annotations, octets."""
    here = Root(tmp_path / "machine")
    live(here)
    before = everything(here)
    here.use(lambda account: account.backup(tmp_path / "there"))
    assert root.use(lambda account: account.restore(tmp_path / "there", moved=True)).clean
    assert everything(root) == before
    root.use(lambda account: account.backup(tmp_path / "back"))
    assert examine(tmp_path / "back") == examine(tmp_path / "there")
    other = Root(tmp_path / "other")
    assert other.use(lambda account: account.restore(tmp_path / "back", moved=True)).clean
    assert everything(other) == before
    assert other.use(lambda account: account.repair(check=True)).clean
    other.lose_index()
    assert {uid: found for uid, found in everything(other).items() if "view" not in uid}.keys() == {
        uid for uid in before if "view" not in uid
    }
    assert deliver_there(root) == deliver_there(here)


def deliver_there(root: Any) -> list[int]:
    uids: list[int] = root.use(lambda account: deliver(account, inbox(account), ["next"]))
    return uids


def test_flags_that_no_file_name_followed_are_in_the_names(root: DatabaseRoot, tmp_path: Path) -> None:
    """Whoever reads the backup as a Maildir finds them."""
    root.use(lambda account: deliver(account, inbox(account), ["a"]))
    root.use(lambda account: account.store_flags(inbox(account), [1], "+", SEEN | FLAGGED))
    root.use(lambda account: account.backup(tmp_path / "backup"))
    [message] = (tmp_path / "backup").rglob("cur/*")
    assert message.name.endswith(":2,FS")


def test_what_one_ground_has_is_linked_by_the_other(root: DatabaseRoot, tmp_path: Path) -> None:
    """After a move only new mail takes space in a backup."""
    here = Root(tmp_path / "machine")
    here.use(lambda account: deliver(account, inbox(account), ["a", "b"], received_at_us=1_500_000_000_000_000))
    here.use(lambda account: account.backup(tmp_path / "there"))
    root.use(lambda account: account.restore(tmp_path / "there", moved=True))
    root.use(lambda account: account.backup(tmp_path / "later", earlier=tmp_path / "there"))
    assert [path.stat().st_nlink for path in (tmp_path / "later").rglob("cur/*")] == [2, 2]


def test_a_backup_is_of_one_instant(root: DatabaseRoot, tmp_path: Path) -> None:
    """Mail that comes while the bodies are read is not in it; what is expunged and swept meanwhile is left out, and no more."""
    root.settings["expunge_keep_seconds"] = 0
    root.use(lambda account: deliver(account, inbox(account), ["a", "b", "c"]))

    def meanwhile(done: int, of: int) -> None:
        if done == 1:
            root.use(lambda other: deliver(other, inbox(other), ["late"]))
            root.use(lambda other: other.remove(inbox(other), [3]))
            root.use(lambda other: other.sweep())

    root.use(lambda account: account.backup(tmp_path / "backup", progress=meanwhile))
    assert examine(tmp_path / "backup")[0] == 2
    report = root.use(lambda account: account.restore(tmp_path / "backup", replace=True))
    assert [(finding.kind, finding.detail) for finding in report.findings] == [("message-gone", "uid 3")]
    assert tokens(root) == ["a", "b"]
    assert root.use(lambda account: account.repair(check=True)).clean


def test_a_mailbox_that_is_freed_during_its_backup_gives_none(root: DatabaseRoot, tmp_path: Path) -> None:
    """An empty one must not pass for it."""
    root.use(lambda account: deliver(account, inbox(account), ["a", "b"]))

    def meanwhile(done: int, of: int) -> None:
        assert root.use(lambda other: other.free(lambda: True))

    with pytest.raises(Unavailable):
        root.use(lambda account: account.backup(tmp_path / "backup", progress=meanwhile))
    assert not (tmp_path / "backup" / "manifest.json").exists()


def test_uids_given_since_mean_no_other_message(root: DatabaseRoot, tmp_path: Path) -> None:
    """Numbers go on above all that were given, in folders of the backup and for new ones; every MODSEQ is above those known."""
    root.use(fill)
    root.use(lambda account: account.backup(tmp_path / "backup"))
    root.use(lambda account: deliver(account, inbox(account), ["x", "y"]))
    later = root.use(lambda account: account.create("Later"))
    before = root.use(lambda account: account.folder("INBOX"))
    known = root.use(lambda account: account.highest_modseq())
    assert root.use(lambda account: account.restore(tmp_path / "backup", replace=True)).clean
    after = root.use(lambda account: account.folder("INBOX"))
    assert (after.uidvalidity, after.uidnext, after.folder_id) == (before.uidvalidity, before.uidnext, before.folder_id)
    assert after.expunge_floor == after.highest_modseq > known
    assert min(root.use(lambda account: account.view(inbox(account)).modseqs)) > known
    assert root.use(lambda account: account.create("Later")).folder_id > later.folder_id


def test_a_session_elsewhere_goes_on_with_what_was_restored(root: DatabaseRoot, tmp_path: Path) -> None:
    """Another process has the mailbox in memory: from when the restore has returned, it shows and changes the restored one."""
    root.use(lambda account: deliver(account, inbox(account), ["a"]))
    root.use(lambda account: account.backup(tmp_path / "backup"))
    with closing(root.store()) as store:
        account = store.account(REF)
        deliver(account, inbox(account), ["b"])
        before = account.view(inbox(account))
        known = store.newest_modseqs([REF])
        root.use(lambda other: other.restore(tmp_path / "backup", replace=True))
        assert store.newest_modseqs([REF])[7] > known[7]
        changes = account.changes(inbox(account), before.info.highest_modseq)
        assert ([row[0] for row in changes.changed], changes.complete) == ([1], False)
        assert list(account.view(inbox(account)).uids) == [1]
        assert deliver(account, inbox(account), ["c"]) == [3]
    assert tokens(root) == ["a", "c"]


def test_who_goes_by_a_replaced_mailbox_sees_that_it_was_replaced(root: DatabaseRoot, tmp_path: Path) -> None:
    """In the quarter of a second in which it may. Who took old folders for the new state would not look again."""
    root.use(lambda account: deliver(account, inbox(account), ["a"]))
    root.use(lambda account: account.backup(tmp_path / "backup"))
    with closing(root.store()) as store:
        account = store.account(REF)
        modseq = account.highest_modseq()
        known = replace(store._known[7], asked_at=time.monotonic() + 30)
        root.use(lambda other: other.restore(tmp_path / "backup", replace=True))
        for look in (account.highest_modseq, lambda: account.folder_changes(modseq).modseq):
            store._known[7] = known
            assert look() == store.newest_modseqs([REF])[7] > modseq


def test_who_changes_it_in_that_moment_is_told_to_come_again(root: DatabaseRoot, tmp_path: Path) -> None:
    """A change that waited for the account while it was replaced is not lost in what was set aside."""
    root.use(lambda account: deliver(account, inbox(account), ["a"]))
    root.use(lambda account: account.backup(tmp_path / "backup"))
    outcomes: list[object] = []
    with closing(root.store()) as store:
        account = store.account(REF)
        folder_id = inbox(account)

        def deliver_meanwhile() -> None:
            try:
                outcomes.append(deliver(account, folder_id, ["meanwhile"]))
            except Unavailable as error:
                outcomes.append(error)

        thread = threading.Thread(target=deliver_meanwhile)

        def ready(aside: str) -> None:
            account.highest_modseq()  # so that it goes by the present generation
            thread.start()
            wait_for_lock(root)

        root.use(lambda other: other.restore(tmp_path / "backup", replace=True, ready=ready))
        thread.join(30)
    assert isinstance(outcomes[0], Unavailable)
    assert tokens(root) == ["a"]


def wait_for_lock(root: DatabaseRoot) -> None:
    """Until some session waits for the row of an account."""
    query = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'"
    wait_for(lambda: root.rows(query)[0][0] > 0)


def test_marks_are_obeyed_under_the_lock(root: DatabaseRoot, tmp_path: Path) -> None:
    """What is frozen is not replaced; a hold goes over to what is restored; new mail needs `replace`."""
    root.most = 2
    root.use(lambda account: deliver(account, inbox(account), ["a"]))
    root.use(lambda account: account.backup(tmp_path / "backup"))
    with pytest.raises(NotPermitted):
        root.use(lambda account: account.restore(tmp_path / "backup"))
    root.use(lambda account: account.freeze(lambda: None))
    with pytest.raises(Frozen):
        root.use(lambda account: account.restore(tmp_path / "backup", replace=True))
    root.use(lambda account: account.thaw(lambda: (None, False)))
    root.use(lambda account: account.keep_everything(lambda: None))
    root.use(lambda account: account.restore(tmp_path / "backup", replace=True))
    assert root.use(lambda account: account.has_hold_mark())
    assert root.rows("SELECT state, count(*) FROM generation GROUP BY state ORDER BY state") == [
        ("current", 1),
        ("replaced", 1),
    ]


def test_holds_exclude_each_other_across_a_restore(root: DatabaseRoot, tmp_path: Path) -> None:
    """Who lifts one from the restored mailbox waits for who has set one on the mailbox before, and is recording it."""
    root.use(lambda account: deliver(account, inbox(account), ["a"]))
    root.use(lambda account: account.backup(tmp_path / "backup"))
    recorded: list[str] = []

    def record_release() -> tuple[None, bool]:
        recorded.append("released")
        return None, False

    thread = threading.Thread(target=lambda: root.use(lambda other: other.let_go(record_release)))

    def record_hold() -> None:
        root.use(lambda other: other.restore(tmp_path / "backup", replace=True))
        thread.start()
        wait_for_lock(root)
        recorded.append("held")

    root.use(lambda account: account.keep_everything(record_hold))
    thread.join(30)
    assert recorded == ["held", "released"]


def rows_of(root: DatabaseRoot) -> dict[str, int]:
    """The rows of accounts in all tables that have a column of that name, except those that are empty."""
    names = root.rows(
        "SELECT table_name FROM information_schema.columns WHERE table_schema = 'public' AND column_name = 'account_id'"
    )
    counted = {name: root.rows(f"SELECT count(*) FROM {name}")[0][0] for (name,) in names}
    return {name: count for name, count in counted.items() if count}


def test_nothing_is_left_of_a_freed_mailbox(root: DatabaseRoot) -> None:
    """In no table, known here or not; another mailbox keeps all of its rows."""
    with psycopg.connect(root.connection_string, autocommit=True) as driver:
        driver.execute("CREATE TABLE later (account_id integer, number bigint, PRIMARY KEY (account_id, number))")
        driver.execute("INSERT INTO later SELECT 7, number FROM generate_series(1, 4500) AS number")
        try:
            live(root)
            assert set(rows_of(root)) >= {
                "account",
                "folder",
                "message",
                "email",
                "body",
                "seen",
                "later",
                "generation",
            }
            with closing(root.store()) as store:
                other = store.account(AccountRef(8, "mic.gov.vn/ttlan"))
                deliver(other, inbox(other), ["other"])
                others = {name: root.rows(f"SELECT count(*) FROM {name} WHERE account_id = 8")[0][0] for name in rows_of(root)}
            assert root.use(lambda account: account.free(lambda: True))
            assert rows_of(root) == {name: count for name, count in others.items() if count}
            assert not root.use(lambda account: account.is_left)
            assert not root.use(lambda account: account.exists)
        finally:
            driver.execute("DROP TABLE later")


def test_tables_are_those_whose_key_begins_with_the_account(root: DatabaseRoot) -> None:
    """A queue's table that names an account is none of them."""
    with psycopg.connect(root.connection_string, autocommit=True) as driver:
        driver.execute("CREATE TABLE queued (id bigint PRIMARY KEY, account_id integer)")
        try:
            with closing(root.store()) as store, store.resources.database.reading() as connection:
                found = tables_of_accounts(connection)
        finally:
            driver.execute("DROP TABLE queued")
    assert "queued" not in found
    assert {"account", "body", "delivery", "email", "folder", "generation", "mark", "message"} <= set(found)


def test_what_must_stay_is_not_freed(root: DatabaseRoot) -> None:
    """`still` has the last word, under the lock; nobody else changes the account then."""
    root.use(lambda account: deliver(account, inbox(account), ["a"]))
    assert not root.use(lambda account: account.free(lambda: False))
    assert tokens(root) == ["a"]


def test_a_delivery_that_races_with_freeing_is_not_lost(root: DatabaseRoot) -> None:
    """Refused for now, or in a mailbox that is made anew."""
    root.use(lambda account: deliver(account, inbox(account), ["old"]))
    with closing(root.store()) as store:
        account = store.account(REF)
        folder_id = inbox(account)
        outcomes: list[object] = []

        def deliver_meanwhile() -> None:
            try:
                outcomes.append(deliver(account, folder_id, ["meanwhile"]))
            except Unavailable as error:
                outcomes.append(error)

        thread = threading.Thread(target=deliver_meanwhile)

        def still() -> bool:
            account.highest_modseq()
            thread.start()
            wait_for_lock(root)
            return True

        assert root.use(lambda other: other.free(still))
        thread.join(30)
        assert isinstance(outcomes[0], Unavailable)
        assert deliver(account, inbox(account), ["again"]) == [1]
    assert tokens(root) == ["again"]


def test_a_folder_is_not_missing_where_its_mailbox_has_gone(root: DatabaseRoot) -> None:
    """Whoever was slow to look, after the rows were removed, looks into the mailbox that is there now."""
    with closing(root.store()) as store:
        account = store.account(REF)
        deliver(account, inbox(account), ["a"])
        store._known[7] = _Known(store._store_of(99, REF), 0, time.monotonic() + 30)  # what it went by, as long as it was slow
        assert account.folder("INBOX").messages == 1
        with pytest.raises(NoSuchFolder):
            account.folder("Old")


@pytest.mark.parametrize("stride", [997, pytest.param(61, marks=pytest.mark.slow)])
@pytest.mark.parametrize("act", ["backup", "restore", "free"])
def test_killed_at_any_line(root: DatabaseRoot, tmp_path: Path, act: str, stride: int) -> None:
    """A backup without its end is none; a restore has happened or not; what was freed is gone once it is freed again."""
    line, ended = 0, False
    clock = ManualClock(datetime(2026, 12, 1, tzinfo=UTC))
    root.clock = clock
    while not ended:
        root.clear()
        root.use(lambda account: deliver(account, inbox(account), ["a", "b"]))
        root.use(lambda account: account.backup(tmp_path / f"whole{line}"))  # noqa: B023 - called at once
        root.use(lambda account: deliver(account, inbox(account), ["c"]))
        given = root.use(lambda account: account.folder("INBOX").uidnext)

        def work(account: DatabaseAccount, number: int = line) -> None:
            if act == "backup":
                account.backup(tmp_path / f"half{number}")
            elif act == "restore":
                account.restore(tmp_path / f"whole{number}", replace=True)
            else:
                account.free(lambda: True)

        ended = killed_at(line, lambda: root.use(work))
        if act == "backup":
            assert tokens(root) == ["a", "b", "c"]
            if (tmp_path / f"half{line}" / "manifest.json").exists():
                assert examine(tmp_path / f"half{line}")[0] == 3
        elif act == "restore":
            assert tokens(root) in ([["a", "b"]] if ended else [["a", "b"], ["a", "b", "c"]])
            assert root.use(lambda account: account.folder("INBOX").uidnext) == given
            clock.move_to(clock.now() + timedelta(days=2))
            with closing(root.store()) as store:
                store.drop_unfinished_restores(set())
            assert root.rows("SELECT count(*) FROM generation WHERE state IN ('restoring', 'freed')") == [(0,)]
        else:
            assert root.use(lambda account: account.free(lambda: True))
            assert root.rows("SELECT count(*) FROM generation") == root.rows("SELECT count(*) FROM body") == [(0,)]
        assert root.use(lambda account: account.repair(check=True)).clean
        line += stride


def test_what_a_killed_restore_left_is_removed_after_a_day(root: DatabaseRoot, tmp_path: Path) -> None:
    """Not before: it may still be at work. What has replaced something stays."""
    clock = ManualClock(datetime(2026, 12, 1, tzinfo=UTC))
    root.clock = clock
    root.use(lambda account: deliver(account, inbox(account), ["a"]))
    root.use(lambda account: account.backup(tmp_path / "backup"))
    root.use(lambda account: account.restore(tmp_path / "backup", replace=True))
    with psycopg.connect(root.connection_string) as driver:
        driver.execute("INSERT INTO generation VALUES (99, 7, 'restoring', %s)", (clock.steady_us(),))
        driver.execute("INSERT INTO subscription VALUES (99, 'INBOX')")
    for days, left in ((0.9, 3), (0.2, 2)):
        clock.move_to(clock.now() + timedelta(days=days))
        with closing(root.store()) as store:
            store.drop_unfinished_restores(set())
        assert root.rows("SELECT count(*) FROM generation") == [(left,)]
    assert root.rows("SELECT count(*) FROM subscription WHERE account_id = 99") == [(0,)]
    assert tokens(root) == ["a"]


def test_a_restore_that_was_given_up_does_not_go_on(root: DatabaseRoot, tmp_path: Path) -> None:
    """Removed by a housekeeper while it was stopped: no row of it comes afterwards, and nothing is replaced."""
    root.use(lambda account: [publish(account, large((9 << 20) + more)) for more in range(3)])
    root.use(lambda account: account.backup(tmp_path / "backup"))

    def meanwhile(done: int, of: int) -> None:
        if done == 1:
            with psycopg.connect(root.connection_string) as driver:
                driver.execute("UPDATE generation SET state = 'freed' WHERE state = 'restoring'")

    with pytest.raises(Unavailable):
        root.use(lambda account: account.restore(tmp_path / "backup", replace=True, progress=meanwhile))
    assert root.rows("SELECT state FROM generation ORDER BY state") == [("current",), ("freed",)]
    assert root.rows("SELECT count(DISTINCT email_pk) FROM body WHERE account_id <> 7") == [(2,)]
    assert root.use(lambda account: account.quota()).messages == 3


def test_many_rows_come_in_pages(root: DatabaseRoot, tmp_path: Path) -> None:
    """More messages, readers' marks and origins than a page or a transaction holds."""
    chance = random.Random(7)
    root.use(lambda account: account.keep_seen(each=True, persons=(BE,)))
    for turn in range(2):
        names = [f"{turn}-{number}" for number in range(401)]
        root.use(lambda account: deliver(account, inbox(account), names))  # noqa: B023 - called at once
    with closing(root.store()) as store:
        seen = sorted(chance.sample(range(1, 803), 450))
        store.account(REF, BE).store_flags(inbox(store.account(REF)), seen, "+", SEEN)
    before = root.use(observe)
    root.use(lambda account: account.backup(tmp_path / "backup"))
    assert root.use(lambda account: account.restore(tmp_path / "backup", replace=True)).clean
    assert root.use(observe)["INBOX"].messages == before["INBOX"].messages
    with closing(root.store()) as store:
        view = store.account(REF, BE).view(inbox(store.account(REF)))
    assert [uid for uid, flags in zip(view.uids, view.flags, strict=True) if flags & SEEN] == seen
