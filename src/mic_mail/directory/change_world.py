"""The part of the directory that an order of changes concerns, and its loading."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from sqlalchemy import or_, select
from sqlalchemy.orm import InstrumentedAttribute, Session

from mic_mail.directory import mailbox_rows, person_rows, snapshot_loader
from mic_mail.directory.engine import rows_of
from mic_mail.directory.model import Address, Domain, Mailbox, OfficerRow, Person, Unit
from mic_mail.directory.records import AddressRecord, AddressRole, MailboxRecord, PersonRecord, UnitRecord
from mic_mail.directory.register_model import IncidentRow, MigrationPlanRow, PositionLevel, RequestRow
from mic_mail.directory.transactions import among, to_record
from mic_mail.policy.directory_changes import Order, OrderKind, Subject
from mic_mail.policy.facts import Fact, Level, MailboxKind
from mic_mail.policy.leavers import reclaimed_on_request
from mic_mail.policy.ranks import Table
from mic_mail.policy.requests import PENDING
from mic_mail.policy.unit_mail.delegation import Grant, Part, grants
from mic_mail.policy.unit_mail.handover import running


@dataclass(frozen=True, slots=True)
class World:
    """The part of the directory that an order concerns."""

    units: Mapping[int, UnitRecord]
    """All units."""
    domains: Collection[str]
    levels: Table
    people: Sequence[PersonRecord] = ()
    mailboxes: Sequence[MailboxRecord] = ()
    addresses: Sequence[AddressRecord] = ()
    """The addresses of the mailboxes; for an order about a domain, its addresses that are in use."""
    keepers: Mapping[int, Sequence[Grant]] = field(default_factory=dict)
    """The named keepers whose terms are not over, by unit mailbox."""
    reclaimed: Collection[int] = frozenset()
    """Mailboxes of units and groups that are reclaimed."""
    handed_over: Collection[int] = frozenset()
    """Unit mailboxes whose handover is in progress (Reg. 12.3.d)."""
    officers: Mapping[int, int] = field(default_factory=dict)
    """Terms of unit administrators that are not over, by row -> unit."""
    open_rows: Mapping[Subject, Mapping[int, int]] = field(default_factory=dict)
    """Pending requests, open plans and incidents, by row -> unit."""


def load_world(session: Session, order: Order) -> World:
    """Load what the order concerns, as its transaction sees it."""
    details: Mapping[str, Any] = order.details
    units = {row.unit_id: to_record(row, UnitRecord) for row in session.scalars(select(Unit))}
    world = World(units, frozenset(session.scalars(select(Domain.name))), levels(session))
    match order.act:
        case OrderKind.PERSON:
            person = details["person"]
            people = person_rows.read(session, Person.person_id == person)
            own = _mailboxes(session, Mailbox.person_id, [person])
            return replace(world, people=people, mailboxes=own, addresses=_addresses(session, own))
        case OrderKind.LEVEL:
            return replace(
                world, people=person_rows.read(session), mailboxes=mailbox_rows.read(session, Mailbox.person_id.is_not(None))
            )
        case OrderKind.ADDRESS:
            mailboxes = _mailboxes(session, Mailbox.mailbox_id, [mailbox_id for mailbox_id, _ in details["moves"]])
            return replace(world, mailboxes=mailboxes, addresses=_addresses(session, mailboxes))
        case OrderKind.DOMAIN:
            living = Address.role != AddressRole.FORMER, Address.address.endswith(f"@{details['name']}", autoescape=True)
            rows = session.scalars(select(Address).where(*living).order_by(Address.address).limit(5))
            return replace(world, addresses=[to_record(row, AddressRecord) for row in rows])
        case OrderKind.UNIT | OrderKind.CLOSE:
            return _of_units(session, world, [details["unit"]], order.effective_at)
        case OrderKind.MERGE:
            return _of_units(session, world, [*details["units"], details["into"]], order.effective_at)
        case OrderKind.SPLIT:
            to = [each["to"] for each in details["moves"]]
            rest = details.get("rest")
            return _of_units(session, world, [details["unit"], *to, *([] if rest is None else [rest])], order.effective_at)


def _of_units(session: Session, world: World, unit_ids: Sequence[int], at: datetime) -> World:
    mailboxes = mailbox_rows.read(session, Mailbox.unit_id.in_(unit_ids))
    persons = person_rows.read(session, Person.unit_id.in_(unit_ids))
    chains = {each.mailbox_id: snapshot_loader.facts_of(rows_of(session.connection()), each.mailbox_id) for each in mailboxes}
    keepers = {
        each.mailbox_id: [
            grant
            for grant in grants(MailboxKind.UNIT, chains[each.mailbox_id])
            if grant.part is Part.KEEPER and (grant.until is None or grant.until > at)
        ]
        for each in mailboxes
        if each.kind is MailboxKind.UNIT
    }
    own = _mailboxes(session, Mailbox.person_id, [person.person_id for person in persons])
    terms = select(OfficerRow.officer_id, OfficerRow.unit_id).where(
        OfficerRow.unit_id.in_(unit_ids), or_(OfficerRow.until.is_(None), OfficerRow.until > at)
    )
    open_rows: dict[Subject, Any] = {
        Subject.REQUEST: select(RequestRow.request_id, RequestRow.unit_id).where(RequestRow.state.in_(PENDING)),
        Subject.PLAN: select(MigrationPlanRow.plan_id, MigrationPlanRow.unit_id).where(MigrationPlanRow.ended_at.is_(None)),
        Subject.INCIDENT: select(IncidentRow.incident_id, IncidentRow.unit_id).where(IncidentRow.closed_at.is_(None)),
    }
    return replace(
        world,
        people=persons,
        mailboxes=[*mailboxes, *own],
        addresses=_addresses(session, [*mailboxes, *own]),
        keepers=keepers,
        reclaimed=frozenset(number for number, facts in chains.items() if _is_reclaimed(facts)),
        handed_over=frozenset(number for number, facts in chains.items() if running(facts) is not None),
        officers={row: of for row, of in session.execute(terms) if of is not None},
        open_rows={
            subject: {row: of for row, of in session.execute(wanted) if of in unit_ids} for subject, wanted in open_rows.items()
        },
    )


def _is_reclaimed(facts: Sequence[Fact]) -> bool:
    """Return whether the mailbox of a unit or group is reclaimed.

    No term reclaims such a mailbox, only a request (Reg. 6.2); one that was issued again since is not reclaimed.
    """
    return any(span.until is None for span in reclaimed_on_request(facts))


def levels(session: Session) -> dict[str, Level | None]:
    rows = session.scalars(select(PositionLevel).order_by(PositionLevel.title))
    return {row.title: Level(row.level) if row.level else None for row in rows}


def _mailboxes(session: Session, column: InstrumentedAttribute[Any], keys: Sequence[int]) -> list[MailboxRecord]:
    return [each for condition in among(column, keys) for each in mailbox_rows.read(session, condition)]


def _addresses(session: Session, mailboxes: Sequence[MailboxRecord]) -> list[AddressRecord]:
    return [
        to_record(row, AddressRecord)
        for condition in among(Address.mailbox_id, [each.mailbox_id for each in mailboxes])
        for row in session.scalars(select(Address).where(condition).order_by(Address.address))
    ]
