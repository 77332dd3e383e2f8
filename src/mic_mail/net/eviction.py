"""Evict unauthenticated connections when the server is full and a new one arrives.

In: the open connections of a process, the page with the counts of all workers. Out: unauthenticated connections are dropped,
the oldest of the network that holds most of them first; a network with recent sign-ins has a lower weight. So a few networks
of idle clients cannot displace others, and an authenticated connection is never dropped. The worker with the most
unauthenticated connections evicts, on request of the others. See docs/decisions/0098. Bound to a loop.
"""

import heapq
from collections import deque
from collections.abc import Callable, Iterable
from typing import Any, Final, Protocol, TypeVar

from mic_mail.net.connection_balancer import ConnectionCounts
from mic_mail.net.connection_limits import network_of
from mic_mail.net.connection_registry import OpenConnections

KNOWN_WEIGHT: Final = 8
"""Connections of a network with sign-ins that count as one of another network."""
PLANNED_SHARE: Final = 8
"""An eighth of the unauthenticated connections is planned at a time.

Examining all of them for each new connection would serve a flood.
"""
MOST_AT_ONCE: Final = 16
"""Most evictions for one new connection; a reload with a lower limit may need more."""


class Evictable(Protocol):
    """A connection that can be evicted."""

    @property
    def address(self) -> str:
        """The peer's address."""
        ...

    def evict(self) -> bool:
        """Stop being counted, send a last reply if that needs no wait, and end soon.

        Return False, and do nothing, if a reply to the peer is imminent.
        """
        ...


Candidate = TypeVar("Candidate")
_Planned = tuple[OpenConnections[Any], Evictable]


def eviction_order(
    strangers: Iterable[tuple[int, str, Candidate]], is_known: Callable[[str], bool], most: int
) -> list[Candidate]:
    """Return the `most` connections to evict first, given start time, network and connection. Pure."""
    by_network: dict[str, deque[tuple[int, Candidate]]] = {}
    for number, network, each in sorted(strangers, key=lambda row: row[0]):
        by_network.setdefault(network, deque()).append((number, each))
    shares = {network: KNOWN_WEIGHT if is_known(network) else 1 for network in by_network}

    def place(network: str) -> tuple[float, int, str]:
        held = by_network[network]
        return -len(held) / shares[network], held[0][0], network

    heap = [place(network) for network in by_network]
    heapq.heapify(heap)
    order: list[Candidate] = []
    while heap and len(order) < most:
        network = heap[0][2]
        order.append(by_network[network].popleft()[1])
        if by_network[network]:
            heapq.heapreplace(heap, place(network))
        else:
            heapq.heappop(heap)
    return order


class Evictor:
    """Evicts connections of one process."""

    def __init__(
        self,
        tally: ConnectionCounts,
        *,
        is_known: Callable[[str], bool],
        ask: Callable[[], None],
        dropped: Callable[[str], None],
    ) -> None:
        """Set up callbacks.

        `is_known` returns whether there were sign-ins from an address; `ask` calls `asked` of the other workers, without
        guarantee; `dropped` is called with each address that lost its connection.
        """
        self._tally = tally
        self._is_known = is_known
        self._ask = ask
        self._dropped = dropped
        self._watched: list[OpenConnections[Any]] = []
        self._planned: deque[_Planned] = deque()

    def watch(self, connections: OpenConnections[Any]) -> None:
        """Watch connections that may be evicted; each is `Evictable`."""
        self._watched.append(connections)

    def evict(self, limit: int, coming: int = 0) -> bool:
        """Evict until at most `limit` connections are open, including `coming` uncounted ones.

        Return False if that is impossible.
        """
        for _ in range(MOST_AT_ONCE):
            if self._tally.total() + coming <= limit:
                return True
            if self._tally.others_hold_more_anonymous():
                self._ask()  # without waiting: it takes a millisecond
                return True
            if not self.drop():
                return False
        return True

    def asked(self, limit: int) -> None:
        """Evict for another worker if this one has the most unauthenticated connections.

        The other one has admitted a connection and has none to drop for it.
        """
        if not self._tally.others_hold_more_anonymous():
            for _ in range(MOST_AT_ONCE):
                if self._tally.total() <= limit or not self.drop():
                    return

    def drop(self) -> bool:
        """Drop an unauthenticated connection; return False where there is none."""
        if self._drop_first(self._planned):
            return True
        spare = self._plan()
        return self._drop_first(self._planned) or self._drop_first(spare)

    def _drop_first(self, planned: "deque[_Planned]") -> bool:
        """Drop the first that is still unauthenticated and for which no reply is imminent."""
        while planned:
            connections, connection = planned.popleft()
            address = connection.address
            if connection in connections.strangers and connection.evict():
                self._dropped(address)
                return True
        return False

    def _plan(self) -> "deque[_Planned]":
        """Plan the next evictions; return the following ones, in case none of the first can be dropped."""
        strangers: list[tuple[int, str, _Planned]] = []
        address_of: dict[str, str] = {}
        for connections in self._watched:
            for connection, number in connections.strangers.items():
                network = network_of(connection.address)
                address_of[network] = connection.address
                strangers.append((number, network, (connections, connection)))
        most = len(strangers) // PLANNED_SHARE + 1
        order = eviction_order(strangers, lambda network: self._is_known(address_of[network]), most + MOST_AT_ONCE)
        self._planned = deque(order[:most])
        return deque(order[most:])
