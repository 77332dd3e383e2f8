"""Commands of the session, and commands without arguments: their values and their parsers.

Standards: RFC 9051 §9, RFC 3501 §9, and those named at each function.
"""

import re
from base64 import b64decode
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import ClassVar, TypeVar

from mic_mail.imap.parser.command import Command
from mic_mail.imap.parser.lexer import Cursor, Fault


@dataclass(frozen=True, slots=True)
class Capability(Command):
    """CAPABILITY (RFC 9051 §6.1.1)."""

    verb: ClassVar[str] = "CAPABILITY"


@dataclass(frozen=True, slots=True)
class Noop(Command):
    """NOOP (RFC 9051 §6.1.2)."""

    verb: ClassVar[str] = "NOOP"


@dataclass(frozen=True, slots=True)
class Logout(Command):
    """LOGOUT (RFC 9051 §6.1.3)."""

    verb: ClassVar[str] = "LOGOUT"


@dataclass(frozen=True, slots=True)
class StartTls(Command):
    """STARTTLS (RFC 9051 §6.2.1).

    Clear text that the client sent behind it must be discarded: `Reader.discard_input`.
    """

    verb: ClassVar[str] = "STARTTLS"


@dataclass(frozen=True, slots=True)
class Idle(Command):
    """IDLE (RFC 2177, RFC 9051 §6.3.13). The session then asks the reader for a line and expects DONE."""

    verb: ClassVar[str] = "IDLE"


@dataclass(frozen=True, slots=True)
class Check(Command):
    """CHECK (RFC 3501 §6.4.1)."""

    verb: ClassVar[str] = "CHECK"


@dataclass(frozen=True, slots=True)
class Close(Command):
    """CLOSE (RFC 9051 §6.4.1): expunges and deselects."""

    verb: ClassVar[str] = "CLOSE"


@dataclass(frozen=True, slots=True)
class Unselect(Command):
    """UNSELECT (RFC 3691, RFC 9051 §6.4.2): deselects without expunging."""

    verb: ClassVar[str] = "UNSELECT"


@dataclass(frozen=True, slots=True)
class Login(Command):
    """LOGIN (RFC 9051 §6.2.3)."""

    verb: ClassVar[str] = "LOGIN"
    user: str
    password: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Authenticate(Command):
    """AUTHENTICATE (RFC 9051 §6.2.2).

    `initial` is the decoded initial response (SASL-IR, RFC 4959): b"" for `=`, None if there was none.
    """

    verb: ClassVar[str] = "AUTHENTICATE"
    mechanism: str
    initial: bytes | None = field(repr=False)


@dataclass(frozen=True, slots=True)
class Id(Command):
    """ID (RFC 2971): pairs in the client's order, keys in lower case; None for `ID NIL`."""

    verb: ClassVar[str] = "ID"
    fields: tuple[tuple[str, str | None], ...] | None


@dataclass(frozen=True, slots=True)
class Enable(Command):
    """ENABLE (RFC 5161, RFC 9051 §6.3.1): names in capitals; the session ignores unknown ones."""

    verb: ClassVar[str] = "ENABLE"
    capabilities: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Unauthenticate(Command):
    """UNAUTHENTICATE (RFC 8437)."""

    verb: ClassVar[str] = "UNAUTHENTICATE"


@dataclass(frozen=True, slots=True)
class Compress(Command):
    """COMPRESS (RFC 4978), with `mechanism` in capitals."""

    verb: ClassVar[str] = "COMPRESS"
    mechanism: str


C = TypeVar("C", bound=Command)

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


def login(tag: bytes, cursor: Cursor) -> Login:
    """Parse LOGIN (RFC 9051 §6.2.3).

    Octets that are not UTF-8 match no password, so they are refused like a wrong one, not as a syntax error.
    """
    cursor.space()
    user = cursor.astring().decode("utf-8", "replace")
    cursor.space()
    password = cursor.astring().decode("utf-8", "replace")
    cursor.end()
    return Login(tag, user, password)


def authenticate(tag: bytes, cursor: Cursor) -> Authenticate:
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
    return Authenticate(tag, mechanism, initial)


def id_(tag: bytes, cursor: Cursor) -> Id:
    """Parse ID (RFC 2971 §3.1).

    Only its length is checked strictly: clients abandon the account after a refusal. A key without a value gets None.
    """
    if cursor.at_end():
        return Id(tag, None)
    cursor.space()
    if not cursor.at(b"("):
        if cursor.word() != b"NIL":
            raise Fault(b"Syntax error: list expected")
        cursor.end()
        return Id(tag, None)
    words: list[str | None] = []
    for _ in cursor.listed():
        if len(words) == _ID_WORDS:
            raise Fault(b"Too many fields")
        octets = cursor.nstring()
        words.append(None if octets is None else octets.decode("utf-8", "replace"))
    cursor.end()
    words.append(None)
    pairs = zip(words[0:-1:2], words[1::2], strict=False)
    return Id(tag, tuple((key.lower(), value) for key, value in pairs if key))


def enable(tag: bytes, cursor: Cursor) -> Enable:
    """Parse ENABLE (RFC 5161 §3.1)."""
    names: list[str] = []
    while not names or not cursor.at_end():
        cursor.space()
        names.append(cursor.word().decode("ascii"))
    return Enable(tag, tuple(dict.fromkeys(names)))


def compress(tag: bytes, cursor: Cursor) -> Compress:
    """Parse COMPRESS (RFC 4978 §3)."""
    cursor.space()
    mechanism = cursor.word().decode("ascii")
    cursor.end()
    return Compress(tag, mechanism)
