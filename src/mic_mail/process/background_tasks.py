"""Background tasks of one process: steps that run to their end whether or not anybody waits for them."""

import asyncio
from collections.abc import Coroutine
from typing import TypeVar

T = TypeVar("T")


class BackgroundTasks:
    """The tasks that are running. Belongs to the event loop."""

    def __init__(self) -> None:
        self._running: set[asyncio.Task[object]] = set()

    def __len__(self) -> int:
        return len(self._running)

    def start(self, step: Coroutine[object, object, T]) -> "asyncio.Task[T]":
        task = asyncio.get_running_loop().create_task(step)
        self._running.add(task)
        task.add_done_callback(self._running.discard)
        return task

    async def run_to_its_end(self, step: Coroutine[object, object, T]) -> T:
        """Wait for a durable step that no cancellation stops."""
        return await asyncio.shield(self.start(step))

    async def settle(self) -> None:
        """Wait until no task is running."""
        while self._running:
            await asyncio.wait(list(self._running))

    def cancel(self) -> None:
        """Cancel the tasks that are running."""
        for task in self._running:
            task.cancel()
