"""Accept connections from a listening socket shared by all workers, balanced by their load.

In: a `Listener`, this worker's `Share`, a factory of the first protocol. Out: transports on the running loop. A connection from
a load balancer reaches none before its header has named the client (`net.proxy_protocol`). A worker that
has more connections than another leaves new ones in the backlog for at most `COURTESY_SECONDS`, and then accepts one if it is
still there: a busy or dead worker delays no client for longer. It also accepts as soon as it has no more than the others:
under a high rate all workers may be waiting for one another.
"""

import asyncio
import contextlib
import errno
import socket
import ssl
from collections.abc import Callable
from functools import partial
from typing import Final

from mic_mail import eager_task
from mic_mail.net.connection_balancer import Share
from mic_mail.net.connection_registry import OpenConnections
from mic_mail.net.listeners import Listener
from mic_mail.net.proxy_protocol import BadHeader, ClientAddress, receive_header

Factory = Callable[[Callable[[], None], ClientAddress | None], asyncio.Protocol]
"""Makes the first protocol of a connection."""

COURTESY_SECONDS: Final = 0.005
GLANCE_SECONDS: Final = 0.001
"""Interval at which a waiting worker checks whether it still should wait."""
EXHAUSTED: Final = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})
"""No descriptor or no memory for one more connection: it waits in the backlog."""
EXHAUSTED_SECONDS: Final = 1.0
_NO_HANDSHAKE: Final = bytes((21, 3, 3, 0, 2, 2, 80))
"""A fatal alert, internal_error: it says nothing about the peer or the protocol (RFC 8446 §6.2)."""
_CLIENT_HELLO_OCTETS: Final = 1 << 14
ROOM_MADE_SECONDS: Final = 0.02
"""Delay after an eviction, which frees a descriptor within a few iterations of the loop."""


class PendingConnection:
    """An accepted connection that has not reached its protocol yet.

    Until its header has come, that of a load balancer has the balancer's address.
    """

    __slots__ = ("_among", "_socket", "address")

    def __init__(self, accepted: socket.socket, address: str, among: "OpenConnections[PendingConnection]") -> None:
        self._socket = accepted
        self.address = address
        self._among = among

    def evict(self) -> bool:
        """Shut it down and stop counting it.

        No reply can be sent in a handshake. The task is not cancelled: its protocol may have begun in this loop iteration, and
        must be notified of the end.
        """
        self._among.discard(self)
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        return True


class Acceptor:
    """One listening socket of this process; bound to its loop, and open from the start."""

    def __init__(
        self,
        listener: Listener,
        share: Share,
        factory: Factory,
        *,
        tls: Callable[[], ssl.SSLContext] | None,
        handshake_seconds: float,
        may_begin: Callable[[str], Callable[[], None] | None],
        exhausted: Callable[[OSError], None],
        make_room: Callable[[], bool] = lambda: False,
        is_balancer: Callable[[str], bool] = lambda address: False,
        bad_header: Callable[[str, str], None] = lambda address, reason: None,
    ) -> None:
        """Start listening.

        `factory` takes a callback for the moment from which on the server of the connection counts it: the acceptor stops then;
        and the client, where a load balancer has named it. `may_begin` returns None where a handshake with this address may not
        begin, else a callback for its end. `make_room` evicts a connection where no descriptor is left, and returns whether
        that was possible. `is_balancer` returns whether connections from an address begin with a header of the PROXY protocol;
        `bad_header` is called with the address of one that does not, and the reason.
        """
        self._socket = listener.socket
        self._share = share
        self._factory = factory
        self._tls = tls
        self._handshake_seconds = handshake_seconds if tls else None
        self._may_begin = may_begin if tls else _always
        self._exhausted = exhausted
        self._make_room = make_room
        self._is_balancer = is_balancer
        self._bad_header = bad_header
        self._complains_at = 0.0
        self._loop = asyncio.get_running_loop()
        self._pause: asyncio.TimerHandle | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._headers: dict[asyncio.Task[ClientAddress | None], PendingConnection] = {}
        """The connections of load balancers that wait for their header."""
        self.coming: OpenConnections[PendingConnection] = OpenConnections(share.change_coming)
        """Accepted connections that have not reached their protocol: in the handshake of TLS, or without their header yet."""
        self._listen()

    def close(self) -> None:
        """Stop accepting. Connections in progress complete, and their server closes them.

        Those that wait for the header of a load balancer are closed.
        A connection that is cancelled between the start of its protocol and the end of its task would be closed without its
        protocol being notified.
        """
        if self._pause is not None:
            self._pause.cancel()
        else:
            self._loop.remove_reader(self._socket)
        self._socket.close()
        for task in self._headers:
            task.cancel()

    def _listen(self) -> None:
        self._pause = None
        self._loop.add_reader(self._socket, self._look)

    def _look(self) -> None:
        """Handle readability: accept, or wait for another worker."""
        if self._share.should_wait():
            self._loop.remove_reader(self._socket)
            self._let_lie(self._loop.time() + COURTESY_SECONDS)
        else:
            self._accept()

    def _let_lie(self, until: float) -> None:
        """Wait for workers with fewer connections while there are any, up to `until`."""
        is_patient = self._loop.time() < until
        if is_patient and self._share.should_wait():
            self._pause = self._loop.call_later(GLANCE_SECONDS, self._let_lie, until)
            return
        self._listen()
        if self._accept() and not is_patient:
            self._share.give_up()

    def _accept(self) -> bool:
        """Accept one connection, unless another worker has."""
        self._share.come()
        try:
            accepted, peer = self._socket.accept()
        except OSError as error:  # another worker was faster, or the client has gone
            if error.errno in EXHAUSTED:
                self._wait_for_descriptors(error)
            return False
        if self._is_balancer(peer[0]):
            self._await_client(accepted, str(peer[0]))
        else:
            self._admit(accepted, str(peer[0]), None)
        return True

    def _await_client(self, accepted: socket.socket, balancer: str) -> None:
        """Admit a load balancer's connection once its header has come."""
        accepted.setblocking(False)
        coming = PendingConnection(accepted, balancer, self.coming)
        self.coming.add(coming)
        task = eager_task.begin(receive_header(accepted), self._loop)
        self._headers[task] = coming
        task.add_done_callback(lambda task: self._has_header(task, accepted, coming))

    def _has_header(
        self, task: "asyncio.Task[ClientAddress | None]", accepted: socket.socket, coming: "PendingConnection"
    ) -> None:
        del self._headers[task]
        is_evicted = coming not in self.coming
        self.coming.discard(coming)
        if is_evicted or task.cancelled():
            accepted.close()
            return
        try:
            client = task.result()
        except BadHeader as error:
            self._bad_header(coming.address, error.reason)
            accepted.close()
        except OSError:  # the connection has ended
            accepted.close()
        else:
            self._admit(accepted, client.address if client else coming.address, client)

    def _admit(self, accepted: socket.socket, address: str, client: ClientAddress | None) -> None:
        """Lead a connection to its protocol, unless its network may not begin a handshake."""
        ended = self._may_begin(address)
        if ended is None:
            _turn_away(accepted)
            return
        coming = PendingConnection(accepted, address, self.coming)
        self.coming.add(coming)
        task = eager_task.begin(self._begin(accepted, coming, client), self._loop)
        self._tasks.add(task)
        task.add_done_callback(lambda task: self._has_come(task, coming, ended))

    def _wait_for_descriptors(self, error: OSError) -> None:
        """Pause until there is a descriptor: briefly if a connection was evicted for it."""
        now = self._loop.time()
        if now >= self._complains_at:
            self._complains_at = now + EXHAUSTED_SECONDS
            self._exhausted(error)
        self._loop.remove_reader(self._socket)
        self._pause = self._loop.call_later(ROOM_MADE_SECONDS if self._make_room() else EXHAUSTED_SECONDS, self._listen)

    def _has_come(self, task: asyncio.Task[None], coming: "PendingConnection", ended: Callable[[], None]) -> None:
        """Stop counting a connection that has not reached its server (`OpenConnections`), and end its handshake."""
        self._tasks.discard(task)
        self.coming.discard(coming)
        ended()

    async def _begin(self, accepted: socket.socket, coming: PendingConnection, client: ClientAddress | None) -> None:
        factory = partial(self._factory, partial(self.coming.discard, coming), client)
        with contextlib.suppress(OSError):  # disconnected, or the handshake failed
            await self._loop.connect_accepted_socket(
                factory, accepted, ssl=self._tls and self._tls(), ssl_handshake_timeout=self._handshake_seconds
            )


def _turn_away(accepted: socket.socket) -> None:
    """Close a connection that may not begin a handshake, with a TLS alert.

    The alert lets the client distinguish a server in trouble from a broken line. Its octets are read first, else the kernel
    would send a reset before the alert.
    """
    with contextlib.suppress(OSError):
        accepted.setblocking(False)
        accepted.send(_NO_HANDSHAKE)
        accepted.recv(_CLIENT_HELLO_OCTETS)
    accepted.close()


def _always(_address: str) -> Callable[[], None]:
    return lambda: None
