"""The register of signatories (Reg. 7.2.b): a term is entered and ended, never altered."""

from datetime import date

from sqlalchemy import select
from sqlalchemy.orm import Session

from mic_mail.directory.register_model import SignatoryRow
from mic_mail.directory.tables import BaseRegister, transaction
from mic_mail.directory.transactions import add_record, existing, to_record
from mic_mail.errors import Refused, Text
from mic_mail.policy.authorization.signatories import CLAUSE, Signatory


class Signatories(BaseRegister):
    """The signatories on record."""

    def all(self) -> list[Signatory]:
        wanted = select(SignatoryRow).order_by(SignatoryRow.signatory_id)
        return self._tables.read(lambda session: [_signatory(row) for row in session.scalars(wanted)])

    @transaction
    def add(self, session: Session, signatory: Signatory) -> Signatory:
        """Enter a new term; its number is assigned here."""
        return _signatory(add_record(session, SignatoryRow, signatory))

    @transaction
    def end(self, session: Session, number: int, last: date, document: str) -> Signatory:
        """End a term with its last day.

        Raise `NotFound` where there is no such term, and `Refused` where the day is not within it.
        """
        row = existing(session, SignatoryRow, number, "người ký số", "signatory")
        if last < row.since or (row.until is not None and row.until <= last):
            raise Refused(Text("Ngày kết thúc không nằm trong thời hạn.", "The day is not within the term."), clause=CLAUSE)
        row.until, row.end_document = last, document
        return _signatory(row)


def _signatory(row: SignatoryRow) -> Signatory:
    return to_record(row, Signatory, number=row.signatory_id)
