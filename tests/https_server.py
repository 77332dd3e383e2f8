"""Web servers on loopback for one text, each failing in its way."""

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

PATH = b"GET /.well-known/mta-sts.txt HTTP/1.1"


def answer(body: bytes, *, status: str = "200 OK", kind: str = "text/plain", more: str = "", length: bool = True) -> bytes:
    told = f"Content-Length: {len(body)}\r\n" if length else ""
    return f"HTTP/1.1 {status}\r\nContent-Type: {kind}\r\n{told}{more}\r\n".encode() + body


@dataclass
class WebServer:
    """Answers anything with `reply`; an empty one: hangs up; None: says nothing."""

    context: ssl.SSLContext
    reply: bytes | None
    asked: list[bytes] = field(default_factory=list)
    endless: bytes = b""
    """What it goes on with behind the reply, for ever."""

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            head = await reader.readuntil(b"\r\n\r\n")
            self.asked.append(head)
            while self.reply is None:
                await asyncio.sleep(0.05)  # before the next look
            writer.write(self.reply)
            while self.endless:
                writer.write(self.endless)
                await writer.drain()
        except (ConnectionError, asyncio.IncompleteReadError, ssl.SSLError):
            pass
        finally:
            writer.close()


@asynccontextmanager
async def web(server: WebServer, address: str = "127.0.0.7", port: int = 0) -> AsyncIterator[int]:
    listening = await asyncio.start_server(server.serve, address, port, ssl=server.context)
    try:
        yield listening.sockets[0].getsockname()[1]
    finally:
        listening.close()
