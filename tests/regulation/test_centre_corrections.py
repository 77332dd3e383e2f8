"""What a wrong clock recorded is taken back, and what was decided can be explained then and now."""

from datetime import date, timedelta

import pytest

from mic_mail.policy.credentials.app_passwords import app_passwords
from mic_mail.policy.credentials.verifiers import Credential
from mic_mail.policy.facts import Departure, Draft, FactKind, SuspensionCause
from mic_mail.policy.lifecycle import LifecycleSettings, MailboxState
from mic_mail.services.mailboxes.consistency_check import FindingSeverity, inspect
from mic_mail.services.mailboxes.explanation import explain
from mic_mail.services.mailboxes.issue import Ground
from mic_mail.services.mailboxes.lifecycle_actions import NotAllowed
from regulation.centre_acts import ASKED, CENTRE, PLAIN, WHY, Centre


@pytest.fixture
def centre(tmp_path):
    """The Centre, with nobody's mailbox yet."""
    centre = Centre(tmp_path)
    yield centre
    centre.directory.close()


@pytest.mark.clause("6.2", "7.3.b", "10.2")
@pytest.mark.parametrize(
    ("do", "undo", "state"),
    [
        (
            lambda accounts, mailbox: accounts.suspend(mailbox, SuspensionCause.COMPROMISED, WHY),
            lambda accounts, mailbox: accounts.restore(mailbox, ASKED, Credential(0, "new"), WHY),
            MailboxState.SUSPENDED,
        ),
        (
            lambda accounts, mailbox: accounts.lock_sending(mailbox, WHY),
            lambda accounts, mailbox: accounts.unlock_sending(mailbox, WHY),
            MailboxState.SEND_LOCKED,
        ),
        (
            lambda accounts, mailbox: accounts.reclaim(mailbox, WHY),
            lambda accounts, mailbox: accounts.withdraw_reclaim(mailbox, WHY),
            MailboxState.RECLAIMED,
        ),
    ],
    ids=["suspended", "locked", "reclaimed"],
)
def test_what_a_clock_that_was_ahead_recorded_is_taken_back(centre, do, undo, state):
    """An act of 19 days ahead comes into force by itself, and once the clock is right the Centre takes it back before; one of
    today is undone by itself, and no act beside it is."""
    mailbox, other = centre.mailbox(), centre.mailbox("Trần Thị Lan")
    today, ahead = centre.clock.now(), centre.clock.now() + timedelta(days=19)
    centre.clock.move_to(ahead)
    do(centre.accounts, mailbox)
    do(centre.accounts, other)
    centre.clock.move_to(today)
    assert centre.states(mailbox) == centre.states(other) == {MailboxState.ACTIVE}
    undo(centre.accounts, mailbox)
    centre.chosen(mailbox)
    with pytest.raises(NotAllowed):
        undo(centre.accounts, mailbox)
    centre.clock.move_to(ahead + timedelta(days=1))
    assert centre.states(mailbox) == {MailboxState.ACTIVE}
    assert centre.states(other) == {state}


@pytest.mark.clause("6.2")
def test_a_reclaim_of_a_clock_that_was_ahead_does_not_come_after_an_issue(centre):
    """The mailbox is reclaimed once more by the right clock and issued again: the first reclaim is of no time any more."""
    mailbox, today, ahead = centre.mailbox(), centre.clock.now(), centre.clock.now() + timedelta(days=19)
    centre.clock.move_to(ahead)
    centre.accounts.reclaim(mailbox, WHY)
    centre.clock.move_to(today)
    centre.accounts.reclaim(mailbox, WHY)
    centre.later(days=1)
    centre.issuing.issue_again(mailbox, "another", Ground(CENTRE))
    centre.chosen(mailbox)
    centre.clock.move_to(ahead + timedelta(days=1))
    assert centre.states(mailbox) == {MailboxState.ACTIVE}


@pytest.mark.clause("6.2", "15.2")
def test_a_reclaim_in_force_is_not_withdrawn(centre):
    """Only an issue undoes it; one that is withdrawn needs a reason, and ends no app password."""
    mailbox, today, ahead = centre.mailbox(), centre.clock.now(), centre.clock.now() + timedelta(days=19)
    data = {"name": "phone"}
    centre.directory.append_fact(mailbox.mailbox_id, Draft(FactKind.APP_PASSWORD_ADDED, today, "person", data=data))
    centre.clock.move_to(ahead)
    centre.accounts.reclaim(mailbox, WHY)
    with pytest.raises(NotAllowed, match="is pending") as refusal:
        centre.accounts.withdraw_reclaim(mailbox, WHY)
    assert refusal.value.remedy.en == "mic-mail mailbox restore-reclaimed"
    centre.clock.move_to(today)
    (ends,) = app_passwords(centre.directory.facts(mailbox.mailbox_id))
    assert ends.ended_at == ahead
    with pytest.raises(NotAllowed, match="reason"):
        centre.accounts.withdraw_reclaim(mailbox, PLAIN)
    centre.accounts.withdraw_reclaim(mailbox, WHY)
    (stays,) = app_passwords(centre.directory.facts(mailbox.mailbox_id))
    assert stays.ended_at is None
    assert centre.accounts.state_of(mailbox).reclaimed_at is None


def test_explanation_then_and_now(centre):
    """A notice that came late shows as hindsight: active then, locked as known now, each with the facts it rests on."""
    mailbox = centre.mailbox()
    between = centre.clock.now() + timedelta(days=10)
    centre.later(days=30)
    centre.accounts.leave(mailbox, date(2026, 1, 10), None, Departure.RETIRED, CENTRE)
    explanation = explain(centre.directory.entry(mailbox.mailbox_id), between, LifecycleSettings())
    assert explanation.hindsight
    assert explanation.known_then.decision.states == {MailboxState.ACTIVE}
    assert explanation.known_now.decision.states == {MailboxState.SEND_LOCKED}
    assert FactKind.LEFT in {fact.kind for fact in explanation.known_now.cited}
    assert FactKind.LEFT not in {fact.kind for fact in explanation.known_then.cited}
    assert [span.state for span in explanation.course if span.clause == "6.4.c"] == [
        MailboxState.SEND_LOCKED,
        MailboxState.RECLAIMED,
    ]
    assert explanation.chain_broken_at is None


def test_explanation_of_reasons_then_and_now(centre):
    """The same state for another reason, or with another end, is hindsight too; nothing learned since is none."""
    mailbox = centre.mailbox()
    centre.accounts.leave(mailbox, date(2026, 1, 6), None, Departure.RETIRED, CENTRE)
    between = centre.clock.now() + timedelta(days=10)
    assert not explain(centre.directory.entry(mailbox.mailbox_id), between, LifecycleSettings()).hindsight
    centre.later(days=30)
    centre.accounts.correct_leave(mailbox, date(2026, 1, 10), None, None, CENTRE)
    explanation = explain(centre.directory.entry(mailbox.mailbox_id), between, LifecycleSettings())
    assert explanation.known_now.decision.states == explanation.known_then.decision.states == {MailboxState.SEND_LOCKED}
    assert explanation.hindsight


def test_clause_6_5(centre, tmp_path):
    """Every disagreement between directory and disk is listed, errors first; a mailbox that nobody opened yet is a note."""
    root = tmp_path / "mail"
    kept, lost, unopened, gone = (centre.mailbox(name) for name in ("Đỗ Văn Bê", "Trần Thị Lan", "Lê Thị Hoa", "Vũ Đức Minh"))
    aside = [f"{kept.home}.{what}-1700000000000000" for what in ("replaced", "restoring")]
    for home in (kept.home, gone.home, "mic.gov.vn/stranger", *aside):
        (root / home / "Maildir").mkdir(parents=True)
    (root / "mic.gov.vn" / "no-mailbox").mkdir()
    centre.directory.touch_activity(lost.mailbox_id, centre.clock.now())
    centre.accounts.reclaim(gone, CENTRE)
    centre.later(seconds=1)
    found = inspect(centre.directory.load_snapshot(), root, centre.clock.now(), LifecycleSettings())
    assert [(d.severity, d.kind, d.subject) for d in found] == [
        (FindingSeverity.ERROR, "no_folder", lost.address),
        (FindingSeverity.ERROR, "stray_folder", "mic.gov.vn/stranger"),
        (FindingSeverity.NOTE, "no_folder", unopened.address),
        (FindingSeverity.NOTE, "reclaimed_with_mail", gone.address),
        *((FindingSeverity.NOTE, "set_aside", home) for home in aside),
    ]


def test_clause_6_5_facts_that_cannot_be_read(centre, tmp_path):
    """Facts that make no sense are one line of the check, and the other mailboxes are looked at all the same."""
    bad, good = centre.mailbox(), centre.mailbox("Trần Thị Lan")
    centre.directory.append_fact(bad.mailbox_id, Draft(FactKind.ABSENCE, centre.clock.now(), "t", data={"until": "mai"}))
    found = inspect(centre.directory.load_snapshot(), tmp_path, centre.clock.now(), LifecycleSettings())
    assert {(d.kind, d.subject) for d in found} == {("unreadable_facts", bad.address), ("no_folder", good.address)}
