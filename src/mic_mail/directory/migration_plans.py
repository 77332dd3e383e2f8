"""Migration plans on record (Reg. 14.5): units that still use another mail system, and until when.

Nothing of a plan is altered, except that it ends.
"""

from datetime import datetime

from sqlalchemy import select
from sqlalchemy.orm import Session

from mic_mail.directory.register_model import MigrationPlanRow
from mic_mail.directory.tables import BaseRegister, transaction
from mic_mail.directory.transactions import add_record, existing, to_record
from mic_mail.errors import Refused, Text
from mic_mail.policy.migration_plans import CLAUSE, MigrationPlan


class MigrationPlans(BaseRegister):
    """The register of units that still use another mail system."""

    def all(self) -> list[MigrationPlan]:
        wanted = select(MigrationPlanRow).order_by(MigrationPlanRow.plan_id)
        return self._tables.read(lambda session: [to_record(row, MigrationPlan) for row in session.scalars(wanted)])

    @transaction
    def add(self, session: Session, plan: MigrationPlan) -> MigrationPlan:
        """Put a plan on record and return it with its number.

        It replaces an open plan of the same unit and system.
        """
        still = select(MigrationPlanRow).where(MigrationPlanRow.unit_id == plan.unit_id, MigrationPlanRow.ended_at.is_(None))
        for row in session.scalars(still):
            if to_record(row, MigrationPlan).same_system(plan.unit_id, plan.system):
                row.ended_at, row.ended_by = plan.recorded_at, plan.actor
        return to_record(add_record(session, MigrationPlanRow, plan), MigrationPlan)

    @transaction
    def finish(self, session: Session, plan_id: int, actor: str, document: str, at: datetime) -> MigrationPlan:
        """Record that the unit has left the system.

        Raise `NotFound` where there is no such plan, and `Refused` where it has ended.
        """
        row = existing(session, MigrationPlanRow, plan_id, "kế hoạch số", "migration plan")
        if row.ended_at is not None:
            raise Refused(Text(f"Kế hoạch số {plan_id} đã kết thúc.", f"Plan {plan_id} has ended."), clause=CLAUSE)
        row.ended_at, row.ended_by, row.done, row.end_document = at, actor, True, document
        return to_record(row, MigrationPlan)
