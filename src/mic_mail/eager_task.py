"""Begin a coroutine at once, as a task: a call that need not wait costs no turn of the loop.

`asyncio.create_task` only schedules a coroutine, which begins in the next turn of the loop. Python 3.12 and later can begin it
in the caller; on Python 3.11 it is scheduled.
"""

import asyncio
import sys
from collections.abc import Coroutine
from typing import Any, TypeVar

T = TypeVar("T")


def begin(coroutine: Coroutine[Any, Any, T], loop: asyncio.AbstractEventLoop) -> "asyncio.Task[T]":
    """Return the task of a coroutine, run up to its first wait where Python can do that.

    A coroutine that waits for nothing has ended.
    """
    if sys.version_info >= (3, 12):
        return asyncio.Task(coroutine, loop=loop, eager_start=True)
    return loop.create_task(coroutine)
