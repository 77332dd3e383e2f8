"""COMPRESS=DEFLATE on one connection (RFC 4978): raw DEFLATE in both directions.

In and out: octets. Inflating is bounded: never more than asked for at a time, however far a few octets would blow up. The
compressor costs 256 KiB, so it is made at the first output and can be dropped after a full flush; the client does not notice.

What a client says is bounded by what it sends (`Credit`): a thousand NOOPs are one octet of DEFLATE, and cost 7 ms.

Compression may end within the connection (RFC 8437 §4.1), behind a command that is somewhere in the input. So what a client
flushed is inflated piece by piece, the next one only when the commands of the one before have been carried out.
"""

import zlib

INFLATE_OCTETS = 64 << 10
FLUSHED = b"\0\0\xff\xff"
"""How a sync flush ends (RFC 1951 §3.2.4: an empty stored block): what follows may be compressed no more."""
LEVEL = 4
"""Mail headers shrink to a fifth at any level; this one costs 8 ms a MiB."""


TEXT_FOR_OCTET = 16
"""Of commands, for each octet that came compressed: 4 to 8 are usual, 1,032 are what DEFLATE can do."""
MOST_ADVANCE = 256 << 10
"""Of commands that nothing has come for yet: what a client may have in advance, and again after a while."""
ADVANCE_A_SECOND = 4 << 10
"""So fast it has that again: a client that asks the same long question each minute sends a few octets for it."""


class Damaged(ValueError):
    """What the client sent is no DEFLATE stream."""


class Credit:
    """How many octets of commands a client may still say on a compressed connection.

    Messages are not counted: they cost little, and some shrink to a thousandth. In: octets as they came and as commands,
    monotonic seconds. Out: whether it said more than it has paid for.
    """

    __slots__ = ("_at", "_octets")

    def __init__(self, now: float) -> None:
        self._octets = float(MOST_ADVANCE)
        self._at = now

    def earn(self, compressed: int) -> None:
        """So many octets came."""
        self._octets += compressed * TEXT_FOR_OCTET

    def spend(self, text: int, now: float) -> bool:
        """A command of so many octets came out of them; False if that is too much."""
        if self._octets < MOST_ADVANCE:
            self._octets = min(float(MOST_ADVANCE), self._octets + (now - self._at) * ADVANCE_A_SECOND)
        self._at = now
        self._octets -= text
        return self._octets >= 0


class Deflate:
    """Both directions."""

    __slots__ = ("_at", "_deflater", "_inflater", "_waiting", "taken")

    def __init__(self) -> None:
        self._deflater: zlib._Compress | None = None
        self._inflater = zlib.decompressobj(-zlib.MAX_WBITS)
        self._waiting = b""
        self._at = 0  # what stands before is inflated
        self.taken = 0
        """Octets that the last call of `inflate` has used."""

    @property
    def has_more(self) -> bool:
        """Input waits to be inflated: call `inflate` again when there is room."""
        return self.waiting_octets > 0

    @property
    def waiting_octets(self) -> int:
        return len(self._waiting) - self._at

    def hold(self, octets: bytes) -> None:
        """Keep what came while the session was busy."""
        self._waiting = self._waiting[self._at :] + octets
        self._at = 0

    def inflate(self, octets: bytes = b"") -> bytes:
        """At most INFLATE_OCTETS of what the client means, and nothing behind its next flush; the rest waits."""
        if octets:
            self.hold(octets)
        if self._inflater.eof and self.has_more:
            raise Damaged  # the client has ended its stream, and said nothing of it
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
        """What came behind the compressed input, as it came."""
        rest, self._waiting, self._at = self._waiting[self._at :], b"", 0
        return rest

    def deflate(self, octets: bytes) -> bytes:
        """Compressed and flushed, so that the client can read all of it now."""
        if self._deflater is None:
            self._deflater = zlib.compressobj(LEVEL, zlib.DEFLATED, -zlib.MAX_WBITS)
        return self._deflater.compress(octets) + self._deflater.flush(zlib.Z_SYNC_FLUSH)

    def drop(self) -> bytes:
        """Forget the compressor; the octets returned end its part of the stream at a byte, with no reference beyond."""
        if self._deflater is None:
            return b""
        rest, self._deflater = self._deflater.flush(zlib.Z_FULL_FLUSH), None
        return rest
