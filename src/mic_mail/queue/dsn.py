"""The machine-readable parts of delivery reports (RFC 3464). Pure.

In: the message and the results of its recipients. Out: the parts of a multipart/report that follow its text: the status
fields, and the message or its header as it was sent. Addresses beyond ASCII make the first part
`message/global-delivery-status` (RFC 6533), in UTF-8; without them everything is ASCII.

Text from another server is quoted as one line, so that nothing in it can begin a field.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime

from mic_mail.i18n.spoken import unaccented
from mic_mail.mailbox_address import MailboxAddress
from mic_mail.mime.compose import Attachment, rfc_date
from mic_mail.mime.dsn_mdn import DsnAction
from mic_mail.mime.line_endings import has_bare
from mic_mail.mime.line_limits import check_lines
from mic_mail.mime.original_recipient import OriginalRecipient, decode_xtext

LONGEST_DIAGNOSTIC = 800
OUR_WORDS = "x-mic-mail"
"""The type of a diagnostic that comes from no server: `smtp` is for replies (RFC 3464 §2.3.6)."""
RETURNED_OCTETS = 128 << 10
"""The largest message that is returned whole; of a larger one only the header is."""
_COLUMNS = 76
_UNFIT = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]+")
_REPLY = re.compile(r"[2-5][0-9]{2} ")
_STATUS = re.compile(r"[245]\.[0-9]{1,3}\.[0-9]{1,3}")
_CLASS = {DsnAction.FAILED: "5", DsnAction.DELAYED: "4"}


@dataclass(frozen=True, slots=True)
class RecipientReport:
    """The result of one recipient."""

    address: MailboxAddress
    action: DsnAction
    status: str
    """The enhanced status code (RFC 3463)."""
    orcpt: OriginalRecipient | None = None
    diagnostic: str | None = None
    """The other server's reply, reply code first; else our own text."""
    server: str | None = None
    """The server that replied."""
    last_try: datetime | None = None
    retry_until: datetime | None = None


@dataclass(frozen=True, slots=True)
class ReportedMessage:
    """The message that is reported on."""

    envid: str | None
    """The ENVID parameter of MAIL, in xtext."""
    arrived_at: datetime
    content: bytes
    """The message as it was sent, without Return-Path."""
    ret: str | None = None
    """FULL or HDRS (RFC 3461 §4.3)."""


def parts(hostname: str, original: ReportedMessage, reports: Sequence[RecipientReport], *, utf8: bool) -> list[Attachment]:
    """Return the parts after the text; `utf8`: the reader understands UTF-8 in header fields (RFC 6532)."""
    return [_status(hostname, original, reports, utf8=utf8), _returned(original, reports, utf8=utf8)]


def _status(hostname: str, original: ReportedMessage, reports: Sequence[RecipientReport], *, utf8: bool) -> Attachment:
    groups = [_per_message(hostname, original), *(_per_recipient(report, utf8=utf8) for report in reports)]
    text = "\r\n".join("".join(group) for group in groups)
    kind = "message/delivery-status" if text.isascii() else "message/global-delivery-status"
    return Attachment("", kind, text.encode())


def _per_message(hostname: str, original: ReportedMessage) -> Iterator[str]:
    """Yield the per-message fields (RFC 3464 §2.2)."""
    if original.envid is not None:
        yield _exact("Original-Envelope-Id", decode_xtext(original.envid))
    yield _folded("Reporting-MTA", f"dns; {hostname}")
    yield _folded("Arrival-Date", rfc_date(original.arrived_at).decode())


def _per_recipient(report: RecipientReport, *, utf8: bool) -> Iterator[str]:
    """Yield the per-recipient fields (RFC 3464 §2.3)."""
    if report.orcpt is not None:
        yield _exact("Original-Recipient", report.orcpt.in_report(utf8=utf8))
    yield _exact("Final-Recipient", f"{report.address.type}; {report.address}")
    yield _folded("Action", report.action.value)
    yield _folded("Status", _status_of(report))
    if report.server is not None:
        yield _folded("Remote-MTA", f"dns; {report.server}")
    if report.diagnostic is not None:
        kind = "smtp" if _REPLY.match(report.diagnostic) else OUR_WORDS
        text = report.diagnostic[:LONGEST_DIAGNOSTIC]
        yield _folded("Diagnostic-Code", f"{kind}; {text if utf8 else unaccented(text)}")
    if report.last_try is not None:
        yield _folded("Last-Attempt-Date", rfc_date(report.last_try).decode())
    if report.action is DsnAction.DELAYED and report.retry_until is not None:
        yield _folded("Will-Retry-Until", rfc_date(report.retry_until).decode())


def _status_of(report: RecipientReport) -> str:
    """Return a status of the class that belongs to the action: readers believe one of the two (RFC 3464 §2.3.4)."""
    wanted = _CLASS.get(report.action, "2")
    return report.status if _STATUS.fullmatch(report.status) and report.status[0] == wanted else f"{wanted}.0.0"


def _returned(original: ReportedMessage, reports: Sequence[RecipientReport], *, utf8: bool) -> Attachment:
    """Return the whole message if a delivery failed and RET allows it, else its header (RFC 3461 §4.3).

    A message with 8-bit octets is returned whole only to a reader of UTF-8: message/rfc822 may not be encoded (RFC 2046
    §5.2.1), and the report may pass 7-bit servers. A message that DATA cannot carry (bare line ends, NUL, long lines) is
    not returned whole either.
    """
    header, _, body = original.content.partition(b"\r\n\r\n")
    failed = any(report.action is DsnAction.FAILED for report in reports)
    octets = original.content
    is_whole = failed and original.ret != "HDRS" and len(octets) <= RETURNED_OCTETS and (utf8 or octets.isascii())
    if is_whole and body and not has_bare(octets) and check_lines(octets).fault is None:
        return Attachment("", "message/rfc822" if octets.isascii() else "message/global", octets)
    kind = "message/global-headers" if utf8 and not header.isascii() else "text/rfc822-headers"
    return Attachment("", kind, header.removesuffix(b"\r\n") + b"\r\n")


def _exact(name: str, value: str) -> str:
    """Return a field in one line with its value, such as an address, unchanged."""
    return f"{name}: {value}\r\n"


def _folded(name: str, value: str) -> str:
    """Return a folded field; whitespace and control characters in the value become single spaces."""
    lines, line = [], f"{name}:"
    for word in _UNFIT.sub(" ", value).split():
        for piece in (word[at : at + 900] for at in range(0, len(word), 900)):
            if len(line) + 1 + len(piece) > _COLUMNS and not line.endswith(":"):
                lines.append(line)
                line = ""
            line += f" {piece}"
    return "\r\n".join([*lines, line]) + "\r\n"
