"""The register of units that still use another mail system, as lists and as a document (Reg. 14.5).

In: the directory, as far as the caller may see it. Out: plans with their units, a document for the leadership.
Blocking: commands only.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date

from mic_mail.clock import Clock
from mic_mail.config.model import Config
from mic_mail.directory.records import UnitRecord
from mic_mail.directory.repository import Directory
from mic_mail.documents.document import Column, Columns, DescriptionList, Document, Table
from mic_mail.errors import BadInput, Text
from mic_mail.policy import migration_plans as rules
from mic_mail.policy.authorization.grounds import ActContext
from mic_mail.policy.calendar import local_day
from mic_mail.policy.migration_plans import MigrationPlan, PlanStanding
from mic_mail.services.reports.document_header import BY_THE_CENTRE, paper
from mic_mail.services.use_cases import UseCases

STANDINGS: Mapping[str, Text] = {
    PlanStanding.PLANNED: Text("trong hạn", "planned"),
    PlanStanding.OVERDUE: Text("quá hạn", "overdue"),
    PlanStanding.DONE: Text("đã chuyển xong", "done"),
    PlanStanding.REPLACED: Text("đã lùi ngày", "replaced"),
}
_MOST_MAILBOXES = 1_000_000


@dataclass(frozen=True, slots=True)
class PlanStatus:
    """A plan as of today."""

    plan: MigrationPlan
    unit: UnitRecord
    standing: PlanStanding
    times_replaced: int
    """The number of times the unit has postponed it."""


class MigrationRegister(UseCases):
    """Plans of the units in a directory, today."""

    def __init__(self, directory: Directory, config: Config, clock: Clock) -> None:
        super().__init__(directory, config, clock)
        self._now = clock.now()

    def plan(
        self, unit: UnitRecord, origin: ActContext, *, system: str, mailboxes: int, planned_on: date, contact: str
    ) -> MigrationPlan:
        if not system.strip() or len(system) > 200 or not 0 <= mailboxes <= _MOST_MAILBOXES or len(contact) > 200:
            raise BadInput(
                Text(
                    "Tên hệ thống, số hộp thư hoặc đầu mối không hợp lệ.",
                    "The system, the number of mailboxes or the contact is invalid.",
                )
            )
        draft = MigrationPlan(
            0, unit.unit_id, system.strip(), mailboxes, planned_on, contact.strip(), self._now, origin.actor, origin.document
        )
        return self._directory.migration_plans.add(draft)

    def finish(self, plan_id: int, origin: ActContext) -> MigrationPlan:
        """Record that the unit has left the system, by a document."""
        missing = Text("Kết thúc phải có số văn bản.", "A document number is required.")
        document = origin.must_have_document(rules.CLAUSE, missing)
        return self._directory.migration_plans.finish(plan_id, origin.actor, document, self._now)

    def known(self, *, all_of_them: bool = False) -> list[PlanStatus]:
        """Return open plans, the most urgent first; or all, in the order of their records."""
        units = self._directory.units_by_id()
        today = local_day(self._now)
        plans = [plan for plan in self._directory.migration_plans.all() if plan.unit_id in units]
        found = [
            PlanStatus(plan, units[plan.unit_id], rules.standing(plan, today), _put_off(plan, plans))
            for plan in plans
            if all_of_them or plan.is_open
        ]
        return found if all_of_them else sorted(found, key=lambda each: (each.plan.planned_on, each.unit.symbol))

    def of_unit(self, unit: UnitRecord) -> Sequence[PlanStatus]:
        return [each for each in self.known() if each.unit.unit_id == unit.unit_id]

    def paper(self) -> Document:
        found = self.known()
        done = [each for each in self.known(all_of_them=True) if each.standing is PlanStanding.DONE]
        overdue = sum(each.standing is PlanStanding.OVERDUE for each in found)
        return paper(
            self._config,
            "Sổ theo dõi đơn vị còn dùng hệ thống thư điện tử khác",
            f"Tính đến ngày {local_day(self._now):%d/%m/%Y}",
            self._now,
            [
                DescriptionList(
                    [
                        ("Đơn vị còn dùng hệ thống khác", len({each.unit.unit_id for each in found})),
                        ("Hộp thư ở hệ thống khác", sum(each.plan.mailboxes for each in found)),
                        ("Kế hoạch quá hạn", overdue),
                        ("Kế hoạch đã hoàn thành", len(done)),
                    ]
                ),
                Table.of("I. Chưa chuyển xong", found, _LONG, empty=_NONE),
                Table.of("II. Đã chuyển xong", done, _DONE),
            ],
            clause_id=rules.CLAUSE,
            signatures=BY_THE_CENTRE,
        )


_NONE = "Không đơn vị nào."
_WHERE: Columns[PlanStatus] = (
    (Column("Ký hiệu", wide=0), lambda each: each.unit.symbol),
    (Column("Đơn vị", wide=4), lambda each: each.unit.name),
    (Column("Hệ thống", wide=3), lambda each: each.plan.system),
    (Column("Hộp thư", right=True, wide=0), lambda each: each.plan.mailboxes),
)
_SHORT: Columns[PlanStatus] = (
    *_WHERE,
    (Column("Hạn", wide=0), lambda each: each.plan.planned_on),
    (Column("Tình trạng", wide=2), lambda each: STANDINGS[each.standing].vi),
)
_LONG: Columns[PlanStatus] = (
    *_SHORT,
    (Column("Số lần lùi", right=True, wide=0), lambda each: each.times_replaced),
    (Column("Đầu mối", wide=3), lambda each: each.plan.contact),
    (Column("Văn bản", wide=2), lambda each: each.plan.document),
)
_DONE: Columns[PlanStatus] = (
    *_WHERE,
    (Column("Xong lúc", wide=2), lambda each: each.plan.ended_at),
    (Column("Văn bản", wide=2), lambda each: each.plan.end_document),
)


def short_table(found: Sequence[PlanStatus], name: str) -> Table:
    """Return the short table of open plans: unit, system, deadline."""
    return Table.of(name, found, _SHORT, empty=_NONE)


def _put_off(plan: MigrationPlan, plans: Sequence[MigrationPlan]) -> int:
    return sum(
        other.plan_id < plan.plan_id and not other.is_open and not other.done and other.same_system(plan.unit_id, plan.system)
        for other in plans
    )
