"""The lexer of IMAP: a cursor that reads one complete command, literals included, token by token.

In: the octets of a command without its final line end; literals are inside as received, `{5}CRLF` and their octets.
Out: tokens as `bytes`, `str`, numbers, dates. An unexpected token raises `Fault`; the reader turns it into BAD or NO.
The cursor never moves back, and all regular expressions are possessive: time is linear in the length.

Tolerated, because clients send it: several spaces for one, spaces inside parentheses and at the end, any case of letters,
8-bit octets in strings (RFC 9051 §4.3 wants UTF-8 there, RFC 3501 wants literals). Not tolerated: NUL, control characters in
atoms, unfinished strings, text behind the last argument. Standard: RFC 9051 §4 and §9, RFC 3501 §9.
"""

import re
from collections.abc import Iterator
from datetime import date, datetime, timedelta, timezone
from typing import NoReturn
from unicodedata import category

from mic_mail.imap.parser.number_set import MAX_NUMBER, Partial, SequenceError, SequenceSet, parse_set
from mic_mail.mime.encoded_words import compose_letters
from mic_mail.modified_utf7 import decode_leniently
from mic_mail.storage.types import DELIMITER, INBOX, is_inbox

MAX_NUMBER64 = (1 << 63) - 1

TAG = rb'[^\x00-\x20(){%*"\\+\x7f-\xff]++'  # RFC 9051 §9: 1*<any ASTRING-CHAR except "+">
_ATOM = re.compile(rb'[^\x00-\x20(){%*"\\\]\x7f-\xff]++')
_ASTRING = re.compile(
    rb'([^\x00-\x20(){%*"\\\x7f-\xff]++)'
    rb'|"([^"\\\r\n\x00]*+(?:\\["\\][^"\\\r\n\x00]*+)*+)"'
    rb"|\{([0-9]{1,19})\+?\}\r?\n"
)
_LIST_MAILBOX = re.compile(rb'[^\x00-\x20(){"\\\x7f-\xff]++')  # RFC 9051 §9: list-char, with the wildcards
_SET = re.compile(rb"[0-9*$][0-9*:,]*+")
_NUMBER = re.compile(rb"[0-9]{1,19}+(?![0-9])")
_FLAG = re.compile(rb'\\?[^\x00-\x20(){%*"\\\]\x7f-\xff]++')
_PARTIAL = re.compile(rb"(-?[1-9][0-9]{0,9}):(-?[1-9][0-9]{0,9})(?![0-9])")
_SPACES = re.compile(rb" ++")
_REST = re.compile(rb" *+\Z")
_DATE = re.compile(rb'("?)([0-9]{1,2})-([A-Za-z]{3})-([0-9]{4})\1')
_DATE_TIME = re.compile(
    rb'"([ 0-9]?[0-9])-([A-Za-z]{3})-([0-9]{4}) ([0-9]{2}):([0-9]{2}):([0-9]{2}) ([+-])([0-9]{2})([0-9]{2})"'
)
_MONTHS = {name: i for i, name in enumerate(b"JAN FEB MAR APR MAY JUN JUL AUG SEP OCT NOV DEC".split(), 1)}


class Fault(Exception):
    """The command is refused, with this response; texts are ASCII without anything that the client sent."""

    def __init__(self, text: bytes, code: bytes | None = None, status: bytes = b"BAD") -> None:
        super().__init__(text)
        self.text = text
        self.code = code
        self.status = status


class UnfinishedLiteral(Fault):
    """The octets of a literal have not arrived yet; only an APPEND is parsed before it is complete."""


class Cursor:
    """A position in the octets of one command.

    `utf8`: the client has enabled UTF-8, so names are not in modified UTF-7.
    """

    __slots__ = ("data", "position", "utf8", "written")

    def __init__(self, data: bytes, position: int = 0, *, utf8: bool = False) -> None:
        self.data = data
        self.position = position
        self.utf8 = utf8
        self.written = ""
        """The last mailbox name as the client wrote it, where the server's spelling differs."""

    # -------------------------------------------------------------- structure

    def space(self) -> None:
        """Skip the separator between arguments."""
        found = _SPACES.match(self.data, self.position)
        if found is None:
            raise Fault(b"Missing argument" if self.position >= len(self.data) else b"Syntax error: space expected")
        self.position = found.end()

    def skip_spaces(self) -> None:
        """Skip optional spaces."""
        found = _SPACES.match(self.data, self.position)
        if found is not None:
            self.position = found.end()

    def end(self) -> None:
        """Require that only spaces are left."""
        if not self.at_end():
            raise Fault(b"Too many arguments")

    def skip_rest(self) -> None:
        """Leave the rest unread."""
        self.position = len(self.data)

    def at_end(self) -> bool:
        """Return whether only spaces are left."""
        return self.position == len(self.data) or _REST.match(self.data, self.position) is not None

    def at(self, token: bytes) -> bool:
        """Return whether `token` is next."""
        return self.data.startswith(token, self.position)

    def take(self, token: bytes) -> bool:
        """Skip `token` if it is next."""
        if self.data.startswith(token, self.position):
            self.position += len(token)
            return True
        return False

    def another(self, opening: bytes) -> bool:
        """Skip spaces if `opening` follows them: an optional argument."""
        found = _SPACES.match(self.data, self.position)
        if found is None or not self.data.startswith(opening, found.end()):
            return False
        self.position = found.end()
        return True

    def listed(self) -> Iterator[None]:
        """Yield at each item of a parenthesised list, which the caller then reads; the list may be empty."""
        if not self.take(b"("):
            self._expected(b"list")
        self.skip_spaces()
        while not self.take(b")"):
            yield
            if not self.at(b")"):
                self.space()

    def remaining(self) -> Iterator[None]:
        """Yield at each argument up to the end, which the caller then reads; there is at least one."""
        yield
        while not self.at_end():
            self.space()
            yield

    # -------------------------------------------------------------- words and strings

    def atom(self) -> bytes:
        """Read an atom, as written."""
        found = _ATOM.match(self.data, self.position)
        if found is None:
            self._expected(b"word")
        self.position = found.end()
        return found[0]

    def word(self) -> bytes:
        """Read an atom, in capitals: names of options and keys."""
        return self.atom().upper()

    def astring(self) -> bytes:
        """Read an atom, quoted string or literal as octets, never with NUL (RFC 9051 §9, note 3)."""
        found = _ASTRING.match(self.data, self.position)
        if found is None:
            self._expected(b"string")
        self.position = found.end()
        if found[1] is not None:
            return found[1]
        if found[2] is not None:
            return found[2] if b"\\" not in found[2] else _unescaped(found[2])
        return self._literal(int(found[3]))

    def nstring(self) -> bytes | None:
        """Read a string or NIL; any other bare word is accepted as a string."""
        bare = not self.at(b'"') and not self.at(b"{")
        octets = self.astring()
        return None if bare and octets.upper() == b"NIL" else octets

    def text(self) -> str:
        """Read human text in UTF-8, of which US-ASCII is a part."""
        return _utf8(self.astring())

    def _literal(self, size: int) -> bytes:
        stop = self.position + size
        if stop > len(self.data):
            raise UnfinishedLiteral(b"Unfinished literal")
        octets = self.data[self.position : stop]
        if b"\0" in octets:
            raise Fault(b"NUL in a string")
        self.position = stop
        return octets

    # -------------------------------------------------------------- mailbox names

    def mailbox(self) -> str:
        """Read the name of one mailbox, never empty."""
        name = self._name(self.astring())
        if not name:
            raise Fault(b"Empty mailbox name")
        return name

    def reference(self) -> str:
        """Read the first argument of LIST: a name or the beginning of one; may be empty."""
        return self._name(self.astring())

    def pattern(self) -> str:
        """Read a name with wildcards (RFC 9051 §6.3.9)."""
        found = _LIST_MAILBOX.match(self.data, self.position)
        if found is None:
            return self._name(self.astring())
        self.position = found.end()
        return self._name(found[0])

    def _name(self, octets: bytes) -> str:
        """Decode a name (RFC 3501 §5.1.3, RFC 6855 §3).

        It is modified UTF-7, or UTF-8 if the client has enabled that or just sends it. Names are compared in NFC: systems
        that write decomposed letters must find names written by others (RFC 5198 §2).
        """
        try:
            written = octets.decode("utf-8") if self.utf8 or not octets.isascii() else decode_leniently(octets)
        except UnicodeDecodeError:
            raise Fault(b"Mailbox name is not UTF-8") from None
        name = _normalized(written)
        self.written = written if written != name else ""
        return name

    # -------------------------------------------------------------- numbers, sets, flags, dates

    def number(self, at_most: int = 0xFFFF_FFFF, at_least: int = 0) -> int:
        """Read digits within the bounds."""
        found = _NUMBER.match(self.data, self.position)
        if found is None:
            self._expected(b"number")
        value = int(found[0])
        if not at_least <= value <= at_most:
            raise Fault(b"Number out of range")
        self.position = found.end()
        return value

    def number64(self) -> int:
        """Read an unsigned 63-bit integer."""
        return self.number(MAX_NUMBER64)

    def sequence_set(self) -> SequenceSet:
        """Read sequence numbers, UIDs or `$`."""
        found = _SET.match(self.data, self.position)
        if found is None:
            self._expected(b"message set")
        self.position = found.end()
        try:
            return parse_set(found[0])
        except SequenceError:
            raise Fault(b"Invalid message set") from None

    def partial(self) -> Partial:
        """Read a range of results, from the beginning or from the end (RFC 9394 §4)."""
        found = _PARTIAL.match(self.data, self.position)
        if found is None:
            self._expected(b"range")
        first, second = int(found[1]), int(found[2])
        if max(abs(first), abs(second)) > MAX_NUMBER or (first < 0) != (second < 0):
            raise Fault(b"Invalid range")
        self.position = found.end()
        return Partial(first, second)

    def known_set(self) -> SequenceSet:
        """Read a set without `*` and `$` (RFC 7162 §7)."""
        messages = self.sequence_set()
        if messages.saved or messages.has_star:
            raise Fault(b"Invalid message set")
        return messages

    def flag(self) -> bytes:
        """Read a flag or keyword, as written."""
        found = _FLAG.match(self.data, self.position)
        if found is None:
            self._expected(b"flag")
        self.position = found.end()
        return found[0]

    def date(self) -> date:
        """Read a calendar date, quoted or not: `1-Feb-1994`."""
        found = _DATE.match(self.data, self.position)
        if found is None:
            self._expected(b"date")
        self.position = found.end()
        try:
            return date(int(found[4]), _MONTHS[found[3].upper()], int(found[2]))
        except (ValueError, KeyError):
            raise Fault(b"No such date") from None

    def date_time(self) -> datetime:
        """Read a quoted instant with its offset: `"17-Jul-1996 02:44:25 -0700"`.

        A leap second counts as the second before.
        """
        found = _DATE_TIME.match(self.data, self.position)
        if found is None:
            self._expected(b"date and time")
        self.position = found.end()
        day, month, year, hour, minute, second, sign, zone_hours, zone_minutes = found.groups()
        offset = timedelta(hours=int(zone_hours), minutes=int(zone_minutes))
        try:
            zone = timezone(-offset if sign == b"-" else offset)
            return datetime(
                int(year), _MONTHS[month.upper()], int(day), int(hour), int(minute), min(int(second), 59), tzinfo=zone
            )
        except (ValueError, KeyError):
            raise Fault(b"No such date") from None

    def _expected(self, what: bytes) -> NoReturn:
        if self.position >= len(self.data):
            raise Fault(b"Missing argument")
        raise Fault(b"Syntax error: " + what + b" expected")


def _unescaped(inside: bytes) -> bytes:
    """Unescape a quoted string's inside; of adjacent backslashes the first two are one escaped backslash."""
    return b"\\".join([piece.replace(b'\\"', b'"') for piece in inside.split(b"\\\\")])


def _utf8(octets: bytes) -> str:
    try:
        return octets.decode("utf-8")
    except UnicodeDecodeError:
        raise Fault(b"Text is not UTF-8") from None


def _normalized(name: str) -> str:
    """Return the canonical spelling of a name; raise `Fault` for an invalid one."""
    if not name.isascii():
        if any(category(letter) in {"Cc", "Cs", "Zl", "Zp"} for letter in name):
            raise Fault(b"Control character in a mailbox name")
        name = compose_letters(name)
    elif not name.isprintable():
        raise Fault(b"Control character in a mailbox name")
    # RFC 9051 §5.1: INBOX is case-insensitive, also as the first level of a name.
    if is_inbox(name[:5]) and name[5:6] in {"", DELIMITER}:
        return INBOX + name[5:]
    return name
