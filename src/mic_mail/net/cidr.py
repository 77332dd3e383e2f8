"""Lists of networks that settings name, and which clients come from one.

In: networks in CIDR form. Out: whether the address of a connection is in one: as the system writes it, with the name of an
interface behind it or not; an address of IPv4 that came over a socket of IPv6 (RFC 4291 §2.5.5.2) is the one it stands for.
"""

import ipaddress
from collections.abc import Iterable
from functools import lru_cache

_REMEMBERED = 4096
"""Addresses: reading one takes 10 us, and a client's is asked about for each message."""


class Networks:
    """`address in networks`; what is no address is in none."""

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
