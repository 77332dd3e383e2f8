"""Reg. 8.2: the mail log is kept its months, to the end of the last local day, and then goes; nothing else ever does."""

import errno
import os
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest

from mic_mail.clock import HO_CHI_MINH, ManualClock
from mic_mail.log.maillog import MailLog
from mic_mail.log.retention import kept_until, remove_expired

START = datetime(2026, 11, 24, 9, 0, tzinfo=UTC)
LATER = datetime(2030, 1, 1, tzinfo=UTC)


def segments(folder: Path, *days: str) -> list[str]:
    """A segment for each day, as a process that has ended left it."""
    names = [f"{day}.worker{number}.4711.1.jsonl" for number, day in enumerate(days)]
    for name in names:
        (folder / name).write_bytes(b'{"n":0}\n')
    return names


@pytest.mark.parametrize(
    ("day", "months", "last_day"),
    [
        (date(2026, 11, 24), 6, date(2027, 5, 25)),  # its last event: 25/11/2026, 06:59 in Ho Chi Minh City
        (date(2026, 11, 24), 12, date(2027, 11, 25)),
        (date(2026, 8, 30), 6, date(2027, 2, 28)),  # 31/08 and a month that has no 31st
        (date(2027, 8, 30), 6, date(2028, 2, 29)),
        (date(2026, 12, 31), 6, date(2027, 7, 1)),
    ],
)
def test_clause_8_2_a_segment_is_kept_to_the_end_of_its_last_local_day(day: date, months: int, last_day: date) -> None:
    """Calendar months from the local day of its last event, which is not counted (Civil Code 2015, Articles 147-148)."""
    assert kept_until(day, months) == datetime.combine(last_day + timedelta(days=1), datetime.min.time(), HO_CHI_MINH)


def test_clause_8_2_nothing_goes_a_moment_too_early(tmp_path: Path) -> None:
    """The clock that is passed in decides, to the microsecond; the younger segment stays."""
    old, young = segments(tmp_path, "2026-11-24", "2026-11-25")
    due = kept_until(date(2026, 11, 24), 6)
    assert not remove_expired(tmp_path, 6, due - timedelta(microseconds=1)).removed
    assert remove_expired(tmp_path, 6, due).removed == [(old, 8)]
    assert os.listdir(tmp_path) == [young]


def test_a_segment_that_somebody_writes_stays(tmp_path: Path) -> None:
    """However old it is: a process that has had nothing to say since then still has it open."""
    log = MailLog(tmp_path, "super", clock=ManualClock(START), threaded=False)
    log.event("server_started")
    [path] = tmp_path.iterdir()
    assert not remove_expired(tmp_path, 6, LATER).removed
    log.event("server_stopped")
    log.close()
    assert path.read_bytes().count(b"\n") == 2
    assert [name for name, _ in remove_expired(tmp_path, 6, LATER).removed] == [path.name]


def test_nothing_but_segments_is_touched(tmp_path: Path) -> None:
    """Administrative acts, copies, other people's files, folders, links, days that are none or that lie ahead."""
    segments(tmp_path, "2026-13-01", "9999-12-31", "2030-01-01")
    for name in ("audit-2020-01.jsonl", "2020-01-01.worker0.1.1.jsonl.gz", "x2020-01-01.w.1.1.jsonl", "2020-01-01.w.1.jsonl"):
        (tmp_path / name).touch()
    (tmp_path / "2020-01-01.folder.1.1.jsonl").mkdir()
    (tmp_path / "2020-01-01.link.1.1.jsonl").symlink_to(tmp_path / "audit-2020-01.jsonl")
    before = sorted(os.listdir(tmp_path))
    removal = remove_expired(tmp_path, 6, LATER)
    assert (removal.removed, removal.failed) == ([], [])
    assert sorted(os.listdir(tmp_path)) == before


def test_a_file_that_cannot_be_removed_stops_no_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is told, and tried again the next day; one that has gone meanwhile is nobody's trouble."""
    stuck, gone, other = segments(tmp_path, "2020-01-01", "2020-01-02", "2020-01-03")
    real = os.unlink

    def unlink(path: Path) -> None:
        if path.name == stuck:
            raise OSError(errno.EROFS, "read-only")
        real(path)
        if path.name == gone:
            raise FileNotFoundError

    monkeypatch.setattr(os, "unlink", unlink)
    removal = remove_expired(tmp_path, 6, LATER)
    assert [name for name, _ in removal.removed] == [other]
    assert [(name, error.errno) for name, error in removal.failed] == [(stuck, errno.EROFS)]
