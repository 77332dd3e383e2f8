"""Texts of the web pages in Vietnamese (NFC) and English (ASCII).

Headings, labels, hints and sentences. As in `messages`, which has the sentences shared by protocols and notices: a constant or
a function for each text, both languages together. The Vietnamese is that of official letters: "Ông/Bà", "đề nghị". Never here:
markup.
"""

from datetime import datetime

from mic_mail.errors import Text
from mic_mail.i18n import dates
from mic_mail.i18n.clause_names import clause

# ---------------------------------------------------------------- every page

SYSTEM = Text("Hệ thống thư điện tử công vụ", "Official mail system")
SKIP = Text("Đến nội dung chính", "Skip to the content")
SIGN_OUT = Text("Đăng xuất", "Sign out")
ERROR = Text("Có lỗi", "Error")
DONE = Text("Đã thực hiện", "Done")
BACK = Text("Quay lại", "Back")
TO_SIGN_IN = Text("Về trang đăng nhập", "To the sign-in page")


def help_line(support: str) -> Text:
    return Text(f"Hỗ trợ: Trung tâm Thông tin, {support}", f"Help: Information Centre, {support}")


# ---------------------------------------------------------------- signing in

SIGN_IN = Text("Đăng nhập", "Sign in")
SIGN_IN_LEAD = Text(
    "Để đổi mật khẩu hoặc xem trạng thái hộp thư công vụ.", "To change the password or see the state of your official mailbox."
)
ADDRESS = Text("Địa chỉ thư điện tử", "Mail address")
PASSWORD = Text("Mật khẩu", "Password")
FORGOT_LINK = Text("Quên mật khẩu?", "Forgot your password?")
FORM_EXPIRED = Text(
    "Biểu mẫu đã hết hiệu lực; đề nghị điền và gửi lại. Trình duyệt phải cho phép cookie của trang này.",
    "The form has expired; please fill it in and send it again. The browser must allow this page's cookies.",
)
ENROLMENT_OVER = Text(
    "Đã quá thời gian xác nhận; đề nghị bắt đầu lại với mật khẩu hiện tại.",
    "The time to confirm has run out; please start again with the present password.",
)
SESSION_ENDED = Text("Phiên làm việc đã kết thúc; đề nghị đăng nhập lại.", "The session has ended; please sign in again.")
SIGNED_OUT = Text("Ông/Bà đã đăng xuất.", "You have signed out.")


def address_hint(domain: str) -> Text:
    return Text(f"Ví dụ: nvan@{domain}", f"For example: nvan@{domain}")


# ---------------------------------------------------------------- the own mailbox

MAILBOX = Text("Hộp thư", "Mailbox")
STATE = Text("Trạng thái", "State")
REASON = Text("Căn cứ", "By")
SINCE = Text("Từ", "Since")
UNTIL = Text("Đến", "Until")
UPCOMING = Text("Sắp tới", "What comes next")
QUOTA = Text("Dung lượng", "Space")
KIND = Text("Loại hộp thư", "Kind of mailbox")
CHANGE = Text("Đổi mật khẩu", "Change password")
IN_ORDER = Text(
    "Hộp thư hoạt động bình thường: nhận, đọc và gửi thư.", "The mailbox works normally: receiving, reading and sending."
)
QUOTA_UNKNOWN = Text("Chưa xem được dung lượng lúc này.", "The used space cannot be shown now.")


PROGRAMS = Text("Phần mềm thư", "Mail programs")
PROGRAMS_HINT = Text(
    "Thunderbird, Outlook tự tìm cấu hình theo địa chỉ; nếu phần mềm hỏi, nhập như sau. Tên đăng nhập là địa chỉ thư đầy đủ.",
    "Thunderbird and Outlook find these settings by your address; if a program asks, enter them. The user name is the full "
    "address.",
)
PROGRAMS_APPLE = Text("Cài đặt cho iPhone, iPad, Mac", "Set up iPhone, iPad, Mac")
PROGRAM_KINDS = {
    "imap": Text("Nhận thư (IMAP)", "Incoming (IMAP)"),
    "pop3": Text("Tải thư về máy (POP3)", "Incoming (POP3)"),
    "smtp": Text("Gửi thư (SMTP)", "Outgoing (SMTP)"),
}
BOOK = Text("Danh bạ (CardDAV)", "Address book (CardDAV)")


KEPT = Text("Hộp thư đơn vị, nhóm Ông/Bà sử dụng", "Unit and group mailboxes that you use")
KEPT_HINT = Text(
    "Đọc trong phần mềm thư, dưới thư mục Shared, bằng mật khẩu của Ông/Bà.",
    "You find them in your mail program in the folder Shared, with your own password.",
)
PART = Text("Vai trò", "Role")
TERM = Text("Thời hạn", "Term")
NO_TERM = Text("đến khi có phân công khác", "until further notice")
BEING_HANDED_OVER = Text("đang bàn giao: chưa được xóa, chuyển thư", "being handed over: messages cannot be deleted or moved")
STATE_UNKNOWN = Text("chưa xác định được", "unknown at present")


def term_until(at: datetime) -> Text:
    last = dates.last_day_before(at)
    return Text(f"đến hết ngày {last.vi}", f"until the end of {last.en}")


def quota(used: int, of: int, percent: int) -> Text:
    taken, whole = dates.size(used), dates.size(of)
    return Text(f"Đã sử dụng {percent}%: {taken.vi} trong {whole.vi} được cấp", f"{percent}% used: {taken.en} of {whole.en}")


QUOTA_FULL = Text(
    "Hộp thư sắp đầy; đề nghị lưu trữ về máy tính và xóa bớt thư.",
    "The mailbox is nearly full; please archive mail on your computer and delete what you do not need.",
)


def password_set(at: datetime, days: int) -> Text:
    when = dates.day(at)
    ago = Text("hôm nay", "today") if days == 0 else Text(f"{days} ngày trước", f"{days} day{'s' if days > 1 else ''} ago")
    return Text(f"Đặt ngày {when.vi} ({ago.vi})", f"Set on {when.en} ({ago.en})")


PASSWORD_TAKEN_OVER = Text("Được chuyển từ hệ thống cũ", "Migrated from the former system")
PASSWORD_LASTS = Text("Không quy định thời hạn", "No time limit")


def password_lasts_until(at: datetime) -> Text:
    last = dates.last_day_before(at)
    return Text(f"Phải đổi trước khi hết ngày {last.vi}", f"To be changed by the end of {last.en}")


def password_ending(at: datetime) -> Text:
    """Warn that the password will expire (Reg. 15.2)."""
    last, cited = dates.last_day_before(at), clause("15.2")
    return Text(
        f"Mật khẩu sẽ hết hạn khi kết thúc ngày {last.vi}; đề nghị đổi theo quy định về định kỳ "
        f"thay đổi mật khẩu tại {cited.vi}.",
        f"The password expires at the end of {last.en}; please change it: passwords are changed periodically ({cited.en}).",
    )


def will_be_due(at: datetime) -> Text:
    when = dates.day(at)
    return Text(f"Từ ngày {when.vi} phải đổi mật khẩu.", f"From {when.en} you have to change the password.")


def will_be_suspended(at: datetime) -> Text:
    """Reg. 7.2.a: the only suspension by the clock alone."""
    when = dates.day(at)
    return Text(
        f"Nếu không sử dụng, hộp thư sẽ bị tạm khóa từ ngày {when.vi}.",
        f"If it is not used, the mailbox will be suspended on {when.en}.",
    )


def will_be_locked(at: datetime) -> Text:
    when = dates.day(at)
    return Text(f"Chức năng gửi thư sẽ bị khóa từ ngày {when.vi}.", f"Sending will be locked from {when.en}.")


def will_be_reclaimed(address: str, at: datetime) -> Text:
    """Warn that the mailbox will be reclaimed (Reg. 6.4.c)."""
    last = dates.last_day_before(at)
    return Text(
        f"Hộp thư {address} sẽ tự động bị thu hồi sau khi kết thúc ngày {last.vi}; "
        "đề nghị sao lưu dữ liệu cần thiết trước thời điểm này.",
        f"The mailbox {address} will be reclaimed automatically after the end of {last.en}; please save what you need before "
        "then.",
    )


# ---------------------------------------------------------------- changing the password

PRESENT = Text("Mật khẩu hiện tại", "Present password")
NEW = Text("Mật khẩu mới", "New password")
AGAIN = Text("Nhập lại mật khẩu mới", "New password once more")
RULES = Text("Yêu cầu đối với mật khẩu mới", "Requirements for the new password")
RULE_NAMES = Text("Không chứa địa chỉ thư hoặc họ tên.", "It contains neither the mail address nor the name.")
RULE_COMMON = Text(
    "Không dễ đoán; nên dùng một câu gồm nhiều từ không liên quan đến nhau, có dấu cũng được.",
    "It is not easy to guess; best is a sentence of several unrelated words.",
)
AFTERWARDS = Text(
    "Sau khi đổi, phần mềm thư trên máy tính và điện thoại sẽ yêu cầu mật khẩu mới.",
    "After the change, the mail programs on your computer and telephone will ask for the new password.",
)
CHANGED = Text(
    "Đã đổi mật khẩu. Các phiên đang mở ở nơi khác kết thúc trong vài giây; "
    "phần mềm thư trên máy tính và điện thoại sẽ yêu cầu mật khẩu mới.",
    "Password changed. Sessions that are open elsewhere end within seconds; "
    "the mail programs on your computer and telephone will ask for the new password.",
)
NOT_THE_SAME = Text("Hai lần nhập mật khẩu mới không giống nhau.", "The two entries of the new password differ.")
PRESENT_IS_WRONG = Text("Mật khẩu hiện tại không đúng.", "The present password is wrong.")
FIELDS_MISSING = Text("Đề nghị điền đủ các mục.", "Please fill in every field.")
BEING_CHANGED = Text(
    "Mật khẩu đang được thay đổi ở nơi khác; đề nghị thử lại sau giây lát.",
    "The password is being changed elsewhere; please try again in a moment.",
)
TOO_MANY_TRIES = Text(
    "Đã thử quá nhiều lần; đề nghị đăng nhập lại.", "Too many attempts in this session; please sign in again."
)


def rule_length(characters: int) -> Text:
    return Text(f"Có ít nhất {characters} ký tự.", f"It has at least {characters} characters.")


def rule_reuse(passwords: int) -> Text:
    if passwords == 0:
        return Text("Khác mật khẩu đang dùng.", "It differs from the present one.")
    return Text(
        f"Khác mật khẩu đang dùng và {passwords} mật khẩu gần nhất.",
        f"It differs from the present one and the last {passwords}.",
    )


DUE_REASONS = {
    "6.4.a": Text(
        "Đây là lần truy nhập đầu tiên sau khi hộp thư được cấp", "The mailbox was issued and is used for the first time"
    ),
    "7.3.c": Text("Hộp thư đã được kích hoạt lại và khởi tạo lại mật khẩu", "The mailbox was restored and its password reset"),
    "15.2": Text("Mật khẩu đã được khởi tạo lại hoặc đã hết hạn", "The password was reset or has expired"),
}


def due(clause_id: str) -> Text:
    """Ask for a new password before the mailbox can be used (Reg. 6.4.a, 7.3.c, 15.2)."""
    cited, why = clause(clause_id), DUE_REASONS[clause_id]
    return Text(
        f"{why.vi}; Ông/Bà phải đổi mật khẩu trước khi sử dụng hộp thư ({cited.vi}).",
        f"{why.en}; you have to change the password before you can use the mailbox ({cited.en}).",
    )


# ---------------------------------------------------------------- app passwords

APPS = Text("Mật khẩu ứng dụng", "App passwords")
APPS_LEAD = Text(
    "Mỗi điện thoại, máy tính hoặc phần mềm dùng một mật khẩu riêng do hệ thống tạo, thay cho mật khẩu của hộp thư. "
    "Mất một thiết bị thì chỉ thu hồi mật khẩu của thiết bị đó.",
    "Each telephone, computer or program gets its own password, generated by the system, in place of the mailbox's. "
    "If a device is lost, you revoke only its password.",
)
APPS_MANAGE = Text("Quản lý mật khẩu ứng dụng", "Manage app passwords")
APPS_NONE = Text("Không có mật khẩu ứng dụng nào đang dùng.", "No app passwords in use.")
APP_NEW = Text("Tạo mật khẩu ứng dụng", "Create an app password")
APP_NAME = Text("Tên thiết bị hoặc phần mềm", "Name of the device or program")
APP_NAME_HINT = Text("Ví dụ: Điện thoại, Outlook ở cơ quan", "For example: telephone, Outlook at the office")
APP_SCOPE = Text("Dùng cho", "Valid for")
APP_SCOPES = {
    "all": Text("Thư và danh bạ", "Mail and address book"),
    "mail": Text("Chỉ nhận và gửi thư", "Mail only"),
    "book": Text("Chỉ danh bạ", "Address book only"),
}
APP_MAKE = Text("Tạo", "Create")
APP_REVOKE = Text("Thu hồi", "Revoke")
APP_DOORS = Text("Dùng cho", "Valid for")
APP_ADDED = Text("Tạo", "Created")
APP_USED = Text("Lần sử dụng gần nhất", "Last used")
APP_ENDED = Text("Hết hiệu lực", "Ended")
APP_NEVER_USED = Text("chưa dùng", "never")
APPS_ENDED = Text("Đã hết hiệu lực", "No longer valid")
APPS_FULL = Text(
    "Đã đủ số mật khẩu ứng dụng được phép; đề nghị thu hồi mật khẩu không còn dùng.",
    "The mailbox has the maximum number of app passwords; please revoke those that are not in use.",
)
APP_SHOWN_ONCE = Text(
    "Nhập ngay mật khẩu này vào phần mềm, đúng như hiển thị; sau khi rời trang, không xem lại được.",
    "Enter it in the program now, exactly as shown; after you leave this page it cannot be shown again.",
)
APPS_STAY = Text(
    "Các mật khẩu ứng dụng vẫn dùng được sau khi đổi, trừ khi Ông/Bà chọn mục dưới đây.",
    "App passwords keep working after the change, unless you choose the following.",
)
APPS_END = Text("Thu hồi tất cả mật khẩu ứng dụng (khi nghi bị lộ)", "Revoke all app passwords (if you suspect a leak)")
APPS_FALL = Text("Các mật khẩu ứng dụng hết hiệu lực cùng với lần đổi này.", "App passwords end with this change.")


APP_MADE = Text("Mật khẩu ứng dụng mới", "New app password")
APP_REVOKED = Text(
    "Đã thu hồi mật khẩu ứng dụng; các phiên mở bằng mật khẩu đó kết thúc trong vài giây.",
    "App password revoked; sessions that it opened end within seconds.",
)


def apps_count(count: int) -> Text:
    if not count:
        return APPS_NONE
    return Text(f"Đang có {count} mật khẩu ứng dụng.", f"App passwords in use: {count}.")


def app_password_used(at: datetime, door: str, network: str) -> Text:
    when = dates.day(at)
    return Text(f"ngày {when.vi}, {door}, từ {network}", f"{when.en}, {door}, from {network}")


# ---------------------------------------------------------------- the second factor

FACTOR = Text("Xác thực hai bước", "Second factor")
FACTOR_LEAD = Text(
    "Ngoài mật khẩu, khi vào trang này còn phải nhập mã gồm 6 chữ số do ứng dụng xác thực trên điện thoại tạo ra. "
    "Người biết mật khẩu mà không có điện thoại thì không vào được.",
    "In addition to the password, this page will ask for the six-digit code of an authenticator on your telephone. "
    "A person who knows the password but does not have the telephone cannot sign in.",
)
FACTOR_APPS = Text(
    "Sau khi bật, phần mềm thư chỉ dùng được mật khẩu ứng dụng; đề nghị tạo mật khẩu ứng dụng cho từng thiết bị trước.",
    "After that, mail programs can sign in only with app passwords; please create one for each device first.",
)
FACTOR_NEEDED = Text(
    "Hệ thống yêu cầu mọi người bật xác thực hai bước trước khi sử dụng trang này.",
    "Everybody has to set up a second factor before using this page.",
)
FACTOR_MANAGE = Text("Quản lý xác thực hai bước", "Manage the second factor")
FACTOR_ON = Text("Đang bật xác thực hai bước.", "A second factor is set up.")
FACTOR_OFF = Text("Chưa bật xác thực hai bước.", "No second factor is set up.")
FACTOR_BEGIN = Text("Bắt đầu", "Begin")
FACTOR_SCAN = Text(
    "1. Mở ứng dụng xác thực trên điện thoại và quét mã này.", "1. Open the authenticator on your telephone and scan this code."
)
FACTOR_TYPE = Text("Hoặc nhập khóa này (theo thời gian, 6 chữ số):", "Or enter this key (time-based, six digits):")
FACTOR_HERE = Text("Mở trong ứng dụng xác thực trên máy này", "Open in the authenticator on this device")
FACTOR_CONFIRM_LEAD = Text("2. Nhập mã mà ứng dụng đang hiển thị.", "2. Enter the code that the authenticator shows.")
FACTOR_CONFIRM = Text("Xác nhận", "Confirm")
FACTOR_QR = Text("Mã QR cho ứng dụng xác thực", "QR code for the authenticator")
FACTOR_SET = Text("Đã bật xác thực hai bước.", "Second factor set up.")
FACTOR_REMOVED = Text("Đã tắt xác thực hai bước.", "Second factor removed.")
FACTOR_REMOVE = Text("Tắt xác thực hai bước", "Remove the second factor")
FACTOR_REMOVE_LEAD = Text(
    "Khi đổi điện thoại: tắt rồi bật lại. Mất điện thoại và mã khôi phục: đề nghị đơn vị gửi văn bản tới Trung tâm Thông tin.",
    "To change telephones, remove it and set it up again. If telephone and recovery codes are lost, have your unit write to "
    "the Information Centre.",
)
FACTOR_SINCE = Text("Bật từ", "Set up on")
RECOVERY = Text("Mã khôi phục", "Recovery codes")
RECOVERY_LEFT = Text("Mã khôi phục còn lại", "Recovery codes left")
RECOVERY_LEAD = Text(
    "Mỗi mã dùng được một lần khi không có điện thoại. Đề nghị in ra và cất giữ; sau khi rời trang, không xem lại được.",
    "Each code works once, for a sign-in without the telephone. Please print and keep them; after you leave this page they "
    "cannot be shown again.",
)
CODE_LEAD = Text(
    "Nhập mã 6 chữ số trong ứng dụng xác thực, hoặc một mã khôi phục.",
    "Enter the six-digit code of your authenticator, or a recovery code.",
)
CODE_FIELD = Text("Mã xác thực", "Code")
CODE_LOST = Text(
    "Mất điện thoại? Đề nghị đơn vị gửi văn bản tới Trung tâm Thông tin", "Lost your telephone? Have your unit write to"
)

# ---------------------------------------------------------------- a lost password

FORGOT = Text("Quên mật khẩu", "Forgotten password")


def forgot_rule() -> Text:
    cited = clause("15.2")
    return Text(
        f"Theo {cited.vi}, mất mật khẩu phải báo ngay; Trung tâm Thông tin khởi tạo lại mật khẩu khi có văn bản "
        "hoặc thư điện tử của đơn vị. Trang này không tự khởi tạo lại mật khẩu và không nhận yêu cầu qua điện thoại.",
        f"Under {cited.en}, report a lost password at once; the Information Centre resets it on a letter from the unit or a "
        "message from the unit's mailbox. This page does not reset passwords, and requests by telephone are not accepted.",
    )


FORGOT_STEPS = (
    Text(
        "Báo ngay cho thủ trưởng hoặc người quản lý hộp thư của đơn vị.",
        "Inform the head of your unit or the keeper of its mailbox at once.",
    ),
    Text(
        "Đơn vị gửi văn bản, hoặc thư từ hộp thư của đơn vị, đến Trung tâm Thông tin; nêu rõ họ tên, đơn vị, địa chỉ thư.",
        "The unit sends a letter, or a message from its own mailbox, to the Centre, with your name, unit and mail address.",
    ),
    Text(
        "Trung tâm Thông tin cấp mật khẩu tạm; Ông/Bà đăng nhập tại trang này và đổi ngay trong lần truy nhập đầu tiên.",
        "The Centre gives you a temporary password; sign in on this page and change it at the first sign-in.",
    ),
)
FORGOT_LEAKED = Text(
    "Nếu nghi ngờ mật khẩu bị lộ, đề nghị báo ngay Trung tâm Thông tin để tạm khóa hộp thư.",
    "If others may know the password, inform the Information Centre at once, so that the mailbox can be suspended.",
)


def send_to(support: str) -> Text:
    return Text(f"Địa chỉ nhận: {support}", f"Write to: {support}")


# ---------------------------------------------------------------- errors

NOT_FOUND = Text("Không có trang này.", "Page not found.")
NOT_THAT_WAY = Text("Trang này không nhận yêu cầu theo cách đó.", "This page does not accept this kind of request.")
TOO_LARGE = Text("Nội dung gửi lên quá lớn.", "The request is too large.")
UNREADABLE = Text("Không đọc được nội dung gửi lên.", "The request cannot be read.")
NOT_THIS_HOST = Text("Máy chủ này không trả lời dưới tên đó.", "This server does not answer under that name.")


def failed(reference: str) -> Text:
    return Text(
        f"Hệ thống gặp lỗi, mã {reference}; đề nghị thử lại sau.",
        f"The system failed, reference {reference}; please try again later.",
    )
