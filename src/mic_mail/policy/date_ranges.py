"""Ranges of local days that reports cover. Pure."""

from dataclasses import dataclass
from datetime import date, datetime

from mic_mail.errors import BadInput, Text
from mic_mail.policy.calendar import add_days, local_day, start_of

MOST_DAYS = 366


@dataclass(frozen=True, slots=True)
class DateRange:
    """A range of local days, both ends included."""

    first: date
    last: date

    def __post_init__(self) -> None:
        if self.last < self.first or (self.last - self.first).days >= MOST_DAYS:
            raise BadInput(
                Text("Khoảng thời gian không hợp lệ.", "Not a valid number of days."),
                remedy=Text(f"Từ 1 đến {MOST_DAYS} ngày.", f"Give a number from 1 to {MOST_DAYS}."),
            )

    def holds(self, instant: datetime) -> bool:
        return self.first <= local_day(instant) <= self.last

    @property
    def instants(self) -> tuple[datetime, datetime]:
        """The half-open interval: the first instant of the range, and the first one after it."""
        return start_of(self.first), start_of(add_days(self.last, 1))
