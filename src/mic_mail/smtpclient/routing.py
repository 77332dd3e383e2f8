"""Route mail: for each domain its own servers, or one smarthost for all, with TLS requirements.

In: a domain, a resolver, the configuration, the policies. Out: the destination that its jobs are scheduled under, its
`Route` (cached for a while), and for each host the `TlsRequirements` of a connection. Bound to an event loop. The first rule
that fits decides what is required of a host:

    the smarthost           a certificate for its name
    TLSA records            one of these keys, whatever a policy says (RFC 7672; RFC 8461 §2)
    a policy, `enforce`     to be among its servers, and a certificate for its name; else the mail waits (RFC 8461 §5)
    a policy, `testing`     the same; else the failure is logged and the mail goes
    nothing                 opportunistic TLS (RFC 7435), or none

A message may ask for more or for less (RFC 8689). REQUIRETLS requires a server that is authenticated by one of the first three
rules, or by a certificate for a name that cannot be forged, and that offers REQUIRETLS; `TLS-Required: No` applies the last
rule.

A smarthost is one destination: a message with recipients in ten domains is one transaction there, and when it is down all
wait.
"""

from collections.abc import Collection
from dataclasses import replace

from mic_mail.clock import Clock
from mic_mail.errors import Text, in_ascii
from mic_mail.net.dns import DnsUnavailable, NoSuchName, Resolver
from mic_mail.queue.esmtp_options import REQUIRETLS, QueuedTransaction
from mic_mail.smtpclient import dane
from mic_mail.smtpclient.mta_sts import Mode
from mic_mail.smtpclient.mta_sts_cache import Policies
from mic_mail.smtpclient.mx import Host, Route, Shuffle, find_route, straight
from mic_mail.smtpclient.results import PeerTrouble, Result, Step
from mic_mail.smtpclient.smarthost import Smarthost
from mic_mail.smtpclient.tls_requirements import TlsLevel, TlsRequirements

ROUTE_SECONDS = 600.0
"""Seconds that a route is cached; after a shorter DNS TTL the resolver asks again."""
_SIGN_IN_FIRST = frozenset({530, 534, 535, 538})
"""Replies of a server that refuses unauthenticated mail (RFC 4954 §6)."""


class Router:
    """The routes of one process."""

    def __init__(
        self,
        resolver: Resolver,
        own_names: Collection[str],
        shuffle: Shuffle,
        clock: Clock,
        *,
        smarthost: Smarthost | None = None,
        policies: Policies | None = None,
    ) -> None:
        """Without `policies` no domain has one."""
        self._resolver = resolver
        self._own_names = own_names
        self._shuffle = shuffle
        self._clock = clock
        self._smarthost = smarthost
        self._policies = policies
        self._kept: dict[str, tuple[float, Route]] = {}

    def destination(self, domain: str) -> str:
        """Return the destination under which mail for this domain is scheduled."""
        return self._smarthost.place if self._smarthost is not None else domain.lower()

    async def to(self, destination: str) -> Route:
        """Return the route to a destination, with its policy.

        `NoRoute` where there are none permanently, `DnsUnavailable` for a temporary failure.
        """
        now = self._clock.monotonic()
        kept = self._kept.get(destination)
        if kept is not None and now < kept[0]:
            return kept[1]
        here = self._kept
        found = await self._look_up(destination)
        here.pop(destination, None)
        here[destination] = now + ROUTE_SECONDS, found
        while (oldest := next(iter(here))) != destination and here[oldest][0] <= now:
            del here[oldest]
        return found

    def forget(self, destination: str) -> None:
        """Drop a cached route, after TLS failed (RFC 8461 §5.1) or for a requested retry."""
        self._kept.pop(destination, None)

    def forget_all(self) -> None:
        """Drop all cached routes and DNS answers.

        The name servers changed, or cached answers were validated by dates under another clock.
        """
        self._kept = {}  # lookups in progress store their results in the previous dictionary
        self._resolver.forget()

    async def _look_up(self, destination: str) -> Route:
        if self._smarthost is not None:
            try:
                return await straight(self._smarthost.name, self._resolver)
            except NoSuchName as error:  # an error in the configuration, or in its zone: no reason to bounce mail
                raise DnsUnavailable(error.text) from error
        found = await find_route(destination, self._resolver, self._own_names, self._shuffle)
        if self._policies is None or all(dane.usable(host.tlsa) for host in found.hosts):
            return found
        policy, is_certain = await self._policies.ask(found.domain)
        return replace(found, policy=policy, policy_is_certain=is_certain)

    def requirements(self, route: Route, host: Host, message: QueuedTransaction) -> TlsRequirements:
        """Return the requirements on a connection to this host; `PeerTrouble` where none is acceptable."""
        if message.must_be_protected:
            return self._protected(route, host)
        if message.tls_optional and self._smarthost is None:  # RFC 8689 §8.4: as if there were neither DANE nor MTA-STS
            return TlsRequirements(host.name)
        return self._usual(route, host)

    def _protected(self, route: Route, host: Host) -> TlsRequirements:
        """Return requirements for REQUIRETLS (RFC 8689 §2, §4.2.1).

        The certificate has to be verified, for a name that cannot be forged.
        """
        usual = replace(self._usual(route, host), strict=True, extension=REQUIRETLS)
        if usual.by is not TlsLevel.OPPORTUNISTIC:
            return usual
        if self._smarthost is not None or (route.names_are_sure and not usual.objection):
            return replace(usual, by=TlsLevel.NAME)
        name = in_ascii(host.name)
        why = usual.objection or Text(
            f"không có gì xác nhận {name} là máy chủ nhận thư của tên miền",
            f"neither DNSSEC nor MTA-STS authenticates {name} as a mail server of the domain",
        )
        why = Text(f"{why.vi} (REQUIRETLS)", f"{why.en} (REQUIRETLS)")
        raise PeerTrouble(Step.TLS, why, lasting="5.7.10" if route.policy_is_certain else None)

    def _usual(self, route: Route, host: Host) -> TlsRequirements:
        if self._smarthost is not None:
            by = TlsLevel.NAME if self._smarthost.needs_tls else TlsLevel.OPPORTUNISTIC
            return TlsRequirements(host.name, by, self._smarthost.needs_tls, smarthost=self._smarthost)
        if dane.usable(host.tlsa):
            return TlsRequirements(host.name, TlsLevel.DANE, strict=True, tlsa=host.tlsa, known_as=host.known_as)
        needs_tls = bool(host.tlsa)  # unusable records require TLS all the same (RFC 7672 §2.2)
        enforced = route.policy is not None and route.policy.mode is Mode.ENFORCE
        if route.policy is None or (needs_tls and not enforced):  # a policy in testing must not weaken this
            return TlsRequirements(host.name, strict=needs_tls)
        if route.policy.allows(host.name):
            return TlsRequirements(host.name, TlsLevel.STS, strict=enforced)
        name = in_ascii(host.name)
        objection = Text(
            f"{name} không có trong chính sách của tên miền (MTA-STS)",
            f"{name} is not among the mail servers of the domain's policy (MTA-STS)",
        )
        if enforced:
            raise PeerTrouble(Step.TLS, objection, lasting="5.7.10")
        return TlsRequirements(host.name, objection=objection)

    def asks_for_sign_in(self, result: Result) -> bool:
        """Return whether the smarthost refused this server, and not the message."""
        return self._smarthost is not None and result.reply is not None and result.reply.code in _SIGN_IN_FIRST
