"""What a server takes while nobody uses it, and what a command costs."""

from __future__ import annotations

import resource
import subprocess
import time
from collections.abc import Sequence

from mailboxes import wait_for_indexer
from measure import cpu_seconds, memory_kib, sleeps
from servers import Server
from work import Bench, Figures


def prepare(bench: Bench, servers: Sequence[Server]) -> None:
    """Wait until what a start, or the last load, has left to do is done."""
    for server in servers:
        wait_for_indexer(bench, server)
        _wait_for_idle_end(bench, server)
    time.sleep(5 * bench.sizes.settle)


def _wait_for_idle_end(bench: Bench, server: Server) -> None:
    """Until our indexer has ended for lack of work (`docs/decisions/0120`), five minutes at most."""
    end = time.monotonic() + 30 * bench.sizes.settle
    while server.status and time.monotonic() < end:
        if all(one.get("resting") for one in server.processes() if one["name"] == "index"):
            return
        time.sleep(1)


def at_rest(bench: Bench, server: Server) -> Figures:
    """Memory, share of a core and wake-ups a second, all processes, in a window in which nothing is asked of it."""
    window = 6 * bench.sizes.seconds
    slept, cpu = sleeps(server.pids), cpu_seconds(server.pids)
    time.sleep(window)
    return {
        "wake_ups": (sleeps(server.pids) - slept) / window,
        "core": (cpu_seconds(server.pids) - cpu) / window * 100,
        "pss_mib": memory_kib(server.pids) / 1024,
    }


def list_mailboxes(bench: Bench, server: Server) -> Figures:
    """The command that lists mailboxes, beside the running server: processor seconds."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(server.command_line, check=True, capture_output=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return {"cpu_s": after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime}
