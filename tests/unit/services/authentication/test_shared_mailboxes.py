"""What people may use beside their own mailbox: kept until a fact or the clock can change it, and told when it does."""

from dataclasses import replace
from datetime import timedelta

import pytest

from mic_mail.directory.records import MailboxRecord, PersonRecord, UnitRecord
from mic_mail.policy.eligibility import Employment
from mic_mail.policy.facts import Draft, FactKind, MailboxKind
from unit.services.authentication.conftest import START, World


@pytest.fixture
async def office(world: World) -> tuple[World, MailboxRecord, MailboxRecord]:
    """The mailbox of a unit, and that of a person of it."""
    unit = world.directory.add_unit(UnitRecord(0, "CNTT", "Cục CNTT"))
    record = PersonRecord(0, "Đỗ Văn Bê", unit.unit_id, "Chuyên viên", None, Employment.CIVIL_SERVANT)
    person = world.directory.add_person(record).person_id
    own = MailboxRecord(0, MailboxKind.PERSONAL, "be@mic.gov.vn", "mic.gov.vn/be", "Bê", 1 << 30, person, None)
    common = replace(own, kind=MailboxKind.UNIT, address="cntt@mic.gov.vn", home="mic.gov.vn/cntt", person_id=None)
    issued = [Draft(kind, START, "test") for kind in (FactKind.ISSUED, FactKind.PASSWORD_SET)]
    return (
        world,
        world.directory.issue_mailbox(replace(common, unit_id=unit.unit_id), *issued),
        world.directory.issue_mailbox(own, *issued),
    )


def named(own: MailboxRecord, until: str | None = None) -> Draft:
    data = {"person": own.person_id, "holder": own.address, "part": "keeper", **({"until": until} if until else {})}
    return Draft(FactKind.AUTHORISED, START, "test", data=data)  # type: ignore[arg-type]  # no value is None


async def test_the_clock_alone_calls_back(office: tuple[World, MailboxRecord, MailboxRecord]) -> None:
    """A session that was opened under a term hears of its end, though nothing is recorded and nobody asks."""
    world, unit, own = office
    world.directory.append_fact(unit.mailbox_id, named(own, "2026-11-25"))
    await world.access.refresh()
    sharing, called = world.access.sharing, []
    watch = sharing.watch(own.mailbox_id, unit.mailbox_id, lambda: called.append(world.clock.now()))
    assert list(sharing.of(own.mailbox_id)) == ["cntt"]
    world.clock.move_to(START + timedelta(hours=38))  # 23:00 of the last day
    world.access.clock_moved()
    assert called == []
    world.clock.move_to(START + timedelta(hours=39))
    world.access.clock_moved()
    assert len(called) == 1
    assert sharing.of(own.mailbox_id) == {}
    watch.close()


async def test_a_fact_calls_back_and_others_do_not(office: tuple[World, MailboxRecord, MailboxRecord]) -> None:
    """A change of either mailbox does; one of a third does not; a closed watch hears nothing."""
    world, unit, own = office
    third = world.add("lan")
    await world.access.refresh()
    called: list[str] = []
    watch = world.access.sharing.watch(own.mailbox_id, unit.mailbox_id, lambda: called.append("x"))
    world.directory.append_fact(third.mailbox_id, Draft(FactKind.SENDING_LOCKED, START, "test"))
    await world.access.refresh()
    assert called == []
    world.directory.append_fact(unit.mailbox_id, named(own))
    await world.access.refresh()
    assert called == ["x"]
    assert world.access.sharing.holders(unit.mailbox_id) == {"be@mic.gov.vn": "lrswipkxte"}
    world.directory.append_fact(own.mailbox_id, Draft(FactKind.SUSPENDED, START, "test", data={"cause": "c"}))
    await world.access.refresh()
    assert called == ["x", "x"]
    assert world.access.sharing.of(own.mailbox_id) == {}
    watch.close()
    world.directory.append_fact(unit.mailbox_id, Draft(FactKind.SENDING_LOCKED, START, "test"))
    await world.access.refresh()
    assert called == ["x", "x"]
