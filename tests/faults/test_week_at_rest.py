"""A week in which nobody uses the server, by a moved clock: nothing grows."""

import gc
import os
import sys
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest

from harness import MailServer, files_in
from mic_mail.clock import ManualClock

START = datetime(2026, 11, 23, 1, tzinfo=UTC)
MOST_GROWTH = 1.01


def held() -> dict[str, int]:
    """Blocks of memory that Python holds, open descriptors, threads: of the server in this process."""
    gc.collect()
    return {
        "blocks": sys.getallocatedblocks(),
        "descriptors": len(os.listdir("/proc/self/fd")),
        "threads": len(os.listdir("/proc/self/task")),
    }


@pytest.mark.slow
def test_a_week_at_rest(serve: Callable[..., MailServer]) -> None:
    """After each hour all recurring jobs run; from the second day to the eighth memory, descriptors, threads and files stay,
    but for the log, which has files of each day."""
    clock = ManualClock(START)
    server = serve({}, clock=clock)
    server.issue("dvbe")
    found = []
    for hour in range(8 * 24 + 1):
        server.move_clock_to(START + timedelta(hours=hour))
        server.housekeep()
        if hour in (24, 8 * 24):
            files = [path for path in files_in(server.config.server.data_dir) if server.config.log_dir not in path.parents]
            found.append(held() | {"files": len(files)})
    first, last = found
    assert {name: (first[name], last[name]) for name in first if last[name] > first[name] * MOST_GROWTH} == {}
