"""Who administers this server, in which role, from when until when (Reg. 6.1, 4.3).

An officer's term is entered and ended, never altered: who acted as what in March can be told in November.
"""

from datetime import datetime

from sqlalchemy import select
from sqlalchemy.orm import Session

from mic_mail.directory.model import OfficerRow
from mic_mail.directory.tables import Tables
from mic_mail.policy.roles import Officer, Role


class Officers:
    """The officers on record."""

    def __init__(self, tables: Tables) -> None:
        self._tables = tables

    def all(self) -> list[Officer]:
        """Every term, in order of entry."""
        wanted = select(OfficerRow).order_by(OfficerRow.officer_id)
        return self._tables.read(lambda session: [_officer(row) for row in session.scalars(wanted)])

    def add(self, officer: Officer) -> None:
        """A new term."""

        def work(session: Session, _version: int) -> None:
            session.add(
                OfficerRow(
                    login=officer.login,
                    full_name=officer.full_name,
                    role=officer.role,
                    unit_id=officer.unit_id,
                    since=officer.since,
                    until=officer.until,
                    document=officer.document,
                )
            )

        self._tables.change(work)

    def end(self, login: str, at: datetime) -> int:
        """End the terms of a login that are open at `at`; how many there were."""

        def work(session: Session, _version: int) -> int:
            rows = session.scalars(select(OfficerRow).where(OfficerRow.login == login)).all()
            open_ones = [row for row in rows if row.until is None or row.until > at]
            for row in open_ones:
                row.until = max(at, row.since)
            return len(open_ones)

        return self._tables.change(work)


def _officer(row: OfficerRow) -> Officer:
    return Officer(row.login, row.full_name, Role(row.role), row.unit_id, row.since, row.until, row.document)
