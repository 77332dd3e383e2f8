"""Raw header blocks: cutting fields out of them, and reading them for people.

In: the octets of a header. Out: octets (`cut`, exactly as they lie there) or text (`decode_text`, `decode_words`).
Never raises on any input. RFC 5322 §2.2 (fields, folding), RFC 2047 (encoded words), RFC 2231 (parameters), RFC 6532 (UTF-8).
"""

from collections.abc import Iterable
from typing import NamedTuple


class Address(NamedTuple):
    """One mailbox of an address list, or a group's start (`mailbox` is its name, `host` None) or end (both None).

    The shape is the one that ENVELOPE wants (RFC 9051 §7.5.2). Octets as they stand, quotes and comments resolved.
    """

    name: bytes | None
    route: bytes | None
    mailbox: bytes | None
    host: bytes | None


def cut(header: bytes, names: Iterable[bytes], *, others: bool = False) -> bytes:
    """HEADER.FIELDS (or, with `others`, HEADER.FIELDS.NOT): matching fields, unchanged and in order, then an empty line."""
    raise NotImplementedError


def fields(header: bytes) -> list[tuple[bytes, bytes]]:
    """All fields in order: name in lower case, value unfolded and stripped of outer white space."""
    raise NotImplementedError


def field(header: bytes, name: bytes) -> bytes | None:
    """The unfolded value of the first field called `name` (lower case)."""
    raise NotImplementedError


def decode_text(value: bytes, charset: str = "") -> str:
    """An unstructured value as text: RFC 2047 words, raw UTF-8, or the legacy charset (given, else windows-1258)."""
    raise NotImplementedError


def parse_addresses(value: bytes) -> list[Address]:
    """An address list, as tolerant as it can be: groups, comments, quoted strings, routes, missing brackets."""
    raise NotImplementedError


def parse_parameters(value: bytes) -> tuple[bytes, list[tuple[bytes, bytes]]]:
    """The leading token of a structured field and its parameters (names in lower case), as they stand in the field."""
    raise NotImplementedError


def decode_parameters(parameters: Iterable[tuple[bytes, bytes]]) -> dict[str, str]:
    """Parameters for people: RFC 2231 charsets and continuations, RFC 2047 words where mailers put them."""
    raise NotImplementedError
