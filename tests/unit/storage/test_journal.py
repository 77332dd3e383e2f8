"""The journal: what it holds survives a power loss whatever became of files and names; what is settled it lets go."""

import errno
import fcntl
import os
import shutil
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory, gettempdir

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from memory_folder import folder_in_memory
from mic_mail.clock import ManualClock
from mic_mail.mime.imap_structure import answers_of
from mic_mail.storage.changes import publish as publishing
from mic_mail.storage.changes.transaction import writing
from mic_mail.storage.errors import Busy, DiskFull, Unavailable
from mic_mail.storage.journal import journal, replay
from mic_mail.storage.journal.frames import ExpungedFrame, Journaled, arrivals_in, frames_in
from mic_mail.storage.journal.journal import FOLDER, LOCK, locked
from mic_mail.storage.maildir import syncfs
from mic_mail.storage.maildir.maildir import Place
from mic_mail.storage.mailstore import Account, MailStore
from mic_mail.storage.types import DELETED, FLAGGED, SEEN, AccountRef, Delivery
from store_harness import REF, Root, Seen, append, deliver, killed_at, message, observe
from waiting import PATIENCE_SECONDS, wait_for


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(datetime(2026, 11, 24, tzinfo=UTC))


@pytest.fixture
def root(tmp_path: Path, clock: ManualClock) -> Root:
    return Root(tmp_path / "mail", clock=clock)


@pytest.fixture
def store(root: Root) -> Iterator[MailStore]:
    store = root.store()
    store.prepare_journal()
    yield store
    store.close()


def segments(root: Root) -> list[Path]:
    folder = root.path / FOLDER
    return sorted(path for path in folder.iterdir() if path.name != LOCK) if folder.exists() else []


def held(root: Root) -> list[Journaled]:
    """All messages that the journal holds."""
    return [arrival for path in segments(root) for arrival in arrivals_in(str(path))]


def raising(error: Exception) -> Callable[..., None]:
    def fail(*_: object, **__: object) -> None:
        raise error

    return fail


def inbox(account: Account) -> int:
    return account.folder("INBOX").folder_id


def in_inbox(seen: dict[str, Seen]) -> dict[str, int]:
    return {token: uid for uid, (token, _) in seen["INBOX"].messages.items()}


class Crash:
    """A machine that has lost power: a copy of everything as it lay in memory, to be damaged, under the next boot id."""

    def __init__(self, root: Root) -> None:
        path = root.path.with_name(f"{root.path.name}'")
        shutil.rmtree(path, ignore_errors=True)
        shutil.copytree(root.path, path, symlinks=True)
        self.root = Root(path, clock=root.clock, settings=dict(root.settings))
        self.root.settings["boot_id"] = f"{root.settings['boot_id']}'"

    def file_of(self, token: str) -> Path:
        for path in self.root.home.glob("Maildir/**/*.M*"):
            if path.is_file() and message(token) == path.read_bytes():
                return path
        raise LookupError(token)


def lose_content(path: Path) -> None:
    """The name is on disk, the octets are not."""
    path.chmod(0o600)
    path.write_bytes(b"")


def get_zeros(path: Path) -> None:
    size = path.stat().st_size
    path.chmod(0o600)
    path.write_bytes(bytes(size))


def lose_half(path: Path) -> None:
    path.chmod(0o600)
    os.truncate(path, path.stat().st_size // 2)


def lose_name(path: Path) -> None:
    path.unlink()


def stay_staged(path: Path) -> None:
    """The rename into `cur` is not on disk."""
    path.rename(path.parent.parent / "tmp" / path.name.partition(",")[0])


def survive(path: Path) -> None:
    pass


Damage = Callable[[Path], None]
DAMAGES: tuple[Damage, ...] = (lose_content, get_zeros, lose_half, lose_name, stay_staged, survive)
KEEP_THE_NAME = (lose_content, get_zeros, lose_half, survive)


@pytest.mark.parametrize("index", ["as it was", "older", "lost"])
@pytest.mark.parametrize("damage", DAMAGES, ids=lambda damage: damage.__name__)
def test_power_loss_takes_no_message_that_the_journal_holds(root: Root, store: MailStore, damage: Damage, index: str) -> None:
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
    root: Root, store: MailStore, damage: Damage, index: str, folder: str
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
    root: Root, store: MailStore, monkeypatch: pytest.MonkeyPatch, damage: Damage
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


def test_what_is_refused_later_takes_back_nothing_of_the_next_turn(root: Root, store: MailStore, clock: ManualClock) -> None:
    """The segment was settled in between and holds others: they stay."""
    account = store.account(REF)
    with store.journal_holding([Journaled(REF.home, "base", b"octets")]) as take_back:
        assert take_back is not None
    clock.move_to(clock.now() + timedelta(seconds=journal.SETTLE_SECONDS))
    store.settle_journal()
    deliver(account, inbox(account), ["other", "one more"], together=True)
    there = held(root)
    assert len(there) == 2
    take_back()
    assert held(root) == there


def test_a_file_whose_time_was_not_on_disk_gets_it_back(root: Root, store: MailStore) -> None:
    """INTERNALDATE is the file's time once the index is lost; it was set without an fsync."""
    account = store.account(REF)
    append(account, inbox(account), ["one"], received_at_us=int(JULY.timestamp()) * 1_000_000)
    crash = Crash(root)
    os.utime(crash.file_of("one"))
    crash.root.lose_index()
    assert crash.root.use(lambda account: dates(account, "INBOX")) == {int(JULY.timestamp()) * 1_000_000}


@pytest.mark.parametrize("index", ["as it was", "lost"])
def test_an_appended_message_finds_its_folder_again(root: Root, store: MailStore, index: str) -> None:
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


def test_of_folders_with_one_mailbox_id_the_one_called_so_is_meant(root: Root, store: MailStore) -> None:
    """Somebody has copied a directory, sidecar and all: what the journal gives back belongs to the original."""
    account = store.account(REF)
    append(account, account.create("m").folder_id, ["one"])
    crash = Crash(root)
    lose_name(crash.file_of("one"))
    for copy in (".a", ".z"):
        shutil.copytree(crash.root.home / "Maildir/.m", crash.root.home / f"Maildir/{copy}")
    seen = crash.root.use(observe)
    assert [token for token, _ in seen["m"].messages.values()] == ["one"]


def test_what_the_journal_cannot_take_is_fsynced(root: Root, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its file before it has a name, and its folder; no message is published twice or without its answers."""
    store = root.store()
    account = store.account(REF)
    here = inbox(account)
    deliver(account, here, ["before"])  # and the marks are written
    order: list[str] = []
    fsync, rename = os.fsync, os.rename
    monkeypatch.setattr(os, "fsync", lambda fd: (order.append(os.readlink(f"/proc/self/fd/{fd}")), fsync(fd))[1])
    monkeypatch.setattr(os, "rename", lambda old, new: (order.append(f"to {new}"), rename(old, new))[1])
    octets = message("one")
    staged = account.stage()
    staged.write(octets)
    staged.finish_later()
    account.publish(here, [Delivery(staged, lambda: answers_of(octets), octets=octets)])
    file, name, folder = order
    assert file == staged.path
    assert name.startswith(f"to {folder}/")
    assert folder == str(root.home / "Maildir/cur")
    assert in_inbox(observe(account)) == {"before": 1, "one": 2}
    store.close()


def test_a_sync_that_failed_meanwhile_promises_nothing(root: Root, store: MailStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """The kernel tells an error once: it may have been about what another thread had written before and syncs later."""
    one, other = (Journaled(REF.home, f"{number}.M1P1Q1.x", b"x") for number in (1, 2))
    sync = os.fdatasync

    def fail(fd: int) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    def meanwhile() -> None:
        monkeypatch.setattr(os, "fdatasync", fail)
        with store.journal_holding([other]) as durable:
            assert not durable
        monkeypatch.setattr(os, "fdatasync", sync)

    with store.journal.holding([one], meanwhile) as durable:
        assert not durable


@pytest.mark.parametrize("fails", [False, True])
def test_who_writes_while_a_sync_is_under_way_shares_the_next(
    root: Root, store: MailStore, monkeypatch: pytest.MonkeyPatch, fails: bool
) -> None:
    """A sync covers what was written before it began: one more for all who came meanwhile, and its error is told to all."""
    store.prepare_journal()
    sync, first, syncs = os.fdatasync, threading.Event(), []

    def slow(fd: int) -> None:
        syncs.append(fd)
        if len(syncs) == 1:
            assert first.wait(10)
        elif fails:
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        sync(fd)

    def hold(number: int) -> bool:
        with store.journal_holding([Journaled(REF.home, f"{number}.M1P1.h", message("a"))]) as held:
            return held is not None

    monkeypatch.setattr(os, "fdatasync", slow)
    with ThreadPoolExecutor(5) as threads:
        leading = threads.submit(hold, 0)
        wait_for(lambda: syncs)
        following = [threads.submit(hold, number) for number in range(1, 5)]
        wait_for(lambda: len(held(root)) == 5)
        first.set()
        assert leading.result(PATIENCE_SECONDS)
        assert [each.result(PATIENCE_SECONDS) for each in following] == [not fails] * 4
    assert len(syncs) == 2


def test_moved_and_expunged_messages_stay_where_they_are(root: Root, store: MailStore) -> None:
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
    root: Root, store: MailStore, how: Callable[..., list[int]], index: str
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
    root: Root, store: MailStore, clock: ManualClock, how: Callable[..., list[int]]
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


def test_what_was_brought_back_or_came_again_is_not_expunged_by_a_replay(root: Root, store: MailStore) -> None:
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


def test_what_is_given_back_keeps_its_order(root: Root, store: MailStore, clock: ManualClock) -> None:
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
    root: Root, store: MailStore, monkeypatch: pytest.MonkeyPatch
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


def test_no_octet_of_what_is_given_back_changes(root: Root, store: MailStore) -> None:
    """A message of ours is not a stranger's file whose line ends are put right: binary parts come back as they came."""
    account = store.account(REF)
    octets = b"Subject: binary\r\n\r\n\0\n\r\r\n" + bytes(range(256)) * 9
    staged = account.stage()
    staged.write(octets)
    staged.finish_later()
    with store.journal_holding([Journaled(REF.home, os.path.basename(staged.path), octets)]):
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


def test_copies_in_one_folder_whose_names_are_all_lost(root: Root, store: MailStore) -> None:
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


def test_other_mailboxes_and_lost_ones_do_not_stop_a_replay(root: Root, store: MailStore) -> None:
    """A mailbox that was removed since is passed over; the others have their mail."""
    account = store.account(REF)
    with store.journal_holding([Journaled("mic.gov.vn/gone", "1.M1P1Q1.x", b"x")]) as durable:
        assert durable  # if it comes back, then on the disk of the folder that it was in
    deliver(account, inbox(account), ["here"], together=True)
    crash = Crash(root)
    lose_name(crash.file_of("here"))
    assert list(in_inbox(crash.root.use(observe))) == ["here"]
    crash = Crash(root)
    (path,) = (path for path in segments(crash.root) if list(arrivals_in(str(path))))
    path.write_bytes(path.read_bytes().replace(b"mic.gov.vn/dvbe", b"mic.gov.vn/dvbX"))  # and the checksum fails
    lose_name(crash.file_of("here"))
    assert in_inbox(crash.root.use(observe)) == {}


NOBODY = 65534


def as_a_service_user(act: Callable[[], object]) -> Callable[[], object]:
    """For a forked child: with no more rights than a server has, whoever runs the tests."""

    def acting() -> object:
        if os.getuid() == 0:
            os.setuid(NOBODY)
        return act()

    return acting


@pytest.fixture
def owned(clock: ManualClock) -> Iterator[Root]:
    """A mail root in a folder that a service user can have."""
    with TemporaryDirectory() as folder:
        root = Root(Path(folder) / "mail", clock=clock)
        yield root


def give_away(root: Root) -> None:
    if os.getuid() == 0:
        for path in (root.path.parent, *root.path.parent.rglob("*")):
            os.chown(path, NOBODY, NOBODY, follow_symlinks=False)


@pytest.mark.slow
def test_a_replay_that_is_killed_does_not_stop_the_next_one(owned: Root) -> None:
    """Wherever it dies, and though nobody may write into a message of ours once it is there."""
    store = owned.store()
    account = store.account(REF)
    deliver(account, inbox(account), ["one", "two"], together=True)
    crash = Crash(owned)
    lose_name(crash.file_of("one"))
    lose_content(crash.file_of("two"))
    give_away(crash.root)
    boot_id = str(crash.root.settings["boot_id"])
    life, ended = 0, False
    while not ended:
        ended = killed_at(life, as_a_service_user(lambda: replay.recover(str(crash.root.path), boot_id)))
        life += 2
    assert life > 100
    give_away(crash.root)
    assert sorted(in_inbox(crash.root.use(observe))) == ["one", "two"]
    store.close()


NEIGHBOUR = AccountRef(8, "mic.gov.vn/ttlan")


def two_mailboxes(root: Root) -> Crash:
    """Messages of one wave for two mailboxes; the names of both are lost."""
    store = root.store()
    for ref in (REF, NEIGHBOUR):
        account = store.account(ref)
        deliver(account, inbox(account), [ref.home], together=True)
    crash = Crash(root)
    for ref in (REF, NEIGHBOUR):
        for path in (crash.root.path / ref.home / "Maildir/cur").iterdir():
            path.unlink()
    store.close()
    return crash


def test_a_mailbox_that_cannot_be_replayed_stops_no_other(root: Root, monkeypatch: pytest.MonkeyPatch) -> None:
    """It alone cannot be opened until its messages are back; those of others are not given back again meanwhile."""
    crash = two_mailboxes(root)
    put = replay._put

    def no_room(place: Place, path: str, arrival: Journaled) -> None:
        if arrival.home == REF.home:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        put(place, path, arrival)

    with monkeypatch.context() as full:
        full.setattr(replay, "_put", no_room)
        store = crash.root.store()
        result = store.recover()
        assert list(result.failed) == [str(crash.root.home)]
        assert result.mended == 1
        neighbour = store.account(NEIGHBOUR)
        assert list(in_inbox(observe(neighbour))) == [NEIGHBOUR.home]
        with pytest.raises(DiskFull):
            store.account(REF).folders()
    neighbour.remove(inbox(neighbour), neighbour.view(inbox(neighbour)).uids)
    (buried,) = (crash.root.path / NEIGHBOUR.home / "Maildir/.expunged").iterdir()
    buried.unlink()
    other = crash.root.store()
    assert list(in_inbox(observe(other.account(REF)))) == [REF.home]
    assert list(in_inbox(observe(store.account(REF)))) == [REF.home]
    assert in_inbox(observe(neighbour)) == {}
    assert segments(crash.root) == []
    for each in (store, other):
        each.close()


def test_a_segment_that_cannot_be_read_stops_no_other(root: Root, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is kept for whoever can read it, and told."""
    crash = two_mailboxes(root)
    (path,) = (path for path in segments(crash.root) if list(arrivals_in(str(path))))
    bad = path.with_name("another boot.bad")
    bad.mkdir()
    store = crash.root.store()
    assert list(store.recover().failed) == [str(bad)]
    assert list(in_inbox(observe(store.account(REF)))) == [REF.home]
    assert segments(crash.root) == [bad]
    store.close()


def test_messages_of_mailboxes_that_are_gone_are_counted(root: Root) -> None:
    """Nothing can be given back to them, but somebody should know."""
    crash = two_mailboxes(root)
    shutil.rmtree(crash.root.path / NEIGHBOUR.home)
    result = crash.root.store().recover()
    assert (result.mended, result.homeless, result.failed) == (1, 1, {})
    assert segments(crash.root) == []


def test_a_folder_that_cannot_be_listed_is_not_taken_for_empty(owned: Root) -> None:
    """What lies there would be given back once more, into INBOX."""
    store = owned.store()
    account = store.account(REF)
    here = inbox(account)
    moved, _ = deliver(account, here, ["moved", "other"], together=True)
    account.move(here, [moved], account.folder("Archive").folder_id)
    crash = Crash(owned)
    give_away(crash.root)
    (crash.root.home / "Maildir/.Archive/cur").chmod(0)

    def recover() -> None:
        assert list(crash.root.store().recover().failed) == [str(crash.root.home)]

    assert killed_at(10**9, as_a_service_user(recover))
    (crash.root.home / "Maildir/.Archive/cur").chmod(0o700)
    assert list(in_inbox(crash.root.use(observe))) == ["other"]
    store.close()


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


def test_of_a_torn_segment_all_is_read_that_is_whole(root: Root, store: MailStore) -> None:
    """Cut at any octet, the messages before that are read; where one is spoilt the others are, while it can be told whose."""
    account = store.account(REF)
    deliver(account, inbox(account), ["a", "b", "c"], together=True)
    (path,) = (path for path in segments(root) if list(arrivals_in(str(path))))
    whole = list(arrivals_in(str(path)))
    assert [arrival.octets for arrival in whole] == [message(token) for token in "abc"]
    octets = path.read_bytes()
    end = octets.rindex(whole[-1].octets) + len(whole[-1].octets)
    copy = root.path / "copy"
    for at in range(0, end, 7):
        copy.write_bytes(octets[:at])
        cut = list(arrivals_in(str(copy)))
        assert cut == whole[: len(cut)]
        assert len(cut) < 3
        copy.write_bytes(octets[:at] + bytes([octets[at] ^ 0x55]) + octets[at + 1 :])
        spoilt = list(arrivals_in(str(copy)))
        assert spoilt == (whole[: len(cut)] + whole[len(cut) + 1 :] if at > 12 else [])


def test_no_wave_writes_into_a_block_of_another(root: Root, store: MailStore) -> None:
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


def test_a_new_turn_does_not_bring_back_the_last_one(root: Root, store: MailStore, clock: ManualClock) -> None:
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


def test_nothing_is_settled_while_it_is_being_published(root: Root, store: MailStore, clock: ManualClock) -> None:
    """The sync must come after the names: a segment in use is kept, however old it is and even if it is full."""
    account = store.account(REF)
    account.folders()
    with store.journal_holding([Journaled(REF.home, "1.M1P1Q1.x", b"x")]) as durable:
        assert durable
        clock.move_to(clock.now() + timedelta(seconds=60))
        store.settle_journal()
        assert len(held(root)) == 1
        store.settle_journal()
        assert len(held(root)) == 1
    store.settle_journal()
    assert held(root) == []


def test_young_messages_are_left_for_the_next_time(root: Root, store: MailStore, clock: ManualClock) -> None:
    """A sync of the file system for every message would cost more than it saves."""
    account = store.account(REF)
    deliver(account, inbox(account), ["a"], together=True)
    store.settle_journal()
    assert len(held(root)) == 1
    clock.move_to(clock.now() + timedelta(seconds=journal.SETTLE_SECONDS))
    store.settle_journal()
    assert held(root) == []


def test_two_full_segments_send_messages_to_their_own_files(
    root: Root, store: MailStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two segments take turns; where neither has room the journal promises nothing, and after settling it does again."""
    monkeypatch.setattr(journal, "SEGMENT_OCTETS", 1 << 20)
    account = store.account(REF)
    account.folders()
    large = Journaled(REF.home, "1.M1P1Q1.x", bytes(600_000))
    answers = []
    for _ in range(3):
        with store.journal_holding([large]) as durable:
            answers.append(durable is not None)
    assert answers == [True, True, False]
    assert store.journal_is_full
    store.settle_journal()
    assert not store.journal_is_full
    with store.journal_holding([large]) as durable:
        assert durable
    with store.journal_holding([Journaled(REF.home, "1.M1P1Q1.x", bytes(2 << 20))]) as durable:
        assert not durable


def test_a_disk_that_cannot_sync_keeps_the_segment(
    root: Root, store: MailStore, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The error is told, the messages stay in the journal for a replay, and from then on each is fsynced by itself."""
    account = store.account(REF)
    deliver(account, inbox(account), ["a"], together=True)

    def fail(fd: int) -> None:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(journal, "sync_file_system", fail)
    clock.move_to(clock.now() + timedelta(seconds=60))
    with pytest.raises(Unavailable):
        store.settle_journal()
    with store.journal_holding([Journaled(REF.home, "1.M1P1Q1.x", b"x")]) as durable:
        assert not durable
    store.close()
    root.store().settle_left_behind()
    assert [arrival.octets for arrival in held(root)] == [message("a")]
    crash = Crash(root)
    lose_content(crash.file_of("a"))
    assert list(in_inbox(crash.root.use(observe))) == ["a"]
    assert segments(crash.root) == []


OTHER_DISK = Path("/dev/shm")
other_disk = pytest.mark.skipif(
    not OTHER_DISK.exists() or OTHER_DISK.stat().st_dev == Path(gettempdir()).stat().st_dev, reason="one file system only"
)


@other_disk
def test_each_turn_asks_anew_where_accounts_lie(
    root: Root, store: MailStore, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A mailbox may be moved to another disk while the server runs: that one is synced then."""
    inbox(store.account(REF))
    synced: list[int] = []
    monkeypatch.setattr(journal, "sync_file_system", lambda fd: synced.append(os.fstat(fd).st_dev))
    stays, moves = Journaled("mic.gov.vn/stays", "1.M1P1Q1.x", b"x"), Journaled(REF.home, "1.M1P1Q1.x", b"x")

    def turn() -> set[int]:
        synced.clear()
        for each in (stays, moves):
            with store.journal_holding([each]) as durable:
                assert durable
        clock.move_to(clock.now() + timedelta(seconds=60))
        store.settle_journal()
        return set(synced)

    here = {root.path.stat().st_dev}
    assert turn() == here
    with TemporaryDirectory(dir=OTHER_DISK) as elsewhere:
        shutil.move(root.home / "Maildir", elsewhere)
        (root.home / "Maildir").symlink_to(f"{elsewhere}/Maildir")
        assert turn() == here | {OTHER_DISK.stat().st_dev}


def test_a_wave_waits_for_no_segment_to_be_made(root: Root, clock: ManualClock, monkeypatch: pytest.MonkeyPatch) -> None:
    """For 8 MiB of zeros, or whoever looks through the segments of others: that is left to `settle`, and waves go without."""
    store = root.store()
    one = [Journaled(REF.home, "1.M1P1Q1.x", b"x")]
    with monkeypatch.context() as waiting:
        waiting.setattr(journal, "_fill_with_zeros", pytest.fail)
        with store.journal_holding(one) as durable:
            assert not durable
    assert store.journal_is_full
    store.settle_journal()
    assert not store.journal_is_full
    with locked(str(root.path / FOLDER), fcntl.LOCK_EX), store.journal_holding(one) as durable:
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
        with store.journal_holding(one) as durable:
            return durable

    with monkeypatch.context() as full:
        full.setattr(os, "pwrite", no_room)
        with pytest.raises(DiskFull):
            store.prepare_journal()
        assert not durable()
        assert not store.journal_is_full
        later()
        assert not durable()
        assert store.journal_is_full
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


def test_a_segment_that_could_not_be_written_is_not_trusted(
    root: Root, store: MailStore, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An fdatasync that succeeds after one that failed proves nothing: no more is promised until the server starts anew."""

    def fail(fd: int) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    one = [Journaled(REF.home, "1.M1P1Q1.x", b"x")]
    with monkeypatch.context() as bad:
        bad.setattr(os, "fdatasync", fail)
        with store.journal_holding(one) as durable:
            assert not durable
    clock.move_to(clock.now() + timedelta(days=1))
    with store.journal_holding(one) as durable:
        assert not durable


@pytest.mark.parametrize("readonly", [False, True])
def test_after_a_failed_sync_nothing_counts_as_settled(
    root: Root, clock: ManualClock, monkeypatch: pytest.MonkeyPatch, readonly: bool
) -> None:
    """The kernel tells an error once: a wave of just then would be taken for settled by the next sync, ours or another's."""
    store = root.store()
    store.prepare_journal()

    def hold(octets: bytes) -> bool:
        with store.journal_holding([Journaled(REF.home, "1.M1P1Q1.x", octets)]) as durable:
            return durable

    def fail(fd: int) -> None:
        assert hold(b"during")
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    def refuse(old: str, new: str) -> None:
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    assert hold(b"before")
    clock.move_to(clock.now() + timedelta(seconds=60))
    with monkeypatch.context() as bad:
        bad.setattr(journal, "sync_file_system", fail)
        if readonly:
            bad.setattr(os, "rename", refuse)
        with pytest.raises(Unavailable) as told:
            store.settle_journal()
        assert os.strerror(errno.EIO) in told.value.detail
    assert not hold(b"after")
    clock.move_to(clock.now() + timedelta(seconds=60))
    store.settle_journal()
    root.store().settle_left_behind()
    store.close()
    assert sorted(arrival.octets for arrival in held(root)) == [b"before", b"during"]


def test_no_journal_where_syncfs_proves_nothing(root: Root, monkeypatch: pytest.MonkeyPatch) -> None:
    """FUSE answers it at once: told at the start, no segment is left, and each message is durable by itself."""
    monkeypatch.setattr(syncfs, "file_system_type", lambda fd: 0x65735546)
    store = root.store()
    with pytest.raises(Unavailable) as told:
        store.prepare_journal()
    assert "0x65735546" in told.value.detail
    with store.journal_holding([Journaled(REF.home, "1.M1P1Q1.x", b"x")]) as durable:
        assert not durable
    assert not store.journal_is_full
    assert segments(root) == []
    store.close()


@other_disk
def test_no_journal_for_a_mailbox_where_syncfs_proves_nothing(
    root: Root, store: MailStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Others have theirs."""
    (root.path / "mic.gov.vn/here/Maildir").mkdir(parents=True)
    (root.path / "mic.gov.vn/there").mkdir()
    here = os.stat(root.path).st_dev
    monkeypatch.setattr(syncfs, "file_system_type", lambda fd: 0xEF53 if os.fstat(fd).st_dev == here else 0x65735546)
    with TemporaryDirectory(dir=OTHER_DISK) as elsewhere:
        (root.path / "mic.gov.vn/there/Maildir").symlink_to(elsewhere)
        answers = []
        for home in ("mic.gov.vn/there", "mic.gov.vn/here"):
            with store.journal_holding([Journaled(home, "1.M1P1Q1.x", b"x")]) as durable:
                answers.append(durable is not None)
    assert answers == [False, True]


def test_the_type_of_a_file_system() -> None:
    """As the manual page numbers them."""
    for path, number in (("/proc", 0x9FA0), ("/dev/shm", 0x01021994)):
        fd = os.open(path, os.O_RDONLY)
        try:
            assert syncfs.file_system_type(fd) == number
        finally:
            os.close(fd)


def test_closing_leaves_nothing_behind(root: Root) -> None:
    """A process that ends in order has settled everything and removed its segments."""
    root.use(lambda account: deliver(account, inbox(account), ["a"], together=True))
    assert segments(root) == []


def test_segments_of_the_killed_are_settled_and_those_of_the_living_left(root: Root, store: MailStore) -> None:
    """Within a boot nothing is given back: what was not published was not acknowledged."""
    account = store.account(REF)
    living = segments(root)
    deliver(account, inbox(account), ["living"], together=True)

    def die() -> None:
        other = root.store()
        deliver(other.account(REF), inbox(other.account(REF)), ["published"], together=True)
        with other.journal_holding([Journaled(REF.home, "1.M1P1Q1.x", message("never published"))]) as durable:
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
    with other.journal_holding([Journaled(home, "1.M1P1Q1.x", b"x")]) as durable:
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


def test_who_writes_for_long_is_not_waited_for(store: MailStore) -> None:
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
