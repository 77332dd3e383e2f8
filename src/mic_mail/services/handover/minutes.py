"""The minutes of a handover, for both sides and the head of the unit to sign (Reg. 12.3.d).

In: a handover, its inventory, the directory. Out: a document. What is not on record (the number of the minutes, an
unrecorded keeper) is left blank for a pen, never invented.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import date, datetime

from mic_mail.clock import HO_CHI_MINH
from mic_mail.config.model import Config
from mic_mail.directory.records import MailboxRecord, NotFound
from mic_mail.directory.repository import Directory
from mic_mail.documents.document import Block, Cell, Column, Columns, DescriptionList, Document, SignatureBlock, Table
from mic_mail.i18n.clause_names import clause
from mic_mail.policy.calendar import local_day
from mic_mail.policy.unit_mail.handover import CLAUSE, Handover, HandoverStanding
from mic_mail.services.handover.inventory import InventoriedFolder, Inventory
from mic_mail.services.reports.document_header import paper

BLANK = "................................"
_HOW_DIGESTED = (
    "Mã băm của mỗi thư mục là SHA-256 của danh sách mã băm SHA-256 các thư trong thư mục, xếp theo thứ tự, mỗi mã một dòng; "
    "không phụ thuộc vào trạng thái đã đọc hay tên tệp."
)
_RESET = (
    f"{clause(CLAUSE).vi[0].upper()}{clause(CLAUSE).vi[1:]} quy định bàn giao mật khẩu; Hệ thống không lưu mật khẩu đang dùng "
    "nên khởi tạo lại mật khẩu cho bên nhận, bên nhận phải đổi trong lần đăng nhập đầu tiên."
)
"""A reset goes further than the regulation, which has the password handed over (decision 0067)."""
_REGULATION = "Quy chế thiết lập, quản lý và sử dụng Hệ thống thư điện tử công vụ"


@dataclass(frozen=True, slots=True)
class Party:
    """One side, as the directory knows it."""

    name: str
    position: str
    address: str

    @property
    def display_text(self) -> str:
        return ", ".join(part for part in (self.name, self.position, self.address) if part) or BLANK


NOBODY = Party("", "", "")


class Minutes:
    def __init__(self, directory: Directory, config: Config) -> None:
        self._directory = directory
        self._config = config

    def paper(self, mailbox: MailboxRecord, handover: Handover, inventory: Inventory, number: str = "") -> Document:
        """Return the minutes of a counted handover.

        Before it is finished they are a draft that says so; of a cancelled one they say that nothing has moved.
        """
        gives, takes = self._party(handover.predecessor), self._party(handover.successor)
        head, witness = handover.begun.text("named_by") or "", handover.begun.text("witness")
        digest = handover.counted.text("digest") if handover.counted is not None else None
        is_cancelled = handover.standing is HandoverStanding.CANCELLED
        witnesses = [("Người chứng kiến", witness)] if witness else []
        parties = [
            ("Bên giao", gives.display_text),
            ("Bên nhận", takes.display_text),
            ("Thủ trưởng đơn vị", head or BLANK),
            *witnesses,
            ("Thực hiện tại hệ thống", f"{self._config.regulation.centre} ({self._officer(handover.begun.actor)})"),
        ]
        blocks: list[Block] = [
            *self._grounds(handover, takes, head or BLANK),
            DescriptionList(parties, "I. Thành phần"),
            DescriptionList(self._content(mailbox, handover, inventory), "II. Nội dung bàn giao nguyên trạng"),
            _table(inventory),
            *_remarks(inventory),
            f"Mã băm SHA-256 của tệp kiểm kê: {digest or BLANK}.",
            f"{_HOW_DIGESTED} Đối chiếu: mic-mail handover verify {mailbox.address} --handover {handover.seq}.",
            *([] if is_cancelled else [_RESET]),
            "Biên bản được lập thành 03 bản: bên giao, bên nhận và Trung tâm Thông tin mỗi bên giữ 01 bản.",
        ]
        of_the_unit = ("Thủ trưởng đơn vị", head.partition(",")[0])
        signers = [("Bên giao", gives.name), ("Bên nhận", takes.name), *witnesses, of_the_unit]
        return paper(
            self._config,
            "Biên bản bàn giao hộp thư điện tử của đơn vị",
            f"Hộp thư {mailbox.address}",
            handover.ended.effective_at if handover.ended is not None else inventory.taken_at,
            blocks,
            clause_id=CLAUSE,
            number=number.strip() or "............/BB",
            signatures=[*(SignatureBlock(office, name) for office, name in signers), SignatureBlock("Trung tâm Thông tin")],
            check=digest or "",
        )

    def _content(self, mailbox: MailboxRecord, handover: Handover, inventory: Inventory) -> list[tuple[str, Cell]]:
        words, until = _WORDS.get(handover.standing, _DRAFT), handover.until
        ended = handover.ended.effective_at if handover.ended is not None else None
        is_cancelled = handover.standing is HandoverStanding.CANCELLED
        return [
            ("Hộp thư", f"{mailbox.address} ({mailbox.display_name})"),
            ("Đơn vị", self._unit(mailbox)),
            ("Ngừng mọi việc xóa thư từ", handover.since),
            ("Thời điểm kiểm kê", inventory.taken_at),
            ("Số thư mục", len(inventory.folders)),
            ("Số thư", inventory.messages),
            ("Dung lượng (byte)", inventory.octets),
            ("Mật khẩu", words.reset),
            ("Quyền của bên giao và người thay thế", words.rights),
            ("Thời hạn phân công bên nhận", f"đến hết ngày {until:%d/%m/%Y}" if until else "đến khi có phân công khác"),
            ("Hoàn thành", words.finished or ended),
            *([("Đã hủy", ended)] if is_cancelled else []),
        ]

    def _grounds(self, handover: Handover, takes: Party, named_by: str) -> list[Block]:
        regulation = self._config.regulation
        decision = f" ban hành kèm theo Quyết định số {regulation.decision_no}" if regulation.decision_no else ""
        decision += f" ngày {regulation.issued_on:%d/%m/%Y}" if decision and regulation.issued_on else ""
        point = clause(CLAUSE).vi.removesuffix(" Quy chế")
        on = f" ngày {handover.named_on:%d/%m/%Y}" if handover.named_on is not None else ""
        who, document = takes.name or takes.address, handover.begun.document or BLANK
        local = handover.since.astimezone(HO_CHI_MINH)
        return [
            f"Căn cứ {point} {_REGULATION}{decision};",
            f"Căn cứ văn bản số {document}{on} của {named_by} về việc phân công {who} quản lý hộp thư của đơn vị;",
            f"Từ {local:%H} giờ {local:%M} phút ngày {local:%d/%m/%Y}, các bên tiến hành bàn giao hộp thư như sau:",
        ]

    def _party(self, address: str | None) -> Party:
        if not address:
            return NOBODY
        try:
            own = self._directory.mailbox(address)
            person = self._directory.person(own.person_id or 0)
        except NotFound:
            return Party("", "", address)
        return Party(person.full_name, person.position, own.address)

    def _officer(self, login: str) -> str:
        return next((each.full_name for each in self._directory.officers.all() if each.login == login), login)

    def _unit(self, mailbox: MailboxRecord) -> str:
        unit = self._directory.units_by_id().get(mailbox.unit_id or 0)
        return f"{unit.name} ({unit.symbol})" if unit is not None else BLANK


@dataclass(frozen=True, slots=True)
class _Words:
    reset: str
    rights: str
    finished: str
    """Empty: the instant is shown."""


_DRAFT = _Words(
    "sẽ khởi tạo lại khi hoàn thành và giao cho bên nhận",
    "chấm dứt khi hoàn thành",
    "chưa hoàn thành (bản dự thảo)",
)
_WORDS: Mapping[HandoverStanding, _Words] = {
    HandoverStanding.FINISHED: _Words(
        "đã khởi tạo lại, giao cho bên nhận; mọi phiên làm việc cũ đã kết thúc",
        "đã chấm dứt khi hoàn thành",
        "",
    ),
    HandoverStanding.CANCELLED: _Words("không thay đổi", "không thay đổi", "không hoàn thành"),
}


def _table(inventory: Inventory) -> Table:
    columns: Columns[tuple[int, InventoriedFolder]] = (
        (Column("STT", right=True, wide=0), lambda row: row[0]),
        (Column("Thư mục", wide=2), lambda row: row[1].name),
        (Column("Số thư", right=True, wide=0), lambda row: row[1].messages),
        (Column("Byte", right=True, wide=0), lambda row: row[1].octets),
        (Column("Thư cũ nhất", wide=0), lambda row: _day(row[1].oldest)),
        (Column("Thư mới nhất", wide=0), lambda row: _day(row[1].newest)),
        (Column("Mã băm SHA-256", wide=3), lambda row: row[1].digest if row[1].messages else ""),
    )
    table = Table.of("III. Bảng kiểm kê", enumerate(inventory.folders, 1), columns)
    return replace(table, total=["", "Cộng", inventory.messages, inventory.octets, "", "", ""])


def _day(instant: datetime | None) -> date | None:
    return None if instant is None else local_day(instant)


def _remarks(inventory: Inventory) -> list[Block]:
    marked = sum(folder.marked for folder in inventory.folders)
    found: list[Block] = []
    if marked:
        found.append(f"Trong đó {marked} thư đã được đánh dấu xóa từ trước khi bàn giao; chỉ bên nhận quyết định việc xóa.")
    if inventory.unreadable:
        found.append(f"Có {inventory.unreadable} thư không đọc được tại thời điểm kiểm kê, không có mã băm.")
    return found
