"""Waiting until a fact holds, instead of sleeping for a time in which it usually does.

How long a busy machine takes nobody can know: all wait with one patience, which ends before the test's own limit does, so that
a failure shows what was waited for.
"""

import asyncio
import time
from collections.abc import Callable
from typing import Literal, TypeVar

T = TypeVar("T")
PATIENCE_SECONDS = 60.0
PAUSE_SECONDS = 0.02


def wait_for(
    fact: Callable[[], T | Literal[False] | None],
    what: object = "in vain",
    *,
    meanwhile: Callable[[], object] = lambda: None,
    seconds: float = PATIENCE_SECONDS,
) -> T:
    """Return the first result of `fact` that is true.

    A failure says `what`, or what it returns; `meanwhile` is called after each look in vain, to bring the fact about.
    """
    limit = time.monotonic() + seconds
    while not (found := fact()):
        assert time.monotonic() < limit, what() if callable(what) else what
        meanwhile()
        time.sleep(PAUSE_SECONDS)
    return found


async def wait_on_loop(fact: Callable[[], T | Literal[False] | None], what: object = "in vain") -> T:
    """Do the same where the loop has to go on."""
    limit = time.monotonic() + PATIENCE_SECONDS
    while not (found := fact()):
        assert time.monotonic() < limit, what() if callable(what) else what
        await asyncio.sleep(PAUSE_SECONDS)
    return found
