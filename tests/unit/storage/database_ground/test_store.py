"""Accounts in PostgreSQL: made once, changed one after the other, known to other processes by their MODSEQs."""

import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing

import pytest

from mic_mail.errors import Refused, Text
from mic_mail.mime.imap_structure import answers_of
from mic_mail.storage.database_ground import mailstore
from mic_mail.storage.database_ground.account import DatabaseAccount
from mic_mail.storage.database_ground.bodies import PIECE_OCTETS
from mic_mail.storage.database_ground.mailstore import DatabaseMailStore
from mic_mail.storage.delivery import Delivery
from mic_mail.storage.errors import Busy, Frozen
from mic_mail.storage.types import SEEN, AccountRef, Quota, TextTest
from postgresql_server import PostgresqlServer
from store_harness import REF, deliver, inbox, message, observe
from unit.storage.grounds import DatabaseRoot
from waiting import wait_for

pytestmark = pytest.mark.needs_tool("postgres")


def test_many_who_come_first_make_one_account(root: DatabaseRoot, postgresql: PostgresqlServer) -> None:
    """Processes that use an account for the first time at once find the same folders."""
    stores = [root.store() for _ in range(4)]
    start = threading.Barrier(4)

    def first(store: DatabaseMailStore) -> list[tuple[int, str, int]]:
        start.wait(30)
        return [(info.folder_id, info.name, info.uidvalidity) for info in store.account(REF).folders()]

    with ThreadPoolExecutor(4) as threads:
        found = list(threads.map(first, stores))
    assert found == [found[0]] * 4
    assert postgresql.psql("SELECT count(*) FROM account; SELECT count(*) FROM folder") == "1\n6\n"
    for store in stores:
        store.close()


def test_two_processes_take_numbers_in_turn(root: DatabaseRoot) -> None:
    """Each UID once, in one order for all; what one has delivered the other finds."""
    stores = [root.store() for _ in range(2)]
    accounts = [store.account(REF) for store in stores]
    folder_id = inbox(accounts[0])

    def work(number: int) -> list[int]:
        return [uid for turn in range(8) for uid in deliver(accounts[number], folder_id, [f"{number}-{turn}"])]

    with ThreadPoolExecutor(2) as threads:
        uids = list(threads.map(work, range(2)))
    assert sorted(uids[0] + uids[1]) == list(range(1, 17))
    assert observe(accounts[0]) == observe(accounts[1])
    assert accounts[0].repair(check=True).clean
    for store in stores:
        store.close()


def test_whoever_has_patience_hears_that_it_is_busy(root: DatabaseRoot, account: DatabaseAccount) -> None:
    """A delivery that does not wait is refused while another process changes the account, and changes nothing."""
    deliver(account, inbox(account), ["a"])
    folder_id = inbox(account)

    def other(second: DatabaseAccount) -> None:
        staged = second.stage()
        with account._store.writing(), pytest.raises(Busy), second._store.writing(patience=0.01):
            pass
        staged.discard()

    root.use(other)
    assert account.folder("INBOX").uidnext == 2
    assert deliver(account, folder_id, ["b"]) == [2]


def test_all_that_is_watched_is_asked_at_once(root: DatabaseRoot, store: DatabaseMailStore) -> None:
    """The newest MODSEQs of many accounts, changed by whatever process; those that nobody uses are left out."""
    refs = [AccountRef(number, f"mic.gov.vn/u{number}") for number in (3, 5, 9)]
    for ref in refs:
        deliver(store.account(ref), inbox(store.account(ref)), ["a"])
    watched = [*refs, AccountRef(11, "mic.gov.vn/u11")]
    known = store.newest_modseqs(watched)
    assert known == {ref.account_id: store.account(ref).highest_modseq() for ref in refs}
    other = root.store()
    other.account(refs[1]).store_flags(inbox(store.account(refs[1])), [1], "+", SEEN)
    other.close()
    assert store.newest_modseqs(watched) == known | {5: known[5] + 1}


def test_a_mark_is_there_before_its_record(root: DatabaseRoot) -> None:
    """Other processes obey it from then on; a record that is refused takes it back, one that fails leaves it."""
    with closing(root.store()) as store:
        _freeze_and_thaw(root, store.account(REF))


def _freeze_and_thaw(root: DatabaseRoot, account: DatabaseAccount) -> None:
    deliver(account, inbox(account), ["a"])

    def refused() -> None:
        raise Refused(Text("không", "no"))

    def failed() -> None:
        raise RuntimeError

    for record, error, stays in ((refused, Refused, False), (failed, RuntimeError, True)):
        with pytest.raises(error):
            account.freeze(record)
        assert account.is_frozen() is stays
    with pytest.raises(Frozen):
        root.use(lambda other: other.remove(inbox(other), [1]))
    account.thaw(lambda: (None, True))
    assert account.is_frozen()
    account.thaw(lambda: (None, False))
    root.use(lambda other: other.remove(inbox(other), [1]))


def test_marks_are_held_however_long_their_record_takes(
    root: DatabaseRoot, postgresql: PostgresqlServer, account: DatabaseAccount
) -> None:
    """Mail comes meanwhile; who lifts the hold waits. Each process needs one connection only."""
    deliver(account, inbox(account), ["a"])
    lifted = threading.Event()

    def lift() -> None:
        root.use(lambda other: other.let_go(lambda: (None, False)))
        lifted.set()

    with ThreadPoolExecutor(1) as threads:

        def record() -> None:
            threads.submit(lift)
            waiting = "SELECT count(*) FROM pg_locks WHERE NOT granted AND locktype = 'advisory'"
            wait_for(lambda: postgresql.psql(waiting) == "1\n")
            assert postgresql.psql("SELECT state FROM pg_stat_activity WHERE state LIKE 'idle in%'") == ""
            root.use(lambda other: deliver(other, inbox(other), ["b"]))
            assert account.has_hold_mark()
            assert not lifted.is_set()

        with closing(root.store()) as store:
            store.account(REF).keep_everything(record)
    assert lifted.is_set()
    assert not account.has_hold_mark()


def test_a_mark_stays_where_its_hold_was_lost(
    root: DatabaseRoot, postgresql: PostgresqlServer, account: DatabaseAccount
) -> None:
    """Another may lift it then, since the record that says otherwise is still to come."""
    deliver(account, inbox(account), ["a"])

    def record() -> None:
        assert postgresql.psql("SELECT pg_terminate_backend(pid, 60000) FROM pg_locks WHERE locktype = 'advisory'") == "t\n"
        root.use(lambda other: other.let_go(lambda: (None, False)))
        assert not root.use(lambda other: other.has_hold_mark())

    with closing(root.store()) as store:
        store.account(REF).keep_everything(record)
    assert account.has_hold_mark()
    account.let_go(lambda: (None, False))
    assert not account.has_hold_mark()


def test_a_mailbox_that_was_freed_beside_us_is_a_new_one(root: DatabaseRoot, account: DatabaseAccount) -> None:
    """Whatever comes first makes it, as where this process had not opened it."""
    deliver(account, folder_id := inbox(account), ["a"])
    root.clear()
    assert deliver(account, folder_id, ["b"]) == [1]
    for read in (account.folders, lambda: account.opened("INBOX"), lambda: account.folder_id("INBOX"), lambda: inbox(account)):
        root.clear()
        assert read()
        assert deliver(account, folder_id, ["c"]) == [1]


def test_text_is_found_by_reading(account: DatabaseAccount) -> None:
    deliver(account, inbox(account), ["alpha", "beta"])
    tests = [TextTest("BODY", "beta"), TextTest("HEADER", "alpha", "subject")]
    assert account.find_text(inbox(account), [1, 2], tests) == [(1, (False, True)), (2, (True, False))]
    assert not any(account.look_up_text(inbox(account), [1, 2], b"\1\1", tests[0]).known)


def round_trips(account: DatabaseAccount) -> int:
    """How often the one connection has sent something and waited for the answer."""
    with account._store.shared.database.reading() as connection:
        return connection.round_trips


@pytest.fixture
def knows(monkeypatch: pytest.MonkeyPatch) -> None:
    """No process asks again which generation is current, as it would four times a second."""
    monkeypatch.setattr(mailstore, "KNOWN_SECONDS", 3_600.0)


@pytest.mark.usefixtures("knows")
def test_a_delivery_takes_few_round_trips(account: DatabaseAccount) -> None:
    """The lock, with account and folder; where it has an origin, the look for that; its rows, its body and COMMIT."""
    deliver(account, inbox(account), ["a"], origin="first")
    folder_id = inbox(account)
    for origin, wanted in ((None, 2), ("second", 3)):
        before = round_trips(account)
        deliver(account, folder_id, ["b"], origin=origin)
        assert round_trips(account) - before == wanted


@pytest.mark.usefixtures("knows")
def test_of_a_large_body_little_waits_to_be_sent(account: DatabaseAccount) -> None:
    """At each mebibyte the server has what came before."""
    octets = b"Subject: large\r\n\r\n" + bytes(16 * PIECE_OCTETS)
    staged = account.stage()
    staged.write(octets)
    delivery = Delivery(staged, answers_of(octets))
    folder_id = inbox(account)
    before = round_trips(account)
    account.publish(folder_id, [delivery])
    assert round_trips(account) - before == 2 + 4


@pytest.mark.parametrize("charset", [b"utf-8", b"utf-16", b"utf-7", b"x\0y"])
def test_no_message_has_what_a_column_cannot_hold(account: DatabaseAccount, charset: bytes) -> None:
    """U+0000 in header, text and Message-ID; octets that are no UTF-8; a lone surrogate."""
    octets = (
        b"Subject: =?utf-8?q?a=00b?= \0 \xff\r\nMessage-ID: <\0\xff@x>\r\nReferences: <\0@x> <\xed\xa0\x80@x>\r\n"
        b"From: =?utf-8?q?=00?= <\0@x>\r\nMIME-Version: 1.0\r\nContent-Type: text/plain; charset="
        + charset
        + b"; name*=utf-8''%00\r\n\r\n"
        b"a\0\0\xd8b\0\r\n \0 c"
    )
    staged = account.stage()
    staged.write(octets)
    account.publish(inbox(account), [Delivery(staged, answers_of(octets))])
    [ordered] = account.orderings(inbox(account), [1])
    assert ordered.uid == 1
    [(uid, preview)] = account.rows(inbox(account), [1], ("uid", "preview"))
    assert (uid, "\0" in preview) == (1, False)
    with account.open_message(inbox(account), 1) as body:
        assert body.pread(0, 1_000) == octets


def test_the_quota_of_nobody_makes_no_account(store: DatabaseMailStore, postgresql: PostgresqlServer) -> None:
    """Reports ask about thousands that may never have been used."""
    assert store.account(AccountRef(4, "mic.gov.vn/nobody")).quota_at_rest() == Quota(0, 0)
    assert postgresql.psql("SELECT count(*) FROM account") == "0\n"
    account = store.account(REF)
    deliver(account, inbox(account), ["a"])
    assert account.quota_at_rest() == account.quota() == Quota(len(message("a")), 1)
