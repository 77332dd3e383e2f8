"""Balance connections among the workers: the worker with the fewest of a kind accepts the next.

All workers wait on one listening socket. The counts of open connections are in a page of shared memory. A worker writes only
its own row, so no lock is needed, and nothing has to be cleaned up after a killed worker: its successor clears the row, and no
worker waits twice for one that does not accept.

Where many connections have just ended, as many more than another has are no reason to wait: brief connections are shared by
whoever is awake. Long ones that begin meanwhile may be shared unevenly, by at most as many (docs/decisions/0127).
"""

import mmap
import os
import time
from typing import Final

COLUMNS: Final = 8
"""Kinds of connection, counted apart: idle mailbox sessions say nothing about mail."""
SLACK: Final = 8
"""A worker with at most an eighth fewer connections is not waited for, to keep up at high rates."""

BRIEF_ENDS: Final = 50
"""Ends of one kind of connection in a second, at one worker, from which on they count."""
_SECOND_NS: Final = 1_000_000_000

_COLUMN: Final = 3  # open now, of these unauthenticated, accept attempts ever
_STRANGERS, _COME = 1, 2
_ROW: Final = COLUMNS * _COLUMN
_NUMBER_OCTETS: Final = 4
_LARGEST: Final = 0xFFFFFFFF


def new_page(workers: int) -> int:
    """Create an anonymous page with a row of zeros for each worker; the caller closes the descriptor."""
    fd = os.memfd_create("mic-mail-tally")
    os.ftruncate(fd, workers * _ROW * _NUMBER_OCTETS)
    return fd


class ConnectionCounts:
    """The page from the view of one worker's row."""

    def __init__(self, fd: int, row: int) -> None:
        """Clear the row and close the descriptor."""
        page = mmap.mmap(fd, os.fstat(fd).st_size)
        os.close(fd)
        self._numbers = memoryview(page).cast("I")
        self._mine = row * _ROW
        for place in range(self._mine, self._mine + _ROW):
            self._numbers[place] = 0

    @classmethod
    def alone(cls) -> "ConnectionCounts":
        """Return counts for a process that shares nothing."""
        return cls(new_page(1), 0)

    def share(self, column: int) -> "Share":
        """Return this worker's part of the connections of one kind."""
        return Share(self._numbers, self._mine + column * _COLUMN)

    def total(self) -> int:
        """Return the connections of every kind in all workers."""
        return sum(self._numbers[::_COLUMN])

    def others_hold_more_anonymous(self) -> bool:
        """Return whether another worker has more than twice as many unauthenticated connections."""
        strangers = [sum(self._numbers[row + _STRANGERS : row + _ROW : _COLUMN]) for row in range(0, len(self._numbers), _ROW)]
        return max(strangers) > 2 * strangers[self._mine // _ROW]


class Share:
    """One worker's connections of one kind, compared with those of the others."""

    def __init__(self, numbers: memoryview, place: int) -> None:
        self._numbers = numbers
        self._place = place
        self._others = [other for other in range(place % _ROW, len(numbers), _ROW) if other != place]
        self._given_up: dict[int, int] = {}
        self._ends = self._ends_before = 0
        self._second = 0
        """The second in which `_ends` are counted; `_ends_before` are of the one before."""

    @property
    def open(self) -> int:
        """Connections open or being set up."""
        number: int = self._numbers[self._place]
        return number

    def come(self) -> None:
        """Record an attempt to accept, successful or not: other workers may wait for this one."""
        self._numbers[self._place + _COME] = (self._numbers[self._place + _COME] + 1) & _LARGEST

    def change(self, by: int, strangers: int = 0) -> None:
        """Add to the open connections (negative: some have ended), and to the unauthenticated ones of them."""
        self.change_coming(by, strangers)
        if by < 0:
            self._count_ends(-by)

    def change_coming(self, by: int, strangers: int = 0) -> None:
        """Add to the connections that are being set up, which count as open; those are no ends that become connections."""
        self._numbers[self._place] += by
        self._numbers[self._place + _STRANGERS] += strangers

    def _count_ends(self, ends: int) -> None:
        second = time.monotonic_ns() // _SECOND_NS
        if second != self._second:
            self._ends_before = self._ends if second == self._second + 1 else 0
            self._ends, self._second = 0, second
        self._ends += ends

    def _turnover(self) -> int:
        """Return how many connections have just ended; 0 if those are few.

        So many more than another worker has are no reason to wait.
        """
        if max(self._ends, self._ends_before) < BRIEF_ENDS:
            return 0
        self._count_ends(0)
        ends = max(self._ends, self._ends_before)
        return ends if ends >= BRIEF_ENDS else 0

    def should_wait(self) -> bool:
        """Return whether the next connection should go to another worker."""
        return any(self._numbers[other + _COME] != self._given_up.get(other) for other in self._freer())

    def give_up(self) -> None:
        """Stop waiting for workers with fewer connections, until their next attempt to accept."""
        for other in self._freer():
            self._given_up[other] = self._numbers[other + _COME]

    def _freer(self) -> list[int]:
        numbers, mine = self._numbers, self.open
        freer = [other for other in self._others if mine - numbers[other] > numbers[other] // SLACK]
        if freer and (turnover := self._turnover()):
            return [other for other in freer if mine - numbers[other] > numbers[other] // SLACK + turnover]
        return freer
