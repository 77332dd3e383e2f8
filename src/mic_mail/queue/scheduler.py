"""The send scheduler: round-robin among destinations, with bounded concurrency for each. Pure.

In: jobs (an entry's recipients in one domain), instants, how each attempt ended. Out: the job that may begin now, or
when the next is due.

    turns         destinations that have jobs are served in turn: a thousand messages to one delay no other; within a
                  destination the job due first goes first
    at once       a destination begins with one connection, so one that never answers holds no more. Each served job
                  allows more, up to `most`; trouble halves the number
    dead          after TROUBLES in a row without success nothing is tried for a while; then one message probes for all.
                  This is remembered for a while even if nothing waits any more, as messages may come one by one
    again         a deferred message returns after a pause of its own, which doubles (RFC 5321 §4.5.4.1)

Pauses are spread at random, so that messages deferred together do not return together.
"""

import heapq
from collections import OrderedDict, deque
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum

MINUTE = 60.0
HOUR = 3600.0
FIRST_PAUSE, LONGEST_PAUSE = 5 * MINUTE, 4 * HOUR
FIRST_SILENCE, LONGEST_SILENCE = 2 * MINUTE, 30 * MINUTE
TROUBLES = 3
REMEMBERED, MOST_REMEMBERED = HOUR, 10_000
"""Retention of a troubled destination since its last trouble, and the most that are remembered.

It is longer than any silence.
"""
SPREAD = 0.1

RandomSource = Callable[[], float]
"""Returns a random number from 0 up to 1, as `random.random`."""


def pause(attempts: int, random: RandomSource) -> float:
    """Return the seconds until a message with this number of attempts is tried again."""
    doubled = FIRST_PAUSE * 2.0 ** min(max(attempts - 1, 0), 10)
    return min(doubled, LONGEST_PAUSE) * (1 + SPREAD * (2 * random() - 1))


def remaining(next_try_us: int, now_us: int) -> float:
    """Return the seconds left of a pause; a longer one than any began before a clock step, and is over."""
    seconds = (next_try_us - now_us) / 1_000_000
    return seconds if 0 < seconds <= LONGEST_PAUSE * (1 + SPREAD) else 0.0


@dataclass(frozen=True, slots=True)
class DeliveryJob:
    """Recipients of one entry in one domain, by index in its envelope."""

    entry_id: str
    domain: str
    places: tuple[int, ...]


class End(Enum):
    """The outcome of an attempt for the destination."""

    SERVED = "served"
    """The server was reached, whatever it replied."""
    TROUBLE = "trouble"
    """The server was not reached, or could not be used."""
    NOT_ASKED = "not asked"
    """Nothing was learnt about the destination: the entry was held, or this server had an error."""


@dataclass(slots=True)
class _Destination:
    ready: deque[DeliveryJob] = field(default_factory=deque)
    running: int = 0
    allowed: float = 1.0
    troubles: int = 0
    silences: int = 0
    silent_until: float = 0.0

    def may_begin(self, now: float) -> bool:
        """Return whether one more job may begin; after a silence one probes for all."""
        if not self.ready or now < self.silent_until:
            return False
        return self.running < (1 if self.silences else int(self.allowed))


class Schedule:
    """The schedule of one process that sends."""

    def __init__(self, *, most: int = 20, at_once: int = 200, random: RandomSource) -> None:
        """`most` bounds concurrent jobs to one destination, `at_once` to all."""
        self._most = most
        self._at_once = at_once
        self._random = random
        self._destinations: dict[str, _Destination] = {}
        self._turns: OrderedDict[str, None] = OrderedDict()
        """Destinations with a ready job, in their order."""
        self._troubled: OrderedDict[str, float] = OrderedDict()
        """Destinations with trouble since they last served, and until when that is remembered; oldest first."""
        self._later: list[tuple[float, int, DeliveryJob]] = []
        self._wakes: list[tuple[float, str]] = []
        self._number = 0
        self.running = 0

    def __len__(self) -> int:
        return len(self._later) + sum(len(destination.ready) for destination in self._destinations.values())

    def add(self, job: DeliveryJob, due: float) -> None:
        """Schedule a job at `due`, or as soon as possible after that."""
        self._number += 1
        heapq.heappush(self._later, (due, self._number, job))

    def limit(self, most: int) -> None:
        """Bound concurrent jobs to one destination anew; those in progress go on."""
        if most != self._most:
            self._most = most
            for destination in self._destinations.values():
                destination.allowed = min(destination.allowed, float(most))

    def remove(self, *entry_ids: str) -> list[DeliveryJob]:
        """Remove and return the waiting jobs of these entries, in one pass over all jobs."""
        wanted = frozenset(entry_ids)
        gone = [job for _, _, job in self._later if job.entry_id in wanted]
        self._later = [later for later in self._later if later[2].entry_id not in wanted]
        heapq.heapify(self._later)
        for domain, destination in list(self._destinations.items()):
            if any(job.entry_id in wanted for job in destination.ready):
                gone += [job for job in destination.ready if job.entry_id in wanted]
                destination.ready = deque(job for job in destination.ready if job.entry_id not in wanted)
                self._let_go(domain)
        return gone

    def next(self, now: float, *, only: str | None = None) -> DeliveryJob | None:
        """Return a job that begins now, of the destination `only` if given; the caller calls `done` once."""
        self._wake(now)
        if self.running >= self._at_once:
            return None
        while self._turns if only is None else only in self._turns:
            domain = next(iter(self._turns)) if only is None else only
            destination = self._destinations[domain]
            job = destination.ready.popleft() if destination.may_begin(now) else None
            if job is not None:
                destination.running += 1
                self.running += 1
                self._turns.move_to_end(domain)
            if not destination.may_begin(now):
                self._turns.pop(domain)
            if job is not None:
                return job
        return None

    def due(self) -> float | None:
        """Return when another job may be ready; None if nothing waits for the clock."""
        instants = [heap[0][0] for heap in (self._later, self._wakes) if heap]
        return min(instants, default=None)

    def done(self, job: DeliveryJob, end: End, now: float) -> None:
        """Record the end of a job. Recipients to be tried again are added anew."""
        destination = self._destinations[job.domain]
        destination.running -= 1
        self.running -= 1
        if end is End.SERVED:
            destination.troubles = destination.silences = 0
            destination.silent_until = 0.0
            self._troubled.pop(job.domain, None)
            destination.allowed = min(float(self._most), destination.allowed + 1 / destination.allowed)
        elif end is End.TROUBLE:
            self._trouble(job.domain, destination, now)
        self._offer(job.domain, destination)
        self._let_go(job.domain)

    def silent_until(self, domain: str, now: float) -> float:
        """Return until when the destination is silenced; `now` if it is not."""
        destination = self._destinations.get(domain)
        return max(now, destination.silent_until) if destination is not None else now

    def ask_again(self, domain: str) -> None:
        """Let one message probe the destination now for all, whatever came before."""
        destination = self._destinations.get(domain)
        if destination is not None:
            destination.silent_until = 0.0
            self._offer(domain, destination)

    # ------------------------------------------------------------ internals

    def _trouble(self, domain: str, destination: _Destination, now: float) -> None:
        self._troubled[domain] = now + REMEMBERED
        self._troubled.move_to_end(domain)
        destination.troubles += 1
        destination.allowed = max(1.0, destination.allowed / 2)
        if now < destination.silent_until or (destination.troubles < TROUBLES and not destination.silences):
            return
        silence = min(FIRST_SILENCE * 2.0 ** min(destination.silences, 10), LONGEST_SILENCE)
        destination.silences += 1
        destination.silent_until = now + silence * (1 + SPREAD * (2 * self._random() - 1))
        heapq.heappush(self._wakes, (destination.silent_until, domain))

    def _wake(self, now: float) -> None:
        while self._later and self._later[0][0] <= now:
            _, _, job = heapq.heappop(self._later)
            destination = self._destinations.setdefault(job.domain, _Destination())
            destination.ready.append(job)
            self._offer(job.domain, destination)
        while self._wakes and self._wakes[0][0] <= now:
            _, domain = heapq.heappop(self._wakes)
            if (waiting := self._destinations.get(domain)) is not None:
                self._offer(domain, waiting)
        while self._troubled and (len(self._troubled) > MOST_REMEMBERED or next(iter(self._troubled.values())) <= now):
            domain, _ = self._troubled.popitem(last=False)
            self._let_go(domain)

    def _let_go(self, domain: str) -> None:
        destination = self._destinations[domain]
        if not destination.ready:
            self._turns.pop(domain, None)
            if not destination.running and domain not in self._troubled:
                del self._destinations[domain]

    def _offer(self, domain: str, destination: _Destination) -> None:
        if destination.ready:
            self._turns.setdefault(domain)
