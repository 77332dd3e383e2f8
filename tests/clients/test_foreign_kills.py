"""Postfix, Exim and OpenSMTPD bring mail while our workers are killed: what was acknowledged is there, the rest comes again."""

import contextlib
import os
import random
import signal
import time
from collections import Counter
from collections.abc import Callable

import pytest

import programs
from harness import ProcessServer
from peers.messages import PASSWORD, Inbox, message
from peers.neighbours import neighbours
from waiting import wait_for

MESSAGES, KILLS = 20, 6
BODY = ("Một dòng có dấu, dài vừa phải.\r\n") * 8_000


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_mail_arrives_whoever_is_killed(serve_processes: Callable[..., ProcessServer]) -> None:
    """Twenty messages of 300 KB from each, by DATA and by BDAT; six kills of a worker."""
    rng = random.Random(3)
    server = serve_processes({"process": {"workers": 2}})
    server.population.issue("dvbe", password=PASSWORD)
    server.start()
    with neighbours(with_us=False, home=server.ports["smtp"], trusted=server.config.certificate) as near:
        if not near.others:
            programs.lack("Postfix, Exim and OpenSMTPD")
        marks = {f"{name}-{number}." for name in near.others for number in range(MESSAGES)}
        for number in range(MESSAGES):
            for name, other in near.others.items():
                sender = f"a@{name}.example"
                other.submit(sender, ["dvbe@mic.gov.vn"], message(f"{name}-{number}.", BODY, sender))
            if number % 3 == 2 and number // 3 < KILLS:
                time.sleep(rng.uniform(0.05, 0.4))  # the kill comes at any moment
                with contextlib.suppress(ProcessLookupError, IndexError):
                    os.kill(rng.choice(server.workers()), signal.SIGKILL)
        inbox = Inbox(server, "dvbe")  # type: ignore[arg-type]  # read in the same way

        def arrived() -> Counter[str]:
            return Counter(octets.partition(b"\r\nSubject: ")[2].partition(b"\r\n")[0].decode() for octets in inbox.read())

        def all_of_it() -> bool:
            for other in near.others.values():
                other.flush()
            time.sleep(0.5)  # before they are asked for again
            with contextlib.suppress(OSError):
                return marks <= arrived().keys()
            return False

        wait_for(all_of_it, "all of it", seconds=120)
        wait_for(lambda: not any(other.queued() for other in near.others.values()), "their queues are empty", seconds=90)
        found = arrived()
    assert found.keys() == marks
    assert all(octets.endswith(BODY.encode()) for octets in inbox.raw.values())
    # Twice, where our acknowledgement was not heard; each connection at a kill has one message under way.
    assert sum(found.values()) <= len(marks) + KILLS * 20
