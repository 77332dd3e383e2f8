"""Settings for clauses of the regulation that can be read in more than one way.

The default is the Centre's reading. The names are those that `regulation show` prints beside the clause. What the regulation
fixes (terms of 6 and 12 months, 1 and 2 working days) is no setting and not here.
"""

from collections.abc import Mapping
from datetime import date, time
from itertools import pairwise
from typing import Annotated, Any, ClassVar, Literal

from mic_mail.config.schema import Distinct, MailboxName, PageName, Rising, Section, rule, setting
from mic_mail.config.units import DAY, GIB, HOUR, MIB, LocalTime, Octets, Seconds, Unit
from mic_mail.config.validation import Bounds, Invalid, StringForm

Keyword = Annotated[str, StringForm(pattern=r"^[!#$&'+,./0-9:;<=>?@A-Z^_`a-z|~-]{1,60}$")]
"""A keyword of RFC 9051 (`flag-keyword`): an atom."""


RESERVED_NAMES = (
    "abuse", "admin", "administrator", "hostmaster", "mailer-daemon", "noreply",
    "postmaster", "root", "security", "support", "webmaster",
)  # fmt: skip


class UnitAddress(Section):
    """Unit mailboxes: from symbol to address."""

    vi: ClassVar[str] = "Hộp thư đơn vị: từ ký hiệu thành địa chỉ."

    collapse: bool = setting(True, clause="5.1").means(
        "Chuỗi ký tự không được phép thành một `_`; false: mỗi ký tự một `_`.",
        "A run of characters that are not allowed becomes one `_`; false: one `_` for each.",
    )
    keep: Annotated[str, StringForm(pattern=r"^[-._]*$")] = setting("-", clause="5.1").means(
        "Ký tự của ký hiệu được giữ nguyên.", "Characters of a symbol that are not replaced."
    )


class Namesake(Section):
    """Personal mailboxes of people of the same name."""

    vi: ClassVar[str] = "Hộp thư cá nhân trùng tên."

    first_by: Literal["received", "created"] = setting("received", clause="5.4.a").means(
        "Người đăng ký trước: theo lúc nhận yêu cầu, hay lúc tạo hộp thư.",
        "Who is first: by receipt of the request, or by creation of the mailbox.",
    )
    permute: Literal["blocks", "letters"] = setting("blocks", clause="5.4.b").means(
        "Gợi ý đảo cả khối (bedv, vdbe) hay từng chữ.", "Suggestions permute whole blocks (bedv, vdbe) or single letters."
    )


class Address(Section):
    """The form of addresses."""

    vi: ClassVar[str] = "Cách đặt địa chỉ."

    unit: UnitAddress = UnitAddress()
    namesake: Namesake = Namesake()
    shortest: int = setting(2, clause="5.3", ge=1, le=16, unit=Unit.CHARACTERS).means(
        "Độ dài tối thiểu của tên hộp thư cá nhân.", "Minimum length of the local part of a personal mailbox."
    )
    alias_days: int = setting(90, clause="6.2", ge=0, le=3660, unit=Unit.DAYS).means(
        "Địa chỉ cũ của hộp thư còn là bí danh trong số ngày này; không cấp cho người khác.",
        "A former address of a mailbox remains its alias for this long; nobody else gets it.",
    )
    reserved: tuple[str, ...] = setting(RESERVED_NAMES, clause="5.3").means(
        "Những tên không cấp cho cá nhân.", "Local parts that no person gets."
    )


class Terms(Section):
    """The end of terms in months."""

    vi: ClassVar[str] = "Thời điểm kết thúc một thời hạn tính bằng tháng."

    end: Literal["end_of_day", "start_of_day"] = setting("end_of_day", clause="6.4.c").means(
        "Thời hạn kết thúc lúc hết ngày tương ứng (Bộ luật Dân sự 2015, Điều 147-148), hay lúc 00:00 ngày đó.",
        "A term ends at the end of the corresponding date (Civil Code 2015, Articles 147-148), or at its 00:00.",
    )
    roll: bool = setting(False, clause="6.4.c").means(
        "Thời hạn kết thúc vào ngày nghỉ thì lùi sang ngày làm việc kế tiếp.",
        "A term that ends on a rest day moves to the next working day.",
    )


WarnDays = tuple[Annotated[int, Bounds(ge=1, le=180), Unit.DAYS], ...]


class Leave(Section):
    """Mailboxes of leavers."""

    vi: ClassVar[str] = "Hộp thư của người thôi việc."

    late_grace_days: int = setting(7, clause="6.4.c", ge=0, le=366, unit=Unit.DAYS).means(
        "Số ngày chờ thêm khi thông báo đến lúc hộp thư đã quá hạn thu hồi.",
        "Grace period when the notice arrives after the mailbox was due to be reclaimed.",
    )


class Reclaim(Section):
    """Reclaimed mailboxes."""

    vi: ClassVar[str] = "Hộp thư đã thu hồi."

    warn_days: Annotated[WarnDays, Distinct] = setting((30, 14, 7, 1), clause="6.4.c").means(
        "Cảnh báo chủ hộp thư trước số ngày này.", "The owner is warned this many days in advance."
    )
    keep_days: int = setting(30, clause="6.4.c", ge=1, le=3660, unit=Unit.DAYS).means(
        "Sau khi lưu trữ, hộp thư đã thu hồi còn ở trên máy chủ và khôi phục được trong số ngày này.",
        "How long an archived reclaimed mailbox stays on the server and can be restored.",
    )


class Inactivity(Section):
    """Suspension of unused mailboxes."""

    vi: ClassVar[str] = "Tạm khóa hộp thư không sử dụng."

    counts: Literal["user", "any_delivery"] = setting("user", clause="7.2.a").means(
        "Tính là có sử dụng: chỉ thao tác của người dùng, hay cả thư đến.",
        "What counts as use: only the user's own activity, or also any delivery.",
    )
    warn_days: Annotated[WarnDays, Distinct] = setting((30, 14, 7, 1), clause="7.2.a").means(
        "Cảnh báo chủ hộp thư trước số ngày này.", "The owner is warned this many days in advance."
    )


class Restore(Section):
    """Restoration of suspended mailboxes."""

    vi: ClassVar[str] = "Khôi phục hộp thư bị tạm khóa."

    breach_document: bool = setting(True, clause="7.3").means(
        "Sau vi phạm (7.2.b) phải có văn bản cho khôi phục.",
        "After a breach (7.2.b) restoration requires the document that permits it.",
    )
    min_wait: int = setting(0, clause="7.3.b", ge=0, le=30, unit=Unit.WORKING_DAYS).means(
        "Số ngày làm việc phải chờ trước khi khôi phục; 01 ngày trong Quy chế được hiểu là thời hạn.",
        "Working days that must pass before restoration; the regulation's one day is read as a deadline.",
    )


class Office(Section):
    """Office hours."""

    vi: ClassVar[str] = "Giờ làm việc."

    closes: LocalTime = setting(time(17, 30), clause="7.3.b").means(
        "Thời hạn tính bằng ngày làm việc kết thúc vào giờ này của ngày cuối, giờ Việt Nam.",
        "Time at which a term of working days ends on its last day, in Vietnam.",
    )


class Requests(Section):
    """Requests to the Centre."""

    vi: ClassVar[str] = "Yêu cầu gửi Trung tâm."

    target_days: int = setting(3, clause="6.2", ge=1, le=60, unit=Unit.WORKING_DAYS).means(
        "Số ngày làm việc để trả lời một yêu cầu: mục tiêu của Trung tâm, Quy chế chỉ có hạn ở 7.3.b.",
        "Working days in which a request is answered: the Centre's own target; the regulation has a deadline for 7.3.b only.",
    )


class Maintenance(Section):
    """Announced downtime."""

    vi: ClassVar[str] = "Tạm ngừng có báo trước."

    count: Literal["working_days", "hours"] = setting("working_days", clause="10.3").means(
        "03 ngày làm việc trọn, không tính ngày thông báo, hay 72 giờ.",
        "3 full working days, without the day of notice, or 72 hours.",
    )


class Window(Section):
    """When a unit mailbox must be opened: start of the morning, end of the morning, end of the afternoon."""

    start: time = setting(..., clause="12.3.a").means("Bắt đầu, chẵn 5 phút.", "Start, on a full five minutes.")
    end: time = setting(..., clause="12.3.a").means("Kết thúc, chẵn 5 phút.", "End, on a full five minutes.")

    @staticmethod
    @rule("start", "end")
    def _on_five_minutes(edge: time, _before: Mapping[str, Any]) -> time:
        """Require full five minutes: reading is recorded once per `connection.actions.OPENING_MINUTES`."""
        if edge.minute % 5 or edge.second or edge.microsecond or edge.tzinfo is not None:
            raise Invalid("window_edge", "not a full five minutes of the local day")
        return edge

    @staticmethod
    @rule("end")
    def _after_start(end: time, before: Mapping[str, Any]) -> time:
        if "start" in before and end <= before["start"]:
            raise Invalid("window", "ends before it begins")
        return end


class Openings(Section):
    """Opening of unit mailboxes."""

    vi: ClassVar[str] = "Việc mở hộp thư đơn vị."

    counts: Literal["read", "poll"] = setting("read", clause="12.3.a").means(
        "Tính là mở: người phụ trách đọc thư (SELECT, FETCH), hay cả kiểm tra tự động.",
        "What counts as an opening: the keeper reading mail (SELECT, FETCH), or any poll.",
    )
    windows: tuple[Window, ...] = setting(
        (
            Window(start=time(7, 30), end=time(9, 0)),
            Window(start=time(10, 30), end=time(12, 0)),
            Window(start=time(16, 0), end=time(17, 30)),
        ),
        clause="12.3.a",
        min_length=3,
    ).means(
        "Khung giờ phải mở hộp thư đơn vị: đầu giờ sáng, cuối giờ sáng, cuối giờ chiều.",
        "When a unit mailbox must be opened: start of the morning, end of the morning, end of the afternoon.",
    )
    remind: bool = setting(True, clause="12.3.a").means(
        "Mỗi tuần một lần báo người phụ trách những khung giờ tuần trước hộp thư chưa được mở.",
        "Once a week notify the keeper of last week's windows in which the mailbox was not opened.",
    )

    @staticmethod
    @rule("windows")
    def _in_order(windows: tuple[Window, ...], _before: Mapping[str, Any]) -> tuple[Window, ...]:
        if any(later.start < earlier.end for earlier, later in pairwise(windows)):
            raise Invalid("windows_overlap", "the windows are not in the order of the day, or overlap")
        return windows


class PassedOn(Section):
    """Mail handed off to the document system."""

    vi: ClassVar[str] = "Thư đã chuyển vào hệ thống quản lý văn bản."

    keywords: tuple[Keyword, ...] = setting(("$PassedOn", "PassedOn"), clause="12.3.c").means(
        "Từ khóa (nhãn) đánh dấu thư đã chuyển; không phân biệt chữ hoa, chữ thường.",
        "Message keywords (tags) that mark it; case-insensitive.",
    )
    folder: Annotated[str, StringForm(strip_whitespace=True, max_length=200)] = setting(
        "Đã chuyển QLVB", clause="12.3.c"
    ).means(
        "Thư mục (và thư mục con) chứa thư đã chuyển, khi không dùng được nhãn; để trống: không có.",
        "Folder (with its subfolders) that marks it too, for programs without tags; empty: none.",
    )
    days: int = setting(1, clause="12.3.c", ge=0, le=30, unit=Unit.WORKING_DAYS).means(
        "Số ngày làm việc sau khi nhận phải chuyển xong; cách hiểu “kịp thời”.",
        "Working days after receipt within which it must be handed off; our reading of 'without delay'.",
    )
    remind: bool = setting(True, clause="12.3.c").means(
        "Mỗi tuần một lần báo vào hộp thư đơn vị những thư quá hạn chuyển.",
        "Once a week notify the unit mailbox of overdue mail in it.",
    )


class UnitMailboxes(Section):
    """Unit mailboxes."""

    vi: ClassVar[str] = "Hộp thư đơn vị."

    openings: Openings = Openings()
    passed_on: PassedOn = PassedOn()
    term_warn_days: Annotated[WarnDays, Distinct] = setting((30, 14, 7, 1), clause="12.3.d").means(
        "Nhắc đơn vị và Trung tâm trước số ngày này khi sắp hết thời hạn phân công mà chưa có người nhận bàn giao.",
        "The unit and the Centre are warned this many days before a keeper's term ends without a successor.",
    )


class Reply(Section):
    """Mail that waits for an answer."""

    vi: ClassVar[str] = "Thư chờ trả lời."

    addressed: Literal["to", "to_and_cc"] = setting("to", clause="12.4").means(
        "Ai phải trả lời: người nhận ở To, hay cả Cc.", "Who must answer: recipients in To, or also in Cc."
    )
    skip_bulk: bool = setting(True, clause="12.4").means(
        "Thư hàng loạt và thư tự động không cần trả lời.", "Bulk and automatic mail needs no answer."
    )
    own_unit: bool = setting(True, clause="12.4").means("Tính cả thư trong đơn vị.", "Mail from the own unit counts too.")


class Census(Section):
    """The list of the people who use mailboxes."""

    vi: ClassVar[str] = "Thống kê người dùng thư điện tử."

    months: Annotated[tuple[Annotated[int, Bounds(ge=1, le=12), Unit.MONTHS], ...], Distinct, Rising] = setting(
        (1, 7), clause="14.6", min_length=1
    ).means(
        "Mỗi tháng này mở đầu một kỳ thống kê; hạn gửi là hết tháng đó.",
        "A period begins with each of these months; the list is due at the end of that month.",
    )


class Report(Section):
    """Reports to the leadership."""

    vi: ClassVar[str] = "Báo cáo Lãnh đạo Bộ."

    usage_months: int = setting(3, clause="16.2", ge=1, le=12, unit=Unit.MONTHS).means(
        "Báo cáo tình hình sử dụng đến hạn khi kỳ trước đã kết thúc từng ấy tháng.",
        "A usage report is due this long after the end of the last one's period.",
    )


class Secrecy(Section):
    """Documents with a secrecy marking."""

    vi: ClassVar[str] = "Tài liệu mang dấu độ mật."

    inbound: Literal["flag", "refuse"] = setting("flag", clause="4.1").means(
        "Thư từ bên ngoài có dấu độ mật: nhận và đánh dấu, hay từ chối.",
        "Marked mail from outside is accepted and flagged, or refused.",
    )
    unreadable: Literal["accept", "refuse"] = setting("accept", clause="4.1").means(
        "Thư gửi đi không kiểm tra được (có mật khẩu, hỏng, không rõ định dạng): nhận và ghi nhật ký, hay từ chối. Thư vượt "
        "các mức dưới đây luôn bị từ chối; thư chưa kiểm tra kịp thì đề nghị gửi lại.",
        "Outgoing mail that cannot be read (encrypted, damaged, of an unknown format) is accepted and logged, or refused. "
        "Mail beyond the limits below is always refused; mail that was not read in time is refused temporarily.",
    )
    hold: Seconds = setting(30 * DAY, clause="4.1", ge=0, le=366 * DAY).means(
        "Thư bị từ chối được giữ bao lâu để hai người có thể cho chuyển; 0: không giữ.",
        "How long a refused message is retained so that two people can release it; 0: not at all.",
    )
    hold_space: Octets = setting(2 * GIB, clause="4.1", ge=0, le=1 << 50).means(
        "Dung lượng dành cho thư bị từ chối; quá mức thì từ chối mà không giữ.",
        "Space for refused messages; beyond it they are refused without being retained.",
    )
    seconds: Seconds = setting(5.0, clause="4.1", ge=0.5, le=60).means(
        "Thời gian CPU để kiểm tra một thư khi đến lượt; tính theo đồng hồ: tối đa gấp đôi, cộng một giây.",
        "CPU time to read one message, once its turn has come; elapsed time is limited to twice that plus one second.",
    )
    memory: Octets = setting(512 * MIB, clause="4.1", ge=256 * MIB, le=16 * GIB).means(
        "Không gian địa chỉ của tiến trình đọc tài liệu.", "Address space of a process that reads documents."
    )
    unpacked: Octets = setting(256 * MIB, clause="4.1", ge=MIB, le=16 * GIB).means(
        "Tổng dung lượng tối đa sau giải nén của tài liệu trong một thư.",
        "Maximum total size of the unpacked documents of one message.",
    )
    depth: int = setting(5, clause="4.1", ge=1, le=20, unit=Unit.LEVELS).means(
        "Số tầng tài liệu lồng nhau tối đa được mở.", "Maximum nesting of documents within documents."
    )
    parts: int = setting(1_000, clause="4.1", ge=10, le=100_000, unit=Unit.PARTS).means(
        "Số phần tối đa của một thư được đọc.", "Most parts of one message that are read."
    )
    readers: int = setting(1, clause="4.1", ge=1, le=16, unit=Unit.PROCESSES, reload=False).means(
        "Số tiến trình đọc tài liệu của mỗi tiến trình phục vụ, tính riêng cho thư từ bên trong và thư từ bên ngoài.",
        "Processes per worker that read documents, while there are any: this many for mail from inside, and this many for "
        "mail from outside.",
    )


class Content(Section):
    """Access to the content of another person's mailbox."""

    vi: ClassVar[str] = "Mở nội dung hộp thư của người khác."

    expires_after: Seconds = setting(3 * DAY, clause="4.3", ge=HOUR, le=30 * DAY).means(
        "Phê duyệt xuất nội dung một hộp thư có hiệu lực trong bao lâu.",
        "How long an approval to export the content of a mailbox is valid.",
    )


class Regulation(Section):
    """The decision that binds this server."""

    vi: ClassVar[str] = "Quyết định áp dụng cho máy chủ này."

    decision_no: str = setting("").means(
        "Số quyết định; để trống thì văn bản không ghi.", "Number of the decision; omitted in texts while empty."
    )
    issued_on: date | None = setting(None, clause="5.5").means(
        "Ngày ban hành; quy tắc đặt địa chỉ không áp dụng cho hộp thư có trước ngày này.",
        "Date of the decision; the address rules do not bind older mailboxes.",
    )
    ministry: str = setting("Bộ Thông tin và Truyền thông").means(
        "Cơ quan chủ quản, ghi ở đầu báo cáo, biên bản và trang mật khẩu.",
        "The ministry's name in the head of reports, minutes and the password page.",
    )
    centre: str = setting("Trung tâm Thông tin").means(
        "Đơn vị vận hành, ghi ở đầu báo cáo và biên bản.", "The operator's name in the head of reports and minutes."
    )
    place: str = setting("Hà Nội").means(
        "Địa danh ghi ở đầu báo cáo và biên bản.", "The place in the head of reports and minutes."
    )
    support: MailboxName = setting("support", clause="6.2").means(
        "Địa chỉ liên hệ hỗ trợ: địa chỉ đầy đủ, hoặc tên trong `server.domain`.",
        "Contact address for users: a full address, or a local part of `server.domain`.",
    )
    password_page: PageName | None = setting(None, clause="7.3.c").means(
        "Địa chỉ trang đổi mật khẩu; mặc định là trang của chính máy chủ khi dịch vụ https được bật.",
        "URL of the page where people change their password; default: this server's own, if its https listener is enabled.",
    )
