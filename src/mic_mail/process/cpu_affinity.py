"""One processor core for a worker's event loop and the threads that work for it under the same interpreter.

They never run at once, but hand the interpreter to each other at each system call and each step of a statement: some hundred
times for a wave of deliveries, some ten for an IMAP command. Left to the kernel they lie on two cores, and each handing over
wakes a core that has begun to sleep. On one core a third more passes (decisions 0016, 0040). Threads that work without the
interpreter, for password hashes and the log's disk, stay free.
"""

import os

from mic_mail.process.executors import Executors


def share_core(lanes: Executors, row: int) -> int | None:
    """Keep the threads of the calling loop, the delivery lane and the io lane on one core; which, or None if forbidden.

    `row` is the worker's number. Call it when all threads have been started: a new one inherits its maker's core.
    """
    try:
        core = _core_of(row)
        for thread in (0, *lanes.close_to_the_loop()):  # 0 is the calling one
            os.sched_setaffinity(thread, {core})
    except OSError:  # a sandbox forbids it: the kernel places us as it likes
        return None
    return core


def _core_of(row: int) -> int:
    """The workers of a server take the cores in turn. Where the first one begins differs between servers on one machine."""
    cores = sorted(os.sched_getaffinity(0))
    return cores[(os.getppid() + row) % len(cores)]
