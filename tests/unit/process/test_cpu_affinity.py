"""The threads that share a worker's core."""

import asyncio
import os
from collections.abc import Iterator

import pytest

from mic_mail.process.cpu_affinity import share_core
from mic_mail.process.executors import Executors


@pytest.fixture
def cores() -> Iterator[set[int]]:
    """The cores of this thread, given back at the end."""
    before = os.sched_getaffinity(0)
    yield before
    os.sched_setaffinity(0, before)


def test_the_threads_that_need_the_interpreter_share_the_loops_core(cores: set[int]) -> None:
    """Passwords are hashed without the interpreter lock, on any core."""

    async def place() -> None:
        executors = Executors(io_threads=2, hash_threads=1)
        try:
            core = share_core(executors, 0)
            assert core in cores
            needing = (executors.cpu_executor, executors.io_executor, executors._delivery_executor)
            for thread in (0, *(thread for executor in needing for thread in executor.thread_ids())):
                assert os.sched_getaffinity(thread) == {core}
            for thread in executors._hash_executor.thread_ids():
                assert os.sched_getaffinity(thread) == cores
        finally:
            executors.close()

    asyncio.run(place())
