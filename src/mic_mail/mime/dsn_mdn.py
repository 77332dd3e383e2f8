"""Read reports of other servers and mail programs: delivery (RFC 3464) and disposition (RFC 8098).

In: the octets of a message declared as multipart/report (RFC 6522), or its beginning. Out: a `DeliveryReport` or a
`DispositionReport`, or None where it is neither. Never raises; time and memory are bounded by the scanner's limits and those
below, for any input.

A report is not evidence: anyone can write such a message. Text shown from it has to say so.
Addresses may be in the form of RFC 6533 (`utf-8;`), field names in any case, parts in any transfer encoding.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum

from mic_mail.mailbox_address import MailboxAddress, NotAnAddress
from mic_mail.mime.encodings import decode
from mic_mail.mime.headers import fields, strip_comments, unfold
from mic_mail.mime.original_recipient import decode_utf8_recipient
from mic_mail.mime.scanner import Scanner
from mic_mail.mime.structure import Part

MOST_OCTETS = 512 << 10
"""Octets of a report that are read; the report precedes the returned message."""
MOST_RECIPIENTS = 500
_MOST_PARTS = 50
_MOST_STATUS_OCTETS = 256 << 10
_LONGEST = 800
"""Characters of a value that are kept."""

_GROUPS = re.compile(rb"\r?\n(?:[ \t]*\r?\n)+")
_MESSAGE_ID = re.compile(r"<[^<>\s]+>")
_CODE = re.compile(r"[245]\.[0-9]{1,3}\.[0-9]{1,3}")
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]+")
_STATUS = frozenset({b"delivery-status", b"global-delivery-status"})
_DISPOSITION = frozenset({b"disposition-notification", b"global-disposition-notification"})
_HEADERS = frozenset({b"rfc822-headers", b"global-headers", b"rfc822", b"global"})
"""Parts that begin with the returned message's header; the last two are encoded, or in UTF-8."""


class DsnAction(StrEnum):
    """The Action field (RFC 3464 §2.3.3)."""

    FAILED = "failed"
    DELAYED = "delayed"
    DELIVERED = "delivered"
    RELAYED = "relayed"
    EXPANDED = "expanded"


@dataclass(frozen=True, slots=True)
class RecipientStatus:
    """The report on one recipient; addresses in lower case."""

    original: str
    """As the sender wrote it, where reported; else as `final`."""
    final: str
    action: DsnAction
    status: str
    """An enhanced status code such as 5.1.1; empty where none was given."""
    diagnostic: str


@dataclass(frozen=True, slots=True)
class DeliveryReport:
    """A delivery status notification."""

    envelope_id: str
    """ENVID of the submission (RFC 3461 §4.4), empty where none was given."""
    message_ids: frozenset[str]
    """Message-IDs of the returned message, with brackets; empty if it is not included."""
    recipients: tuple[RecipientStatus, ...]


@dataclass(frozen=True, slots=True)
class DispositionReport:
    """A message disposition notification: displayed, deleted, ..."""

    message_ids: frozenset[str]
    recipient: str
    disposition: str
    """The type, in lower case: displayed, deleted, dispatched, processed."""
    automatic: bool
    """Sent without the user's consent (`automatic-action` or `MDN-sent-automatically`)."""


def read_report(octets: bytes) -> DeliveryReport | DispositionReport | None:
    """Return the report in a message, or None."""
    octets = octets[:MOST_OCTETS]
    scanner = Scanner()
    scanner.feed(octets)
    parts = list(_parts(scanner.finish().root))
    for part in parts:
        if part.maintype == b"message" and part.subtype in _DISPOSITION:
            return _disposition(_content(octets, part))
    for part in parts:
        if part.maintype == b"message" and part.subtype in _STATUS:
            return _delivery(_content(octets, part), _returned(octets, parts))
    return None


def _parts(root: Part) -> Iterator[Part]:
    """Yield the parts in reading order, without those within a returned message."""
    waiting, given = [root], 0
    while waiting and given < _MOST_PARTS:
        part = waiting.pop()
        given += 1
        yield part
        if not part.is_message:
            waiting.extend(reversed(part.children))


def _content(octets: bytes, part: Part) -> bytes:
    raw = octets[part.body_start : min(part.body_end, part.body_start + _MOST_STATUS_OCTETS)]
    return decode(raw, part.encoding.decode("ascii", "replace"))


def _returned(octets: bytes, parts: list[Part]) -> frozenset[str]:
    """Return the Message-IDs of the returned message, or of its header."""
    for part in parts:
        if part.is_message and part.children:
            found = _ids(_text(part.children[0].fields.get(b"message-id", b"")))
        elif part.subtype in _HEADERS:
            header = _GROUPS.split(_content(octets, part).lstrip(b"\r\n"), maxsplit=1)[0]
            found = _ids(_first(header).get("message-id", ""))
        else:
            continue
        if found:
            return found
    return frozenset()


def _delivery(content: bytes, message_ids: frozenset[str]) -> DeliveryReport:
    """Parse message fields and a group of fields for each recipient (RFC 3464 §2.1)."""
    groups = [_first(group) for group in _GROUPS.split(content.strip(b"\r\n"), maxsplit=MOST_RECIPIENTS + 1) if group]
    envelope_id = groups[0].get("original-envelope-id", "") if groups else ""
    named = (_recipient(group) for group in groups[: MOST_RECIPIENTS + 1])
    return DeliveryReport(envelope_id, message_ids, tuple(each for each in named if each is not None))


def _recipient(group: Mapping[str, str]) -> RecipientStatus | None:
    """Parse one group; None for the fields of the message, and for a group without a usable status."""
    final = _address(group.get("final-recipient", ""))
    original = _address(group.get("original-recipient", ""))
    word = _text(strip_comments(group.get("action", "").encode())).lower()
    if word not in _ACTIONS or not (final or original):
        return None
    code = _CODE.search(group.get("status", ""))
    diagnostic = group.get("diagnostic-code", "").partition(";")
    text = diagnostic[2].strip() or diagnostic[0].strip()
    return RecipientStatus(original or final, final or original, DsnAction(word), code[0] if code else "", text)


_ACTIONS = frozenset(DsnAction)


def _disposition(content: bytes) -> DispositionReport | None:
    """Parse one group of fields (RFC 8098 §3.1)."""
    group = _first(content.strip(b"\r\n"))
    mode, _, kind = group.get("disposition", "").partition(";")
    word = re.split(r"[/,\s]", kind.strip().lower(), maxsplit=1)[0]
    if not word:
        return None
    recipient = _address(group.get("original-recipient", "")) or _address(group.get("final-recipient", ""))
    automatic = "automatic-action" in mode.lower() or "mdn-sent-automatically" in mode.lower()
    return DispositionReport(_ids(group.get("original-message-id", "")), recipient, word, automatic)


def _first(group: bytes) -> dict[str, str]:
    """Return the first field of each name, as text."""
    found: dict[str, str] = {}
    for name, value in fields(group.lstrip(b"\r\n")):
        found.setdefault(name.decode("ascii", "replace"), _text(unfold(value)))
    return found


def _address(value: str) -> str:
    """Return the address after the type, in lower case.

    A valid address is in its canonical form; any other text loses its comments.
    """
    kind, semicolon, written = value.partition(";")
    written = (written if semicolon else kind).strip(" ").removeprefix("<").removesuffix(">")
    if semicolon and kind.strip().lower() == "utf-8":
        written = decode_utf8_recipient(written)
    try:
        return MailboxAddress.parse(written).folded()
    except NotAnAddress:
        return _text(strip_comments(written.encode())).removeprefix("<").removesuffix(">").strip().lower()


def _ids(value: str) -> frozenset[str]:
    return frozenset(_MESSAGE_ID.findall(value))


def _text(value: bytes) -> str:
    """Return printable text on one line, cut to length, as it is shown in reports."""
    return _CONTROL.sub(" ", value[: 4 * _LONGEST].decode("utf-8", "replace"))[:_LONGEST].strip(" ")
