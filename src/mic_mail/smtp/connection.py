"""One SMTP connection: its time limits, TLS, and its end.

The only module that imports aiosmtpd. `aiosmtpd.smtp.SMTP` provides the life cycle of a connection (transport, session
object, the task that serves it, its end) and its timer. The dialogue is ours (connection_handler.py), because the
inherited one reads a message line by line, answers in many small writes, parses addresses with the standard library, and
cuts slow clients without a reply. Reading and writing are ours too: input goes to its reader as it is, where a stream
would copy it twice and wake a chain of coroutines. A canary test names every non-public member of aiosmtpd that is used.
"""

import asyncio
import random
import ssl
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final, cast

from aiosmtpd.smtp import SMTP

from mic_mail.clock import Clock
from mic_mail.connection import peer
from mic_mail.ids import TokenSource, trace_id
from mic_mail.log.error_fields import failure
from mic_mail.log.maillog import MailLog
from mic_mail.net.connection_registry import OpenConnections
from mic_mail.net.proxy_protocol import ClientAddress
from mic_mail.net.tcp_ack import acknowledge, is_sent
from mic_mail.net.tls import TlsFront
from mic_mail.services.authentication.identity import Peer
from mic_mail.services.authentication.sign_in import SignInService
from mic_mail.services.transport.envelope import Role
from mic_mail.services.transport.pipeline import Pipeline
from mic_mail.smtp import replies
from mic_mail.smtp.session import Limits, ListenerProfile

LAST_WORD_SECONDS: Final = 1.0
"""Seconds for the last reply of a connection that is evicted, or has been sent everything."""
CLOSING_SECONDS: Final = 5.0
"""Seconds in which the last reply of a connection has to be sent."""
ENDING_SECONDS: Final = 3.0
"""Seconds in which the session of a suspended mailbox may still send commands.

Its commands are refused, which explains more than a cut connection.
"""
MAX_UNREAD_OCTETS: Final = 131_072
"""Octets that have arrived and are not read; beyond them reading from the client is paused."""
HANDSHAKE_SECONDS: Final = 30.0


@dataclass(frozen=True, slots=True)
class SmtpServices:
    """The services that the composition root gives to SMTP."""

    mailflow: Pipeline
    access: SignInService
    clock: Clock
    log: MailLog
    tls: TlsFront | None
    """TLS of the listeners for people."""
    hostname: str
    support: str
    limits: Limits
    binarymime: bool = False
    confirms: bool = False
    quota_is_final: bool = False
    tls_for_servers: TlsFront | None = None
    """TLS of the listener for other mail servers, where it differs."""
    repairs_lf: Callable[[str], bool] = lambda address: False
    """Return whether an address is a known old device whose bare LF is repaired."""
    chance: TokenSource = random.getrandbits
    """Source of message ids, which are no secrets.

    The system's source releases the GIL, and then a busy executor takes it. This is the `random` module's own generator,
    which is seeded again in each forked child: one made here would give all children the same ids.
    """
    note: Callable[[str], None] = lambda label: None
    """Called with each command as it begins, so that a long pause of the loop can be logged with it."""
    measure_lag: Callable[[], None] = lambda: None
    """Called where input arrives (`process.loop_lag`)."""


class _NoHandler:
    """Empty handler: aiosmtpd looks for hooks here."""


class SmtpConnection(SMTP):
    """One connection; `serve` runs its dialogue (`connection_handler`)."""

    def __init__(
        self,
        services: SmtpServices,
        opened: "OpenConnections[SmtpConnection]",
        door: ListenerProfile,
        door_name: str,
        serve: Callable[["SmtpConnection"], Awaitable[None]],
        *,
        client: ClientAddress | None,
    ) -> None:
        """`client` is who a load balancer has named; None: whoever is at the other end."""
        super().__init__(
            _NoHandler(),
            hostname=door.hostname,
            enable_SMTPUTF8=True,
            timeout=door.limits.command_seconds,
            loop=asyncio.get_running_loop(),
        )
        self.services = services
        self.door = door
        self._opened = opened
        self._door_name = door_name
        self._serve = serve
        self._client = client
        self._tls = (services.tls_for_servers if door.role is Role.MX else None) or services.tls
        self._arrived = b""
        self._arrival: asyncio.Future[None] | None = None
        self._session_id = self._address = ""
        self._has_eof = False
        self._is_reading_paused = False
        self._unanswered = False  # nothing was written since the last input
        self._unsent: list[bytes] = []
        self._congestion: asyncio.Future[None] | None = None
        self._deadline: float | None = None
        self._close_by = 0.0
        self.unsent_octets = 0
        self.in_message = False
        """True while octets of a message are being read: a shutdown waits for its end."""
        self.has_unsent_acceptance = False
        """True while a 250 that takes over a message waits to be sent; `flush` sends it."""
        self.over = False
        """True once the last reply has been written."""
        self.time = self.loop.time
        # Commands and mechanisms that are not used here: each refers to this connection, which would form a reference cycle
        # with the TLS buffers until the collector runs.
        self._smtp_methods.clear()
        self._auth_methods.clear()

    # ------------------------------------------------------------ connection life cycle

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._address = str((self._client or transport.get_extra_info("peername") or ("",))[0])
        self._opened.add(self)
        super().connection_made(transport)

    def connection_lost(self, error: Exception | None) -> None:
        """Let go of all that the connection holds; the second call does nothing (`start_tls`)."""
        if self._handler_coroutine is None:
            return
        # A new error: `start_tls` raises that of the transport, and the inherited method keeps the one that it gets. With its
        # traceback it would hold this connection, and the 256 KiB that uvloop takes for TLS, until Python's collector runs.
        super().connection_lost(None if error is None else ConnectionResetError())
        self._opened.discard(self)
        self._reader = self._writer = None  # type: ignore[assignment]  # likewise
        self._client_connected_cb = self._handler_coroutine = None

    def eof_received(self) -> bool:
        """Keep answering a client that has closed its half, where TLS allows.

        The inherited method cuts it off.
        """
        self._has_eof = True
        self._wake_reader()
        transport = self.transport
        return transport is not None and transport.get_extra_info("sslcontext") is None

    async def _handle_client(self) -> None:
        try:
            await self._serve(self)
        except (ConnectionError, ssl.SSLError, TimeoutError):
            pass  # the other end is gone
        except asyncio.CancelledError:
            if self.transport is not None:
                raise
        except Exception as error:  # noqa: BLE001 - any error: the peer gets 421 and the log has the details
            self.services.log.event("session_failed", **failure(error), session=self._session_id)
            self.expire("failed")
        finally:
            if self.transport is not None and not self.over:
                self.close()

    def describe(self) -> Peer:
        """Return the peer, with a new session id each time, since TLS begins a new dialogue."""
        transport = self.transport
        assert transport is not None
        self._session_id = trace_id(self.services.clock.now_us(), self.services.chance)
        return peer.describe(transport, self._client, self._door_name, self._tls, self._session_id)

    # ------------------------------------------------------------ timers

    def _timeout_cb(self) -> None:
        """Handle the connection's only timer: sleep until the current deadline and check again."""
        now = self.loop.time()
        if self.over:
            # Where only the client's TLS close_notify is missing it may be gone, and a shutdown would wait for it.
            if now >= self._close_by or is_sent(cast("asyncio.Transport", self.transport)):
                self._abort()
            else:
                self._reset_timeout(self._close_by - now)
        elif self._deadline is None:
            self._reset_timeout(self.door.limits.command_seconds)
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
            self.services.log.event("connection_cut", reason=name, peer=self._address, session=self._session_id)
            self._send_last_reply(name)

    def _send_last_reply(self, name: str) -> None:
        self._open_transport().write(b"".join((*self._unsent, replies.fixed(name))))
        self._unsent.clear()
        self.close()

    def signed_in(self) -> None:
        """Record that the peer has signed in: the connection is not evicted for unauthenticated ones."""
        self._opened.sign_in(self)

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
        self._opened.discard(self)
        if self.transport is not None and not self.transport.is_closing() and not self.over:
            self._send_last_reply("no-room")
            self._close_by = self.time() + LAST_WORD_SECONDS
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
            self._close_by = self.time() + CLOSING_SECONDS
            self._reset_timeout(LAST_WORD_SECONDS)

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
        self.services.measure_lag()
        self._arrived = self._arrived + data if self._arrived else data
        self._wake_reader()
        if len(self._arrived) > MAX_UNREAD_OCTETS and not self._is_reading_paused and not self.over:
            self._is_reading_paused = True
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
        """Append a reply to those that wait to be sent."""
        self._unsent.append(octets)
        self.unsent_octets += len(octets)

    async def flush(self) -> None:
        """Send the collected replies; wait for a client that does not read them as long as for a command."""
        if self._unsent:
            self._open_transport().write(b"".join(self._unsent))
            self._unsent.clear()
            self.unsent_octets = 0
            self.has_unsent_acceptance = self._unanswered = False
        if self._congestion is not None:
            self._wait_until(self.time() + self.door.limits.command_seconds)
            await self._congestion
            self._deadline = None

    async def read(self, octets: int, deadline: float) -> bytes:
        """Return the next octets, at most `octets`; empty at the end of the stream or after the last reply.

        Input that arrives together with a sent 421 must not be processed.
        """
        if self._unsent:
            await self.flush()
        if not self._arrived and not self._has_eof:
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
        if self._is_reading_paused and len(self._arrived) <= MAX_UNREAD_OCTETS // 2:
            self._is_reading_paused = False
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
        self._arrived, self._is_reading_paused = b"", False  # input read in clear must not be used again
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
            transport.close()
            self.connection_lost(None)  # uvloop does not always notify the protocol of what happens in the handshake
            raise
        self._deadline = None
        self.transport = secured
        return self.describe()
