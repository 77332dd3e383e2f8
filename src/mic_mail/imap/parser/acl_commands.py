"""The commands on rights as values (RFC 4314 §3); as in `commands`.

Identifiers are as the client wrote them: the answer to LISTRIGHTS has to repeat them so (§3.4).
"""

from dataclasses import dataclass
from typing import ClassVar

from mic_mail.imap.parser.commands import Command


@dataclass(frozen=True, slots=True)
class SetAcl(Command):
    """RFC 4314 §3.1; `rights` with the `+` or `-` in front, if any."""

    verb: ClassVar[str] = "SETACL"
    mailbox: str
    identifier: str
    rights: str


@dataclass(frozen=True, slots=True)
class DeleteAcl(Command):
    """RFC 4314 §3.2."""

    verb: ClassVar[str] = "DELETEACL"
    mailbox: str
    identifier: str


@dataclass(frozen=True, slots=True)
class GetAcl(Command):
    """RFC 4314 §3.3."""

    verb: ClassVar[str] = "GETACL"
    mailbox: str


@dataclass(frozen=True, slots=True)
class ListRights(Command):
    """RFC 4314 §3.4."""

    verb: ClassVar[str] = "LISTRIGHTS"
    mailbox: str
    identifier: str


@dataclass(frozen=True, slots=True)
class MyRights(Command):
    """RFC 4314 §3.5."""

    verb: ClassVar[str] = "MYRIGHTS"
    mailbox: str
