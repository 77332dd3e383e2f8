"""Verify that the log is unaltered (Reg. 8.2).

Every line, file, day and anchor is checked, and faults are located.
In: the folder, the months of retention, the current instant, a head noted elsewhere. Out: a `LogVerification`. Checked are:

    anchors    each record against the one before it; missing records (the mail log reports later ones)
    segments   against their anchors: altered, shorter, gone before their time, added to a closed day
    lines      of a segment against their numbers: missing, in another order, unreadable
    the rest   of a file, which no anchor holds yet, against the index
    acts       each line against the digest that the next one carries
    days       every one within the retention is closed, without a gap

A segment whose months are over is no finding. A line cut off by a crash, and a segment that came late because a clock was set
back, are remarks and no faults. Blocking; reads all of the log: 5 s of CPU a GB.
"""

from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from enum import StrEnum
from pathlib import Path

from mic_mail.log import segment_check as log_lines
from mic_mail.log.anchor_chain import Anchor, AnchorFile, AnchorKind, ChainState
from mic_mail.log.files import GENESIS, LogFile, digest, log_files, microseconds, segment_day
from mic_mail.log.index import Block, DamagedIndex, IndexUnavailable, Month, months_on_disk
from mic_mail.log.retention import kept_until
from mic_mail.log.segment_check import SegmentCheck
from mic_mail.policy.calendar import add_months, local_day

FLOOR_MONTHS = 6
"""Retention required by Reg. 8.2."""
MOST_A_FILE = 5
"""Findings of one kind that are listed for each file; the rest is counted."""


class LogFault(StrEnum):
    """The kinds of findings."""

    ANCHOR_DAMAGED = "anchor_damaged"
    ANCHOR_BROKEN = "anchor_broken"
    ANCHOR_GONE = "anchor_gone"
    ANCHOR_OTHER = "anchor_other"
    HEAD_UNKNOWN = "head_unknown"
    ALTERED = "altered"
    SHORTER = "shorter"
    DELETED = "deleted"
    ADDED = "added"
    LATE = "late"
    LINE_MISSING = "line_missing"
    LINE_ORDER = "line_order"
    LINE_DAMAGED = "line_damaged"
    LINE_CUT_OFF = "line_cut_off"
    ACT_BROKEN = "act_broken"
    DAY_MISSING = "day_missing"
    DAY_NOT_CLOSED = "day_not_closed"
    REMOVED_EARLY = "removed_early"
    EXPIRED_UNTOLD = "expired_untold"
    INDEX_DAMAGED = "index_damaged"
    BEGINS_LATE = "begins_late"
    GONE = "gone"
    FACT_BROKEN = "fact_broken"
    FACT_OTHER = "fact_other"


REMARKS = frozenset(
    {
        LogFault.LATE,
        LogFault.LINE_CUT_OFF,
        LogFault.DAY_NOT_CLOSED,
        LogFault.EXPIRED_UNTOLD,
        LogFault.INDEX_DAMAGED,
        LogFault.BEGINS_LATE,
    }
)
"""Findings that are not faults."""


@dataclass(frozen=True, slots=True)
class LogFinding:
    """One fault or remark, and its place."""

    wrong: LogFault
    file: str
    place: str = ""
    """A line, octets, a day; empty if it concerns the whole file."""
    detail: str = ""

    @property
    def is_fault(self) -> bool:
        return self.wrong not in REMARKS


@dataclass(slots=True)
class LogVerification:
    """The counts of what was checked, and the findings."""

    findings: list[LogFinding] = field(default_factory=list)
    anchors: int = 0
    head: str = GENESIS
    files: int = 0
    lines: int = 0
    octets: int = 0
    expired: int = 0
    """Segments that are gone because their months are over."""
    begins: date | None = None
    closed: date | None = None
    since: date | None = None
    """The first day that has to be present."""

    @property
    def holds(self) -> bool:
        return not any(finding.is_fault for finding in self.findings)

    def add(self, wrong: LogFault, file: str, place: str = "", detail: str = "") -> None:
        self.findings.append(LogFinding(wrong, file, place, detail))


def verify(folder: Path, *, months: int, now: datetime, noted_head: str | None = None) -> LogVerification:
    return _Check(folder, months, now).run(noted_head)


class _Check:
    def __init__(self, folder: Path, months: int, now: datetime) -> None:
        self._folder = folder
        self._months = months
        self._now = now
        self._verdict = LogVerification()
        self._heads: dict[int, str] = {}
        self._known = ChainState()
        self._file = AnchorFile(folder)

    def run(self, noted_head: str | None) -> LogVerification:
        verdict = self._verdict
        self._check_anchors()
        known = self._known
        verdict.anchors, verdict.head, verdict.begins, verdict.closed = known.count, known.head, known.begins, known.closed
        if noted_head and not any(head.startswith(noted_head.lower()) for head in self._heads.values()):
            verdict.add(LogFault.HEAD_UNKNOWN, self._file.path.name, detail=noted_head)
        loaded, blocks = self._indexed()
        files = log_files(self._folder)  # listed after the anchors and indexes were read: files of a running server grow
        self._check_presence(files, loaded)
        last_act = GENESIS
        for file, size in files.items():
            extent = known.files.get(file.name)
            anchored = extent.octets if extent else 0
            seen = log_lines.check_segment(
                self._folder / file.name, anchored, acts_after=last_act if file.day is None else None, most=MOST_A_FILE
            )
            last_act = seen.last_act if file.day is None else last_act
            verdict.files, verdict.lines, verdict.octets = verdict.files + 1, verdict.lines + seen.lines, verdict.octets + size
            self._check_file(file, seen, blocks.get(file.name, []))
        self._check_days()
        return verdict

    # ------------------------------------------------------------ anchors

    def _check_anchors(self) -> None:
        name, verdict = self._file.path.name, self._verdict
        prev = GENESIS
        for number, line in enumerate(self._file.lines(), 1):
            try:
                anchor = Anchor.decode(line)
            except ValueError:
                verdict.add(LogFault.ANCHOR_DAMAGED, name, f"{number}")
                self._known.pass_over(line)
                prev = digest(line)
                continue
            if anchor.prev != prev or anchor.number != number:
                verdict.add(LogFault.ANCHOR_BROKEN, name, f"{number}", anchor.at)
            prev = digest(line)
            self._heads[number] = prev
            self._check_removal(anchor)
            self._check_closing(anchor)
            self._known.take(anchor, line)

    def _check_removal(self, anchor: Anchor) -> None:
        """Check that nothing was removed before the regulation's six months, whatever was configured then."""
        if anchor.kind is not AnchorKind.REMOVAL:
            return
        at_us = microseconds(anchor.at)
        for name in anchor.removed:
            day = segment_day(name)
            if day is None or kept_until(day, FLOOR_MONTHS).timestamp() * 1_000_000 > at_us:
                self._verdict.add(LogFault.REMOVED_EARLY, name, detail=anchor.at)

    def _check_closing(self, anchor: Anchor) -> None:
        closed = self._known.closed
        if anchor.closes is not None and closed is not None and anchor.closes[0] != closed + timedelta(days=1):
            self._verdict.add(LogFault.DAY_MISSING, self._file.path.name, f"{closed + timedelta(days=1)}", anchor.at)

    # ------------------------------------------------------------ files

    def _indexed(self) -> tuple[dict[str, int], dict[str, list[Block]]]:
        """Return the indexed size of each file, and its blocks to locate changes."""
        loaded: dict[str, int] = {}
        blocks: dict[str, list[Block]] = {}
        for month in months_on_disk(self._folder):
            try:
                with Month.reading(self._folder, month) as index:
                    if index is not None:
                        index.check()
                        of_month = index.loaded()
                        loaded |= of_month
                        blocks |= {name: index.blocks(name) for name in of_month}
            except (DamagedIndex, IndexUnavailable) as trouble:
                self._verdict.add(LogFault.INDEX_DAMAGED, f"log-{month}.sqlite", detail=str(trouble))
        return loaded, blocks

    def _check_presence(self, files: dict[LogFile, int], loaded: dict[str, int]) -> None:
        """Check that each known file is present with at least its size, or expired, and that none was added."""
        known, verdict = self._known, self._verdict
        sizes = {file.name: size for file, size in files.items()}
        remembered = loaded | {name: extent.octets for name, extent in known.files.items()}
        for name in sorted(remembered):
            witness = f"anchor {known.anchored_by[name]}" if name in known.anchored_by else "index"
            octets = max(remembered[name], loaded.get(name, 0))
            if name not in sizes:
                self._gone(name, witness)
            elif sizes[name] < octets:
                verdict.add(LogFault.SHORTER, name, f"{sizes[name]}-{octets}", witness)
        self._check_whole_days(set(remembered), set(sizes))
        for file in files:
            extent = known.files.get(file.name)
            is_closed = file.day is not None and known.closed is not None and file.day <= known.closed
            if is_closed and (extent is None or sizes[file.name] > extent.octets) and not self._is_over(file.day):
                verdict.add(LogFault.ADDED, file.name, f"{extent.octets if extent else 0}-{sizes[file.name]}")
        for name in sorted(known.late):
            verdict.add(LogFault.LATE, name, detail=f"anchor {known.late[name]}")

    def _check_whole_days(self, remembered: set[str], there: set[str]) -> None:
        left = {segment_day(name) for name in there}
        gone = {day for name in remembered if (day := segment_day(name)) and name not in self._known.removed} - left
        for day in sorted(day for day in gone if not self._is_over(day)):
            self._verdict.add(LogFault.DAY_MISSING, "", f"{day}")

    def _gone(self, name: str, witness: str) -> None:
        day = segment_day(name)
        removed = self._file.known().removed  # read again, as the server may be removing it
        if day is not None and (name in removed or self._is_over(day)):
            self._verdict.expired += 1
            if name not in removed:
                self._verdict.add(LogFault.EXPIRED_UNTOLD, name)
        else:
            self._verdict.add(LogFault.DELETED, name, detail=witness)

    def _is_over(self, day: date | None) -> bool:
        return day is not None and kept_until(day, self._months) <= self._now

    def _check_file(self, file: LogFile, seen: SegmentCheck, blocks: list[Block]) -> None:
        verdict, extent = self._verdict, self._known.files.get(file.name)
        shorter = extent is not None and seen.anchored_octets < extent.octets
        differs = extent is not None and not shorter and seen.anchored_sha256 != extent.sha256
        # Anchored octets need no second witness, except to locate a change.
        begin = extent.octets if extent is not None and not (differs or shorter) else 0
        changed = log_lines.changed_blocks(self._folder / file.name, [b for b in blocks if b.start + b.octets > begin])
        for block in changed[:MOST_A_FILE]:
            verdict.add(LogFault.ALTERED, file.name, f"{block.start}-{block.start + block.octets}", "index")
        if extent is not None and differs and not changed:  # no index to locate it
            verdict.add(LogFault.ALTERED, file.name, f"0-{extent.octets}", f"anchor {self._known.anchored_by[file.name]}")
        for kind, place, detail in seen.broken:
            verdict.add(LogFault(kind), file.name, place, detail)
        if any(
            number not in self._heads for number, _, _ in seen.logged_anchors
        ):  # the server may have appended to it meanwhile
            self._heads = {number: digest(line) for number, line in enumerate(self._file.lines(), 1)}
        for number, head, place in seen.logged_anchors:
            if number not in self._heads:
                verdict.add(LogFault.ANCHOR_GONE, self._file.path.name, f"{number}", f"{file.name} {place}")
            elif self._heads[number] != head:
                verdict.add(LogFault.ANCHOR_OTHER, self._file.path.name, f"{number}", f"{file.name} {place}")

    # ------------------------------------------------------------ days

    def _check_days(self) -> None:
        """Check that all days since the log began, or since the retention does, are closed."""
        known, verdict = self._known, self._verdict
        today = local_day(self._now)
        first = min((day for name in known.files if (day := segment_day(name))), default=None)
        begins = known.begins or first
        kept_since = add_months(today, -self._months)
        verdict.since = max(begins, kept_since) if begins is not None else None
        over = (self._now - timedelta(hours=2)).date() - timedelta(days=1)  # an hourly job, and some margin
        pending = known.closed + timedelta(days=1) if known.closed is not None else begins
        if pending is not None and pending <= over:
            verdict.add(LogFault.DAY_NOT_CLOSED, self._file.path.name, f"{pending}" + (f"-{over}" if over > pending else ""))
        if known.count == 0 and any(self._is_old(file) for file in log_files(self._folder)):
            verdict.add(LogFault.ANCHOR_GONE, self._file.path.name, "1")

    def _is_old(self, file: LogFile) -> bool:
        return file.day is not None and file.day < (self._now - timedelta(days=1)).date()
