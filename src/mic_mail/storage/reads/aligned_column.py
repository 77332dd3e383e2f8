"""A column beside a list of UIDs, updated: known values are reused, missing ones requested."""

from __future__ import annotations  # array[int] cannot be evaluated before Python 3.12

from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Generator, Mapping, Sequence

SLICE_MESSAGES = 10_000
"""Messages of one request.

Larger lists and dictionaries hold the interpreter for too long when they are made or dropped.
"""


def aligned(
    uids: array[int],
    known_uids: array[int],
    known: array[int],
    ask: Callable[[Sequence[int]], Mapping[int, int]],
    *,
    missing: int,
) -> Generator[None, None, array[int]]:
    """Compute the values of `uids`, yielding between two slices.

    `uids` are ascending, as are `known_uids`, whose values are `known`. `ask` is called with the UIDs that are not known;
    `missing` is the value of those that it returns nothing for.
    """
    first = len(known_uids) if known_uids == uids[: len(known_uids)] else 0  # usually only new ones are missing
    values = known[:first]
    for start in range(first, len(uids), SLICE_MESSAGES):
        if start > first:
            yield
        some = uids[start : start + SLICE_MESSAGES]
        low, high = bisect_left(known_uids, some[0]), bisect_right(known_uids, some[-1])
        by_uid = dict(zip(known_uids[low:high], known[low:high], strict=True))
        lacking = [uid for uid in some if uid not in by_uid]
        if lacking:
            by_uid.update(ask(lacking))
        values.extend([by_uid.get(uid, missing) for uid in some])
    return values
