"""A pool of connections to other servers: opened, secured, kept idle for a while, reused.

In: one of a host's addresses, and the requirements (`tls_requirements`). Out: a `SmtpClient` that is ready for a message and
meets them: by DANE, by a certificate for its name, or unauthenticated (RFC 7435), and in plain text where the handshake
fails. Bound to an event loop. For a smarthost with a login each connection is authenticated, and only if its certificate was
verified.
"""

import asyncio
import ssl
from collections import defaultdict
from dataclasses import dataclass, field, replace
from pathlib import Path
from weakref import WeakSet

from mic_mail.errors import Text, in_ascii
from mic_mail.log.error_fields import described
from mic_mail.process.background_tasks import BackgroundTasks
from mic_mail.process.runtime import Runtime
from mic_mail.smtpclient import dane
from mic_mail.smtpclient.client import SmtpClient, Timeouts
from mic_mail.smtpclient.mx import SMTP_PORT
from mic_mail.smtpclient.results import PeerTrouble, Step
from mic_mail.smtpclient.smarthost import NoPassword, Smarthost, read_password
from mic_mail.smtpclient.tls_requirements import CHECKED_BY_NAME, TlsLevel, TlsRequirements

_DER = 2
"""The value of `_ssl.ENCODING_DER`."""
CONTEXT_SECONDS = 3_600.0
"""Interval after which the certificate authorities are read again."""


@dataclass(frozen=True, slots=True)
class ConnectionSettings:
    """The identity of this server towards others, and its timeouts."""

    hello: str
    """The name for EHLO."""
    port: int = SMTP_PORT
    keep_seconds: float = 20.0
    """Idle time after which a connection is closed."""
    messages: int = 100
    """Most messages sent over one connection."""
    timeouts: Timeouts = field(default_factory=Timeouts)
    authorities: Path | None = None
    """The trusted certificate authorities; None: those of the system."""


@dataclass(slots=True)
class _Idle:
    peer: SmtpClient
    since: float


_Key = tuple[str, TlsRequirements]


class Connections:
    """The connections of one process."""

    def __init__(self, runtime: Runtime, settings: ConnectionSettings) -> None:
        self._settings = settings
        self._clock = runtime.clock
        self._log = runtime.log
        self._idle: dict[_Key, list[_Idle]] = defaultdict(list)
        self._closing = BackgroundTasks()
        self._contexts: dict[Path | None, tuple[float, ssl.SSLContext]] = {}
        self._unverified = _unverified_context()
        self._reusable: WeakSet[SmtpClient] = WeakSet()
        """Connections whose certificates were checked under the clock's current setting."""
        self.used = {"new": 0, "kept": 0}
        """Connections handed out, by whether they were new or reused."""

    def take_idle(self, address: str, requirements: TlsRequirements) -> SmtpClient | None:
        """Return an idle connection; its server may have hung up without this being known yet."""
        idle = self._idle.get(_key(address, requirements), [])
        while idle:
            peer = idle[-1].peer
            if peer.may_serve and requirements.extension and not peer.offer.has(requirements.extension):
                return None
            idle.pop()
            if peer.may_serve:
                self.used["kept"] += 1
                return peer
            peer.abort()
        return None

    async def new(self, address: str, requirements: TlsRequirements) -> SmtpClient:
        """Return a new connection that meets the requirements; raise `PeerTrouble`."""
        peer = await self._connect_as_required(address, requirements)
        if requirements.extension and not (peer.secured.by is not TlsLevel.NONE and peer.offer.has(requirements.extension)):
            await peer.close()
            required = Text(f"máy chủ phải hỗ trợ {requirements.extension}", f"{requirements.extension} support required")
            raise PeerTrouble(Step.TLS, required, lasting="5.7.30")
        if requirements.smarthost is not None and requirements.smarthost.login:
            await self._sign_in(peer, requirements.smarthost)
        self.used["new"] += 1
        self._reusable.add(peer)
        return peer

    async def _connect_as_required(self, address: str, requirements: TlsRequirements) -> SmtpClient:
        """Connect with the TLS that is required; where it is only preferred, also without, recording the objection."""
        if requirements.by is TlsLevel.OPPORTUNISTIC:
            return await self._connect_opportunistically(address, requirements)
        try:
            return await self._connect_with_tls_if_offered(address, requirements)
        except PeerTrouble as error:
            if requirements.strict or error.step is not Step.TLS:
                raise
            return await self._connect_opportunistically(
                address, replace(requirements, by=TlsLevel.OPPORTUNISTIC, objection=error.text)
            )

    async def _connect_opportunistically(self, address: str, requirements: TlsRequirements) -> SmtpClient:
        """Connect with opportunistic TLS (RFC 7435); in plain text too, unless TLS is required."""
        try:
            peer = await self._connect_with_tls_if_offered(address, requirements)
        except PeerTrouble as error:
            is_implicit = requirements.smarthost is not None and requirements.smarthost.is_implicit
            if requirements.strict or error.step is not Step.TLS or is_implicit:  # a server that expects TLS does not greet
                raise
            peer = await self._connect(address, requirements)
            peer.without_tls = error
        peer.secured = replace(peer.secured, objection=requirements.objection)
        return peer

    async def _connect(
        self, address: str, requirements: TlsRequirements, tls: tuple[ssl.SSLContext, str, TlsLevel] | None = None
    ) -> SmtpClient:
        settings = self._settings
        port = requirements.smarthost.port if requirements.smarthost is not None else settings.port
        return await SmtpClient.connect(address, port, settings.hello, settings.timeouts, tls=tls)

    async def _connect_with_tls_if_offered(self, address: str, requirements: TlsRequirements) -> SmtpClient:
        """Connect with TLS; in plain text only where TLS is neither offered nor required."""
        context = self._verifying_context(requirements.smarthost) if requirements.by in CHECKED_BY_NAME else self._unverified
        if requirements.smarthost is not None and requirements.smarthost.is_implicit:
            return await self._connect(address, requirements, (context, requirements.host, requirements.by))
        peer = await self._connect(address, requirements)
        if not peer.offer.has("STARTTLS"):
            if not requirements.strict and requirements.by is TlsLevel.OPPORTUNISTIC:
                return peer
            await peer.close()
            required = Text(
                "máy chủ không có TLS, trong khi TLS là bắt buộc",
                f"the server does not offer the required TLS (by={requirements.by})",
            )
            raise PeerTrouble(Step.TLS, required, lasting="5.7.10")
        try:
            session = await peer.start_tls(context, requirements.asked_for(address), requirements.by)
            if requirements.by is TlsLevel.DANE:
                dane.check(dane.usable(requirements.tlsa), _chain(session), requirements.known_as, self._clock.steady_now())
        except dane.NotAuthentic as error:
            await peer.close()
            raise PeerTrouble(Step.TLS, error.text, lasting="5.7.10") from error
        except BaseException:
            peer.abort()
            raise
        return peer

    async def _sign_in(self, peer: SmtpClient, smarthost: Smarthost) -> None:
        """Authenticate to the smarthost. A refusal concerns the connection, not a message."""
        try:
            if peer.secured.by is not TlsLevel.NAME:
                raise PeerTrouble(
                    Step.AUTH,
                    Text(
                        "mật khẩu chỉ được gửi qua TLS với chứng thư số đã kiểm tra",
                        "the smarthost's certificate was not verified, so the password is not sent",
                    ),
                )
            password = await asyncio.to_thread(read_password, smarthost.password_file)
            await peer.sign_in(smarthost.login, password)
        except NoPassword as error:
            await peer.close()
            self._log.event("smarthost_without_password", smarthost=smarthost.place, error=described(error))
            raise PeerTrouble(
                Step.AUTH, Text("không có mật khẩu cho máy chủ chuyển tiếp", "the smarthost's password is missing")
            ) from error
        except PeerTrouble as error:
            await peer.close()
            if error.step is Step.AUTH:
                self._log.event(
                    "smarthost_sign_in_failed", smarthost=smarthost.place, login=smarthost.login, error=described(error)
                )
            raise

    def _verifying_context(self, smarthost: Smarthost | None) -> ssl.SSLContext:
        """Return a context that verifies authority and host name (RFC 8461 §4.2, RFC 6125: no CN)."""
        authorities = smarthost.authorities if smarthost is not None else self._settings.authorities
        now = self._clock.monotonic()
        made = self._contexts.get(authorities)
        if made is not None and now < made[0]:
            return made[1]
        try:
            context = ssl.create_default_context(cafile=authorities and str(authorities))
        except OSError as error:  # `ssl.SSLError` is one
            file, why = in_ascii(authorities), in_ascii(error)
            raise PeerTrouble(
                Step.TLS,
                Text(
                    f"không dùng được chứng thư số gốc trong {file}: {why}",
                    f"the CA certificates in {file} cannot be used: {why}",
                ),
            ) from error
        context.hostname_checks_common_name = False
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        self._contexts[authorities] = now + CONTEXT_SECONDS, context
        return context

    async def give_back(self, address: str, requirements: TlsRequirements, peer: SmtpClient) -> None:
        """Keep a connection for another message, or close it after enough messages."""
        if not peer.may_serve or peer.sent >= self._settings.messages or peer not in self._reusable:
            self._closing.start(peer.close())
        else:
            self._idle[_key(address, requirements)].append(_Idle(peer, self._clock.monotonic()))

    async def close_idle(self) -> None:
        """Close connections that were idle for long enough."""
        now = self._clock.monotonic()
        for key, idle in list(self._idle.items()):
            for each in [one for one in idle if not one.peer.may_serve or now - one.since >= self._settings.keep_seconds]:
                idle.remove(each)
                self._closing.start(each.peer.close())
            if not idle:
                del self._idle[key]

    def clock_moved(self) -> None:
        """Drop all idle connections after the clock was set.

        A certificate valid under the previous setting is no reason to reuse its connection.
        """
        self._reusable.clear()
        self._close_all_idle()

    def _close_all_idle(self) -> None:
        for each in [one for idle in self._idle.values() for one in idle]:
            self._closing.start(each.peer.close())
        self._idle.clear()

    async def close(self) -> None:
        """Close all idle connections."""
        self._close_all_idle()
        await self._closing.settle()


def _key(address: str, requirements: TlsRequirements) -> _Key:
    """Return the key of idle connections, without the extension: the connection shows what it offers."""
    return address, replace(requirements, extension="") if requirements.extension else requirements


def _unverified_context() -> ssl.SSLContext:
    """Return a context without verification; with DANE the certificate is checked afterwards."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    return context


def _chain(session: ssl.SSLObject) -> list[bytes]:
    """Return the chain that the server presented, DER, its own certificate first."""
    inner = getattr(session, "_sslobj", None)  # before Python 3.13 the chain has no public API
    shown = inner.get_unverified_chain() if inner is not None else None
    if shown:
        return [each.public_bytes(_DER) for each in shown]
    own = session.getpeercert(True)
    return [own] if own else []
