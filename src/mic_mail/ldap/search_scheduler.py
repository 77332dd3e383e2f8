"""Schedule long searches: one at a time, the client that has used least first.

In: the clients that want to go on, and how long each has worked. Out: turns, one in each iteration of the loop, so that
mail waits for one slice and never for a slice of each of hundreds of connections. A client with much work waits behind
clients with little, into however many connections or requests it splits it. Belongs to the loop.
"""

import asyncio
import heapq
from itertools import count

HALF_LIFE_SECONDS = 5.0
"""Seconds after which half of a client's use is forgotten."""
_MOST_REMEMBERED = 4096
_FORGOTTEN_SECONDS = 0.001

Who = int | str
"""A mailbox, or the address of an unauthenticated client."""


class Turns:
    """The turns of one process."""

    def __init__(self) -> None:
        self._waiting: list[tuple[float, int, asyncio.Future[None]]] = []
        self._order = count()
        self._used: dict[Who, tuple[float, float]] = {}
        self._goes_on = False

    def used(self, who: Who, now: float) -> float:
        """Return the seconds of work, older ones counting less."""
        seconds, at = self._used.get(who, (0.0, now))
        return float(seconds * 0.5 ** ((now - at) / HALF_LIFE_SECONDS))

    def charge(self, who: Who, seconds: float, now: float) -> None:
        self._used[who] = self.used(who, now) + seconds, now
        if len(self._used) > _MOST_REMEMBERED:
            counts = sorted(((self.used(each, now), each) for each in self._used), key=lambda pair: pair[0], reverse=True)
            kept = [(each, seconds) for seconds, each in counts if seconds > _FORGOTTEN_SECONDS][: _MOST_REMEMBERED // 2]
            self._used = {each: (seconds, now) for each, seconds in kept}

    async def take(self, who: Who, now: float) -> None:
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        heapq.heappush(self._waiting, (self.used(who, now), next(self._order), turn))
        if not self._goes_on:
            self._goes_on = True
            asyncio.get_running_loop().call_soon(self._give)
        await turn

    def _give(self) -> None:
        while self._waiting:
            _, _, turn = heapq.heappop(self._waiting)
            if not turn.done():  # else the waiting task was cancelled
                turn.set_result(None)
                break
        self._goes_on = bool(self._waiting)
        if self._goes_on:
            asyncio.get_running_loop().call_soon(self._give)
