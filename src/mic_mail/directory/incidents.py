"""Incidents on record (Reg. 14.4): opened, supplemented, closed; no entry is ever altered or deleted."""

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from sqlalchemy import Select, or_, select, update
from sqlalchemy.orm import Session

from mic_mail.directory.model import DowntimeRow
from mic_mail.directory.records import Superseded, not_found
from mic_mail.directory.register_model import IncidentDowntime, IncidentNote, IncidentRow
from mic_mail.directory.tables import BaseRegister, Tables, transaction
from mic_mail.directory.transactions import add_record, existing, to_record
from mic_mail.errors import Text
from mic_mail.policy.incidents import Incident, IncidentChange, IncidentKind, IncidentReport, IncidentSeverity, Note, changed
from mic_mail.policy.requests import RequestChannel

_NAME = "sự cố số", "incident"
Visible = Callable[[Sequence[str]], tuple[str, ...]]
"""Returns those of some addresses that the viewer may know."""


@dataclass(frozen=True, slots=True)
class ScopedIncidents:
    """The part of the register that some units see."""

    units: Callable[[], frozenset[int]]
    visible: Visible

    def of(self, incidents: Iterable[Incident]) -> Iterator[Incident]:
        """Yield the incidents that concern the units, without the mailboxes of other units."""
        units = self.units()
        for incident in incidents:
            if incident.concerns & units:
                yield replace(incident, told=replace(incident.told, mailboxes=self.visible(incident.told.mailboxes)))


class Incidents(BaseRegister):
    """The incidents on record."""

    def __init__(self, tables: Tables, view: ScopedIncidents | None = None) -> None:
        super().__init__(tables)
        self._view = view

    def narrowed(self, units: Callable[[], frozenset[int]], visible: Visible) -> "Incidents":
        """Return the same register, limited to what concerns these units (Reg. 6.1).

        Of the mailboxes that an incident names, only the `visible` ones remain: it may concern several units.
        """
        return Incidents(self._tables, ScopedIncidents(units, visible))

    def all(self) -> list[Incident]:
        return self._found(select(IncidentRow))

    def recent(self, since: datetime) -> list[Incident]:
        return self._found(select(IncidentRow).where(or_(IncidentRow.opened_at >= since, IncidentRow.closed_at >= since)))

    def _found(self, wanted: Select[Any]) -> list[Incident]:
        if not self._tables.has_rows("incident"):
            return []
        wanted = wanted.order_by(IncidentRow.incident_id)
        found = self._tables.read(lambda session: [_incident(session, row) for row in session.scalars(wanted)])
        return found if self._view is None else list(self._view.of(found))

    def one(self, incident_id: int) -> Incident:
        found = self._tables.read(lambda session: _incident(session, _existing(session, incident_id)))
        if self._view is None:
            return found
        for seen in self._view.of([found]):
            return seen
        raise not_found(*_NAME, incident_id)

    @transaction
    def add(self, session: Session, told: IncidentReport, opened_by: str, at: datetime) -> Incident:
        """Put an incident on record and return it with its number."""
        return _incident(session, enter(session, told, opened_by, at))

    @transaction
    def note(self, session: Session, incident: Incident, note: Note, change: IncidentChange) -> Incident:
        """Add a note, and change what follows from it; `Superseded` where the incident was closed meanwhile."""
        row = _unclosed(session, incident)
        now = changed(_incident(session, row).told, change)
        row.kind, row.severity, row.ended_at = now.kind, now.severity, now.ended_at
        row.units, row.mailboxes = _encoded(sorted(now.units)), _encoded(now.mailboxes)
        add_record(session, IncidentNote, note, incident_id=row.incident_id)
        return _incident(session, row)

    @transaction
    def close(
        self,
        session: Session,
        incident: Incident,
        actor: str,
        at: datetime,
        *,
        result: str,
        report: str | None,
        ended_at: datetime,
    ) -> Incident:
        """Close the incident with its result, once.

        Its report is also recorded for its downtimes that have none.
        """
        row = _unclosed(session, incident)
        row.closed_at, row.closed_by, row.result, row.report = at, actor, result, report
        row.ended_at = ended_at
        if report is not None:
            linked = select(IncidentDowntime.downtime_id).where(IncidentDowntime.incident_id == row.incident_id)
            unreported = DowntimeRow.downtime_id.in_(linked), DowntimeRow.report.is_(None)
            session.execute(update(DowntimeRow).where(*unreported).values(report=report, reported_at=at))
        return _incident(session, row)


def enter(
    session: Session, told: IncidentReport, opened_by: str, at: datetime, *, request_id: int | None = None
) -> IncidentRow:
    """Enter a new row, within a transaction of this or another register."""
    return add_record(
        session,
        IncidentRow,
        told,
        units=_encoded(sorted(told.units)),
        mailboxes=_encoded(told.mailboxes),
        opened_at=at,
        opened_by=opened_by,
        request_id=request_id,
    )


def _encoded(items: Sequence[object]) -> str:
    return json.dumps(list(items), ensure_ascii=False)


def _existing(session: Session, incident_id: int) -> IncidentRow:
    return existing(session, IncidentRow, incident_id, *_NAME)


def _unclosed(session: Session, incident: Incident) -> IncidentRow:
    row = _existing(session, incident.incident_id)
    if row.closed_at is not None:
        raise Superseded(
            Text("Sự cố vừa được kết thúc; đề nghị xem lại.", "It was just closed by another command; check it again.")
        )
    return row


def _incident(session: Session, row: IncidentRow) -> Incident:
    notes = select(IncidentNote).where(IncidentNote.incident_id == row.incident_id).order_by(IncidentNote.note_id)
    linked = select(IncidentDowntime.downtime_id).where(IncidentDowntime.incident_id == row.incident_id)
    told = to_record(
        row,
        IncidentReport,
        kind=IncidentKind(row.kind),
        severity=IncidentSeverity(row.severity),
        channel=None if row.channel is None else RequestChannel(row.channel),
        units=frozenset(json.loads(row.units)),
        mailboxes=tuple(json.loads(row.mailboxes)),
    )
    downtimes = session.scalars(linked.order_by(IncidentDowntime.downtime_id))
    return to_record(
        row,
        Incident,
        told=told,
        notes=tuple(to_record(each, Note) for each in session.scalars(notes)),
        downtimes=tuple(downtimes),
    )
