"""Notices to the Information Centre about acts and failures of the server itself."""

from datetime import UTC, date, datetime

from mic_mail.errors import Text, in_ascii
from mic_mail.i18n import dates
from mic_mail.i18n.clause_names import clause
from mic_mail.i18n.notices.mailbox import ADDRESS, MIDNIGHT
from mic_mail.i18n.notices.notice import NoticeText, Reader, notice
from mic_mail.i18n.plurals import counted


def too_many_recipients(recipients: int) -> Text:
    """Return the observation that mail went to very many recipients."""
    return Text(
        f"gửi thư tới {recipients} người nhận trong vòng một giờ",
        f"sent mail to {counted(recipients, 'recipient', 'recipients')} within an hour",
    )


def too_many_messages(messages: int) -> Text:
    """Return the observation that very many messages were sent."""
    return Text(f"gửi {messages} thư trong vòng một giờ", f"sent {counted(messages, 'message', 'messages')} within an hour")


SENDS_MALWARE = Text("gửi thư có mã độc", "sent malware")
"""The observation that malware was sent."""


def sends_spam(messages: int) -> Text:
    """Return the observation that mail was sent that the filter rejected."""
    return Text(
        f"gửi {messages} thư bị bộ lọc bác vì là thư rác trong vòng một giờ",
        f"sent {counted(messages, 'message', 'messages')} within an hour that the spam filter rejected",
    )


def others_have_it(trigger: str) -> Text:
    """Return the observation that the password, which is correct, is known to others."""
    if trigger == "leaked-password":
        return Text("có mật khẩu nằm trong danh sách bị lộ", "has a password that is on the list of leaked passwords")
    return Text("có mật khẩu đang bị dò trên nhiều hộp thư", "has a password that is being tried on many mailboxes")


@notice("7.2.c", Reader.CENTRE, day=date(2026, 11, 24), leaked=3, sprayed=1)
def passwords_exposed(day: date, leaked: int, sprayed: int) -> NoticeText:
    """Passwords known to others were used to sign in; the first notice of a day has the counts so far."""
    cited, when, search = clause("7.2.c"), dates.day(day), "mic-mail log search --event password_exposed"
    return NoticeText(
        Text("Có mật khẩu bị lộ đang được dùng", "Leaked passwords in use"),
        Text(
            f"Ngày {when.vi} có hộp thư đăng nhập bằng mật khẩu nằm trong danh sách bị lộ ({leaked} hộp thư) hoặc đang bị dò "
            f"trên nhiều hộp thư ({sprayed} hộp thư), {cited.vi}. Chủ hộp thư đã được báo. Xem: {search}.",
            f"On {when.en} mailboxes were signed in to with a password that is on the list of leaked passwords ({leaked}) or "
            f"is being tried on many mailboxes ({sprayed}), {cited.en}. Their owners were notified. See: {search}.",
        ),
    )


LOOKS_STOLEN = Text("có đăng nhập bất thường", "had an abnormal sign-in")
"""The observation of a sign-in that looks like a stolen password."""


@notice("7.2.c", Reader.CENTRE, address=ADDRESS, since=MIDNIGHT, why=too_many_recipients(4000))
def suspended_by_server(address: str, since: datetime, why: Text) -> NoticeText:
    """The server suspended a mailbox by itself."""
    cited, when = clause("7.2.c"), dates.instant(since)
    return NoticeText(
        Text(f"Máy chủ đã tạm khóa {address}", f"The server suspended {address}"),
        Text(
            f"Hộp thư {address} {why.vi} và bị tạm khóa tự động lúc {when.vi} theo {cited.vi}. Đề nghị kiểm tra máy tính và "
            "mật khẩu của chủ hộp thư trước khi khôi phục.",
            f"{address} {why.en} and was suspended automatically on {when.en} ({cited.en}). Please check its owner's "
            "computer and password before you restore it.",
        ),
    )


@notice("10.2", Reader.CENTRE, name="mail.mic.gov.vn", file="/etc/mic-mail/cert.pem", ends_at=MIDNIGHT, has_ended=False)
def certificate_ending(name: str, file: str, ends_at: datetime, *, has_ended: bool) -> NoticeText:
    """A certificate of the server ends soon or has ended; mail programs and browsers refuse it then."""
    cited, when = clause("10.2"), dates.instant(ends_at)
    head = (
        Text(f"Chứng thư số của {name} đã hết hạn", f"The certificate of {name} has expired")
        if has_ended
        else Text(f"Chứng thư số của {name} sắp hết hạn", f"The certificate of {name} expires soon")
    )
    return NoticeText(
        head,
        Text(
            f"Chứng thư số của {name} ({file}) có hiệu lực đến {when.vi}; sau đó phần mềm thư và trình duyệt từ chối kết nối "
            f"({cited.vi}). Đề nghị thay tệp chứng thư số và khóa rồi nạp lại: systemctl reload mic-mail.",
            f"The certificate of {name} ({in_ascii(file)}) is valid until {when.en}; mail programs and browsers refuse it from "
            f"then on ({cited.en}). Please replace the certificate and key files, then run: systemctl reload mic-mail.",
        ),
    )


@notice("10.2", Reader.CENTRE, count=2, mailboxes=1, at=MIDNIGHT)
def notices_void(count: int, mailboxes: int, at: datetime) -> NoticeText:
    """Notices were sent while the server's clock was ahead; it is right again."""
    # `count` notices, about `mailboxes` mailboxes; `at` is the instant at which the clock was right again.
    cited, when = clause("10.2"), dates.instant(at)
    return NoticeText(
        Text("Đính chính thông báo do đồng hồ máy chủ chạy sai", "Correction: notices sent while the server's clock was wrong"),
        Text(
            f"Đồng hồ của máy chủ đã chạy nhanh và đã được chỉnh đúng. {count} thông báo ghi ngày sau {when.vi} không có giá "
            f"trị; {mailboxes} hộp thư liên quan đã được báo. Thông báo nào đúng sẽ được gửi lại khi đến hạn. Các việc được "
            f"ghi vào hồ sơ trong thời gian đó xem bằng: mic-mail clock records ({cited.vi}).",
            f"The server's clock was ahead and has been set right. {counted(count, 'notice', 'notices')} dated after "
            f"{when.en} {'is' if count == 1 else 'are'} void; {counted(mailboxes, 'mailbox', 'mailboxes')} concerned "
            f"{'was' if mailboxes == 1 else 'were'} notified. Notices that are correct will be sent again when they are due. "
            f"For what was recorded meanwhile, see: mic-mail clock records ({cited.en}).",
        ),
    )


_RULES = {
    "sprayed": Text(
        "mạng này vừa thử mật khẩu của {count} hộp thư hoặc tên khác", "that network had just tried {count} other names"
    ),
    "guessed": Text("mạng này vừa thử sai {count} mật khẩu khác nhau", "that network had just tried {count} wrong passwords"),
    "scattered": Text(
        "đăng nhập từ {count} mạng trong một thời gian ngắn", "there were sign-ins from {count} networks in a short time"
    ),
}


@notice(
    "7.2.c",
    Reader.CENTRE,
    address=ADDRESS,
    at=MIDNIGHT,
    network="198.51.100.0/24",
    rule="sprayed",
    count=23,
    suspended=False,
)
def sign_in_anomaly_found(address: str, at: datetime, network: str, rule: str, count: int, *, suspended: bool) -> NoticeText:
    """A sign-in looks like a stolen password; sent once a day for each mailbox and rule."""
    cited, when, why = clause("7.2.c"), dates.instant(at), _RULES[rule]
    done = (
        Text("Hộp thư đã bị tạm khóa tự động.", "The mailbox was suspended automatically.")
        if suspended
        else Text("Hộp thư chưa bị tạm khóa.", "The mailbox is not suspended.")
    )
    search = f"mic-mail log search --mailbox {address}"
    return NoticeText(
        Text(f"Đăng nhập bất thường vào {address}", f"Abnormal sign-in to {address}"),
        Text(
            f"Hộp thư {address} được đăng nhập lúc {when.vi} từ mạng {network}; {why.vi.format(count=count)} ({cited.vi}). "
            f"{done.vi} Đề nghị liên hệ chủ hộp thư để xác minh. Xem: {search}.",
            f"Sign-in to {address} on {when.en} from {network}; {why.en.format(count=count)} ({cited.en}). {done.en} "
            f"Please contact its owner to verify. See: {search}.",
        ),
    )


@notice(
    "6.4.c",
    Reader.CENTRE,
    address=ADDRESS,
    clause_id="6.4.c",
    last=date(2027, 3, 31),
    why=Text("đang bàn giao", "a handover is running"),
)
def not_freed(address: str, clause_id: str, last: date, why: Text) -> NoticeText:
    """A reclaimed mailbox is due to be deleted, and an obstacle prevents it."""
    cited, day = clause(clause_id), dates.day(last)
    return NoticeText(
        Text(f"Chưa xóa được hộp thư {address}", f"Mailbox {address} is not deleted"),
        Text(
            f"Hộp thư {address} đã thu hồi ({cited.vi}) đến hạn xóa khỏi máy chủ sau ngày {day.vi}, nhưng chưa được xóa: "
            f"{why.vi}. Xem: mic-mail mailbox due.",
            f"The reclaimed mailbox {address} ({cited.en}) was due to be deleted from the server after {day.en}, but was not: "
            f"{why.en}. See: mic-mail mailbox due.",
        ),
    )


@notice("6.4.c", Reader.CENTRE, now=MIDNIGHT, marked=datetime(2026, 11, 24, 2, tzinfo=UTC))
def clock_untrusted(now: datetime, marked: datetime | None) -> NoticeText:
    """The clock is over an hour off the last recorded instant; nothing is archived or freed meanwhile."""
    cited, shown = clause("6.4.c"), dates.instant(now)
    before = dates.instant(marked) if marked is not None else Text("không có", "none")
    return NoticeText(
        Text("Đồng hồ máy chủ cần được xác nhận", "The machine's clock needs confirmation"),
        Text(
            f"Đồng hồ máy chủ chỉ {shown.vi}; thời điểm ghi nhận gần nhất: {before.vi}. Việc lưu trữ và xóa hộp thư đã thu hồi "
            f"tạm dừng ({cited.vi}); thư đã xóa trong mọi hộp thư cũng chưa được dọn khỏi đĩa. Sau khi kiểm tra đồng hồ, đề "
            f"nghị xác nhận bằng lệnh mic-mail clock confirm.",
            f"The machine's clock shows {shown.en}; the last recorded time is {before.en}. Reclaimed mailboxes are neither "
            f"archived nor deleted for now ({cited.en}), and expunged mail of all mailboxes stays on the disk. When the clock "
            "is right, please confirm it: mic-mail clock confirm.",
        ),
    )


@notice(
    "14.4",
    Reader.CENTRE,
    number="SC-5",
    unit="CNTT",
    title="máy trạm nhiễm mã độc",
    severity=Text("nghiêm trọng", "serious"),
)
def incident_recorded(number: str, unit: str, title: str, severity: Text) -> NoticeText:
    """A unit has recorded an incident; the text it typed appears in Vietnamese only."""
    cited, command = clause("14.4"), f"mic-mail incident show {number.removeprefix('SC-')}"
    return NoticeText(
        Text(f"Đơn vị báo sự cố {number}", f"A unit reported incident {number}"),
        Text(
            f"Đơn vị {unit} báo sự cố {number}, mức độ {severity.vi} ({cited.vi}): {title}. Xem: {command}.",
            f"The unit {in_ascii(unit)} recorded incident {number}, severity {severity.en} ({cited.en}). See: {command}.",
        ),
    )
