"""The minutes of a handover, for both sides and the head of the unit to sign (Reg. 12.3.d).

In: a handover, its inventory, the directory. Out: a document. What is not on record (the number of the minutes, an
unrecorded keeper) is left blank for a pen, never invented.
"""

from dataclasses import dataclass
from datetime import date, datetime

from mic_mail.clock import HO_CHI_MINH
from mic_mail.config.model import Config
from mic_mail.directory.records import MailboxRecord, NotFound
from mic_mail.directory.repository import Directory
from mic_mail.documents.document import Block, Column, Document, Signature, Table, Terms
from mic_mail.i18n.clause_names import clause
from mic_mail.policy.unit_mail.handover import CLAUSE, Handover, HandoverStanding
from mic_mail.services.handover.inventory import Folder, Inventory
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
"""The minutes' paragraph on the password reset.

A reset goes further than the regulation, which has the password handed over (decision 0067).
"""
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
    """The minutes of one server's handovers."""

    def __init__(self, directory: Directory, config: Config) -> None:
        self._directory = directory
        self._config = config

    def paper(self, mailbox: MailboxRecord, handover: Handover, inventory: Inventory, number: str = "") -> Document:
        """Return the minutes of a counted handover.

        Before it is finished they are a draft that says so; of a cancelled one they say that nothing has moved.
        """
        gives, takes = self._party(handover.predecessor), self._party(handover.successor)
        begun, ended, is_cancelled = handover.begun, handover.ended, handover.standing is HandoverStanding.CANCELLED
        named_by, witness = begun.text("named_by") or BLANK, begun.text("witness")
        digest = handover.counted.text("digest") if handover.counted is not None else None
        blocks: list[Block] = [
            *self._grounds(handover, takes, named_by),
            Terms(
                name="I. Thành phần",
                pairs=[
                    ("Bên giao", gives.display_text),
                    ("Bên nhận", takes.display_text),
                    ("Thủ trưởng đơn vị", named_by),
                    *([("Người chứng kiến", witness)] if witness else []),
                    ("Thực hiện tại hệ thống", f"{self._config.regulation.centre} ({self._officer(begun.actor)})"),
                ],
            ),
            Terms(
                name="II. Nội dung bàn giao nguyên trạng",
                pairs=[
                    ("Hộp thư", f"{mailbox.address} ({mailbox.display_name})"),
                    ("Đơn vị", self._unit(mailbox)),
                    ("Ngừng mọi việc xóa thư từ", handover.since),
                    ("Thời điểm kiểm kê", inventory.taken_at),
                    ("Số thư mục", len(inventory.folders)),
                    ("Số thư", inventory.messages),
                    ("Dung lượng (byte)", inventory.octets),
                    ("Mật khẩu", _password(handover)),
                    ("Quyền của bên giao và người thay thế", _rights(handover)),
                    ("Thời hạn phân công bên nhận", _term(handover.until)),
                    ("Hoàn thành", _finished(handover)),
                    *([("Đã hủy", ended.effective_at)] if ended is not None and is_cancelled else []),
                ],
            ),
            _table(inventory),
            *_remarks(inventory),
            f"Mã băm SHA-256 của tệp kiểm kê: {digest or BLANK}.",
            f"{_HOW_DIGESTED} Đối chiếu: mic-mail handover verify {mailbox.address} --handover {handover.seq}.",
            *([] if is_cancelled else [_RESET]),
            "Biên bản được lập thành 03 bản: bên giao, bên nhận và Trung tâm Thông tin mỗi bên giữ 01 bản.",
        ]
        return paper(
            self._config,
            "Biên bản bàn giao hộp thư điện tử của đơn vị",
            f"Hộp thư {mailbox.address}",
            ended.effective_at if ended is not None else inventory.taken_at,
            blocks,
            clause_id=CLAUSE,
            number=number.strip() or "............/BB",
            signatures=[
                Signature("Bên giao", gives.name),
                Signature("Bên nhận", takes.name),
                *([Signature("Người chứng kiến", witness)] if witness else []),
                Signature("Thủ trưởng đơn vị", (begun.text("named_by") or "").partition(",")[0]),
                Signature("Trung tâm Thông tin"),
            ],
            check=digest or "",
        )

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
        units = {unit.unit_id: unit for unit in self._directory.units()}
        unit = units.get(mailbox.unit_id or 0)
        return f"{unit.name} ({unit.symbol})" if unit is not None else BLANK


def _finished(handover: Handover) -> datetime | str:
    if handover.standing is HandoverStanding.FINISHED and handover.ended is not None:
        return handover.ended.effective_at
    return "không hoàn thành" if handover.standing is HandoverStanding.CANCELLED else "chưa hoàn thành (bản dự thảo)"


def _password(handover: Handover) -> str:
    if handover.standing is HandoverStanding.CANCELLED:
        return "không thay đổi"
    if handover.standing is HandoverStanding.FINISHED:
        return "đã khởi tạo lại, giao cho bên nhận; mọi phiên làm việc cũ đã kết thúc"
    return "sẽ khởi tạo lại khi hoàn thành và giao cho bên nhận"


def _rights(handover: Handover) -> str:
    if handover.standing is HandoverStanding.CANCELLED:
        return "không thay đổi"
    if handover.standing is HandoverStanding.FINISHED:
        return "đã chấm dứt khi hoàn thành"
    return "chấm dứt khi hoàn thành"


def _term(until: date | None) -> str:
    return f"đến hết ngày {until:%d/%m/%Y}" if until is not None else "đến khi có phân công khác"


def _table(inventory: Inventory) -> Table:
    return Table(
        "III. Bảng kiểm kê",
        [
            Column("STT", right=True, wide=0),
            Column("Thư mục", wide=2),
            Column("Số thư", right=True, wide=0),
            Column("Byte", right=True, wide=0),
            Column("Thư cũ nhất", wide=0),
            Column("Thư mới nhất", wide=0),
            Column("Mã băm SHA-256", wide=3),
        ],
        [_row(number, folder) for number, folder in enumerate(inventory.folders, 1)],
        total=["", "Cộng", inventory.messages, inventory.octets, "", "", ""],
    )


def _row(number: int, folder: Folder) -> list[str | int | date | None]:
    return [
        number,
        folder.name,
        folder.messages,
        folder.octets,
        folder.oldest and folder.oldest.astimezone(HO_CHI_MINH).date(),
        folder.newest and folder.newest.astimezone(HO_CHI_MINH).date(),
        folder.digest if folder.messages else "",
    ]


def _remarks(inventory: Inventory) -> list[Block]:
    marked = sum(folder.marked for folder in inventory.folders)
    found: list[Block] = []
    if marked:
        found.append(f"Trong đó {marked} thư đã được đánh dấu xóa từ trước khi bàn giao; chỉ bên nhận quyết định việc xóa.")
    if inventory.unreadable:
        found.append(f"Có {inventory.unreadable} thư không đọc được tại thời điểm kiểm kê, không có mã băm.")
    return found
