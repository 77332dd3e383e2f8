"""Command lines out of octets in pieces of any size. Pure.

In: `feed`. Out: `next`, the next line without its line end, a `Trouble`, or None while more is needed; the same for every way
to cut the stream. A line ends in CRLF (RFC 1939 §3); a lone LF is taken for one, since nothing is relayed here that others
could read otherwise. A line that is too long is thrown away as it comes and reported once, when it ends; one that does not end
is reported as `ENDLESS`, and nothing comes after that.
"""

from enum import Enum

MAX_LINE_OCTETS = 16_640
"""The longest line: an answer of SASL (12,288 octets, RFC 4954 §4, in base64), which is bound by no limit of commands (RFC 5034
§4). A command is to be taken up to 255 octets at least (RFC 2449 §4)."""
MAX_SKIPPED_OCTETS = 64 << 10
"""What is longer is no mistake."""


class Trouble(Enum):
    """Why something that came is no line."""

    TOO_LONG = "too-long"
    ENDLESS = "endless"


class Lines:
    """What has arrived and is not used yet."""

    __slots__ = ("_at", "_deaf", "_octets", "_skipped")

    def __init__(self) -> None:
        self._octets = b""
        self._at = 0
        self._skipped = 0  # octets of the present line that were thrown away
        self._deaf = False

    @property
    def buffered(self) -> int:
        """Octets that no line has used yet."""
        return len(self._octets) - self._at

    def feed(self, octets: bytes) -> None:
        """What came next."""
        if not self._deaf:
            self._octets = self._octets[self._at :] + octets if self._at < len(self._octets) else octets
            self._at = 0

    def next(self) -> bytes | Trouble | None:
        """The next line."""
        if self._deaf:
            return Trouble.ENDLESS
        start = self._at
        end = self._octets.find(b"\n", start)
        length = (len(self._octets) if end < 0 else end) - start + self._skipped
        if length > MAX_SKIPPED_OCTETS:
            self.discard()
            self._deaf = True
            return Trouble.ENDLESS
        if end < 0:
            if length > MAX_LINE_OCTETS + 1:  # the last one may be the CR
                self.discard()
                self._skipped = length
            return None
        self._at = end + 1
        line = self._octets[start:end].removesuffix(b"\r")
        skipped, self._skipped = self._skipped, 0
        return Trouble.TOO_LONG if skipped or len(line) > MAX_LINE_OCTETS else line

    def discard(self) -> None:
        """Throw everything away (RFC 2595 §4: what came in clear behind STLS)."""
        self._octets, self._at, self._skipped = b"", 0, 0
