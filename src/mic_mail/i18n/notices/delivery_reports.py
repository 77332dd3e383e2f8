"""Delivery reports to senders (Reg. 4.2: nothing fails silently).

They are on mail for other servers and for mailboxes here, and precede the parts that programs read (RFC 3464). Another
server's reply is quoted unchanged in Vietnamese, and without marks in English: it may contain any letters (RFC 6531
§3.7.4.2), and the report is written all the same.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from unidecode import unidecode

from mic_mail.errors import Text, in_ascii
from mic_mail.i18n import dates
from mic_mail.i18n.clause_names import clause
from mic_mail.i18n.notices.mailbox import MIDNIGHT
from mic_mail.i18n.notices.notice import NoticeText, Reader, notice
from mic_mail.i18n.spoken import unaccented

MOST_NAMED = 50


@dataclass(frozen=True, slots=True)
class Word:
    """The last reply about one recipient."""

    address: str
    said: Text | str
    """Another server's reply, or a sentence of this server."""


_CITED = clause("4.2")
_BY = Text(f"Thông báo tự động theo {_CITED.vi}.", f"An automatic notice under {_CITED.en}.")
_SAMPLE = Word("ngocanh@example.vn", "5.1.1 User unknown")


@notice("4.2", Reader.OWNER, subject="Báo cáo tháng 11", accepted_at=MIDNIGHT, words=[_SAMPLE])
def not_delivered(subject: str, accepted_at: datetime, words: Sequence[Word]) -> NoticeText:
    """A message could not be delivered to some of its recipients, and is not retried."""
    when, vi, en = dates.instant(accepted_at), *_listed(words)
    return NoticeText(
        Text("Thư không gửi được", "Message not delivered"),
        Text(
            f"Thư “{subject}” gửi lúc {when.vi} không chuyển được tới:\n\n{vi}\n\n"
            "Máy chủ không gửi lại nữa. Đề nghị kiểm tra địa chỉ hoặc liên hệ người nhận bằng phương thức khác. "
            f"{_BY.vi}",
            f'The message "{unidecode(subject)}" of {when.en} could not be delivered to:\n\n{en}\n\n'
            f"The server will not try again. Please check the address, or contact the recipient by other means. {_BY.en}",
        ),
    )


@notice("4.2", Reader.OWNER, subject="Báo cáo tháng 11", accepted_at=MIDNIGHT, until=MIDNIGHT, words=[_SAMPLE])
def not_delivered_yet(subject: str, accepted_at: datetime, until: datetime, words: Sequence[Word]) -> NoticeText:
    """A message has not been delivered to some recipients for hours, and is retried; sent once."""
    when, last, vi, en = dates.instant(accepted_at), dates.instant(until), *_listed(words)
    return NoticeText(
        Text("Thư gửi chậm", "Message delayed"),
        Text(
            f"Thư “{subject}” gửi lúc {when.vi} chưa chuyển được tới:\n\n{vi}\n\n"
            f"Máy chủ tiếp tục gửi đến {last.vi}; Ông/Bà không cần gửi lại. {_BY.vi}",
            f'The message "{unidecode(subject)}" of {when.en} has not been delivered yet to:\n\n{en}\n\n'
            f"The server will keep trying until {last.en}; you do not need to send it again. {_BY.en}",
        ),
    )


@notice("4.2", Reader.OWNER, subject="Báo cáo tháng 11", accepted_at=MIDNIGHT, words=[Word("ngocanh@example.vn", "2.0.0 OK")])
def relayed(subject: str, accepted_at: datetime, words: Sequence[Word]) -> NoticeText:
    """A message with a requested report (NOTIFY=SUCCESS) went to a server that sends no reports."""
    when, vi, en = dates.instant(accepted_at), *_listed(words)
    return NoticeText(
        Text("Thư đã chuyển đi", "Message relayed"),
        Text(
            f"Thư “{subject}” gửi lúc {when.vi} đã chuyển tới máy chủ của:\n\n{vi}\n\n"
            f"Máy chủ đó không gửi báo cáo, có thể sẽ không có xác nhận nào nữa. {_BY.vi}",
            f'The message "{unidecode(subject)}" of {when.en} was relayed to the server of:\n\n{en}\n\n'
            f"That server sends no reports; there may be no further confirmation. {_BY.en}",
        ),
    )


@notice(
    "4.2",
    Reader.OWNER,
    subject="Báo cáo tháng 11",
    accepted_at=MIDNIGHT,
    addresses=[_SAMPLE.address],
    reason="sai địa chỉ",
)
def dropped(subject: str, accepted_at: datetime, addresses: Sequence[str], reason: str) -> NoticeText:
    """The Centre has dropped a message that waited in the queue (`queue drop`)."""
    when, named = dates.instant(accepted_at), _named(addresses)
    vi, en = named.vi, named.en
    return NoticeText(
        Text("Thư không được gửi", "Message not sent"),
        Text(
            f"Thư “{subject}” gửi lúc {when.vi} tới {vi} chưa chuyển được; Trung tâm Thông tin đã dừng gửi.\n\n"
            f"Lý do: {reason}\n\n{_BY.vi}",
            f'The message "{unidecode(subject)}" of {when.en} to {en} had not been delivered, and the Information Centre has '
            f"dropped it.\n\nReason: {unidecode(reason)}\n\n{_BY.en}",
        ),
    )


@notice("4.2", Reader.OWNER, subject="Báo cáo tháng 11", accepted_at=MIDNIGHT, addresses=[_SAMPLE.address])
def delivered(subject: str, accepted_at: datetime, addresses: Sequence[str]) -> NoticeText:
    """A message with a requested report (NOTIFY=SUCCESS) was delivered to these recipients' mailboxes."""
    when, named = dates.instant(accepted_at), _named(addresses)
    return NoticeText(
        Text("Thư đã tới hộp thư người nhận", "Message delivered"),
        Text(
            f"Thư “{subject}” gửi lúc {when.vi} đã được chuyển vào hộp thư của: {named.vi}. {_BY.vi}",
            f'The message "{unidecode(subject)}" of {when.en} was delivered into the mailbox of: {named.en}. {_BY.en}',
        ),
    )


@notice("4.2", Reader.OWNER, subject="Báo cáo tháng 11", accepted_at=MIDNIGHT, until=MIDNIGHT, addresses=[_SAMPLE.address])
def mailbox_full(subject: str, accepted_at: datetime, until: datetime, addresses: Sequence[str]) -> NoticeText:
    """A message waits because the recipient's mailbox is full; sent once."""
    last, named, about = dates.instant(until), _named(addresses), _about(subject, accepted_at)
    return NoticeText(
        Text("Thư chưa chuyển được: hộp thư đầy", "Message delayed: mailbox full"),
        Text(
            f"Thư chưa chuyển được vì hộp thư {named.vi} đã hết dung lượng; hệ thống sẽ thử lại đến {last.vi}.\n\n"
            f"{about.vi} {_BY.vi}",
            f"The message has not been delivered because the mailbox {named.en} is full; the server will keep trying until "
            f"{last.en}.\n\n{about.en} {_BY.en}",
        ),
    )


@notice("4.2", Reader.OWNER, subject="Báo cáo tháng 11", accepted_at=MIDNIGHT, addresses=[_SAMPLE.address])
def mailbox_stayed_full(subject: str, accepted_at: datetime, addresses: Sequence[str]) -> NoticeText:
    """A message is not delivered and not retried: the recipient's mailbox stayed full."""
    named, about = _named(addresses), _about(subject, accepted_at)
    return NoticeText(
        Text("Thư không chuyển được: hộp thư đầy", "Message not delivered: mailbox full"),
        Text(
            f"Thư chưa chuyển được vì hộp thư {named.vi} đã hết dung lượng. Hệ thống đã ngừng thử; đề nghị liên hệ người nhận "
            f"bằng phương thức khác.\n\n{about.vi} {_BY.vi}",
            f"The message was not delivered because the mailbox {named.en} is full. The server has stopped trying; please "
            f"contact the recipient by other means.\n\n{about.en} {_BY.en}",
        ),
    )


@notice("4.2", Reader.OWNER, subject="Báo cáo tháng 11", accepted_at=MIDNIGHT, until=MIDNIGHT, addresses=[_SAMPLE.address])
def mailbox_unavailable(subject: str, accepted_at: datetime, until: datetime, addresses: Sequence[str]) -> NoticeText:
    """A message waits because the server cannot write it into the recipient's mailbox; sent once."""
    last, named, about = dates.instant(until), _named(addresses), _about(subject, accepted_at)
    return NoticeText(
        Text("Thư chuyển chậm", "Message delayed"),
        Text(
            f"Thư chưa chuyển được cho {named.vi} vì lý do kỹ thuật tại máy chủ; hệ thống sẽ thử lại đến {last.vi}, Ông/Bà "
            f"không cần gửi lại.\n\n{about.vi} {_BY.vi}",
            f"The message has not been delivered to {named.en} for a technical reason on this server; the server will keep "
            f"trying until {last.en}, you do not need to send it again.\n\n{about.en} {_BY.en}",
        ),
    )


@notice("4.2", Reader.OWNER, subject="Báo cáo tháng 11", accepted_at=MIDNIGHT, addresses=[_SAMPLE.address])
def mailbox_stayed_unavailable(subject: str, accepted_at: datetime, addresses: Sequence[str]) -> NoticeText:
    """A message could not be written into the recipient's mailbox, and is not retried."""
    named, about = _named(addresses), _about(subject, accepted_at)
    return NoticeText(
        Text("Thư không chuyển được", "Message not delivered"),
        Text(
            f"Thư không chuyển được cho {named.vi} vì lý do kỹ thuật tại máy chủ. Hệ thống đã ngừng thử; đề nghị liên hệ người "
            f"nhận bằng phương thức khác.\n\n{about.vi} {_BY.vi}",
            f"The message could not be delivered to {named.en} for a technical reason on this server. The server has stopped "
            f"trying; please contact the recipient by other means.\n\n{about.en} {_BY.en}",
        ),
    )


@notice("4.2", Reader.OWNER, subject="Báo cáo tháng 11", accepted_at=MIDNIGHT, addresses=[_SAMPLE.address], number="6.4.c")
def mailbox_reclaimed(subject: str, accepted_at: datetime, addresses: Sequence[str], number: str) -> NoticeText:
    """A message waited until the recipient's mailbox was reclaimed."""
    # `number` is the clause by which it was reclaimed.
    named, about, cited = _named(addresses), _about(subject, accepted_at), clause(number)
    return NoticeText(
        Text("Thư không chuyển được: hộp thư đã thu hồi", "Message not delivered: mailbox no longer in use"),
        Text(
            f"Thư không chuyển được vì hộp thư {named.vi} đã được thu hồi theo {cited.vi}. Đề nghị liên hệ người nhận bằng "
            f"phương thức khác.\n\n{about.vi} {_BY.vi}",
            f"The message could not be delivered because the mailbox {named.en} is no longer in use ({cited.en}). Please "
            "contact "
            f"the recipient by other means.\n\n{about.en} {_BY.en}",
        ),
    )


def _about(subject: str, accepted_at: datetime) -> Text:
    when = dates.instant(accepted_at)
    return Text(f"Thư “{subject}”, gửi lúc {when.vi}.", f'The message "{unidecode(subject)}" of {when.en}.')


def _named(addresses: Sequence[str]) -> Text:
    named, more = ", ".join(addresses[:MOST_NAMED]), len(addresses) - MOST_NAMED
    if more > 0:
        return Text(f"{named} và {more} địa chỉ khác", f"{in_ascii(named)} and {more} more")
    return Text(named, in_ascii(named))


def _listed(words: Sequence[Word]) -> tuple[str, str]:
    """Return a line for each recipient, in Vietnamese and in English."""
    named = words[:MOST_NAMED]
    vi = "\n".join(f"  {word.address}: {word.said.vi if isinstance(word.said, Text) else word.said}" for word in named)
    en = "\n".join(f"  {in_ascii(word.address)}: {unaccented(str(word.said))}" for word in named)
    more = len(words) - len(named)
    return (f"{vi}\n  và {more} địa chỉ khác", f"{en}\n  and {more} more") if more else (vi, en)
