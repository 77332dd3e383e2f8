"""Settings of malware, spam, quarantine, anomalies and security events (Reg. 7.2.c, 10.2, 16.3)."""

from typing import Annotated, ClassVar, Literal

from mic_mail.config.schema import CollectorName, Distinct, ScannerName, Section, setting
from mic_mail.config.units import DAY, GIB, HOUR, KIB, MIB, MINUTE, Location, Octets, Seconds, Unit
from mic_mail.config.validation import StringForm


class Anomaly(Section):
    """Sign-ins that look like a stolen password; the person and the Centre are notified."""

    vi: ClassVar[str] = "Đăng nhập có dấu hiệu lộ mật khẩu: báo cá nhân và Trung tâm."

    suspend: bool = setting(False, clause="7.2.c").means(
        "Tự động tạm khóa hộp thư bị một mạng đăng nhập được sau khi thử nhiều hộp thư khác (quy tắc `sprayed`).",
        "Suspend a mailbox that a network signed in to after trying many others (rule `sprayed`).",
    )
    window: Seconds = setting(HOUR, clause="7.2.c", ge=10 * MINUTE, le=DAY).means(
        "Khoảng thời gian để đếm ba ngưỡng dưới đây.", "Period in which the three thresholds below count."
    )
    sprayed: int = setting(20, clause="7.2.c", ge=10, le=2_000, unit=Unit.MAILBOXES).means(
        "Số hộp thư mà một mạng không ai khác dùng đã thử sai mật khẩu trước khi đăng nhập được một hộp thư.",
        "Mailboxes that a network unused by others tried with wrong passwords before it signed in to one.",
    )
    guesses: int = setting(15, clause="7.2.c", ge=10, le=2_000, unit=Unit.PASSWORDS).means(
        "Số mật khẩu sai mà một mạng không ai khác dùng đã thử cho một hộp thư trước khi đăng nhập được.",
        "Wrong passwords that a network unused by others tried for one mailbox before it signed in.",
    )
    networks: int = setting(15, clause="7.2.c", ge=8, le=2_000, unit=Unit.NETWORKS).means(
        "Số mạng (/24, /48) mà một hộp thư được đăng nhập từ đó, một nửa ở cách xa nhau (/16, /32).",
        "Networks (/24, /48) from which one mailbox was signed in to, half of them far apart (/16, /32).",
    )


class Malware(Section):
    """Malware scanning by ClamAV."""

    vi: ClassVar[str] = "Quét mã độc bằng ClamAV."

    clamd: ScannerName = setting("", clause="10.2").means(
        "Địa chỉ của clamd: `unix:/run/clamav/clamd.ctl` hoặc `tcp://127.0.0.1:3310`; để trống: không quét.",
        "Address of clamd: `unix:/run/clamav/clamd.ctl` or `tcp://127.0.0.1:3310`; empty: no scanning.",
    )
    seconds: Seconds = setting(60.0, clause="10.2", ge=1, le=3 * MINUTE).means(
        "Thời gian chờ kết quả quét.", "Timeout of a scan."
    )
    connections: int = setting(8, clause="10.2", ge=1, le=100, unit=Unit.CONNECTIONS).means(
        "Số kết nối cùng lúc tới clamd của mỗi tiến trình; thư khác phải chờ.",
        "Connections to clamd at once, per worker; further messages wait.",
    )
    absent: Literal["refuse", "pass", "quarantine"] = setting("refuse", clause="10.2").means(
        "Khi clamd không trả lời: từ chối tạm thời để bên gửi thử lại (`refuse`), cho qua và ghi nhật ký (`pass`), hoặc "
        "cách ly thư từ máy chủ khác (`quarantine`).",
        "A message that clamd does not answer for: refused temporarily (the sender retries), accepted and logged, or, from "
        "other servers, quarantined.",
    )
    suspend: bool = setting(True, clause="7.2.c").means("Tạm khóa hộp thư gửi mã độc.", "Suspend a mailbox that sends malware.")
    found: Literal["refuse", "quarantine"] = setting("refuse", clause="10.2").means(
        "Thư có mã độc từ máy chủ khác: từ chối (`refuse`), hoặc nhận và cách ly (`quarantine`); thư từ bên trong luôn bị "
        "từ chối.",
        "Mail with malware from other servers: refused, or accepted and quarantined; from local senders it is always refused.",
    )


class Rspamd(Section):
    """Spam filtering by Rspamd."""

    vi: ClassVar[str] = "Lọc thư rác bằng Rspamd."

    url: ScannerName = setting("", clause="10.2").means(
        "Địa chỉ của Rspamd: `tcp://127.0.0.1:11333` hoặc `unix:/run/rspamd/worker.sock`; để trống: không lọc.",
        "Address of Rspamd's worker: `tcp://127.0.0.1:11333` or `unix:/run/rspamd/worker.sock`; empty: no filtering.",
    )
    controller: ScannerName = setting("", clause="15.5").means(
        "Địa chỉ bộ điều khiển của Rspamd (`tcp://127.0.0.1:11334`) để học từ thư người dùng chuyển vào và ra khỏi Junk; để "
        "trống: không học.",
        "Address of Rspamd's controller (`tcp://127.0.0.1:11334`), which learns from messages that people move into and out "
        "of Junk; empty: no training.",
    )
    password: Location | None = setting(None, clause="10.2").means(
        "Tệp chứa mật khẩu của bộ điều khiển, trên một dòng, chỉ tài khoản của máy chủ đọc được; đọc khi cần.",
        "File with the controller's password, on one line, readable by the server's account only; read when needed.",
    )
    seconds: Seconds = setting(20.0, clause="10.2", ge=1, le=2 * MINUTE).means(
        "Thời gian chờ kết quả lọc.", "Timeout of a check."
    )
    connections: int = setting(8, clause="10.2", ge=1, le=100, unit=Unit.CONNECTIONS).means(
        "Số kết nối cùng lúc tới Rspamd của mỗi tiến trình; thư khác phải chờ.",
        "Connections to Rspamd at once, per worker; further messages wait.",
    )
    largest: Octets = setting(32 * MIB, clause="10.2", ge=64 * KIB, le=GIB).means(
        "Thư lớn hơn không qua Rspamd (`max_message` của Rspamd là 50 MiB) và được ghi chú là chưa lọc.",
        "Larger messages skip Rspamd (its own `max_message` is 50 MiB) and are marked as unchecked.",
    )
    absent: Literal["refuse", "pass"] = setting("refuse", clause="10.2").means(
        "Khi Rspamd không trả lời: từ chối tạm thời để bên gửi thử lại (`refuse`), hoặc cho qua và ghi chú là chưa lọc "
        "(`pass`).",
        "A message that Rspamd does not answer for: refused temporarily (the sender retries), or accepted and marked as "
        "unchecked.",
    )
    reject: Literal["refuse", "quarantine", "junk"] = setting("refuse", clause="4.2").means(
        "Thư từ máy chủ khác bị Rspamd đánh giá là thư rác: từ chối (`refuse`), cách ly (`quarantine`), hoặc vào Junk "
        "(`junk`).",
        "Mail from other servers that Rspamd rejects: refused, quarantined, or delivered to Junk.",
    )
    outgoing: bool = setting(False, clause="7.2.c").means(
        "Lọc cả thư từ bên trong: thư bị Rspamd đánh giá là thư rác thì không được gửi, thư khác được gửi nguyên vẹn.",
        "Also filter mail from local senders: what Rspamd rejects is refused, the rest is sent unchanged.",
    )
    suspend_beyond: int = setting(10, clause="7.2.c", ge=0, le=10_000, unit=Unit.MESSAGES_PER_HOUR).means(
        "Hộp thư có quá số thư này bị Rspamd đánh giá là thư rác trong một giờ (mỗi tiến trình) thì bị tạm khóa; 0: không "
        "bao giờ.",
        "The server suspends a mailbox of which Rspamd rejects more messages than this within an hour, per worker; 0: never.",
    )
    taught_per_hour: int = setting(100, clause="15.5", ge=1, le=10_000, unit=Unit.MESSAGES_PER_HOUR).means(
        "Số thư của một hộp thư dùng để Rspamd học trong một giờ; thư quá số này bị bỏ qua, có ghi nhật ký.",
        "Messages of one mailbox that train Rspamd in an hour; further ones are skipped and logged.",
    )


class Quarantine(Section):
    """Mail that was accepted and is not delivered until the Centre decides."""

    vi: ClassVar[str] = "Thư đã nhận nhưng chưa chuyển vào hộp thư, chờ Trung tâm quyết định."

    keep: Seconds = setting(30 * DAY, clause="4.2", ge=DAY, le=366 * DAY).means(
        "Thời gian giữ một thư; hết hạn thì thư bị xóa.", "How long a message is retained before it is deleted."
    )
    space: Octets = setting(2 * GIB, clause="4.2", ge=MIB, le=1 << 50).means(
        "Dung lượng tối đa của khu cách ly; quá mức thì thư lẽ ra được giữ bị từ chối tạm thời.",
        "Maximum size of the quarantine; beyond it, mail to be quarantined is refused temporarily.",
    )
    digest: bool = setting(True, clause="4.2").means(
        "Báo cho người nhận về thư bị giữ, mỗi ngày nhiều nhất một thông báo; false: chỉ ghi nhật ký.",
        "Notify recipients of quarantined mail, at most once a day; false: only the log has it.",
    )


class Syslog(Section):
    """Security events to syslog collectors (RFC 5424)."""

    vi: ClassVar[str] = "Gửi sự kiện an ninh tới máy chủ thu nhật ký (syslog, RFC 5424)."

    collectors: Annotated[tuple[CollectorName, ...], Distinct] = setting((), clause="16.3").means(
        "Máy chủ thu sự kiện an ninh: `unix:/dev/log`, `udp://HOST:514`, `tcp://HOST:601`, `tls://HOST:6514`; để trống: "
        "không gửi.",
        "Collectors of security events: `unix:/dev/log`, `udp://HOST:514`, `tcp://HOST:601`, `tls://HOST:6514`; empty: none.",
    )
    facility: Literal["auth", "authpriv", "local0", "local1", "local2", "local3", "local4", "local5", "local6", "local7"] = (
        setting("authpriv", clause="16.3").means("Nhóm (facility) của bản ghi.", "The facility of the messages.")
    )
    enterprise: Annotated[str, StringForm(max_length=64, pattern=r"^[1-9][0-9]{0,9}(?:\.[0-9]{1,10})*$")] = setting(
        "32473", clause="16.3"
    ).means(
        "Số hiệu doanh nghiệp (IANA) của Bộ, cho dữ liệu có cấu trúc; 32473 là số dành cho ví dụ.",
        "The ministry's private enterprise number (IANA), for the structured data; 32473 is reserved for examples.",
    )
    tls_ca: Location | None = setting(None, clause="16.3").means(
        "Chứng thư số (PEM) để xác thực máy chủ thu nhật ký `tls:`; mặc định dùng của hệ điều hành.",
        "Certificates (PEM) that authenticate `tls:` collectors; default: the system's.",
    )
