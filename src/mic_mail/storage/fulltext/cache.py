"""The search cache of one process.

It holds data of segments of all accounts, the keys of folders, and answers about large texts.

Segments never change and their numbers are not reused, so cached values are never wrong; evicted ones are read again.
"""

from collections.abc import Callable, Collection, Hashable
from typing import TypeVar

from mic_mail.weighted_cache import WeightedCache

T = TypeVar("T")

_OVERHEAD_OCTETS = 200
_ANSWERS_SHARE = 16
"""One octet in so many is for answers, beside the others."""


class SearchCache:
    """Values by type and key, least recently used evicted first; safe from any thread."""

    def __init__(self, max_octets: int) -> None:
        self._values: WeightedCache[tuple[type, Hashable], object] = WeightedCache(max_octets)
        self._answers: WeightedCache[Hashable, Collection[int]] = WeightedCache(max_octets // _ANSWERS_SHARE)

    def get(self, kind: type[T], key: Hashable) -> T | None:
        """Return the value cached under a key, if it is of this kind."""
        value = self._values.get((kind, key))
        assert value is None or isinstance(value, kind)
        return value

    def put(self, key: Hashable, value: T, octets: int) -> T:
        """Cache a value of this size, which must not change any more."""
        self._values.put((type(value), key), value, octets + _OVERHEAD_OCTETS)
        return value

    def drop(self, kind: type, key: Hashable) -> None:
        """Drop a value that nobody will ask for any more."""
        self._values.drop((kind, key))

    def forget(self, account_id: int) -> None:
        """Drop the data of an account's index, which was rebuilt: the tuples that begin with its number."""
        self._values.drop_where(lambda at: isinstance(at[1], tuple) and at[1][0] == account_id)
        self._answers.drop_where(lambda at: isinstance(at, tuple) and at[0] == account_id)

    def of(self, kind: type[T], key: Hashable, make: Callable[[], tuple[T, int]]) -> T:
        """Return the cached value, or make and cache it with its octets; two threads may make it at once."""
        return self.get(kind, key) or self.put(key, *make())

    def answer(self, key: Hashable) -> Collection[int] | None:
        """Return the answer that was kept under a key."""
        return self._answers.get(key)

    def keep_answer(self, key: Hashable, answer: Collection[int], octets: int) -> None:
        """Keep an answer, whose key has so many octets, apart from the values: a large text would displace it."""
        self._answers.put(key, answer, octets + 60 * len(answer) + _OVERHEAD_OCTETS)

    @property
    def octets(self) -> int:
        return self._values.weight + self._answers.weight
