"""GETMETADATA and SETMETADATA (RFC 5464): their arguments and the parsers of these.

The mailbox "" is the server. Entry names are as the client wrote them; one that RFC 5464 §3.2 does not allow is BAD.
Tolerated, since examples of RFC 5464 §4 have it: options behind the mailbox, and several entries without parentheses.
"""

import re
from dataclasses import dataclass

from mic_mail.imap.parser.command import Arguments
from mic_mail.imap.parser.lexer import Cursor, Fault

MAX_ENTRIES = 100
"""Most entries of one command: each may be answered for every mailbox of a LIST."""
MAX_NAME_OCTETS = 255

_NAME = re.compile(rb"/(?i:shared|private)(?:/[^\x00-\x1f/%*\x7f-\xff]++)*+")
_OPTIONS = re.compile(rb"\( *+[A-Za-z]")
"""The beginning of an option list: options begin with a letter, entries with a slash, quoted or not."""
_LITERAL8 = re.compile(rb"~\{([0-9]{1,19})\+?\}\r?\n")
_DEPTHS: dict[bytes, int | None] = {b"0": 0, b"1": 1, b"INFINITY": None}


@dataclass(frozen=True, slots=True)
class GetMetadata(Arguments):
    """GETMETADATA (RFC 5464 §4.2). `depth` is 0, 1 or None for all levels below; `max_octets` is MAXSIZE."""

    mailbox: str
    entries: tuple[str, ...]
    depth: int | None = 0
    max_octets: int | None = None


@dataclass(frozen=True, slots=True)
class SetMetadata(Arguments):
    """SETMETADATA (RFC 5464 §4.3); the value None removes an entry."""

    mailbox: str
    changes: tuple[tuple[str, bytes | None], ...]


def get_metadata(cursor: Cursor) -> GetMetadata:
    depth: int | None = 0
    max_octets: int | None = None
    options = cursor.at(b"(")
    if options:
        depth, max_octets = _options(cursor)
        cursor.space()
    mailbox = cursor.reference()
    cursor.space()
    if not options and _OPTIONS.match(cursor.data, cursor.position):
        depth, max_octets = _options(cursor)
        cursor.space()
    return GetMetadata(mailbox, entries(cursor, below=depth != 0), depth, max_octets)


def _options(cursor: Cursor) -> tuple[int | None, int | None]:
    depth: int | None = 0
    max_octets: int | None = None
    for _ in cursor.listed():
        name = cursor.word()
        cursor.space()
        if name == b"DEPTH":
            value = cursor.word()
            if value not in _DEPTHS:
                raise Fault(b"Unknown depth")
            depth = _DEPTHS[value]
        elif name == b"MAXSIZE":
            max_octets = cursor.number()
        else:
            raise Fault(b"Unknown option")
    return depth, max_octets


def entries(cursor: Cursor, *, below: bool = False) -> tuple[str, ...]:
    """Parse one entry or a list of them, each once.

    `below`: the entries below them are requested too, so they may be roots.
    """
    names: dict[str, str] = {}
    for _ in cursor.listed() if cursor.at(b"(") else cursor.remaining():
        _add(names, _entry(cursor, below=below))
    if not names:
        raise Fault(b"No entry")
    return tuple(names.values())


def _add(names: dict[str, str], name: str) -> None:
    names.setdefault(name.lower(), name)
    if len(names) > MAX_ENTRIES:
        raise Fault(b"Too many entries")


def _entry(cursor: Cursor, *, below: bool = False) -> str:
    """Parse an entry name: at least two components, four below a vendor (RFC 5464 §3.2)."""
    name = cursor.astring()
    if _NAME.fullmatch(name) is None or len(name) > MAX_NAME_OCTETS:
        raise Fault(b"Invalid entry name")
    components = name.lower().split(b"/")[1:]
    if not below and len(components) < (4 if components[1:2] == [b"vendor"] else 2):
        raise Fault(b"Invalid entry name")
    return name.decode("ascii")


def set_metadata(cursor: Cursor) -> SetMetadata:
    mailbox = cursor.reference()
    cursor.space()
    changes: list[tuple[str, bytes | None]] = []
    for _ in cursor.listed():
        name = _entry(cursor)
        cursor.space()
        changes.append((name, _value(cursor)))
        if len(changes) > MAX_ENTRIES:
            raise Fault(b"Too many entries")
    if not changes:
        raise Fault(b"No entry")
    return SetMetadata(mailbox, tuple(changes))


def _value(cursor: Cursor) -> bytes | None:
    """Parse an nstring or a literal8, which may hold NUL."""
    literal = _LITERAL8.match(cursor.data, cursor.position)
    if literal is None:
        return cursor.nstring()
    stop = literal.end() + int(literal[1])
    if stop > len(cursor.data):
        raise Fault(b"Unfinished literal")
    cursor.position = stop
    return cursor.data[literal.end() : stop]
