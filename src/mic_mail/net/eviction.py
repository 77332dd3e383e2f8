"""Eviction: who gives up a place when a server is full and somebody else comes.

In: the open connections of a process, the page on which all workers count theirs. Out: connections at which nobody has signed
in are dropped, the oldest of the network that holds most of them first; a network from which people have signed in lately
counts for less. So a few networks of idle strangers take no place from another one, and whoever is signed in is never dropped.
The worker that holds most strangers makes room: another one asks it. See docs/decisions/0098. Belongs to a loop.
"""

import heapq
from collections import deque
from collections.abc import Callable, Iterable
from typing import Any, Final, Protocol, TypeVar

from mic_mail.net.connection_balancer import ConnectionCounts
from mic_mail.net.connection_limits import network_of
from mic_mail.net.connection_registry import OpenConnections

KNOWN_WEIGHT: Final = 8
"""So many connections of a network from which people sign in count as one of another."""
PLANNED_SHARE: Final = 8
"""An eighth of the strangers is planned at a time: to look through all of them for each that comes is what a flood wants."""
MOST_AT_ONCE: Final = 16
"""So many are dropped for one that comes, at most; there are more after a reload to a lower limit."""


class Evictable(Protocol):
    """A connection that can be asked for its place."""

    @property
    def address(self) -> str:
        """The peer's."""
        ...

    def evict(self) -> bool:
        """Be counted no longer from now on, say a last word if that needs no wait, and end soon; False, and nothing is done, if
        the next moment owes the peer an answer."""
        ...


Candidate = TypeVar("Candidate")
_Planned = tuple[OpenConnections[Any], Evictable]


def eviction_order(
    strangers: Iterable[tuple[int, str, Candidate]], is_known: Callable[[str], bool], most: int
) -> list[Candidate]:
    """The `most` that go first. `strangers`: since when, network and connection, in any order. Pure."""
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
    """What makes room in one process."""

    def __init__(
        self,
        tally: ConnectionCounts,
        *,
        is_known: Callable[[str], bool],
        ask: Callable[[], None],
        dropped: Callable[[str], None],
    ) -> None:
        """`is_known`: whether people have signed in from an address; `ask` reaches `asked` of the other workers, or does not;
        `dropped` hears of each address that lost its connection."""
        self._tally = tally
        self._is_known = is_known
        self._ask = ask
        self._dropped = dropped
        self._watched: list[OpenConnections[Any]] = []
        self._planned: deque[_Planned] = deque()

    def watch(self, connections: OpenConnections[Any]) -> None:
        """Connections that may have to make room: each is `Evictable`."""
        self._watched.append(connections)

    def evict(self, limit: int, coming: int = 0) -> bool:
        """See that no more than `limit` connections are open, with those that are not counted yet; False: there is no room."""
        for _ in range(MOST_AT_ONCE):
            if self._tally.total() + coming <= limit:
                return True
            if self._tally.others_hold_more_anonymous():
                self._ask()  # and do not wait: it is a millisecond
                return True
            if not self.drop():
                return False
        return True

    def asked(self, limit: int) -> None:
        """Another worker has let somebody in and has nobody to drop for it: who holds most strangers does."""
        if not self._tally.others_hold_more_anonymous():
            for _ in range(MOST_AT_ONCE):
                if self._tally.total() <= limit or not self.drop():
                    return

    def drop(self) -> bool:
        """Drop one that has not signed in; False where there is none."""
        if self._drop_first(self._planned):
            return True
        spare = self._plan()
        return self._drop_first(self._planned) or self._drop_first(spare)

    def _drop_first(self, planned: "deque[_Planned]") -> bool:
        """The first that still is a stranger, and owes nobody an answer this moment."""
        while planned:
            connections, connection = planned.popleft()
            address = connection.address
            if connection in connections.strangers and connection.evict():
                self._dropped(address)
                return True
        return False

    def _plan(self) -> "deque[_Planned]":
        """Plan who goes next; those behind them, in case that all of them owe an answer."""
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
