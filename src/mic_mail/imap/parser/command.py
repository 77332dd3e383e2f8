"""The base of commands as values, and flags: one frozen class per command, with its arguments decoded.

The parser makes these values from octets; the session acts on them and never sees syntax. Mailbox names are `str` (decoded
from modified UTF-7 or UTF-8, INBOX in capitals), flags are bits and keywords, dates are `date`/`datetime`, sets are
`SequenceSet`. Passwords and SASL data stay out of `repr`.

Standards: RFC 3501, RFC 9051 and the extensions named at each class.
"""

from dataclasses import dataclass
from typing import ClassVar

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
class MessageCommand(Command):
    """A command on messages of the selected mailbox.

    `by_uid`: the client wrote `UID ` in front (RFC 9051 §6.4.9).
    """

    by_uid: bool

    @property
    def uses_numbers(self) -> bool:
        return not self.by_uid
