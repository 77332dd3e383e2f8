"""The officers who administer this server, their roles and terms (Reg. 6.1, 4.3).

An officer's term is entered and ended, never altered: in November one can still tell who acted as what in March. The rules for
a change are checked within its transaction, so that the second of two concurrent changes sees the result of the first.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime
from typing import TYPE_CHECKING

from mic_mail.directory import rows
from mic_mail.directory.tables import BaseRegister, transaction
from mic_mail.policy.authorization.roles import Officer, OfficerRole

if TYPE_CHECKING:  # loaded for a change
    from sqlalchemy.orm import Session

    from mic_mail.directory.model import OfficerRow

Check = Callable[[Sequence[Officer], Sequence[Officer]], None]
"""Gets the officers before and after a change; raises an error that refuses it."""


def _anything(_before: Sequence[Officer], _after: Sequence[Officer]) -> None:
    """Allow every change."""


class Officers(BaseRegister):
    """The officers on record."""

    def all(self) -> list[Officer]:
        with self._tables.reading() as read:
            return rows.officers(read)

    @transaction
    def add(self, session: "Session", officer: Officer, check: Check = _anything) -> None:
        from mic_mail.directory.model import OfficerRow
        from mic_mail.directory.transactions import add_record

        known = [_officer(row) for row in _rows(session)]
        check(known, [*known, officer])
        add_record(session, OfficerRow, officer)

    @transaction
    def end(self, session: "Session", login: str, at: datetime, check: Check = _anything) -> int:
        """End the terms of a login that are open at `at`; return how many there were."""
        terms = _rows(session)
        open_ones = [row for row in terms if row.login == login and (row.until is None or row.until > at)]
        known = [_officer(row) for row in terms]
        left = [
            replace(officer, until=max(at, officer.since)) if row in open_ones else officer
            for row, officer in zip(terms, known, strict=True)
        ]
        check(known, left)
        for row in open_ones:
            row.until = max(at, row.since)
        return len(open_ones)


def _rows(session: "Session") -> "Sequence[OfficerRow]":
    from sqlalchemy import select

    from mic_mail.directory.model import OfficerRow

    return session.scalars(select(OfficerRow).order_by(OfficerRow.officer_id)).all()


def _officer(row: "OfficerRow") -> Officer:
    from mic_mail.directory.transactions import to_record

    return to_record(row, Officer, role=OfficerRole(row.role))
