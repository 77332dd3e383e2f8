"""Limit connections: the total, those from one network, and new ones a minute from one network.

A network is an IPv4 /24 or an IPv6 /64. `ConnectionLimiter` precedes a listener's protocol: it checks the address, and either
hands over to the protocol (2 µs a connection) or sends the protocol's reply for "too many" and closes. With implicit TLS it
runs after the handshake, so handshakes in progress are counted before (`begin_handshake`), and the total is checked there.
Connections are checked for being still open only when a limit is reached, so nothing has to be notified when one ends. Memory
is bounded by the open connections and by one minute of arrivals.
"""

import asyncio
import ipaddress
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import cast

from mic_mail.net.cidr import Networks
from mic_mail.net.proxy_protocol import ClientAddress

MINUTE = 60.0


@dataclass(frozen=True, slots=True)
class AdmissionLimits:
    """The limits; for `exempt` networks only the total applies."""

    connections: int
    per_network: int
    new_per_minute: int
    exempt: Sequence[str] = ()


def network_of(address: str) -> str:
    """Return the /24 or /64 that an address belongs to; an IPv4-mapped IPv6 address counts as IPv4."""
    if ":" not in address:
        return address.rpartition(".")[0]
    parsed = ipaddress.IPv6Address(address.partition("%")[0])
    if parsed.ipv4_mapped is not None:
        return network_of(str(parsed.ipv4_mapped))
    return str(int(parsed) >> 64)


class Admission:
    """The limits in one process, which counts networks itself and is given the total. Bound to its loop."""

    def __init__(self, limits: AdmissionLimits, monotonic: Callable[[], float], is_open: Callable[[object], bool]) -> None:
        """Call `is_open` with counted connections that may have ended."""
        self._monotonic = monotonic
        self._is_open = is_open
        self._open: dict[str, list[object]] = {}
        self._arrivals: dict[str, int] = {}
        self._handshakes: Counter[str] = Counter()
        self._turned_away: set[str] = set()
        self._minute_ends = monotonic() + MINUTE
        self.configure(limits)

    def configure(self, limits: AdmissionLimits) -> None:
        """Apply other limits from now on; open connections stay open."""
        self.limits = limits
        self._exempt = Networks(limits.exempt)

    def refusal(self, address: str, make_room: Callable[[], bool]) -> str | None:
        """Return why a connection is refused, or None; `make_room` decides about the total, last."""
        return self._refusal_of_network(address) or (None if make_room() else "total")

    def _refusal_of_network(self, address: str) -> str | None:
        if not address or address in self._exempt:
            return None
        self._begin_minute_if_due()
        network = network_of(address)
        arrivals = self._arrivals[network] = self._arrivals.get(network, 0) + 1
        if arrivals > self.limits.new_per_minute:
            return "rate"
        return "network" if len(self._held(network, 0)) >= self.limits.per_network else None

    def _held(self, network: str, others: int) -> Sequence[object]:
        """Return a network's connections, without closed ones if these and `others` reach the limit."""
        held = self._open.get(network, [])
        if len(held) + others >= self.limits.per_network and held:
            held = self._open[network] = list(filter(self._is_open, held))
        return held

    def begin_handshake(
        self, address: str, refused: Callable[[str], None], make_room: Callable[[], bool]
    ) -> Callable[[], None] | None:
        """Admit a TLS handshake from `address`; return a callback for its end, or None to refuse it.

        It is refused where its network has too many connections already, in handshake or open, or the total is reached. The
        limiter sees only completed handshakes, and clients that never send anything would exclude all others. A refused
        handshake counts as an arrival, and `refused` is called with the reason once a network and minute.
        """
        if not address or address in self._exempt:
            return (lambda: None) if make_room() else None
        self._begin_minute_if_due()
        network = network_of(address)
        handshakes = self._handshakes[network]
        why = None
        if self._arrivals.get(network, 0) > self.limits.new_per_minute:
            why = "rate"
        elif len(self._held(network, handshakes)) + handshakes >= self.limits.per_network:
            why = "network"
        elif not make_room():
            why = "total"
        if why is not None:
            self._arrivals[network] = self._arrivals.get(network, 0) + 1
            if network not in self._turned_away:
                self._turned_away.add(network)
                refused(why)
            return None
        self._handshakes[network] += 1

        def ended() -> None:
            self._handshakes[network] -= 1
            if not self._handshakes[network]:
                del self._handshakes[network]

        return ended

    def hold(self, address: str, connection: object) -> None:
        """Count an admitted connection."""
        if address and address not in self._exempt:
            self._open.setdefault(network_of(address), []).append(connection)

    def _begin_minute_if_due(self) -> None:
        if self._monotonic() < self._minute_ends:
            return
        self._minute_ends = self._monotonic() + MINUTE
        self._arrivals.clear()
        self._turned_away.clear()
        still = {network: list(filter(self._is_open, held)) for network, held in self._open.items()}
        self._open = {network: held for network, held in still.items() if held}


class ConnectionLimiter(asyncio.Protocol):
    """The first protocol of a connection, until its address is checked."""

    def __init__(
        self,
        admission: Admission,
        factory: Callable[[ClientAddress | None], asyncio.Protocol],
        client: ClientAddress | None,
        *,
        make_room: Callable[[], bool],
        refused: Callable[[str, str], bytes],
        passed_on: Callable[[], None],
        reader: Callable[[asyncio.Protocol], asyncio.BaseProtocol] | None = None,
    ) -> None:
        """Call `passed_on` once the server counts the connection, which counts as coming until then.

        `client` is who a load balancer has named; None: the peer of the connection is the client.

        The total is checked with it. Where it counted only after the check, two workers could both admit the last one.
        """
        self._admission = admission
        self._factory = factory
        self._client = client
        self._make_room = make_room
        self._refused = refused
        self._passed_on = passed_on
        self._reader = reader

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        there = cast("asyncio.Transport", transport)
        peer = self._client or transport.get_extra_info("peername")
        address = str(peer[0]) if peer else ""
        why = self._admission.refusal(address, self._make_room)
        if why is not None:
            there.write(self._refused(address, why))
            there.close()
            return
        protocol = self._factory(self._client)
        self._admission.hold(address, protocol)
        there.set_protocol(protocol if self._reader is None else self._reader(protocol))
        protocol.connection_made(transport)
        self._passed_on()
