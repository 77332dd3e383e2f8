"""Messages that were moved or expunged stay so after a power loss."""

import os
from collections.abc import Callable
from datetime import timedelta
from functools import partial
from pathlib import Path

import pytest

from mic_mail.clock import ManualClock
from mic_mail.storage.journal.frames import ExpungedFrame, frames_in
from mic_mail.storage.local_mailstore import Account, LocalMailStore
from mic_mail.storage.types import DELETED, SEEN
from store_harness import REF, Root, append, deliver, inbox, observe
from unit.storage.journal.conftest import Crash, in_inbox, lose_content, lose_name, segments


def test_moved_and_expunged_messages_stay_where_they_are(root: Root, store: LocalMailStore) -> None:
    """Replay finds a message by its base name wherever it lies now: nothing comes back into INBOX, nothing is doubled."""
    account = store.account(REF)
    here = inbox(account)
    moved, copied, gone, read = deliver(account, here, ["moved", "copied", "gone", "read"], together=True)
    account.move(here, [moved], account.folder("Archive").folder_id)
    account.copy(here, [copied], account.folder("Archive").folder_id)
    account.store_flags(here, [gone], "+", DELETED)
    account.expunge(here)
    account.store_flags(here, [read], "+", SEEN)
    account.flush_names()
    crash = Crash(root)
    for token in ("moved", "gone"):
        lose_content(crash.file_of(token))
    seen = crash.root.use(observe)
    assert sorted(in_inbox(seen)) == ["copied", "read"]
    assert sorted(token for token, _ in seen["Archive"].messages.values()) == ["copied", "moved"]
    assert crash.root.use(lambda account: account.undelete()) == 1
    assert sorted(in_inbox(crash.root.use(observe))) == ["copied", "gone", "read"]


def expunge_closely(account: Account, folder_id: int, uids: list[int]) -> None:
    """As the second one of two that follow one another: by the journal."""
    account.journal_takes(0)
    account.store_flags(folder_id, uids, "+", DELETED)
    account.expunge(folder_id, uids)


def rise(crash: Crash, token: str) -> Path:
    """The file's way into `.expunged/` is not on disk."""
    path = crash.file_of(token)
    assert path.parent.name == ".expunged"
    return path.rename(crash.root.home / "Maildir/cur" / path.name.partition(".")[2])


@pytest.mark.parametrize("index", ["as it was", "older", "lost"])
@pytest.mark.parametrize("how", [deliver, append])
def test_power_loss_brings_back_nothing_that_was_expunged(
    root: Root, store: LocalMailStore, how: Callable[..., list[int]], index: str
) -> None:
    """One flush of the journal in place of two directories: the file goes where it was, and can be brought back from there."""
    account = store.account(REF)
    here = inbox(account)
    uids = how(account, here, ["stays", "goes", "goes as well"])
    before = root.index_copy()
    expunge_closely(account, here, uids[1:])
    crash = Crash(root)
    rise(crash, "goes")
    if index == "lost":
        crash.root.lose_index()
    elif index == "older":
        crash.root.power_loss(before)
    assert in_inbox(crash.root.use(observe)) == {"stays": uids[0]}
    assert crash.file_of("goes").parent.name == ".expunged"
    assert not segments(crash.root)
    if index != "older":  # what is expunged and has no row is found when the index is made anew
        assert crash.root.use(lambda account: account.undelete()) == 2
        assert sorted(in_inbox(crash.root.use(observe))) == ["goes", "goes as well", "stays"]
    assert crash.root.use(lambda account: account.repair(check=True)).clean


@pytest.mark.parametrize("how", [partial(deliver, together=True), append])
def test_a_message_and_its_end_in_the_segments_of_two_processes(
    root: Root, store: LocalMailStore, clock: ManualClock, how: Callable[..., list[int]]
) -> None:
    """Whichever is read first: the message is given back to where it was last, which is `.expunged/`."""
    account = store.account(REF)
    here = inbox(account)
    deliver(account, here, ["first"])
    others = [root.store() for _ in range(6)]  # their segments have names by chance
    for number, other in enumerate(others):
        own = store if number % 2 else other
        away = other if number % 2 else store
        for each in (own, away):
            each.prepare_journal()
        clock.move_to(clock.now() + timedelta(milliseconds=1))  # names by which processes differ are made of the time here
        [uid] = how(own.account(REF), here, [f"m{number}"])
        expunge_closely(away.account(REF), here, [uid])
    crash = Crash(root)
    for number in range(len(others)):
        lose_name(crash.file_of(f"m{number}"))
    assert sorted(in_inbox(crash.root.use(observe))) == ["first"]
    assert {crash.file_of(f"m{number}").parent.name for number in range(len(others))} == {".expunged"}
    for other in others:
        other.close()


def test_what_was_brought_back_or_came_again_is_not_expunged_by_a_replay(root: Root, store: LocalMailStore) -> None:
    """It has another UID, and the name of what was expunged is not given again."""
    account = store.account(REF)
    here = inbox(account)
    uids = append(account, here, ["back", "gone"])
    copied = account.copy(here, [uids[1]], here).pairs[0][1]
    expunge_closely(account, here, uids)
    account.undelete(uids=[uids[0]])
    seen = in_inbox(observe(account))
    assert seen == {"back": copied + 1, "gone": copied}
    assert in_inbox(Crash(root).root.use(observe)) == seen


def test_a_lone_expunge_syncs_both_directories(root: Root, clock: ManualClock, monkeypatch: pytest.MonkeyPatch) -> None:
    """And so does one that the journal cannot take; those that follow one another closely sync none."""
    store = root.store()
    account = store.account(REF)
    here = inbox(account)
    uids = deliver(account, here, ["one", "two", "three"])
    account.store_flags(here, uids, "+", DELETED)
    synced: list[str] = []
    fsync = os.fsync
    monkeypatch.setattr(os, "fsync", lambda fd: (synced.append(Path(os.readlink(f"/proc/self/fd/{fd}")).name), fsync(fd))[1])
    account.expunge(here, uids[:1])
    assert sorted(synced) == [".expunged", "cur"], "no journal is prepared"
    store.prepare_journal()
    synced.clear()
    account.expunge(here, uids[1:2])
    assert synced == []
    assert [type(frame) for path in segments(root) for frame in frames_in(str(path))] == [ExpungedFrame]
    clock.move_to(clock.now() + timedelta(seconds=1))
    account.expunge(here, uids[2:])
    assert sorted(synced) == [".expunged", "cur"]
    store.close()
