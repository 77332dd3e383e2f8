"""Transfer encodings, decoded the way that mail programs decode them: what is damaged is skipped, never refused.

In: the raw octets of a part. Out: its content, as long as the scanner says (`Part.decoded_octets`). RFC 2045 §6.7
(quoted-printable) and §6.8 (base64). Never raises. An encoding that nobody knows passes as it is.
"""

import binascii
import re

_BASE64 = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
_NOT_BASE64 = bytes(set(range(256)) - set(_BASE64))
_ESCAPE = re.compile(rb"=[0-9A-Fa-f]{2}")
_ESCAPE_OR_SOFT = re.compile(rb"=(?:([0-9A-Fa-f]{2})|\r?\n)")


class Decoder:
    """Decodes one part in pieces of any size."""

    __slots__ = ("_decode", "_held", "_padded")

    def __init__(self, encoding: str) -> None:
        self._decode = {"base64": self._base64, "quoted-printable": self._quoted_printable}.get(encoding.lower())
        self._held = b""
        self._padded = False

    def feed(self, raw: bytes) -> bytes:
        """Content that the next raw octets complete."""
        return self._decode(raw) if self._decode else raw

    def finish(self) -> bytes:
        """What is left at the end of the part: a last group without its padding; a lone `=` and a lone digit are nothing."""
        held, self._held = self._held, b""
        if self._decode == self._base64:
            held = held[: len(held) - (len(held) % 4 == 1)]
            return binascii.a2b_base64(held + b"=" * (-len(held) % 4))
        return _unescape(held[:-1] if held.endswith(b"=") else held)

    def _base64(self, raw: bytes) -> bytes:
        if self._padded:
            return b""
        pad = raw.find(b"=")
        if pad >= 0:
            self._padded = True
            raw = raw[:pad]
        digits = self._held + raw.translate(None, _NOT_BASE64)
        whole = len(digits) & ~3
        self._held = digits[whole:]
        return binascii.a2b_base64(digits[:whole])

    def _quoted_printable(self, raw: bytes) -> bytes:
        raw = self._held + raw
        cut = raw.find(b"=", max(0, len(raw) - 2))
        if cut < 0:
            cut = len(raw)
        self._held = raw[cut:]
        return _unescape(raw[:cut])


def _unescape(raw: bytes) -> bytes:
    signs = raw.count(b"=")
    if not signs:
        return raw
    if signs == len(_ESCAPE.findall(raw)) + raw.count(b"=\r\n") + raw.count(b"=\n"):
        return binascii.a2b_qp(raw)
    # Damaged somewhere, and there the standard library swallows what follows; a sign that escapes nothing stands for itself.
    return _ESCAPE_OR_SOFT.sub(lambda match: binascii.unhexlify(match[1]) if match[1] else b"", raw)


def decode(raw: bytes, encoding: str) -> bytes:
    """The content of a whole part."""
    decoder = Decoder(encoding)
    return decoder.feed(raw) + decoder.finish()
