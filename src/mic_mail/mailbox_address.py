"""The address of a mailbox as a value: parsed once, and written in a form that fits its use. Pure.

In: a text as in RFC 5321 §4.1.2 and §4.1.3, with UTF-8 (RFC 6531 §3.3). Out: a `MailboxAddress`, or `NotAnAddress`. No other
text becomes one, so `str()` of an address is safe in any command, header field, report, log line and file:

    str(address)          the canonical form, with as few quotes as the RFC allows: MAIL and RCPT under SMTPUTF8, header fields
                          (RFC 5322 §3.4.1, RFC 6532), the log, spool, queue, and every file and table that holds text
    address.in_ascii()    MAIL and RCPT without SMTPUTF8: the domain in A-labels
    address.type          `rfc822` or `utf-8`, in ORCPT and in delivery reports (RFC 3464 §2.3.2, RFC 6533 §3)

Two addresses are equal if their local parts are equal octet by octet, and their domains regardless of case and of A-labels or
U-labels (RFC 5321 §2.4, RFC 5890 §2.3.2.4). The local part has no quotes: `"dvbe"@x` and `dvbe@x` are one mailbox.

Laxer than the grammar in one point: `_` is allowed in domains, as Windows hosts have it. Stricter in three: a local part is
not empty, C1 controls and the separators of lines and paragraphs are not allowed, and an address is in NFC.
"""

import re
import unicodedata
from functools import lru_cache
from typing import Final, Literal, Self, final

from mic_mail.domain_name import NotAName, to_ascii
from mic_mail.errors import BadInput, Text, in_ascii

MAX_LOCAL_OCTETS = 256
"""The most octets of a local part.

RFC 5321 §4.5.3.1.1 requires at least 64; list managers and forwarders (VERP, SRS) write longer ones.
"""
MAX_DOMAIN_OCTETS = 255
MAX_OCTETS = 2 * MAX_LOCAL_OCTETS + 2 + 1 + MAX_DOMAIN_OCTETS
"""The most octets of the canonical form, with a backslash before every letter of the local part."""


def _class(ascii_letters: str) -> str:
    """Return the class of these ASCII characters and all others but controls and surrogates.

    C1 controls and separators are excluded, too. It names what it lacks: `re` takes a thousand times as long to compile a class
    that names most of Unicode.
    """
    allowed = re.compile(f"[{ascii_letters}]")
    lacking = "".join(rf"\x{code:02x}" for code in range(0xA0) if code >= 0x80 or not allowed.match(chr(code)))
    return rf"[^{lacking}\u2028\u2029\ud800-\udfff]"


_ATEXT = _class(r"A-Za-z0-9!#$%&'*+/=?^_`{|}~\-")
_DOT_STRING = rf"{_ATEXT}++(?:\.{_ATEXT}++)*+"
_QTEXT = _class(r" !#-\[\]-~")
_QUOTED = rf'"(?:{_QTEXT}|\\[ -~])*+"'
_LETTER, _LETTER_OR_HYPHEN = _class("A-Za-z0-9_"), _class(r"A-Za-z0-9_\-")
_LABEL = rf"{_LETTER}(?:{_LETTER_OR_HYPHEN}*{_LETTER})?"
_DOMAIN = rf"{_LABEL}(?:\.{_LABEL})*"
_OCTET = r"(?:25[0-5]|2[0-4][0-9]|1[0-9]{2}|[1-9]?[0-9])"
_LITERAL = rf"\[(?:{_OCTET}(?:\.{_OCTET}){{3}}|(?i:IPv6):[0-9A-Fa-f:.]{{2,45}})\]"
HOST: Final = rf"(?:{_DOMAIN}|{_LITERAL})"
"""A regular expression for the part after the `@`."""
MAILBOX: Final = rf"(?:{_DOT_STRING}|{_QUOTED})@{HOST}"
"""A regular expression for `Mailbox` of RFC 5321 §4.1.2, without groups.

A match may still be too long.
"""

_PARTS = re.compile(rf"({_DOT_STRING}|{_QUOTED})@({HOST})")
_HOST = re.compile(HOST)
_UNQUOTED = re.compile(_DOT_STRING)
_LOCAL_PART = re.compile(f"{_class(' -~')}+")
_PAIR = re.compile(r"\\(.)")


class NotAnAddress(BadInput, ValueError):
    """The text is no mailbox address."""


@final
class MailboxAddress:
    """One mailbox. Immutable."""

    __slots__ = ("_domain", "_local_part", "_text")

    def __init__(self, local_part: str, domain: str) -> None:
        """Make an address; `local_part` has no quotes. Raises `NotAnAddress` for invalid parts."""
        # Lengths first: composing letters takes time that grows with the square of a run of marks.
        if len(local_part) > MAX_LOCAL_OCTETS or len(domain) > MAX_DOMAIN_OCTETS:
            raise _no_address(f"{local_part}@{domain}")
        self._local_part: Final = local_part if local_part.isascii() else unicodedata.normalize("NFC", local_part)
        self._domain: Final = _canonical_domain(domain)
        if (
            _LOCAL_PART.fullmatch(self._local_part) is None
            or _HOST.fullmatch(self._domain) is None
            or _octets(self._local_part) > MAX_LOCAL_OCTETS
            or _octets(self._domain) > MAX_DOMAIN_OCTETS
        ):
            raise _no_address(f"{local_part}@{domain}")
        self._text: Final = f"{quoted_if_needed(self._local_part)}@{self._domain}"

    @classmethod
    def parse(cls, text: str) -> Self:
        """Parse an address in any form that RFC 5321 §4.1.2 allows; raises `NotAnAddress`."""
        match = _PARTS.fullmatch(text) if len(text) <= MAX_OCTETS else None
        if match is None:
            raise _no_address(text)
        local_part = match[1]
        return cls(_PAIR.sub(r"\1", local_part[1:-1]) if local_part[0] == '"' else local_part, match[2])

    @property
    def local_part(self) -> str:
        """The local part without quotes, in its original letters."""
        return self._local_part

    @property
    def domain(self) -> str:
        """The domain in lower case with its original labels, or an address literal in its brackets."""
        return self._domain

    @property
    def is_ascii(self) -> bool:
        return self._text.isascii()

    @property
    def type(self) -> str:
        """The address type of RFC 3461 §4.2 and RFC 6533 §3."""
        return "rfc822" if self.is_ascii else "utf-8"

    def __str__(self) -> str:
        """Return the canonical form."""
        return self._text

    def in_ascii(self) -> str:
        """Return the address with its domain in A-labels.

        `NotAnAddress` if the local part is not ASCII, `NotAName` if the domain has no A-labels.
        """
        if self._text.isascii():
            return self._text
        if not self._local_part.isascii():
            raise _no_address(self._text)
        return f"{quoted_if_needed(self._local_part)}@{to_ascii(self._domain)}"

    def folded(self) -> str:
        """Return the directory's key of a local address: local mailboxes are known regardless of case."""
        return self._text.lower()

    def __eq__(self, other: object) -> bool:
        return isinstance(other, MailboxAddress) and self._identity() == other._identity()

    def __hash__(self) -> int:
        return hash(self._identity())

    def _identity(self) -> tuple[str, str]:
        return self._local_part, self._domain if self._domain.isascii() else _known_to_dns(self._domain)

    def __repr__(self) -> str:
        return f"MailboxAddress.parse({self._text!r})"


@final
class NullPath:
    """The null reverse-path `<>` of RFC 5321 §4.5.5: written as nothing, and false."""

    __slots__ = ()

    def __str__(self) -> str:
        return ""

    def __bool__(self) -> Literal[False]:
        return False

    def __repr__(self) -> str:
        return "NULL_PATH"


NULL_PATH: Final = NullPath()
ReversePath = MailboxAddress | NullPath
"""The address notified if a message cannot be delivered, or none."""


def parse_reverse_path(text: str) -> ReversePath:
    """Parse a reverse-path written by `str()`; raises `NotAnAddress`."""
    return MailboxAddress.parse(text) if text else NULL_PATH


def _canonical_domain(domain: str) -> str:
    if domain.isascii():
        domain = domain.lower()
        return domain.replace("[ipv6:", "[IPv6:", 1) if domain[:1] == "[" else domain
    # Composed again: a capital may become two letters.
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", domain).lower())


@lru_cache(maxsize=256)
def _known_to_dns(domain: str) -> str:
    """Return a domain in A-labels, or unchanged if it has none."""
    try:
        return to_ascii(domain)
    except NotAName:
        return domain


@lru_cache(maxsize=256)
def quoted_if_needed(local_part: str) -> str:
    """Quote a local part as little as possible (RFC 5321 §4.1.2)."""
    if _UNQUOTED.fullmatch(local_part) is not None:
        return local_part
    return '"' + re.sub(r'(["\\])', r"\\\1", local_part) + '"'


def _octets(text: str) -> int:
    return len(text) if text.isascii() else len(text.encode())


def _no_address(text: str) -> NotAnAddress:
    shown = text[:80]
    return NotAnAddress(
        Text(f"“{shown}” không phải địa chỉ thư.", f'"{in_ascii(shown)}" is not a mailbox address.'),
        remedy=Text("Ghi theo dạng tên@tên-miền.", "Write it as name@domain."),
    )
