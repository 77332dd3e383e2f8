"""What a message is made of: parts, and what their headers say about their bodies.

In: the raw header of a part. Out: its type, parameters, encoding (`Part.describe`). Nothing here reads bodies; never raises.
RFC 2045 §5 (Content-Type, its default and what to do with an invalid one), §6 (transfer encodings), RFC 2183 (disposition).
"""

import re
from functools import lru_cache
from typing import NamedTuple

from mic_mail.mime.headers import fields, parse_parameters, strip_comments

Parameters = list[tuple[bytes, bytes]]

IDENTITY = frozenset({b"7bit", b"8bit", b"binary"})
"""Encodings that change nothing; only under these does a message/rfc822 hold a readable message (RFC 2046 §5.2.1)."""

ENVELOPE_FIELDS = frozenset(
    {b"date", b"subject", b"from", b"sender", b"reply-to", b"to", b"cc", b"bcc", b"in-reply-to", b"message-id"}
)
_KEPT_FIELDS = ENVELOPE_FIELDS | {b"references"}
_ADDRESS_FIELDS = frozenset({b"from", b"sender", b"reply-to", b"to", b"cc", b"bcc"})
_CONTENT_FIELDS = frozenset(
    b"content-" + name
    for name in (b"type", b"transfer-encoding", b"id", b"description", b"disposition", b"language", b"location", b"md5")
)

MAX_BOUNDARY = 998
"""Octets; RFC 2046 §5.1.1 allows 70, a line 998. A longer one cannot be met by any delimiter line."""

_TYPE = re.compile(rb"([^\x00-\x20()<>@,;:\\\"/\[\]?=]++)[ \t]*+/[ \t]*+([^\x00-\x20()<>@,;:\\\"/\[\]?=]++)")


_ENCODING = re.compile(rb"([^\x00-\x20()<>@,;:\\\"/\[\]?=]++)[ \t]*+(?:;|\Z)")

_USUAL_OCTETS = 80
"""The few values of Content-Type and -Transfer-Encoding that most parts have are shorter; only such are remembered."""


class Part:
    """One body part; offsets count from the first octet of the message.

    `children` are the parts of a multipart, or the one enclosed message of a message/rfc822 (`is_message`).
    The header is `[header_start, body_start)` including the empty line, the body `[body_start, body_end)` without the line
    end that belongs to the next delimiter.
    """

    __slots__ = (
        "body_end",
        "body_start",
        "children",
        "damaged",
        "decoded_octets",
        "encoding",
        "fields",
        "header_start",
        "is_attachment",
        "is_message",
        "lines",
        "maintype",
        "params",
        "subtype",
    )

    def __init__(self, header_start: int) -> None:
        self.header_start = header_start
        self.body_start = header_start
        self.body_end = header_start
        self.lines = 0
        self.maintype = b"text"
        self.subtype = b"plain"
        self.params: Parameters = []
        self.encoding = b"7bit"
        """In lower case; what stands in the field, also when it is not an encoding that anybody knows."""
        self.fields: dict[bytes, bytes] = {}
        """Fields that ENVELOPE, BODYSTRUCTURE and THREADID are made of, by lower-case name, as they stand; the last of a name
        counts, several address fields of one name are joined."""
        self.children: list[Part] = []
        self.is_message = False
        self.is_attachment = False
        self.decoded_octets = 0
        self.damaged = False
        """The encoding is broken somewhere, or the part lies beyond the scanner's limits: it counts with its raw octets."""

    def describe(self, header: bytes, *, in_digest: bool, has_envelope: bool) -> None:
        """Take from the header what it says about the body."""
        kept: dict[bytes, bytes] = {}
        more: dict[bytes, list[bytes]] = {}
        for name, value in fields(header):
            if name in _CONTENT_FIELDS:
                kept.setdefault(name, value)
            elif has_envelope and name in _KEPT_FIELDS:
                if name in kept and name in _ADDRESS_FIELDS:
                    more.setdefault(name, [kept[name]]).append(value)
                else:
                    kept[name] = value
        for name, values in more.items():
            kept[name] = b",".join(values)
        self.fields = kept
        content_type = kept.get(b"content-type")
        if content_type is not None:
            read = _usual_type if len(content_type) <= _USUAL_OCTETS else _read_type
            self.maintype, self.subtype, params = read(content_type)
            self.params = list(params)
        elif in_digest:  # RFC 2046 §5.1.5
            self.maintype, self.subtype = b"message", b"rfc822"
        encoding = kept.get(b"content-transfer-encoding")
        if encoding is not None:
            self.encoding = (_usual_encoding if len(encoding) <= _USUAL_OCTETS else _read_encoding)(encoding)
        self.is_message = self.maintype == b"message" and self.subtype == b"rfc822" and self.encoding in IDENTITY

    def parameter(self, name: bytes) -> bytes | None:
        """A parameter of the Content-Type, as it stands."""
        for candidate, value in self.params:
            if candidate == name:
                return value
        return None

    @property
    def boundary(self) -> bytes | None:
        """What delimiter lines of a multipart begin with, after their two hyphens; None where there can be none."""
        if self.maintype != b"multipart":
            return None
        boundary = self.parameter(b"boundary") or b""
        boundary = boundary.rstrip(b" \t\r\n")
        return boundary if 0 < len(boundary) <= MAX_BOUNDARY and b"\n" not in boundary else None

    @property
    def has_filename(self) -> bool:
        """Whether the header says that this is a file, or to be treated as one (RFC 2183 §2.2)."""
        disposition = self.fields.get(b"content-disposition")
        if disposition is not None:
            kind, params = parse_parameters(disposition)
            if kind.lower() == b"attachment" or any(name.startswith(b"filename") for name, _ in params):
                return True
        return any(name.startswith(b"name") for name, _ in self.params)


def _read_type(value: bytes) -> tuple[bytes, bytes, tuple[tuple[bytes, bytes], ...]]:
    """Type, subtype and parameters of a Content-Type."""
    leading, params = parse_parameters(value)
    match = _TYPE.match(leading)
    if match is None:
        # RFC 2045 §5.2: a Content-Type that cannot be read counts as plain text in US-ASCII.
        return b"text", b"plain", ()
    return match[1].lower(), match[2].lower(), tuple(params)


def _read_encoding(value: bytes) -> bytes:
    match = _ENCODING.match(strip_comments(value).lower())
    return match[1] if match else b"7bit"


# Reading them anew costs a small message 4 of 75 us.
_usual_type = lru_cache(maxsize=256)(_read_type)
_usual_encoding = lru_cache(maxsize=64)(_read_encoding)


class Scan(NamedTuple):
    """What one pass over a message found."""

    root: Part
    octets: int
    header: bytes
    """The raw header block with its empty line; empty when longer than the scanner keeps (cut it out of the file then)."""
    attachment_octets: int
    has_8bit: bool
    has_nul: bool
    bare_cr: int
    bare_lf: int
    text: bytes
    """The beginning of the first text body as it lies in the message, for the preview."""
    text_part: Part | None
