"""DNS blocklist lookups (RFC 5782). Belongs to a loop; bounded in time.

In: an address, the zones of lists, a resolver. Out: the zones that list it, and those that cannot be trusted, with the
reason. A list that does not answer does not count. Nor does a broken one (it lists everybody, or nobody; its domain was
sold; it does not answer resolvers like ours), which its test entries show (§5); that is reported to the caller.
"""

import asyncio
import ipaddress
from collections.abc import Iterable
from dataclasses import dataclass

from mic_mail.domain_name import NotAName
from mic_mail.net.cidr import Address, parse_address
from mic_mail.net.dns import NoSuchName, Resolver

SECONDS = 5.0
"""Time limit for all zones of one address."""
_LISTS = ipaddress.ip_network("127.0.0.0/8")
"""The network of listing answers (§2.3)."""
_ERRORS = (ipaddress.ip_network("127.255.255.0/24"), ipaddress.ip_network("127.0.0.1/32"))
"""Parts of that network that are no listing: lists answer so to clients they do not serve."""
_TESTS = {4: ("127.0.0.2", "127.0.0.1"), 6: ("::ffff:7f00:2", "::ffff:7f00:1")}
"""Test addresses that a list contains, and does not contain (§5)."""


@dataclass(frozen=True, slots=True)
class DnsblResult:
    """The results for one address."""

    zones: tuple[str, ...] = ()
    """Zones that list it."""
    unusable: tuple[tuple[str, str], ...] = ()
    """Zones that cannot be trusted, and why."""
    unanswered: tuple[str, ...] = ()


class _Unusable(Exception):
    """The list gave an answer that no list may give."""


def question(address: Address, zone: str) -> str:
    """Return the query name: the octets or nibbles in reverse (§2.1, §2.4)."""
    labels = str(address).split(".") if address.version == 4 else f"{int(address):032x}"
    return ".".join([*reversed(labels), zone])


async def look_up(resolver: Resolver, address: str, zones: Iterable[str], seconds: float = SECONDS) -> DnsblResult:
    """Query all zones concurrently; never raises."""
    try:
        ip = parse_address(address)
    except ValueError:
        return DnsblResult()

    async def query(zone: str) -> bool | str | None:
        """Return whether a list has the address, why it cannot be trusted, or None without an answer."""
        try:
            async with asyncio.timeout(seconds):
                return await _is_listed(resolver, ip, zone)
        except _Unusable as error:
            return str(error)
        except Exception:  # noqa: BLE001 - no failure of a list may stop a message
            return None

    wanted = tuple(dict.fromkeys(zones))
    answers = list(zip(wanted, await asyncio.gather(*map(query, wanted)), strict=True))
    return DnsblResult(
        tuple(zone for zone, found in answers if found is True),
        tuple((zone, found) for zone, found in answers if isinstance(found, str)),
        tuple(zone for zone, found in answers if found is None),
    )


async def _is_listed(resolver: Resolver, ip: Address, zone: str) -> bool:
    if not await _ask(resolver, ip, zone):
        return False
    there, not_there = (ipaddress.ip_address(each) for each in _TESTS[ip.version])
    # The resolver caches the answers, so a list is tested as often as its own TTL says.
    if await _ask(resolver, not_there, zone):
        raise _Unusable("it lists everybody")
    if not await _ask(resolver, there, zone):
        raise _Unusable("it has no test entry")
    return True


async def _ask(resolver: Resolver, ip: Address, zone: str) -> bool:
    try:
        found = (await resolver.ipv4(question(ip, zone))).values
    except (NoSuchName, NotAName):
        return False
    answers = [ipaddress.ip_address(each) for each in found]
    for each in answers:
        if each not in _LISTS or any(each in network for network in _ERRORS):
            raise _Unusable(f"it answers: {each}")
    return bool(answers)
