"""Split octets, in pieces of any size, into command lines. Pure.

In: `feed`. Out: `next_line`: the next command without its line end, a `LineFault`, or None while more is needed. Only CRLF
ends a line (RFC 5321 §2.3.8); a line with a bare CR, a bare LF or NUL in it is `BARE`, unless `repair_lf` takes LF for
CRLF. A line longer than `max_octets` is discarded as it comes and reported once, as `TOO_LONG`, when it ends. Octets of a
message are read by `take`, all of them or the first ones.
"""

from enum import Enum


class LineFault(Enum):
    TOO_LONG = "too-long"
    BARE = "bare"


class LineBuffer:
    """Input that has arrived and is not used yet."""

    __slots__ = ("_at", "_octets", "_repair", "_skipping", "max_octets")

    def __init__(self, max_octets: int, *, repair_lf: bool = False) -> None:
        self.max_octets = max_octets
        self._octets = b""
        self._at = 0
        self._repair = repair_lf
        self._skipping = False

    def __len__(self) -> int:
        return len(self._octets) - self._at

    def feed(self, octets: bytes) -> None:
        self._octets = self._octets[self._at :] + octets if self._at < len(self._octets) else octets
        self._at = 0

    def next_line(self) -> bytes | LineFault | None:
        start = self._at
        end = self._octets.find(b"\n", start)
        if end < 0:
            if len(self._octets) - start > self.max_octets + 1:  # the last one may be the CR
                self._skipping = True
            if self._skipping:
                # A CR may be half of the line end.
                self._octets = b"\r" if self._octets.endswith(b"\r") else b""
                self._at = 0
            return None
        self._at = end + 1
        bare = end == start or self._octets[end - 1] != 13
        if self._skipping and (self._repair or not bare):
            self._skipping = False
            return LineFault.TOO_LONG
        if bare and not self._repair:
            return LineFault.BARE
        line = self._octets[start : end if bare else end - 1]
        if len(line) > self.max_octets:  # checked first: the content of a discarded long line is unknown
            return LineFault.TOO_LONG
        return LineFault.BARE if b"\r" in line or b"\0" in line else line

    def take(self, octets: int | None = None) -> bytes:
        """Return the next octets unchanged: all that are here, or at most `octets`."""
        start = self._at
        end = len(self._octets) if octets is None else min(start + octets, len(self._octets))
        self._at = end
        return self._octets[start:end]

    def clear(self) -> None:
        """Discard all input (RFC 3207 §4.2: what was pipelined behind STARTTLS)."""
        self._octets, self._at, self._skipping = b"", 0, False
