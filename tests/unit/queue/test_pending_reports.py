"""Reports that become due with what they tell of: in their order, once, and nothing left over."""

from pathlib import Path

import pytest

from addresses import parsed
from mic_mail.cli.commands.queue import named
from mic_mail.mailbox_address import NULL_PATH
from mic_mail.queue.errors import SpoolUnavailable
from mic_mail.queue.local_queue import LocalQueue
from mic_mail.queue.local_reports import LocalReports
from mic_mail.queue.local_spool import LocalSpool
from mic_mail.queue.pending_reports import name_of
from mic_mail.queue.queue import QueueEnvelope, QueueRecipient
from mic_mail.queue.spool import SpoolEntry, SpoolEnvelope, SpoolTarget

ENVELOPE = QueueEnvelope(
    trace_id="ID",
    sender=NULL_PATH,
    accepted_at_us=1,
    recipients=(QueueRecipient(parsed("a@one.example"), ("NEVER",)),),
)
NAME = name_of("ID", 1, "delivered")


def entry_in(spool: LocalSpool, *mailboxes: int) -> SpoolEntry:
    draft = spool.draft("ID")
    draft.write(b"Subject: x\r\n\r\n")
    targets = tuple(SpoolTarget(mailbox, parsed(f"u{mailbox}@mic.gov.vn")) for mailbox in mailboxes)
    return draft.commit(SpoolEnvelope(trace_id="ID", sender=parsed("a@one.example"), targets=targets, accepted_at_us=1))


def files(folder: Path) -> set[str]:
    return {path.name for path in folder.rglob("*") if path.is_file()}


def test_it_comes_into_the_queue_once(tmp_path: Path) -> None:
    """Also where it has left the queue before somebody tries it again."""
    spool, queue = LocalSpool(tmp_path / "spool"), LocalQueue(tmp_path / "queue")
    owed = LocalReports(tmp_path / "owed", spool)
    owed.keep(NAME, b"report", ENVELOPE)
    assert owed.due() == [NAME]
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
    spool = LocalSpool(tmp_path / "spool")
    owed = LocalReports(tmp_path / "owed", spool)
    entry = entry_in(spool, 1)
    (tmp_path / "owed" / f"{NAME}.msg").write_bytes(b"rep")
    (tmp_path / "owed" / f"{NAME}.new").write_bytes(b"{")
    assert owed.due() == []
    assert files(tmp_path / "owed") == {f"{NAME}.msg", f"{NAME}.new"}
    entry.settle([1], now_us=1)
    assert owed.due() == []
    assert files(tmp_path / "owed") == set()


def test_a_disk_that_refuses_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """At any call; and what cannot be moved into the queue stays."""
    owed, queue = LocalReports(tmp_path / "owed", LocalSpool(tmp_path / "spool")), LocalQueue(tmp_path / "queue")

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
