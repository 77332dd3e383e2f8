"""The SMTP server: connections, their time limits, TLS, and their end.

The only module that imports aiosmtpd. `aiosmtpd.smtp.SMTP` provides the life cycle of a connection (transport, session
object, the task that serves it, its end) and its timer. The dialogue is ours (connection_handler.py), because the
inherited one reads a message line by line, answers in many small writes, parses addresses with the standard library, and
cuts slow clients without a reply. Reading and writing are ours too: input goes to its reader as it is, where a stream
would copy it twice and wake a chain of coroutines. A canary test names every non-public member of aiosmtpd that is used.

One implementation serves mail servers (25), submission (587, STARTTLS) and submissions (465, TLS from the first octet).
"""

import asyncio
import ssl
from collections.abc import Callable
from typing import Final, cast

from aiosmtpd.smtp import SMTP

from mic_mail.connection import peer
from mic_mail.ids import trace_id
from mic_mail.log.error_fields import failure
from mic_mail.net.connection_registry import Changed, OpenConnections
from mic_mail.net.tcp_ack import acknowledge
from mic_mail.services.authentication.identity import Peer
from mic_mail.services.transport.envelope import Role
from mic_mail.smtp import replies
from mic_mail.smtp.connection_handler import SmtpHandler, SmtpServices
from mic_mail.smtp.session import ListenerProfile

__all__ = ["SmtpServer", "SmtpServices"]

LAST_WORD_SECONDS: Final = 1.0
"""Seconds for the last reply of an evicted connection."""
CLOSING_SECONDS: Final = 5.0
"""Seconds in which the last reply of a connection has to be sent."""
ENDING_SECONDS: Final = 3.0
"""Seconds in which the session of a suspended mailbox may still send commands.

Its commands are refused, which explains more than a cut connection.
"""
MAX_UNREAD_OCTETS: Final = 131_072
"""Octets that have arrived and are not read; beyond them reading from the client is paused."""
HANDSHAKE_SECONDS: Final = 30.0

ROLES: Final = {"smtp": Role.MX, "submission": Role.SUBMISSION, "submissions": Role.SUBMISSION}


class SmtpServer:
    """Create the connections of one process and end them together."""

    def __init__(self, services: SmtpServices, changed: Changed = lambda by, strangers: None) -> None:
        """Take the services; `changed` is called when a connection begins, ends, or signs in."""
        self.services = services
        self.open: OpenConnections[SmtpConnection] = OpenConnections(changed)
        self.draining = False
        self._doors = {role: self._listener_profile(role) for role in Role}

    def _listener_profile(self, role: Role) -> ListenerProfile:
        services = self.services
        return ListenerProfile(
            hostname=services.hostname,
            support=services.support,
            role=role,
            limits=services.limits,
            # A message that may have to be relayed cannot be accepted in a form that few servers take (RFC 3030 §3).
            binarymime=services.binarymime and role is Role.MX,
            # A confirmation to the sender that an unauthenticated client names would be backscatter.
            confirms=services.confirms or role is Role.SUBMISSION,
            quota_is_final=services.quota_is_final,
        )

    def configure(self, services: SmtpServices) -> None:
        """Apply new settings (SIGHUP); open connections keep those of their greeting."""
        self.services = services
        self._doors = {role: self._listener_profile(role) for role in Role}

    def factory(self, *, door: str, implicit_tls: bool = False) -> Callable[[], asyncio.Protocol]:
        """Return the factory of a listener's protocols; `door` is a name of `ROLES`."""
        role = ROLES[door]
        return lambda: SmtpConnection(self, self._doors[role], door)

    async def drain(self, seconds: float) -> None:
        """Send 421 to all clients between messages; a message in transfer may end within `seconds`."""
        self.draining = True
        for connection in self.open:
            connection.drain()
        if not await self.open.all_closed(seconds):
            for connection in self.open:
                connection.expire("shutdown")


class _NoHandler:
    """Empty handler: aiosmtpd looks for hooks here."""


class SmtpConnection(SMTP):
    """One connection: the `Wire` of its handler."""

    def __init__(self, server: SmtpServer, door: ListenerProfile, door_name: str) -> None:
        super().__init__(
            _NoHandler(),
            hostname=door.hostname,
            enable_SMTPUTF8=True,
            timeout=door.limits.command_seconds,
            loop=asyncio.get_running_loop(),
        )
        self._server = server
        self._services = server.services
        self._door = door
        self._door_name = door_name
        services = server.services
        self._tls = (services.tls_for_servers if door.role is Role.MX else None) or services.tls
        self._arrived = b""
        self._arrival: asyncio.Future[None] | None = None
        self._session_id = self._address = ""
        self._has_said_all = False
        self._is_held_back = False
        self._unanswered = False  # nothing was written since the last input
        self._unsent: list[bytes] = []
        self._congestion: asyncio.Future[None] | None = None
        self._deadline: float | None = None
        self.unsent_octets = 0
        self.in_message = False
        self.owes_a_promise = False
        self.over = False
        self.time = self.loop.time
        # Commands and mechanisms that are not used here: each refers to this connection, which would form a reference cycle
        # with the TLS buffers until the collector runs.
        self._smtp_methods.clear()
        self._auth_methods.clear()

    # ------------------------------------------------------------ connection life cycle

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._address = str((transport.get_extra_info("peername") or ("",))[0])
        self._server.open.add(self)
        super().connection_made(transport)

    def connection_lost(self, error: Exception | None) -> None:
        super().connection_lost(error)
        self._server.open.discard(self)
        self._reader = self._writer = None  # type: ignore[assignment]  # likewise
        self._client_connected_cb = self._handler_coroutine = None

    def eof_received(self) -> bool:
        """Keep answering a client that has closed its half, where TLS allows.

        The inherited method cuts it off.
        """
        self._has_said_all = True
        self._wake_reader()
        transport = self.transport
        return transport is not None and transport.get_extra_info("sslcontext") is None

    async def _handle_client(self) -> None:
        try:
            await SmtpHandler(self, self._services, self._door, lambda: self._server.draining).run()
        except (ConnectionError, ssl.SSLError, TimeoutError):
            pass  # the other end is gone
        except asyncio.CancelledError:
            if self.transport is not None:
                raise
        except Exception as error:  # noqa: BLE001 - any error: the peer gets 421 and the log has the details
            self._services.log.event("session_failed", **failure(error), session=self._session_id)
            self.expire("failed")
        finally:
            if self.transport is not None and not self.over:
                self.close()

    def describe(self) -> Peer:
        """Return the peer, with a new session id each time, since TLS begins a new dialogue."""
        transport = self.transport
        assert transport is not None
        self._session_id = trace_id(self._services.clock.now_us(), self._services.chance)
        return peer.describe(transport, self._door_name, self._tls, self._session_id)

    # ------------------------------------------------------------ timers

    def _timeout_cb(self) -> None:
        """Handle the connection's only timer: sleep until the current deadline and check again."""
        now = self.loop.time()
        if self.over:
            self._abort()
        elif self._deadline is None:
            self._reset_timeout(self._door.limits.command_seconds)
        elif now < self._deadline:
            self._reset_timeout(self._deadline - now)
        else:
            self.expire("timeout")

    def _wait_until(self, deadline: float) -> None:
        """Set the deadline of a wait; the timer is reset only where it would fire too late."""
        self._deadline = deadline
        timer = self._timeout_handle
        if timer is None or timer.cancelled() or timer.when() > deadline:
            self._reset_timeout(max(0.001, deadline - self.loop.time()))

    def expire(self, name: str) -> None:
        """Send 421 after the pending replies, and close (RFC 5321 §3.8: allowed at any time).

        A lost 250 would have the client send the message again, so pending replies come first.
        """
        if self.transport is not None and not self.transport.is_closing() and not self.over:
            peername = self.transport.get_extra_info("peername") or ("",)
            self._services.log.event("connection_cut", reason=name, peer=peername[0], session=self._session_id)
            self._part(name)

    def _part(self, name: str) -> None:
        self._open_transport().write(b"".join((*self._unsent, replies.fixed(name))))
        self._unsent.clear()
        self.close()

    def signed_in(self) -> None:
        self._server.open.sign_in(self)

    @property
    def address(self) -> str:
        """The peer's address."""
        return self._address

    def evict(self) -> bool:
        """Give up the place with 421 unless a reply is being made; return whether it was given up.

        While octets of a message are awaited nothing has been promised.
        """
        if self._deadline is None:
            return False
        self._server.open.discard(self)
        if self.transport is not None and not self.transport.is_closing() and not self.over:
            self._part("no-room")
            self._reset_timeout(LAST_WORD_SECONDS)
        return True

    def drain(self) -> None:
        """Close for a shutdown: now if idle, else after the present command."""
        if self._deadline is not None and not self.in_message:
            self.expire("shutdown")

    def end_soon(self, name: str, still: Callable[[], bool]) -> None:
        """Send `name` and close after ENDING_SECONDS if `still` holds, whatever runs by then."""
        self.loop.call_later(ENDING_SECONDS, lambda: self.expire(name) if still() else None)

    def close(self) -> None:
        """Close after the written replies are sent, within CLOSING_SECONDS."""
        self.over = True
        if self.transport is not None:
            self.transport.close()
            self._reset_timeout(CLOSING_SECONDS)

    def _abort(self) -> None:
        if self.transport is not None:
            cast("asyncio.Transport", self.transport).abort()

    # ------------------------------------------------------------ reading and writing

    def _open_transport(self) -> asyncio.Transport:
        """Return the transport to write to; raises `ConnectionError` where it is closed."""
        if self.transport is None or self.transport.is_closing():
            raise ConnectionAbortedError
        return cast("asyncio.Transport", self.transport)  # uvloop's are no subclasses of it

    def data_received(self, data: bytes) -> None:
        self._arrived = self._arrived + data if self._arrived else data
        self._wake_reader()
        if len(self._arrived) > MAX_UNREAD_OCTETS and not self._is_held_back and not self.over:
            self._is_held_back = True
            self._open_transport().pause_reading()

    def _wake_reader(self) -> None:
        if self._arrival is not None and not self._arrival.done():
            self._arrival.set_result(None)

    def pause_writing(self) -> None:
        self._congestion = self.loop.create_future()

    def resume_writing(self) -> None:
        if self._congestion is not None and not self._congestion.done():
            self._congestion.set_result(None)
        self._congestion = None

    def write(self, octets: bytes) -> None:
        self._unsent.append(octets)
        self.unsent_octets += len(octets)

    async def flush(self) -> None:
        """Send the collected replies; wait for a client that does not read them as long as for a command."""
        if self._unsent:
            self._open_transport().write(b"".join(self._unsent))
            self._unsent.clear()
            self.unsent_octets = 0
            self.owes_a_promise = self._unanswered = False
        if self._congestion is not None:
            self._wait_until(self.time() + self._door.limits.command_seconds)
            await self._congestion
            self._deadline = None

    async def read(self, octets: int, deadline: float) -> bytes:
        """Return the next octets, at most `octets`; empty at the end of the stream or after the last reply.

        Input that arrives together with a sent 421 must not be processed.
        """
        if self._unsent:
            await self.flush()
        if not self._arrived and not self._has_said_all:
            if self._unanswered:
                self._unanswered = False
                acknowledge(self._open_transport())
            self._wait_until(deadline)
            self._arrival = self.loop.create_future()
            await self._arrival
            self._arrival = self._deadline = None
        if self.over:
            return b""
        self._unanswered = True
        piece = self._arrived
        self._arrived = b""
        if len(piece) > octets:
            piece, self._arrived = piece[:octets], piece[octets:]
        if self._is_held_back and len(self._arrived) <= MAX_UNREAD_OCTETS // 2:
            self._is_held_back = False
            self._open_transport().resume_reading()
        return piece

    async def yield_to_loop(self) -> None:
        await asyncio.sleep(0)

    # ------------------------------------------------------------ TLS

    async def start_tls(self) -> Peer:
        """Start TLS (RFC 3207), also on uvloop: the inherited method needs asyncio's own classes."""
        tls = self._tls
        assert tls is not None
        transport = self._open_transport()
        transport.pause_reading()
        self._arrived, self._is_held_back = b"", False  # input read in clear must not be used again
        self.write(replies.fixed("start-tls"))
        await self.flush()
        self._wait_until(self.loop.time() + 2 * HANDSHAKE_SECONDS)
        try:
            secured = await self.loop.start_tls(
                transport, tls.reader(self), tls.context, server_side=True, ssl_handshake_timeout=HANDSHAKE_SECONDS
            )
            if secured is None or secured.is_closing():
                raise ConnectionAbortedError
        except OSError:
            self._server.open.discard(self)  # no loop notifies the protocol of a connection lost in the handshake
            raise
        self._deadline = None
        self.transport = secured
        return self.describe()
