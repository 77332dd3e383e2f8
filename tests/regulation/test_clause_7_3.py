"""Reg. 7.3: restoring, and the password that has to be changed after it."""

import pytest

from mic_mail.policy.facts import FactKind, MailboxKind
from mic_mail.policy.lifecycle import MailboxState


@pytest.mark.parametrize("kind", list(MailboxKind))
def test_restored_mailbox_waits_for_a_new_password(make_history, kind):
    """7.3.c: after a restore nobody gets in but to the password page until a password was chosen; units too."""
    history = make_history(kind)
    history.add(FactKind.SUSPENDED, "2026-05-01", cause="c")
    history.add(FactKind.RESTORED, "2026-05-10 10:00")
    due = history.at("2026-05-10 10:00")
    assert due.password_change_due
    assert (due.receives, due.signs_in, due.sends) == (True, False, False)
    assert due.reason(MailboxState.PASSWORD_DUE).clause == "7.3.c"
    history.add(FactKind.PASSWORD_SET, "2026-05-10 14:00")
    assert history.states("2026-05-10 14:00") == {MailboxState.ACTIVE}


def test_restore_lifts_only_what_it_knew(history):
    """A suspension that was recorded after the restore stays, even if it counts from an earlier moment."""
    history.add(FactKind.SUSPENDED, "2026-05-01", cause="c")
    history.add(FactKind.RESTORED, "2026-05-10 10:00")
    history.add(FactKind.SUSPENDED, "2026-05-10 09:00", recorded="2026-05-10 11:00", cause="c")
    assert MailboxState.SUSPENDED in history.states("2026-05-11")


def test_restore_does_not_lift_a_suspension_to_come(history):
    """A suspension dated to next week is not undone by a restore of today."""
    history.add(FactKind.SUSPENDED, "2026-05-20", recorded="2026-05-01", cause="c")
    history.add(FactKind.RESTORED, "2026-05-10")
    assert MailboxState.SUSPENDED not in history.states("2026-05-19")
    assert MailboxState.SUSPENDED in history.states("2026-05-20")


def test_one_restore_lifts_several_suspensions(history):
    """A restore gives the mailbox back, not one of its suspensions."""
    history.add(FactKind.SUSPENDED, "2026-05-01", cause="c")
    history.add(FactKind.SUSPENDED, "2026-05-02", cause="a")
    history.add(FactKind.RESTORED, "2026-05-10")
    assert history.states("2026-05-11") == {MailboxState.ACTIVE, MailboxState.PASSWORD_DUE}


def test_reset_by_the_centre(history):
    """15.2: a password that the Centre set has to be changed."""
    history.add(FactKind.PASSWORD_RESET, "2026-05-10")
    assert history.at("2026-05-10").reason(MailboxState.PASSWORD_DUE).clause == "15.2"


def test_lock_by_hand(history):
    """The Centre can lock sending and unlock it; the lock of a leaver stays."""
    history.add(FactKind.SENDING_LOCKED, "2026-05-01")
    assert history.states("2026-05-02") == {MailboxState.SEND_LOCKED}
    history.add(FactKind.LEFT, "2026-05-03", level="division")
    history.add(FactKind.SENDING_UNLOCKED, "2026-05-04")
    assert [reason.clause for reason in history.at("2026-05-05").reasons] == ["6.4.c"]
