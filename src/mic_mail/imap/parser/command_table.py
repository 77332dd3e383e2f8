"""Parses one complete command: the table of commands, and arguments of session and message commands.

In: a command with its literals, without its final line end. Out: a `commands` value. Raises only `Fault`.
SYNTAX has one row per command name on the wire (`UID FETCH` is its own row). A new command needs a row here, a row in
`command_rules.RULES` and a class. FETCH and STORE are in `fetch`, SEARCH in `search`, SORT, THREAD and ESEARCH in `sort`,
rights in `acl`.

Standards: RFC 9051 §9, RFC 3501 §9, and those named at each function.
"""

import re
from base64 import b64decode
from collections.abc import Callable
from functools import partial

from mic_mail.imap.parser import acl, acl_commands, commands, mailbox, mailbox_commands, metadata, notify
from mic_mail.imap.parser.command_rules import RULES, ConnectionState
from mic_mail.imap.parser.commands import AppendOptions, FlagList
from mic_mail.imap.parser.fetch import fetch, flags, store
from mic_mail.imap.parser.lexer import TAG, Cursor, Fault
from mic_mail.imap.parser.number_set import SequenceSet
from mic_mail.imap.parser.search import search
from mic_mail.imap.parser.sort import cancel_update, multi_search, sort, thread

_HEAD = re.compile(rb"(" + TAG + rb") ++(?:([Uu][Ii][Dd]) ++)?([A-Za-z][A-Za-z0-9]*+)(?= |$)")
_TAG = re.compile(TAG)
_MESSAGE_LITERAL = re.compile(rb"(~?)\{([0-9]{1,19})(\+?)\}\r?\n\Z")
_FOR_STRANGERS = frozenset(name.encode() for name, rule in RULES.items() if ConnectionState.NOT_AUTHENTICATED in rule.states)
_ID_WORDS = 2 * 30  # RFC 2971 §3.3
_BASE64 = re.compile(rb"(?:[A-Za-z0-9+/]{4})*+(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?")

Parser = Callable[[bytes, Cursor], commands.Command]


def parse(data: bytes, *, utf8: bool, stranger: bool = False) -> commands.Command:
    """Parse a command; for an unauthenticated client (`stranger`) only commands that need no sign-in."""
    head = head_of(data)
    return _parser_of(head, stranger=stranger)(head[1], Cursor(data, head.end(), utf8=utf8))


def head_of(data: bytes) -> re.Match[bytes]:
    """Return the tag, `UID` and name of a command; the arguments begin at the match's end."""
    head = _HEAD.match(data)
    if head is None:
        raise Fault(b"Syntax error" if _TAG.match(data) else b"Invalid tag")
    return head


def _parser_of(head: re.Match[bytes], *, stranger: bool) -> Parser:
    """Return the parser of a command, found by its name in any case of letters."""
    name = head[3].upper() if head[2] is None else b"UID " + head[3].upper()
    found = SYNTAX.get(name)
    if found is None:
        raise Fault(b"Unknown command")
    if stranger and name not in _FOR_STRANGERS:
        raise Fault(b"Sign in first.")
    return found


def check_head(data: bytes, *, stranger: bool) -> bytes:
    """Return the name of the command that begins with `data`; checked before waiting for its literal."""
    head = head_of(data)
    _parser_of(head, stranger=stranger)
    return head[3].upper()


def tag_of(data: bytes) -> bytes:
    """Return the tag to answer with, `*` where there is none."""
    found = _TAG.match(data)
    return found[0] if found else b"*"


def decode_base64(data: bytes) -> bytes | None:
    """Return the octets of a SASL response (RFC 9051 §9, base64); None if invalid.

    Stray letters are not skipped.
    """
    return b64decode(data) if _BASE64.fullmatch(data) else None


# ------------------------------------------------------------------ session commands


def _bare(kind: type[commands.Command], tag: bytes, cursor: Cursor) -> commands.Command:
    cursor.end()
    return kind(tag)


def _login(tag: bytes, cursor: Cursor) -> commands.Command:
    """Parse LOGIN (RFC 9051 §6.2.3).

    Octets that are not UTF-8 match no password, so they are refused like a wrong one, not as a syntax error.
    """
    cursor.space()
    user = cursor.astring().decode("utf-8", "replace")
    cursor.space()
    password = cursor.astring().decode("utf-8", "replace")
    cursor.end()
    return commands.Login(tag, user, password)


def _authenticate(tag: bytes, cursor: Cursor) -> commands.Command:
    """Parse AUTHENTICATE (RFC 9051 §6.2.2); the initial response `=` is an empty one (RFC 4959 §3)."""
    cursor.space()
    mechanism = cursor.word().decode("ascii")
    initial: bytes | None = None
    if not cursor.at_end():
        cursor.space()
        response = cursor.data[cursor.position :].rstrip(b" ")
        initial = b"" if response == b"=" else decode_base64(response)
        if initial is None:
            raise Fault(b"Invalid base64")
    return commands.Authenticate(tag, mechanism, initial)


def _id(tag: bytes, cursor: Cursor) -> commands.Command:
    """Parse ID (RFC 2971 §3.1).

    Only its length is checked strictly: clients abandon the account after a refusal. A key without a value gets None.
    """
    if cursor.at_end():
        return commands.Id(tag, None)
    cursor.space()
    if not cursor.at(b"("):
        if cursor.word() != b"NIL":
            raise Fault(b"Syntax error: list expected")
        cursor.end()
        return commands.Id(tag, None)
    words: list[str | None] = []
    for _ in cursor.listed():
        if len(words) == _ID_WORDS:
            raise Fault(b"Too many fields")
        octets = cursor.nstring()
        words.append(None if octets is None else octets.decode("utf-8", "replace"))
    cursor.end()
    words.append(None)
    pairs = zip(words[0:-1:2], words[1::2], strict=False)
    return commands.Id(tag, tuple((key.lower(), value) for key, value in pairs if key))


def _enable(tag: bytes, cursor: Cursor) -> commands.Command:
    """Parse ENABLE (RFC 5161 §3.1)."""
    names: list[str] = []
    while not names or not cursor.at_end():
        cursor.space()
        names.append(cursor.word().decode("ascii"))
    return commands.Enable(tag, tuple(dict.fromkeys(names)))


def _compress(tag: bytes, cursor: Cursor) -> commands.Command:
    """Parse COMPRESS (RFC 4978 §3)."""
    cursor.space()
    mechanism = cursor.word().decode("ascii")
    cursor.end()
    return commands.Compress(tag, mechanism)


# ------------------------------------------------------------------ messages


def _uid_batches(tag: bytes, cursor: Cursor) -> commands.Command:
    """Parse UIDBATCHES (RFC 10022): "UIDBATCHES" SP nz-number [SP nz-number ":" nz-number].

    An invalid number is a bug of the client.
    """
    cursor.space()
    size, first, last = cursor.number(), 1, None
    if not cursor.at_end():
        cursor.space()
        first = cursor.number()
        if not cursor.take(b":"):
            raise Fault(b"Syntax error: range expected")
        last = cursor.number()
    cursor.end()
    if not size or not first or (last is not None and last < first):
        raise Fault(b"No such batch", b"CLIENTBUG")
    return commands.UidBatches(tag, size, first, last)


def _expunge(tag: bytes, cursor: Cursor, *, by_uid: bool) -> commands.Command:
    """Parse EXPUNGE (RFC 9051 §6.4.3) and UID EXPUNGE (RFC 4315 §2.1)."""
    uids = None
    if by_uid:
        cursor.space()
        uids = cursor.sequence_set()
    cursor.end()
    return commands.Expunge(tag, uids)


def _to_mailbox(
    kind: type[commands.Copy] | type[commands.Move], tag: bytes, cursor: Cursor, *, by_uid: bool
) -> commands.Command:
    """Parse COPY (RFC 9051 §6.4.7) and MOVE (§6.4.8)."""
    cursor.space()
    messages = cursor.sequence_set()
    cursor.space()
    mailbox = cursor.mailbox()
    cursor.end()
    return kind(tag, by_uid, messages, mailbox)


# ------------------------------------------------------------------ APPEND, which is read in pieces


def append_mailbox(cursor: Cursor) -> str:
    """Parse the first argument of APPEND; the cursor stands behind the command's name."""
    cursor.space()
    return cursor.mailbox()


def replaced(cursor: Cursor) -> SequenceSet:
    """Parse the first argument of REPLACE: one number, or `*` (RFC 8508 §5)."""
    cursor.space()
    start = cursor.position
    messages = cursor.sequence_set()
    written = cursor.data[start : cursor.position]
    if not written.isdigit() and written != b"*":
        raise Fault(b"One message number expected")
    return messages


def append_options(cursor: Cursor) -> tuple[AppendOptions, int, bool]:
    """Parse the options of one message; return them, its size, and whether the client waits to continue.

    The cursor's octets end with the announcement of the literal. RFC 9051 §6.3.12, RFC 4466 §3 (append-message),
    RFC 3516 §4.4 (literal8), RFC 6855 §4 (UTF8).
    """
    cursor.space()
    named, received_at, utf8 = FlagList(), None, False
    if cursor.at(b"("):
        named = flags(cursor)
        cursor.space()
    if cursor.at(b'"'):
        received_at = cursor.date_time()
        cursor.space()
    if cursor.data[cursor.position : cursor.position + 4].upper() == b"UTF8":
        cursor.position += 4
        cursor.space()
        if not cursor.take(b"("):
            raise Fault(b"Syntax error: literal expected")
        utf8 = True
    literal = _MESSAGE_LITERAL.match(cursor.data, cursor.position)
    if literal is None or (utf8 and not literal[1]):
        raise Fault(b"Syntax error: literal expected")
    return AppendOptions(named, received_at, bool(literal[1]), utf8), int(literal[2]), not literal[3]


def _append(tag: bytes, cursor: Cursor) -> commands.Command:
    """Refuse an APPEND that ends before any message literal; the reader handles all others."""
    append_mailbox(cursor)
    raise Fault(b"Missing message")


def _replace(tag: bytes, cursor: Cursor) -> commands.Command:
    """Refuse a REPLACE that ends before its message literal."""
    replaced(cursor)
    return _append(tag, cursor)


SYNTAX: dict[bytes, Parser] = {
    b"CAPABILITY": partial(_bare, commands.Capability),
    b"NOOP": partial(_bare, commands.Noop),
    b"LOGOUT": partial(_bare, commands.Logout),
    b"STARTTLS": partial(_bare, commands.StartTls),
    b"IDLE": partial(_bare, commands.Idle),
    b"NAMESPACE": partial(_bare, mailbox_commands.Namespace),
    b"CHECK": partial(_bare, commands.Check),
    b"CLOSE": partial(_bare, commands.Close),
    b"UNSELECT": partial(_bare, commands.Unselect),
    b"LOGIN": _login,
    b"AUTHENTICATE": _authenticate,
    b"ID": _id,
    b"ENABLE": _enable,
    b"COMPRESS": _compress,
    b"SELECT": partial(mailbox.select, read_only=False),
    b"EXAMINE": partial(mailbox.select, read_only=True),
    b"CREATE": mailbox.create,
    b"DELETE": mailbox.delete,
    b"RENAME": mailbox.rename,
    b"SUBSCRIBE": partial(mailbox.on_mailbox, mailbox_commands.Subscribe),
    b"UNSUBSCRIBE": partial(mailbox.on_mailbox, mailbox_commands.Unsubscribe),
    b"LIST": mailbox.list_,
    b"LSUB": partial(mailbox.listing, mailbox_commands.Lsub),
    b"XLIST": partial(mailbox.listing, mailbox_commands.Xlist),
    b"STATUS": mailbox.status,
    b"APPEND": _append,
    b"GETQUOTA": mailbox.get_quota,
    b"GETQUOTAROOT": partial(mailbox.on_mailbox, mailbox_commands.GetQuotaRoot),
    b"SETQUOTA": mailbox.set_quota,
    b"GETMETADATA": metadata.get_metadata,
    b"SETMETADATA": metadata.set_metadata,
    b"REPLACE": _replace,
    b"UID REPLACE": _replace,
    b"SETACL": acl.set_acl,
    b"DELETEACL": partial(acl.on_identifier, acl_commands.DeleteAcl),
    b"GETACL": partial(mailbox.on_mailbox, acl_commands.GetAcl),
    b"LISTRIGHTS": partial(acl.on_identifier, acl_commands.ListRights),
    b"MYRIGHTS": partial(mailbox.on_mailbox, acl_commands.MyRights),
    b"EXPUNGE": partial(_expunge, by_uid=False),
    b"UID EXPUNGE": partial(_expunge, by_uid=True),
    b"FETCH": partial(fetch, by_uid=False),
    b"UID FETCH": partial(fetch, by_uid=True),
    b"STORE": partial(store, by_uid=False),
    b"UID STORE": partial(store, by_uid=True),
    b"SEARCH": partial(search, by_uid=False),
    b"UID SEARCH": partial(search, by_uid=True),
    b"SORT": partial(sort, by_uid=False),
    b"UID SORT": partial(sort, by_uid=True),
    b"THREAD": partial(thread, by_uid=False),
    b"UID THREAD": partial(thread, by_uid=True),
    b"ESEARCH": multi_search,
    b"CANCELUPDATE": cancel_update,
    b"COPY": partial(_to_mailbox, commands.Copy, by_uid=False),
    b"UID COPY": partial(_to_mailbox, commands.Copy, by_uid=True),
    b"MOVE": partial(_to_mailbox, commands.Move, by_uid=False),
    b"UID MOVE": partial(_to_mailbox, commands.Move, by_uid=True),
    b"NOTIFY": notify.notify,
    b"UNAUTHENTICATE": partial(_bare, commands.Unauthenticate),
    b"UIDBATCHES": _uid_batches,
}
