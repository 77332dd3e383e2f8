"""Reg. 7.2.c: sign-ins that look like a stolen password. Conservative: what an office or a phone does in a day is none.

In: sign-ins and refused passwords in about the order in which they happened, limits, instants. Out: anomalies. Pure; a `Watch`
holds what it needs and can be stored and read back.

    sprayed    one network tried many mailboxes, and then got into one                         strong
    guessed    one network tried many different passwords of a mailbox, and then got in
    scattered  a mailbox was signed in to from many networks that lie far apart, in an hour

The first two only where the mailbox never signed in from that network in the last 30 days (but by force), nobody else did
before the hour that is looked at, and those who got in from there until `GRACE` afterwards do not show that it is an office:
behind one address of an office are many, of whom some mistype and most get in; a thief with a list gets into few. So one more
mailbox that was opened excuses nothing: for `sprayed` half as many have to get in as were tried (`OFFICE_SHARE`), for
`guessed` one that was not guessed itself. A program that sends one old password again and again counts once. A phone that
changes between Wi-Fi and its provider has some networks, most of them in one wider one: `scattered` asks for many of both.
"""

import ipaddress
from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from functools import lru_cache

CLAUSE = "7.2.c"
KNOWN = timedelta(days=30)
"""How long it is remembered who signed in from where."""
GRACE = timedelta(minutes=10)
"""How long others may take to show that a network is an office."""
OFFICE_SHARE = 2
"""Mailboxes tried in vain from an office for one that gets in, at most."""
MOST_OF_A_NETWORK = 8
"""Mailboxes remembered of one network beyond the window."""
MOST_TRIES = 2_000
"""Wrong passwords, and mailboxes within the window, remembered of one network."""
MOST_NETWORKS = 50_000
"""Networks remembered; those that were quiet for longest go first."""
WIDER_SHARE = 2
"""Networks in `scattered` for one wider one: 15 have to lie in 8."""
NOBODY = "?"
"""How a name begins that is no mailbox of ours, as the log shows it."""


class Rule(StrEnum):
    """By which rule."""

    SPRAYED = "sprayed"
    GUESSED = "guessed"
    SCATTERED = "scattered"

    @property
    def is_strong(self) -> bool:
        """Whether it may suspend by itself."""
        return self is Rule.SPRAYED


@dataclass(frozen=True, slots=True)
class Limits:
    """Settings `anomaly.*`."""

    window: timedelta = timedelta(hours=1)
    sprayed: int = 20
    """Different mailboxes, or names that are none."""
    guesses: int = 15
    """Different wrong passwords."""
    networks: int = 15


@dataclass(frozen=True, slots=True)
class Attempt:
    """A sign-in, or a wrong password."""

    at: datetime
    mailbox: str
    """The address; for what is none `NOBODY...`, and another one for each name."""
    network: str
    ok: bool
    differs: bool = True
    """Of a wrong password: it is another one than those before. A SCRAM proof does not show that, and counts once."""


@dataclass(frozen=True, slots=True)
class Anomaly:
    """Something to be looked at."""

    rule: Rule
    mailbox: str
    at: datetime
    """Of the sign-in."""
    network: str
    count: int
    """Of mailboxes, passwords or networks, as the rule counts."""


@lru_cache(maxsize=4096)
def network_of(peer: str) -> str | None:
    """The /24 or /48 of an address; None for what is none."""
    try:
        address = ipaddress.ip_address(peer)
    except ValueError:
        return None
    mapped = getattr(address, "ipv4_mapped", None)
    address = mapped or address
    return str(ipaddress.ip_network((address, 24 if address.version == 4 else 48), strict=False))


def wider(network: str) -> str:
    """The /16 or /32 that a network lies in."""
    narrow = ipaddress.ip_network(network)
    return str(narrow.supernet(new_prefix=16 if narrow.version == 4 else 32))


@dataclass(slots=True)
class _Network:
    """What is known of one network."""

    signed_in: dict[str, tuple[datetime, datetime]] = field(default_factory=dict)
    """Mailbox -> when first, without a pause of `KNOWN`, and when last."""
    wrong: deque[tuple[datetime, str]] = field(default_factory=lambda: deque(maxlen=MOST_TRIES))

    def others(self, mailbox: str, first_until: datetime, last_since: datetime) -> list[str]:
        """Who else came from here: not for the first time after, and not for the last time before."""
        spans = self.signed_in.items()
        return [other for other, (first, last) in spans if other != mailbox and first <= first_until and last >= last_since]

    def last(self) -> datetime:
        return max([*(last for _, last in self.signed_in.values()), *(at for at, _ in list(self.wrong)[-1:])])


class Watch:
    """What was seen so far."""

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self._networks: dict[str, _Network] = {}
        self._places: dict[str, dict[str, datetime]] = {}
        """Mailbox -> network -> when last, within the window."""
        self._waiting: list[Anomaly] = []
        """Seen, and within their grace."""

    def take(self, attempt: Attempt) -> None:
        """One more."""
        network = self._networks.get(attempt.network)
        if network is None:
            if len(self._networks) >= 2 * MOST_NETWORKS:  # many at once, as from a wide allocation of IPv6
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
        """What has stood its grace; each comes once."""
        ripe = [each for each in self._waiting if each.at + GRACE <= now]
        self._waiting = [each for each in self._waiting if each.at + GRACE > now]
        guessed = {(each.network, each.mailbox) for each in [*ripe, *self._waiting] if each.rule is Rule.GUESSED}
        found = [each for each in ripe if each.rule is Rule.SCATTERED or not self._is_office(each, guessed)]
        for each in found:
            if each.rule is not Rule.SCATTERED and (network := self._networks.get(each.network)) is not None:
                network.signed_in.pop(each.mailbox, None)  # a thief's network does not become one that is known
        return found

    def again(self, anomaly: Anomaly) -> None:
        """Nobody could be told of it yet: it comes once more."""
        self._waiting.append(anomaly)

    def _is_office(self, anomaly: Anomaly, guessed: set[tuple[str, str]]) -> bool:
        network = self._networks.get(anomaly.network)
        if network is None:
            return False
        inside = network.others(anomaly.mailbox, anomaly.at + GRACE, anomaly.at - self.limits.window)
        if anomaly.rule is Rule.SPRAYED:
            return (len(inside) + 1) * OFFICE_SHARE >= anomaly.count
        return any((anomaly.network, other) not in guessed for other in inside)

    def _forced(self, attempt: Attempt, network: _Network) -> Iterator[Anomaly]:
        """At most one: the stronger rule first."""
        begins = attempt.at - self.limits.window
        tried = [name for at, name in network.wrong if begins <= at <= attempt.at]
        sprayed = len(set(tried) - {attempt.mailbox})
        guesses = tried.count(attempt.mailbox)
        if sprayed >= self.limits.sprayed:
            yield Anomaly(Rule.SPRAYED, attempt.mailbox, attempt.at, attempt.network, sprayed)
        elif guesses >= self.limits.guesses:
            yield Anomaly(Rule.GUESSED, attempt.mailbox, attempt.at, attempt.network, guesses)

    def _scattered(self, attempt: Attempt) -> Iterator[Anomaly]:
        begins = attempt.at - self.limits.window
        places = {net: at for net, at in self._places.get(attempt.mailbox, {}).items() if at >= begins}
        places[attempt.network] = attempt.at
        self._places[attempt.mailbox] = places
        if len(places) >= self.limits.networks and len(set(map(wider, places))) * WIDER_SHARE >= self.limits.networks:
            yield Anomaly(Rule.SCATTERED, attempt.mailbox, attempt.at, attempt.network, len(places))
            self._places[attempt.mailbox] = {}  # counted from here on, so that it is told once

    def _keep_newest(self) -> None:
        newest = sorted(self._networks.items(), key=lambda item: item[1].last(), reverse=True)
        self._networks = dict(newest[:MOST_NETWORKS])

    # ------------------------------------------------------------ kept

    def forget(self, now: datetime) -> None:
        """Let go what cannot matter any more."""
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
        """As JSON holds it."""
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
    def of(cls, kept: Mapping[str, object], limits: Limits) -> "Watch":
        """As it was stored; `ValueError`, `KeyError`, `TypeError`, `AttributeError` for what was not."""
        watch = cls(limits)
        at = datetime.fromisoformat
        for name, network in _members(kept["networks"]).items():
            seen = _Network({mailbox: _span(when) for mailbox, when in _members(_members(network)["signed_in"]).items()})
            seen.wrong.extend((at(str(when)), str(mailbox)) for when, mailbox in _rows(_members(network)["wrong"]))
            watch._networks[name] = seen
        for mailbox, networks in _members(kept["places"]).items():
            watch._places[mailbox] = {name: at(str(when)) for name, when in _members(networks).items()}
        for rule, box, when, place, count in _rows(kept["waiting"]):
            watch._waiting.append(Anomaly(Rule(str(rule)), str(box), at(str(when)), str(place), int(str(count))))
        return watch


def _members(value: object) -> Mapping[str, object]:
    if not isinstance(value, Mapping):
        raise TypeError(value)
    return value


def _span(value: object) -> tuple[datetime, datetime]:
    """When first and last; of one instant, as versions before kept it, both."""
    first, last = value if isinstance(value, list) else (value, value)
    return datetime.fromisoformat(str(first)), datetime.fromisoformat(str(last))


def _rows(value: object) -> Iterator[list[object]]:
    if not isinstance(value, list) or not all(isinstance(row, list) for row in value):
        raise TypeError(value)
    yield from value
