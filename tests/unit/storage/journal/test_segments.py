"""Segments: how they are filled, settled and let go, also those of processes that were killed."""

import errno
import fcntl
import os
import shutil
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path

import pytest

from mic_mail.clock import ManualClock
from mic_mail.mime.imap_structure import answers_of
from mic_mail.storage.changes.transaction import writing
from mic_mail.storage.delivery import Delivery
from mic_mail.storage.errors import Busy, DiskFull
from mic_mail.storage.journal import journal, replay
from mic_mail.storage.journal.frames import ExpungedFrame, Journaled, frames_in, octets_of
from mic_mail.storage.journal.journal import FOLDER, locked
from mic_mail.storage.local_mailstore import LocalMailStore
from store_harness import REF, Root, arrivals_in, deliver, inbox, killed_at, message, observe
from unit.storage.journal.conftest import held, in_inbox, segments


def test_no_wave_writes_into_a_block_of_another(root: Root, store: LocalMailStore) -> None:
    """The block that it is in the middle of when the power fails may be lost: nothing else lies there, nor is lost with it."""
    account = store.account(REF)
    waves = [["a", "b"], ["c"], ["d", "e"]]
    for wave in waves:
        deliver(account, inbox(account), wave, together=True)
    (path,) = (path for path in segments(root) if list(arrivals_in(str(path))))
    octets, block = path.read_bytes(), journal.BLOCK_OCTETS
    for torn, wave in enumerate(waves[1:], 1):
        path.write_bytes(octets[: torn * block] + os.urandom(block) + octets[(torn + 1) * block :])
        assert [arrival.octets for arrival in held(root)] == [
            message(token) for other in waves if other is not wave for token in other
        ]


def test_a_new_turn_does_not_bring_back_the_last_one(root: Root, store: LocalMailStore, clock: ManualClock) -> None:
    """A settled segment is used again from its beginning; frames behind the new ones are not read."""
    account = store.account(REF)
    deliver(account, inbox(account), [f"old{n}" for n in range(5)], together=True)
    clock.move_to(clock.now() + timedelta(seconds=60))
    store.settle_journal()
    assert held(root) == []
    clock.move_to(clock.now() + timedelta(seconds=60))
    deliver(account, inbox(account), ["new0", "new1"], together=True)
    deliver(account, inbox(account), ["new2"], together=True)
    assert [arrival.octets for arrival in held(root)] == [message(f"new{n}") for n in range(3)]


def test_nothing_is_settled_while_it_is_being_published(root: Root, store: LocalMailStore, clock: ManualClock) -> None:
    """The sync must come after the names: a segment in use is kept, however old it is and even if it is full."""
    account = store.account(REF)
    account.folders()
    with store.journal.holding([Journaled(REF.home, "1.M1P1Q1.x", b"x")]) as durable:
        assert durable
        clock.move_to(clock.now() + timedelta(seconds=60))
        store.settle_journal()
        assert len(held(root)) == 1
        store.settle_journal()
        assert len(held(root)) == 1
    store.settle_journal()
    assert held(root) == []


def test_the_journal_knows_whether_it_has_something_to_settle(store: LocalMailStore, clock: ManualClock) -> None:
    """A process that rests does not look for it: from the first message until all are settled, however they are held."""
    account, books = store.account(REF), store.journal
    account.folders()
    assert books.is_settled
    with books.holding([Journaled(REF.home, "1.M1P1Q1.x", b"x")]):
        assert not books.is_settled
        clock.move_to(clock.now() + timedelta(seconds=60))
        store.settle_journal()
        assert not books.is_settled
    assert not books.is_settled
    store.settle_journal()
    assert books.is_settled


def test_young_messages_are_left_for_the_next_time(root: Root, store: LocalMailStore, clock: ManualClock) -> None:
    """A sync of the file system for every message would cost more than it saves."""
    account = store.account(REF)
    deliver(account, inbox(account), ["a"], together=True)
    store.settle_journal()
    assert len(held(root)) == 1
    clock.move_to(clock.now() + timedelta(seconds=journal.SETTLE_SECONDS))
    store.settle_journal()
    assert held(root) == []


def test_two_full_segments_send_messages_to_their_own_files(
    root: Root, store: LocalMailStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two segments take turns; where neither has room the journal promises nothing, and after settling it does again."""
    monkeypatch.setattr(journal, "SEGMENT_OCTETS", 1 << 20)
    account = store.account(REF)
    account.folders()
    large = Journaled(REF.home, "1.M1P1Q1.x", bytes(600_000))
    answers = []
    for _ in range(3):
        with store.journal.holding([large]) as durable:
            answers.append(durable is not None)
    assert answers == [True, True, False]
    assert store.journal.is_full
    store.settle_journal()
    assert not store.journal.is_full
    with store.journal.holding([large]) as durable:
        assert durable
    with store.journal.holding([Journaled(REF.home, "1.M1P1Q1.x", bytes(2 << 20))]) as durable:
        assert not durable


def test_a_wave_waits_for_no_segment_to_be_made(root: Root, clock: ManualClock, monkeypatch: pytest.MonkeyPatch) -> None:
    """For 8 MiB of zeros, or whoever looks through the segments of others: that is left to `settle`, and waves go without."""
    store = root.store()
    one = [Journaled(REF.home, "1.M1P1Q1.x", b"x")]
    with monkeypatch.context() as waiting:
        waiting.setattr(journal, "_fill_with_zeros", pytest.fail)
        with store.journal.holding(one) as durable:
            assert not durable
    assert store.journal.is_full
    store.settle_journal()
    assert not store.journal.is_full
    with locked(str(root.path / FOLDER), fcntl.LOCK_EX), store.journal.holding(one) as durable:
        assert durable
    store.close()


def test_a_full_disk_is_tried_again(root: Root, clock: ManualClock, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whether a segment cannot be made or cannot be written; it is told once, and messages are fsynced one by one meanwhile."""
    store = root.store()
    one = [Journaled(REF.home, "1.M1P1Q1.x", b"x")]

    def no_room(*args: object) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def later() -> None:
        clock.move_to(clock.now() + timedelta(seconds=journal.PAUSE_SECONDS))

    def durable() -> bool:
        with store.journal.holding(one) as durable:
            return durable

    with monkeypatch.context() as full:
        full.setattr(os, "pwrite", no_room)
        with pytest.raises(DiskFull):
            store.prepare_journal()
        assert not durable()
        assert not store.journal.is_full
        later()
        assert not durable()
        assert store.journal.is_full
    store.settle_journal()
    assert durable()
    with monkeypatch.context() as full:
        full.setattr(os, "pwrite", no_room)
        assert not durable()
    with pytest.raises(DiskFull):
        store.settle_journal()
    store.settle_journal()
    assert not durable()
    later()
    assert durable()
    store.close()


def test_large_messages_are_written_as_they_are(root: Root, store: LocalMailStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """A batch of large messages is one call, which gets each message itself; nothing is joined."""
    batch = [Journaled(REF.home, f"1.M{number}P1Q1.x", os.urandom(40 << 10)) for number in range(5)]
    pwritev, given = os.pwritev, []

    def noting(fd: int, pieces: Sequence[bytes], at: int) -> int:
        given.append(pieces)
        return pwritev(fd, pieces, at)

    monkeypatch.setattr(os, "pwritev", noting)
    with store.journal.holding(batch) as durable:
        assert durable
    (pieces,) = given
    assert {id(each.octets) for each in batch} <= set(map(id, pieces))
    assert [arrival.octets for arrival in held(root)] == [each.octets for each in batch]


def test_half_of_a_large_batch_is_none(root: Root, store: LocalMailStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """A disk that is full after some of the octets promises nothing."""
    batch = [Journaled(REF.home, "1.M1P1Q1.x", os.urandom(100 << 10))]
    pwritev = os.pwritev
    monkeypatch.setattr(os, "pwritev", lambda fd, pieces, at: pwritev(fd, pieces[:1], at))
    with store.journal.holding(batch) as durable:
        assert not durable
    assert held(root) == []


def test_more_pieces_than_one_call_takes(root: Root, store: LocalMailStore) -> None:
    """The frames of a thousand expunged messages are more pieces than Linux takes at once."""
    gone = [ExpungedFrame(REF.home, "F1", f"1.M{number}P1Q1.x,S=100,U={number}:2,S", f"F1.{number}") for number in range(1_000)]
    assert octets_of(gone) > journal.JOINED_OCTETS
    assert store.journal.remembers(gone)
    (segment,) = (path for path in segments(root) if any(frames_in(str(path))))
    assert list(frames_in(str(segment))) == gone


def test_closing_leaves_nothing_behind(root: Root) -> None:
    """A process that ends in order has settled everything and removed its segments."""
    root.use(lambda account: deliver(account, inbox(account), ["a"], together=True))
    assert segments(root) == []


def test_segments_of_the_killed_are_settled_and_those_of_the_living_left(root: Root, store: LocalMailStore) -> None:
    """Within a boot nothing is given back: what was not published was not acknowledged."""
    account = store.account(REF)
    living = segments(root)
    deliver(account, inbox(account), ["living"], together=True)

    def die() -> None:
        other = root.store()
        deliver(other.account(REF), inbox(other.account(REF)), ["published"], together=True)
        with other.journal.holding([Journaled(REF.home, "1.M1P1Q1.x", message("never published"))]) as durable:
            os._exit(9 if durable else 1)

    assert not killed_at(10**9, die)
    assert len(segments(root)) == 2 * len(living)
    store.settle_left_behind()
    assert segments(root) == living
    assert [arrival.octets for arrival in held(root)] == [message("living")]
    assert sorted(in_inbox(observe(account))) == ["living", "published"]


def leave_behind(root: Root, home: str, name: str) -> Path:
    """A segment of this boot whose process was killed: its lock is gone."""
    other, before = root.store(), segments(root)
    other.prepare_journal()
    with other.journal.holding([Journaled(home, "1.M1P1Q1.x", b"x")]) as durable:
        assert durable
    (made,) = {path for path in segments(root) if path not in before and list(arrivals_in(str(path)))}
    path = made.with_name(name)
    shutil.copy(made, path)
    other.close()
    return path


def test_what_was_left_behind_is_settled_by_its_file_system(root: Root, monkeypatch: pytest.MonkeyPatch) -> None:
    """No file is looked for: one that is renamed meanwhile would be missed. A mailbox that was moved away counts as well."""
    root.use(inbox)
    leave_behind(root, REF.home, "first boot.a")
    leave_behind(root, "mic.gov.vn/gone", "first boot.b")
    synced: list[str] = []
    monkeypatch.setattr(replay, "sync_file_system", lambda fd: synced.append(os.readlink(f"/proc/self/fd/{fd}")))
    monkeypatch.setattr(replay, "_files_by_base", pytest.fail)
    replay.settle_left_behind(str(root.path), "first boot")
    assert synced == [str(root.home / "Maildir"), str(root.home.parent)]
    assert segments(root) == []


def test_what_was_left_behind_and_cannot_be_synced_waits_for_the_next_boot(root: Root, monkeypatch: pytest.MonkeyPatch) -> None:
    """The kernel tells an error once: who comes next would hear that all is well."""
    root.use(inbox)
    leave_behind(root, REF.home, "first boot.a")

    def fail(fd: int) -> None:
        raise OSError(5, "Input/output error")

    with monkeypatch.context() as broken:
        broken.setattr(replay, "sync_file_system", fail)
        with pytest.raises(OSError, match="Input/output"):
            replay.settle_left_behind(str(root.path), "first boot")
    replay.settle_left_behind(str(root.path), "first boot")
    assert [path.name for path in segments(root)] == ["first boot.a.failed"]
    assert [arrival.octets for arrival in held(root)] == [b"x"]


def test_a_process_that_ends_meanwhile_hides_no_other_segment(root: Root, monkeypatch: pytest.MonkeyPatch) -> None:
    """It takes its own segment with it, between the listing and the look."""
    root.use(inbox)
    first, second = (leave_behind(root, REF.home, f"first boot.{name}") for name in "ab")
    listed = os.listdir

    def end(folder: str) -> list[str]:
        names = listed(folder)
        first.unlink()
        return names

    monkeypatch.setattr(os, "listdir", end)
    replay.settle_left_behind(str(root.path), "first boot")
    assert not second.exists()


def test_who_writes_for_long_is_not_waited_for(store: LocalMailStore) -> None:
    """`Busy` after the patience, and the message's file is still there for its turn."""
    account = store.account(REF)
    here = inbox(account)
    with writing(store.store(REF)):
        other = store.account(REF)
        staged = other.stage()
        staged.write(message("later"))
        staged.finish()
        with pytest.raises(Busy):
            other.publish(here, [Delivery(staged, answers_of(message("later")))], patience=0.01)
    assert os.path.exists(staged.path)
