"""The vocabulary of IMAP: one frozen value per command, with its arguments decoded.

`grammar` makes these values from octets; the session acts on them and never sees syntax. Names of mailboxes are `str` (decoded
from modified UTF-7 or UTF-8, INBOX in capitals), flags are bits and keywords, dates are `date`/`datetime`, sets are
`SequenceSet`. Passwords and SASL data stay out of `repr`.

Commands on mailboxes are in `mailboxcommands`, what FETCH and SEARCH ask for in `fetchitems` and `searchkeys`; what each
command may do is in `rules`. A new command is a class, a row there, and a row with a function in `syntax` or beside it.

Standards: RFC 3501, RFC 9051 and the extensions named at each class.
"""

from dataclasses import dataclass, field
from datetime import datetime
from enum import Enum
from typing import ClassVar

from mic_mail.imap.parser.command_rules import RULES, Rule
from mic_mail.imap.parser.fetch_items import FetchItem
from mic_mail.imap.parser.number_set import Partial, SequenceSet
from mic_mail.imap.parser.search_keys import InSet, SearchKey, leaves

# ------------------------------------------------------------------ flags

SYSTEM_FLAGS: dict[bytes, int] = {
    b"\\Answered": 1,
    b"\\Flagged": 2,
    b"\\Deleted": 4,
    b"\\Seen": 8,
    b"\\Draft": 16,
}
"""The system flags (RFC 9051 §2.3.2) and their bits, the same as in the index; `\\Recent` is nobody's to set."""

ANSWERED, FLAGGED, DELETED, SEEN, DRAFT = SYSTEM_FLAGS.values()


@dataclass(frozen=True, slots=True)
class FlagList:
    """Flags as a client names them: system flags as bits, keywords once each, in the client's spelling."""

    system: int = 0
    keywords: tuple[str, ...] = ()


# ------------------------------------------------------------------ commands without arguments


@dataclass(frozen=True, slots=True)
class Command:
    """What every command has: the tag, and the name it has in `rules.RULES`."""

    verb: ClassVar[str] = ""
    tag: bytes

    @property
    def name(self) -> str:
        """The name on the wire, with `UID ` in front where the client wrote it."""
        return self.verb

    @property
    def rule(self) -> Rule:
        """What this command may do."""
        return RULES[self.name]

    @property
    def may_expunge(self) -> bool:
        """Whether EXPUNGE or VANISHED may be sent while it is answered (RFC 9051 §7.5.1)."""
        return self.rule.may_expunge

    @property
    def uses_numbers(self) -> bool:
        """Whether message numbers are in its arguments or its answer: not to be used with UIDONLY (RFC 9586 §3)."""
        return self.rule.by_number


@dataclass(frozen=True, slots=True)
class Capability(Command):
    """RFC 9051 §6.1.1."""

    verb: ClassVar[str] = "CAPABILITY"


@dataclass(frozen=True, slots=True)
class Noop(Command):
    """RFC 9051 §6.1.2."""

    verb: ClassVar[str] = "NOOP"


@dataclass(frozen=True, slots=True)
class Logout(Command):
    """RFC 9051 §6.1.3."""

    verb: ClassVar[str] = "LOGOUT"


@dataclass(frozen=True, slots=True)
class StartTls(Command):
    """RFC 9051 §6.2.1. What the client sent behind it in clear must be thrown away: `Reader.discard_input`."""

    verb: ClassVar[str] = "STARTTLS"


@dataclass(frozen=True, slots=True)
class Idle(Command):
    """RFC 2177, RFC 9051 §6.3.13. The session then asks the reader for a line and expects DONE."""

    verb: ClassVar[str] = "IDLE"


@dataclass(frozen=True, slots=True)
class Check(Command):
    """RFC 3501 §6.4.1."""

    verb: ClassVar[str] = "CHECK"


@dataclass(frozen=True, slots=True)
class Close(Command):
    """RFC 9051 §6.4.1: expunges and leaves."""

    verb: ClassVar[str] = "CLOSE"


@dataclass(frozen=True, slots=True)
class Unselect(Command):
    """RFC 3691, RFC 9051 §6.4.2: leaves without expunging."""

    verb: ClassVar[str] = "UNSELECT"


# ------------------------------------------------------------------ sign-in and the session


@dataclass(frozen=True, slots=True)
class Login(Command):
    """RFC 9051 §6.2.3."""

    verb: ClassVar[str] = "LOGIN"
    user: str
    password: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Authenticate(Command):
    """RFC 9051 §6.2.2. `initial` is the decoded initial response (SASL-IR, RFC 4959), b"" for `=`, None if there was none."""

    verb: ClassVar[str] = "AUTHENTICATE"
    mechanism: str
    initial: bytes | None = field(repr=False)


@dataclass(frozen=True, slots=True)
class Id(Command):
    """RFC 2971. Pairs in the client's order, keys in lower case; None for `ID NIL`."""

    verb: ClassVar[str] = "ID"
    fields: tuple[tuple[str, str | None], ...] | None


@dataclass(frozen=True, slots=True)
class Enable(Command):
    """RFC 5161, RFC 9051 §6.3.1. Names in capitals; unknown ones are for the session to ignore."""

    verb: ClassVar[str] = "ENABLE"
    capabilities: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Unauthenticate(Command):
    """RFC 8437."""

    verb: ClassVar[str] = "UNAUTHENTICATE"


@dataclass(frozen=True, slots=True)
class Compress(Command):
    """RFC 4978. `mechanism` in capitals."""

    verb: ClassVar[str] = "COMPRESS"
    mechanism: str


# ------------------------------------------------------------------ messages


@dataclass(frozen=True, slots=True)
class Append(Command):
    """The end of an APPEND whose messages were all streamed (RFC 9051 §6.3.12): now publish all of them, or none (RFC 3502).

    It comes after `grammar.AppendMessage` and `grammar.AppendChunk` events, one run of them per message.
    """

    verb: ClassVar[str] = "APPEND"
    mailbox: str
    messages: int


@dataclass(frozen=True, slots=True)
class MessageCommand(Command):
    """A command on messages of the selected mailbox; `by_uid` if the client wrote `UID ` in front (RFC 9051 §6.4.9)."""

    by_uid: bool

    @property
    def name(self) -> str:
        return "UID " + self.verb if self.by_uid else self.verb


@dataclass(frozen=True, slots=True)
class UidBatches(Command):
    """RFC 10022: batches of `size` messages, those from `first` to `last` of them (counted from 1, newest messages first)."""

    verb: ClassVar[str] = "UIDBATCHES"
    size: int
    first: int = 1
    last: int | None = None


@dataclass(frozen=True, slots=True)
class Expunge(Command):
    """RFC 9051 §6.4.3; with `uids` it is UID EXPUNGE (UIDPLUS, RFC 4315 §2.1)."""

    verb: ClassVar[str] = "EXPUNGE"
    uids: SequenceSet | None = None

    @property
    def name(self) -> str:
        return "EXPUNGE" if self.uids is None else "UID EXPUNGE"


@dataclass(frozen=True, slots=True)
class Fetch(MessageCommand):
    """RFC 9051 §6.4.5; `items` is complete: macros expanded, UID in UID FETCH, MODSEQ if CHANGEDSINCE (RFC 7162 §3.1.4.1)."""

    verb: ClassVar[str] = "FETCH"
    messages: SequenceSet
    items: tuple[FetchItem, ...]
    changed_since: int | None = None
    vanished: bool = False
    uid_implied: bool = False
    """UID is among the items although the client did not name it: with UIDONLY each line begins with it (RFC 9586 §3.3)."""
    partial: Partial | None = None
    """Of the messages that the set names only these (RFC 9394 §3.3)."""


class FlagChange(Enum):
    """How STORE changes flags; the values are the index's words for it."""

    ADD = "+"
    REMOVE = "-"
    REPLACE = "="


@dataclass(frozen=True, slots=True)
class Store(MessageCommand):
    """RFC 9051 §6.4.6; UNCHANGEDSINCE, RFC 7162 §3.1.3."""

    verb: ClassVar[str] = "STORE"
    messages: SequenceSet
    change: FlagChange
    flags: FlagList
    silent: bool = False
    unchanged_since: int | None = None


@dataclass(frozen=True, slots=True)
class Copy(MessageCommand):
    """RFC 9051 §6.4.7."""

    verb: ClassVar[str] = "COPY"
    messages: SequenceSet
    mailbox: str


@dataclass(frozen=True, slots=True)
class Move(MessageCommand):
    """RFC 6851, RFC 9051 §6.4.8."""

    verb: ClassVar[str] = "MOVE"
    messages: SequenceSet
    mailbox: str


@dataclass(frozen=True, slots=True)
class Search(MessageCommand):
    """RFC 9051 §6.4.4; `returns` is None without RETURN (RFC 4731), else the options' names; `RETURN ()` is ALL.

    `key` is None where the charset is unknown: that is NO, and not a question of syntax. SORT, THREAD and ESEARCH are searches
    too (`searchcommands`).
    """

    verb: ClassVar[str] = "SEARCH"
    key: SearchKey | None
    returns: frozenset[str] | None = None
    foreign_charset: bool = False
    """A charset was named, and it is neither UTF-8 nor US-ASCII."""
    partial: Partial | None = None
    """With PARTIAL among `returns`."""
    update_items: tuple[FetchItem, ...] = ()
    """With UPDATE: what to fetch of a new message that is found (RFC 5465 §7)."""

    @property
    def may_expunge(self) -> bool:
        """Not in a UID SEARCH whose criteria hold message numbers either (RFC 7162 §3.2.10.2)."""
        return self.key is not None and self.rule.may_expunge and not self.uses_numbers

    @property
    def uses_numbers(self) -> bool:
        """`$` stands for UIDs."""
        return self.rule.by_number or (
            self.key is not None
            and any(isinstance(key, InSet) and not key.by_uid and not key.messages.saved for key in leaves(self.key))
        )


# ------------------------------------------------------------------ APPEND, message by message


@dataclass(frozen=True, slots=True)
class AppendOptions:
    """What stands before one message of an APPEND: flags, INTERNALDATE (None: now), and how the octets come.

    `binary` is literal8 (RFC 3516: may hold NUL); `utf8` is the UTF8 (~{n}) form of RFC 6855 §4 (8-bit headers).
    """

    flags: FlagList = FlagList()
    received_at: datetime | None = None
    binary: bool = False
    utf8: bool = False
