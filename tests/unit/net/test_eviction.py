"""Who gives up a place: the order as a property, and what a worker does that has nobody to drop."""

import os
from collections import Counter
from dataclasses import dataclass, field

from hypothesis import given
from hypothesis import strategies as st

from mic_mail.net.connection_balancer import ConnectionCounts, new_page
from mic_mail.net.connection_registry import OpenConnections
from mic_mail.net.eviction import KNOWN_WEIGHT, PLANNED_SHARE, Evictor, eviction_order

LIMIT = 40


@dataclass(eq=False)
class Client:
    """A connection."""

    address: str
    connections: "OpenConnections[Client]"
    is_busy: bool = False
    dropped: list["Client"] = field(default_factory=list)

    def evict(self) -> bool:
        if not self.is_busy:
            self.connections.discard(self)
            self.dropped.append(self)
        return not self.is_busy


class Worker:
    """What a worker has: connections on a page with others, and an evictor."""

    def __init__(self, tally: ConnectionCounts, homes: tuple[str, ...] = ()) -> None:
        self.open: OpenConnections[Client] = OpenConnections(tally.share(0).change)
        self.asked = 0
        self.dropped: list[Client] = []
        self.tally = tally
        self.looks = 0
        self.evictor = Evictor(tally, is_known=lambda address: address in homes, ask=self.ask, dropped=lambda _: None)
        self.evictor.watch(self.open)

    def ask(self) -> None:
        self.asked += 1

    def connect(self, address: str, *, is_busy: bool = False) -> Client | None:
        """The connection, if there is room for it."""
        if not self.evictor.evict(LIMIT, 1):
            return None
        client = Client(address, self.open, is_busy, self.dropped)
        self.open.add(client)
        return client


def workers(number: int) -> list[Worker]:
    fd = new_page(number)
    try:
        return [Worker(ConnectionCounts(os.dup(fd), row)) for row in range(number)]
    finally:
        os.close(fd)


@given(st.lists(st.integers(0, 6), max_size=60), st.integers(0, 60), st.frozensets(st.integers(0, 6)))
def test_each_that_goes_is_the_oldest_of_the_network_that_holds_most(networks: list[int], most: int, homes: set[int]) -> None:
    """However they came; a network from which people sign in counts for an eighth; of two that hold alike the older goes."""
    strangers = [(number, str(network), number) for number, network in enumerate(networks)]
    order = eviction_order(reversed(strangers), lambda network: int(network) in homes, most)
    assert len(order) == min(most, len(strangers))
    left = dict(enumerate(networks))
    for gone in order:
        held = Counter(left.values())
        weights = {network: count / (KNOWN_WEIGHT if network in homes else 1) for network, count in held.items()}
        heaviest = {network for network, weight in weights.items() if weight == max(weights.values())}
        assert gone == min(number for number, network in left.items() if network in heaviest)
        del left[gone]


def test_a_network_that_has_few_keeps_them() -> None:
    """Whatever the others do: twenty networks that come again and again drop one another."""
    worker = Worker(ConnectionCounts.alone())
    few = [worker.connect("198.51.100.1"), worker.connect("198.51.100.2")]
    for number in range(1_000):
        assert worker.connect(f"192.0.{number % 10}.1") is not None
        assert worker.tally.total() <= LIMIT
    assert all(client in worker.open for client in few)


def test_whoever_is_signed_in_is_never_dropped() -> None:
    """Where all are, nobody else gets in; who signs out may have to go."""
    worker = Worker(ConnectionCounts.alone())
    members = [worker.connect("192.0.2.1") for _ in range(LIMIT)]
    for member in members:
        assert member is not None
        worker.open.sign_in(member)
    assert worker.connect("198.51.100.1") is None
    assert worker.dropped == []
    leaving = members[7]
    assert leaving is not None
    worker.open.sign_out(leaving)
    assert worker.connect("198.51.100.1") is not None
    assert worker.dropped == [leaving]


def test_who_is_owed_an_answer_is_passed_over() -> None:
    """The next one goes, also where all that were planned are owed one."""
    worker = Worker(ConnectionCounts.alone())
    for _ in range(10):
        worker.connect("192.0.2.1", is_busy=True)
    for _ in range(LIMIT - 10):
        worker.connect("192.0.2.1")
    assert worker.connect("198.51.100.1") is not None
    assert len(worker.dropped) == 1


def test_the_worker_that_holds_strangers_makes_room_for_the_other_one() -> None:
    """One whose connections are all signed in lets the client in and asks; who is asked drops as many as are too many."""
    full, other = workers(2)
    for _ in range(LIMIT // 2):
        member = full.connect("203.0.113.1")
        assert member is not None
        full.open.sign_in(member)
        assert other.connect("192.0.2.1") is not None
    for number in range(3):
        assert full.connect(f"198.51.100.{number}") is not None
    assert (full.asked, full.dropped) == (3, [])
    full.evictor.asked(LIMIT)
    assert full.dropped == []
    other.evictor.asked(LIMIT)
    assert len(other.dropped) == 3
    assert full.tally.total() == LIMIT


def test_a_flood_does_not_look_through_all_for_each() -> None:
    """Twice as many connections, each dropped for a new one: what is looked at for one grows no more than they."""

    def looked_at(strangers: int) -> float:
        worker = Worker(ConnectionCounts.alone())
        looks = 0

        def is_known(_: str) -> bool:
            nonlocal looks
            looks += 1
            return False

        worker.evictor = Evictor(worker.tally, is_known=is_known, ask=worker.ask, dropped=lambda _: None)
        worker.evictor.watch(worker.open)
        for number in range(strangers):
            worker.open.add(Client(f"10.{number // 250}.{number % 250}.1", worker.open))
        for _ in range(strangers):
            assert worker.evictor.drop()
            worker.open.add(Client("192.0.2.1", worker.open))
        return looks / strangers

    assert looked_at(1_000) <= 2 * PLANNED_SHARE
    assert looked_at(2_000) <= 2.5 * looked_at(1_000)
