"""Evidence of the census (Reg. 14.3, 14.6): units that have confirmed this period's list, or not."""

from collections import Counter
from datetime import datetime

from mic_mail.errors import Text
from mic_mail.policy.calendar import local_day
from mic_mail.policy.census import CLAUSE, LIST_CLAUSE, Census, Standing, period_of, standing
from mic_mail.services.compliance.finding import Evidence, Finding, Office


def evidence(office: Office) -> Evidence:
    """Yield today's figures."""
    period = period_of(local_day(office.now), office.config.census.months)
    by_unit: dict[int, list[Census]] = {}
    seen = {unit.unit_id for unit in office.directory.units()}
    for census in office.directory.censuses.of():
        if census.unit_id in seen:
            by_unit.setdefault(census.unit_id, []).append(census)
    unit_of = {person.person_id: person.unit_id for person in office.directory.people()}
    first: dict[int, datetime] = {}
    for entry in office.snapshot:
        unit = entry.owner.unit_id if entry.owner.person_id is None else unit_of.get(entry.owner.person_id)
        if unit is not None and entry.facts:
            recorded = entry.facts[0].recorded_at
            first[unit] = min(first.get(unit, recorded), recorded)
    stands = Counter(standing(period, by_unit.get(unit, ()), recorded, office.now) for unit, recorded in first.items())
    last = max((census.confirmed_at for each in by_unit.values() for census in each if census.confirmed_at), default=None)
    name = f"{period:%m/%Y}"
    yield (
        CLAUSE,
        Finding(
            Text(f"đơn vị đã xác nhận kỳ {name}", f"units that confirmed the list of {name}"), stands[Standing.CONFIRMED], last
        ),
    )
    if stands[Standing.OVERDUE]:
        what = Text(f"đơn vị chưa xác nhận kỳ {name}", f"units that did not confirm the list of {name}")
        yield CLAUSE, Finding(what, stands[Standing.OVERDUE], overdue=True)
    made = max((census.made_at for each in by_unit.values() for census in each), default=None)
    yield LIST_CLAUSE, Finding(Text("danh sách đã lập", "lists made"), sum(map(len, by_unit.values())), made)
