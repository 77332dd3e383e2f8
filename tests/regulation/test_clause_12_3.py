"""Reg. 12.3: one person of the unit, named by its head, is in charge of the unit's mailbox; another stands in for some days."""

from collections.abc import Callable
from datetime import date
from pathlib import Path

import pytest

from mic_mail.errors import BadInput, MicMailError
from mic_mail.policy.authorization.grounds import ActContext
from mic_mail.policy.calendar import start_of
from mic_mail.policy.facts import Departure, Draft, FactKind, Level
from mic_mail.services.mailboxes.lifecycle_actions import NotAllowed
from population import transfer
from regulation.unit_roles import HEAD, KEEPER, MEMBER, START, SUBSTITUTE, Office


@pytest.fixture
def office(tmp_path: Path) -> Office:
    return Office(tmp_path)


TODAY, NEXT, LATER = date(2026, 11, 24), date(2026, 12, 1), date(2026, 12, 10)
ALL = "lrswipkxte"


def test_one_keeper_at_a_time(office: Office) -> None:
    """Nobody is named beside the one who is or will be (12.3.d); a person of a unit below counts as one of the unit."""
    office.grant("lan@mic.gov.vn", KEEPER, NEXT)
    for begins in (None, NEXT, LATER):
        with pytest.raises(NotAllowed, match="has not handed") as refusal:
            office.grant("be", KEEPER, begins)
        assert refusal.value.clause == "12.3.d"
    assert office.held(TODAY) == {}
    assert office.held(NEXT) == {"lan": ALL}


def test_a_substitute_stands_in_for_days_that_are_named(office: Office) -> None:
    """From the first to the end of the last day, beside the keeper."""
    office.grant("be", KEEPER)
    office.grant(str(office.people["lan"].person_id), SUBSTITUTE, NEXT, LATER)
    assert [set(office.held(day)) for day in (TODAY, NEXT, LATER, date(2026, 12, 11))] == [
        {"be"},
        {"be", "lan"},
        {"be", "lan"},
        {"be"},
    ]


def test_fewer_rights(office: Office) -> None:
    """The head may name somebody who only reads."""
    office.grant("be", KEEPER, rights="srl")
    assert office.held(TODAY) == {"be": "lrs"}


def test_revoked(office: Office) -> None:
    """At once, or from a day on."""
    office.grant("be", KEEPER)
    office.delegations.revoke(office.unit, "be", HEAD, begins=NEXT)
    assert (office.held(TODAY), office.held(NEXT)) == ({"be": ALL}, {})
    office.delegations.revoke(office.unit, "be", HEAD)
    assert office.held(TODAY) == {}


def test_who_leaves_or_goes_to_another_unit_keeps_nothing(office: Office) -> None:
    """6.4.c from the official day on, also where sending is locked later; 6.4.b: no person of the unit any more."""
    office.grant("be", KEEPER)
    own = office.directory.mailbox("be@mic.gov.vn")
    office.accounts.leave(own, NEXT, Level.DEPARTMENT, Departure.RETIRED, HEAD)
    assert (office.held(TODAY), office.held(NEXT)) == ({"be": ALL}, {})
    office.clock.move_to(start_of(NEXT))
    office.directory.append_fact(office.unit.mailbox_id, Draft(FactKind.PASSWORD_RESET, office.clock.now(), "centre"))
    office.grant("lan", KEEPER)
    office.clock.move_to(start_of(date(2026, 12, 3)))
    transfer(office.directory, office.people["lan"], office.units["VP"])
    assert office.held(date(2026, 12, 4)) == {}


def test_who_returns_is_named_anew(office: Office) -> None:
    """What a leave has ended stays ended, for members too; a leave that never was has ended nothing."""
    own = office.directory.mailbox("be@mic.gov.vn")
    office.grant("be", KEEPER)
    office.grant("be", MEMBER)
    office.clock.move_to(START.replace(day=25))
    office.accounts.leave(own, date(2026, 11, 25), Level.DIVISION, Departure.RETIRED, HEAD)
    office.accounts.withdraw_leave(own, HEAD)
    assert office.held(NEXT) == office.held(NEXT, office.group) == {"be": ALL}
    office.accounts.leave(own, date(2026, 11, 25), Level.DIVISION, Departure.RETIRED, HEAD)
    office.accounts.return_from_leave(own, NEXT, HEAD)
    assert office.held(LATER) == office.held(LATER, office.group) == {}
    office.grant("be", KEEPER, LATER)
    assert (office.held(date(2026, 12, 9)), office.held(LATER)) == ({}, {"be": ALL})


REFUSED: list[tuple[str, Callable[[Office], object]]] = [
    ("12.3", lambda o: o.grant("hoa", KEEPER)),  # of another unit
    ("12.3", lambda o: o.grant("be", MEMBER, mailbox=o.unit)),
    ("12.3", lambda o: o.grant("be", KEEPER, origin=ActContext("centre", "nói miệng"))),
    ("12.3", lambda o: o.grant("lan", SUBSTITUTE, until=LATER)),  # there is no keeper
    ("5.2", lambda o: o.grant("be", KEEPER, mailbox=o.group)),
    ("12.3", lambda o: (o.grant("be", KEEPER), o.grant("lan", SUBSTITUTE))),  # a standing deputy
    ("12.3", lambda o: (o.grant("be", KEEPER), o.grant("be", SUBSTITUTE, until=LATER))),
    ("12.3", lambda o: o.delegations.revoke(o.unit, "be", HEAD)),
    ("12.3", lambda o: (o.grant("be", KEEPER), o.delegations.revoke(o.unit, "be", ActContext("centre")))),
    ("12.3", lambda o: o.grant("be", KEEPER, until=date(2026, 11, 23))),
    ("12.3", lambda o: o.grant("be", KEEPER, begins=LATER, until=NEXT)),
    ("12.3", lambda o: o.grant("be", KEEPER, rights="lrq")),
]


@pytest.mark.parametrize(("clause", "act"), REFUSED)
def test_refused(office: Office, clause: str, act: Callable[[Office], object]) -> None:
    """With the clause, and nothing recorded by what was refused."""
    with pytest.raises(MicMailError) as error:
        act(office)
    assert isinstance(error.value, NotAllowed | BadInput)
    assert error.value.clause == clause


def test_one_substitute_at_a_time(office: Office) -> None:
    """Days that overlap are refused until the other's are revoked."""
    hoa = office.people["hoa"]
    transfer(office.directory, hoa, office.units["PM"])
    office.grant("be", KEEPER)
    office.grant("lan", SUBSTITUTE, NEXT, LATER)
    with pytest.raises(NotAllowed):
        office.grant("hoa", SUBSTITUTE, LATER, date(2026, 12, 20))
    office.grant("hoa", SUBSTITUTE, date(2026, 12, 11), date(2026, 12, 20))
    own = office.directory.mailbox("lan@mic.gov.vn")
    office.accounts.leave(own, TODAY, Level.DIVISION, Departure.RETIRED, HEAD)
    office.grant("hoa", SUBSTITUTE, LATER, date(2026, 12, 20))  # nobody stands in who has left


@pytest.mark.parametrize("how", ["left", "transferred", "suspended"])
def test_nobody_stands_in_for_a_keeper_who_has_gone(office: Office, how: str) -> None:
    """No standing deputies: there has to be a keeper then. One whose own mailbox is suspended is still the keeper."""
    office.grant("be", KEEPER)
    office.clock.move_to(START.replace(day=25))
    own = office.directory.mailbox("be@mic.gov.vn")
    if how == "left":
        office.accounts.leave(own, NEXT, Level.DEPARTMENT, Departure.RETIRED, HEAD)
    elif how == "transferred":
        transfer(office.directory, office.people["be"], office.units["VP"])
    else:
        office.directory.append_fact(own.mailbox_id, Draft(FactKind.SUSPENDED, START, "t", data={"cause": "c"}), after=2)
        office.grant("lan", SUBSTITUTE, NEXT, LATER)
        return
    with pytest.raises(NotAllowed, match="no keeper to substitute for") as error:
        office.grant("lan", SUBSTITUTE, NEXT, LATER)
    assert error.value.clause == "12.3"


def test_a_naming_for_later_of_who_goes_before(office: Office) -> None:
    """Named in November for December, gone to another unit in between: holds nothing when December comes."""
    office.grant("be", KEEPER, NEXT)
    office.clock.move_to(START.replace(day=28))
    transfer(office.directory, office.people["be"], office.units["VP"])
    assert office.held(LATER) == {}


def test_a_group_has_members(office: Office) -> None:
    """Reg. 5.2: in common, of any unit."""
    for who in ("be", "lan", "hoa"):
        office.grant(who, MEMBER)
    assert office.held(TODAY, office.group) == dict.fromkeys(("be", "lan", "hoa"), ALL)


def test_what_a_person_holds(office: Office) -> None:
    """Asked the other way round."""
    office.grant("be", KEEPER)
    office.grant("be", MEMBER)
    own = office.directory.entry(office.directory.mailbox("be@mic.gov.vn").mailbox_id)
    assert [holder.mailbox.address for holder in office.delegations.held_by(own, START)] == [
        "cntt@mic.gov.vn",
        "doan@mic.gov.vn",
    ]
