"""Parse client addresses, and match them against lists of networks from the settings.

In: an address as the system writes it, networks in CIDR form. Out: the address as a number; whether it is in one of them.
"""

from collections.abc import Iterable
from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network

Address = IPv4Address | IPv6Address

_REMEMBERED = 4096
"""Addresses cached: parsing one takes 10 us, and a client's is checked for each message."""


def parse_address(address: str) -> Address:
    """Parse an address with or without a zone (interface name); raises `ValueError`.

    An IPv4-mapped IPv6 address (RFC 4291 §2.5.5.2) counts as the IPv4 address.
    """
    parsed = ip_address(address.partition("%")[0])
    return getattr(parsed, "ipv4_mapped", None) or parsed


class Networks:
    """A list of networks, for `address in networks`; an invalid address is in none."""

    def __init__(self, networks: Iterable[str]) -> None:
        self._networks = tuple(ip_network(network, strict=False) for network in networks)
        self._find = lru_cache(_REMEMBERED)(self._look)

    def __contains__(self, address: str) -> bool:
        return bool(self._networks) and self._find(address)

    def __bool__(self) -> bool:
        return bool(self._networks)

    def _look(self, address: str) -> bool:
        try:
            parsed = parse_address(address)
        except ValueError:
            return False
        return any(parsed in network for network in self._networks)
