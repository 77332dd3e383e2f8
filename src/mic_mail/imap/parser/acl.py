"""ACL commands: their arguments and the parsers of these.

Identifiers are as the client wrote them, since LISTRIGHTS has to repeat them unchanged (RFC 4314 §3.4).
Standard: RFC 4314 §3, §7.
"""

from dataclasses import dataclass

from mic_mail.imap.parser.command import Arguments
from mic_mail.imap.parser.lexer import Cursor, Fault


@dataclass(frozen=True, slots=True)
class SetAcl(Arguments):
    """SETACL (RFC 4314 §3.1); `rights` include a leading `+` or `-`."""

    mailbox: str
    identifier: str
    rights: str


@dataclass(frozen=True, slots=True)
class OnIdentifier(Arguments):
    """The arguments of DELETEACL and LISTRIGHTS (RFC 4314 §3.2, §3.4)."""

    mailbox: str
    identifier: str


KNOWN_RIGHTS = frozenset("lrswipkxteacd")
"""The known rights (RFC 4314 §2.1); `c` and `d` are those of RFC 2086 (§2.1.1). Digits are not used."""


def set_acl(cursor: Cursor) -> SetAcl:
    """Parse SETACL; an unknown right is BAD (RFC 4314 §3.1)."""
    mailbox = cursor.mailbox()
    cursor.space()
    identifier = _identifier(cursor)
    cursor.space()
    rights = cursor.astring().decode("ascii", "replace")
    if not KNOWN_RIGHTS.issuperset(rights[1:] if rights[:1] in {"+", "-"} else rights):
        raise Fault(b"Unknown right")
    return SetAcl(mailbox, identifier, rights)


def on_identifier(cursor: Cursor) -> OnIdentifier:
    mailbox = cursor.mailbox()
    cursor.space()
    return OnIdentifier(mailbox, _identifier(cursor))


def _identifier(cursor: Cursor) -> str:
    """Parse an identifier, which is UTF-8 since RFC 4314 (appendix A, 1)."""
    try:
        return cursor.astring().decode("utf-8")
    except UnicodeDecodeError:
        raise Fault(b"Identifier is not UTF-8") from None
