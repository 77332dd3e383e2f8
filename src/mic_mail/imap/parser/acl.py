"""From octets to values: the arguments of the commands on rights. Called by the table in `syntax`.

Standard: RFC 4314 §3, §7.
"""

from collections.abc import Callable

from mic_mail.imap.parser import acl_commands
from mic_mail.imap.parser.commands import Command
from mic_mail.imap.parser.lexer import Cursor, Fault

KNOWN_RIGHTS = frozenset("lrswipkxteacd")
"""RFC 4314 §2.1; `c` and `d` are those of RFC 2086 (§2.1.1). Digits are nobody's here."""


def set_acl(tag: bytes, cursor: Cursor) -> Command:
    """A right that is not known is BAD (RFC 4314 §3.1)."""
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


def on_identifier(kind: Callable[[bytes, str, str], Command], tag: bytes, cursor: Cursor) -> Command:
    """DELETEACL and LISTRIGHTS: a mailbox and who."""
    cursor.space()
    mailbox = cursor.mailbox()
    cursor.space()
    identifier = _identifier(cursor)
    cursor.end()
    return kind(tag, mailbox, identifier)


def _identifier(cursor: Cursor) -> str:
    """UTF-8 since RFC 4314 (appendix A, 1)."""
    try:
        return cursor.astring().decode("utf-8")
    except UnicodeDecodeError:
        raise Fault(b"Identifier is not UTF-8") from None
