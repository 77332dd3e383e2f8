"""The Centre's acts on real mailboxes of a real directory, each test named by its clause."""

from datetime import date

import pytest

from mic_mail.config.model import Config
from mic_mail.config.validation import InvalidSettings
from mic_mail.directory.records import AlreadyThere, Superseded, UnitRecord
from mic_mail.errors import BadInput, Refused
from mic_mail.policy.credentials.verifiers import Credential
from mic_mail.policy.eligibility import Employment
from mic_mail.policy.facts import FactKind
from mic_mail.policy.lifecycle import MailboxState
from mic_mail.policy.naming.addresses import AddressRefused
from mic_mail.services.importers.addresses import Old, OldAddresses
from mic_mail.services.mailboxes.issue import ChoiceNeeded, Ground, Issuing, NotEligible
from mic_mail.services.mailboxes.lifecycle_actions import NotAllowed
from mic_mail.services.mailboxes.quota import QUOTA_CEILING, QuotaRefused
from population import transfer
from regulation.centre_acts import CENTRE, GIB, PLAIN, WHY, Centre


@pytest.fixture
def centre(tmp_path):
    """The Centre, with nobody's mailbox yet."""
    centre = Centre(tmp_path)
    yield centre
    centre.directory.close()


@pytest.mark.clause("2.4")
def test_clause_6_4_a(centre):
    """A new mailbox has its rule's address, 1 GiB, the document of its request, and a password that has to be changed."""
    mailbox = centre.issuing.issue_personal(centre.person(), "first", Ground(CENTRE, date(2026, 1, 2)))
    entry = centre.directory.entry(mailbox.mailbox_id)
    assert (entry.address, entry.home, entry.quota_octets) == ("dvbe@mic.gov.vn", "mic.gov.vn/dvbe", GIB)
    assert centre.states(mailbox) == {MailboxState.ACTIVE, MailboxState.PASSWORD_DUE}
    assert (entry.facts[0].document, entry.facts[0].text("received_on")) == ("12/CV-CNTT", "2026-01-02")
    assert entry.credential.argon2 == "hash of first"
    assert "mic.gov.vn" in centre.directory.domains()


def test_clause_6_3(centre):
    """A contract of less than a year, or one that is over, gets no mailbox, and nothing is left behind."""
    short = centre.person(employment=Employment.CONTRACT, contract_from=date(2026, 1, 1), contract_until=date(2026, 6, 30))
    with pytest.raises(NotEligible) as refusal:
        centre.issuing.issue_personal(short, "first", Ground(CENTRE))
    assert refusal.value.clause == "6.3"
    over = centre.person(
        "Trần An", employment=Employment.CONTRACT, contract_from=date(2020, 1, 1), contract_until=date(2026, 1, 4)
    )
    with pytest.raises(NotEligible, match="ended") as refusal:
        centre.issuing.issue_personal(over, "first", Ground(CENTRE))
    assert refusal.value.clause == "6.3"
    assert centre.directory.mailboxes() == []


def test_clause_5_4(centre):
    """The second of a name is told what may be chosen, with the own unit only; the choice is recorded as the person's."""
    centre.mailbox()
    second = centre.person("Đinh Vũ Bê")
    with pytest.raises(ChoiceNeeded) as needed:
        centre.issuing.issue_personal(second, "first", Ground(CENTRE))
    assert needed.value.suggestions[:2] == ("bedv", "vdbe")
    assert needed.value.suggestions[-1] == "dvbe.cntt"
    with pytest.raises(AddressRefused):
        centre.issuing.issue_personal(second, "first", Ground(CENTRE), chosen="dvbe.kh")
    with pytest.raises(AlreadyThere):
        centre.issuing.issue_personal(second, "first", Ground(CENTRE), chosen="dvbe")
    mailbox = centre.issuing.issue_personal(second, "first", Ground(CENTRE), chosen="bedv")
    assert mailbox.address == "bedv@mic.gov.vn"
    assert centre.directory.facts(mailbox.mailbox_id)[0].text("chosen_by") == "person"


def test_clause_5_4_a(centre):
    """An address of a reclaimed mailbox goes to nobody but its own person, who gets the same mailbox again."""
    person = centre.person()
    mailbox = centre.issuing.issue_personal(person, "first", Ground(CENTRE))
    with pytest.raises(AlreadyThere):
        centre.issuing.issue_personal(person, "second", Ground(CENTRE))
    centre.accounts.reclaim(mailbox, CENTRE)
    with pytest.raises(ChoiceNeeded):
        centre.issuing.issue_personal(centre.person("Đinh Vũ Bê"), "first", Ground(CENTRE))
    centre.later(days=1)
    again = centre.issuing.issue_personal(person, "third", Ground(CENTRE))
    assert again == mailbox
    assert centre.states(mailbox) == {MailboxState.ACTIVE, MailboxState.PASSWORD_DUE}
    assert centre.directory.entry(mailbox.mailbox_id).credential == Credential(2, "hash of third")


def test_reclaimed_mailboxes_of_units_and_groups(centre):
    """A unit and a group get their own mailbox again after a reclaim; while it is in use there is nothing to issue."""
    unit = centre.issuing.issue_unit("CNTT", "first", Ground(CENTRE))
    group = centre.issuing.issue_group("Đoàn thanh niên", "CNTT", "first", Ground(CENTRE))
    for mailbox in (unit, group):
        centre.accounts.reclaim(mailbox, CENTRE)
    centre.later(days=1)
    assert centre.issuing.issue_unit("cntt", "second", Ground(CENTRE)) == unit
    other = centre.issuing.issue_group("Đoàn thanh niên", "PTTH&TTĐT", "second", Ground(CENTRE))
    assert other.address == "dtn@mic.gov.vn", "another unit's group is another group"
    assert centre.issuing.issue_group("đoàn  thanh niên", "CNTT", "second", Ground(CENTRE)) == group
    for mailbox in (unit, group):
        assert centre.states(mailbox) == {MailboxState.ACTIVE, MailboxState.PASSWORD_DUE}
        assert centre.directory.entry(mailbox.mailbox_id).credential == Credential(2, "hash of second")
    with pytest.raises(AlreadyThere):
        centre.issuing.issue_unit("CNTT", "third", Ground(CENTRE))


def test_what_is_asked_for_at_a_second_issue(centre):
    """The address is the old one, another is refused; a quota counts, and a smaller one needs its reason (8.3.a)."""
    mailbox = centre.mailbox()
    person = centre.directory.people()[0]
    centre.accounts.set_quota(mailbox, 3 * GIB, PLAIN)
    centre.accounts.reclaim(mailbox, CENTRE)
    centre.later(days=1)
    for wrong in ({"chosen": "bedv"}, {"given_words": 2}):
        with pytest.raises(AddressRefused) as refusal:
            centre.issuing.issue_personal(person, "second", Ground(CENTRE), **wrong)
        assert refusal.value.clause == "5.4.a"
    with pytest.raises(Refused) as refusal:
        centre.issuing.issue_personal(person, "second", Ground(PLAIN), quota_octets=2 * GIB)
    assert refusal.value.clause == "8.3.a"
    again = centre.issuing.issue_personal(person, "second", Ground(CENTRE), chosen="dvbe", quota_octets=2 * GIB)
    entry = centre.directory.entry(mailbox.mailbox_id)
    assert (again.quota_octets, entry.quota_octets) == (2 * GIB, 2 * GIB)
    assert [fact.kind for fact in entry.facts[-2:]] == [FactKind.QUOTA_SET, FactKind.ISSUED]


@pytest.mark.clause("2.5", "5.2")
def test_clause_5_1_and_5_2(centre):
    """Units have their symbol, groups what the Centre chose or the first free suggestion."""
    unit = centre.issuing.issue_unit("ptth&ttđt", "first", Ground(CENTRE))
    group = centre.issuing.issue_group("Đoàn thanh niên", "CNTT", "first", Ground(CENTRE))
    other = centre.issuing.issue_group("Đoàn Thanh Niên", "CNTT", "first", Ground(CENTRE))
    assert [m.address.partition("@")[0] for m in (unit, group, other)] == ["ptth_ttdt", "doanthanhnien", "dtn"]
    with pytest.raises(AlreadyThere):
        centre.issuing.issue_group("Đoàn thanh niên", "CNTT", "first", Ground(CENTRE))
    with pytest.raises(AlreadyThere):
        centre.issuing.issue_unit("PTTH&TTĐT", "first", Ground(CENTRE))


def test_aliases(centre):
    """An alias is local, well-formed and free; a reserved one goes to no person, but the Centre's unit may be postmaster."""
    mailbox = centre.mailbox()
    unit = centre.issuing.issue_unit("CNTT", "first", Ground(CENTRE))
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


def test_two_who_issue_at_the_same_time(centre):
    """A person gets one mailbox, a unit one of its own, whoever else was issuing it while the password was hashed."""
    person, unit = centre.person(), centre.directory.unit("CNTT")
    old = OldAddresses(centre.directory, centre.config, centre.clock)
    for clause, first, second in (
        (
            "5.3",
            lambda: centre.issuing.issue_personal(person, "other", Ground(CENTRE), chosen="bedv"),
            lambda late: late.issue_personal(person, "first", Ground(CENTRE)),
        ),
        (
            "5.1",
            lambda: old.of_unit(unit, Old("vucntt@mic.gov.vn"), "matkhau-cu-01", CENTRE),
            lambda late: late.issue_unit("CNTT", "first", Ground(CENTRE)),
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
        centre.issuing.issue_unit("CNTT", "first", Ground(CENTRE), quota_octets=GIB - 1)
    centre.accounts.set_quota(mailbox, QUOTA_CEILING, PLAIN)
    for octets in (QUOTA_CEILING + 1, 99_999_999_999 << 40):
        with pytest.raises(BadInput):
            centre.accounts.set_quota(mailbox, octets, PLAIN)
        with pytest.raises(BadInput):
            centre.issuing.issue_unit("CNTT", "first", Ground(CENTRE), quota_octets=octets)
    assert Config.model_validate({"quota": {"default": QUOTA_CEILING}}).quota.default == QUOTA_CEILING
    with pytest.raises(InvalidSettings):
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
    assert centre.states(mailbox) == {MailboxState.SEND_LOCKED}
    centre.accounts.unlock_sending(mailbox, WHY)
    assert centre.states(mailbox) == {MailboxState.ACTIVE}
