"""What was acknowledged and cannot be put into one of its mailboxes yet: it waits, is tried again, is never lost."""

import errno
import os
import smtplib
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from addresses import parsed
from harness import MailServer
from mic_mail.clock import ManualClock
from mic_mail.log.maillog import stamp
from mic_mail.mailbox_address import NULL_PATH
from mic_mail.policy.facts import FactKind
from mic_mail.queue.local_spool import LocalSpool, LocalSpoolEntry
from mic_mail.queue.spool import SpoolEnvelope, SpoolTarget
from population import draft
from waiting import wait_for

NOW = datetime(2026, 11, 24, 3, tzinfo=UTC)
MESSAGE = b"From: a@a.example\r\nSubject: x\r\n\r\n" + b"0123456789\r\n" * 200


def slips(server: MailServer) -> list[SpoolEnvelope]:
    """What waits in the spool when nothing is under way."""
    server.call(server.running.context.mailflow.settle())
    spool = server.running.context.spool
    return [envelope for name in spool.names() if (envelope := spool.read(name)) is not None]


def messages(server: MailServer, local: str) -> int:
    return len(list((server.config.mail_root / "mic.gov.vn" / local / "Maildir" / "cur").glob("*")))


def deferred(server: MailServer, count: int) -> list[dict[str, Any]]:
    """So many events, as soon as the log has them."""
    return wait_for(
        lambda: len(events := [event for event in server.events() if event["event"] == "delivery_deferred"]) >= count and events
    )


def test_a_file_of_the_spool_that_cannot_be_opened_is_told_of_once(serve: Callable[..., MailServer]) -> None:
    """By its name, and no duty fails for it; what waits beside it is delivered."""
    server = serve(clock=ManualClock(NOW))
    dvbe = server.issue("dvbe")
    spool = server.running.context.spool
    for spool_id in ("a1", "a3"):
        entry = spool.draft(spool_id)
        entry.write(MESSAGE)
        target = SpoolTarget(dvbe.mailbox_id, parsed("dvbe@mic.gov.vn"))
        entry.commit(
            SpoolEnvelope(trace_id=spool_id, sender=NULL_PATH, targets=(target,), accepted_at_us=1, return_path_octets=0)
        ).release()
    bad = server.config.spool_dir / "live" / "a2.msg"
    bad.symlink_to(bad.name)
    for _ in range(3):
        server.housekeep()
    assert slips(server) == []
    assert messages(server, "dvbe") == 2
    server.stop()
    events = [event for event in server.events() if event["event"] == "spool_entry_unreadable"]
    assert [(event["file"], event["error"]) for event in events] == [(str(bad), os.strerror(errno.ELOOP))]
    assert not any(event["event"] == "duty_failed" for event in server.events())


def test_a_first_look_that_fails_is_taken_again(serve: Callable[..., MailServer], monkeypatch: pytest.MonkeyPatch) -> None:
    """At everything, whatever is due: what was in the way may be why somebody has restarted the server."""

    def fails(*given: object) -> Iterator[LocalSpoolEntry]:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    with monkeypatch.context() as patches:
        patches.setattr(LocalSpool, "recover", fails)
        server = serve(clock=ManualClock(NOW))
        dvbe = server.issue("dvbe")
        target, later = SpoolTarget(dvbe.mailbox_id, parsed("dvbe@mic.gov.vn")), server.clock.now_us() + 3_600_000_000
        entry = server.running.context.spool.draft("a1")
        entry.write(MESSAGE)
        slip = SpoolEnvelope(
            trace_id="a1", sender=NULL_PATH, targets=(target,), accepted_at_us=1, return_path_octets=0, next_try_us=later
        )
        entry.commit(slip).release()
        server.housekeep()
    assert len(slips(server)) == 1
    server.housekeep()
    assert slips(server) == []
    assert messages(server, "dvbe") == 1
    server.stop()
    assert any(event["event"] == "duty_failed" and event["duty"] == "spool" for event in server.events())


def test_an_attempt_that_cannot_be_recorded_is_repeated_after_growing_pauses(
    serve: Callable[..., MailServer], monkeypatch: pytest.MonkeyPatch
) -> None:
    """While the disk does not take the time of the next attempt; then the message is in its mailbox, once."""
    clock = ManualClock(NOW)
    server = serve(clock=clock)
    dvbe = server.issue("dvbe")
    entry = server.running.context.spool.draft("a1")
    entry.write(MESSAGE)
    target = SpoolTarget(dvbe.mailbox_id, parsed("dvbe@mic.gov.vn"))
    entry.commit(
        SpoolEnvelope(trace_id="a1", sender=NULL_PATH, targets=(target,), accepted_at_us=1, return_path_octets=0)
    ).release()

    def attempts() -> int:
        server.housekeep()
        slips(server)
        return sum(event["event"] == "message_taken_up" for event in server.events())

    def fails(*given: object, **named: object) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    with monkeypatch.context() as patches:
        patches.setattr(LocalSpoolEntry, "settle", fails)
        assert [attempts() for _ in range(3)] == [1, 1, 1]
        for count, seconds in enumerate((15, 30, 60), start=2):
            server.move_clock_to(clock.now() + timedelta(seconds=seconds))
            assert [attempts(), attempts()] == [count, count]
    server.move_clock_to(clock.now() + timedelta(seconds=120))
    server.housekeep()
    assert slips(server) == []
    assert messages(server, "dvbe") == 1
    server.stop()
    assert sum(event["event"] == "spool_entry_waits" for event in server.events()) == 4


@pytest.mark.clause("9.2")
def test_a_full_mailbox_is_tried_again_with_growing_pauses(serve: Callable[..., MailServer]) -> None:
    """After 1, 2, 4 ... minutes, then hourly; the log says when; with room it arrives, once; the others have it at once."""
    clock = ManualClock(NOW)
    server = serve(clock=clock)
    server.housekeep()
    server.issue("dvbe")
    full = server.issue("ttlan", quota_octets=len(MESSAGE) // 2)
    with smtplib.SMTP(server.host, server.ports["smtp"]) as client:
        client.ehlo()
        assert client.mail("a@a.example")[0] == 250
        assert client.rcpt("dvbe@mic.gov.vn")[0] == client.rcpt("ttlan@mic.gov.vn")[0] == 250
        assert client.data(MESSAGE)[0] == 250
    told = []
    for minutes in (1, 2, 4, 8, 16, 32, 60, 60, 60):
        [slip] = slips(server)
        due = clock.now() + timedelta(minutes=minutes)
        told.append(stamp(slip.next_try_us))
        server.move_clock_to(due - timedelta(seconds=1))
        server.housekeep()
        assert slips(server) == [slip]
        server.move_clock_to(due)
        server.housekeep()
        assert slips(server)[0].attempts == slip.attempts + 1
    events = deferred(server, len(told))
    assert [event["next_try"] for event in events][: len(told)] == told
    assert {(event["mailbox"], event["reason"]) for event in events} == {("ttlan@mic.gov.vn", "OverQuota")}
    more = draft(FactKind.QUOTA_SET, clock.now(), octets=str(1 << 30))
    server.population.directory.set_quota(full.mailbox_id, 1 << 30, more)
    server.refresh()
    server.move_clock_to(clock.now() + timedelta(hours=1))
    server.housekeep()
    assert slips(server) == []
    assert (messages(server, "dvbe"), messages(server, "ttlan")) == (1, 1)
    assert not [path for path in server.config.spool_dir.rglob("*") if path.is_file()]
    server.stop()
    life = [event for event in server.events() if event.get("trace") == events[0]["trace"]]
    of_the_report = {"report_queued", "message_sent", "message_not_sent", "sending_deferred", "report_without_reader"}
    kinds = Counter(event["event"] for event in life if event["event"] not in of_the_report)
    tries = 1 + len(told) + 1
    assert kinds == {
        "message_accepted": 1, "message_delivered": 2, "delivery_deferred": tries - 1, "message_taken_up": tries - 1,
    }  # fmt: skip
