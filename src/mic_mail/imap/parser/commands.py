"""IMAP commands as values: one frozen class per command, with its arguments decoded.

The parser makes these values from octets; the session acts on them and never sees syntax. Mailbox names are `str` (decoded
from modified UTF-7 or UTF-8, INBOX in capitals), flags are bits and keywords, dates are `date`/`datetime`, sets are
`SequenceSet`. Passwords and SASL data stay out of `repr`.

Mailbox commands are in `mailbox_commands`, the items of FETCH and SEARCH in `fetch_items` and `search_keys`.

Standards: RFC 3501, RFC 9051 and the extensions named at each class.
"""

from dataclasses import dataclass, field
from datetime import datetime
from enum import Enum
from typing import ClassVar

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
"""The system flags (RFC 9051 §2.3.2) and their bits, as in the index; clients cannot set `\\Recent`."""

ANSWERED, FLAGGED, DELETED, SEEN, DRAFT = SYSTEM_FLAGS.values()


@dataclass(frozen=True, slots=True)
class FlagList:
    """Flags as a client names them: system flags as bits, keywords once each, in the client's spelling."""

    system: int = 0
    keywords: tuple[str, ...] = ()


# ------------------------------------------------------------------ commands without arguments


@dataclass(frozen=True, slots=True)
class Command:
    """The base of all commands: the tag, and the name under which `command_table.COMMANDS` lists it."""

    verb: ClassVar[str] = ""
    tag: bytes

    @property
    def uses_numbers(self) -> bool:
        """True if its arguments or responses hold message numbers, which UIDONLY forbids (RFC 9586 §3)."""
        return False

    @property
    def keeps_numbers(self) -> bool:
        """True if message numbers must stay as they are while it is answered (`Expunges.BY_UID`)."""
        return self.uses_numbers


@dataclass(frozen=True, slots=True)
class Capability(Command):
    """CAPABILITY (RFC 9051 §6.1.1)."""

    verb: ClassVar[str] = "CAPABILITY"


@dataclass(frozen=True, slots=True)
class Noop(Command):
    """NOOP (RFC 9051 §6.1.2)."""

    verb: ClassVar[str] = "NOOP"


@dataclass(frozen=True, slots=True)
class Logout(Command):
    """LOGOUT (RFC 9051 §6.1.3)."""

    verb: ClassVar[str] = "LOGOUT"


@dataclass(frozen=True, slots=True)
class StartTls(Command):
    """STARTTLS (RFC 9051 §6.2.1).

    Clear text that the client sent behind it must be discarded: `Reader.discard_input`.
    """

    verb: ClassVar[str] = "STARTTLS"


@dataclass(frozen=True, slots=True)
class Idle(Command):
    """IDLE (RFC 2177, RFC 9051 §6.3.13). The session then asks the reader for a line and expects DONE."""

    verb: ClassVar[str] = "IDLE"


@dataclass(frozen=True, slots=True)
class Check(Command):
    """CHECK (RFC 3501 §6.4.1)."""

    verb: ClassVar[str] = "CHECK"


@dataclass(frozen=True, slots=True)
class Close(Command):
    """CLOSE (RFC 9051 §6.4.1): expunges and deselects."""

    verb: ClassVar[str] = "CLOSE"


@dataclass(frozen=True, slots=True)
class Unselect(Command):
    """UNSELECT (RFC 3691, RFC 9051 §6.4.2): deselects without expunging."""

    verb: ClassVar[str] = "UNSELECT"


# ------------------------------------------------------------------ sign-in and the session


@dataclass(frozen=True, slots=True)
class Login(Command):
    """LOGIN (RFC 9051 §6.2.3)."""

    verb: ClassVar[str] = "LOGIN"
    user: str
    password: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Authenticate(Command):
    """AUTHENTICATE (RFC 9051 §6.2.2).

    `initial` is the decoded initial response (SASL-IR, RFC 4959): b"" for `=`, None if there was none.
    """

    verb: ClassVar[str] = "AUTHENTICATE"
    mechanism: str
    initial: bytes | None = field(repr=False)


@dataclass(frozen=True, slots=True)
class Id(Command):
    """ID (RFC 2971): pairs in the client's order, keys in lower case; None for `ID NIL`."""

    verb: ClassVar[str] = "ID"
    fields: tuple[tuple[str, str | None], ...] | None


@dataclass(frozen=True, slots=True)
class Enable(Command):
    """ENABLE (RFC 5161, RFC 9051 §6.3.1): names in capitals; the session ignores unknown ones."""

    verb: ClassVar[str] = "ENABLE"
    capabilities: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Unauthenticate(Command):
    """UNAUTHENTICATE (RFC 8437)."""

    verb: ClassVar[str] = "UNAUTHENTICATE"


@dataclass(frozen=True, slots=True)
class Compress(Command):
    """COMPRESS (RFC 4978), with `mechanism` in capitals."""

    verb: ClassVar[str] = "COMPRESS"
    mechanism: str


# ------------------------------------------------------------------ messages


@dataclass(frozen=True, slots=True)
class Append(Command):
    """The end of an APPEND whose messages were all streamed (RFC 9051 §6.3.12).

    Now all of them are published, or none (RFC 3502). It follows the `reader.AppendMessage` and `reader.AppendChunk` events
    of each message.
    """

    verb: ClassVar[str] = "APPEND"
    mailbox: str
    messages: int


@dataclass(frozen=True, slots=True)
class MessageCommand(Command):
    """A command on messages of the selected mailbox.

    `by_uid`: the client wrote `UID ` in front (RFC 9051 §6.4.9).
    """

    by_uid: bool

    @property
    def uses_numbers(self) -> bool:
        return not self.by_uid


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
class Fetch(MessageCommand):
    """FETCH (RFC 9051 §6.4.5).

    `items` is complete: macros are expanded, UID is added in UID FETCH, and MODSEQ with CHANGEDSINCE (RFC 7162 §3.1.4.1).
    """

    verb: ClassVar[str] = "FETCH"
    messages: SequenceSet
    items: tuple[FetchItem, ...]
    changed_since: int | None = None
    vanished: bool = False
    uid_implied: bool = False
    """True if UID is among the items although the client did not name it.

    With UIDONLY each line begins with the UID (RFC 9586 §3.3).
    """
    partial: Partial | None = None
    """The part of the named messages to return (RFC 9394 §3.3)."""


class FlagChange(Enum):
    """The ways in which STORE changes flags; the values are those of the index."""

    ADD = "+"
    REMOVE = "-"
    REPLACE = "="


@dataclass(frozen=True, slots=True)
class Store(MessageCommand):
    """STORE (RFC 9051 §6.4.6), with UNCHANGEDSINCE (RFC 7162 §3.1.3)."""

    verb: ClassVar[str] = "STORE"
    messages: SequenceSet
    change: FlagChange
    flags: FlagList
    silent: bool = False
    unchanged_since: int | None = None


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


@dataclass(frozen=True, slots=True)
class Search(MessageCommand):
    """SEARCH (RFC 9051 §6.4.4).

    `returns` is None without RETURN (RFC 4731), else the options' names; `RETURN ()` is ALL. `key` is None for an unknown
    charset: that is NO, not a syntax error. SORT, THREAD and ESEARCH are searches too (`search_commands`).
    """

    verb: ClassVar[str] = "SEARCH"
    key: SearchKey | None
    returns: frozenset[str] | None = None
    foreign_charset: bool = False
    """True if a charset was named that is neither UTF-8 nor US-ASCII."""
    partial: Partial | None = None
    """The range of PARTIAL, if that is among `returns`."""
    update_items: tuple[FetchItem, ...] = ()
    """Items to fetch of new messages that match, for UPDATE (RFC 5465 §7)."""

    @property
    def keeps_numbers(self) -> bool:
        """True also for a UID SEARCH with message numbers among its criteria (RFC 7162 §3.2.10.2), or with unread ones."""
        return self.key is None or self.uses_numbers

    @property
    def uses_numbers(self) -> bool:
        """True if numbers occur in its criteria or responses; `$` stands for UIDs."""
        return not self.by_uid or (
            self.key is not None
            and any(isinstance(key, InSet) and not key.by_uid and not key.messages.saved for key in leaves(self.key))
        )


# ------------------------------------------------------------------ APPEND, message by message


@dataclass(frozen=True, slots=True)
class AppendOptions:
    """The arguments of one message of an APPEND: flags, INTERNALDATE (None: now), and the literal's form.

    `binary` is literal8 (RFC 3516: may hold NUL); `utf8` is the UTF8 (~{n}) form of RFC 6855 §4 (8-bit headers).
    """

    flags: FlagList = FlagList()
    received_at: datetime | None = None
    binary: bool = False
    utf8: bool = False
