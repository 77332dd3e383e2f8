"""Check that the reverse name of a client's address leads back to it (RFC 8601 §3).

In: an address, a resolver. Out: `IprevResult`, always. It proves nothing and no rule here uses it: it is for readers of
the field Authentication-Results. Belongs to a loop; bounded in names and in time.
"""

import asyncio
import ipaddress
from dataclasses import dataclass
from enum import StrEnum

from mic_mail.domain_name import NotAName
from mic_mail.net.cidr import Address, parse_address
from mic_mail.net.dns import DnsUnavailable, NoSuchName, Resolver

MOST_NAMES = 10
"""Names of an address, bounded as in SPF (RFC 7208 §4.6.4)."""
MOST_ADDRESSES = 100
"""Addresses of one name; one with more counts as leading nowhere.

Ten names of 4,000 addresses each would be 40,000 to compare for each client.
"""
SECONDS = 20.0


class Iprev(StrEnum):
    """The results of RFC 8601 §2.7.3."""

    PASS = "pass"  # noqa: S105 - a result
    FAIL = "fail"
    TEMPERROR = "temperror"
    PERMERROR = "permerror"


@dataclass(frozen=True, slots=True)
class IprevResult:
    result: Iprev
    name: str = ""
    """The name that leads back, with a `pass`."""


async def check_iprev(resolver: Resolver, address: str) -> IprevResult:
    """Check an address of the network."""
    try:
        ip = parse_address(address)
    except ValueError:
        return IprevResult(Iprev.PERMERROR)
    try:
        async with asyncio.timeout(SECONDS):
            return await _check(resolver, ip)
    except (DnsUnavailable, TimeoutError):
        return IprevResult(Iprev.TEMPERROR)


async def _check(resolver: Resolver, ip: Address) -> IprevResult:
    try:
        names = (await resolver.names_of(str(ip))).values[:MOST_NAMES]
    except (NoSuchName, NotAName):
        names = ()
    if not names:
        return IprevResult(Iprev.PERMERROR)
    unanswered: DnsUnavailable | None = None
    for name in names:
        try:
            found = await (resolver.ipv4(name) if ip.version == 4 else resolver.ipv6(name))
        except (NoSuchName, NotAName):
            continue
        except DnsUnavailable as error:
            unanswered = error
            continue
        if len(found.values) <= MOST_ADDRESSES and any(ipaddress.ip_address(each) == ip for each in found.values):
            return IprevResult(Iprev.PASS, name)
    if unanswered is not None:
        raise unanswered
    return IprevResult(Iprev.FAIL)
