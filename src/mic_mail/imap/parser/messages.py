"""EXPUNGE, COPY, MOVE and UIDBATCHES: their values and their parsers.

Standards: RFC 9051 §9, and those named at each function.
"""

from dataclasses import dataclass
from typing import ClassVar

from mic_mail.imap.parser.command import Command, MessageCommand
from mic_mail.imap.parser.lexer import Cursor, Fault
from mic_mail.imap.parser.number_set import SequenceSet


@dataclass(frozen=True, slots=True)
class UidBatches(Command):
    """UIDBATCHES (RFC 10022): batches of `size` messages, from number `first` to number `last`.

    They are counted from 1, newest messages first.
    """

    verb: ClassVar[str] = "UIDBATCHES"
    size: int
    first: int = 1
    last: int | None = None


@dataclass(frozen=True, slots=True)
class Expunge(Command):
    """EXPUNGE (RFC 9051 §6.4.3); with `uids` it is UID EXPUNGE (UIDPLUS, RFC 4315 §2.1)."""

    verb: ClassVar[str] = "EXPUNGE"
    uids: SequenceSet | None = None


@dataclass(frozen=True, slots=True)
class Copy(MessageCommand):
    """COPY (RFC 9051 §6.4.7)."""

    verb: ClassVar[str] = "COPY"
    messages: SequenceSet
    mailbox: str


@dataclass(frozen=True, slots=True)
class Move(MessageCommand):
    """MOVE (RFC 6851, RFC 9051 §6.4.8)."""

    verb: ClassVar[str] = "MOVE"
    messages: SequenceSet
    mailbox: str


def uid_batches(tag: bytes, cursor: Cursor) -> UidBatches:
    """Parse UIDBATCHES (RFC 10022): "UIDBATCHES" SP nz-number [SP nz-number ":" nz-number].

    An invalid number is a bug of the client.
    """
    cursor.space()
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
    return UidBatches(tag, size, first, last)


def expunge(tag: bytes, cursor: Cursor, *, by_uid: bool) -> Expunge:
    """Parse EXPUNGE (RFC 9051 §6.4.3) and UID EXPUNGE (RFC 4315 §2.1)."""
    uids = None
    if by_uid:
        cursor.space()
        uids = cursor.sequence_set()
    cursor.end()
    return Expunge(tag, uids)


def copy(tag: bytes, cursor: Cursor, *, by_uid: bool) -> Copy:
    """Parse COPY (RFC 9051 §6.4.7)."""
    return Copy(tag, by_uid, *_messages_and_mailbox(cursor))


def move(tag: bytes, cursor: Cursor, *, by_uid: bool) -> Move:
    """Parse MOVE (RFC 9051 §6.4.8)."""
    return Move(tag, by_uid, *_messages_and_mailbox(cursor))


def _messages_and_mailbox(cursor: Cursor) -> tuple[SequenceSet, str]:
    cursor.space()
    messages = cursor.sequence_set()
    cursor.space()
    mailbox = cursor.mailbox()
    cursor.end()
    return messages, mailbox
