"""The report of openings: figures for each mailbox and, of a few, each day (Reg. 12.3.a)."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from itertools import groupby

from mic_mail.clock import HO_CHI_MINH
from mic_mail.config.model import Config
from mic_mail.documents.document import Block, Cell, Column, Document, Table
from mic_mail.errors import Text
from mic_mail.policy.date_ranges import DateRange
from mic_mail.policy.unit_mail import opening_windows
from mic_mail.policy.unit_mail.opening_windows import Opening, Shut, WindowOutcome
from mic_mail.services.reports.document_header import BY_A_UNIT, days_of, paper
from mic_mail.services.unit_mail.openings import Attended

VERDICTS: Mapping[WindowOutcome, Text] = {
    WindowOutcome.OPENED: Text("đã mở", "opened"),
    WindowOutcome.MISSED: Text("không mở", "not opened"),
    WindowOutcome.SHUT: Text("không thể mở", "could not be opened"),
    WindowOutcome.PENDING: Text("chưa hết giờ", "not over yet"),
}
SHUT: Mapping[Shut, Text] = {
    Shut.NOT_ISSUED: Text("chưa cấp", "not issued yet"),
    Shut.SUSPENDED: Text("tạm khóa", "suspended"),
    Shut.RECLAIMED: Text("đã thu hồi", "reclaimed"),
    Shut.DOWNTIME: Text("ngừng dịch vụ", "service down"),
    Shut.UNREADABLE: Text("hồ sơ hộp thư bị hỏng", "record damaged"),
    Shut.UNLOGGED: Text("không có nhật ký", "no log"),
}
MOST_DETAILED = 20
"""The most mailboxes whose days a document lists; of more it has only the figures."""


def openings_paper(config: Config, attended: Sequence[Attended], span: DateRange, whose: str, now: datetime) -> Document:
    """Return the document; `whose`: the mailbox, the unit or the ministry."""
    blocks: list[Block] = [_figures(attended, now)]
    if len(attended) <= MOST_DETAILED:
        blocks += [_days(f"II.{number}. {each.entry.address}", each) for number, each in enumerate(attended, 1)]
    return paper(
        config,
        "Báo cáo mở hộp thư đơn vị",
        f"{whose}, {days_of(span)}",
        now,
        blocks,
        clause_id=opening_windows.CLAUSE,
        signatures=BY_A_UNIT,
    )


def share(attended: Attended) -> float | None:
    """Return the percentage of required windows in which the mailbox was opened; None: no such window."""
    opened, missed = attended.count(WindowOutcome.OPENED), attended.count(WindowOutcome.MISSED)
    return 100 * opened / (opened + missed) if opened + missed else None


def _figures(attended: Sequence[Attended], now: datetime) -> Table:
    columns = [
        Column("Hộp thư", wide=2),
        Column("Người quản lý", wide=2),
        *(Column(title, right=True) for title in ("Phải mở", "Đã mở", "Không mở", "Không thể mở", "Tỷ lệ (%)")),
    ]
    rows: list[list[Cell]] = []
    sums = [0, 0, 0, 0]
    for each in attended:
        opened, missed, shut = (
            each.count(verdict) for verdict in (WindowOutcome.OPENED, WindowOutcome.MISSED, WindowOutcome.SHUT)
        )
        figures = [opened + missed, opened, missed, shut]
        sums = [total + figure for total, figure in zip(sums, figures, strict=True)]
        rows.append([each.entry.address, ", ".join(each.in_charge(now)) or "chưa phân công", *figures, share(each)])
    whole = 100 * sums[1] / sums[0] if sums[0] else None
    return Table("I. Số khung giờ", columns, rows, total=["Tổng", None, *sums, whole])


def _days(name: str, attended: Attended) -> Table:
    days = [(day, list(cells)) for day, cells in groupby(attended.cells, key=lambda cell: cell.day)]
    windows = [cell.window for cell in days[0][1]] if days else []
    columns = [
        Column("Ngày", wide=1),
        *(Column(f"{window.start:%H:%M} - {window.end:%H:%M}", wide=2) for window in windows),
        Column("Người khác", wide=2),
    ]
    rows: list[list[Cell]] = []
    for day, cells in days:
        others = sorted({opening.actor for cell in cells for opening in cell.others})
        rows.append([day, *(_cell_text(cell) for cell in cells), ", ".join(others)])
    return Table(name, columns, rows, empty="Không có ngày làm việc.")


def _cell_text(cell: opening_windows.Cell) -> str:
    if cell.first is not None:
        return opened_by(cell.first)
    return SHUT[cell.shut].vi if cell.shut is not None else VERDICTS[cell.verdict].vi


def opened_by(opening: Opening) -> str:
    """Return time and person: "07:41 dvbe@mic.gov.vn"."""
    return f"{opening.at.astimezone(HO_CHI_MINH):%H:%M} {opening.actor}"
