"""The usage report (Reg. 16.2): mailboxes, events, traffic, storage, incidents, overdue items.

In: the directory, the store, the mail log, a span of days; of one unit (Reg. 16.1.b, 16.1.c) or of the ministry. Out: a
document. States are those at the end of the span, from what was known then. Blocking: commands only.
"""

from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from datetime import date, datetime

from mic_mail.clock import Clock
from mic_mail.config.model import Config
from mic_mail.directory.records import UnitRecord
from mic_mail.directory.repository import Directory
from mic_mail.directory.snapshot import Entry, Snapshot
from mic_mail.documents.document import Block, Cell, Column, Columns, DescriptionList, Document, Table
from mic_mail.i18n.clause_names import clause
from mic_mail.log.traffic import Traffic, count
from mic_mail.policy.date_ranges import DateRange
from mic_mail.policy.downtime import Downtime
from mic_mail.policy.facts import FactKind, MailboxKind, known_at
from mic_mail.policy.incidents import Incident, IncidentKind, IncidentSeverity, IncidentState
from mic_mail.policy.lifecycle import FactsUnreadable, MailboxState, decide
from mic_mail.policy.reclamation import is_empty
from mic_mail.services.compliance.collect import gather
from mic_mail.services.compliance.finding import Records
from mic_mail.services.reports.document_header import BY_A_UNIT, BY_THE_CENTRE, days_of, paper
from mic_mail.services.reports.migration_register import MigrationRegister, short_table
from mic_mail.services.settings import lifecycle_settings
from mic_mail.storage.mailstore import MailStore

CLAUSE = "16.2"
UNIT_CLAUSE = "16.1.c"
DELIVERED = 3
"""The column of the traffic chart: messages delivered to mailboxes."""
MOST_DAYS, MOST_DAYS_BY_WEEK = 14, 93
_MIB = 1 << 20
_GIB = 1 << 30
_SHOWN = (
    MailboxState.ACTIVE,
    MailboxState.SEND_LOCKED,
    MailboxState.PASSWORD_DUE,
    MailboxState.SUSPENDED,
    MailboxState.RECLAIMED,
)
_EVENTS = {
    FactKind.ISSUED: "Cấp hộp thư",
    FactKind.IMPORTED: "Chuyển từ hệ thống khác",
    FactKind.TRANSFERRED: "Thuyên chuyển",
    FactKind.LEFT: "Nghỉ, chuyển đi",
    FactKind.SUSPENDED: "Tạm khóa theo quyết định",
    FactKind.RESTORED: "Khôi phục",
    FactKind.PASSWORD_RESET: "Đặt lại mật khẩu",
    FactKind.QUOTA_SET: "Điều chỉnh dung lượng",
}


class Usage:
    def __init__(self, directory: Directory, store: MailStore, config: Config, clock: Clock, span: DateRange) -> None:
        self._directory = directory
        self._store = store
        self._config = config
        self._clock = clock
        self._span = span
        self._now = clock.now()
        self._begins, ends = span.instants
        self._ends = min(self._now, ends)
        self._snapshot: Snapshot = directory.load_snapshot()
        self._settings = lifecycle_settings(config, self._snapshot.working_days)
        self._known_states: dict[tuple[int, datetime], frozenset[MailboxState]] = {}
        self._octets: dict[int, int] = {}
        """The usage of each mailbox at its first check."""

    def paper(self, unit: UnitRecord | None = None) -> Document:
        entries = self._entries(unit)
        blocks: list[Block] = [
            self._summary(entries, unit),
            self._kinds(entries),
            "Một hộp thư có thể ở nhiều tình trạng cùng lúc, được tính ở mỗi cột; cột “Tổng” tính mỗi hộp thư một lần.",
            self._events(entries),
            self._traffic(entries if unit is not None else None),
        ]
        if unit is None:
            blocks += [self._storage(), self._incidents(), self._downtimes(), self._overdue()]
            elsewhere = MigrationRegister(self._directory, self._config, self._clock).known()
            blocks.append(short_table(elsewhere, "VIII. Đơn vị dùng hệ thống khác"))
        whose = "Hệ thống thư điện tử công vụ" if unit is None else unit.name
        return paper(
            self._config,
            "Báo cáo tình hình sử dụng thư điện tử",
            f"{whose}, {days_of(self._span)}",
            self._now,
            blocks,
            clause_id=CLAUSE if unit is None else UNIT_CLAUSE,
            signatures=BY_THE_CENTRE if unit is None else BY_A_UNIT,
            issued_by=unit,
        )

    def _entries(self, unit: UnitRecord | None) -> list[Entry]:
        if unit is None:
            return list(self._snapshot)
        persons = {person.person_id for person in self._directory.people(unit.unit_id)}
        return [entry for entry in self._snapshot if entry.owner.unit_id == unit.unit_id or entry.owner.person_id in persons]

    def _states(self, entry: Entry, at: datetime) -> frozenset[MailboxState]:
        key = entry.mailbox_id, at
        if key not in self._known_states:
            self._known_states[key] = self._decide(entry, at)
        return self._known_states[key]

    def _decide(self, entry: Entry, at: datetime) -> frozenset[MailboxState]:
        """Return the states at `at`, from the facts known then; none for a damaged record."""
        used = min(entry.last_activity, at) if entry.last_activity is not None else None
        try:
            facts = known_at(entry.facts, at)
            return frozenset(decide(entry.kind, facts, at, last_activity=used, settings=self._settings).states)
        except FactsUnreadable:
            return frozenset()

    def _used(self, entry: Entry) -> int:
        if is_empty(entry.facts):  # freed since then: a check would create a new store
            return 0
        if entry.mailbox_id not in self._octets:
            account = self._store.account_of(entry)
            self._octets[entry.mailbox_id] = account.quota_at_rest().octets
        return self._octets[entry.mailbox_id]

    def _summary(self, entries: Sequence[Entry], unit: UnitRecord | None) -> DescriptionList:
        live = [
            entry
            for entry in entries
            if not self._states(entry, self._ends) & {MailboxState.RECLAIMED, MailboxState.NOT_ISSUED}
        ]
        used = sum(self._used(entry) for entry in live)
        granted = sum(entry.quota_octets for entry in live)
        people = len(self._directory.people(unit.unit_id if unit else None))
        return DescriptionList(
            [
                ("Cá nhân trong danh bạ", people),
                ("Hộp thư đang dùng", len(live)),
                ("Dung lượng đã dùng", f"{_number(used / _GIB)} GB trên {_number(granted / _GIB)} GB được cấp"),
                ("Tình trạng tính đến", self._ends),
            ]
        )

    def _kinds(self, entries: Sequence[Entry]) -> Table:
        found: Counter[tuple[MailboxKind, MailboxState | None]] = Counter()
        for entry in entries:
            states = self._states(entry, self._ends)
            if states != {MailboxState.NOT_ISSUED}:
                found.update([(entry.kind, None), *((entry.kind, state) for state in states)])
        columns = [
            Column("Loại hộp thư", wide=2),
            Column("Tổng", right=True),
            *(Column(state.label.vi.capitalize(), right=True) for state in _SHOWN),
        ]
        rows: list[list[Cell]] = [
            [kind.label.vi.capitalize(), *(found[kind, state] for state in (None, *_SHOWN))] for kind in MailboxKind
        ]
        total = [sum(found[kind, state] for kind in MailboxKind) for state in (None, *_SHOWN)]
        return Table("I. Hộp thư theo loại và tình trạng", columns, rows, total=["Tổng", *total])

    def _events(self, entries: Sequence[Entry]) -> Table:
        """Count facts recorded in the span, and mailboxes that became suspended or reclaimed by any way."""
        facts = Counter(fact.kind for entry in entries for fact in entry.facts if self._span.holds(fact.clocked_at))
        rows: list[list[Cell]] = [[name, facts[kind]] for kind, name in _EVENTS.items()]
        became: Counter[MailboxState] = Counter()
        for entry in entries:
            became.update(self._states(entry, self._ends) - self._states(entry, self._begins))
        rows.append(["Hộp thư chuyển sang tạm khóa trong kỳ", became[MailboxState.SUSPENDED]])
        rows.append(["Hộp thư bị thu hồi trong kỳ", became[MailboxState.RECLAIMED]])
        return Table("II. Biến động trong kỳ", [Column("Nội dung", wide=3), Column("Số lần", right=True)], rows)

    def _traffic(self, entries: Collection[Entry] | None) -> Table:
        addresses = None if entries is None else frozenset(entry.address for entry in entries)
        days = count(self._config.log_dir, self._span.first, self._span.last, addresses)
        total = Traffic()
        for each in days.values():
            total.add(each)
        period, found = _by_period(days)
        titles = ("Thư gửi đi", "Từ máy chủ khác", "Vào hộp thư", "Từ chối", "Dung lượng (MB)")
        columns = [
            Column(period.capitalize(), wide=2 if period != "ngày" else 1),
            *(Column(title, right=True) for title in titles),
        ]
        rows: list[list[Cell]] = [[label, *_traffic_cells(each, whole=entries is None)] for label, each in found]
        sums = ["Tổng", *_traffic_cells(total, whole=entries is None)]
        return Table(f"III. Thư theo {period}", columns, rows, total=sums, chart=DELIVERED)

    def _storage(self) -> Table:
        unit_of = {person.person_id: person.unit_id for person in self._directory.people()}
        boxes, octets = Counter[int](), Counter[int]()
        for entry in self._snapshot:
            owner = entry.owner
            unit = owner.unit_id if owner.person_id is None else unit_of.get(owner.person_id)
            if unit is not None and not self._states(entry, self._ends) & {MailboxState.RECLAIMED, MailboxState.NOT_ISSUED}:
                boxes[unit] += 1
                octets[unit] += self._used(entry)
        units = self._directory.units_by_id()
        columns = [
            Column("Ký hiệu", wide=0),
            Column("Đơn vị", wide=3),
            Column("Hộp thư", right=True),
            Column("Đã dùng (MB)", right=True),
        ]
        ordered = sorted(boxes, key=lambda unit: (-octets[unit], units[unit].symbol))
        rows: list[list[Cell]] = [[units[unit].symbol, units[unit].name, boxes[unit], octets[unit] / _MIB] for unit in ordered]
        return Table("IV. Dung lượng theo đơn vị", columns, rows, total=["Tổng", None, boxes.total(), octets.total() / _MIB])

    def _incidents(self) -> Table:
        within = [each for each in self._directory.incidents.all() if each.within(self._begins, self._ends)]
        return counted_incidents("V. Sự cố", within)

    def _downtimes(self) -> Table:
        columns: Columns[Downtime] = (
            (Column("Từ", wide=2), lambda each: each.starts_at),
            (Column("Đến", wide=2), lambda each: each.ends_at),
            (Column("Loại"), lambda each: "sự cố" if each.incident else "báo trước"),
            (Column("Lý do", wide=3), lambda each: each.reason),
            (Column("Báo cáo", wide=2), lambda each: each.report),
        )
        within = [
            each
            for each in self._directory.downtimes.all()
            if each.cancelled_at is None and each.starts_at < self._ends and self._begins <= each.ends_at
        ]
        return Table.of("VI. Tạm ngừng", within, columns)

    def _overdue(self) -> Table:
        found = gather(Records(self._directory, self._config, self._clock))
        rows: list[list[Cell]] = [
            [
                clause(clause_id).vi,
                *((finding.what.vi, finding.count) if finding.overdue_item is None else (finding.overdue_item.vi, None)),
            ]
            for clause_id, findings in found.items()
            for finding in findings
            if finding.overdue
        ]
        columns = [Column("Căn cứ", wide=2), Column("Nội dung", wide=4), Column("Số lượng", right=True)]
        return Table("VII. Việc quá hạn hiện nay", columns, rows)


def counted_incidents(name: str, incidents: Sequence[Incident]) -> Table:
    """Count incidents of each kind, by severity, and closed ones."""
    found: Counter[tuple[object, object]] = Counter()
    for each in incidents:
        found.update([(each.told.kind, each.told.severity), (each.told.kind, each.state)])
    shown = (*IncidentSeverity, IncidentState.CLOSED)
    columns = [
        Column("Loại sự cố", wide=3),
        *(Column(severity.label.vi.capitalize(), right=True) for severity in IncidentSeverity),
        Column("Đã kết thúc", right=True),
    ]
    rows: list[list[Cell]] = [
        [kind.label.vi.capitalize(), *(found[kind, each] for each in shown)]
        for kind in IncidentKind
        if any(found[kind, each] for each in shown)
    ]
    total = [sum(found[kind, each] for kind in IncidentKind) for each in shown]
    return Table(name, columns, rows, total=["Tổng", *total])


def _by_period(days: Mapping[date, Traffic]) -> tuple[str, list[tuple[Cell, Traffic]]]:
    """Group traffic by days up to two weeks, by weeks up to a quarter, else by months."""
    if len(days) <= MOST_DAYS:
        return "ngày", [*days.items()]
    weekly = len(days) <= MOST_DAYS_BY_WEEK
    found: dict[tuple[int, int], tuple[list[date], Traffic]] = {}
    for day, traffic in days.items():
        key = day.isocalendar()[:2] if weekly else (day.year, day.month)
        within, total = found.setdefault(key, ([], Traffic()))
        within.append(day)
        total.add(traffic)
    if weekly:
        return "tuần", [(_week(within), total) for within, total in found.values()]
    return "tháng", [(f"{within[0]:%m/%Y}", total) for within, total in found.values()]


def _week(within: Sequence[date]) -> str:
    first, last = within[0], within[-1]
    return f"{last:%d/%m/%Y}" if first == last else f"{first:%d/%m} - {last:%d/%m/%Y}"


def _traffic_cells(traffic: Traffic, *, whole: bool) -> Iterator[Cell]:
    yield traffic.sent
    yield traffic.received if whole else None
    yield traffic.delivered
    yield traffic.refused
    yield traffic.octets / _MIB


def _number(value: float) -> str:
    return f"{value:.1f}".replace(".", ",")
