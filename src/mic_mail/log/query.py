"""Queries on the log, and the keys by which lines are indexed. Pure.

In: a decoded line. Out: its keys, and whether it matches a `Query`. Keys only narrow the search: the line itself decides, so
two values that share a key (48 bits) cost one line read in vain and nothing else. Addresses and Message-IDs are compared
without regard to the case of A-Z; a trace id as it is printed, in capitals.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from hashlib import blake2b
from json.encoder import encode_basestring

KEY_OCTETS = 6
"""SQLite stores such a number in six octets.

Among a month's million keys there is a collision in one case of a hundred.
"""
KINDS = {
    **dict.fromkeys(
        ("mailbox", "sender", "recipient", "recipients", "login", "written_as", "actor", "subject", "address"), "@"
    ),
    **dict.fromkeys(("trace", "ref"), "t"),
    **dict.fromkeys(("event", "act"), "e"),
    "session": "s",
    "message_id": "m",
}
"""Fields by which a line can be found: addresses (for acts `subject` and `actor`), trace id, ...

The trace id also occurs as the reference in a refusal.
"""

Fields = Mapping[str, object]


@dataclass(frozen=True, slots=True)
class Query:
    """A query: all conditions have to hold. Instants in microseconds since the epoch, `until` excluded."""

    mailbox: str | None = None
    message_id: str | None = None
    trace: str | None = None
    session: str | None = None
    event: str | None = None
    since_us: int | None = None
    until_us: int | None = None

    def wanted(self) -> tuple[tuple[str, str], ...]:
        """Return kind and value of each required key, the rarest first."""
        pairs = (
            ("m", self.message_id and bare_message_id(self.message_id)),
            ("t", self.trace and self.trace.upper()),
            ("s", self.session and self.session.upper()),
            ("@", self.mailbox and lowered(self.mailbox)),
            ("e", self.event),
        )
        return tuple((kind, value) for kind, value in pairs if value)

    def keys(self) -> tuple[int, ...]:
        """Return the keys for `index`."""
        return tuple(key_of(kind, value) for kind, value in self.wanted())

    def needles(self) -> tuple[bytes, ...]:
        """Return octets that a line has to contain with A-Z in lower case: a cheap test before decoding."""
        return tuple(encode_basestring(value)[1:-1].encode("utf-8", "backslashreplace").lower() for _, value in self.wanted())

    def in_time(self, at_us: int) -> bool:
        return (self.since_us is None or at_us >= self.since_us) and (self.until_us is None or at_us < self.until_us)

    def holds(self, fields: Fields) -> bool:
        """Return whether a line matches all conditions but the time."""
        wanted = self.wanted()
        return not wanted or set(wanted) <= set(pairs_of(fields))


def pairs_of(fields: Fields) -> Iterator[tuple[str, str]]:
    """Yield kind and value of everything that a line is indexed by, possibly with duplicates."""
    for name, value in fields.items():
        kind = KINDS.get(name)
        if kind is None:
            continue
        if kind == "@" and type(value) is list:
            yield from (("@", lowered(item)) for item in value if isinstance(item, str))
        elif type(value) is not str or not value:
            continue
        elif kind == "@":
            yield "@", lowered(value)
        else:
            yield kind, bare_message_id(value) if kind == "m" else value


def keys_of(fields: Fields) -> set[int]:
    return {key_of(kind, value) for kind, value in pairs_of(fields)}


@lru_cache(maxsize=1 << 15)  # addresses and event names recur: a third of the time of loading
def key_of(kind: str, value: str) -> int:
    return int.from_bytes(blake2b((kind + value).encode("utf-8", "surrogatepass"), digest_size=KEY_OCTETS).digest())


def lowered(text: str) -> str:
    """Return text with A-Z in lower case and nothing else changed, so octets and characters agree."""
    return text.lower() if text.isascii() else "".join([c.lower() if c.isascii() else c for c in text])


def bare_message_id(text: str) -> str:
    """Return a Message-ID as it is compared: without the brackets around it."""
    return lowered(text.strip().removeprefix("<").removesuffix(">"))
