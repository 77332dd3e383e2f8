"""What a change made of its folder: the same as a look that comes after it, by a process that knows nothing else."""

import os
import sqlite3
from collections.abc import Iterator
from contextlib import ExitStack
from random import Random

import pytest

from mic_mail.mime.imap_structure import answers_of
from mic_mail.storage.delivery import Delivery
from mic_mail.storage.local_mailstore import Account
from mic_mail.storage.types import DELETED, FLAGGED, SEEN, ChangeResult, FlagOperation, FolderView
from store_harness import REF, Root, deliver, message


@pytest.fixture
def accounts(root: Root) -> Iterator[tuple[Account, Account]]:
    """The same account in two processes, as it were."""
    with ExitStack() as stack:
        stores = [root.store() for _ in range(2)]
        for store in stores:
            stack.callback(store.close)
        yield stores[0].account(REF), stores[1].account(REF)


def publish(account: Account, folder_id: int, token: str, *, tell: bool) -> ChangeResult | None:
    octets = message(token)
    staged = account.stage()
    staged.write(octets)
    staged.finish()
    return account.publish(folder_id, [Delivery(staged, answers_of(octets))], tell=tell)[-1].made


def act(account: Account, folder_id: int, target_id: int, some: list[int], random: Random, token: str) -> ChangeResult | None:
    """Any change that tells what it made."""
    match random.randrange(6):
        case 0:
            return publish(account, folder_id, token, tell=True)
        case 1:
            return account.expunge(folder_id, random.choice([None, some])).made
        case 2:
            return account.move(folder_id, some, target_id).made
        case 3:
            since = random.choice([None, 0, 12, 24])
            return account.store_flags(folder_id, some, "+", FLAGGED, [random.choice("abc")], unchanged_since=since).made
        case _:
            operation: FlagOperation = random.choice(["+", "-", "="])
            return account.store_flags(folder_id, some, operation, random.choice([DELETED, SEEN, SEEN | DELETED])).made


def columns(view: FolderView) -> tuple[list[int], ...]:
    return view.uids.tolist(), view.flags.tolist(), view.modseqs.tolist(), view.sizes.tolist()


@pytest.mark.parametrize("seed", range(12))
def test_it_is_what_a_look_sees(accounts: tuple[Account, Account], seed: int) -> None:
    """Flags, keywords, expunges, moves and new messages, with changes by another process in between: whenever the change tells
    anything, it is as of the state before it, and all that `folder_delta` tells."""
    own, other = accounts
    random = Random(seed)
    folder_id, target_id = own.folder("INBOX").folder_id, own.create("A").folder_id
    deliver(own, folder_id, [f"first{n}" for n in range(6)])
    told = 0
    for number in range(40):
        uids = own.view(folder_id).uids  # as a session that has just looked
        some = random.sample(uids, random.randint(0, min(4, len(uids))))
        if random.random() < 0.3:
            deliver(other, random.choice([folder_id, target_id]), [f"foreign{number}"])
        before = other.view(folder_id).info.highest_modseq
        made = act(own, folder_id, target_id, some, random, f"own{number}")
        modseq, fresh, changes, _ = other.folder_delta(folder_id, before, -1)
        if made is None:
            continue
        told += 1
        assert (made.account_modseq, made.since_modseq, made.mark) == (modseq, before, own.change_mark())
        assert fresh is not None
        if changes is None:  # nothing has changed
            assert made.fresh.info.highest_modseq == before
            assert not made.changes.changed
            assert not made.changes.vanished
            continue
        assert columns(made.fresh) == columns(fresh)
        assert made.fresh.info == fresh.info
        assert made.changes == changes
        assert own.view(folder_id) is made.fresh, "sessions of this process share it"
    assert told > 15, "a change that finds the state before it in hand tells"


def test_nobody_hears_of_a_change_that_did_not_happen(accounts: tuple[Account, Account]) -> None:
    """A disk that is full at the COMMIT: the view that sessions share stays what it was."""
    own, other = accounts
    folder_id = own.folder("INBOX").folder_id
    uids = deliver(own, folder_id, ["a", "b"])
    view = own.view(folder_id)
    connection = own._store.index.writer()
    connection.execute("CREATE TEMP TRIGGER full BEFORE UPDATE ON main.account BEGIN SELECT RAISE(ABORT, 'full'); END")
    with pytest.raises(Exception, match="full"):
        own.store_flags(folder_id, uids, "+", FLAGGED)
    connection.execute("DROP TRIGGER full")
    assert own.view(folder_id) is view
    assert columns(other.view(folder_id)) == columns(view)


def test_each_with_their_own_seen_has_to_look(accounts: tuple[Account, Account]) -> None:
    """What one person sees is not what another one's change makes of the rows."""
    own, _ = accounts
    own.keep_seen(each=True, persons=["an@mic.gov.vn"])
    folder_id = own.folder("INBOX").folder_id
    uids = deliver(own, folder_id, ["a"])
    own.view(folder_id)
    assert own.store_flags(folder_id, uids, "+", FLAGGED).made is None


def test_what_changes_nothing_writes_nothing(root: Root, accounts: tuple[Account, Account]) -> None:
    """A STORE of flags that are there already, an expunge of what is not marked: the log of the index stays as it is."""
    own, _ = accounts
    folder_id = own.folder("INBOX").folder_id
    uids = deliver(own, folder_id, ["a"], flags=FLAGGED)
    log = root.home / "index.sqlite-wal"
    before = os.stat(log).st_mtime_ns, os.stat(log).st_size, log.read_bytes()
    assert own.store_flags(folder_id, uids, "+", FLAGGED).changed == [(uids[0], FLAGGED, own.highest_modseq())]
    assert own.expunge(folder_id).uids == []
    assert (os.stat(log).st_mtime_ns, os.stat(log).st_size, log.read_bytes()) == before
    with sqlite3.connect(root.home / "index.sqlite") as connection:
        assert connection.execute("SELECT count(*) FROM message").fetchone() == (1,)


def test_flags_of_a_folder_in_memory_are_not_read_again(accounts: tuple[Account, Account]) -> None:
    """A STORE takes the flags before it from the folder's view, unless another process has changed the folder since."""
    account, another = accounts
    folder_id = account.folder("INBOX").folder_id
    deliver(account, folder_id, ["a", "b"])
    account.view(folder_id)
    statements: list[str] = []
    account._store.index.writer().set_trace_callback(statements.append)

    def flags_after(uids: list[int], flags: int) -> tuple[list[tuple[int, int]], bool]:
        statements.clear()
        changed = account.store_flags(folder_id, uids, "+", flags).changed
        return [row[:2] for row in changed], any(statement.startswith("SELECT message.") for statement in statements)

    assert flags_after([1, 2, 2, 9], FLAGGED) == ([(1, FLAGGED), (2, FLAGGED)], False)
    assert flags_after([2], SEEN) == ([(2, FLAGGED | SEEN)], False)
    another.store_flags(folder_id, [1], "+", SEEN)
    another.expunge(folder_id)
    assert flags_after([1], DELETED) == ([(1, FLAGGED | SEEN | DELETED)], True)
    account.view(folder_id)
    account.expunge(folder_id)
    assert flags_after([1, 2], DELETED) == ([(2, FLAGGED | SEEN | DELETED)], False)
