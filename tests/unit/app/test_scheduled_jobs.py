"""How often each thing is done."""

import errno
import os
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest

from harness import MailServer
from mic_mail.app.scheduled_jobs import IDLE_SECONDS, for_itself, for_the_server
from mic_mail.clock import ManualClock
from mic_mail.services.operations.jobs import LONGEST_IDLE_SECONDS, JobRunner
from mic_mail.storage.journal.journal import SETTLE_SECONDS, Journal


def test_the_journal_is_settled_in_time_whatever_the_configuration(serve: Callable[..., MailServer]) -> None:
    """How long names may lag behind their flags says nothing of how long messages may be durable by the journal alone."""
    server = serve({"storage": {"names_after": 60}})
    seconds = {duty.name: duty.seconds for duty in for_itself(server.running.context)}
    assert seconds["names"] == 60
    assert seconds["journal"] <= SETTLE_SECONDS / 2


def test_what_the_disk_said_to_the_journal_is_told(serve: Callable[..., MailServer], monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever reads the log can tell a full disk from a broken one."""
    server = serve()

    def fail() -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    with monkeypatch.context() as bad:
        bad.setattr(server.running.context.store.journal, "settle", fail)
        bad.setattr(Journal, "is_settled", False)
        server.housekeep()
    server.stop()
    told = [event["error"] for event in server.events() if event["event"] == "journal_failed"]
    assert told
    assert os.strerror(errno.EIO) in told[0]["en"]


def test_a_server_at_rest_has_nothing_to_do(serve: Callable[..., MailServer]) -> None:
    """But for two jobs that only compare what is in memory, no job of less than 20 s runs until something changes."""
    clock = ManualClock(datetime(2026, 11, 24, 9, 0, tzinfo=UTC))
    server = serve(clock=clock)
    mailbox = server.issue("dvbe")
    context = server.running.context
    jobs = [job for job in (*for_itself(context), *for_the_server(context)) if job.seconds < 20]
    runner = JobRunner(jobs, context.log, clock)

    async def busy() -> set[str]:
        return {job.name for job in jobs if not job.is_idle()}

    def run() -> None:
        context.log.flush()  # so that the watch of sign-ins sees no line of the last run
        server.call(runner.run_once())

    run()
    server.move_clock_to(clock.now() + timedelta(seconds=IDLE_SECONDS + 1))  # what was used by then is closed
    for _ in range(4):
        run()
    assert server.call(busy()) == {"outcomes", "known_networks"}
    server.suspend(mailbox)
    assert "notices" in server.call(busy())
    server.move_clock_to(clock.now() + timedelta(seconds=LONGEST_IDLE_SECONDS))
    assert {"reserve", "secrecy", "quarantine", "teaching", "sign_ins", "rest"} <= server.call(busy())
