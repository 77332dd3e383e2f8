"""Messages that the server itself writes: notices, warnings, bounces.

In: header values and text. Out: the octets of a message: RFC 5322, CRLF, UTF-8 in NFC, lines of at most 76 columns on the
wire, ASCII header fields. Time and chance come in as arguments. RFC 3834 (Auto-Submitted), RFC 2047, RFC 2045.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True)
class Mailbox:
    """A display name (any letters) and an address."""

    name: str
    address: str


@dataclass(frozen=True, slots=True)
class Attachment:
    """A file or a machine-readable part; `content` is written as base64 unless it is plain 7-bit text of a message/* type."""

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
    reply_to: Mailbox | None = None,
    in_reply_to: str | None = None,
    attachments: Sequence[Attachment] = (),
    extra: Sequence[tuple[str, str]] = (),
) -> bytes:
    """One message ready for delivery; `date` is aware, `message_id` without angle brackets."""
    raise NotImplementedError


def bilingual(vietnamese: str, english: str) -> str:
    """Text in both languages: Vietnamese first, English below a rule."""
    raise NotImplementedError
