"""Announcements of technical downtime, at least 3 working days ahead (Reg. 10.3).

An incident (10.1) is the exception and needs a report afterwards.

In: spans, the instant of the announcement, the working calendar. Out: whether that is early enough and, if not, the earliest
possible start; the downtimes announced at an instant, and the report that is still to be made. Pure.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from mic_mail.errors import BadInput, Refused, Text
from mic_mail.i18n import dates
from mic_mail.policy.calendar import ONE_DAY, WorkingDays, local_day, start_of

CLAUSE = "10.3"
INCIDENT_CLAUSE = "10.1"
WORKING_DAYS_AHEAD = 3
HOURS_AHEAD = timedelta(hours=72)


class Count(StrEnum):
    """Setting `maintenance.count`: how the notice period is counted."""

    WORKING_DAYS = "working_days"
    """Full working days between, the day of notice not counted."""
    HOURS = "hours"


class NoticeTooShort(Refused):
    """The downtime begins in less than 3 working days and is no incident."""


@dataclass(frozen=True, slots=True)
class Downtime:
    """A span in which the service is down; `downtime_id` 0: not recorded yet."""

    downtime_id: int
    starts_at: datetime
    ends_at: datetime
    reason: str
    document: str | None
    incident: bool
    """Set if it could not be foreseen: Reg. 10.1 instead of 10.3."""
    announced_at: datetime
    actor: str
    cancelled_at: datetime | None = None
    report: str | None = None
    """The number of the document that reports what happened."""
    reported_at: datetime | None = None

    def is_announced(self, now: datetime) -> bool:
        """Return whether people must know of it now: neither over nor cancelled."""
        return self.cancelled_at is None and now < self.ends_at

    def owes_report(self, now: datetime) -> bool:
        """Return whether it was an incident that is over and not reported yet."""
        return self.incident and self.cancelled_at is None and self.report is None and self.ends_at <= now

    @property
    def clause(self) -> str:
        return INCIDENT_CLAUSE if self.incident else CLAUSE


def earliest_start(announced_at: datetime, calendar: WorkingDays, count: Count) -> datetime:
    """Return the earliest start of a downtime announced at `announced_at`."""
    if count is Count.HOURS:
        return announced_at + HOURS_AHEAD
    return start_of(calendar.after(local_day(announced_at), WORKING_DAYS_AHEAD) + ONE_DAY)


def check(downtime: Downtime, calendar: WorkingDays, count: Count) -> None:
    """Raise `BadInput` for an invalid span, `NoticeTooShort` for a late announcement (Reg. 10.3)."""
    if downtime.ends_at <= downtime.starts_at:
        raise BadInput(Text("Thời gian kết thúc phải sau thời gian bắt đầu.", "The end must be after the start."))
    if downtime.incident:
        if not downtime.reason.strip():
            raise BadInput(
                Text("Sự cố phải ghi lý do.", "An incident needs a reason."),
                clause=INCIDENT_CLAUSE,
                remedy=Text("Dùng --reason.", "Use --reason."),
            )
        return
    earliest = earliest_start(downtime.announced_at, calendar, count)
    if earliest <= downtime.starts_at:
        return
    first = dates.instant(earliest)
    raise NoticeTooShort(
        Text(
            "Ngừng dịch vụ vì lý do kỹ thuật phải được thông báo trước tối thiểu 03 ngày làm việc.",
            "Technical downtime must be announced at least 3 working days ahead.",
        ),
        clause=CLAUSE,
        remedy=Text(
            f"Sớm nhất là {first.vi}; nếu là sự cố, dùng --incident kèm lý do và báo cáo sau đó.",
            f"The earliest start is {first.en}. For an incident, use --incident with a reason, and report it afterwards.",
        ),
    )


def announced(downtimes: Iterable[Downtime], now: datetime) -> list[Downtime]:
    """Return the downtimes that people must know of now, the next one first."""
    return sorted((each for each in downtimes if each.is_announced(now)), key=lambda each: each.starts_at)
