"""Limits on wrong passwords: how often whom, from where, and when again.

In: who tries (address), from which network, a digest of what was tried, and the time. Out: a `Verdict`. Pure: no clock, no I/O.

Three rules, each counting *different* wrong passwords, so that an old phone that sends one stale password for weeks counts
once and its office is not punished for it (a wrong SCRAM proof hides which password it was made of, so each counts):

    mailbox and network   `per_pair` in `window_seconds`, then that network waits for that mailbox
    mailbox               `per_mailbox` from all networks together, then networks it never signed in from wait
    network               `per_network` over all mailboxes, then it waits for mailboxes that never signed in from it

So nobody locks an owner out of the own mailbox from afar, and an office (or Microsoft's cloud, from which new Outlook comes)
behind one address is never banned whole: who signed in from there before may go on. All tables are bounded, and what no longer
counts goes with what comes.
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
"""A mail program signs in some times a minute; that its network is known need not be said each time."""
MOST_STALE: Final = 2
"""Wrong passwords of a mailbox and network, or twice as many, are known longer than they count: an old telephone has one."""
MOST_NETWORKS: Final = 64
"""How many networks of one mailbox are known: who has one password and all of a /48 makes no others unknown."""


@dataclass(frozen=True, slots=True)
class ThrottleSettings:
    """How many different wrong passwords in which time; the defaults let a person mistype for a while."""

    per_pair: int = 10
    per_mailbox: int = 50
    per_network: int = 100
    window_seconds: float = 900.0
    stale_seconds: float = 3_600.0
    """How long a wrong password is known as that, and counts nothing when it comes again."""
    known_seconds: float = 30 * 86_400.0
    """How long a network stays known for a mailbox that signed in from it."""
    capacity: int = 50_000
    """Entries of each table; the longest untouched go first."""


class Answer(Enum):
    """What to do with an attempt."""

    TRY = "try"
    KNOWN_WRONG = "known-wrong"
    """This very password was wrong lately: refuse without hashing, count nothing."""
    LATER = "later"
    """Passwords that are being looked at fill what this network has: ask again when more is known of them."""
    WAIT = "wait"


@dataclass(frozen=True, slots=True)
class Verdict:
    """The answer, and for WAIT the rule that says so and the seconds until it may be tried again."""

    answer: Answer
    rule: str = ""
    seconds: float = 0.0


_TRY = Verdict(Answer.TRY)
_LATER = Verdict(Answer.LATER)
_KNOWN_WRONG = Verdict(Answer.KNOWN_WRONG)

Key = TypeVar("Key", bound=Hashable)


class _Wrongs(Generic[Key]):
    """Per key, the digests that were wrong and when; at most twice `limit` are kept: what is counted in advance and proves
    right must not have pushed out what was wrong."""

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
        """Seconds until this key has room again; 0 if it has."""
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
        for _ in range(2):  # faster than keys come
            self._drop_if_over(next(iter(self._seen)), now)

    def _drop_if_over(self, key: Key, now: float) -> None:
        """Forget a key of which nothing counts any more."""
        if next(reversed(self._seen[key].values())) <= now - self._window:
            del self._seen[key]

    def remove(self, key: Key, digest: bytes) -> None:
        seen = self._seen.get(key)
        if seen is not None:
            seen.pop(digest, None)
            if not seen:
                del self._seen[key]

    def forget(self, key: Key) -> bool:
        """Whether there was anything to forget."""
        return self._seen.pop(key, None) is not None


class _Known:
    """From which networks each mailbox was signed in to, and when that was last told; the longest untouched go first, of one
    mailbox and of all."""

    def __init__(self) -> None:
        self.capacity = 1
        self._told: OrderedDict[tuple[str, str], float] = OrderedDict()
        self._networks: dict[str, OrderedDict[str, None]] = {}
        self._homes: Counter[str] = Counter()

    def __len__(self) -> int:
        return len(self._told)

    def items(self) -> ItemsView[tuple[str, str], float]:
        return self._told.items()

    def get(self, mailbox: str, net: str) -> float | None:
        return self._told.get((mailbox, net))

    def put(self, mailbox: str, net: str, at: float) -> None:
        """It was told now that this one is known, or was at `at`."""
        self._homes[net] += (mailbox, net) not in self._told
        self._told[mailbox, net] = at
        self.touch(mailbox, net)
        if len(self._networks[mailbox]) > MOST_NETWORKS:
            self._drop(mailbox, next(iter(self._networks[mailbox])))
        if len(self._told) > self.capacity:
            self._drop(*next(iter(self._told)))

    def touch(self, mailbox: str, net: str) -> None:
        """One that is known was seen again."""
        self._told.move_to_end((mailbox, net))
        networks = self._networks.setdefault(mailbox, OrderedDict())
        networks[net] = None
        networks.move_to_end(net)

    def homes(self, net: str) -> int:
        """How many mailboxes a network is known for."""
        return self._homes.get(net, 0)

    def _drop(self, mailbox: str, net: str) -> None:
        del self._told[mailbox, net]
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
        """Other limits from now on; what was counted stays counted."""
        s = self.settings = settings
        self._pairs.configure(s.per_pair, s.window_seconds, s.capacity)
        self._stale.configure(MOST_STALE, s.stale_seconds, s.capacity)
        self._mailboxes.configure(s.per_mailbox, s.window_seconds, s.capacity)
        self._networks.configure(s.per_network, s.window_seconds, s.capacity)
        self._known.capacity = s.capacity

    def check(self, mailbox: str, peer: str, digest: bytes | None, now: float, *, open_questions: int = 0) -> Verdict:
        """Whether this attempt may be made; `digest` is None where nothing has been tried yet (SCRAM's first message).

        `open_questions`: passwords from this network that count as wrong until they are looked at. They are no tries to spare,
        and no reason to send anybody away: who would pass without them is told LATER.
        """
        net = network(peer)
        pair = mailbox, net
        if digest is not None and (self._pairs.holds(pair, digest, now) or self._stale.holds(pair, digest, now)):
            return _KNOWN_WRONG
        if wait := self._pairs.wait(pair, now):
            return Verdict(Answer.WAIT, "pair", wait)
        if not self._knows(mailbox, net, now):
            if wait := self._mailboxes.wait(mailbox, now):
                return Verdict(Answer.WAIT, "mailbox", wait)
            if wait := self._networks.wait(net, now):
                if self._networks.count(net, now) - open_questions < self.settings.per_network:
                    return _LATER
                return Verdict(Answer.WAIT, "network", wait)
        return _TRY

    def knows(self, mailbox: str, peer: str, now: float) -> bool:
        """Whether this mailbox was signed in to from this network before."""
        return self._knows(mailbox, network(peer), now)

    def suspicion(self, peer: str, now: float, *, open_questions: int = 0) -> int:
        """How far a network is suspected of guessing (decision 0088), of whoever never signed in from it before.

        0: as many mailboxes, or more, sign in from there as passwords were wrong: an office. 1: nothing is known of it.
        One more for each doubling of what was wrong. `open_questions`: passwords counted as wrong until they are looked at.
        """
        net = network(peer)
        wrong, homes = max(0, self._networks.count(net, now) - open_questions), self._known.homes(net)
        return 0 if homes and wrong <= homes else 1 + (wrong - homes).bit_length()

    def wrong(self, mailbox: str, peer: str, digest: bytes, now: float) -> None:
        """This password was wrong."""
        net = network(peer)
        self._pairs.add((mailbox, net), digest, now)
        self._stale.add((mailbox, net), digest, now)
        self._mailboxes.add(mailbox, digest, now)
        self._networks.add(net, _of(mailbox, digest), now)

    def forgive(self, mailbox: str, peer: str, digest: bytes) -> None:
        """Take back one `wrong`: it was counted in advance, and proved right or could not be checked."""
        net = network(peer)
        self._pairs.remove((mailbox, net), digest)
        self._stale.remove((mailbox, net), digest)
        self._mailboxes.remove(mailbox, digest)
        self._networks.remove(net, _of(mailbox, digest))

    def seen(self, mailbox: str, peer: str, now: float) -> bool:
        """Signed in by an app password: this network is known for this mailbox. Its mistypings stay counted: whoever has a
        stolen telephone must not gain endless guesses at the mailbox's own password by it. Whether it is news, as in `right`.
        """
        return self._know(mailbox, network(peer), now, news=False)

    def right(self, mailbox: str, peer: str, digest: bytes | None, now: float) -> bool:
        """Signed in: this network is known for this mailbox, and its mistypings are forgotten.

        Whether others who count need to hear of it: not where nothing was mistyped and they have heard within `NEWS_SECONDS`.
        """
        if digest is not None:
            self.forgive(mailbox, peer, digest)
        net = network(peer)
        return self._know(mailbox, net, now, news=self._pairs.forget((mailbox, net)) or digest is not None)

    def _know(self, mailbox: str, net: str, now: float, *, news: bool) -> bool:
        heard = self._known.get(mailbox, net)
        news = news or heard is None or now - heard > NEWS_SECONDS
        if news:
            self._known.put(mailbox, net, now)
        else:
            self._known.touch(mailbox, net)
        return news

    def is_home(self, peer: str) -> bool:
        """Whether some mailbox was signed in to from this network."""
        return self._known.homes(network(peer)) > 0

    def known(self, now: float) -> list[tuple[str, str, float]]:
        """Mailbox, network and how long ago it was last heard of, of what still counts; the longest untouched first."""
        return [
            (mailbox, net, now - since)
            for (mailbox, net), since in self._known.items()
            if now - since < self.settings.known_seconds
        ]

    def remember(self, mailbox: str, net: str, since: float) -> None:
        """What was known in an earlier life; what is known in this one is newer."""
        if self._known.get(mailbox, net) is None:
            self._known.put(mailbox, net, since)

    def _knows(self, mailbox: str, net: str, now: float) -> bool:
        since = self._known.get(mailbox, net)
        return since is not None and now - since < self.settings.known_seconds


def _of(mailbox: str, digest: bytes) -> bytes:
    return mailbox.encode() + b"\0" + digest


@lru_cache(maxsize=4096)
def network(peer: str) -> str:
    """The network that an address counts as: itself in IPv4, its /64 in IPv6 (one customer has at least that)."""
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
    """The /24 or /48 of an address: what one customer may easily have, and changes addresses in."""
    try:
        address = ip_address(network(peer).partition("/")[0])
    except ValueError:
        return peer
    width = 24 if isinstance(address, IPv4Address) else 48
    return str(ip_network((address, width), strict=False))
