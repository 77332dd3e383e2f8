"""What a process remembers of a folder: the same that a look at the index tells, or nothing."""

import os
import random
import shutil
from array import array
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from mic_mail.clock import ManualClock
from mic_mail.imap.selected.mailbox_view import claim_recent
from mic_mail.mime.imap_structure import answers_of
from mic_mail.storage.changes import change_result
from mic_mail.storage.delivery import Delivery
from mic_mail.storage.errors import NoSuchFolder, OverQuota
from mic_mail.storage.index import view_cache
from mic_mail.storage.local_mailstore import Account, LocalMailStore
from mic_mail.storage.maildir.cached_read import CachedReader
from mic_mail.storage.types import DELETED, FLAGGED, SEEN, FlagOperation, FolderView
from store_harness import REF, Root, deliver, inbox


@dataclass
class Two:
    """The same account in two processes, as it were."""

    own: LocalMailStore
    here: Account
    there: Account
    folder_id: int


@pytest.fixture
def two(root: Root) -> Iterator[Two]:
    with ExitStack() as stack:
        own, other = root.store(), root.store()
        stack.callback(own.close)
        stack.callback(other.close)
        here = own.account(REF)
        yield Two(own, here, other.account(REF), here.folder("INBOX").folder_id)


def columns(view: FolderView) -> tuple[list[int], ...]:
    return view.uids.tolist(), view.flags.tolist(), view.modseqs.tolist(), view.sizes.tolist()


def change(account: Account, folder_id: int, dice: random.Random, token: str) -> None:
    uids = account.view(folder_id).uids
    some = dice.sample(uids, min(len(uids), dice.randint(0, 3)))
    match dice.randrange(5):
        case 0:
            deliver(account, folder_id, [token])
        case 1:
            account.store_flags(folder_id, some, "+", DELETED)
        case 2:
            account.expunge(folder_id)
        case _:
            operation: FlagOperation = dice.choice(["+", "-", "="])
            account.store_flags(folder_id, some, operation, dice.choice([SEEN, FLAGGED]), [dice.choice("abc")])


@pytest.mark.parametrize("seed", range(12))
def test_what_is_remembered_is_what_the_index_tells(root: Root, two: Two, seed: int) -> None:
    """Sessions that know the folder as of whatever state, changes here and in another process: what is remembered is all that
    happened since, as a process sees it that knows nothing."""
    dice = random.Random(seed)
    presence = two.here.enter(two.folder_id, claims=True)
    deliver(two.here, two.folder_id, [f"first{n}" for n in range(6)])
    sessions = [two.here.view(two.folder_id).info.highest_modseq for _ in range(5)]
    answered = silent = 0
    for number in range(80):
        change(two.here if dice.random() < 0.7 else two.there, two.folder_id, dice, f"m{number}")
        session = dice.randrange(len(sessions))
        since = sessions[session]
        news = two.own.changes_since(REF.account_id, two.folder_id, since, two.here.change_mark())
        with ExitStack() as stack:
            fresh_process = root.store()
            stack.callback(fresh_process.close)
            truth = fresh_process.account(REF).folder_delta(two.folder_id, since, -1)
            at_once = two.own.opened(REF, "INBOX")
            opened, true_opened = two.here.opened("INBOX"), fresh_process.account(REF).opened("INBOX")
        assert opened.fresh is not None
        assert true_opened.fresh is not None
        assert columns(opened.fresh) == columns(true_opened.fresh)
        assert opened.fresh.info == true_opened.fresh.info
        assert opened.account_modseq == true_opened.account_modseq
        assert at_once is None or at_once[:3] == opened[:3]
        if news is None:
            silent += 1
            news = two.here.folder_delta(two.folder_id, since, -1)
        else:
            answered += 1
        assert news.account_modseq == truth.account_modseq
        assert news.changes == truth.changes
        assert (news.fresh is None) == (truth.fresh is None)
        if news.fresh is not None:
            assert truth.fresh is not None
            assert columns(news.fresh) == columns(truth.fresh)
            assert news.fresh.info._replace(recent_from=0) == truth.fresh.info._replace(recent_from=0)
            sessions[session] = news.fresh.info.highest_modseq
    assert answered > 20
    assert silent > 5
    del presence


def test_who_is_behind_by_more_than_is_kept_has_to_ask(two: Two) -> None:
    """Steps and rows are bounded: the oldest go, and a look at the index tells the rest."""
    deliver(two.here, two.folder_id, ["a", "b"])
    since = two.here.view(two.folder_id).info.highest_modseq
    for number in range(70):
        two.here.store_flags(two.folder_id, [1], "+-"[number % 2], SEEN)
    mark = two.here.change_mark()
    newest = two.here.view(two.folder_id).info.highest_modseq
    assert two.own.changes_since(REF.account_id, two.folder_id, newest - 1, mark) is not None
    assert two.own.changes_since(REF.account_id, two.folder_id, since, mark) is None
    told = two.here.folder_delta(two.folder_id, since, -1).changes
    assert told is not None
    assert [uid for uid, *_ in told.changed] == [1]


def test_nothing_is_said_once_another_process_has_changed_anything(two: Two) -> None:
    """The mark stands for the account: until the next look the memory of no folder counts."""
    deliver(two.here, two.folder_id, ["a"])
    known = two.here.view(two.folder_id).info.highest_modseq
    two.here.folder_delta(two.folder_id, known, -1)
    assert two.own.changes_since(REF.account_id, two.folder_id, known, two.here.change_mark()) is not None
    two.there.create("Elsewhere")
    assert two.own.changes_since(REF.account_id, two.folder_id, known, two.here.change_mark()) is None
    assert two.own.changes_since(REF.account_id, two.folder_id, known, 0) is None
    two.here.folder_delta(two.folder_id, known, -1)
    assert two.own.changes_since(REF.account_id, two.folder_id, known, two.here.change_mark()) is not None


def test_where_each_reader_has_their_own_seen_nothing_is_remembered_for_all(two: Two) -> None:
    """One's view is not another's (0035): each asks."""
    deliver(two.here, two.folder_id, ["a"])
    two.here.keep_seen(each=True, persons=["an@mic.gov.vn"])
    reader = two.own.account(REF, "an@mic.gov.vn")
    presence = reader.enter(two.folder_id, claims=False)
    known = reader.view(two.folder_id).info.highest_modseq
    for act in (lambda: reader.store_flags(two.folder_id, [1], "+", SEEN), lambda: deliver(two.here, two.folder_id, ["b"])):
        act()
        for account in (reader, two.here):
            account.folder_delta(two.folder_id, known, -1)
            assert two.own.changes_since(REF.account_id, two.folder_id, known, two.here.change_mark()) is None
    del presence


@pytest.mark.parametrize("ask", ["view", "folder_delta"])
def test_no_view_of_a_replaced_index_is_built_upon(root: Root, two: Two, ask: str) -> None:
    """Another process made the store anew, with smaller numbers: what is remembered of the old one is void."""
    for token in "abcd":
        deliver(two.here, two.folder_id, [token])
    known = two.here.view(two.folder_id).info.highest_modseq
    shutil.rmtree(root.home)
    deliver(two.there, two.there.folder("INBOX").folder_id, ["new"])
    os.utime(root.home / "Maildir" / "new", (1_500_000_000, 1_500_000_000))  # an old time, which is remembered at once
    truth = two.there.view(two.folder_id)
    assert truth.info.highest_modseq < known
    view = two.here.view(two.folder_id) if ask == "view" else two.here.folder_delta(two.folder_id, 0, -1).fresh
    assert view is not None
    assert columns(view) == columns(truth)
    deliver(two.there, two.folder_id, ["next"])
    assert columns(two.here.view(two.folder_id)) == columns(two.there.view(two.folder_id))


# Opening by name


@pytest.fixture
def settled(root: Root, two: Two) -> Two:
    """The same, INBOX with a message; nobody has put anything into `new/` for long, and INBOX was opened here."""
    deliver(two.here, two.folder_id, ["a"])
    os.utime(root.home / "Maildir" / "new", (1_500_000_000, 1_500_000_000))
    for _ in range(2):  # the first notes the time of `new/`, which is a change
        two.here.opened("INBOX")
    return two


def test_a_known_folder_is_opened_without_the_index(settled: Two) -> None:
    """Readers of a mailbox that rests stay closed, until another process has changed something."""
    settled.own.rest(0)
    view = settled.here.opened("inbox").fresh
    assert view is settled.here.opened("INBOX").fresh
    assert settled.own.is_closed
    settled.there.create("Elsewhere")
    assert settled.own.opened(REF, "INBOX") is None
    assert settled.here.opened("INBOX").fresh is view
    assert not settled.own.is_closed


def test_a_file_that_another_tool_puts_into_new_is_there_at_once(root: Root, settled: Two) -> None:
    """One stat shows it, though no change was announced."""
    (root.home / "Maildir" / "new" / "1.foreign").write_bytes(b"Subject: foreign\r\n\r\n")
    view = settled.here.opened("INBOX").fresh
    assert view is not None
    assert view.uids.tolist() == [1, 2]


needs_stats_that_do_not_wait = pytest.mark.skipif(
    CachedReader().stat("/") is None, reason="the kernel has no lookups that do not wait"
)


@needs_stats_that_do_not_wait
def test_the_loop_opens_a_known_folder_without_a_thread(root: Root, settled: Two) -> None:
    """What memory tells is what the store tells; and it tells nothing where the store has to be asked."""
    assert settled.own.opened(REF, "INBOX") == settled.here.opened("INBOX")
    assert settled.own.opened(REF, "Elsewhere") is None
    new = root.home / "Maildir" / "new"
    os.utime(new)
    assert settled.own.opened(REF, "INBOX") is None
    os.utime(new, (1_500_000_000, 1_500_000_000))
    assert settled.own.opened(REF, "INBOX") is not None
    shutil.copy(root.home / "index.sqlite", root.home / "another")
    os.replace(root.home / "another", root.home / "index.sqlite")
    assert settled.own.opened(REF, "INBOX") is None


def test_a_name_leads_to_the_folder_that_has_it_now(settled: Two) -> None:
    """Renamed, deleted and made anew, here or in another process."""
    for account in (settled.here, settled.there):
        first = settled.here.create("A")
        settled.here.opened("A")
        account.rename("A", "B")
        with pytest.raises(NoSuchFolder):
            settled.here.opened("A")
        second = settled.here.create("A")
        for name, info in (("A", second), ("B", first)):
            view = settled.here.opened(name).fresh
            assert view is not None
            assert view.info.mailbox_id == info.mailbox_id
        for name in "AB":
            account.delete(name)
            with pytest.raises(NoSuchFolder):
                settled.here.opened(name)


# \Recent


def recent_from(account: Account) -> int:
    return account.folder("INBOX").recent_from


def test_new_messages_are_claimed_for_who_has_the_folder_open_here(two: Two) -> None:
    """Once, for the first that takes them, with what waited before; and another process finds nothing left to claim."""
    deliver(two.there, two.folder_id, ["waits"])
    assert recent_from(two.there) == 1
    presence = two.here.enter(two.folder_id, claims=True)
    assert two.here.enter(two.folder_id, claims=True) is presence
    deliver(two.here, two.folder_id, ["a", "b"])
    assert recent_from(two.there) == 4
    assert two.there.take_recent(two.folder_id) == 4
    assert presence.take() == ((1, 3),)
    assert presence.take() == ()


def test_nothing_is_claimed_for_nobody(two: Two) -> None:
    """Who cannot have \\Recent, or has left, gets none: the next session that asks does."""
    reading = two.here.enter(two.folder_id, claims=False)
    left = two.here.enter(two.folder_id, claims=True)
    del left
    deliver(two.here, two.folder_id, ["a"])
    assert recent_from(two.there) == 1
    assert two.there.take_recent(two.folder_id) == 1
    del reading


def test_what_nobody_takes_is_one_range(two: Two) -> None:
    """A session that keeps to the messages it has (NOTIFY) may have the folder open for weeks."""
    presence = two.here.enter(two.folder_id, claims=True)
    for number in range(20):
        deliver(two.here, two.folder_id, [f"m{number}"])
    assert presence.take() == ((1, 20),)
    deliver(two.here, two.folder_id, ["a"])
    assert presence.take() == ((21, 21),)


def test_what_came_after_a_look_is_recent_for_who_is_told_of_it(two: Two) -> None:
    """A message comes between the look of a session and its claim: it is no longer for nobody."""
    deliver(two.here, two.folder_id, ["a", "b"])
    looked = two.here.view(two.folder_id)
    deliver(two.there, two.folder_id, ["c"])
    assert claim_recent(two.here, looked) == ((1, 2),)
    assert claim_recent(two.here, looked) == ()
    assert claim_recent(two.there, two.there.view(two.folder_id)) == ((3, 3),)
    assert claim_recent(two.here, two.here.view(two.folder_id)) == ()


def test_a_delivery_that_fails_claims_nothing(two: Two) -> None:
    """The quota refuses it: what waits still waits."""
    deliver(two.there, two.folder_id, ["waits"])
    presence = two.here.enter(two.folder_id, claims=True)
    staged = two.here.stage()
    staged.write(b"Subject: x\r\n\r\n" + b"x" * 100)
    staged.finish()
    with pytest.raises(OverQuota):
        two.here.publish(two.folder_id, [Delivery(staged, answers_of(b"Subject: x\r\n\r\nx"))], limit_octets=50)
    assert presence.take() == ()
    assert recent_from(two.there) == 1


def test_a_delivery_copies_no_large_folder_for_who_may_listen(two: Two, monkeypatch: pytest.MonkeyPatch) -> None:
    """A look takes in many deliveries at once; each of them would copy all there is."""
    monkeypatch.setattr(change_result, "MANY_MESSAGES", 2)
    presence = two.here.enter(two.folder_id, claims=False)
    known = two.here.view(two.folder_id).info.highest_modseq
    deliver(two.here, two.folder_id, ["a", "b"])
    assert two.own.changes_since(REF.account_id, two.folder_id, known, two.here.change_mark()) is not None
    deliver(two.here, two.folder_id, ["c"])
    assert two.own.changes_since(REF.account_id, two.folder_id, known, two.here.change_mark()) is None
    told = two.here.folder_delta(two.folder_id, known, -1).changes
    assert told is not None
    assert [uid for uid, *_ in told.changed] == [1, 2, 3]
    del presence


@pytest.mark.parametrize("long_run", [2, 64])
def test_a_changed_view_has_each_change_in_its_place(two: Two, monkeypatch: pytest.MonkeyPatch, long_run: int) -> None:
    """Flags of a run or of some, new messages and expunges in runs or one by one: as from a table of the messages."""
    monkeypatch.setattr(view_cache, "_LONG_RUN", long_run)
    info, dice = two.here.view(two.folder_id).info, random.Random(long_run)
    for _ in range(300):
        uids = sorted(dice.sample(range(1, 40), dice.randint(1, 20)))
        known = {uid: (dice.randint(0, 8), dice.randint(1, 99), dice.randint(1, 5)) for uid in uids}
        view = FolderView(info, array("I", uids), *(array("Q", column) for column in zip(*known.values(), strict=True)))
        before = columns(view)
        first, count = dice.randint(0, len(uids)), dice.randint(0, 6)
        some = uids[first : first + count] if dice.random() < 0.5 else dice.sample(range(1, 45), count)
        changed = [(uid, dice.randint(0, 8), 100, known[uid][2] if uid in known else 7) for uid in sorted(some)]
        gone = (
            uids[first + count :][: dice.randint(0, 4)]
            if dice.random() < 0.5
            else dice.sample(uids, dice.randint(0, len(uids)))
        )
        vanished = sorted(set(gone) - set(some))
        after = {uid: row for uid, row in known.items() if uid not in vanished} | {uid: tuple(row) for uid, *row in changed}
        fresh = view_cache.with_changes(view, info, changed, vanished)
        assert columns(fresh) == tuple(map(list, zip(*((uid, *after[uid]) for uid in sorted(after)), strict=True))) or not after
        assert len(fresh.uids) == len(after)
        assert columns(view) == before
        if not vanished and set(some) <= set(uids):
            assert fresh.uids is view.uids
            assert fresh.sizes is view.sizes


@pytest.mark.parametrize(("first", "flags"), [("looks", {1: 0}), ("delivers", {1: 0, 2: 0}), ("stores", {1: FLAGGED})])
def test_a_mailbox_issued_again_is_not_taken_for_the_deleted_one(tmp_path: Path, first: str, flags: dict[int, int]) -> None:
    """Another process has made it: its index has the inode number of the old one, and INBOX the MODSEQ that it had there."""
    clock = ManualClock(datetime(2026, 7, 1, tzinfo=UTC))
    root = Root(tmp_path, clock)
    store = root.store()
    account = store.account(REF)
    deliver(account, inbox(account), ["a", "b", "c"], flags=SEEN)
    known = account.view(inbox(account)).info
    presence = account.enter(known.folder_id, claims=False)
    store.rest(-1)
    index, kept = root.home / "index.sqlite", tmp_path / "kept"
    kept.hardlink_to(index)
    root.use(lambda account: account.free(lambda: True))
    clock.move_to(clock.now() + timedelta(days=90))
    root.use(lambda account: deliver(account, inbox(account), ["new"]))
    kept.write_bytes(index.read_bytes())
    kept.replace(index)
    if first == "delivers":
        deliver(account, known.folder_id, ["newer"])
    elif first == "stores":
        account.store_flags(known.folder_id, [1], "+", FLAGGED)
    found, truth = account.view(known.folder_id), root.use(lambda account: account.view(inbox(account)))
    assert (columns(found), found.info) == (columns(truth), truth.info)
    assert dict(zip(found.uids, found.flags, strict=True)) == flags
    assert found.info.folder_id == known.folder_id
    assert found.info.uidvalidity > known.uidvalidity
    assert found.modseqs[0] == known.highest_modseq or first == "stores"
    store.close()
    del presence
