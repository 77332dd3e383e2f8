"""Settings of the listeners: addresses and ports, certificates, and the limits of each protocol."""

from typing import Annotated, ClassVar, Literal, get_args

from mic_mail.config.schema import AddressName, Distinct, DomainName, NameserverName, NetworkName, Section, setting
from mic_mail.config.units import DAY, GIB, HOUR, KIB, MIB, MINUTE, Location, Octets, Seconds, Unit
from mic_mail.config.validation import Bounds, StringForm

DoorName = Literal["smtp", "submission", "submissions", "imap", "imaps", "pop3", "pop3s", "ldap", "ldaps", "http", "https"]
DOORS: tuple[DoorName, ...] = get_args(DoorName)
EVERY_ADDRESS = ("0.0.0.0", "::")  # noqa: S104 - a mail server listens on every interface
Port = Annotated[int, Bounds(ge=0, le=65535), Unit.PORT]


class Listen(Section):
    """Addresses, ports and enabled listeners."""

    vi: ClassVar[str] = "Địa chỉ, cổng và các dịch vụ được bật."

    addresses: Annotated[tuple[AddressName, ...], Distinct] = setting(
        EVERY_ADDRESS, clause="13.2", min_length=1, reload=False
    ).means("Các địa chỉ lắng nghe; 0.0.0.0 và :: nghĩa là tất cả.", "Addresses to listen on; 0.0.0.0 and :: mean all.")
    doors: Annotated[tuple[DoorName, ...], Distinct] = setting(DOORS, clause="13.2", min_length=1, reload=False).means(
        "Các dịch vụ được bật.", "Enabled listeners."
    )
    smtp: Port = setting(25, reload=False).means(
        "Cổng nhận thư từ máy chủ khác (0, ở đây và dưới đây: cổng trống bất kỳ).",
        "Port for mail from other servers (0, here and below: any free port).",
    )
    submission: Port = setting(587, reload=False).means(
        "Cổng nhận thư của người dùng, STARTTLS.", "Port for mail from users, STARTTLS."
    )
    submissions: Port = setting(465, reload=False).means(
        "Cổng nhận thư của người dùng, TLS ngay từ đầu.", "Port for mail from users, implicit TLS."
    )
    imap: Port = setting(143, reload=False).means("Cổng đọc thư, STARTTLS.", "Port for reading mail, STARTTLS.")
    imaps: Port = setting(993, reload=False).means("Cổng đọc thư, TLS ngay từ đầu.", "Port for reading mail, implicit TLS.")
    pop3: Port = setting(110, clause="8.1", reload=False).means(
        "Cổng tải thư từ hộp thư đến, STLS.", "Port for downloading INBOX, STLS."
    )
    pop3s: Port = setting(995, clause="8.1", reload=False).means(
        "Cổng tải thư từ hộp thư đến, TLS ngay từ đầu.", "Port for downloading INBOX, implicit TLS."
    )
    ldap: Port = setting(389, clause="2.6", reload=False).means(
        "Cổng danh bạ điện tử cho phần mềm thư, StartTLS.", "Port of the address book, StartTLS."
    )
    ldaps: Port = setting(636, clause="2.6", reload=False).means(
        "Cổng danh bạ điện tử cho phần mềm thư, TLS ngay từ đầu.", "Port of the address book, implicit TLS."
    )
    http: Port = setting(80, reload=False).means(
        "Cổng chỉ dùng để chuyển trình duyệt sang https.", "Port that only redirects web browsers to https."
    )
    https: Port = setting(443, clause="3.2", reload=False).means(
        "Cổng của trang đổi mật khẩu và xem trạng thái hộp thư.",
        "Port of the page where people change their password and see the state of their mailbox.",
    )
    balancers: Annotated[tuple[NetworkName, ...], Distinct] = setting((), clause="10.1").means(
        "Mạng của các bộ cân bằng tải: mọi kết nối từ đó phải bắt đầu bằng PROXY protocol (v1, v2), và máy khách là máy nêu "
        "trong đó. Chỉ nêu máy do mình quản lý: máy ở đây tự khai được mọi địa chỉ.",
        "Networks of load balancers: each connection from there has to begin with the PROXY protocol (v1, v2), and the client "
        "is whom it names. Name only machines of your own: they can claim any address.",
    )
    backlog: int = setting(1024, ge=16, le=65535, unit=Unit.CONNECTIONS, reload=False).means(
        "Số kết nối được chờ tiếp nhận trên mỗi socket.", "Connections per socket that may wait to be accepted."
    )

    def port(self, door: str) -> int:
        number: int = getattr(self, door)
        return number


class Web(Section):
    """The page where people change their password."""

    vi: ClassVar[str] = "Trang đổi mật khẩu."

    ministry_en: Annotated[str, StringForm(max_length=100, pattern=r"^[ -~]*$")] = setting(
        "Ministry of Information and Communications", clause="3.2"
    ).means(
        "`regulation.ministry` bằng tiếng Anh (ASCII), ở đầu trang.",
        "`regulation.ministry` in English (ASCII), for the head of the page.",
    )
    more_names: Annotated[tuple[DomainName, ...], Distinct] = setting(()).means(
        "Các tên máy khác mà trình duyệt được dùng để truy cập, ngoài `server.hostname`.",
        "Further host names by which browsers may reach the page, besides `server.hostname`.",
    )
    idle_seconds: Seconds = setting(10 * MINUTE, clause="15.2", ge=MINUTE, le=HOUR).means(
        "Không thao tác quá khoảng này thì phải đăng nhập lại.",
        "Time without activity after which a person has to sign in again.",
    )
    session_seconds: Seconds = setting(HOUR, clause="15.2", ge=MINUTE, le=DAY).means(
        "Đã đăng nhập quá khoảng này thì phải đăng nhập lại.", "Time after sign-in after which a person has to sign in again."
    )
    carddav: bool = setting(True, clause="2.6").means(
        "Cung cấp danh bạ điện tử qua CardDAV, tại cùng địa chỉ.",
        "Offer the directory as an address book by CardDAV, at the same address.",
    )
    monitor_networks: Annotated[tuple[NetworkName, ...], Distinct] = setting(("127.0.0.0/8", "::1/128"), clause="10.1").means(
        "Các mạng được đọc chỉ số (/metrics, Prometheus) và /health; nơi khác nhận 404.",
        "Networks that may read /metrics (Prometheus) and /health; others get 404.",
    )
    request_seconds: Seconds = setting(20.0, ge=1, le=10 * MINUTE).means(
        "Kết nối không gửi xong một yêu cầu trong khoảng này thì bị đóng.",
        "A connection that sends no complete request within this time is closed.",
    )


class Dns(Section):
    """Name resolution."""

    vi: ClassVar[str] = "Phân giải tên miền."

    nameservers: Annotated[tuple[NameserverName, ...], Distinct] = setting(()).means(
        "Máy chủ tên miền (`127.0.0.1`, `[::1]:5353`); để trống: theo cấu hình của máy. Máy chủ kiểm tra DNSSEC phải chạy "
        "trên chính máy này.",
        "Name servers (`127.0.0.1`, `[::1]:5353`); empty: those of the machine. A validating resolver (DNSSEC) must run on "
        "this machine.",
    )
    seconds: Seconds = setting(10.0, ge=1, le=MINUTE).means("Thời gian chờ trả lời của một truy vấn.", "Timeout of a query.")


class CertificatePair(Section):
    """A certificate for further names of this server."""

    certificate: Location = setting(...).means(
        "Chuỗi chứng thư số (PEM), dùng khi máy khách hỏi một tên có trong chứng thư số.",
        "Certificate chain (PEM), sent to clients that ask for a name in it.",
    )
    key: Location = setting(...).means(
        "Khóa riêng (PEM), chỉ tài khoản máy chủ đọc được.", "Its private key (PEM), readable by the server's account only."
    )


class Tls(Section):
    """Certificates and keys."""

    vi: ClassVar[str] = "Chứng thư số và khóa."

    certificate: Location | None = setting(None).means(
        "Chuỗi chứng thư số (PEM); mặc định tls/cert.pem trong `data_dir`.",
        "Certificate chain (PEM); default: tls/cert.pem below `data_dir`.",
    )
    key: Location | None = setting(None).means(
        "Khóa riêng (PEM), chỉ tài khoản máy chủ đọc được; mặc định tls/key.pem.",
        "Its private key (PEM), readable by the server's account only; default: tls/key.pem.",
    )
    more: Annotated[tuple[CertificatePair, ...], Distinct] = setting((), max_length=100).means(
        "Chứng thư số cho các tên khác của máy chủ, mỗi tên một bảng [[tls.more]]; máy khách hỏi tên khác nhận chứng thư số "
        "đầu tiên.",
        "Certificates for further names of this server, each a table [[tls.more]]; clients that ask for another name get "
        "the first one.",
    )
    suites: Literal["modern", "compatible"] = setting("modern", clause="10.2").means(
        "Bộ mật mã của TLS 1.2: modern (ECDHE với GCM hoặc ChaCha20), hoặc compatible: thêm CBC, cho phần mềm thư trên "
        "Windows 7 và 8.1. Cổng nhận thư từ máy chủ khác luôn có cả hai, vì không có bộ chung thì thư được gửi không mã hóa.",
        "Cipher suites of TLS 1.2: modern (ECDHE with GCM or ChaCha20), or compatible, which adds CBC for mail programs on "
        "Windows 7 and 8.1. The listener for other mail servers always offers both: a sender that finds no common suite "
        "sends without encryption.",
    )
    minimum: Literal["1.2", "1.3"] = setting("1.2", clause="10.2", reload=False).means(
        "Phiên bản TLS thấp nhất được chấp nhận.", "Oldest accepted version of TLS."
    )
    warn_days: int = setting(21, ge=1, le=365, unit=Unit.DAYS).means(
        "Cảnh báo trước số ngày này khi chứng thư số sắp hết hạn.", "Warn this many days before the certificate expires."
    )


class Smtp(Section):
    """SMTP: receiving and submission of mail."""

    vi: ClassVar[str] = "Nhận và gửi thư (SMTP)."

    recipients: int = setting(1_000, ge=100, le=10_000, unit=Unit.RECIPIENTS).means(
        "Số người nhận của một thư (RFC 5321 §4.5.3.1.8: ít nhất 100).",
        "Recipients of one message (RFC 5321 §4.5.3.1.8: at least 100).",
    )
    errors: int = setting(20, ge=3, le=1_000, unit=Unit.ERRORS).means(
        "Số lỗi trong một kết nối trước khi bị đóng với 421.", "Errors in one connection before it is closed with 421."
    )
    junk_commands: int = setting(100, ge=10, le=10_000_000, unit=Unit.COMMANDS).means(
        "Số lệnh không gửi thư (NOOP, RSET...) sau thư được nhận gần nhất; quá mức, mỗi lệnh là một lỗi.",
        "Commands without a message (NOOP, RSET, ...) since the last accepted one; beyond it, each counts as an error.",
    )
    command_seconds: Seconds = setting(5 * MINUTE, ge=10, le=HOUR).means(
        "Thời gian chờ một lệnh (RFC 5321 §4.5.3.2.7: ít nhất 5 phút).",
        "Timeout for a command (RFC 5321 §4.5.3.2.7: at least 5 minutes).",
    )
    data_seconds: Seconds = setting(3 * MINUTE, ge=10, le=HOUR).means(
        "Thời gian chờ octet tiếp theo của thư.", "Timeout for the next octet of a message."
    )
    message_seconds: Seconds = setting(10 * MINUTE, ge=MINUTE, le=DAY).means(
        "Thời gian tối đa truyền một thư; lâu hơn chỉ khi nhanh hơn `slowest_rate`.",
        "Maximum time for the transfer of one message; longer only above `slowest_rate`.",
    )
    slowest_rate: Octets = setting(KIB, ge=0, le=GIB).means(
        "Tốc độ (octet/giây) mà dưới đó truyền quá lâu bị ngắt.", "Octets per second below which a long transfer is aborted."
    )
    messages_per_connection: int = setting(10_000, ge=1, le=10_000_000, unit=Unit.MESSAGES).means(
        "Số thư trong một kết nối.", "Messages in one connection."
    )
    repair_line_ends: tuple[NetworkName, ...] = setting(()).means(
        "Mạng của thiết bị cũ mà LF đứng riêng được sửa thành CRLF; từ nơi khác thì bị từ chối.",
        "Networks of known old devices whose bare LF is changed to CRLF; from others it is refused.",
    )
    binarymime: bool = setting(False).means(
        "Cho máy chủ khác dùng BINARYMIME (RFC 3030).", "Offer BINARYMIME (RFC 3030) to other mail servers."
    )
    confirms: bool = setting(False).means(
        "Cho máy chủ khác dùng DSN (RFC 3461) và xác nhận đã nhận thư với người gửi mà tên miền được SPF hoặc DKIM chứng thực.",
        "Offer DSN (RFC 3461) to other mail servers and confirm deliveries to senders whose domain SPF or DKIM authenticates.",
    )
    subaddress: Annotated[str, StringForm(max_length=1, pattern=r"^[+=_-]?$")] = setting("+").means(
        "Dấu tách phần phụ khỏi tên hộp thư (dvbe+phụ@); để trống: không dùng.",
        "Separator of the subaddress (dvbe+detail@); empty: no subaddresses.",
    )


class Imap(Section):
    """IMAP: reading mail."""

    vi: ClassVar[str] = "Đọc thư (IMAP)."

    sign_in_seconds: Seconds = setting(3 * MINUTE, ge=10, le=HOUR).means(
        "Kết nối chưa đăng nhập bị đóng sau thời gian này.", "Timeout of an unauthenticated connection."
    )
    idle_seconds: Seconds = setting(31 * MINUTE, ge=30 * MINUTE, le=7 * DAY).means(
        "Phiên không hoạt động bị đóng sau thời gian này (RFC 9051 §5.4: ít nhất 30 phút).",
        "Timeout of an idle session (RFC 9051 §5.4: at least 30 minutes).",
    )
    still_here_seconds: Seconds = setting(2 * MINUTE, ge=10, le=HOUR).means(
        "Khi IDLE, máy chủ gửi một dòng theo chu kỳ này để thiết bị trung gian không ngắt kết nối.",
        "During IDLE the server sends a line at this interval, so that no middlebox drops the connection.",
    )
    command_octets: Octets = setting(64 * KIB, ge=8 * KIB, le=16 * MIB).means(
        "Lệnh dài nhất của phiên đã đăng nhập, trừ literal của APPEND.",
        "Longest command of an authenticated session, without literals of APPEND.",
    )
    errors: int = setting(20, ge=3, le=1_000, unit=Unit.COMMANDS).means(
        "Số lệnh sai liên tiếp trước khi ngắt kết nối (BYE).",
        "Consecutive invalid commands before the connection is closed (BYE).",
    )
    sessions_per_mailbox: int = setting(64, ge=4, le=10_000, unit=Unit.SESSIONS).means(
        "Số phiên của một hộp thư trên mỗi tiến trình.", "Sessions of one mailbox per worker."
    )
    compress: bool = setting(True).means("Cung cấp COMPRESS=DEFLATE.", "Offer COMPRESS=DEFLATE.")
    rev2: bool = setting(True).means("Công bố IMAP4rev2.", "Announce IMAP4rev2.")
    uidonly: bool = setting(False).means(
        "Công bố UIDONLY (RFC 9586): đọc thư không dùng số thứ tự; Outlook không dùng được với tính năng này.",
        "Announce UIDONLY (RFC 9586): mail without message numbers; Outlook does not work with it.",
    )
    unauthenticate: bool = setting(True).means(
        "Công bố UNAUTHENTICATE (RFC 8437): một kết nối lần lượt dùng cho nhiều hộp thư.",
        "Announce UNAUTHENTICATE (RFC 8437): one connection serves several mailboxes in turn.",
    )


class Pop3(Section):
    """POP3: downloading mail."""

    vi: ClassVar[str] = "Tải thư về máy (POP3)."

    sign_in_seconds: Seconds = setting(3 * MINUTE, ge=10, le=HOUR).means(
        "Kết nối chưa đăng nhập bị đóng sau thời gian này.", "Timeout of an unauthenticated connection."
    )
    idle_seconds: Seconds = setting(11 * MINUTE, ge=10 * MINUTE, le=DAY).means(
        "Phiên không hoạt động bị đóng sau thời gian này, không xóa thư nào (RFC 1939 §3: ít nhất 10 phút).",
        "Timeout of an idle session, which deletes nothing (RFC 1939 §3: at least 10 minutes).",
    )
    errors: int = setting(20, ge=3, le=1_000, unit=Unit.COMMANDS).means(
        "Số lệnh sai liên tiếp trước khi ngắt kết nối.", "Consecutive invalid commands before the connection is closed."
    )
    sessions_per_mailbox: int = setting(64, ge=4, le=10_000, unit=Unit.SESSIONS).means(
        "Số phiên của một hộp thư trên mỗi tiến trình; không phiên nào khóa phiên khác.",
        "Sessions of one mailbox per worker; none locks out another.",
    )


class Ldap(Section):
    """LDAP: the directory as a read-only address book."""

    vi: ClassVar[str] = "Danh bạ điện tử qua LDAP, chỉ đọc."

    anonymous_networks: Annotated[tuple[NetworkName, ...], Distinct] = setting((), clause="2.6").means(
        "Các mạng được tra danh bạ không cần đăng nhập; để trống: không mạng nào.",
        "Networks whose clients may search without signing in; empty: none.",
    )
    entries: int = setting(500, ge=10, le=100_000, unit=Unit.ENTRIES).means(
        "Số mục nhiều nhất trong một lần trả lời, hoặc trong một trang.",
        "Most entries in the answer to one search, or in one page of it.",
    )
    search_seconds: Seconds = setting(5.0, ge=1, le=MINUTE).means(
        "Lần tra cứu lâu hơn thời gian này bị dừng.", "A search that takes longer is aborted."
    )
    sign_in_seconds: Seconds = setting(MINUTE, ge=10, le=HOUR).means(
        "Kết nối chưa đăng nhập bị đóng sau thời gian này.", "Timeout of an unauthenticated connection."
    )
    idle_seconds: Seconds = setting(15 * MINUTE, ge=MINUTE, le=DAY).means(
        "Phiên không hoạt động bị đóng sau thời gian này; phiên tra danh bạ không đăng nhập cũng vậy, dù đang tra.",
        "Timeout of an idle session; a session that searches without signing in is closed after this time even if active.",
    )
    errors: int = setting(20, ge=3, le=1_000, unit=Unit.REQUESTS).means(
        "Số yêu cầu sai liên tiếp trước khi ngắt kết nối.", "Consecutive invalid requests before the connection is closed."
    )
    sessions_per_mailbox: int = setting(16, ge=4, le=10_000, unit=Unit.SESSIONS).means(
        "Số phiên của một hộp thư trên mỗi tiến trình.", "Sessions of one mailbox per worker."
    )
