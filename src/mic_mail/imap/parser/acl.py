"""ACL commands: their values and their parsers.

Identifiers are as the client wrote them, since LISTRIGHTS has to repeat them unchanged (RFC 4314 §3.4).
Standard: RFC 4314 §3, §7.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar, TypeVar

from mic_mail.imap.parser.command import Command
from mic_mail.imap.parser.lexer import Cursor, Fault


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


C = TypeVar("C", bound=Command)

KNOWN_RIGHTS = frozenset("lrswipkxteacd")
"""The known rights (RFC 4314 §2.1); `c` and `d` are those of RFC 2086 (§2.1.1). Digits are not used."""


def set_acl(tag: bytes, cursor: Cursor) -> SetAcl:
    """Parse SETACL; an unknown right is BAD (RFC 4314 §3.1)."""
    cursor.space()
    mailbox = cursor.mailbox()
    cursor.space()
    identifier = _identifier(cursor)
    cursor.space()
    rights = cursor.astring().decode("ascii", "replace")
    cursor.end()
    if not KNOWN_RIGHTS.issuperset(rights[1:] if rights[:1] in {"+", "-"} else rights):
        raise Fault(b"Unknown right")
    return SetAcl(tag, mailbox, identifier, rights)


def on_identifier(kind: Callable[[bytes, str, str], C]) -> Callable[[bytes, Cursor], C]:
    """Return the parser of DELETEACL or LISTRIGHTS: a mailbox and an identifier."""

    def parse(tag: bytes, cursor: Cursor) -> C:
        cursor.space()
        mailbox = cursor.mailbox()
        cursor.space()
        identifier = _identifier(cursor)
        cursor.end()
        return kind(tag, mailbox, identifier)

    return parse


def _identifier(cursor: Cursor) -> str:
    """Parse an identifier, which is UTF-8 since RFC 4314 (appendix A, 1)."""
    try:
        return cursor.astring().decode("utf-8")
    except UnicodeDecodeError:
        raise Fault(b"Identifier is not UTF-8") from None
