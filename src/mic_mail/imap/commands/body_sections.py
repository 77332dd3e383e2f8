"""Body sections of one message for FETCH: located by the part table, read from the file in slices.

In: a requested section and a `Message` (opened at first use). Out: a `Piece`: the octets in front, and the content as an
iterator of slices. A body is never decoded for BODY[], but no literal may hold NUL; BINARY decodes the transfer encoding
while it streams, and returns every octet.
Standards: RFC 9051 §6.4.5.1; RFC 3516 §4.2-4.3 (BINARY, BINARY.SIZE, UNKNOWN-CTE).
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Protocol

from mic_mail.errors import Trouble
from mic_mail.imap import responses
from mic_mail.imap.actions import SLICE_OCTETS
from mic_mail.imap.parser.fetch_items import Binary, BinarySize, Section, SectionText
from mic_mail.imap.replies import CommandRefused
from mic_mail.mime.encodings import decoder_for
from mic_mail.mime.headers import cut, whole
from mic_mail.mime.part_table import Kind, Sections
from mic_mail.storage.errors import NoSuchMessage
from mic_mail.storage.mailstore import Account

MOST_HEADER_OCTETS = 1 << 20
"""Octets that are searched for fields in a header block longer than the index stores."""

SMALL_OCTETS = 8 << 10
"""Largest decoded part that is checked for NUL before its literal; one FETCH may name thousands."""

_KINDS: dict[SectionText, Kind] = {
    SectionText.ALL: "",
    SectionText.HEADER: "HEADER",
    SectionText.HEADER_FIELDS: "HEADER",
    SectionText.HEADER_FIELDS_NOT: "HEADER",
    SectionText.TEXT: "TEXT",
    SectionText.MIME: "MIME",
}


def unknown_encoding() -> CommandRefused:
    """Return the refusal of BINARY for a part whose transfer encoding is unknown (RFC 9051 §6.4.5.1)."""
    return CommandRefused("The transfer encoding of that part is not known.", b"UNKNOWN-CTE")


class Octets(Protocol):
    """The octets of a message: an open file, or memory."""

    @property
    def size(self) -> int: ...

    def pread(self, offset: int, length: int) -> bytes: ...

    def close(self) -> None: ...


class OctetsInMemory:
    """All octets of a small message."""

    __slots__ = ("_octets", "size")

    def __init__(self, octets: bytes) -> None:
        self._octets = octets
        self.size = len(octets)

    def pread(self, offset: int, length: int) -> bytes:
        return self._octets[offset : offset + length]

    def close(self) -> None:
        pass


class Message:
    """A message whose FETCH is being answered: its part table and its file, opened at first use."""

    __slots__ = ("_file", "_open", "_parts", "_sections", "header")

    def __init__(self, parts: bytes, header: bytes, open_file: Callable[[], "Octets"]) -> None:
        """`open_file` raises `NoSuchMessage`."""
        self._open = open_file
        self._parts = parts
        self._sections: Sections | None = None
        self.header = header
        """The header block where the index stores it; empty for a longer one."""
        self._file: Octets | None = None

    @property
    def sections(self) -> Sections:
        if self._sections is None:
            self._sections = Sections(self._parts)
        return self._sections

    @property
    def file(self) -> "Octets":
        """The open file; raises `NoSuchMessage`."""
        if self._file is None:
            self._file = self._open()
        return self._file

    def close(self) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None

    def read(self, offset: int, octets: int) -> Iterator[bytes]:
        """Read that much of the file in slices; a file that ends early raises `Trouble`."""
        while octets > 0:
            data = self.file.pread(offset, min(SLICE_OCTETS, octets))
            if not data:
                raise Trouble("The message is shorter on disk than it was.")
            offset += len(data)
            octets -= len(data)
            yield data


@dataclass(frozen=True, slots=True)
class Piece:
    """One item of a FETCH response; its octets are made while they are sent.

    `head` ends with the announcement of a literal of exactly the octets that follow, or with a space before octets that hold
    their own announcement, or it is complete and nothing follows. `b""` among the octets is a moment to yield.
    """

    head: bytes
    octets: Iterator[bytes]


def piece_of(item: Section | Binary, message: Message) -> Piece:
    """Return one item of one message; raise `NoSuchMessage` or `CommandRefused` before the first octet."""
    return _binary(item, message) if isinstance(item, Binary) else _section(item, message)


def _section(item: Section, message: Message) -> Piece:
    if item.text in (SectionText.HEADER_FIELDS, SectionText.HEADER_FIELDS_NOT):
        return _fields(item, message)
    if item.text is SectionText.HEADER and not item.part and message.header:
        return Piece(item.label + b" ", _literal(item, message.header))
    if item.text is SectionText.ALL and not item.part:
        found: tuple[int, int] | None = (0, message.file.size)
    else:
        found = message.sections.locate(item.part, _KINDS[item.text])
    if found is None:
        return Piece(item.label + b" NIL", iter(()))
    offset, octets = found
    if item.partial is not None:
        first, most = item.partial
        first = min(first, octets)
        offset, octets = offset + first, min(most, octets - first)
    message.file  # noqa: B018 - opened before any of the line is sent
    return Piece(b"%b {%d}\r\n" % (item.label, octets), map(responses.without_nul, message.read(offset, octets)))


def _fields(item: Section, message: Message) -> Piece:
    """Return header fields of the message or of a message within it."""
    header = message.header if not item.part else b""
    found = None
    if not header:
        found = message.sections.locate(item.part, "HEADER")
        if found is None:
            return Piece(item.label + b" NIL", iter(()))
        message.file  # noqa: B018 - opened before any of the line is sent

    def pieces() -> Iterator[bytes]:
        read = header if found is None else _header_of(message, *found)
        yield from _literal(item, cut(read, item.fields, others=item.text is SectionText.HEADER_FIELDS_NOT))

    return Piece(item.label + b" ", pieces())


def _header_of(message: Message, offset: int, octets: int) -> bytes:
    """Return the header block there; of an oversized one, the complete fields at its beginning."""
    if octets <= MOST_HEADER_OCTETS:
        return b"".join(message.read(offset, octets))
    return whole(b"".join(message.read(offset, MOST_HEADER_OCTETS)))


def _literal(item: Section, octets: bytes) -> Iterator[bytes]:
    if item.partial is not None:
        first, most = item.partial
        octets = octets[first : first + most]
    yield responses.literal(octets)
    yield b""


# ------------------------------------------------------------------ BINARY


def _binary(item: Binary, message: Message) -> Piece:
    """Return the content as a literal8 where NUL may occur (RFC 3516 §4.2).

    A small part, or the beginning of one, is checked for NUL, and sent as a literal if there is none.
    """
    if not item.part:  # the message as it is has no transfer encoding
        part, found = None, (0, message.file.size)
    else:
        part = message.sections.part(item.part)
        located = message.sections.locate(item.part)
        if part is None or located is None:
            return Piece(item.label + b" NIL", iter(()))
        found = located
        if part.encoding == "unknown":
            raise unknown_encoding()
    encoding = part.encoding if part is not None and not part.children else "binary"
    octets = part.decoded_octets if part is not None and encoding in _ENCODED else found[1]
    first, most = item.partial or (0, octets)
    first = min(first, octets)
    most = min(most, octets - first)
    message.file  # noqa: B018 - opened before any of the line is sent
    pieces = _window(_decoded(message, found, encoding), first, most)
    if most and first + most > SMALL_OCTETS:
        return Piece(b"%b ~{%d}\r\n" % (item.label, most), pieces)
    return Piece(item.label + b" ", _looked_at(pieces))


def _looked_at(pieces: Iterator[bytes]) -> Iterator[bytes]:
    whole = b"".join(pieces)
    yield responses.literal8(whole) if b"\0" in whole else responses.literal(whole)
    yield b""


_ENCODED = frozenset({"base64", "quoted-printable"})


def _decoded(message: Message, found: tuple[int, int], encoding: str) -> Iterator[bytes]:
    if encoding not in _ENCODED:
        yield from message.read(*found)
        return
    decoder = decoder_for(encoding)
    for raw in message.read(*found):
        yield decoder.feed(raw)
    yield decoder.finish()


def _window(pieces: Iterator[bytes], first: int, most: int) -> Iterator[bytes]:
    """Return exactly `most` octets of a stream, from `first` on."""
    for piece in pieces:
        if most == 0:
            return
        if first >= len(piece):
            first -= len(piece)
            yield b""
            continue
        here = piece[first : first + most]
        first = 0
        most -= len(here)
        yield here
    if most:
        raise Trouble("The part is shorter than its table says.")


def binary_size(item: BinarySize, parts: bytes, size: int) -> int:
    """Return BINARY.SIZE of a part; 0 where there is none (RFC 3516 §4.3)."""
    if not item.part:
        return size
    part = Sections(parts).part(item.part)
    if part is None:
        return 0
    if part.encoding == "unknown":
        raise unknown_encoding()
    return part.decoded_octets if part.encoding in _ENCODED and not part.children else part.body_octets


def long_header(account: Account, folder_id: int, uid: int, parts: bytes) -> bytes | None:
    """Return a header block longer than the index stores; None if the message is gone."""
    message = Message(parts, b"", partial(account.open_message, folder_id, uid))
    try:
        found = message.sections.locate((), "HEADER")
        return _header_of(message, *found) if found else b""
    except NoSuchMessage:
        return None
    finally:
        message.close()
