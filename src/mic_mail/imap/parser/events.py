"""The events of the reader: each is one result of `Reader.next`."""

from dataclasses import dataclass, field

from mic_mail.imap.parser.append import AppendOptions
from mic_mail.imap.parser.command import Command
from mic_mail.imap.parser.grammar import Grammar, tag_of
from mic_mail.imap.parser.lexer import Fault
from mic_mail.imap.parser.number_set import SequenceSet


@dataclass(frozen=True, slots=True)
class NeedInput:
    """No event until more octets are fed."""


@dataclass(frozen=True, slots=True)
class LiteralRequested:
    """A synchronising literal within the limits: the client waits for `+ ` (RFC 9051 §4.3)."""

    tag: bytes
    size: int


@dataclass(frozen=True, slots=True)
class Line:
    """A line that is not a command, without its line end."""

    data: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class AppendMessage:
    """A message literal is announced; with `sync` the client waits for `+ `.

    `index` counts the messages of one APPEND, from 0.
    """

    tag: bytes
    mailbox: str
    index: int
    options: AppendOptions
    size: int
    sync: bool
    written: str = ""
    """The mailbox name as the client wrote it, where the server's spelling differs."""
    replaces: SequenceSet | None = None
    """The message to replace, for REPLACE (RFC 8508)."""
    by_uid: bool = False

    @property
    def name(self) -> str:
        return "APPEND" if self.replaces is None else "REPLACE"

    @property
    def uses_numbers(self) -> bool:
        """True if it replaces by message number, which UIDONLY forbids (RFC 9586 §3)."""
        return self.replaces is not None and not self.by_uid


@dataclass(frozen=True, slots=True)
class AppendChunk:
    """Octets of the accepted message."""

    data: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class AppendEnd:
    """The end of an APPEND or a REPLACE whose messages were all streamed.

    Now all of them are published, or none (RFC 3502).
    """

    tag: bytes
    mailbox: str
    messages: int


@dataclass(frozen=True, slots=True)
class BadLine:
    """The response to an unacceptable line, `tag status [code] text`.

    After `fatal` the reader ignores input.
    """

    tag: bytes
    text: bytes
    code: bytes | None = None
    status: bytes = b"BAD"
    fatal: bool = False

    @classmethod
    def of(cls, tag: bytes, fault: Fault) -> "BadLine":
        return cls(tag, fault.text, fault.code, fault.status)


def parsed(grammar: Grammar, data: bytes, *, utf8: bool, is_signed_in: bool) -> Command | BadLine:
    """Parse a whole command."""
    try:
        return grammar.parse(data, utf8=utf8, is_signed_in=is_signed_in)
    except Fault as fault:
        return BadLine.of(tag_of(data), fault)


@dataclass(frozen=True, slots=True)
class LongCommand:
    """A whole command that would take too long to parse in the event loop."""

    data: bytes = field(repr=False)
    grammar: Grammar = field(repr=False)
    utf8: bool

    def read(self) -> Command | BadLine:
        """Parse it, in a thread; uses no other state."""
        return parsed(self.grammar, self.data, utf8=self.utf8, is_signed_in=True)


Event = NeedInput | LiteralRequested | Line | AppendMessage | AppendChunk | AppendEnd | BadLine | LongCommand | Command
NEED_INPUT = NeedInput()
