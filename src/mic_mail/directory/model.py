"""The tables of units, people, mailboxes, officers, the calendar and downtimes.

The other registers are in `register_model`.

One `MetaData` with a naming convention, so that constraints keep their names through every migration. Instants are stored as
microseconds since the epoch in UTC. A test compares the tables with those that a released version made and the migrations have
brought up to date.

The database itself enforces: an address belongs to one mailbox for ever (Reg. 5.2, 5.4.a), a mailbox has one primary address, a
fact's number occurs once in a chain, facts are neither changed nor deleted.
"""

import json
from datetime import date, datetime
from typing import Any, ClassVar

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Connection,
    Dialect,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    TypeDecorator,
    UniqueConstraint,
    event,
    text,
)
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from mic_mail.directory.instants import from_microseconds, to_microseconds
from mic_mail.errors import Text


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

    type_annotation_map: ClassVar[Any] = {
        datetime: Instant,
        Text: Sentence,
        int: Integer().with_variant(BigInteger(), "postgresql"),  # SQLite's has 64 bits, PostgreSQL's 32
    }
    metadata = MetaData(
        naming_convention={
            "ix": "ix_%(table_name)s_%(column_0_N_name)s",
            "uq": "uq_%(table_name)s_%(column_0_N_name)s",
            "ck": "ck_%(table_name)s_%(constraint_name)s",
            "fk": "fk_%(table_name)s_%(column_0_name)s_%(referred_table_name)s",
            "pk": "pk_%(table_name)s",
        }
    )


class Revision(Base):
    """A single row that grows with every change, so that workers notice changes with one cheap read."""

    __tablename__ = "revision"
    __table_args__ = (CheckConstraint("revision_id = 1", name="single_row"),)

    revision_id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    version: Mapped[int] = mapped_column(BigInteger)


@event.listens_for(Revision.__table__, "after_create", propagate=True)
def _set_first_version(_table: Table, connection: Connection, **_options: object) -> None:
    connection.exec_driver_sql("INSERT INTO revision (revision_id, version) VALUES (1, 1)")


class Domain(Base):
    """A domain whose addresses are local."""

    __tablename__ = "domain"

    name: Mapped[str] = mapped_column(String(253), primary_key=True)


class Unit(Base):
    """A unit of the ministry, its symbol as registered (Reg. 5.1)."""

    __tablename__ = "unit"

    unit_id: Mapped[int] = mapped_column(primary_key=True)
    symbol: Mapped[str] = mapped_column(String(64), unique=True)
    name: Mapped[str] = mapped_column(String(255))
    parent_id: Mapped[int | None] = mapped_column(ForeignKey("unit.unit_id"), index=True)
    document: Mapped[str | None] = mapped_column(String(255))
    ended_on: Mapped[date | None]
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
    contract_from: Mapped[date | None]
    contract_until: Mapped[date | None]


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
        Index("uq_address_primary", "mailbox_id", unique=True, sqlite_where=_IS_PRIMARY),  # PostgreSQL: `_limit_to_primary`
    )

    address: Mapped[str] = mapped_column(String(320), primary_key=True)
    mailbox_id: Mapped[int] = mapped_column(ForeignKey("mailbox.mailbox_id"), index=True)
    role: Mapped[str] = mapped_column(String(16))
    until: Mapped[date | None]
    """The last day of an alias that is retained for a time."""


@event.listens_for(Address.__table__, "before_create", propagate=True)
def _limit_to_primary(table: Table, connection: Connection, **_options: object) -> None:
    """Limit the index of primary addresses to them on PostgreSQL too.

    As an option of the index this would load the dialect of PostgreSQL in every process.
    """
    if connection.dialect.name == "postgresql":
        for index in table.indexes:
            if index.name == "uq_address_primary":
                index.dialect_options["postgresql"]["where"] = _IS_PRIMARY


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
    effective_at: Mapped[datetime]
    recorded_at: Mapped[datetime]
    actor: Mapped[str] = mapped_column(String(255))
    reason: Mapped[str]
    document: Mapped[str | None]
    data: Mapped[str]
    digest: Mapped[bytes] = mapped_column(LargeBinary(32))


@event.listens_for(FactRow.__table__, "after_create", propagate=True)
def _protect_facts(_table: Table, connection: Connection, **_options: object) -> None:
    if connection.dialect.name == "sqlite":
        for verb in ("UPDATE", "DELETE"):
            connection.exec_driver_sql(
                f"CREATE TRIGGER fact_no_{verb.lower()} BEFORE {verb} ON fact "
                "BEGIN SELECT RAISE(ABORT, 'facts are only ever appended'); END"
            )
    elif connection.dialect.name == "postgresql":
        connection.exec_driver_sql(
            "CREATE FUNCTION fact_stays() RETURNS trigger LANGUAGE plpgsql AS "
            "$$ BEGIN RAISE EXCEPTION 'facts are only ever appended'; END $$"
        )
        for verb, each in (("UPDATE", "ROW"), ("DELETE", "ROW"), ("TRUNCATE", "STATEMENT")):
            connection.exec_driver_sql(
                f"CREATE TRIGGER fact_no_{verb.lower()} BEFORE {verb} ON fact FOR EACH {each} EXECUTE FUNCTION fact_stays()"
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
    used_at: Mapped[datetime | None]
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
    set_at: Mapped[datetime]
    last_step: Mapped[int] = mapped_column(BigInteger)
    """The step of the last accepted code: it and all earlier codes are used up (RFC 6238 §5.2)."""
    wrong: Mapped[int]
    """Wrong codes since the last right one."""


class RecoveryCodeRow(Base):
    """A code for one sign-in without the device."""

    __tablename__ = "recovery_code"

    holder: Mapped[str] = mapped_column(String(320), primary_key=True)
    digest: Mapped[bytes] = mapped_column(LargeBinary(32), primary_key=True)
    used_at: Mapped[datetime | None]


class Activity(Base):
    """The day on which a mailbox was last used.

    Outside the chain, because it changes daily and proves nothing.
    """

    __tablename__ = "activity"

    mailbox_id: Mapped[int] = mapped_column(ForeignKey("mailbox.mailbox_id"), primary_key=True, autoincrement=False)
    last_used_at: Mapped[datetime]


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
    since: Mapped[datetime]
    until: Mapped[datetime | None]
    document: Mapped[str | None] = mapped_column(String(255))
    person_id: Mapped[int | None] = mapped_column(ForeignKey("person.person_id"))


class DowntimeRow(Base):
    """A span in which the service is down: a downtime (Reg. 10.3) or an incident (10.1)."""

    __tablename__ = "downtime"

    downtime_id: Mapped[int] = mapped_column(primary_key=True)
    starts_at: Mapped[datetime]
    ends_at: Mapped[datetime] = mapped_column(index=True)
    reason: Mapped[str]
    document: Mapped[str | None] = mapped_column(String(255))
    incident: Mapped[bool]
    announced_at: Mapped[datetime]
    actor: Mapped[str] = mapped_column(String(255))
    cancelled_at: Mapped[datetime | None]
    report: Mapped[str | None] = mapped_column(String(255))
    reported_at: Mapped[datetime | None]
