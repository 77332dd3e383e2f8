"""Settings of the limits of a mailbox (Reg. 8.3.b), a message, a sender, a connection (Reg. 7.2.c)."""

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal

from mic_mail.config.schema import Distinct, MailboxName, NetworkName, Rising, Section, rule, setting
from mic_mail.config.units import GIB, KIB, MIB, Octets, Unit
from mic_mail.config.validation import Bounds, Invalid

ATTACHMENT_OCTETS = 20 * MIB  # Reg. 8.3.b, read as 20 x 2^20 decoded octets, summed over a message
QUOTA_FLOOR = GIB  # Reg. 8.3.b, read as 2^30 octets
QUOTA_CEILING = 1 << 50  # larger than any disk, and close to the largest number of a database

Percent = Annotated[int, Bounds(ge=1, le=100), Unit.PERCENT]


class Quota(Section):
    """Quotas of mailboxes."""

    vi: ClassVar[str] = "Dung lượng hộp thư."

    default: Octets = setting(GIB, clause="8.3.b", ge=QUOTA_FLOOR, le=QUOTA_CEILING).means(
        "Dung lượng hộp thư mới.", "Quota of a new mailbox."
    )
    warn_percent: Annotated[tuple[Percent, ...], Rising] = setting((80, 90, 95), clause="8.3.c", min_length=1).means(
        "Gửi cảnh báo vào hộp thư khi mức sử dụng vượt từng ngưỡng này.",
        "A notice is delivered to the mailbox when usage exceeds each of these.",
    )
    over: Literal["temporary", "permanent"] = setting("temporary", clause="8.3.c").means(
        "Cách từ chối thư gửi đến hộp thư đầy: 452 (bên gửi thử lại sau) hoặc 552.",
        "How mail for a full mailbox is refused: 452 (the sender retries) or 552.",
    )


class Attachment(Section):
    """Attachments of one message."""

    vi: ClassVar[str] = "Tệp gửi kèm của một thư."

    allowed_by: str = setting("", clause="8.3.b").means(
        "Văn bản cho phép `maximum` khác 20 MiB; không có văn bản thì không được đặt mức khác.",
        "The document that allows a `maximum` other than 20 MiB; without it no other is accepted.",
    )
    maximum: Octets = setting(ATTACHMENT_OCTETS, clause="8.3.b", ge=0, le=GIB).means(
        "Tổng kích cỡ (sau giải mã) các tệp gửi kèm của một thư.", "Total decoded size of all attachments of one message."
    )
    text_room: Octets = setting(2 * MIB, clause="8.3.b", ge=64 * KIB, le=64 * MIB).means(
        "Kích cỡ cho phép của phần thư ngoài tệp gửi kèm; SIZE và APPENDLIMIT tính từ hai số này.",
        "Size allowed for the rest of the message; SIZE and APPENDLIMIT follow from both.",
    )

    @staticmethod
    @rule("maximum")
    def _as_the_regulation_says(maximum: int, before: Mapping[str, Any]) -> int:
        if maximum != ATTACHMENT_OCTETS and not str(before.get("allowed_by", "")).strip():
            raise Invalid("attachment_limit", "another limit than 20 MiB without the document that allows it")
        return maximum

    @property
    def message_octets(self) -> int:
        """The largest message (RFC 1870 SIZE, RFC 7889 APPENDLIMIT).

        Attachments in base64 lines of 60 columns, and text.
        """
        lines = -(-self.maximum // 45)  # 45 octets make a line of 60 characters and CRLF
        return lines * 62 + self.text_room


class Limits(Section):
    """Limits of one message, one sender, one connection, one network."""

    vi: ClassVar[str] = "Giới hạn cho mỗi thư, người gửi, kết nối, mạng."

    attachment: Attachment = Attachment()
    connections: int = setting(20_000, ge=10, le=1_000_000, unit=Unit.CONNECTIONS).means(
        "Số kết nối cùng lúc của mọi tiến trình; quá mức thì đóng kết nối chưa đăng nhập lâu nhất của mạng đang giữ nhiều "
        "kết nối như vậy nhất.",
        "Connections at once, in all workers; beyond it, the oldest unauthenticated connection of the network that holds "
        "most of them is closed.",
    )
    connections_per_network: int = setting(1_000, ge=1, le=1_000_000, unit=Unit.CONNECTIONS).means(
        "Số kết nối từ một mạng (/24, /64) tới mỗi tiến trình.", "Connections per worker from one network (/24, /64)."
    )
    new_per_minute: int = setting(600, ge=1, le=1_000_000, unit=Unit.CONNECTIONS_PER_MINUTE).means(
        "Số kết nối mới mỗi phút từ một mạng tới mỗi tiến trình.", "New connections per minute and worker from one network."
    )
    exempt_networks: tuple[NetworkName, ...] = setting(()).means(
        "Các mạng không áp dụng hai giới hạn trên.", "Networks exempt from the two limits above."
    )
    recipients_per_hour: int = setting(2_000, ge=10, le=10_000_000, unit=Unit.RECIPIENTS_PER_HOUR).means(
        "Số người nhận một hộp thư được gửi đến trong một giờ; quá mức: trả lời 450. Hạn chế thiệt hại khi lộ mật khẩu.",
        "Recipients that one mailbox may send to in an hour; beyond it, 450. Limits the damage of a stolen password.",
    )
    recipients_per_day: int = setting(10_000, ge=10, le=10_000_000, unit=Unit.RECIPIENTS_PER_DAY).means(
        "Số người nhận một hộp thư được gửi đến trong 24 giờ; quá mức: trả lời 450.",
        "Recipients that one mailbox may send to in 24 hours; beyond it, 450.",
    )
    messages_per_hour: int = setting(1_000, ge=10, le=10_000_000, unit=Unit.MESSAGES_PER_HOUR).means(
        "Số thư một hộp thư được gửi trong một giờ; quá mức: trả lời 450.",
        "Messages that one mailbox may send in an hour; beyond it, 450.",
    )
    messages_per_day: int = setting(3_000, ge=10, le=10_000_000, unit=Unit.MESSAGES_PER_DAY).means(
        "Số thư một hộp thư được gửi trong 24 giờ; quá mức: trả lời 450.",
        "Messages that one mailbox may send in 24 hours; beyond it, 450.",
    )
    octets_per_hour: Octets = setting(2 * GIB, ge=MIB, le=1024 * GIB).means(
        "Tổng kích cỡ thư một hộp thư được gửi trong một giờ, mỗi thư tính một lần; quá mức: trả lời 450.",
        "Octets that one mailbox may send in an hour, each message counted once; beyond it, 450.",
    )
    octets_per_day: Octets = setting(8 * GIB, ge=MIB, le=1024 * GIB).means(
        "Tổng kích cỡ thư một hộp thư được gửi trong 24 giờ, mỗi thư tính một lần; quá mức: trả lời 450.",
        "Octets that one mailbox may send in 24 hours, each message counted once; beyond it, 450.",
    )
    suspend_beyond: float = setting(2.0, clause="7.2.c", ge=0, le=1000, unit=Unit.TIMES).means(
        "Máy chủ tạm khóa hộp thư cố gửi gấp bấy nhiêu lần `recipients_per_hour` hoặc `messages_per_hour` trong một giờ; 0: "
        "không bao giờ.",
        "The server suspends a mailbox that tries to exceed `recipients_per_hour` or `messages_per_hour` by this factor "
        "within an hour; 0: never.",
    )
    bulk_senders: Annotated[tuple[MailboxName, ...], Distinct] = setting((), clause="7.2.c").means(
        "Hộp thư được phép gửi hàng loạt: giới hạn nhân với `bulk_times`, và không bị tạm khóa vì gửi nhiều.",
        "Mailboxes that may send bulk mail: their limits are multiplied by `bulk_times`, and the server does not suspend "
        "them for exceeding them.",
    )
    bulk_times: int = setting(10, ge=1, le=1_000, unit=Unit.TIMES).means(
        "Hệ số nhân sáu giới hạn trên cho `bulk_senders`.", "Factor of the six limits above for `bulk_senders`."
    )
