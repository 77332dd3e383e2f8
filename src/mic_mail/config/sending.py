"""Settings of sending to other servers."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

from mic_mail.config.listeners import Port
from mic_mail.config.schema import Section, SmarthostName, rule, setting
from mic_mail.config.units import DAY, HOUR, MINUTE, Location, Seconds, Unit
from mic_mail.config.validation import Invalid, StringForm


class Sending(Section):
    """Mail to other domains."""

    vi: ClassVar[str] = "Thư tới các tên miền khác."

    paused: bool = setting(False, clause="10.3").means(
        "Vẫn nhận thư gửi ra tên miền khác nhưng giữ tất cả trong hàng đợi; thư đang gửi được gửi xong.",
        "Accept mail for other domains and hold it in the queue; deliveries in progress are completed.",
    )
    give_up: Seconds = setting(5 * DAY, clause="4.2", ge=HOUR, le=30 * DAY, reload=False).means(
        "Thư không chuyển được trong khoảng này thì trả lại cho người gửi.",
        "Undelivered mail is returned to its sender after this time.",
    )
    warn_after: Seconds = setting(4 * HOUR, clause="4.2", ge=MINUTE, le=30 * DAY, reload=False).means(
        "Sau khoảng này, người gửi được báo một lần là thư chưa chuyển được.",
        "The sender is notified once when a message is undelivered for this long.",
    )
    connections: int = setting(200, ge=1, le=2_000, unit=Unit.CONNECTIONS, reload=False).means(
        "Số kết nối cùng lúc tới mọi máy chủ khác.", "Connections to all other servers at once."
    )
    connections_per_domain: int = setting(20, ge=1, le=200, unit=Unit.CONNECTIONS, reload=False).means(
        "Số kết nối cùng lúc tới các máy chủ của một tên miền.", "Connections to the servers of one domain at once."
    )
    port: Port = setting(25, reload=False).means(
        "Cổng nhận thư của máy chủ khác; chỉ đổi khi thử nghiệm.", "Port of other servers; another one only for tests."
    )
    smarthost: SmarthostName = setting("", clause="4.2", reload=False).means(
        "Một máy chủ chuyển tiếp mọi thư gửi đi (`relay.example:587`; cổng 465: TLS ngay từ đầu); để trống: gửi tới máy chủ "
        "của từng tên miền.",
        "One server that relays all outgoing mail (`relay.example:587`; port 465: implicit TLS); empty: each domain's own "
        "servers.",
    )
    smarthost_tls: Literal["required", "offered"] = setting("required", clause="10.2", reload=False).means(
        "`required`: phải có TLS với chứng thư số đúng tên, nếu không thì thư chờ; `offered`: dùng TLS nếu có, không kiểm "
        "tra chứng thư số.",
        "`required`: TLS with a valid certificate for its name, or the mail waits; `offered`: opportunistic TLS, "
        "certificate not verified.",
    )
    smarthost_ca: Location | None = setting(None, clause="10.2", reload=False).means(
        "Các tổ chức chứng thực được tin cho máy chủ đó (PEM), thay cho của máy này.",
        "Certificate authorities trusted for it (PEM), in place of the machine's.",
    )
    smarthost_login: Annotated[str, StringForm(max_length=255, pattern=r"^[^\x00-\x1f\x7f]*$")] = setting(
        "", clause="10.2", reload=False
    ).means("Tên đăng nhập ở máy chủ đó; trống: không đăng nhập.", "User name for signing in to it; empty: no sign-in.")
    smarthost_password: Location | None = setting(None, clause="10.2", reload=False).means(
        "Tệp chứa mật khẩu, trên một dòng, chỉ tài khoản của máy chủ đọc được; đọc lại mỗi lần đăng nhập.",
        "File with the password for it, on one line, readable by the server's account only; read at each sign-in.",
    )

    @staticmethod
    @rule("smarthost_login")
    def _never_in_the_open(login: str, before: Mapping[str, Any]) -> str:
        if login and before.get("smarthost_tls", "required") != "required":
            raise Invalid("smarthost_open", "a sign-in without TLS")
        if login and not before.get("smarthost", "-"):
            raise Invalid("smarthost_missing", "without a smarthost")
        return login

    @staticmethod
    @rule("smarthost_password")
    def _as_somebody(password: Path | None, before: Mapping[str, Any]) -> Path | None:
        if before.get("smarthost_login", "-") and password is None and "smarthost_login" in before:
            raise Invalid("smarthost_password", "a login without a password")
        if password is not None and not before.get("smarthost_login", "-"):
            raise Invalid("smarthost_login", "a password without a login")
        return password
