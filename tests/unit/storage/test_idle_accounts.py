"""Resting: an account that nobody uses gives its handles back, and is none the worse for it."""

import ctypes
import errno
import fcntl
import os
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from mic_mail.clock import ManualClock
from mic_mail.config.model import Config
from mic_mail.services.mail_store import OPEN_WITHOUT_CLIENTS, storage_settings
from mic_mail.storage.index.connection import Index
from mic_mail.storage.local_mailstore import READER_IDLE_SECONDS, Account, LocalMailStore
from mic_mail.storage.local_store import LocalStore
from mic_mail.storage.types import FLAGGED, SEEN, AccountRef
from store_harness import REF, Root, deliver, inbox, message, observe

AT_ONCE = -1.0
"""Seconds of idleness: whatever is not in use this very moment."""


leaves_logs = pytest.mark.skipif(sys.version_info < (3, 12), reason="sqlite3 cannot keep a log before Python 3.12")


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(datetime.now(UTC))


@pytest.fixture
def root(tmp_path: Path, clock: ManualClock) -> Root:
    return Root(tmp_path, clock=clock)


@pytest.fixture
def store(root: Root) -> Iterator[LocalMailStore]:
    store = root.store()
    yield store
    store.close()


def open_files(home: Path) -> list[str]:
    """What this process holds open below `home`."""
    found = []
    for fd in os.listdir("/proc/self/fd"):
        try:
            target = os.readlink(f"/proc/self/fd/{fd}")
        except FileNotFoundError:  # the listing's own
            continue
        if target.startswith(f"{home}/"):
            found.append(target)
    return found


def later(clock: ManualClock, seconds: float) -> None:
    clock.move_to(clock.now() + timedelta(seconds=seconds))


def test_an_open_mailbox_takes_little_memory(root: Root, store: LocalMailStore) -> None:
    """However large its index: what SQLite holds for a writer and two readers that have read all of it."""
    account = store.account(REF)
    deliver(account, inbox(account), [f"{number} " + "h" * 8_000 for number in range(300)])
    index = store.store(REF).index
    assert os.stat(index._path).st_size + os.stat(f"{index._path}-wal").st_size > 2 << 20
    store.rest(AT_ONCE)
    before = octets_of_sqlite()
    with account._store.reading() as one, account._store.reading() as another:
        for connection in (one, another, index.writer()):
            connection.execute("SELECT sum(length(header)) FROM email").fetchall()
    assert octets_of_sqlite() - before < 600 << 10


def octets_of_sqlite() -> int:
    """What the library has allocated in this process."""
    library = ctypes.CDLL("libsqlite3.so.0")
    library.sqlite3_memory_used.restype = ctypes.c_int64
    return int(library.sqlite3_memory_used())


def test_a_store_knows_without_a_look_whether_it_has_something_to_close(store: LocalMailStore, clock: ManualClock) -> None:
    """A process that rests asks each two seconds; nothing that was used is forgotten."""
    account = store.account(REF)
    assert store.is_closed
    deliver(account, inbox(account), ["a"])
    uses = store.uses
    assert not store.is_closed
    later(clock, 11)
    store.rest(10)
    assert store.is_closed
    assert store.uses == uses
    account.view(inbox(account))
    assert store.uses > uses
    assert not store.is_closed


def test_a_process_without_clients_holds_few_mailboxes_open(tmp_path: Path, clock: ManualClock) -> None:
    """However many it visits in a round: an open index takes a quarter of a megabyte."""
    settings = storage_settings(Config(), has_clients=False)
    homes = [tmp_path / f"u{number}" for number in range(5 * OPEN_WITHOUT_CLIENTS)]
    with closing(LocalMailStore(tmp_path, clock=clock, host="h", settings=settings)) as store:
        most = 0
        for number, home in enumerate(homes):
            store.account(AccountRef(1 + number, home.name)).folders()
            most = max(most, sum(bool(open_files(visited)) for visited in homes))
        assert 1 < most <= 2 * OPEN_WITHOUT_CLIENTS + 1
        store.rest(60)
        assert sum(bool(open_files(home)) for home in homes) <= OPEN_WITHOUT_CLIENTS


def test_a_store_knows_whether_names_are_due(root: Root) -> None:
    """From the change of a flag until the file has its name, also where renaming was not possible meanwhile."""
    root.settings["lock_seconds"] = 0.05
    with closing(root.store()) as store:
        account = store.account(REF)
        deliver(account, inbox(account), ["a"])
        store.flush_names()
        assert not store.has_names_due
        account.store_flags(inbox(account), [1], "+", FLAGGED)
        assert store.has_names_due
        with open(root.home / "account.lock", "rb") as held:
            fcntl.flock(held, fcntl.LOCK_EX)
            store.flush_names()
            assert store.has_names_due
        store.flush_names()
        assert not store.has_names_due


def test_names_stay_due_that_become_so_during_a_flush(root: Root, monkeypatch: pytest.MonkeyPatch) -> None:
    """The flush comes between what a STORE writes and its commit: it sees no new flags, and leaves the names due."""
    root.settings["lock_seconds"] = 0.05
    with closing(root.store()) as store:
        account = store.account(REF)
        deliver(account, inbox(account), ["a"])
        store.flush_names()
        plain, flushes = LocalStore.names_due, []

        def become_due(self: LocalStore, is_due: bool) -> None:
            plain.__set__(self, is_due)
            if is_due and not flushes:
                flushes.append(is_due)
                store.flush_names()

        monkeypatch.setattr(LocalStore, "names_due", property(plain.fget, become_due))
        account.store_flags(inbox(account), [1], "+", FLAGGED)
        assert (flushes, store.has_names_due) == ([True], True)
        store.flush_names()
        assert [file.name[-1] for file in (root.home / "Maildir/cur").iterdir()] == ["F"]


def test_names_wait_for_a_lock_that_cannot_be_opened(root: Root, monkeypatch: pytest.MonkeyPatch) -> None:
    """They stay due, and neither the other accounts nor the end of the store suffer."""
    store = root.store()
    account = store.account(REF)
    deliver(account, inbox(account), ["a"])
    account.store_flags(inbox(account), [1], "+", FLAGGED)
    store.store(REF).lock.close()
    real_open = os.open

    def open_no_lock(path: str, *arguments: int, **options: int) -> int:
        if str(path).endswith("account.lock"):
            raise OSError(errno.EMFILE, "too many open files", path)
        return real_open(path, *arguments, **options)

    monkeypatch.setattr(os, "open", open_no_lock)
    store.flush_names()
    assert store.has_names_due
    store.close()


def test_idle_account_gives_back_its_descriptors(root: Root, store: LocalMailStore, clock: ManualClock) -> None:
    """After the idle time, and not before, nothing of an account is open; then it reads, flags and delivers as ever.

    Its readers are closed before its writer.
    """
    account = store.account(REF)
    deliver(account, inbox(account), ["a", "b"])
    view = account.view(inbox(account))
    later(clock, READER_IDLE_SECONDS - 1)
    assert store.rest(10) == 0
    later(clock, 2)
    assert store.rest(10) == 1
    assert open_files(root.home)
    later(clock, 8 - READER_IDLE_SECONDS)
    assert store.rest(10) == 0
    assert open_files(root.home)
    later(clock, 2)
    assert store.rest(10) > 0
    assert open_files(root.home) == []

    assert account.view(view.info.folder_id) is view
    assert account.store_flags(inbox(account), [1], "+", SEEN, ["$Label1"]).modseq > view.info.highest_modseq
    store.rest(AT_ONCE)
    assert deliver(account, inbox(account), ["c"]) == [3]
    store.rest(AT_ONCE)
    changes = account.changes(inbox(account), view.info.highest_modseq)
    assert [row[0] for row in changes.changed] == [1, 3]
    assert root.changes[-1] == (REF.account_id, changes.highest_modseq)
    assert observe(account)["INBOX"].messages == {
        1: ("a", frozenset({"\\Seen", "$Label1"})),
        2: ("b", frozenset()),
        3: ("c", frozenset()),
    }


def test_account_in_use_keeps_its_handles(root: Root, store: LocalMailStore, clock: ManualClock) -> None:
    """Mail and a look each second keep writer and reader; a look alone keeps the reader, and the writer goes."""
    account = store.account(REF)
    folder_id = inbox(account)
    for number in range(15):
        deliver(account, folder_id, [f"m{number}"])
        account.highest_modseq()
        later(clock, 1)
        assert store.rest(10) == 0
    for _ in range(15):
        account.highest_modseq()
        later(clock, 1)
        store.rest(10)
    opened = open_files(root.home)
    assert str(root.home / "index.sqlite") in opened
    assert not any(name.endswith("lock") for name in opened)


def test_handles_in_use_are_left_alone(root: Root, store: LocalMailStore) -> None:
    """A reader in the middle of its snapshot and the writer in the middle of a change work on while everything else rests."""
    account = store.account(REF)
    deliver(account, inbox(account), ["a"])
    inner = store.store(REF)
    with inner.index.snapshot() as reader, inner.lock.held():
        writer = inner.index.writer()
        writer.execute("BEGIN IMMEDIATE")
        in_a_thread(lambda: store.rest(AT_ONCE))
        assert reader.execute("SELECT count(*) FROM message").fetchone() == (1,)
        writer.execute("DELETE FROM subscription")
        writer.execute("COMMIT")
    assert store.rest(AT_ONCE) == 2
    assert open_files(root.home) == []
    assert account.subscriptions() == []


def in_a_thread(act: Callable[[], object]) -> None:
    thread = threading.Thread(target=act)
    thread.start()
    thread.join()


@contextmanager
def resting_all_the_time(*stores: LocalMailStore) -> Iterator[None]:
    over = threading.Event()
    failures: list[BaseException] = []

    def rest(store: LocalMailStore) -> None:
        try:
            while not over.wait(0.0005):
                store.rest(AT_ONCE)
        except BaseException as error:  # noqa: BLE001 - the test tells it
            failures.append(error)

    threads = [threading.Thread(target=rest, args=(store,)) for store in stores]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        over.set()
        for thread in threads:
            thread.join()
    assert failures == []


@pytest.mark.parametrize("rounds", [25, pytest.param(400, marks=pytest.mark.campaign)])
def test_resting_under_load_loses_nothing(tmp_path: Path, rounds: int) -> None:
    """Two stores, four threads that deliver, flag, look and poll while handles close all the time: each answer is right."""
    root = Root(tmp_path)
    stores = [root.store(), root.store()]
    accounts = [store.account(REF) for store in stores]
    folder_id = inbox(accounts[0])
    failures: list[BaseException] = []

    def guarded(act: Callable[[int], None]) -> threading.Thread:
        def run() -> None:
            try:
                for number in range(rounds):
                    act(number)
            except BaseException as error:  # noqa: BLE001 - the test tells it
                failures.append(error)

        return threading.Thread(target=run)

    def delivers(account: Account, name: str) -> Callable[[int], None]:
        def act(number: int) -> None:
            (uid,) = deliver(account, folder_id, [f"{name}{number}"])
            assert account.store_flags(folder_id, [uid], "+", FLAGGED).changed[0][1] == FLAGGED
            assert uid in account.view(folder_id).uids

        return act

    def looks(store: LocalMailStore) -> Callable[[int], None]:
        seen = 0

        def act(number: int) -> None:
            nonlocal seen
            now = store.newest_modseq(REF)
            assert now >= seen
            seen = now
            store.account(REF).changes(folder_id, 0)

        return act

    threads = [guarded(delivers(account, name)) for account, name in zip(accounts, "xy", strict=True)]
    threads += [guarded(looks(store)) for store in stores]
    with resting_all_the_time(*stores):
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert failures == []
    messages = observe(accounts[0])["INBOX"].messages
    assert sorted(token for token, _ in messages.values()) == sorted(f"{name}{n}" for name in "xy" for n in range(rounds))
    assert {flags for _, flags in messages.values()} == {frozenset({"\\Flagged"})}
    assert accounts[0].repair(check=True).clean
    for store in stores:
        store.rest(AT_ONCE)
    assert open_files(root.home) == []
    for store in stores:
        store.close()


def test_poll_opens_nothing_while_nothing_moves(root: Root, store: LocalMailStore, clock: ManualClock) -> None:
    """The feed's poll keeps a resting account at rest, also after others closed handles, and sees what anybody changes."""
    account = store.account(REF)
    deliver(account, inbox(account), ["a"])
    later(clock, 60)  # what was written has settled
    store.rest(AT_ONCE)
    known = store.newest_modseq(REF)
    assert known == account.highest_modseq()
    store.rest(AT_ONCE)
    assert store.newest_modseq(REF) == known
    assert open_files(root.home) == []

    root.use(lambda other: deliver(other, inbox(other), ["b"]))  # and its last handle moves the log into the index
    moved = store.newest_modseq(REF)
    assert moved > known
    assert open_files(root.home) == []
    assert list(account.view(inbox(account)).uids) == [1, 2]

    store.rest(AT_ONCE)
    store.newest_modseq(REF)
    (root.home / "Maildir/new/1600000000.V1I2.other").write_bytes(message("c"))
    assert store.newest_modseq(REF) > moved
    assert [token for token, _ in observe(account)["INBOX"].messages.values()] == ["a", "b", "c"]


def test_poll_notices_a_lost_index(root: Root, store: LocalMailStore, clock: ManualClock) -> None:
    """An index that was removed while its account rested is made anew, with every message and a MODSEQ above all before."""
    account = store.account(REF)
    deliver(account, inbox(account), ["a", "b"])
    before, view = observe(account)["INBOX"].messages, account.view(inbox(account))
    later(clock, 60)
    store.newest_modseq(REF)
    store.rest(AT_ONCE)
    known = store.newest_modseq(REF)
    root.lose_index()
    assert store.newest_modseq(REF) > known
    assert observe(account)["INBOX"].messages == before
    assert account.view(inbox(account)) is not view


def test_least_recently_used_handles_make_room(tmp_path: Path) -> None:
    """No more than twice `open_accounts` hold handles, and no more than that after a rest; the others answer all the same."""
    root = Root(tmp_path, settings={"boot_id": "first boot", "open_accounts": 3})
    store = root.store()
    refs = [AccountRef(number, f"mic.gov.vn/u{number}") for number in range(1, 9)]
    for ref in refs:
        deliver(store.account(ref), inbox(store.account(ref)), ["a"])

    def holding() -> set[str]:
        names = (name.partition("/mic.gov.vn/")[2] for name in open_files(tmp_path))
        return {name.split("/")[0] for name in names if name}

    assert holding() == {"u3", "u4", "u5", "u6", "u7", "u8"}
    store.rest(60)
    assert holding() == {"u6", "u7", "u8"}
    for ref in refs:
        assert deliver(store.account(ref), inbox(store.account(ref)), ["b"]) == [2]
    store.close()
    assert open_files(tmp_path) == []


def test_names_of_a_killed_process_follow_though_its_log_is_gone(root: Root) -> None:
    """Names that lag behind are found by the time of the index too: another process may have closed the log meanwhile."""
    killed = root.store()
    account = killed.account(REF)
    deliver(account, inbox(account), ["a"])
    account.store_flags(inbox(account), [1], "+", SEEN)
    account.checkpoint()
    killed.rest(AT_ONCE)
    assert not (root.home / "index.sqlite-wal").exists()
    (name,) = os.listdir(root.home / "Maildir/cur")
    assert name.endswith(":2,")

    heir = root.store()
    heir.flush_names_left([REF], root.clock.now().timestamp() - 60)
    (name,) = os.listdir(root.home / "Maildir/cur")
    assert name.endswith(":2,S")
    heir.close()
    killed.close()


def test_index_made_anew_by_others_while_resting(root: Root, store: LocalMailStore) -> None:
    """Nothing holds the old index's inode, so the new one may get its number: what is read is right all the same."""
    account = store.account(REF)
    deliver(account, inbox(account), ["a", "b", "c"])
    account.view(inbox(account))
    for gone in ("b", "a"):
        uid = next(uid for uid, (token, _) in observe(account)["INBOX"].messages.items() if token == gone)
        store.rest(AT_ONCE)
        root.lose_index()
        next((root.home / "Maildir/cur").glob(f"*,U={uid}:2,*")).unlink()  # no index tells that it has vanished
        root.use(lambda other, gone=gone: deliver(other, inbox(other), [f"new {gone}"]))
        assert observe(account) == root.use(observe)
        assert gone not in [token for token, _ in observe(account)["INBOX"].messages.values()]


def logs_of(root: Root) -> list[str]:
    """Files beside the index that belong to its log."""
    return sorted(file.name for file in root.home.glob("index.sqlite-*"))


@leaves_logs
def test_resting_index_leaves_a_log_that_lacks_nothing(root: Root, store: LocalMailStore) -> None:
    """Index and log are all that a power loss leaves: with them, all flags are there that were set before the rest."""
    account = store.account(REF)
    deliver(account, inbox(account), ["a", "b"])
    account.store_flags(inbox(account), [1], "+", SEEN, ["$Label1"])
    store.rest(AT_ONCE)
    assert logs_of(root) == ["index.sqlite-shm", "index.sqlite-wal"]
    left = root.index_copy()
    account.view(inbox(account))
    store.rest(AT_ONCE)
    assert root.index_copy()["index.sqlite-wal"] == left["index.sqlite-wal"]
    before = observe(account)
    store.close()
    del left["index.sqlite-shm"]
    root.power_loss(left)
    assert root.use(observe)["INBOX"].messages == before["INBOX"].messages


@leaves_logs
def test_log_left_behind_is_bounded(root: Root, store: LocalMailStore) -> None:
    """After some deliveries a rest moves it into the index, as a stop and the housekeeper's sweep do."""
    account = store.account(REF)
    longest = rounds = 0
    while rounds < 30:
        rounds += 1
        deliver(account, inbox(account), [f"m{rounds}"])
        store.rest(AT_ONCE)
        if not logs_of(root):
            break
        longest = max(longest, (root.home / "index.sqlite-wal").stat().st_size)
    assert 5 <= rounds < 30
    assert longest <= 256 << 10
    assert len(observe(account)["INBOX"].messages) == rounds


@leaves_logs
def test_log_left_behind_goes_with_a_stop(root: Root, store: LocalMailStore) -> None:
    account = store.account(REF)
    deliver(account, inbox(account), ["a"])
    store.rest(AT_ONCE)
    deliver(account, inbox(account), ["b"])
    store.close()
    assert logs_of(root) == []
    assert list(root.use(lambda other: other.view(inbox(other)).uids)) == [1, 2]


@leaves_logs
def test_sweep_begins_no_log_where_the_reserve_is_given_up(root: Root, store: LocalMailStore) -> None:
    """What is left of the disk is for removals."""
    account = store.account(REF)
    deliver(account, inbox(account), ["a"])
    store.rest(AT_ONCE)
    deliver(account, inbox(account), ["b"])
    reserve = Path(store.store(REF).reserve.folder, ".reserve")
    reserve.write_bytes(b"")
    account.sweep()
    store.rest(AT_ONCE)
    assert logs_of(root) == []


@leaves_logs
def test_sweep_begins_a_log_for_a_mailbox_that_changes(root: Root, store: LocalMailStore) -> None:
    """The index lacks nothing without it; the next sweep removes it where nothing has changed by then."""
    account = store.account(REF)
    deliver(account, inbox(account), ["a"])
    store.rest(AT_ONCE)
    deliver(account, inbox(account), ["b"])
    account.sweep()
    store.rest(AT_ONCE)
    log = root.home / "index.sqlite-wal"
    assert 0 < log.stat().st_size < 8 << 10
    left = root.index_copy()
    del left["index.sqlite-shm"], left["index.sqlite-wal"]
    account.sweep()
    store.rest(AT_ONCE)
    assert logs_of(root) == []
    store.close()
    root.power_loss(left)
    assert list(root.use(lambda other: other.view(inbox(other)).uids)) == [1, 2]


@leaves_logs
def test_sweep_of_a_full_disk_begins_no_log(root: Root, store: LocalMailStore) -> None:
    account = store.account(REF)
    deliver(account, inbox(account), ["a"])
    index = store.store(REF).index
    with store.store(REF).lock.held():
        index.writer().execute("PRAGMA query_only = ON")  # refuses writes, as a full disk does, but lets logs be moved
        index.renew_log()
        index.writer().execute("PRAGMA query_only = OFF")
    store.rest(AT_ONCE)
    assert logs_of(root) == []
    assert list(root.use(lambda other: other.view(inbox(other)).uids)) == [1]


@leaves_logs
def test_log_that_cannot_be_synced_is_moved(root: Root, store: LocalMailStore, monkeypatch: pytest.MonkeyPatch) -> None:
    account = store.account(REF)
    deliver(account, inbox(account), ["a"])

    def fail(_fd: int) -> None:
        raise OSError(errno.EIO, "input/output error")

    monkeypatch.setattr(os, "fdatasync", fail)
    store.rest(AT_ONCE)
    assert logs_of(root) == []
    assert observe(account)["INBOX"].messages.keys() == {1}


def test_search_file_leaves_no_log(tmp_path: Path, clock: ManualClock) -> None:
    """It is never synced, so a log that stays would gain nothing."""
    index = Index(str(tmp_path / "search.sqlite"), synchronous="off", clock=clock)
    index.make().execute("CREATE TABLE kept (number INTEGER)")
    index.rest_writer()
    assert [file.name for file in tmp_path.iterdir()] == ["search.sqlite"]
