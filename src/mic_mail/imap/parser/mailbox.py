"""Mailbox commands (select, list, create, status, quota): their arguments and the parsers of these.

Standards: RFC 9051 §9, RFC 3501 §9, and those named at each function.
"""

from dataclasses import dataclass

from mic_mail.imap.parser.command import Arguments
from mic_mail.imap.parser.lexer import Cursor, Fault
from mic_mail.imap.parser.metadata import entries
from mic_mail.imap.parser.number_set import SequenceSet


@dataclass(frozen=True, slots=True)
class OnMailbox(Arguments):
    """The arguments of a command that takes only a mailbox: SUBSCRIBE, DELETE, GETACL, ..."""

    mailbox: str
    written: str = ""
    """The name as the client wrote it, where the server's spelling differs (RFC 9051 §6.3.9.7, OLDNAME)."""


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
class Select(Arguments):
    """SELECT and EXAMINE (`read_only`), RFC 9051 §6.3.2-3.

    CONDSTORE and QRESYNC parameters: RFC 7162 §3.1.8, §3.2.5.
    """

    mailbox: str
    read_only: bool = False
    condstore: bool = False
    qresync: QResync | None = None
    written: str = ""
    """See `OnMailbox`."""

    @property
    def uses_numbers(self) -> bool:
        return self.qresync is not None and self.qresync.known_messages is not None


@dataclass(frozen=True, slots=True)
class Create(Arguments):
    """CREATE (RFC 9051 §6.3.4); `use` holds special-use attributes such as `\\Sent` (RFC 6154 §3).

    A hierarchy separator at the end of the name is retained: the client announces that it will create names below it.
    """

    mailbox: str
    use: tuple[str, ...] = ()
    written: str = ""


@dataclass(frozen=True, slots=True)
class Rename(Arguments):
    """RENAME (RFC 9051 §6.3.6)."""

    mailbox: str
    new_name: str
    written: str = ""
    """The old name as the client wrote it, where the server's spelling of it or of the new one differs."""


@dataclass(frozen=True, slots=True)
class List(Arguments):
    """LIST (RFC 9051 §6.3.9, RFC 5258), LSUB and XLIST; options are in capitals.

    With STATUS (RFC 5819), SPECIAL-USE (RFC 6154), MYRIGHTS (RFC 8440). `extended`: the client used the extended form; only
    the basic form has the special case of an empty pattern.
    """

    reference: str
    patterns: tuple[str, ...]
    selection: frozenset[str] = frozenset()
    returns: frozenset[str] = frozenset()
    status: tuple[str, ...] = ()
    extended: bool = False
    metadata: tuple[str, ...] = ()
    """Entries whose values follow each mailbox (RFC 9590 §3)."""


@dataclass(frozen=True, slots=True)
class Status(Arguments):
    """STATUS (RFC 9051 §6.3.11); items in capitals, each once.

    MESSAGES, RECENT, UIDNEXT, UIDVALIDITY, UNSEEN, DELETED, SIZE (RFC 8438), HIGHESTMODSEQ (RFC 7162), MAILBOXID (RFC 8474),
    APPENDLIMIT (RFC 7889), DELETED-STORAGE (RFC 9208).
    """

    mailbox: str
    items: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class GetQuota(Arguments):
    """GETQUOTA (RFC 9208 §4.1.1)."""

    root: str


@dataclass(frozen=True, slots=True)
class SetQuota(Arguments):
    """SETQUOTA (RFC 9208 §4.1.3); resource names in capitals."""

    root: str
    limits: tuple[tuple[str, int], ...]


MAX_PATTERNS = 20  # in one LIST; each is matched against every name


def select(cursor: Cursor, *, read_only: bool) -> Select:
    """Parse SELECT and EXAMINE (RFC 9051 §6.3.2), with the parameters of RFC 7162 §3.1.8 and §3.2.5."""
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
    return Select(mailbox, read_only, condstore, qresync, written)


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


def create(cursor: Cursor) -> Create:
    """Parse CREATE (RFC 9051 §6.3.4), with USE (...) of RFC 6154 §3."""
    mailbox, written = cursor.mailbox(), cursor.written
    use: list[str] = []
    if cursor.another(b"("):
        for _ in cursor.listed():
            if cursor.word() != b"USE":
                raise Fault(b"Unknown parameter")
            cursor.space()
            use += [cursor.flag().decode("ascii") for _ in cursor.listed()]
    return Create(mailbox, tuple(use), written)


def on_mailbox(cursor: Cursor) -> OnMailbox:
    mailbox = cursor.mailbox()
    return OnMailbox(mailbox, cursor.written)


def rename(cursor: Cursor) -> Rename:
    mailbox, written = cursor.mailbox(), cursor.written
    cursor.space()
    new_name = cursor.mailbox()
    if cursor.written:
        written = written or mailbox
    return Rename(mailbox, new_name, written)


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


def list_(cursor: Cursor) -> List:
    """Parse LIST (RFC 9051 §6.3.9, RFC 5258 §3 and §6, RFC 5819, 6154, 8440, 9590).

    Unknown options are BAD (RFC 5258 §3).
    """
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
    return List(reference, patterns, frozenset(selection), frozenset(returns), status, extended, metadata)


def _option(cursor: Cursor, known: set[bytes]) -> str:
    name = cursor.word()
    if name not in known:
        raise Fault(b"Unknown option")
    return name.decode("ascii")


def basic_list(cursor: Cursor) -> List:
    """Parse LSUB (RFC 3501 §6.3.9) and XLIST: a reference and one pattern."""
    reference = cursor.reference()
    cursor.space()
    return List(reference, (cursor.pattern(),))


def status(cursor: Cursor) -> Status:
    mailbox = cursor.mailbox()
    cursor.space()
    return Status(mailbox, _status_items(cursor))


def _status_items(cursor: Cursor) -> tuple[str, ...]:
    items = tuple(dict.fromkeys([_option(cursor, _STATUS_ITEMS) for _ in cursor.listed()]))
    if not items:
        raise Fault(b"No status item")
    return items


def get_quota(cursor: Cursor) -> GetQuota:
    """Parse GETQUOTA (RFC 9208 §4.1.1); the name of a root may be empty."""
    return GetQuota(cursor.text())


def set_quota(cursor: Cursor) -> SetQuota:
    root = cursor.text()
    cursor.space()
    limits: list[tuple[str, int]] = []
    for _ in cursor.listed():
        name = cursor.word().decode("ascii")
        cursor.space()
        limits.append((name, cursor.number64()))
    return SetQuota(root, tuple(limits))
