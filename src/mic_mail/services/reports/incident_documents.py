"""Documents on incidents: one for an investigation (Reg. 14.4, 16.3), and the register of a span.

In: incidents on record and their records. Out: documents to write as PDF, XLSX, HTML, CSV. Blocking: commands only.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime

from mic_mail.config.model import Config
from mic_mail.directory.repository import Directory
from mic_mail.documents.document import Block, Column, Columns, DescriptionList, Document, Table
from mic_mail.policy import incidents as rules
from mic_mail.policy.date_ranges import DateRange
from mic_mail.policy.downtime import Downtime
from mic_mail.policy.incidents import Incident, Note
from mic_mail.services.operations.incidents import Incidents, Suspension
from mic_mail.services.reports.document_header import BY_THE_CENTRE, days_of, paper
from mic_mail.services.reports.usage import counted_incidents

FOUND_BY_THE_CENTRE = "Trung tâm tự phát hiện"


class IncidentPapers:
    def __init__(self, directory: Directory, config: Config, incidents: Incidents, now: datetime) -> None:
        self._directory = directory
        self._config = config
        self._incidents = incidents
        self._now = now
        self._units: Mapping[int, str] = {unit.unit_id: unit.symbol for unit in directory.units()}

    def one(self, incident: Incident) -> Document:
        details = incident.told
        blocks: list[Block] = [
            DescriptionList(
                [
                    ("Số", incident.number),
                    ("Loại sự cố", details.kind.label.vi),
                    ("Mức độ", details.severity.label.vi),
                    ("Nội dung", details.title),
                    ("Từ", details.began_at),
                    ("Đến", details.ended_at or "chưa kết thúc"),
                    ("Người báo", self._reporter(incident)),
                    ("Văn bản", details.document),
                    ("Đơn vị liên quan", self._names(details.units) or None),
                    ("Hộp thư liên quan", ", ".join(details.mailboxes) or "không nêu"),
                    ("Ghi sổ", incident.opened_at),
                    ("Tình trạng", incident.state.label.vi),
                ]
            ),
            self._course(incident),
            self._suspensions(incident),
            self._downtimes(incident),
            DescriptionList(
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
            signatures=BY_THE_CENTRE,
            check=incident.digest,
        )

    def register(self, incidents: Sequence[Incident], span: DateRange | None) -> Document:
        """Return the register: counts by kind and severity, and every incident."""
        title = days_of(span) if span else "toàn bộ"
        blocks = [counted_incidents("I. Theo loại và mức độ", incidents), self._listed(incidents)]
        return paper(
            self._config,
            "Sổ sự cố thư điện tử",
            title,
            self._now,
            blocks,
            clause_id=rules.CLAUSE,
            signatures=BY_THE_CENTRE,
        )

    def _course(self, incident: Incident) -> Table:
        columns: Columns[Note] = (
            (Column("Lúc", wide=2), lambda note: note.at),
            (Column("Người ghi", wide=2), lambda note: note.actor),
            (Column("Loại", wide=0), lambda note: "biện pháp" if note.measure else "diễn biến"),
            (Column("Nội dung", wide=6), lambda note: note.text),
        )
        return Table.of("I. Diễn biến và biện pháp", incident.notes, columns, empty="Chưa ghi.")

    def _suspensions(self, incident: Incident) -> Table:
        columns: Columns[Suspension] = (
            (Column("Hộp thư", wide=3), lambda each: each.address),
            (Column("Tạm khóa lúc", wide=2), lambda each: each.fact.effective_at),
            (Column("Lý do", wide=4), lambda each: each.fact.reason),
            (Column("Người thực hiện"), lambda each: each.fact.actor),
        )
        found = self._incidents.suspensions(incident)
        return Table.of("II. Hộp thư bị tạm khóa theo điểm c khoản 2 Điều 7", found, columns)

    def _downtimes(self, incident: Incident) -> Table:
        columns: Columns[Downtime] = (
            (Column("Từ", wide=2), lambda each: each.starts_at),
            (Column("Đến", wide=2), lambda each: each.ends_at),
            (Column("Lý do", wide=4), lambda each: each.reason),
            (Column("Báo cáo", wide=2), lambda each: each.report),
        )
        return Table.of("III. Tạm ngừng dịch vụ do sự cố", self._incidents.downtimes(incident), columns)

    def _listed(self, incidents: Sequence[Incident]) -> Table:
        columns: Columns[Incident] = (
            (Column("Số", wide=0), lambda each: each.number),
            (Column("Từ", wide=2), lambda each: each.told.began_at),
            (Column("Đến", wide=2), lambda each: each.told.ended_at),
            (Column("Loại", wide=2), lambda each: each.told.kind.label.vi),
            (Column("Mức độ", wide=2), lambda each: each.told.severity.label.vi),
            (Column("Nội dung", wide=5), lambda each: each.told.title),
            (Column("Người báo", wide=3), self._reporter),
            (Column("Tình trạng", wide=2), lambda each: each.state.label.vi),
            (Column("Kết quả", wide=4), lambda each: each.result),
            (Column("Báo cáo", wide=2), lambda each: each.report),
        )
        return Table.of("II. Danh sách", incidents, columns)

    def _reporter(self, incident: Incident) -> str:
        details = incident.told
        unit = FOUND_BY_THE_CENTRE if details.unit_id is None else self._units.get(details.unit_id, "?")
        way = f", {details.channel.label.vi}" if details.channel is not None else ""
        return f"{details.reporter} ({unit}{way})"

    def _names(self, units: frozenset[int]) -> str:
        return ", ".join(sorted(self._units[unit] for unit in units if unit in self._units))
