"""An import that is killed at any step, and ledgers that were cut off or damaged: each message comes once."""

import json
import shutil
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import pytest

from kills import in_child, killed_before
from mic_mail.services.importers import importer
from mic_mail.services.importers.ledger import LedgerEntry, Run, put_back, taken
from unit.services.importers.conftest import Here, Listed, message

# ------------------------------------------------------------ killed


STEPS = ("write", "fsync", "fdatasync", "rename", "unlink", "pwrite")
"""What makes something durable."""


def _killed(folder: Path, steps: Sequence[int], monkeypatch: pytest.MonkeyPatch) -> int:
    """Import, killed at each of these steps; how many of them came before the end."""
    monkeypatch.setattr(importer, "BATCH_MESSAGES", 2)
    source = Listed(INBOX=[(n, message(n // 2), "\\Seen") for n in range(2, 7)], Dự=[(1, message(9), "")])
    wanted = {"INBOX": Counter(message(n // 2) for n in range(2, 7)), "Dự": Counter([message(9)])}
    died = 0
    for step in steps:
        place = folder / str(step)

        def work(place: Path = place) -> None:
            there = Here(place)
            there.run(source)
            there.close()

        died += killed_before(step + 1, work, STEPS)
        assert not in_child(lambda say: work()).killed, step
        there = Here(place)
        assert there.contents() == wanted, step
        assert there.account.repair(check=True).clean, step
        assert there.run(source)["INBOX"].already == 5
        there.close()
        shutil.rmtree(place)
    return died


@pytest.mark.slow
def test_killed_at_some_steps(memory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The next run brings the rest, and nothing twice."""
    assert _killed(memory, range(3, 120, 17), monkeypatch) >= 3


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_killed_at_every_step(memory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same, at each durable step there is."""
    steps, at = 40, 0
    while (died := _killed(memory, range(at, at + steps), monkeypatch)) == steps:
        at += steps
    assert at + died > 40


def test_a_ledger_line_that_was_cut_off(here: Here) -> None:
    """Is no line; the message is known by its origin, and the line is written again."""
    source = Listed(INBOX=[(n, message(n), "") for n in range(1, 4)])
    here.run(source)
    path = here.folder / "imports" / "1-x.jsonl"
    path.write_bytes(path.read_bytes()[:-7])
    inbox = here.account.folder_id("INBOX")
    here.account.remove(inbox, [3])  # so that nothing but the origin tells that it was here
    done = here.run(source)["INBOX"]
    assert (done.imported, done.already) == (0, 3)
    assert [each.messages for each in taken(here.folder)] == [3]


def test_a_ledger_that_was_damaged(here: Here) -> None:
    """Lines that are none are passed over; what they told of is found by its octets, and nothing comes twice."""
    source = Listed(INBOX=[(n, message(n), "") for n in range(1, 4)])
    here.run(source)
    path = here.folder / "imports" / "1-x.jsonl"
    head, first, *rest = path.read_bytes().splitlines(keepends=True)
    told = json.loads(first)
    wrong = ([["k"], *told[1:]], [*told[:6], "zz", []], [*told[:5], "7", *told[6:]], [*told[:7], [["\\Seen"]]])
    damaged = [b"[" * 100_000, b"\xff\xfe\0", *(json.dumps(line).encode() for line in wrong)]
    path.write_bytes(head + b"".join(line + b"\n" for line in damaged) + b"".join(rest))
    done = here.run(source)["INBOX"]
    assert (done.imported, done.already) == (0, 3)
    assert [each.messages for each in taken(here.folder)] == [3]


def test_a_run_that_was_killed_is_not_complete(here: Here) -> None:
    """Though the one before it was; nor is it where a mailbox was put back."""
    source = Listed(INBOX=[(1, message(1), "")])
    info = here.account.folder("INBOX")
    for lines in (1, 0):
        with here.ledger(source) as ledger:
            ledger.add([LedgerEntry("k", "INBOX", 7, info.mailbox_id, info.uidvalidity, 1, "00", ())])
            ledger.ended(Run("2026-01-01T00:00:00+00:00", 1, 1, 0, 0, complete=True))
            assert [each.last.complete for each in taken(here.folder) if each.last] == [True]
            ledger.add([LedgerEntry("l", "INBOX", 7, info.mailbox_id, info.uidvalidity, 2, "00", ())] * lines)
        with put_back(here.folder, 1, {}):
            pass
        assert [each.last.complete for each in taken(here.folder) if each.last] == [False]


def test_putting_back_with_a_ledger_whose_head_is_damaged(here: Here) -> None:
    """What came after the backup is forgotten all the same: it would never come again."""
    source = Listed(INBOX=[(n, message(n), "") for n in range(1, 4)])
    here.run(source)
    path = here.folder / "imports" / "1-x.jsonl"
    _, *lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"{\n" + b"".join(lines))
    info = here.account.folder("INBOX")
    with put_back(here.folder, 1, {info.mailbox_id: (info.uidvalidity, 2)}):
        pass
    with here.ledger(source) as ledger:
        assert len(ledger) == 1
