"""Load a `Snapshot` from the tables: everything, or what changed since the one before.

Plain SQL in one read transaction, grouped by mailbox in Python; ORM entities would take several times as long.
"""

import json
from collections import defaultdict
from collections.abc import Iterator, Sequence

from sqlalchemy import BigInteger, ColumnElement, Connection, func, select, type_coerce
from sqlalchemy.orm import Session

from mic_mail.directory import calendar_years, downtimes, snapshot
from mic_mail.directory.credential_rows import credential, keys_of
from mic_mail.directory.model import (
    Activity,
    Address,
    AddressRole,
    AppPasswordRow,
    CredentialRow,
    Domain,
    FactRow,
    Mailbox,
    Person,
    Revision,
    Unit,
    from_microseconds,
)
from mic_mail.directory.snapshot import Entry, Owner, Snapshot
from mic_mail.policy.calendar import WorkingDays
from mic_mail.policy.credentials.app_passwords import living
from mic_mail.policy.credentials.verifiers import AppCredential, Credential
from mic_mail.policy.facts import Fact, FactKind, MailboxKind

FACTS = select(
    FactRow.mailbox_id,
    FactRow.seq,
    FactRow.kind,
    type_coerce(FactRow.effective_at, BigInteger),
    type_coerce(FactRow.recorded_at, BigInteger),
    FactRow.actor,
    FactRow.reason,
    FactRow.document,
    FactRow.data,
    FactRow.digest,
)
FactColumns = tuple[int, int, str, int, int, str, str, str | None, str, bytes]

_EPOCH = from_microseconds(0)

_MAILBOXES = (
    select(
        Mailbox.mailbox_id,
        Mailbox.kind,
        Mailbox.home,
        Mailbox.display_name,
        Mailbox.quota_octets,
        Mailbox.person_id,
        Mailbox.unit_id,
        Mailbox.capabilities_hidden,
        Person.full_name.label("person_name"),
        Unit.name.label("unit_name"),
        CredentialRow.version,
        CredentialRow.argon2,
        CredentialRow.scram_salt,
        CredentialRow.scram_iterations,
        CredentialRow.scram_stored_key,
        CredentialRow.scram_server_key,
        Activity.last_used_at,
    )
    .outerjoin(Person, Person.person_id == Mailbox.person_id)
    .outerjoin(Unit, Unit.unit_id == Mailbox.unit_id)
    .outerjoin(CredentialRow, CredentialRow.mailbox_id == Mailbox.mailbox_id)
    .outerjoin(Activity, Activity.mailbox_id == Mailbox.mailbox_id)
)


def load(connection: Connection, previous: Snapshot) -> Snapshot:
    """Load the directory as `connection`'s transaction sees it; unchanged entries are those of `previous`."""
    version = connection.scalars(select(Revision.version)).one()
    if version == previous.version:
        return previous
    fact_seq = connection.scalars(select(func.max(FactRow.fact_id))).one() or 0
    domains = connection.scalars(select(Domain.name)).all()
    with Session(connection) as session:
        working_days = WorkingDays.of(calendar_years.of_session(session))
        newest = downtimes.newest_of_session(session)
    changed = _entries(connection, Mailbox.changed_version > previous.version)
    return snapshot.assemble(
        version, fact_seq, domains, changed, previous=previous, working_days=working_days, downtimes=newest
    )


def version(connection: Connection) -> int:
    return connection.scalars(select(Revision.version)).one()


def facts_of(connection: Connection, mailbox_id: int) -> list[Fact]:
    rows = connection.execute(FACTS.where(FactRow.mailbox_id == mailbox_id).order_by(FactRow.seq))
    return [to_fact(row) for row in rows]


def to_fact(row: FactColumns) -> Fact:
    """Return a row of `FACTS` as a fact.

    A damaged one becomes `UNREADABLE`, so that all others can be read.
    """
    mailbox_id, seq, kind, effective_at, recorded_at, actor, reason, document, data, digest = row
    try:
        known, effective, recorded = FactKind(kind), from_microseconds(effective_at), from_microseconds(recorded_at)
        details = dict(json.loads(data))
    except (ValueError, TypeError, OverflowError, RecursionError):
        known, effective, recorded, details = FactKind.UNREADABLE, _EPOCH, _EPOCH, {}
    return Fact(mailbox_id, seq, known, effective, recorded, actor, reason, document, details, digest)


def entry_of(connection: Connection, mailbox_id: int) -> Entry | None:
    """Return one mailbox as a snapshot would hold it."""
    return next(_entries(connection, Mailbox.mailbox_id == mailbox_id), None)


def _entries(connection: Connection, wanted: ColumnElement[bool]) -> Iterator[Entry]:
    facts = _facts(connection, wanted)
    apps = _app_passwords(connection, wanted)
    primary, aliases, kept = _addresses(connection, wanted)
    for row in connection.execute(_MAILBOXES.where(wanted)):
        yield Entry(
            mailbox_id=row.mailbox_id,
            kind=MailboxKind(row.kind),
            address=primary[row.mailbox_id],
            home=row.home,
            quota_octets=row.quota_octets,
            facts=tuple(facts.get(row.mailbox_id, ())),
            credential=Credential(row.version, row.argon2, keys_of(row)) if row.version is not None else None,
            last_activity=row.last_used_at,
            display_name=row.display_name,
            owner=Owner(row.person_id, row.unit_id, row.person_name or row.unit_name or ""),
            aliases=tuple(aliases.get(row.mailbox_id, ())),
            former_own=frozenset(kept.get(row.mailbox_id, ())),
            capabilities_hidden=frozenset(row.capabilities_hidden.split()),
            app_passwords=_usable(apps.get(row.mailbox_id, ()), facts.get(row.mailbox_id, ())),
        )


def _addresses(
    connection: Connection, wanted: ColumnElement[bool]
) -> tuple[dict[int, str], dict[int, list[str]], dict[int, list[str]]]:
    """Return the mailboxes' own addresses, their aliases, and the aliases that were their own address."""
    primary: dict[int, str] = {}
    aliases: dict[int, list[str]] = defaultdict(list)
    kept: dict[int, list[str]] = defaultdict(list)
    live = (
        select(Address.mailbox_id, Address.address, Address.role, Address.until)
        .join(Mailbox, Mailbox.mailbox_id == Address.mailbox_id)
        .where(wanted, Address.role != AddressRole.FORMER)
        .order_by(Address.address)
    )
    for mailbox_id, address, role, until in connection.execute(live):
        if role == AddressRole.PRIMARY:
            primary[mailbox_id] = address
        else:
            aliases[mailbox_id].append(address)
            if until is not None:
                kept[mailbox_id].append(address)
    return primary, aliases, kept


def _app_passwords(connection: Connection, wanted: ColumnElement[bool]) -> dict[int, list[AppCredential]]:
    """Return the verifiers of the app passwords that were not revoked themselves."""
    found: dict[int, list[AppCredential]] = defaultdict(list)
    rows = (
        select(AppPasswordRow)
        .join(Mailbox, Mailbox.mailbox_id == AppPasswordRow.mailbox_id)
        .where(wanted, AppPasswordRow.digest.is_not(None))
        .order_by(AppPasswordRow.mailbox_id, AppPasswordRow.number)
    )
    with Session(connection) as session:
        for row in session.scalars(rows):
            if (made := credential(row)) is not None:
                found[row.mailbox_id].append(made)
    return found


def _usable(made: Sequence[AppCredential], facts: Sequence[Fact]) -> tuple[AppCredential, ...]:
    """Return those that are usable, or were when the newest fact was recorded; no reader needs the others."""
    if not made:
        return ()
    alive = {each.number for each in living(facts, facts[-1].clocked_at)}
    return tuple(each for each in made if each.number in alive)


def _facts(connection: Connection, wanted: ColumnElement[bool]) -> dict[int, list[Fact]]:
    facts: dict[int, list[Fact]] = defaultdict(list)
    chains = (
        FACTS.join(Mailbox, Mailbox.mailbox_id == FactRow.mailbox_id).where(wanted).order_by(FactRow.mailbox_id, FactRow.seq)
    )
    for row in connection.execute(chains):
        fact = to_fact(row)
        facts[fact.mailbox_id].append(fact)
    return facts
