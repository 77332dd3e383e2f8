"""Settings of passwords and sign-in (Reg. 4.3, 10.2, 15.2)."""

from typing import Annotated, ClassVar, Literal

from mic_mail.config.regulation import WarnDays
from mic_mail.config.schema import Distinct, Section, setting
from mic_mail.config.units import DAY, GIB, HOUR, MIB, MINUTE, Location, Octets, Seconds, Unit

FORMER_PASSWORDS = 24  # as many verifiers as the directory retains


class Auth(Section):
    """Passwords and sign-in."""

    vi: ClassVar[str] = "Mật khẩu và đăng nhập."

    cleartext: bool = setting(False, clause="10.2", reload=False).means(
        "Cho đăng nhập không có TLS; chỉ để thử trên một máy.", "Allow sign-in without TLS; only for tests on one machine."
    )
    channel_binding: bool = setting(True, clause="10.2").means(
        "Cung cấp SCRAM-SHA-256-PLUS (ràng buộc tls-server-end-point, với TLS 1.2 cả tls-unique); false nếu có phần mềm chỉ "
        "dùng tls-exporter.",
        "Offer SCRAM-SHA-256-PLUS, bound by tls-server-end-point and in TLS 1.2 also by tls-unique; false where programs "
        "insist on tls-exporter.",
    )
    scram_in_tls13: bool = setting(False, clause="10.2").means(
        "Cung cấp SCRAM cả trong TLS 1.3; khi đó msmtp, mpop và phần mềm dùng GNU SASL không đăng nhập được nếu không đặt "
        "PLAIN.",
        "Offer SCRAM in TLS 1.3 too; msmtp, mpop and other programs with GNU SASL can then sign in only if they are set to "
        "PLAIN.",
    )
    scram_iterations: int = setting(65_536, clause="10.2", ge=65_536, le=10_000_000, unit=Unit.ROUNDS).means(
        "Số vòng PBKDF2 của khóa SCRAM-SHA-256 cho mật khẩu mới; phần mềm dùng Cyrus SASL không chấp nhận quá 65.536.",
        "PBKDF2 iterations of the SCRAM-SHA-256 keys of new passwords; Cyrus SASL's clients refuse more than 65,536.",
    )
    argon2_time: int = setting(3, clause="10.2", ge=1, le=20, unit=Unit.PASSES).means(
        "Số lượt argon2id, cho mật khẩu mới.", "argon2id passes over memory, for new passwords."
    )
    argon2_memory: Octets = setting(32 * MIB, clause="10.2", ge=8 * MIB, le=GIB).means(
        "Bộ nhớ argon2id, cho mật khẩu mới.", "argon2id memory, for new passwords."
    )
    cache_seconds: Seconds = setting(HOUR, ge=0, le=DAY).means(
        "Mật khẩu đã kiểm tra được lưu tạm bao lâu để khỏi băm lại.",
        "How long a verified password is cached, so that it is not hashed again.",
    )
    failures_per_network: int = setting(60, clause="4.3", ge=3, le=100_000, unit=Unit.WRONG_PASSWORDS).means(
        "Số lần sai mật khẩu từ một mạng trong `failure_window` trước khi phải chờ.",
        "Wrong passwords from one network within `failure_window` before its sign-ins are delayed.",
    )
    failures_per_mailbox: int = setting(10, clause="4.3", ge=3, le=100_000, unit=Unit.WRONG_PASSWORDS).means(
        "Số lần sai mật khẩu của một hộp thư từ một mạng trong `failure_window` trước khi phải chờ.",
        "Wrong passwords for one mailbox from one network within `failure_window` before its sign-ins are delayed.",
    )
    failure_window: Seconds = setting(10 * MINUTE, clause="4.3", ge=10, le=DAY).means(
        "Khoảng thời gian để đếm hai giới hạn trên.", "Period in which the two limits above count failures."
    )
    leaked_passwords: Location | None = setting(None, clause="7.2.c").means(
        "Danh sách mật khẩu bị lộ, mỗi dòng một mật khẩu hoặc SHA-1 (`HASH:số lần`, dạng của Have I Been Pwned), đã sắp xếp "
        "(`LC_ALL=C sort`) trừ khi nhỏ; không được chọn mật khẩu có trong đó.",
        "File of leaked passwords, one per line, or their SHA-1 (`HASH:count`, the format of Have I Been Pwned), sorted "
        "(`LC_ALL=C sort`) unless small; none of them can be chosen.",
    )
    leaked_action: Literal["tell", "change", "suspend"] = setting("suspend", clause="7.2.c").means(
        "Khi có người đăng nhập bằng mật khẩu trong danh sách, hoặc bằng mật khẩu đang bị dò trên `anomaly.sprayed` hộp "
        "thư: chỉ báo cá nhân và Trung tâm (tell), buộc đổi (change), hoặc tạm khóa hộp thư (suspend).",
        "Action when somebody signs in with a password of that list, or with one that is being tried at `anomaly.sprayed` "
        "mailboxes: only notify the person and the Centre (tell), require a change (change), or suspend the mailbox (suspend).",
    )
    password_length: int = setting(10, clause="10.2", ge=8, le=128, unit=Unit.CHARACTERS).means(
        "Độ dài tối thiểu của mật khẩu.", "Minimum length of a password."
    )
    password_reuse: int = setting(5, clause="15.2", ge=0, le=FORMER_PASSWORDS, unit=Unit.PASSWORDS).means(
        "Mật khẩu mới không được trùng với bấy nhiêu mật khẩu trước; 0: chỉ không trùng mật khẩu đang dùng.",
        "A new password must differ from this many previous ones; 0: only from the current one.",
    )
    app_passwords: int = setting(20, clause="15.2", ge=0, le=100, unit=Unit.PASSWORDS).means(
        "Số mật khẩu ứng dụng mỗi hộp thư được có cùng lúc; 0: không tạo và không dùng được.",
        "App passwords that a mailbox may have at once; 0: none can be created or used.",
    )
    second_factor: Literal["off", "offered", "administrators", "everyone"] = setting("offered", clause="15.2").means(
        "Mã của thiết bị (TOTP) ngoài mật khẩu. off: không hỏi ai, kể cả người đã bật; offered: ai muốn thì bật trên trang; "
        "administrators: cán bộ phải có thì mới thay đổi được bằng lệnh; everyone: mọi người phải có trên trang.",
        "Codes of a device (TOTP) besides the password. off: never asked for, even where one is enrolled; offered: people "
        "may enrol on the page; administrators: officers need one to change anything by commands; everyone: everybody needs "
        "one on the page.",
    )
    app_passwords_only: bool = setting(True, clause="15.2").means(
        "Hộp thư đã bật xác thực hai bước chỉ dùng mật khẩu ứng dụng ở mọi dịch vụ trừ trang; false: cả mật khẩu của hộp thư.",
        "A mailbox with a second factor accepts only app passwords everywhere but on the page; false: also its own password.",
    )
    password_age: Seconds = setting(180 * DAY, clause="15.2", ge=0, le=3660 * DAY).means(
        "Mật khẩu cũ hơn mức này phải đổi; 0: không bao giờ.",
        "Maximum age of a password before it must be changed; 0: unlimited.",
    )
    password_warn_days: Annotated[WarnDays, Distinct] = setting((14, 7, 1), clause="15.2").means(
        "Gửi thông báo trước số ngày này khi mật khẩu sắp phải đổi; trang mật khẩu cảnh báo từ mốc đầu.",
        "The owner gets a notice this many days before the password must be changed; the page warns from the first of them.",
    )
