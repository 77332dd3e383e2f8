"""Which passwords somebody is trying at many mailboxes: whoever has such a one will be found (Reg. 7.2.c).

In: that a password was wrong at an address, the time; both as marks that show nothing. Out: at how many addresses it was wrong
lately, whatever networks it came from. The throttle counts by mailbox and network, and so never sees a list that is tried from
a thousand addresses, one guess each. Pure: no clock, no I/O; bounded.
"""

from collections import OrderedDict
from typing import Final

MOST_PASSWORDS: Final = 20_000
MOST_ADDRESSES: Final = 2_000
"""The most that is counted of one password: the largest value of `anomaly.sprayed`."""


class Sprays:
    """The table of one process."""

    def __init__(self, capacity: int = MOST_PASSWORDS) -> None:
        self._capacity = capacity
        self._tried: OrderedDict[bytes, OrderedDict[bytes, float]] = OrderedDict()
        self._counted = 0

    def wrong(self, password: bytes, address: bytes, now: float) -> None:
        """This password was wrong at this address."""
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

    def count(self, password: bytes, own: bytes, now: float, window: float) -> int:
        """At how many other addresses it was wrong within `window` seconds."""
        at = self._tried.get(password)
        if at is None:
            return 0
        while at and next(iter(at.values())) <= now - window:
            at.popitem(last=False)
            self._counted -= 1
        if not at:
            del self._tried[password]
        return len(at) - (own in at)
