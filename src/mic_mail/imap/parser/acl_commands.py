"""ACL commands as values (RFC 4314 §3), like those of `commands`.

Identifiers are as the client wrote them, since LISTRIGHTS has to repeat them unchanged (§3.4).
"""

from dataclasses import dataclass
from typing import ClassVar

from mic_mail.imap.parser.commands import Command


@dataclass(frozen=True, slots=True)
class SetAcl(Command):
    """SETACL (RFC 4314 §3.1); `rights` include a leading `+` or `-`."""

    verb: ClassVar[str] = "SETACL"
    mailbox: str
    identifier: str
    rights: str


@dataclass(frozen=True, slots=True)
class DeleteAcl(Command):
    """DELETEACL (RFC 4314 §3.2)."""

    verb: ClassVar[str] = "DELETEACL"
    mailbox: str
    identifier: str


@dataclass(frozen=True, slots=True)
class GetAcl(Command):
    """GETACL (RFC 4314 §3.3)."""

    verb: ClassVar[str] = "GETACL"
    mailbox: str


@dataclass(frozen=True, slots=True)
class ListRights(Command):
    """LISTRIGHTS (RFC 4314 §3.4)."""

    verb: ClassVar[str] = "LISTRIGHTS"
    mailbox: str
    identifier: str


@dataclass(frozen=True, slots=True)
class MyRights(Command):
    """MYRIGHTS (RFC 4314 §3.5)."""

    verb: ClassVar[str] = "MYRIGHTS"
    mailbox: str
