"""Parse the requests of clients (RFC 4511 §4): the octets of one message in, values out. Pure.

`BadBer` from `envelope` means that nothing more can be understood on this connection (§4.1.1); from the parser of an
operation that this one request is malformed.
"""

from dataclasses import dataclass, field
from typing import Final

from mic_mail.ldap import filters
from mic_mail.ldap.ber import OCTET_STRING, BadBer, BerReader
from mic_mail.ldap.filters import Filter

BIND: Final = 0x60
UNBIND: Final = 0x42
SEARCH: Final = 0x63
MODIFY: Final = 0x66
ADD: Final = 0x68
DELETE: Final = 0x4A
RENAME: Final = 0x6C
COMPARE: Final = 0x6E
ABANDON: Final = 0x50
EXTENDED: Final = 0x77

ANSWERS = {
    BIND: 0x61, SEARCH: 0x65, MODIFY: 0x67, ADD: 0x69, DELETE: 0x6B, RENAME: 0x6D, COMPARE: 0x6F, EXTENDED: 0x78,
}  # fmt: skip
"""The tag of the response to each request that has one."""
WRITES = frozenset({MODIFY, ADD, DELETE, RENAME})
MAX_ID = (1 << 31) - 1
MAX_CONTROLS = 16
MAX_ATTRIBUTES = 128


@dataclass(frozen=True, slots=True)
class Control:
    """A control (RFC 4511 §4.1.11)."""

    oid: str
    critical: bool
    value: bytes | None


@dataclass(frozen=True, slots=True)
class LdapMessage:
    """A message whose operation is not parsed yet."""

    number: int
    tag: int
    body: BerReader
    controls: tuple[Control, ...]


@dataclass(frozen=True, slots=True)
class Bind:
    """A bind: `password` for simple, else `mechanism` and its data; neither: an unsupported method."""

    version: int
    name: str
    password: bytes | None = field(default=None, repr=False)
    mechanism: str = ""
    credentials: bytes | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class Search:
    """A search; `fingerprint`: the octets of base, scope and filter, which a later page has to repeat."""

    base: str
    scope: int
    size_limit: int
    time_limit: int
    types_only: bool
    filter: Filter
    attributes: tuple[str, ...]
    fingerprint: bytes = b""


@dataclass(frozen=True, slots=True)
class Compare:
    name: str
    attribute: str
    value: bytes


@dataclass(frozen=True, slots=True)
class Extended:
    oid: str
    value: bytes | None = field(default=None, repr=False)


def envelope(octets: bytes) -> LdapMessage:
    """Parse a message that `ber.message_octets` has delimited."""
    outer = BerReader(octets)
    message = outer.into()
    outer.close()
    number = message.integer()
    if not 0 <= number <= MAX_ID:
        raise BadBer("message id")
    if not message.more:
        raise BadBer("operation")
    tag, body = message.any()
    controls = _controls(message.into(0xA0)) if message.more else ()
    message.close()
    return LdapMessage(number, tag, body, controls)


def _controls(reader: BerReader) -> tuple[Control, ...]:
    found: list[Control] = []
    while reader.more:
        if len(found) == MAX_CONTROLS:
            raise BadBer("controls")
        one = reader.into()
        oid = one.text()
        critical = one.boolean() if one.tag == 0x01 else False
        value = one.octets() if one.more else None
        one.close()
        found.append(Control(oid, critical, value))
    return tuple(found)


def bind(body: BerReader) -> Bind:
    version, name = body.integer(), body.text()
    tag = body.tag
    if tag == 0x80:
        password = body.octets(0x80)
        body.close()
        return Bind(version, name, password)
    if tag != 0xA3:  # another method, as Windows has them: unsupported, but no error (RFC 4511 §4.2)
        body.any()
        body.close()
        return Bind(version, name)
    sasl = body.into(0xA3)
    body.close()
    mechanism = sasl.text()
    credentials = sasl.octets() if sasl.more else None
    sasl.close()
    return Bind(version, name, None, mechanism, credentials)


def search(body: BerReader) -> Search:
    """Parse a search; raises `filters.TooLarge` too."""
    base, scope, _deref = body.text(), body.integer(0x0A), body.integer(0x0A)
    size, time, types_only = body.integer(), body.integer(), body.boolean()
    if size < 0 or time < 0:
        raise BadBer("limit")
    before = body.copy().rest()
    wanted = filters.read(body)
    shape = before[: len(before) - len(body.copy().rest())]
    names = body.into()
    body.close()
    attributes: list[str] = []
    while names.more:
        if len(attributes) == MAX_ATTRIBUTES:
            raise BadBer("attributes")
        attributes.append(names.octets(OCTET_STRING).decode("ascii", "replace"))
    return Search(base, scope, size, time, types_only, wanted, tuple(attributes), shape)


def compare(body: BerReader) -> Compare:
    name, assertion = body.text(), body.into()
    body.close()
    found = Compare(name, assertion.octets().decode("ascii", "replace"), assertion.octets())
    assertion.close()
    return found


def extended(body: BerReader) -> Extended:
    oid = body.text(0x80)
    value = body.octets(0x81) if body.more else None
    body.close()
    return Extended(oid, value)


def abandoned(body: BerReader) -> int:
    """Return the message that an AbandonRequest names: its content is the number itself (RFC 4511 §4.11)."""
    octets = body.rest()
    if not 0 < len(octets) <= 5:
        raise BadBer("message id")
    return int.from_bytes(octets, signed=True)


def cancelled(value: bytes | None) -> int:
    """Return the message that a Cancel operation names (RFC 3909 §2.1)."""
    outer = BerReader(value or b"")
    inner = outer.into()
    outer.close()
    number = inner.integer()
    inner.close()
    return number
