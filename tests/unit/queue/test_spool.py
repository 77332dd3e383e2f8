"""The spool's entries in files: their order of life, their owners, and what a kill at any step leaves (RFC 5321 §6.1)."""

import json
import os
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from addresses import Spelling, parsed, spellings
from kills import Ended, Say, die_before, in_child
from mic_mail.mime.original_recipient import OriginalRecipient
from mic_mail.queue.errors import SpoolFull, SpoolUnavailable
from mic_mail.queue.local_spool import LocalSpool
from mic_mail.queue.spool import SpoolEnvelope, SpoolTarget

MESSAGE = b"Return-Path: <a@a.example>\r\nSubject: x\r\n\r\nx\r\n"


def slip(*mailboxes: int) -> SpoolEnvelope:
    targets = tuple(SpoolTarget(mailbox, parsed(f"u{mailbox}@mic.gov.vn"), notify=("DELAY",)) for mailbox in mailboxes)
    return SpoolEnvelope(
        trace_id="ID",
        sender=parsed("a@a.example"),
        targets=targets,
        accepted_at_us=1,
        return_path_octets=28,
        envid="x",
    )


def files(root: Path) -> set[str]:
    return {str(path.relative_to(root)) for path in root.rglob("*") if path.is_file()}


def accept(spool: LocalSpool, *mailboxes: int) -> Any:
    draft = spool.draft("ID")
    draft.write(MESSAGE[:10])
    draft.write(MESSAGE[10:])
    return draft.commit(slip(*mailboxes))


def open_files() -> int:
    return len(os.listdir("/proc/self/fd"))


@pytest.mark.parametrize("kind", [".msg", ".env"])
def test_an_entry_that_cannot_be_opened_holds_up_no_other(tmp_path: Path, kind: str) -> None:
    """As after a restore by root, or on a bad disk: the others are taken up each time, it once that is mended."""
    spool = LocalSpool(tmp_path)
    for spool_id in ("a1", "a2", "a3"):
        draft = spool.draft(spool_id)
        draft.write(MESSAGE)
        draft.commit(slip(1)).release()
    bad = tmp_path / "live" / f"a2{kind}"
    bad.rename(tmp_path / "good")
    bad.symlink_to(bad.name)  # ELOOP
    (tmp_path / "tmp" / "b.msg").mkdir()
    before = open_files()
    for _ in range(3):
        told: list[str] = []
        entries = list(spool.recover(unreadable=lambda path, error, told=told: told.append(path.name)))  # type: ignore[misc]
        assert [entry.spool_id for entry in entries] == ["a1", "a3"]
        assert told == ["b.msg", f"a2{kind}"]
        for entry in entries:
            entry.release()
        assert open_files() == before
    os.replace(tmp_path / "good", bad)
    assert [entry.spool_id for entry in spool.recover()] == ["a1", "a2", "a3"]


@pytest.mark.clause("9.2")
def test_the_life_of_an_entry(tmp_path: Path) -> None:
    """Nothing is live before `commit`, everything is gone after the last recipient is settled."""
    spool = LocalSpool(tmp_path)
    draft = spool.draft("ID")
    draft.write(MESSAGE)
    assert files(tmp_path) == {"tmp/ID.msg"}
    entry = draft.commit(slip(1, 2))
    assert files(tmp_path) == {"live/ID.msg", "live/ID.env"}
    assert entry.path.read_bytes() == MESSAGE
    assert entry.path.stat().st_mode & 0o777 == 0o440
    entry.settle([1], now_us=1)
    assert [target.mailbox_id for target in entry.open_targets] == [2]
    entry.settle([2], now_us=2)
    assert files(tmp_path) == set()
    draft.discard()


def test_a_draft_that_is_discarded_was_never_there(tmp_path: Path) -> None:
    """Nothing is left, and discarding twice is harmless."""
    draft = LocalSpool(tmp_path).draft("ID")
    draft.write(MESSAGE)
    draft.discard()
    draft.discard()
    assert files(tmp_path) == set()


def test_an_envelope_that_cannot_be_read_is_left_to_people(tmp_path: Path) -> None:
    """Mail is not thrown away because a file is odd; a later version's entry waits for that version."""
    spool = LocalSpool(tmp_path)
    accept(spool, 1).release()
    for octets in (b"", b"{}", b"[]", b'{"format": 2}', b"\xff"):
        (tmp_path / "live" / "ID.env").write_bytes(octets)
        assert list(spool.recover()) == []
        assert files(tmp_path) == {"live/ID.msg", "live/ID.env"}


@given(st.lists(st.integers(1, 1 << 40), min_size=1, max_size=5, unique=True), spellings(), st.sampled_from([None, "x"]))
def test_slips_read_back_as_they_were_written(mailboxes: list[int], spelling: Spelling, detail: str | None) -> None:
    """Every field, whatever letters it has."""
    sender = spelling.address
    targets = tuple(
        SpoolTarget(mailbox, sender, detail, ("DELAY", "FAILURE"), OriginalRecipient.parse("rfc822;x"), mailbox % 2 == 0)
        for mailbox in mailboxes
    )
    written = SpoolEnvelope(
        trace_id="ID", sender=sender, targets=targets, accepted_at_us=5, return_path_octets=3, smtputf8=True, body="8BITMIME",
        ret="FULL", envid="QQ+2B1", attempts=2, next_try_us=7, warned=True, told=("ID-1-full",),
    )  # fmt: skip
    assert SpoolEnvelope.decode(written.encode()) == written


def test_a_slip_of_an_earlier_version() -> None:
    """Nobody has been warned, nothing told."""
    record = json.loads(slip(1).encode())
    del record["warned"], record["told"]
    assert SpoolEnvelope.decode(json.dumps(record).encode()) == slip(1)


@pytest.mark.parametrize("call", ["write", "fsync", "rename", "open"])
def test_a_disk_that_refuses_leaves_nothing_half_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str) -> None:
    """No space at any step: `SpoolFull` (452), no file stays, and the spool works again afterwards."""
    spool = LocalSpool(tmp_path)
    real = getattr(os, call)

    def refuse(*arguments: Any, **named: Any) -> Any:
        raise OSError(28, "No space left on device")

    draft = None if call == "open" else spool.draft("ID")
    monkeypatch.setattr(os, call, refuse)
    with pytest.raises(SpoolFull):
        commit(spool, draft)
    monkeypatch.setattr(os, call, real)
    assert files(tmp_path) == set()
    accept(spool, 1).settle([1], now_us=1)


def commit(spool: LocalSpool, draft: Any) -> None:
    draft = draft or spool.draft("ID")
    draft.write(MESSAGE)
    draft.commit(slip(1))


def test_an_id_that_is_taken_is_refused(tmp_path: Path) -> None:
    """Two drafts never write into one file."""
    spool = LocalSpool(tmp_path)
    first = spool.draft("ID")
    with pytest.raises(SpoolUnavailable):
        spool.draft("ID")
    first.discard()


STEPS = ("open", "write", "fsync", "rename", "unlink", "close", "link")


def killed_at(step: int, work: Callable[[Say], object]) -> Ended:
    """The end of a child that dies before its `step`-th call to the system."""

    def dying(say: Say) -> None:
        die_before(step, STEPS)
        work(say)

    return in_child(dying)


def deliver(entry: Any, mailboxes: Path, say: Say) -> None:
    """What the mail flow does with an entry, in small: a link into each mailbox, once for each origin."""
    for target in entry.open_targets:
        try:
            os.link(entry.path, mailboxes / entry.origin(target.mailbox_id))
        except FileExistsError:
            pass
        say(f"delivered-{target.mailbox_id}")
        entry.settle([target.mailbox_id], now_us=1)


@pytest.mark.slow
def test_a_kill_at_any_step_neither_loses_nor_doubles(memory: Path) -> None:
    """Between any two calls to the system: what was acknowledged reaches every mailbox once, what was not may vanish whole."""
    killed, step, acknowledged = True, 0, 0
    while killed:
        step += 1
        root, mailboxes = memory / f"spool{step}", memory / f"mail{step}"
        mailboxes.mkdir()
        LocalSpool(root)

        def work(say: Say, root: Path = root, mailboxes: Path = mailboxes) -> None:
            entry = accept(LocalSpool(root), 1, 2)
            say("250")
            deliver(entry, mailboxes, say)

        child = killed_at(step, work)
        killed = child.killed
        for entry in LocalSpool(root).recover():
            assert entry.path.read_bytes() == MESSAGE
            deliver(entry, mailboxes, lambda word: None)
        delivered = sorted(path.name for path in mailboxes.iterdir())
        assert delivered in ([], ["spool:ID:1", "spool:ID:2"]), f"killed at step {step}"
        if "250" in child.said:
            acknowledged += 1
            assert delivered, f"lost at step {step}"
        assert files(root) == set(), f"left over at step {step}"
    assert step > 20
    assert acknowledged > 8


@pytest.mark.slow
def test_a_kill_during_recovery_is_recovered_too(memory: Path) -> None:
    """Recovery itself may be killed at any step, again and again."""
    root, mailboxes = memory / "spool", memory / "mail"
    mailboxes.mkdir()
    accept(LocalSpool(root), 1, 2, 3).release()
    (root / "tmp" / "OLD.msg").write_bytes(b"half")
    (root / "live" / "ENDING.msg").write_bytes(b"done")

    def work(say: Say) -> None:
        for entry in LocalSpool(root).recover():
            deliver(entry, mailboxes, say)

    killed, step = True, 0
    while killed:
        step += 1
        killed = killed_at(step, work).killed
    assert sorted(path.name for path in mailboxes.iterdir()) == [f"spool:ID:{mailbox}" for mailbox in (1, 2, 3)]
    assert files(root) == set()


def test_recovery_takes_nothing_from_those_who_begin(tmp_path: Path) -> None:
    """Drafts that are begun while another process recovers are all committed: none is taken for a leftover."""
    over = threading.Event()
    other = LocalSpool(tmp_path)

    def recover() -> None:
        while not over.is_set():
            for entry in other.recover():
                entry.release()

    recovering = threading.Thread(target=recover)
    recovering.start()
    spool = LocalSpool(tmp_path)
    try:
        for number in range(1500):
            draft = spool.draft(f"ID{number}")
            draft.write(b"x")
            draft.discard()
    finally:
        over.set()
        recovering.join()
