"""Where each part of a message lies, as a compact table that the index keeps beside the message.

In: a `Scan`. Out: bytes (`encode`), and from those bytes the octets of any section (`Sections.locate`), its transfer
encoding and its decoded size. The table never holds text and never needs the message.
Section numbers follow RFC 9051 §6.4.5.1 (the same as RFC 3501 §6.4.5): the children of a multipart are numbered from 1,
a message/rfc822 gives its number to its own body, and part 1 of a message that is not a multipart is its text.

Row: kind, encoding, children, start of header, start of body, octets of body, decoded octets; rows in reading order.
"""

from struct import Struct
from typing import Literal

from mic_mail.mime.scanner import Part, Scan

Kind = Literal["", "HEADER", "TEXT", "MIME"]
"""What follows the numbers in `BODY[1.2.MIME]`; empty for the part's own content."""

ENCODINGS = ("7bit", "8bit", "binary", "base64", "quoted-printable", "unknown")
"""Transfer encodings by the code in the table; `unknown` is answered with UNKNOWN-CTE (RFC 9051 §6.4.5.1)."""

LEAF, MULTIPART, MESSAGE = 0, 1, 2

_ROW = Struct("<BBHIIII")


def encode(scan: Scan) -> bytes:
    """The part table of a message."""
    rows: list[bytes] = []
    _encode_part(scan.root, rows)
    return b"".join(rows)


def _encode_part(part: Part, rows: list[bytes]) -> None:
    kind = MESSAGE if part.is_message else MULTIPART if part.children else LEAF
    code = _ENCODING_CODES.get(part.encoding, 5)
    octets = part.body_end - part.body_start
    rows.append(_ROW.pack(kind, code, len(part.children), part.header_start, part.body_start, octets, part.decoded_octets))
    for child in part.children:
        _encode_part(child, rows)


_ENCODING_CODES = {name.encode(): code for code, name in enumerate(ENCODINGS)}


class Section:
    """One row of the table, with its children."""

    __slots__ = ("body_octets", "body_start", "children", "decoded_octets", "encoding", "header_start", "kind")

    def __init__(self, row: tuple[int, int, int, int, int, int, int]) -> None:
        self.kind, code, _, self.header_start, self.body_start, self.body_octets, self.decoded_octets = row
        self.encoding = ENCODINGS[code]
        self.children: list[Section] = []


class Sections:
    """The part table of one message, opened."""

    __slots__ = ("root",)

    def __init__(self, blob: bytes) -> None:
        rows = _ROW.iter_unpack(blob)
        self.root = self._open(rows)

    def locate(self, section: tuple[int, ...], kind: Kind = "") -> tuple[int, int] | None:
        """Offset and length of a section in the message's file; None where there is no such section."""
        raise NotImplementedError

    def part(self, section: tuple[int, ...]) -> Section | None:
        """The row that a section number names: its `encoding` and `decoded_octets` answer BINARY and BINARY.SIZE."""
        raise NotImplementedError

    def _open(self, rows: object) -> Section:
        raise NotImplementedError
