"""COMPRESS=DEFLATE on one connection (RFC 4978): raw DEFLATE in both directions.

In and out: octets. Inflating is bounded: a call returns at most INFLATE_OCTETS, however far the input would expand. The
compressor costs 256 KiB, so it is made at the first output and can be dropped after a full flush, which the client does not
notice.

The commands of a client are bounded by the compressed octets it sends (`Credit`): a thousand NOOPs are one octet of DEFLATE
and cost 7 ms.

Compression may end within the connection (RFC 8437 §4.1), behind a command somewhere in the input. So input is inflated
from flush to flush, the next piece only when the commands of the one before have been carried out.
"""

import zlib

INFLATE_OCTETS = 64 << 10
FLUSHED = b"\0\0\xff\xff"
"""The end of a sync flush (RFC 1951 §3.2.4: an empty stored block): what follows may be uncompressed."""
LEVEL = 4
"""The compression level: mail headers shrink to a fifth at any level; this one costs 8 ms per MiB."""


TEXT_FOR_OCTET = 16
"""Octets of commands allowed per compressed octet: 4 to 8 are usual, DEFLATE can reach 1,032."""
MOST_ADVANCE = 256 << 10
"""Octets of commands that a client may send in advance of its credit; the advance grows back."""
ADVANCE_A_SECOND = 4 << 10
"""Octets per second at which the advance grows back.

A client that repeats the same long command each minute sends only a few octets for it.
"""


class Damaged(ValueError):
    """The client's octets are not a DEFLATE stream."""


class Credit:
    """A budget of command octets for a client on a compressed connection.

    Messages are not counted: they cost little, and some shrink to a thousandth. In: octets as received and as commands, and
    monotonic seconds. Out: whether the client has exceeded its budget.
    """

    __slots__ = ("_at", "_octets")

    def __init__(self, now: float) -> None:
        self._octets = float(MOST_ADVANCE)
        self._at = now

    def earn(self, compressed: int) -> None:
        self._octets += compressed * TEXT_FOR_OCTET

    def spend(self, text: int, now: float) -> bool:
        """Charge a command of this many octets; return False if that exceeds the budget."""
        if self._octets < MOST_ADVANCE:
            self._octets = min(float(MOST_ADVANCE), self._octets + (now - self._at) * ADVANCE_A_SECOND)
        self._at = now
        self._octets -= text
        return self._octets >= 0


class Deflate:
    """The compressor and decompressor of one connection."""

    __slots__ = ("_at", "_deflater", "_inflater", "_waiting", "taken")

    def __init__(self) -> None:
        self._deflater: zlib._Compress | None = None
        self._inflater = zlib.decompressobj(-zlib.MAX_WBITS)
        self._waiting = b""
        self._at = 0  # input before this is inflated
        self.taken = 0
        """Octets that the last call of `inflate` consumed."""

    @property
    def has_more(self) -> bool:
        """Input waits to be inflated: call `inflate` again when there is room."""
        return self.waiting_octets > 0

    @property
    def waiting_octets(self) -> int:
        return len(self._waiting) - self._at

    def hold(self, octets: bytes) -> None:
        """Queue octets that arrive while the session is busy."""
        self._waiting = self._waiting[self._at :] + octets
        self._at = 0

    def inflate(self, octets: bytes = b"") -> bytes:
        """Return at most INFLATE_OCTETS of inflated input, none beyond the client's next flush.

        The rest of the input waits for the next call.
        """
        if octets:
            self.hold(octets)
        if self._inflater.eof and self.has_more:
            raise Damaged  # the client ended its DEFLATE stream unannounced
        flushed = self._waiting.find(FLUSHED, self._at)
        stop = flushed + len(FLUSHED) if flushed >= 0 else len(self._waiting)
        try:
            found = self._inflater.decompress(self._waiting[self._at : stop], INFLATE_OCTETS)
        except zlib.error as error:
            raise Damaged from error
        began, self._at = self._at, stop - len(self._inflater.unconsumed_tail) - len(self._inflater.unused_data)
        self.taken = self._at - began
        if not self.has_more:
            self._waiting, self._at = b"", 0
        return found

    def end(self) -> bytes:
        """End the compressed input and return what follows it, as received."""
        rest, self._waiting, self._at = self._waiting[self._at :], b"", 0
        return rest

    def deflate(self, octets: bytes) -> bytes:
        """Return the octets compressed and flushed, so that the client can read all of them now."""
        if self._deflater is None:
            self._deflater = zlib.compressobj(LEVEL, zlib.DEFLATED, -zlib.MAX_WBITS)
        return self._deflater.compress(octets) + self._deflater.flush(zlib.Z_SYNC_FLUSH)

    def drop(self) -> bytes:
        """Drop the compressor and return the octets that end its part of the stream.

        They end at a byte boundary, and nothing later refers back beyond it.
        """
        if self._deflater is None:
            return b""
        rest, self._deflater = self._deflater.flush(zlib.Z_FULL_FLUSH), None
        return rest
