"""The Basic Encoding Rules as LDAP restricts them (RFC 4511 §5.1): encode and decode. Pure.

In: octets of one message, or values. Out: values, or octets; `BadBer` for anything that is no such encoding. A length is
trusted only as far as there are octets, and no value is copied before that is known. Indefinite lengths, tags of several
octets and constructed strings are refused (§5.1); lengths in longer forms than needed are accepted, since clients send
them.
"""

from typing import Final

BOOLEAN: Final = 0x01
INTEGER: Final = 0x02
OCTET_STRING: Final = 0x04
ENUMERATED: Final = 0x0A
SEQUENCE: Final = 0x30
SET: Final = 0x31

_LENGTH_OCTETS = 4
_INTEGER_OCTETS = 5
"""Octets of an integer: LDAP's numbers end at 2^31 - 1 (RFC 4511 §4.1.1)."""
_LONGEST_HEAD = 2 + _LENGTH_OCTETS


class BadBer(Exception):
    """Raised for octets that are no encoding that LDAP allows."""


def head(octets: bytes | bytearray | memoryview, at: int, end: int) -> tuple[int, int, int] | None:
    """Return the tag, the first octet of the content and its end, which may lie behind `end`.

    None: more octets are needed.
    """
    if end - at < 2:
        return None
    tag, length = octets[at], octets[at + 1]
    if tag & 0x1F == 0x1F:
        raise BadBer("tag")
    at += 2
    if length & 0x80:
        count = length & 0x7F
        if not 0 < count <= _LENGTH_OCTETS:
            raise BadBer("length")
        if end - at < count:
            return None
        length = int.from_bytes(octets[at : at + count])
        at += count
    return tag, at, at + length


def message_octets(buffer: bytearray, most: int) -> int:
    """Return the length of the first message in `buffer`; 0: it is incomplete."""
    if buffer and buffer[0] != SEQUENCE:
        raise BadBer("message")
    found = head(buffer, 0, min(len(buffer), _LONGEST_HEAD))
    if found is None:
        return 0
    _, _, end = found
    if end > most:
        raise BadBer("too long")
    return end if end <= len(buffer) else 0


class BerReader:
    """Read the elements of a constructed value in order."""

    __slots__ = ("_at", "_end", "_octets")

    def __init__(self, octets: bytes, at: int = 0, end: int | None = None) -> None:
        self._octets = octets
        self._at = at
        self._end = len(octets) if end is None else end

    @property
    def more(self) -> bool:
        return self._at < self._end

    @property
    def tag(self) -> int:
        """The tag of the next element; -1: there is none."""
        return self._octets[self._at] if self.more else -1

    def _next(self) -> tuple[int, int, int]:
        found = head(self._octets, self._at, self._end)
        if found is None or found[2] > self._end:
            raise BadBer("end")
        self._at = found[2]
        return found

    def _expect(self, tag: int) -> tuple[int, int]:
        found, start, end = self._next()
        if found != tag:
            raise BadBer("tag")
        return start, end

    def any(self) -> tuple[int, "BerReader"]:
        tag, start, end = self._next()
        return tag, BerReader(self._octets, start, end)

    def into(self, tag: int = SEQUENCE) -> "BerReader":
        """Return a reader of the next element, which is constructed."""
        return BerReader(self._octets, *self._expect(tag))

    def octets(self, tag: int = OCTET_STRING) -> bytes:
        start, end = self._expect(tag)
        return self._octets[start:end]

    def copy(self) -> "BerReader":
        return BerReader(self._octets, self._at, self._end)

    def rest(self) -> bytes:
        at, self._at = self._at, self._end
        return self._octets[at : self._end]

    def text(self, tag: int = OCTET_STRING) -> str:
        """Return a string of LDAP: UTF-8 (RFC 4511 §4.1.2)."""
        try:
            return self.octets(tag).decode()
        except UnicodeDecodeError as error:
            raise BadBer("utf-8") from error

    def integer(self, tag: int = INTEGER) -> int:
        start, end = self._expect(tag)
        if not 0 < end - start <= _INTEGER_OCTETS:
            raise BadBer("integer")
        return int.from_bytes(self._octets[start:end], signed=True)

    def boolean(self, tag: int = BOOLEAN) -> bool:
        start, end = self._expect(tag)
        if end - start != 1:
            raise BadBer("boolean")
        return self._octets[start] != 0  # RFC 4511 §5.1 requires 0xFF; other values are accepted

    def close(self) -> None:
        """Check that nothing follows."""
        if self.more:
            raise BadBer("rest")


# ------------------------------------------------------------------ writing


def tlv(tag: int, content: bytes) -> bytes:
    """Return one element, its length in the fewest octets."""
    length = len(content)
    if length < 0x80:
        return bytes((tag, length)) + content
    count = (length.bit_length() + 7) // 8
    return bytes((tag, 0x80 | count)) + length.to_bytes(count) + content


def integer(number: int, tag: int = INTEGER) -> bytes:
    return tlv(tag, number.to_bytes(number.bit_length() // 8 + 1, signed=True))


def boolean(value: bool, tag: int = BOOLEAN) -> bytes:
    return tlv(tag, b"\xff" if value else b"\0")


def string(text: str | bytes, tag: int = OCTET_STRING) -> bytes:
    return tlv(tag, text.encode() if isinstance(text, str) else text)


def sequence(*parts: bytes, tag: int = SEQUENCE) -> bytes:
    return tlv(tag, b"".join(parts))
