"""The client of ClamAV's daemon: scans a message by INSTREAM (clamd(8)).

In: the octets of a message, in chunks. Out: the name of the malware, None if there is none, or `NotScanned`: the daemon is
away, busy for too long, or refused the message. The daemon gets the octets alone; it may run under another account, or on
another trusted machine.
"""

import asyncio
import re
import struct
from collections.abc import AsyncIterator

from mic_mail.errors import Text, Trouble
from mic_mail.filters.daemon import Daemon

LONGEST_NAME = 100
_ANSWER = re.compile(rb"stream: (?:(?P<clean>OK)|(?P<name>.+) FOUND)\0", re.DOTALL)
_UNPRINTABLE = re.compile(r"[^!-~]")


class NotScanned(Trouble):
    """No answer; the text says why, for the log. The daemon's own words stay as they are."""


class Clamd(Daemon):
    """The client of one daemon in one process."""

    failure = NotScanned

    async def scan(self, pieces: AsyncIterator[bytes]) -> str | None:
        """Return the name of the malware, in ASCII without spaces; None if the message is clean."""
        answer = await self.exchange(_framed(pieces), _whole)
        found = _ANSWER.fullmatch(answer)
        if found is None:
            words = answer[:200].decode("ascii", "backslashreplace")
            raise NotScanned(words or Text("kết nối bị ngắt", "the connection was closed"))
        return None if found["clean"] else _UNPRINTABLE.sub("_", found["name"].decode("ascii", "replace"))[:LONGEST_NAME]


async def _whole(reader: asyncio.StreamReader) -> bytes:
    """Return the answer with its final NUL; without it if the connection ended first or it is too long."""
    try:
        return await reader.readuntil(b"\0")
    except asyncio.IncompleteReadError as short:
        return short.partial
    except asyncio.LimitOverrunError:
        return b"an answer without end"


async def _framed(pieces: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """Yield the command, and the chunks as INSTREAM frames them."""
    yield b"zINSTREAM\0"
    async for piece in pieces:
        yield struct.pack("!I", len(piece)) + piece
    yield struct.pack("!I", 0)
