"""The listeners' certificates: loaded and renewed, monitored for expiry and exposed keys (Reg. 10.2).

In: the configuration. Out: `TlsFront`s, one for people's listeners and one for that of other mail servers, which offers
more suites: a server without a common suite would send in clear (docs/decisions/0086). The first worker monitors them,
since the housekeeper reads no key: an event each day, and a notice to the Centre at the first warning, a week and a day
before the end, and when a certificate has expired.
"""

from datetime import datetime, timedelta
from pathlib import Path

from mic_mail.config.model import Config
from mic_mail.errors import MicMailError
from mic_mail.i18n.notices import centre
from mic_mail.log.error_fields import described, failure
from mic_mail.log.maillog import MailLog
from mic_mail.net.tls import COMPATIBLE, MODERN, BadCertificate, Served, TlsFront, key_is_open
from mic_mail.process.runtime import Runtime
from mic_mail.services.notifications.lifecycle_notices import LifeNotices

RENEWED_SECONDS = 86_400.0
"""The maximum age of ticket keys."""
LAST_DAYS = (7, 1)
"""The days before the end of further notices to the Centre, beside `tls.warn_days`."""


def open_front(config: Config, *, for_servers: bool = False) -> TlsFront:
    """Open the TLS of the listeners, or (`for_servers`) of that for other servers; `BadCertificate`."""
    return TlsFront(
        config.certificate,
        config.key,
        more=_more(config),
        minimum=config.tls.minimum,
        suites=_suites(config, for_servers=for_servers),
    )


def _renew(front: TlsFront, config: Config, *, for_servers: bool = False) -> None:
    """Read the files again; after `BadCertificate` nothing has changed. Blocking."""
    front.reload(config.certificate, config.key, more=_more(config), suites=_suites(config, for_servers=for_servers))


def renewed(fronts: dict[bool, TlsFront], config: Config, log: MailLog, *, silent: bool = False) -> None:
    """Read the files again, for people (False) and for servers (True), and log the result.

    `silent`: success is not logged. Also done each day: ticket keys are as old as the contexts, and a stolen one opens the
    recorded TLS 1.2 sessions of its time.
    """
    try:
        for for_servers, front in fronts.items():
            _renew(front, config, for_servers=for_servers)
    except BadCertificate as error:
        log.event("certificate_refused", error=described(error))
        return
    if not silent:
        front = fronts[False]
        log.event("certificate_loaded", ends_at=front.ends_at, certificates=len(front.served))


def certificate_status(front: TlsFront) -> dict[str, object]:
    """Return the certificates for `status` and the metrics: the earliest end, and each one."""
    return {
        "certificate_ends_at": front.ends_at.isoformat(),
        "certificates": {
            str(served.certificate): {"names": list(served.names), "ends_at": served.ends_at.isoformat()}
            for served in front.served
        },
    }


def _more(config: Config) -> list[tuple[Path, Path]]:
    return [(pair.certificate, pair.key) for pair in config.tls.more]


def _suites(config: Config, *, for_servers: bool) -> str:
    return COMPATIBLE if for_servers or config.tls.suites == "compatible" else MODERN


class CertificateWatch:
    """The daily check of one serving process."""

    def __init__(self, runtime: Runtime, front: TlsFront, notices: LifeNotices) -> None:
        self._runtime = runtime
        self._front = front
        self._notices = notices

    async def run_once(self) -> None:
        """Warn of every certificate that expires, and of every key file that others can read."""
        config, now = self._runtime.config(), self._runtime.clock.now()
        for served in self._front.served:
            if served.ends_at <= now + timedelta(days=config.tls.warn_days):
                self._runtime.log.event("certificate_ending", certificate=served.certificate, ends_at=served.ends_at)
                await self._warn(served, config, now)
        for key in (config.key, *(pair.key for pair in config.tls.more)):
            try:
                is_open = await self._runtime.executors.io(key_is_open, key)
            except OSError:
                continue
            if is_open:
                self._runtime.log.event("certificate_key_open", file=key, clause="10.2")

    async def _warn(self, served: Served, config: Config, now: datetime) -> None:
        stage = min((days for days in (0, *LAST_DAYS) if served.ends_at <= now + timedelta(days=days)), default=None)
        stage = config.tls.warn_days if stage is None else stage
        letter = centre.certificate_ending(
            served.names[0] if served.names else config.server.hostname,
            str(served.certificate),
            served.ends_at,
            has_ended=served.ends_at <= now,
        )
        try:
            await self._notices.notify_centre(f"certificate:{served.certificate}:{served.ends_at.isoformat()}:{stage}", letter)
        except MicMailError as error:  # it is tried again tomorrow
            self._runtime.log.event("notice_failed", notice="certificate_ending", mailbox=config.support, **failure(error))
