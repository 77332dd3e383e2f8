"""A registry of one protocol's open connections in this process: iterated, counted, waited for."""

import asyncio
import time
from collections.abc import Callable, Iterator, Mapping
from types import MappingProxyType
from typing import Generic, TypeVar

Connection = TypeVar("Connection")
Changed = Callable[[int, int], None]
"""Called with the change of open connections, and of unauthenticated ones among them."""


class OpenConnections(Generic[Connection]):
    """A set that reports its changes; bound to a loop."""

    def __init__(self, changed: Changed = lambda by, strangers: None) -> None:
        """Call `changed` with each change of open connections, and of unauthenticated ones among them."""
        self._changed = changed
        self._open: set[Connection] = set()
        self._strangers: dict[Connection, int] = {}
        self.strangers: Mapping[Connection, int] = MappingProxyType(self._strangers)
        """Unauthenticated connections, the oldest first, with the time since when they are."""
        self._all_closed = asyncio.Event()

    def __len__(self) -> int:
        return len(self._open)

    def __contains__(self, connection: object) -> bool:
        return connection in self._open

    def __iter__(self) -> Iterator[Connection]:
        """Iterate over a snapshot, as connections may end meanwhile."""
        return iter(tuple(self._open))

    def add(self, connection: Connection) -> None:
        """Add an open connection."""
        if connection not in self._open:
            self._open.add(connection)
            self._strangers[connection] = time.monotonic_ns()
            self._changed(+1, +1)

    def sign_in(self, connection: Connection) -> None:
        """Mark it as authenticated; may be called twice."""
        if self._strangers.pop(connection, None) is not None:
            self._changed(0, -1)

    def sign_out(self, connection: Connection) -> None:
        """Mark it as unauthenticated again."""
        if connection in self._open and connection not in self._strangers:
            self._strangers[connection] = time.monotonic_ns()
            self._changed(0, +1)

    def discard(self, connection: Connection) -> None:
        """Remove an ended connection; may be called twice."""
        if connection in self._open:
            self._open.remove(connection)
            self._changed(-1, 0 if self._strangers.pop(connection, None) is None else -1)
            if not self._open:
                self._all_closed.set()

    async def all_closed(self, seconds: float) -> bool:
        """Wait up to `seconds` until none is open; return whether that happened."""
        self._all_closed.clear()
        if self._open:
            try:
                await asyncio.wait_for(self._all_closed.wait(), seconds)
            except TimeoutError:
                return False
        return True
