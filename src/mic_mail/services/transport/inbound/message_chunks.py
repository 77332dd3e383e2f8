"""Reads a message in chunks, in an executor, for a daemon that scans it."""

from collections.abc import AsyncIterator
from pathlib import Path

from mic_mail.process.executors import Executors

PIECE_OCTETS = 256 << 10


async def message_chunks(executors: Executors, source: bytes | Path) -> AsyncIterator[bytes]:
    """Yield all chunks of a message, whether it is in memory or in a file."""
    if isinstance(source, bytes):
        for at in range(0, len(source), PIECE_OCTETS):
            yield source[at : at + PIECE_OCTETS]
        return
    file = await executors.io(open, source, "rb", 0)
    try:
        while octets := await executors.io(file.read, PIECE_OCTETS):
            yield octets
    finally:
        file.close()
