"""The census of a unit (Reg. 14.6, 14.3): a list of mailbox users, recorded and signed.

In: the directory, the store (usage), a unit. Out: lines, a census on record, a document for the unit's head and a
summary for the Centre. Blocking: commands only. A unit disputes a line by a request of its own.
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import date, datetime
from functools import cached_property

from mic_mail.clock import Clock
from mic_mail.config.model import Config
from mic_mail.directory.records import PersonRecord, UnitRecord
from mic_mail.directory.repository import Directory
from mic_mail.directory.snapshot import Entry, Snapshot
from mic_mail.documents.document import Block, Column, Columns, DescriptionList, Document, Table
from mic_mail.policy import census as rules
from mic_mail.policy.calendar import ONE_DAY, local_day
from mic_mail.policy.census import Census, CensusLine, CensusStanding, Group, LineChange
from mic_mail.policy.facts import MailboxKind
from mic_mail.policy.lifecycle import LifecycleSettings
from mic_mail.policy.migration_plans import MigrationPlan
from mic_mail.policy.naming.transliteration import alphabetical, by_given_name
from mic_mail.policy.reclamation import is_empty
from mic_mail.policy.requests import PENDING, Item, Request
from mic_mail.policy.states import MailboxState
from mic_mail.policy.unit_mail.delegation import serving
from mic_mail.services.reports.document_header import BY_A_UNIT, BY_THE_CENTRE, paper
from mic_mail.services.reports.migration_register import MigrationRegister
from mic_mail.services.settings import lifecycle_settings
from mic_mail.services.use_cases import MailUseCases
from mic_mail.storage.mailstore import MailStore

LEAVING = "6.4.c"
_GIB = 1 << 30
_MIB = 1 << 20
_CHANGES = {"came": "Thêm", "went": "Bớt", "altered": "Thay đổi"}
_FIELDS = {
    "name": "tên",
    "position": "chức vụ",
    "address": "địa chỉ",
    "keepers": "người quản lý, thành viên",
    "states": "tình trạng",
    "quota_octets": "dung lượng cấp",
}
STANDINGS: Mapping[CensusStanding, str] = {
    CensusStanding.CONFIRMED: "Đã xác nhận",
    CensusStanding.WAITING: "Trong hạn",
    CensusStanding.OVERDUE: "Quá hạn",
    CensusStanding.NOT_YET: "Chưa đến kỳ",
}


class Censuses(MailUseCases):
    def __init__(self, directory: Directory, store: MailStore, config: Config, clock: Clock) -> None:
        super().__init__(directory, store, config, clock)
        self.now = clock.now()
        self.period = rules.period_of(local_day(self.now), config.census.months)

    def lines(self, unit: UnitRecord) -> tuple[CensusLine, ...]:
        """Return the unit's list as of now.

        Its people by their given names, its mailboxes and those of its groups by address. Reclaimed mailboxes are left out,
        and with them the people who have left (Reg. 6.4.c).
        """
        people = sorted(self._people.get(unit.unit_id, ()), key=lambda person: by_given_name(person.full_name))
        boxes = sorted(self._boxes.get(unit.unit_id, ()), key=lambda entry: (entry.kind is MailboxKind.GROUP, entry.address))
        return (
            *(self._person(person) for person in people if not self._has_left(person)),
            *(self._mailbox(entry) for entry in boxes if not self._is_reclaimed(entry)),
        )

    def _has_left(self, person: PersonRecord) -> bool:
        own = self._snapshot.own.get(person.person_id)
        return own is not None and self._is_reclaimed(self._snapshot.entries[own], clause_id=LEAVING)

    def _is_reclaimed(self, entry: Entry, clause_id: str | None = None) -> bool:
        decision = entry.decide_if_readable(self.now, self._settings)
        return decision is not None and any(
            reason.state is MailboxState.RECLAIMED and clause_id in {None, reason.clause} for reason in decision.reasons
        )

    @cached_property
    def _snapshot(self) -> Snapshot:
        return self._directory.load_snapshot()

    @cached_property
    def _settings(self) -> LifecycleSettings:
        return lifecycle_settings(self._config, self._snapshot.working_days)

    @cached_property
    def _people(self) -> Mapping[int, Sequence[PersonRecord]]:
        found: dict[int, list[PersonRecord]] = {}
        for person in self._directory.people():
            found.setdefault(person.unit_id, []).append(person)
        return found

    @cached_property
    def _boxes(self) -> Mapping[int, Sequence[Entry]]:
        found: dict[int, list[Entry]] = {}
        for entry in self._snapshot:
            if entry.owner.unit_id is not None:
                found.setdefault(entry.owner.unit_id, []).append(entry)
        return found

    def _person(self, person: PersonRecord) -> CensusLine:
        entry, key = self._snapshot.entry(self._snapshot.own.get(person.person_id, 0)), f"person:{person.person_id}"
        if entry is None or self._is_reclaimed(entry):
            return CensusLine(Group.PERSON, key, person.full_name, person.position, "", (), 0, 0, "")
        states, used = self._states(entry), self._used(entry)
        return CensusLine(
            Group.PERSON, key, person.full_name, person.position, entry.address, states, entry.quota_octets, used, ""
        )

    def _mailbox(self, entry: Entry) -> CensusLine:
        grants = serving(entry.kind, entry.facts, self._snapshot.facts_of, self.now)
        holders = ", ".join(sorted({grant.holder for grant in grants}))
        key, kind, states, used = f"mailbox:{entry.mailbox_id}", entry.kind.label.vi, self._states(entry), self._used(entry)
        return CensusLine(
            Group.MAILBOX, key, entry.display_name, kind, entry.address, states, entry.quota_octets, used, holders
        )

    def _states(self, entry: Entry) -> tuple[str, ...]:
        """Return the states by name, in order; none for a damaged record (`directory check` names it)."""
        decision = entry.decide_if_readable(self.now, self._settings)
        return () if decision is None else tuple(state.value for state in MailboxState if state in decision.states)

    def _used(self, entry: Entry) -> int:
        if is_empty(entry.facts):  # a check would create a store for a freed mailbox
            return 0
        return self._store.account_of(entry).quota_at_rest().octets

    def make(self, unit: UnitRecord, actor: str) -> Census:
        """Record the unit's list of this period."""
        return self._directory.censuses.add(Census(0, unit.unit_id, self.period, self.now, actor, self.lines(unit)))

    def before(self, unit: UnitRecord) -> Census | None:
        """Return the list that this period's is compared with."""
        return rules.last_before(self._of(unit), self.period)

    def last_signed(self, unit: UnitRecord) -> Census | None:
        """Return the newest list that the unit has signed, of this period or an earlier one."""
        signed = [each for each in self._of(unit) if each.confirmed_at is not None]
        return max(signed, key=lambda each: (each.period, each.census_id), default=None)

    def standing(self, unit: UnitRecord) -> CensusStanding:
        return rules.standing(self.period, self._of(unit), self._first_recorded(unit), self.now)

    def newest(self, unit: UnitRecord) -> Census | None:
        """Return this period's newest list, with preference for a confirmed one."""
        found = [each for each in self._of(unit) if each.period == self.period]
        return max(found, key=lambda each: (each.confirmed_at is not None, each.census_id), default=None)

    def units(self) -> list[UnitRecord]:
        """Return the units with anything to list, by symbol."""
        known = self._people.keys() | self._boxes.keys()
        return sorted(
            (unit for unit in self._directory.units() if unit.unit_id in known), key=lambda unit: alphabetical(unit.symbol)
        )

    def _of(self, unit: UnitRecord) -> list[Census]:
        return self._directory.censuses.of(unit.unit_id)

    def _first_recorded(self, unit: UnitRecord) -> datetime | None:
        persons = (self._snapshot.own.get(person.person_id) for person in self._people.get(unit.unit_id, ()))
        entries = [*self._boxes.get(unit.unit_id, ()), *(self._snapshot.entries[own] for own in persons if own is not None)]
        return min((entry.facts[0].recorded_at for entry in entries if entry.facts), default=None)

    def disputed(self, unit: UnitRecord) -> list[tuple[CensusLine, Request]]:
        """Return the disputed lines of this and the last list, and every one still pending."""
        lists = {census.census_id: census for census in self._of(unit)}
        before = self.before(unit)
        since = before.period if before is not None else self.period
        found: list[tuple[CensusLine, Request]] = []
        for each in self._directory.censuses.disputes(unit.unit_id):
            census, request = lists[each.census_id], self._directory.requests.get(each.request_id)
            line = next((line for line in census.lines if line.key == each.key), None)
            if line is not None and (census.period >= since or request.state in PENDING):
                found.append((line, request))
        return found

    def paper_of(self, unit: UnitRecord, census: Census) -> Document:
        """Return the list of one unit, for its head to sign."""
        people = [line for line in census.lines if line.group is Group.PERSON]
        boxes = [line for line in census.lines if line.group is Group.MAILBOX]
        before = self.before(unit)
        plans = [known.plan for known in MigrationRegister(self._directory, self._config, self._clock).of_unit(unit)]
        blocks: list[Block] = [
            DescriptionList(
                [
                    ("Đơn vị", f"{unit.name} ({unit.symbol})"),
                    ("Cá nhân", f"{len(people)}, trong đó {sum(line.has_mailbox for line in people)} có hộp thư"),
                    ("Hộp thư của đơn vị và nhóm", sum(line.has_mailbox for line in boxes)),
                    ("Thời điểm thống kê", census.made_at),
                    ("So với", f"bản thống kê ngày {local_day(before.made_at):%d/%m/%Y}" if before else "chưa có kỳ trước"),
                    *(("Còn dùng hệ thống khác", _plan_text(plan)) for plan in plans),
                ]
            ),
            _numbered("I. Cá nhân", people, _PERSON),
            _numbered("II. Hộp thư của đơn vị và nhóm", boxes, _MAILBOX),
            Table.of(
                "III. Thay đổi so với kỳ trước",
                rules.changes(before.lines, census.lines) if before else [],
                _CHANGE,
                empty="Không có thay đổi." if before else "Đây là kỳ thống kê đầu tiên của đơn vị.",
            ),
            Table.of("IV. Đề nghị sửa của đơn vị", self.disputed(unit), _DISPUTE),
            f"Nội dung chưa đúng, đơn vị lập yêu cầu gửi Trung tâm Thông tin ({self._config.support}) để sửa trong danh bạ.",
        ]
        return paper(
            self._config,
            "Danh sách sử dụng thư điện tử công vụ",
            f"{unit.name}, {period_name(census.period)}",
            census.made_at,
            blocks,
            clause_id=rules.CLAUSE,
            signatures=BY_A_UNIT,
            check=census.digest,
            issued_by=unit,
        )

    def roll_up(self) -> Document:
        """Return the summary of all units in this period, for the Centre."""
        rows: list[list[str | int | float | date | None]] = []
        totals = [0] * 6
        overdue = 0
        for unit in self.units():
            census, standing = self.newest(unit), self.standing(unit)
            overdue += standing is CensusStanding.OVERDUE
            lines = census.lines if census is not None else self.lines(unit)
            figures = _figures(lines)
            totals = [total + figure for total, figure in zip(totals, figures, strict=True)]
            rows.append([unit.symbol, unit.name, *figures, STANDINGS[standing], census.document if census else None])
        confirmed = sum(row[-2] == STANDINGS[CensusStanding.CONFIRMED] for row in rows)
        columns = [
            Column("Ký hiệu", wide=0),
            Column("Đơn vị", wide=4),
            *(
                Column(title, right=True)
                for title in ("Cá nhân", "Có hộp thư", "Hộp thư đơn vị", "Hộp thư nhóm", "Tạm khóa", "Đã dùng (MB)")
            ),
            Column("Xác nhận", wide=2),
            Column("Văn bản", wide=2),
        ]
        return paper(
            self._config,
            "Tổng hợp sử dụng thư điện tử công vụ",
            period_name(self.period),
            self.now,
            [
                DescriptionList(
                    [
                        ("Đơn vị", len(rows)),
                        ("Đã xác nhận", confirmed),
                        ("Quá hạn xác nhận", overdue),
                        ("Hạn xác nhận", f"hết ngày {local_day(rules.due_at(self.period)) - ONE_DAY:%d/%m/%Y}"),
                    ]
                ),
                Table("Theo đơn vị", columns, rows, total=["Tổng", f"{len(rows)} đơn vị", *totals, "", ""]),
            ],
            clause_id=rules.CLAUSE,
            signatures=BY_THE_CENTRE,
        )


def period_name(period: date) -> str:
    """Return a period's name in documents."""
    return f"kỳ tháng {period.month:02} năm {period.year}"


def _plan_text(plan: MigrationPlan) -> str:
    return f"{plan.system}: {plan.mailboxes} hộp thư, kế hoạch chuyển xong {plan.planned_on:%d/%m/%Y}"


def _figures(lines: Iterable[CensusLine]) -> list[int]:
    """Count people, those with a mailbox, unit and group mailboxes, suspended ones, and MiB used."""
    listed = list(lines)
    people = [line for line in listed if line.group is Group.PERSON]
    boxes = [line for line in listed if line.group is Group.MAILBOX and line.has_mailbox]
    return [
        len(people),
        sum(line.has_mailbox for line in people),
        sum(line.position == MailboxKind.UNIT.label.vi for line in boxes),
        sum(line.position == MailboxKind.GROUP.label.vi for line in boxes),
        sum("suspended" in line.states for line in listed if line.has_mailbox),
        sum(line.used_octets for line in listed) // _MIB,
    ]


def _states_of(line: CensusLine) -> str:
    if not line.address:
        return "chưa có hộp thư"
    return ", ".join(MailboxState(state).label.vi for state in line.states)


_PERSON: Columns[CensusLine] = (
    (Column("Họ và tên", wide=8), lambda line: line.name),
    (Column("Chức vụ", wide=6), lambda line: line.position),
    (Column("Hộp thư", wide=10), lambda line: line.address),
    (Column("Tình trạng", wide=8), _states_of),
)
_MAILBOX: Columns[CensusLine] = (
    (Column("Hộp thư", wide=4), lambda line: line.address),
    (Column("Loại", wide=0), lambda line: line.position),
    (Column("Người quản lý, thành viên", wide=4), lambda line: line.keepers or "chưa có"),
    (Column("Tình trạng", wide=3), _states_of),
)
_SIZES: Columns[CensusLine] = (
    (Column("Cấp (GB)", right=True, wide=0), lambda line: line.quota_octets / _GIB if line.address else None),
    (Column("Dùng (MB)", right=True, wide=0), lambda line: line.used_octets / _MIB if line.address else None),
)


def _numbered(name: str, lines: Sequence[CensusLine], columns: Columns[CensusLine]) -> Table:
    table = Table.of(name, lines, (*columns, *_SIZES))
    rows = [[number, *row] for number, row in enumerate(table.rows, 1)]
    return Table(name, [Column("TT", right=True, wide=0), *table.columns], rows)


_DISPUTE: Columns[tuple[CensusLine, Request]] = (
    (Column("Yêu cầu số", wide=0, right=True), lambda pair: pair[1].request_id),
    (Column("Cá nhân, hộp thư", wide=3), lambda pair: pair[0].name),
    (Column("Đề nghị", wide=4), lambda pair: pair[1].item(Item.NOTE)),
    (Column("Tình trạng", wide=2), lambda pair: pair[1].state.label.vi),
    (Column("Kết quả", wide=4), lambda pair: pair[1].result),
)


def _change_text(change: LineChange) -> str:
    if change.what != "altered":
        return change.line.address or "chưa có hộp thư"
    return "; ".join(f"{_FIELDS[name]}: {_value(name, old)} → {_value(name, new)}" for name, old, new in change.fields)


def _value(name: str, value: str) -> str:
    if name == "states":
        return ", ".join(MailboxState(state).label.vi for state in value.split()) or "không"
    if name == "quota_octets":
        return f"{int(value) / _GIB:.1f} GB".replace(".", ",")
    return value or "không"


_CHANGE: Columns[LineChange] = (
    (Column("Thay đổi", wide=0), lambda change: _CHANGES[change.what]),
    (Column("Cá nhân, hộp thư", wide=2), lambda change: change.line.name),
    (Column("Nội dung", wide=3), _change_text),
)
