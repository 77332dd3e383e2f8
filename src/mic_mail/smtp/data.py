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
_DOT: Final = ord(".")
_BARE_LF: Final = re.compile(rb"(?<!\r)\n")


class DotDecoder:
    """Decoder of one DATA; not reusable.

    Octets without a dot are returned as they are, and copied once where they hold the end. 400 MB/s with a dot on every line:
    see bench/smtp_decoder.py.
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
        # A doubled dot and the end both contain a dot. It is searched first: Base64 has none.
        dot = octets.find(_DOT)
        if len(self._held) == self._returned and not self._repair:
            if dot < 0:
                self._hold(self._held + octets if len(octets) < len(_END) else octets)
                return octets
            if dot >= 2 and octets.startswith(_END, dot - 2):
                self.ended, self.rest = True, octets[dot + 3 :]
                return octets[:dot]
        return self._feed_dotted(octets)

    def _feed_dotted(self, octets: bytes) -> bytes:
        data, returned = self._held + octets, self._returned
        dot = data.find(b"\r\n.")
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
