"""The working calendar by year, as the government announces it (Labour Code 2019, Articles 111-112).

A year is entered whole and replaced whole; earlier versions are in the log of administrative acts.
"""

import json
from datetime import date
from typing import TYPE_CHECKING

from mic_mail.directory import rows
from mic_mail.directory.tables import BaseRegister, transaction
from mic_mail.policy.calendar import WorkingDays, Year

if TYPE_CHECKING:  # loaded for a change
    from sqlalchemy.orm import Session


class Years(BaseRegister):
    """The calendar years on record."""

    def all(self) -> list[Year]:
        with self._tables.reading() as read:
            return rows.years(read)

    def working_days(self) -> WorkingDays:
        return WorkingDays.of(self.all())

    @transaction
    def put(self, session: "Session", year: Year) -> None:
        _put(session, year)

    @transaction
    def add(self, session: "Session", year: Year) -> bool:
        """Enter a year that is not on record yet; return False and change nothing where it is."""
        from mic_mail.directory.model import CalendarYear

        if session.get(CalendarYear, year.year) is not None:
            return False
        _put(session, year)
        return True


def _put(session: "Session", year: Year) -> None:
    from mic_mail.directory.model import CalendarYear

    row = session.get(CalendarYear, year.year) or CalendarYear(year=year.year)
    row.off, row.worked = _written(year.off), _written(year.worked)
    row.document, row.provisional = year.document, year.provisional
    session.add(row)


def _written(days: frozenset[date]) -> str:
    return json.dumps([day.isoformat() for day in sorted(days)])
