"""Reg. 14.5: units that still use another mail system, and when they plan to leave it (10.4: with the Centre's help).

In: plans, today. Out: how each stands. Pure. A plan is never altered: another day makes another plan, which takes its place, so
that the register tells how often a unit has put it off.
"""

from dataclasses import dataclass
from datetime import date, datetime
from enum import StrEnum

CLAUSE = "14.5"
HELP_CLAUSE = "10.4"


class Standing(StrEnum):
    """How a plan stands."""

    PLANNED = "planned"
    OVERDUE = "overdue"
    DONE = "done"
    REPLACED = "replaced"


@dataclass(frozen=True, slots=True)
class Plan:
    """One unit's plan to leave one system; `plan_id` 0 is not on record yet."""

    plan_id: int
    unit_id: int
    system: str
    """As the unit calls it: “Zimbra của Cục”, “Gmail”."""
    mailboxes: int
    """How many are still used there."""
    planned_on: date
    """The last day by which the unit wants to have left it."""
    contact: str
    recorded_at: datetime
    actor: str
    document: str | None = None
    ended_at: datetime | None = None
    ended_by: str | None = None
    done: bool = False
    """Ended because the unit has left the system; else another plan took its place."""
    end_document: str | None = None

    @property
    def is_open(self) -> bool:
        """Whether the unit is still there, as far as is known."""
        return self.ended_at is None

    def same_system(self, unit_id: int, system: str) -> bool:
        """Whether another plan is about the same unit and system."""
        return self.unit_id == unit_id and self.system.casefold() == system.casefold()


def standing(plan: Plan, today: date) -> Standing:
    """A plan is overdue from the day after its last one."""
    if plan.ended_at is not None:
        return Standing.DONE if plan.done else Standing.REPLACED
    return Standing.OVERDUE if plan.planned_on < today else Standing.PLANNED
