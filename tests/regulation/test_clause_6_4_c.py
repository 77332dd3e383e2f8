"""Reg. 6.4.c: the mailbox of someone who retires, resigns or leaves."""

import pytest

from mic_mail.policy.calendar import TermEnd
from mic_mail.policy.facts import FactKind, MailboxKind
from mic_mail.policy.lifecycle import LifecycleSettings, State

ACTIVE, LOCKED, SUSPENDED, RECLAIMED = {State.ACTIVE}, {State.SEND_LOCKED}, {State.SUSPENDED}, {State.RECLAIMED}

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
    from datetime import date, timedelta

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
    assert locked.reason(State.SEND_LOCKED).clause == "6.4.c"


def test_day_begins_in_ho_chi_minh_city(history):
    """The lock comes at 00:00 of the ministry's clock, 17:00 UTC of the day before."""
    history.add(FactKind.LEFT, "2026-08-31", level="division")
    assert history.at("2026-08-31").reason(State.SEND_LOCKED).since.isoformat() == "2026-08-30T17:00:00+00:00"


@pytest.mark.parametrize("kind", [MailboxKind.UNIT, MailboxKind.GROUP])
def test_only_personal_mailboxes(make_history, kind):
    """A leave never touches a unit's or a group's mailbox."""
    history = make_history(kind)
    history.add(FactKind.LEFT, "2026-08-31", level="division")
    assert history.states("2030-01-01") == ACTIVE


def test_reading_start_of_day(make_history):
    """With terms.end = start_of_day the reclaim comes at 00:00 of the matching date."""
    history = make_history(settings=LifecycleSettings(term_end=TermEnd.START_OF_DAY))
    history.add(FactKind.LEFT, "2026-08-31", level="division")
    assert history.states("2027-02-27 23:59") == LOCKED
    assert history.states("2027-02-28") == RECLAIMED


def test_reading_roll(make_history):
    """With terms.roll a term that ends on a Sunday ends with the next day of work."""
    history = make_history(settings=LifecycleSettings(rest_day=lambda day: day.weekday() >= 5))
    history.add(FactKind.LEFT, "2026-08-31", level="division")  # 28/02/2027 is a Sunday
    assert history.states("2027-03-01 23:59") == LOCKED
    assert history.states("2027-03-02") == RECLAIMED


def test_late_notice_locks_from_the_official_day(history):
    """A notice that comes late counts from the official day; before it nobody could know."""
    history.add(FactKind.LEFT, "2026-03-01", recorded="2026-05-10 10:00", level="division")
    assert history.states("2026-04-01") == LOCKED
    assert history.states("2026-04-01", known="2026-04-01") == ACTIVE
    assert history.states("2026-09-02") == RECLAIMED


def test_reclaim_already_due_waits(history):
    """A reclaim that was due before its notice waits seven days from the recording."""
    history.add(FactKind.LEFT, "2026-01-10", recorded="2026-09-10 10:00", level="division")
    assert history.states("2026-09-17 23:59") == LOCKED
    assert history.states("2026-09-18") == RECLAIMED


def test_reclaim_not_yet_due_does_not_wait(history):
    """A notice one day before the term's end delays nothing."""
    history.add(FactKind.LEFT, "2026-01-10", recorded="2026-07-10 10:00", level="division")
    assert history.states("2026-07-10 23:59") == LOCKED
    assert history.states("2026-07-11") == RECLAIMED


def test_future_leave(history, moment):
    """A leave announced ahead changes nothing before its day, and the decision says when it will."""
    history.add(FactKind.LEFT, "2026-12-01", recorded="2026-10-01", level="division")
    decision = history.at("2026-11-01")
    assert decision.states == ACTIVE
    assert decision.valid_until == moment("2026-12-01")
    assert decision.next_change.states == LOCKED


def test_correction_to_a_later_day(history):
    """A corrected leave counts from the right day alone, also after the wrong one had already reclaimed."""
    history.add(FactKind.LEFT, "2026-01-10", level="division")
    history.add(FactKind.LEAVE_CORRECTED, "2026-06-10", recorded="2026-08-01", level="division")
    assert history.states("2026-07-20", known="2026-07-20") == RECLAIMED
    assert history.states("2026-03-01") == ACTIVE
    assert history.states("2026-08-02") == LOCKED
    assert history.states("2026-12-11") == RECLAIMED


def test_correction_to_an_earlier_day_waits_too(history):
    """A correction that makes the reclaim overdue gives the same seven days as a late notice."""
    history.add(FactKind.LEFT, "2026-06-10", level="division")
    history.add(FactKind.LEAVE_CORRECTED, "2026-01-10", recorded="2026-08-01", level="division")
    assert history.states("2026-08-08 23:59") == LOCKED
    assert history.states("2026-08-09") == RECLAIMED


@pytest.mark.parametrize("corrected", ["2026-01-01", "2025-11-20", "2026-05-20"])
def test_correction_of_a_reclaimed_leave_that_stays_due(history, corrected):
    """A correction to a day that is past its term as well does not bring a reclaimed mailbox back for seven days."""
    history.add(FactKind.LEFT, "2026-01-01", recorded="2026-01-02", level="division")
    history.add(FactKind.LEAVE_CORRECTED, corrected, recorded="2026-11-25", level="division")
    for moment in ("2026-11-24 23:59", "2026-11-25", "2026-11-25 00:01", "2026-11-28", "2026-12-03", "2027-03-01"):
        assert history.states(moment) == RECLAIMED, moment
    assert history.states("2026-06-30") == LOCKED


def test_correction_gives_no_second_grace(history):
    """The seven days run from the first notice that found the reclaim overdue; correcting it does not start them anew."""
    history.add(FactKind.LEFT, "2026-01-10", recorded="2026-09-10 10:00", level="division")
    history.add(FactKind.LEAVE_CORRECTED, "2026-01-11", recorded="2026-09-16 10:00", level="division")
    assert history.states("2026-09-17 23:59") == LOCKED
    assert history.states("2026-09-18") == RECLAIMED


def test_correction_that_opens_again(history):
    """Raising the rank of a reclaimed leaver whose longer term still runs gives the mailbox back until its end."""
    history.add(FactKind.LEFT, "2026-01-10", level="division")
    history.add(FactKind.LEAVE_CORRECTED, "2026-01-10", recorded="2026-08-01", level="department")
    assert history.states("2026-07-31", known="2026-07-31") == RECLAIMED
    assert history.states("2026-08-01") == LOCKED
    assert history.states("2027-01-11") == RECLAIMED


def test_correction_of_the_rank(history):
    """A leader taken for staff gets the longer terms back."""
    history.add(FactKind.LEFT, "2026-03-01", level="division")
    history.add(FactKind.LEAVE_CORRECTED, "2026-03-01", recorded="2026-03-05", level="department")
    assert history.states("2026-03-06") == ACTIVE
    assert history.states("2026-04-02") == LOCKED
    assert history.states("2027-03-02") == RECLAIMED


def test_withdrawal(history):
    """A leave that never was leaves no trace in the present, and stays visible in what was known."""
    history.add(FactKind.LEFT, "2026-03-01", level="division")
    history.add(FactKind.LEAVE_WITHDRAWN, "2026-03-09")
    assert history.states("2026-03-10") == ACTIVE
    assert history.states("2026-03-05", known="2026-03-05") == LOCKED


def test_return_before_the_reclaim(history):
    """Who comes back in time may send again from that day, and nothing is reclaimed later."""
    history.add(FactKind.LEFT, "2026-03-01", level="division")
    history.add(FactKind.RETURNED, "2026-06-01")
    assert history.states("2026-05-31 23:59") == LOCKED
    assert history.states("2026-06-01") == ACTIVE
    assert history.states("2027-01-01") == ACTIVE


def test_return_after_the_reclaim(history):
    """A return does not undo a reclaim; only a new issue does, and it wants a new password."""
    history.add(FactKind.LEFT, "2026-03-01", level="division")
    history.add(FactKind.RETURNED, "2026-10-01")
    assert history.states("2026-10-02") == RECLAIMED
    history.add(FactKind.ISSUED, "2026-10-05")
    assert history.states("2026-10-05") == {State.ACTIVE, State.PASSWORD_DUE}


def test_second_leave(history):
    """Who returned and leaves again is a leaver by the second day."""
    history.add(FactKind.LEFT, "2026-03-01", level="division")
    history.add(FactKind.RETURNED, "2026-06-01")
    history.add(FactKind.LEFT, "2026-09-01", level="division")
    assert history.states("2026-08-31 23:59") == ACTIVE
    assert history.states("2026-09-01") == LOCKED
    assert history.states("2027-03-01 23:59") == LOCKED
    assert history.states("2027-03-02") == RECLAIMED


def test_suspended_leaver(history):
    """Suspension and send-lock hold at once; a restore gives the send-locked mailbox back, not an active one."""
    history.add(FactKind.LEFT, "2026-03-01", level="division")
    history.add(FactKind.SUSPENDED, "2026-04-01", cause="c")
    assert history.states("2026-04-02") == LOCKED | SUSPENDED
    history.add(FactKind.RESTORED, "2026-04-10")
    history.add(FactKind.PASSWORD_SET, "2026-04-11")
    assert history.states("2026-04-12") == LOCKED


def test_reclaim_silences_suspension(history):
    """A suspended leaver's mailbox is reclaimed on its day like any other, and then receives nothing."""
    history.add(FactKind.LEFT, "2026-03-01", level="division")
    history.add(FactKind.SUSPENDED, "2026-04-01", cause="c")
    assert history.states("2026-09-02") == RECLAIMED
    assert not history.at("2026-09-02").receives


def test_leave_without_a_rank_takes_the_longer_terms(history):
    """A stored leave that lacks the rank never locks or reclaims sooner than the longer terms allow."""
    history.add(FactKind.LEFT, "2026-03-01")
    assert history.states("2026-03-15") == ACTIVE
    assert history.states("2026-12-01") == LOCKED
