"""A server that nobody uses for a week: nothing in it grows but what the regulation wants kept."""

import gc
import os
import smtplib
import threading
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from harness import MailServer
from mic_mail.clock import ManualClock
from waiting import wait_for

pytestmark = pytest.mark.slow

BEGIN = datetime(2026, 11, 24, 3, 0, tzinfo=UTC)
PEOPLE = ("dvbe", "ttlan", "ndan")
DAYS = 7
MOST_NEW_OBJECTS = 50
"""In five days, of a quarter of a million; what this test itself keeps is among them."""
HOURLY = {"log_anchored", "loop_lagged"}
"""What a server at rest logs; the latter where the machine is busy."""


def handles() -> int:
    """Descriptors and threads."""
    return len(os.listdir("/proc/self/fd")) + threading.active_count()


class Growth:
    """What a server has that could grow, after a day."""

    def __init__(self, server: MailServer) -> None:
        server.running.context.log.flush()
        gc.collect()
        self.objects = Counter(type(each).__qualname__ for each in gc.get_objects())
        self.handles = handles()
        self.files = {str(path.relative_to(server.config.server.data_dir)) for path in server.config.server.data_dir.rglob("*")}
        self.events = Counter(event["event"] for event in server.events())


def pass_hour(server: MailServer, clock: ManualClock) -> None:
    """Let an hour pass, with all that is due in it."""
    server.move_clock_to(clock.now() + timedelta(hours=1))
    server.housekeep()


def pass_days(server: MailServer, clock: ManualClock, days: int) -> None:
    for _ in range(24 * days):
        pass_hour(server, clock)


def test_a_week_at_rest(serve: Callable[..., MailServer]) -> None:
    """Hour by hour for a week, with all jobs: no more descriptors, threads, files and objects than after the second day.

    A file is added each day, of the log. No job fails, and the last days log no more than the second one.
    """
    clock = ManualClock(BEGIN)
    server = serve({"auth": {"cleartext": True}}, clock=clock)
    for local in PEOPLE:
        server.issue(local)
    with smtplib.SMTP(server.host, server.ports["smtp"], timeout=60) as client:
        client.sendmail("a@example.org", [f"{PEOPLE[0]}@mic.gov.vn"], b"From: a@example.org\r\nSubject: rests\r\n\r\nx\r\n")
    pass_days(server, clock, 2)
    second = Growth(server)
    pass_days(server, clock, DAYS - 2)
    last = Growth(server)

    def new() -> Counter[str]:
        """Jobs also run by themselves, and open what they look at for some seconds."""
        pass_hour(server, clock)
        return Growth(server).objects - second.objects

    wait_for(lambda: new().total() < MOST_NEW_OBJECTS, new)
    wait_for(lambda: handles() <= second.handles, handles, meanwhile=lambda: pass_hour(server, clock))
    assert {Path(name).parent.name for name in last.files - second.files} == {"log"}
    assert len(last.files - second.files) <= DAYS - 2 + 1, "a file each day, and an index of the month"
    assert set(last.events - second.events) <= HOURLY
