"""The tables of the registers beside the mailboxes: requests, incidents, changes and others.

They share the `MetaData` of `model`, which `migrate` creates as a whole. Most commands need none of them.
"""

from datetime import date, datetime

from sqlalchemy import BigInteger, ForeignKey, Index, String, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from mic_mail.directory.model import Base
from mic_mail.errors import Text


class ContentAccessRow(Base):
    """A request to open the content of a mailbox, and the decision of a second person (Reg. 4.3)."""

    __tablename__ = "content_access"
    __table_args__ = ({"sqlite_autoincrement": True},)

    access_id: Mapped[int] = mapped_column(primary_key=True)
    mailbox_id: Mapped[int] = mapped_column(ForeignKey("mailbox.mailbox_id"), index=True)
    folder: Mapped[str | None]
    since: Mapped[date | None]
    until: Mapped[date | None]
    expunged: Mapped[bool]
    officer: Mapped[str] = mapped_column(String(255))
    login: Mapped[str] = mapped_column(String(255))
    asked_at: Mapped[datetime]
    reason: Mapped[str]
    document: Mapped[str] = mapped_column(String(255))
    verdict: Mapped[str | None] = mapped_column(String(16))
    decided_by: Mapped[str | None] = mapped_column(String(255))
    decided_login: Mapped[str | None] = mapped_column(String(255))
    decided_at: Mapped[datetime | None]
    decision_reason: Mapped[str | None]
    decision_document: Mapped[str | None] = mapped_column(String(255))
    expires_at: Mapped[datetime | None]


class ContentExportRow(Base):
    """One export under an approved request; a killed one never gets its `finished_at`."""

    __tablename__ = "content_export"

    export_id: Mapped[int] = mapped_column(primary_key=True)
    access_id: Mapped[int] = mapped_column(ForeignKey("content_access.access_id"), index=True)
    officer: Mapped[str] = mapped_column(String(255))
    begun_at: Mapped[datetime]
    staging: Mapped[str]
    target: Mapped[str]
    finished_at: Mapped[datetime | None]
    messages: Mapped[int | None]
    octets: Mapped[int | None] = mapped_column(BigInteger)
    digest: Mapped[str | None] = mapped_column(String(64))


class SentNotice(Base):
    """A notice that was sent, by its key."""

    __tablename__ = "sent_notice"

    key: Mapped[str] = mapped_column(String(255), primary_key=True)
    sent_at: Mapped[datetime]


class VoidNotice(Base):
    """A notice that was sent by a clock that was ahead: it counts as not sent."""

    __tablename__ = "void_notice"
    __table_args__ = ({"sqlite_autoincrement": True},)

    void_id: Mapped[int] = mapped_column(primary_key=True)
    key: Mapped[str] = mapped_column(String(255), index=True)
    told: Mapped[bool] = mapped_column(default=False)
    """Its readers have been notified that it is void."""


class IncidentRow(Base):
    """An incident (Reg. 14.4) as it is known now; its notes say how that came to be known."""

    __tablename__ = "incident"

    incident_id: Mapped[int] = mapped_column(primary_key=True)
    kind: Mapped[str] = mapped_column(String(16))
    severity: Mapped[str] = mapped_column(String(16))
    title: Mapped[str]
    reporter: Mapped[str] = mapped_column(String(255))
    unit_id: Mapped[int | None] = mapped_column(ForeignKey("unit.unit_id"))
    channel: Mapped[str | None] = mapped_column(String(16))
    document: Mapped[str | None] = mapped_column(String(255))
    began_at: Mapped[datetime]
    ended_at: Mapped[datetime | None]
    units: Mapped[str]
    """JSON: ids of other units that it concerns."""
    mailboxes: Mapped[str]
    """JSON: addresses."""
    opened_at: Mapped[datetime]
    opened_by: Mapped[str] = mapped_column(String(255))
    request_id: Mapped[int | None] = mapped_column(ForeignKey("request.request_id"), unique=True)
    closed_at: Mapped[datetime | None]
    closed_by: Mapped[str | None] = mapped_column(String(255))
    result: Mapped[str | None]
    report: Mapped[str | None] = mapped_column(String(255))


class IncidentNote(Base):
    """A finding about an incident, or a measure taken; appended, never changed."""

    __tablename__ = "incident_note"

    note_id: Mapped[int] = mapped_column(primary_key=True)
    incident_id: Mapped[int] = mapped_column(ForeignKey("incident.incident_id"), index=True)
    at: Mapped[datetime]
    actor: Mapped[str] = mapped_column(String(255))
    text: Mapped[str]
    measure: Mapped[bool]


class IncidentDowntime(Base):
    """The link of a downtime to the incident that caused it (Reg. 10.3)."""

    __tablename__ = "incident_downtime"

    incident_id: Mapped[int] = mapped_column(ForeignKey("incident.incident_id"), primary_key=True, autoincrement=False)
    downtime_id: Mapped[int] = mapped_column(ForeignKey("downtime.downtime_id"), primary_key=True, autoincrement=False)


class CensusRow(Base):
    """The list of a unit (Reg. 14.6): `lines` as `policy.census` encodes them."""

    __tablename__ = "census"

    census_id: Mapped[int] = mapped_column(primary_key=True)
    unit_id: Mapped[int] = mapped_column(ForeignKey("unit.unit_id"), index=True)
    period: Mapped[date]
    made_at: Mapped[datetime]
    actor: Mapped[str] = mapped_column(String(255))
    lines: Mapped[str]
    confirmed_at: Mapped[datetime | None]
    confirmed_by: Mapped[str | None] = mapped_column(String(255))
    document: Mapped[str | None] = mapped_column(String(255))


class CensusDispute(Base):
    """The line of a census that a unit's request disputes (Reg. 14.3)."""

    __tablename__ = "census_dispute"

    request_id: Mapped[int] = mapped_column(ForeignKey("request.request_id"), primary_key=True, autoincrement=False)
    census_id: Mapped[int] = mapped_column(ForeignKey("census.census_id"), index=True)
    line: Mapped[str] = mapped_column(String(64))


class MigrationPlanRow(Base):
    """A unit that still uses another mail system, and its plan to leave it (Reg. 14.5)."""

    __tablename__ = "elsewhere"

    plan_id: Mapped[int] = mapped_column(primary_key=True)
    unit_id: Mapped[int] = mapped_column(ForeignKey("unit.unit_id"), index=True)
    system: Mapped[str] = mapped_column(String(255))
    mailboxes: Mapped[int]
    planned_on: Mapped[date]
    contact: Mapped[str] = mapped_column(String(255))
    recorded_at: Mapped[datetime]
    actor: Mapped[str] = mapped_column(String(255))
    document: Mapped[str | None] = mapped_column(String(255))
    ended_at: Mapped[datetime | None]
    ended_by: Mapped[str | None] = mapped_column(String(255))
    done: Mapped[bool] = mapped_column(default=False)
    end_document: Mapped[str | None] = mapped_column(String(255))


class PositionLevel(Base):
    """The level of a title (Reg. 6.4.c), as the Centre has entered it; overrides the built-in one."""

    __tablename__ = "position_level"

    title: Mapped[str] = mapped_column(String(255), primary_key=True)
    level: Mapped[str | None] = mapped_column(String(16))
    """Empty: not known, asked for when it is needed."""


class SignatoryRow(Base):
    """The term of a person who may sign a conclusion for the ministry's leadership (Reg. 7.2.b)."""

    __tablename__ = "signatory"

    signatory_id: Mapped[int] = mapped_column(primary_key=True)
    full_name: Mapped[str] = mapped_column(String(255))
    position: Mapped[str] = mapped_column(String(255))
    since: Mapped[date]
    until: Mapped[date | None]
    """The last day."""
    document: Mapped[str] = mapped_column(String(255))
    end_document: Mapped[str | None] = mapped_column(String(255))


class OrderRow(Base):
    """An order that changes the directory (Reg. 6.2, 6.5).

    `details` are as `policy.directory_changes.OrderKind` lists them.
    """

    __tablename__ = "change_order"
    __table_args__ = ({"sqlite_autoincrement": True},)

    order_id: Mapped[int] = mapped_column(primary_key=True)
    act: Mapped[str] = mapped_column(String(16))
    details: Mapped[str]
    """JSON."""
    effective_at: Mapped[datetime]
    recorded_at: Mapped[datetime]
    actor: Mapped[str] = mapped_column(String(255))
    reason: Mapped[str]
    document: Mapped[str | None] = mapped_column(String(255))
    request_id: Mapped[int | None] = mapped_column(ForeignKey("request.request_id"), unique=True)
    applied_at: Mapped[datetime | None]
    cancelled_at: Mapped[datetime | None]
    hindrance: Mapped[Text | None]


class ChangeRow(Base):
    """One value that an order changed; appended, never changed."""

    __tablename__ = "directory_change"
    __table_args__ = (Index(None, "subject", "key"),)

    change_id: Mapped[int] = mapped_column(primary_key=True)
    order_id: Mapped[int] = mapped_column(ForeignKey("change_order.order_id"), index=True)
    subject: Mapped[str] = mapped_column(String(16))
    key: Mapped[str] = mapped_column(String(320))
    field: Mapped[str] = mapped_column(String(32))
    old: Mapped[str | None]
    new: Mapped[str | None]


class RequestRow(Base):
    """A request to the Centre (Reg. 6.2); its deadline is not stored here: it follows from the calendar."""

    __tablename__ = "request"
    __table_args__ = (UniqueConstraint("batch", "row"),)

    request_id: Mapped[int] = mapped_column(primary_key=True)
    kind: Mapped[str] = mapped_column(String(16))
    channel: Mapped[str] = mapped_column(String(16))
    state: Mapped[str] = mapped_column(String(16), index=True)
    asker: Mapped[str] = mapped_column(String(255))
    unit_id: Mapped[int] = mapped_column(ForeignKey("unit.unit_id"), index=True)
    received_at: Mapped[datetime]
    document: Mapped[str | None] = mapped_column(String(255))
    document_date: Mapped[date | None]
    items: Mapped[str]
    """JSON: the items that the kind of request needs."""
    opened_by: Mapped[str] = mapped_column(String(255))
    opened_at: Mapped[datetime]
    batch: Mapped[str | None] = mapped_column(String(255))
    row: Mapped[int | None]
    handler: Mapped[str | None] = mapped_column(String(255))
    handled_at: Mapped[datetime | None]
    result: Mapped[str | None]
    hindrance: Mapped[Text | None]
    person_id: Mapped[int | None] = mapped_column(ForeignKey("person.person_id"))
    mailbox_id: Mapped[int | None] = mapped_column(ForeignKey("mailbox.mailbox_id"))


class RequestMail(Base):
    """A mail that was searched for requests, once, and the answer to it."""

    __tablename__ = "request_mail"

    key: Mapped[str] = mapped_column(String(255), primary_key=True)
    read_at: Mapped[datetime]
    outcomes: Mapped[str]
    """JSON: the outcome of each row."""
    sender: Mapped[str | None] = mapped_column(String(255))
    """The unit's mailbox that gets the answer; NULL for mail that was read, and answered, before revision 0009."""
    unit_id: Mapped[int | None]
    message_id: Mapped[str | None]
    """The Message-ID that the answer refers to, without brackets."""


class ReadingMark(Base):
    """The last UID up to which a mailbox was read, except for deferred messages, under this UIDVALIDITY."""

    __tablename__ = "reading_mark"

    name: Mapped[str] = mapped_column(String(64), primary_key=True)
    uidvalidity: Mapped[int] = mapped_column(BigInteger)
    uid: Mapped[int] = mapped_column(BigInteger)


class DeferredMailRow(Base):
    """A message that could not be read in its turn, and that the mailbox's reader tries again."""

    __tablename__ = "reading_debt"

    name: Mapped[str] = mapped_column(String(64), primary_key=True)
    uid: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    since: Mapped[datetime]
    tried_at: Mapped[datetime]


ALL_TABLES = Base.metadata
"""These tables and those of `model`."""
