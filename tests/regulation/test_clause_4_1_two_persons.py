"""Reg. 4.1, 4.3: what takes two persons takes two sign-ins, whichever act it is and whatever names they give."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from itertools import count, product
from pathlib import Path

import pytest

from mic_mail.clock import ManualClock
from mic_mail.config.model import Config, Server
from mic_mail.directory.records import MailboxRecord, PersonRecord, UnitRecord
from mic_mail.errors import Refused
from mic_mail.policy.authorization.content_access import Scope
from mic_mail.policy.authorization.grounds import ActContext
from mic_mail.policy.authorization.roles import Officer, OfficerRole
from mic_mail.policy.authorization.two_persons import Hand, NotTwo
from mic_mail.policy.eligibility import Employment
from mic_mail.policy.facts import Draft, FactKind, MailboxKind
from mic_mail.policy.unit_mail.records_export import must_be_asked_for
from mic_mail.quarantine.held_messages import HeldMessages, HeldRecord, HeldState
from mic_mail.quarantine.message_store import OfficerDecision
from mic_mail.services.exports.content_requests import ContentRequests
from population import migrated

NOW = datetime(2026, 3, 2, 2, tzinfo=UTC)
BASIS = ActContext("x", "xác minh", "7/QĐ")
PEOPLE = ("Phạm Mai", "Trần Bình")

Two = Callable[[Hand, Hand], object]
"""Does the second act after the first; raises `Refused` where that is not another person's."""


class Office:
    """A directory with two people, a group's mailbox and held messages; every act that takes two."""

    def __init__(self, folder: Path) -> None:
        self._clock = ManualClock(NOW)
        self._config = Config(server=Server(data_dir=folder))
        self._directory = migrated(self._config.directory_url, self._clock)
        unit = self._directory.add_unit(UnitRecord(0, "CNTT", "Cục CNTT"))
        for name in PEOPLE:
            self._directory.add_person(PersonRecord(0, name, unit.unit_id, "", None, Employment.OFFICIAL))
        record = MailboxRecord(
            0, MailboxKind.GROUP, "doan@mic.gov.vn", "mic.gov.vn/doan", "Đoàn", 1 << 30, unit_id=unit.unit_id
        )
        self._mailbox = self._directory.issue_mailbox(record, Draft(FactKind.ISSUED, NOW, "test"))
        self._held = HeldMessages(folder / "held")
        self._number = count(1)

    def content(self, first: Hand, second: Hand) -> None:
        """`content ask`, `content approve`."""
        content = ContentRequests(self._directory, self._config, self._clock)
        for hand in (first, second):  # the terms of an earlier pair have ended
            self._directory.officers.end(hand.officer, self._clock.now())
        self._clock.move_to(self._clock.now() + timedelta(seconds=1))
        for hand in {each.officer: each for each in (second, first)}.values():
            officer = Officer(
                hand.officer, hand.full_name, OfficerRole.CENTRE, None, self._clock.now(), person_id=hand.person_id
            )
            self._directory.officers.add(officer)
        access = content.ask(self._mailbox, Scope(), first, BASIS)
        content.approve(access.access_id, second, BASIS)

    def secrecy(self, first: Hand, second: Hand) -> None:
        """`secrecy ask`, `secrecy release`."""
        held_id = f"ID{next(self._number):04}"
        record = HeldRecord(
            held_id, HeldState.HELD, 1, 1 << 60, "a@mic.gov.vn", "a@mic.gov.vn", ("b@mic.gov.vn",), 0, "", "mat", ()
        )
        self._held.keep(record, b"x", room_octets=1 << 20)
        self._held.ask(held_id, _word(first))
        self._held.release(held_id, _word(second))

    def records(self, first: Hand, second: Hand) -> None:
        """The holder asks for an export of a unit's mail, an officer does it."""
        asked = Hand(first.officer, first.login, first.full_name, first.person_id or 99)
        must_be_asked_for(asked.person_id or 0, [asked], second)


def _word(hand: Hand) -> OfficerDecision:
    return OfficerDecision(hand.officer, "nhầm", 1, None, hand.login, hand.full_name, hand.person_id)


@pytest.fixture(scope="module")
def office(tmp_path_factory: pytest.TempPathFactory) -> Office:
    """Acts are done in it one after the other, each on something new."""
    return Office(tmp_path_factory.mktemp("office"))


HANDS = [
    Hand(officer, login, *who)
    for officer, login, who in product(("mai", "binh"), ("mai", "binh", "máy"), ((PEOPLE[0], 1), (PEOPLE[1], 2)))
]


@pytest.mark.parametrize("act", ["content", "secrecy", "records"])
def test_two_persons_are_two_sign_ins(office: Office, act: str) -> None:
    """Nobody is the second person who shares a login with the first, as an officer or at the machine, or is the same person."""
    do: Two = getattr(office, act)
    for first, second in product(HANDS, HANDS):
        same = bool({first.officer, first.login} & {second.officer, second.login}) or first.person_id == second.person_id
        if same:
            with pytest.raises(NotTwo):
                do(first, second)
        else:
            do(first, second)


def test_who_has_a_part_in_it_does_not_release(office: Office) -> None:
    """The sender's own person, whatever login that person has as an officer."""
    held = office._held
    record = HeldRecord(
        "ID9999", HeldState.HELD, 1, 1 << 60, "a@mic.gov.vn", "a@mic.gov.vn", ("b@mic.gov.vn",), 0, "", "mat", ()
    )
    held.keep(record, b"x", room_octets=1 << 20)
    held.ask("ID9999", _word(Hand("mai", "mai", PEOPLE[0], 1)))
    sender = Hand(full_name="Lê Thị Hoa", person_id=3)
    with pytest.raises(Refused):
        held.release("ID9999", _word(Hand("hoa", "hoa", "Lê Thị Hoa")), sender)
    held.release("ID9999", _word(Hand("binh", "binh", PEOPLE[1], 2)), sender)
