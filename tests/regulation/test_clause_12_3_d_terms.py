"""Reg. 12.3.d: a keeper's authority that ends with nobody to follow is warned of ahead, and is an alarm from then on."""

from collections.abc import Callable
from datetime import date, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clients.shared_mailboxes import events_named
from harness import MailServer
from mic_mail.clock import HO_CHI_MINH, ManualClock
from mic_mail.policy.calendar import start_of
from mic_mail.policy.due_items import AutomaticAct
from mic_mail.policy.due_notices import NoticeKind, WarnDays, due_notices
from mic_mail.policy.facts import Draft, FactKind, MailboxKind
from mic_mail.policy.unit_mail.delegation import after_day, grants
from mic_mail.policy.unit_mail.keeper_succession import vacancies
from mic_mail.services.compliance.finding import Records
from mic_mail.services.compliance.mailboxes import handed_over
from mic_mail.services.mailboxes.reclamation import Reclaiming
from mic_mail.services.reports.due_items import due
from regulation.conftest import History, local
from regulation.handover_setup import BE, CNTT, LAN
from regulation.notified_server import NotifiedServer

pytestmark = pytest.mark.clause("12.3.d")

BEGIN = date(2026, 1, 1)
ENDING, ENDED = "Sắp hết thời hạn phân công quản lý hộp thư cntt@mic.gov.vn", "Hộp thư cntt@mic.gov.vn không còn người quản lý"


def kept(*terms: tuple[int, int, int | None]) -> History:
    """(person, first day, last day) of keepers in the order of recording; days are counted from BEGIN."""
    history = History(MailboxKind.UNIT)
    for person, first, last in terms:
        until = {} if last is None else {"until": (BEGIN + timedelta(days=last)).isoformat()}
        history.add(
            FactKind.AUTHORISED, f"{BEGIN + timedelta(days=first)}", recorded="2025-12-01", person=person,
            holder=f"p{person}@mic.gov.vn", part="keeper", **until,
        )  # fmt: skip
    return history


TERMS = st.lists(
    st.tuples(st.integers(1, 3), st.integers(0, 40), st.none() | st.integers(0, 20)).map(
        lambda term: (term[0], term[1], None if term[2] is None else term[1] + term[2])
    ),
    max_size=6,
)


@given(TERMS)
def test_clause_12_3_d_vacant_is_every_day_behind_a_keeper_that_has_none(terms: list[tuple[int, int, int | None]]) -> None:
    """Day by day: vacant are those after somebody was in charge on which nobody is; who is, `grants` says."""
    history = kept(*terms)
    found = vacancies(MailboxKind.UNIT, history.facts, {})
    was_kept = False
    for day in range(70):
        noon = start_of(BEGIN + timedelta(days=day)) + timedelta(hours=12)
        is_kept = any(grant.holds(noon) for grant in grants(MailboxKind.UNIT, history.facts))
        was_kept |= is_kept
        assert any(vacancy.holds(noon) for vacancy in found) == (was_kept and not is_kept), day


def test_clause_12_3_d_a_keeper_who_leaves_leaves_a_vacancy() -> None:
    """By the official day of the leave, by a transfer, by a revocation; a substitute fills none."""
    history = kept((1, 0, None))
    history.add(
        FactKind.AUTHORISED, "2026-01-02", person=2, holder="p2@mic.gov.vn", part="substitute", until="2099-01-01"
    )  # fmt: skip
    assert vacancies(MailboxKind.UNIT, history.facts, {}) == ()
    person = History()
    person.add(FactKind.LEFT, "2026-03-01", level="division")
    [vacancy] = vacancies(MailboxKind.UNIT, history.facts, {1: person.facts})
    assert (vacancy.since, vacancy.until, vacancy.last.holder) == (local("2026-03-01"), None, "p1@mic.gov.vn")
    moved = History()
    moved.add(FactKind.TRANSFERRED, "2026-02-01", unit_from="A", unit_to="B")
    assert vacancies(MailboxKind.UNIT, history.facts, {1: moved.facts})[0].since == local("2026-02-01")
    history.add(FactKind.AUTHORITY_REVOKED, "2026-01-20", person=1, holder="p1@mic.gov.vn")
    assert vacancies(MailboxKind.UNIT, history.facts, {})[0].since == local("2026-01-20")
    assert vacancies(MailboxKind.GROUP, history.facts, {}) == ()


def test_clause_12_3_d_when_which_notice_is_due() -> None:
    """Ahead the nearest of the configured days, none while a handover runs; behind the end the alarm, as long as it lasts."""
    history = kept((1, 0, 59))  # the last day is 01/03/2026

    def due_at(moment: str) -> list[tuple[NoticeKind, str]]:
        found = vacancies(MailboxKind.UNIT, history.facts, {})
        look = due_notices(7, history.facts, (), local(moment), WarnDays(), vacancies=found)
        return [(each.kind, each.key.rpartition(":")[2]) for each in look.due]

    assert due_at("2026-01-30 23:59") == []
    assert due_at("2026-01-31 00:00") == [(NoticeKind.TERM_ENDING, "30")]
    assert due_at("2026-02-28 12:00") == [(NoticeKind.TERM_ENDING, "7")]
    assert due_at("2026-03-01 23:59") == [(NoticeKind.TERM_ENDING, "1")]
    assert due_at("2026-03-02 00:00") == [(NoticeKind.TERM_ENDED, "0")]
    assert due_at("2027-03-02") == [(NoticeKind.TERM_ENDED, "0")]  # an alarm does not grow old
    begun = history.add(FactKind.HANDOVER_BEGUN, "2026-02-20", person=2, holder=LAN)
    assert due_at("2026-02-28") == []
    assert due_at("2026-03-02") == [(NoticeKind.TERM_ENDED, "0")]
    history.add(FactKind.HANDOVER_FINISHED, "2026-03-03", handover=begun.seq)
    history.add(FactKind.AUTHORISED, "2026-03-03", person=2, holder=LAN, part="keeper")
    assert due_at("2026-03-04") == []


def test_clause_12_3_d_the_unit_and_the_centre_are_told_once(serve: Callable[..., MailServer]) -> None:
    """Letters into the unit's mailbox and to the Centre, an event, what is due, evidence; access ends by the clock."""
    start = datetime(2026, 11, 24, 9, tzinfo=HO_CHI_MINH)
    office = NotifiedServer(serve(clock=ManualClock(start)))
    server = office.server
    unit = server.issue("cntt", kind=MailboxKind.UNIT)
    support = server.issue("support", kind=MailboxKind.GROUP)
    keeper = server.issue("dvbe", name="Đỗ Văn Bê")
    server.allow(unit, keeper, "keeper", until="2026-12-05")
    server.housekeep()
    server.housekeep()
    assert office.subjects(unit) == office.subjects(support) == [ENDING]
    assert listed(server) == [(AutomaticAct.TERM_END, False, date(2026, 12, 6))]
    server.move_clock_to(after_day(date(2026, 12, 5)))
    for _ in range(3):
        server.housekeep()
    assert office.subjects(unit) == [each for each in office.subjects(support) if CNTT in each] == [ENDING, ENDED]
    assert [(event["mailbox"], event["holder"]) for event in events_named(server, "keeper_missing", 1)] == [(CNTT, BE)]
    assert server.running.context.access.sharing.of(keeper.mailbox_id) == {}
    assert listed(server) == [(AutomaticAct.TERM_END, True, date(2026, 12, 6))]
    found = handed_over(Records(office.directory, server.config, server.clock))
    assert [(finding.count, finding.overdue) for finding in found] == [(0, False), (1, True)]
    server.allow(unit, server.issue("ttlan"), "keeper")
    server.housekeep()
    assert listed(server) == []
    assert office.subjects(support).count(ENDED) == 1


def listed(server: MailServer) -> list[tuple[AutomaticAct, bool, date]]:
    """What `mailbox due` says of keepers."""
    context, directory = server.running.context, server.population.directory
    reclaiming = Reclaiming(directory, context.store, server.config, server.clock)
    items = (each.item for each in due(directory, server.config, server.clock, reclaiming, timedelta(days=30)))
    return [(each.deed, each.overdue, each.at.astimezone(HO_CHI_MINH).date()) for each in items if each.clause == "12.3.d"]


def test_clause_12_3_d_a_leave_that_is_recorded_late_raises_the_alarm(serve: Callable[..., MailServer]) -> None:
    """The fact is in the person's record, not in the mailbox's: it is looked at again all the same."""
    start = datetime(2026, 11, 24, 9, tzinfo=HO_CHI_MINH)
    office = NotifiedServer(serve(clock=ManualClock(start)))
    unit = office.server.issue("cntt", kind=MailboxKind.UNIT)
    office.server.issue("support", kind=MailboxKind.GROUP)
    keeper: Any = office.server.issue("dvbe")
    office.server.allow(unit, keeper, "keeper")
    office.server.housekeep()
    assert office.subjects(unit) == []
    office.server.record(keeper, Draft(FactKind.LEFT, start, "test", data={"level": "division"}))
    office.server.housekeep()
    assert ENDED in office.subjects(unit)
