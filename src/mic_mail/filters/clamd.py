"""The client of ClamAV's daemon: scans a message by INSTREAM (clamd(8)).

In: the octets of a message, in chunks. Out: the name of the malware, None if there is none, or `NotScanned`: the daemon
is away, busy for too long, or refused the message. Bounded in connections, and in time from queueing to the answer. The
daemon gets the octets alone; it may run under another account, or on another trusted machine.
"""

import asyncio
import contextlib
import re
import struct
from collections.abc import AsyncIterator

from mic_mail.errors import Text, Trouble

LONGEST_NAME = 100
_ANSWER = re.compile(rb"stream: (?:(?P<clean>OK)|(?P<name>.+) FOUND)\0", re.DOTALL)
_UNPRINTABLE = re.compile(r"[^!-~]")


class NotScanned(Trouble):
    """No answer; the text says why, for the log. The daemon's own words stay as they are."""


class Clamd:
    """The client of one daemon in one process; belongs to the loop."""

    def __init__(self, place: str, *, seconds: float, connections: int) -> None:
        """`place` is `unix:/run/clamav/clamd.ctl` or `tcp://127.0.0.1:3310`; `connections` are concurrent."""
        self._place = place
        self._seconds = seconds
        self._turns = asyncio.Semaphore(connections)

    async def scan(self, pieces: AsyncIterator[bytes]) -> str | None:
        """Return the name of the malware, in ASCII without spaces; None if the message is clean."""
        try:
            async with asyncio.timeout(self._seconds), self._turns:
                answer = await self._ask(pieces)
        except TimeoutError as error:
            raise NotScanned(
                Text(f"không trả lời trong {self._seconds:g} giây", f"no answer within {self._seconds:g} s")
            ) from error
        except OSError as error:
            raise NotScanned(str(error)) from error
        found = _ANSWER.fullmatch(answer)
        if found is None:
            said = answer[:200].decode("ascii", "backslashreplace")
            raise NotScanned(said or Text("kết nối bị ngắt", "the connection was closed"))
        return None if found["clean"] else _UNPRINTABLE.sub("_", found["name"].decode("ascii", "replace"))[:LONGEST_NAME]

    async def _ask(self, pieces: AsyncIterator[bytes]) -> bytes:
        reader, writer = await self._connect()
        # The daemon may answer early and close, if the message is too long for it; so read from the start.
        answer = asyncio.ensure_future(_whole(reader))
        try:
            with contextlib.suppress(ConnectionError):
                writer.write(b"zINSTREAM\0")
                async for piece in _with_end(pieces):
                    if writer.is_closing():  # uvloop raises RuntimeError on writing to a closed connection
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
    """Return the answer with its final NUL; without it if the connection ended first or it is too long."""
    try:
        return await reader.readuntil(b"\0")
    except asyncio.IncompleteReadError as short:
        return short.partial
    except asyncio.LimitOverrunError:
        return b"an answer without end"


async def _with_end(pieces: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """Yield the chunks as INSTREAM frames them."""
    async for piece in pieces:
        yield struct.pack("!I", len(piece)) + piece
    yield struct.pack("!I", 0)
