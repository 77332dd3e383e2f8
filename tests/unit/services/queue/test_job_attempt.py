"""One attempt of a job: held, or sent and recorded; its sender notified; the entry ended."""

import asyncio
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from harness import read_events
from mic_mail.queue.queue import QueueEntry
from mic_mail.queue.recipient_log import Standing
from mic_mail.queue.scheduler import DeliveryJob, End
from mic_mail.services.queue.delivery_log import DeliveryLog
from mic_mail.services.queue.job_attempt import HELD_SECONDS, JobAttempt, JobOutcome
from mic_mail.services.queue.suspended_mail import SuspendedMail, watch_nothing
from mic_mail.smtpclient.attempt import AttemptResult, DeliveryAttempt, SignedMessage
from mic_mail.smtpclient.client import Timeouts
from mic_mail.smtpclient.pool import Connections, ConnectionSettings
from mic_mail.smtpclient.routing import Router
from unit.services.queue.office import SENDER, STUFFED, ZONE, Office, offices
from unit.smtpclient.server import PLAIN, Server

DAY = 86_400.0


def _attempt(office: Office) -> tuple[JobAttempt, Connections]:
    router = Router(office.names.resolver(), (), lambda hosts: None, office.clock)
    settings = ConnectionSettings("mail.mic.gov.vn", office.port, timeouts=Timeouts(*[1.0] * 7))
    connections = Connections(office.runtime, settings)
    attempt = JobAttempt(
        office.runtime,
        DeliveryAttempt(router, connections, lambda _: b"", office.executors, office.queue.binary_domains),
        SuspendedMail(lambda mailbox_id: mailbox_id not in office.stopped, watch_nothing, lambda _: None, office.log),
        DeliveryLog(office.runtime, office.report, lambda _: ()),
        give_up_seconds=5 * DAY, warn_seconds=DAY / 6, random=lambda: 0.5,
    )  # fmt: skip
    return attempt, connections


async def _run(office: Office, entry_id: str, places: Sequence[int] = (0,)) -> tuple[JobOutcome, QueueEntry]:
    """Run one attempt, and what the queue manager does after it."""
    entry = office.queue.read(entry_id)
    assert entry is not None
    attempt, connections = _attempt(office)
    outcome = await attempt.run(entry, DeliveryJob(entry_id, "two.example", tuple(places)))
    await attempt.report(entry, [place for place in places if place in entry.state.open], outcome)
    if not entry.state.open:
        await attempt.end(entry)
    await connections.close()
    return outcome, entry


async def test_each_result_is_recorded(tmp_path: Path) -> None:
    """A deferred recipient is due after the pause that is returned; a refused one is reported, once; the rest has it."""
    server = Server(PLAIN, answers={b"RCPT TO:<later": b"450 4.2.1 later\r\n", b"RCPT TO:<no": b"550 5.1.1 no\r\n"})
    async with offices(tmp_path, {"127.0.0.4": server}, ZONE) as office:
        office.put("A", "later@two.example", "no@two.example", "yes@two.example")
        outcome, entry = await _run(office, "A", (0, 1, 2))
        assert (outcome.end, outcome.wait, outcome.was_tried) == (End.SERVED, 300.0, True)
        found = office.queue.read("A")
        assert found is not None
        assert found.state == entry.state, "all of it is on disk"
        assert [each.standing for each in found.state.recipients] == [Standing.OPEN, Standing.FAILED, Standing.DELIVERED]
        assert 290 < (found.state.recipients[0].next_try_us - office.clock.steady_us()) / 1e6 <= 300
        server.answers.clear()
        outcome, _ = await _run(office, "A", (0, 1, 2))
        assert outcome.was_tried
        assert (office.queue.names(), [told.ended for told in office.told]) == ([], [(1,)])
    assert server.messages == [STUFFED] * 2


async def test_a_retry_that_is_decided_during_an_attempt_is_kept(tmp_path: Path) -> None:
    """Another process decides it while this one waits for the server: what is deferred by then is due at once."""
    server = Server(PLAIN, answers={b"RCPT": b"450 4.2.1 later\r\n"})
    async with offices(tmp_path, {"127.0.0.4": server}, ZONE) as office:
        office.put("A", "b@two.example")
        elsewhere = office.queue.read("A")
        assert elsewhere is not None
        entry = office.queue.read("A")
        assert entry is not None
        attempt, connections = _attempt(office)
        deliver = attempt._delivery.attempt

        async def deliver_while_decided(*args: Any) -> AttemptResult:
            elsewhere.retry()
            return await deliver(*args)

        attempt._delivery.attempt = deliver_while_decided  # type: ignore[method-assign]
        await attempt.run(entry, DeliveryJob("A", "two.example", (0,)))
        assert entry.refresh()
        assert [(each.attempts, each.next_try_us) for each in entry.state.recipients] == [(1, 0)]
        attempt._delivery.attempt = deliver  # type: ignore[method-assign]
        await attempt.run(entry, DeliveryJob("A", "two.example", (0,)))
        assert entry.refresh()
        assert [each.attempts for each in entry.state.recipients] == [2]
        assert entry.state.recipients[0].next_try_us > office.clock.steady_us(), "it is answered by the next attempt"
        await connections.close()


async def test_the_sender_is_notified_of_a_delay_once(tmp_path: Path) -> None:
    """A message that is late and deferred again costs one report."""
    server = Server(PLAIN, answers={b"RCPT": b"450 4.2.1 later\r\n"})
    async with offices(tmp_path, {"127.0.0.4": server}, ZONE) as office:
        office.put("A", "b@two.example", age=DAY)
        for _ in range(2):
            await _run(office, "A")
        assert [(told.ended, told.late) for told in office.told] == [((), (0,))]


async def test_what_is_held_is_not_tried(tmp_path: Path) -> None:
    """Held by an administrator or with its mailbox, it waits a minute; of a suspended mailbox the entry records it."""
    server = Server(PLAIN)
    async with offices(tmp_path, {"127.0.0.4": server}, ZONE) as office:
        office.put("A", "b@two.example")
        office.put("B", "b@two.example")
        held = office.queue.read("A")
        assert held is not None
        held.hold()
        assert (await _run(office, "A"))[0] == JobOutcome(wait=HELD_SECONDS)
        office.stopped.add(SENDER)
        outcome, entry = await _run(office, "B")
        assert outcome == JobOutcome(wait=HELD_SECONDS)
        assert entry.state.is_kept_back
        office.stopped.clear()
        assert (await _run(office, "B"))[0].was_tried
    assert server.connections == 1


async def test_recipients_settled_meanwhile_are_not_tried(tmp_path: Path) -> None:
    """They have been dropped: nothing is sent, the sender is notified, and the entry ends."""
    server = Server(PLAIN)
    async with offices(tmp_path, {"127.0.0.4": server}, ZONE) as office:
        office.put("A", "b@two.example")
        entry = office.queue.read("A")
        assert entry is not None
        entry.tried([0], Standing.FAILED, "5.0.0 no", next_try_us=0)
        assert (await _run(office, "A"))[0] == JobOutcome()
        assert (office.queue.names(), [told.ended for told in office.told]) == ([], [(0,)])
    assert server.connections == 0


async def test_an_entry_whose_files_are_gone(tmp_path: Path) -> None:
    """Nothing is sent, and the log has it."""
    async with offices(tmp_path, {"127.0.0.4": Server(PLAIN)}, ZONE) as office:
        office.put("A", "b@two.example")
        entry = office.queue.read("A")
        assert entry is not None
        attempt, _ = _attempt(office)
        os.unlink(tmp_path / "queue" / "live" / "A.env")
        assert await attempt.run(entry, DeliveryJob("A", "two.example", (0,))) == JobOutcome(is_gone=True)
    assert [event["trace"] for event in read_events(tmp_path / "log") if event["event"] == "queue_entry_damaged"] == ["A"]


async def test_an_error_in_this_server_counts_as_an_attempt(tmp_path: Path) -> None:
    """The message file cannot be read: the recipients are deferred, and nothing is learnt about the destination."""
    async with offices(tmp_path, {"127.0.0.4": Server(PLAIN)}, ZONE) as office:
        office.put("A", "b@two.example")
        message = tmp_path / "queue" / "live" / "A.msg"
        message.unlink()
        message.mkdir()
        outcome, entry = await _run(office, "A")
        assert (outcome.end, outcome.was_tried) == (End.NOT_ASKED, True)
        assert [(each.attempts, each.reason[:5]) for each in entry.state.recipients] == [(1, "4.3.0")]
    assert read_events(tmp_path / "log")[0]["event"] == "sending_failed"


async def test_two_attempts_of_one_entry_notify_once(tmp_path: Path) -> None:
    """Two ends at the same time write one report."""
    async with offices(tmp_path, {"127.0.0.4": Server(PLAIN)}, ZONE) as office:
        office.put("A", "b@two.example")
        entry = office.queue.read("A")
        assert entry is not None
        entry.tried([0], Standing.FAILED, "5.0.0 no", next_try_us=0)
        attempt, _ = _attempt(office)
        await asyncio.gather(attempt.report(entry, (), JobOutcome()), attempt.report(entry, (), JobOutcome()))
        assert len(office.told) == 1


def _system_calls(call: Callable[[], object]) -> list[str]:
    """Return the functions of `os` and `io` that a call uses: each gives the interpreter lock to another thread."""
    used: list[str] = []

    def profile(_frame: Any, event: str, function: Any) -> None:
        if event == "c_call" and getattr(function, "__module__", None) in ("posix", "_io"):
            used.append(function.__name__)

    sys.setprofile(profile)
    try:
        call()
    finally:
        sys.setprofile(None)
    return [name for name in used if name != "fspath"]


async def test_what_a_thread_does_for_a_message_is_few_system_calls(tmp_path: Path) -> None:
    """Two to read what was decided, where nothing was; four to read the message; five to read the entry after a restart."""
    async with offices(tmp_path, {}, ZONE) as office:
        office.put("A", "b@two.example")
        entry = office.queue.read("A")
        assert entry is not None
        assert _system_calls(entry.refresh) == ["open", "stat"]
        assert _system_calls(lambda: SignedMessage(b"", entry)) == ["open", "fstat", "pread", "close"]
        assert _system_calls(lambda: office.queue.look_at("A")) == ["open", "read", "close", "open", "stat"]
