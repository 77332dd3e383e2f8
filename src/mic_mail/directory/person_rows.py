"""Rows of people: entered in the same way by a command and by a request, and read back as records."""

from typing import Any

from sqlalchemy import ColumnElement, select
from sqlalchemy.orm import Session

from mic_mail.directory.model import Person
from mic_mail.directory.records import PersonRecord
from mic_mail.directory.transactions import add_record
from mic_mail.policy.eligibility import Employment
from mic_mail.policy.facts import Level


def enter(session: Session, person: PersonRecord) -> Person:
    """Enter a new row within a transaction, and return it with its id."""
    return add_record(session, Person, person)


def read(session: Session, *wanted: ColumnElement[bool]) -> list[PersonRecord]:
    """Return the people for whom `wanted` is true, by name.

    Selects columns, not entities: that takes a fifth of the time for all people of a ministry.
    """
    columns = select(*Person.__table__.columns).where(*wanted).order_by(Person.full_name, Person.person_id)
    return [record(row) for row in session.execute(columns)]


def record(row: Any) -> PersonRecord:
    """Return an entity, or a row of its columns, as a record."""
    return PersonRecord(
        person_id=row.person_id,
        full_name=row.full_name,
        unit_id=row.unit_id,
        position=row.position,
        level=Level(row.level) if row.level else None,
        employment=Employment(row.employment),
        contract_from=row.contract_from,
        contract_until=row.contract_until,
    )
