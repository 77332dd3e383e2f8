"""Reg. 7.2.a: six months without use, no reason notified."""

import pytest

from mic_mail.policy.facts import FactKind, MailboxKind
from mic_mail.policy.lifecycle import MailboxState
from regulation.timeline import ACTIVE, LOCKED, RECLAIMED, SUSPENDED, Timeline, fact, left, timelines


@pytest.mark.parametrize("kind", list(MailboxKind))
def test_six_months_after_the_last_use(make_history, moment, kind):
    """Suspended at 00:00 after the end of the sixth month, whatever kind of mailbox."""
    history = make_history(kind)
    history.used("2026-08-31 16:00")
    assert history.states("2027-02-28 23:59") == ACTIVE
    assert history.states("2027-03-01") == SUSPENDED
    assert history.at("2026-09-01").valid_until == moment("2027-03-01")
    assert history.at("2027-03-01").reason(MailboxState.SUSPENDED).clause == "7.2.a"


ABSENCE, CLOCK_STOPPED = FactKind.ABSENCE, FactKind.CLOCK_STOPPED


@timelines(
    Timeline(
        "a mailbox that nobody ever used is suspended six months after its day of issue",
        (),
        {"2020-07-02 23:59": ACTIVE, "2020-07-03": SUSPENDED},
        used=None,
    ),
    Timeline(
        "a mailbox that was taken over counts from the day of the import",
        (fact(FactKind.IMPORTED, "2020-05-01"),),
        {"2020-11-01 23:59": ACTIVE, "2020-11-02": SUSPENDED},
        used=None,
    ),
    Timeline(
        "only the last use is kept; it shows that the clock had not suspended the mailbox before",
        (),
        {"2021-06-01": ACTIVE, "2026-11-21": ACTIVE},
        used="2026-11-20",
    ),
    Timeline(
        "six months begin again with the restore, and only a restore ends the suspension",
        (fact(FactKind.RESTORED, "2026-09-01 10:00"), fact(FactKind.PASSWORD_SET, "2026-09-01 11:00")),
        {"2026-08-31": SUSPENDED, "2026-09-02": ACTIVE, "2027-03-01 23:59": ACTIVE, "2027-03-02": SUSPENDED},
        used="2026-01-15",
    ),
    Timeline(
        "a department leader who left and reads no more is suspended as well, before the reclaim",
        (left("2026-01-31", "department"),),
        {"2026-08-11": LOCKED | SUSPENDED, "2027-02-01": RECLAIMED},
        used="2026-02-10",
    ),
)
def test_use(row):
    row.check()


@timelines(
    Timeline(
        "a notified absence exempts until its end; then six months begin anew",
        (fact(ABSENCE, "2026-02-01", until="2026-12-31"),),
        {"2026-10-01": ACTIVE, "2027-06-30 23:59": ACTIVE, "2027-07-01": SUSPENDED},
        used="2026-01-15",
    ),
    Timeline(
        "an absence notified after the suspension does not lift it: it is a ground for a restore",
        (fact(ABSENCE, "2026-03-01", recorded="2026-08-01", until="2026-12-31"),),
        {"2026-08-02": SUSPENDED},
        used="2026-01-15",
    ),
    Timeline(
        "an absence notified ahead that begins after six months without use comes too late",
        (fact(ABSENCE, "2026-08-01", recorded="2026-02-01", until="2026-12-31"),),
        {"2026-07-16": SUSPENDED},
        used="2026-01-15",
    ),
    Timeline(
        "reading mail while abroad does not cut the absence short",
        (fact(ABSENCE, "2026-02-01", until="2026-12-31"),),
        {"2027-06-30": ACTIVE, "2027-07-01": SUSPENDED},
        used="2026-03-01",
    ),
    Timeline(
        "a return before the notified day ends the exemption",
        (fact(ABSENCE, "2026-02-01", until="2026-12-31"), fact(FactKind.ABSENCE_ENDED, "2026-04-10")),
        {"2026-10-10 23:59": ACTIVE, "2026-10-11": SUSPENDED},
        used="2026-01-15",
    ),
)
def test_absences(row):
    row.check()


@timelines(
    Timeline(
        "ten days on which the service was down move the suspension by ten days, also when recorded afterwards",
        (fact(CLOCK_STOPPED, "2026-07-10", recorded="2026-07-20", until="2026-07-19"),),
        {"2026-07-25 23:59": ACTIVE, "2026-07-26": SUSPENDED},
        used="2026-01-15",
    ),
    Timeline(
        "downtime before the last use changes nothing",
        (fact(CLOCK_STOPPED, "2025-12-01", until="2025-12-10"),),
        {"2026-07-15 23:59": ACTIVE, "2026-07-16": SUSPENDED},
        used="2026-01-15",
    ),
)
def test_downtime(row):
    row.check()
