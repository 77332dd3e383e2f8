"""A line between two mail servers that breaks where a test says: after so many octets in one direction, in one way.

Each connection takes the next fault; without one it is a good line.
"""

import asyncio
import contextlib
import socket
import struct
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass

from event_loops import loop_thread

HANG, CLOSE, RESET = "hang", "close", "reset"
THERE, BACK = "there", "back"


@dataclass(frozen=True)
class Fault:
    """After so many octets THERE (to who listens) or BACK."""

    direction: str
    octets: int
    how: str


class BadLine:
    """Listens on `address`, and brings what comes to another place."""

    def __init__(self, address: str, port: int = 0) -> None:
        self.faults: deque[Fault] = deque()
        self.broken = 0
        """Connections that met their fault."""
        self._at, self._to = (address, port), ("", 0)
        self.port = port

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        fault = self.faults.popleft() if self.faults else None
        ends = [writer]
        try:
            there, back = await asyncio.open_connection(*self._to)
            ends.append(back)
            ways = [(reader, back, THERE), (there, writer, BACK)]
            running = [asyncio.ensure_future(self._carry(*way, fault, ends)) for way in ways]
            _, left = await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)
            if left:
                await asyncio.wait(left, timeout=1)
            for each in left:
                each.cancel()
        except OSError:
            pass
        finally:
            for end in ends:
                end.close()

    async def _carry(
        self,
        source: asyncio.StreamReader,
        sink: asyncio.StreamWriter,
        direction: str,
        fault: Fault | None,
        ends: list[asyncio.StreamWriter],
    ) -> None:
        left = fault.octets if fault is not None and fault.direction == direction else None
        with contextlib.suppress(OSError):
            while octets := await source.read(65_536 if left is None else max(left, 1)):
                if left is not None:
                    octets, left = octets[:left], left - len(octets)
                sink.write(octets)
                await sink.drain()
                if left is not None and left <= 0 and fault is not None:
                    await self._break(fault, ends)
                    return

    async def _break(self, fault: Fault, ends: list[asyncio.StreamWriter]) -> None:
        self.broken += 1
        if fault.how == HANG:
            await asyncio.sleep(600)
        for end in ends:
            if fault.how == RESET:
                linger = struct.pack("ii", 1, 0)
                end.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
            end.close()

    @contextlib.contextmanager
    def running(self, to: tuple[str, int]) -> Iterator["BadLine"]:
        self._to = to
        with loop_thread() as loop:
            listening = loop.call(asyncio.start_server(self._serve, *self._at))
            self.port = listening.sockets[0].getsockname()[1]
            yield self
