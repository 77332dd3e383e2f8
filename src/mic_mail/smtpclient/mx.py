"""Find the mail exchangers of a domain and their addresses, in the order in which they are tried.

In: a domain, a resolver, the names of this server. Out: a `Route`; `NoRoute` where there is none permanently, with the status
for the bounce; `DnsUnavailable` for a temporary failure. RFC 5321 §5.1, RFC 7505 (null MX), RFC 7672 §2 (DANE):

    MX records                      the hosts by preference; those of one preference in any order
    none, but addresses             the domain itself, as if it were its own exchanger
    `0 .`                           takes no mail
    this server among them          it and all with its preference or a higher one are left out; none left: a loop

A host whose addresses cannot be found out is left out as long as there is another (an invalid name: always). Where only one
kind of address can be looked up, that one is enough. TLSA records count only if the lookups leading to them were validated
throughout, including aliases: they are looked up at the end of the aliases, and else at the exchanger's own name (RFC 7672
§2.2.3). Where they should exist but the lookup fails, the host is not contacted (§2.1.3).
"""

import asyncio
import ipaddress
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace

from mic_mail.domain_name import NotAName, to_ascii
from mic_mail.errors import Refused, Text, in_ascii
from mic_mail.net.dns import DnsAnswer, DnsUnavailable, Mx, NoSuchName, Resolver, Tlsa
from mic_mail.smtpclient.mta_sts import StsPolicy

MOST_HOSTS = 16
MOST_ADDRESSES = 4
"""Addresses tried per host; a host with more has a load balancer behind each."""
SMTP_PORT = 25

Shuffle = Callable[[list[Mx]], None]
"""Shuffles a list: `random.shuffle`."""


class NoRoute(Refused):
    """There is no route to the domain; `status` is the enhanced code of the bounce (RFC 3463)."""

    def __init__(self, status: str, text: Text) -> None:
        super().__init__(text)
        self.status = status


@dataclass(frozen=True, slots=True)
class Host:
    """One mail exchanger."""

    name: str
    addresses: tuple[str, ...]
    tlsa: tuple[Tlsa, ...] = ()
    """Validated records; if there are any, TLS with one of these keys is required."""
    known_as: tuple[str, ...] = ()
    """The name of the TLSA records, and other names allowed in a certificate under a trust anchor.

    See RFC 7672 §3.2.2.
    """


@dataclass(frozen=True, slots=True)
class Route:
    """The exchangers of a domain, best first, and the domain's policy."""

    domain: str
    hosts: tuple[Host, ...]
    names_are_sure: bool = False
    """True if no attacker can have put another host's name there.

    That holds for validated MX records, none at all, or the configuration.
    """
    policy: StsPolicy | None = None
    policy_is_certain: bool = True
    """False if a lookup or fetch of the policy failed."""


async def find_route(domain: str, resolver: Resolver, own_names: Collection[str], shuffle: Shuffle) -> Route:
    """Return the route to `domain`; `own_names` are the names of this server in the DNS."""
    if (literal := _literal(domain)) is not None:
        return Route(domain, (Host(domain, (literal,)),))
    try:
        name = to_ascii(domain)
    except NotAName as error:
        raise NoRoute("5.1.2", error.text) from error
    exchangers = await _exchangers(name, resolver)
    names = _in_order(exchangers.values, name, own_names, shuffle)
    sure = (name, exchangers.name) if exchangers.secure else ()
    found = await asyncio.gather(*(_host(each, resolver, sure) for each in names), return_exceptions=True)
    usable = tuple(host for host in found if isinstance(host, Host))
    if usable:
        return Route(name, usable, exchangers.secure or names == [name])
    for why_not in found:  # a temporary failure takes precedence over a permanent one
        if isinstance(why_not, BaseException) and not isinstance(why_not, NoSuchName | NotAName):
            raise why_not
    raise NoRoute("5.4.4", Text(f"Máy nhận thư của {name} không có địa chỉ.", f"The mail servers of {name} have no address."))


async def _exchangers(name: str, resolver: Resolver) -> DnsAnswer[Mx]:
    try:
        found = await resolver.mx(name)
    except NoSuchName as error:
        raise NoRoute("5.1.2", error.text) from error
    if not found.values:
        return replace(found, values=(Mx(0, name),))
    hosts = tuple(mx for mx in found.values if mx.host)
    if not hosts:
        raise NoRoute("5.1.10", Text(f"Tên miền {name} không nhận thư.", f"The domain {name} accepts no mail (RFC 7505)."))
    return replace(found, values=hosts)


def _in_order(exchangers: Sequence[Mx], domain: str, own_names: Collection[str], shuffle: Shuffle) -> list[str]:
    """Return names by preference, without this server and those behind it (RFC 5321 §5.1)."""
    ours = min((mx.preference for mx in exchangers if mx.host in own_names), default=None)
    before = [mx for mx in exchangers if ours is None or mx.preference < ours]
    if not before:
        raise NoRoute(
            "5.4.6",
            Text(
                f"Bản ghi MX của {domain} trỏ về chính máy chủ này, mà tên miền đó không ở đây.",
                f"The MX record of {in_ascii(domain)} names this server, where the domain is not local: a loop.",
            ),
        )
    shuffle(before)
    before.sort(key=lambda mx: mx.preference)
    return list(dict.fromkeys(mx.host for mx in before))[:MOST_HOSTS]


async def _host(name: str, resolver: Resolver, sure: Sequence[str]) -> Host:
    """Return one exchanger; `sure` holds the domain's names, if its MX records were validated."""
    found = await _addresses(name, resolver)
    addresses = _alternating(found.values)[:MOST_ADDRESSES]
    for base in dict.fromkeys((found.name, name)) if sure and found.secure else ():
        try:
            asked = await resolver.tlsa(base, SMTP_PORT)
        except (NoSuchName, NotAName):  # the exchanger's name alone may have the maximal length
            continue
        if asked.secure and asked.values:
            return Host(name, addresses, asked.values, tuple(dict.fromkeys((base, *sure))))
    return Host(name, addresses)


async def _addresses(name: str, resolver: Resolver) -> DnsAnswer[str]:
    """Look up IPv6 and IPv4 addresses; one kind is enough.

    Some name servers fail at one kind of address, or deny the name for it (RFC 4074 §4). Where the other kind cannot be looked
    up, the result is unknown, whatever was denied.
    """
    asked = await asyncio.gather(resolver.ipv6(name), resolver.ipv4(name), return_exceptions=True)
    answers = [answer for answer in asked if isinstance(answer, DnsAnswer)]
    values = tuple(address for answer in answers for address in answer.values)
    troubles = [trouble for trouble in asked if isinstance(trouble, BaseException)]
    for trouble in sorted(troubles, key=lambda trouble: isinstance(trouble, NoSuchName)):
        if not (values and isinstance(trouble, DnsUnavailable | NoSuchName)):
            raise trouble
    if not values:
        raise NoSuchName(Text(f"{name} không có địa chỉ.", f"{name} has no address."))
    return replace(answers[0], values=values, secure=all(answer.secure for answer in answers))


def _alternating(addresses: Sequence[str]) -> tuple[str, ...]:
    """Alternate IPv6 and IPv4, so that each is tried early if the other does not work."""
    six = [address for address in addresses if ":" in address]
    four = [address for address in addresses if ":" not in address]
    mixed = [address for pair in zip(six, four, strict=False) for address in pair]
    return (*mixed, *six[len(four) :], *four[len(six) :])


async def straight(name: str, resolver: Resolver) -> Route:
    """Return the route to a server that the configuration names, by a name or an address."""
    try:
        return Route(name, (Host(name, (str(ipaddress.ip_address(name)),)),), names_are_sure=True)
    except ValueError:
        found = await _addresses(name, resolver)
    return Route(name, (Host(name, _alternating(found.values)[:MOST_ADDRESSES]),), names_are_sure=True)


def _literal(domain: str) -> str | None:
    """Return the address in `[192.0.2.1]` or `[IPv6:2001:db8::1]` (RFC 5321 §4.1.3)."""
    if not (domain.startswith("[") and domain.endswith("]")):
        return None
    try:
        return str(ipaddress.ip_address(domain[1:-1].lower().removeprefix("ipv6:")))
    except ValueError as error:
        raise NoRoute("5.1.2", Text(f"{domain} không phải địa chỉ.", f"{in_ascii(domain)} is not an address.")) from error
