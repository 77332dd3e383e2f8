"""Censuses on record (Reg. 14.6).

Each is the list of a unit, with its time and the document that confirmed it; units may dispute lines (14.3). A list is never
altered.
"""

from datetime import date, datetime

from sqlalchemy import select
from sqlalchemy.orm import Session

from mic_mail.directory.records import NotFound
from mic_mail.directory.register_model import CensusDispute, CensusRow
from mic_mail.directory.tables import BaseRegister, transaction
from mic_mail.directory.transactions import add_record, to_record
from mic_mail.errors import Text
from mic_mail.policy.census import Census, Dispute, decode, encode, meant
from mic_mail.policy.requests import Filing, Item


class Censuses(BaseRegister):
    """The censuses on record."""

    def of(self, unit_id: int | None = None) -> list[Census]:
        """Return the censuses of one unit, or of all, oldest first."""
        wanted = select(CensusRow).order_by(CensusRow.census_id)
        if unit_id is not None:
            wanted = wanted.where(CensusRow.unit_id == unit_id)
        return self._tables.read(lambda session: [_census(row) for row in session.scalars(wanted)])

    @transaction
    def add(self, session: Session, census: Census) -> Census:
        """Put a list on record and return it with its number."""
        return _census(add_record(session, CensusRow, census, lines=encode(census.lines)))

    @transaction
    def confirm(self, session: Session, unit_id: int, period: date, *, actor: str, document: str, at: datetime) -> Census:
        """Record that the unit has signed its newest list of the period.

        Raise `NotFound` where there is none. The first confirmation stands.
        """
        newest = select(CensusRow).where(CensusRow.unit_id == unit_id, CensusRow.period == period)
        row = session.scalars(newest.order_by(CensusRow.census_id.desc()).limit(1)).first()
        if row is None:
            raise NotFound(
                Text(f"Đơn vị chưa có bản thống kê của kỳ {period:%m/%Y}.", f"The unit has no census of {period:%m/%Y}."),
                remedy=Text("Lập trước: census make --unit.", "Make it first: census make --unit."),
            )
        if row.confirmed_at is None:
            row.confirmed_at, row.confirmed_by, row.document = at, actor, document
        return _census(row)

    def disputes(self, unit_id: int) -> list[Dispute]:
        """Return the lines that the unit disputes in its lists, in order of the requests."""
        wanted = select(CensusDispute).join(CensusRow, CensusRow.census_id == CensusDispute.census_id)
        wanted = wanted.where(CensusRow.unit_id == unit_id).order_by(CensusDispute.request_id)

        def work(session: Session) -> list[Dispute]:
            return [Dispute(row.request_id, row.census_id, row.line) for row in session.scalars(wanted)]

        return self._tables.read(work)


def dispute(session: Session, filing: Filing, request_id: int) -> None:
    """Link a correction request to the line of the newest list that it means, if any.

    Runs within the transaction that enters the request.
    """
    newest = select(CensusRow).where(CensusRow.unit_id == filing.unit_id).order_by(CensusRow.census_id.desc()).limit(1)
    row = session.scalars(newest).first()
    line = None if row is None else meant(decode(row.lines), filing.items.get(Item.ADDRESS), filing.items.get(Item.NAME))
    if row is not None and line is not None:
        session.add(CensusDispute(request_id=request_id, census_id=row.census_id, line=line.key))


def _census(row: CensusRow) -> Census:
    return to_record(row, Census, lines=decode(row.lines))
