"""Parse search filters (RFC 4511 §4.5.1.7): octets in, a tree of values out. Pure.

Raises `BadBer` or `TooLarge`. A filter of more than MAX_DEPTH levels or MAX_ITEMS items, or with a longer value than
MAX_VALUE_OCTETS, is refused before any of it is evaluated.
"""

from dataclasses import dataclass
from typing import Final, Literal

from mic_mail.ldap.ber import BadBer, BerReader

MAX_DEPTH: Final = 32
MAX_ITEMS: Final = 256
"""Items of a filter; programs that complete names send up to a dozen."""
MAX_VALUE_OCTETS: Final = 4096
"""Octets of one value; no name or address has so many.

A value of 60,000 would take 15 ms to prepare, in each block again.
"""

_AND: Final = 0xA0
_PRESENT: Final = 0x87


class TooLarge(Exception):
    """Raised for a filter with too many items, too many levels, or too long a value."""


@dataclass(frozen=True, slots=True)
class And:
    """True if all parts are; of none: true (RFC 4526)."""

    parts: tuple["Filter", ...]


@dataclass(frozen=True, slots=True)
class Or:
    """True if any part is; of none: false (RFC 4526)."""

    parts: tuple["Filter", ...]


@dataclass(frozen=True, slots=True)
class Not:
    part: "Filter"


Operator = Literal["=", "~=", ">=", "<="]
"""The comparisons, as RFC 4515 writes them; `~=` ignores diacritics."""


@dataclass(frozen=True, slots=True)
class Comparison:
    operator: Operator
    attribute: str
    value: bytes


@dataclass(frozen=True, slots=True)
class Present:
    attribute: str


@dataclass(frozen=True, slots=True)
class Substrings:
    """Pieces in this order; `initial` at the beginning, `final` at the end. At least one is there."""

    attribute: str
    initial: bytes | None
    between: tuple[bytes, ...]
    final: bytes | None


@dataclass(frozen=True, slots=True)
class Matches:
    """An extensible match; with `names` the parts of the entry's own name count as attributes."""

    rule: str | None
    attribute: str | None
    value: bytes
    names: bool


_OPERATORS: dict[int, Operator] = {0xA3: "=", 0xA5: ">=", 0xA6: "<=", 0xA8: "~="}

Filter = And | Or | Not | Comparison | Present | Substrings | Matches


def read(reader: BerReader) -> Filter:
    return _Reading().filter(reader, 0)


class _Reading:
    """Count the items of one filter."""

    def __init__(self) -> None:
        self._items = 0

    def filter(self, reader: BerReader, depth: int) -> Filter:
        self._items += 1
        if depth > MAX_DEPTH or self._items > MAX_ITEMS:
            raise TooLarge
        tag = reader.tag
        if tag == _PRESENT:
            return Present(_description(reader, _PRESENT))
        tag, inner = reader.any()
        match tag:
            case 0xA0 | 0xA1:
                parts: list[Filter] = []
                while inner.more:
                    parts.append(self.filter(inner, depth + 1))
                return And(tuple(parts)) if tag == _AND else Or(tuple(parts))
            case 0xA2:
                return Not(_last(inner, self.filter(inner, depth + 1)))
            case 0xA3 | 0xA5 | 0xA6 | 0xA8:
                return _last(inner, Comparison(_OPERATORS[tag], _description(inner), _value(inner)))
            case 0xA4:
                return _last(inner, self._substrings(inner))
            case 0xA9:
                return _last(inner, _matches(inner))
            case _:
                raise BadBer("filter")

    def _substrings(self, inner: BerReader) -> Substrings:
        attribute = _description(inner)
        pieces = inner.into()
        initial: bytes | None = None
        final: bytes | None = None
        between: list[bytes] = []
        if not pieces.more:
            raise BadBer("substrings")
        while pieces.more:
            self._items += 1
            if self._items > MAX_ITEMS:
                raise TooLarge
            tag = pieces.tag
            piece = _value(pieces, tag)
            if final is not None or (tag == 0x80 and (initial is not None or between)):
                raise BadBer("substrings")
            match tag:
                case 0x80:
                    initial = piece
                case 0x81:
                    between.append(piece)
                case 0x82:
                    final = piece
                case _:
                    raise BadBer("substrings")
        return Substrings(attribute, initial, tuple(between), final)


def _last(reader: BerReader, found: Filter) -> Filter:
    reader.close()
    return found


def _value(reader: BerReader, tag: int = 0x04) -> bytes:
    value = reader.octets(tag)
    if len(value) > MAX_VALUE_OCTETS:
        raise TooLarge
    return value


def _description(reader: BerReader, tag: int = 0x04) -> str:
    """Return an attribute description; one that is not ASCII is unknown and matches nothing."""
    return reader.octets(tag).decode("ascii", "replace")


def _matches(inner: BerReader) -> Matches:
    rule = _description(inner, 0x81) if inner.tag == 0x81 else None
    attribute = _description(inner, 0x82) if inner.tag == 0x82 else None
    value = _value(inner, 0x83)
    names = inner.boolean(0x84) if inner.tag == 0x84 else False
    if rule is None and attribute is None:
        raise BadBer("matching rule")
    return Matches(rule, attribute, value, names)
