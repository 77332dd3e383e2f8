"""What the index stores about a message, ready to be sent: ENVELOPE, BODY and BODYSTRUCTURE as IMAP writes them.

In: a `Scan`. Out: `Answers`. RFC 9051 §7.5.2 (and RFC 3501 §7.4.2, which is the same grammar).
Every answer is 7-bit; header text in raw 8-bit is written as RFC 2047 words, file names as RFC 2231 parameters.
"""

from dataclasses import dataclass

from mic_mail.mime.scanner import Scan


@dataclass(frozen=True, slots=True)
class Answers:
    """The rendered facts of one message; all `bytes` fields go onto the wire as they are."""

    size: int
    header: bytes
    """Raw header with its empty line; empty when longer than the scanner keeps (then cut it out of the file)."""
    envelope: bytes
    """`("date" "subject" ...)`, 7-bit."""
    envelope_utf8: bytes | None
    """The same for a session that enabled UTF8=ACCEPT (RFC 6855), only where it differs."""
    bodystructure: bytes
    body: bytes
    parts: bytes
    """The part table (`mime.parts`)."""
    sent_at: int | None
    """The Date field in seconds since the epoch, if it can be read."""
    attachment_octets: int
    message_id: bytes
    preview: str
    """At most 200 characters of readable text (RFC 8970)."""


def answers(scan: Scan) -> Answers:
    """Everything the index keeps about a scanned message."""
    raise NotImplementedError


def answers_of(message: bytes) -> Answers:
    """The same for a message that is in memory as a whole."""
    raise NotImplementedError
