"""The steps after a mailbox was reclaimed (Reg. 6.4.c, 6.2): archived, kept for a time, freed.

In: the mailbox's facts, the instant of the reclaim, recorded warnings, clock marks and holds, the instant. Out: its progress,
and whether it may go on. Nothing is destroyed on the clock alone: freeing requires a finished archive, the end of the retention
recorded with it, warnings that were sent, a trusted clock, and no hold on the mailbox. An operator may answer for the clock and
for the warnings, never for the rest.

    reclaimed -> ARCHIVED (records until when it is kept) -> FREED -> ARCHIVE_DROPPED
    undone by an issue: directly from reclaimed and archived, from freed after UNARCHIVED (`RETURNING` in between);
    by a corrected or withdrawn leave in the same way; an archive that cannot be restored is dropped in between, too

An archive made before the mailbox was reclaimed does not count: the mailbox was open again in between and must be archived
anew. Once it is freed, only the archive has its mail, and it counts whatever day of the reclaim is recorded.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from enum import StrEnum

from mic_mail.errors import Refused, Text, in_ascii
from mic_mail.i18n.labels import LabelledEnum
from mic_mail.policy.calendar import FIRST_INSTANT, ONE_DAY, add_days, local_day, start_of
from mic_mail.policy.due_notices import recorded_key, warned_keys
from mic_mail.policy.facts import Fact, FactKind
from mic_mail.policy.states import Span


class ReclaimStage(StrEnum):
    """The progress of a reclaimed mailbox."""

    RECLAIMED = "reclaimed"
    ARCHIVED = "archived"
    FREED = "freed"
    DROPPED = "dropped"
    RETURNING = "returning"
    """Its content is being restored from the archive; the clock leaves it alone."""


class Obstacle(LabelledEnum):
    """The obstacles to freeing a mailbox."""

    NOT_ARCHIVED = "not-archived", "chưa lưu trữ", "not archived yet"
    KEPT = "kept", "chưa hết thời gian giữ", "its retention is not over"
    """Its retention is not over."""
    HELD = "held", "đang được giữ hoặc bàn giao", "it is under a legal hold or being handed over"
    """A legal hold or a running handover."""
    NOT_WARNED = "not-warned", "chưa có cảnh báo nào được gửi", "no warning was sent"
    CLOCK = "clock", "đồng hồ máy chủ cần được xác nhận", "the machine's clock needs confirmation"
    """The machine's clock has jumped, or the server was down: an operator must check."""


ANSWERED_FOR = frozenset({Obstacle.NOT_WARNED, Obstacle.CLOCK})
"""The obstacles that an operator may answer for, by a document."""


@dataclass(frozen=True, slots=True)
class Course:
    """The progress of one reclaimed mailbox."""

    stage: ReclaimStage
    archived: Fact | None = None

    @property
    def archive(self) -> str | None:
        """The archive's name, while it exists."""
        return self.archived.text("archive") if self.archived is not None and self.stage is not ReclaimStage.DROPPED else None

    @property
    def keep_until(self) -> date | None:
        """The last day on which the mailbox can be restored without its archive."""
        day = self.archived.text("keep_until") if self.archived is not None else None
        return date.fromisoformat(day) if day else None

    @property
    def due_at(self) -> datetime | None:
        """The instant at which it is to be freed."""
        return None if self.keep_until is None else start_of(add_days(self.keep_until, 1))


def course(facts: Sequence[Fact], reclaimed_at: datetime) -> Course:
    archived: Fact | None = None
    stage, returning = ReclaimStage.RECLAIMED, False
    for fact in facts:
        match fact.kind:
            case FactKind.ARCHIVED:
                stage, archived = ReclaimStage.ARCHIVED, fact
            case FactKind.FREED if archived is not None:
                stage, returning = ReclaimStage.FREED, False
            case FactKind.ARCHIVE_DROPPED if (
                stage in {ReclaimStage.FREED, ReclaimStage.RETURNING}
                and archived
                and fact.text("archive") == archived.text("archive")
            ):
                stage = ReclaimStage.DROPPED
            case FactKind.UNARCHIVED if stage is ReclaimStage.FREED:
                stage, returning = ReclaimStage.RETURNING, True
            case FactKind.ISSUED | FactKind.IMPORTED:
                stage, archived, returning = ReclaimStage.RECLAIMED, None, False
            case FactKind.LEAVE_CORRECTED | FactKind.LEAVE_WITHDRAWN if returning:
                stage, archived, returning = ReclaimStage.RECLAIMED, None, False
    if stage is ReclaimStage.ARCHIVED and archived is not None and archived.effective_at < reclaimed_at:
        return Course(ReclaimStage.RECLAIMED)
    return Course(stage, archived)


def archives(facts: Sequence[Fact]) -> list[Fact]:
    """Return the facts of the archives that exist: made, and not dropped."""
    dropped = {fact.text("archive") for fact in facts if fact.kind is FactKind.ARCHIVE_DROPPED}
    return [fact for fact in facts if fact.kind is FactKind.ARCHIVED and fact.text("archive") not in dropped]


def is_empty(facts: Sequence[Fact]) -> bool:
    """Return whether the mailbox was freed and not issued since.

    It has no store then, and none must be created.
    """
    for fact in reversed(facts):
        if fact.kind is FactKind.FREED:
            return True
        if fact.kind in {FactKind.ISSUED, FactKind.IMPORTED, FactKind.UNARCHIVED}:
            return False
    return False


def lies_in_archive(facts: Sequence[Fact]) -> bool:
    """Return whether the archive has mail that the mailbox does not have, or not all of it yet."""
    return course(facts, FIRST_INSTANT).stage in {ReclaimStage.FREED, ReclaimStage.RETURNING}


class Freed(Refused):
    """The request is for the content of a mailbox deleted from the server."""

    def __init__(self, address: str) -> None:
        super().__init__(
            Text(
                f"{address} đã được xóa khỏi máy chủ; nội dung nằm trong bản lưu trữ.",
                f"{in_ascii(address)} has been deleted from the server; its content is in the archive.",
            ),
            clause="6.4.c",
            remedy=Text("mic-mail archive list", "mic-mail archive list"),
        )


def must_be_there(address: str, facts: Sequence[Fact]) -> None:
    """Refuse to open a mailbox that was freed.

    Opening it would create an empty store and report that it holds nothing.
    """
    if is_empty(facts):
        raise Freed(address)


def obstacles(way: Course, now: datetime, *, held: bool, warned: bool, clock_trusted: bool) -> list[Obstacle]:
    """Return the obstacles to freeing the mailbox now, in the order of `Obstacle`."""
    due = way.due_at
    found = {
        Obstacle.NOT_ARCHIVED: way.stage is ReclaimStage.RECLAIMED,
        Obstacle.KEPT: due is not None and now < due,
        Obstacle.HELD: held,
        Obstacle.NOT_WARNED: not warned,
        Obstacle.CLOCK: not clock_trusted,
    }
    return [obstacle for obstacle, stands in found.items() if stands]


CLOCK_STEP = ONE_DAY / 24
"""The allowed distance of the clock from the last recorded instant: 1 hour."""


def is_trusted(now: datetime, marked: datetime, newest_fact: datetime) -> bool:
    """Return whether the clock continues from the record: the housekeeper's mark, and the facts."""
    return abs(now - marked) <= CLOCK_STEP and newest_fact <= now + CLOCK_STEP


def keeps_until(now: datetime, keep_days: int) -> date:
    """Return the last day of retention of a mailbox archived at `now`.

    Today is not counted (Civil Code 2015, Article 147).
    """
    return add_days(local_day(now), keep_days)


def recorded_warnings(mailbox_id: int, facts: Sequence[Fact], reason: Span, way: Course) -> list[list[str]]:
    """Return the notice keys of which, in each list, one must be recorded as sent before freeing.

    One list is of the notice, sent to the unit or the Centre when the mailbox was archived, that it would be freed. If the
    clock reclaimed the mailbox, another one is of the warnings to its owner of the reclaim.
    """
    needed = [] if way.archived is None else [[recorded_key(mailbox_id, way.archived)]]
    if not any(fact.kind is FactKind.RECLAIMED and fact.seq in reason.fact_seqs for fact in facts):
        needed.append(warned_keys(mailbox_id, reason.since))
    return needed
