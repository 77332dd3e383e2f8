"""Detection of sign-ins that look like a stolen password (Reg. 7.2.c).

Conservative: what an office or a phone does in a normal day is no anomaly.

In: sign-ins and refused passwords in about the order in which they happened, limits, instants. Out: anomalies. Pure; an
`AnomalyDetector` holds all its state and can be stored and read back.

    sprayed    one network tried many mailboxes, and then got into one                         strong
    guessed    one network tried many different passwords of a mailbox, and then got in
    scattered  a mailbox was signed in to from many networks that lie far apart, in an hour

`sprayed` and `guessed` are raised only if the mailbox did not sign in from that network in the last 30 days (except by force),
no other mailbox did before the window, and the sign-ins from there until `GRACE` afterwards do not show that the network is an
office.

Many people share an office's address: some mistype, most get in. A thief with a list gets into few mailboxes, so one more
opened mailbox excuses nothing. For `sprayed`, half as many mailboxes must get in as were tried (`OFFICE_SHARE`); for `guessed`,
one mailbox that was not guessed itself. A program that repeats one old password counts once. A phone that changes between Wi-Fi
and its provider uses several networks, most of them within one wider one, so `scattered` requires many of both.
"""

import ipaddress
from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from functools import lru_cache

KNOWN = timedelta(days=30)
"""The time for which sign-ins from a network are remembered."""
GRACE = timedelta(minutes=10)
"""The time within which other sign-ins may show that a network is an office."""
OFFICE_SHARE = 2
"""Mailboxes tried in vain for each one that gets in, at most, for a network to count as an office."""
MOST_OF_A_NETWORK = 8
"""Mailboxes remembered for one network beyond the window."""
MOST_TRIES = 2_000
"""Wrong passwords, and mailboxes within the window, remembered for one network."""
MOST_NETWORKS = 50_000
"""Networks remembered; the ones quiet for longest are dropped first."""
WIDER_SHARE = 2
"""Networks per wider network in `scattered`: 15 networks must lie in at least 8 wider ones."""
NOBODY = "?"
"""The prefix of a name that is no mailbox of this server, as the log shows it."""


class AnomalyRule(StrEnum):
    """The rules that raise an anomaly."""

    SPRAYED = "sprayed"
    GUESSED = "guessed"
    SCATTERED = "scattered"

    @property
    def is_strong(self) -> bool:
        """Return whether the rule may suspend a mailbox by itself."""
        return self is AnomalyRule.SPRAYED


@dataclass(frozen=True, slots=True)
class AnomalyLimits:
    """The settings `anomaly.*`."""

    window: timedelta = timedelta(hours=1)
    sprayed: int = 20
    """Different mailboxes, or names that are no mailbox."""
    guesses: int = 15
    """Different wrong passwords."""
    networks: int = 15


@dataclass(frozen=True, slots=True)
class Attempt:
    """A sign-in, or a wrong password."""

    at: datetime
    mailbox: str
    """The address; for a name that is no mailbox `NOBODY...`, different for each name."""
    network: str
    ok: bool
    differs: bool = True
    """Set if a wrong password differs from those before it.

    A SCRAM proof does not show that, and counts once.
    """


@dataclass(frozen=True, slots=True)
class Anomaly:
    """A suspicious sign-in for somebody to check."""

    rule: AnomalyRule
    mailbox: str
    at: datetime
    """The instant of the sign-in."""
    network: str
    count: int
    """The number of mailboxes, passwords or networks, as the rule counts."""


@lru_cache(maxsize=4096)
def network_of(peer: str) -> str | None:
    """Return the /24 or /48 network of an address, or None if it is no address."""
    try:
        address = ipaddress.ip_address(peer)
    except ValueError:
        return None
    mapped = getattr(address, "ipv4_mapped", None)
    address = mapped or address
    return str(ipaddress.ip_network((address, 24 if address.version == 4 else 48), strict=False))


def wider(network: str) -> str:
    """Return the /16 or /32 network that contains a network."""
    narrow = ipaddress.ip_network(network)
    return str(narrow.supernet(new_prefix=16 if narrow.version == 4 else 32))


@dataclass(slots=True)
class _Network:
    """The sign-ins and wrong passwords seen from one network."""

    signed_in: dict[str, tuple[datetime, datetime]] = field(default_factory=dict)
    """Mailbox -> its first sign-in since a pause of `KNOWN` or longer, and its last."""
    wrong: deque[tuple[datetime, str]] = field(default_factory=lambda: deque(maxlen=MOST_TRIES))

    def others(self, mailbox: str, first_until: datetime, last_since: datetime) -> list[str]:
        """Return the other mailboxes that first signed in here by `first_until`, and last since `last_since`."""
        spans = self.signed_in.items()
        return [other for other, (first, last) in spans if other != mailbox and first <= first_until and last >= last_since]

    def last(self) -> datetime:
        return max([*(last for _, last in self.signed_in.values()), *(at for at, _ in list(self.wrong)[-1:])])


class AnomalyDetector:
    """The attempts seen so far, and the anomalies that wait for their grace."""

    def __init__(self, limits: AnomalyLimits) -> None:
        self.limits = limits
        self._networks: dict[str, _Network] = {}
        self._places: dict[str, dict[str, datetime]] = {}
        """Mailbox -> network -> its last sign-in within the window."""
        self._waiting: list[Anomaly] = []
        """Anomalies raised and still within their grace."""

    def take(self, attempt: Attempt) -> None:
        network = self._networks.get(attempt.network)
        if network is None:
            if len(self._networks) >= 2 * MOST_NETWORKS:  # many together, as from a wide IPv6 allocation
                self._keep_newest()
            network = self._networks[attempt.network] = _Network()
        if not attempt.ok:
            if attempt.differs or all(name != attempt.mailbox for _, name in network.wrong):
                network.wrong.append((attempt.at, attempt.mailbox))
            return
        known_since = attempt.at - KNOWN
        first, last = network.signed_in.get(attempt.mailbox, (attempt.at, None))
        if last is None or last < known_since:
            first = attempt.at
            if not network.others(attempt.mailbox, attempt.at - self.limits.window, known_since):
                self._waiting.extend(self._forced(attempt, network))
        if len(network.signed_in) < MOST_TRIES or attempt.mailbox in network.signed_in:
            network.signed_in[attempt.mailbox] = (first, attempt.at)
        self._waiting.extend(self._scattered(attempt))

    def due(self, now: datetime) -> list[Anomaly]:
        """Return the anomalies whose grace has passed, each once."""
        ripe = [each for each in self._waiting if each.at + GRACE <= now]
        self._waiting = [each for each in self._waiting if each.at + GRACE > now]
        guessed = {(each.network, each.mailbox) for each in [*ripe, *self._waiting] if each.rule is AnomalyRule.GUESSED}
        found = [each for each in ripe if each.rule is AnomalyRule.SCATTERED or not self._is_office(each, guessed)]
        for each in found:
            if each.rule is not AnomalyRule.SCATTERED and (network := self._networks.get(each.network)) is not None:
                network.signed_in.pop(each.mailbox, None)  # a thief's network does not become a known one
        return found

    @property
    def is_waiting(self) -> bool:
        """Return whether an anomaly waits for its grace to pass, or to be notified again."""
        return bool(self._waiting)

    def again(self, anomaly: Anomaly) -> None:
        """Queue an anomaly again, because nobody could be notified of it yet."""
        self._waiting.append(anomaly)

    def _is_office(self, anomaly: Anomaly, guessed: set[tuple[str, str]]) -> bool:
        network = self._networks.get(anomaly.network)
        if network is None:
            return False
        inside = network.others(anomaly.mailbox, anomaly.at + GRACE, anomaly.at - self.limits.window)
        if anomaly.rule is AnomalyRule.SPRAYED:
            return (len(inside) + 1) * OFFICE_SHARE >= anomaly.count
        return any((anomaly.network, other) not in guessed for other in inside)

    def _forced(self, attempt: Attempt, network: _Network) -> Iterator[Anomaly]:
        """Yield at most one anomaly, by the stronger rule first."""
        begins = attempt.at - self.limits.window
        tried = [name for at, name in network.wrong if begins <= at <= attempt.at]
        sprayed = len(set(tried) - {attempt.mailbox})
        guesses = tried.count(attempt.mailbox)
        if sprayed >= self.limits.sprayed:
            yield Anomaly(AnomalyRule.SPRAYED, attempt.mailbox, attempt.at, attempt.network, sprayed)
        elif guesses >= self.limits.guesses:
            yield Anomaly(AnomalyRule.GUESSED, attempt.mailbox, attempt.at, attempt.network, guesses)

    def _scattered(self, attempt: Attempt) -> Iterator[Anomaly]:
        begins = attempt.at - self.limits.window
        places = {net: at for net, at in self._places.get(attempt.mailbox, {}).items() if at >= begins}
        places[attempt.network] = attempt.at
        self._places[attempt.mailbox] = places
        if len(places) >= self.limits.networks and len(set(map(wider, places))) * WIDER_SHARE >= self.limits.networks:
            yield Anomaly(AnomalyRule.SCATTERED, attempt.mailbox, attempt.at, attempt.network, len(places))
            self._places[attempt.mailbox] = {}  # counting starts anew, so that it is reported once

    def _keep_newest(self) -> None:
        newest = sorted(self._networks.items(), key=lambda item: item[1].last(), reverse=True)
        self._networks = dict(newest[:MOST_NETWORKS])

    # ------------------------------------------------------------ stored

    def forget(self, now: datetime) -> None:
        """Drop what can no longer matter."""
        window, known = now - self.limits.window - GRACE, now - KNOWN
        for name, network in list(self._networks.items()):
            recent = [(mailbox, span) for mailbox, span in network.signed_in.items() if span[1] >= known]
            network.signed_in = dict(recent[:MOST_OF_A_NETWORK])
            network.signed_in.update((mailbox, span) for mailbox, span in recent[MOST_OF_A_NETWORK:] if span[1] >= window)
            while network.wrong and network.wrong[0][0] < window:
                network.wrong.popleft()
            if not network.signed_in and not network.wrong:
                del self._networks[name]
        if len(self._networks) > MOST_NETWORKS:
            self._keep_newest()
        fresh = {box: {net: at for net, at in nets.items() if at >= window} for box, nets in self._places.items()}
        self._places = {mailbox: networks for mailbox, networks in fresh.items() if networks}

    def kept(self) -> Mapping[str, object]:
        """Return the state as JSON values."""
        return {
            "networks": {
                name: {
                    "signed_in": {
                        mailbox: [first.isoformat(), last.isoformat()] for mailbox, (first, last) in network.signed_in.items()
                    },
                    "wrong": [[at.isoformat(), mailbox] for at, mailbox in network.wrong],
                }
                for name, network in self._networks.items()
            },
            "places": {
                mailbox: {name: at.isoformat() for name, at in networks.items()} for mailbox, networks in self._places.items()
            },
            "waiting": [[each.rule, each.mailbox, each.at.isoformat(), each.network, each.count] for each in self._waiting],
        }

    @classmethod
    def of(cls, kept: Mapping[str, object], limits: AnomalyLimits) -> "AnomalyDetector":
        """Restore an `AnomalyDetector` from its stored state.

        `ValueError`, `KeyError`, `TypeError`, `AttributeError` for anything else.
        """
        watch = cls(limits)
        at = datetime.fromisoformat
        for name, network in _members(kept["networks"]).items():
            seen = _Network()
            for mailbox, span in _members(_members(network)["signed_in"]).items():
                ((first, last),) = _rows([span])
                seen.signed_in[mailbox] = at(str(first)), at(str(last))
            seen.wrong.extend((at(str(when)), str(mailbox)) for when, mailbox in _rows(_members(network)["wrong"]))
            watch._networks[name] = seen
        for mailbox, networks in _members(kept["places"]).items():
            watch._places[mailbox] = {name: at(str(when)) for name, when in _members(networks).items()}
        for rule, box, when, place, count in _rows(kept["waiting"]):
            watch._waiting.append(Anomaly(AnomalyRule(str(rule)), str(box), at(str(when)), str(place), int(str(count))))
        return watch


def _members(value: object) -> Mapping[str, object]:
    if not isinstance(value, Mapping):
        raise TypeError(value)
    return value


def _rows(value: object) -> Iterator[list[object]]:
    if not isinstance(value, list) or not all(isinstance(row, list) for row in value):
        raise TypeError(value)
    yield from value
