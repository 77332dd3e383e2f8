"""Notices about the keeper of a unit's mailbox (Reg. 12.3, 12.3.d), to that mailbox and the Centre."""

from datetime import datetime

from mic_mail.errors import Text
from mic_mail.i18n import dates
from mic_mail.i18n.clause_names import clause
from mic_mail.i18n.notices.mailbox import MIDNIGHT
from mic_mail.i18n.notices.notice import NoticeText, Reader, notice

UNIT = "cntt@mic.gov.vn"
HOLDER = "dvbe@mic.gov.vn"


@notice("12.3.d", Reader.OWNER, address=UNIT, holder=HOLDER, at=MIDNIGHT)
def term_ending(address: str, holder: str, at: datetime) -> NoticeText:
    """A keeper's grant ends within days, and no successor is named."""
    cited, last = clause("12.3.d"), dates.last_day_before(at)
    return NoticeText(
        Text(f"Sắp hết thời hạn phân công quản lý hộp thư {address}", f"The term of the keeper of {address} ends soon"),
        Text(
            f"Thời hạn phân công {holder} quản lý hộp thư {address} đến hết ngày {last.vi}; chưa ghi nhận người nhận bàn "
            f"giao. Theo {cited.vi}, đề nghị Thủ trưởng đơn vị chỉ định người nhận và gửi văn bản tới Trung tâm Thông tin "
            "để bàn giao nguyên trạng hộp thư, mật khẩu và toàn bộ nội dung.",
            f"The term of {holder} as keeper of the mailbox {address} ends on {last.en}, and no successor is on record. "
            "The head of the unit is asked to name a successor and send the document to the Information Centre, "
            f"so that the mailbox is handed over as it stands ({cited.en}).",
        ),
    )


@notice("12.3.d", Reader.OWNER, address=UNIT, holder=HOLDER, at=MIDNIGHT)
def term_ended(address: str, holder: str, at: datetime) -> NoticeText:
    """A keeper's grant has ended without a successor; sent once, to the unit and the Centre."""
    cited, when = clause("12.3.d"), dates.instant(at)
    return NoticeText(
        Text(f"Hộp thư {address} không còn người quản lý", f"The mailbox {address} has no keeper"),
        Text(
            f"Thời hạn phân công {holder} quản lý hộp thư {address} đã hết từ {when.vi} mà chưa bàn giao; người đó không còn "
            "truy nhập hộp thư bằng mật khẩu của mình. Mật khẩu riêng của hộp thư giữ nguyên cho đến khi bàn giao hoặc được "
            f"Trung tâm Thông tin đặt lại. Hộp thư vẫn nhận thư đến. Theo {cited.vi}, đề nghị Thủ trưởng đơn vị chỉ định ngay "
            "người nhận và gửi văn bản tới Trung tâm Thông tin để bàn giao.",
            f"The term of {holder} as keeper of the mailbox {address} ended on {when.en} without a handover; the person no "
            "longer has access with the own password. The mailbox's password stays the same until the handover, or until the "
            "Information Centre resets it. The mailbox still receives mail. The head of the unit is asked to name a successor "
            f"at once and send the document to the Information Centre ({cited.en}).",
        ),
    )
