"""Notices to the owner of a mailbox.

Issue, quota, suspension, restoration, passwords, absence, transfer.
"""

from collections.abc import Sequence
from datetime import UTC, date, datetime

from mic_mail.errors import Text, in_ascii
from mic_mail.i18n import dates, messages
from mic_mail.i18n.clause_names import clause
from mic_mail.i18n.notices.notice import NoticeText, Reader, notice

ADDRESS = "dvbe@mic.gov.vn"
MIDNIGHT = datetime(2027, 2, 28, 17, tzinfo=UTC)
"""00:00 on 01/03/2027 in Ha Noi, for samples."""
# ---------------------------------------------------------------- changing the password


def change_at_page(url: str) -> Text:
    """Return how to change a first password at the page."""
    return Text(
        f"đổi mật khẩu tại {url} trong lần truy nhập đầu tiên",
        f"change the password at {url} when you sign in for the first time",
    )


def change_at_centre(support: str) -> Text:
    """Return how to change it while there is no page."""
    return Text(
        f"liên hệ Trung tâm Thông tin ({support}) để đổi mật khẩu trước khi sử dụng",
        f"contact the Information Centre ({support}) to change the password before you use the mailbox",
    )


def renew_at(where: str) -> Text:
    """Return how to change a password that grows old.

    `where`: the page, or the help desk's address.
    """
    if "://" in where:
        return Text(f"đổi tại {where}", f"change it at {where}")
    return Text(f"liên hệ Trung tâm Thông tin ({where}) để đổi", f"contact the Information Centre ({where}) to change it")


CHANGE = change_at_page("https://mail.mic.gov.vn/mk")


# ---------------------------------------------------------------- issue and quota


@notice("6.4.a", Reader.OWNER, address=ADDRESS, change=CHANGE)
def welcome(address: str, change: Text) -> NoticeText:
    """A personal mailbox was issued."""
    return _welcome(address, Text("Ông/Bà", "you"), "6.4.a", change)


@notice("5.1", Reader.OWNER, address="cntt@mic.gov.vn", change=CHANGE)
def welcome_unit(address: str, change: Text) -> NoticeText:
    """A unit's mailbox was issued."""
    return _welcome(address, Text("đơn vị", "the unit"), "5.1", change)


@notice("5.2", Reader.OWNER, address="doanthanhnien@mic.gov.vn", change=CHANGE)
def welcome_group(address: str, change: Text) -> NoticeText:
    """A group's mailbox was issued."""
    return _welcome(address, Text("nhóm", "the group"), "5.2", change)


def _welcome(address: str, to: Text, clause_id: str, change: Text) -> NoticeText:
    cited = clause(clause_id)
    return NoticeText(
        Text("Chào mừng sử dụng hộp thư điện tử công vụ", "Welcome to your official mailbox"),
        Text(
            f"Trung tâm Thông tin đã cấp hộp thư {address} cho {to.vi} theo {cited.vi}; đề nghị {change.vi}.",
            f"The Information Centre has issued the mailbox {address} to {to.en} ({cited.en}); please {change.en}.",
        ),
    )


@notice("8.3.c", Reader.OWNER, percent=92, quota_octets=1 << 30)
def quota(percent: int, quota_octets: int) -> NoticeText:
    """Usage has crossed one of `quota.warn_percent` upwards."""
    cited, size = clause("8.3.c"), dates.size(quota_octets)
    return NoticeText(
        Text(f"Hộp thư đã sử dụng {percent}% dung lượng", f"Mailbox {percent}% full"),
        Text(
            f"Hộp thư đã sử dụng {percent}% dung lượng được cấp ({size.vi}); "
            f"đề nghị lưu trữ về máy tính và xóa bớt thư ({cited.vi}).",
            f"The mailbox has used {percent}% of its quota ({size.en}); "
            f"please archive mail on your computer and delete what you do not need ({cited.en}).",
        ),
    )


# ---------------------------------------------------------------- app passwords and second factor


@notice("15.2", Reader.OWNER, address=ADDRESS, name="Điện thoại", at=MIDNIGHT, by=ADDRESS)
def app_password_added(address: str, name: str, at: datetime, by: str) -> NoticeText:
    """An app password was added to the mailbox, by its owner or by somebody else."""
    cited, when = clause("15.2"), dates.instant(at)
    return NoticeText(
        Text("Hộp thư có mật khẩu ứng dụng mới", "New app password for your mailbox"),
        Text(
            f"Mật khẩu ứng dụng “{name}” của hộp thư {address} đã được {by} tạo lúc {when.vi}. Nếu Ông/Bà không yêu cầu, "
            f"đề nghị thu hồi mật khẩu này, đổi mật khẩu hộp thư và báo ngay Trung tâm Thông tin ({cited.vi}).",
            f"The app password '{in_ascii(name)}' of {address} was created by {in_ascii(by)} at {when.en}. If you did not ask "
            f"for it, please revoke it, change the mailbox's password and inform the Information Centre at once ({cited.en}).",
        ),
    )


@notice("15.2", Reader.OWNER, address=ADDRESS, at=MIDNIGHT, by=ADDRESS)
def factor_set(address: str, at: datetime, by: str) -> NoticeText:
    """The page asks for a code from now on; an owner who did not set that is locked out by an intruder."""
    cited, when = clause("15.2"), dates.instant(at)
    return NoticeText(
        Text("Hộp thư đã bật xác thực hai bước", "Second factor set up for your mailbox"),
        Text(
            f"Xác thực hai bước của hộp thư {address} đã được {by} bật lúc {when.vi}. Nếu không phải Ông/Bà bật, đề nghị báo "
            f"ngay Trung tâm Thông tin ({cited.vi}).",
            f"A second factor for {address} was set up by {in_ascii(by)} at {when.en}. If that was not you, please inform the "
            f"Information Centre at once ({cited.en}).",
        ),
    )


@notice("15.2", Reader.OWNER, address=ADDRESS, at=MIDNIGHT, by="mai")
def factor_removed(address: str, at: datetime, by: str) -> NoticeText:
    """The second factor was removed; the password alone is enough again."""
    cited, when = clause("15.2"), dates.instant(at)
    return NoticeText(
        Text("Hộp thư đã tắt xác thực hai bước", "Second factor of your mailbox removed"),
        Text(
            f"Xác thực hai bước của hộp thư {address} đã được {by} tắt lúc {when.vi}; từ nay chỉ cần mật khẩu. Nếu Ông/Bà "
            f"không yêu cầu, đề nghị đổi mật khẩu và báo ngay Trung tâm Thông tin ({cited.vi}).",
            f"The second factor of {address} was removed by {in_ascii(by)} at {when.en}; from now on the password alone is "
            "enough. "
            f"If you did not ask for this, please change the password and inform the Information Centre at once ({cited.en}).",
        ),
    )


# ---------------------------------------------------------------- suspension (Reg. 7)


@notice("7.2.a", Reader.OWNER, address=ADDRESS, at=MIDNIGHT)
def inactivity(address: str, at: datetime) -> NoticeText:
    """The mailbox will be suspended for inactivity; sent ahead by each of `inactivity.warn_days`."""
    cited, day = clause("7.2.a"), dates.day(at)
    return NoticeText(
        Text(f"Hộp thư sẽ bị tạm khóa từ ngày {day.vi}", f"Your mailbox will be suspended on {day.en}"),
        Text(
            f"Hộp thư {address} không có hoạt động gửi, nhận thư và sẽ bị tạm khóa từ ngày {day.vi} theo {cited.vi}; đề nghị "
            "truy nhập để gửi, nhận thư trước thời điểm này, hoặc thông báo lý do tới Trung tâm Thông tin.",
            f"The mailbox {address} is not in use and will be suspended on {day.en} ({cited.en}). "
            "Please send or read mail before then, or inform the Information Centre of the reason.",
        ),
    )


@notice("7.2", Reader.OWNER, address=ADDRESS, since=MIDNIGHT, clause_id="7.2.c")
def suspended(address: str, since: datetime, clause_id: str) -> NoticeText:
    """The mailbox is suspended, by the clock (7.2.a) or by the Centre (7.2.b, 7.2.c)."""
    return NoticeText(
        Text("Hộp thư bị tạm khóa", "Mailbox suspended"),
        messages.suspended(address, since, clause_id),
    )


@notice("7.3", Reader.OWNER, address=ADDRESS)
def restored(address: str) -> NoticeText:
    """The mailbox was restored, with a new password."""
    return NoticeText(
        Text("Hộp thư đã được khôi phục", "Mailbox restored"),
        Text(
            f"Hộp thư {address} đã được kích hoạt lại và khởi tạo lại mật khẩu; Ông/Bà phải đổi mật khẩu trong lần truy nhập "
            "đầu tiên (điểm b, điểm c khoản 3 Điều 7 Quy chế).",
            f"The mailbox {address} was restored with a new password, which you have to change when you sign in for the "
            "first time (Reg. 7.3.b, 7.3.c).",
        ),
    )


@notice("10.2", Reader.OWNER, address=ADDRESS, at=MIDNIGHT)
def notices_void(address: str, at: datetime) -> NoticeText:
    """Notices about the mailbox were sent while the server's clock was ahead; it is right again."""
    # `at` is the instant at which the clock was right again.
    cited, when = clause("10.2"), dates.instant(at)
    return NoticeText(
        Text("Đính chính thông báo do đồng hồ máy chủ chạy sai", "Correction: notices sent while the server's clock was wrong"),
        Text(
            f"Đồng hồ của máy chủ đã chạy nhanh và đã được chỉnh đúng. Các thông báo của Trung tâm về hộp thư {address} ghi "
            f"ngày sau {when.vi} không có giá trị. Thông báo nào đúng sẽ được gửi lại khi đến hạn ({cited.vi}).",
            f"The server's clock was ahead and has been set right. Notices from the Centre about mailbox {address} that are "
            f"dated after {when.en} are void. Those that are correct will be sent again when they are due ({cited.en}).",
        ),
    )


@notice("7.2.c", Reader.OWNER, address=ADDRESS, accepted_at=MIDNIGHT, recipients=["ttlan@mic.gov.vn", "pqlong@mic.gov.vn"])
def not_sent(address: str, accepted_at: datetime, recipients: Sequence[str]) -> NoticeText:
    """The Centre has dropped a message that waited when its sender was suspended (7.2.c)."""
    cited, when, to = clause("7.2.c"), dates.instant(accepted_at), ", ".join(recipients)
    return NoticeText(
        Text("Thư chưa được gửi", "Message not sent"),
        Text(
            f"Thư gửi từ {address} lúc {when.vi} tới {to} chưa được chuyển khi hộp thư bị tạm khóa theo {cited.vi}, và không "
            "được gửi nữa; nếu đó là thư của Ông/Bà, đề nghị gửi lại.",
            f"The message that {address} sent on {when.en} to {in_ascii(to)} had not been delivered when the mailbox was "
            f"suspended ({cited.en}), and will not be sent. If you wrote it, please send it again.",
        ),
    )


@notice("7.2.a", Reader.OWNER, address=ADDRESS, begins=date(2026, 12, 1), until=date(2027, 6, 30))
def absence_noted(address: str, begins: date, until: date) -> NoticeText:
    """A notified absence was recorded."""
    cited, first, last = clause("7.2.a"), dates.day(begins), dates.day(until)
    return NoticeText(
        Text("Đã ghi nhận thông báo vắng mặt", "Absence recorded"),
        Text(
            f"Trung tâm Thông tin đã ghi nhận Ông/Bà vắng mặt từ ngày {first.vi} đến hết ngày {last.vi}; trong thời gian này "
            f"hộp thư {address} không bị tạm khóa do không sử dụng ({cited.vi}).",
            f"The Information Centre has recorded your absence from {first.en} to {last.en}; in this time {address} is not "
            f"suspended for disuse ({cited.en}).",
        ),
    )


# ---------------------------------------------------------------- passwords (Reg. 15.2)


@notice("15.2", Reader.OWNER, at=MIDNIGHT, renew=renew_at("https://mail.mic.gov.vn/mk"))
def password_ending(at: datetime, renew: Text) -> NoticeText:
    """The password grows too old; sent ahead by each of `auth.password_warn_days`."""
    cited, last = clause("15.2"), dates.last_day_before(at)
    return NoticeText(
        Text(f"Mật khẩu sẽ hết hạn ngày {last.vi}", f"Password expires on {last.en}"),
        Text(
            f"Mật khẩu sẽ hết hạn ngày {last.vi}; đề nghị {renew.vi} theo quy định về định kỳ thay đổi mật khẩu tại "
            f"{cited.vi}.",
            f"The password expires at the end of {last.en}; please {renew.en}, as passwords are changed periodically "
            f"({cited.en}).",
        ),
    )


@notice("15.2", Reader.OWNER, address=ADDRESS, since=MIDNIGHT, renew=renew_at("support@mic.gov.vn"))
def password_ended(address: str, since: datetime, renew: Text) -> NoticeText:
    """The password is too old and has to be changed before the mailbox can be used."""
    cited, day = clause("15.2"), dates.day(since)
    return NoticeText(
        Text("Mật khẩu đã hết hạn", "Password expired"),
        Text(
            f"Mật khẩu của hộp thư {address} đã hết hạn từ ngày {day.vi}; đề nghị {renew.vi} trước khi tiếp tục sử dụng "
            f"({cited.vi}). Hộp thư vẫn nhận được thư đến.",
            f"The password of {address} expired on {day.en}; please {renew.en} before you use the mailbox again "
            f"({cited.en}). The mailbox still receives mail.",
        ),
    )


@notice("15.2", Reader.OWNER, address=ADDRESS, renew=renew_at("support@mic.gov.vn"), sprayed=False)
def password_exposed(address: str, renew: Text, *, sprayed: bool) -> NoticeText:
    """Others know the password with which the mailbox was signed in to."""
    cited = clause("15.2")
    found = (
        Text("đang bị dò trên nhiều hộp thư", "is being tried at many mailboxes")
        if sprayed
        else Text("có trong danh sách mật khẩu đã bị lộ", "is on a list of leaked passwords")
    )
    return NoticeText(
        Text("Cần đổi mật khẩu ngay", "Change your password now"),
        Text(
            f"Mật khẩu của hộp thư {address} {found.vi}: người khác có thể đã biết. Đề nghị {renew.vi} và không dùng mật khẩu "
            f"này ở bất cứ đâu ({cited.vi}).",
            f"The password of {address} {found.en}: others may know it. Please {renew.en}, and never use it again anywhere "
            f"({cited.en}).",
        ),
    )


# ---------------------------------------------------------------- transfer


@notice("6.4.b", Reader.OWNER, address=ADDRESS, unit_from="CNTT", unit_to="PTTH&TTĐT")
def transferred(address: str, unit_from: str, unit_to: str) -> NoticeText:
    """The person works for another unit now."""
    cited = clause("6.4.b")
    return NoticeText(
        Text("Đã cập nhật đơn vị công tác", "Unit changed"),
        Text(
            f"Theo thông báo của đơn vị tiếp nhận, danh bạ điện tử đã được cập nhật: đơn vị quản lý hộp thư {address} chuyển "
            f"từ {unit_from} sang {unit_to} ({cited.vi}). Hộp thư, địa chỉ và thư giữ nguyên.",
            f"As notified by the receiving unit, the directory now has another unit for {address} ({cited.en}). "
            "Mailbox, address and mail are unchanged.",
        ),
    )


@notice("6.5", Reader.OWNER, address=ADDRESS, unit_from="CNTT", unit_to="PTTH&TTĐT")
def reorganised(address: str, unit_from: str, unit_to: str) -> NoticeText:
    """The unit was merged or split."""
    cited = clause("6.5")
    return NoticeText(
        Text("Đã cập nhật đơn vị trong danh bạ", "Unit changed"),
        Text(
            f"Do tổ chức lại đơn vị, danh bạ điện tử đã được cập nhật: hộp thư {address} chuyển từ {unit_from} sang {unit_to} "
            f"({cited.vi}). Thư và người được giao quản lý, sử dụng giữ nguyên.",
            f"Units were reorganised, and the directory now has another unit for {address} ({cited.en}). The mail and "
            "the people in charge of it are unchanged.",
        ),
    )


@notice("6.2", Reader.OWNER, address=ADDRESS, before="dovanbe@mic.gov.vn", until=date(2026, 11, 29))
def readdressed(address: str, before: str, until: date | None) -> NoticeText:
    """The mailbox has a new address, which is also its sign-in name."""
    cited = clause("6.2")
    last = dates.day(until) if until is not None else None
    return NoticeText(
        Text("Hộp thư có địa chỉ mới", "Your mailbox has a new address"),
        Text(
            f"Địa chỉ của hộp thư đổi từ {before} thành {address} ({cited.vi}); tên đăng nhập là địa chỉ mới, mật khẩu và thư "
            f"giữ nguyên. Địa chỉ cũ vẫn nhận được thư{f' đến hết ngày {last.vi}' if last else ''}, và không cấp cho ai khác.",
            f"The address of your mailbox changed from {before} to {address} ({cited.en}); sign in with the new one. Password "
            f"and mail stay. The old address still receives mail{f' until the end of {last.en}' if last else ''}, and nobody "
            "else will be given it.",
        ),
    )


@notice("6.5", Reader.OWNER, address=ADDRESS, before="ptth_ttdt@mic.gov.vn", successor="kts@mic.gov.vn")
def led_elsewhere(address: str, before: str, successor: str) -> NoticeText:
    """The unit has ended: new mail goes to the successor's mailbox, and this one holds the old mail."""
    cited = clause("6.5")
    return NoticeText(
        Text("Thư mới đến hộp thư của đơn vị kế thừa", "New mail goes to the successor unit's mailbox"),
        Text(
            f"Do sáp nhập đơn vị ({cited.vi}), thư gửi đến {before} từ nay vào hộp thư {successor}. Hộp thư này giữ thư đã "
            f"nhận và có địa chỉ {address}.",
            f"Units were merged ({cited.en}): mail to {before} now goes to {successor}. This mailbox keeps the mail it has "
            f"received; its address is now {address}.",
        ),
    )


@notice("7.2.c", Reader.OWNER, address=ADDRESS, at=MIDNIGHT, network="198.51.100.0/24")
def sign_in_anomaly(address: str, at: datetime, network: str) -> NoticeText:
    """A sign-in to the mailbox looks like a stolen password; sent once a day for each rule."""
    when, cited = dates.instant(at), clause("15.2")
    return NoticeText(
        Text("Đăng nhập bất thường vào hộp thư", "Abnormal sign-in to your mailbox"),
        Text(
            f"Hộp thư {address} được đăng nhập lúc {when.vi} từ mạng {network}. Nếu không phải Ông/Bà, đề nghị đổi mật khẩu "
            f"ngay và báo Trung tâm Thông tin ({cited.vi}).",
            f"Somebody signed in to your mailbox {address} on {when.en} from {network}. If that was not you, change your "
            f"password at once and inform the Information Centre ({cited.en}).",
        ),
    )
