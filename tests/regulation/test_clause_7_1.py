"""Reg. 7.1 and the table of states: what each state opens and closes."""

import pytest

from mic_mail.policy.facts import FactKind, MailboxKind
from mic_mail.policy.lifecycle import MailboxState
from mic_mail.policy.states import ACCESS


@pytest.mark.parametrize("kind", list(MailboxKind))
@pytest.mark.parametrize("cause", ["a", "b", "c"])
def test_suspended_mailboxes_still_receive(make_history, kind, cause):
    """A suspended mailbox of any kind receives mail and lets nobody in."""
    history = make_history(kind)
    history.add(FactKind.SUSPENDED, "2026-05-01", cause=cause)
    decision = history.at("2026-05-02")
    assert (decision.receives, decision.signs_in, decision.sends) == (True, False, False)
    assert decision.reason(MailboxState.SUSPENDED).clause == f"7.2.{cause}"


def test_every_state_has_a_row():
    """The table covers every state, and only active mailboxes send."""
    assert set(ACCESS) == set(MailboxState)
    assert [state for state in MailboxState if ACCESS[state].sends] == [MailboxState.ACTIVE]


def test_before_the_issue(history):
    """A mailbox that is to be issued tomorrow does not exist today."""
    assert history.states("2020-01-01 23:59") == {MailboxState.NOT_ISSUED}
    assert not history.at("2020-01-01 23:59").receives
