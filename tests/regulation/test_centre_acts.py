"""The Centre's acts on real mailboxes of a real directory, each test named by its clause."""

from datetime import UTC, date, datetime, timedelta

import pytest
from pydantic import ValidationError

from mic_mail.clock import ManualClock
from mic_mail.config.model import Config
from mic_mail.directory.records import AlreadyThere, PersonRecord, Superseded, UnitRecord
from mic_mail.directory.snapshot import Credential
from mic_mail.errors import BadInput, Refused
from mic_mail.policy.authorization.signatories import Signatory
from mic_mail.policy.credentials.app_passwords import app_passwords
from mic_mail.policy.directory_changes import ChangeRefused
from mic_mail.policy.eligibility import Employment
from mic_mail.policy.facts import Cause, Departure, Draft, FactKind, Level
from mic_mail.policy.lifecycle import LifecycleSettings, State
from mic_mail.policy.naming.addresses import AddressRefused
from mic_mail.services.importers.addresses import Old, OldAddresses
from mic_mail.services.mailboxes.consistency_check import Severity, inspect
from mic_mail.services.mailboxes.credentials import ActContext
from mic_mail.services.mailboxes.explanation import explain
from mic_mail.services.mailboxes.issue import ChoiceNeeded, Issuing, NotEligible, Request
from mic_mail.services.mailboxes.lifecycle_actions import Conclusion, MailboxLifecycle, NotAllowed, RestoreRequest
from mic_mail.services.mailboxes.quota import QUOTA_CEILING, QuotaRefused
from population import migrated, transfer

CENTRE = ActContext("quản trị", "theo đề nghị", "12/CV-CNTT")
WHY = ActContext("quản trị", "theo đề nghị")
PLAIN = ActContext("quản trị")
ASKED = RestoreRequest("Vụ CNTT", "fax")
GIB = 1 << 30


class Centre:
    """The Information Centre at its desk: a directory with two units, the use cases, a clock to move."""

    def __init__(self, path):
        self.clock = ManualClock(datetime(2026, 1, 5, 2, tzinfo=UTC))
        self.directory = migrated(f"sqlite:///{path / 'directory.sqlite'}", self.clock)
        self.directory.add_unit(UnitRecord(0, "CNTT", "Vụ Công nghệ thông tin"))
        self.directory.add_unit(UnitRecord(0, "PTTH&TTĐT", "Cục Phát thanh"))
        self.config = Config.model_validate({"auth": {"password_age": 0}})
        self.issuing = Issuing(self.directory, self.config, self.clock, lambda password: Credential(0, f"hash of {password}"))
        self.accounts = MailboxLifecycle(self.directory, self.config, self.clock)
        self.directory.signatories.add(Signatory(0, "Phạm Đức Long", "Thứ trưởng", date(2025, 1, 1), "1/QĐ-TTg"))

    def person(self, name="Đỗ Văn Bê", position="Chuyên viên", **changes):
        values = {"level": None, "employment": Employment.CIVIL_SERVANT, **changes}
        return self.directory.add_person(PersonRecord(0, name, self.directory.unit("CNTT").unit_id, position, **values))

    def mailbox(self, name="Đỗ Văn Bê", **changes):
        """A personal mailbox whose person has chosen a password."""
        mailbox = self.issuing.issue_personal(self.person(name, **changes), "first", Request(CENTRE))
        self.chosen(mailbox)
        return mailbox

    def chosen(self, mailbox):
        """The person chooses a password."""
        self.directory.append_fact(mailbox.mailbox_id, Draft(FactKind.PASSWORD_SET, self.clock.now(), "person"))

    def states(self, mailbox):
        return set(self.accounts.decide(self.directory.entry(mailbox.mailbox_id)).states)

    def later(self, **span):
        self.clock.move_to(self.clock.now() + timedelta(**span))


@pytest.fixture
def centre(tmp_path):
    """The Centre, with nobody's mailbox yet."""
    centre = Centre(tmp_path)
    yield centre
    centre.directory.close()


@pytest.mark.clause("2.4")
def test_clause_6_4_a(centre):
    """A new mailbox has its rule's address, 1 GiB, the document of its request, and a password that has to be changed."""
    mailbox = centre.issuing.issue_personal(centre.person(), "first", Request(CENTRE, date(2026, 1, 2)))
    entry = centre.directory.entry(mailbox.mailbox_id)
    assert (entry.address, entry.home, entry.quota_octets) == ("dvbe@mic.gov.vn", "mic.gov.vn/dvbe", GIB)
    assert centre.states(mailbox) == {State.ACTIVE, State.PASSWORD_DUE}
    assert (entry.facts[0].document, entry.facts[0].text("received_on")) == ("12/CV-CNTT", "2026-01-02")
    assert entry.credential.argon2 == "hash of first"
    assert "mic.gov.vn" in centre.directory.domains()


def test_clause_6_3(centre):
    """A contract of less than a year, or one that is over, gets no mailbox, and nothing is left behind."""
    short = centre.person(employment=Employment.CONTRACT, contract_from=date(2026, 1, 1), contract_until=date(2026, 6, 30))
    with pytest.raises(NotEligible) as refusal:
        centre.issuing.issue_personal(short, "first", Request(CENTRE))
    assert refusal.value.clause == "6.3"
    over = centre.person(
        "Trần An", employment=Employment.CONTRACT, contract_from=date(2020, 1, 1), contract_until=date(2026, 1, 4)
    )
    with pytest.raises(NotEligible, match="ended") as refusal:
        centre.issuing.issue_personal(over, "first", Request(CENTRE))
    assert refusal.value.clause == "6.3"
    assert centre.directory.mailboxes() == []


def test_clause_5_4(centre):
    """The second of a name is told what may be chosen, with the own unit only; the choice is recorded as the person's."""
    centre.mailbox()
    second = centre.person("Đinh Vũ Bê")
    with pytest.raises(ChoiceNeeded) as needed:
        centre.issuing.issue_personal(second, "first", Request(CENTRE))
    assert needed.value.suggestions[:2] == ("bedv", "vdbe")
    assert needed.value.suggestions[-1] == "dvbe.cntt"
    with pytest.raises(AddressRefused):
        centre.issuing.issue_personal(second, "first", Request(CENTRE), chosen="dvbe.kh")
    with pytest.raises(AlreadyThere):
        centre.issuing.issue_personal(second, "first", Request(CENTRE), chosen="dvbe")
    mailbox = centre.issuing.issue_personal(second, "first", Request(CENTRE), chosen="bedv")
    assert mailbox.address == "bedv@mic.gov.vn"
    assert centre.directory.facts(mailbox.mailbox_id)[0].text("chosen_by") == "person"


def test_clause_5_4_a(centre):
    """An address of a reclaimed mailbox goes to nobody but its own person, who gets the same mailbox again."""
    person = centre.person()
    mailbox = centre.issuing.issue_personal(person, "first", Request(CENTRE))
    with pytest.raises(AlreadyThere):
        centre.issuing.issue_personal(person, "second", Request(CENTRE))
    centre.accounts.reclaim(mailbox, CENTRE)
    with pytest.raises(ChoiceNeeded):
        centre.issuing.issue_personal(centre.person("Đinh Vũ Bê"), "first", Request(CENTRE))
    centre.later(days=1)
    again = centre.issuing.issue_personal(person, "third", Request(CENTRE))
    assert again == mailbox
    assert centre.states(mailbox) == {State.ACTIVE, State.PASSWORD_DUE}
    assert centre.directory.entry(mailbox.mailbox_id).credential == Credential(2, "hash of third")


def test_reclaimed_mailboxes_of_units_and_groups(centre):
    """A unit and a group get their own mailbox again after a reclaim; while it is in use there is nothing to issue."""
    unit = centre.issuing.issue_unit("CNTT", "first", Request(CENTRE))
    group = centre.issuing.issue_group("Đoàn thanh niên", "CNTT", "first", Request(CENTRE))
    for mailbox in (unit, group):
        centre.accounts.reclaim(mailbox, CENTRE)
    centre.later(days=1)
    assert centre.issuing.issue_unit("cntt", "second", Request(CENTRE)) == unit
    other = centre.issuing.issue_group("Đoàn thanh niên", "PTTH&TTĐT", "second", Request(CENTRE))
    assert other.address == "dtn@mic.gov.vn", "another unit's group is another group"
    assert centre.issuing.issue_group("đoàn  thanh niên", "CNTT", "second", Request(CENTRE)) == group
    for mailbox in (unit, group):
        assert centre.states(mailbox) == {State.ACTIVE, State.PASSWORD_DUE}
        assert centre.directory.entry(mailbox.mailbox_id).credential == Credential(2, "hash of second")
    with pytest.raises(AlreadyThere):
        centre.issuing.issue_unit("CNTT", "third", Request(CENTRE))


def test_what_is_asked_for_at_a_second_issue(centre):
    """The address is the old one, another is refused; a quota counts, and a smaller one needs its reason (8.3.a)."""
    mailbox = centre.mailbox()
    person = centre.directory.people()[0]
    centre.accounts.set_quota(mailbox, 3 * GIB, PLAIN)
    centre.accounts.reclaim(mailbox, CENTRE)
    centre.later(days=1)
    for wrong in ({"chosen": "bedv"}, {"given_words": 2}):
        with pytest.raises(AddressRefused) as refusal:
            centre.issuing.issue_personal(person, "second", Request(CENTRE), **wrong)
        assert refusal.value.clause == "5.4.a"
    with pytest.raises(Refused) as refusal:
        centre.issuing.issue_personal(person, "second", Request(PLAIN), quota_octets=2 * GIB)
    assert refusal.value.clause == "8.3.a"
    again = centre.issuing.issue_personal(person, "second", Request(CENTRE), chosen="dvbe", quota_octets=2 * GIB)
    entry = centre.directory.entry(mailbox.mailbox_id)
    assert (again.quota_octets, entry.quota_octets) == (2 * GIB, 2 * GIB)
    assert [fact.kind for fact in entry.facts[-2:]] == [FactKind.QUOTA_SET, FactKind.ISSUED]


@pytest.mark.clause("2.5", "5.2")
def test_clause_5_1_and_5_2(centre):
    """Units have their symbol, groups what the Centre chose or the first free suggestion."""
    unit = centre.issuing.issue_unit("ptth&ttđt", "first", Request(CENTRE))
    group = centre.issuing.issue_group("Đoàn thanh niên", "CNTT", "first", Request(CENTRE))
    other = centre.issuing.issue_group("Đoàn Thanh Niên", "CNTT", "first", Request(CENTRE))
    assert [m.address.partition("@")[0] for m in (unit, group, other)] == ["ptth_ttdt", "doanthanhnien", "dtn"]
    with pytest.raises(AlreadyThere):
        centre.issuing.issue_group("Đoàn thanh niên", "CNTT", "first", Request(CENTRE))
    with pytest.raises(AlreadyThere):
        centre.issuing.issue_unit("PTTH&TTĐT", "first", Request(CENTRE))


def test_aliases(centre):
    """An alias is local, well-formed and free; a reserved one goes to no person, but the Centre's unit may be postmaster."""
    mailbox = centre.mailbox()
    unit = centre.issuing.issue_unit("CNTT", "first", Request(CENTRE))
    centre.issuing.add_alias(unit, "Postmaster@mic.gov.vn", CENTRE)
    assert centre.directory.load_snapshot().resolve("postmaster@mic.gov.vn").mailbox_id == unit.mailbox_id
    for address, error in [
        ("support@mic.gov.vn", AddressRefused),
        ("dvbe@gmail.com", BadInput),
        ("a b@mic.gov.vn", AddressRefused),
        ("cntt@mic.gov.vn", AlreadyThere),
    ]:
        with pytest.raises(error):
            centre.issuing.add_alias(mailbox, address, CENTRE)


def test_clause_7_2_b(centre):
    """A breach needs number, date and signatory of the conclusion; refused without."""
    mailbox = centre.mailbox()
    for conclusion in (None, Conclusion("", date(2026, 1, 4), "phạm đức  Long"), Conclusion("3/KL", date(2026, 1, 4), " ")):
        with pytest.raises(NotAllowed) as refusal:
            centre.accounts.suspend(mailbox, Cause.BREACH, WHY, conclusion)
        assert refusal.value.clause == "7.2.b"
    centre.accounts.suspend(mailbox, Cause.BREACH, WHY, Conclusion("3/KL", date(2026, 1, 4), "phạm đức  Long"))
    assert centre.states(mailbox) == {State.SUSPENDED}
    for blank in (None, "", " ", "\t\u00a0\n"):
        with pytest.raises(NotAllowed) as refusal:
            centre.accounts.restore(mailbox, ASKED, Credential(0, "new"), ActContext("quản trị", "theo đề nghị", blank))
        assert refusal.value.clause == "7.2.b"
    decision = centre.accounts.restore(mailbox, ASKED, Credential(0, "new"), CENTRE)
    assert decision.states == {State.ACTIVE, State.PASSWORD_DUE}


@pytest.mark.clause("7.3.a")
def test_clause_7_2_c_and_7_3(centre):
    """Suspended by hand at once; restored with asker, channel and new password; what is not suspended cannot be restored."""
    mailbox = centre.mailbox()
    with pytest.raises(NotAllowed):
        centre.accounts.restore(mailbox, ASKED, Credential(0, "new"), PLAIN)
    with pytest.raises(NotAllowed):
        centre.accounts.suspend(mailbox, Cause.COMPROMISED, PLAIN)  # no reason
    centre.accounts.suspend(mailbox, Cause.COMPROMISED, WHY)
    assert centre.states(mailbox) == {State.SUSPENDED}
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
    centre.accounts.suspend(mailbox, Cause.COMPROMISED, WHY)
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
    assert centre.states(mailbox) == {State.SUSPENDED}
    centre.accounts.restore(mailbox, ASKED, Credential(0, "new"), PLAIN)
    centre.chosen(mailbox)
    centre.later(days=1)
    centre.directory.touch_activity(mailbox.mailbox_id, centre.clock.now())
    entry = centre.directory.entry(mailbox.mailbox_id)
    assert [fact.kind for fact in entry.facts[-3:]] == [FactKind.SUSPENDED, FactKind.RESTORED, FactKind.PASSWORD_SET]
    explanation = explain(entry, idle - timedelta(hours=1), LifecycleSettings())
    assert explanation.known_now.decision.states == {State.SUSPENDED}
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
    assert centre.states(mailbox) == {State.ACTIVE}


def test_clause_6_4_c(centre):
    """The rank is taken from the position, asked for where it is unknown; a second leave has to be a correction."""
    mailbox = centre.mailbox()
    fact = centre.accounts.leave(mailbox, date(2026, 1, 5), None, Departure.RESIGNED, CENTRE)
    assert fact.text("level") == Level.DIVISION
    assert centre.states(mailbox) == {State.SEND_LOCKED}
    with pytest.raises(NotAllowed):
        centre.accounts.leave(mailbox, date(2026, 2, 1), None, Departure.RETIRED, CENTRE)
    corrected = centre.accounts.correct_leave(mailbox, date(2026, 1, 10), None, None, CENTRE)
    assert corrected.data == {"level": "division", "cause": "resigned"}, "what is not named stays"
    assert centre.states(mailbox) == {State.ACTIVE}
    centre.accounts.withdraw_leave(mailbox, WHY)
    with pytest.raises(NotAllowed):
        centre.accounts.withdraw_leave(mailbox, WHY)
    director = centre.mailbox("Trần Thị Lan", position="Giám đốc")
    with pytest.raises(NotAllowed) as asked:
        centre.accounts.leave(director, date(2026, 1, 5), None, Departure.RETIRED, CENTRE)
    assert asked.value.clause == "6.4.c"
    centre.accounts.leave(director, date(2026, 1, 5), Level.DEPARTMENT, Departure.RETIRED, CENTRE)
    assert centre.states(director) == {State.ACTIVE}
    unit = centre.issuing.issue_unit("CNTT", "first", Request(CENTRE))
    with pytest.raises(NotAllowed):
        centre.accounts.leave(unit, date(2026, 1, 5), Level.DIVISION, Departure.RETIRED, CENTRE)


def test_return(centre):
    """A leaver who is back may send again; once reclaimed, only a new issue helps."""
    mailbox = centre.mailbox()
    with pytest.raises(NotAllowed):
        centre.accounts.return_from_leave(mailbox, date(2026, 1, 5), CENTRE)
    centre.accounts.leave(mailbox, date(2026, 1, 5), None, Departure.RESIGNED, CENTRE)
    centre.accounts.return_from_leave(mailbox, date(2026, 1, 5), CENTRE)
    assert centre.states(mailbox) == {State.ACTIVE}
    with pytest.raises(NotAllowed, match="ended with the return of 5 January 2026"):  # a second one would lock who is back
        centre.accounts.return_from_leave(mailbox, date(2026, 2, 5), CENTRE)
    assert centre.states(mailbox) == {State.ACTIVE}
    centre.accounts.leave(mailbox, date(2026, 1, 6), None, Departure.RESIGNED, CENTRE)
    centre.later(days=250)
    with pytest.raises(NotAllowed) as refusal:
        centre.accounts.return_from_leave(mailbox, date(2026, 9, 1), CENTRE)
    assert refusal.value.clause == "6.4.a"
    with pytest.raises(NotAllowed):
        centre.accounts.suspend(mailbox, Cause.COMPROMISED, WHY)


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
    assert centre.states(mailbox) == {State.SEND_LOCKED}


def test_an_imported_mailbox_of_somebody_who_left_before(centre):
    """Taken over from another system, the leave may be older than the import (Reg. 10.4)."""
    mailbox = centre.mailbox()
    centre.directory.append_fact(mailbox.mailbox_id, Draft(FactKind.IMPORTED, centre.clock.now(), "t"))
    centre.accounts.leave(mailbox, date(2025, 12, 1), None, Departure.RETIRED, CENTRE)
    assert centre.states(mailbox) == {State.SEND_LOCKED}


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
        centre.issuing.issue_personal(centre.person(), "first", Request(CENTRE, tomorrow))
    mailbox = centre.mailbox("Trần Thị Lan")
    with pytest.raises(BadInput, match="conclusion"):
        centre.accounts.suspend(mailbox, Cause.BREACH, WHY, Conclusion("3/KL", tomorrow, "Phạm Đức Long"))
    centre.accounts.suspend(mailbox, Cause.COMPROMISED, WHY)
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


def test_two_who_issue_at_the_same_time(centre):
    """A person gets one mailbox, a unit one of its own, whoever else was issuing it while the password was hashed."""
    person, unit = centre.person(), centre.directory.unit("CNTT")
    old = OldAddresses(centre.directory, centre.config, centre.clock)
    for clause, first, second in (
        (
            "5.3",
            lambda: centre.issuing.issue_personal(person, "other", Request(CENTRE), chosen="bedv"),
            lambda late: late.issue_personal(person, "first", Request(CENTRE)),
        ),
        (
            "5.1",
            lambda: old.of_unit(unit, Old("vucntt@mic.gov.vn"), "matkhau-cu-01", CENTRE),
            lambda late: late.issue_unit("CNTT", "first", Request(CENTRE)),
        ),
    ):

        def hash_meanwhile(password, first=first):
            first()
            return Credential(0, password)

        late = Issuing(centre.directory, centre.config, centre.clock, hash_meanwhile)
        with pytest.raises(AlreadyThere) as refusal:
            second(late)
        assert refusal.value.clause == clause
    assert [mailbox.address for mailbox in centre.directory.mailboxes()] == ["bedv@mic.gov.vn", "vucntt@mic.gov.vn"]


def test_two_who_change_the_same_at_the_same_time(centre, monkeypatch):
    """Quota (8.3.a) and unit (6.4.b): who decided on what was there before is told so, and the other's change stands."""
    mailbox, directory = centre.mailbox(), centre.directory
    (person,), other, third = directory.people(), directory.unit("PTTH&TTĐT"), directory.add_unit(UnitRecord(0, "VP", "VP"))
    places = (
        (directory, "set_quota", lambda: centre.accounts.set_quota(mailbox, 10 * GIB, PLAIN)),
        (directory.changes, "give", lambda: transfer(directory, person, other)),
    )
    for place, name, first in places:
        real = getattr(place, name)

        def late(*words, place=place, name=name, real=real, first=first, **named):
            monkeypatch.setattr(place, name, real)
            first()
            return real(*words, **named)

        monkeypatch.setattr(place, name, late)
    with pytest.raises(Superseded):
        centre.accounts.set_quota(mailbox, 3 * GIB, PLAIN)
    with pytest.raises(Superseded):
        transfer(directory, person, third)
    assert directory.mailbox(mailbox.address).quota_octets == 10 * GIB
    assert directory.person(person.person_id).unit_id == other.unit_id
    kinds = [fact.kind for fact in directory.facts(mailbox.mailbox_id)]
    assert kinds == [FactKind.ISSUED, FactKind.PASSWORD_SET, FactKind.QUOTA_SET, FactKind.TRANSFERRED]


@pytest.mark.clause("8.3.a", "8.3.b")
def test_clause_8_3(centre):
    """The quota rises freely, falls only for a reason, and never below 1 GiB, neither at issue nor later."""
    mailbox = centre.mailbox()
    centre.accounts.set_quota(mailbox, 3 * GIB, PLAIN)
    with pytest.raises(QuotaRefused) as refusal:
        centre.accounts.set_quota(mailbox, 2 * GIB, PLAIN)
    assert refusal.value.clause == "8.3.a"
    centre.accounts.set_quota(mailbox, 2 * GIB, WHY)
    for octets in (GIB - 1, 0, -1):
        with pytest.raises(QuotaRefused) as refusal:
            centre.accounts.set_quota(mailbox, octets, WHY)
        assert refusal.value.clause == "8.3.b"
    assert centre.directory.entry(mailbox.mailbox_id).quota_octets == 2 * GIB
    with pytest.raises(Refused):
        centre.issuing.issue_unit("CNTT", "first", Request(CENTRE), quota_octets=GIB - 1)
    centre.accounts.set_quota(mailbox, QUOTA_CEILING, PLAIN)
    for octets in (QUOTA_CEILING + 1, 99_999_999_999 << 40):
        with pytest.raises(BadInput):
            centre.accounts.set_quota(mailbox, octets, PLAIN)
        with pytest.raises(BadInput):
            centre.issuing.issue_unit("CNTT", "first", Request(CENTRE), quota_octets=octets)
    assert Config.model_validate({"quota": {"default": QUOTA_CEILING}}).quota.default == QUOTA_CEILING
    with pytest.raises(ValidationError):
        Config.model_validate({"quota": {"default": QUOTA_CEILING + 1}})


@pytest.mark.clause("10.2")
def test_lock_by_hand(centre):
    """The Centre locks sending for a reason and unlocks only what it locked."""
    mailbox = centre.mailbox()
    with pytest.raises(NotAllowed):
        centre.accounts.unlock_sending(mailbox, WHY)
    with pytest.raises(NotAllowed):
        centre.accounts.lock_sending(mailbox, PLAIN)
    centre.accounts.lock_sending(mailbox, WHY)
    assert centre.states(mailbox) == {State.SEND_LOCKED}
    centre.accounts.unlock_sending(mailbox, WHY)
    assert centre.states(mailbox) == {State.ACTIVE}


@pytest.mark.clause("6.2", "7.3.b", "10.2")
@pytest.mark.parametrize(
    ("do", "undo", "state"),
    [
        (
            lambda accounts, mailbox: accounts.suspend(mailbox, Cause.COMPROMISED, WHY),
            lambda accounts, mailbox: accounts.restore(mailbox, ASKED, Credential(0, "new"), WHY),
            State.SUSPENDED,
        ),
        (
            lambda accounts, mailbox: accounts.lock_sending(mailbox, WHY),
            lambda accounts, mailbox: accounts.unlock_sending(mailbox, WHY),
            State.SEND_LOCKED,
        ),
        (
            lambda accounts, mailbox: accounts.reclaim(mailbox, WHY),
            lambda accounts, mailbox: accounts.withdraw_reclaim(mailbox, WHY),
            State.RECLAIMED,
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
    assert centre.states(mailbox) == centre.states(other) == {State.ACTIVE}
    undo(centre.accounts, mailbox)
    centre.chosen(mailbox)
    with pytest.raises(NotAllowed):
        undo(centre.accounts, mailbox)
    centre.clock.move_to(ahead + timedelta(days=1))
    assert centre.states(mailbox) == {State.ACTIVE}
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
    centre.issuing.issue_again(mailbox, "another", Request(CENTRE))
    centre.chosen(mailbox)
    centre.clock.move_to(ahead + timedelta(days=1))
    assert centre.states(mailbox) == {State.ACTIVE}


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
    assert explanation.known_then.decision.states == {State.ACTIVE}
    assert explanation.known_now.decision.states == {State.SEND_LOCKED}
    assert FactKind.LEFT in {fact.kind for fact in explanation.known_now.cited}
    assert FactKind.LEFT not in {fact.kind for fact in explanation.known_then.cited}
    assert [span.state for span in explanation.course if span.clause == "6.4.c"] == [State.SEND_LOCKED, State.RECLAIMED]
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
    assert explanation.known_now.decision.states == explanation.known_then.decision.states == {State.SEND_LOCKED}
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
        (Severity.ERROR, "no_folder", lost.address),
        (Severity.ERROR, "stray_folder", "mic.gov.vn/stranger"),
        (Severity.NOTE, "no_folder", unopened.address),
        (Severity.NOTE, "reclaimed_with_mail", gone.address),
        *((Severity.NOTE, "set_aside", home) for home in aside),
    ]


def test_clause_6_5_facts_that_cannot_be_read(centre, tmp_path):
    """Facts that make no sense are one line of the check, and the other mailboxes are looked at all the same."""
    bad, good = centre.mailbox(), centre.mailbox("Trần Thị Lan")
    centre.directory.append_fact(bad.mailbox_id, Draft(FactKind.ABSENCE, centre.clock.now(), "t", data={"until": "mai"}))
    found = inspect(centre.directory.load_snapshot(), tmp_path, centre.clock.now(), LifecycleSettings())
    assert {(d.kind, d.subject) for d in found} == {("unreadable_facts", bad.address), ("no_folder", good.address)}
