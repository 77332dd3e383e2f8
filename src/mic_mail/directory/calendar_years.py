"""The working calendar by year, as the government announces it (Labour Code 2019, Articles 111-112).

A year is entered whole and replaced whole; earlier versions are in the log of administrative acts.
"""

import json
from collections.abc import Sequence
from datetime import date

from sqlalchemy import select
from sqlalchemy.orm import Session

from mic_mail.directory.model import CalendarYear
from mic_mail.directory.transactions import BaseRegister, transaction
from mic_mail.policy.calendar import WorkingDays, Year


class Years(BaseRegister):
    """The calendar years on record."""

    def all(self) -> list[Year]:
        return self._tables.read(of_session)

    def working_days(self) -> WorkingDays:
        return WorkingDays.of(self.all())

    @transaction
    def put(self, session: Session, year: Year) -> None:
        _put(session, year)

    @transaction
    def add(self, session: Session, year: Year) -> bool:
        """Enter a year that is not on record yet; return False and change nothing where it is."""
        if session.get(CalendarYear, year.year) is not None:
            return False
        _put(session, year)
        return True


def _put(session: Session, year: Year) -> None:
    row = session.get(CalendarYear, year.year) or CalendarYear(year=year.year)
    row.off, row.worked = _written(year.off), _written(year.worked)
    row.document, row.provisional = year.document, year.provisional
    session.add(row)


def of_session(session: Session) -> list[Year]:
    return [
        Year(row.year, _read(row.off), _read(row.worked), row.document, provisional=row.provisional)
        for row in session.scalars(select(CalendarYear).order_by(CalendarYear.year))
    ]


def _written(days: frozenset[date]) -> str:
    return json.dumps([day.isoformat() for day in sorted(days)])


def _read(days: str) -> frozenset[date]:
    texts: Sequence[str] = json.loads(days)
    return frozenset(date.fromisoformat(text) for text in texts)
