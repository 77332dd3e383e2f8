"""Split octets, in pieces of any size, into command lines. Pure.

In: `feed`. Out: `next`: the next line without its line end, a `LineFault`, or None while more is needed; the same for every
split of the stream. A line ends in CRLF (RFC 1939 §3); a bare LF is accepted, since nothing is relayed here that another
parser could read differently. A line that is too long is discarded as it comes and reported once, when it ends; one that
does not end is reported as `ENDLESS`, and nothing comes after that.
"""

from enum import Enum

MAX_LINE_OCTETS = 16_640
"""Octets of the longest line: a SASL response (12,288 octets, RFC 4954 §4, in Base64).

No limit of commands applies to it (RFC 5034 §4). Commands have to be accepted up to 255 octets at least (RFC 2449 §4).
"""
MAX_SKIPPED_OCTETS = 64 << 10
"""Octets of a line beyond which it is not taken for a mistake, and the session ends."""


class LineFault(Enum):
    """Reasons why input is no line."""

    TOO_LONG = "too-long"
    ENDLESS = "endless"


class Lines:
    """Input that has arrived and is not used yet."""

    __slots__ = ("_at", "_deaf", "_octets", "_skipped")

    def __init__(self) -> None:
        self._octets = b""
        self._at = 0
        self._skipped = 0  # octets of the present line that were discarded
        self._deaf = False

    @property
    def buffered(self) -> int:
        """Octets that no line has used yet."""
        return len(self._octets) - self._at

    def feed(self, octets: bytes) -> None:
        """Append the next input."""
        if not self._deaf:
            self._octets = self._octets[self._at :] + octets if self._at < len(self._octets) else octets
            self._at = 0

    def next(self) -> bytes | LineFault | None:
        """Return the next line."""
        if self._deaf:
            return LineFault.ENDLESS
        start = self._at
        end = self._octets.find(b"\n", start)
        length = (len(self._octets) if end < 0 else end) - start + self._skipped
        if length > MAX_SKIPPED_OCTETS:
            self.discard_input()
            self._deaf = True
            return LineFault.ENDLESS
        if end < 0:
            if length > MAX_LINE_OCTETS + 1:  # the last one may be the CR
                self.discard_input()
                self._skipped = length
            return None
        self._at = end + 1
        line = self._octets[start:end].removesuffix(b"\r")
        skipped, self._skipped = self._skipped, 0
        return LineFault.TOO_LONG if skipped or len(line) > MAX_LINE_OCTETS else line

    def discard_input(self) -> None:
        """Discard all input (RFC 2595 §4: what came in clear behind STLS)."""
        self._octets, self._at, self._skipped = b"", 0, 0
