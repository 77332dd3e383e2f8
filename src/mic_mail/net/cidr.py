"""Match client addresses against lists of networks from the settings.

In: networks in CIDR form. Out: whether the address of a connection is in one. The address is as the system writes it, with or
without a zone (interface name); an IPv4-mapped IPv6 address (RFC 4291 §2.5.5.2) counts as the IPv4 address.
"""

import ipaddress
from collections.abc import Iterable
from functools import lru_cache

_REMEMBERED = 4096
"""Addresses cached: parsing one takes 10 us, and a client's is checked for each message."""


class Networks:
    """A list of networks, for `address in networks`; an invalid address is in none."""

    def __init__(self, networks: Iterable[str]) -> None:
        self._networks = tuple(ipaddress.ip_network(network, strict=False) for network in networks)
        self._find = lru_cache(_REMEMBERED)(self._look)

    def __contains__(self, address: str) -> bool:
        return bool(self._networks) and self._find(address)

    def __bool__(self) -> bool:
        return bool(self._networks)

    def _look(self, address: str) -> bool:
        try:
            parsed = ipaddress.ip_address(address.partition("%")[0])
        except ValueError:
            return False
        parsed = getattr(parsed, "ipv4_mapped", None) or parsed
        return any(parsed in network for network in self._networks)
