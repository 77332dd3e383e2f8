"""A server on a socket that behaves as a test tells it to, in place of a content filter."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

Behave = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


async def pieces(*octets: bytes) -> AsyncIterator[bytes]:
    for piece in octets:
        yield piece


@asynccontextmanager
async def listening(behave: Behave, folder: Path | None = None) -> AsyncIterator[str]:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await behave(reader, writer)
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    if folder is not None:
        server = await asyncio.start_unix_server(serve, folder / "ctl")
        place = f"unix:{folder}/ctl"
    else:
        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        place = f"tcp://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    try:
        yield place
    finally:
        server.close()
