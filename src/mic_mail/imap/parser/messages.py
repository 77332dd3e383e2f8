"""Parses the arguments of EXPUNGE, COPY, MOVE and UIDBATCHES.

Standards: RFC 9051 §9, and those named at each function.
"""

from mic_mail.imap.parser import commands
from mic_mail.imap.parser.lexer import Cursor, Fault
from mic_mail.imap.parser.number_set import SequenceSet


def uid_batches(tag: bytes, cursor: Cursor) -> commands.UidBatches:
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
    return commands.UidBatches(tag, size, first, last)


def expunge(tag: bytes, cursor: Cursor, *, by_uid: bool) -> commands.Expunge:
    """Parse EXPUNGE (RFC 9051 §6.4.3) and UID EXPUNGE (RFC 4315 §2.1)."""
    uids = None
    if by_uid:
        cursor.space()
        uids = cursor.sequence_set()
    cursor.end()
    return commands.Expunge(tag, uids)


def copy(tag: bytes, cursor: Cursor, *, by_uid: bool) -> commands.Copy:
    """Parse COPY (RFC 9051 §6.4.7)."""
    return commands.Copy(tag, by_uid, *_messages_and_mailbox(cursor))


def move(tag: bytes, cursor: Cursor, *, by_uid: bool) -> commands.Move:
    """Parse MOVE (RFC 9051 §6.4.8)."""
    return commands.Move(tag, by_uid, *_messages_and_mailbox(cursor))


def _messages_and_mailbox(cursor: Cursor) -> tuple[SequenceSet, str]:
    cursor.space()
    messages = cursor.sequence_set()
    cursor.space()
    mailbox = cursor.mailbox()
    cursor.end()
    return messages, mailbox
