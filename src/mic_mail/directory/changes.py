"""The register of orders that change units, people, addresses, levels and domains (Reg. 6.2, 6.5).

An order is put on record and, where its day has come, carried out in the same transaction: `change_plan` computes the changes,
and every changed value is recorded with the old one. An order for a later day waits; if it is refused on that day, the reason
is recorded with it. A request has at most one order, so one that is approved twice is carried out once. Blocking.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import date, datetime
from typing import Any

from sqlalchemy import Select, select, update
from sqlalchemy.orm import InstrumentedAttribute, Session

from mic_mail.directory import fact_chain, rows
from mic_mail.directory.change_plan import ChangePlan, plan
from mic_mail.directory.change_world import levels, load_world
from mic_mail.directory.model import Address, Domain, Mailbox, OfficerRow, Person, Unit
from mic_mail.directory.records import IDS_END, AddressRole, DoneBefore, not_found
from mic_mail.directory.register_model import (
    ChangeRow,
    IncidentRow,
    MigrationPlanRow,
    OrderRow,
    PositionLevel,
    RequestRow,
)
from mic_mail.directory.tables import BaseRegister, transaction
from mic_mail.directory.transactions import WriteSession, add_record, among, plainly, row_of, to_record
from mic_mail.errors import BadInput, Refused, Text
from mic_mail.policy.calendar import local_day, start_of
from mic_mail.policy.directory_changes import Change, ChangeRefused, Order, OrderEntry, OrderKind, Subject
from mic_mail.policy.facts import REQUEST, Detail, Draft, FactKind
from mic_mail.policy.ranks import Table


class Changes(BaseRegister):
    """The orders on record."""

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
        return self._tables.read(levels)

    def _entries(self, wanted: Select[OrderRow]) -> list[OrderEntry]:
        if not self._tables.has_rows("change_order"):
            return []

        def look(session: Session) -> list[OrderEntry]:
            entries = [_entry(row) for row in session.scalars(wanted)]
            changes: dict[int, list[Change]] = {}
            for condition in among(ChangeRow.order_id, [entry.number for entry in entries]):
                for row in session.scalars(select(ChangeRow).where(condition).order_by(ChangeRow.change_id)):
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
        return self.get(self._give(order, now))

    @transaction
    def _give(self, session: WriteSession, order: Order, now: datetime) -> int:
        if order.request is not None:
            before = select(OrderRow.order_id).where(OrderRow.request_id == order.request)
            if session.scalars(before).first() is not None:
                raise DoneBefore(order.request)
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
            _carry_out(session, row, planned, now)
        return row.order_id

    def carry_out(self, number: int, now: datetime) -> OrderEntry:
        """Carry out an order whose day has come; one that was carried out or cancelled stays as it is.

        Where the directory refuses it now, the reason is recorded as its hindrance, and the order goes on waiting.
        """
        self._try(number, now)
        return self.get(number)

    @transaction
    def _try(self, session: WriteSession, number: int, now: datetime) -> None:
        row = session.get_one(OrderRow, number)
        if row.applied_at is not None or row.cancelled_at is not None or row.effective_at > now:
            return
        try:
            planned = _plan(session, _entry(row).order)
        except (Refused, BadInput) as refusal:
            row.hindrance = refusal.text
            return
        _carry_out(session, row, planned, now)

    def cancel(self, number: int, now: datetime) -> OrderEntry:
        self._cancel(number, now)
        return self.get(number)

    @transaction
    def _cancel(self, session: Session, number: int, now: datetime) -> None:
        row = session.get(OrderRow, number)
        if row is None or row.applied_at is not None or row.cancelled_at is not None:
            raise ChangeRefused(
                Text(f"Thay đổi số {number} không còn chờ.", f"Change {number} is not pending."),
                clause="6.5",
                remedy=Text("Ghi một thay đổi khác để đính chính.", "Order another change to correct it."),
            )
        row.cancelled_at = now

    def release_aliases(self, now: datetime, actor: str) -> list[str]:
        """Release the aliases whose last day is over: they deliver nowhere and stay taken (Reg. 5.4.a).

        Return the addresses.
        """
        today = local_day(now)
        with self._tables.reading() as read:
            if not any(end < today for end in rows.alias_ends(read)):
                return []
        over = select(Address).where(Address.role == AddressRole.ALIAS, Address.until < today).order_by(Address.address)

        def work(session: WriteSession) -> list[str]:
            released = session.scalars(over).all()
            for row in released:
                row.role = AddressRole.FORMER
                last = row.until.isoformat() if row.until is not None else None
                draft = Draft(FactKind.ALIAS_REMOVED, now, actor, data={"address": row.address, "until": last})
                fact_chain.append(plainly(session), row.mailbox_id, [draft])
            return [row.address for row in released]

        return self._tables.change(work)


def _plan(session: Session, order: Order) -> ChangePlan:
    return plan(order, load_world(session, order), lambda address: session.get(Address, address) is not None)


def _carry_out(session: WriteSession, row: OrderRow, planned: ChangePlan, now: datetime) -> None:
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
        fact_chain.append(plainly(session), mailbox_id, drafts)
    row.applied_at, row.hindrance = now, None


def _entry(row: OrderRow) -> OrderEntry:
    order = to_record(row, Order, act=OrderKind(row.act), details=json.loads(row.details), request=row.request_id)
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
    for address, values in sorted(addresses.items(), key=lambda each: each[1].get("role") == AddressRole.PRIMARY):
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
