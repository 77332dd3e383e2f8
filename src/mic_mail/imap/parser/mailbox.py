"""Parses the arguments of mailbox commands.

Standards: RFC 9051 §9, RFC 3501 §9, and those named at each function.
"""

from collections.abc import Callable
from typing import TypeVar

from mic_mail.imap.parser import mailbox_commands
from mic_mail.imap.parser.commands import Command
from mic_mail.imap.parser.lexer import Cursor, Fault
from mic_mail.imap.parser.metadata import entries

C = TypeVar("C", bound=Command)

MAX_PATTERNS = 20  # in one LIST; each is matched against every name


def select(tag: bytes, cursor: Cursor, *, read_only: bool) -> mailbox_commands.Select:
    """Parse SELECT and EXAMINE (RFC 9051 §6.3.2), with the parameters of RFC 7162 §3.1.8 and §3.2.5."""
    cursor.space()
    mailbox, written = cursor.mailbox(), cursor.written
    condstore, qresync = False, None
    if cursor.another(b"("):
        for _ in cursor.listed():
            name = cursor.word()
            if name == b"CONDSTORE":
                condstore = True
            elif name == b"QRESYNC" and qresync is None:
                cursor.space()
                qresync = _qresync(cursor)
            else:
                raise Fault(b"Unknown parameter")
    cursor.end()
    return mailbox_commands.Select(tag, mailbox, read_only, condstore, qresync, written)


def _qresync(cursor: Cursor) -> mailbox_commands.QResync:
    """Parse the QRESYNC parameter (RFC 7162 §7).

    "(" uidvalidity SP mod-sequence-value [SP known-uids] [SP seq-match-data] ")"; clients send modseq 0.
    """
    if not cursor.take(b"("):
        raise Fault(b"Syntax error: list expected")
    uidvalidity = cursor.number(at_least=1)
    cursor.space()
    modseq = cursor.number64()
    known_uids = known_messages = None
    if not cursor.at(b")") and not cursor.another(b"("):
        cursor.space()
        known_uids = cursor.known_set()
        cursor.another(b"(")
    if cursor.take(b"("):
        numbers = cursor.known_set()
        cursor.space()
        known_messages = mailbox_commands.KnownMessages(numbers, cursor.known_set())
        if not cursor.take(b")"):
            raise Fault(b"Syntax error in list")
    if not cursor.take(b")"):
        raise Fault(b"Syntax error in list")
    return mailbox_commands.QResync(uidvalidity, modseq, known_uids, known_messages)


def create(tag: bytes, cursor: Cursor) -> mailbox_commands.Create:
    """Parse CREATE (RFC 9051 §6.3.4), with USE (...) of RFC 6154 §3."""
    cursor.space()
    mailbox, written = cursor.mailbox(), cursor.written
    use: list[str] = []
    if cursor.another(b"("):
        for _ in cursor.listed():
            if cursor.word() != b"USE":
                raise Fault(b"Unknown parameter")
            cursor.space()
            use += [cursor.flag().decode("ascii") for _ in cursor.listed()]
    cursor.end()
    return mailbox_commands.Create(tag, mailbox, tuple(use), written)


def delete(tag: bytes, cursor: Cursor) -> mailbox_commands.Delete:
    """Parse DELETE (RFC 9051 §6.3.5)."""
    cursor.space()
    mailbox = cursor.mailbox()
    cursor.end()
    return mailbox_commands.Delete(tag, mailbox, cursor.written)


def on_mailbox(kind: Callable[[bytes, str], C]) -> Callable[[bytes, Cursor], C]:
    """Return the parser of a command whose only argument is a mailbox."""

    def parse(tag: bytes, cursor: Cursor) -> C:
        cursor.space()
        mailbox = cursor.mailbox()
        cursor.end()
        return kind(tag, mailbox)

    return parse


def rename(tag: bytes, cursor: Cursor) -> mailbox_commands.Rename:
    """Parse RENAME (RFC 9051 §6.3.6)."""
    cursor.space()
    mailbox, written = cursor.mailbox(), cursor.written
    cursor.space()
    new_name = cursor.mailbox()
    if cursor.written:
        written = written or mailbox
    cursor.end()
    return mailbox_commands.Rename(tag, mailbox, new_name, written)


_SELECTIONS = {b"SUBSCRIBED", b"REMOTE", b"RECURSIVEMATCH", b"SPECIAL-USE"}
_RETURNS = {b"SUBSCRIBED", b"CHILDREN", b"SPECIAL-USE", b"MYRIGHTS"}
_STATUS_ITEMS = {
    b"MESSAGES",
    b"RECENT",
    b"UIDNEXT",
    b"UIDVALIDITY",
    b"UNSEEN",
    b"DELETED",
    b"SIZE",  # RFC 8438
    b"HIGHESTMODSEQ",  # RFC 7162 §3.1.7
    b"MAILBOXID",  # RFC 8474 §4.3
    b"APPENDLIMIT",  # RFC 7889 §3.1
    b"DELETED-STORAGE",  # RFC 9208 §4.1.4
}


def list_(tag: bytes, cursor: Cursor) -> mailbox_commands.List:
    """Parse LIST (RFC 9051 §6.3.9, RFC 5258 §3 and §6, RFC 5819, 6154, 8440, 9590).

    Unknown options are BAD (RFC 5258 §3).
    """
    cursor.space()
    selection: set[str] = set()
    extended = cursor.at(b"(")
    if extended:
        for _ in cursor.listed():
            selection.add(_option(cursor, _SELECTIONS))
        if "RECURSIVEMATCH" in selection and "SUBSCRIBED" not in selection:
            raise Fault(b"RECURSIVEMATCH needs SUBSCRIBED")  # RFC 5258 §3.1
        cursor.space()
    reference = cursor.reference()
    cursor.space()
    if cursor.at(b"("):
        extended = True
        patterns = tuple([cursor.pattern() for _ in cursor.listed()])
        if not 0 < len(patterns) <= MAX_PATTERNS:
            raise Fault(b"No pattern, or too many")
    else:
        patterns = (cursor.pattern(),)
    returns: set[str] = set()
    status: tuple[str, ...] = ()
    metadata: tuple[str, ...] = ()
    if not cursor.at_end():
        extended = True
        cursor.space()
        if cursor.word() != b"RETURN":
            raise Fault(b"Syntax error: RETURN expected")
        cursor.space()
        for _ in cursor.listed():
            name = cursor.word()
            if name == b"STATUS":
                cursor.space()
                status = _status_items(cursor)
            elif name == b"METADATA":
                cursor.space()
                if not cursor.at(b"("):
                    raise Fault(b"Syntax error: list expected")
                metadata = entries(cursor)
            elif name in _RETURNS:
                returns.add(name.decode("ascii"))
            else:
                raise Fault(b"Unknown option")
    cursor.end()
    returned = frozenset(returns)
    return mailbox_commands.List(tag, reference, patterns, frozenset(selection), returned, status, extended, metadata)


def _option(cursor: Cursor, known: set[bytes]) -> str:
    name = cursor.word()
    if name not in known:
        raise Fault(b"Unknown option")
    return name.decode("ascii")


def listing(kind: Callable[[bytes, str, str], C]) -> Callable[[bytes, Cursor], C]:
    """Return the parser of LSUB (RFC 3501 §6.3.9) or XLIST: a reference and one pattern."""

    def parse(tag: bytes, cursor: Cursor) -> C:
        cursor.space()
        reference = cursor.reference()
        cursor.space()
        pattern = cursor.pattern()
        cursor.end()
        return kind(tag, reference, pattern)

    return parse


def status(tag: bytes, cursor: Cursor) -> mailbox_commands.Status:
    """Parse STATUS (RFC 9051 §6.3.11)."""
    cursor.space()
    mailbox = cursor.mailbox()
    cursor.space()
    items = _status_items(cursor)
    cursor.end()
    return mailbox_commands.Status(tag, mailbox, items)


def _status_items(cursor: Cursor) -> tuple[str, ...]:
    items = tuple(dict.fromkeys([_option(cursor, _STATUS_ITEMS) for _ in cursor.listed()]))
    if not items:
        raise Fault(b"No status item")
    return items


def get_quota(tag: bytes, cursor: Cursor) -> mailbox_commands.GetQuota:
    """Parse GETQUOTA (RFC 9208 §4.1.1); the name of a root may be empty."""
    cursor.space()
    root = cursor.text()
    cursor.end()
    return mailbox_commands.GetQuota(tag, root)


def set_quota(tag: bytes, cursor: Cursor) -> mailbox_commands.SetQuota:
    """Parse SETQUOTA (RFC 9208 §4.1.3)."""
    cursor.space()
    root = cursor.text()
    cursor.space()
    limits: list[tuple[str, int]] = []
    for _ in cursor.listed():
        name = cursor.word().decode("ascii")
        cursor.space()
        limits.append((name, cursor.number64()))
    cursor.end()
    return mailbox_commands.SetQuota(tag, root, tuple(limits))
