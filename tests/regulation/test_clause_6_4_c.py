"""Reg. 6.4.c: the mailbox of someone who retires, resigns or leaves."""

from datetime import date, timedelta

import pytest

from mic_mail.policy.calendar import TermEnd
from mic_mail.policy.facts import FactKind, MailboxKind
from mic_mail.policy.lifecycle import LifecycleSettings, MailboxState
from regulation.timeline import ACTIVE, LOCKED, RECLAIMED, SUSPENDED, Timeline, fact, left, timelines

# level, official day, locked from, reclaimed from
TERMS = [
    ("division", "2026-08-31", "2026-08-31", "2027-03-01"),
    ("division", "2027-08-31", "2027-08-31", "2028-03-01"),
    ("division", "2027-08-30", "2027-08-30", "2028-03-01"),
    ("division", "2027-08-29", "2027-08-29", "2028-03-01"),
    ("division", "2027-08-28", "2027-08-28", "2028-02-29"),
    ("division", "2026-01-15", "2026-01-15", "2026-07-16"),
    ("division", "2026-03-31", "2026-03-31", "2026-10-01"),
    ("division", "2026-12-31", "2026-12-31", "2027-07-01"),
    ("department", "2026-01-31", "2026-03-01", "2027-02-01"),
    ("department", "2028-01-31", "2028-03-01", "2029-02-01"),
    ("department", "2028-02-29", "2028-03-30", "2029-03-01"),
    ("department", "2026-12-31", "2027-02-01", "2028-01-01"),
    ("department", "2026-06-30", "2026-07-31", "2027-07-01"),
]


def _eve(day: str) -> str:
    """The last minute before `day`."""
    return f"{date.fromisoformat(day) - timedelta(days=1)} 23:59"


@pytest.mark.parametrize(("level", "left", "locked", "reclaimed"), TERMS)
def test_terms(history, moment, level, left, locked, reclaimed):
    """The lock comes at 00:00 of its day, the reclaim at 00:00 after the last day of the term, not a minute before."""
    history.add(FactKind.LEFT, left, recorded="2025-12-01", level=level)
    assert history.states(_eve(locked)) == ACTIVE
    assert history.states(locked) == LOCKED
    assert history.states(_eve(reclaimed)) == LOCKED
    assert history.states(reclaimed) == RECLAIMED
    decision = history.at(_eve(reclaimed))
    assert decision.valid_until == moment(reclaimed)
    assert decision.next_change.clause == "6.4.c"


def test_doors_of_a_leaver(history):
    """A send-locked mailbox receives and is read but does not send; a reclaimed one does nothing."""
    history.add(FactKind.LEFT, "2026-08-31", level="division")
    locked, reclaimed = history.at("2026-09-01"), history.at("2027-03-01")
    assert (locked.receives, locked.signs_in, locked.sends) == (True, True, False)
    assert (reclaimed.receives, reclaimed.signs_in, reclaimed.sends) == (False, False, False)
    assert locked.reason(MailboxState.SEND_LOCKED).clause == "6.4.c"


def test_day_begins_in_ho_chi_minh_city(history):
    """The lock comes at 00:00 of the ministry's clock, 17:00 UTC of the day before."""
    history.add(FactKind.LEFT, "2026-08-31", level="division")
    assert history.at("2026-08-31").reason(MailboxState.SEND_LOCKED).since.isoformat() == "2026-08-30T17:00:00+00:00"


@pytest.mark.parametrize("kind", [MailboxKind.UNIT, MailboxKind.GROUP])
def test_only_personal_mailboxes(make_history, kind):
    """A leave never touches a unit's or a group's mailbox."""
    history = make_history(kind)
    history.add(FactKind.LEFT, "2026-08-31", level="division")
    assert history.states("2030-01-01") == ACTIVE


def test_future_leave(history, moment):
    """A leave announced ahead changes nothing before its day, and the decision says when it will."""
    history.add(FactKind.LEFT, "2026-12-01", recorded="2026-10-01", level="division")
    decision = history.at("2026-11-01")
    assert decision.states == ACTIVE
    assert decision.valid_until == moment("2026-12-01")
    assert decision.next_change.states == LOCKED


RETURNED = FactKind.RETURNED


def corrected(day, recorded, level="division"):
    """The leave is corrected to this day and rank."""
    return fact(FactKind.LEAVE_CORRECTED, day, recorded=recorded, level=level)


@timelines(
    Timeline(
        "with terms.end = start_of_day the reclaim comes at 00:00 of the matching date",
        (left("2026-08-31"),),
        {"2027-02-27 23:59": LOCKED, "2027-02-28": RECLAIMED},
        settings=LifecycleSettings(term_end=TermEnd.START_OF_DAY),
    ),
    Timeline(
        "with terms.roll a term that ends on a Sunday ends with the next day of work",
        (left("2026-08-31"),),  # 28/02/2027 is a Sunday
        {"2027-03-01 23:59": LOCKED, "2027-03-02": RECLAIMED},
        settings=LifecycleSettings(rest_day=lambda day: day.weekday() >= 5),
    ),
    Timeline(
        "a late notice counts from the official day; before it nobody could know",
        (left("2026-03-01", recorded="2026-05-10 10:00"),),
        {"2026-04-01": LOCKED, "2026-09-02": RECLAIMED},
        then={"2026-04-01": ACTIVE},
    ),
    Timeline(
        "a reclaim that was due before its notice waits seven days from the recording",
        (left("2026-01-10", recorded="2026-09-10 10:00"),),
        {"2026-09-17 23:59": LOCKED, "2026-09-18": RECLAIMED},
    ),
    Timeline(
        "a notice one day before the end of the term delays nothing",
        (left("2026-01-10", recorded="2026-07-10 10:00"),),
        {"2026-07-10 23:59": LOCKED, "2026-07-11": RECLAIMED},
    ),
    Timeline(
        "a leave without a rank takes the longer terms",
        (fact(FactKind.LEFT, "2026-03-01"),),
        {"2026-03-15": ACTIVE, "2026-12-01": LOCKED},
    ),
)
def test_terms_and_notices(row):
    row.check()


@timelines(
    Timeline(
        "a leave corrected to a later day counts from that day alone, also after the wrong one had reclaimed",
        (left("2026-01-10"), corrected("2026-06-10", "2026-08-01")),
        {"2026-03-01": ACTIVE, "2026-08-02": LOCKED, "2026-12-11": RECLAIMED},
        then={"2026-07-20": RECLAIMED},
    ),
    Timeline(
        "a correction that makes the reclaim overdue gives the seven days of a late notice",
        (left("2026-06-10"), corrected("2026-01-10", "2026-08-01")),
        {"2026-08-08 23:59": LOCKED, "2026-08-09": RECLAIMED},
    ),
    Timeline(
        "a second correction does not start the seven days anew",
        (left("2026-01-10", recorded="2026-09-10 10:00"), corrected("2026-01-11", "2026-09-16 10:00")),
        {"2026-09-17 23:59": LOCKED, "2026-09-18": RECLAIMED},
    ),
    Timeline(
        "a higher rank whose longer term still runs gives a reclaimed mailbox back until its end",
        (left("2026-01-10"), corrected("2026-01-10", "2026-08-01", "department")),
        {"2026-08-01": LOCKED, "2027-01-11": RECLAIMED},
        then={"2026-07-31": RECLAIMED},
    ),
    Timeline(
        "a leader taken for staff gets the longer terms back",
        (left("2026-03-01"), corrected("2026-03-01", "2026-03-05", "department")),
        {"2026-03-06": ACTIVE, "2026-04-02": LOCKED, "2027-03-02": RECLAIMED},
    ),
    Timeline(
        "a withdrawn leave leaves no trace in the present, and stays visible in what was known",
        (left("2026-03-01"), fact(FactKind.LEAVE_WITHDRAWN, "2026-03-09")),
        {"2026-03-10": ACTIVE},
        then={"2026-03-05": LOCKED},
    ),
)
def test_corrections(row):
    row.check()


@pytest.mark.parametrize("day", ["2026-01-01", "2025-11-20", "2026-05-20"])
def test_correction_of_a_reclaimed_leave_that_stays_due(day):
    """A correction to a day that is past its term as well does not bring a reclaimed mailbox back for seven days."""
    facts = (left("2026-01-01", recorded="2026-01-02"), corrected(day, "2026-11-25"))
    still = ("2026-11-24 23:59", "2026-11-25", "2026-11-25 00:01", "2026-11-28", "2026-12-03", "2027-03-01")
    Timeline("", facts, {**dict.fromkeys(still, RECLAIMED), "2026-06-30": LOCKED}).check()


@timelines(
    Timeline(
        "a return in time lets send again from that day, and nothing is reclaimed later",
        (left("2026-03-01"), fact(RETURNED, "2026-06-01")),
        {"2026-05-31 23:59": LOCKED, "2026-06-01": ACTIVE, "2027-01-01": ACTIVE},
    ),
    Timeline(
        "a return does not undo a reclaim; a new issue does, and it wants a new password",
        (left("2026-03-01"), fact(RETURNED, "2026-10-01"), fact(FactKind.ISSUED, "2026-10-05")),
        {"2026-10-05": {MailboxState.ACTIVE, MailboxState.PASSWORD_DUE}},
        then={"2026-10-02": RECLAIMED},
    ),
    Timeline(
        "who returned and leaves again is a leaver by the second day",
        (left("2026-03-01"), fact(RETURNED, "2026-06-01"), left("2026-09-01")),
        {"2026-08-31 23:59": ACTIVE, "2026-09-01": LOCKED, "2027-03-01 23:59": LOCKED, "2027-03-02": RECLAIMED},
    ),
    Timeline(
        "a restore gives a suspended leaver the send-locked mailbox back, not an active one",
        (
            left("2026-03-01"), fact(FactKind.SUSPENDED, "2026-04-01", cause="c"), fact(FactKind.RESTORED, "2026-04-10"),
            fact(FactKind.PASSWORD_SET, "2026-04-11"),
        ),
        {"2026-04-12": LOCKED},
        then={"2026-04-02": LOCKED | SUSPENDED},
    ),
)  # fmt: skip
def test_returns_and_restores(row):
    row.check()


def test_reclaim_silences_suspension(history):
    """A suspended leaver's mailbox is reclaimed on its day like any other, and then receives nothing."""
    history.add(FactKind.LEFT, "2026-03-01", level="division")
    history.add(FactKind.SUSPENDED, "2026-04-01", cause="c")
    assert history.states("2026-09-02") == RECLAIMED
    assert not history.at("2026-09-02").receives
