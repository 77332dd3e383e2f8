"""Table of all replies but EHLO's.

Codes and sentences in both languages (RFC 5321 §4.2, RFC 2034, RFC 3463).
Rows and nothing else; `replies` chooses the row and the language.
"""

from dataclasses import dataclass

from mic_mail.errors import Text
from mic_mail.i18n import messages
from mic_mail.services.transport.envelope import Cause


@dataclass(frozen=True, slots=True)
class ReplyRow:
    """One reply; `replies.reply` fills in `{names}`. A row without Vietnamese is for programs only."""

    status: str
    """The code and the enhanced code, as on the wire."""
    en: str
    vi: str = ""
    clause: str | None = None

    @property
    def code(self) -> int:
        return int(self.status[:3])

    @property
    def enhanced(self) -> str:
        return self.status[4:]


def _of_text(status: str, text: Text) -> ReplyRow:
    """Return the row of a sentence that IMAP uses, too."""
    return ReplyRow(status, text.en, text.vi)


_SENT = {
    "messages": Text("gửi {limit} thư", "sent {limit} messages"),
    "recipients": Text("gửi đến {limit} người nhận", "written to {limit} recipients"),
    "octets": Text("gửi {limit} MB", "sent {limit} MB"),
}
_WITHIN = {"hour": Text("một giờ", "an hour"), "day": Text("24 giờ", "24 hours")}

TABLE: dict[str, ReplyRow] = {
    # the connection
    "greeting": ReplyRow("220", "{hostname} ESMTP mic-mail"),
    "busy": ReplyRow("421 4.7.0", "Too many connections; try again later.", "Quá nhiều kết nối; đề nghị thử lại sau."),
    "timeout": ReplyRow("421 4.4.2", "Timeout; closing the connection."),
    "too-slow": ReplyRow("421 4.4.2", "The message arrives too slowly; closing the connection."),
    "shutdown": ReplyRow("421 4.3.2", "The server is shutting down; try again in a moment."),
    "no-room": ReplyRow("421 4.7.0", "Too many connections; try again later.", "Quá nhiều kết nối; đề nghị thử lại sau."),
    "signed-out": ReplyRow(
        "421 4.7.0",
        "This mailbox may no longer be used; sign in again to see why.",
        "Hộp thư không còn được sử dụng trong phiên này; đề nghị đăng nhập lại để biết lý do.",
    ),
    "failed": ReplyRow("421 4.3.0", "Server error; try again later.", "Máy chủ gặp lỗi; đề nghị thử lại sau."),
    "too-many-errors": ReplyRow("421 4.7.0", "Too many errors; closing the connection."),
    "too-many-messages": ReplyRow("421 4.7.0", "Too many messages on one connection; connect again."),
    "bye": ReplyRow("221 2.0.0", "Goodbye."),
    # any command
    "ok": ReplyRow("250 2.0.0", "OK."),
    "sender-ok": ReplyRow("250 2.1.0", "Sender accepted."),
    "recipient-ok": ReplyRow("250 2.1.5", "Recipient accepted."),
    "chunk-ok": ReplyRow("250 2.0.0", "{octets} octets received."),
    "data": ReplyRow("354", "Send the message, end it with <CRLF>.<CRLF>"),
    "unknown-command": ReplyRow("500 5.5.2", "Unknown command."),
    "not-here": ReplyRow("502 5.5.1", "Command not available here."),
    "line-too-long": ReplyRow("500 5.5.2", "The line is too long."),
    "bare-line-end-in-command": ReplyRow(
        "521 5.5.2", "Lines end with CRLF, never with LF alone (RFC 5321, 2.3.8); closing the connection."
    ),
    "no-web-page": ReplyRow("521 5.5.2", "This is a mail server (SMTP), not a web page; closing the connection."),
    "bad-sequence": ReplyRow("503 5.5.1", "Not now: {hint}."),
    "no-recipients": ReplyRow("554 5.5.1", "No recipient was accepted.", "Không có người nhận nào được chấp nhận."),
    "verify": ReplyRow("252 2.0.0", "Addresses are not verified here; send the message."),
    "help": ReplyRow("214 2.0.0", "See RFC 5321. Contact {support}."),
    # syntax: the names are those of `grammar.Fault`
    "syntax": ReplyRow("501 5.5.2", "Syntax error."),
    "no-argument": ReplyRow("501 5.5.4", "This command takes no argument."),
    "bad-helo": ReplyRow("501 5.5.4", "A host name is required."),
    "bad-sender": ReplyRow("501 5.1.7", "Invalid sender address.", "Địa chỉ người gửi không hợp lệ."),
    "bad-recipient": ReplyRow("501 5.1.3", "Invalid recipient address.", "Địa chỉ người nhận không hợp lệ."),
    "bad-parameter": ReplyRow("501 5.5.4", "Invalid parameter {detail}."),
    "unknown-parameter": ReplyRow("555 5.5.4", "Unknown parameter {detail}."),
    "needs-smtputf8": ReplyRow(
        "553 5.6.7",
        "An address with non-ASCII letters needs SMTPUTF8.",
        "Địa chỉ có chữ ngoài ASCII cần SMTPUTF8.",
    ),
    "needs-chunking": ReplyRow("503 5.5.1", "BODY=BINARYMIME needs BDAT (RFC 3030)."),
    "no-binary": ReplyRow("501 5.6.1", "BODY=BINARYMIME is not supported here."),
    # TLS and sign-in
    "start-tls": ReplyRow("220 2.0.0", "Begin TLS."),
    "tls-unavailable": ReplyRow("454 4.7.0", "TLS is not available now.", "Hiện không có TLS."),
    "tls-first": ReplyRow("530 5.7.0", "Start TLS first (STARTTLS).", "Đề nghị bật SSL/TLS hoặc STARTTLS trong phần mềm thư."),
    "auth-needs-tls": ReplyRow(
        "538 5.7.11", "Sign-in needs an encrypted connection.", "Chỉ được đăng nhập qua kết nối mã hóa."
    ),
    "auth-first": ReplyRow("530 5.7.0", "Sign in first.", "Đề nghị đăng nhập trước khi gửi thư."),
    "auth-mechanism": ReplyRow("504 5.5.4", "Authentication mechanism not supported."),
    "auth-no-mechanism": ReplyRow("501 5.5.4", "AUTH needs a mechanism."),
    "auth-cancelled": ReplyRow("501 5.7.0", "Sign-in cancelled."),
    "auth-syntax": ReplyRow("501 5.5.2", "This is not base64."),
    "auth-line-too-long": ReplyRow("500 5.5.6", "The sign-in data is too long."),
    "signed-in": ReplyRow("235 2.7.0", "Signed in."),
    # the envelope
    "too-many-recipients": ReplyRow(
        "452 4.5.3",
        "Too many recipients; send the rest in another message.",
        "Quá nhiều người nhận; đề nghị gửi phần còn lại trong thư khác.",
    ),
    Cause.NO_SUCH_MAILBOX: ReplyRow("550 5.1.1", "No such mailbox: {address}.", "Không có hộp thư {address}."),
    Cause.RECLAIMED: ReplyRow(
        "550 5.2.1",
        "Mailbox {address} is no longer in use ({clause}).",
        "Hộp thư {address} đã được thu hồi theo {clause}.",
        "6.4.c",
    ),
    Cause.RECLAIMED_ON_REQUEST: ReplyRow(
        "550 5.2.1",
        "Mailbox {address} is no longer in use ({clause}).",
        "Hộp thư {address} đã được thu hồi theo {clause}.",
        "6.2",
    ),
    Cause.RELAY_DENIED: ReplyRow(
        "550 5.7.1",
        "This server does not accept mail for {address}.",
        "Máy chủ này không nhận thư gửi đến {address}.",
    ),
    Cause.BAD_DOMAIN: ReplyRow(
        "550 5.1.2",
        "No mail can be sent to {address}: the domain does not exist.",
        "Không gửi được thư tới {address}: tên miền không hợp lệ.",
    ),
    Cause.OVER_QUOTA: ReplyRow(
        "452 4.2.2",
        "Mailbox {address} is full ({clause}); try again later.",
        "Hộp thư {address} đã hết dung lượng ({clause}); đề nghị gửi lại sau.",
        "8.3.b",
    ),
    "over-quota-for-good": ReplyRow(
        "552 5.2.2",
        "Mailbox {address} is full ({clause}); contact the recipient by other means.",
        "Hộp thư {address} đã hết dung lượng ({clause}); đề nghị liên hệ người nhận bằng phương thức khác.",
        "8.3.b",
    ),
    Cause.ONE_IS_FULL: ReplyRow(
        "452 4.2.2",
        "Mailbox {address}, one of the recipients, is full ({clause}); try again later, or send to the others only.",
        "Hộp thư {address} trong số người nhận đã hết dung lượng ({clause}); đề nghị gửi lại sau hoặc bỏ địa chỉ này.",
        "8.3.b",
    ),
    Cause.NOT_SIGNED_IN: ReplyRow("530 5.7.0", "Sign in first.", "Đề nghị đăng nhập trước khi gửi thư."),
    Cause.SENDER_NOT_YOURS: ReplyRow(
        "550 5.7.1",
        "{address} is not an address of your mailbox ({clause}); send as yourself.",
        "Địa chỉ {address} không thuộc hộp thư của Ông/Bà; chỉ được gửi thư bằng địa chỉ của mình ({clause}).",
        "4.3",
    ),
    **{
        f"{Cause.SENDING_RATE}-{what}-{span}": ReplyRow(
            "450 4.7.1",
            f"Your mailbox has {done.en} within {time.en}, the maximum allowed; sending is possible again from {{room}}.",
            f"Hộp thư của Ông/Bà đã {done.vi} trong {time.vi}, mức tối đa cho phép; có thể gửi tiếp từ {{room}}.",
        )
        for what, done in _SENT.items()
        for span, time in _WITHIN.items()
    },
    # Thunderbird and Outlook answer a refused sign-in by asking for the password again and again, but show the text of a
    # refused MAIL. So a send-locked mailbox can sign in and is refused here.
    Cause.SEND_LOCKED: ReplyRow(
        "550 5.7.1",
        "Sending is locked for this mailbox ({clause}).",
        "Chức năng gửi thư của hộp thư này bị khóa theo {clause}.",
        "6.4.c",
    ),
    Cause.SUSPENDED: ReplyRow(
        "525 5.7.13", "The mailbox is suspended ({clause}).", "Hộp thư bị tạm khóa theo {clause}.", "7.1"
    ),
    Cause.PASSWORD_DUE: ReplyRow(
        "534 5.7.9",
        "The password has to be changed first ({clause}).",
        "Phải đổi mật khẩu trước khi gửi thư ({clause}).",
        "7.3.c",
    ),
    # the message
    "accepted": ReplyRow("250 2.6.0", "Message accepted, reference {trace_id}", "Đã nhận thư, mã {trace_id}"),
    Cause.ATTACHMENTS_TOO_LARGE: ReplyRow(
        "552 5.3.4",
        "Not sent: the attachments add up to {size} MB, more than the maximum of {limit} MB a message ({clause}).",
        "Thư không được gửi: tổng kích cỡ tệp gửi kèm là {size} MB, vượt mức tối đa {limit} MB/thư điện tử theo {clause}.",
        "8.3.b",
    ),
    Cause.MESSAGE_TOO_LARGE: ReplyRow(
        "552 5.3.4",
        "Not sent: the message is larger than {size} MB; attachments may add up to {limit} MB ({clause}).",
        "Thư không được gửi: thư vượt quá {size} MB; tổng kích cỡ tệp gửi kèm tối đa {limit} MB theo {clause}.",
        "8.3.b",
    ),
    Cause.HEADER_TOO_LARGE: ReplyRow(
        "552 5.3.4",
        "Not sent: the header of the message is too large.",
        "Thư không được gửi: phần tiêu đề thư quá lớn.",
    ),
    Cause.NO_VALID_AUTHOR: ReplyRow(
        "550 5.6.0",
        "Not sent: {field} must name exactly one author.",
        "Thư không được gửi: trường {field} không ghi địa chỉ người gửi, hoặc ghi quá nhiều.",
    ),
    Cause.AUTHOR_TWICE: ReplyRow(
        "550 5.6.0",
        "Not sent: the message has the field {field} more than once.",
        "Thư không được gửi: thư có nhiều hơn một trường {field}.",
    ),
    Cause.AUTHOR_UNREADABLE: ReplyRow(
        "550 5.6.0",
        'Not sent: {field} can be read in more than one way; write "Name" <address>, the name in quotes.',
        'Thư không được gửi: trường {field} hiểu được theo nhiều cách; đề nghị ghi "Họ tên" <địa chỉ>, họ tên trong ngoặc kép.',
    ),
    Cause.HEADER_UNREADABLE: ReplyRow(
        "550 5.6.0",
        "Not sent: the header of the message contains control characters, or lines that are not fields.",
        "Thư không được gửi: phần tiêu đề thư có ký tự điều khiển hoặc dòng không đúng định dạng.",
    ),
    Cause.NAME_NOT_YOURS: ReplyRow(
        "550 5.7.1",
        "Not sent: the name of the sender shows {address}, which is not an address of your mailbox ({clause}).",
        "Thư không được gửi: tên người gửi có ghi {address}, không phải địa chỉ của hộp thư Ông/Bà ({clause}).",
        "4.3",
    ),
    Cause.MARKED_SECRET: _of_text("550 5.7.1", messages.MARKED_SECRET),  # Reg. 4.1
    Cause.MALWARE: ReplyRow(
        "550 5.7.1",
        "The message contains malware ({malware}) and is not accepted ({clause}); check the machine that sent it.",
        "Thư có mã độc ({malware}) nên không được nhận ({clause}); đề nghị kiểm tra máy đã gửi.",
        "10.2",
    ),
    Cause.NOT_SCANNED: ReplyRow(
        "451 4.7.1",
        "The message cannot be checked for malware now ({clause}); try again later.",
        "Chưa quét được mã độc trong thư ({clause}); đề nghị gửi lại sau.",
        "10.2",
    ),
    Cause.FORGED: ReplyRow(
        "550 5.7.1",
        "Not accepted: the message claims a sender of {domain}, but nothing authenticates it ({clause}).",
        "Không nhận thư: thư ghi người gửi thuộc {domain} nhưng không có gì chứng thực là gửi từ đó ({clause}).",
        "10.2",
    ),
    Cause.NOT_OF_AUTHOR: ReplyRow(  # RFC 7372 §3.4, §4: more than one check failed; RFC 7489 §10.3
        "550 5.7.26",
        "Not accepted: neither SPF nor DKIM authenticates the message for {domain}, which asks to refuse such mail ({clause}).",
        "Không nhận thư: SPF và DKIM không chứng thực thư thuộc {domain}; tên miền này yêu cầu từ chối thư như vậy ({clause}).",
        "10.2",
    ),
    Cause.LISTED: ReplyRow(
        "550 5.7.1",
        "The server at {address} is listed in {zone} as a source of spam ({clause}); contact the owner of that server.",
        "Máy chủ {address} nằm trong danh sách gửi thư rác {zone} ({clause}); đề nghị liên hệ bên quản lý máy chủ đó.",
        "10.2",
    ),
    Cause.NOT_JUDGED: ReplyRow(
        "451 4.7.1",
        "The sender of the message cannot be authenticated now ({clause}); try again later.",
        "Chưa xác định được thư do ai gửi ({clause}); đề nghị gửi lại sau.",
        "10.2",
    ),
    Cause.NOT_INSPECTED: _of_text("550 5.7.1", messages.NOT_INSPECTED),
    Cause.TOO_MUCH_TO_INSPECT: _of_text("550 5.7.1", messages.TOO_MUCH_TO_INSPECT),
    Cause.NOT_INSPECTED_NOW: _of_text("451 4.7.0", messages.NOT_INSPECTED_NOW),
    Cause.SPAM: ReplyRow(
        "550 5.7.1",
        "The message looks like spam and is not taken ({clause}). If this is a mistake, write again without links "
        "and attachments.",
        "Thư bị coi là thư rác nên không được nhận ({clause}). Nếu có nhầm lẫn, đề nghị gửi lại thư không kèm tệp và liên kết.",
        "10.2",
    ),
    Cause.SPAM_SENT: ReplyRow(
        "550 5.7.1",
        "Not sent: the filter takes the message for spam ({clause}); mailboxes that send spam are suspended.",
        "Thư không được gửi: bộ lọc coi là thư rác ({clause}); hộp thư phát tán thư rác bị tạm khóa.",
        "7.2.c",
    ),
    Cause.PUT_OFF: ReplyRow(
        "451 4.7.1",
        "The filter asks to send the message again in some minutes ({clause}).",
        "Bộ lọc đề nghị gửi lại thư sau ít phút ({clause}).",
        "10.2",
    ),
    Cause.NOT_SCORED: ReplyRow(
        "451 4.7.1",
        "The message cannot be checked for spam now ({clause}); try again later.",
        "Chưa kiểm tra được thư rác ({clause}); đề nghị gửi lại sau.",
        "10.2",
    ),
    Cause.LOOP: ReplyRow(
        "554 5.4.6", "The message goes in a circle (too many Received lines).", "Thư bị chuyển vòng giữa các máy chủ."
    ),
    Cause.BARE_LINE_END: ReplyRow(
        "550 5.6.0",
        "Not accepted: the message holds CR or LF alone; lines end with CRLF (RFC 5321, 2.3.8).",
        "Không nhận thư: thư có ký tự CR hoặc LF đứng riêng; mỗi dòng phải kết thúc bằng CRLF (RFC 5321, 2.3.8).",
    ),
    Cause.NUL_OCTET: ReplyRow(
        "550 5.6.0",
        "Not sent: line {line} of the message holds a NUL octet, which mail must not hold (RFC 5322, 4).",
        "Thư không được gửi: dòng {line} của thư có ký tự NUL, không được phép trong thư điện tử (RFC 5322, mục 4).",
    ),
    Cause.TEXT_LINE_TOO_LONG: ReplyRow(
        "550 5.6.0",
        "Not sent: line {line} of the message is longer than 998 octets, which other mail servers do not take (RFC 5321, "
        "4.5.3.1.6); the mail program should encode the text as quoted-printable or base64.",
        "Thư không được gửi: dòng {line} của thư dài quá 998 octet, máy chủ thư khác không nhận (RFC 5321, mục 4.5.3.1.6); "
        "đề nghị đặt phần mềm thư mã hóa nội dung bằng quoted-printable hoặc base64.",
    ),
    Cause.DISK_FULL: ReplyRow(
        "452 4.3.1", "No room on the server now; try again later.", "Máy chủ tạm hết chỗ; đề nghị gửi lại sau."
    ),
    Cause.UNAVAILABLE: ReplyRow(
        "451 4.3.0", "Temporarily unavailable; try again later.", "Hệ thống tạm thời không xử lý được; đề nghị gửi lại sau."
    ),
}
"""All replies but EHLO's; the code's first digit alone says whether a refusal is temporary."""

SILENT = frozenset({220, 221, 214, 235, 250, 252, 354, 421, 500, 501, 502, 503, 504, 555})
"""Codes for a program's mistake or success: they carry no support contact."""

SIGN_IN: dict[str, tuple[int, str]] = {
    "wrong-credentials": (535, "5.7.8"),
    "reclaimed": (535, "5.7.8"),  # as if it did not exist
    "suspended": (525, "5.7.13"),
    "password-due": (534, "5.7.9"),
    "send-locked": (550, "5.7.1"),
    "too-many": (421, "4.7.0"),
    "unavailable": (454, "4.7.0"),
    "tls-required": (538, "5.7.11"),
    "bad-mechanism": (504, "5.5.4"),
    "malformed": (501, "5.5.2"),
    "not-authorised": (550, "5.7.1"),
    "not-here": (534, "5.7.9"),
}
"""Codes of a refused sign-in by `refusals.RefusalKind` (RFC 4954 §6).

525 5.7.13 is registered for disabled accounts.
"""
