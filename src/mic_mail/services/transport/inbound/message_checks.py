"""All checks of mail from other servers, in order, between the last octet of a message and the promise to keep it.

In: the configuration, the checks; clients as they connect, messages as they come. Out: an `ClientLookups` for each client that
is judged, a `CheckResult` for each message, one line of the log that says all of it. Mail from `inbound.trusted_networks`, and
that of people who have signed in, is never judged; fields that claim to be ours are taken away from all that comes to any door.

    origins     who it is from                      services/transport/inbound/origin_check.py
    listed      whether its machine sends spam      services/transport/inbound/dnsbl_check.py
    content     what is in it                       services/transport/inbound/rspamd_check.py
"""

from collections import Counter
from collections.abc import Sequence

from mic_mail.clock import Clock
from mic_mail.config.model import Config
from mic_mail.filters.spam_headers import without_foreign
from mic_mail.log.error_fields import described
from mic_mail.log.maillog import MailLog
from mic_mail.mailauth.authentication_results import may_stand_in, without_forged
from mic_mail.net.cidr import Networks
from mic_mail.net.dns import DnsUnavailable, Resolver
from mic_mail.services.transport.envelope import Envelope
from mic_mail.services.transport.inbound.check_result import Check, CheckResult, ReceivedMessage, Source
from mic_mail.services.transport.inbound.client_lookups import ClientLookups, Enquiries

TELL_AGAIN_SECONDS = 3_600.0
LOCAL_RESOLVER = "127.0.0.1"
"""Where there is no resolv.conf (resolv.conf(5))."""


class MessageChecks:
    """The judgements of one process; belongs to the event loop."""

    def __init__(self, config: Config, checks: Sequence[Check], log: MailLog, clock: Clock) -> None:
        self._checks = tuple(checks)
        self._log = log
        self._clock = clock
        self._counts: Counter[str] = Counter()
        self._told_at: dict[str, float] = {}
        self._configure(config)

    def configure(self, config: Config) -> None:
        """A reload. What is asked for connections that are open goes on where it began."""
        self._configure(config)
        for check in self._checks:
            check.configure(config)

    def _configure(self, config: Config) -> None:
        inbound = config.inbound
        self._trusted = Networks(inbound.trusted_networks)
        self._has_filter = bool(config.rspamd.url)
        self._ours = frozenset({config.server.hostname})
        self._config = config
        self._enquiries: Enquiries | None = None  # made for the first client: most processes have none

    def _ready_lookups(self) -> Enquiries:
        config = self._config
        inbound = config.inbound
        return Enquiries(
            self._resolver(config),
            self._clock,
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
            self._log.event("resolver_missing", error=described(error))
            return Resolver((LOCAL_RESOLVER,), seconds=config.dns.seconds)

    def _log_unusable(self, zone: str, why: str) -> None:
        """A list that cannot be believed: once an hour, for whoever has put it into the configuration."""
        now = self._clock.monotonic()
        if now - self._told_at.get(zone, -TELL_AGAIN_SECONDS) >= TELL_AGAIN_SECONDS:
            self._told_at[zone] = now
            self._log.event("list_unusable", zone=zone, clause="10.2", reason=why)

    def enquiry(self, address: str) -> ClientLookups | None:
        """A client of the door of other servers, by its address; None where its mail is not judged."""
        if address in self._trusted:
            return None
        self._enquiries = self._enquiries or self._ready_lookups()
        return self._enquiries.of(address)

    def has_results(self, header: bytes) -> bool:
        """Whether there may be any in it."""
        return may_stand_in(header) or (self._has_filter and b"x-spam" in header.lower())

    def cleaned(self, header: bytes) -> bytes:
        """`header` without the results that it gives out to be ours (RFC 8601 §5), and where there is a filter without those of
        other filters; all else octet by octet."""
        kept = without_forged(header, self._ours)
        return without_foreign(kept) if self._has_filter else kept

    async def judge(self, envelope: Envelope, source: Source, header: bytes) -> CheckResult:
        """What all of them say; no check is asked about what one before it refuses."""
        judgement = CheckResult()
        if envelope.enquiry is None:
            return judgement
        arrived = ReceivedMessage(envelope, source, header)
        for check in self._checks:
            judgement = judgement.and_then(await check.judge(arrived))
            if judgement.refusal is not None:
                break
        self._log_result(envelope, judgement)
        return judgement

    def _log_result(self, envelope: Envelope, judgement: CheckResult) -> None:
        """Before anything is promised (Reg. 4.2)."""
        if judgement.refusal is not None:
            action = "later" if judgement.refusal.temporary else "refused"
        else:
            action = "held" if judgement.held_for else judgement.verdict or "passed"
        self._counts[action] += 1
        client = envelope.client
        self._log.event(
            "message_judged",
            trace=envelope.trace_id,
            clause="10.2",
            action=action,
            rule=judgement.rule or None,
            sender=envelope.sender,
            recipients=[recipient.address for recipient in envelope.recipients],
            message_id=envelope.header.message_id,
            peer=client.peer.address,
            session=client.peer.session_id,
            helo=client.helo,
            **judgement.told,
        )

    def close(self) -> None:
        """Nothing is judged any more."""
        for check in self._checks:
            check.close()

    def counted(self) -> dict[str, int]:
        """How many messages came to which end."""
        return dict(self._counts)
