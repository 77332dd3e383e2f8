"""Mailbox commands (select, list, create, status, quota): their values and their parsers.

Standards: RFC 9051 §9, RFC 3501 §9, and those named at each function.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar, TypeVar

from mic_mail.imap.parser.command import Command
from mic_mail.imap.parser.lexer import Cursor, Fault
from mic_mail.imap.parser.metadata import entries
from mic_mail.imap.parser.number_set import SequenceSet


@dataclass(frozen=True, slots=True)
class Namespace(Command):
    """NAMESPACE (RFC 2342, RFC 9051 §6.3.10)."""

    verb: ClassVar[str] = "NAMESPACE"


@dataclass(frozen=True, slots=True)
class KnownMessages:
    """The last argument of QRESYNC: sequence numbers and the UIDs that they had (RFC 7162 §3.2.5.2)."""

    numbers: SequenceSet
    uids: SequenceSet


@dataclass(frozen=True, slots=True)
class QResync:
    """The client's last known state of a mailbox (RFC 7162 §3.2.5)."""

    uidvalidity: int
    modseq: int
    known_uids: SequenceSet | None = None
    known_messages: KnownMessages | None = None


@dataclass(frozen=True, slots=True)
class Select(Command):
    """SELECT and EXAMINE (`read_only`), RFC 9051 §6.3.2-3.

    CONDSTORE and QRESYNC parameters: RFC 7162 §3.1.8, §3.2.5.
    """

    verb: ClassVar[str] = "SELECT"
    mailbox: str
    read_only: bool = False
    condstore: bool = False
    qresync: QResync | None = None
    written: str = ""
    """The name as the client wrote it, where the server's spelling differs (RFC 9051 §6.3.9.7, OLDNAME)."""

    @property
    def uses_numbers(self) -> bool:
        return self.qresync is not None and self.qresync.known_messages is not None


@dataclass(frozen=True, slots=True)
class Create(Command):
    """CREATE (RFC 9051 §6.3.4); `use` holds special-use attributes such as `\\Sent` (RFC 6154 §3).

    A hierarchy separator at the end of the name is retained: the client announces that it will create names below it.
    """

    verb: ClassVar[str] = "CREATE"
    mailbox: str
    use: tuple[str, ...] = ()
    written: str = ""


@dataclass(frozen=True, slots=True)
class Delete(Command):
    """DELETE (RFC 9051 §6.3.5)."""

    verb: ClassVar[str] = "DELETE"
    mailbox: str
    written: str = ""


@dataclass(frozen=True, slots=True)
class Rename(Command):
    """RENAME (RFC 9051 §6.3.6)."""

    verb: ClassVar[str] = "RENAME"
    mailbox: str
    new_name: str
    written: str = ""
    """The old name as the client wrote it, where the server's spelling of it or of the new one differs."""


@dataclass(frozen=True, slots=True)
class Subscribe(Command):
    """SUBSCRIBE (RFC 9051 §6.3.7)."""

    verb: ClassVar[str] = "SUBSCRIBE"
    mailbox: str


@dataclass(frozen=True, slots=True)
class Unsubscribe(Command):
    """UNSUBSCRIBE (RFC 9051 §6.3.8)."""

    verb: ClassVar[str] = "UNSUBSCRIBE"
    mailbox: str


@dataclass(frozen=True, slots=True)
class List(Command):
    """LIST (RFC 9051 §6.3.9, RFC 5258); options are in capitals.

    With STATUS (RFC 5819), SPECIAL-USE (RFC 6154), MYRIGHTS (RFC 8440). `extended`: the client used the extended form; only
    the basic form has the special case of an empty pattern.
    """

    verb: ClassVar[str] = "LIST"
    reference: str
    patterns: tuple[str, ...]
    selection: frozenset[str] = frozenset()
    returns: frozenset[str] = frozenset()
    status: tuple[str, ...] = ()
    extended: bool = False
    metadata: tuple[str, ...] = ()
    """Entries whose values follow each mailbox (RFC 9590 §3)."""


@dataclass(frozen=True, slots=True)
class Lsub(Command):
    """LSUB (RFC 3501 §6.3.9)."""

    verb: ClassVar[str] = "LSUB"
    reference: str
    pattern: str


@dataclass(frozen=True, slots=True)
class Xlist(Command):
    """XLIST, the predecessor of SPECIAL-USE, by which Outlook 2013 and 2016 find their folders."""

    verb: ClassVar[str] = "XLIST"
    reference: str
    pattern: str


@dataclass(frozen=True, slots=True)
class Status(Command):
    """STATUS (RFC 9051 §6.3.11); items in capitals, each once.

    MESSAGES, RECENT, UIDNEXT, UIDVALIDITY, UNSEEN, DELETED, SIZE (RFC 8438), HIGHESTMODSEQ (RFC 7162), MAILBOXID (RFC 8474),
    APPENDLIMIT (RFC 7889), DELETED-STORAGE (RFC 9208).
    """

    verb: ClassVar[str] = "STATUS"
    mailbox: str
    items: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class GetQuota(Command):
    """GETQUOTA (RFC 9208 §4.1.1)."""

    verb: ClassVar[str] = "GETQUOTA"
    root: str


@dataclass(frozen=True, slots=True)
class GetQuotaRoot(Command):
    """GETQUOTAROOT (RFC 9208 §4.1.2)."""

    verb: ClassVar[str] = "GETQUOTAROOT"
    mailbox: str


@dataclass(frozen=True, slots=True)
class SetQuota(Command):
    """SETQUOTA (RFC 9208 §4.1.3); resource names in capitals."""

    verb: ClassVar[str] = "SETQUOTA"
    root: str
    limits: tuple[tuple[str, int], ...]


C = TypeVar("C", bound=Command)

MAX_PATTERNS = 20  # in one LIST; each is matched against every name


def select(tag: bytes, cursor: Cursor, *, read_only: bool) -> Select:
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
    return Select(tag, mailbox, read_only, condstore, qresync, written)


def _qresync(cursor: Cursor) -> QResync:
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
        known_messages = KnownMessages(numbers, cursor.known_set())
        if not cursor.take(b")"):
            raise Fault(b"Syntax error in list")
    if not cursor.take(b")"):
        raise Fault(b"Syntax error in list")
    return QResync(uidvalidity, modseq, known_uids, known_messages)


def create(tag: bytes, cursor: Cursor) -> Create:
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
    return Create(tag, mailbox, tuple(use), written)


def delete(tag: bytes, cursor: Cursor) -> Delete:
    """Parse DELETE (RFC 9051 §6.3.5)."""
    cursor.space()
    mailbox = cursor.mailbox()
    cursor.end()
    return Delete(tag, mailbox, cursor.written)


def on_mailbox(kind: Callable[[bytes, str], C]) -> Callable[[bytes, Cursor], C]:
    """Return the parser of a command whose only argument is a mailbox."""

    def parse(tag: bytes, cursor: Cursor) -> C:
        cursor.space()
        mailbox = cursor.mailbox()
        cursor.end()
        return kind(tag, mailbox)

    return parse


def rename(tag: bytes, cursor: Cursor) -> Rename:
    """Parse RENAME (RFC 9051 §6.3.6)."""
    cursor.space()
    mailbox, written = cursor.mailbox(), cursor.written
    cursor.space()
    new_name = cursor.mailbox()
    if cursor.written:
        written = written or mailbox
    cursor.end()
    return Rename(tag, mailbox, new_name, written)


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


def list_(tag: bytes, cursor: Cursor) -> List:
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
    return List(tag, reference, patterns, frozenset(selection), returned, status, extended, metadata)


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


def status(tag: bytes, cursor: Cursor) -> Status:
    """Parse STATUS (RFC 9051 §6.3.11)."""
    cursor.space()
    mailbox = cursor.mailbox()
    cursor.space()
    items = _status_items(cursor)
    cursor.end()
    return Status(tag, mailbox, items)


def _status_items(cursor: Cursor) -> tuple[str, ...]:
    items = tuple(dict.fromkeys([_option(cursor, _STATUS_ITEMS) for _ in cursor.listed()]))
    if not items:
        raise Fault(b"No status item")
    return items


def get_quota(tag: bytes, cursor: Cursor) -> GetQuota:
    """Parse GETQUOTA (RFC 9208 §4.1.1); the name of a root may be empty."""
    cursor.space()
    root = cursor.text()
    cursor.end()
    return GetQuota(tag, root)


def set_quota(tag: bytes, cursor: Cursor) -> SetQuota:
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
    return SetQuota(tag, root, tuple(limits))
