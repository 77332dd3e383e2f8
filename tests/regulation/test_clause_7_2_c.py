"""Reg. 7.2.c: the server suspends a mailbox that runs away, and what a suspended mailbox has sent does not leave the spool."""

import email
import email.policy
import smtplib
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from addresses import parsed
from harness import MailServer
from mic_mail.clock import ManualClock
from mic_mail.errors import Trouble
from mic_mail.policy.authorization.grounds import ActContext
from mic_mail.policy.facts import Draft, FactKind, MailboxKind, SuspensionCause
from mic_mail.policy.requests import Filing, Item, RequestChannel, RequestKind
from mic_mail.policy.suspension import QueuedMail
from mic_mail.queue.local_queue import LocalQueue
from mic_mail.queue.local_spool import LocalSpool
from mic_mail.queue.queue import QueueEnvelope, QueueRecipient
from mic_mail.queue.spool import ELSEWHERE, SpoolEnvelope, SpoolTarget
from mic_mail.services.mailboxes.issue import make_verifiers
from mic_mail.services.mailboxes.lifecycle_actions import NotAllowed
from mic_mail.services.mailboxes.pending_mail import Queued
from mic_mail.services.mailboxes.reclamation import Reclaiming
from mic_mail.services.requests.approve import Approving, Choices
from mic_mail.storage.local_mailstore import LocalMailStore
from regulation.abuse_setup import subjects, submission, suspensions

LIMIT = 10
SETTINGS = {"limits": {"recipients_per_hour": LIMIT, "suspend_beyond": 2, "bulk_senders": ("cntt",), "bulk_times": 1}}


@pytest.fixture
def server(serve: Callable[..., MailServer]) -> MailServer:
    server = serve(SETTINGS, clock=ManualClock(datetime(2026, 11, 24, 2, 0, tzinfo=UTC)))
    server.population.issue("dvbe", name="Đỗ Văn Bê")
    server.population.issue("cntt", kind=MailboxKind.UNIT, name="Vụ CNTT")
    server.population.issue("support", kind=MailboxKind.GROUP, name="Trung tâm Thông tin")
    server.issue("ttlan", name="Trần Thị Lan")
    return server


def names(client: smtplib.SMTP_SSL, recipients: int) -> list[int]:
    return [client.rcpt("ttlan@mic.gov.vn")[0] for _ in range(recipients)]


def test_clause_7_2_c_a_runaway_is_suspended(server: MailServer) -> None:
    """Refused beyond the limit; suspended at twice the limit, once, with cause and figure; the Centre is told."""
    client = submission(server)
    client.mail("dvbe@mic.gov.vn")
    assert names(client, LIMIT) == [250] * LIMIT
    assert names(client, LIMIT - 1) == [450] * (LIMIT - 1)
    assert suspensions(server, "dvbe@mic.gov.vn") == []
    names(client, 5)
    (fact,) = suspensions(server, "dvbe@mic.gov.vn")
    assert (fact.actor, dict(fact.data)) == (
        "server",
        {"cause": SuspensionCause.COMPROMISED, "trigger": "outbound-rate", "recipients": 2 * LIMIT},
    )
    client.rset()
    assert client.mail("dvbe@mic.gov.vn")[0] == 525
    client.close()
    server.housekeep()
    (header,) = subjects(server, server.population.directory.mailbox("support@mic.gov.vn"))
    assert b"Auto-Submitted: auto-generated" in header
    server.stop()
    (told,) = [event for event in server.events() if event.get("event") == "mailbox_suspended"]
    assert (told["mailbox"], told["clause"], told["recipients"]) == ("dvbe@mic.gov.vn", "7.2.c", 2 * LIMIT)


def test_clause_7_2_c_who_may_write_to_many_is_limited_only(server: MailServer) -> None:
    """A mailbox in `limits.bulk_senders` waits like any other, and is never suspended for it."""
    client = submission(server, "cntt")
    client.mail("cntt@mic.gov.vn")
    assert set(names(client, 4 * LIMIT)[LIMIT:]) == {450}
    assert suspensions(server, "cntt@mic.gov.vn") == []
    assert client.mail("cntt@mic.gov.vn")[0] != 525


def test_clause_7_2_c_never_by_setting(serve: Callable[..., MailServer]) -> None:
    """With `limits.suspend_beyond = 0` the limit alone holds."""
    server = serve({"limits": {"recipients_per_hour": LIMIT, "suspend_beyond": 0}})
    server.population.issue("dvbe")
    server.issue("ttlan")
    client = submission(server)
    client.mail("dvbe@mic.gov.vn")
    names(client, 6 * LIMIT)
    assert suspensions(server, "dvbe@mic.gov.vn") == []


def test_clause_7_1_what_is_queued_stays(server: MailServer) -> None:
    """A message that waits for a full mailbox stays in the spool while its sender is suspended, and goes on after a restore."""
    directory = server.population.directory
    sender, full = directory.mailbox("dvbe@mic.gov.vn"), directory.mailbox("ttlan@mic.gov.vn")
    other = server.issue("pqlong")
    client = submission(server)
    with Blocked(server, full):
        client.sendmail(
            "dvbe@mic.gov.vn",
            ["ttlan@mic.gov.vn", "pqlong@mic.gov.vn"],
            "From: dvbe@mic.gov.vn\r\nSubject: hai noi\r\n\r\nx\r\n",
        )
        server.call(server.running.context.mailflow.settle())
    client.close()
    assert [len(subjects(server, mailbox)) for mailbox in (full, other)] == [0, 1]
    server.suspend(sender)
    server.move_clock_to(server.clock.now() + timedelta(days=1))
    for _ in range(2):
        server.housekeep()
        server.call(server.running.context.mailflow.settle())
    assert len(subjects(server, full)) == 0
    server.record(sender, Draft(FactKind.RESTORED, server.clock.now(), "test", "", "3/CV"))
    server.housekeep()
    server.call(server.running.context.mailflow.settle())
    assert len(subjects(server, full)) == 1
    server.stop()
    held = [event for event in server.events() if event.get("event") == "delivery_held"]
    assert [event["recipients"] for event in held] == [["ttlan@mic.gov.vn"]]


def test_clause_7_2_c_what_is_queued_is_dropped(server: MailServer) -> None:
    """By the Centre's word it does not go out, and the owner is told to whom it was addressed."""
    directory = server.population.directory
    sender, full = directory.mailbox("dvbe@mic.gov.vn"), directory.mailbox("ttlan@mic.gov.vn")
    server.issue("pqlong")
    with Blocked(server, full):
        recipients = ["ttlan@mic.gov.vn", "pqlong@mic.gov.vn"]
        submission(server).sendmail("dvbe@mic.gov.vn", recipients, "From: dvbe@mic.gov.vn\r\n\r\nx\r\n")
        server.call(server.running.context.mailflow.settle())
    server.suspend(sender)
    server.housekeep()
    queued = Queued(server.config, server.clock, sender)
    assert queued.count() == 1
    assert Queued(server.config, server.clock, full).count() == 0
    assert queued.drop(server.running.context.usage.notices, ActContext("mai"), server.running.context.log) == 1
    assert queued.count() == 0
    server.record(sender, Draft(FactKind.RESTORED, server.clock.now(), "test", "", "3/CV"))
    server.move_clock_to(server.clock.now() + timedelta(days=1))
    server.housekeep()
    assert subjects(server, full) == []
    parsed = [email.message_from_bytes(header, policy=email.policy.default) for header in subjects(server, sender)]
    assert ["Message not sent" in str(message["Subject"]) for message in parsed].count(True) == 1


def test_what_cannot_be_opened_is_neither_sent_nor_dropped_unseen(server: MailServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """Reg. 7.2.c: a file that root brought back may be the hijacked mailbox's: it stays shut until somebody has looked."""
    sender = server.population.directory.mailbox("dvbe@mic.gov.vn")
    server.suspend(sender)
    spool, real = LocalSpool(server.config.spool_dir), LocalSpool._adopt
    draft = spool.draft("SHUT")
    draft.write(b"From: dvbe@mic.gov.vn\r\n\r\nx\r\n")
    kept: dict[str, Any] = {"sender": parsed(sender.address), "submitted_by": sender.mailbox_id, "accepted_at_us": 1}
    draft.commit(
        SpoolEnvelope(trace_id="SHUT", targets=(SpoolTarget(sender.mailbox_id, parsed(sender.address)),), **kept)
    ).release()
    spool.close()

    def shut(spool: LocalSpool, spool_id: str) -> object:
        raise PermissionError(13, "Permission denied", f"{server.config.spool_dir}/{spool_id}.msg")

    monkeypatch.setattr(LocalSpool, "_adopt", shut)
    queued = Queued(server.config, server.clock, sender)
    for act in (
        queued.count,
        lambda: queued.drop(server.running.context.usage.notices, ActContext("mai"), server.running.context.log),
    ):
        with pytest.raises(Trouble, match=r"SHUT\.msg"):
            act()
    monkeypatch.setattr(LocalSpool, "_adopt", real)
    assert queued.count() == 1


def test_what_leaves_and_cannot_be_read_is_neither_sent_nor_dropped_unseen(server: MailServer) -> None:
    """The same of the queue for other domains, whoever is asked about: the refusal names it and says what to do."""
    directory = server.population.directory
    sender, other = directory.mailbox("dvbe@mic.gov.vn"), directory.mailbox("ttlan@mic.gov.vn")
    server.suspend(sender)
    queue = LocalQueue(server.config.queue_dir)
    message = server.config.server.data_dir / "message"
    message.write_bytes(b"From: dvbe@mic.gov.vn\r\n\r\nx\r\n")
    for name, mailbox in (("SHUT", sender), ("WHOLE", other)):
        kept: dict[str, Any] = {"trace_id": name, "sender": parsed(mailbox.address), "submitted_by": mailbox.mailbox_id}
        queue.put(name, message, QueueEnvelope(recipients=(QueueRecipient(parsed("b@example.org")),), accepted_at_us=1, **kept))
    envelope = server.config.queue_dir / "live" / "SHUT.env"
    whole = envelope.read_bytes()
    envelope.write_bytes(whole[:20])
    notices, log = server.running.context.usage.notices, server.running.context.log
    queued = Queued(server.config, server.clock, sender)
    for act in (
        queued.count,
        lambda: queued.drop(notices, ActContext("mai"), log),
        Queued(server.config, server.clock, other).count,
    ):
        with pytest.raises(Trouble, match="The queue entry SHUT cannot be read") as refusal:
            act()
        assert refusal.value.remedy is not None
    assert [entry.entry_id for entry in queue.entries()] == ["WHOLE"]
    envelope.write_bytes(whole)
    assert (queued.count(), Queued(server.config, server.clock, other).count()) == (1, 1)
    assert queued.drop(notices, ActContext("mai"), log) == 1
    assert [bool(entry.state.open) for entry in queue.entries()] == [False, True]
    queue.close()


def test_what_has_left_before_a_kill_is_not_told_of_as_dropped(server: MailServer) -> None:
    """Reg. 4.2: who put it into the queue was killed before the spool knew; it was sent from there. Dropped is the rest."""
    directory = server.population.directory
    sender, full = directory.mailbox("dvbe@mic.gov.vn"), directory.mailbox("ttlan@mic.gov.vn")
    server.suspend(sender)
    spool = LocalSpool(server.config.spool_dir)
    queue = LocalQueue(server.config.queue_dir, comes_again=spool.has)
    draft = spool.draft("KILLED")
    draft.write(b"From: dvbe@mic.gov.vn\r\n\r\nx\r\n")
    kept: dict[str, Any] = {
        "trace_id": "KILLED", "sender": parsed(sender.address), "submitted_by": sender.mailbox_id,
        "accepted_at_us": server.clock.now_us(),
    }  # fmt: skip
    targets = (SpoolTarget(full.mailbox_id, parsed(full.address)), SpoolTarget(ELSEWHERE, parsed("b@example.org")))
    entry = draft.commit(SpoolEnvelope(targets=targets, **kept))
    queue.put("KILLED", entry.path, QueueEnvelope(recipients=(QueueRecipient(parsed("b@example.org")),), **kept))
    sent = queue.read("KILLED")
    assert sent is not None
    assert sent.delivered_to_the_last([0], "2.0.0 ok", "mx.example.org")
    entry.release()
    queued = Queued(server.config, server.clock, sender)
    assert queued.drop(server.running.context.usage.notices, ActContext("mai"), server.running.context.log) == 1
    server.running.context.log.flush()
    (dropped,) = [event for event in server.events() if event.get("event") == "delivery_dropped"]
    assert dropped["recipients"] == [full.address]
    assert not spool.has("KILLED")
    queue.close()
    spool.close()


@pytest.mark.clause("7.3.b")
def test_a_request_to_restore_asks_for_what_is_queued_too(server: MailServer) -> None:
    """By whichever way a hijacked mailbox is restored, what it has sent waits for the Centre's word; nothing is lost before."""
    directory = server.population.directory
    sender, full = directory.mailbox("dvbe@mic.gov.vn"), directory.mailbox("ttlan@mic.gov.vn")
    server.issue("pqlong")
    with Blocked(server, full):
        recipients = ["ttlan@mic.gov.vn", "pqlong@mic.gov.vn"]
        submission(server).sendmail("dvbe@mic.gov.vn", recipients, "From: dvbe@mic.gov.vn\r\n\r\nx\r\n")
        server.call(server.running.context.mailflow.settle())
    server.record(sender, Draft(FactKind.SUSPENDED, server.clock.now(), "test", "", None, {"cause": "c"}))
    server.housekeep()
    unit_id = next(unit.unit_id for unit in directory.units())
    filing = Filing(
        RequestKind.RESTORE,
        RequestChannel.TELEPHONE,
        "Đỗ Văn Bê",
        unit_id,
        server.clock.now(),
        items={Item.ADDRESS: sender.address},
    )
    request = directory.requests.add(filing, "test", server.clock.now())
    store = LocalMailStore(server.config.mail_root, clock=server.clock, host="test")
    back = Reclaiming(directory, store, server.config, server.clock).bring_back
    approving = Approving(directory, store, server.config, server.clock, make_verifiers(server.config), bring_back=back)
    waiting = Queued(server.config, server.clock, sender)
    with pytest.raises(NotAllowed) as refusal:
        approving.approve(request, "mai", Choices())
    assert refusal.value.clause == "7.2.c"
    assert waiting.count() == 1
    assert approving.approve(directory.requests.get(request.request_id), "mai", Choices(queued=QueuedMail.DROP)).password
    assert waiting.count() == 0
    events = server.events()  # Reg. 4.2, 8.2: nothing ends in silence
    (accepted,) = [event for event in events if event.get("event") == "message_accepted"]
    (dropped,) = [event for event in events if event.get("event") == "delivery_dropped"]
    assert dropped["trace"] == accepted["trace"]
    assert (dropped["sender"], dropped["recipients"], dropped["clause"]) == (sender.address, ["ttlan@mic.gov.vn"], "7.2.c")


class Blocked:
    """While it lasts nothing can be delivered into the mailbox."""

    def __init__(self, server: MailServer, mailbox: Any) -> None:
        self._home = server.config.mail_root / mailbox.home

    def __enter__(self) -> None:
        self._home.parent.mkdir(parents=True, exist_ok=True)
        self._home.write_text("no folder")

    def __exit__(self, *_: object) -> None:
        self._home.unlink()
