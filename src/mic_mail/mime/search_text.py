"""Yield the text of a message that SEARCH covers, in pieces by zone.

The scan and the index both use this module. In: the octets of a message and its part table. Out: decoded text. A piece is one
field or one part; no match runs from one into the next. Never raises on any message. RFC 9051 §6.4.4 (keys), RFC 3676
(format=flowed), RFC 2231 (names of attachments).
    subject from to cc bcc    the values of that field; of addresses with comments also as the envelope shows them
    header                    every field of the message's own header, as `name: value`
    body                      text parts decoded, HTML without its tags; headers of parts and of enclosed messages; names of
                              attachments

TEXT searches `header` and `body`, BODY searches `body`. Attachments that are not text are not read.
"""

from collections.abc import Iterator
from itertools import chain
from typing import Literal, get_args
from urllib.parse import unquote_to_bytes

from mic_mail.mime.addresses import parse_addresses
from mic_mail.mime.encoded_words import decode_octets, decode_text
from mic_mail.mime.encodings import decode
from mic_mail.mime.headers import fields, parse_parameters, unfold
from mic_mail.mime.html import declared_charset, visible_text
from mic_mail.mime.part_table import LEAF, Section, Sections

FieldZone = Literal["subject", "from", "to", "cc", "bcc"]
Zone = Literal["subject", "from", "to", "cc", "bcc", "header", "body"]
ZONES: tuple[Zone, ...] = get_args(Zone)
FIELD_ZONES: frozenset[Zone] = frozenset(get_args(FieldZone))

MAX_TEXT_OCTETS = 8 << 20
"""Octets of one part; anything beyond is a log file or an attack, not eight megabytes of prose."""
MAX_HEADER_OCTETS = 256 << 10
"""Octets of one header; decoding a field of megabytes would block the interpreter."""

_ADDRESS_FIELDS = {b"from", b"to", b"cc", b"bcc"}
_ZONE_OF: dict[bytes, FieldZone] = {zone.encode(): zone for zone in get_args(FieldZone)}
_TEXT = (b"text/", b"message/", b"multipart/")
"""Type prefixes of leaves with text; a multipart without parts is shown as text."""
_NAMES = (b"filename", b"name")


def text_parts(octets: bytes, parts: bytes) -> Iterator[tuple[Zone, str]]:
    """Yield all text of a message; `parts` is its part table (mime.part_table)."""
    root = Sections(parts).root
    own = _fields(octets, root)
    for name, value in own:
        zone = _ZONE_OF.get(name)
        if zone is not None:
            for text in field_texts(name, value):
                yield zone, text
        yield "header", _line(name, value)
    for text in _part_texts(octets, root, own):
        yield "body", text


def _fields(octets: bytes, part: Section) -> list[tuple[bytes, bytes]]:
    offset, length = part.header
    return fields(octets[offset : offset + min(length, MAX_HEADER_OCTETS)])


def field_texts(name: bytes, value: bytes) -> Iterator[str]:
    """Yield a field's texts; addresses also as in ENVELOPE, since a comment may stand within one."""
    yield decode_text(value)
    if name in _ADDRESS_FIELDS and b"(" in value:
        for display, _, mailbox, host in parse_addresses(value):
            if mailbox is not None and host is not None:
                yield f"{decode_text(display or b'')} <{decode_text(mailbox)}@{decode_text(host)}>"


def _line(name: bytes, value: bytes) -> str:
    return f"{decode_octets(name)}: {decode_text(value)}"


def _part_texts(octets: bytes, part: Section, header: list[tuple[bytes, bytes]]) -> Iterator[str]:
    """Yield the text of a part whose header fields are known, and of all parts within it."""
    first = dict(reversed(header))  # the first of a name counts
    kind, parameters = parse_parameters(unfold(first.get(b"content-type", b"text/plain")))
    _, disposition = parse_parameters(unfold(first.get(b"content-disposition", b"")))
    yield from file_names(parameters, disposition)
    if part.kind == LEAF and (kind.lower().startswith(_TEXT) or b"/" not in kind):
        yield _leaf_text(octets, part, kind.lower(), dict(parameters))
    for child in part.children:
        inner = _fields(octets, child)
        for name, value in inner:
            yield _line(name, value)
        yield from _part_texts(octets, child, inner)


def file_names(*parameters: list[tuple[bytes, bytes]]) -> set[str]:
    """Return the names of a part's file (RFC 2231 or encoded words), each spelling once."""
    return {
        _extended(value) if name.endswith(b"*") else decode_text(value)
        for name, value in chain(*parameters)
        if name.rstrip(b"*") in _NAMES and value
    }


def _extended(value: bytes) -> str:
    """Decode RFC 2231 §4: `charset'language'percent-encoded`."""
    charset, _, rest = value.partition(b"'")
    return decode_octets(unquote_to_bytes(rest.partition(b"'")[2]), charset.decode("ascii", "replace"))


def _leaf_text(octets: bytes, part: Section, kind: bytes, parameters: dict[bytes, bytes]) -> str:
    start, length = part.body
    raw = decode(octets[start : start + min(length, MAX_TEXT_OCTETS)], part.encoding)
    charset = parameters.get(b"charset", b"").decode("ascii", "replace")
    if kind == b"text/html":
        return visible_text(decode_octets(raw, charset or declared_charset(raw)))
    text = decode_octets(raw, charset)
    if parameters.get(b"delsp", b"").lower() == b"yes":  # RFC 3676 §4.2: the space that wraps a line belongs to no word
        text = text.replace(" \r\n", "").replace(" \n", "")
    return text
