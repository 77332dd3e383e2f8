"""Sessions that are open while the state, the password, the settings or the clock of their mailbox changes."""

import asyncio
from datetime import datetime, timedelta

from mic_mail.clock import HO_CHI_MINH
from mic_mail.policy.authorization.grounds import ActContext
from mic_mail.policy.facts import Draft, FactKind
from mic_mail.services.authentication.identity import SignedIn
from mic_mail.services.authentication.refusals import RefusalKind
from mic_mail.services.mailboxes.credentials import set_password
from unit.services.authentication.conftest import START, World, peer
from unit.services.authentication.sign_in import SUSPENDED, kind_of, login


async def test_a_watch_that_begins_after_the_suspension(world: World) -> None:
    """What is recorded between the answer and the watch calls back too: the session begins and ends."""
    mailbox = world.add("dvbe")
    called: list[int] = []
    signed_in = await login(world, "dvbe")
    assert isinstance(signed_in, SignedIn)
    world.directory.append_fact(mailbox.mailbox_id, SUSPENDED)
    await world.access.refresh()
    world.access.watch(signed_in.mailbox_id, lambda: called.append(1), signed_in.decision)
    assert called


async def test_a_reload_calls_every_session_back(world: World) -> None:
    """A setting may close what was open: app passwords, the own password beside a second factor, a term."""
    world.add("dvbe")
    signed_in = await login(world, "dvbe")
    assert isinstance(signed_in, SignedIn)
    called: list[int] = []
    world.access.watch(signed_in.mailbox_id, lambda: called.append(1))
    world.reload(world.config)
    assert called


async def test_who_signed_in_with_a_password_that_was_changed_sends_no_more(world: World) -> None:
    """A stolen password is worth nothing once it was changed, in sessions that are open too."""
    mailbox = world.add("dvbe")
    await world.access.refresh()
    signed_in = await login(world, "dvbe", door="submission")
    assert isinstance(signed_in, SignedIn)
    assert world.access.check_send(signed_in, peer()) is None
    set_password(
        world.directory, world.config, mailbox, "ngựa pin kẹp ghim", at=START, origin=ActContext("test"), must_change=False
    )
    await world.access.refresh()
    assert kind_of(world.access.check_send(signed_in, peer())) is RefusalKind.WRONG_CREDENTIALS


async def test_an_open_session_is_told_of_a_suspension(world: World) -> None:
    """Reg. 7.1: the watch calls, and the session is refused with the clause."""
    mailbox = world.add("dvbe")
    signed_in = await login(world, "dvbe")
    assert isinstance(signed_in, SignedIn)
    called: list[int] = []
    watch = world.access.watch(signed_in.mailbox_id, lambda: called.append(1))
    world.directory.append_fact(mailbox.mailbox_id, SUSPENDED)
    await world.access.refresh()
    assert called
    assert kind_of(world.access.recheck(signed_in, peer())) is RefusalKind.SUSPENDED
    watch.close()
    count = len(called)
    world.directory.append_fact(mailbox.mailbox_id, Draft(FactKind.RESTORED, START, "test"))
    await world.access.refresh()
    assert len(called) == count, "a closed watch is silent"


async def test_an_open_session_ends_with_its_password(world: World) -> None:
    """A changed password ends the sessions that the old one opened."""
    mailbox = world.add("dvbe")
    signed_in = await login(world, "dvbe")
    assert isinstance(signed_in, SignedIn)
    assert isinstance(world.access.recheck(signed_in, peer()), SignedIn)
    set_password(
        world.directory, world.config, mailbox, "ngựa pin kẹp ghim", at=START, origin=ActContext("test"), must_change=False
    )
    await world.access.refresh()
    assert kind_of(world.access.recheck(signed_in, peer())) is RefusalKind.WRONG_CREDENTIALS


async def test_an_open_session_sends_nothing_after_its_password(world: World) -> None:
    """Submission asks at MAIL and at the end of the message: the old password has no say any more (Reg. 4.3)."""
    mailbox = world.add("dvbe")
    signed_in = await login(world, "dvbe", door="submission")
    assert isinstance(signed_in, SignedIn)
    set_password(
        world.directory, world.config, mailbox, "ngựa pin kẹp ghim", at=START, origin=ActContext("test"), must_change=False
    )
    await world.access.refresh()
    refusal = world.access.check_send(signed_in, peer(door="submission"))
    assert kind_of(refusal) is RefusalKind.WRONG_CREDENTIALS
    assert refusal is not None
    assert "The password was changed; sign in again." in refusal.text.en


async def test_an_open_session_is_cut_by_the_clock(world: World) -> None:
    """A leave that was recorded ahead locks sending when its day begins, without any further fact."""
    leaves = datetime(2026, 11, 25, tzinfo=HO_CHI_MINH)
    world.add("nvhung", Draft(FactKind.LEFT, leaves, "test", data={"level": "division"}))
    signed_in = await login(world, "nvhung", door="submission")
    assert isinstance(signed_in, SignedIn)
    assert world.access.check_send(signed_in, peer()) is None
    called = asyncio.Event()
    world.clock.move_to(leaves - timedelta(microseconds=50))
    world.access.watch(signed_in.mailbox_id, called.set)
    world.clock.move_to(leaves)
    await asyncio.wait_for(called.wait(), 5)
    assert kind_of(world.access.check_send(signed_in, peer())) is RefusalKind.SEND_LOCKED
