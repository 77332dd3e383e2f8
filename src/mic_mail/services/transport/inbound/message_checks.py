"""Joins the checks of mail from other servers to one result.

Mail from `inbound.trusted_networks` and from signed-in users is never checked; forged results of this server are
removed from all mail. The order of the checks is in `pipeline.ON_ARRIVAL`.
"""

from collections import Counter
from collections.abc import Awaitable, Iterable

from mic_mail.config.model import Config
from mic_mail.filters.spam_headers import without_foreign
from mic_mail.log.error_fields import described
from mic_mail.mailauth.authentication_results import may_stand_in, without_forged
from mic_mail.net.cidr import Networks
from mic_mail.net.dns import DnsUnavailable, Resolver
from mic_mail.process.runtime import Runtime
from mic_mail.services.transport.envelope import CheckResult, Envelope, Refusal
from mic_mail.services.transport.inbound.client_lookups import ClientLookups, LookupService

LOG_AGAIN_SECONDS = 3_600.0
LOCAL_RESOLVER = "127.0.0.1"
"""The name server used if there is no resolv.conf (resolv.conf(5))."""


class MessageChecks:
    """The message checks of one process; belongs to the event loop."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime
        self._counts: Counter[str] = Counter()
        self._logged_at: dict[str, float] = {}
        self.apply_reload()

    def apply_reload(self) -> None:
        """Apply a reloaded configuration; lookups of open connections go on with the old one."""
        config = self._runtime.config()
        self._trusted = Networks(config.inbound.trusted_networks)
        self._has_filter = bool(config.rspamd.url)
        self._ours = frozenset({config.server.hostname})
        self._lookup_service: LookupService | None = None  # created for the first client: most processes have none

    def _make_lookup_service(self) -> LookupService:
        config = self._runtime.config()
        inbound = config.inbound
        return LookupService(
            self._resolver(config),
            self._runtime.clock,
            config.server.hostname,
            authenticates=inbound.authenticate,
            refusing=inbound.dnsbl_refuse,
            putting_aside=inbound.dnsbl_junk,
            unusable=self._log_unusable,
        )

    def _resolver(self, config: Config) -> Resolver:
        try:
            return Resolver(config.dns.nameservers, seconds=config.dns.seconds)
        except DnsUnavailable as error:
            self._runtime.log.event("resolver_missing", error=described(error))
            return Resolver((LOCAL_RESOLVER,), seconds=config.dns.seconds)

    def _log_unusable(self, zone: str, why: str) -> None:
        """Log a list whose answers cannot be trusted, once an hour, for the administrator who configured it."""
        now = self._runtime.clock.monotonic()
        if now - self._logged_at.get(zone, -LOG_AGAIN_SECONDS) >= LOG_AGAIN_SECONDS:
            self._logged_at[zone] = now
            self._runtime.log.event("list_unusable", zone=zone, clause="10.2", reason=why)

    def lookups(self, address: str) -> ClientLookups | None:
        """Return the lookups for a client of the MX, or None if its mail is not checked."""
        if address in self._trusted:
            return None
        self._lookup_service = self._lookup_service or self._make_lookup_service()
        return self._lookup_service.of(address)

    def has_results(self, header: bytes) -> bool:
        """Return whether the header may contain results to remove."""
        return may_stand_in(header) or (self._has_filter and b"x-spam" in header.lower())

    def cleaned(self, header: bytes) -> bytes:
        """Return `header` without results that pretend to be ours (RFC 8601 §5).

        With a spam filter, the fields of other filters are removed too. Everything else stays octet for octet.
        """
        kept = without_forged(header, self._ours)
        return without_foreign(kept) if self._has_filter else kept

    async def combine(self, envelope: Envelope, results: Iterable[Awaitable[CheckResult]]) -> Refusal | None:
        """Combine the results of the checks into the envelope's; the first refusal ends them."""
        joined = CheckResult()
        for result in results:
            joined = joined.and_then(await result)
            if joined.refusal is not None:
                break
        envelope.checked = joined
        self._log_result(envelope, joined)
        return joined.refusal

    def _log_result(self, envelope: Envelope, result: CheckResult) -> None:
        """Log the result, before the message is accepted (Reg. 4.2)."""
        if result.refusal is not None:
            action = "later" if result.refusal.temporary else "refused"
        else:
            action = "held" if result.held_for else result.verdict or "passed"
        self._counts[action] += 1
        client = envelope.client
        self._runtime.log.event(
            "message_judged",
            trace=envelope.trace_id,
            clause="10.2",
            action=action,
            rule=result.rule or None,
            sender=envelope.sender,
            recipients=[recipient.address for recipient in envelope.recipients],
            message_id=envelope.header.message_id,
            peer=client.peer.address,
            session=client.peer.session_id,
            helo=client.helo,
            **result.log_fields,
        )

    def counted(self) -> dict[str, int]:
        """Return the number of messages by outcome."""
        return dict(self._counts)
