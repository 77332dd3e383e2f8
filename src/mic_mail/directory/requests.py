"""The register of requests (Reg. 6.2): what was asked, by whom, when, and the result.

A request is entered once and only moves from state to state; its content is never altered. The rows of one mail or file are
entered in one transaction, together with the record that it was read and who gets the answer, so no row is entered twice, and
no answer is forgotten. `policy.requests` decides which step may follow; this module only checks that no other process took one
in between (`Superseded`).
"""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Select, delete, select, update
from sqlalchemy.orm import Session

from mic_mail.directory import censuses, incidents, person_rows
from mic_mail.directory.connection import PlainChange
from mic_mail.directory.instants import from_microseconds, to_microseconds
from mic_mail.directory.records import IDS_END, PersonRecord, Superseded, not_found
from mic_mail.directory.register_model import DeferredMailRow, RequestMail, RequestRow
from mic_mail.directory.tables import BaseRegister, Tables, transaction
from mic_mail.directory.transactions import add_record, row_of, to_record
from mic_mail.errors import Text
from mic_mail.policy.incidents import number as incident_number
from mic_mail.policy.incidents import of_request
from mic_mail.policy.requests import PENDING, Filing, Item, Request, RequestChannel, RequestKind, RequestState

_READ_SINCE = """
    SELECT key, read_at, sender, unit_id, message_id FROM request_mail
    WHERE read_at >= :since AND sender IS NOT NULL AND unit_id IS NOT NULL ORDER BY read_at, key
"""
_DEFERRED = "SELECT uid, since, tried_at FROM reading_debt WHERE name = :name ORDER BY uid"
_FORGET_DEFERRED = """
    DELETE FROM reading_debt
    WHERE name = :name AND NOT EXISTS (SELECT 1 FROM reading_mark WHERE name = :name AND uidvalidity = :uidvalidity)
"""
_SET_MARK = """
    INSERT INTO reading_mark (name, uidvalidity, uid) VALUES (:name, :uidvalidity, :uid)
    ON CONFLICT (name) DO UPDATE SET uidvalidity = excluded.uidvalidity, uid = excluded.uid
"""
_DEFER = """
    INSERT INTO reading_debt (name, uid, since, tried_at) VALUES (:name, :uid, :since, :since)
    ON CONFLICT (name, uid) DO UPDATE SET since = excluded.since, tried_at = excluded.tried_at
"""
Outcomes = Sequence[Mapping[str, object]]
"""The outcome of each row of a mail, as JSON holds it.

A row that opened a request gets its `request` here.
"""


@dataclass(frozen=True, slots=True)
class ReadMail:
    """A mail that was searched for requests."""

    key: str
    """Its EMAILID."""
    read_at: datetime
    sender: str
    """The unit's mailbox that sent it and gets the answer."""
    unit_id: int
    message_id: str | None
    """The Message-ID without brackets."""


@dataclass(frozen=True, slots=True)
class DeferredMail:
    """A message that could not be read."""

    uid: int
    since: datetime
    tried_at: datetime


class Requests(BaseRegister):
    """The requests on record."""

    def __init__(self, tables: Tables, units: Callable[[], frozenset[int]] | None = None) -> None:
        super().__init__(tables)
        self._units = units

    def narrowed(self, units: Callable[[], frozenset[int]]) -> "Requests":
        """Return the same register, limited to the requests of these units (Reg. 6.1)."""
        return Requests(self._tables, units)

    def all(self) -> list[Request]:
        return self._found(select(RequestRow).order_by(RequestRow.request_id))

    def pending(self) -> list[Request]:
        """Return the requests that still need action."""
        return self._found(select(RequestRow).where(RequestRow.state.in_(PENDING)).order_by(RequestRow.request_id))

    def decided(self, since: datetime) -> list[Request]:
        """Return the requests that were done or refused since then."""
        wanted = select(RequestRow).where(
            RequestRow.state.in_((RequestState.DONE, RequestState.REFUSED)), RequestRow.handled_at >= since
        )
        return self._found(wanted.order_by(RequestRow.request_id))

    def get(self, number: int) -> Request:
        known = 0 < number < IDS_END
        found = self._found(select(RequestRow).where(RequestRow.request_id == number)) if known else []
        if not found:
            raise not_found("yêu cầu số", "request", number)
        return found[0]

    def _found(self, wanted: Select[Any]) -> list[Request]:
        if not self._tables.has_rows("request"):
            return []
        if self._units is not None:
            wanted = wanted.where(RequestRow.unit_id.in_(self._units()))
        return self._tables.read(lambda session: [_request(row) for row in session.scalars(wanted)])

    @transaction
    def add(self, session: Session, filing: Filing, opened_by: str, at: datetime) -> Request:
        """Enter a new request; its number is assigned here."""
        return _enter(session, filing, opened_by, at)

    @transaction
    def add_rows(
        self, session: Session, batch: str, rows: Sequence[tuple[int, Filing]], opened_by: str, at: datetime
    ) -> list[Request]:
        """Enter the rows of one file together; return rows that are already in the register as they are."""
        return [_enter(session, filing, opened_by, at, batch=batch, number=row) for row, filing in rows]

    @transaction
    def step(
        self,
        session: Session,
        request: Request,
        to: RequestState,
        handler: str,
        at: datetime,
        *,
        result: str,
        mailbox_id: int | None = None,
    ) -> Request:
        """Move the request to the next state; only from the state that `request` is in."""
        row = _unmoved(session, request)
        row.state, row.handler, row.handled_at, row.result, row.hindrance = to, handler, at, result, None
        row.mailbox_id = mailbox_id if mailbox_id is not None else row.mailbox_id
        return _request(row)

    @transaction
    def hinder(self, session: Session, request: Request, why: Text) -> None:
        """Record why a rule refused the act of this request; its state stays as it is."""
        _unmoved(session, request).hindrance = why

    @transaction
    def person(self, session: Session, request: Request, person: PersonRecord) -> int:
        """Set the person that the request is for, once and for good; return the id.

        Either a person in the directory, or (id 0) a new one that is entered now.
        """
        row = session.get_one(RequestRow, request.request_id)
        if row.person_id is None and person.person_id:
            row.person_id = person.person_id
        elif row.person_id is None:
            row.person_id = person_rows.enter(session, person).person_id
        return row.person_id

    # ------------------------------------------------------------ mail

    def outcomes(self, key: str) -> Outcomes | None:
        """Return the outcomes of the rows of a mail; None: it was not read."""
        found = self._tables.read(lambda session: session.scalar(select(RequestMail.outcomes).where(RequestMail.key == key)))
        return None if found is None else json.loads(found)

    @transaction
    def read_mail(self, session: Session, mail: ReadMail, rows: Sequence[tuple[int, Filing]], outcomes: Outcomes) -> Outcomes:
        """Enter the rows of a mail, that it was read, and who gets the answer.

        Return the outcomes on record, which are the earlier ones where it was read before.
        """
        if (before := session.get(RequestMail, mail.key)) is not None:
            return list(json.loads(before.outcomes))
        batch, by, at = f"mail:{mail.key}", mail.sender, mail.read_at
        numbers = {row: _enter(session, filing, by, at, batch=batch, number=row).request_id for row, filing in rows}
        whole = [{**each, "request": numbers.get(int(str(each["row"])))} for each in outcomes]
        session.add(row_of(RequestMail, mail, key=mail.key, outcomes=json.dumps(whole, ensure_ascii=False)))
        return whole

    def mail_read(self, since: datetime) -> list[ReadMail]:
        """Return the mail that was read since then, in that order."""
        with self._tables.reading() as read:
            return [
                ReadMail(key, from_microseconds(read_at), sender, unit_id, message_id)
                for key, read_at, sender, unit_id, message_id in read(_READ_SINCE, since=to_microseconds(since))
            ]

    # ------------------------------------------------------------ read positions

    def mark(self, name: str) -> tuple[int, int] | None:
        """Return UIDVALIDITY and the last UID up to which a mailbox was read; None: never."""
        with self._tables.reading() as read:
            found = next(read("SELECT uidvalidity, uid FROM reading_mark WHERE name = :name", name=name), None)
        return None if found is None else (found[0], found[1])

    def set_mark(self, name: str, uidvalidity: int, uid: int, *, deferred_since: datetime | None = None) -> None:
        """Set how far the mailbox was read; with `deferred_since`, except for this last message.

        Deferred messages under another UIDVALIDITY are deleted.
        """

        def work(change: PlainChange) -> None:
            change.run(_FORGET_DEFERRED, name=name, uidvalidity=uidvalidity)
            change.run(_SET_MARK, name=name, uidvalidity=uidvalidity, uid=uid)
            if deferred_since is not None:
                change.run(_DEFER, name=name, uid=uid, since=to_microseconds(deferred_since))

        self._tables.change_plainly(work)

    def deferred(self, name: str) -> list[DeferredMail]:
        """Return the messages of a mailbox that its reader has to try again, by UID."""
        with self._tables.reading() as read:
            return [
                DeferredMail(uid, from_microseconds(since), from_microseconds(tried_at))
                for uid, since, tried_at in read(_DEFERRED, name=name)
            ]

    @transaction
    def tried(self, session: Session, name: str, uid: int, at: datetime) -> None:
        """Record that the message could not be read again."""
        tried = update(DeferredMailRow).where(DeferredMailRow.name == name, DeferredMailRow.uid == uid).values(tried_at=at)
        session.execute(tried)

    @transaction
    def settle(self, session: Session, name: str, uid: int) -> None:
        """Delete the record of a deferred message, which was read or is given up."""
        gone = delete(DeferredMailRow).where(DeferredMailRow.name == name, DeferredMailRow.uid == uid)
        session.execute(gone)


def _enter(
    session: Session, filing: Filing, by: str, at: datetime, *, batch: str | None = None, number: int | None = None
) -> Request:
    if batch is not None:
        known = select(RequestRow).where(RequestRow.batch == batch, RequestRow.row == number)
        before = session.scalars(known).one_or_none()
        if before is not None:
            return _request(before)
    row = add_record(
        session,
        RequestRow,
        filing,
        state=RequestState.OPEN,
        items=json.dumps(dict(filing.items), ensure_ascii=False, sort_keys=True),
        opened_by=by,
        opened_at=at,
        batch=batch,
        row=number,
    )
    if filing.kind is RequestKind.CORRECTION:
        censuses.dispute(session, filing, row.request_id)
    if filing.kind is RequestKind.INCIDENT:  # recorded together with the request, which then is done
        incident = incidents.enter(session, of_request(filing), by, at, request_id=row.request_id)
        row.state, row.handler, row.handled_at, row.result = RequestState.DONE, by, at, incident_number(incident.incident_id)
    return _request(row)


def _unmoved(session: Session, request: Request) -> RequestRow:
    row = session.get_one(RequestRow, request.request_id)
    if row.state != request.state:
        raise Superseded(
            Text(
                "Yêu cầu vừa được người khác xử lý; đề nghị xem lại.",
                "The request was just handled by another command; check it again.",
            )
        )
    return row


def _request(row: RequestRow) -> Request:
    items = {Item(name): value for name, value in json.loads(row.items).items()}
    filing = to_record(row, Filing, kind=RequestKind(row.kind), channel=RequestChannel(row.channel), items=items)
    return to_record(row, Request, filing=filing, state=RequestState(row.state))
