"""The ways that mail may take: for each domain its own servers, or one smarthost for all, and on which terms.

In: a domain, a resolver, the configuration. Out: the destination under which its work is counted, its `Route` (kept for a
while), and for each host the `Terms` of a connection. Belongs to a loop.

A smarthost is one destination: a message with recipients in ten domains is one transaction there, and when it is away all wait.
"""

from collections.abc import Collection
from dataclasses import dataclass

from mic_mail.clock import Clock
from mic_mail.net.dns import DnsUnavailable, NoSuchName, Resolver
from mic_mail.outbound import dane
from mic_mail.outbound.assurance import By, Terms
from mic_mail.outbound.peer import Result
from mic_mail.outbound.routing import Host, Route, Shuffle, route, straight
from mic_mail.outbound.smarthost import Smarthost

ROUTE_SECONDS = 600.0
"""How long a route is believed; its answers may say less, and then the resolver asks again."""
_SIGN_IN_FIRST = frozenset({530, 534, 535, 538})
"""RFC 4954 §6: of a server that does not want this message of nobody."""


@dataclass(frozen=True, slots=True)
class _Kept:
    until: float
    route: Route


class Ways:
    """Those of one process."""

    def __init__(
        self,
        resolver: Resolver,
        own_names: Collection[str],
        shuffle: Shuffle,
        clock: Clock,
        *,
        smarthost: Smarthost | None = None,
    ) -> None:
        self._resolver = resolver
        self._own_names = own_names
        self._shuffle = shuffle
        self._clock = clock
        self._smarthost = smarthost
        self._kept: dict[str, _Kept] = {}

    def destination(self, domain: str) -> str:
        """Whose turn it is with mail for this domain."""
        return self._smarthost.place if self._smarthost is not None else domain.lower()

    async def to(self, destination: str) -> Route:
        """Its servers; `NoRoute` where there are none and never will be, `DnsUnavailable` where nobody knows."""
        now = self._clock.monotonic()
        kept = self._kept.get(destination)
        if kept is not None and now < kept.until:
            return kept.route
        found = await self._look_up(destination)
        self._kept = {name: each for name, each in self._kept.items() if now < each.until}
        self._kept[destination] = _Kept(now + ROUTE_SECONDS, found)
        return found

    async def _look_up(self, destination: str) -> Route:
        if self._smarthost is None:
            return await route(destination, self._resolver, self._own_names, self._shuffle)
        try:
            return await straight(self._smarthost.name, self._resolver)
        except NoSuchName as error:  # a slip in the configuration, or in its zone: no reason to send mail back
            raise DnsUnavailable(error.text) from error

    def terms(self, host: Host) -> Terms:
        """What a connection to this host has to be like."""
        if self._smarthost is not None:
            by = By.NAME if self._smarthost.needs_tls else By.OPPORTUNISTIC
            return Terms(host.name, by, self._smarthost.needs_tls, smarthost=self._smarthost)
        if dane.usable(host.tlsa):
            return Terms(host.name, By.DANE, strict=True, tlsa=host.tlsa)
        return Terms(host.name, strict=bool(host.tlsa))  # records that nobody can use ask for TLS all the same (RFC 7672 §2.2)

    def asks_for_sign_in(self, result: Result) -> bool:
        """Whether this refusal is the smarthost's of us, and not of the message."""
        return self._smarthost is not None and result.reply is not None and result.reply.code in _SIGN_IN_FIRST
