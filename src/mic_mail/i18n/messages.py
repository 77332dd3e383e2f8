"""Sentences that the protocols show people, in Vietnamese (NFC) and English (ASCII).

Notices are in `notices`.

A sentence with values is a function with typed parameters: a missing one is a mypy error, not a broken notice. That is why
this is a plain module and not gettext: two languages, a hundred sentences, both sides always needed together (Vietnamese above,
English below), and no catalogue to compile. Never quoted here: a person's own text, a password, a secret marking. The wording
follows official letters: "Ông/Bà", "đề nghị", the clause named from the smallest part up (clause_names.py).
"""

from datetime import datetime

from mic_mail.errors import Text
from mic_mail.i18n import dates
from mic_mail.i18n.clause_names import clause

# ---------------------------------------------------------------- sign-in refused


def where_to_turn(support: str, reference: str) -> Text:
    """Return the end of every refusal: whom to contact, and the reference that is also in the log.

    It has no full stop, which people would copy with the reference.
    """
    return Text(f"Liên hệ {support}, mã {reference}", f"Contact {support}, reference {reference}")


def joined(*sentences: Text) -> Text:
    return Text(" ".join(s.vi for s in sentences), " ".join(s.en for s in sentences))


WRONG_CREDENTIALS = Text("Tên đăng nhập hoặc mật khẩu không đúng.", "User name or password is wrong.")
PASSWORD_CHANGED = Text("Mật khẩu đã được thay đổi; đề nghị đăng nhập lại.", "The password was changed; sign in again.")
APP_PASSWORD_ENDED = Text("Mật khẩu ứng dụng này không còn hiệu lực.", "This app password is no longer valid.")
"""For a session that was signed in by an app password."""
APP_PASSWORD_ELSEWHERE = Text(
    "Mật khẩu ứng dụng này được tạo cho dịch vụ khác; đề nghị tạo mật khẩu khác tại trang mật khẩu.",
    "This app password was created for another service; create one for this service on the password page.",
)
"""For an app password that was made for other services."""


def app_password_needed(page: str | None) -> Text:
    """Refuse the own password of a mailbox with a second factor, where no code can be asked for."""
    where = Text(f" tại {page}", f" at {page}") if page else Text("", "")
    return Text(
        f"Hộp thư đã bật xác thực hai bước; đề nghị đăng nhập bằng mật khẩu ứng dụng, tạo{where.vi or ' trước'}.",
        f"The mailbox has a second factor: sign in with an app password, created{where.en or ' beforehand'}.",
    )


CODE_WRONG = Text("Mã không đúng hoặc đã được sử dụng.", "The code is wrong or has already been used.")
CODE_CLOSED = Text(
    "Đã nhập sai mã quá nhiều lần; đề nghị dùng mã khôi phục hoặc liên hệ Trung tâm Thông tin.",
    "Too many wrong codes; use a recovery code, or contact the Information Centre.",
)
TLS_REQUIRED = Text(
    "Chỉ được đăng nhập qua kết nối mã hóa; đề nghị bật SSL/TLS hoặc STARTTLS trong phần mềm thư.",
    "Sign-in needs an encrypted connection; turn on SSL/TLS or STARTTLS in the mail program.",
)
BAD_MECHANISM = Text("Phương thức đăng nhập không được hỗ trợ.", "This authentication mechanism is not supported.")
CHANNEL_BINDING = Text("Không xác nhận được ràng buộc kênh TLS.", "The TLS channel binding does not match.")
CHANNEL_BINDING_TYPE = Text(
    "Máy chủ không hỗ trợ kiểu ràng buộc kênh TLS mà phần mềm của Ông/Bà chọn; đề nghị đặt phương thức đăng nhập là PLAIN.",
    "Your program's type of TLS channel binding is not supported; set its authentication method to PLAIN.",
)
MALFORMED_SIGN_IN = Text("Dữ liệu đăng nhập không hợp lệ.", "The sign-in data is malformed.")


def too_many(seconds: float) -> Text:
    minutes = max(1, round(seconds / 60 + 0.5))
    return Text(
        f"Quá nhiều lần đăng nhập sai; đề nghị thử lại sau {minutes} phút.",
        f"Too many failed sign-ins; try again in {minutes} min.",
    )


TOO_MANY_SESSIONS = Text(
    "Hộp thư có quá nhiều phiên làm việc đang mở; đề nghị đóng bớt phần mềm thư.",
    "This mailbox has too many open sessions; close one of its mail programs.",
)
UNAVAILABLE = Text("Hệ thống tạm thời không xử lý được; đề nghị thử lại sau.", "Temporarily unavailable; try again later.")
SUSPENSION_CAUSES = {
    "a": Text("không sử dụng trong 6 tháng", "not used for 6 months"),
    "b": Text("vi phạm Điều 4 Quy chế", "a breach of Article 4"),
    "c": Text(
        "bị chiếm dụng, lộ mật khẩu hoặc phát tán thư rác, mã độc", "hijacking, a leaked password, or spreading spam or malware"
    ),
}


def suspended(address: str, since: datetime, clause_id: str) -> Text:
    """Refuse a sign-in to a suspended mailbox (Reg. 7.1, 7.2)."""
    cited, when = clause(clause_id), dates.instant(since)
    cause = SUSPENSION_CAUSES.get(clause_id.rpartition(".")[2])
    because = Text(f" do {cause.vi}", f" for {cause.en}") if cause else Text("", "")
    return Text(
        f"Hộp thư {address} bị tạm khóa từ {when.vi}{because.vi}, theo {cited.vi}; hộp thư vẫn nhận được thư đến.",
        f"Mailbox {address} has been suspended since {when.en}{because.en} ({cited.en}); it still receives mail.",
    )


def password_due(url: str, clause_id: str) -> Text:
    """Refuse a sign-in until the password is changed (Reg. 6.4.a, 7.3.c, 15.2)."""
    cited = clause(clause_id)
    return Text(
        f"Ông/Bà phải đổi mật khẩu tại {url} trước khi sử dụng hộp thư ({cited.vi}).",
        f"The password must be changed at {url} before the mailbox can be used ({cited.en}).",
    )


def password_due_at_centre(clause_id: str) -> Text:
    """The same while there is no page; the end of the refusal names the contact."""
    cited = clause(clause_id)
    return Text(
        f"Phải đổi mật khẩu tại Trung tâm Thông tin trước khi sử dụng hộp thư ({cited.vi}).",
        f"The password must be changed at the Information Centre before the mailbox can be used ({cited.en}).",
    )


def grant_ended(address: str) -> Text:
    """Reg. 12.3: a keeper's or substitute's term is over, or was revoked."""
    cited = clause("12.3")
    return Text(
        f"Ông/Bà không còn được sử dụng hộp thư {address} ({cited.vi}).",
        f"You are no longer authorised to use the mailbox {address} ({cited.en}).",
    )


def shared_password_due(address: str) -> Text:
    """Reg. 7.3.c: for people with a grant in a unit's or group's mailbox that was restored."""
    cited = clause("7.3.c")
    return Text(
        f"Phải đổi mật khẩu của hộp thư {address} trước khi tiếp tục sử dụng ({cited.vi}).",
        f"The password of the mailbox {address} must be changed before it can be used again ({cited.en}).",
    )


def reclaimed(address: str, since: datetime, clause_id: str) -> Text:
    """Reg. 6.4.c."""
    cited, when = clause(clause_id), dates.day(since)
    return Text(
        f"Hộp thư {address} đã bị thu hồi từ ngày {when.vi} theo {cited.vi}.",
        f"Mailbox {address} was reclaimed on {when.en} ({cited.en}).",
    )


def send_locked(address: str, since: datetime, clause_id: str, until: datetime | None) -> Text:
    """Refuse a message of a mailbox whose sending is locked (Reg. 6.4.c).

    `until` is the instant of the reclaim, so the last day of reading is the day before.
    """
    cited, when = clause(clause_id), dates.day(since)
    last = dates.last_day_before(until) if until is not None else None
    reading = (
        Text(
            f"; Ông/Bà vẫn đọc và nhận được thư đến hết ngày {last.vi}.",
            f"; reading and receiving work until the end of {last.en}.",
        )
        if last
        else Text("; Ông/Bà vẫn đọc và nhận được thư.", "; reading and receiving still work.")
    )
    return Text(
        f"Chức năng gửi thư của hộp thư {address} bị khóa từ ngày {when.vi} theo {cited.vi}{reading.vi}",
        f"Sending from {address} has been locked since {when.en} ({cited.en}){reading.en}",
    )


def maintenance(since: datetime, until: datetime, clause_id: str) -> Text:
    """Announce a downtime (Reg. 10.3) or an incident (10.1), in notices, IMAP and pages."""
    cited, begins, ends = clause(clause_id), dates.instant(since), dates.instant(until)
    return Text(
        f"Vì lý do kỹ thuật, Hệ thống thư điện tử công vụ tạm ngừng từ {begins.vi} đến {ends.vi}; "
        f"Trung tâm Thông tin thông báo để các cơ quan, đơn vị, cá nhân được biết ({cited.vi}).",
        f"For technical reasons the official mail system will be down from {begins.en} to {ends.en} ({cited.en}).",
    )


CENTRE = Text("Trung tâm Thông tin", "Information Centre")
"""The operator's name (Reg. 2, "the Centre")."""


# ---------------------------------------------------------------- documents with a marking


_NO_SECRETS = clause("4.1")
MARKED_SECRET = Text(
    f"Thư bị từ chối vì có dấu hiệu chứa tài liệu mang dấu độ mật; {_NO_SECRETS.vi} cấm gửi tài liệu mật, tối mật, tuyệt mật "
    "qua Hệ thống thư điện tử. Nếu có nhầm lẫn, đề nghị liên hệ Trung tâm Thông tin.",
    f"Refused: the message seems to contain a document with a secrecy marking ({_NO_SECRETS.en}: confidential, secret and top "
    "secret documents must not be sent by mail). If this is a mistake, please contact the Information Centre.",
)
"""The refusal of a message with a secrecy marking (Reg. 4.1). The contact and the reference follow."""


def malware_not_stored(malware: str) -> Text:
    """Tell a mail program that the message which it stores holds malware (Reg. 10.2)."""
    cited = clause("10.2")
    return Text(
        f"Thư có mã độc ({malware}) nên không được lưu ({cited.vi}); đề nghị kiểm tra máy tính.",
        f"The message contains malware ({malware}) and was not stored ({cited.en}); please check your computer.",
    )


NOT_INSPECTED = Text(
    f"Thư bị từ chối vì có tệp gửi kèm không kiểm tra được (có mật khẩu, bị hỏng hoặc không rõ định dạng); {_NO_SECRETS.vi}.",
    f"Refused: an attachment cannot be inspected (encrypted, damaged, or of an unknown format; {_NO_SECRETS.en}).",
)
"""For `secrecy.unreadable`, which refuses attachments that cannot be inspected; Reg. 4.1."""
TOO_MUCH_TO_INSPECT = Text(
    f"Thư bị từ chối vì tệp gửi kèm quá lớn khi giải nén hoặc quá nhiều thành phần nên không kiểm tra được ({_NO_SECRETS.vi}); "
    "đề nghị chia thành nhiều thư hoặc gửi tệp chưa nén.",
    f"Refused: the unpacked attachments exceed what can be inspected ({_NO_SECRETS.en}); split them among several messages, or "
    "send them unpacked.",
)
"""Beyond `secrecy.unpacked`, `secrecy.depth` or `secrecy.parts`; Reg. 4.1."""
NOT_INSPECTED_NOW = Text(
    f"Chưa kiểm tra được tệp gửi kèm ({_NO_SECRETS.vi}); đề nghị gửi lại sau ít phút.",
    f"The attachments cannot be inspected now ({_NO_SECRETS.en}); try again in a few minutes.",
)
"""No document reader was free in time; Reg. 4.1."""
DEGREES = {
    "confidential": Text("Mật", "confidential"),
    "secret": Text("Tối mật", "secret"),
    "top-secret": Text("Tuyệt mật", "top secret"),
}
