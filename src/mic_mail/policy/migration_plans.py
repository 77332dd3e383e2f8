"""Plans of units to leave another mail system (Reg. 14.5), with the Centre's help (10.4).

In: plans, today. Out: the standing of each. Pure. A plan is never altered: another day makes another plan that replaces it, so
that the register shows how often a unit has postponed it.
"""

from dataclasses import dataclass
from datetime import date, datetime
from enum import StrEnum

CLAUSE = "14.5"


class PlanStanding(StrEnum):
    """The standing of a plan."""

    PLANNED = "planned"
    OVERDUE = "overdue"
    DONE = "done"
    REPLACED = "replaced"


@dataclass(frozen=True, slots=True)
class MigrationPlan:
    """One unit's plan to leave one system; `plan_id` 0: not recorded yet."""

    plan_id: int
    unit_id: int
    system: str
    """The unit's own name for it: “Zimbra của Cục”, “Gmail”."""
    mailboxes: int
    """The number of mailboxes still used there."""
    planned_on: date
    """The day by which the unit plans to have left it."""
    contact: str
    recorded_at: datetime
    actor: str
    document: str | None = None
    ended_at: datetime | None = None
    ended_by: str | None = None
    done: bool = False
    """Set if it ended because the unit has left the system; otherwise another plan replaced it."""
    end_document: str | None = None

    @property
    def is_open(self) -> bool:
        """Return whether the unit is still there, as far as is known."""
        return self.ended_at is None

    def same_system(self, unit_id: int, system: str) -> bool:
        """Return whether the plan is about this unit and system."""
        return self.unit_id == unit_id and self.system.casefold() == system.casefold()


def standing(plan: MigrationPlan, today: date) -> PlanStanding:
    """Return the standing of a plan, overdue from the day after its last day."""
    if plan.ended_at is not None:
        return PlanStanding.DONE if plan.done else PlanStanding.REPLACED
    return PlanStanding.OVERDUE if plan.planned_on < today else PlanStanding.PLANNED
