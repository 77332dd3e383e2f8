"""Read From, Sender and similar fields only where every program reads them alike.

In: the value of a field, folded or not. Out: its mailboxes, each with its address and the text a reader shows beside it; or
`Ambiguous`. Linear in time, bounded by `MAX_OCTETS`. `addresses` reads any input, for display; this module decides whose name
a message may carry, so it refuses anything that mail programs read differently.

RFC 5322 §3.4 with UTF-8 (RFC 6532), and one obsolete form: dots in an unquoted name (§4.1). Refused although the grammar has
them: comments and spaces inside an address, routes, and groups (RFC 6854): no mail program writes them in these fields, and
few read them.
"""

import re
import unicodedata
from dataclasses import dataclass

from mic_mail.mailbox_address import quoted_if_needed
from mic_mail.mime.encoded_words import decode_text
from mic_mail.mime.headers import unfold

MAX_OCTETS = 8_192
"""Octets of a field; sixteen authors with long names take a third of it."""


class Ambiguous(ValueError):
    """A field that is not written as RFC 5322 says, so that other programs may read it differently."""


@dataclass(frozen=True, slots=True)
class Author:
    """One author: the address in lower case and NFC, quoted if needed, and the decoded texts beside it."""

    address: str
    shown: tuple[str, ...] = ()


_CONTROL = re.compile(r"[\x00-\x08\x0a-\x1f\x7f-\x9f]")
_DECODED_CONTROL = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")
"""Control characters in an encoded word.

C1 controls are allowed, as the charset's name may be wrong: quotes of Windows declared as Latin-9.
"""
_UTF_7 = re.compile(r"=\?[^?]*utf-?7[*?]", re.IGNORECASE)
"""An encoded word that some programs decode by RFC 2152 and others show raw."""
_SPACES = re.compile(r"[ \t]*+")
_QUOTED = r'"((?:[^"\\]|\\.)*+)"'
_WORD = re.compile(rf'{_QUOTED}|([^ \t()<>\[\]@,:;\\"]++|\[[^()<>\[\]@,:;\\"]*+\])')
"""A word of a display name, or one in brackets, which people write and all programs read alike."""
_ATEXT = r"[^\x00-\x20\x7f()<>\[\]@,:;\\\".]"
_DOT_ATOM = rf"{_ATEXT}++(?:\.{_ATEXT}++)*+"
_QUOTED_LOCAL = r'"((?:[^"\\ \t]|\\[^ \t])++)"'
_LABEL = r"[^\x00-,./:-@\[-\^`{-\x7f]"  # letters, digits, `_`, `-` and all beyond ASCII
_DOMAIN = rf"{_LABEL}++(?:\.{_LABEL}++)*+"
_ADDRESS = re.compile(rf"(?:({_DOT_ATOM})|{_QUOTED_LOCAL})@({_DOMAIN}(?!{_ATEXT})|\[[A-Za-z0-9.:\-]*+\])")
"""An address.

A domain has the letters of names, and a literal those of addresses of hosts (RFC 5321 §4.1.2, §4.1.3), and not all that RFC
5322 §3.4.1 allows: `[>b@c.example]`.
"""
_COMMENT_STEP = re.compile(r"[^()\\]++|\\.|[()]")
_PAIR = re.compile(r"\\(.)")


def read_mailboxes(value: bytes) -> list[Author]:
    """Return the mailboxes of one field, none where it is empty; raise `Ambiguous`."""
    if len(value) > MAX_OCTETS:
        raise Ambiguous("too long")
    try:
        text = unfold(value).decode("utf-8")
    except UnicodeDecodeError:
        raise Ambiguous("not in UTF-8") from None
    if _CONTROL.search(text):
        raise Ambiguous("control characters")
    return _Parser(text).mailboxes()


class _Parser:
    """One field and the current position."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0
        self._comments: list[str] = []

    def mailboxes(self) -> list[Author]:
        found: list[Author] = []
        self._skip()
        if self._at == len(self._text):
            return found
        while True:
            found.append(self._mailbox())
            if self._at == len(self._text):
                return found
            self._expect(",")
            self._skip()

    def _mailbox(self) -> Author:
        """Read `mailbox` of RFC 5322 §3.4, and the comments after it."""
        words: list[str] = []
        address = self._take(_ADDRESS)
        if address is None:
            while (word := self._take(_WORD)) is not None:
                words.append(_PAIR.sub(r"\1", word[1]) if word[1] is not None else word[2])
                self._skip()
            self._expect("<")
            self._take(_SPACES)
            address = self._take(_ADDRESS)
            if address is None:
                raise Ambiguous("no address between < and >")
            self._take(_SPACES)
            self._expect(">")
        self._skip()
        shown = tuple(_decoded(text) for text in (" ".join(words), *self._comments) if text)
        self._comments.clear()
        local = address[1] if address[1] is not None else _PAIR.sub(r"\1", address[2])
        if "=?" in local:  # RFC 2047 §5: no encoded word is allowed in an address, but some programs decode it
            raise Ambiguous("an encoded word in an address")
        return Author(f"{quoted_if_needed(_composed(local))}@{_composed(address[3])}".lower(), shown)

    def _take(self, pattern: re.Pattern[str]) -> re.Match[str] | None:
        match = pattern.match(self._text, self._at)
        if match is not None:
            self._at = match.end()
        return match

    def _expect(self, character: str) -> None:
        if not self._text.startswith(character, self._at):
            raise Ambiguous(f"{character} expected")
        self._at += 1

    def _skip(self) -> None:
        """Skip white space and comments, which nest (RFC 5322 §3.2.2)."""
        self._take(_SPACES)
        while self._text.startswith("(", self._at):
            begin, depth = self._at + 1, 0
            while depth or self._at < begin:
                step = self._take(_COMMENT_STEP)
                if step is None:
                    raise Ambiguous("a comment that does not end")
                depth += (step[0] == "(") - (step[0] == ")")
            self._comments.append(_PAIR.sub(r"\1", self._text[begin : self._at - 1]))
            self._take(_SPACES)


def _composed(text: str) -> str:
    return unicodedata.normalize("NFC", text)


def _decoded(text: str) -> str:
    """Return the text that a reader shows beside the address."""
    decoded = decode_text(text.encode())
    if _DECODED_CONTROL.search(decoded) or _UTF_7.search(text):
        raise Ambiguous("encoded words that are not shown alike")
    return decoded


_NO_ADDRESS = r"\s\"<>()\[\],:;@\\"
_SHOWN_ADDRESS = re.compile(rf"(?<![^{_NO_ADDRESS}])([^{_NO_ADDRESS}]++)(?=@([\w\-]++(?:\.[\w\-]++)++))")
"""An address in shown text.

A domain is matched by lookahead, as text in it may continue as the local part of the next address.
"""
_UNSEEN = frozenset({"Cf", "Mn", "Me"})
"""Categories of invisible characters.

They include marks: most of them, between the letters of an address, are drawn over a letter or not at all.
"""
_QUOTES = "'`“”‘’«»."


def addresses_in(text: str) -> list[str]:
    """Return the addresses that a person sees in a text, also with lookalike or invisible characters."""
    if "@" not in text and text.isascii():
        return []
    return [f"{local.strip(_QUOTES)}@{domain}".lower() for local, domain in _SHOWN_ADDRESS.findall(as_seen(text))]


def as_seen(text: str) -> str:
    """Replace lookalike letters with plain ones, and remove invisible ones."""
    if text.isascii():
        return text
    return "".join([unicodedata.normalize("NFKC", letter) for letter in text if unicodedata.category(letter) not in _UNSEEN])
