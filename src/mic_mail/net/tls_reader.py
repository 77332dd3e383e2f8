"""Reading from TLS into one place for all connections of a loop.

For a plain `asyncio.Protocol` uvloop makes a bytes object of 256 KiB at each read from TLS, to keep some tens of octets of it:
time on each read, and holes in the heap that idle connections come to lie in. A `BufferedProtocol` says where to read to.
`TlsReader` is one, in front of the protocol that has the conversation and knows nothing of it. In clear nobody needs it: there
uvloop has such a place of its own.

One place is enough: between `get_buffer` and `buffer_updated` uvloop only reads (SSL_read) and runs nothing else on its loop,
and what came is copied out before anything looks at it. Each loop needs a place of its own: SSL_read lets other threads run.
"""

import asyncio
from typing import Final

PLACE_OCTETS: Final = 256 << 10
"""As much as uvloop takes from a socket at once: what came before the end of a stream is read in one piece, none is left."""

_NOBODY: Final = asyncio.Protocol()


class TlsReader(asyncio.BufferedProtocol):
    """What a TLS transport gets in place of `protocol`."""

    __slots__ = ("_place", "_protocol")

    def __init__(self, place: memoryview, protocol: asyncio.Protocol) -> None:
        self._place = place
        self._protocol = protocol

    def get_buffer(self, sizehint: int) -> memoryview:
        return self._place

    def buffer_updated(self, nbytes: int) -> None:
        self._protocol.data_received(bytes(self._place[:nbytes]))

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._protocol.connection_made(transport)

    def eof_received(self) -> bool | None:
        return self._protocol.eof_received()

    def pause_writing(self) -> None:
        self._protocol.pause_writing()

    def resume_writing(self) -> None:
        self._protocol.resume_writing()

    def connection_lost(self, exc: Exception | None) -> None:
        """Let go of the protocol: uvloop keeps us, it keeps its transport: 40 KiB in a ring, until the collector comes."""
        lost, self._protocol = self._protocol, _NOBODY
        lost.connection_lost(exc)
