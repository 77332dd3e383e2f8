"""Decode transfer encodings as mail programs do: damage is skipped, never refused.

In: the raw octets of a part. Out: its content, as long as the scanner says (`Part.decoded_octets`; its meter counts the octets
decoded here). RFC 2045 §6.7 (quoted-printable) and §6.8 (base64). Never raises. An unknown encoding passes unchanged.
"""

import binascii
import re

import pybase64

from mic_mail.mime.line_endings import even_lines, line_ends

BASE64 = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
_WORTH_IT = 512
"""Octets above which the faster decoder pays off; its call takes six times as long."""
_MANY = 4_096
"""Octets above which lines of equal length are split off first, which takes half the time."""
_NOT_BASE64 = bytes(set(range(256)) - set(BASE64))


class Base64:
    """Decodes digits up to the first padding, ignoring anything between them."""

    __slots__ = ("_held", "_padded")

    def __init__(self) -> None:
        self._held = b""
        self._padded = False

    def feed(self, raw: bytes) -> bytes:
        """Return the content of the whole groups so far."""
        if self._padded:
            return b""
        if not self._held and len(raw) > _MANY and (even := even_lines(raw)) is not None:
            lines, octets, _ = even
            content = only_digits(lines)
            if content:
                return content + self.feed(raw[octets:])
        pad = raw.find(b"=")
        if pad >= 0:
            self._padded = True
            raw = raw[:pad]
        digits = self._held + raw.translate(None, _NOT_BASE64)
        whole = len(digits) & ~3
        self._held = digits[whole:]
        return pybase64.b64decode(digits[:whole], validate=True) if whole > _WORTH_IT else binascii.a2b_base64(digits[:whole])

    def finish(self) -> bytes:
        """Return the last group without its padding; a single digit is dropped."""
        digits = self._held[: len(self._held) - (len(self._held) % 4 == 1)]
        return binascii.a2b_base64(digits + b"=" * (-len(digits) % 4))


def only_digits(octets: bytearray) -> bytes:
    """Decode whole groups of digits; return b"" where there is anything else, including padding."""
    try:
        content = pybase64.b64decode(octets, validate=True)
    except binascii.Error:
        return b""
    return content if 4 * len(content) == 3 * len(octets) else b""


_BLANK = b" \t"
_TAB = b"\t"[0]
_MAX_BLANK = 998
"""Longest run of trailing white space to delete (RFC 2045 §6.7 (3)); longer than any line, it stays."""
_TRAILING = re.compile(rb"(?<![ \t])[ \t]{1,998}+(?=\r?\n)")
_ESCAPE_OR_SOFT = re.compile(rb"=(?:([0-9A-Fa-f]{2})|\r?\n)")


class QuotedPrintable:
    """Decodes escapes and soft line breaks; any other equals sign is kept, and is damage."""

    __slots__ = ("_held", "_in_long_run", "damaged", "ends_softly")

    def __init__(self) -> None:
        self._held = b""
        self._in_long_run = False
        self.damaged = False
        self.ends_softly = False
        """True if the last octets were a soft line break."""

    def feed(self, raw: bytes) -> bytes:
        """Return the content so far, holding back an end that may become an escape or a line end."""
        raw = self._held + raw if self._held else raw
        blank = b""
        if self._in_long_run:
            rest = raw.lstrip(_BLANK)
            blank, raw = raw[: len(raw) - len(rest)], rest
            if not raw:
                return blank
            self._in_long_run = False
        cut = len(raw) if raw.endswith(b"\n") else self._hold(raw)
        self._held = raw[cut:]
        return blank + self._decode(raw[:cut])

    def _hold(self, raw: bytes) -> int:
        """Return the offset from which the end of the piece cannot be decoded yet."""
        end = len(raw) - raw.endswith(b"\r")
        text = raw[:end].rstrip(_BLANK)
        run = end - len(text)
        if run > _MAX_BLANK:
            self._in_long_run = end == len(raw)
            return end
        if text.endswith(b"="):
            return len(text) - 1
        if run and text.endswith(b"=\r"):  # without the white space it may be a soft line break
            return len(text) - 2
        if run == 0 and end == len(raw) and text[-2:-1] == b"=":
            return len(text) - 2
        return len(text)

    def _decode(self, raw: bytes) -> bytes:
        if not raw:
            return raw
        lf, cr, crlf = line_ends(raw)
        if raw.rfind(b" \r") >= 0 or (lf > crlf and b" \n" in raw) or (_TAB in raw and (b"\t\r" in raw or b"\t\n" in raw)):
            raw = _TRAILING.sub(b"", raw)
        signs = raw.count(b"=")
        self.ends_softly = False
        if not signs:
            return raw
        self.ends_softly = raw.endswith((b"=\r\n", b"=\n"))
        soft_crlf = raw.count(b"=\r\n")
        decoded = binascii.a2b_qp(raw)
        saved = 2 * signs + soft_crlf
        if len(raw) - len(decoded) == saved and (cr == crlf or raw.count(b"=\r") == soft_crlf):
            return decoded
        # Damaged somewhere: the standard library drops the octets after `=\r`, or one of two signs, and saves less elsewhere.
        self.damaged = True
        return _ESCAPE_OR_SOFT.sub(lambda match: binascii.unhexlify(match[1]) if match[1] else b"", raw)

    def finish(self) -> bytes:
        """Return the rest at the end of the part, where a soft line break may lack its line end."""
        held, self._held = self._held, b""
        if not held.endswith(b"\r"):
            held = held.rstrip(_BLANK)
            held = held[:-1] if held.endswith(b"=") else held
        return self._decode(held)


class _Identity:
    """Passes 7bit, 8bit, binary and unknown encodings unchanged."""

    __slots__ = ()

    def feed(self, raw: bytes) -> bytes:
        return raw

    def finish(self) -> bytes:
        return b""


Decoder = Base64 | QuotedPrintable | _Identity
_DECODERS: dict[str, type[Decoder]] = {"base64": Base64, "quoted-printable": QuotedPrintable}


def decoder_for(encoding: str) -> Decoder:
    """Return a decoder for one part, which may come in pieces of any size."""
    return _DECODERS.get(encoding.lower(), _Identity)()


def decode(raw: bytes, encoding: str) -> bytes:
    """Return the content of a whole part."""
    decoder = decoder_for(encoding)
    return decoder.feed(raw) + decoder.finish()
