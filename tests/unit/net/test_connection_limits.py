"""Limits on connections: in total, at once from one network, and a minute from one network."""

from collections.abc import Callable

import pytest

from mic_mail.net.connection_limits import Admission, AdmissionLimits, network_of


class Door:
    """The connections of a door, and a clock."""

    def __init__(self, **limits: object) -> None:
        self.now = 0.0
        self.open: set[object] = set()
        self.told: list[str] = []
        given = {"connections": 100, "per_network": 100, "new_per_minute": 100, **limits}
        self.admission = Admission(AdmissionLimits(**given), lambda: self.now, self.open.__contains__)

    def has_room(self) -> bool:
        return len(self.open) < self.admission.limits.connections

    def begin(self, address: str) -> Callable[[], None] | None:
        """What ends the handshake."""
        return self.admission.begin_handshake(address, self.told.append, self.has_room)

    def connect(self, address: str) -> object | str:
        """The connection, or why there is none."""
        why = self.admission.refusal(address, self.has_room)
        if why is not None:
            return why
        connection = object()
        self.open.add(connection)
        self.admission.hold(address, connection)
        return connection


def test_one_network_cannot_take_every_connection() -> None:
    """Another network is let in while the first is at its limit, and the first again when one of its own has ended."""
    door = Door(per_network=2)
    first = door.connect("192.0.2.1")
    door.connect("192.0.2.2")
    assert door.connect("192.0.2.3") == "network"
    assert not isinstance(door.connect("198.51.100.1"), str)
    door.open.discard(first)
    assert not isinstance(door.connect("192.0.2.3"), str)
    assert door.connect("192.0.2.3") == "network"


def test_a_network_that_connects_too_often_waits_for_the_next_minute() -> None:
    """Connections that come and go count, refused ones too."""
    door = Door(new_per_minute=3)
    for _ in range(3):
        door.open.discard(door.connect("2001:db8::1"))
    assert door.connect("2001:db8::2") == "rate"
    assert not isinstance(door.connect("2001:db8:0:1::1"), str)
    door.now = 61.0
    assert not isinstance(door.connect("2001:db8::2"), str)


def test_the_total_holds_for_everybody() -> None:
    """Also for exempt networks: descriptors are finite."""
    door = Door(connections=2, per_network=1, exempt=("10.0.0.0/8",))
    assert not isinstance(door.connect("10.0.0.1"), str)
    assert not isinstance(door.connect("10.0.0.1"), str)
    assert door.connect("10.0.0.1") == "total"


def test_handshakes_that_never_end_count_as_connections_of_their_network() -> None:
    """Whoever says nothing keeps nobody out but the own network, and that one not for ever."""
    door = Door(per_network=3, exempt=("10.0.0.0/8",))
    door.connect("192.0.2.1")
    first = door.begin("192.0.2.2")
    assert first is not None
    assert door.begin("192.0.2.3") is not None
    assert door.begin("192.0.2.4") is None
    assert door.begin("198.51.100.1") is not None
    assert all(door.begin("10.0.0.1") for _ in range(9))
    first()
    assert door.begin("192.0.2.4") is not None
    assert door.begin("192.0.2.4") is None
    door.open.clear()
    assert door.begin("192.0.2.4") is not None
    assert door.told == ["network"], "of the first of a minute"


def test_who_is_turned_away_before_the_handshake_counts_as_one_who_came() -> None:
    """Beyond the rate nobody looks which connections are still open: that takes longer than to open one."""
    door = Door(per_network=1, new_per_minute=5)
    assert door.begin("192.0.2.1") is not None
    for _ in range(6):
        assert door.begin("192.0.2.1") is None
    door.admission._held = None  # type: ignore[method-assign,assignment]
    assert door.begin("192.0.2.1") is None
    assert door.connect("192.0.2.1") == "rate"
    del door.admission._held
    door.now = 61.0
    assert door.begin("192.0.2.1") is None
    assert door.told == ["network", "network"]


def test_nothing_is_kept_of_connections_that_ended() -> None:
    """After a minute the gate remembers only what is open."""
    door = Door()
    for number in range(50):
        door.open.discard(door.connect(f"192.0.{number}.1"))
    kept = door.connect("203.0.113.1")
    door.now = 61.0
    door.connect("203.0.113.2")
    assert list(door.admission._open) == ["203.0.113"]
    assert kept in door.admission._open["203.0.113"]


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("192.0.2.1", "192.0.2.254", True),
        ("192.0.2.1", "192.0.3.1", False),
        ("2001:db8::1", "2001:db8::ffff:1", True),
        ("2001:db8::1", "2001:db8:0:1::1", False),
        ("::ffff:192.0.2.1", "192.0.2.9", True),
        ("fe80::1%eth0", "fe80::2%eth1", True),
    ],
)
def test_networks(one: str, other: str, same: bool) -> None:
    """/24 for IPv4, /64 for IPv6, whatever clothes an address comes in."""
    assert (network_of(one) == network_of(other)) is same
