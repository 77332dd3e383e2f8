"""COMPRESS=DEFLATE on one connection (RFC 4978): raw DEFLATE in both directions.

In and out: octets. Inflating is bounded: never more than asked for at a time, however far a few octets would blow up. The
compressor costs 256 KiB, so it is made at the first output and can be dropped after a full flush; the client does not notice.
"""

import zlib

INFLATE_OCTETS = 64 << 10
LEVEL = 4
"""Mail headers shrink to a fifth at any level; this one costs 8 ms a MiB."""


class Damaged(ValueError):
    """What the client sent is no DEFLATE stream."""


class Deflate:
    """Both directions."""

    __slots__ = ("_deflater", "_inflater", "_waiting")

    def __init__(self) -> None:
        self._deflater: zlib._Compress | None = None
        self._inflater = zlib.decompressobj(-zlib.MAX_WBITS)
        self._waiting = b""

    @property
    def has_more(self) -> bool:
        """Input waits to be inflated: call `inflate` again when there is room."""
        return bool(self._waiting)

    def inflate(self, octets: bytes = b"") -> bytes:
        """At most INFLATE_OCTETS of what the client means; the rest waits."""
        try:
            found = self._inflater.decompress(self._waiting + octets if self._waiting else octets, INFLATE_OCTETS)
        except zlib.error as error:
            raise Damaged from error
        self._waiting = self._inflater.unconsumed_tail
        return found

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
