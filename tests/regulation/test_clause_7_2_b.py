"""Reg. 7.2.b with 7.3: a breach of Article 4, lifted only with its document."""

from mic_mail.policy.authorization.grounds import ActContext
from mic_mail.policy.facts import FactKind
from mic_mail.policy.lifecycle import LifecycleSettings, MailboxState

BREACH = {"cause": "b", "conclusion_no": "12/KL-BTTTT", "concluded_on": "2026-04-28", "signatory": "Thứ trưởng"}


def test_restore_without_document_lifts_nothing_of_it(history):
    """A plain restore leaves the breach in force and lifts what it may: the suspension for a leaked password."""
    history.add(FactKind.SUSPENDED, "2026-05-01", **BREACH)
    history.add(FactKind.SUSPENDED, "2026-05-02", cause="c")
    history.add(FactKind.RESTORED, "2026-05-10")
    reasons = [r.clause for r in history.at("2026-05-11").reasons if r.state is MailboxState.SUSPENDED]
    assert reasons == ["7.2.b"]


def test_what_is_on_record_is_read_as_it_was(history):
    """A document of blanks is refused where an act is recorded; a mailbox that was opened by one stays open."""
    history.add(FactKind.SUSPENDED, "2026-05-01", **BREACH)
    history.add(FactKind.RESTORED, "2026-05-10", document=" ")
    assert MailboxState.SUSPENDED not in history.states("2026-05-11")
    assert ActContext("mai", document=" ").document is None


def test_restore_with_document(history):
    """The document that lifts the breach lifts the suspension; a new password is due (7.3.c)."""
    history.add(FactKind.SUSPENDED, "2026-05-01", **BREACH)
    history.add(FactKind.RESTORED, "2026-05-10", document="20/QĐ-BTTTT")
    assert history.states("2026-05-11") == {MailboxState.ACTIVE, MailboxState.PASSWORD_DUE}


def test_reading_plain_request(make_history):
    """With restore.breach_document = false a plain request is enough."""
    history = make_history(settings=LifecycleSettings(breach_document=False))
    history.add(FactKind.SUSPENDED, "2026-05-01", **BREACH)
    history.add(FactKind.RESTORED, "2026-05-10")
    assert MailboxState.SUSPENDED not in history.states("2026-05-11")


def test_the_reason_names_the_conclusion(history):
    """The decision carries what the refusal and the explanation have to say."""
    history.add(FactKind.SUSPENDED, "2026-05-01", **BREACH)
    reason = history.at("2026-05-02").reason(MailboxState.SUSPENDED)
    assert (reason.clause, reason.params["conclusion_no"], reason.params["signatory"]) == ("7.2.b", "12/KL-BTTTT", "Thứ trưởng")
