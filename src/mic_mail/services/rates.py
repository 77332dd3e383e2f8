"""How many recipients a mailbox writes to in an hour: what a stolen password may send before somebody looks.

In: whose mailbox, its limit, the time. Out: counted, or the seconds until there is room; and how many it has tried. Pure: no
clock, no I/O. Counts stand by the minute, so a mailbox takes 61 pairs of small numbers at most, and no hour sees more than the
limit. The table is bounded.
"""

from collections import OrderedDict, deque

MINUTE = 60.0
MINUTES = 61
"""An hour begins anywhere in a minute, and the first minute counts whole."""


class HourlyRate:
    """The counts of one process."""

    def __init__(self, capacity: int = 50_000) -> None:
        """`capacity`: mailboxes that are remembered; the longest silent go first."""
        self._capacity = capacity
        self._counts: OrderedDict[int, deque[list[int]]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._counts)

    def take(self, mailbox_id: int, limit: int, now: float) -> float:
        """0: one more is counted; else it is counted as refused, and so many seconds it has to wait."""
        minute = int(now // MINUTE)
        counts = self._counts.setdefault(mailbox_id, deque())
        self._counts.move_to_end(mailbox_id)
        if len(self._counts) > self._capacity:
            self._counts.popitem(last=False)
        while counts and counts[0][0] <= minute - MINUTES:
            counts.popleft()
        full = sum(taken for _, taken, _ in counts) >= limit
        first = next((at for at, taken, _ in counts if taken), minute)
        if not counts or counts[-1][0] != minute:
            counts.append([minute, 0, 0])
        counts[-1][2 if full else 1] += 1
        return (first + MINUTES) * MINUTE - now if full else 0.0

    def tried(self, mailbox_id: int) -> int:
        """How many recipients it named in the hour before it last did, those that were refused included."""
        return sum(taken + refused for _, taken, refused in self._counts.get(mailbox_id, ()))
