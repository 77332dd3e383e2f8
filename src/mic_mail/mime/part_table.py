"""Store the location of each part of a message in a compact table, kept in the index.

In: a `Scan`. Out: bytes (`encode`), and from those bytes the octets of any section (`Sections.locate`), its transfer encoding
and its decoded size. The table never holds text and never needs the message.
Section numbers follow RFC 9051 §6.4.5.1 (the same as RFC 3501 §6.4.5): the children of a multipart are numbered from 1, a
message/rfc822 gives its number to its own body, and part 1 of a message that is not a multipart is its text.

Row: kind, encoding, children, start of header, start of body, octets of body, decoded octets; rows in reading order.
"""

from collections.abc import Iterator
from struct import Struct
from typing import Literal

from mic_mail.mime.structure import Part, Scan

Kind = Literal["", "HEADER", "TEXT", "MIME"]
"""The specifier after the numbers in `BODY[1.2.MIME]`; empty for the part's own content."""

ENCODINGS = ("7bit", "8bit", "binary", "base64", "quoted-printable", "unknown")
"""Transfer encodings by code; `unknown` is answered with UNKNOWN-CTE (RFC 9051 §6.4.5.1)."""

LEAF, MULTIPART, MESSAGE = 0, 1, 2

_ROW = Struct("<BBHIIII")


_CODES = {name.encode(): code for code, name in enumerate(ENCODINGS)}
_UNKNOWN = ENCODINGS.index("unknown")
_MAX = 0xFFFF_FFFF
"""Largest value stored; larger parts are recorded as this, as no listener accepts such a message."""


def encode(scan: Scan) -> bytes:
    """Return the part table of a message."""
    rows: list[bytes] = []
    _encode_part(scan.root, rows)
    return b"".join(rows)


def _encode_part(part: Part, rows: list[bytes]) -> None:
    kind = MESSAGE if part.is_message else MULTIPART if part.children else LEAF
    rows.append(
        _ROW.pack(
            kind,
            _CODES.get(part.encoding, _UNKNOWN),
            len(part.children),
            min(part.header_start, _MAX),
            min(part.body_start, _MAX),
            min(part.body_end - part.body_start, _MAX),
            min(part.decoded_octets, _MAX),
        )
    )
    for child in part.children:
        _encode_part(child, rows)


class Section:
    """One row of the table, with its children."""

    __slots__ = ("body_octets", "body_start", "children", "decoded_octets", "encoding", "header_start", "kind")

    def __init__(self, rows: Iterator[tuple[int, int, int, int, int, int, int]]) -> None:
        self.kind, code, count, self.header_start, self.body_start, self.body_octets, self.decoded_octets = next(rows)
        self.encoding = ENCODINGS[code]
        """Encoding of the body; of a multipart or message/rfc822 BINARY may only decode identity encodings."""
        self.children = [Section(rows) for _ in range(count)]

    @property
    def header(self) -> tuple[int, int]:
        """Offset and length of the header with its empty line."""
        return self.header_start, self.body_start - self.header_start

    @property
    def body(self) -> tuple[int, int]:
        """Offset and length of the body."""
        return self.body_start, self.body_octets


class Sections:
    """The decoded part table of one message."""

    __slots__ = ("root",)

    def __init__(self, blob: bytes) -> None:
        self.root = Section(_ROW.iter_unpack(blob))

    def part(self, section: tuple[int, ...]) -> Section | None:
        """Return the part of a section number, for BINARY and BINARY.SIZE; None where there is none."""
        part = self.root
        in_message = True  # whether `part` is a message, whose own text counts as its part 1, or already a numbered part
        for number in section:
            if not in_message and part.kind == MESSAGE:
                part = part.children[0]
                in_message = True
            if part.kind == MULTIPART and 1 <= number <= len(part.children):
                part = part.children[number - 1]
            elif part.kind == MULTIPART or not in_message or number != 1:
                return None
            in_message = False
        return part

    def locate(self, section: tuple[int, ...], kind: Kind = "") -> tuple[int, int] | None:
        """Return offset and length of a section in the message's file; None where there is no such section."""
        part = self.part(section)
        if part is None:
            return None
        if not section:
            if kind == "":
                return 0, part.body_start + part.body_octets
            return part.header if kind == "HEADER" else part.body if kind == "TEXT" else None
        if kind == "":
            return part.body
        if kind == "MIME":
            return part.header
        if part.kind != MESSAGE:  # RFC 9051 §6.4.5.1: HEADER and TEXT after numbers are those of a message/rfc822
            return None
        message = part.children[0]
        return message.header if kind == "HEADER" else message.body
