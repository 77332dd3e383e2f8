"""Format security-relevant lines of the log as syslog messages (RFC 5424, Reg. 16.3).

In: a decoded line of the mail log or of the acts. Out: the octets of one message, or None for a line that no collector needs.

    <86>1 2026-11-24T09:00:00.123456Z mail.mic.gov.vn mic-mail worker0.4711 sign_in_refused
        [mic@32473 id="2026-11-24.worker0.4711.1.jsonl:1234" reason="wrong-credentials" peer="192.0.2.7" ...] BOM text

Every field of the line is a parameter of the structured data, under its own name; `id` is the position of the line, so that a
collector can detect duplicates. Text chosen by an attacker (a user name, a sender) cannot end a message, a parameter or a line
on a screen: control, line and direction characters are written as `\\u000a`. The log holds no secrets. Pure.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import IntEnum
from unicodedata import category

BOM = b"\xef\xbb\xbf"
"""The mark before text in UTF-8 (RFC 5424 §6.4)."""
APP_NAME = "mic-mail"
LONGEST_DATAGRAM = 2_048
"""Octets; receivers should accept as many (RFC 5426 §3.2)."""
LONGEST = 8_192
"""Octets of a message on a stream (RFC 5425 §4.3.1)."""
MOST_CHARACTERS = 500
"""Characters of one value."""
MOST_ITEMS = 20
"""Items of a list."""
FACILITIES: Mapping[str, int] = {"auth": 4, "authpriv": 10, **{f"local{number}": 16 + number for number in range(8)}}
_ALWAYS_ESCAPED = frozenset({"Cc", "Cs", "Co", "Cn", "Zl", "Zp"})
_DIRECTIONS = frozenset(map(chr, (0x200E, 0x200F, *range(0x202A, 0x202F), *range(0x2066, 0x206A), 0x061C, 0xFEFF)))
_NOT_IN_THE_DATA = frozenset({"at", "n", "event", "act", "prev"})


class Severity(IntEnum):
    """Severities of RFC 5424 §6.2.1."""

    ALERT = 1
    CRITICAL = 2
    ERROR = 3
    WARNING = 4
    NOTICE = 5
    INFORMATIONAL = 6


SECURITY: Mapping[str, tuple[Severity, str]] = {
    "signed_in": (Severity.INFORMATIONAL, "Đăng nhập"),
    "sign_in_refused": (Severity.WARNING, "Từ chối đăng nhập"),
    "sign_in_anomaly": (Severity.ALERT, "Đăng nhập bất thường"),
    "password_exposed": (Severity.ALERT, "Mật khẩu có người khác biết"),
    "leaked_passwords_unreadable": (Severity.ERROR, "Không tra được danh sách mật khẩu bị lộ"),
    "sending_refused": (Severity.NOTICE, "Từ chối gửi thư"),
    "sender_refused": (Severity.NOTICE, "Từ chối người gửi"),
    "connection_refused": (Severity.NOTICE, "Từ chối kết nối"),
    "connection_cut": (Severity.NOTICE, "Ngắt kết nối"),
    "connections_exhausted": (Severity.ERROR, "Hết chỗ cho kết nối"),
    "mailbox_suspended": (Severity.ALERT, "Tự động tạm khóa hộp thư"),
    "suspension_failed": (Severity.CRITICAL, "Không tạm khóa được hộp thư"),
    "mailbox_opened": (Severity.INFORMATIONAL, "Mở hộp thư của đơn vị, nhóm"),
    "malware_refused": (Severity.ALERT, "Từ chối thư có mã độc"),
    "message_quarantined": (Severity.WARNING, "Thư bị giữ ở khu cách ly"),
    "message_not_scanned": (Severity.WARNING, "Chưa quét được mã độc trong thư"),
    "marked_message_refused": (Severity.WARNING, "Từ chối thư có dấu độ mật"),
    "marked_message_flagged": (Severity.WARNING, "Thư đến có dấu độ mật"),
    "message_not_flagged": (Severity.ERROR, "Không ghi được thư đến có dấu độ mật"),
    "unread_record_damaged": (Severity.ERROR, "Hồ sơ thư chờ kiểm tra dấu độ mật không đọc được"),
    "reader_unprotected": (Severity.WARNING, "Tiến trình đọc tài liệu không được cô lập đủ"),
    "held_message_submitted": (Severity.NOTICE, "Giải tỏa thư bị giữ"),
    "web_password_changed": (Severity.NOTICE, "Đổi mật khẩu"),
    "second_factor_set": (Severity.NOTICE, "Bật xác thực hai bước"),
    "second_factor_removed": (Severity.NOTICE, "Tắt xác thực hai bước"),
    "second_factor_refused": (Severity.NOTICE, "Từ chối mã xác thực"),
    "second_factor_closed": (Severity.WARNING, "Xác thực hai bước bị đóng vì quá nhiều mã sai"),
    "recovery_code_used": (Severity.NOTICE, "Dùng mã khôi phục"),
    "app_password_added": (Severity.NOTICE, "Tạo mật khẩu ứng dụng"),
    "app_password_revoked": (Severity.NOTICE, "Thu hồi mật khẩu ứng dụng"),
    "web_password_refused": (Severity.NOTICE, "Từ chối mật khẩu mới"),
    "certificate_refused": (Severity.ERROR, "Chứng thư số không dùng được"),
    "certificate_ending": (Severity.WARNING, "Chứng thư số sắp hết hạn"),
    "certificate_key_open": (Severity.ERROR, "Khóa của chứng thư số người khác đọc được"),
    "dkim_key_signs": (Severity.NOTICE, "Khóa DKIM bắt đầu ký"),
    "dkim_key_unusable": (Severity.ERROR, "Khóa DKIM không dùng được"),
    "clock_stepped": (Severity.WARNING, "Đồng hồ máy chủ bị chỉnh"),
    "clock_untrusted": (Severity.ERROR, "Đồng hồ máy chủ không được tin cậy"),
    "files_left": (Severity.NOTICE, "Tệp lạ trong hộp thư"),
    "log_anchored": (Severity.INFORMATIONAL, "Niêm phong nhật ký"),
    "log_removal_failed": (Severity.ERROR, "Không xóa được nhật ký hết hạn"),
    "log_events_lost": (Severity.CRITICAL, "Mất sự kiện nhật ký"),
    "log_index_remade": (Severity.WARNING, "Chỉ mục nhật ký hỏng, lập lại"),
    "directory_unreadable": (Severity.CRITICAL, "Không đọc được danh bạ"),
    "reserve_given_up": (Severity.CRITICAL, "Đĩa đầy"),
    "reserve_not_made": (Severity.ERROR, "Đĩa không đủ chỗ dành sẵn"),
    "reserve_set_aside": (Severity.NOTICE, "Đĩa đã có lại chỗ dành sẵn"),
    "process_died": (Severity.ERROR, "Tiến trình dừng đột ngột"),
    "process_hung": (Severity.ERROR, "Tiến trình treo"),
    "process_failing": (Severity.CRITICAL, "Tiến trình không khởi động được"),
    "process_recovered": (Severity.NOTICE, "Tiến trình đã khởi động lại được"),
    "reload_refused": (Severity.ERROR, "Cấu hình mới bị từ chối"),
    "server_started": (Severity.NOTICE, "Máy chủ khởi động"),
    "server_stopped": (Severity.NOTICE, "Máy chủ dừng"),
    "syslog_missed": (Severity.CRITICAL, "Sự kiện chưa kịp gửi đã mất"),
}
"""Severity and readable text by event."""
ACT = Severity.NOTICE
REFUSED_ACT = Severity.WARNING


@dataclass(frozen=True, slots=True)
class Header:
    """The values common to all messages of one server."""

    hostname: str
    facility: int
    enterprise: str
    """The private enterprise number of the structured data (RFC 5424 §7.2.2)."""


def message(header: Header, fields: Mapping[str, object], where: str, process: str, *, most: int) -> bytes | None:
    """Return one message of at most `most` octets; None for a line that does not concern security."""
    described = _described(fields)
    if described is None:
        return None
    severity, name, told = described
    priority = header.facility * 8 + severity
    at = str(fields.get("at") or "-")
    head = f"<{priority}>1 {_printable(at, 32)} {_printable(header.hostname, 255)} {APP_NAME} {_printable(process, 128)} "
    head += _printable(name, 32)
    text = BOM + told.encode()
    data, told_fields = _data(f"mic@{header.enterprise}", fields, where, most - len(head) - len(text) - 2)
    if told_fields:
        text += f": {told_fields}".encode()
    return f"{head} ".encode() + data + b" " + _cut(text, most - len(head) - len(data) - 2)


def _described(fields: Mapping[str, object]) -> tuple[Severity, str, str] | None:
    act = fields.get("act")
    if isinstance(act, str):
        refused = act.endswith("_refused")
        return (REFUSED_ACT if refused else ACT), act, "Việc quản trị bị từ chối" if refused else "Việc quản trị"
    name = fields.get("event")
    row = SECURITY.get(name) if isinstance(name, str) else None
    return None if row is None or not isinstance(name, str) else (row[0], name, row[1])


def _data(sd_id: str, fields: Mapping[str, object], where: str, room: int) -> tuple[bytes, str]:
    """Return the structured data, with as many parameters as fit, and the same as readable text."""
    data, told = f'[{sd_id} id="{_value(where)}"'.encode(), list[str]()
    for name, value in fields.items():
        if name in _NOT_IN_THE_DATA or value is None or value == "":
            continue
        shown = visible(_plain(value))[:MOST_CHARACTERS]
        parameter = f' {_name(name)}="{_value(shown)}"'.encode()
        if len(data) + len(parameter) + 1 > room:
            continue
        data += parameter
        told.append(f"{_name(name)}={shown}")
    return data + b"]", " ".join(told)


def _plain(value: object) -> str:
    if isinstance(value, list):
        return ",".join(map(str, value[:MOST_ITEMS])) + (",..." if len(value) > MOST_ITEMS else "")
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, dict) and value.keys() == {"vi", "en"}:
        return str(value["en"])
    return str(value)


def visible(text: str) -> str:
    """Escape characters that a terminal or a line-wise reader would obey, and surrogates, as `\\u000a`."""
    if text.isascii() and text.isprintable():
        return text
    return "".join(f"\\u{ord(c):04x}" if category(c) in _ALWAYS_ESCAPED or c in _DIRECTIONS else c for c in text)


def _value(text: str) -> str:
    """Escape the three characters of RFC 5424 §6.3.3."""
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("]", "\\]")


def _name(text: str) -> str:
    """Return a parameter name but `id`: printable ASCII without `=`, space, `]`, `"`; 32 at most (RFC 5424 §6.3.2)."""
    kept = "".join(c for c in text if c.isascii() and (c.isalnum() or c in "_.-"))
    return kept[:32] if kept and kept != "id" else f"field_{kept}"


def _printable(text: str, most: int) -> str:
    return "".join(c for c in text if "!" <= c <= "~")[:most] or "-"


def _cut(text: bytes, most: int) -> bytes:
    """Cut to at most `most` octets, without splitting a character."""
    return text if len(text) <= most else text[:most].decode(errors="ignore").encode()


def framed(octets: bytes) -> bytes:
    """Frame a message with its length, so that nothing in it can begin another (RFC 6587 §3.4.1)."""
    return b"%d %s" % (len(octets), octets)
