"""Decoders for a message's octets as DATA and BDAT carry them. Pure.

In: octets in pieces of any size (`feed`). Out: the message's octets. `DotDecoder` finds the end itself (`ended`, and then
`rest`, what the client pipelined behind it) and removes doubled dots (RFC 5321 §4.5.2); for `ChunkDecoder` the caller
marks the end (`close`).

Only CRLF ends a line (RFC 5321 §2.3.8). A bare CR or bare LF never ends a line or the message: confusing them allows SMTP
smuggling. So the message is read to its true end, and the receiver of the message refuses it there (refusing earlier
would turn the rest of the body into commands). With `repair_lf` a bare LF inside the message becomes CRLF, for known old
devices; the end is still CRLF.CRLF and a bare CR is still refused.

Returns at once all but two octets at most (`repair_lf`: four); the result is the same for every split of the input.
"""

import re
from typing import Final

_END: Final = b"\r\n.\r\n"
_LINE_DOT: Final = b"\r\n."
_DOT: Final = ord(".")
"""The octet as a number: it is found in bytes thirty times as fast as the three of a line's first dot."""
_BARE_LF: Final = re.compile(rb"(?<!\r)\n")


class DotDecoder:
    """Decoder of one DATA; not reusable.

    Octets without a dot at the start of a line are returned as they are, and copied once where they hold the end. 400 MB/s with
    a dot on every line: see bench/smtp_decoder.py.
    """

    __slots__ = ("_held", "_repair", "_returned", "ended", "rest")

    def __init__(self, *, repair_lf: bool = False) -> None:
        self._repair = repair_lf
        # The line before the message ended with DATA's own CRLF: a dot in front is at the start of a line.
        self._held = b"\r\n"
        """The last octets, if more may make an end mark, a doubled dot or a line end to repair of them."""
        self._returned = 2
        """The number of held octets that are no longer due: line ends, unless they are repaired."""
        self.ended = False
        self.rest = b""

    def feed(self, octets: bytes) -> bytes:
        if len(self._held) == self._returned and not self._repair and not self._begins_with_dot(octets):
            dot = _dot_at_line_start(octets)
            if dot < 0:
                self._hold(self._held + octets if len(octets) < len(_END) else octets)
                return octets
            if octets.startswith(_END, dot - 2):
                self.ended, self.rest = True, octets[dot + 3 :]
                return octets[:dot]
        return self._feed_dotted(octets)

    def _begins_with_dot(self, octets: bytes) -> bool:
        """Return whether there is a dot at the start of the line that the octets held begin."""
        return octets.startswith((b".", b"\n.")) and (self._held + octets[:2]).startswith(b"\r\n.")

    def _feed_dotted(self, octets: bytes) -> bytes:
        data, returned = self._held + octets, self._returned
        dot = data.find(_LINE_DOT)
        end = data.find(_END, dot) if dot >= 0 else -1
        if end >= 0:
            self.ended = True
            self.rest = data[end + len(_END) :]
            return self._lines(data[: end + 2], dotted=dot < end)[returned:]
        self._hold(data)
        return self._lines(data[: len(data) - len(self._held) + self._returned], dotted=dot >= 0)[returned:]

    def _lines(self, piece: bytes, *, dotted: bool) -> bytes:
        if self._repair:
            piece = _BARE_LF.sub(b"\r\n", piece)
        if dotted or self._repair:
            # Each match removes its own dot only, so a dot that follows a removed one stays.
            piece = piece.replace(b"\r\n.", b"\r\n")
        return piece

    def _hold(self, data: bytes) -> None:
        """Hold the end of `data` that may begin the end mark, a doubled dot, or a line end to repair."""
        start = len(data) - self._undecided(data)
        self._held = data[start:]
        # Held line ends are returned at once where they are not repaired. Those of DATA itself are never due.
        self._returned = max(0, self._returned - start) if self._repair else min(len(self._held), 2)

    def _undecided(self, data: bytes) -> int:
        for length in (4, 3, 2, 1):
            if data.endswith(_END[:length]):
                return length
        return 1 if self._repair and data.endswith(b"\n") else 0


def _dot_at_line_start(octets: bytes) -> int:
    """Return the offset of the first dot behind a CRLF, or -1.

    A message in Base64 has dots in its header and at its end only, so little of it is searched for CRLF.
    """
    first = octets.find(_DOT)
    if first < 0 or (first >= 2 and octets.startswith(_LINE_DOT, first - 2)):
        return first
    end = len(octets) - len(b".\r\n") if octets.endswith(_END) else -1
    last = octets.rfind(_DOT, first, end if end >= 0 else len(octets))
    found = octets.find(_LINE_DOT, first, last + 1)
    return found + len(b"\r\n") if found >= 0 else end


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
