"""Parses the arguments of session commands: LOGIN, AUTHENTICATE, ID, ENABLE, COMPRESS, and of commands without any.

Standards: RFC 9051 §9, RFC 3501 §9, and those named at each function.
"""

import re
from base64 import b64decode
from collections.abc import Callable
from typing import TypeVar

from mic_mail.imap.parser import commands
from mic_mail.imap.parser.lexer import Cursor, Fault

C = TypeVar("C", bound=commands.Command)

_ID_WORDS = 2 * 30  # RFC 2971 §3.3
_BASE64 = re.compile(rb"(?:[A-Za-z0-9+/]{4})*+(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?")


def decode_base64(data: bytes) -> bytes | None:
    """Return the octets of a SASL response (RFC 9051 §9, base64); None if invalid.

    Stray letters are not skipped.
    """
    return b64decode(data) if _BASE64.fullmatch(data) else None


def bare(kind: Callable[[bytes], C]) -> Callable[[bytes, Cursor], C]:
    """Return the parser of a command without arguments."""

    def parse(tag: bytes, cursor: Cursor) -> C:
        cursor.end()
        return kind(tag)

    return parse


def login(tag: bytes, cursor: Cursor) -> commands.Login:
    """Parse LOGIN (RFC 9051 §6.2.3).

    Octets that are not UTF-8 match no password, so they are refused like a wrong one, not as a syntax error.
    """
    cursor.space()
    user = cursor.astring().decode("utf-8", "replace")
    cursor.space()
    password = cursor.astring().decode("utf-8", "replace")
    cursor.end()
    return commands.Login(tag, user, password)


def authenticate(tag: bytes, cursor: Cursor) -> commands.Authenticate:
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


def id_(tag: bytes, cursor: Cursor) -> commands.Id:
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


def enable(tag: bytes, cursor: Cursor) -> commands.Enable:
    """Parse ENABLE (RFC 5161 §3.1)."""
    names: list[str] = []
    while not names or not cursor.at_end():
        cursor.space()
        names.append(cursor.word().decode("ascii"))
    return commands.Enable(tag, tuple(dict.fromkeys(names)))


def compress(tag: bytes, cursor: Cursor) -> commands.Compress:
    """Parse COMPRESS (RFC 4978 §3)."""
    cursor.space()
    mechanism = cursor.word().decode("ascii")
    cursor.end()
    return commands.Compress(tag, mechanism)
