"""The open connections of one protocol in this process: looked through, counted, waited for."""

import asyncio
from collections.abc import Callable, Iterator
from typing import Generic, TypeVar

Connection = TypeVar("Connection")


class OpenConnections(Generic[Connection]):
    """A set that tells of its changes; belongs to a loop."""

    def __init__(self, changed: Callable[[int], None] = lambda by: None) -> None:
        """`changed` is told +1 and -1."""
        self._changed = changed
        self._open: set[Connection] = set()
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
            self._changed(+1)

    def discard(self, connection: Connection) -> None:
        """It has ended; may be said twice."""
        if connection in self._open:
            self._open.remove(connection)
            self._changed(-1)
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
