"""Modified UTF-7, the encoding of mailbox names in IMAP4rev1 and in Maildir++ (RFC 3501 §5.1.3).

Printable US-ASCII stands for itself, `&` is `&-`, everything else is UTF-16BE in base64 with `,` for `/` and no padding,
between `&` and `-`. In: `str` or ASCII octets; out: the other. Strict decoding accepts exactly the output of the encoder,
so no two octet strings mean the same name. Pure.
"""

import re
from base64 import b64decode, b64encode

_SHIFTED = re.compile(rb"&([A-Za-z0-9+,]*+)-")
_OUTSIDE = re.compile(r"&|[^\x20-\x7e]++")
_VALID = re.compile(rb"(?:[\x20-\x25\x27-\x7e]|&[A-Za-z0-9+,]*+-)*+")


class NotModifiedUtf7(ValueError):
    """The octets are not modified UTF-7, or not the canonical form of their text."""


def encode(name: str) -> bytes:
    """Return the only correct form of `name`; lone surrogates, which UTF-8 cannot hold, become U+FFFD."""
    if name.isascii() and name.isprintable() and "&" not in name:
        return name.encode("ascii")
    return _OUTSIDE.sub(lambda found: shift(found[0]), name).encode("ascii")


def decode(octets: bytes, *, strict: bool = True) -> str:
    """Return the name, or raise `NotModifiedUtf7`.

    `strict`: only if `octets` are exactly what `encode` makes of it; otherwise also with needless shifts.
    """
    if b"&" not in octets and octets.isascii():
        text = octets.decode("ascii")
        if text.isprintable():
            return text
        raise NotModifiedUtf7("control character in a mailbox name")
    if not _VALID.fullmatch(octets):
        raise NotModifiedUtf7("not modified UTF-7")
    try:
        name = "".join(_unshift(piece) if i % 2 else piece.decode("ascii") for i, piece in enumerate(_SHIFTED.split(octets)))
    except (UnicodeDecodeError, ValueError) as error:
        raise NotModifiedUtf7("not modified UTF-7") from error
    # RFC 3501 §5.1.3: no superfluous shifts, no ASCII in base64, no stray bits: one name, one form.
    if strict and encode(name) != octets:
        raise NotModifiedUtf7("not the shortest form")
    return name


def decode_leniently(octets: bytes) -> str:
    """Return the name that a client means: as `decode`, else the octets read as UTF-8.

    Clients that enabled UTF-8 or do not know the convention send a bare `&` (Thunderbird: `Tom & Jerry`).
    Raises UnicodeDecodeError for octets that are not UTF-8 either.
    """
    try:
        return decode(octets)
    except NotModifiedUtf7:
        return octets.decode("utf-8")


def shift(run: str) -> str:
    """Return characters in their shifted form, also those that need none."""
    if run == "&":
        return "&-"
    wide = run.encode("utf-16-be", "surrogatepass").decode("utf-16-be", "replace").encode("utf-16-be")
    return "&" + b64encode(wide, b"+,").rstrip(b"=").decode("ascii") + "-"


def _unshift(piece: bytes) -> str:
    if not piece:
        return "&"
    return b64decode(piece + b"=" * (-len(piece) % 4), b"+,", validate=True).decode("utf-16-be")
