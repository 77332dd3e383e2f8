"""Commands of the session: their arguments and the parsers of these.

Standards: RFC 9051 §9, RFC 3501 §9, and those named at each function.
"""

from dataclasses import dataclass, field

from mic_mail.auth.sasl import decode_base64
from mic_mail.imap.parser.command import Arguments
from mic_mail.imap.parser.lexer import Cursor, Fault


@dataclass(frozen=True, slots=True)
class Login(Arguments):
    """LOGIN (RFC 9051 §6.2.3)."""

    user: str
    password: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Authenticate(Arguments):
    """AUTHENTICATE (RFC 9051 §6.2.2).

    `initial` is the decoded initial response (SASL-IR, RFC 4959): b"" for `=`, None if there was none.
    """

    mechanism: str
    initial: bytes | None = field(repr=False)


@dataclass(frozen=True, slots=True)
class Id(Arguments):
    """ID (RFC 2971): pairs in the client's order, keys in lower case; None for `ID NIL`."""

    fields: tuple[tuple[str, str | None], ...] | None


@dataclass(frozen=True, slots=True)
class Enable(Arguments):
    """ENABLE (RFC 5161, RFC 9051 §6.3.1): names in capitals; the session ignores unknown ones."""

    capabilities: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Compress(Arguments):
    """COMPRESS (RFC 4978), with `mechanism` in capitals."""

    mechanism: str


NO_ARGUMENTS = Arguments()

_ID_WORDS = 2 * 30  # RFC 2971 §3.3


def no_arguments(cursor: Cursor) -> Arguments:
    return NO_ARGUMENTS


def login(cursor: Cursor) -> Login:
    """Parse LOGIN (RFC 9051 §6.2.3).

    Octets that are not UTF-8 match no password, so they are refused like a wrong one, not as a syntax error.
    """
    user = cursor.astring().decode("utf-8", "replace")
    cursor.space()
    return Login(user, cursor.astring().decode("utf-8", "replace"))


def authenticate(cursor: Cursor) -> Authenticate:
    """Parse AUTHENTICATE (RFC 9051 §6.2.2); the initial response `=` is an empty one (RFC 4959 §3)."""
    mechanism = cursor.word().decode("ascii")
    initial: bytes | None = None
    if not cursor.at_end():
        cursor.space()
        response = cursor.data[cursor.position :].rstrip(b" ")
        cursor.skip_rest()
        initial = b"" if response == b"=" else decode_base64(response)
        if initial is None:
            raise Fault(b"Invalid base64")
    return Authenticate(mechanism, initial)


def id_(cursor: Cursor) -> Id:
    """Parse ID (RFC 2971 §3.1).

    Only its length is checked strictly: clients abandon the account after a refusal. A key without a value gets None.
    """
    if cursor.at_end():
        return Id(None)
    if not cursor.at(b"("):
        if cursor.word() != b"NIL":
            raise Fault(b"Syntax error: list expected")
        return Id(None)
    words: list[str | None] = []
    for _ in cursor.listed():
        if len(words) == _ID_WORDS:
            raise Fault(b"Too many fields")
        octets = cursor.nstring()
        words.append(None if octets is None else octets.decode("utf-8", "replace"))
    words.append(None)
    pairs = zip(words[0:-1:2], words[1::2], strict=False)
    return Id(tuple((key.lower(), value) for key, value in pairs if key))


def enable(cursor: Cursor) -> Enable:
    names = [cursor.word().decode("ascii") for _ in cursor.remaining()]
    return Enable(tuple(dict.fromkeys(names)))


def compress(cursor: Cursor) -> Compress:
    return Compress(cursor.word().decode("ascii"))
