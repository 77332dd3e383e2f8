"""The gate in front of the listeners of one process: admission, TLS handshakes, eviction.

It joins `net.connection_limits` and `net.eviction` to the configuration, to the networks that sign-in knows, and to the log.
"""

import asyncio
from collections.abc import Callable
from functools import partial

from mic_mail.app.settings import admission_limits
from mic_mail.clock import Clock
from mic_mail.config.model import Config
from mic_mail.log.error_fields import described
from mic_mail.log.maillog import MailLog
from mic_mail.net.acceptor import Acceptor
from mic_mail.net.cidr import Networks
from mic_mail.net.connection_balancer import ConnectionCounts, Share
from mic_mail.net.connection_limits import Admission, ConnectionLimiter
from mic_mail.net.eviction import Evictor
from mic_mail.net.listeners import Listener
from mic_mail.net.proxy_protocol import ClientAddress
from mic_mail.net.tls import TlsFront
from mic_mail.services.authentication.sign_in import SignInService


def open_evictor(
    access: SignInService, log: MailLog, tally: ConnectionCounts, ask: Callable[[], None] = lambda: None
) -> Evictor:
    """Return the evictor of this process; the log has the address of each connection that was dropped."""

    def dropped(address: str) -> None:
        log.event("connection_cut", reason="no-room", peer=address)

    return Evictor(tally, is_known=access.is_home, ask=ask, dropped=dropped)


class Gate:
    """The gate of one process, or of its web pages.

    `is_open` returns whether a connection is open at any of its servers. `measure_lag` is called for each connection that is
    accepted (`process.loop_lag`).
    """

    def __init__(
        self,
        config: Config,
        clock: Clock,
        log: MailLog,
        evictor: Evictor,
        is_open: Callable[[object], bool],
        *,
        measure_lag: Callable[[], None],
    ) -> None:
        self.evictor = evictor
        self._admission = Admission(admission_limits(config), clock.monotonic, is_open)
        self._balancers = Networks(config.listen.balancers)
        self._log = log
        self._measure_lag = measure_lag

    def accept(
        self,
        listener: Listener,
        share: Share,
        factory: Callable[[ClientAddress | None], asyncio.Protocol],
        *,
        tls: TlsFront,
        handshake_seconds: float,
        busy: bytes,
        reader: Callable[[asyncio.Protocol], asyncio.BaseProtocol] | None = None,
    ) -> Acceptor:
        """Start accepting connections at a listener; one that is refused is sent `busy`."""

        def refused(address: str, why: str) -> None:
            self._log.event("connection_refused", peer=address, door=listener.door, reason=why)

        def turned_away(address: str, why: str) -> bytes:
            refused(address, why)
            return busy

        def may_begin(address: str) -> Callable[[], None] | None:
            return self._admission.begin_handshake(address, partial(refused, address), partial(self._evict, 1))

        make_room = _was_made if listener.implicit_tls else self._evict

        def begin(passed_on: Callable[[], None], client: ClientAddress | None) -> ConnectionLimiter:
            self._measure_lag()
            return ConnectionLimiter(
                self._admission, factory, client, make_room=make_room, refused=turned_away, passed_on=passed_on, reader=reader
            )

        acceptor = Acceptor(
            listener,
            share,
            begin,
            tls=(lambda: tls.context) if listener.implicit_tls else None,
            handshake_seconds=handshake_seconds,
            may_begin=may_begin,
            exhausted=lambda error: self._log.event("connections_exhausted", error=described(error)),
            make_room=self.evictor.drop,
            is_balancer=lambda address: address in self._balancers,
            bad_header=refused,
        )
        self.evictor.watch(acceptor.coming)
        return acceptor

    def _evict(self, coming: int = 0) -> bool:
        return self.evictor.evict(self._admission.limits.connections, coming)

    def evict_for_another(self) -> None:
        """Evict a connection because another process has admitted one and has none of its own to drop."""
        self.evictor.asked(self._admission.limits.connections)

    def configure(self, config: Config) -> None:
        self._admission.configure(admission_limits(config))
        self._balancers = Networks(config.listen.balancers)


def _was_made() -> bool:
    """Allow the connection: eviction was done before the handshake (`Admission.begin_handshake`)."""
    return True
