"""What the journal holds survives a power loss, whatever became of files and names."""

import os
import shutil
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from memory_folder import folder_in_memory
from mic_mail.clock import ManualClock
from mic_mail.mime.imap_structure import answers_of
from mic_mail.storage.changes import publish as publishing
from mic_mail.storage.delivery import Delivery
from mic_mail.storage.errors import Unavailable
from mic_mail.storage.journal import journal
from mic_mail.storage.journal.frames import Journaled
from mic_mail.storage.local_mailstore import Account, LocalMailStore
from mic_mail.storage.types import FLAGGED, SEEN
from store_harness import REF, Root, append, deliver, inbox, killed_at, message, observe
from unit.storage.journal.conftest import (
    DAMAGES,
    KEEP_THE_NAME,
    Crash,
    Damage,
    held,
    in_inbox,
    lose_content,
    lose_name,
    raising,
    segments,
)


@pytest.mark.parametrize("index", ["as it was", "older", "lost"])
@pytest.mark.parametrize("damage", DAMAGES, ids=lambda damage: damage.__name__)
def test_power_loss_takes_no_message_that_the_journal_holds(
    root: Root, store: LocalMailStore, damage: Damage, index: str
) -> None:
    """Every acknowledged message is there once with its octets, under its UID where its name or its row survived."""
    account = store.account(REF)
    deliver(account, inbox(account), ["before"])
    older = root.index_copy()
    uids = dict(zip(("one", "two"), deliver(account, inbox(account), ["one", "two"], together=True), strict=True))
    crash = Crash(root)
    damage(crash.file_of("one"))
    damage(crash.file_of("two"))
    if index != "as it was":
        crash.root.lose_index()
    if index == "older":
        for name, octets in older.items():
            (crash.root.home / name).write_bytes(octets)
    seen = crash.root.use(observe)
    found = in_inbox(seen)
    assert sorted(found) == ["before", "one", "two"]
    assert sum(len(folder.messages) for folder in seen.values()) == 3
    if damage in KEEP_THE_NAME or index == "as it was":
        assert {token: found[token] for token in uids} == uids
    else:
        assert min(found["one"], found["two"]) > max(uids.values())
    assert segments(crash.root) == []
    assert crash.root.use(lambda account: account.repair(check=True)).clean
    assert in_inbox(crash.root.use(observe)) == found


JULY = datetime(1996, 7, 17, 9, 44, 25, tzinfo=UTC)
"""An INTERNALDATE that a client gave."""


def dates(account: Account, folder: str) -> set[int]:
    folder_id = account.folder(folder).folder_id
    rows = account.rows(folder_id, account.view(folder_id).uids, ["internaldate_us"])
    return {internaldate_us for (internaldate_us,) in rows}


@pytest.mark.parametrize("folder", ["INBOX", "Archive"])
@pytest.mark.parametrize("index", ["as it was", "older", "lost"])
@pytest.mark.parametrize("damage", DAMAGES, ids=lambda damage: damage.__name__)
def test_power_loss_changes_nothing_about_appended_messages(
    root: Root, store: LocalMailStore, damage: Damage, index: str, folder: str
) -> None:
    """They are in their folder with their octets, UIDs, flags, keywords and INTERNALDATE, though none was fsynced."""
    account = store.account(REF)
    target = account.folder(folder).folder_id
    older = root.index_copy()
    fields = {"flags": SEEN, "keywords": ("$Label1", "Việc"), "received_at_us": int(JULY.timestamp()) * 1_000_000}
    append(account, target, ["one", "two"], **fields)
    assert len(held(root)) == 2
    promised = observe(account)[folder].messages
    crash = Crash(root)
    damage(crash.file_of("one"))
    damage(crash.file_of("two"))
    if index != "as it was":
        crash.root.lose_index()
    if index == "older":
        for name, octets in older.items():
            (crash.root.home / name).write_bytes(octets)
    seen = crash.root.use(observe)
    assert seen[folder].messages == promised
    assert sum(len(each.messages) for each in seen.values()) == 2
    assert crash.root.use(lambda account: dates(account, folder)) == {int(JULY.timestamp()) * 1_000_000}
    assert segments(crash.root) == []
    assert crash.root.use(lambda account: account.repair(check=True)).clean
    assert crash.root.use(observe)[folder].messages == promised


@pytest.mark.parametrize("damage", [lose_name, lose_content], ids=lambda damage: damage.__name__)
def test_what_was_refused_after_all_takes_no_uid_from_who_came_next(
    root: Root, store: LocalMailStore, monkeypatch: pytest.MonkeyPatch, damage: Damage
) -> None:
    """The journal had it, then the index could not be written: the next message has its UID, and keeps it in a power loss."""
    account = store.account(REF)
    older = root.index_copy()
    with monkeypatch.context() as moment:
        moment.setattr(publishing, "insert_message", raising(Unavailable("no room for a row")))
        with pytest.raises(Unavailable):
            append(account, inbox(account), ["refused", "as well"])
    assert held(root) == []
    assert append(account, inbox(account), ["kept"]) == [1]
    assert [arrival.octets for arrival in held(root)] == [message("kept")]
    crash = Crash(root)
    damage(crash.file_of("kept"))
    for name, octets in older.items():
        (crash.root.home / name).write_bytes(octets)
    assert in_inbox(crash.root.use(observe)) == {"kept": 1}


def test_what_is_refused_later_takes_back_nothing_of_the_next_turn(
    root: Root, store: LocalMailStore, clock: ManualClock
) -> None:
    """The segment was settled in between and holds others: they stay."""
    account = store.account(REF)
    with store.journal.holding([Journaled(REF.home, "base", b"octets")]) as take_back:
        assert take_back is not None
    clock.move_to(clock.now() + timedelta(seconds=journal.SETTLE_SECONDS))
    store.settle_journal()
    deliver(account, inbox(account), ["other", "one more"], together=True)
    there = held(root)
    assert len(there) == 2
    take_back()
    assert held(root) == there


def test_a_file_whose_time_was_not_on_disk_gets_it_back(root: Root, store: LocalMailStore) -> None:
    """INTERNALDATE is the file's time once the index is lost; it was set without an fsync."""
    account = store.account(REF)
    append(account, inbox(account), ["one"], received_at_us=int(JULY.timestamp()) * 1_000_000)
    crash = Crash(root)
    os.utime(crash.file_of("one"))
    crash.root.lose_index()
    assert crash.root.use(lambda account: dates(account, "INBOX")) == {int(JULY.timestamp()) * 1_000_000}


@pytest.mark.parametrize("index", ["as it was", "lost"])
def test_an_appended_message_finds_its_folder_again(root: Root, store: LocalMailStore, index: str) -> None:
    """By its mailbox id, whatever it is called now; in a deleted folder it is in that; INBOX has it if there is none."""
    account = store.account(REF)
    for name in ("renamed", "deleted", "purged"):
        append(account, account.create(name).folder_id, [name], flags=FLAGGED)
    account.rename("renamed", "another")
    account.delete("deleted")
    crash = Crash(root)
    for name in ("renamed", "deleted", "purged"):
        lose_name(crash.file_of(name))
    shutil.rmtree(crash.root.home / "Maildir/.purged")
    if index == "lost":
        crash.root.lose_index()
    seen = crash.root.use(observe)
    assert [token for token, _ in seen["another"].messages.values()] == ["renamed"]
    assert list(seen["INBOX"].messages.values()) == [("purged", frozenset({"\\Flagged"}))]
    (buried,) = (crash.root.home / "Maildir/.expunged").glob("*/cur/*")
    assert buried.read_bytes() == message("deleted")


def test_of_folders_with_one_mailbox_id_the_one_called_so_is_meant(root: Root, store: LocalMailStore) -> None:
    """Somebody has copied a directory, sidecar and all: what the journal gives back belongs to the original."""
    account = store.account(REF)
    append(account, account.create("m").folder_id, ["one"])
    crash = Crash(root)
    lose_name(crash.file_of("one"))
    for copy in (".a", ".z"):
        shutil.copytree(crash.root.home / "Maildir/.m", crash.root.home / f"Maildir/{copy}")
    seen = crash.root.use(observe)
    assert [token for token, _ in seen["m"].messages.values()] == ["one"]


def test_what_is_given_back_keeps_its_order(root: Root, store: LocalMailStore, clock: ManualClock) -> None:
    """Messages of one second take their new UIDs as they came, not as their names are spelled."""
    account = store.account(REF)
    here, tokens = inbox(account), [f"t{n}" for n in range(5)]
    for token in tokens:
        deliver(account, here, [token], together=True)
        clock.move_to(clock.now() + timedelta(microseconds=6))
    crash = Crash(root)
    for token in tokens:
        lose_name(crash.file_of(token))
    crash.root.lose_index()
    found = in_inbox(crash.root.use(observe))
    assert sorted(found, key=found.__getitem__) == tokens


def test_a_copy_does_not_stand_for_the_message_it_was_made_of(
    root: Root, store: LocalMailStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Replay looks for one name: so COPY makes the source's durable as well, and before the copy's."""
    account = store.account(REF)
    here = inbox(account)
    first, _ = deliver(account, here, ["copied", "other"], together=True)
    cur, archive = root.home / "Maildir/cur", root.home / "Maildir/.Archive/cur"
    synced: list[str] = []
    note = lambda fd: synced.append(os.readlink(f"/proc/self/fd/{fd}"))  # noqa: E731
    monkeypatch.setattr(store.store(REF).shared.syncs, "make_durable", note)
    account.copy(here, [first], account.folder("Archive").folder_id)
    assert synced == [str(cur), str(archive)]


def test_no_octet_of_what_is_given_back_changes(root: Root, store: LocalMailStore) -> None:
    """A message of ours is not a stranger's file whose line ends are put right: binary parts come back as they came."""
    account = store.account(REF)
    octets = b"Subject: binary\r\n\r\n\0\n\r\r\n" + bytes(range(256)) * 9
    staged = account.stage()
    staged.write(octets)
    staged.finish_later()
    with store.journal.holding([Journaled(REF.home, os.path.basename(staged.path), octets)]):
        account.publish(inbox(account), [Delivery(staged, answers_of(octets))], journaled=True)
    crash = Crash(root)
    crash.root.lose_index()
    (path,) = (crash.root.home / "Maildir/cur").iterdir()
    path.unlink()

    def read(account: Account) -> bytes:
        (uid,) = account.view(inbox(account)).uids
        with account.open_message(inbox(account), uid) as file:
            return file.pread(0, 1 << 20)

    assert crash.root.use(read) == octets


def test_copies_in_one_folder_whose_names_are_all_lost(root: Root, store: LocalMailStore) -> None:
    """They have one base name: the message comes back once, as the first of them, and nothing else suffers."""
    account = store.account(REF)
    here = inbox(account)
    first, _ = deliver(account, here, ["twice", "other"], together=True)
    account.copy(here, [first], here)
    crash = Crash(root)
    for _ in range(2):
        lose_name(crash.file_of("twice"))
    assert in_inbox(crash.root.use(observe)) == {"twice": first, "other": first + 1}
    assert crash.root.use(lambda account: account.repair(check=True)).clean


@pytest.mark.slow
@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.data())
def test_power_loss_at_any_time(data: st.DataObject) -> None:
    """Waves, single messages and settling in any order, then a power loss with any damage to what was not settled."""
    clock = ManualClock(datetime(2026, 11, 24, tzinfo=UTC))
    with folder_in_memory() as folder:
        root = Root(folder / "mail", clock=clock)
        store = root.store()
        account = store.account(REF)
        tokens: list[str] = []
        fragile: list[str] = []
        indexes = [root.index_copy()]
        for step in data.draw(st.lists(st.sampled_from(["wave", "append", "single", "settle", "index"]), max_size=8)):
            if step == "settle":
                clock.move_to(clock.now() + timedelta(seconds=60))
                store.settle_journal()
                fragile.clear()
            elif step == "index":
                inbox(account)
                indexes.append(root.index_copy())
            else:
                new = [f"t{len(tokens) + n}" for n in range(3 if step == "wave" else 1)]
                if step == "append":
                    append(account, inbox(account), new)
                else:
                    deliver(account, inbox(account), new, together=step == "wave")
                tokens += new
                fragile += [] if step == "single" else new
        inbox(account)
        indexes += [root.index_copy(), {}]
        crash = Crash(root)
        crash.root.lose_index()
        for name, octets in data.draw(st.sampled_from(indexes)).items():
            (crash.root.home / name).write_bytes(octets)
        for token in fragile:
            data.draw(st.sampled_from(DAMAGES))(crash.file_of(token))
        life = data.draw(st.integers(0, 3000))
        killed_at(life, lambda: crash.root.use(lambda account: account.folders()))  # power may fail again: it begins anew
        crash.root.settings["boot_id"] = data.draw(st.sampled_from(["second boot", "third boot"]))
        assert sorted(in_inbox(crash.root.use(observe))) == sorted(tokens)
        assert crash.root.use(lambda account: account.repair(check=True)).clean
        store.close()
