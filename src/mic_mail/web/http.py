"""HTTP/1.1 on accepted connections: h11 by uvicorn's protocol, with a deadline for every request.

In: an ASGI application, limits. Out: protocols for `net.acceptor` and `net.connection_limits`. uvicorn's own server is
not used: it opens sockets, catches signals and makes TLS contexts by itself, and waits without limit for a slow sender.
uvicorn is imported here alone; a canary test names each member of it that is used.

A connection is cut when no whole request has arrived `request_seconds` after it began or after its last answer, and when
it stops reading an answer for that long. h11 buffers at most HEAD_OCTETS of an incomplete head (`middleware` measures a
head that arrives whole in one read); the reader of a body bounds it.
"""

import asyncio
import contextlib
import logging
import socket
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial

from starlette.requests import Request
from starlette.types import ASGIApp
from uvicorn import Config
from uvicorn.protocols.http.h11_impl import H11Protocol
from uvicorn.server import ServerState

from mic_mail.connection.peer import describe
from mic_mail.net.connection_registry import Changed, OpenConnections
from mic_mail.net.proxy_protocol import ClientAddress
from mic_mail.services.authentication.identity import Peer
from mic_mail.web.middleware import HEAD_OCTETS

HIGH_WATER_OCTETS = 64 << 10
"""Unsent octets of an answer below which the next slice of a `request_body.Sliced` is sent."""
NO_ROOM = b"HTTP/1.1 503 Service Unavailable\r\nConnection: close\r\nContent-Length: 0\r\nRetry-After: 60\r\n\r\n"
"""Answer for a client that gets no place, or has to give it up."""
LAST_WORD_SECONDS = 1.0
_TCP_NOTSENT_LOWAT = 25
"""Linux's number of the option; Python's `socket` has no name for it."""
STATE_PEER = "mic_mail.peer"
"""Key of the connection's `Caller` in an application's `scope["state"]`."""


@dataclass(slots=True)
class Caller:
    """The client of a connection."""

    peer: Peer
    signed_in: Callable[[], None]
    """To be called when a request shows a signed-in person."""


def caller_of(request: Request) -> Caller:
    """Return the client that sent a request."""
    caller = request.scope["state"][STATE_PEER]
    assert isinstance(caller, Caller)
    return caller


def peer_of(request: Request, door: str = "web") -> Peer:
    """Return the peer of a request; `door` is the service's name in the log."""
    return replace(caller_of(request).peer, protocol=door)


class Http:
    """State shared by all connections of one process."""

    def __init__(
        self,
        app: ASGIApp,
        *,
        new_id: Callable[[], str],
        changed: Changed,
        request_seconds: float,
        measure_lag: Callable[[], None],
    ) -> None:
        """`measure_lag` is called where input arrives (`process.loop_lag`)."""
        _silence()
        self.new_id = new_id
        self.measure_lag = measure_lag
        self.request_seconds = request_seconds
        self.open: OpenConnections[HttpConnection] = OpenConnections(changed)
        self.state = ServerState()
        self.config = Config(
            app, interface="asgi3", lifespan="off", ws="none", log_config=None, access_log=False, proxy_headers=False,
            server_header=False, date_header=False, h11_max_incomplete_event_size=HEAD_OCTETS,
        )  # fmt: skip
        self.config.load()

    def connection(self, client: ClientAddress | None = None) -> "HttpConnection":
        """Return the protocol of one new connection; `client` is who a load balancer has named."""
        return HttpConnection(self, client)

    async def drain(self, seconds: float) -> None:
        """Let running requests get their answer within `seconds`; close idle connections now."""
        for connection in self.open:
            connection.shutdown()
            if connection.is_idle:  # no browser answers TLS's close_notify
                connection.transport.abort()
        if not await self.open.all_closed(seconds):
            for connection in self.open:
                connection.transport.abort()


class HttpConnection(H11Protocol):
    """One connection."""

    def __init__(self, shared: Http, client: ClientAddress | None) -> None:
        super().__init__(config=shared.config, server_state=shared.state, app_state={})
        self._shared = shared
        self._named_client = client
        self._deadline: asyncio.TimerHandle | None = None
        self._unread: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self.client = self._named_client or self.client
        transport.set_write_buffer_limits(high=HIGH_WATER_OCTETS)
        _hold_little(transport)
        self._shared.open.add(self)
        peer = describe(transport, self._named_client, "web", None, self._shared.new_id())
        self._caller = Caller(peer, partial(self._shared.open.sign_in, self))
        self.app_state = {STATE_PEER: self._caller}
        self._arm()

    def connection_lost(self, exc: Exception | None) -> None:
        self._disarm()
        self._has_read()
        super().connection_lost(exc)
        self._unset_keepalive_if_required()
        self._shared.open.discard(self)
        self._caller.signed_in = _nothing  # it refers to this connection: a reference cycle, held until the collector runs

    @property
    def address(self) -> str:
        """The peer's address."""
        return self._caller.peer.address

    def evict(self) -> bool:
        """Give up the place if nothing useful runs here, and return whether it was given up.

        An idle client gets 503. A client that sends or reads slowly is cut. A request that is being answered keeps its
        place; it ends in a moment.
        """
        is_behind = self._unread is not None or (self.cycle is not None and self.cycle.more_body)
        if not self.is_idle and not is_behind:
            return False
        self._shared.open.discard(self)
        if is_behind:
            self._cut()
        else:
            self.transport.write(NO_ROOM)
            self.transport.close()
            self.loop.call_later(LAST_WORD_SECONDS, self._cut)
        return True

    @property
    def is_idle(self) -> bool:
        """Return whether no request is being answered and all answers are sent."""
        answered = self.cycle is None or self.cycle.response_complete
        return answered and self.transport.get_write_buffer_size() == 0

    def pause_writing(self) -> None:
        super().pause_writing()
        self._has_read()
        self._unread = self.loop.call_later(self._shared.request_seconds, self._cut)

    def resume_writing(self) -> None:
        self._has_read()
        super().resume_writing()

    def _has_read(self) -> None:
        if self._unread is not None:
            self._unread.cancel()
            self._unread = None

    def handle_events(self) -> None:
        self._shared.measure_lag()
        super().handle_events()
        running = self.cycle
        if running is not None and not running.more_body and not running.response_complete:
            self._disarm()  # the request is whole: from here on it is the application that takes time

    def send_400_response(self, msg: str) -> None:
        """Answer what is no request.

        h11 raises its error in a method of the error itself, whose frame refers to it: a reference cycle over every frame down
        to here. It would hold the connection, with 256 KiB of uvloop's for TLS, until the collector runs.
        """
        if (error := sys.exc_info()[1]) is not None:
            error.__traceback__ = None
        super().send_400_response(msg)

    def on_response_complete(self) -> None:
        self._arm()
        super().on_response_complete()

    def _arm(self) -> None:
        self._disarm()
        self._deadline = self.loop.call_later(self._shared.request_seconds, self._cut)

    def _disarm(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _cut(self) -> None:
        self.transport.abort()


def _nothing() -> None:
    """Do nothing: the connection is gone."""


def _hold_little(transport: asyncio.Transport) -> None:
    """Limit the unsent octets that the kernel holds to what we would hold ourselves.

    Otherwise it takes megabytes at once and then nothing for as long as a slow client reads them, which looks like a
    client that does not read.
    """
    with contextlib.suppress(OSError, AttributeError):  # the connection is gone
        transport.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, _TCP_NOTSENT_LOWAT, HIGH_WATER_OCTETS)


def _silence() -> None:
    """Discard what uvicorn logs about bad requests.

    Unauthenticated clients could fill a disk with it, and what fails here is in our own log.
    """
    for name in ("uvicorn.error", "uvicorn.access"):
        logger = logging.getLogger(name)
        logger.setLevel(logging.CRITICAL + 1)
        logger.propagate = False
