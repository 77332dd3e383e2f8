"""FETCH items as values (RFC 9051 §6.4.5): made by the parser, served by the fetch code.

`part` is the part number as a tuple, () for the whole message. `peek` items do not set \\Seen.
"""

from dataclasses import dataclass
from enum import Enum


class Datum(Enum):
    """A fetch item without arguments; the value is its name in the response."""

    UID = b"UID"
    FLAGS = b"FLAGS"
    INTERNALDATE = b"INTERNALDATE"
    SIZE = b"RFC822.SIZE"
    ENVELOPE = b"ENVELOPE"
    BODY = b"BODY"
    BODYSTRUCTURE = b"BODYSTRUCTURE"
    MODSEQ = b"MODSEQ"  # RFC 7162 §3.1.5
    EMAILID = b"EMAILID"  # RFC 8474 §5.1
    THREADID = b"THREADID"  # RFC 8474 §5.2
    SAVEDATE = b"SAVEDATE"  # RFC 8514


@dataclass(frozen=True, slots=True)
class Preview:
    """PREVIEW and PREVIEW (LAZY), RFC 8970; both are called PREVIEW in the response."""

    lazy: bool = False


class SectionText(Enum):
    """The content of a part: everything, or one of these (RFC 9051 §6.4.5.1)."""

    ALL = b""
    HEADER = b"HEADER"
    HEADER_FIELDS = b"HEADER.FIELDS"
    HEADER_FIELDS_NOT = b"HEADER.FIELDS.NOT"
    TEXT = b"TEXT"
    MIME = b"MIME"


@dataclass(frozen=True, slots=True)
class Section:
    """BODY[...], BODY.PEEK[...], RFC822, RFC822.HEADER and RFC822.TEXT.

    `label` is the item's name in the response, with the origin of a partial (`BODY[1.2]<0>`), ready to send.
    `fields` are in lower case. `partial` is (first octet, count).
    """

    part: tuple[int, ...]
    text: SectionText
    label: bytes
    fields: tuple[bytes, ...] = ()
    peek: bool = False
    partial: tuple[int, int] | None = None


@dataclass(frozen=True, slots=True)
class Binary:
    """BINARY[...] and BINARY.PEEK[...]: the part without its transfer encoding (RFC 3516 §4.2)."""

    part: tuple[int, ...]
    label: bytes
    peek: bool = False
    partial: tuple[int, int] | None = None


@dataclass(frozen=True, slots=True)
class BinarySize:
    """BINARY.SIZE[...] (RFC 3516 §4.3)."""

    part: tuple[int, ...]
    label: bytes


FetchItem = Datum | Preview | Section | Binary | BinarySize
