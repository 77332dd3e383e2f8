"""The problems reported to the Centre, for the leadership (Reg. 18): counts, timeliness, the list.

In: the register of requests, a span of days, kinds. Out: a document. With a unit administrator's directory it covers
that unit only. Blocking: commands only.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from mic_mail.clock import Clock
from mic_mail.config.model import Config
from mic_mail.directory.records import UnitRecord
from mic_mail.directory.repository import Directory
from mic_mail.documents.document import Cell, Column, Columns, DescriptionList, Document, Table
from mic_mail.policy.date_ranges import DateRange
from mic_mail.policy.requests import PENDING, Item, RequestKind, RequestState
from mic_mail.services.reports.document_header import BY_THE_CENTRE, days_of, paper
from mic_mail.services.requests.register import Due, Register

CLAUSE = "18"


class Timeliness(StrEnum):
    """A request's state against its deadline."""

    IN_TIME = "trong hạn"
    LATE = "quá hạn"
    WAITING = "đang chờ, trong hạn"
    OVERDUE = "đang chờ, quá hạn"
    WITHDRAWN = "đã rút"


def answered(due: Due) -> Timeliness:
    """Return the state by the deadline of the present calendar."""
    request = due.request
    if request.state is RequestState.WITHDRAWN:
        return Timeliness.WITHDRAWN
    if request.state in PENDING:
        return Timeliness.OVERDUE if due.overdue else Timeliness.WAITING
    return Timeliness.IN_TIME if request.handled_at is None or request.handled_at <= due.at else Timeliness.LATE


@dataclass(frozen=True, slots=True)
class _ProblemRow:
    due: Due
    unit: str

    @property
    def stands(self) -> Timeliness:
        return answered(self.due)


class Problems:
    def __init__(
        self, directory: Directory, config: Config, clock: Clock, span: DateRange, kinds: Sequence[RequestKind]
    ) -> None:
        self._config = config
        self._span = span
        self._now: datetime = clock.now()
        units: Mapping[int, str] = {unit.unit_id: unit.symbol for unit in directory.units()}
        self._found = [
            _ProblemRow(due, units.get(due.request.filing.unit_id, "?"))
            for due in Register(directory, config, clock).all()
            if due.request.kind in kinds and span.holds(due.request.filing.received_at)
        ]

    def paper(self, unit: UnitRecord | None = None) -> Document:
        """Return counts by kind and by unit, timeliness, and every problem; of one unit, or of all."""
        found = [each for each in self._found if unit is None or each.unit == unit.symbol]
        stands = Counter(each.stands for each in found)
        decided = stands[Timeliness.IN_TIME] + stands[Timeliness.LATE]
        share = f"{stands[Timeliness.IN_TIME]} trên {decided}" if decided else "chưa có"
        return paper(
            self._config,
            "Tổng hợp vướng mắc về thư điện tử",
            days_of(self._span),
            self._now,
            [
                DescriptionList(
                    [
                        ("Số vướng mắc tiếp nhận", len(found)),
                        ("Trả lời trong hạn", share),
                        ("Đang chờ", stands[Timeliness.WAITING] + stands[Timeliness.OVERDUE]),
                        ("Trong đó quá hạn", stands[Timeliness.OVERDUE]),
                    ]
                ),
                _counted("I. Theo loại", "Loại", [(each.due.request.kind.label.vi, each) for each in found]),
                _counted("II. Theo đơn vị", "Đơn vị", [(each.unit, each) for each in found]),
                _listed(found),
            ],
            clause_id=CLAUSE,
            signatures=BY_THE_CENTRE,
        )


def _counted(name: str, title: str, found: Sequence[tuple[str, _ProblemRow]]) -> Table:
    columns = [
        Column(title, wide=3),
        *(Column(state.label.vi.capitalize(), right=True) for state in RequestState),
        Column("Trong hạn", right=True),
        Column("Quá hạn", right=True),
    ]
    rows: list[list[Cell]] = []
    for row in sorted({row for row, _ in found}):
        of_row = [each for name, each in found if name == row]
        states = Counter(each.due.request.state for each in of_row)
        stands = Counter(each.stands for each in of_row)
        late = stands[Timeliness.LATE] + stands[Timeliness.OVERDUE]
        rows.append([row, *(states[state] for state in RequestState), stands[Timeliness.IN_TIME], late])
    total = [sum(int(str(row[at])) for row in rows) for at in range(1, len(columns))]
    return Table(name, columns, rows, total=["Tổng", *total])


def _listed(found: Sequence[_ProblemRow]) -> Table:
    columns: Columns[_ProblemRow] = (
        (Column("Số", right=True, wide=0), lambda each: each.due.request.request_id),
        (Column("Nhận lúc", wide=2), lambda each: each.due.request.filing.received_at),
        (Column("Đơn vị", wide=2), lambda each: each.unit),
        (Column("Người phản ánh", wide=2), lambda each: each.due.request.filing.asker),
        (Column("Kênh", wide=2), lambda each: each.due.request.filing.channel.label.vi),
        (
            Column("Nội dung", wide=5),
            lambda each: each.due.request.item(Item.NOTE) or each.due.request.filing.subject.vi,
        ),
        (Column("Hạn", wide=2), lambda each: each.due.at),
        (Column("Tình trạng", wide=2), _standing),
        (Column("Kết quả", wide=4), lambda each: each.due.request.result),
    )
    return Table.of("III. Danh sách", found, columns)


def _standing(each: _ProblemRow) -> str:
    state = each.due.request.state
    return each.stands.value if state in PENDING else f"{state.label.vi}, {each.stands.value}"
