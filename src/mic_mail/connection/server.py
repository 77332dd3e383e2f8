"""The server of one protocol in one process: it creates the connections, and ends them together."""

import asyncio
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable
from typing import ClassVar

from mic_mail.connection.services import Services
from mic_mail.errors import Text
from mic_mail.net.connection_registry import Changed, OpenConnections
from mic_mail.net.proxy_protocol import ClientAddress
from mic_mail.services.authentication.refusals import RefusalKind

GOING_DOWN = Text("Máy chủ tạm ngừng; đề nghị kết nối lại.", "The server is shutting down; please connect again.")


class ServedConnection(asyncio.Protocol, ABC):
    """A connection as its server knows it."""

    __slots__ = ()

    @abstractmethod
    def __init__(self, server: "Server", door: str, client: ClientAddress | None = None) -> None:
        """Begin with the server's present services; `client` is who a load balancer has named."""

    @abstractmethod
    def end(self, text: Text, why: RefusalKind) -> None:
        """End as soon as the session can."""

    @abstractmethod
    def abort(self) -> None:
        """Close now, whatever is unsent."""


class Server:
    """Create the connections of one process and end them together."""

    connection: ClassVar[type[ServedConnection]]

    def __init__(self, services: Services, changed: Changed = lambda by, strangers: None) -> None:
        """Take the services; `changed` is called when a connection begins, ends, or signs in."""
        self.services = services
        self.open: OpenConnections[ServedConnection] = OpenConnections(changed)
        self.sessions: Counter[int] = Counter()
        """Signed-in sessions by mailbox."""
        self.draining = False

    def configure(self, services: Services) -> None:
        """Apply new settings (SIGHUP); open connections keep those of their greeting."""
        self.services = services

    def factory(self, *, door: str, implicit_tls: bool = False) -> Callable[[ClientAddress | None], asyncio.Protocol]:
        return lambda client: self.connection(self, door, client)

    async def drain(self, seconds: float) -> None:
        """Say goodbye to all: now where nothing is in progress, else after it, within `seconds`."""
        self.draining = True
        for connection in self.open:
            connection.end(GOING_DOWN, RefusalKind.UNAVAILABLE)
        if not await self.open.all_closed(seconds):
            for connection in self.open:
                connection.abort()
