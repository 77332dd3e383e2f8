"""DNS lookups, with answers that state whether they were validated by DNSSEC.

In: names and types, the name servers to ask. Out: `DnsAnswer`, `NoSuchName` or `DnsUnavailable`: that a name does not exist
is an answer, a timeout is not, and mail is refused for the first alone (RFC 5321 §5.1, RFC 8020). Bound to an event loop;
bounded in time and in memory; answers are cached for their TTL. A lookup always yields to the loop, also for a cached answer,
or a caller with many would block it, and no timeout could fire.

`secure` is the AD bit of a validating resolver (RFC 4035 §3.2.3). It is trusted only from name servers on this machine: an
attacker between a remote one and here could set it (RFC 7672 §2.2.1).
"""

import asyncio
import copy
import ipaddress
import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Generic, TypeVar

import dns.asyncresolver
import dns.exception
import dns.flags
import dns.name
import dns.nameserver
import dns.rdatatype
import dns.resolver
import dns.reversename

from mic_mail.domain_name import NotAName, to_ascii
from mic_mail.errors import BadInput, Text, Trouble, in_ascii

T = TypeVar("T")
PORT = 53
KEPT_OCTETS = 4 << 20
"""Octets of cached answers on the wire, some 20,000; ten to thirty times as many in memory."""
LARGEST_KEPT = 4_096
"""Octets; a larger answer is not cached, as attackers choose the names looked up, and their answers."""
LONGEST_TTL_SECONDS = 86_400
"""Longest TTL that is believed; an answer without records has the TTL of its zone (RFC 2308)."""
_DATAGRAM_OCTETS = 1232
"""Octets that pass everywhere without fragmentation (DNS flag day 2020)."""


class DnsUnavailable(Trouble):
    """No usable answer: a timeout, a failure, or an invalid signature. It may be different later."""


class NoSuchName(BadInput):
    """The name does not exist, for any type."""


@dataclass(frozen=True, slots=True)
class DnsAnswer(Generic[T]):
    """The records of one name and type; none where it has only other types."""

    values: tuple[T, ...]
    secure: bool
    ttl_seconds: float
    name: str = field(default="", compare=False)
    """The owner name of the records: the end of the aliases, or the name looked up."""


@dataclass(frozen=True, slots=True, order=True)
class Mx:
    """An MX record (RFC 5321 §5.1); the null MX of RFC 7505 has preference 0 and host ''."""

    preference: int
    host: str


@dataclass(frozen=True, slots=True, order=True)
class Srv:
    """An SRV record (RFC 2782); target '' means that the service is not offered."""

    priority: int
    weight: int
    port: int
    target: str


@dataclass(frozen=True, slots=True)
class Tlsa:
    """A TLSA record (RFC 6698 §2.1)."""

    usage: int
    selector: int
    matching: int
    data: bytes


class Resolver:
    """One set of name servers."""

    def __init__(self, nameservers: Sequence[str] = (), *, seconds: float = 10.0) -> None:
        """Ask `nameservers` (`192.0.2.1`, `[2001:db8::1]:5353`), or the system's; `seconds` is the timeout."""
        self.configure(nameservers, seconds)

    def configure(self, nameservers: Sequence[str], seconds: float) -> None:
        """Use other name servers from now on, with an empty cache."""
        try:
            self._resolver = dns.asyncresolver.Resolver(configure=not nameservers)
        except dns.resolver.NoResolverConfiguration as error:
            raise DnsUnavailable(
                Text("Máy này không có máy chủ tên miền (resolv.conf).", "This machine has no name server (resolv.conf)."),
                remedy=Text("Ghi dns.nameservers trong tệp cấu hình.", "Set dns.nameservers in the configuration."),
            ) from error
        if nameservers:
            self._resolver.nameservers = [dns.nameserver.Do53Nameserver(*place(server)) for server in nameservers]
        self._resolver.lifetime = seconds
        self._resolver.timeout = max(seconds / 4, 0.5)
        self._resolver.cache = _Answers()
        self._resolver.use_edns(0, dns.flags.DO, _DATAGRAM_OCTETS)
        self._resolver.flags = dns.flags.RD | dns.flags.AD
        self.is_trusted = all(_is_here(server) for server in self._resolver.nameservers)
        """True if the AD bit of these name servers is trusted."""

    def forget(self) -> None:
        """Drop all cached answers; those of lookups in progress are not cached."""
        self._resolver = copy.copy(self._resolver)
        self._resolver.cache = _Answers()

    async def mx(self, domain: str) -> DnsAnswer[Mx]:
        """Return the mail exchangers, best first."""
        found = await self._ask(domain, "MX", lambda r: Mx(r.preference, _text(r.exchange)))
        return replace(found, values=tuple(sorted(found.values)))

    async def addresses(self, host: str) -> DnsAnswer[str]:
        """Return IPv6 and IPv4 addresses; secure only if both answers are."""
        six = await self.ipv6(host)
        four = await self.ipv4(host)
        ttl = min(six.ttl_seconds, four.ttl_seconds)
        return DnsAnswer(six.values + four.values, six.secure and four.secure, ttl, four.name)

    async def ipv4(self, host: str) -> DnsAnswer[str]:
        return await self._ask(host, "A", lambda r: str(r.address))

    async def ipv6(self, host: str) -> DnsAnswer[str]:
        return await self._ask(host, "AAAA", lambda r: str(r.address))

    async def txt(self, name: str) -> DnsAnswer[str]:
        """Return texts with strings joined (RFC 7208 §3.3), and octets beyond ASCII as surrogates."""
        return await self._ask(name, "TXT", lambda r: b"".join(r.strings).decode("ascii", "surrogateescape"))

    async def srv(self, name: str) -> DnsAnswer[Srv]:
        return await self._ask(name, "SRV", lambda r: Srv(r.priority, r.weight, r.port, _text(r.target)))

    async def tlsa(self, host: str, port: int) -> DnsAnswer[Tlsa]:
        return await self._ask(f"_{port}._tcp.{host}", "TLSA", lambda r: Tlsa(r.usage, r.selector, r.mtype, r.cert))

    async def names_of(self, address: str) -> DnsAnswer[str]:
        """Return the host names that the owner of an address claims; unverified without a forward lookup."""
        return await self._ask(dns.reversename.from_address(address).to_text(), "PTR", lambda r: _text(r.target))

    async def _ask(self, name: str, kind: str, read: Callable[[Any], T]) -> DnsAnswer[T]:
        asked = to_ascii(name)
        resolver, is_trusted = self._resolver, self.is_trusted  # taken together, as they may change before the answer arrives
        try:
            question = dns.name.from_text(asked + ".")
        except dns.exception.DNSException as error:  # an invalid escape, or labels that are too long with it
            raise NotAName(name) from error
        try:
            answer = await resolver.resolve(question, kind, search=False, raise_on_no_answer=False)
        except dns.resolver.NXDOMAIN as error:
            raise NoSuchName(Text(f"Tên miền {asked} không tồn tại.", f"The domain {asked} does not exist.")) from error
        except (dns.exception.DNSException, OSError) as error:
            failure = in_ascii(f"{type(error).__name__}: {error}")[:200]
            raise DnsUnavailable(
                Text(f"Chưa tra được {kind} của {asked}: {failure}", f"{kind} of {asked} could not be looked up: {failure}")
            ) from error
        await asyncio.sleep(0)  # a cached answer has not yielded to the loop
        records = list(map(read, answer.rrset)) if answer.rrset is not None else []
        secure = is_trusted and bool(answer.response.flags & dns.flags.AD)
        ttl = float(min(answer.chaining_result.minimum_ttl, LONGEST_TTL_SECONDS))
        return DnsAnswer(tuple(records), secure, ttl, _text(answer.canonical_name))


class _Answers(dns.resolver.CacheBase):
    """A cache of answers, bounded in octets; the least recently used go first.

    A negative answer for a name holds for all its types, but not if IPv6 addresses were looked up: some name servers then deny
    the name although it has other records (RFC 4074 §4.2). So that is not cached. TTLs are counted on the monotonic clock.
    """

    def __init__(self) -> None:
        super().__init__()
        self._kept: OrderedDict[object, tuple[dns.resolver.Answer, float]] = OrderedDict()
        self._octets = 0

    def get(self, key: dns.resolver.CacheKey) -> dns.resolver.Answer | None:
        answer, ends = self._kept.get(key, (None, 0.0))
        if answer is None or ends <= time.monotonic():
            self.flush(key)
            return None
        self._kept.move_to_end(key)
        return answer

    def put(self, key: dns.resolver.CacheKey, value: dns.resolver.Answer) -> None:
        self.flush(key)
        is_no_ipv6 = key[1] == dns.rdatatype.ANY and value.response.question[0].rdtype == dns.rdatatype.AAAA
        if not is_no_ipv6 and _octets(value) <= LARGEST_KEPT:
            self._kept[key] = value, time.monotonic() + value.chaining_result.minimum_ttl
            self._octets += _octets(value)
            while self._octets > KEPT_OCTETS:
                self._forget(next(iter(self._kept)))

    def flush(self, key: dns.resolver.CacheKey | None = None) -> None:
        """Drop one answer, or all."""
        if key is None:
            self._kept.clear()
            self._octets = 0
        else:
            self._forget(key)

    def _forget(self, key: object) -> None:
        if (known := self._kept.pop(key, None)) is not None:
            self._octets -= _octets(known[0])


def _octets(answer: dns.resolver.Answer) -> int:
    return len(answer.response.wire or b"")


def _text(name: Any) -> str:
    return str(name.to_text(omit_final_dot=True)).lower().removesuffix(".")


def place(server: str) -> tuple[str, int]:
    """Return address and port of a name server from its checked form in the configuration."""
    if server.startswith("["):
        address, _, port = server[1:].partition("]")
        return address, int(port.removeprefix(":") or PORT)
    address, _, port = server.partition(":") if server.count(":") == 1 else (server, "", "")
    return address, int(port or PORT)


def _is_here(server: Any) -> bool:
    address = server if isinstance(server, str) else getattr(server, "address", "")
    try:
        return ipaddress.ip_address(address).is_loopback
    except ValueError:
        return False
