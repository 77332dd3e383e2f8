"""Reg. 7.2.a: six months without use, no reason notified."""

import pytest

from mic_mail.policy.facts import FactKind, MailboxKind
from mic_mail.policy.lifecycle import State

ACTIVE, SUSPENDED = {State.ACTIVE}, {State.SUSPENDED}


@pytest.mark.parametrize("kind", list(MailboxKind))
def test_six_months_after_the_last_use(make_history, moment, kind):
    """Suspended at 00:00 after the end of the sixth month, whatever kind of mailbox."""
    history = make_history(kind)
    history.used("2026-08-31 16:00")
    assert history.states("2027-02-28 23:59") == ACTIVE
    assert history.states("2027-03-01") == SUSPENDED
    assert history.at("2026-09-01").valid_until == moment("2027-03-01")
    assert history.at("2027-03-01").reason(State.SUSPENDED).clause == "7.2.a"


def test_never_used_counts_from_the_issue(history):
    """A mailbox that nobody ever used is suspended six months after its day of issue."""
    history.used(None)
    assert history.states("2020-07-02 23:59") == ACTIVE
    assert history.states("2020-07-03") == SUSPENDED


def test_import_starts_the_clock_anew(history):
    """A mailbox that was taken over counts from the day of the import."""
    history.used(None)
    history.add(FactKind.IMPORTED, "2020-05-01")
    assert history.states("2020-11-01 23:59") == ACTIVE
    assert history.states("2020-11-02") == SUSPENDED


def test_absence_exempts_until_its_end_then_six_months_anew(history):
    """A notified absence until 31/12 leaves until the end of 30/06."""
    history.used("2026-01-15")
    history.add(FactKind.ABSENCE, "2026-02-01", until="2026-12-31")
    assert history.states("2026-10-01") == ACTIVE
    assert history.states("2027-06-30 23:59") == ACTIVE
    assert history.states("2027-07-01") == SUSPENDED


def test_absence_notified_too_late(history):
    """A reason that comes after the suspension does not lift it: it is a ground for a restore."""
    history.used("2026-01-15")
    history.add(FactKind.ABSENCE, "2026-03-01", recorded="2026-08-01", until="2026-12-31")
    assert history.states("2026-08-02") == SUSPENDED


def test_absence_that_begins_after_the_suspension(history):
    """An absence notified ahead that begins only after six months idle comes too late."""
    history.used("2026-01-15")
    history.add(FactKind.ABSENCE, "2026-08-01", recorded="2026-02-01", until="2026-12-31")
    assert history.states("2026-07-16") == SUSPENDED


def test_use_during_an_absence(history):
    """Reading mail while abroad does not cut the absence short."""
    history.add(FactKind.ABSENCE, "2026-02-01", until="2026-12-31")
    history.used("2026-03-01")
    assert history.states("2027-06-30") == ACTIVE
    assert history.states("2027-07-01") == SUSPENDED


def test_back_early(history):
    """Who comes back before the notified day is exempt no longer from then on."""
    history.used("2026-01-15")
    history.add(FactKind.ABSENCE, "2026-02-01", until="2026-12-31")
    history.add(FactKind.ABSENCE_ENDED, "2026-04-10")
    assert history.states("2026-10-10 23:59") == ACTIVE
    assert history.states("2026-10-11") == SUSPENDED


def test_days_of_downtime_do_not_count(history):
    """Ten days on which the service was down move the suspension by ten days, also when recorded afterwards."""
    history.used("2026-01-15")
    history.add(FactKind.CLOCK_STOPPED, "2026-07-10", recorded="2026-07-20", until="2026-07-19")
    assert history.states("2026-07-25 23:59") == ACTIVE
    assert history.states("2026-07-26") == SUSPENDED


def test_downtime_before_the_last_use_changes_nothing(history):
    """Only days that would have counted are left out."""
    history.add(FactKind.CLOCK_STOPPED, "2025-12-01", until="2025-12-10")
    history.used("2026-01-15")
    assert history.states("2026-07-15 23:59") == ACTIVE
    assert history.states("2026-07-16") == SUSPENDED


def test_restore_starts_the_clock_anew(history):
    """Six months begin again with the restore, and only a restore ends the suspension."""
    history.used("2026-01-15")
    history.add(FactKind.RESTORED, "2026-09-01 10:00")
    history.add(FactKind.PASSWORD_SET, "2026-09-01 11:00")
    assert history.states("2026-08-31") == SUSPENDED
    assert history.states("2026-09-02") == ACTIVE
    assert history.states("2027-03-01 23:59") == ACTIVE
    assert history.states("2027-03-02") == SUSPENDED


def test_a_later_use_proves_that_it_was_in_use(history):
    """Only the last use is kept; that it happened shows that the clock had not suspended the mailbox before."""
    history.used("2026-11-20")
    assert history.states("2021-06-01") == ACTIVE
    assert history.states("2026-11-21") == ACTIVE


def test_idle_leader_is_suspended_and_locked(history):
    """A department leader who left and reads no more is suspended as well, before the reclaim."""
    history.add(FactKind.LEFT, "2026-01-31", level="department")
    history.used("2026-02-10")
    assert history.states("2026-08-11") == {State.SEND_LOCKED, State.SUSPENDED}
    assert history.states("2027-02-01") == {State.RECLAIMED}
