"""Migration plans on record (Reg. 14.5): units that still use another mail system, and until when.

Nothing of a plan is altered, except that it ends.
"""

from datetime import datetime

from sqlalchemy import select
from sqlalchemy.orm import Session

from mic_mail.directory.model import ElsewhereRow
from mic_mail.directory.records import NotFound
from mic_mail.directory.transactions import Tables
from mic_mail.errors import Refused, Text
from mic_mail.policy.migration_plans import CLAUSE, Plan

IDS_END = 1 << 31


class Elsewhere:
    """The register of units that still use another mail system."""

    def __init__(self, tables: Tables) -> None:
        self._tables = tables

    def all(self) -> list[Plan]:
        """Return every plan, in order of record."""
        wanted = select(ElsewhereRow).order_by(ElsewhereRow.plan_id)
        return self._tables.read(lambda session: [_plan(row) for row in session.scalars(wanted)])

    def add(self, plan: Plan) -> Plan:
        """Put a plan on record and return it with its number.

        It replaces an open plan of the same unit and system.
        """

        def work(session: Session, _version: int) -> Plan:
            still = select(ElsewhereRow).where(ElsewhereRow.unit_id == plan.unit_id, ElsewhereRow.ended_at.is_(None))
            for row in session.scalars(still):
                if _plan(row).same_system(plan.unit_id, plan.system):
                    row.ended_at, row.ended_by = plan.recorded_at, plan.actor
            new = ElsewhereRow(
                unit_id=plan.unit_id,
                system=plan.system,
                mailboxes=plan.mailboxes,
                planned_on=plan.planned_on,
                contact=plan.contact,
                recorded_at=plan.recorded_at,
                actor=plan.actor,
                document=plan.document,
            )
            session.add(new)
            session.flush()
            return _plan(new)

        return self._tables.change(work)

    def finish(self, plan_id: int, actor: str, document: str, at: datetime) -> Plan:
        """Record that the unit has left the system.

        Raise `NotFound` where there is no such plan, and `Refused` where it has ended.
        """

        def work(session: Session, _version: int) -> Plan:
            row = session.get(ElsewhereRow, plan_id) if 0 < plan_id < IDS_END else None
            if row is None:
                raise NotFound(Text(f"Không có kế hoạch số {plan_id}.", f"No such migration plan: {plan_id}."))
            if row.ended_at is not None:
                raise Refused(Text(f"Kế hoạch số {plan_id} đã kết thúc.", f"Plan {plan_id} has ended."), clause=CLAUSE)
            row.ended_at, row.ended_by, row.done, row.end_document = at, actor, True, document
            return _plan(row)

        return self._tables.change(work)


def _plan(row: ElsewhereRow) -> Plan:
    return Plan(
        row.plan_id,
        row.unit_id,
        row.system,
        row.mailboxes,
        row.planned_on,
        row.contact,
        row.recorded_at,
        row.actor,
        row.document,
        row.ended_at,
        row.ended_by,
        row.done,
        row.end_document,
    )
