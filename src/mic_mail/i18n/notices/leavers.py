"""Notices about the mailboxes of leavers, and about reclaimed mailboxes.

Reg. 6.4.c, 6.2.
"""

from datetime import UTC, date, datetime

from mic_mail.errors import Text
from mic_mail.i18n import dates, messages
from mic_mail.i18n.clause_names import clause
from mic_mail.i18n.notices.mailbox import ADDRESS, MIDNIGHT
from mic_mail.i18n.notices.notice import NoticeText, Reader, notice
from mic_mail.i18n.plurals import counted

LEFT_AT = datetime(2026, 8, 30, 17, tzinfo=UTC)


@notice("6.4.c", Reader.OWNER, address=ADDRESS, since=LEFT_AT, clause_id="6.4.c", until=MIDNIGHT)
def send_locked(address: str, since: datetime, clause_id: str, until: datetime | None) -> NoticeText:
    """Sending is locked, because the person has left or the Centre has locked it."""
    # `until` is the instant of the reclaim.
    return NoticeText(
        Text("Chức năng gửi thư bị khóa", "Sending is locked"),
        messages.send_locked(address, since, clause_id, until),
    )


@notice("6.4.c", Reader.OWNER, address=ADDRESS, at=MIDNIGHT)
def reclaim_coming(address: str, at: datetime) -> NoticeText:
    """The mailbox will be reclaimed; sent ahead by each of `reclaim.warn_days`."""
    cited, last = clause("6.4.c"), dates.last_day_before(at)
    return NoticeText(
        Text(f"Hộp thư sẽ bị thu hồi sau ngày {last.vi}", f"Your mailbox will be reclaimed after {last.en}"),
        Text(
            f"Hộp thư {address} sẽ tự động bị thu hồi sau khi kết thúc ngày {last.vi} theo {cited.vi}; đề nghị sao lưu dữ liệu "
            "cần thiết trước thời điểm này.",
            f"The mailbox {address} will be reclaimed automatically after the end of {last.en} ({cited.en}); please save what "
            "you need before then.",
        ),
    )


@notice("6.4.c", Reader.UNIT, address=ADDRESS, since=MIDNIGHT, clause_id="6.4.c")
def reclaimed(address: str, since: datetime, clause_id: str) -> NoticeText:
    """The mailbox is reclaimed, by the clock (6.4.c) or on the unit's request (6.2)."""
    text = messages.reclaimed(address, since, clause_id)
    return NoticeText(
        Text(f"Hộp thư {address} đã bị thu hồi", f"Mailbox {address} reclaimed"),
        Text(
            f"{text.vi} Thư gửi đến địa chỉ này bị từ chối; dữ liệu được lưu trữ trước khi xóa khỏi máy chủ.",
            f"{text.en} Mail to this address is refused; the content is archived before it is deleted from the server.",
        ),
    )


@notice("6.4.c", Reader.UNIT, address=ADDRESS, clause_id="6.4.c", held=1284, last=date(2027, 3, 31))
def archived(address: str, clause_id: str, held: int, last: date) -> NoticeText:
    """A reclaimed mailbox was archived; it will be deleted from the server after the named day."""
    cited, day = clause(clause_id), dates.day(last)
    return NoticeText(
        Text(f"Dữ liệu hộp thư {address} đã được lưu trữ", f"Mailbox {address} archived"),
        Text(
            f"Dữ liệu của hộp thư {address} đã thu hồi ({cited.vi}) đã được lưu trữ, gồm {held} thư; hộp thư sẽ được "
            f"xóa khỏi máy chủ sau khi kết thúc ngày {day.vi}. Nếu việc thu hồi là nhầm lẫn, đề nghị liên hệ Trung tâm Thông "
            "tin trước thời điểm này. Bản lưu trữ vẫn được giữ.",
            f"The content of the reclaimed mailbox {address} ({cited.en}) was archived, "
            f"{counted(held, 'message', 'messages')}; the mailbox will be deleted from the server after the end of {day.en}. "
            "If the reclaim is a mistake, please inform the Information Centre before then. The archive stays.",
        ),
    )


@notice("6.4.c", Reader.UNIT, address=ADDRESS, clause_id="6.2", at=MIDNIGHT)
def freed(address: str, clause_id: str, at: datetime) -> NoticeText:
    """The reclaimed mailbox was deleted from the server; its archive remains."""
    cited, when = clause(clause_id), dates.instant(at)
    return NoticeText(
        Text(f"Hộp thư {address} đã được xóa khỏi máy chủ", f"Mailbox {address} deleted from the server"),
        Text(
            f"Hộp thư {address} đã thu hồi ({cited.vi}) được xóa khỏi máy chủ lúc {when.vi}. Bản lưu trữ do Trung tâm Thông "
            "tin giữ; địa chỉ này không cấp cho người khác.",
            f"The reclaimed mailbox {address} ({cited.en}) was deleted from the server on {when.en}. The Information Centre "
            "keeps the archive; the address will not be given to anybody else.",
        ),
    )
