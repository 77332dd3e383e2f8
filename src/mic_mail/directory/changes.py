"""The register of orders that change units, people, addresses, levels and domains (Reg. 6.2, 6.5).

An order is put on record and, where its day has come, carried out in the same transaction: `change_plan` computes the changes,
and every changed value is recorded with the old one. An order for a later day waits; if it is refused on that day, the reason
is recorded with it. A request has at most one order, so one that is approved twice is carried out once. Blocking.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import date, datetime
from typing import Any

from sqlalchemy import ColumnElement, Select, or_, select, update
from sqlalchemy.orm import InstrumentedAttribute, Session

from mic_mail.directory import person_rows, snapshot_loader
from mic_mail.directory.change_plan import ChangePlan, World, plan
from mic_mail.directory.model import Address, Domain, Mailbox, Person, Role, Unit
from mic_mail.directory.records import AddressRecord, DoneBefore, MailboxRecord, UnitRecord
from mic_mail.directory.register_model import (
    ChangeRow,
    IncidentRow,
    MigrationPlanRow,
    OfficerRow,
    OrderRow,
    PositionLevel,
    RequestRow,
)
from mic_mail.directory.transactions import IDS_END, Tables, add_record, not_found, row_of, to_record
from mic_mail.errors import BadInput, Refused, Text
from mic_mail.policy.calendar import local_day, start_of
from mic_mail.policy.directory_changes import Act, Change, ChangeRefused, Order, OrderEntry, Subject
from mic_mail.policy.facts import REQUEST, Detail, Draft, Fact, FactKind, Level, MailboxKind
from mic_mail.policy.leavers import reclaimed_on_request
from mic_mail.policy.ranks import Table
from mic_mail.policy.requests import PENDING
from mic_mail.policy.unit_mail.delegation import Part, grants
from mic_mail.policy.unit_mail.handover import running

MOST_AT_ONCE = 500
"""Keys in one condition: SQLite takes 32,766 parameters, older versions 999."""


Append = Callable[[Session, int, int, Sequence[Draft]], list[Fact]]
"""Appends facts to the record of a mailbox, at a version, within a transaction (`repository.Directory`)."""


class Changes:
    """The orders on record."""

    def __init__(self, tables: Tables, append: Append) -> None:
        self._tables = tables
        self._append = append

    # ------------------------------------------------------------ reading

    def all(self, subject: Subject | None = None, key: str | None = None) -> list[OrderEntry]:
        """Return every order with its changes, in order of record; or only those that changed one row."""
        wanted = select(OrderRow).order_by(OrderRow.order_id)
        if subject is not None:
            of_row = select(ChangeRow.order_id).where(ChangeRow.subject == subject)
            wanted = wanted.where(OrderRow.order_id.in_(of_row if key is None else of_row.where(ChangeRow.key == key)))
        return self._entries(wanted)

    def get(self, number: int) -> OrderEntry:
        known = 0 < number < IDS_END
        found = self._entries(select(OrderRow).where(OrderRow.order_id == number)) if known else []
        if not found:
            raise not_found("thay đổi số", "directory change", number)
        return found[0]

    def pending(self) -> list[OrderEntry]:
        """Return the orders that wait for their day or were refused on it, by day."""
        waits = OrderRow.applied_at.is_(None), OrderRow.cancelled_at.is_(None)
        return self._entries(select(OrderRow).where(*waits).order_by(OrderRow.effective_at, OrderRow.order_id))

    def of_request(self, number: int) -> OrderEntry | None:
        """Return the order that was given on a request; None where there is none."""
        return next(iter(self._entries(select(OrderRow).where(OrderRow.request_id == number))), None)

    def levels(self) -> Table:
        """Return the levels of titles that the Centre has entered."""
        return self._tables.read(_levels)

    def _entries(self, wanted: Select[OrderRow]) -> list[OrderEntry]:
        def look(session: Session) -> list[OrderEntry]:
            entries = [_entry(row) for row in session.scalars(wanted)]
            changes: dict[int, list[Change]] = {}
            numbers = [entry.number for entry in entries]
            for start in range(0, len(numbers), MOST_AT_ONCE):
                of = ChangeRow.order_id.in_(numbers[start : start + MOST_AT_ONCE])
                for row in session.scalars(select(ChangeRow).where(of).order_by(ChangeRow.change_id)):
                    change = Change(Subject(row.subject), row.key, row.field, row.old, row.new)
                    changes.setdefault(row.order_id, []).append(change)
            return [replace(entry, changes=tuple(changes.get(entry.number, ()))) for entry in entries]

        return self._tables.read(look)

    # ------------------------------------------------------------ writing

    def give(self, order: Order, now: datetime) -> OrderEntry:
        """Put an order on record, and carry it out if its day has come.

        A refusal leaves nothing on record. An order for a later day is planned now as well: it is refused if the present
        directory would not allow it.
        """

        def work(session: Session, version: int) -> int:
            if order.request is not None:
                before = select(OrderRow.order_id).where(OrderRow.request_id == order.request)
                if session.scalars(before).first() is not None:
                    raise DoneBefore(
                        Text(
                            f"Yêu cầu số {order.request} đã được thực hiện.",
                            f"Request {order.request} has already been carried out.",
                        ),
                        clause="6.2",
                    )
            row = add_record(
                session,
                OrderRow,
                order,
                details=json.dumps(dict(order.details), ensure_ascii=False, sort_keys=True),
                recorded_at=now,
                request_id=order.request,
            )
            planned = _plan(session, order)
            if order.effective_at <= now:
                self._carry_out(session, version, row, planned, now)
            return row.order_id

        return self.get(self._tables.change(work))

    def carry_out(self, number: int, now: datetime) -> OrderEntry:
        """Carry out an order whose day has come; one that was carried out or cancelled stays as it is.

        Where the directory refuses it now, the reason is recorded as its hindrance, and the order goes on waiting.
        """

        def work(session: Session, version: int) -> None:
            row = session.get_one(OrderRow, number)
            if row.applied_at is not None or row.cancelled_at is not None or row.effective_at > now:
                return
            order = _entry(row).order
            try:
                planned = _plan(session, order)
            except (Refused, BadInput) as refusal:
                row.hindrance = refusal.text
                return
            self._carry_out(session, version, row, planned, now)

        self._tables.change(work)
        return self.get(number)

    def cancel(self, number: int, now: datetime) -> OrderEntry:
        def work(session: Session, _version: int) -> None:
            row = session.get(OrderRow, number)
            if row is None or row.applied_at is not None or row.cancelled_at is not None:
                raise ChangeRefused(
                    Text(f"Thay đổi số {number} không còn chờ.", f"Change {number} is not pending."),
                    clause="6.5",
                    remedy=Text("Ghi một thay đổi khác để đính chính.", "Order another change to correct it."),
                )
            row.cancelled_at = now

        self._tables.change(work)
        return self.get(number)

    def _carry_out(self, session: Session, version: int, row: OrderRow, planned: ChangePlan, now: datetime) -> None:
        order = _entry(row).order
        _write(session, planned.changes)
        for change in planned.changes:
            session.add(row_of(ChangeRow, change, order_id=row.order_id))
        by_mailbox: dict[int, list[Draft]] = {}
        on_request: dict[str, Detail] = {} if order.request is None else {REQUEST: order.request}
        for mailbox_id, kind, data in planned.facts:
            draft = Draft(kind, order.effective_at, order.actor, order.reason, order.document, {**data, **on_request})
            by_mailbox.setdefault(mailbox_id, []).append(draft)
        for mailbox_id, drafts in by_mailbox.items():
            self._append(session, version, mailbox_id, drafts)
        row.applied_at, row.hindrance = now, None

    def release_aliases(self, now: datetime, actor: str) -> list[str]:
        """Release the aliases whose last day is over: they deliver nowhere and stay taken (Reg. 5.4.a).

        Return the addresses.
        """
        today = local_day(now)
        over = select(Address).where(Address.role == Role.ALIAS, Address.until < today).order_by(Address.address)
        if not self._tables.read(lambda session: session.scalars(over.limit(1)).all()):
            return []

        def work(session: Session, version: int) -> list[str]:
            released = session.scalars(over).all()
            for row in released:
                row.role = Role.FORMER
                last = row.until.isoformat() if row.until is not None else None
                draft = Draft(FactKind.ALIAS_REMOVED, now, actor, data={"address": row.address, "until": last})
                self._append(session, version, row.mailbox_id, [draft])
            return [row.address for row in released]

        return self._tables.change(work)


# ------------------------------------------------------------ loading


def _plan(session: Session, order: Order) -> ChangePlan:
    return plan(order, _world(session, order), lambda address: session.get(Address, address) is not None)


def _world(session: Session, order: Order) -> World:
    """Load what the order concerns, as its transaction sees it."""
    details: Mapping[str, Any] = order.details
    units = {row.unit_id: unit_record(row) for row in session.scalars(select(Unit))}
    world = World(units, frozenset(session.scalars(select(Domain.name))), _levels(session))
    match order.act:
        case Act.PERSON:
            person = details["person"]
            found, own = person_rows.read(session, Person.person_id == person), _mailboxes(session, Mailbox.person_id == person)
            return replace(world, people=found, mailboxes=own, addresses=_addresses(session, own))
        case Act.LEVEL:
            return replace(
                world, people=person_rows.read(session), mailboxes=_mailboxes(session, Mailbox.person_id.is_not(None))
            )
        case Act.ADDRESS:
            mailboxes = [
                each
                for part in _parts([mailbox_id for mailbox_id, _ in details["moves"]])
                for each in _mailboxes(session, Mailbox.mailbox_id.in_(part))
            ]
            return replace(world, mailboxes=mailboxes, addresses=_addresses(session, mailboxes))
        case Act.DOMAIN:
            living = Address.role != Role.FORMER, Address.address.endswith(f"@{details['name']}", autoescape=True)
            rows = session.scalars(select(Address).where(*living).order_by(Address.address).limit(5))
            return replace(world, addresses=[address_record(row) for row in rows])
        case Act.UNIT | Act.CLOSE:
            return _of_units(session, world, [details["unit"]], order.effective_at)
        case Act.MERGE:
            return _of_units(session, world, [*details["units"], details["into"]], order.effective_at)
        case Act.SPLIT:
            to = [each["to"] for each in details["moves"]]
            rest = details.get("rest")
            return _of_units(session, world, [details["unit"], *to, *([] if rest is None else [rest])], order.effective_at)


def _of_units(session: Session, world: World, unit_ids: Sequence[int], at: datetime) -> World:
    mailboxes = _mailboxes(session, Mailbox.unit_id.in_(unit_ids))
    persons = person_rows.read(session, Person.unit_id.in_(unit_ids))
    chains = {each.mailbox_id: snapshot_loader.facts_of(session.connection(), each.mailbox_id) for each in mailboxes}
    of_units = {each.mailbox_id for each in mailboxes if each.kind is MailboxKind.UNIT}
    keepers = {
        mailbox_id: [
            grant
            for grant in grants(MailboxKind.UNIT, facts)
            if grant.part is Part.KEEPER and (grant.until is None or grant.until > at)
        ]
        for mailbox_id, facts in chains.items()
        if mailbox_id in of_units
    }
    own = [
        each
        for part in _parts([person.person_id for person in persons])
        for each in _mailboxes(session, Mailbox.person_id.in_(part))
    ]
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


def _levels(session: Session) -> dict[str, Level | None]:
    rows = session.scalars(select(PositionLevel).order_by(PositionLevel.title))
    return {row.title: Level(row.level) if row.level else None for row in rows}


def _mailboxes(session: Session, wanted: ColumnElement[bool]) -> list[MailboxRecord]:
    primary = (Address.mailbox_id == Mailbox.mailbox_id) & (Address.role == Role.PRIMARY)
    rows = session.execute(select(Mailbox, Address.address).join(Address, primary).where(wanted).order_by(Mailbox.mailbox_id))
    return [mailbox_record(row, address) for row, address in rows]


def _addresses(session: Session, mailboxes: Sequence[MailboxRecord]) -> list[AddressRecord]:
    found: list[AddressRecord] = []
    for part in _parts([each.mailbox_id for each in mailboxes]):
        rows = session.scalars(select(Address).where(Address.mailbox_id.in_(part)).order_by(Address.address))
        found += [address_record(row) for row in rows]
    return found


def _parts(numbers: Sequence[int]) -> list[Sequence[int]]:
    return [numbers[start : start + MOST_AT_ONCE] for start in range(0, len(numbers), MOST_AT_ONCE)]


def unit_record(row: Unit) -> UnitRecord:
    return UnitRecord(row.unit_id, row.symbol, row.name, row.parent_id, row.document, row.ended_on, row.successor_id)


def address_record(row: Address) -> AddressRecord:
    return AddressRecord(row.address, row.mailbox_id, row.role, row.until)


def mailbox_record(row: Mailbox, address: str) -> MailboxRecord:
    return MailboxRecord(
        mailbox_id=row.mailbox_id,
        kind=MailboxKind(row.kind),
        address=address,
        home=row.home,
        display_name=row.display_name,
        quota_octets=row.quota_octets,
        person_id=row.person_id,
        unit_id=row.unit_id,
        capabilities_hidden=frozenset(row.capabilities_hidden.split()),
    )


def _entry(row: OrderRow) -> OrderEntry:
    order = to_record(row, Order, act=Act(row.act), details=json.loads(row.details), request=row.request_id)
    return to_record(row, OrderEntry, number=row.order_id, order=order, changes=())


# ------------------------------------------------------------ storing

_Column = InstrumentedAttribute[Any]
_KEYS: Mapping[Subject, _Column] = {
    Subject.PERSON: Person.person_id,
    Subject.UNIT: Unit.unit_id,
    Subject.MAILBOX: Mailbox.mailbox_id,
    Subject.OFFICER: OfficerRow.officer_id,
    Subject.REQUEST: RequestRow.request_id,
    Subject.PLAN: MigrationPlanRow.plan_id,
    Subject.INCIDENT: IncidentRow.incident_id,
}


def _write(session: Session, changes: Sequence[Change]) -> None:
    addresses: dict[str, dict[str, str | None]] = {}
    for change in changes:
        match change.subject:
            case Subject.ADDRESS:
                addresses.setdefault(change.key, {})[change.field] = change.new
            case Subject.LEVEL:
                session.merge(PositionLevel(title=change.key, level=change.new))
            case Subject.DOMAIN:
                _write_domain(session, change)
            case _:
                key = _KEYS[change.subject]
                row = update(key.class_).where(key == int(change.key))
                session.execute(row.values({change.field: _value(change)}))
    # A mailbox always has exactly one primary address: the old one is demoted before the new one is stored.
    for address, values in sorted(addresses.items(), key=lambda each: each[1].get("role") == Role.PRIMARY):
        _write_address(session, address, values)
        session.flush()


def _write_domain(session: Session, change: Change) -> None:
    row = session.get(Domain, change.key)
    if change.new == "yes" and row is None:
        session.add(Domain(name=change.key))
    elif change.new != "yes" and row is not None:
        session.delete(row)


def _write_address(session: Session, address: str, values: Mapping[str, str | None]) -> None:
    row = session.get(Address, address)
    if row is None:
        row = Address(address=address)
        session.add(row)
    if (mailbox_id := values.get("mailbox_id")) is not None:
        row.mailbox_id = int(mailbox_id)
    if (role := values.get("role")) is not None:
        row.role = role
    if "until" in values:
        row.until = _date(values["until"])


def _value(change: Change) -> object:
    match change.subject, change.field:
        case Subject.OFFICER, "until":
            return start_of(date.fromisoformat(change.new or ""))
        case _, "unit_id" | "parent_id" | "successor_id":
            return None if change.new is None else int(change.new)
        case _, "contract_from" | "contract_until" | "ended_on":
            return _date(change.new)
        case _, "full_name" | "position" | "name" | "symbol" | "display_name":
            return change.new or ""
        case _:
            return change.new


def _date(text: str | None) -> date | None:
    return None if text is None else date.fromisoformat(text)
