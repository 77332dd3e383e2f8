"""SEARCH by the session, with its text ready, half ready, or not at all."""

from collections.abc import Sequence
from pathlib import Path

import pytest

from mic_mail.imap.commands import search_run
from mic_mail.mime.imap_structure import answers_of
from mic_mail.storage.delivery import Delivery
from mic_mail.storage.local_mailstore import Account, LocalMailStore
from mic_mail.storage.search.indexing import Visited
from mic_mail.storage.types import Column, TextTest
from session_harness import REF, Talk, open_store

SEARCHES = [
    "BODY pho",
    'CHARSET UTF-8 BODY "phở"',
    "CHARSET UTF-8 TEXT {11+}\r\nsố 7 hóa",
    'TEXT "so 7"',
    "NOT BODY pho",
    "OR BODY pho SUBJECT 3",
    "FLAGGED BODY pho",
    "2:7 NOT (BODY pho FROM lan)",
    "HEADER X-Number 4",
    "HEADER X-Number 4 BODY pho",
    'HEADER X-Number ""',
    'HEADER X-Nobody ""',
    "RETURN (MIN MAX COUNT) BODY pho",
    'BODY ""',
]


def message(number: int) -> bytes:
    dish = "phở" if number % 3 == 0 else "phòng" if number % 3 == 1 else "cơm"
    head = f"From: Lan <{'lan' if number % 2 else 'hoa'}@mic.gov.vn>\r\nSubject: Thư số {number}\r\nX-Number: {number}\r\n"
    return (head + f"Content-Type: text/plain; charset=utf-8\r\n\r\nsố {number} hóa đơn {dish}\r\n").encode()


def deliver(account: Account, numbers: range) -> None:
    deliveries = []
    for number in numbers:
        staged = account.stage()
        staged.write(message(number))
        staged.finish()
        deliveries.append(Delivery(staged, answers_of(message(number)), flags=2 * (number % 2)))
    account.publish(account.folder("INBOX").folder_id, deliveries)


def answers(store: LocalMailStore) -> list[bytes]:
    ctx = Talk(store).sign_in()
    ctx.say(b"b SELECT INBOX\r\n")
    return [ctx.say(f"c SEARCH {key}\r\n".encode()) for key in SEARCHES]


@pytest.fixture
def read(store: LocalMailStore) -> list[bytes]:
    """What the session answers while nothing is ready."""
    deliver(store.account(REF), range(1, 13))
    found = answers(store)
    assert found[0] == b"* SEARCH 1 3 4 6 7 9 10 12\r\nc OK Searched.\r\n"
    assert found[1] == b"* SEARCH 3 6 9 12\r\nc OK Searched.\r\n"
    assert found[2] == b"* SEARCH 7\r\nc OK Searched.\r\n"
    return found


def test_the_answers_are_the_same_when_all_is_ready(
    store: LocalMailStore, read: list[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    """And no message is read for them, but headers for fields that are not kept apart."""
    assert store.account(REF).index_text(Visited()) == 12
    asked: list[tuple[str, int]] = []
    find = Account.find_text

    def watched(self: Account, folder_id: int, uids: list[int], tests: list[object]) -> object:
        asked.extend((test.kind, len(uids)) for test in tests)  # type: ignore[attr-defined]  # of TextTest
        return find(self, folder_id, uids, tests)  # type: ignore[arg-type]

    monkeypatch.setattr(Account, "find_text", watched)
    assert answers(store) == read
    assert asked == [("HEADER", 1), ("HEADER", 1), ("HEADER", 12), ("HEADER", 12), ("BODY", 12)]


@pytest.mark.parametrize("at_once", [1, 5, 20_000])
def test_the_answers_are_the_same_when_some_is_ready(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, at_once: int) -> None:
    """What the indexer has not reached is read; in slices of any size."""
    monkeypatch.setattr(search_run, "LOOK_UP_MESSAGES", at_once)
    monkeypatch.setattr(search_run, "BODY_SCAN_MESSAGES", at_once)
    plain, store = open_store(tmp_path / "plain"), open_store(tmp_path / "indexed")
    for each in (plain, store):
        deliver(each.account(REF), range(1, 8))
    assert store.account(REF).index_text(Visited()) == 7
    for each in (plain, store):
        deliver(each.account(REF), range(8, 13))
    assert answers(store) == answers(plain)
    plain.close()
    store.close()


def test_what_a_search_has_read_is_left_for_the_next(
    store: LocalMailStore, read: list[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    """From a certain number on; the next search reads nothing."""
    monkeypatch.setattr("mic_mail.storage.search.scan.SMALLEST_LEFT", 12)
    account = store.account(REF)
    view = account.view(account.folder("INBOX").folder_id)
    assert answers(store) == read
    wanted = bytes([1]) * 12
    assert account.look_up_text(view.info.folder_id, view.uids, wanted, TextTest("BODY", "pho")).known == wanted


def test_without_search_file_messages_are_read(tmp_path: Path) -> None:
    """`search.enabled = false`: the same answers, and no file."""
    store = open_store(tmp_path)
    object.__setattr__(store._shared.settings, "search_file", False)
    deliver(store.account(REF), range(1, 41))
    answers(store)
    assert not list(tmp_path.rglob("search.sqlite"))
    store.close()


def test_a_tree_of_many_keys_is_worked_through_in_hops(store: LocalMailStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """Other sessions get their turn after so many messages that were looked at, each time counted."""
    deliver(store.account(REF), range(1, 13))
    ctx = Talk(store).sign_in()
    ctx.say(b"b SELECT INBOX\r\n")
    command = b"c SEARCH " + b"".join(b"OR LARGER %d " % octets for octets in range(900, 960)) + b"2\r\n"
    ctx.say(b"n NOOP\r\n")
    hops = []
    for at_once in (10_000, 120):
        monkeypatch.setattr(search_run, "EVALUATED_MESSAGES", at_once)
        before = ctx.work
        assert ctx.say(command) == b"* SEARCH 2\r\nc OK Searched.\r\n"
        hops.append(ctx.work - before)
    assert hops[1] - hops[0] == 61 * 12 // 120


@pytest.mark.parametrize("key", ["HEADER X-{0} y", "SUBJECT zz{0}", "TEXT zz{0}", "BODY zz{0}"])
def test_thousands_of_text_keys_are_asked_together(store: LocalMailStore, monkeypatch: pytest.MonkeyPatch, key: str) -> None:
    """The tree is looked at once for many of them, and a message is read once for many: not once for each."""
    deliver(store.account(REF), range(1, 13))
    ctx = Talk(store).sign_in()
    ctx.say(b"b SELECT INBOX\r\n")
    read = 0
    find = Account.find_text

    def watched(self: Account, folder_id: int, uids: list[int], tests: list[TextTest]) -> object:
        nonlocal read
        read += len(uids)
        return find(self, folder_id, uids, tests)

    monkeypatch.setattr(Account, "find_text", watched)
    before = ctx.work
    keys = " ".join(f"NOT {key.format(number)}" for number in range(640))
    assert ctx.say(f"c SEARCH {keys} 2:3\r\n".encode()) == b"* SEARCH 2 3\r\nc OK Searched.\r\n"
    assert ctx.work - before < 100
    assert read <= 2 * (search_run.KEYS_ONE_BY_ONE + 640 / search_run.KEYS_AT_ONCE + 2)


def test_keys_that_are_asked_together_answer_as_one_by_one(store: LocalMailStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever is ready, of whatever kind they are, and however they are joined."""
    deliver(store.account(REF), range(1, 8))
    assert store.account(REF).index_text(Visited()) == 7
    deliver(store.account(REF), range(8, 13))
    ctx = Talk(store).sign_in()
    ctx.say(b"b SELECT INBOX\r\n")
    leaves = ["BODY pho", 'TEXT "so 7"', "HEADER X-Number 4", "SUBJECT 3", "FROM lan", "TEXT com", "BODY 11", 'HEADER X-No ""']
    trees = [
        " ".join(f"NOT {leaf}" for leaf in leaves),
        "OR " * (len(leaves) - 1) + " ".join(leaves),
        f"OR ({leaves[0]} {leaves[4]}) OR (NOT {leaves[2]} {leaves[5]}) NOT {leaves[4]}",
        f"NOT OR {leaves[0]} NOT {leaves[4]}",
    ]
    alone = [ctx.say(f"c SEARCH {tree}\r\n".encode()) for tree in trees]
    for one_by_one, at_once in ((0, 2), (0, 64), (1, 3)):
        monkeypatch.setattr(search_run, "KEYS_ONE_BY_ONE", one_by_one)
        monkeypatch.setattr(search_run, "KEYS_AT_ONCE", at_once)
        assert [ctx.say(f"c SEARCH {tree}\r\n".encode()) for tree in trees] == alone


@pytest.mark.parametrize("key", ["SENTSINCE 7-Feb-2026", "SINCE 1-Jan-2026"])
def test_days_are_read_in_slices_and_kept(store: LocalMailStore, monkeypatch: pytest.MonkeyPatch, key: str) -> None:
    """No list of all envelopes at once; a message that comes later is asked for alone."""
    monkeypatch.setattr("mic_mail.storage.reads.aligned_column.SLICE_MESSAGES", 5)
    asked: list[int] = []
    rows = Account.rows

    def count(self: Account, folder_id: int, uids: Sequence[int], columns: Sequence[Column]) -> object:
        if "internaldate_us" in columns:
            asked.append(len(uids))
        return rows(self, folder_id, uids, columns)

    monkeypatch.setattr(Account, "rows", count)

    def append(numbers: range) -> None:
        for number in numbers:
            octets = b"Date: %d Feb 2026 10:00:00 +0700\r\n\r\n" % number
            assert b"p OK" in ctx.say(
                b'p APPEND INBOX "%02d-Jan-2026 10:00:00 +0700" {%d+}\r\n%b\r\n' % (number, len(octets), octets)
            )

    ctx = Talk(store).sign_in()
    append(range(1, 13))
    ctx.say(b"b SELECT INBOX\r\n")
    before = ctx.work
    found = ctx.say(f"c SEARCH {key}\r\n".encode())
    assert asked == [5, 5, 2]
    assert ctx.work - before >= len(asked), "each slice is a hop of its own"
    assert found.endswith(b" 7 8 9 10 11 12\r\nc OK Searched.\r\n")
    append(range(13, 14))
    assert ctx.say(f"c SEARCH {key}\r\n".encode()).endswith(b" 12 13\r\nc OK Searched.\r\n")
    assert asked == [5, 5, 2, 1]
