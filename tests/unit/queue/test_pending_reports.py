"""Reports that become due with what they tell of: in their order, once, and nothing left over."""

from pathlib import Path

import pytest

from addresses import parsed
from mic_mail.cli.commands.queue import named
from mic_mail.mailbox_address import NULL_PATH
from mic_mail.queue.errors import SpoolUnavailable
from mic_mail.queue.local_queue import LocalQueue
from mic_mail.queue.pending_reports import PendingReports, name_of
from mic_mail.queue.queue import QueueEnvelope, QueueRecipient
from mic_mail.queue.spool import Spool, SpoolEntry, SpoolEnvelope, SpoolTarget

ENVELOPE = QueueEnvelope(
    trace_id="ID",
    sender=NULL_PATH,
    accepted_at_us=1,
    recipients=(QueueRecipient(parsed("a@one.example"), ("NEVER",)),),
)
NAME = name_of("ID", 1, "delivered")


def entry_in(spool: Spool, *mailboxes: int) -> SpoolEntry:
    draft = spool.draft("ID")
    draft.write(b"Subject: x\r\n\r\n")
    targets = tuple(SpoolTarget(mailbox, parsed(f"u{mailbox}@mic.gov.vn")) for mailbox in mailboxes)
    return draft.commit(SpoolEnvelope(trace_id="ID", sender=parsed("a@one.example"), targets=targets, accepted_at_us=1))


def files(folder: Path) -> set[str]:
    return {path.name for path in folder.rglob("*") if path.is_file()}


def test_due_when_its_entry_says_so(tmp_path: Path) -> None:
    """Neither before, nor of another try; and when the entry has ended."""
    spool, owed = Spool(tmp_path / "spool"), PendingReports(tmp_path / "owed")
    entry = entry_in(spool, 1, 2)
    owed.keep(NAME, b"report", ENVELOPE)
    assert owed.due(spool) == []
    entry.settle([1], now_us=1, told=[NAME])
    assert owed.due(spool) == [NAME]
    other = name_of("ID", 2, "delivered")
    owed.keep(other, b"report", ENVELOPE)
    assert owed.due(spool) == [NAME]
    owed.forget("ID", entry.envelope.told)
    assert owed.due(spool) == [NAME]
    owed.keep(other, b"report", ENVELOPE)
    entry.settle([2], now_us=2, told=[other])
    assert owed.due(spool) == [NAME, other]


def test_it_comes_into_the_queue_once(tmp_path: Path) -> None:
    """Also where it has left the queue before somebody tries it again."""
    spool, owed, queue = Spool(tmp_path / "spool"), PendingReports(tmp_path / "owed"), LocalQueue(tmp_path / "queue")
    owed.keep(NAME, b"report", ENVELOPE)
    assert owed.due(spool) == [NAME]
    assert owed.hand_over(NAME, queue)
    assert files(tmp_path) == {f"{NAME}.msg", f"{NAME}.env"}
    queue.sweep()
    (entry,) = queue.entries()
    assert named(queue.names(), NAME.lower()) == named(queue.names(), "id") == NAME, "as people name it"
    assert (entry.envelope, entry.path.read_bytes()) == (ENVELOPE, b"report")
    assert not owed.hand_over(NAME, queue)
    entry.end()
    assert not owed.hand_over(NAME, queue)
    assert owed.read(NAME) is None
    assert files(tmp_path) == set()


def test_leftovers_go_with_their_entry(tmp_path: Path) -> None:
    """A report that was not made to its end."""
    spool, owed = Spool(tmp_path / "spool"), PendingReports(tmp_path / "owed")
    entry = entry_in(spool, 1)
    (tmp_path / "owed" / f"{NAME}.msg").write_bytes(b"rep")
    (tmp_path / "owed" / f"{NAME}.new").write_bytes(b"{")
    assert owed.due(spool) == []
    assert files(tmp_path / "owed") == {f"{NAME}.msg", f"{NAME}.new"}
    entry.settle([1], now_us=1)
    assert owed.due(spool) == []
    assert files(tmp_path / "owed") == set()


def test_a_disk_that_refuses_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """At any call; and what cannot be moved into the queue stays."""
    owed, queue = PendingReports(tmp_path / "owed"), LocalQueue(tmp_path / "queue")

    def refuse(*arguments: object, **named: object) -> None:
        raise OSError(28, "No space left on device")

    for call in ("open", "write", "fsync", "rename"):
        with monkeypatch.context() as context:
            context.setattr(f"os.{call}", refuse)
            with pytest.raises(SpoolUnavailable):
                owed.keep(NAME, b"report", ENVELOPE)
        assert files(tmp_path) == set()
    owed.keep(NAME, b"report", ENVELOPE)
    for call in ("link", "rename", "open"):
        with monkeypatch.context() as context:
            context.setattr(f"os.{call}", refuse)
            with pytest.raises(SpoolUnavailable):
                owed.hand_over(NAME, queue)
    assert owed.hand_over(NAME, queue)
    assert [entry.path.read_bytes() for entry in queue.entries()] == [b"report"]
