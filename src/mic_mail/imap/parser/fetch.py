"""FETCH and STORE: their arguments and the parsers of these.

RFC 9051 §6.4.5-6, RFC 7162 §3.1.3-4, and others as in `fetch_items`.
The part of a FETCH behind the message set is parsed once and cached: a client asks for the same items all day
(`UID FETCH` of one message with 12 header fields, octets to command: 5 us cached, 33 us not).
"""

import re
from dataclasses import dataclass
from enum import Enum
from functools import lru_cache
from typing import NamedTuple

from mic_mail.imap.parser.command import SYSTEM_FLAGS, FlagList, MessageArguments
from mic_mail.imap.parser.fetch_items import Binary, BinarySize, Datum, FetchItem, Preview, Section, SectionText
from mic_mail.imap.parser.lexer import Cursor, Fault
from mic_mail.imap.parser.number_set import Partial, SequenceSet


@dataclass(frozen=True, slots=True)
class Fetch(MessageArguments):
    """FETCH (RFC 9051 §6.4.5).

    `items` is complete: macros are expanded, UID is added in UID FETCH, and MODSEQ with CHANGEDSINCE (RFC 7162 §3.1.4.1).
    """

    messages: SequenceSet
    items: tuple[FetchItem, ...]
    changed_since: int | None = None
    vanished: bool = False
    uid_implied: bool = False
    """True if UID is among the items although the client did not name it.

    With UIDONLY each line begins with the UID (RFC 9586 §3.3).
    """
    partial: Partial | None = None
    """The part of the named messages to return (RFC 9394 §3.3)."""


class FlagChange(Enum):
    """The ways in which STORE changes flags; the values are those of the index."""

    ADD = "+"
    REMOVE = "-"
    REPLACE = "="


@dataclass(frozen=True, slots=True)
class Store(MessageArguments):
    """STORE (RFC 9051 §6.4.6), with UNCHANGEDSINCE (RFC 7162 §3.1.3)."""

    messages: SequenceSet
    change: FlagChange
    flags: FlagList
    silent: bool = False
    unchanged_since: int | None = None


MAX_PART_DEPTH = 100
_REMEMBERED_OCTETS = 1024

_ITEM = re.compile(rb"[A-Za-z0-9.]++")
_SECTION = re.compile(
    rb"\[(?:([1-9][0-9]{0,9}(?:\.[1-9][0-9]{0,9})*+)(?:\.(?=[A-Za-z]))?)?"
    rb"([Hh][Ee][Aa][Dd][Ee][Rr](?:\.[Ff][Ii][Ee][Ll][Dd][Ss](?:\.[Nn][Oo][Tt])?)?|[Tt][Ee][Xx][Tt]|[Mm][Ii][Mm][Ee])?"
)
_PARTIAL = re.compile(rb"<([0-9]{1,19})\.([0-9]{1,19})>")
_PLAIN_FIELD = re.compile(rb'[^\x00-\x20(){%*"\\\]\x7f-\xff]++')
_LAZY = re.compile(rb" ++\((?: *+[Ll][Aa][Zz][Yy])++ *+\)")
_STORE_ITEM = re.compile(rb"([+-]?)[Ff][Ll][Aa][Gg][Ss](\.[Ss][Ii][Ll][Ee][Nn][Tt])?(?= )")
_CHANGES = {b"+": FlagChange.ADD, b"-": FlagChange.REMOVE, b"": FlagChange.REPLACE}
_SYSTEM_FLAGS = {name.upper(): bit for name, bit in SYSTEM_FLAGS.items()}

_ITEMS: dict[bytes, FetchItem] = {
    **{datum.value: datum for datum in Datum},
    b"RFC822": Section((), SectionText.ALL, b"RFC822"),
    b"RFC822.HEADER": Section((), SectionText.HEADER, b"RFC822.HEADER", peek=True),  # RFC 3501 §6.4.5: \Seen is not set
    b"RFC822.TEXT": Section((), SectionText.TEXT, b"RFC822.TEXT"),
}
_FAST: tuple[FetchItem, ...] = (Datum.FLAGS, Datum.INTERNALDATE, Datum.SIZE)
_MACROS: dict[bytes, tuple[FetchItem, ...]] = {
    b"FAST": _FAST,
    b"ALL": (*_FAST, Datum.ENVELOPE),
    b"FULL": (*_FAST, Datum.ENVELOPE, Datum.BODY),
}
_SECTIONED = {b"BODY", b"BODY.PEEK", b"BINARY", b"BINARY.PEEK", b"BINARY.SIZE"}


def fetch(cursor: Cursor, *, by_uid: bool) -> Fetch:
    messages = cursor.sequence_set()
    cursor.space()
    rest = cursor.data[cursor.position :]
    read = _arguments if len(rest) <= _REMEMBERED_OCTETS else _arguments.__wrapped__
    items, modifiers, implied = read(rest, by_uid)
    cursor.skip_rest()
    changed_since, vanished, partial = modifiers
    return Fetch(by_uid, messages, items, changed_since, vanished, uid_implied=implied, partial=partial)


class _Modifiers(NamedTuple):
    changed_since: int | None = None
    vanished: bool = False
    partial: Partial | None = None


@lru_cache(maxsize=256)
def _arguments(rest: bytes, by_uid: bool) -> tuple[tuple[FetchItem, ...], _Modifiers, bool]:
    """Parse everything behind the message set; also return whether UID is only implied. A pure function."""
    cursor = Cursor(rest)
    items = _items(cursor)
    implied = by_uid and Datum.UID not in items
    modifiers = _modifiers(cursor, by_uid) if cursor.another(b"(") else _Modifiers()
    cursor.end()
    if by_uid:
        items.setdefault(Datum.UID)  # RFC 9051 §6.4.9
    if modifiers.changed_since is not None:
        items.setdefault(Datum.MODSEQ)  # RFC 7162 §3.1.4.1
    return tuple(items), modifiers, implied


def fetch_items(cursor: Cursor) -> tuple[FetchItem, ...]:
    """Parse a parenthesised list of items, outside of FETCH (RFC 5465 §8)."""
    return tuple(_items(cursor))


def _items(cursor: Cursor) -> dict[FetchItem, None]:
    """Parse the items in the client's order, each once; a macro stands alone (RFC 9051 §9, fetch)."""
    if cursor.at(b"("):
        items = dict.fromkeys([_item(cursor) for _ in cursor.listed()])
        if not items:
            raise Fault(b"No fetch item")
        return items
    found = _ITEM.match(cursor.data, cursor.position)
    macro = _MACROS.get(found[0].upper()) if found else None
    if found is None or macro is None:
        return {_item(cursor): None}
    cursor.position = found.end()
    return dict.fromkeys(macro)


def _item(cursor: Cursor) -> FetchItem:
    found = _ITEM.match(cursor.data, cursor.position)
    if found is None:
        raise Fault(b"Missing argument" if cursor.at_end() else b"Syntax error: fetch item expected")
    cursor.position = found.end()
    name = found[0].upper()
    if cursor.at(b"[") and name in _SECTIONED:
        return _sectioned(name, cursor)
    if name == b"PREVIEW":
        return _preview(cursor)
    item = _ITEMS.get(name)
    if item is None:
        raise Fault(b"Unknown fetch item")
    return item


def _preview(cursor: Cursor) -> Preview:
    """Parse PREVIEW (RFC 8970 §3.2): LAZY is the only modifier.

    In `FETCH 1 PREVIEW (CHANGEDSINCE 5)` the list belongs to FETCH.
    """
    found = _LAZY.match(cursor.data, cursor.position)
    if found is None:
        return Preview()
    cursor.position = found.end()
    return Preview(lazy=True)


def _sectioned(name: bytes, cursor: Cursor) -> FetchItem:
    """Parse BODY[...]<...> and BINARY[...]<...> (RFC 9051 §6.4.5); the cursor stands at the bracket."""
    found = _SECTION.match(cursor.data, cursor.position)
    if found is None:
        raise Fault(b"Invalid section")
    cursor.position = found.end()
    part = tuple([int(number) for number in found[1].split(b".")]) if found[1] else ()
    text = SectionText((found[2] or b"").upper())
    if len(part) > MAX_PART_DEPTH or max(part, default=0) > 0xFFFF_FFFF or (text is SectionText.MIME and not part):
        raise Fault(b"Invalid section")
    spec = b".".join([piece for piece in (found[1], text.value) if piece])
    fields: tuple[bytes, ...] = ()
    if text in {SectionText.HEADER_FIELDS, SectionText.HEADER_FIELDS_NOT}:
        fields, shown = _field_names(cursor)
        spec += shown
    if not cursor.take(b"]"):
        raise Fault(b"Invalid section")
    kind = name.removesuffix(b".PEEK")
    label = kind + b"[" + spec + b"]"
    if kind != b"BODY" and text is not SectionText.ALL:
        raise Fault(b"Invalid section")
    if name == b"BINARY.SIZE":
        return BinarySize(part, label)
    partial = _partial(cursor)
    if partial is not None:
        label += b"<%d>" % partial[0]
    peek = name.endswith(b".PEEK")
    if kind == b"BINARY":
        return Binary(part, label, peek, partial)
    return Section(part, text, label, fields, peek, partial)


def _field_names(cursor: Cursor) -> tuple[tuple[bytes, ...], bytes]:
    """Parse header field names: in lower case for the lookup, and as the response repeats them."""
    cursor.space()
    names = [cursor.astring() for _ in cursor.listed()]
    if not names:
        raise Fault(b"No header field")
    shown = b" ".join([name if _PLAIN_FIELD.fullmatch(name) else _quoted(name) for name in names])
    return tuple(dict.fromkeys([name.lower() for name in names])), b" (" + shown + b")"


def _quoted(name: bytes) -> bytes:
    """Quote a name that is not an atom.

    No field has such a name (RFC 5322 §2.2), so one that no quoted string can hold is refused.
    """
    if not name.isascii() or not name.decode("ascii").isprintable():
        raise Fault(b"Invalid header field name")
    return b'"' + name.replace(b"\\", b"\\\\").replace(b'"', b'\\"') + b'"'


def _partial(cursor: Cursor) -> tuple[int, int] | None:
    """Parse `<first.count>`; the count is not zero (RFC 9051 §9, partial)."""
    if not cursor.at(b"<"):
        return None
    found = _PARTIAL.match(cursor.data, cursor.position)
    if found is None or int(found[2]) == 0:
        raise Fault(b"Invalid partial")
    cursor.position = found.end()
    return int(found[1]), int(found[2])


def _modifiers(cursor: Cursor, by_uid: bool) -> _Modifiers:
    """Parse fetch modifiers (RFC 7162 §3.1.4.1, §3.2.6; RFC 9394 §3.3).

    CHANGEDSINCE 0 is not a mod-sequence-value, but iOS Mail sends it: everything has changed since.
    """
    changed_since, vanished, partial = None, False, None
    for _ in cursor.listed():
        name = cursor.word()
        if name == b"CHANGEDSINCE":
            cursor.space()
            changed_since = cursor.number64()
        elif name == b"VANISHED":
            vanished = True
        elif name == b"PARTIAL" and by_uid and partial is None:
            cursor.space()
            partial = cursor.partial()
        else:
            raise Fault(b"Unknown fetch modifier")
    if vanished and (changed_since is None or not by_uid):
        raise Fault(b"VANISHED needs UID FETCH and CHANGEDSINCE")
    return _Modifiers(changed_since, vanished, partial)


def store(cursor: Cursor, *, by_uid: bool) -> Store:
    messages = cursor.sequence_set()
    cursor.space()
    unchanged_since = None
    if cursor.at(b"("):
        for _ in cursor.listed():
            if cursor.word() != b"UNCHANGEDSINCE" or unchanged_since is not None:
                raise Fault(b"Unknown store modifier")
            cursor.space()
            unchanged_since = cursor.number64()
        cursor.space()
    found = _STORE_ITEM.match(cursor.data, cursor.position)
    if found is None:
        raise Fault(b"Missing argument" if cursor.at_end() else b"Syntax error: FLAGS expected")
    cursor.position = found.end()
    cursor.space()
    return Store(by_uid, messages, _CHANGES[found[1]], flags(cursor), bool(found[2]), unchanged_since)


def flags(cursor: Cursor) -> FlagList:
    """Parse a list of flags, or flags without parentheses up to the end (RFC 9051 §9, store-att-flags).

    `\\Recent` and unknown system flags cannot be set (RFC 9051 §2.3.2): BAD, as in Dovecot.
    """
    named = [cursor.flag() for _ in (cursor.listed() if cursor.at(b"(") else cursor.remaining())]
    system = 0
    keywords: dict[bytes, str] = {}
    for flag in named:
        if flag.startswith(b"\\"):
            bit = _SYSTEM_FLAGS.get(flag.upper())
            if bit is None:
                raise Fault(b"Unknown system flag")
            system |= bit
        else:
            keywords.setdefault(flag.lower(), flag.decode("ascii"))
    return FlagList(system, tuple(keywords.values()))
