"""The messages in the demonstration's mailboxes: office mail in Vietnamese, one with an attachment."""

from dataclasses import dataclass
from datetime import datetime

from mic_mail.mailbox_address import MailboxAddress
from mic_mail.mime.compose import Attachment, Mailbox, compose
from mic_mail.storage.types import INBOX

LARGE_ATTACHMENT_OCTETS = 18_050_000
"""Decoded size: under the 20 MiB of Reg. 8.3.b; 40 such messages are a little over 92 % of 1 GiB."""


@dataclass(frozen=True, slots=True)
class SampleMessage:
    """One message; `own`: the mailbox sent it."""

    folder: str
    sender_name: str
    sender_address: str
    subject: str
    text: str
    hours_ago: int
    seen: bool = False
    flagged: bool = False
    own: bool = False
    attachment: str = ""


SAMPLE_MESSAGES = (
    SampleMessage(
        "Công văn đến", "Cục Công nghệ thông tin", "cntt@mic.gov.vn", "V/v báo cáo tình hình ứng dụng CNTT năm 2026",
        "Kính gửi {name},\n\nThực hiện kế hoạch ứng dụng công nghệ thông tin năm 2026, đề nghị Ông/Bà tổng hợp số liệu của "
        "đơn vị và gửi về Cục trước ngày 15 hằng tháng.\n\nTrân trọng.\n",
        200, seen=True,
    ),
    SampleMessage(
        INBOX, "Trần Thị Lan", "ttlan@mic.gov.vn", "Lịch họp giao ban tuần",
        "Anh/Chị {name} thân mến,\n\nHọp giao ban tuần này chuyển sang 8 giờ 30 sáng thứ Tư, phòng họp 305. "
        "Nhờ anh/chị chuẩn bị nội dung về hạ tầng số.\n\nCảm ơn anh/chị.\nLan\n",
        50, seen=True,
    ),
    SampleMessage(
        INBOX, "Đỗ Văn Bê", "dvbe@mic.gov.vn", "Kế hoạch công tác năm 2026 (bản dự thảo)",
        "Kính gửi {name},\n\nXin gửi kèm bản dự thảo kế hoạch công tác năm 2026. Đề nghị cho ý kiến trước cuối tuần.\n\n"
        "Trân trọng,\nĐỗ Văn Bê\n",
        26, flagged=True, attachment="Kế hoạch công tác năm 2026.pdf",
    ),
    SampleMessage(
        INBOX, "Đoàn Thanh niên Bộ", "doanthanhnien@mic.gov.vn", "Thư mời tham gia ngày hội hiến máu",
        "Kính mời {name} tham gia ngày hội hiến máu tình nguyện tại hội trường tầng 1.\n\nĐoàn Thanh niên Bộ\n",
        3,
    ),
    SampleMessage(
        "Sent", "Trần Thị Lan", "ttlan@mic.gov.vn", "Re: Lịch họp giao ban tuần",
        "Tôi đã nhận được lịch và sẽ chuẩn bị nội dung.\n\n{name}\n",
        48, seen=True, own=True,
    ),
)  # fmt: skip


def large_message(to: Mailbox, sent_at: datetime, message_id: str) -> bytes:
    """Return a message close to the limit; its attachment does not compress, as scans do not."""
    block = bytes((n * 197 + (n >> 8) * 31) & 255 for n in range(65_536))
    content = (block * (LARGE_ATTACHMENT_OCTETS // len(block) + 1))[:LARGE_ATTACHMENT_OCTETS]
    return compose(
        sender=Mailbox("Cục Công nghệ thông tin", MailboxAddress.parse("cntt@mic.gov.vn")),
        to=[to],
        subject="Bản quét hồ sơ lưu trữ",
        text="Gửi kèm bản quét hồ sơ lưu trữ.\n",
        date=sent_at,
        message_id=message_id,
        auto_submitted=None,
        attachments=[Attachment("ho-so-luu-tru.bin", "application/octet-stream", content)],
    )


def plan_as_pdf() -> bytes:
    """Return a PDF of one page (ISO 32000-1 §7.5), written by hand."""
    page = b"BT /F1 24 Tf 72 760 Td (Ke hoach cong tac nam 2026) Tj ET"
    objects = (
        b"<< /Type /Catalog /Pages 2 0 R >>",
        b"<< /Type /Pages /Kids [3 0 R] /Count 1 >>",
        b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 595 842] /Contents 4 0 R /Resources << /Font << /F1 5 0 R >> >> >>",
        b"<< /Length %d >>\nstream\n%b\nendstream" % (len(page), page),
        b"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>",
    )
    document, offsets = bytearray(b"%PDF-1.4\n"), []
    for number, content in enumerate(objects, start=1):
        offsets.append(len(document))
        document += b"%d 0 obj\n%b\nendobj\n" % (number, content)
    start = len(document)
    document += b"xref\n0 %d\n0000000000 65535 f \n" % (len(objects) + 1)
    document += b"".join(b"%010d 00000 n \n" % offset for offset in offsets)
    document += b"trailer\n<< /Size %d /Root 1 0 R >>\nstartxref\n%d\n%%%%EOF\n" % (len(objects) + 1, start)
    return bytes(document)
