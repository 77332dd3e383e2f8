"""APPEND and REPLACE: the parsers of their parts, since the reader reads them in pieces.

Standards: RFC 9051 §6.3.12, RFC 8508, and those named at each function.
"""

import re
from dataclasses import dataclass, field
from datetime import datetime
from typing import NoReturn

from mic_mail.imap.parser.command import FlagList
from mic_mail.imap.parser.fetch import flags
from mic_mail.imap.parser.lexer import Cursor, Fault
from mic_mail.imap.parser.number_set import SequenceSet


@dataclass(frozen=True, slots=True)
class AppendOptions:
    """The arguments of one message of an APPEND: flags, INTERNALDATE (None: now), and the literal's form.

    `binary` is literal8 (RFC 3516: may hold NUL); `utf8` is the UTF8 (~{n}) form of RFC 6855 §4 (8-bit headers).
    """

    flags: FlagList = field(default_factory=FlagList)
    received_at: datetime | None = None
    binary: bool = False
    utf8: bool = False


_MESSAGE_LITERAL = re.compile(rb"(~?)\{([0-9]{1,19})(\+?)\}\r?\n\Z")


def replaced(cursor: Cursor) -> SequenceSet:
    """Parse the first argument of REPLACE: one number, or `*` (RFC 8508 §5)."""
    start = cursor.position
    messages = cursor.sequence_set()
    written = cursor.data[start : cursor.position]
    if not written.isdigit() and written != b"*":
        raise Fault(b"One message number expected")
    cursor.space()
    return messages


def append_options(cursor: Cursor) -> tuple[AppendOptions, int, bool]:
    """Parse the options of one message; return them, its size, and whether the client waits to continue.

    The cursor's octets end with the announcement of the literal. RFC 9051 §6.3.12, RFC 4466 §3 (append-message),
    RFC 3516 §4.4 (literal8), RFC 6855 §4 (UTF8).
    """
    cursor.space()
    named, received_at, utf8 = FlagList(), None, False
    if cursor.at(b"("):
        named = flags(cursor)
        cursor.space()
    if cursor.at(b'"'):
        received_at = cursor.date_time()
        cursor.space()
    if cursor.data[cursor.position : cursor.position + 4].upper() == b"UTF8":
        cursor.position += 4
        cursor.space()
        if not cursor.take(b"("):
            raise Fault(b"Syntax error: literal expected")
        utf8 = True
    literal = _MESSAGE_LITERAL.match(cursor.data, cursor.position)
    if literal is None or (utf8 and not literal[1]):
        raise Fault(b"Syntax error: literal expected")
    return AppendOptions(named, received_at, bool(literal[1]), utf8), int(literal[2]), not literal[3]


def append(cursor: Cursor) -> NoReturn:
    """Refuse an APPEND that ends before any message literal; the reader handles all others."""
    cursor.mailbox()
    raise Fault(b"Missing message")


def replace(cursor: Cursor) -> NoReturn:
    """Refuse a REPLACE that ends before its message literal."""
    replaced(cursor)
    append(cursor)
