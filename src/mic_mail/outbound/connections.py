"""Connections to other servers: made, secured, kept for a while, used again.

In: a host of a route, one of its addresses. Out: a `Peer` that is ready for a message, under TLS where the server can; with
validated TLSA records only under TLS with one of these keys (RFC 7672), else to whoever answers (RFC 7435), and in the open
where the handshake fails. Belongs to a loop.
"""

import asyncio
import ssl
from collections import defaultdict
from collections.abc import Coroutine
from dataclasses import dataclass, field

from mic_mail.clock import Clock
from mic_mail.outbound import dane
from mic_mail.outbound.peer import Patience, Peer, PeerTrouble, Step
from mic_mail.outbound.routing import SMTP_PORT, Host

_DER = 2
"""`_ssl.ENCODING_DER`."""


@dataclass(frozen=True, slots=True)
class ConnectionSettings:
    """How this server appears to others, and how long it waits for them."""

    hello: str
    """Its name, for EHLO."""
    port: int = SMTP_PORT
    keep_seconds: float = 20.0
    """A connection without work is closed after so long."""
    messages: int = 100
    """Over one connection."""
    patience: Patience = field(default_factory=Patience)


@dataclass(slots=True)
class _Idle:
    peer: Peer
    since: float


class Connections:
    """Those of one process."""

    def __init__(self, settings: ConnectionSettings, clock: Clock) -> None:
        self._settings = settings
        self._clock = clock
        self._idle: dict[str, list[_Idle]] = defaultdict(list)
        self._closing: set[asyncio.Task[None]] = set()

    def kept(self, address: str) -> Peer | None:
        """One that has served and may again; its server may have hung up without our having heard of it yet."""
        kept = self._idle.get(address, [])
        while kept:
            peer = kept.pop().peer
            if not peer.is_over:
                return peer
        return None

    async def new(self, host: Host, address: str) -> Peer:
        """One for a message to `host` at `address`; `PeerTrouble` where there is none to be had."""
        settings = self._settings
        peer = await Peer.connect(address, settings.port, settings.hello, settings.patience)
        if not peer.offer.has("STARTTLS"):
            if host.tlsa:
                await peer.close()
                raise PeerTrouble(Step.TLS, "TLS is not offered, which DANE asks for (RFC 7672)")
            return peer
        try:
            await self._secure(peer, host)
        except PeerTrouble:
            if host.tlsa:
                raise
            return await Peer.connect(address, settings.port, settings.hello, settings.patience)
        return peer

    async def _secure(self, peer: Peer, host: Host) -> None:
        session = await peer.start_tls(_unchecked(), host.name)
        keys = dane.usable(host.tlsa)
        if not keys:
            return
        try:
            dane.check(keys, _chain(session), [host.name], self._clock.now())
        except dane.NotAuthentic as error:
            await peer.close()
            raise PeerTrouble(Step.TLS, str(error)) from error

    async def give_back(self, address: str, peer: Peer) -> None:
        """It may serve another message; or has served enough."""
        if peer.is_over or peer.sent >= self._settings.messages:
            self._close(peer.close())
        else:
            self._idle[address].append(_Idle(peer, self._clock.monotonic()))

    async def close_idle(self) -> None:
        """Say goodbye where nothing was to be done for a while."""
        now = self._clock.monotonic()
        for address, kept in list(self._idle.items()):
            for idle in [one for one in kept if one.peer.is_over or now - one.since >= self._settings.keep_seconds]:
                kept.remove(idle)
                self._close(idle.peer.close())
            if not kept:
                del self._idle[address]

    def _close(self, goodbye: Coroutine[object, object, None]) -> None:
        task = asyncio.get_running_loop().create_task(goodbye)
        self._closing.add(task)
        task.add_done_callback(self._closing.discard)

    async def close(self) -> None:
        """Of all that are kept."""
        for idle in [one for kept in self._idle.values() for one in kept]:
            self._close(idle.peer.close())
        self._idle.clear()
        if self._closing:
            await asyncio.wait(list(self._closing))


def _unchecked() -> ssl.SSLContext:
    """Enciphered, to whom is not asked; with DANE the certificate is looked at afterwards."""
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


def _chain(session: ssl.SSLObject) -> list[bytes]:
    """What the server showed, DER, its own certificate first."""
    inner = getattr(session, "_sslobj", None)  # before Python 3.13 the chain has no public name
    shown = inner.get_unverified_chain() if inner is not None else None
    if shown:
        return [each.public_bytes(_DER) for each in shown]
    own = session.getpeercert(True)
    return [own] if own else []
