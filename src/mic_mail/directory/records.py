"""What the directory says about units, people and mailboxes to those who administer it: plain immutable records.

The ORM's objects stay inside `repository`; these leave it. Dates are calendar days, instants aware and in UTC.
"""

from dataclasses import dataclass
from datetime import date, datetime

from mic_mail.errors import BadInput, Refused
from mic_mail.policy.facts import Level, MailboxKind


class NotFound(BadInput):
    """No such unit, person, mailbox or address."""


class AlreadyThere(Refused):
    """The address, symbol or code is taken (Reg. 5.2, 5.4)."""


@dataclass(frozen=True, slots=True)
class UnitRecord:
    """A unit; `symbol` as in the register of Reg. 5.1, with the document that lists it."""

    unit_id: int
    symbol: str
    name: str
    parent_id: int | None = None
    document: str | None = None


@dataclass(frozen=True, slots=True)
class PersonRecord:
    """A person; one without a mailbox is information, not an error (Reg. 2.6)."""

    person_id: int
    full_name: str
    unit_id: int
    position: str
    level: Level | None
    """The rank of Reg. 6.4.c; None: not known yet, asked for when it is needed."""
    employment: str
    """official, civil_servant, public_employee or contract (Reg. 6.3)."""
    contract_from: date | None = None
    contract_until: date | None = None


@dataclass(frozen=True, slots=True)
class MailboxRecord:
    """A mailbox as it was issued."""

    mailbox_id: int
    kind: MailboxKind
    address: str
    home: str
    display_name: str
    quota_octets: int
    person_id: int | None
    unit_id: int | None
    last_activity: datetime | None = None
