"""Notices about the care of unit mailboxes: openings missed, mail not passed on (Reg. 12.3)."""

from datetime import date

from mic_mail.errors import Text, in_ascii
from mic_mail.i18n.clause_names import clause
from mic_mail.i18n.notices.notice import NoticeText, Reader, notice
from mic_mail.i18n.plurals import counted


@notice(
    "12.3.a",
    Reader.OWNER,
    address="cntt@mic.gov.vn",
    first=date(2026, 11, 16),
    last=date(2026, 11, 22),
    count=2,
    listed="- 17/11/2026: 10:30 - 12:00;\n- 19/11/2026: 16:00 - 17:30.",
)
def not_opened(address: str, first: date, last: date, count: int, listed: str) -> NoticeText:
    """A unit mailbox was not opened three times on each working day of last week; to its keeper."""
    cited = clause("12.3.a")
    return NoticeText(
        Text(f"Hộp thư {address} chưa được mở đủ trong tuần trước", f"{address} was not opened as often as it has to be"),
        Text(
            f"Từ ngày {first:%d/%m/%Y} đến ngày {last:%d/%m/%Y}, hộp thư {address} chưa được mở trong {count} khung giờ; đề "
            f"nghị mở hộp thư ít nhất 03 lần mỗi ngày làm việc: đầu giờ sáng, cuối giờ sáng, cuối giờ chiều ({cited.vi}). "
            f"Các khung giờ đó:\n\n{listed}",
            f"From {first:%d/%m/%Y} to {last:%d/%m/%Y} {address} was not opened in "
            f"{counted(count, 'window, which is', 'windows, which are')} listed above. Please open it at least 3 times each "
            f"working day: at the start and the end of the morning, and at the end of the afternoon ({cited.en}).",
        ),
    )


@notice("12.3.c", Reader.OWNER, count=2, listed="- 20/11/2026 09:00, từ a@mof.gov.vn: Về việc báo cáo.")
def not_passed_on(count: int, listed: str) -> NoticeText:
    """Mail was not passed on to the document system in time; at most once a week, with a list."""
    cited = clause("12.3.c")
    return NoticeText(
        Text(
            f"Có {count} thư đến chưa được chuyển vào hệ thống quản lý văn bản",
            f"{counted(count, 'message was', 'messages were')} not passed on to the document system",
        ),
        Text(
            f"Hộp thư có {count} thư đến chưa được đánh dấu đã chuyển vào hệ thống quản lý văn bản; đề nghị chuyển kịp thời và "
            f"đánh dấu ({cited.vi}). Danh sách:\n\n{listed}",
            f"{counted(count, 'message in this mailbox is', 'messages in this mailbox are')} not marked as passed "
            f"on to the document system; please pass on and mark the messages listed above without delay ({cited.en}).",
        ),
    )


@notice(
    "11.4",
    Reader.OWNER,
    address="cntt@mic.gov.vn",
    document="12/CV-CNTT",
    officer="Trần Thị Mai",
    count=120,
    digest="5f2b...",
)
def exported(address: str, document: str, officer: str, count: int, digest: str) -> NoticeText:
    """Mail was exported as files for the records system; to the keeper on whose request it was done."""
    cited, secret = clause("11.4"), clause("4.3")
    return NoticeText(
        Text(f"Thư của hộp thư {address} đã được xuất để lưu trữ", f"Mail of {address} was exported for the records"),
        Text(
            f"Theo văn bản {document} và đề nghị của Ông/Bà, ông/bà {officer}, cán bộ Trung tâm Thông tin, đã xuất {count} thư "
            f"của hộp thư {address} thành tệp để lưu trữ ({cited.vi}); mã kiểm tra SHA-256: {digest}. Nếu Ông/Bà không đề nghị "
            f"việc này, đề nghị báo ngay cho Trung tâm ({secret.vi}).",
            f"By document {in_ascii(document)} and at your request, {in_ascii(officer)} of the Information Centre exported "
            f"{counted(count, 'message', 'messages')} of {address} as files for the records ({cited.en}); SHA-256: {digest}. "
            f"If you did not ask for it, please inform the Centre at once ({secret.en}).",
        ),
    )
