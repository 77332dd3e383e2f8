"""Check whether an address may send mail for a domain: check_host of RFC 7208.

In: the address of a client, a domain, the sender, a resolver. Out: `SpfResult`, always; no record, name or sender makes
it raise. Bounded as §4.6.4 requires: ten terms that look up, two of them without an answer, ten names of each MX and PTR;
in the addresses of one name; and in time, after which it is `temperror`. Belongs to a loop.
"""

import asyncio
import ipaddress
import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import TypeVar

from mic_mail.clock import Clock
from mic_mail.domain_name import NotAName, is_within, to_ascii
from mic_mail.mailauth.spf_record import (  # fmt: skip
    LOOKS_UP,
    VERSION,
    BadRecord,
    Mechanism,
    Record,
    check_explanation,
    expand,
    is_name,
    letters_of,
    parse_record,
    shortened,
)
from mic_mail.mailbox_address import MailboxAddress, ReversePath
from mic_mail.net.cidr import Address, parse_address
from mic_mail.net.dns import DnsAnswer, DnsUnavailable, NoSuchName, Resolver

T = TypeVar("T")
MOST_LOOKUPS = 10
MOST_VOID_LOOKUPS = 2
MOST_NAMES = 10
"""Names of one MX or PTR (§4.6.4)."""
MOST_ADDRESSES = 100
"""Addresses of one name; more are `permerror`, as with the other limits.

The RFC bounds names alone, but ten terms of ten names of 4,000 addresses, cached or not, are seconds of work. Using only
the first hundred would make the result depend on their order.
"""
SECONDS = 20.0
"""Seconds of one check; §4.6.4 asks for no less."""
EXPLANATION_SECONDS = 3.0
LONGEST_EXPLANATION = 400
_ASKABLE = re.compile(r"[a-z0-9_\-]+(?:\.[a-z0-9_\-]+)+")
"""A name of two labels at least; excludes addresses, literals and sentences."""
_PRINTABLE = re.compile(r"[ -~]*+")


class Spf(StrEnum):
    """The results of §2.6."""

    NONE = "none"
    NEUTRAL = "neutral"
    PASS = "pass"  # noqa: S105 - a result
    FAIL = "fail"
    SOFTFAIL = "softfail"
    TEMPERROR = "temperror"
    PERMERROR = "permerror"


class Identity(StrEnum):
    """The identity whose domain was checked (§2.3, §2.4)."""

    HELO = "helo"
    MAIL_FROM = "mailfrom"


@dataclass(frozen=True, slots=True)
class SpfResult:
    """The result for one identity."""

    result: Spf
    identity: Identity
    domain: str
    """The domain in its DNS form where it is a name, else ''."""
    reason: str = ""
    """The reason in our words."""
    explanation: str = ""
    """The domain owner's words on a `fail` (§6.2) in printable ASCII, for a reply, never for a rule."""


_RESULTS = {"+": Spf.PASS, "-": Spf.FAIL, "~": Spf.SOFTFAIL, "?": Spf.NEUTRAL}


class _Permanent(Exception):
    """Raised for a permerror."""


class _TooManyAddresses(_Permanent):
    """Raised for a name with too many addresses; in PTR it counts as no match (§5.5)."""


@dataclass(frozen=True, slots=True)
class _Outcome:
    """The outcome of one record; `explain` is its explanation's domain, and the domain that it stood in."""

    result: Spf
    explain: tuple[str, str] = ("", "")
    reason: str = ""


@dataclass(frozen=True, slots=True)
class SpfClient:
    """The client's address and HELO name, and this server's name (macros `h` and `r`)."""

    address: str
    helo: str
    receiver: str


async def check_helo(resolver: Resolver, clock: Clock, client: SpfClient) -> SpfResult:
    """Check the name that the client gave in HELO (§2.3)."""
    return await _check(resolver, clock, client, "postmaster", client.helo, Identity.HELO)


async def check_mail_from(resolver: Resolver, clock: Clock, client: SpfClient, sender: ReversePath) -> SpfResult:
    """Check the reverse-path; where it is null, `postmaster` at the client's name (§2.4)."""
    local, domain = (sender.local_part, sender.domain) if isinstance(sender, MailboxAddress) else ("postmaster", client.helo)
    return await _check(resolver, clock, client, local, domain, Identity.MAIL_FROM)


async def _check(  # noqa: PLR0917 - the parameters of RFC 7208 §4.1
    resolver: Resolver, clock: Clock, client: SpfClient, local: str, domain: str, identity: Identity
) -> SpfResult:
    try:
        name = to_ascii(domain)
        ip = parse_address(client.address)
    except (NotAName, ValueError):
        return SpfResult(Spf.NONE, identity, "", "malformed domain")
    if not _ASKABLE.fullmatch(name) or (domain.isascii() and not is_name(domain)):  # §4.3
        return SpfResult(Spf.NONE, identity, "", "malformed domain")
    host = _Host(resolver, client, ip, local, domain)
    host.values["t"] = str(clock.steady_us() // 1_000_000)
    try:
        async with asyncio.timeout(SECONDS):
            outcome = await host.check(name)
    except _Permanent as error:
        outcome = _Outcome(Spf.PERMERROR, reason=str(error))
    except DnsUnavailable:
        outcome = _Outcome(Spf.TEMPERROR, reason="the DNS did not answer")
    except TimeoutError:
        outcome = _Outcome(Spf.TEMPERROR, reason="timeout")
    explanation = await host.explanation(*outcome.explain) if outcome.result is Spf.FAIL and outcome.explain[0] else ""
    return SpfResult(outcome.result, identity, name, outcome.reason, explanation)


class _Host:
    """One check, with the lookups that it has used."""

    def __init__(self, resolver: Resolver, client: SpfClient, ip: Address, local: str, domain: str) -> None:
        self._resolver = resolver
        self._ip = ip
        self.values: dict[str, str] = {
            "s": f"{local}@{domain}", "l": local, "o": domain, "h": client.helo, "r": client.receiver,
            "i": str(ip) if ip.version == 4 else ".".join(f"{int(ip):032X}"), "c": str(ip),
            "v": "in-addr" if ip.version == 4 else "ip6",
        }  # fmt: skip
        self._lookups = 0
        self._voids = 0
        self._validated: dict[str, str] = {}

    async def check(self, domain: str, *, asked: bool = False) -> _Outcome:
        """Evaluate a domain's record (§4.3 to §4.7), which must exist if `asked` (§5.2, §6.1)."""
        record = await self._record(domain)
        if record is None:
            if asked:
                raise _Permanent("no SPF record at an included or redirected domain")
            return _Outcome(Spf.NONE)
        for mechanism in record.mechanisms:
            if mechanism.kind in LOOKS_UP:
                self._count()
            if await self._matches(mechanism, domain):
                return _Outcome(_RESULTS[mechanism.qualifier], (record.explanation, domain), mechanism.kind)
        if record.redirect:  # not reached where `all` is present
            self._count()
            target = await self._target(record.redirect, domain)
            if target is None:
                raise _Permanent("invalid target of redirect")
            return await self.check(target, asked=True)
        return _Outcome(Spf.NEUTRAL)

    async def _record(self, domain: str) -> Record | None:
        """Return the record of a domain (§4.5, §4.6)."""
        try:
            texts = (await self._resolver.txt(domain)).values
        except (NoSuchName, NotAName):
            return None
        records = [text for text in texts if VERSION.match(text)]
        if len(records) > 1:
            raise _Permanent("more than one SPF record")
        try:
            return parse_record(records[0]) if records else None
        except BadRecord as error:
            raise _Permanent(f"invalid SPF record: {error}") from None

    def _count(self) -> None:
        self._lookups += 1
        if self._lookups > MOST_LOOKUPS:
            raise _Permanent("too many DNS lookups")

    async def _found(self, ask: Callable[[str], Awaitable[DnsAnswer[T]]], name: str) -> tuple[T, ...]:
        """Return the answers of a lookup; an empty one is allowed twice (§4.6.4)."""
        try:
            values = (await ask(name)).values
        except NotAName:
            return ()
        except NoSuchName:
            values = ()
        if not values:
            self._voids += 1
            if self._voids > MOST_VOID_LOOKUPS:
                raise _Permanent("too many void lookups")
        return values

    async def _addresses(self, name: str) -> tuple[str, ...]:
        found = await self._found(self._resolver.ipv4 if self._ip.version == 4 else self._resolver.ipv6, name)
        if len(found) > MOST_ADDRESSES:
            raise _TooManyAddresses("too many address records of one name")
        return found

    async def _target(self, spec: str, domain: str) -> str | None:
        """Return a domain-spec with its macros expanded; None where the result is no DNS name (§4.8)."""
        name = shortened(await self._expanded(spec, domain)) if spec else domain
        return name if name and is_name(name) else None

    async def _expanded(self, spec: str, domain: str) -> str:
        values = self.values | {"d": domain}
        if "p" in letters_of(spec):
            if domain not in self._validated:
                self._validated[domain] = await self._validated_name(domain)
            values["p"] = self._validated[domain]
        return expand(spec, values)

    async def _matches(self, mechanism: Mechanism, domain: str) -> bool:
        """Return whether a mechanism matches (§5)."""
        if mechanism.kind == "all":
            return True
        if mechanism.network is not None:
            return self._ip in mechanism.network
        target = await self._target(mechanism.target, domain)
        if mechanism.kind == "include":
            if target is None:
                raise _Permanent("invalid target of include")
            return (await self.check(target, asked=True)).result is Spf.PASS
        if target is None:
            return False
        if mechanism.kind == "a":
            return await self._is_at(target, mechanism)
        if mechanism.kind == "exists":
            return bool(await self._found(self._resolver.ipv4, target))
        if mechanism.kind == "mx":
            return await self._is_exchanger(target, mechanism)
        wanted = target.lower().removesuffix(".")
        names = await self._names()
        for name in names:
            if is_within(name, wanted) and await self._leads_back(name):
                return True
        return False

    async def _is_at(self, host: str, mechanism: Mechanism) -> bool:
        length = mechanism.prefix4 if self._ip.version == 4 else mechanism.prefix6
        ours = ipaddress.ip_network((self._ip, length), strict=False)
        return any(ipaddress.ip_address(address) in ours for address in await self._addresses(host))

    async def _is_exchanger(self, target: str, mechanism: Mechanism) -> bool:
        """Return whether the client is a mail exchanger of `target` (§5.4)."""
        exchangers = [mx.host for mx in await self._found(self._resolver.mx, target)]
        if len(exchangers) > MOST_NAMES:
            raise _Permanent("too many MX records")
        for host in exchangers:
            if host and await self._is_at(host, mechanism):
                return True
        return False

    async def _names(self) -> tuple[str, ...]:
        """Return the reverse names of the client's address (§5.5); an error gives none."""
        try:
            return (await self._found(self._resolver.names_of, str(self._ip)))[:MOST_NAMES]
        except DnsUnavailable:
            return ()

    async def _leads_back(self, name: str) -> bool:
        try:
            return self._ip in map(ipaddress.ip_address, await self._addresses(name))
        except (DnsUnavailable, _TooManyAddresses):
            return False

    async def _validated_name(self, domain: str) -> str:
        """Return the value of macro `p` (§7.3): the domain itself, else a name below it, else any other."""
        self._count()
        names = sorted(await self._names(), key=lambda name: (name != domain.lower(), not is_within(name, domain.lower())))
        for name in names:
            if await self._leads_back(name):
                return name
        return "unknown"

    async def explanation(self, spec: str, domain: str) -> str:
        """Return the explanation (§6.2); empty where anything is wrong with it."""
        try:
            async with asyncio.timeout(EXPLANATION_SECONDS):
                target = await self._target(spec, domain)
                texts = (await self._resolver.txt(target)).values if target else ()
                if len(texts) != 1:
                    return ""
                text = await self._expanded(check_explanation(texts[0]), domain)
        except (BadRecord, DnsUnavailable, NoSuchName, NotAName, TimeoutError, _Permanent):
            return ""
        return text[:LONGEST_EXPLANATION] if _PRINTABLE.fullmatch(text) else ""
