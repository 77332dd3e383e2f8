"""Commands as values: the tag, the name, and the decoded arguments.

The parser makes these values from octets; the session acts on them and never sees syntax. Mailbox names are `str` (decoded
from modified UTF-7 or UTF-8, INBOX in capitals), flags are bits and keywords, dates are `date`/`datetime`, sets are
`SequenceSet`. Passwords and SASL data stay out of `repr`.
"""

from dataclasses import dataclass

from mic_mail.storage.types import ANSWERED, DELETED, DRAFT, FLAGGED, SEEN

SYSTEM_FLAGS: dict[bytes, int] = {
    b"\\Answered": ANSWERED,
    b"\\Flagged": FLAGGED,
    b"\\Deleted": DELETED,
    b"\\Seen": SEEN,
    b"\\Draft": DRAFT,
}
"""The system flags (RFC 9051 §2.3.2) and their bits; clients cannot set `\\Recent`."""


@dataclass(frozen=True, slots=True)
class FlagList:
    """Flags as a client names them: system flags as bits, keywords once each, in the client's spelling."""

    system: int = 0
    keywords: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Arguments:
    """The base of the arguments of all commands; itself those of a command that takes none."""

    @property
    def uses_numbers(self) -> bool:
        """True if they or the responses hold message numbers, which UIDONLY forbids (RFC 9586 §3)."""
        return False

    @property
    def keeps_numbers(self) -> bool:
        """True if message numbers must stay as they are while the command is answered (`Expunges.BY_UID`)."""
        return self.uses_numbers


@dataclass(frozen=True, slots=True)
class MessageArguments(Arguments):
    """The arguments of a command on messages of the selected mailbox.

    `by_uid`: the client wrote `UID ` in front (RFC 9051 §6.4.9).
    """

    by_uid: bool

    @property
    def uses_numbers(self) -> bool:
        return not self.by_uid


@dataclass(frozen=True, slots=True)
class Command:
    """A whole command; `command_table.COMMANDS` lists it by its name."""

    tag: bytes
    name: str
    arguments: Arguments
