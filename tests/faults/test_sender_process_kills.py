"""Mail leaves a whole server: workers and sender are killed at random; what was acknowledged arrives, and is in the log."""

import contextlib
import imaplib
import os
import random
import re
import signal
import smtplib
import threading
import time
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest

from clients.outgoing import ZONE, elsewhere, letter
from dns_server import name_server
from harness import ProcessServer
from waiting import wait_for

PASSWORD = "mat khau 2026 dung de thu"
MESSAGES, WRITERS, KILLS = 240, 4, 10
QUEUED, ENDED = ("message_queued",), ("message_sent", "message_not_sent")


def write(server: ProcessServer, numbers: range, accepted: set[int]) -> None:
    """Submit until each was acknowledged; a session that ends in the middle begins again, as a mail program's would."""
    smtp: smtplib.SMTP_SSL | None = None
    for number in numbers:
        while number not in accepted:
            try:
                if smtp is None:
                    smtp = smtplib.SMTP_SSL("localhost", server.ports["submissions"], context=server.tls(), timeout=20)
                    smtp.login("dvbe", PASSWORD)
                unknown = number % 20 == 0
                to = f"{'unknown' if unknown else 'b'}@one.example"
                smtp.send_message(letter(to, subject=f"m{number}.", cc="ttlan@mic.gov.vn"))
                accepted.add(number)
            except (OSError, smtplib.SMTPException):
                smtp = None
                time.sleep(0.1)  # a worker that was killed is not there yet


def traces(events: list[dict[str, Any]], *names: str) -> set[str]:
    """The messages of which one of these is told."""
    return {each["trace"] for each in events if each["event"] in names}


def reports_in(server: ProcessServer) -> int:
    with imaplib.IMAP4_SSL("localhost", server.ports["imaps"], ssl_context=server.tls()) as imap:
        imap.login("dvbe", PASSWORD)
        imap.select("INBOX", readonly=True)
        return len(imap.search(None, 'HEADER Content-Type "multipart/report"')[1][0].split())


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_mail_leaves_whoever_is_killed(serve_processes: Callable[..., ProcessServer]) -> None:
    """240 messages of four writers, one in twenty to nobody, ten kills of a worker and the sender each."""
    rng, accepted = random.Random(8), set[int]()
    answers = {b"RCPT TO:<unknown": b"550 5.1.1 who\r\n"}
    with elsewhere(answers) as (other, port), name_server(ZONE) as names:
        server = serve_processes({"dns": {"nameservers": (names.place,)}, "sending": {"port": port}, "process": {"workers": 2}})
        for local in ("dvbe", "ttlan"):
            server.population.issue(local, password=PASSWORD)
        server.start()
        numbers = [range(each, MESSAGES, WRITERS) for each in range(WRITERS)]
        writers = [threading.Thread(target=write, args=(server, each, accepted), daemon=True) for each in numbers]
        for writer in writers:
            writer.start()
        for _ in range(KILLS):
            time.sleep(rng.uniform(0.3, 1.2))  # the kill comes at any moment
            for name in (rng.choice(("worker0", "worker1")), "sender"):
                pids = [one["pid"] for one in server.status()["processes"] if one["name"] == name and one["pid"]]
                with contextlib.suppress(ProcessLookupError):
                    for pid in pids:
                        os.kill(pid, signal.SIGKILL)
        for writer in writers:
            writer.join(120)
        places = (server.config.queue_dir / "live", server.config.spool_dir / "live")
        left = lambda: [path for place in places for path in place.iterdir()]  # noqa: E731
        wait_for(lambda: not left(), left, seconds=90)
        # A process writes an event a moment after what it tells of.
        wait_for(lambda: traces(events := server.events(), *QUEUED) <= traces(events, *ENDED), seconds=90)
        events, letters = server.events(), reports_in(server)
    assert accepted == set(range(MESSAGES))
    arrived = Counter(int(found[1]) for octets in other.messages if (found := re.search(rb"Subject: m(\d+)\.", octets)))
    assert {number for number in range(MESSAGES) if number % 20} <= arrived.keys()
    # Twice, where an acknowledgement was not heard on one way or the other; hardly ever more.
    assert sum(arrived.values()) <= MESSAGES + KILLS * 12
    assert traces(events, *QUEUED) <= traces(events, *ENDED), "each is in the log to its end"
    reported, failed = traces(events, "report_sent"), traces(events, "message_not_sent")
    assert letters == len(failed), "each is reported once, whoever is killed"
    assert reported <= failed
    assert len(failed - reported) <= KILLS, "what the log's thread had not written yet dies with its process"
