"""The grammar of commands: tag and name of a command, and the parser of its arguments.

In: a command with its literals, without its final line end. Out: a `Command`. Raises only `Fault`. Which commands
there are is given from above (`imap.command_table`).
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from mic_mail.imap.parser.command import Arguments, Command
from mic_mail.imap.parser.lexer import TAG, Cursor, Fault

_HEAD = re.compile(rb"(" + TAG + rb") ++(?:([Uu][Ii][Dd]) ++)?([A-Za-z][A-Za-z0-9]*+)(?= |$)")
_TAG = re.compile(TAG)

Parser = Callable[[Cursor], Arguments]
"""Reads arguments from a cursor at the first one, or at the end; nothing may follow what it has read."""


@dataclass(frozen=True, slots=True)
class Grammar:
    """The commands that a reader can read."""

    parsers: Mapping[bytes, Parser]
    """The parser of each command, by its name in capitals; `UID FETCH` has its own."""
    before_sign_in: frozenset[bytes]
    """The names that an unauthenticated client may use."""

    def parse(self, data: bytes, *, utf8: bool, is_signed_in: bool = True) -> Command:
        """Parse a command; before sign-in only those that need none."""
        head = head_of(data)
        parser = self._parser_of(head, is_signed_in=is_signed_in)
        cursor = Cursor(data, head.end(), utf8=utf8)
        cursor.skip_spaces()
        arguments = parser(cursor)
        cursor.end()
        return Command(head[1], head[3].upper().decode("ascii"), arguments)

    def check_head(self, data: bytes, *, is_signed_in: bool) -> bytes:
        """Return the name of the command that begins with `data`; checked before waiting for its literal."""
        head = head_of(data)
        self._parser_of(head, is_signed_in=is_signed_in)
        return head[3].upper()

    def _parser_of(self, head: re.Match[bytes], *, is_signed_in: bool) -> Parser:
        """Return the parser of a command, found by its name in any case of letters."""
        name = head[3].upper() if head[2] is None else b"UID " + head[3].upper()
        found = self.parsers.get(name)
        if found is None:
            raise Fault(b"Unknown command")
        if not is_signed_in and name not in self.before_sign_in:
            raise Fault(b"Sign in first.")
        return found


def head_of(data: bytes) -> re.Match[bytes]:
    """Return the tag, `UID` and name of a command; the arguments begin at the match's end."""
    head = _HEAD.match(data)
    if head is None:
        raise Fault(b"Syntax error" if _TAG.match(data) else b"Invalid tag")
    return head


def tag_of(data: bytes) -> bytes:
    """Return the tag to answer with, `*` where there is none."""
    found = _TAG.match(data)
    return found[0] if found else b"*"
