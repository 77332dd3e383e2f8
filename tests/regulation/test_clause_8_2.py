"""Reg. 8.2: the log is kept, no day of it is missing, and whoever alters it is found out, each in its own words.

The log is made by the program's own classes (`unit.log.logs`): three days that are closed, a fourth that is not.
"""

import os
import shutil
from collections.abc import Callable
from datetime import date, timedelta
from pathlib import Path

import pytest

from mic_mail.log.anchor_chain import NAME, AnchorFile
from mic_mail.log.files import segment_day
from mic_mail.log.index import discard
from mic_mail.log.retention import remove_expired
from mic_mail.log.verify import LogFault, LogVerification
from unit.log.logs import Logs, copy, made

FIRST, LAST = "2026-11-20", "2026-11-23"


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Logs:
    return made(tmp_path_factory.mktemp("template"))


@pytest.fixture
def logs(template: Logs, tmp_path: Path) -> Logs:
    return copy(template, tmp_path / "log")


def put(path: Path, change: Callable[[list[bytes]], list[bytes]]) -> None:
    """A file with other lines; its lines keep their ends."""
    path.write_bytes(b"".join(change(path.read_bytes().splitlines(keepends=True))))


def words(verdict: LogVerification) -> set[LogFault]:
    return {finding.wrong for finding in verdict.findings if finding.is_fault}


def test_clause_8_2_a_log_that_nobody_touched_is_whole(logs: Logs) -> None:
    """Closed days without a gap, an open day, acts, an index: no finding, not even a remark."""
    verdict = logs.verify(head=logs.heads[0])
    assert not verdict.findings
    assert verdict.holds
    assert (verdict.begins, verdict.closed) == (date(2026, 11, 20), date(2026, 11, 22))
    assert verdict.anchors == len(logs.heads) == 3
    assert verdict.head == logs.heads[-1]
    assert verdict.lines == sum(1 for _ in logs.lines())


@pytest.mark.parametrize("day", [FIRST, LAST])
@pytest.mark.parametrize("indexed", [True, False])
def test_clause_8_2_one_altered_octet_is_named(logs: Logs, day: str, indexed: bool) -> None:
    """In a closed day by its anchor, in one that is open by the index; with the index the place is named too."""
    if not indexed:
        discard(logs.folder, "2026-11")
    path = logs.segments(day)[0]
    octets = path.read_bytes().replace(b'"peer":"10.0.0.1"', b'"peer":"10.0.0.2"', 1)
    path.write_bytes(octets)
    faults = logs.faults()
    if day == LAST and not indexed:
        assert not faults  # what no anchor holds yet and no index remembers: the next hour's record closes this gap
        return
    assert [(fault.wrong, fault.file) for fault in faults] == [(LogFault.ALTERED, path.name)]
    assert faults[0].place == f"0-{len(octets)}"  # one block, one record
    assert faults[0].detail == ("index" if indexed else f"anchor {logs.verify().anchors - 2}")


@pytest.mark.parametrize("day", [FIRST, LAST])
@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (lambda lines: lines[:4] + lines[5:], LogFault.LINE_MISSING),
        (lambda lines: [*lines[:4], lines[5], lines[4], *lines[6:]], LogFault.LINE_ORDER),
        (lambda lines: [*lines[:4], lines[4], *lines[4:]], LogFault.LINE_ORDER),
        (lambda lines: [*lines[:4], b"{}\n", *lines[5:]], LogFault.LINE_DAMAGED),
    ],
    ids=["deleted", "swapped", "doubled", "replaced"],
)
def test_clause_8_2_a_line_that_is_not_where_it_was_is_named(
    logs: Logs, day: str, change: Callable[[list[bytes]], list[bytes]], expected: LogFault
) -> None:
    """By the numbers of the lines, whether an anchor holds them or not, index or none."""
    discard(logs.folder, "2026-11")
    path = logs.segments(day)[1]
    put(path, change)
    found = [fault for fault in logs.faults() if fault.wrong is expected]
    assert found
    assert (found[0].file, found[0].place) in {(path.name, "5"), (path.name, "6")}


def test_clause_8_2_an_altered_line_whose_numbers_are_put_right_is_named(logs: Logs) -> None:
    """A line less, the others renumbered: its lines are in order, its octets are not."""
    path = logs.segments(FIRST)[0]

    def renumbered(lines: list[bytes]) -> list[bytes]:
        kept = lines[:4] + lines[5:]
        return [line.replace(b'"n":%d,' % (n + (n >= 4)), b'"n":%d,' % n, 1) for n, line in enumerate(kept)]

    put(path, renumbered)
    assert [(fault.wrong, fault.file) for fault in logs.faults()] == [(LogFault.SHORTER, path.name)]
    with path.open("ab") as file:  # and made as long as it was
        file.write(b" " * (AnchorFile(logs.folder).known().files[path.name].octets - path.stat().st_size))
    assert words(logs.verify()) == {LogFault.ALTERED}


@pytest.mark.parametrize("day", [FIRST, LAST])
def test_clause_8_2_a_deleted_segment_is_named(logs: Logs, day: str) -> None:
    """By its anchor, or by the index where there is none yet."""
    path = logs.segments(day)[0]
    path.unlink()
    assert [(fault.wrong, fault.file) for fault in logs.faults()] == [(LogFault.DELETED, path.name)]


def test_clause_8_2_a_deleted_day_is_named(logs: Logs) -> None:
    """The day, and each of its segments."""
    gone = list(logs.folder.glob("2026-11-21.*"))
    for path in gone:
        path.unlink()
    faults = logs.faults()
    assert [fault.place for fault in faults if fault.wrong is LogFault.DAY_MISSING] == ["2026-11-21"]
    assert {fault.file for fault in faults if fault.wrong is LogFault.DELETED} == {path.name for path in gone}


def test_clause_8_2_the_newest_cut_off_is_named(logs: Logs) -> None:
    """The last line of the open day, the last act: by what the index remembers, or by the last hour's record."""
    segment, acts = logs.segments(LAST)[1], next(logs.folder.glob("audit-*"))
    for path in (segment, acts):
        put(path, lambda lines: lines[:-1])
    assert {(fault.wrong, fault.file) for fault in logs.faults()} == {
        (LogFault.SHORTER, segment.name),
        (LogFault.SHORTER, acts.name),
    }


def test_clause_8_2_the_newest_cut_off_is_named_without_an_index(logs: Logs) -> None:
    """A record of this hour holds what there was."""
    logs.anchor()
    logs.close()
    discard(logs.folder, "2026-11")
    segment = logs.segments(LAST)[1]
    put(segment, lambda lines: lines[:-1])
    assert [(fault.wrong, fault.file) for fault in logs.faults()] == [(LogFault.SHORTER, segment.name)]


@pytest.mark.parametrize(
    "change",
    [
        lambda lines: [lines[0].replace(b'"subject":"m1', b'"subject":"m2'), *lines[1:]],
        lambda lines: lines[1:],
        lambda lines: [lines[0], *lines[2:]],
        lambda lines: [lines[1], lines[0], *lines[2:]],
        lambda lines: [*lines[:2], lines[1], *lines[2:]],
    ],
    ids=["altered", "first deleted", "deleted", "swapped", "doubled"],
)
def test_clause_8_2_altered_acts_are_named(logs: Logs, change: Callable[[list[bytes]], list[bytes]]) -> None:
    """Each act carries the digest of the one before; the place is the first that does not fit."""
    discard(logs.folder, "2026-11")
    (logs.folder / NAME).unlink()
    acts = next(logs.folder.glob("audit-*"))
    put(acts, change)
    found = [fault for fault in logs.faults() if fault.wrong is LogFault.ACT_BROKEN]
    assert {fault.file for fault in found} == {acts.name}
    assert found[0].place in {"1", "2", "3"}


def test_clause_8_2_acts_are_chained_over_months_and_crashes(tmp_path: Path) -> None:
    """A new month goes on where the old one ended; a line that a crash has cut off is chained and only remarked."""
    logs = Logs(tmp_path)
    logs.day(1)
    logs.clock.move_to(logs.clock.now() + timedelta(days=20))
    logs.audit.record(actor="an", act="one", subject="x")
    december = tmp_path / "audit-2026-12.jsonl"
    with december.open("ab") as file:
        file.write(b'{"at":"2026-1')
    logs.audit.record(actor="an", act="two", subject="x")
    logs.clock.move_to(logs.clock.now() - timedelta(days=20))  # a clock that runs back
    logs.audit.record(actor="an", act="three", subject="x")
    logs.close()
    logs.anchor()
    logs.close()
    assert [(one.wrong, one.file, one.is_fault) for one in logs.verify().findings] == [
        (LogFault.LINE_CUT_OFF, december.name, False)
    ]
    november = tmp_path / "audit-2026-11.jsonl"
    november.unlink()
    assert [(fault.wrong, fault.file, fault.place) for fault in logs.faults()] == [
        (LogFault.DELETED, november.name, ""),
        (LogFault.ACT_BROKEN, december.name, "1"),
    ]


@pytest.mark.parametrize("which", [0, 1, 2])
def test_clause_8_2_a_replaced_anchor_is_named(logs: Logs, which: int) -> None:
    """One within the chain by the next one; the last one by the mail log, which tells of each."""
    put(
        logs.folder / NAME,
        lambda lines: [*lines[:which], lines[which].replace(b'"at":"2026', b'"at":"2025'), *lines[which + 1 :]],
    )
    faults = logs.faults()
    assert {fault.place for fault in faults if fault.wrong is LogFault.ANCHOR_OTHER} == {f"{which + 1}"}
    assert (LogFault.ANCHOR_BROKEN in {fault.wrong for fault in faults}) is (which < 2)


@pytest.mark.parametrize("kept", [0, 1, 2])
def test_clause_8_2_anchors_that_were_taken_away_are_named(logs: Logs, kept: int) -> None:
    """The mail log tells of them."""
    put(logs.folder / NAME, lambda lines: lines[:kept])
    gone = {fault.place for fault in logs.faults() if fault.wrong is LogFault.ANCHOR_GONE}
    assert gone == {f"{number}" for number in range(kept + 1, 4)}


def test_clause_8_2_an_anchor_within_the_chain_that_is_taken_out_is_named(logs: Logs) -> None:
    put(logs.folder / NAME, lambda lines: [lines[0], lines[2]])
    assert {LogFault.ANCHOR_BROKEN, LogFault.DAY_MISSING} <= words(logs.verify())


def test_clause_8_2_an_old_copy_of_everything_is_named_by_the_noted_head(tmp_path: Path) -> None:
    """It is whole in itself; whoever has noted a later head knows better."""
    logs = made(tmp_path / "log", days=2)
    shutil.copytree(logs.folder, tmp_path / "copy")
    logs.clock.move_to(logs.clock.now() + timedelta(hours=6))
    logs.message(1)
    logs.anchor()
    logs.close()
    noted = logs.heads[-1]
    assert not logs.faults(head=noted)
    shutil.rmtree(logs.folder)
    (tmp_path / "copy").rename(logs.folder)
    assert not logs.faults()
    assert [fault.wrong for fault in logs.faults(head=noted)] == [LogFault.HEAD_UNKNOWN]
    assert not logs.faults(head=logs.heads[0][:16])


def test_clause_8_2_a_segment_that_is_put_in_later_is_named(logs: Logs) -> None:
    """Evidence made up for a closed day; once an anchor has taken it in it stays marked as late."""
    forged = logs.folder / "2026-11-21.worker0.99999.1.jsonl"
    shutil.copy(logs.segments("2026-11-21")[0], forged)
    grown = logs.segments("2026-11-22")[0]
    with grown.open("ab") as file:
        file.write(grown.read_bytes().splitlines(keepends=True)[-1])
    assert {fault.file for fault in logs.faults() if fault.wrong is LogFault.ADDED} == {forged.name, grown.name}
    logs.anchor()
    logs.close()
    late = {finding.file for finding in logs.verify().findings if finding.wrong is LogFault.LATE}
    assert late == {forged.name, grown.name}


def test_clause_8_2_what_has_expired_is_told_apart_from_what_was_deleted(logs: Logs) -> None:
    """Retention takes the oldest day, on record; the days that are left are proved; one more deleted is a fault."""
    logs.clock.move_to(logs.clock.now().replace(year=2027, month=5, day=22, hour=1))
    logs.anchor()
    logs.close()

    def announce(names: object) -> None:
        logs._anchoring.announce_removal(list(names), 6, logs.clock.now())

    removed = [name for name, _ in remove_expired(logs.folder, 6, logs.clock.now(), announce=announce).removed]
    assert {segment_day(name) for name in removed} == {date(2026, 11, 20)}
    verdict = logs.verify(months=6)
    assert verdict.holds
    assert verdict.expired == len(removed) == 2
    assert verdict.since == date(2026, 11, 22)  # local days: that of 20/11 goes to 21/11, 06:59
    assert logs.verify(months=12).holds  # whoever keeps them longer from now on loses nothing by it
    logs.segments("2026-11-22")[0].unlink()
    assert [fault.wrong for fault in logs.faults()] == [LogFault.DELETED]


def test_clause_8_2_a_removal_before_six_months_is_named(logs: Logs) -> None:
    """Even where it was written into the chain like any other."""
    path = logs.segments("2026-11-21")[0]
    logs._anchoring.announce_removal([path.name], 0, logs.clock.now())
    path.unlink()
    assert [(fault.wrong, fault.file) for fault in logs.faults()] == [(LogFault.REMOVED_EARLY, path.name)]


def test_clause_8_2_days_on_which_the_server_did_not_run_are_closed_too(logs: Logs) -> None:
    """They are no gap; until it runs again they are remarked."""
    logs.clock.move_to(logs.clock.now() + timedelta(days=9))
    remarks = logs.verify().findings
    assert [(one.wrong, one.place, one.is_fault) for one in remarks] == [
        (LogFault.DAY_NOT_CLOSED, "2026-11-23-2026-12-01", False)
    ]
    logs.anchor()
    logs.close()
    verdict = logs.verify()
    assert not verdict.findings
    assert verdict.closed == date(2026, 12, 1)


def test_clause_8_2_killed_while_anchoring_is_no_fault(logs: Logs) -> None:
    """A record that was cut off never was; the next one says what it would have said."""
    logs.clock.move_to(logs.clock.now() + timedelta(days=1))
    chain = logs.folder / NAME
    before = chain.read_bytes()
    assert logs.anchor() == 1
    whole = chain.read_bytes()
    logs.close()
    for cut in (len(before) + 1, len(before) + 40, len(whole) - 1):
        chain.write_bytes(whole[:cut])
        again = Logs(logs.folder)
        again.clock.move_to(logs.clock.now())
        assert again.anchor() == 1
        again.close()
        assert AnchorFile(logs.folder).known().closed == date(2026, 11, 23)
        for told in logs.folder.glob("*.house.*"):  # the heads of records that the test has taken back
            if segment_day(told.name) == date(2026, 11, 24):
                told.unlink()
        assert words(logs.verify()) <= {LogFault.DELETED, LogFault.DAY_MISSING}


def test_clause_8_2_a_damaged_index_is_a_remark(logs: Logs) -> None:
    """It proves nothing that the segments do not; it is made anew."""
    (logs.folder / "log-2026-11.sqlite").write_bytes(os.urandom(9000))
    findings = logs.verify().findings
    assert [finding.wrong for finding in findings] == [LogFault.INDEX_DAMAGED]
    assert logs.verify().holds
