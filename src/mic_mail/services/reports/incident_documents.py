"""Documents on incidents: one for an investigation (Reg. 14.4, 16.3), and the register of a span.

In: incidents on record and their records. Out: documents to write as PDF, XLSX, HTML, CSV. Blocking: commands only.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime

from mic_mail.config.model import Config
from mic_mail.directory.repository import Directory
from mic_mail.documents.document import Block, Cell, Column, Document, Signature, Table, Terms
from mic_mail.policy import incidents as rules
from mic_mail.policy.date_ranges import DateRange
from mic_mail.policy.incidents import Incident
from mic_mail.services.operations.incidents import Incidents
from mic_mail.services.reports.document_header import paper
from mic_mail.services.reports.usage import counted_incidents

BY_THE_CENTRE = "Trung tâm tự phát hiện"


class IncidentPapers:
    """Documents as of one instant."""

    def __init__(self, directory: Directory, config: Config, incidents: Incidents, now: datetime) -> None:
        self._directory = directory
        self._config = config
        self._incidents = incidents
        self._now = now
        self._units: Mapping[int, str] = {unit.unit_id: unit.symbol for unit in directory.units()}

    def one(self, incident: Incident) -> Document:
        """Return everything about one incident, to be signed."""
        told = incident.told
        blocks: list[Block] = [
            Terms(
                [
                    ("Số", incident.number),
                    ("Loại sự cố", told.kind.label.vi),
                    ("Mức độ", told.severity.label.vi),
                    ("Nội dung", told.title),
                    ("Từ", told.began_at),
                    ("Đến", told.ended_at or "chưa kết thúc"),
                    ("Người báo", self._reporter(incident)),
                    ("Văn bản", told.document),
                    ("Đơn vị liên quan", self._names(told.units) or None),
                    ("Hộp thư liên quan", ", ".join(told.mailboxes) or "không nêu"),
                    ("Ghi sổ", incident.opened_at),
                    ("Tình trạng", incident.state.label.vi),
                ]
            ),
            self._course(incident),
            self._suspensions(incident),
            self._downtimes(incident),
            Terms(
                [
                    ("Kết quả xử lý", incident.result or "chưa có"),
                    ("Văn bản báo cáo", incident.report),
                    ("Kết thúc", incident.closed_at),
                ]
            ),
        ]
        return paper(
            self._config,
            "Báo cáo sự cố thư điện tử",
            f"Sự cố {incident.number}",
            self._now,
            blocks,
            clause_id=rules.CLAUSE,
            signatures=[Signature("Người lập"), Signature("Giám đốc Trung tâm")],
            check=incident.digest,
        )

    def register(self, incidents: Sequence[Incident], span: DateRange | None) -> Document:
        """Return the register: counts by kind and severity, and every incident."""
        title = f"từ ngày {span.first:%d/%m/%Y} đến ngày {span.last:%d/%m/%Y}" if span else "toàn bộ"
        return paper(
            self._config,
            "Sổ sự cố thư điện tử",
            title,
            self._now,
            [counted_incidents("I. Theo loại và mức độ", incidents), self._listed(incidents)],
            clause_id=rules.CLAUSE,
            signatures=[Signature("Người lập"), Signature("Giám đốc Trung tâm")],
        )

    # ------------------------------------------------------------ tables

    def _course(self, incident: Incident) -> Table:
        columns = [Column("Lúc", wide=2), Column("Người ghi", wide=2), Column("Loại", wide=0), Column("Nội dung", wide=6)]
        rows: list[list[Cell]] = [
            [note.at, note.actor, "biện pháp" if note.measure else "diễn biến", note.text] for note in incident.notes
        ]
        return Table("I. Diễn biến và biện pháp", columns, rows, empty="Chưa ghi.")

    def _suspensions(self, incident: Incident) -> Table:
        columns = [
            Column("Hộp thư", wide=3),
            Column("Tạm khóa lúc", wide=2),
            Column("Lý do", wide=4),
            Column("Người thực hiện"),
        ]
        rows: list[list[Cell]] = [
            [each.address, each.fact.effective_at, each.fact.reason, each.fact.actor]
            for each in self._incidents.suspensions(incident)
        ]
        return Table("II. Hộp thư bị tạm khóa theo điểm c khoản 2 Điều 7", columns, rows)

    def _downtimes(self, incident: Incident) -> Table:
        columns = [Column("Từ", wide=2), Column("Đến", wide=2), Column("Lý do", wide=4), Column("Báo cáo", wide=2)]
        rows: list[list[Cell]] = [
            [each.starts_at, each.ends_at, each.reason, each.report] for each in self._incidents.downtimes(incident)
        ]
        return Table("III. Tạm ngừng dịch vụ do sự cố", columns, rows)

    def _listed(self, incidents: Sequence[Incident]) -> Table:
        columns = [
            Column("Số", wide=0),
            Column("Từ", wide=2),
            Column("Đến", wide=2),
            Column("Loại", wide=2),
            Column("Mức độ", wide=2),
            Column("Nội dung", wide=5),
            Column("Người báo", wide=3),
            Column("Tình trạng", wide=2),
            Column("Kết quả", wide=4),
            Column("Báo cáo", wide=2),
        ]
        rows: list[list[Cell]] = [
            [
                each.number,
                each.told.began_at,
                each.told.ended_at,
                each.told.kind.label.vi,
                each.told.severity.label.vi,
                each.told.title,
                self._reporter(each),
                each.state.label.vi,
                each.result,
                each.report,
            ]
            for each in incidents
        ]
        return Table("II. Danh sách", columns, rows)

    # ------------------------------------------------------------ texts

    def _reporter(self, incident: Incident) -> str:
        told = incident.told
        unit = BY_THE_CENTRE if told.unit_id is None else self._units.get(told.unit_id, "?")
        way = f", {told.channel.label.vi}" if told.channel is not None else ""
        return f"{told.reporter} ({unit}{way})"

    def _names(self, units: frozenset[int]) -> str:
        return ", ".join(sorted(self._units[unit] for unit in units if unit in self._units))
