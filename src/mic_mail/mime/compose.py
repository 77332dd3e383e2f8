"""Compose the messages that the server itself writes: notices, warnings, bounces.

In: header values and text. Out: the octets of a message: RFC 5322, CRLF, text in UTF-8 and NFC as quoted-printable, so 7-bit
with lines of at most 76 columns, ASCII header fields. A line end in a header value becomes a space, so no argument can add a
field. Time and randomness are arguments. RFC 2045, RFC 2047, RFC 2231, RFC 3834 (Auto-Submitted), RFC 6522 (reports).
"""

import binascii
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256

from mic_mail.mailbox_address import MailboxAddress
from mic_mail.mime.encoded_words import compose_letters, encode_words
from mic_mail.mime.headers import percent_encode
from mic_mail.mime.line_endings import has_bare

_COLUMNS = 76
_LONGEST_ID = 900
"""Octets; a Message-ID cannot be folded, and a line has at most 998 octets (RFC 5322 §2.1.1)."""
_NAME_ROOM = 62
"""Columns for the first word of a display name, after the longest field name that takes one."""
_DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_CONTROLS = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]+")
"""Line ends of some programs, and terminal controls: notices quote names and replies of others."""
_CONTROLS_IN_TEXT = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]+")
"""Control characters within a line of text, where a tab is allowed."""
_ATOMS = re.compile(rb"[A-Za-z0-9!#$%&'*+/=?^_`{|}~ -]*")
_PERCENT_OR_OCTET = re.compile(rb"%..|.")
_SECTION = 60


@dataclass(frozen=True, slots=True)
class Mailbox:
    """A display name (any characters) and an address."""

    name: str
    address: MailboxAddress


@dataclass(frozen=True, slots=True)
class Attachment:
    """A file, or a machine-readable part (`filename` empty).

    Encoded as base64, except that 7-bit message/* parts with CRLF lines are included unchanged.
    """

    filename: str
    content_type: str
    content: bytes


def compose(
    *,
    sender: Mailbox,
    to: Sequence[Mailbox],
    subject: str,
    text: str,
    date: datetime,
    message_id: str,
    auto_submitted: str | None = "auto-generated",
    in_reply_to: str | None = None,
    attachments: Sequence[Attachment] = (),
    report_type: str | None = None,
    extra: Sequence[tuple[str, str]] = (),
) -> bytes:
    """Compose one message ready for delivery.

    `date` is aware, `message_id` and `in_reply_to` have no angle brackets. An `in_reply_to` that does not fit into a line is
    left out, as it comes from an untrusted message.

    With `report_type` ("delivery-status"), text and attachments become a multipart/report (RFC 6522).
    """
    fields = [
        _field("Date", [rfc_date(date)]),
        _field("From", _mailbox(sender)),
        _field("To", _list(to)),
        _text_field("Subject", subject),
        _field("Message-ID", [_ascii(f"<{message_id}>")]),
    ]
    if in_reply_to is not None and len(in_reply_to) <= _LONGEST_ID:
        fields += [_field(name, [_ascii(f"<{in_reply_to}>")]) for name in ("In-Reply-To", "References")]
    if auto_submitted is not None:
        fields.append(_field("Auto-Submitted", [_ascii(auto_submitted)]))
    fields += [_text_field(name, value) for name, value in extra]
    fields.append(b"MIME-Version: 1.0\r\n")
    body = _text_part(text)
    if attachments:
        kind = f'multipart/report; report-type="{report_type}"' if report_type else "multipart/mixed"
        body = _multipart(kind, [body, *map(_attachment, attachments)], message_id)
    return b"".join(fields) + body


def bilingual(vietnamese: str, english: str) -> str:
    """Join a text in both languages: Vietnamese first, English below a rule."""
    return f"{vietnamese.strip()}\n\n{'-' * 40}\n\n{english.strip()}\n"


# --- header -----------------------------------------------------------------------------------------------------------


def _field(name: str, words: Iterable[bytes]) -> bytes:
    """Format a field, folded between words (RFC 5322 §2.2.3)."""
    lines: list[bytes] = []
    line = _ascii(name) + b":"
    for word in words:
        if len(line) + 1 + len(word) > _COLUMNS and not line.endswith(b":"):
            lines.append(line)
            line = b""
        line += b" " + word
    return b"\r\n".join([*lines, line]) + b"\r\n"


def _text_field(name: str, text: str) -> bytes:
    """Format an unstructured field."""
    return _field(name, _words(text, room=_COLUMNS - len(name) - 2))


def _clean(text: str) -> str:
    return _CONTROLS.sub(" ", compose_letters(text)).strip()


def _ascii(text: str) -> bytes:
    return _clean(text).encode("ascii", "replace")


def _words(text: str, *, room: int) -> list[bytes]:
    """Split text into words between which lines may be folded; the first line has `room` columns left."""
    text = _clean(text)
    words = encode_words(text, first=room).split(b" ")
    return words if max(map(len, words)) <= room else encode_words(text, always=True, first=room).split(b" ")


def _list(mailboxes: Sequence[Mailbox]) -> list[bytes]:
    """Format an address list (RFC 5322 §3.4); a notice without recipients gets an empty group."""
    words: list[bytes] = []
    for mailbox in mailboxes:
        if words:
            words[-1] += b","
        words += _mailbox(mailbox)
    return words or [b"undisclosed-recipients:;"]


def _mailbox(mailbox: Mailbox) -> list[bytes]:
    address = str(mailbox.address).encode()
    words = _words(mailbox.name, room=_NAME_ROOM)
    name = b" ".join(words)
    if not name:
        return [address]
    if not name.startswith(b"=?") and not _ATOMS.fullmatch(name):
        quoted = b'"%b"' % re.sub(rb"([\"\\])", rb"\\\1", name)
        words = (
            [quoted]
            if len(quoted) <= _NAME_ROOM
            else encode_words(_clean(mailbox.name), always=True, first=_NAME_ROOM).split(b" ")
        )
    return [*words, b"<%b>" % address]


def rfc_date(date: datetime) -> bytes:
    """Format a date as RFC 5322 §3.3 requires, independent of the locale."""
    offset = date.utcoffset()
    minutes = int(offset.total_seconds()) // 60 if offset is not None else 0
    zone = f"{'-' if minutes < 0 else '+'}{abs(minutes) // 60:02}{abs(minutes) % 60:02}"
    day = f"{_DAYS[date.weekday()]}, {date.day} {_MONTHS[date.month - 1]} {date.year:04}"
    return f"{day} {date.hour:02}:{date.minute:02}:{date.second:02} {zone}".encode("ascii")


# --- body -------------------------------------------------------------------------------------------------------------


def _text_part(text: str) -> bytes:
    lines = compose_letters(text).splitlines()
    octets = b"".join([_CONTROLS_IN_TEXT.sub(" ", line).encode("utf-8", "replace") + b"\r\n" for line in lines]) or b"\r\n"
    if octets.isascii() and max(map(len, octets.split(b"\r\n"))) <= _COLUMNS and b"\0" not in octets:
        return b"Content-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 7bit\r\n\r\n" + octets
    encoded = binascii.b2a_qp(octets, istext=True)
    return b"Content-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n" + encoded


def _attachment(attachment: Attachment) -> bytes:
    content = attachment.content
    kind = _ascii(attachment.content_type)
    as_it_is = kind.lower().startswith(b"message/") and content.isascii() and b"\0" not in content and not has_bare(content)
    head = _field("Content-Type", [kind])
    if attachment.filename:
        head += _field("Content-Disposition", [b"attachment;", *_filename(attachment.filename)])
    if as_it_is:
        return head + b"Content-Transfer-Encoding: 7bit\r\n\r\n" + content
    return head + b"Content-Transfer-Encoding: base64\r\n\r\n" + _base64(content)


def _filename(name: str) -> list[bytes]:
    """Format the filename parameter, in RFC 2231 sections where it is not plain ASCII."""
    octets = _clean(name).encode("utf-8", "replace")
    if octets.isascii() and len(octets) <= _SECTION:
        return [b'filename="%b"' % re.sub(rb"([\"\\])", rb"\\\1", octets)]
    sections = [b"utf-8''"]
    for piece in _PERCENT_OR_OCTET.findall(percent_encode(octets)):
        if len(sections[-1]) + len(piece) > _SECTION:
            sections.append(b"")
        sections[-1] += piece
    if len(sections) == 1:
        return [b"filename*=" + sections[0]]
    last = len(sections) - 1
    return [b"filename*%d*=%b%b" % (number, section, b";" if number < last else b"") for number, section in enumerate(sections)]


def _base64(content: bytes) -> bytes:
    step = _COLUMNS // 4 * 3
    lines = [binascii.b2a_base64(content[start : start + step], newline=False) for start in range(0, len(content), step)]
    return b"\r\n".join(lines) + b"\r\n"


def _multipart(kind: str, parts: Sequence[bytes], seed: str) -> bytes:
    """Join parts into a multipart (RFC 2046 §5.1) with a boundary, derived from `seed`, that is in none."""
    boundary = b"=_" + sha256(seed.encode("utf-8")).hexdigest()[:24].encode("ascii")
    while any(boundary in part for part in parts):
        boundary += b"x"
    head = b'Content-Type: %b;\r\n boundary="%b"\r\n\r\n' % (_ascii(kind), boundary)
    return head + b"".join([b"--%b\r\n%b\r\n" % (boundary, part) for part in parts]) + b"--%b--\r\n" % boundary
