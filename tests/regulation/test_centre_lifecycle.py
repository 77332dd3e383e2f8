"""Acts of the Centre on the life of a mailbox, each test named by its clause: suspended, absent, left, come back."""

from datetime import UTC, date, datetime, timedelta

import pytest

from mic_mail.config.model import Config
from mic_mail.errors import BadInput
from mic_mail.policy.authorization.grounds import ActContext
from mic_mail.policy.credentials.verifiers import Credential
from mic_mail.policy.directory_changes import ChangeRefused
from mic_mail.policy.facts import Departure, Draft, FactKind, Level, SuspensionCause
from mic_mail.policy.lifecycle import LifecycleSettings, MailboxState
from mic_mail.services.mailboxes.explanation import explain
from mic_mail.services.mailboxes.issue import Ground
from mic_mail.services.mailboxes.lifecycle_actions import Conclusion, MailboxLifecycle, NotAllowed, RestoreRequest
from population import transfer
from regulation.centre_acts import ASKED, CENTRE, PLAIN, WHY, Centre


@pytest.fixture
def centre(tmp_path):
    """The Centre, with nobody's mailbox yet."""
    centre = Centre(tmp_path)
    yield centre
    centre.directory.close()


def test_clause_7_2_b(centre):
    """A breach needs number, date and signatory of the conclusion; refused without."""
    mailbox = centre.mailbox()
    for conclusion in (None, Conclusion("", date(2026, 1, 4), "phạm đức  Long"), Conclusion("3/KL", date(2026, 1, 4), " ")):
        with pytest.raises(NotAllowed) as refusal:
            centre.accounts.suspend(mailbox, SuspensionCause.BREACH, WHY, conclusion)
        assert refusal.value.clause == "7.2.b"
    centre.accounts.suspend(mailbox, SuspensionCause.BREACH, WHY, Conclusion("3/KL", date(2026, 1, 4), "phạm đức  Long"))
    assert centre.states(mailbox) == {MailboxState.SUSPENDED}
    for blank in (None, "", " ", "\t\u00a0\n"):
        with pytest.raises(NotAllowed) as refusal:
            centre.accounts.restore(mailbox, ASKED, Credential(0, "new"), ActContext("quản trị", "theo đề nghị", blank))
        assert refusal.value.clause == "7.2.b"
    decision = centre.accounts.restore(mailbox, ASKED, Credential(0, "new"), CENTRE)
    assert decision.states == {MailboxState.ACTIVE, MailboxState.PASSWORD_DUE}


@pytest.mark.clause("7.3.a")
def test_clause_7_2_c_and_7_3(centre):
    """Suspended by hand at once; restored with asker, channel and new password; what is not suspended cannot be restored."""
    mailbox = centre.mailbox()
    with pytest.raises(NotAllowed):
        centre.accounts.restore(mailbox, ASKED, Credential(0, "new"), PLAIN)
    with pytest.raises(NotAllowed):
        centre.accounts.suspend(mailbox, SuspensionCause.COMPROMISED, PLAIN)  # no reason
    centre.accounts.suspend(mailbox, SuspensionCause.COMPROMISED, WHY)
    assert centre.states(mailbox) == {MailboxState.SUSPENDED}
    for nobody in (RestoreRequest(" ", "fax"), RestoreRequest("Vụ CNTT", "\t")):
        with pytest.raises(NotAllowed) as refusal:
            centre.accounts.restore(mailbox, nobody, Credential(0, "new"), PLAIN)
        assert refusal.value.clause == "7.3.a"
    centre.accounts.restore(mailbox, ASKED, Credential(0, "new"), PLAIN)
    entry = centre.directory.entry(mailbox.mailbox_id)
    assert entry.facts[-1].data == {"asked_by": "Vụ CNTT", "channel": "fax"}
    assert entry.credential == Credential(2, "new")


def test_clause_7_3_b(centre):
    """With restore.min_wait = 1 a request of Friday is granted on Monday, not before; by default at once."""
    patient = Config.model_validate({"restore": {"min_wait": 1}})
    mailbox = centre.mailbox()
    centre.clock.move_to(datetime(2026, 1, 10, 2, tzinfo=UTC))  # a Saturday
    centre.accounts.suspend(mailbox, SuspensionCause.COMPROMISED, WHY)
    waiting = MailboxLifecycle(centre.directory, patient, centre.clock)
    asked = RestoreRequest("Vụ CNTT", "fax", date(2026, 1, 9))
    with pytest.raises(NotAllowed) as refusal:
        waiting.restore(mailbox, asked, Credential(0, "new"), PLAIN)
    assert refusal.value.clause == "7.3.b"
    centre.later(days=2)
    waiting.restore(mailbox, asked, Credential(0, "new"), PLAIN)


def test_clause_7_2_a(centre):
    """A suspension that the clock brought is put on record by the restore, so that it stays explainable after later use."""
    mailbox = centre.mailbox()
    centre.later(days=200)
    idle = centre.clock.now()
    assert centre.states(mailbox) == {MailboxState.SUSPENDED}
    centre.accounts.restore(mailbox, ASKED, Credential(0, "new"), PLAIN)
    centre.chosen(mailbox)
    centre.later(days=1)
    centre.directory.touch_activity(mailbox.mailbox_id, centre.clock.now())
    entry = centre.directory.entry(mailbox.mailbox_id)
    assert [fact.kind for fact in entry.facts[-3:]] == [FactKind.SUSPENDED, FactKind.RESTORED, FactKind.PASSWORD_SET]
    explanation = explain(entry, idle - timedelta(hours=1), LifecycleSettings())
    assert explanation.known_now.decision.states == {MailboxState.SUSPENDED}
    assert entry.facts[-3].text("counted_from") == "2026-01-05"


def test_clause_7_2_a_absence(centre):
    """A notified absence keeps the mailbox active; it needs a reason and an end after its beginning."""
    mailbox = centre.mailbox()
    with pytest.raises(NotAllowed):
        centre.accounts.note_absence(mailbox, date(2026, 2, 1), date(2026, 12, 31), PLAIN)
    with pytest.raises(BadInput):
        centre.accounts.note_absence(mailbox, date(2026, 2, 1), date(2026, 1, 31), WHY)
    centre.accounts.note_absence(mailbox, date(2026, 2, 1), date(2026, 12, 31), WHY)
    centre.later(days=300)
    assert centre.states(mailbox) == {MailboxState.ACTIVE}


def test_clause_6_4_c(centre):
    """The rank is taken from the position, asked for where it is unknown; a second leave has to be a correction."""
    mailbox = centre.mailbox()
    fact = centre.accounts.leave(mailbox, date(2026, 1, 5), None, Departure.RESIGNED, CENTRE)
    assert fact.text("level") == Level.DIVISION
    assert centre.states(mailbox) == {MailboxState.SEND_LOCKED}
    with pytest.raises(NotAllowed):
        centre.accounts.leave(mailbox, date(2026, 2, 1), None, Departure.RETIRED, CENTRE)
    corrected = centre.accounts.correct_leave(mailbox, date(2026, 1, 10), None, None, CENTRE)
    assert corrected.data == {"level": "division", "cause": "resigned"}, "what is not named stays"
    assert centre.states(mailbox) == {MailboxState.ACTIVE}
    centre.accounts.withdraw_leave(mailbox, WHY)
    with pytest.raises(NotAllowed):
        centre.accounts.withdraw_leave(mailbox, WHY)
    director = centre.mailbox("Trần Thị Lan", position="Giám đốc")
    with pytest.raises(NotAllowed) as asked:
        centre.accounts.leave(director, date(2026, 1, 5), None, Departure.RETIRED, CENTRE)
    assert asked.value.clause == "6.4.c"
    centre.accounts.leave(director, date(2026, 1, 5), Level.DEPARTMENT, Departure.RETIRED, CENTRE)
    assert centre.states(director) == {MailboxState.ACTIVE}
    unit = centre.issuing.issue_unit("CNTT", "first", Ground(CENTRE))
    with pytest.raises(NotAllowed):
        centre.accounts.leave(unit, date(2026, 1, 5), Level.DIVISION, Departure.RETIRED, CENTRE)


def test_return(centre):
    """A leaver who is back may send again; once reclaimed, only a new issue helps."""
    mailbox = centre.mailbox()
    with pytest.raises(NotAllowed):
        centre.accounts.return_from_leave(mailbox, date(2026, 1, 5), CENTRE)
    centre.accounts.leave(mailbox, date(2026, 1, 5), None, Departure.RESIGNED, CENTRE)
    centre.accounts.return_from_leave(mailbox, date(2026, 1, 5), CENTRE)
    assert centre.states(mailbox) == {MailboxState.ACTIVE}
    with pytest.raises(NotAllowed, match="ended with the return of 5 January 2026"):  # a second one would lock who is back
        centre.accounts.return_from_leave(mailbox, date(2026, 2, 5), CENTRE)
    assert centre.states(mailbox) == {MailboxState.ACTIVE}
    centre.accounts.leave(mailbox, date(2026, 1, 6), None, Departure.RESIGNED, CENTRE)
    centre.later(days=250)
    with pytest.raises(NotAllowed) as refusal:
        centre.accounts.return_from_leave(mailbox, date(2026, 9, 1), CENTRE)
    assert refusal.value.clause == "6.4.a"
    with pytest.raises(NotAllowed):
        centre.accounts.suspend(mailbox, SuspensionCause.COMPROMISED, WHY)


def test_days_that_contradict_each_other(centre):
    """No return before the leave or after the reclaim, no leave before the issue; the same days the right way round go in."""
    mailbox = centre.mailbox()
    with pytest.raises(NotAllowed, match="before the issue of 5 January 2026"):
        centre.accounts.leave(mailbox, date(2026, 1, 4), None, Departure.RETIRED, CENTRE)
    centre.accounts.leave(mailbox, date(2026, 2, 1), None, Departure.RETIRED, CENTRE)
    with pytest.raises(NotAllowed, match="before the issue"):
        centre.accounts.correct_leave(mailbox, date(2026, 1, 4), None, None, CENTRE)
    with pytest.raises(NotAllowed, match="before the leave of 1 February 2026"):
        centre.accounts.return_from_leave(mailbox, date(2026, 1, 31), CENTRE)
    with pytest.raises(NotAllowed, match="reclaimed by then") as refusal:
        centre.accounts.return_from_leave(mailbox, date(2026, 8, 2), CENTRE)
    assert refusal.value.clause == "6.4.a"
    centre.accounts.return_from_leave(mailbox, date(2026, 8, 1), CENTRE)
    assert [fact.kind for fact in centre.directory.facts(mailbox.mailbox_id)[2:]] == [FactKind.LEFT, FactKind.RETURNED]


@pytest.mark.clause("5.5")
@pytest.mark.clause("6.4.c")
def test_a_leave_that_ended_is_not_made_the_next_one(centre):
    """A correction to after the return would be a leave that never locks; the next leave is one of its own."""
    mailbox = centre.mailbox()
    centre.accounts.leave(mailbox, date(2026, 2, 1), Level.DIVISION, Departure.RETIRED, CENTRE)
    centre.accounts.return_from_leave(mailbox, date(2026, 3, 1), CENTRE)
    with pytest.raises(NotAllowed) as refusal:
        centre.accounts.correct_leave(mailbox, date(2026, 3, 2), None, None, CENTRE)
    assert refusal.value.clause == "6.4.c"
    centre.accounts.correct_leave(mailbox, date(2026, 2, 15), None, None, CENTRE)
    centre.accounts.leave(mailbox, date(2026, 3, 2), Level.DIVISION, Departure.RETIRED, CENTRE)
    centre.clock.move_to(datetime(2026, 3, 2, 1, tzinfo=UTC))
    assert centre.states(mailbox) == {MailboxState.SEND_LOCKED}


def test_an_imported_mailbox_of_somebody_who_left_before(centre):
    """Taken over from another system, the leave may be older than the import (Reg. 10.4)."""
    mailbox = centre.mailbox()
    centre.directory.append_fact(mailbox.mailbox_id, Draft(FactKind.IMPORTED, centre.clock.now(), "t"))
    centre.accounts.leave(mailbox, date(2025, 12, 1), None, Departure.RETIRED, CENTRE)
    assert centre.states(mailbox) == {MailboxState.SEND_LOCKED}


def test_absences_that_are_not_there(centre):
    """Only an absence that has begun and is not over can be ended, once; a reclaimed mailbox has none."""
    mailbox = centre.mailbox()
    with pytest.raises(NotAllowed):
        centre.accounts.end_absence(mailbox, WHY)
    centre.accounts.note_absence(mailbox, date(2026, 1, 5), date(2026, 3, 1), WHY)
    centre.later(days=5)
    centre.accounts.end_absence(mailbox, WHY)
    with pytest.raises(NotAllowed):
        centre.accounts.end_absence(mailbox, WHY)
    centre.accounts.reclaim(mailbox, CENTRE)
    centre.later(days=1)
    with pytest.raises(NotAllowed):
        centre.accounts.note_absence(mailbox, date(2026, 2, 1), date(2026, 3, 1), WHY)


def test_days_that_have_not_come(centre):
    """A conclusion and the receipt of a request are past; each refusal says which day is meant."""
    tomorrow = date(2026, 1, 6)
    with pytest.raises(BadInput, match="day of receipt"):
        centre.issuing.issue_personal(centre.person(), "first", Ground(CENTRE, tomorrow))
    mailbox = centre.mailbox("Trần Thị Lan")
    with pytest.raises(BadInput, match="conclusion"):
        centre.accounts.suspend(mailbox, SuspensionCause.BREACH, WHY, Conclusion("3/KL", tomorrow, "Phạm Đức Long"))
    centre.accounts.suspend(mailbox, SuspensionCause.COMPROMISED, WHY)
    with pytest.raises(BadInput, match="day of receipt 6 January 2026 is in the future"):
        centre.accounts.restore(mailbox, RestoreRequest("Vụ CNTT", "fax", tomorrow), Credential(0, "new"), PLAIN)


def test_no_alias_for_a_reclaimed_mailbox(centre):
    """It would take an address for ever and lead nowhere."""
    mailbox = centre.mailbox()
    centre.accounts.reclaim(mailbox, CENTRE)
    centre.later(seconds=1)
    with pytest.raises(NotAllowed):
        centre.issuing.add_alias(mailbox, "be.do@mic.gov.vn", CENTRE)


def test_clause_6_4_b(centre):
    """A transfer changes the person's unit and nothing of the mailbox."""
    mailbox = centre.mailbox()
    person = centre.directory.people()[0]
    to = centre.directory.unit("PTTH&TTĐT")
    transfer(centre.directory, person, to)
    assert centre.directory.person(person.person_id).unit_id == to.unit_id
    entry = centre.directory.entry(mailbox.mailbox_id)
    assert entry.address == "dvbe@mic.gov.vn"
    assert entry.facts[-1].data == {"unit_from": "CNTT", "unit_to": "PTTH&TTĐT"}
    with pytest.raises(ChangeRefused):
        transfer(centre.directory, centre.directory.person(person.person_id), to)
