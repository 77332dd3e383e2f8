"""How the workers share what comes to a port: whoever has the fewest connections of a kind takes the next.

All workers wait on one listening socket. What each has open stands on a page of memory that all of them see. A worker writes
only its own row, so no lock is needed, and nothing has to be cleared up after one that was killed: its successor begins with a
clean row, and nobody waits twice for a worker that does not come.
"""

import mmap
import os
from typing import Final

COLUMNS: Final = 8
"""Kinds of connection, counted apart: thousands of idle mailbox sessions say nothing about who should take the next message."""
SLACK: Final = 8
"""Nobody waits for a worker that has at most an eighth fewer: where connections pour in, none should stand still."""

_COLUMN: Final = 3  # open now, of these without a sign-in, come ever
_STRANGERS, _COME = 1, 2
_ROW: Final = COLUMNS * _COLUMN
_NUMBER_OCTETS: Final = 4
_LARGEST: Final = 0xFFFFFFFF


def new_page(workers: int) -> int:
    """An anonymous page with a row of zeros for each worker; its descriptor, which the caller closes."""
    fd = os.memfd_create("mic-mail-tally")
    os.ftruncate(fd, workers * _ROW * _NUMBER_OCTETS)
    return fd


class ConnectionCounts:
    """The page as the worker of one row sees it."""

    def __init__(self, fd: int, row: int) -> None:
        """Clears the row; closes the descriptor."""
        page = mmap.mmap(fd, os.fstat(fd).st_size)
        os.close(fd)
        self._numbers = memoryview(page).cast("I")
        self._mine = row * _ROW
        for place in range(self._mine, self._mine + _ROW):
            self._numbers[place] = 0

    @classmethod
    def alone(cls) -> "ConnectionCounts":
        """For a process that shares nothing."""
        return cls(new_page(1), 0)

    def share(self, column: int) -> "Share":
        """This worker's part of the connections of one kind."""
        return Share(self._numbers, self._mine + column * _COLUMN)

    def total(self) -> int:
        """Connections of every kind in all workers."""
        return sum(self._numbers[::_COLUMN])

    def others_hold_more_anonymous(self) -> bool:
        """Whether another worker has more than twice as many connections without a sign-in as this one."""
        strangers = [sum(self._numbers[row + _STRANGERS : row + _ROW : _COLUMN]) for row in range(0, len(self._numbers), _ROW)]
        return max(strangers) > 2 * strangers[self._mine // _ROW]


class Share:
    """One worker's connections of one kind, among those of the others."""

    def __init__(self, numbers: memoryview, place: int) -> None:
        self._numbers = numbers
        self._place = place
        self._others = [other for other in range(place % _ROW, len(numbers), _ROW) if other != place]
        self._given_up: dict[int, int] = {}

    @property
    def open(self) -> int:
        """Connections that are being made or open."""
        number: int = self._numbers[self._place]
        return number

    def come(self) -> None:
        """This worker came for a connection: it is worth waiting for, whether it was in time or another was faster."""
        self._numbers[self._place + _COME] = (self._numbers[self._place + _COME] + 1) & _LARGEST

    def change(self, by: int, strangers: int = 0) -> None:
        """So many more are open (or fewer: negative), and of them so many more at which nobody has signed in."""
        self._numbers[self._place] += by
        self._numbers[self._place + _STRANGERS] += strangers

    def should_wait(self) -> bool:
        """Whether the next connection is rather for another worker."""
        return any(self._numbers[other + _COME] != self._given_up.get(other) for other in self._freer())

    def give_up(self) -> None:
        """Those with fewer did not come for a connection: no more waiting for them until they come again, if only too late."""
        for other in self._freer():
            self._given_up[other] = self._numbers[other + _COME]

    def _freer(self) -> list[int]:
        numbers, mine = self._numbers, self.open
        return [other for other in self._others if mine - numbers[other] > numbers[other] // SLACK]
