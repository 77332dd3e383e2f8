"""Connections to other servers: made, secured, kept for a while, used again.

In: one of a host's addresses, and the terms (`assurance`). Out: a `SmtpClient` that is ready for a message and keeps these
terms: by DANE, by a certificate for its name, or to whoever answers (RFC 7435), and in the open where the handshake fails.
Belongs to a loop. Where somebody has a name there (a smarthost) each connection is signed in, and only one whose certificate
was checked.
"""

import asyncio
import ssl
from collections import defaultdict
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field, replace
from pathlib import Path
from weakref import WeakSet

from mic_mail.clock import Clock
from mic_mail.log.error_fields import described
from mic_mail.smtpclient import dane
from mic_mail.smtpclient.client import Patience, PeerTrouble, SmtpClient, Step
from mic_mail.smtpclient.mx import SMTP_PORT
from mic_mail.smtpclient.smarthost import NoPassword, Smarthost, read_password
from mic_mail.smtpclient.tls_policy import CHECKED_BY_NAME, TlsLevel, TlsRequirements

_DER = 2
"""`_ssl.ENCODING_DER`."""
CONTEXT_SECONDS = 3_600.0
"""The authorities are read anew so often."""

Tell = Callable[..., None]
"""An event for the mail log, as `MailLog.event` takes it."""


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
    authorities: Path | None = None
    """Whose certificates are believed; None: the machine's."""


@dataclass(slots=True)
class _Idle:
    peer: SmtpClient
    since: float


_Key = tuple[str, TlsRequirements]


class Connections:
    """Those of one process."""

    def __init__(self, settings: ConnectionSettings, clock: Clock, tell: Tell) -> None:
        self._settings = settings
        self._clock = clock
        self._tell = tell
        self._idle: dict[_Key, list[_Idle]] = defaultdict(list)
        self._closing: set[asyncio.Task[None]] = set()
        self._contexts: dict[Path | None, tuple[float, ssl.SSLContext]] = {}
        self._unchecked = _unchecked()
        self._keepable: WeakSet[SmtpClient] = WeakSet()
        """Those whose certificates were looked at by the clock as it is now."""
        self.used = {"new": 0, "kept": 0}
        """How often a connection was given out, by whether it had served before."""

    def kept(self, address: str, terms: TlsRequirements) -> SmtpClient | None:
        """One that has served and may again; its server may have hung up without our having heard of it yet."""
        kept = self._idle.get(_key(address, terms), [])
        while kept:
            peer = kept[-1].peer
            if peer.may_serve and terms.extension and not peer.offer.has(terms.extension):
                return None
            kept.pop()
            if peer.may_serve:
                self.used["kept"] += 1
                return peer
            peer.abort()
        return None

    async def new(self, address: str, terms: TlsRequirements) -> SmtpClient:
        """One for a message by these terms; `PeerTrouble` where there is none to be had."""
        peer = await self._assured(address, terms)
        if terms.extension and not (peer.secured.by is not TlsLevel.NONE and peer.offer.has(terms.extension)):
            await peer.close()
            raise PeerTrouble(Step.TLS, f"{terms.extension} support required", lasting="5.7.30")
        if terms.smarthost is not None and terms.smarthost.login:
            await self._sign_in(peer, terms.smarthost)
        self.used["new"] += 1
        self._keepable.add(peer)
        return peer

    async def _assured(self, address: str, terms: TlsRequirements) -> SmtpClient:
        """As the terms want it; where they only wish it, as it can be had, with what there is to be said against it."""
        if terms.by is TlsLevel.OPPORTUNISTIC:
            return await self._with_whoever_answers(address, terms)
        try:
            return await self._secured(address, terms)
        except PeerTrouble as error:
            if terms.strict or error.step is not Step.TLS:
                raise
            return await self._with_whoever_answers(address, replace(terms, by=TlsLevel.OPPORTUNISTIC, objection=error.text))

    async def _with_whoever_answers(self, address: str, terms: TlsRequirements) -> SmtpClient:
        """RFC 7435; in the open too, unless TLS has to be."""
        try:
            peer = await self._secured(address, terms)
        except PeerTrouble as error:
            is_implicit = terms.smarthost is not None and terms.smarthost.is_implicit
            if terms.strict or error.step is not Step.TLS or is_implicit:  # who expects TLS does not greet
                raise
            peer = await self._connect(address, terms)
            peer.without_tls = error
        peer.secured = replace(peer.secured, objection=terms.objection)
        return peer

    async def _connect(
        self, address: str, terms: TlsRequirements, tls: tuple[ssl.SSLContext, str, TlsLevel] | None = None
    ) -> SmtpClient:
        settings = self._settings
        port = terms.smarthost.port if terms.smarthost is not None else settings.port
        return await SmtpClient.connect(address, port, settings.hello, settings.patience, tls=tls)

    async def _secured(self, address: str, terms: TlsRequirements) -> SmtpClient:
        """Under TLS; in the open only where TLS is neither offered nor wanted by anybody."""
        context = self._checked(terms.smarthost) if terms.by in CHECKED_BY_NAME else self._unchecked
        if terms.smarthost is not None and terms.smarthost.is_implicit:
            return await self._connect(address, terms, (context, terms.host, terms.by))
        peer = await self._connect(address, terms)
        if not peer.offer.has("STARTTLS"):
            if not terms.strict and terms.by is TlsLevel.OPPORTUNISTIC:
                return peer
            await peer.close()
            raise PeerTrouble(Step.TLS, f"TLS is not offered, which is required (by={terms.by})", lasting="5.7.10")
        try:
            session = await peer.start_tls(context, terms.asked_for(address), terms.by)
            if terms.by is TlsLevel.DANE:
                dane.check(dane.usable(terms.tlsa), _chain(session), terms.known_as, self._clock.steady_now())
        except dane.NotAuthentic as error:
            await peer.close()
            raise PeerTrouble(Step.TLS, str(error), lasting="5.7.10") from error
        except BaseException:
            peer.abort()
            raise
        return peer

    async def _sign_in(self, peer: SmtpClient, smarthost: Smarthost) -> None:
        """As the smarthost knows us. Its refusal is a trouble with it, and no word on any message."""
        try:
            if peer.secured.by is not TlsLevel.NAME:
                raise PeerTrouble(Step.AUTH, "a password is sent under TLS with a certificate that was checked, or not at all")
            password = await asyncio.to_thread(read_password, smarthost.password_file)
            await peer.sign_in(smarthost.login, password)
        except NoPassword as error:
            await peer.close()
            self._tell("smarthost_without_password", smarthost=smarthost.place, error=described(error))
            raise PeerTrouble(Step.AUTH, "there is no password for the smarthost") from error
        except PeerTrouble as error:
            await peer.close()
            if error.step is Step.AUTH:
                self._tell("smarthost_sign_in_failed", smarthost=smarthost.place, login=smarthost.login, error=error.text)
            raise

    def _checked(self, smarthost: Smarthost | None) -> ssl.SSLContext:
        """By it a certificate has to lead to an authority and to name the host (RFC 8461 §4.2, RFC 6125: no CN)."""
        authorities = smarthost.authorities if smarthost is not None else self._settings.authorities
        now = self._clock.monotonic()
        made = self._contexts.get(authorities)
        if made is not None and now < made[0]:
            return made[1]
        try:
            context = ssl.create_default_context(cafile=authorities and str(authorities))
        except OSError as error:  # of it, `ssl.SSLError`
            raise PeerTrouble(Step.TLS, f"the certificates of authorities in {authorities} cannot be used: {error}") from error
        context.hostname_checks_common_name = False
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        self._contexts[authorities] = now + CONTEXT_SECONDS, context
        return context

    async def give_back(self, address: str, terms: TlsRequirements, peer: SmtpClient) -> None:
        """It may serve another message; or has served enough."""
        if not peer.may_serve or peer.sent >= self._settings.messages or peer not in self._keepable:
            self._close(peer.close())
        else:
            self._idle[_key(address, terms)].append(_Idle(peer, self._clock.monotonic()))

    async def close_idle(self) -> None:
        """Say goodbye where nothing was to be done for a while."""
        now = self._clock.monotonic()
        for key, kept in list(self._idle.items()):
            for idle in [one for one in kept if not one.peer.may_serve or now - one.since >= self._settings.keep_seconds]:
                kept.remove(idle)
                self._close(idle.peer.close())
            if not kept:
                del self._idle[key]

    def clock_moved(self) -> None:
        """The clock was set: what a certificate was worth until now is no reason to use its connection for another message."""
        self._keepable.clear()
        self._close_kept()

    def _close_kept(self) -> None:
        for idle in [one for kept in self._idle.values() for one in kept]:
            self._close(idle.peer.close())
        self._idle.clear()

    def _close(self, goodbye: Coroutine[object, object, None]) -> None:
        task = asyncio.get_running_loop().create_task(goodbye)
        self._closing.add(task)
        task.add_done_callback(self._closing.discard)

    async def close(self) -> None:
        """Of all that are kept."""
        self._close_kept()
        if self._closing:
            await asyncio.wait(list(self._closing))


def _key(address: str, terms: TlsRequirements) -> _Key:
    """Whether a server offers more than was asked for its connection tells."""
    return address, replace(terms, extension="")


def _unchecked() -> ssl.SSLContext:
    """Enciphered, to whom is not asked; with DANE the certificate is looked at afterwards."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    return context


def _chain(session: ssl.SSLObject) -> list[bytes]:
    """What the server showed, DER, its own certificate first."""
    inner = getattr(session, "_sslobj", None)  # before Python 3.13 the chain has no public name
    shown = inner.get_unverified_chain() if inner is not None else None
    if shown:
        return [each.public_bytes(_DER) for each in shown]
    own = session.getpeercert(True)
    return [own] if own else []
