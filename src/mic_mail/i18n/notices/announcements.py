"""Notices of the Centre: downtime to everybody, mail that waits for an answer."""

from datetime import UTC, datetime

from mic_mail.errors import Text
from mic_mail.i18n import dates, messages
from mic_mail.i18n.clause_names import clause
from mic_mail.i18n.notices.notice import NoticeText, Reader, notice
from mic_mail.i18n.plurals import counted

_AT = datetime(2026, 2, 24, 1, tzinfo=UTC)
_LATER = datetime(2026, 2, 24, 5, tzinfo=UTC)


@notice("10.3", Reader.OWNER, since=_AT, until=_LATER, clause_id="10.3", more="Lý do: nâng cấp máy chủ.")
def downtime(since: datetime, until: datetime, clause_id: str, more: str) -> NoticeText:
    """Downtime is announced; text typed by the Centre appears in Vietnamese only."""
    # `more` is the text that the Centre typed.
    text = messages.maintenance(since, until, clause_id)
    return NoticeText(
        Text("Thông báo tạm ngừng hệ thống thư điện tử", "The mail system will be down"),
        Text(f"{text.vi}\n\n{more}" if more else text.vi, text.en),
    )


@notice("10.3", Reader.OWNER, since=_AT, until=_LATER)
def downtime_cancelled(since: datetime, until: datetime) -> NoticeText:
    """An announced downtime is cancelled."""
    begins, ends, cited = dates.instant(since), dates.instant(until), clause("10.3")
    return NoticeText(
        Text("Hủy thông báo tạm ngừng hệ thống thư điện tử", "Downtime of the mail system cancelled"),
        Text(
            f"Việc tạm ngừng Hệ thống thư điện tử công vụ từ {begins.vi} đến {ends.vi} đã được hủy; Hệ thống vẫn hoạt động "
            f"({cited.vi}).",
            f"The downtime of the official mail system from {begins.en} to {ends.en} is cancelled; it stays in service "
            f"({cited.en}).",
        ),
    )


@notice("12.4", Reader.OWNER, count=3, listed="- 20/11/2026 09:00, từ a@mof.gov.vn: Về việc báo cáo.")
def replies_late(count: int, listed: str) -> NoticeText:
    """Mail was not answered within 2 working days; a list, at most once a week."""
    cited = clause("12.4")
    return NoticeText(
        Text(f"Có {count} thư đến quá hạn trả lời", f"{counted(count, 'message is', 'messages are')} overdue for an answer"),
        Text(
            f"Hộp thư có {count} thư điện tử đến đã quá 02 ngày làm việc mà chưa được trả lời; đề nghị trả lời theo {cited.vi} "
            f"(danh sách kèm theo).\n\n{listed}",
            f"{counted(count, 'message in this mailbox has', 'messages in this mailbox have')} not been answered within 2 "
            f"working days; please answer the messages listed above ({cited.en}).",
        ),
    )
