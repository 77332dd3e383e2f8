"""Mailbox commands as values: select, list, create, status, quota; like those of `commands`.

Standards: RFC 9051 §6.3 and the extensions named at each class.
"""

from dataclasses import dataclass
from typing import ClassVar

from mic_mail.imap.parser.commands import Command
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
