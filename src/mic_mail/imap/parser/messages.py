"""EXPUNGE, COPY, MOVE and UIDBATCHES: their arguments and the parsers of these.

Standards: RFC 9051 §9, and those named at each function.
"""

from dataclasses import dataclass

from mic_mail.imap.parser.command import Arguments, MessageArguments
from mic_mail.imap.parser.lexer import Cursor, Fault
from mic_mail.imap.parser.number_set import SequenceSet


@dataclass(frozen=True, slots=True)
class UidBatches(Arguments):
    """UIDBATCHES (RFC 10022): batches of `size` messages, from number `first` to number `last`.

    They are counted from 1, newest messages first.
    """

    size: int
    first: int = 1
    last: int | None = None


@dataclass(frozen=True, slots=True)
class Expunge(Arguments):
    """EXPUNGE (RFC 9051 §6.4.3); with `uids` it is UID EXPUNGE (UIDPLUS, RFC 4315 §2.1)."""

    uids: SequenceSet | None = None


@dataclass(frozen=True, slots=True)
class Transfer(MessageArguments):
    """COPY (RFC 9051 §6.4.7) and MOVE (RFC 6851)."""

    messages: SequenceSet
    mailbox: str


def uid_batches(cursor: Cursor) -> UidBatches:
    """Parse UIDBATCHES (RFC 10022): "UIDBATCHES" SP nz-number [SP nz-number ":" nz-number].

    An invalid number is a bug of the client.
    """
    size, first, last = cursor.number(), 1, None
    if not cursor.at_end():
        cursor.space()
        first = cursor.number()
        if not cursor.take(b":"):
            raise Fault(b"Syntax error: range expected")
        last = cursor.number()
    cursor.end()
    if not size or not first or (last is not None and last < first):
        raise Fault(b"No such batch", b"CLIENTBUG")
    return UidBatches(size, first, last)


def expunge(cursor: Cursor, *, by_uid: bool) -> Expunge:
    if not by_uid:
        return Expunge()
    return Expunge(cursor.sequence_set())


def transfer(cursor: Cursor, *, by_uid: bool) -> Transfer:
    messages = cursor.sequence_set()
    cursor.space()
    return Transfer(by_uid, messages, cursor.mailbox())
