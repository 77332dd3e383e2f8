"""The socket of an SMTP client connection: it sends octets and collects replies.

Bound to an event loop. It knows no commands; `smtpclient.client` is built on it.
"""

import asyncio
from typing import cast

from mic_mail.smtpclient.replies import BadReply, Replies, Reply


class Wire(asyncio.Protocol):
    """Sends octets and collects replies."""

    def __init__(self) -> None:
        self.replies = Replies()
        self._transport: asyncio.Transport | None = None
        self._news = asyncio.Event()
        self._room = asyncio.Event()
        self._room.set()
        self._end: BaseException | None = None
        self.is_over = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # uvloop's transports do not inherit from asyncio.Transport

    def data_received(self, data: bytes) -> None:
        try:
            self.replies.feed(data)
        except BadReply as error:
            self._fail(error)
        self._news.set()

    def connection_lost(self, exc: Exception | None) -> None:
        self._fail(exc or ConnectionResetError())

    def _fail(self, error: BaseException) -> None:
        self._end = self._end or error
        self._news.set()
        self._room.set()
        self.abort()

    def pause_writing(self) -> None:
        self._room.clear()

    def resume_writing(self) -> None:
        self._room.set()

    @property
    def transport(self) -> asyncio.Transport:
        assert self._transport is not None, "there is a connection"
        return self._transport

    def write(self, octets: bytes) -> None:
        if not (self.is_over or self.transport.is_closing()):  # uvloop rejects writes to a closed transport
            self.transport.write(octets)

    @property
    def is_drained(self) -> bool:
        """True if `drained` would not wait."""
        return self._room.is_set()

    async def drained(self) -> None:
        """Wait until the other side has taken most of what was written."""
        await self._room.wait()

    async def reply(self) -> Reply:
        """Return the next reply; one received whole before the connection ended counts."""
        while True:
            found = self.replies.next_reply()
            if found is not None:
                return found
            if self._end is not None:
                raise self._end
            self._news.clear()
            await self._news.wait()

    def abort(self) -> None:
        self.is_over = True
        if self._transport is not None:
            self._transport.abort()
