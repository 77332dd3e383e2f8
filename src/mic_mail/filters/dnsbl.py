"""Whether an address is on a list of machines that send spam (RFC 5782). Belongs to a loop; bounded in time.

In: an address, the zones of lists, a resolver. Out: the zones that list it, and those that cannot be believed, with the reason.
A list that does not answer says nothing; one that is broken (it lists everybody, or nobody; its name was sold; it does not
answer resolvers like ours) says nothing either, which its test entries tell (§5), and somebody ought to hear of it.
"""

import asyncio
import ipaddress
from collections.abc import Iterable
from dataclasses import dataclass

from mic_mail.domain_name import NotAName
from mic_mail.net.dns import NoSuchName, Resolver

SECONDS = 5.0
"""For all zones of one address."""
_LISTS = ipaddress.ip_network("127.0.0.0/8")
"""§2.3: what is listed has an address in there."""
_ERRORS = (ipaddress.ip_network("127.255.255.0/24"), ipaddress.ip_network("127.0.0.1/32"))
"""In there, but not a listing: what lists answer to whom they do not serve."""
_TESTS = {4: ("127.0.0.2", "127.0.0.1"), 6: ("::ffff:7f00:2", "::ffff:7f00:1")}
"""§5: which a list has, and which it does not have."""
Address = ipaddress.IPv4Address | ipaddress.IPv6Address


@dataclass(frozen=True, slots=True)
class Listings:
    """What the lists say of one address."""

    zones: tuple[str, ...] = ()
    """In which it is."""
    unusable: tuple[tuple[str, str], ...] = ()
    """Zones that cannot be believed, and why."""
    unanswered: tuple[str, ...] = ()


class _Unusable(Exception):
    """The list says what no list may say."""


def question(address: Address, zone: str) -> str:
    """§2.1, §2.4: the octets, or the nibbles, turned round."""
    if address.version == 4:
        return ".".join(reversed(str(address).split("."))) + f".{zone}"
    return ".".join(reversed(f"{int(address):032x}")) + f".{zone}"


async def look_up(resolver: Resolver, address: str, zones: Iterable[str], seconds: float = SECONDS) -> Listings:
    """All zones at once; never raises."""
    wanted = tuple(dict.fromkeys(zones))
    try:
        ip: Address = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return Listings()
    if isinstance(ip, ipaddress.IPv6Address) and ip.ipv4_mapped:
        ip = ip.ipv4_mapped
    tasks = {zone: asyncio.ensure_future(_is_listed(resolver, ip, zone)) for zone in wanted}
    for task in tasks.values():
        task.add_done_callback(lambda done: done.cancelled() or done.exception())  # looked at, should nobody wait any more
    try:
        if tasks:
            await asyncio.wait(tasks.values(), timeout=seconds)
    finally:
        for task in tasks.values():
            task.cancel()  # harmless where it is done
    listed, unusable, unanswered = [], [], []
    for zone, task in tasks.items():
        error = task.exception() if task.done() and not task.cancelled() else None
        if isinstance(error, _Unusable):
            unusable.append((zone, str(error)))
        elif error is not None or not task.done():
            unanswered.append(zone)
        elif task.result():
            listed.append(zone)
    return Listings(tuple(listed), tuple(unusable), tuple(unanswered))


async def _is_listed(resolver: Resolver, ip: Address, zone: str) -> bool:
    if not await _ask(resolver, ip, zone):
        return False
    there, not_there = (ipaddress.ip_address(each) for each in _TESTS[ip.version])
    # The resolver keeps the answers, so a list is tested as often as it says itself that it might change.
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
            raise _Unusable(f"it answers {each}")
    return bool(answers)
