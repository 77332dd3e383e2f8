"""Waiting until a fact holds, instead of sleeping for a time in which it usually does.

How long a busy machine takes nobody can know: all wait with one patience, which ends before the test's own limit does, so that
a failure shows what was waited for.
"""

import asyncio
import socket
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


def listens(port: int) -> bool:
    """Whether somebody listens on a port of 127.0.0.1."""
    try:
        socket.create_connection(("127.0.0.1", port), 1).close()
    except OSError:
        return False
    return True


def stays(fact: Callable[[], object], what: object = "it changed", *, seconds: float = 0.5) -> None:
    """Assert that a fact holds throughout a moment, in which a quiet machine would do what must not be done.

    A failure is a defect on any machine. A machine that is too busy to do wrong in time passes.
    """
    limit = time.monotonic() + seconds
    while time.monotonic() < limit:
        assert fact(), what() if callable(what) else what
        time.sleep(PAUSE_SECONDS)


async def stays_on_loop(fact: Callable[[], object], what: object = "it changed", *, seconds: float = 0.3) -> None:
    """Do the same where the loop has to go on."""
    limit = time.monotonic() + seconds
    while time.monotonic() < limit:
        assert fact(), what() if callable(what) else what
        await asyncio.sleep(PAUSE_SECONDS)


async def wait_on_loop(fact: Callable[[], T | Literal[False] | None], what: object = "in vain") -> T:
    """Do the same where the loop has to go on."""
    limit = time.monotonic() + PATIENCE_SECONDS
    while not (found := fact()):
        assert time.monotonic() < limit, what() if callable(what) else what
        await asyncio.sleep(PAUSE_SECONDS)
    return found
