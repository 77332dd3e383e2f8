"""One request to a filter's daemon: a message goes out while the answer is read. Belongs to the loop.

In: the octets to send, in chunks, and a function that reads the answer. Out: what that returns. Bounded in connections, and in
time from queueing to the answer. A daemon may answer early and close, so its answer is read from the start.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import TypeVar

from mic_mail.errors import Text, Trouble

T = TypeVar("T")


class Daemon:
    """The client of one daemon in one process."""

    failure: Callable[[Text | str], Trouble]
    """Makes the exception for a daemon that is away, or busy for too long."""

    def __init__(self, place: str, *, seconds: float, connections: int) -> None:
        """`place` is `unix:/run/clamav/clamd.ctl` or `tcp://127.0.0.1:3310`; `connections` are concurrent."""
        self._place = place
        self._seconds = seconds
        self._turns = asyncio.Semaphore(connections)

    async def exchange(self, chunks: AsyncIterator[bytes], read: Callable[[asyncio.StreamReader], Awaitable[T]]) -> T:
        """Send the chunks on a connection of their own and return the answer; raises `failure`."""
        try:
            async with asyncio.timeout(self._seconds), self._turns:
                reader, writer = await self._connect()
                answer = asyncio.ensure_future(read(reader))
                try:
                    with contextlib.suppress(ConnectionError):
                        async for chunk in chunks:
                            if writer.is_closing() or answer.done():  # uvloop raises RuntimeError on writing when closed
                                break
                            writer.write(chunk)
                            await writer.drain()
                    return await answer
                finally:
                    answer.cancel()
                    writer.transport.abort()
        except TimeoutError as error:
            seconds = f"{self._seconds:g}"
            raise self.failure(Text(f"không trả lời trong {seconds} giây", f"no answer within {seconds} s")) from error
        except OSError as error:
            raise self.failure(str(error)) from error

    async def _connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        if self._place.startswith("unix:"):
            return await asyncio.open_unix_connection(self._place.removeprefix("unix:"))
        host, _, port = self._place.removeprefix("tcp://").rpartition(":")
        return await asyncio.open_connection(host.strip("[]"), int(port))
