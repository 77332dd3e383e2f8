"""One processor core for a worker's event loop and the thread that publishes its waves.

Both need the same interpreter, so they never run at once, but hand it to each other at each system call: some hundred times for
a wave. Left to the kernel they lie on two cores, and each handing over wakes a core that has begun to sleep. On one core a
third more messages pass (decision 0016). Threads that work without the interpreter, for disks and password hashes, stay free.
"""

import os

from mic_mail.process.lanes import Lanes


async def share_core(lanes: Lanes, row: int) -> int | None:
    """Keep the calling loop's thread and the delivery lane's on one core; which, or None where that is not allowed.

    `row` is the worker's number. Call it when all threads have been started: a new one inherits its maker's core.
    """
    try:
        core = _core_of(row)
        _stay_on(core)
        await lanes.delivery(_stay_on, core)
    except OSError:  # a sandbox forbids it: the kernel places us as it likes
        return None
    return core


def _core_of(row: int) -> int:
    """The workers of a server take the cores in turn. Where the first one begins differs between servers on one machine."""
    cores = sorted(os.sched_getaffinity(0))
    return cores[(os.getppid() + row) % len(cores)]


def _stay_on(core: int) -> None:
    os.sched_setaffinity(0, {core})  # of the calling thread, as 0 says
