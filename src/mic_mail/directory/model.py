"""The tables of the directory.

One `MetaData` with a naming convention, so that constraints keep their names through every migration. Instants are stored as
microseconds since the epoch in UTC. A test compares the tables with those that a released version made and the migrations have
brought up to date.

The database itself enforces: an address belongs to one mailbox for ever (Reg. 5.2, 5.4.a), a mailbox has one primary address, a
fact's number occurs once in a chain, facts are neither changed nor deleted.
"""

import json
from datetime import UTC, date, datetime, timedelta
from enum import StrEnum

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Connection,
    Dialect,
    ForeignKey,
    Index,
    LargeBinary,
    MetaData,
    String,
    Table,
    TypeDecorator,
    UniqueConstraint,
    event,
    text,
)
from sqlalchemy import Date as Day
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from mic_mail.errors import Text

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


def to_microseconds(instant: datetime) -> int:
    """Return the exact number of microseconds: a float of seconds would lose the last digit."""
    return (instant - _EPOCH) // _MICROSECOND


def from_microseconds(number: int) -> datetime:
    return _EPOCH + timedelta(microseconds=number)


class Instant(TypeDecorator[datetime]):
    """An aware instant, stored as microseconds since the epoch."""

    impl = BigInteger
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> int | None:
        return None if value is None else to_microseconds(value)

    def process_result_value(self, value: int | None, dialect: Dialect) -> datetime | None:
        return None if value is None else from_microseconds(value)


class Sentence(TypeDecorator[Text]):
    """A sentence for people, stored in both languages as JSON."""

    impl = String
    cache_ok = True

    def process_bind_param(self, value: Text | None, dialect: Dialect) -> str | None:
        return None if value is None else json.dumps({"vi": value.vi, "en": value.en}, ensure_ascii=False)

    def process_result_value(self, value: str | None, dialect: Dialect) -> Text | None:
        return None if value is None else Text(**json.loads(value))


class Base(DeclarativeBase):
    """All tables of the directory."""

    metadata = MetaData(
        naming_convention={
            "ix": "ix_%(table_name)s_%(column_0_N_name)s",
            "uq": "uq_%(table_name)s_%(column_0_N_name)s",
            "ck": "ck_%(table_name)s_%(constraint_name)s",
            "fk": "fk_%(table_name)s_%(column_0_name)s_%(referred_table_name)s",
            "pk": "pk_%(table_name)s",
        }
    )


class Role(StrEnum):
    """The role of an address for its mailbox; `former` ones deliver nowhere but stay taken."""

    PRIMARY = "primary"
    ALIAS = "alias"
    FORMER = "former"


class Revision(Base):
    """A single row that grows with every change, so that workers notice changes with one cheap read."""

    __tablename__ = "revision"
    __table_args__ = (CheckConstraint("revision_id = 1", name="single_row"),)

    revision_id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    version: Mapped[int] = mapped_column(BigInteger)


@event.listens_for(Revision.__table__, "after_create")
def _set_first_version(_table: Table, connection: Connection, **_options: object) -> None:
    connection.exec_driver_sql("INSERT INTO revision (revision_id, version) VALUES (1, 1)")


class Domain(Base):
    """A domain whose addresses are local."""

    __tablename__ = "domain"

    name: Mapped[str] = mapped_column(String(253), primary_key=True)


class CalendarYear(Base):
    """The days of a year that are off, and the weekend days that are worked: ISO days in JSON lists."""

    __tablename__ = "calendar_year"

    year: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    off: Mapped[str]
    worked: Mapped[str]
    document: Mapped[str | None] = mapped_column(String(255))
    provisional: Mapped[bool]
    """The year is expected, but not announced yet."""


class OfficerRow(Base):
    """The term of an officer of this server (Reg. 6.1)."""

    __tablename__ = "officer"

    officer_id: Mapped[int] = mapped_column(primary_key=True)
    login: Mapped[str] = mapped_column(String(255), index=True)
    full_name: Mapped[str] = mapped_column(String(255))
    role: Mapped[str] = mapped_column(String(16))
    unit_id: Mapped[int | None] = mapped_column(ForeignKey("unit.unit_id"))
    since: Mapped[datetime] = mapped_column(Instant)
    until: Mapped[datetime | None] = mapped_column(Instant)
    document: Mapped[str | None] = mapped_column(String(255))
    person_id: Mapped[int | None] = mapped_column(ForeignKey("person.person_id"))


class ContentAccessRow(Base):
    """A request to open the content of a mailbox, and the decision of a second person (Reg. 4.3)."""

    __tablename__ = "content_access"
    __table_args__ = ({"sqlite_autoincrement": True},)

    access_id: Mapped[int] = mapped_column(primary_key=True)
    mailbox_id: Mapped[int] = mapped_column(ForeignKey("mailbox.mailbox_id"), index=True)
    folder: Mapped[str | None]
    since: Mapped[date | None] = mapped_column(Day)
    until: Mapped[date | None] = mapped_column(Day)
    expunged: Mapped[bool]
    officer: Mapped[str] = mapped_column(String(255))
    login: Mapped[str] = mapped_column(String(255))
    asked_at: Mapped[datetime] = mapped_column(Instant)
    reason: Mapped[str]
    document: Mapped[str] = mapped_column(String(255))
    verdict: Mapped[str | None] = mapped_column(String(16))
    decided_by: Mapped[str | None] = mapped_column(String(255))
    decided_login: Mapped[str | None] = mapped_column(String(255))
    decided_at: Mapped[datetime | None] = mapped_column(Instant)
    decision_reason: Mapped[str | None]
    decision_document: Mapped[str | None] = mapped_column(String(255))
    expires_at: Mapped[datetime | None] = mapped_column(Instant)


class ContentExportRow(Base):
    """One export under an approved request; a killed one never gets its `finished_at`."""

    __tablename__ = "content_export"

    export_id: Mapped[int] = mapped_column(primary_key=True)
    access_id: Mapped[int] = mapped_column(ForeignKey("content_access.access_id"), index=True)
    officer: Mapped[str] = mapped_column(String(255))
    begun_at: Mapped[datetime] = mapped_column(Instant)
    staging: Mapped[str]
    target: Mapped[str]
    finished_at: Mapped[datetime | None] = mapped_column(Instant)
    messages: Mapped[int | None]
    octets: Mapped[int | None] = mapped_column(BigInteger)
    digest: Mapped[str | None] = mapped_column(String(64))


class SentNotice(Base):
    """A notice that was sent, by its key."""

    __tablename__ = "sent_notice"

    key: Mapped[str] = mapped_column(String(255), primary_key=True)
    sent_at: Mapped[datetime] = mapped_column(Instant)


class VoidNotice(Base):
    """A notice that was sent by a clock that was ahead: it counts as not sent."""

    __tablename__ = "void_notice"
    __table_args__ = ({"sqlite_autoincrement": True},)

    void_id: Mapped[int] = mapped_column(primary_key=True)
    key: Mapped[str] = mapped_column(String(255), index=True)
    told: Mapped[bool] = mapped_column(default=False)
    """Its readers have been notified that it is void."""


class DowntimeRow(Base):
    """A span in which the service is down: a downtime (Reg. 10.3) or an incident (10.1)."""

    __tablename__ = "downtime"

    downtime_id: Mapped[int] = mapped_column(primary_key=True)
    starts_at: Mapped[datetime] = mapped_column(Instant)
    ends_at: Mapped[datetime] = mapped_column(Instant, index=True)
    reason: Mapped[str]
    document: Mapped[str | None] = mapped_column(String(255))
    incident: Mapped[bool]
    announced_at: Mapped[datetime] = mapped_column(Instant)
    actor: Mapped[str] = mapped_column(String(255))
    cancelled_at: Mapped[datetime | None] = mapped_column(Instant)
    report: Mapped[str | None] = mapped_column(String(255))
    reported_at: Mapped[datetime | None] = mapped_column(Instant)


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
    began_at: Mapped[datetime] = mapped_column(Instant)
    ended_at: Mapped[datetime | None] = mapped_column(Instant)
    units: Mapped[str]
    """JSON: ids of other units that it concerns."""
    mailboxes: Mapped[str]
    """JSON: addresses."""
    opened_at: Mapped[datetime] = mapped_column(Instant)
    opened_by: Mapped[str] = mapped_column(String(255))
    request_id: Mapped[int | None] = mapped_column(ForeignKey("request.request_id"), unique=True)
    closed_at: Mapped[datetime | None] = mapped_column(Instant)
    closed_by: Mapped[str | None] = mapped_column(String(255))
    result: Mapped[str | None]
    report: Mapped[str | None] = mapped_column(String(255))


class IncidentNote(Base):
    """A finding about an incident, or a measure taken; appended, never changed."""

    __tablename__ = "incident_note"

    note_id: Mapped[int] = mapped_column(primary_key=True)
    incident_id: Mapped[int] = mapped_column(ForeignKey("incident.incident_id"), index=True)
    at: Mapped[datetime] = mapped_column(Instant)
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
    period: Mapped[date] = mapped_column(Day)
    made_at: Mapped[datetime] = mapped_column(Instant)
    actor: Mapped[str] = mapped_column(String(255))
    lines: Mapped[str]
    confirmed_at: Mapped[datetime | None] = mapped_column(Instant)
    confirmed_by: Mapped[str | None] = mapped_column(String(255))
    document: Mapped[str | None] = mapped_column(String(255))


class CensusDispute(Base):
    """The line of a census that a unit's request disputes (Reg. 14.3)."""

    __tablename__ = "census_dispute"

    request_id: Mapped[int] = mapped_column(ForeignKey("request.request_id"), primary_key=True, autoincrement=False)
    census_id: Mapped[int] = mapped_column(ForeignKey("census.census_id"), index=True)
    line: Mapped[str] = mapped_column(String(64))


class ElsewhereRow(Base):
    """A unit that still uses another mail system, and its plan to leave it (Reg. 14.5)."""

    __tablename__ = "elsewhere"

    plan_id: Mapped[int] = mapped_column(primary_key=True)
    unit_id: Mapped[int] = mapped_column(ForeignKey("unit.unit_id"), index=True)
    system: Mapped[str] = mapped_column(String(255))
    mailboxes: Mapped[int]
    planned_on: Mapped[date] = mapped_column(Day)
    contact: Mapped[str] = mapped_column(String(255))
    recorded_at: Mapped[datetime] = mapped_column(Instant)
    actor: Mapped[str] = mapped_column(String(255))
    document: Mapped[str | None] = mapped_column(String(255))
    ended_at: Mapped[datetime | None] = mapped_column(Instant)
    ended_by: Mapped[str | None] = mapped_column(String(255))
    done: Mapped[bool] = mapped_column(default=False)
    end_document: Mapped[str | None] = mapped_column(String(255))


class Unit(Base):
    """A unit of the ministry, its symbol as registered (Reg. 5.1)."""

    __tablename__ = "unit"

    unit_id: Mapped[int] = mapped_column(primary_key=True)
    symbol: Mapped[str] = mapped_column(String(64), unique=True)
    name: Mapped[str] = mapped_column(String(255))
    parent_id: Mapped[int | None] = mapped_column(ForeignKey("unit.unit_id"), index=True)
    document: Mapped[str | None] = mapped_column(String(255))
    ended_on: Mapped[date | None] = mapped_column(Day)
    """The first day on which the unit no longer exists."""
    successor_id: Mapped[int | None]
    """The unit that took over from this one."""


class Person(Base):
    """A person, with or without a mailbox (Reg. 2.6)."""

    __tablename__ = "person"

    person_id: Mapped[int] = mapped_column(primary_key=True)
    full_name: Mapped[str] = mapped_column(String(255), index=True)
    unit_id: Mapped[int] = mapped_column(ForeignKey("unit.unit_id"), index=True)
    position: Mapped[str] = mapped_column(String(255))
    level: Mapped[str | None] = mapped_column(String(16))
    employment: Mapped[str] = mapped_column(String(32))
    contract_from: Mapped[date | None] = mapped_column(Day)
    contract_until: Mapped[date | None] = mapped_column(Day)


class Mailbox(Base):
    """A mailbox; its lifecycle state is not stored here: it follows from its facts."""

    __tablename__ = "mailbox"

    mailbox_id: Mapped[int] = mapped_column(primary_key=True)
    kind: Mapped[str] = mapped_column(String(16))
    home: Mapped[str] = mapped_column(String(320), unique=True)
    display_name: Mapped[str] = mapped_column(String(255))
    quota_octets: Mapped[int] = mapped_column(BigInteger)
    person_id: Mapped[int | None] = mapped_column(ForeignKey("person.person_id"), index=True)
    unit_id: Mapped[int | None] = mapped_column(ForeignKey("unit.unit_id"), index=True)
    capabilities_hidden: Mapped[str] = mapped_column(String(1024), default="")
    changed_version: Mapped[int] = mapped_column(BigInteger, index=True)
    """The version of the directory that last touched this mailbox or anything that belongs to it."""


_IS_PRIMARY = text("role = 'primary'")


class Address(Base):
    """Every address that was ever given out, of any kind; the key makes each unique."""

    __tablename__ = "address"
    __table_args__ = (
        Index("uq_address_primary", "mailbox_id", unique=True, sqlite_where=_IS_PRIMARY, postgresql_where=_IS_PRIMARY),
    )

    address: Mapped[str] = mapped_column(String(320), primary_key=True)
    mailbox_id: Mapped[int] = mapped_column(ForeignKey("mailbox.mailbox_id"), index=True)
    role: Mapped[str] = mapped_column(String(16))
    until: Mapped[date | None] = mapped_column(Day)
    """The last day of an alias that is retained for a time."""


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
    since: Mapped[date] = mapped_column(Day)
    until: Mapped[date | None] = mapped_column(Day)
    """The last day."""
    document: Mapped[str] = mapped_column(String(255))
    end_document: Mapped[str | None] = mapped_column(String(255))


class OrderRow(Base):
    """An order that changes the directory (Reg. 6.2, 6.5).

    `details` are as `policy.directory_changes.Act` lists them.
    """

    __tablename__ = "change_order"
    __table_args__ = ({"sqlite_autoincrement": True},)

    order_id: Mapped[int] = mapped_column(primary_key=True)
    act: Mapped[str] = mapped_column(String(16))
    details: Mapped[str]
    """JSON."""
    effective_at: Mapped[datetime] = mapped_column(Instant)
    recorded_at: Mapped[datetime] = mapped_column(Instant)
    actor: Mapped[str] = mapped_column(String(255))
    reason: Mapped[str]
    document: Mapped[str | None] = mapped_column(String(255))
    request_id: Mapped[int | None] = mapped_column(ForeignKey("request.request_id"), unique=True)
    applied_at: Mapped[datetime | None] = mapped_column(Instant)
    cancelled_at: Mapped[datetime | None] = mapped_column(Instant)
    hindrance: Mapped[Text | None] = mapped_column(Sentence)


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


class FactRow(Base):
    """A fact as `policy.facts` encodes it; appended, never changed."""

    __tablename__ = "fact"
    __table_args__ = (
        UniqueConstraint("mailbox_id", "seq"),
        {"sqlite_autoincrement": True},
    )

    fact_id: Mapped[int] = mapped_column(primary_key=True)
    mailbox_id: Mapped[int] = mapped_column(ForeignKey("mailbox.mailbox_id"))
    seq: Mapped[int]
    kind: Mapped[str] = mapped_column(String(32))
    effective_at: Mapped[datetime] = mapped_column(Instant)
    recorded_at: Mapped[datetime] = mapped_column(Instant)
    actor: Mapped[str] = mapped_column(String(255))
    reason: Mapped[str]
    document: Mapped[str | None]
    data: Mapped[str]
    digest: Mapped[bytes] = mapped_column(LargeBinary(32))


@event.listens_for(FactRow.__table__, "after_create")
def _protect_facts(_table: Table, connection: Connection, **_options: object) -> None:
    if connection.dialect.name == "sqlite":
        for verb in ("UPDATE", "DELETE"):
            connection.exec_driver_sql(
                f"CREATE TRIGGER fact_no_{verb.lower()} BEFORE {verb} ON fact "
                "BEGIN SELECT RAISE(ABORT, 'facts are only ever appended'); END"
            )


class CredentialRow(Base):
    """A mailbox's verifiers; version 0 means no credential yet."""

    __tablename__ = "credential"

    mailbox_id: Mapped[int] = mapped_column(ForeignKey("mailbox.mailbox_id"), primary_key=True, autoincrement=False)
    version: Mapped[int]
    argon2: Mapped[str] = mapped_column(String(255))
    scram_salt: Mapped[bytes | None] = mapped_column(LargeBinary)
    scram_iterations: Mapped[int | None]
    scram_stored_key: Mapped[bytes | None] = mapped_column(LargeBinary)
    scram_server_key: Mapped[bytes | None] = mapped_column(LargeBinary)


class FormerCredentialRow(Base):
    """Verifiers of a mailbox's previous passwords (Reg. 15.2): the last `FORMER_PASSWORDS` of them."""

    __tablename__ = "former_credential"

    mailbox_id: Mapped[int] = mapped_column(ForeignKey("mailbox.mailbox_id"), primary_key=True, autoincrement=False)
    version: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    argon2: Mapped[str] = mapped_column(String(255))


class AppPasswordRow(Base):
    """The verifiers of an app password, and its last use; its existence and its state follow from facts."""

    __tablename__ = "app_password"

    mailbox_id: Mapped[int] = mapped_column(ForeignKey("mailbox.mailbox_id"), primary_key=True, autoincrement=False)
    number: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    """The number of the fact that added it."""
    salt: Mapped[bytes | None] = mapped_column(LargeBinary)
    """Empty, with all verifiers, once the app password was revoked."""
    digest: Mapped[bytes | None] = mapped_column(LargeBinary)
    scram_salt: Mapped[bytes | None] = mapped_column(LargeBinary)
    scram_iterations: Mapped[int | None]
    scram_stored_key: Mapped[bytes | None] = mapped_column(LargeBinary)
    scram_server_key: Mapped[bytes | None] = mapped_column(LargeBinary)
    used_at: Mapped[datetime | None] = mapped_column(Instant)
    used_door: Mapped[str | None] = mapped_column(String(16))
    used_network: Mapped[str | None] = mapped_column(String(64))


class SecondFactorRow(Base):
    """The sealed secret of a second factor, and how far its codes are used up.

    A mailbox's facts say whether it has one.
    """

    __tablename__ = "second_factor"

    holder: Mapped[str] = mapped_column(String(320), primary_key=True)
    """`mailbox/12` or `officer/mai`."""
    number: Mapped[int]
    """The number of the fact that set a mailbox's factor; 0 for an officer's."""
    sealed: Mapped[bytes] = mapped_column(LargeBinary)
    set_at: Mapped[datetime] = mapped_column(Instant)
    last_step: Mapped[int] = mapped_column(BigInteger)
    """The step of the last accepted code: it and all earlier codes are used up (RFC 6238 §5.2)."""
    wrong: Mapped[int]
    """Wrong codes since the last right one."""


class RecoveryCodeRow(Base):
    """A code for one sign-in without the device."""

    __tablename__ = "recovery_code"

    holder: Mapped[str] = mapped_column(String(320), primary_key=True)
    digest: Mapped[bytes] = mapped_column(LargeBinary(32), primary_key=True)
    used_at: Mapped[datetime | None] = mapped_column(Instant)


class Activity(Base):
    """The day on which a mailbox was last used.

    Outside the chain, because it changes daily and proves nothing.
    """

    __tablename__ = "activity"

    mailbox_id: Mapped[int] = mapped_column(ForeignKey("mailbox.mailbox_id"), primary_key=True, autoincrement=False)
    last_used_at: Mapped[datetime] = mapped_column(Instant)


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
    received_at: Mapped[datetime] = mapped_column(Instant)
    document: Mapped[str | None] = mapped_column(String(255))
    document_date: Mapped[date | None] = mapped_column(Day)
    items: Mapped[str]
    """JSON: the items that the kind of request needs."""
    opened_by: Mapped[str] = mapped_column(String(255))
    opened_at: Mapped[datetime] = mapped_column(Instant)
    batch: Mapped[str | None] = mapped_column(String(255))
    row: Mapped[int | None]
    handler: Mapped[str | None] = mapped_column(String(255))
    handled_at: Mapped[datetime | None] = mapped_column(Instant)
    result: Mapped[str | None]
    hindrance: Mapped[Text | None] = mapped_column(Sentence)
    person_id: Mapped[int | None] = mapped_column(ForeignKey("person.person_id"))
    mailbox_id: Mapped[int | None] = mapped_column(ForeignKey("mailbox.mailbox_id"))


class RequestMail(Base):
    """A mail that was searched for requests, once, and the answer to it."""

    __tablename__ = "request_mail"

    key: Mapped[str] = mapped_column(String(255), primary_key=True)
    read_at: Mapped[datetime] = mapped_column(Instant)
    outcomes: Mapped[str]
    """JSON: the outcome of each row."""
    sender: Mapped[str | None] = mapped_column(String(255))
    """The unit's mailbox that gets the answer."""
    unit_id: Mapped[int | None]
    message_id: Mapped[str | None]
    """The Message-ID that the answer refers to, without brackets."""


class ReadingMark(Base):
    """The last UID up to which a mailbox was read, except for the debts, under this UIDVALIDITY."""

    __tablename__ = "reading_mark"

    name: Mapped[str] = mapped_column(String(64), primary_key=True)
    uidvalidity: Mapped[int] = mapped_column(BigInteger)
    uid: Mapped[int] = mapped_column(BigInteger)


class ReadingDebt(Base):
    """A message that could not be read in its turn, and that the mailbox's reader tries again."""

    __tablename__ = "reading_debt"

    name: Mapped[str] = mapped_column(String(64), primary_key=True)
    uid: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    since: Mapped[datetime] = mapped_column(Instant)
    tried_at: Mapped[datetime] = mapped_column(Instant)
