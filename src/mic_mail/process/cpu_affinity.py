"""One processor core for a worker's event loop and the threads that share its interpreter.

The threads never run at the same time: they pass the interpreter lock to each other at each system call and each step of an SQL
statement, some hundred times for a batch of deliveries, about ten times for an IMAP command. Left to the kernel they run on two
cores, and each handover wakes a core that has begun to sleep. One core for all raises the throughput by a third (decisions
0016, 0040, 0122). Threads that work without the interpreter lock (password hashes, the log's disk) are not pinned.
"""

import os

from mic_mail.process.executors import Executors


def share_core(executors: Executors, row: int) -> int | None:
    """Pin the calling loop and the cpu, delivery and io executors to one core.

    Return the core, or None where pinning is forbidden. `row` is the worker's number. Call it when all threads have been
    started: a new thread inherits the core of its creator.
    """
    try:
        core = _core_of(row)
        for thread in (0, *executors.loop_bound_threads()):  # 0 is the calling thread
            os.sched_setaffinity(thread, {core})
    except OSError:  # a sandbox forbids it: the kernel places the threads
        return None
    return core


def _core_of(row: int) -> int:
    """Return a worker's core; the first one depends on the supervisor's process id, so that servers share a machine."""
    cores = sorted(os.sched_getaffinity(0))
    return cores[(os.getppid() + row) % len(cores)]
