"""Is there malware in a message? Asked of ClamAV's daemon, clamd, by INSTREAM (clamd(8)).

In: the octets of a message, in pieces. Out: the name of what was found, None where there is nothing, or `NotScanned`: the
daemon is away, busy for too long, or would not take the message. Bounded in connections, and in time from the wait for a turn
to the answer. The daemon sees the octets alone; it may run under another account, or on another machine that is trusted.
"""

import asyncio
import contextlib
import re
import struct
from collections.abc import AsyncIterator

LONGEST_NAME = 100
_ANSWER = re.compile(rb"stream: (?:(?P<clean>OK)|(?P<name>.+) FOUND)\0", re.DOTALL)
_UNPRINTABLE = re.compile(r"[^!-~]")


class NotScanned(Exception):
    """No answer; the text says why, for the log."""


class Clamd:
    """One daemon, as one process asks it; belongs to the loop."""

    def __init__(self, place: str, *, seconds: float, connections: int) -> None:
        """`place`: `unix:/run/clamav/clamd.ctl` or `tcp://127.0.0.1:3310`; `connections`: at once."""
        self._place = place
        self._seconds = seconds
        self._turns = asyncio.Semaphore(connections)

    async def scan(self, pieces: AsyncIterator[bytes]) -> str | None:
        """The name of the malware, in ASCII without spaces; None: clean."""
        try:
            async with asyncio.timeout(self._seconds), self._turns:
                answer = await self._ask(pieces)
        except TimeoutError as error:
            raise NotScanned(f"no answer within {self._seconds:g} s") from error
        except OSError as error:
            raise NotScanned(str(error)) from error
        found = _ANSWER.fullmatch(answer)
        if found is None:
            raise NotScanned(answer[:200].decode("ascii", "backslashreplace") or "the connection was closed")
        return None if found["clean"] else _UNPRINTABLE.sub("_", found["name"].decode("ascii", "replace"))[:LONGEST_NAME]

    async def _ask(self, pieces: AsyncIterator[bytes]) -> bytes:
        reader, writer = await self._connect()
        # It may answer before it has everything, and close: what is too long for it. So somebody listens from the first.
        answer = asyncio.ensure_future(_whole(reader))
        try:
            with contextlib.suppress(ConnectionError):
                writer.write(b"zINSTREAM\0")
                async for piece in _with_end(pieces):
                    if writer.is_closing():  # uvloop does not take octets for what is gone: RuntimeError
                        break
                    writer.write(piece)
                    await writer.drain()
            return await answer
        finally:
            answer.cancel()
            writer.transport.abort()

    async def _connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        if self._place.startswith("unix:"):
            return await asyncio.open_unix_connection(self._place.removeprefix("unix:"))
        host, _, port = self._place.removeprefix("tcp://").rpartition(":")
        return await asyncio.open_connection(host.strip("[]"), int(port))


async def _whole(reader: asyncio.StreamReader) -> bytes:
    """An answer with the NUL at its end; without, where the connection ended first or there is no end to it."""
    try:
        return await reader.readuntil(b"\0")
    except asyncio.IncompleteReadError as short:
        return short.partial
    except asyncio.LimitOverrunError:
        return b"an answer without end"


async def _with_end(pieces: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """As the protocol frames them."""
    async for piece in pieces:
        yield struct.pack("!I", len(piece)) + piece
    yield struct.pack("!I", 0)
