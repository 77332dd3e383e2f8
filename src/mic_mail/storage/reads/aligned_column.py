"""A column beside a list of UIDs, brought up to date: what was known of a message is kept, what is not is asked for."""

from __future__ import annotations  # array[int] cannot be evaluated before Python 3.12

from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Generator, Mapping, Sequence

SLICE_MESSAGES = 10_000
"""Asked for at once; larger lists and dictionaries keep the interpreter for too long when they are made or dropped."""


def aligned(
    uids: array[int],
    known_uids: array[int],
    known: array[int],
    ask: Callable[[Sequence[int]], Mapping[int, int]],
    *,
    missing: int,
) -> Generator[None, None, array[int]]:
    """The values of `uids` (ascending, as `known_uids`, whose values are `known`), with a pause between two slices.

    `ask` is given the UIDs that are not known; `missing` is the value of those that it tells nothing of.
    """
    first = len(known_uids) if known_uids == uids[: len(known_uids)] else 0  # mostly only new ones are missing
    values = known[:first]
    for start in range(first, len(uids), SLICE_MESSAGES):
        if start > first:
            yield
        some = uids[start : start + SLICE_MESSAGES]
        low, high = bisect_left(known_uids, some[0]), bisect_right(known_uids, some[-1])
        told = dict(zip(known_uids[low:high], known[low:high], strict=True))
        lacking = [uid for uid in some if uid not in told]
        if lacking:
            told.update(ask(lacking))
        values.extend([told.get(uid, missing) for uid in some])
    return values
