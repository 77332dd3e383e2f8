"""Limit wrong passwords by mailbox, by network and by both.

In: the address tried, the network, a digest of the password, and the time. Out: a `Verdict`. Pure: no clock, no I/O.

Three rules, each counting *different* wrong passwords, so that an old phone that sends one stale password for weeks counts
once and its office is not penalised (a wrong SCRAM proof hides its password, so each counts):

    mailbox and network   `per_pair` in `window_seconds`, then that network waits for that mailbox
    mailbox               `per_mailbox` from all networks together, then networks it never signed in from wait
    network               `per_network` over all mailboxes, then it waits for mailboxes that never signed in from it

So a remote attacker cannot lock an owner out, and an office (or Microsoft's cloud, from which new Outlook connects) behind one
address is never banned as a whole: mailboxes that signed in from there before may continue. All tables are bounded, and
expired entries are dropped as new ones are added.
"""

from collections import Counter, OrderedDict
from collections.abc import Hashable, ItemsView
from dataclasses import dataclass
from enum import Enum
from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from itertools import islice
from typing import Final, Generic, TypeVar

NEWS_SECONDS: Final = 3_600.0
"""Interval of broadcasts that a network is known, as a mail program signs in several times a minute."""
MOST_STALE: Final = 2
"""Wrong passwords of a mailbox and network remembered for `stale_seconds` (up to twice as many).

An old phone has one.
"""
MOST_NETWORKS: Final = 64
"""Known networks per mailbox, so that one password and a whole /48 cannot displace all the others."""


@dataclass(frozen=True, slots=True)
class ThrottleSettings:
    """Limits on different wrong passwords; the defaults let a person mistype for a while."""

    per_pair: int = 10
    per_mailbox: int = 50
    per_network: int = 100
    window_seconds: float = 900.0
    stale_seconds: float = 3_600.0
    """Time for which a repeated wrong password is recognised and not counted again."""
    known_seconds: float = 30 * 86_400.0
    """Time for which a network stays known for a mailbox that signed in from it."""
    capacity: int = 50_000
    """Entries of each table; the least recently used go first."""


class ThrottleDecision(Enum):
    """The handling of an attempt."""

    TRY = "try"
    KNOWN_WRONG = "known-wrong"
    """This password was wrong recently: refuse without hashing, count nothing."""
    LATER = "later"
    """Passwords still being checked use up the network's limit: check again when results are known."""
    WAIT = "wait"


@dataclass(frozen=True, slots=True)
class Verdict:
    """The answer, and for WAIT the rule and the seconds until the next attempt."""

    answer: ThrottleDecision
    rule: str = ""
    seconds: float = 0.0


_TRY = Verdict(ThrottleDecision.TRY)
_LATER = Verdict(ThrottleDecision.LATER)
_KNOWN_WRONG = Verdict(ThrottleDecision.KNOWN_WRONG)

Key = TypeVar("Key", bound=Hashable)


class _Wrongs(Generic[Key]):
    """The wrong digests by key, with their times; at most twice `limit` are kept.

    A provisional count that proves right must not displace real failures.
    """

    def __init__(self) -> None:
        self._limit = self._capacity = 1
        self._window = 0.0
        self._seen: OrderedDict[Key, OrderedDict[bytes, float]] = OrderedDict()

    def configure(self, limit: int, window: float, capacity: int) -> None:
        self._limit, self._window, self._capacity = limit, window, capacity

    def _fresh(self, key: Key, now: float) -> OrderedDict[bytes, float]:
        seen = self._seen.get(key)
        if seen is None:
            return OrderedDict()
        while seen and next(iter(seen.values())) <= now - self._window:
            seen.popitem(last=False)
        if not seen:
            del self._seen[key]
        return seen

    def holds(self, key: Key, digest: bytes, now: float) -> bool:
        return digest in self._fresh(key, now)

    def wait(self, key: Key, now: float) -> float:
        """Return the seconds until this key is below its limit; 0 if it is."""
        seen = self._fresh(key, now)
        if len(seen) < self._limit:
            return 0.0
        return next(islice(seen.values(), len(seen) - self._limit, None)) + self._window - now

    def count(self, key: Key, now: float) -> int:
        return len(self._fresh(key, now))

    def add(self, key: Key, digest: bytes, now: float) -> None:
        seen = self._fresh(key, now)
        if digest not in seen:
            seen[digest] = now
            while len(seen) > 2 * self._limit:
                seen.popitem(last=False)
        self._seen[key] = seen
        self._seen.move_to_end(key)
        if len(self._seen) > self._capacity:
            self._seen.popitem(last=False)
        for _ in range(2):  # faster than keys are added
            self._drop_if_over(next(iter(self._seen)), now)

    def _drop_if_over(self, key: Key, now: float) -> None:
        """Drop a key of which nothing counts any more."""
        if next(reversed(self._seen[key].values())) <= now - self._window:
            del self._seen[key]

    def remove(self, key: Key, digest: bytes) -> None:
        seen = self._seen.get(key)
        if seen is not None:
            seen.pop(digest, None)
            if not seen:
                del self._seen[key]

    def forget(self, key: Key) -> bool:
        """Drop a key; return whether it existed."""
        return self._seen.pop(key, None) is not None


class _Known:
    """The networks from which each mailbox was signed in to, with the time of the last broadcast.

    The least recently used go first, for one mailbox and in total.
    """

    def __init__(self) -> None:
        self.capacity = 1
        self._broadcast_at: OrderedDict[tuple[str, str], float] = OrderedDict()
        self._networks: dict[str, OrderedDict[str, None]] = {}
        self._homes: Counter[str] = Counter()

    def __len__(self) -> int:
        return len(self._broadcast_at)

    def items(self) -> ItemsView[tuple[str, str], float]:
        return self._broadcast_at.items()

    def get(self, mailbox: str, net: str) -> float | None:
        return self._broadcast_at.get((mailbox, net))

    def put(self, mailbox: str, net: str, at: float) -> None:
        """Record that a network is known, with the time of the broadcast."""
        self._homes[net] += (mailbox, net) not in self._broadcast_at
        self._broadcast_at[mailbox, net] = at
        self.touch(mailbox, net)
        if len(self._networks[mailbox]) > MOST_NETWORKS:
            self._drop(mailbox, next(iter(self._networks[mailbox])))
        if len(self._broadcast_at) > self.capacity:
            self._drop(*next(iter(self._broadcast_at)))

    def touch(self, mailbox: str, net: str) -> None:
        """Record that a known one was seen again."""
        self._broadcast_at.move_to_end((mailbox, net))
        networks = self._networks.setdefault(mailbox, OrderedDict())
        networks[net] = None
        networks.move_to_end(net)

    def homes(self, net: str) -> int:
        """Return the number of mailboxes that a network is known for."""
        return self._homes.get(net, 0)

    def _drop(self, mailbox: str, net: str) -> None:
        del self._broadcast_at[mailbox, net]
        self._homes[net] -= 1
        if not self._homes[net]:
            del self._homes[net]
        networks = self._networks[mailbox]
        del networks[net]
        if not networks:
            del self._networks[mailbox]


class Throttle:
    """The counters of one process."""

    def __init__(self, settings: ThrottleSettings | None = None) -> None:
        self._pairs: _Wrongs[tuple[str, str]] = _Wrongs()
        self._stale: _Wrongs[tuple[str, str]] = _Wrongs()
        self._mailboxes: _Wrongs[str] = _Wrongs()
        self._networks: _Wrongs[str] = _Wrongs()
        self._known = _Known()
        self.configure(settings or ThrottleSettings())

    def configure(self, settings: ThrottleSettings) -> None:
        """Apply other limits from now on; counters are kept."""
        s = self.settings = settings
        self._pairs.configure(s.per_pair, s.window_seconds, s.capacity)
        self._stale.configure(MOST_STALE, s.stale_seconds, s.capacity)
        self._mailboxes.configure(s.per_mailbox, s.window_seconds, s.capacity)
        self._networks.configure(s.per_network, s.window_seconds, s.capacity)
        self._known.capacity = s.capacity

    def check(self, mailbox: str, peer: str, digest: bytes | None, now: float, *, open_questions: int = 0) -> Verdict:
        """Decide an attempt; `digest` is None if no password is known yet (SCRAM's first message).

        `open_questions` counts passwords from this network that count as wrong until they are checked. They use up attempts,
        but are no reason to refuse: an attempt that would pass without them gets LATER.
        """
        net = network(peer)
        pair = mailbox, net
        if digest is not None and (self._pairs.holds(pair, digest, now) or self._stale.holds(pair, digest, now)):
            return _KNOWN_WRONG
        if wait := self._pairs.wait(pair, now):
            return Verdict(ThrottleDecision.WAIT, "pair", wait)
        if not self._knows(mailbox, net, now):
            if wait := self._mailboxes.wait(mailbox, now):
                return Verdict(ThrottleDecision.WAIT, "mailbox", wait)
            if wait := self._networks.wait(net, now):
                if self._networks.count(net, now) - open_questions < self.settings.per_network:
                    return _LATER
                return Verdict(ThrottleDecision.WAIT, "network", wait)
        return _TRY

    def knows(self, mailbox: str, peer: str, now: float) -> bool:
        """Return whether this mailbox was signed in to from this network before."""
        return self._knows(mailbox, network(peer), now)

    def suspicion(self, peer: str, now: float, *, open_questions: int = 0) -> int:
        """Return how far a network is suspected of guessing (decision 0088), for mailboxes unknown to it.

        It is 0 if at least as many mailboxes sign in from there as passwords were wrong: an office. It is 1 if nothing is known
        of it, and grows by one for each doubling of the wrong ones. `open_questions` counts passwords that count as wrong until
        they are checked.
        """
        net = network(peer)
        wrong, homes = max(0, self._networks.count(net, now) - open_questions), self._known.homes(net)
        return 0 if homes and wrong <= homes else 1 + (wrong - homes).bit_length()

    def wrong(self, mailbox: str, peer: str, digest: bytes, now: float) -> None:
        """Count a wrong password."""
        net = network(peer)
        self._pairs.add((mailbox, net), digest, now)
        self._stale.add((mailbox, net), digest, now)
        self._mailboxes.add(mailbox, digest, now)
        self._networks.add(net, _of(mailbox, digest), now)

    def forgive(self, mailbox: str, peer: str, digest: bytes) -> None:
        """Undo one `wrong`: it was provisional, and proved right or could not be checked."""
        net = network(peer)
        self._pairs.remove((mailbox, net), digest)
        self._stale.remove((mailbox, net), digest)
        self._mailboxes.remove(mailbox, digest)
        self._networks.remove(net, _of(mailbox, digest))

    def seen(self, mailbox: str, peer: str, now: float) -> bool:
        """Record a sign-in by an app password: this network is known for this mailbox.

        Its wrong passwords stay counted: a stolen phone must not give endless guesses at the mailbox's own password. Return
        whether to broadcast, as in `right`.
        """
        return self._know(mailbox, network(peer), now, news=False)

    def right(self, mailbox: str, peer: str, digest: bytes | None, now: float) -> bool:
        """Record a sign-in: this network is known for this mailbox, and its wrong passwords are forgotten.

        Return whether to broadcast: not if there were none and the last broadcast was within `NEWS_SECONDS`.
        """
        if digest is not None:
            self.forgive(mailbox, peer, digest)
        net = network(peer)
        return self._know(mailbox, net, now, news=self._pairs.forget((mailbox, net)) or digest is not None)

    def _know(self, mailbox: str, net: str, now: float, *, news: bool) -> bool:
        since = self._known.get(mailbox, net)
        news = news or since is None or now - since > NEWS_SECONDS
        if news:
            self._known.put(mailbox, net, now)
        else:
            self._known.touch(mailbox, net)
        return news

    def is_home(self, peer: str) -> bool:
        """Return whether any mailbox was signed in to from this network."""
        return self._known.homes(network(peer)) > 0

    def known(self, now: float) -> list[tuple[str, str, float]]:
        """Return mailbox, network and age of each valid entry, the least recently used first."""
        return [
            (mailbox, net, now - since)
            for (mailbox, net), since in self._known.items()
            if now - since < self.settings.known_seconds
        ]

    def remember(self, mailbox: str, net: str, since: float) -> None:
        """Restore an entry from before a restart; existing ones are newer."""
        if self._known.get(mailbox, net) is None:
            self._known.put(mailbox, net, since)

    def _knows(self, mailbox: str, net: str, now: float) -> bool:
        since = self._known.get(mailbox, net)
        return since is not None and now - since < self.settings.known_seconds


def _of(mailbox: str, digest: bytes) -> bytes:
    return mailbox.encode() + b"\0" + digest


@lru_cache(maxsize=4096)
def network(peer: str) -> str:
    """Return the network that an address counts as: the address in IPv4, its /64 in IPv6.

    One IPv6 customer has at least a /64.
    """
    try:
        address: IPv4Address | IPv6Address = ip_address(peer.partition("%")[0])
    except ValueError:
        return peer
    if isinstance(address, IPv6Address):
        if address.ipv4_mapped is not None:
            return str(address.ipv4_mapped)
        return str(IPv6Address(int(address) >> 64 << 64)) + "/64"
    return str(address)


@lru_cache(maxsize=4096)
def neighbourhood(peer: str) -> str:
    """Return the /24 or /48 of an address, within which one customer may change addresses."""
    try:
        address = ip_address(network(peer).partition("/")[0])
    except ValueError:
        return peer
    width = 24 if isinstance(address, IPv4Address) else 48
    return str(ip_network((address, width), strict=False))
