"""Every date that follows from a leave, as the command prints it."""

import pytest

from mic_mail.policy.calendar import local_day
from mic_mail.policy.due_items import AutomaticAct, follows_leaving
from mic_mail.policy.facts import Draft, FactKind, MailboxKind, record
from mic_mail.policy.lifecycle import timeline
from unit.policy.instants import local


@pytest.mark.clause("6.4.c")
@pytest.mark.parametrize(
    ("level", "locked", "reclaimed", "freed"),
    [("division", "2026-08-31", "2027-03-01", "2027-04-01"), ("department", "2026-10-01", "2027-09-01", "2027-10-02")],
)
def test_every_date_that_follows_from_a_leave(level: str, locked: str, reclaimed: str, freed: str) -> None:
    """The lock, each warning, the reclaim, and the day on which the mailbox is deleted after the days for which it is kept."""
    left = Draft(FactKind.LEFT, local("2026-08-31"), "test", data={"level": level, "cause": "retired"})
    issued = record(
        Draft(FactKind.IMPORTED, local("2026-01-05"), "test"), mailbox_id=7, previous=None, recorded_at=local("2026-01-05")
    )
    facts = [issued, record(left, mailbox_id=7, previous=issued, recorded_at=local("2026-08-20"))]
    found = sorted(follows_leaving(timeline(MailboxKind.PERSONAL, facts), (30, 7), 30), key=lambda item: item.at)
    days = [(item.deed, local_day(item.at).isoformat()) for item in found]
    assert days[0] == (AutomaticAct.SEND_LOCK, locked)
    assert [deed for deed, _ in days[1:-2]] == [AutomaticAct.NOTICE] * 2
    assert days[-2:] == [(AutomaticAct.RECLAIM, reclaimed), (AutomaticAct.FREE, freed)]


def test_nothing_follows_without_a_leave() -> None:
    """A mailbox in use has no such dates."""
    issued = record(
        Draft(FactKind.IMPORTED, local("2026-01-05"), "test"), mailbox_id=7, previous=None, recorded_at=local("2026-01-05")
    )
    assert list(follows_leaving(timeline(MailboxKind.PERSONAL, [issued]), (30,), 30)) == []
