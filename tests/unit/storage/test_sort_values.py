"""What SORT and THREAD compare, kept beside the index's answers (decision 0025)."""

import sqlite3
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from mic_mail.clock import ManualClock
from mic_mail.mime.imap_structure import answers_of
from mic_mail.mime.sort_keys import decode
from mic_mail.storage.delivery import Delivery
from mic_mail.storage.local_mailstore import Account, LocalMailStore
from mic_mail.storage.reads import sort_keys
from mic_mail.storage.search.indexing import Visited
from session_harness import START, open_store
from store_harness import REF, Root

SENT_AT = 1_767_225_600  # 1 January 2026


@pytest.fixture
def store(root: Root) -> Iterator[LocalMailStore]:
    root.clock = ManualClock(START)
    store = root.store()
    yield store
    store.close()


@pytest.fixture
def account(store: LocalMailStore) -> Account:
    return store.account(REF)


def deliver(account: Account, messages: list[bytes]) -> int:
    inbox = account.folder("INBOX").folder_id
    deliveries = []
    for message in messages:
        staged = account.stage()
        staged.write(message)
        staged.finish()
        deliveries.append(Delivery(staged, answers_of(message), received_at_us=1_000_000_000_000_000))
    account.publish(inbox, deliveries)
    return inbox


def letters(count: int, more: str = "") -> list[bytes]:
    return [f"Subject: {number}\r\nDate: 1 Jan 2026 00:00:00 +0000\r\n{more}\r\nx\r\n".encode() for number in range(count)]


def kept(root: Root) -> int:
    [(count,)] = root.rows("SELECT count(*) FROM ordering")
    return count


def subjects(account: Account, inbox: int, uids: list[int]) -> dict[int, bytes]:
    return {each.uid: decode(each.value).subject for each in account.orderings(inbox, uids)}


def test_it_is_made_when_first_asked_for_and_kept(root: Root, account: Account) -> None:
    """Delivery makes nothing; a few that are missing are made and forgotten, many are kept."""
    inbox = deliver(account, letters(sort_keys.KEEP_AT))
    assert kept(root) == 0
    assert subjects(account, inbox, [1, 2]) == {1: b"0", 2: b"1"}
    assert kept(root) == 0
    uids = list(range(1, sort_keys.KEEP_AT + 1))
    first = sorted(account.orderings(inbox, uids))
    assert kept(root) == sort_keys.KEEP_AT
    assert sorted(account.orderings(inbox, uids)) == first
    assert first[0][:3] == (1, SENT_AT, 1_000_000_000)


def test_without_a_date_the_time_of_arrival_counts(account: Account) -> None:
    """RFC 5256 §2.2."""
    inbox = deliver(account, [b"Subject: x\r\n\r\n"])
    (found,) = account.orderings(inbox, [1])
    assert found.sent_at == found.received_at == 1_000_000_000


def test_it_goes_with_the_content(root: Root, store: LocalMailStore, account: Account) -> None:
    """Expunged messages that are still kept have theirs, what is swept away has none, a copy shares that of its source."""
    inbox = deliver(account, letters(sort_keys.KEEP_AT))
    uids = list(range(1, sort_keys.KEEP_AT + 1))
    account.orderings(inbox, uids)
    archive = account.folder("Archive").folder_id
    account.copy(inbox, [1], archive, every=True)
    assert subjects(account, archive, [1]) == {1: b"0"}
    account.store_flags(inbox, uids, "+", 4)
    account.expunge(inbox)
    assert subjects(account, inbox, [1, 2]) == {1: b"0", 2: b"1"}
    clock = store._shared.clock
    assert isinstance(clock, ManualClock)
    clock.move_to(clock.now() + timedelta(days=30))
    account.sweep()
    assert kept(root) == 1
    assert subjects(account, archive, [1]) == {1: b"0"}


def test_a_header_that_is_too_long_for_the_index(account: Account) -> None:
    """Its beginning is read from the file."""
    inbox = deliver(account, letters(1, more="X-Long: " + "x" * 300_000 + "\r\n"))
    assert subjects(account, inbox, [1]) == {1: b"0"}


def test_what_the_indexer_has_read_is_not_made(root: Root, account: Account) -> None:
    """SORT and THREAD of an indexed mailbox: all keys from `search.sqlite`, and nothing is made that would be kept."""
    messages = letters(sort_keys.KEEP_AT + 1, more="From: Lan <lan@x.vn>\r\nMessage-ID: <a@b>\r\n")
    messages[-1] = letters(1, more="X-Long: " + "x" * 300_000 + "\r\n")[0]  # too long for the index
    inbox = deliver(account, messages)
    uids = list(range(1, len(messages) + 1))
    assert account.indexed_orderings(inbox, uids) == []
    assert account.index_text(Visited()) == len(messages)
    account.copy(inbox, [1], inbox, every=True)
    uids.append(uids[-1] + 1)
    found = sorted(account.indexed_orderings(inbox, uids))
    assert kept(root) == 0
    assert found == sorted(account.orderings(inbox, uids))
    assert found[0] == (1, SENT_AT, 1_000_000_000, found[0].value)
    assert decode(found[0].value).sender == b"LAN"
    assert kept(root) == len(messages)


def test_keys_that_are_damaged_are_made_again(tmp_path: Path, account: Account) -> None:
    """The file is thrown away, as with text."""
    inbox = deliver(account, letters(3))
    account.index_text(Visited())
    assert len(account.indexed_orderings(inbox, [1, 2, 3])) == 3
    path = tmp_path / REF.home / "search.sqlite"
    with sqlite3.connect(path) as file:
        file.execute("UPDATE segment SET values_blob = zeroblob(length(values_blob))")
    again = open_store(tmp_path)
    assert again.account(REF).indexed_orderings(inbox, [1, 2, 3]) == []
    assert not path.exists()
    assert subjects(again.account(REF), inbox, [1, 2, 3]) == {1: b"0", 2: b"1", 3: b"2"}
    again.close()


def test_a_backup_keeps_only_what_it_holds(tmp_path: Path, account: Account) -> None:
    """What can still be brought back is not backed up, nor what was made of it."""
    inbox = deliver(account, letters(sort_keys.KEEP_AT))
    account.orderings(inbox, list(range(1, sort_keys.KEEP_AT + 1)))
    account.store_flags(inbox, [1], "+", 4)
    account.expunge(inbox)
    account.backup(tmp_path / "copy")
    (path,) = (tmp_path / "copy").rglob("index.sqlite")
    with sqlite3.connect(path) as index:
        assert index.execute("SELECT count(*) FROM ordering").fetchone() == (sort_keys.KEEP_AT - 1,)


def test_threads_have_one_id(account: Account) -> None:
    """THREADID (RFC 8474 §5.2): the same for all that go back to one message, in any folder; its own where nothing is said."""
    inbox = deliver(
        account,
        [
            b"Message-ID: <1@a>\r\n\r\n",
            b"Message-ID: <2@a>\r\nIn-Reply-To: <1@a>\r\n\r\n",
            b"Message-ID: <3@a>\r\nReferences: <1@a> <2@a>\r\n\r\n",
            b"Message-ID: <4@a>\r\n\r\n",
            b"Subject: none\r\n\r\n",
            b"Subject: none\r\n\r\n",
        ],
    )
    archive = account.folder("Archive").folder_id
    account.copy(inbox, [2, 5], archive, every=True)
    rows = account.rows(inbox, range(1, 7), ("uid", "email_id", "thread_id"))
    threads = [thread for _, _, thread in rows]
    assert threads[0] == threads[1] == threads[2]
    assert len(set(threads)) == 4
    assert [thread for _, thread in account.rows(archive, [1, 2], ("uid", "thread_id"))] == [threads[1], threads[4]]
    assert not {email for _, email, _ in rows} & set(threads)
