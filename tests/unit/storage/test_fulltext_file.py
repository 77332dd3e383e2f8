"""`search.sqlite` as a file: who may write it when, how it stays small, what becomes of it."""

import contextlib
import os
import sqlite3
import threading
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from mic_mail.clock import ManualClock
from mic_mail.mime.imap_structure import answers_of
from mic_mail.mime.search_text import Zone
from mic_mail.storage.delivery import Delivery
from mic_mail.storage.errors import Busy
from mic_mail.storage.fulltext import segment
from mic_mail.storage.fulltext.segment import IndexedDocument
from mic_mail.storage.fulltext.segments import Segments
from mic_mail.storage.local_mailstore import Account
from mic_mail.storage.search.indexing import Visited
from mic_mail.storage.search.writer import leave
from mic_mail.storage.store import Store
from mic_mail.storage.types import TextTest
from store_harness import REF, Root, deliver
from unit.storage.damage import no_letters
from unit.storage.grounds import DatabaseRoot


def message(text: str) -> bytes:
    return f"Subject: x\r\nContent-Type: text/plain; charset=utf-8\r\n\r\n{text}\r\n".encode()


def publish(account: Account, *texts: str) -> None:
    deliveries = []
    for octets in map(message, texts):
        staged = account.stage()
        staged.write(octets)
        staged.finish()
        deliveries.append(Delivery(staged, answers_of(octets)))
    account.publish(account.folder("INBOX").folder_id, deliveries)


def known(account: Account, value: str = "a") -> int:
    """How many messages of the INBOX need not be read."""
    view = account.view(account.folder("INBOX").folder_id)
    wanted = bytes([1]) * len(view.uids)
    return account.look_up_text(view.info.folder_id, view.uids, wanted, TextTest("BODY", value)).known.count(1)


def segments(root: Root | DatabaseRoot) -> list[int]:
    """How many messages each segment has."""
    if isinstance(root, DatabaseRoot):
        return [octets // 8 for (octets,) in root.rows("SELECT length(messages) FROM search_segment")]
    connection = sqlite3.connect(root.home / "search.sqlite")
    try:
        return [octets // 8 for (octets,) in connection.execute("SELECT length(messages) FROM segment")]
    finally:
        connection.close()


@pytest.fixture
def root(root: Root) -> Root:
    root.clock = ManualClock(datetime(2026, 11, 1, tzinfo=UTC))
    root.use(lambda account: account.folders())
    return root


def index(root: Root) -> int:
    return root.use(lambda account: account.index_text(Visited()))


def test_segments_stay_few_however_mail_comes(root: Root) -> None:
    """One message at a time: twice as many messages, one segment more at most."""
    visited = Visited()
    store = root.store()
    account = store.account(REF)
    for number in range(70):
        publish(account, f"thu {number}")
        assert account.index_text(visited) == 1
    store.close()
    assert sum(segments(root)) == 70
    assert len(segments(root)) <= 7


def test_a_write_within_a_tick_of_the_clock_is_indexed(root: Root) -> None:
    """The index then has the same times as at the last visit; the change mark tells."""
    visited = Visited()
    store = root.store()
    account = store.account(REF)

    def stand_still() -> None:
        for file in root.home.glob("index.sqlite*"):
            os.utime(file, ns=(0, 10**18))

    publish(account, "mot")
    stand_still()
    assert account.index_text(visited) == 1
    stand_still()
    assert account.index_text(visited) == 0
    publish(account, "hai")
    stand_still()
    assert account.index_text(visited) == 1
    store.close()


def test_two_that_fill_at_once_leave_every_message_once(root: Root) -> None:
    """Indexers and searches of several processes: who was slower begins anew, nothing is lost and nothing is double."""
    stores = [root.store() for _ in range(4)]
    for store in stores:
        store.account(REF).folders()

    def fill(store: Store, first: int) -> None:
        for turn in range(10):
            numbers = range(first + 5 * turn, first + 5 * turn + 10)
            with contextlib.suppress(sqlite3.OperationalError, Busy):  # locked for too long: this one does without
                leave(store, {number: IndexedDocument.of([("body", f"so {number}")]) for number in numbers})

    threads = [threading.Thread(target=fill, args=(store.store(REF), 20 * place)) for place, store in enumerate(stores)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    search = stores[0].store(REF).search
    counted = Counter(key for each in search.live() for key in search.keys(each.segment_id))
    assert set(counted.values()) == {1}
    for _ in range(2):  # who gave up after some attempts comes again, as an indexer does
        for place, store in enumerate(stores):
            fill(store.store(REF), 20 * place)
    counted = Counter(key for each in search.live() for key in search.keys(each.segment_id))
    assert counted == Counter(range(115))
    for store in stores:
        store.close()


@pytest.mark.slow
def test_logs_in_place_of_letters_fill_segments_of_their_own(root: Root) -> None:
    """More different words than there are characters to stand for them, in messages none of which has too many."""
    documents = {
        number: IndexedDocument.of([("body", " ".join(map(str, range(number * 290_000, (number + 1) * 290_000))))])
        for number in range(4)
    }
    store = root.store()
    search = store.store(REF).search
    assert leave(store.store(REF), {9: IndexedDocument.of([("body", "thu")])}) == 1
    assert leave(store.store(REF), documents) == 4
    assert sum(len(search.keys(each.segment_id)) for each in search.live()) == 5
    store.close()


def test_a_long_log_is_left_by_who_reads_it_and_found(root: Root, monkeypatch: pytest.MonkeyPatch) -> None:
    """By the indexer and by a search: what is packed at once is bounded by its words, not by its messages alone."""
    for module in ("writer", "indexing", "scan"):
        monkeypatch.setattr(f"mic_mail.storage.search.{module}.MOST_WORDS", 150)
    monkeypatch.setattr("mic_mail.storage.search.scan.SMALLEST_LEFT", 6)
    store = root.store()
    account = store.account(REF)
    publish(account, *(" ".join(f"w{number}x{word}" for word in range(100)) for number in range(6)))
    view = account.view(account.folder("INBOX").folder_id)
    read = account.find_text(view.info.folder_id, view.uids, [TextTest("BODY", "w4x99")])
    assert [uid for uid, (hit,) in read if hit] == [5]
    assert (known(account), sum(segments(root))) == (6, 6)
    store.store(REF).search.discard()
    assert (known(account), account.index_text(Visited())) == (6, 0)
    (root.home / "search.sqlite").unlink()
    assert (known(account), account.index_text(Visited()), known(account)) == (0, 6, 6)
    store.close()


def test_a_segment_that_lacks_a_part_is_damage(root: Root) -> None:
    """As a power loss may leave it, each page of its own age: the file is thrown away, not passed over for ever."""
    root.use(lambda account: publish(account, "mot", "hai"))
    assert index(root) == 2
    with sqlite3.connect(root.home / "search.sqlite") as connection:
        connection.execute("DELETE FROM zone")
    connection.close()
    assert root.use(known) == 0
    assert index(root) == 2
    assert root.use(known) == 2


def test_a_segment_that_goes_during_a_look_costs_its_own_answers_only(root: Root, monkeypatch: pytest.MonkeyPatch) -> None:
    """Others pack segments anew while a search asks one after the other; what the rest has said stays said."""
    store = root.store()
    account = store.account(REF)
    for number in range(3):
        publish(account, *(f"thu {number} {each}" for each in range(4 - number)))
        account.index_text(Visited())
    assert sorted(segments(root)) == [2, 3, 4]
    search = store.store(REF).search
    words = type(search).words
    gone = min(each.segment_id for each in search.live())

    def some(self: Segments, segment_id: int, zone: Zone) -> bytes:
        if segment_id == gone:
            raise KeyError(segment_id)
        return words(self, segment_id, zone)  # type: ignore[arg-type]

    monkeypatch.setattr(type(search), "words", some)
    lost = len(store.store(REF).search.keys(gone))
    assert known(account) == 9 - lost
    monkeypatch.undo()
    assert known(account) == 9
    store.close()


def test_the_text_of_what_is_gone_leaves_the_file(root: Root) -> None:
    """After `expunge_keep_seconds` and the indexer's next look: no octet of it, in no page."""
    clock = root.clock
    assert isinstance(clock, ManualClock)
    root.use(lambda account: publish(account, *(f"tuyetmat{number} " * 400 for number in range(40)), "o lai"))
    assert index(root) == 41
    assert b"tuyetmat7" in (root.home / "search.sqlite").read_bytes()
    size = (root.home / "search.sqlite").stat().st_size
    root.use(lambda account: account.remove(account.folder("INBOX").folder_id, range(1, 41)))
    index(root)
    assert b"tuyetmat7" in (root.home / "search.sqlite").read_bytes()  # it can still be brought back
    clock.move_to(clock.now() + timedelta(days=8))
    root.use(lambda account: account.sweep())
    index(root)
    left = b"".join(path.read_bytes() for path in root.home.glob("search.sqlite*"))
    assert b"tuyetmat" not in left
    assert len(left) < size
    assert segments(root) == [1]


def test_what_was_swept_after_the_last_visit_leaves_too(root: Root) -> None:
    """The same indexer, which has looked a moment ago, and a mailbox that nobody writes any more."""
    clock = root.clock
    assert isinstance(clock, ManualClock)
    store = root.store()
    account, visited = store.account(REF), Visited()
    publish(account, *(f"thu {number}" for number in range(40)))
    assert account.index_text(visited) == 40
    account.remove(account.folder("INBOX").folder_id, range(1, 21))
    clock.move_to(clock.now() + timedelta(days=8))
    assert account.index_text(visited) == 0  # the sweep has not come yet
    account.sweep()
    account.index_text(visited)
    assert segments(root) == [40]
    clock.move_to(clock.now() + timedelta(hours=2))
    account.index_text(visited)
    assert segments(root) == [20]
    account.remove(account.folder("INBOX").folder_id, [21])
    clock.move_to(clock.now() + timedelta(days=8))
    account.sweep()
    account.index_text(visited)
    assert segments(root) == [20]
    clock.move_to(clock.now() + timedelta(days=8))
    account.index_text(visited)
    assert segments(root) == [19]
    store.close()


def test_a_few_that_are_gone_wait_for_a_week(root: Root) -> None:
    """Packing a thousand messages anew for each one that is expunged would be most of the work."""
    clock = root.clock
    assert isinstance(clock, ManualClock)
    root.use(lambda account: publish(account, *(f"thu {number}" for number in range(40))))
    index(root)
    root.use(lambda account: account.remove(account.folder("INBOX").folder_id, [1]))
    clock.move_to(clock.now() + timedelta(days=8))
    root.use(lambda account: account.sweep())
    index(root)
    assert segments(root) == [40]
    clock.move_to(clock.now() + timedelta(days=8))
    index(root)
    assert segments(root) == [39]


def test_a_file_of_another_version_is_made_anew(root: Root) -> None:
    """Nobody migrates what can be made again."""
    root.use(lambda account: publish(account, "mot", "hai"))
    index(root)
    with sqlite3.connect(root.home / "search.sqlite") as connection:
        connection.execute("PRAGMA user_version = 77")
    connection.close()
    assert root.use(known) == 0
    assert not (root.home / "search.sqlite").exists()
    index(root)
    assert root.use(known) == 2


@pytest.mark.parametrize("stamp", ["user_version = 3", "user_version = 77"])
def test_a_file_of_another_version_is_not_damaged(root: Root, stamp: str) -> None:
    """After an upgrade `mailbox repair` has nothing to say about it: the indexer has not come to it yet."""
    root.use(lambda account: publish(account, "mot"))
    index(root)
    with sqlite3.connect(root.home / "search.sqlite") as connection:
        connection.execute(f"PRAGMA {stamp}")
    connection.close()
    for check in (True, False):
        assert root.use(lambda account, check=check: account.repair(check=check)).clean
        assert (root.home / "search.sqlite").exists()
    index(root)
    assert not (root.home / "search.sqlite").exists()
    index(root)
    assert root.use(known) == 1


def test_a_file_of_another_program_is_damage(root: Root) -> None:
    root.use(lambda account: publish(account, "mot"))
    index(root)
    with sqlite3.connect(root.home / "search.sqlite") as connection:
        connection.execute("PRAGMA application_id = 7")
    connection.close()
    assert [finding.kind for finding in root.use(lambda account: account.repair(check=True)).findings] == ["search-damaged"]


def test_an_indexer_notices_that_somebody_threw_the_file_away(root: Root) -> None:
    """Though the index has not been written since."""
    store = root.store()
    account, visited = store.account(REF), Visited()
    publish(account, "mot", "hai")
    assert account.index_text(visited) == 2
    assert account.index_text(visited) == 0
    (root.home / "search.sqlite").unlink()
    assert account.index_text(visited) == 2
    store.close()


def holed(whole: bytes) -> bytes:
    return whole[:-9_000] + bytes(4_000) + whole[-5_000:]


@pytest.mark.parametrize("damage", [holed, no_letters])
def test_repair_says_that_it_is_damaged(root: Root, damage: Callable[[bytes], bytes]) -> None:
    """`mailbox repair --check` tells, `mailbox repair` throws it away; the mailbox itself is whole."""
    root.use(lambda account: publish(account, *(f"thu so {number} " * 50 for number in range(30))))
    index(root)
    path = root.home / "search.sqlite"
    path.write_bytes(damage(path.read_bytes()))
    check = root.use(lambda account: account.repair(check=True))
    assert [finding.kind for finding in check.findings] == ["search-damaged"]
    assert (root.home / "search.sqlite").exists()
    assert [finding.kind for finding in root.use(lambda account: account.repair()).findings] == ["search-damaged"]
    assert not (root.home / "search.sqlite").exists()
    assert root.use(lambda account: account.repair(check=True)).clean


def test_a_schema_that_is_no_text_is_damage(root: Root) -> None:
    """Whoever searches reads the messages, whoever indexes makes the file anew."""
    root.use(lambda account: publish(account, "mot", "hai"))
    index(root)
    path = root.home / "search.sqlite"
    path.write_bytes(no_letters(path.read_bytes()))
    store = root.store()
    store.recover()
    account = store.account(REF)
    view = account.view(account.folder("INBOX").folder_id)
    assert account.find_text(view.info.folder_id, view.uids, [TextTest("BODY", "hai")]) == [(1, (False,)), (2, (True,))]
    visited = Visited()
    account.index_text(visited)
    assert account.index_text(visited) == 2
    store.close()


def test_a_backup_has_none_and_a_restored_mailbox_gets_one(root: Root, tmp_path: Path) -> None:
    """It can be made again; meanwhile messages are read."""
    root.use(lambda account: publish(account, "mot", "hai"))
    index(root)
    root.use(lambda account: account.backup(tmp_path / "copy"))
    assert not list((tmp_path / "copy").rglob("search*"))
    root.use(lambda account: account.restore(tmp_path / "copy", replace=True))
    assert root.use(known) == 0
    assert index(root) == 2
    assert root.use(known) == 2


def test_the_file_outlives_the_index(root: Root) -> None:
    """Messages are known by what never changes of them."""
    root.use(lambda account: publish(account, "mot", "hai"))
    index(root)
    root.lose_index()
    root.use(lambda account: account.folders())
    assert index(root) == 0
    assert root.use(known) == 2


def test_what_is_too_long_for_a_segment_is_read(root: Root, monkeypatch: pytest.MonkeyPatch) -> None:
    """Once by the indexer, and then by each search."""
    monkeypatch.setattr(segment, "MAX_WORDS", 50)
    root.use(lambda account: publish(account, "ngan", "dai " * 60))
    store = root.store()
    account, visited = store.account(REF), Visited()
    assert account.index_text(visited) == 1
    assert known(account) == 1
    publish(account, "ba")
    assert account.index_text(visited) == 1
    assert len(visited.unfit) == 1
    view = account.view(account.folder("INBOX").folder_id)
    assert account.find_text(view.info.folder_id, [2], [TextTest("BODY", "dai dai")]) == [(2, (True,))]
    store.close()


def test_what_cannot_be_opened_is_read(root: Root) -> None:
    """Somebody holds the file, or it is none at all: the search goes on without it."""
    root.use(lambda account: deliver(account, account.folder("INBOX").folder_id, ["mot", "hai"]))
    index(root)
    holder = sqlite3.connect(root.home / "search.sqlite", isolation_level=None)
    holder.execute("PRAGMA locking_mode = EXCLUSIVE")
    holder.execute("BEGIN EXCLUSIVE")
    assert root.use(known) in (0, 2)
    assert index(root) == 0
    holder.close()
    (root.home / "search.sqlite").unlink()
    (root.home / "search.sqlite").mkdir()
    assert root.use(known) == 0
    assert index(root) == 0
