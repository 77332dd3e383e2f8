"""The open connections of one protocol in this process: looked through, counted, waited for."""

import asyncio
import time
from collections.abc import Callable, Iterator, Mapping
from types import MappingProxyType
from typing import Generic, TypeVar

Connection = TypeVar("Connection")
Changed = Callable[[int, int], None]
"""So many more connections are open; of them, so many more at which nobody has signed in."""


class OpenConnections(Generic[Connection]):
    """A set that tells of its changes; belongs to a loop."""

    def __init__(self, changed: Changed = lambda by, strangers: None) -> None:
        """`changed` is told how many more or fewer are open, and of them those at which nobody has signed in."""
        self._changed = changed
        self._open: set[Connection] = set()
        self._strangers: dict[Connection, int] = {}
        self.strangers: Mapping[Connection, int] = MappingProxyType(self._strangers)
        """Those at which nobody has signed in, the oldest first, and since when."""
        self._all_closed = asyncio.Event()

    def __len__(self) -> int:
        return len(self._open)

    def __contains__(self, connection: object) -> bool:
        return connection in self._open

    def __iter__(self) -> Iterator[Connection]:
        """Those of this moment: they may end while they are looked through."""
        return iter(tuple(self._open))

    def add(self, connection: Connection) -> None:
        """It is open."""
        if connection not in self._open:
            self._open.add(connection)
            self._strangers[connection] = time.monotonic_ns()
            self._changed(+1, +1)

    def sign_in(self, connection: Connection) -> None:
        """Somebody has signed in at it; may be said twice."""
        if self._strangers.pop(connection, None) is not None:
            self._changed(0, -1)

    def sign_out(self, connection: Connection) -> None:
        """Nobody is signed in at it any more."""
        if connection in self._open and connection not in self._strangers:
            self._strangers[connection] = time.monotonic_ns()
            self._changed(0, +1)

    def discard(self, connection: Connection) -> None:
        """It has ended; may be said twice."""
        if connection in self._open:
            self._open.remove(connection)
            self._changed(-1, 0 if self._strangers.pop(connection, None) is None else -1)
            if not self._open:
                self._all_closed.set()

    async def all_closed(self, seconds: float) -> bool:
        """Wait until none is open, for so long at most; whether it came to that."""
        self._all_closed.clear()
        if self._open:
            try:
                await asyncio.wait_for(self._all_closed.wait(), seconds)
            except TimeoutError:
                return False
        return True
