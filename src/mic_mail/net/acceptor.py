"""Accepting: connections from a listening socket that all workers wait on, each to the worker that has the fewest.

In: a `Listener`, this worker's `Share`, what makes the first protocol. Out: transports on the running loop. A worker that has
more than another lets connections lie, at most for `COURTESY_SECONDS`, and takes one if it still lies there then: one that is
busy or dead delays nobody for longer. It also takes one as soon as it has no more than the others: where many come and go, all
workers may be waiting for one another.
"""

import asyncio
import contextlib
import errno
import socket
import ssl
from collections.abc import Callable
from typing import Final

from mic_mail.net.connection_balancer import Share
from mic_mail.net.connection_registry import OpenConnections
from mic_mail.net.listeners import Listener

COURTESY_SECONDS: Final = 0.005
GLANCE_SECONDS: Final = 0.001
"""How often a worker that waits looks whether it still should."""
EXHAUSTED: Final = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})
"""No descriptor or no memory for one more connection: it waits in the backlog."""
EXHAUSTED_SECONDS: Final = 1.0
_NO_HANDSHAKE: Final = bytes((21, 3, 3, 0, 2, 2, 80))
"""A fatal alert, internal_error: "unrelated to the peer or the correctness of the protocol" (RFC 8446 §6.2)."""
_CLIENT_HELLO_OCTETS: Final = 1 << 14
ROOM_MADE_SECONDS: Final = 0.02
"""The connection that was dropped for it gives back its descriptor in one of the next turns of the loop."""


class Coming:
    """A connection that was accepted and has not come to its protocol."""

    __slots__ = ("_among", "_socket", "address")

    def __init__(self, accepted: socket.socket, address: str, among: "OpenConnections[Coming]") -> None:
        self._socket = accepted
        self.address = address
        self._among = among

    def evict(self) -> bool:
        """End it, and count it no longer. No word can be said in a handshake. Not cancelled: its protocol may have begun in
        this very turn of the loop, and must hear of the end."""
        self._among.discard(self)
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        return True


class Acceptor:
    """One listening socket of this process; belongs to its loop, and is open from the start."""

    def __init__(
        self,
        listener: Listener,
        share: Share,
        factory: Callable[[], asyncio.Protocol],
        *,
        tls: Callable[[], ssl.SSLContext] | None,
        handshake_seconds: float,
        may_begin: Callable[[str], Callable[[], None] | None],
        exhausted: Callable[[OSError], None],
        make_room: Callable[[], bool] = lambda: False,
    ) -> None:
        """`may_begin`: whether a handshake with this address may begin, and whom to tell when it has ended. `make_room` drops
        somebody where no descriptor is left: whether that was possible."""
        self._socket = listener.socket
        self._share = share
        self._factory = factory
        self._tls = tls
        self._handshake_seconds = handshake_seconds if tls else None
        self._may_begin = may_begin if tls else _always
        self._exhausted = exhausted
        self._make_room = make_room
        self._complains_at = 0.0
        self._loop = asyncio.get_running_loop()
        self._pause: asyncio.TimerHandle | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self.coming: OpenConnections[Coming] = OpenConnections(share.change)
        """Accepted, and not yet at their protocol: with TLS, in the handshake."""
        self._listen()

    def close(self) -> None:
        """Take no more. What is on its way comes all the same, and who made it says goodbye: a connection that is cancelled
        between its protocol's beginning and its task's end is closed, and its protocol never hears of it."""
        if self._pause is not None:
            self._pause.cancel()
        else:
            self._loop.remove_reader(self._socket)
        self._socket.close()

    def _listen(self) -> None:
        self._pause = None
        self._loop.add_reader(self._socket, self._look)

    def _look(self) -> None:
        """Something has come."""
        if self._share.should_wait():
            self._loop.remove_reader(self._socket)
            self._let_lie(self._loop.time() + COURTESY_SECONDS)
        else:
            self._accept()

    def _let_lie(self, until: float) -> None:
        """Wait for those that have fewer, for as long as they have, and not for ever."""
        is_patient = self._loop.time() < until
        if is_patient and self._share.should_wait():
            self._pause = self._loop.call_later(GLANCE_SECONDS, self._let_lie, until)
            return
        self._listen()
        if self._accept() and not is_patient:
            self._share.give_up()

    def _accept(self) -> bool:
        """Take one connection, if nobody else has."""
        self._share.come()
        try:
            accepted, peer = self._socket.accept()
        except OSError as error:  # another worker was faster, or the client has gone
            if error.errno in EXHAUSTED:
                self._wait_for_descriptors(error)
            return False
        ended = self._may_begin(peer[0])
        if ended is None:
            _turn_away(accepted)
            return True
        coming = Coming(accepted, str(peer[0]), self.coming)
        self.coming.add(coming)
        task = self._loop.create_task(self._begin(accepted))
        self._tasks.add(task)
        task.add_done_callback(lambda task: self._has_come(task, coming, ended))
        return True

    def _wait_for_descriptors(self, error: OSError) -> None:
        """Let it lie until there is one: at once where somebody gives up a place for it."""
        now = self._loop.time()
        if now >= self._complains_at:
            self._complains_at = now + EXHAUSTED_SECONDS
            self._exhausted(error)
        self._loop.remove_reader(self._socket)
        self._pause = self._loop.call_later(ROOM_MADE_SECONDS if self._make_room() else EXHAUSTED_SECONDS, self._listen)

    def _has_come(self, task: asyncio.Task[None], coming: "Coming", ended: Callable[[], None]) -> None:
        """From here on a connection is counted by its server (`OpenConnections`) and by the gate, if it came to be."""
        self._tasks.discard(task)
        self.coming.discard(coming)
        ended()

    async def _begin(self, accepted: socket.socket) -> None:
        with contextlib.suppress(OSError):  # gone, or a handshake that failed
            await self._loop.connect_accepted_socket(
                self._factory, accepted, ssl=self._tls and self._tls(), ssl_handshake_timeout=self._handshake_seconds
            )


def _turn_away(accepted: socket.socket) -> None:
    """Close a connection that may not begin a handshake, with an alert, so that the program tells a server in trouble from a
    broken line. What it sent is taken, else the kernel would answer it with a reset in front of the alert."""
    with contextlib.suppress(OSError):
        accepted.setblocking(False)
        accepted.send(_NO_HANDSHAKE)
        accepted.recv(_CLIENT_HELLO_OCTETS)
    accepted.close()


def _always(_address: str) -> Callable[[], None]:
    return lambda: None
