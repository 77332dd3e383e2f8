"""A coroutine that need not wait has ended when its task is returned; one that waits ends later, as any task does."""

import asyncio
import sys

import pytest

from mic_mail import eager_task


@pytest.mark.skipif(sys.version_info < (3, 12), reason="this Python begins tasks in the next turn of the loop")
async def test_what_need_not_wait_has_ended_at_once() -> None:
    async def answer() -> int:
        return 7

    task = eager_task.begin(answer(), asyncio.get_running_loop())
    assert task.done()
    assert task.result() == 7


async def test_what_waits_ends_later() -> None:
    """It is a task of its own from its first line on, so that time limits work in it."""
    opened = asyncio.Event()

    async def wait() -> asyncio.Task[object] | None:
        async with asyncio.timeout(30):
            await opened.wait()
        return asyncio.current_task()

    task = eager_task.begin(wait(), asyncio.get_running_loop())
    await asyncio.sleep(0)
    assert not task.done()
    opened.set()
    assert await task is task
    assert asyncio.current_task() is not task


async def test_its_error_is_that_of_the_task() -> None:
    async def fail() -> None:
        raise ValueError("no")

    task = eager_task.begin(fail(), asyncio.get_running_loop())
    with pytest.raises(ValueError, match="no"):
        await task
