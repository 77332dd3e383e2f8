"""Parses the arguments of ACL commands.

Standard: RFC 4314 §3, §7.
"""

from collections.abc import Callable
from typing import TypeVar

from mic_mail.imap.parser import acl_commands
from mic_mail.imap.parser.commands import Command
from mic_mail.imap.parser.lexer import Cursor, Fault

C = TypeVar("C", bound=Command)

KNOWN_RIGHTS = frozenset("lrswipkxteacd")
"""The known rights (RFC 4314 §2.1); `c` and `d` are those of RFC 2086 (§2.1.1). Digits are not used."""


def set_acl(tag: bytes, cursor: Cursor) -> acl_commands.SetAcl:
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
    return acl_commands.SetAcl(tag, mailbox, identifier, rights)


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
