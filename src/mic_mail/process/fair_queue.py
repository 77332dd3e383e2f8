"""Fair turns at an expensive operation (a password hash): a source with many calls delays only itself.

In: the source of a call, and how suspect it is now (0: not at all). Out: a turn, or `Unavailable`. Belongs to the event loop.
See decision 0088.

    sources     of equal suspicion take turns, one call each, however many calls they have waiting
    suspicion   each step halves the share of the class. A flood of guesses leaves nearly all turns to the others, and a flood
                from less suspected sources shuts nobody out for good. Suspicion is evaluated again when the turn comes: of the
                calls that one source makes together, only the first is unsuspected if it was a guess
    ahead       these calls (the user has signed in from there before) go before all others, in a queue that the others
                cannot fill
    full queue  drops the newest call of the source with most calls waiting in the most suspected class
"""

import asyncio
from collections import deque
from collections.abc import Callable
from typing import NamedTuple

from mic_mail.storage.errors import Overloaded

MOST_SUSPECTED = 10
"""The highest step of suspicion; anything beyond counts the same."""

Suspicion = Callable[[], int]


def not_suspected() -> int:
    return 0


class Waiting(NamedTuple):
    """A call that has no turn yet."""

    source: str
    suspicion: Suspicion
    turn: asyncio.Future[None]

    def step(self) -> int:
        return min(self.suspicion(), MOST_SUSPECTED)


class _Class:
    __slots__ = ("due", "sources")

    def __init__(self) -> None:
        self.due = 0
        self.sources: dict[str, deque[Waiting]] = {}
        """The sources in the order of their turns."""

    def add(self, call: Waiting) -> None:
        self.sources.setdefault(call.source, deque()).append(call)

    def next(self) -> Waiting:
        source = next(iter(self.sources))
        calls = self.sources.pop(source)
        call = calls.popleft()
        if calls:
            self.sources[source] = calls  # behind the others
        return call

    def longest(self) -> str:
        return max(self.sources, key=lambda source: len(self.sources[source]))

    def remove(self, call: Waiting) -> bool:
        calls = self.sources.get(call.source, ())
        if call not in calls:
            return False
        self.sources[call.source].remove(call)
        if not calls:
            del self.sources[call.source]
        return True


class FairLine:
    """The waiting calls, bounded in number."""

    def __init__(self, most_waiting: int) -> None:
        self._most = most_waiting
        self._count = 0
        self._now = 0
        """The virtual time: a turn of the first class takes 1, of the second 2, of the third 4, and so on."""
        self._classes = [_Class() for _ in range(MOST_SUSPECTED + 1)]

    def __len__(self) -> int:
        return self._count

    def add(self, source: str, suspicion: Suspicion) -> Waiting:
        """Add a call; raise `Unavailable` where the queue is full and no call in it can be dropped."""
        call = Waiting(source, suspicion, asyncio.get_running_loop().create_future())
        step = call.step()
        if self._count >= self._most:
            self._free_slot(source, step)
        self._place(call, step)
        self._count += 1
        return call

    def _place(self, call: Waiting, step: int) -> None:
        mine = self._classes[step]
        if not mine.sources:
            mine.due = max(mine.due, self._now)
        mine.add(call)

    def _free_slot(self, source: str, step: int) -> None:
        worst = max(step for step, each in enumerate(self._classes) if each.sources)
        most = self._classes[worst]
        calls = most.sources[most.longest()]
        if worst < step or (worst == step and len(calls) <= len(most.sources.get(source, ())) + 1):
            raise Overloaded("too many are waiting")
        dropped = calls[-1]
        most.remove(dropped)
        self._count -= 1
        if not dropped.turn.done():
            dropped.turn.set_exception(Overloaded("too many are waiting"))

    def next(self) -> Waiting | None:
        """Remove and return the call whose turn it is; None when no call waits."""
        while self._count:
            waiting = ((step, each) for step, each in enumerate(self._classes) if each.sources)
            step, mine = min(waiting, key=lambda one: one[1].due)
            self._now = mine.due
            call = mine.next()
            by_now = call.step()
            if by_now > step:  # wrong passwords were tried meanwhile
                self._place(call, by_now)
                continue
            mine.due += 1 << step
            self._count -= 1
            return call
        return None

    def leave(self, call: Waiting) -> None:
        """Remove the call if it still waits."""
        self._count -= any(each.remove(call) for each in self._classes)


class FairQueue:
    """A fixed number of concurrent turns, handed out fairly; see the module."""

    def __init__(self, turns: int, most_waiting: int) -> None:
        self._free = turns
        self._ahead, self._others = FairLine(most_waiting), FairLine(most_waiting)

    async def take(self, patience: float, source: str, suspicion: Suspicion = not_suspected, *, ahead: bool = False) -> None:
        """Return with a turn, or raise `Overloaded`."""
        if self._free and not self._ahead and not self._others:
            self._free -= 1
            return
        line = self._ahead if ahead else self._others
        call = line.add(source, suspicion)
        try:
            async with asyncio.timeout(patience):
                await call.turn
        except TimeoutError:
            self._give_up(line, call)
            raise Overloaded(f"waited {patience:g} s") from None
        except asyncio.CancelledError:
            self._give_up(line, call)
            raise

    def _give_up(self, line: FairLine, call: Waiting) -> None:
        line.leave(call)
        if call.turn.done() and not call.turn.cancelled() and call.turn.exception() is None:  # it came in the same loop turn
            self.give_back()

    def give_back(self) -> None:
        """Hand the turn to the next call."""
        while (call := self._ahead.next() or self._others.next()) is not None:
            if not call.turn.done():  # cancelled in this loop turn: its task has not run yet
                call.turn.set_result(None)
                return
        self._free += 1
