"""Event loops for tests: one in a thread of its own, for a server that a test talks to; and those that the server runs on.

Every task of a thread's loop is ended before the loop is closed: one that is left waits to be collected, and fails whichever
test runs by then.
"""

import asyncio
import threading
from collections.abc import Callable, Coroutine, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, TypeVar

import uvloop

T = TypeVar("T")


def uvloop_alone() -> Mapping[str, Callable[[], uvloop.Loop]]:
    """The value of `pytest_asyncio_loop_factories` in a folder whose tests need the server's loop.

    Its transports behave otherwise than asyncio's where a connection has just gone.
    """
    return {"uvloop": uvloop.new_event_loop}


class LoopThread:
    """A running loop."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()

    def call(self, work: Coroutine[Any, Any, T]) -> T:
        """Run a coroutine on the loop and wait for its result; never from that loop."""
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(10)

    def end(self) -> None:
        """End what runs, and the thread."""
        self.call(_cancel_others())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()


@contextmanager
def loop_thread() -> Iterator[LoopThread]:
    """Give a running loop, ended with the block."""
    running = LoopThread()
    try:
        yield running
    finally:
        running.end()


async def _cancel_others() -> None:
    others = asyncio.all_tasks() - {asyncio.current_task()}
    for task in others:
        task.cancel()
    await asyncio.gather(*others, return_exceptions=True)
