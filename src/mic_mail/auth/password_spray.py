"""Detect password spraying: one password tried at many mailboxes (Reg. 7.2.c).

A mailbox with such a password will be found by the attacker. In: a failed password, its address and the time; password and
address as digests. Out: at how many addresses it failed lately, from any network. The throttle counts by mailbox and network,
and so cannot detect a list that is tried from a thousand addresses, one guess each. Pure: no clock, no I/O; bounded.
"""

from collections import OrderedDict
from typing import Final

MOST_PASSWORDS: Final = 20_000
MOST_ADDRESSES: Final = 2_000
"""Most addresses counted for one password: the largest value of `anomaly.sprayed`."""


class SprayCounter:
    """The table of one process."""

    def __init__(self, capacity: int = MOST_PASSWORDS) -> None:
        self._capacity = capacity
        self._tried: OrderedDict[bytes, OrderedDict[bytes, float]] = OrderedDict()
        self._counted = 0

    def wrong(self, password: bytes, address: bytes, now: float) -> None:
        """Record that this password was wrong at this address."""
        at = self._tried.setdefault(password, OrderedDict())
        self._tried.move_to_end(password)
        self._counted += address not in at
        at[address] = now
        at.move_to_end(address)
        if len(at) > MOST_ADDRESSES:
            at.popitem(last=False)
            self._counted -= 1
        while len(self._tried) > self._capacity or self._counted > 10 * self._capacity:
            _, gone = self._tried.popitem(last=False)
            self._counted -= len(gone)

    @property
    def is_empty(self) -> bool:
        """True if no password was wrong, so that nobody need compute what `count` takes."""
        return not self._tried

    def count(self, password: bytes, own: bytes, now: float, window: float) -> int:
        """Return at how many other addresses it was wrong within `window` seconds."""
        at = self._tried.get(password)
        if at is None:
            return 0
        while at and next(iter(at.values())) <= now - window:
            at.popitem(last=False)
            self._counted -= 1
        if not at:
            del self._tried[password]
        return len(at) - (own in at)
