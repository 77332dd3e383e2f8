"""Read from TLS into one buffer for all connections of a loop.

For a plain `asyncio.Protocol` uvloop makes a bytes object of 256 KiB at each read from TLS, to keep some tens of octets of it.
That costs time on each read, and leaves holes in the heap where data of idle connections ends up. A `BufferedProtocol`
provides the buffer itself. `TlsReader` is one, in front of the protocol with the session, which is unaware of it. Plain-text
connections do not need it: there uvloop has such a buffer of its own.

One buffer is enough: between `get_buffer` and `buffer_updated` uvloop only reads (SSL_read) and runs nothing else on its loop,
and the octets are copied out before anything examines them. Each loop needs a buffer of its own: SSL_read releases the GIL.
"""

import asyncio
from typing import Final

PLACE_OCTETS: Final = 256 << 10
"""The most that uvloop reads from a socket at once, so that the end of a stream leaves no rest."""

_NOBODY: Final = asyncio.Protocol()


class TlsReader(asyncio.BufferedProtocol):
    """The protocol that a TLS transport gets in place of `protocol`."""

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
        """Release the protocol: uvloop keeps this object, a cycle of 40 KiB until garbage collection."""
        lost, self._protocol = self._protocol, _NOBODY
        lost.connection_lost(exc)
