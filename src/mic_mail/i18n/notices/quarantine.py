"""The notice to recipients of accepted mail that was not delivered (Reg. 4.2), at most one a day."""

from mic_mail.errors import Text
from mic_mail.i18n.clause_names import clause
from mic_mail.i18n.notices.notice import NoticeText, Reader, notice
from mic_mail.i18n.plurals import counted


@notice(
    "4.2",
    Reader.OWNER,
    count=2,
    listed="- 20/11/2026 09:00, a@example.org, 01JD3M6Q8V\n- 20/11/2026 10:30, b@example.net, 01JD3M6Q9W",
    days=30,
    support="support@mic.gov.vn",
)
def kept_back(count: int, listed: str, days: int, support: str) -> NoticeText:
    """Mail for the mailbox was quarantined; at most once a day, with time, sender and reference of each."""
    cited = clause("4.2")
    return NoticeText(
        Text(f"Có {count} thư đến đang bị cách ly", f"{counted(count, 'message is', 'messages are')} in quarantine"),
        Text(
            f"Có {count} thư gửi tới hộp thư này có dấu hiệu là thư rác hoặc có mã độc nên chưa được chuyển vào hộp thư mà "
            f"được giữ ở khu cách ly {days} ngày, sau đó bị xóa; Hệ thống báo để Ông/Bà biết ({cited.vi}). Danh sách "
            f"(lúc đến, người gửi, mã):\n\n{listed}\n\nNếu cần nhận thư nào, đề nghị gửi mã của thư đó tới {support}.",
            f"{counted(count, 'message', 'messages')} for this mailbox looked like spam or malware and went into quarantine. "
            f"Quarantined mail is removed after {counted(days, 'day', 'days')} ({cited.en}). If you need "
            f"one of the messages listed above, please send its reference to {support}.",
        ),
    )
