"""A sign-in while nobody knows what time it is: in or out where that does not matter, else not now (decision 0094)."""

from datetime import timedelta

import pytest

from mic_mail.policy.facts import Draft, FactKind
from mic_mail.services.authentication.identity import Answered
from mic_mail.services.authentication.refusals import Refusal, RefusalKind
from unit.services.authentication.app_passwords import add
from unit.services.authentication.conftest import PASSWORD, START, World, peer
from unit.services.authentication.sign_in import LEFT, RECLAIMED, RESET, SUSPENDED, login, scram

STEPS = (timedelta(days=800), timedelta(days=20), timedelta(days=-40))
RECORDS: dict[str, tuple[Draft, ...]] = {
    "active": (),
    "suspended": (SUSPENDED,),
    "left": (LEFT,),
    "reset": (RESET,),
    "reclaimed": (RECLAIMED,),
}


def kind_of(answer: Answered) -> RefusalKind | None:
    return answer.kind if isinstance(answer, Refusal) else None


async def everywhere(world: World, local: str) -> dict[str, RefusalKind | None]:
    """What each way of signing in says to the right password; None: in."""
    await world.access.refresh()
    return {
        "password": kind_of(await world.access.login(local, PASSWORD, peer())),
        "scram": kind_of(await scram(world.access, local, PASSWORD)),
        "page": kind_of(await world.page.enter(local, PASSWORD, peer(door="web"))),
    }


@pytest.mark.parametrize("step", STEPS, ids=str)
@pytest.mark.parametrize("record", RECORDS)
async def test_an_answer_that_hangs_on_the_time_is_not_given(world: World, record: str, step: timedelta) -> None:
    """What both times say alike is said at every door; else "not now", and once the clock is right again as before."""
    world.add("an", *RECORDS[record])
    before = await everywhere(world, "an")
    world.clock.move_to(START + step)
    there = await everywhere(world, "an")
    world.clock.set_to(START)
    world.clock.accept_time(START)
    world.clock.set_to(START + step)
    during = await everywhere(world, "an")
    expected = {way: kind if kind is there[way] else RefusalKind.UNAVAILABLE for way, kind in before.items()}
    assert during == expected
    world.clock.set_to(START)
    assert await everywhere(world, "an") == before


async def test_a_wrong_password_stays_wrong(world: World) -> None:
    """Whatever the clock says, and it counts as a guess."""
    world.add("an")
    world.clock.set_to(START + STEPS[0])
    assert kind_of(await login(world, "an", "sai mật khẩu")) is RefusalKind.WRONG_CREDENTIALS


async def test_an_app_password_that_ends_meanwhile(world: World) -> None:
    """Its end lies between the two times: neither in nor wrong."""
    mailbox = world.add("an")
    added = add(world, mailbox)
    leaves = Draft(FactKind.LEFT, START + timedelta(days=5), "test", document="12/QĐ", data={"level": "department"})
    world.directory.append_facts(mailbox.mailbox_id, [leaves])
    assert kind_of(await login(world, "an", added.password)) is None
    world.clock.set_to(START + timedelta(days=6))
    assert kind_of(await login(world, "an")) is None
    assert kind_of(await login(world, "an", added.password)) is RefusalKind.UNAVAILABLE
    assert kind_of(await scram(world.access, "an", added.password)) is RefusalKind.UNAVAILABLE
    world.clock.set_to(START)
    assert kind_of(await login(world, "an", added.password)) is None
