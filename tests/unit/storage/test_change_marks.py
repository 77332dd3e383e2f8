"""The number by which a session knows without a look that nothing has changed (change_marks.py)."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from mic_mail.storage.errors import Unavailable
from mic_mail.storage.index.change_marks import CHANGE_MARKS, ChangeMarks
from mic_mail.storage.local_mailstore import Account, LocalMailStore
from mic_mail.storage.types import DELETED, SEEN
from store_harness import REF, Root, deliver, inbox


@pytest.fixture
def stores(root: Root) -> Iterator[tuple[LocalMailStore, LocalMailStore]]:
    """As two processes have them."""
    stores = (root.store(), root.store())
    yield stores
    for store in stores:
        store.close()


CHANGES: dict[str, Callable[[Account], object]] = {
    "delivery": lambda account: deliver(account, inbox(account), "c"),
    "flags": lambda account: account.store_flags(inbox(account), [1], "+", SEEN),
    "expunge": lambda account: account.remove(inbox(account), [1]),
    "folder": lambda account: account.create("Viec"),
    "subscription": lambda account: account.subscribe("INBOX", False),
    "recent": lambda account: account.take_recent(inbox(account)),
    "each their own": lambda account: account.keep_seen(each=True, persons=()),
    "repair": lambda account: account.repair(),
}


@pytest.mark.parametrize("change", CHANGES)
def test_any_change_moves_it_for_all(stores: tuple[LocalMailStore, LocalMailStore], change: str) -> None:
    here, there = (store.account(REF) for store in stores)
    deliver(here, inbox(here), "ab")
    here.store_flags(inbox(here), [2], "+", DELETED)
    there.view(inbox(there))
    before = [account.change_mark() for account in (here, there)]
    assert all(before)
    here.view(inbox(here))
    there.folders()
    there.highest_modseq()
    assert [account.change_mark() for account in (here, there)] == before  # reading moves nothing
    CHANGES[change](there)
    after = [account.change_mark() for account in (here, there)]
    assert all(after)
    assert all(new != old for new, old in zip(after, before, strict=True))


def test_an_index_made_anew_moves_it(root: Root, stores: tuple[LocalMailStore, LocalMailStore]) -> None:
    here, there = (store.account(REF) for store in stores)
    deliver(here, inbox(here), "ab")
    before = here.change_mark()
    root.lose_index()
    there.view(inbox(there))
    assert here.change_mark() not in {0, before}


@pytest.mark.parametrize("change", CHANGES)
def test_any_change_of_any_account_is_seen_in_one_look(
    root: Root, stores: tuple[LocalMailStore, LocalMailStore], change: str
) -> None:
    """Whoever waits for changes of all accounts looks once and opens none; a file that is not there yet has no changes."""
    here, there = stores
    assert here.change_marks() == b""
    account = there.account(REF)
    deliver(account, inbox(account), "ab")
    account.store_flags(inbox(account), [2], "+", DELETED)
    before = here.change_marks()
    account.view(inbox(account))
    assert here.change_marks() == before
    CHANGES[change](account)
    assert here.change_marks() != before


def test_one_account_does_not_move_another(stores: tuple[LocalMailStore, LocalMailStore]) -> None:
    other = type(REF)(REF.account_id + 1, "mic.gov.vn/other")
    here = stores[0].account(other)
    inbox(here)
    before = here.change_mark()
    deliver(stores[0].account(REF), inbox(stores[0].account(REF)), "a")
    assert here.change_mark() == before != 0


def test_it_is_unknown_while_somebody_writes(stores: tuple[LocalMailStore, LocalMailStore]) -> None:
    """Also where the change is undone: it cannot be told from outside."""
    account = stores[1].account(REF)
    deliver(account, inbox(account), "a")
    before = account.change_mark()
    with stores[0].store(REF).lock.held():
        assert account.change_mark() == 0
    assert account.change_mark() not in {0, before}


def test_who_is_killed_leaves_it_unknown_until_the_next_change(
    stores: tuple[LocalMailStore, LocalMailStore], tmp_path: Path
) -> None:
    account = stores[0].account(REF)
    deliver(account, inbox(account), "a")
    before = account.change_mark()
    killed = ChangeMarks(f"{tmp_path}/{CHANGE_MARKS}")
    killed.begin(REF.account_id)
    killed.close()
    assert account.change_mark() == 0
    account.store_flags(inbox(account), [1], "+", SEEN)
    assert account.change_mark() not in {0, before}


def test_a_removed_file_makes_all_that_was_kept_worthless(
    stores: tuple[LocalMailStore, LocalMailStore], tmp_path: Path
) -> None:
    here, there = (store.account(REF) for store in stores)
    deliver(here, inbox(here), "a")
    seen = {account.change_mark() for account in (here, there)}
    (tmp_path / CHANGE_MARKS).unlink()
    deliver(here, inbox(here), "b")
    assert not {account.change_mark() for account in (here, there)} & seen
    before = there.change_mark()
    deliver(here, inbox(here), "c")
    assert there.change_mark() not in {0, before}


def test_room_for_it_is_there_before_it_is_needed(tmp_path: Path) -> None:
    """A full disk keeps no number from moving; and far apart accounts do not make the file large."""
    marks = ChangeMarks(f"{tmp_path}/{CHANGE_MARKS}")
    for account_id in (1, 5_000, 9):
        to_come = marks.begin(account_id)
        assert marks.read(account_id) == 0
        marks.end(account_id)
        assert marks.read(account_id) == to_come > 0
    assert marks.read(1_000_000) == 0
    status = (tmp_path / CHANGE_MARKS).stat()
    assert 5_000 * 8 < status.st_size <= status.st_blocks * 512 <= 128 << 10
    marks.close()


def test_where_it_cannot_move_nothing_is_changed(stores: tuple[LocalMailStore, LocalMailStore], tmp_path: Path) -> None:
    account = stores[0].account(REF)
    deliver(account, inbox(account), "a")
    (tmp_path / CHANGE_MARKS).unlink()
    (tmp_path / CHANGE_MARKS).mkdir()
    with pytest.raises(Unavailable):
        account.store_flags(inbox(account), [1], "+", SEEN)
    assert account.change_mark() == 0
    assert not account.view(inbox(account)).flags[0] & SEEN
    (tmp_path / CHANGE_MARKS).rmdir()
    account.store_flags(inbox(account), [1], "+", SEEN)
    assert account.view(inbox(account)).flags[0] & SEEN
