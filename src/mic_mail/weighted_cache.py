"""A cache that is bounded by the weight of its values, in octets or in whatever else they cost."""

from collections import OrderedDict
from collections.abc import Callable, Hashable
from threading import Lock
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


class WeightedCache(Generic[K, V]):
    """Values by key, the least recently used dropped first; safe from any thread.

    A single value may exceed the bound: it stays until the next one comes.
    """

    __slots__ = ("_entries", "_lock", "_most", "weight")

    def __init__(self, most: int) -> None:
        self._most = most
        self._lock = Lock()
        self._entries: OrderedDict[K, tuple[V, int]] = OrderedDict()
        self.weight = 0
        """The weight of all values."""

    def __len__(self) -> int:
        return len(self._entries)

    def get(self, key: K) -> V | None:
        with self._lock:
            entry = self._entries.get(key)
            if entry is None:
                return None
            self._entries.move_to_end(key)
            return entry[0]

    def put(self, key: K, value: V, weight: int) -> None:
        with self._lock:
            self._drop(key)
            self._entries[key] = value, weight
            self.weight += weight
            while self.weight > self._most and len(self._entries) > 1:
                self._drop(next(iter(self._entries)))

    def drop(self, key: K) -> None:
        with self._lock:
            self._drop(key)

    def drop_where(self, holds: Callable[[K], bool]) -> None:
        """Drop the values whose key satisfies `holds`."""
        with self._lock:
            for key in [key for key in self._entries if holds(key)]:
                self._drop(key)

    def _drop(self, key: K) -> None:
        if (entry := self._entries.pop(key, None)) is not None:
            self.weight -= entry[1]
