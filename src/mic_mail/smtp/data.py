"""Decoders for a message's octets as DATA and BDAT carry them. Pure.

In: octets in pieces of any size (`feed`). Out: the message's octets. `DotDecoder` finds the end itself (`ended`, and then
`rest`, what the client pipelined behind it) and removes doubled dots (RFC 5321 §4.5.2); for `ChunkDecoder` the caller
marks the end (`close`).

Only CRLF ends a line (RFC 5321 §2.3.8). A bare CR or bare LF never ends a line or the message: confusing them allows SMTP
smuggling. So the message is read to its true end, and the receiver of the message refuses it there (refusing earlier
would turn the rest of the body into commands). With `repair_lf` a bare LF inside the message becomes CRLF, for known old
devices; the end is still CRLF.CRLF and a bare CR is still refused.

Holds back four octets at most between calls; the result is the same for every split of the input.
"""

import re
from typing import Final

_END: Final = b"\r\n.\r\n"
_DOT: Final = ord(".")
_BARE_LF: Final = re.compile(rb"(?<!\r)\n")


class DotDecoder:
    """Decoder of one DATA; not reusable.

    400 MB/s with a dot on every line, 6 GB/s with none: see bench/smtp_decoder.py.
    """

    __slots__ = ("_first", "_held", "_repair", "ended", "rest")

    def __init__(self, *, repair_lf: bool = False) -> None:
        self._repair = repair_lf
        # The line before the message ended with DATA's own CRLF: a dot in front is at the start of a line.
        self._held = b"\r\n"
        self._first = True
        self.ended = False
        self.rest = b""

    def feed(self, octets: bytes) -> bytes:
        data = self._held + octets if self._held else octets
        # A doubled dot and the end both contain a dot. It is searched first: Base64 has none.
        dot = data.find(b"\r\n.") if _DOT in data else -1
        end = data.find(_END, dot) if dot >= 0 else -1
        if end >= 0:
            self.ended = True
            self.rest = data[end + len(_END) :]
            self._held = b""
            return self._lines(data[: end + 2], dotted=dot < end)
        keep = self._undecided(data)
        self._held = data[len(data) - keep :]
        return self._lines(data[: len(data) - keep], dotted=dot >= 0)

    def _lines(self, piece: bytes, *, dotted: bool) -> bytes:
        if self._repair:
            piece = _BARE_LF.sub(b"\r\n", piece)
        if dotted or self._repair:
            # Each match removes its own dot only, so a dot that follows a removed one stays.
            piece = piece.replace(b"\r\n.", b"\r\n")
        if self._first and piece:
            self._first = False
            return piece[2:]
        return piece

    def _undecided(self, data: bytes) -> int:
        """Return how many octets at the end may begin the end mark, a doubled dot, or a line end to repair."""
        for length in (4, 3, 2, 1):
            if data.endswith(_END[:length]):
                return length
        return 1 if self._repair and data.endswith(b"\n") else 0


class ChunkDecoder:
    """Join the chunks of one BDAT message (RFC 3030).

    Their octets are the message's, except for line ends to repair.
    """

    __slots__ = ("_held", "_repair")

    def __init__(self, *, repair_lf: bool = False) -> None:
        self._repair = repair_lf
        self._held = b""

    def feed(self, octets: bytes) -> bytes:
        if not self._repair:
            return octets
        data = self._held + octets
        self._held = b"\r" if data.endswith(b"\r") else b""
        return _BARE_LF.sub(b"\r\n", data[:-1] if self._held else data)

    def close(self) -> bytes:
        held, self._held = self._held, b""
        return held
