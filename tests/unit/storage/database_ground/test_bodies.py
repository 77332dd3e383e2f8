"""Bodies that are rows: in pieces, shared by copies, read in any order, and gone with their content."""

import os
import random
import resource
import tempfile
import tracemalloc
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from faults.small_disk import small_disk
from mic_mail.clock import ManualClock
from mic_mail.mime.imap_structure import answers_of
from mic_mail.storage.changes.publish import publish_within
from mic_mail.storage.database_ground.account import DatabaseAccount
from mic_mail.storage.database_ground.bodies import PIECE_OCTETS, StagedBody
from mic_mail.storage.delivery import Delivery
from mic_mail.storage.errors import DiskFull, NoSuchMessage, Unavailable
from mic_mail.storage.types import DELETED, AccountRef
from postgresql_server import PostgresqlServer
from store_harness import deliver, inbox, message
from unit.storage.grounds import DatabaseRoot

pytestmark = pytest.mark.needs_tool("postgres")

HEAD = b"Subject: large\r\n\r\n"
SIZES = [len(HEAD), PIECE_OCTETS - 1, PIECE_OCTETS, PIECE_OCTETS + 1, 3 * PIECE_OCTETS, 3 * PIECE_OCTETS + 17]


def large(size: int) -> bytes:
    return HEAD + random.Random(size).randbytes(size - len(HEAD))


def publish(account: DatabaseAccount, octets: bytes) -> int:
    staged = account.stage()
    for at in range(0, len(octets), 100_000):
        staged.write(octets[at : at + 100_000])
    staged.finish()
    [published] = account.publish(inbox(account), [Delivery(staged, answers_of(octets))])
    return published.uid


@pytest.mark.parametrize("size", SIZES)
def test_each_octet_is_where_it_was(account: DatabaseAccount, size: int) -> None:
    """At the ends of pieces and between them, read as a whole or here and there."""
    octets = large(size)
    chance = random.Random(size)
    with account.open_message(inbox(account), publish(account, octets)) as message:
        assert message.size == size
        assert message.pread(0, size + 1) == octets
        for _ in range(30):
            at, length = chance.randrange(size + 10), chance.randrange(2 * PIECE_OCTETS)
            assert message.pread(at, length) == octets[at : at + length]
    assert account.repair(check=True).clean


def test_a_message_that_cannot_be_read_any_more_says_so(root: DatabaseRoot, account: DatabaseAccount) -> None:
    """A small one is in memory when it is opened; of a large one the rest is missing, which is not the end of it."""
    root.settings["expunge_keep_seconds"] = 0
    uids = [publish(account, message("small")), publish(account, large(3 * PIECE_OCTETS))]
    small, long = (account.open_message(inbox(account), uid) for uid in uids)
    root.use(lambda other: other.remove(inbox(other), uids))
    root.use(lambda other: other.sweep())
    assert small.pread(0, 1_000) == message("small")
    with pytest.raises(Unavailable):
        long.pread(2 * PIECE_OCTETS, 1)
    with pytest.raises(NoSuchMessage):
        account.open_message(inbox(account), uids[0])


@pytest.mark.parametrize("piece", [0, 1, 2])
def test_a_piece_that_is_too_short_ends_no_message(
    root: DatabaseRoot, account: DatabaseAccount, postgresql: PostgresqlServer, piece: int
) -> None:
    """What is there is read; from there on it cannot be, and it is not copied to another account."""
    octets = large(2 * PIECE_OCTETS + 100)
    uid = publish(account, octets)
    postgresql.psql(f"UPDATE body SET octets = substr(octets, 1, 7) WHERE piece = {piece}")
    at = piece * PIECE_OCTETS
    with account.open_message(inbox(account), uid) as message:
        assert message.pread(at, 7) == octets[at : at + 7]
        with pytest.raises(Unavailable):
            message.pread(at, 8)
    with pytest.raises(Unavailable):
        account.stage_copies(AccountRef(8, "mic.gov.vn/ttlan"), inbox(account), [uid])


def bodies(server: PostgresqlServer) -> int:
    return int(server.psql("SELECT count(DISTINCT email_pk) FROM body"))


def test_a_body_is_there_as_long_as_anything_refers_to_it(root: DatabaseRoot, postgresql: PostgresqlServer) -> None:
    """Copies share it; an expunged message keeps it until its retention is over, and nothing is left then."""
    clock = ManualClock(datetime(2026, 12, 1, tzinfo=UTC))
    root.clock = clock

    def live(account: DatabaseAccount) -> None:
        deliver(account, inbox(account), ["a", "b"])
        archive = account.folder("Archive").folder_id
        account.copy(inbox(account), [1, 2], archive)
        assert bodies(postgresql) == 2
        account.remove(inbox(account), [1, 2])
        account.move(archive, [1], inbox(account))
        clock.move_to(clock.now() + timedelta(days=400))
        account.sweep()
        assert bodies(postgresql) == 2
        account.store_flags(archive, [2], "+", DELETED)
        account.expunge(archive)
        with account.open_message(archive, 2) as body:
            assert body.pread(0, 1_000) == message("b")
        account.sweep()
        assert bodies(postgresql) == 2
        clock.move_to(clock.now() + timedelta(days=400))
        account.sweep()
        assert bodies(postgresql) == 1
        account.delete("Archive")
        account.remove(inbox(account), [3])
        clock.move_to(clock.now() + timedelta(days=400))
        account.sweep()
        assert bodies(postgresql) == 0
        assert account.repair(check=True).clean

    root.use(live)
    assert postgresql.psql("SELECT count(*) FROM email") == "0\n"


def test_what_is_held_is_kept(root: DatabaseRoot, postgresql: PostgresqlServer) -> None:
    """A hold keeps what is past its retention; lifted, it goes."""
    root.settings["expunge_keep_seconds"], root.most = 0, 2
    root.use(lambda account: deliver(account, inbox(account), ["a"]))
    root.use(lambda account: account.keep_everything(lambda: None))
    root.use(lambda account: account.remove(inbox(account), [1]))
    root.use(lambda account: account.sweep())
    assert root.use(lambda account: account.has_hold_mark())
    assert bodies(postgresql) == 1
    root.use(lambda account: account.let_go(lambda: (None, False)))
    root.use(lambda account: account.sweep())
    assert bodies(postgresql) == 0


def test_a_staged_message_can_be_published_again(account: DatabaseAccount, tmp_path: Path) -> None:
    """Where the change that published it has failed; its octets may come from a file."""
    octets = large(2 * PIECE_OCTETS + 5)
    (tmp_path / "spool").write_bytes(b"skipped" + octets[10:])
    staged = account.stage()
    staged.write(octets[:10])
    with open(tmp_path / "spool", "rb") as file:
        staged.append_rest(file.fileno(), 7)
    delivery = Delivery(staged, answers_of(octets))
    archive = account.folder("Archive").folder_id
    with pytest.raises(RuntimeError):
        _publish_and_fail(account, delivery)
    [published] = account.publish(archive, [delivery])
    staged.discard()
    with account.open_message(archive, published.uid) as body:
        assert body.pread(0, staged.size) == octets
    assert account.quota().octets == staged.size


@pytest.mark.parametrize("ending", [StagedBody.finish, StagedBody.finish_later, lambda staged: staged.path])
def test_the_last_octets_find_no_room(
    account: DatabaseAccount, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ending: Callable[[StagedBody], object]
) -> None:
    """The full disk is told as such when the message is complete, and not by an error of the file within a change."""
    with small_disk(tmp_path) as disk:
        monkeypatch.setattr(tempfile, "tempdir", str(disk.path))
        staged = account.stage()
        staged.write(bytes(80 * 4096))
        staged.write(b"the last ones wait in a buffer")
        disk.leave(0)
        with pytest.raises(DiskFull):
            ending(staged)
        assert disk.free > 0
        staged.discard()


def test_no_descriptor_is_left_for_what_is_staged(account: DatabaseAccount) -> None:
    """A message that goes into a file, or is asked for the path of one, is refused for now."""
    small, long = account.stage(), account.stage()
    small.write(b"Subject: small\r\n\r\n")
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (0, limits[1]))
    try:
        with pytest.raises(Unavailable):
            small.path  # noqa: B018 - which makes a file of it
        with pytest.raises(Unavailable):
            long.write(bytes(PIECE_OCTETS + 1))
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)


def test_copies_to_another_account_lie_in_one_file(root: DatabaseRoot) -> None:
    """However many there are, and of whatever size: they take one descriptor, and memory for a piece or two."""
    there = AccountRef(8, "mic.gov.vn/ttlan")
    sizes = [200_000 + 7_000 * number for number in range(20)]

    def live(account: DatabaseAccount) -> None:
        uids = [publish(account, large(size)) for size in sizes]
        descriptors = len(os.listdir("/proc/self/fd"))
        tracemalloc.start()
        copies = account.stage_copies(there, inbox(account), uids)
        held, _ = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert len(os.listdir("/proc/self/fd")) == descriptors + 1
        assert held < 3 * PIECE_OCTETS
        copies.pop(3).delivery.staged.discard()
        target = account._mailstore.account(there)
        target.publish(inbox(target), [copy.delivery for copy in copies])
        for copy in copies:
            copy.delivery.staged.discard()
        assert len(os.listdir("/proc/self/fd")) == descriptors
        for uid, size in enumerate(sizes[:3] + sizes[4:], 1):
            with target.open_message(inbox(target), uid) as body:
                assert body.pread(0, size + 1) == large(size)

    root.use(live)


def _publish_and_fail(account: DatabaseAccount, delivery: Delivery) -> None:
    folder_id = inbox(account)
    with account._store.writing() as write:
        publish_within(write, write.folder(folder_id), [delivery])
        raise RuntimeError


def test_a_lost_piece_is_found(account: DatabaseAccount, postgresql: PostgresqlServer) -> None:
    """`repair` reports a content whose body is not as long as its row says."""
    publish(account, large(2 * PIECE_OCTETS))
    publish(account, message("whole"))
    postgresql.psql("DELETE FROM body WHERE piece = 1")
    [finding] = account.repair(check=True).findings
    assert (finding.kind, finding.detail) == ("content-changed", f"1: {PIECE_OCTETS} of {2 * PIECE_OCTETS} octets")
