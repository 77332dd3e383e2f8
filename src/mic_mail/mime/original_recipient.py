"""The original recipient: ORCPT of RFC 3461 §4.2, with the type `utf-8` of RFC 6533 §3. Pure.

In: the value of the parameter. Out: an `OriginalRecipient`, which reproduces the sender's value in a command and in a report,
or `NotAnOriginalRecipient`. The address in it is only carried: this server need not be able to send to it.
"""

import re
from dataclasses import dataclass
from typing import Self

MAX_OCTETS = 500  # RFC 3461 §4.2

_TYPED = re.compile(r"([A-Za-z0-9-]+);(.+)")
_XTEXT = re.compile(r"(?:[!-*,-<>-~]|\+[0-9A-F]{2})+")
# RFC 6533 §3, utf-8-addr-xtext and utf-8-addr-unitext, where RFC 3461's own encoding of octets is understood too.
_UNITEXT = re.compile(r"(?:[^\x00- +=\\\x7f-\x9f]|\+[0-7][0-9A-F]|\\x\{(?:[0-9A-F]{1,5}|10[0-9A-F]{4})\})+")
_EMBEDDED = re.compile(r"\\x\{([0-9A-F]{1,5}|10[0-9A-F]{4})\}")
_UNFIT = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")
"""Characters that cannot stand on a line of a report."""


class NotAnOriginalRecipient(ValueError):
    """A text that is not a valid value of ORCPT."""


@dataclass(frozen=True, slots=True)
class OriginalRecipient:
    """One value of ORCPT; `str()` returns it as received, in UTF-8 where the type is `utf-8`."""

    type: str
    encoded: str

    @classmethod
    def parse(cls, text: str) -> Self:
        """Parse a value; raise `NotAnOriginalRecipient` if it is invalid."""
        match = _TYPED.fullmatch(text) if len(text) <= MAX_OCTETS else None
        if match is None:
            raise NotAnOriginalRecipient("no type and address")
        found = cls(match[1], match[2])
        form = _UNITEXT if found._is_utf8 else _XTEXT
        if form.fullmatch(found.encoded) is None or _UNFIT.search(address := found.address):
            raise NotAnOriginalRecipient("not encoded as its type asks for")
        if len(text.encode()) > MAX_OCTETS or not (found._is_utf8 or address.isascii()):
            raise NotAnOriginalRecipient("too long, or more than ASCII")
        return found

    @property
    def _is_utf8(self) -> bool:
        return self.type.lower() == "utf-8"

    @property
    def address(self) -> str:
        """The decoded address, as the sender wrote it."""
        text = decode_xtext(self.encoded)
        return _embedded_decoded(text) if self._is_utf8 else text

    def __str__(self) -> str:
        return f"{self.type};{self.encoded}"

    def in_ascii(self) -> str:
        """Return the value for a peer that takes only ASCII (utf-8-addr-xtext)."""
        letters = (char if char.isascii() else f"\\x{{{ord(char):X}}}" for char in self.encoded)
        return f"{self.type};{''.join(letters)}"

    def in_report(self, *, utf8: bool) -> str:
        """Return Original-Recipient, with `utf8` for a global-delivery-status (RFC 6533 §3, §4.1)."""
        if self._is_utf8 and not utf8:
            type_, _, encoded = self.in_ascii().partition(";")
            return f"{type_}; {encoded}"
        return f"{self.type}; {self.address}"


def decode_xtext(text: str) -> str:
    """Decode an xtext (RFC 3461 §4) whose form was checked; a `+` without two digits after it is kept."""
    return re.sub(r"\+([0-9A-F]{2})", lambda match: chr(int(match[1], 16)), text)


def decode_utf8_recipient(text: str) -> str:
    r"""Decode a report's address of type `utf-8` (RFC 6533 §3): `\x{E9}` is a letter, `+20` is itself.

    A text that would hold what cannot stand on a line is returned as it is.
    """
    decoded = _embedded_decoded(text)
    return text if _UNFIT.search(decoded) else decoded


def _embedded_decoded(text: str) -> str:
    return _EMBEDDED.sub(lambda match: chr(int(match[1], 16)), text)
