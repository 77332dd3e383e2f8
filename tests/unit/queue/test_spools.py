"""The spool's entries, wherever they lie: who owns them, when they are due, and when their reports are."""

import threading
from collections import Counter
from pathlib import Path

import pytest

from addresses import parsed
from mic_mail.mailbox_address import NULL_PATH
from mic_mail.queue.errors import LeaseLost
from mic_mail.queue.local_spool import LocalSpool
from mic_mail.queue.message_pieces import PIECE_OCTETS
from mic_mail.queue.pending_reports import name_of
from mic_mail.queue.queue import QueueEnvelope, QueueRecipient
from mic_mail.queue.spool import Spool, SpoolEntry, SpoolEnvelope, SpoolTarget
from postgresql_server import PostgresqlServer
from queue_grounds import NewQueue, NewSpool, lapse, reports_of, rows, spool_in

MESSAGE = b"Return-Path: <a@a.example>\r\nSubject: x\r\n\r\nx\r\n"
REPORT = QueueEnvelope(
    trace_id="ID", sender=NULL_PATH, accepted_at_us=1, recipients=(QueueRecipient(parsed("a@one.example"), ("NEVER",)),)
)
NAME = name_of("ID", 1, "delivered")


def slip(*mailboxes: int) -> SpoolEnvelope:
    targets = tuple(SpoolTarget(mailbox, parsed(f"u{mailbox}@mic.gov.vn"), notify=("DELAY",)) for mailbox in mailboxes)
    return SpoolEnvelope(trace_id="ID", sender=parsed("a@a.example"), targets=targets, accepted_at_us=1, return_path_octets=28)


def accept(spool: Spool, *mailboxes: int, spool_id: str = "ID", message: bytes = MESSAGE) -> SpoolEntry:
    draft = spool.draft(spool_id)
    draft.write(message[:10])
    draft.write(message[10:])
    draft.finish()
    entry = draft.commit(slip(*mailboxes))
    draft.discard()
    return entry


def test_recovery_hands_out_what_nobody_owns(new_spool: NewSpool) -> None:
    """A living owner keeps its entries and drafts; what it let go of is handed out once, with its progress."""
    spool, other = new_spool(), new_spool()
    draft = spool.draft("DRAFT")
    entry = accept(spool, 1, 2)
    assert list(other.recover()) == []
    assert other.names() == ["ID"]
    assert other.has("ID")
    assert other.read("ID") == entry.envelope
    entry.settle([1], now_us=1)
    entry.release()
    draft.discard()
    (again,) = other.recover()
    assert again.envelope == entry.envelope
    assert [target.mailbox_id for target in again.open_targets] == [2]
    assert again.origin(2) == entry.origin(2)
    assert again.path.read_bytes() == MESSAGE
    assert list(spool.recover()) == []
    again.settle([2], now_us=2)
    assert other.names() == []
    assert not spool.has("ID")
    assert spool.read("ID") is None


@pytest.mark.parametrize("octets", [100, PIECE_OCTETS, PIECE_OCTETS + 1, 5 * PIECE_OCTETS + 7])
def test_a_message_is_read_as_it_was_written(database: PostgresqlServer, tmp_path: Path, octets: int) -> None:
    """By who has accepted it, and by who takes it up; also where it was appended from another file."""
    message = (bytes(range(256)) * (octets // 256 + 1))[:octets]
    (tmp_path / "other").write_bytes(b"front" + message[10:])
    spool, other = spool_in(database, tmp_path / "a"), spool_in(database, tmp_path / "b")
    draft = spool.draft("ID")
    draft.write(message[:10])
    with (tmp_path / "other").open("rb") as source:
        draft.append_rest(source.fileno(), 5)
    assert (draft.size, Path(draft.path).read_bytes()) == (octets, message)
    entry = draft.commit(slip(1))
    draft.discard()
    assert entry.path.read_bytes() == message
    entry.release()
    (again,) = other.recover()
    assert again.content == (message if octets <= PIECE_OCTETS else None)
    assert again.path.read_bytes() == message
    again.settle([1], now_us=1)
    assert rows(database, "SELECT * FROM spool_entry") == rows(database, "SELECT * FROM spool_piece") == []
    spool.close()
    other.close()


def test_what_is_not_due_is_not_handed_out(new_spool: NewSpool) -> None:
    """A try that left somebody out says when the next is; the entry is handed out then, or to one who asks for all."""
    spool = new_spool()
    entry = accept(spool, 1, 2)
    entry.settle([1], now_us=5_000_000)
    entry.release()
    due = entry.envelope.next_try_us
    assert due == 65_000_000
    assert list(spool.recover(due - 1)) == []
    for ask in ((due,), ()):
        [again] = spool.recover(*ask)
        assert again.envelope == entry.envelope
        again.release()


def test_a_clock_that_was_far_ahead_keeps_nothing_for_years(new_spool: NewSpool) -> None:
    """A next try beyond the longest pause was written under a clock that has been set back: it is due."""
    spool = new_spool()
    entry = accept(spool, 1)
    entry.settle([], now_us=10**18)
    entry.release()
    [again] = spool.recover(5_000_000)
    again.release()


def test_who_cannot_say_whether_an_entry_waits_owns_nothing(new_spool: NewSpool) -> None:
    spool = new_spool()
    accept(spool, 1).release()

    def waits(slip: SpoolEnvelope) -> bool:
        raise LookupError("the directory")

    with pytest.raises(LookupError):
        list(spool.recover(waits=waits))
    assert [entry.spool_id for entry in spool.recover(waits=lambda slip: slip.trace_id != "ID")] == ["ID"]


def test_many_that_wait_hide_none_that_do_not(new_spool: NewSpool) -> None:
    spool = new_spool()
    for number in range(250):
        accept(spool, 1, spool_id=f"ID{number:03}").release()
    waiting = iter(range(250))
    assert [entry.spool_id for entry in spool.recover(waits=lambda _: next(waiting) < 240)] == [
        f"ID{n}" for n in range(240, 250)
    ]


def test_of_many_that_take_up_each_entry_has_one_owner(new_spool: NewSpool) -> None:
    spool = new_spool()
    for number in range(40):
        accept(spool, 1, spool_id=f"ID{number}").release()
    taken: list[SpoolEntry] = []
    spools = [new_spool() for _ in range(8)]
    threads = [threading.Thread(target=lambda each=each: taken.extend(each.recover())) for each in spools]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert Counter(entry.spool_id for entry in taken) == Counter({f"ID{number}": 1 for number in range(40)})


# Several processes with one database


def test_a_process_that_is_silent_loses_what_it_holds(database: PostgresqlServer, tmp_path: Path) -> None:
    """Another goes on, and what the first one writes then counts for nothing."""
    spool, other = spool_in(database, tmp_path / "a"), spool_in(database, tmp_path / "b")
    entry = accept(spool, 1, 2)
    spool.extend_holds()
    assert list(other.recover()) == []
    lapse(database)
    (again,) = other.recover()
    with pytest.raises(LeaseLost):
        entry.settle([1, 2], now_us=1)
    reports = reports_of(spool, tmp_path)
    reports.keep(NAME, b"report", REPORT)
    with pytest.raises(LeaseLost):
        entry.settle([1], now_us=1, told=[NAME])
    assert reports.due() == []
    spool.extend_holds()
    entry.release()
    assert list(spool.recover()) == []
    again.settle([1], now_us=1)
    late = other.holding("ID", again.envelope, len(MESSAGE), MESSAGE)
    other.extend_holds()  # it was about to be asked for when the attempt was recorded
    late.close()
    assert [target.mailbox_id for target in again.open_targets] == [2]
    (third,) = spool.recover()
    assert third.envelope == again.envelope
    spool.close()
    (fourth,) = other.recover()
    assert fourth.envelope == again.envelope
    other.close()


def test_a_hold_is_extended_while_its_process_works(database: PostgresqlServer, tmp_path: Path) -> None:
    """And no longer once the entry is closed."""
    spool, other = spool_in(database, tmp_path / "a"), spool_in(database, tmp_path / "b")
    entry, closed = accept(spool, 1), accept(spool, 1, spool_id="CLOSED")
    closed.close()
    lapse(database)
    spool.extend_holds()
    assert [each.spool_id for each in other.recover()] == ["CLOSED"]
    entry.settle([1], now_us=1)
    spool.close()
    other.close()


def test_a_put_that_is_repeated_is_one_entry(database: PostgresqlServer, tmp_path: Path) -> None:
    """As a release that two nodes carry out at once."""
    spool, other = spool_in(database, tmp_path / "a"), spool_in(database, tmp_path / "b")
    entry = accept(spool, 1)
    accept(other, 1).release()
    assert list(other.recover()) == []
    entry.settle([1], now_us=1)
    assert spool.names() == []
    spool.close()
    other.close()


def test_what_was_in_files_is_taken_in(database: PostgresqlServer, tmp_path: Path) -> None:
    """Entries with their progress, reports that are due; not what an interrupted attempt has left, nor what cannot be read."""
    folder = tmp_path / "spool"
    files = LocalSpool(folder)
    reports = reports_of(files, folder / "owed")
    big = b"x" * (PIECE_OCTETS + 9)
    for spool_id, message in (("ID", MESSAGE), ("BIG", big)):
        entry = accept(files, 1, 2, spool_id=spool_id, message=message)
        reports.keep(name_of(spool_id, 1, "waits"), b"due", REPORT)
        entry.settle([1], now_us=1, told=[name_of(spool_id, 1, "waits")])
        reports.keep(name_of(spool_id, 2, "waits"), b"interrupted", REPORT)
        entry.release()
    accept(files, 1, spool_id="ODD").release()
    (folder / "live" / "ODD.env").write_bytes(b"{}")
    files.close()
    spool = spool_in(database, folder)
    for _ in range(2):
        spool.take_in()
        assert spool.names() == ["BIG", "ID"]
        assert reports_of(spool, folder).due() == ["BIG-1-WAITS", "ID-1-WAITS"]
    found = {entry.spool_id: entry for entry in spool.recover()}
    assert {name: entry.path.read_bytes() for name, entry in found.items()} == {"ID": MESSAGE, "BIG": big}
    assert [target.mailbox_id for target in found["ID"].open_targets] == [2]
    assert sorted(path.name for path in folder.rglob("*") if path.is_file()) == ["ODD.env", "ODD.msg"]
    spool.close()


# Reports


def test_a_report_is_due_when_its_entry_says_so(new_spool: NewSpool, tmp_path: Path) -> None:
    """Neither before, nor of another try; and when the entry has ended."""
    spool = new_spool()
    reports = reports_of(spool, tmp_path / "owed")
    entry = accept(spool, 1, 2)
    reports.keep(NAME, b"report", REPORT)
    assert reports.due() == []
    entry.settle([1], now_us=1, told=[NAME])
    assert reports.due() == [NAME]
    other = name_of("ID", 2, "delivered")
    reports.keep(other, b"report", REPORT)
    assert reports.due() == [NAME]
    reports.forget("ID", entry.envelope.told)
    assert reports.due() == [NAME]
    reports.keep(other, b"first", REPORT)
    reports.keep(other, b"report", REPORT)
    entry.settle([2], now_us=2, told=[other])
    assert reports.due() == [NAME, other]
    assert reports.read(other) == (b"report", REPORT)
    reports.done(other)
    assert reports.due() == [NAME]
    assert reports.read(other) is None


def test_a_report_comes_into_the_queue_once(new_spool: NewSpool, new_queue: NewQueue, tmp_path: Path) -> None:
    """Also where it has left the queue before somebody tries it again, and if it is large."""
    spool, queue = new_spool(), new_queue()
    reports = reports_of(spool, tmp_path / "owed")
    message = b"report" * 100_000
    entry = accept(spool, 1)
    reports.keep(NAME, message, REPORT)
    entry.settle([1], now_us=1, told=[NAME])
    assert reports.due() == [NAME]
    assert reports.hand_over(NAME, queue)
    queue.sweep()
    (sent,) = queue.take_up(queue.available())
    sent.begin_use()
    assert (sent.envelope, sent.path.read_bytes()) == (REPORT, message)
    sent.end_use()
    assert not reports.hand_over(NAME, queue)
    sent.end()
    assert not reports.hand_over(NAME, queue)
    assert reports.read(NAME) is None
    assert reports.due() == queue.names() == []


def test_a_report_of_an_entry_that_another_has_ended_is_none(database: PostgresqlServer, tmp_path: Path) -> None:
    spool, other = spool_in(database, tmp_path / "a"), spool_in(database, tmp_path / "b")
    reports = reports_of(spool, tmp_path)
    accept(spool, 1)
    reports.keep(NAME, b"of an attempt that came too late", REPORT)
    lapse(database)
    (again,) = other.recover()
    again.settle([1], now_us=1)
    assert reports.due() == []
    with pytest.raises(LeaseLost):
        reports.keep(NAME, b"later still", REPORT)
    assert rows(database, "SELECT * FROM spool_report") == []
    spool.close()
    other.close()
