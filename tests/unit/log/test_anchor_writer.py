"""The chain of anchors grows by what is new, whoever is killed or comes second (Reg. 8.2)."""

import random
import signal
import subprocess
import sys
import textwrap
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest

from mic_mail.errors import Trouble
from mic_mail.log import anchor_writer as room
from mic_mail.log.anchor_chain import NAME, Anchor, AnchorFile, AnchorKind, Head, digest_of_heads
from mic_mail.log.anchor_writer import AnchorWriter
from mic_mail.log.verify import LogFault
from unit.log.logs import HEADS, START, Logs

ANCHORER = """
    import sys
    from datetime import datetime
    from pathlib import Path
    from mic_mail.log import anchor_writer
    from mic_mail.log.anchor_chain import Head
    anchor_writer.MOST_OCTETS = 500
    for number in range(10_000):
        keeper = anchor_writer.AnchorWriter(Path(sys.argv[1]))
        keeper.anchor(datetime.fromisoformat(sys.argv[2]), [Head(1, number + 1, "ab" * 32)])
"""


def days_of(folder: Path) -> list[tuple[date, date]]:
    return [anchor.closes for line in AnchorFile(folder).lines() if (anchor := Anchor.decode(line)).closes]


def test_a_record_survives_being_written_down() -> None:
    """Whatever it holds."""
    closes = (date(2026, 11, 20), date(2026, 11, 21))
    full = Anchor(3, "2026-11-22T00:05:00.000000Z", AnchorKind.DAY, "ab" * 32, (), closes, tuple(HEADS), "cd" * 32)
    removal = Anchor(4, "2026-11-22T00:05:00.000000Z", AnchorKind.REMOVAL, "ab" * 32, removed=("a", "b"), months=6)
    assert [Anchor.decode(one.encode()) for one in (full, removal)] == [full, removal]
    for line in (b"", b"{}", b"[]", b"1", b'{"n":1,"at":"","kind":"x","prev":""}', b"\xff", b"[" * 100_000):
        with pytest.raises(ValueError, match=r"."):
            Anchor.decode(line)


def test_only_what_is_new_is_said(tmp_path: Path) -> None:
    """A file that has not grown, a head that has not moved, is in no second record; nothing new makes none."""
    logs = Logs(tmp_path)
    logs.message(1)
    keeper = AnchorWriter(tmp_path)
    first, _ = keeper.anchor(logs.clock.now(), HEADS)
    assert first is not None
    assert (len(first.files), first.heads, first.closes) == (1, tuple(HEADS), None)
    assert keeper.anchor(logs.clock.now(), HEADS) == (None, False)
    assert AnchorWriter(tmp_path).anchor(logs.clock.now(), HEADS) == (None, False)
    logs.message(2, "worker1")
    moved = Head(2, 2, "ee" * 32)
    second, _ = AnchorWriter(tmp_path).anchor(logs.clock.now(), [HEADS[0], moved])
    assert second is not None
    assert ([file.name for file in second.files], second.heads) == ([logs.segments()[1].name], (moved,))
    assert second.facts == digest_of_heads([moved, HEADS[0]])
    logs.close()


def test_a_day_is_closed_some_minutes_after_its_end_and_none_is_left_out(tmp_path: Path) -> None:
    """Also days on which nothing ran."""
    logs = Logs(tmp_path)
    logs.message(1)
    logs.close()
    midnight = datetime(2026, 11, 21, tzinfo=UTC)
    for now, closed in (
        (midnight, None),
        (midnight + room.SETTLING - timedelta(seconds=1), None),
        (midnight + room.SETTLING, (date(2026, 11, 20), date(2026, 11, 20))),
        (midnight + timedelta(days=1), None),
        (midnight + timedelta(days=4, hours=1), (date(2026, 11, 21), date(2026, 11, 24))),
        (midnight, None),  # a clock that runs back
    ):
        before = len(days_of(tmp_path))
        AnchorWriter(tmp_path).anchor(now, [])
        assert days_of(tmp_path)[before:] == ([closed] if closed else [])


def test_a_line_that_is_being_written_is_left_for_the_next_record(tmp_path: Path) -> None:
    """What is anchored ends with a line, until the day is over."""
    path = tmp_path / "2026-11-20.worker0.1.1.jsonl"
    path.write_bytes(b'{"n":0}\n{"n":')
    first, _ = AnchorWriter(tmp_path).anchor(START, [])
    assert first is not None
    assert [(file.octets, file.lines) for file in first.files] == [(8, 1)]
    last, _ = AnchorWriter(tmp_path).anchor(START + timedelta(days=1), [])
    assert last is not None
    assert [(file.octets, file.lines) for file in last.files] == [(13, 1)]


def test_what_contradicts_a_record_never_gets_into_a_later_one(tmp_path: Path) -> None:
    """Altered and then grown: the chain keeps what it said."""
    logs = Logs(tmp_path)
    logs.message(1)
    AnchorWriter(tmp_path).anchor(logs.clock.now(), [])
    (path,) = logs.segments()
    held = AnchorFile(tmp_path).known().files[path.name]
    path.write_bytes(path.read_bytes().replace(b"10.0.0.1", b"10.0.0.2", 1))
    logs.message(2)
    assert AnchorWriter(tmp_path).anchor(logs.clock.now(), []) == (None, False)
    assert AnchorFile(tmp_path).known().files[path.name] == held
    logs.close()


def test_years_of_log_are_anchored_in_many_short_records(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No day is closed before all of its files are held."""
    monkeypatch.setattr(room, "MOST_OCTETS", 1)
    logs = Logs(tmp_path)
    for _ in range(3):
        logs.day(2)
    files = len(list(tmp_path.glob("*.jsonl")))
    assert logs.anchor() == files
    assert days_of(tmp_path) == [(date(2026, 11, 20), date(2026, 11, 22))]
    logs.close()
    assert logs.verify().holds


def test_killed_while_anchoring_the_chain_stays_whole(tmp_path: Path) -> None:
    """`kill -9` at random moments of the writing, two at a time: each record follows from the one before, each file is held
    as it is."""
    logs = Logs(tmp_path)
    for _ in range(4):
        logs.day(4)
    logs.close()
    rng = random.Random(11)

    def size() -> int:
        return (tmp_path / NAME).stat().st_size if (tmp_path / NAME).exists() else 0

    for _ in range(5):
        program = [sys.executable, "-c", textwrap.dedent(ANCHORER), str(tmp_path), logs.clock.now().isoformat()]
        both = [subprocess.Popen(program) for _ in range(2)]
        wanted = size() + rng.randrange(200, 3_000)
        while size() < wanted:
            assert any(one.poll() is None for one in both)
        for one in both:
            one.send_signal(signal.SIGKILL)
            one.wait()
    logs.anchor()
    logs.close()
    verdict = logs.verify()
    assert not verdict.findings
    assert verdict.anchors > 10
    assert days_of(tmp_path) == [(date(2026, 11, 20), date(2026, 11, 23))]


def test_a_disk_that_takes_nothing_is_trouble_and_leaves_the_chain_as_it_was(tmp_path: Path) -> None:
    """The next hour says it."""
    logs = Logs(tmp_path)
    logs.message(1)
    logs.close()
    (tmp_path / NAME).mkdir()
    with pytest.raises(Trouble):
        AnchorWriter(tmp_path).anchor(logs.clock.now(), [])
    (tmp_path / NAME).rmdir()
    assert AnchorWriter(tmp_path).anchor(logs.clock.now(), [])[0] is not None


def test_what_a_killed_writer_left_is_gone_with_the_next_record(tmp_path: Path) -> None:
    """However long it is: nothing of it stands behind the record that is written in its place."""
    logs = Logs(tmp_path)
    logs.message(1)
    logs.anchor()
    with (tmp_path / NAME).open("ab") as file:
        file.write(b'{"n":2,"at":"' + b"2" * 50_000)
    logs.anchor()
    logs.close()
    assert [Anchor.decode(line).number for line in AnchorFile(tmp_path).lines()] == [1, 2]
    assert (tmp_path / NAME).read_bytes().endswith(b"}\n")


def test_a_chain_that_became_shorter_is_read_anew(tmp_path: Path) -> None:
    """Whoever held it open goes on from what there is; `verify` names what is gone."""
    logs = Logs(tmp_path)
    for number in range(3):
        logs.message(number)
        logs.anchor()
    lines = (tmp_path / NAME).read_bytes().splitlines(keepends=True)
    (tmp_path / NAME).write_bytes(lines[0])
    logs.message(4)
    logs.anchor()
    logs.close()
    assert [Anchor.decode(line).number for line in AnchorFile(tmp_path).lines()] == [1, 2]
    assert {finding.wrong for finding in logs.verify().findings if finding.is_fault} == {
        LogFault.ANCHOR_OTHER,
        LogFault.ANCHOR_GONE,
    }


def test_a_line_that_cannot_be_read_keeps_its_number(tmp_path: Path) -> None:
    """Of a chain with one damaged line only that line is wrong: records written behind it go on in number and digest."""
    logs = Logs(tmp_path)
    for number in range(1, 4):
        logs.message(number)
        logs.anchor()
    path = tmp_path / NAME
    *before, last = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join(before) + b"#" * (len(last) - 1) + b"\n")
    logs.message(4)
    AnchorWriter(tmp_path).anchor(logs.clock.now(), HEADS)
    assert Anchor.decode(path.read_bytes().splitlines(keepends=True)[-1]).number == 4
    found = [
        (each.wrong, each.place)
        for each in logs.verify().findings
        if each.wrong in {LogFault.ANCHOR_DAMAGED, LogFault.ANCHOR_BROKEN}
    ]
    assert found == [(LogFault.ANCHOR_DAMAGED, "3")]
    assert AnchorFile(tmp_path).known().count == 4
