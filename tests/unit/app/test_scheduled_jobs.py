"""How often each thing is done."""

import errno
import os
from collections.abc import Callable

import pytest

from harness import MailServer
from mic_mail.app.scheduled_jobs import for_itself
from mic_mail.storage.journal.journal import SETTLE_SECONDS


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
        server.housekeep()
    server.stop()
    told = [event["error"] for event in server.events() if event["event"] == "journal_failed"]
    assert told
    assert os.strerror(errno.EIO) in told[0]["en"]
