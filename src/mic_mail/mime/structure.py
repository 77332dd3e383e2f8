"""Model the parts of a message, and read what their headers declare about their bodies.

In: the raw header of a part. Out: its declarations about the body (`read_header`). Nothing here reads bodies; never raises.
RFC 2045 §5 (Content-Type, its default and the treatment of an invalid one), §6 (transfer encodings), RFC 2183 (disposition).
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from functools import lru_cache
from typing import NamedTuple

from mic_mail.mime.headers import canonical, parse_parameters, strip_comments, written_fields

Parameters = Sequence[tuple[bytes, bytes]]

IDENTITY = frozenset({b"7bit", b"8bit", b"binary"})
"""Encodings that change nothing; a message/rfc822 is readable under no other (RFC 2046 §5.2.1)."""


class Repeated(Enum):
    """The rule for repeated fields of one name."""

    NONE = 0
    FIRST = 1
    LAST = 2
    ALL = 3
    """All values are joined, as they are lists."""


NONE, FIRST, LAST, ALL = Repeated


def _by_names(names: bytes, counts: Repeated) -> dict[bytes, tuple[bytes, Repeated]]:
    """Map a field's name, in lower case and in the usual spelling."""
    return {name: (written.lower(), counts) for written in names.split() for name in (written, written.lower())}


_PART_FIELDS = _by_names(
    b"Content-Type Content-Transfer-Encoding Content-ID Content-Description Content-Disposition Content-Language "
    b"Content-Location Content-MD5",
    FIRST,
)
_MESSAGE_FIELDS = (
    _PART_FIELDS
    | _by_names(b"Date Subject In-Reply-To Message-ID Message-Id References", LAST)
    | _by_names(b"From Sender Reply-To To Cc Bcc", ALL)
    | _by_names(b"Return-Path Received DKIM-Signature MIME-Version User-Agent X-Mailer", NONE)
)
_OTHER = (b"", NONE)

MAX_HEADER = 262_144
"""Octets of the message's header that are kept and parsed; for a part's header a quarter."""
MAX_BOUNDARY = 998
"""Octets; RFC 2046 §5.1.1 allows 70, a line 998. A longer one cannot match any delimiter line."""

_TYPE = re.compile(rb"([^\x00-\x20()<>@,;:\\\"/\[\]?=]++)[ \t]*+/[ \t]*+([^\x00-\x20()<>@,;:\\\"/\[\]?=]++)")


_TOKEN = re.compile(rb"[^\x00-\x20\x7f()<>@,;:\\\"/\[\]?=]++")
"""RFC 2045 §5.1. An invalid disposition, such as an encoded word, is ignored."""
_ENCODING = re.compile(rb"([^\x00-\x20()<>@,;:\\\"/\[\]?=]++)[ \t]*+(?:;|\Z)")

_USUAL_OCTETS = 160
"""Octets; a header without file name and boundary is shorter, and cached: few different ones occur."""
_USUAL_VALUE_OCTETS = 80
"""Octets of Content-Type and -Transfer-Encoding of a whole message, cached for the same reason."""


Disposition = tuple[bytes, Parameters]
Described = tuple[dict[bytes, bytes], bytes, bytes, Parameters, bytes, bool, bytes | None, Disposition | None, bool]
"""The values of `Part.describe`; never modified, as parts of many messages may share it."""

_SAYS_NOTHING: Described = ({}, b"text", b"plain", (), b"7bit", False, None, None, False)


@dataclass(slots=True, init=False, eq=False)
class Part:
    """One body part; offsets count from the first octet of the message.

    The header is `[header_start, body_start)` including the empty line, the body `[body_start, body_end)` without the line
    end that belongs to the next delimiter.
    """

    header_start: int
    body_start: int
    body_end: int
    lines: int
    children: "list[Part]"
    """The parts of a multipart, or the one enclosed message of a message/rfc822 (`is_message`)."""
    is_attachment: bool
    decoded_octets: int
    damaged: bool
    """True if the encoding is broken, or the part beyond the scanner's limits: it counts raw."""
    fields: dict[bytes, bytes]
    """Fields for ENVELOPE, BODYSTRUCTURE and THREADID, by lower-case name, unchanged.

    The last of a name counts; several address fields of one name are joined.
    """
    maintype: bytes
    subtype: bytes
    params: Parameters
    encoding: bytes
    """The value of the field in lower case, even if it is an unknown encoding."""
    is_message: bool
    boundary: bytes | None
    """The start of a multipart's delimiter lines, after the two hyphens; None where there can be none."""
    disposition: Disposition | None
    has_filename: bool
    """True if the header declares a file, or asks to treat the part as one (RFC 2183 §2.2)."""

    def __init__(self, header_start: int) -> None:
        self.header_start = self.body_start = self.body_end = header_start
        self.lines = 0
        self.children = []
        self.is_attachment = False
        self.decoded_octets = 0
        self.damaged = False
        self.describe(_SAYS_NOTHING)

    def describe(self, described: Described) -> None:
        """Set the values read from the header."""
        (
            self.fields,
            self.maintype,
            self.subtype,
            self.params,
            self.encoding,
            self.is_message,
            self.boundary,
            self.disposition,
            self.has_filename,
        ) = described

    def parameter(self, name: bytes) -> bytes | None:
        """Return a parameter of the Content-Type, unchanged."""
        return _parameter(self.params, name)


def read_header(header: bytes, *, in_digest: bool, has_envelope: bool) -> Described:
    """Return what the header of a part, or of a message (`has_envelope`), declares about its body."""
    if has_envelope or len(header) > _USUAL_OCTETS:
        return _read_header(header, in_digest, has_envelope)
    return _usual_header(header, in_digest, has_envelope)


def _read_header(header: bytes, in_digest: bool, has_envelope: bool) -> Described:
    kept = _kept_fields(header, has_envelope)
    maintype, subtype, encoding = b"text", b"plain", b"7bit"
    params: Parameters = ()
    content_type = kept.get(b"content-type")
    if content_type is not None:
        read = _usual_type if len(content_type) <= _USUAL_VALUE_OCTETS else _read_type
        maintype, subtype, params = read(content_type)
    elif in_digest:  # RFC 2046 §5.1.5
        maintype, subtype = b"message", b"rfc822"
    value = kept.get(b"content-transfer-encoding")
    if value is not None:
        encoding = (_usual_encoding if len(value) <= _USUAL_VALUE_OCTETS else _read_encoding)(value)
    value = kept.get(b"content-disposition")
    written = None if value is None else parse_parameters(value)
    return (
        kept,
        maintype,
        subtype,
        params,
        encoding,
        maintype == b"message" and subtype == b"rfc822" and encoding in IDENTITY,
        _boundary(params) if maintype == b"multipart" else None,
        written if written is not None and _TOKEN.fullmatch(written[0]) else None,
        _has_filename(written, params),
    )


def _kept_fields(header: bytes, has_envelope: bool) -> dict[bytes, bytes]:
    kept: dict[bytes, bytes] = {}
    more: dict[bytes, list[bytes]] = {}
    which = _MESSAGE_FIELDS if has_envelope else _PART_FIELDS
    for written, value in written_fields(header):
        name, counts = which.get(written) or which.get(canonical(written)) or _OTHER
        if counts is FIRST:
            kept.setdefault(name, value)
        elif counts is LAST or (counts is ALL and name not in kept):
            kept[name] = value
        elif counts is ALL:
            more.setdefault(name, [kept[name]]).append(value)
    for name, values in more.items():
        kept[name] = b",".join(values)
    return kept


def _boundary(params: Parameters) -> bytes | None:
    boundary = (_parameter(params, b"boundary") or b"").rstrip(b" \t\r\n")
    return boundary if 0 < len(boundary) <= MAX_BOUNDARY and b"\n" not in boundary else None


def _has_filename(disposition: Disposition | None, params: Parameters) -> bool:
    if disposition is not None:
        kind, more = disposition
        if kind.lower() == b"attachment" or _any_begins(more, b"filename"):
            return True
    return _any_begins(params, b"name")


def _any_begins(params: Parameters, prefix: bytes) -> bool:
    for name, _ in params:  # noqa: SIM110 - three times as fast as `any`
        if name.startswith(prefix):
            return True
    return False


def _parameter(params: Parameters, name: bytes) -> bytes | None:
    for candidate, value in params:
        if candidate == name:
            return value
    return None


def _read_type(value: bytes) -> tuple[bytes, bytes, Parameters]:
    """Return type, subtype and parameters of a Content-Type."""
    leading, params = parse_parameters(value)
    match = _TYPE.match(leading)
    if match is None:
        # RFC 2045 §5.2: an invalid Content-Type counts as plain text in US-ASCII.
        return b"text", b"plain", ()
    return match[1].lower(), match[2].lower(), tuple(params)


def _read_encoding(value: bytes) -> bytes:
    match = _ENCODING.match(strip_comments(value).lower())
    return match[1] if match else b"7bit"


_usual_header = lru_cache(maxsize=256)(_read_header)
_usual_type = lru_cache(maxsize=64)(_read_type)
_usual_encoding = lru_cache(maxsize=64)(_read_encoding)


class Scan(NamedTuple):
    """The result of one pass over a message."""

    root: Part
    octets: int
    header: bytes
    """The raw header with its empty line; empty when it is longer than `MAX_HEADER`."""
    attachment_octets: int
    bare_cr: int
    bare_lf: int
    text: bytes
    """The raw beginning of the first text body, for the preview."""
    text_part: Part | None


def with_head(scan: Scan, head: bytes) -> Scan:
    """Return the scan of the message with the trace fields `head` in front of it.

    `head` consists of whole lines that say nothing about the body. The result is that of one scan over all of it; `scan` is
    used up. The header has to leave room for `head` below `MAX_HEADER`.
    """
    whole = scan.header if scan.header or not scan.root.body_start else None
    _move(scan.root, len(head))
    scan.root.header_start = 0
    return scan._replace(
        octets=len(head) + scan.octets,
        header=head + whole if whole is not None and len(head) + len(whole) <= MAX_HEADER else b"",
    )


def _move(part: Part, octets: int) -> None:
    part.header_start += octets
    part.body_start += octets
    part.body_end += octets
    for child in part.children:
        _move(child, octets)
