"""The search cache of one process: data of segments of all accounts, and the keys of folders.

Segments never change and their numbers are not reused, so cached values are never wrong; evicted ones are read again.
"""

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import TypeVar

T = TypeVar("T")

_OVERHEAD_OCTETS = 200


class SearchCache:
    """Values by key, least recently used evicted first; safe from any thread."""

    def __init__(self, max_octets: int) -> None:
        self._max_octets = max_octets
        self._octets = 0
        self._lock = threading.Lock()
        self._kept: OrderedDict[tuple[type, Hashable], tuple[object, int]] = OrderedDict()

    def get(self, kind: type[T], key: Hashable) -> T | None:
        """Return the value cached under a key, if it is of this kind."""
        with self._lock:
            found = self._kept.get((kind, key))
            if found is None:
                return None
            self._kept.move_to_end((kind, key))
            value = found[0]
        assert isinstance(value, kind)
        return value

    def put(self, key: Hashable, value: T, octets: int) -> T:
        """Cache a value of this size, which must not change any more."""
        octets += _OVERHEAD_OCTETS
        with self._lock:
            _, old = self._kept.pop((type(value), key), (None, 0))
            self._octets += octets - old
            self._kept[type(value), key] = value, octets
            while self._octets > self._max_octets and len(self._kept) > 1:
                _, (_, dropped) = self._kept.popitem(last=False)
                self._octets -= dropped
        return value

    def forget(self, account_id: int) -> None:
        """Drop the data of an account's index, which was rebuilt: the tuples that begin with its number."""
        with self._lock:
            for kind, key in list(self._kept):
                if isinstance(key, tuple) and key[0] == account_id:
                    _, octets = self._kept.pop((kind, key))
                    self._octets -= octets

    def of(self, kind: type[T], key: Hashable, make: Callable[[], tuple[T, int]]) -> T:
        """Return the cached value, or make and cache it with its octets; two threads may make it at once."""
        return self.get(kind, key) or self.put(key, *make())

    @property
    def octets(self) -> int:
        return self._octets
