"""Reg. 7.2.a: whether a message that comes counts as use of the mailbox (`inactivity.counts`)."""

import smtplib
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest

from harness import MailServer
from mic_mail.clock import ManualClock
from mic_mail.policy.lifecycle import MailboxState

NOW = datetime(2026, 11, 24, 3, tzinfo=UTC)
LARGE = "x" * 70 + "\r\n"


@pytest.mark.parametrize(("counts", "later"), [("user", {MailboxState.SUSPENDED}), ("any_delivery", {MailboxState.ACTIVE})])
@pytest.mark.parametrize("lines", [1, 40_000], ids=["small", "large"])
def test_what_counts_as_use(serve: Callable[..., MailServer], counts: str, later: set[MailboxState], lines: int) -> None:
    """By default only the person's doing; with the other reading a delivery, which lifts no suspension that is there."""
    clock = ManualClock(NOW)
    server = serve({"inactivity": {"counts": counts}}, clock=clock)
    mailbox = server.issue("dvbe", issued_days_ago=170)
    access = server.running.context.access

    async def look() -> set[MailboxState]:
        decision = access.decide(mailbox.mailbox_id)
        assert decision is not None
        return set(decision.states)

    def states() -> set[MailboxState]:
        return server.call(look())

    def deliver() -> None:
        with smtplib.SMTP(server.host, server.ports["smtp"]) as client:
            client.sendmail("a@a.example", ["dvbe@mic.gov.vn"], "From: a@a.example\r\nSubject: x\r\n\r\n" + LARGE * lines)
        server.call(server.running.context.mailflow.settle())

    deliver()
    server.move_clock_to(NOW + timedelta(days=40))
    assert states() == later
    server.move_clock_to(NOW + timedelta(days=240))
    assert states() == {MailboxState.SUSPENDED}
    deliver()
    assert states() == {MailboxState.SUSPENDED}
