"""The sign-in of the password page: what keeps nobody out there, what counts as use, what the log hears."""

from datetime import datetime, timedelta

from mic_mail.auth import totp
from mic_mail.policy.authorization.grounds import ActContext
from mic_mail.services.authentication.identity import Peer, SignedIn
from mic_mail.services.authentication.refusals import RefusalKind
from mic_mail.services.authentication.second_factors import SecondFactors
from unit.services.authentication.conftest import PASSWORD, START, World, peer
from unit.services.authentication.sign_in import RECLAIMED, RESET, SUSPENDED, kind_of

WEB = "web"
CODE_LATER = timedelta(seconds=30)


def at_page() -> Peer:
    return peer(door=WEB)


def last_use(world: World, mailbox_id: int) -> datetime | None:
    return world.access.last_use(world.access.snapshot.entries[mailbox_id])


async def enrol(world: World, mailbox_id: int) -> bytes:
    """A second factor; the next code is another one."""
    secret = totp.make_secret()
    factors = SecondFactors(world.directory, world.config, world.clock)
    factors.enrol(mailbox_id, 1, secret, code_of(world, secret), ActContext("dvbe@mic.gov.vn"))
    world.clock.move_to(world.clock.now() + CODE_LATER)
    await world.access.refresh()
    return secret


def code_of(world: World, secret: bytes) -> str:
    return totp.code(secret, int(world.clock.now().timestamp() // 30))


async def test_a_password_that_is_due_keeps_nobody_out_and_is_no_use(world: World) -> None:
    """Reg. 7.3.c, 15.2: in to change it, and nowhere else; who may do no more than that has not used the mailbox (7.2.a)."""
    mailbox = world.add("dvbe", RESET)
    await world.access.refresh()
    answer = await world.page.enter("dvbe", PASSWORD, at_page())
    assert isinstance(answer, SignedIn)
    assert answer.decision.password_change_due
    assert last_use(world, mailbox.mailbox_id) is None
    assert kind_of(await world.access.login("dvbe", PASSWORD, peer())) is RefusalKind.PASSWORD_DUE
    assert [name for name, _ in world.log.lines] == ["signed_in", "sign_in_refused"]


async def test_the_password_alone_is_no_use_where_a_code_follows(world: World) -> None:
    """Who has guessed the password does not keep an abandoned mailbox alive, and the log names no sign-in before the code."""
    mailbox = world.add("dvbe")
    secret = await enrol(world, mailbox.mailbox_id)
    half = await world.page.enter("dvbe", PASSWORD, at_page())
    assert isinstance(half, SignedIn)
    assert world.page.asks_for_code(half)
    assert isinstance(world.page.recheck(half, at_page()), SignedIn)
    assert last_use(world, mailbox.mailbox_id) is None
    assert kind_of(await world.page.enter_code(half, "000000", at_page())) is RefusalKind.WRONG_CREDENTIALS
    assert last_use(world, mailbox.mailbox_id) is None
    whole = await world.page.enter_code(half, code_of(world, secret), at_page())
    assert isinstance(whole, SignedIn)
    assert not world.page.asks_for_code(whole)
    assert last_use(world, mailbox.mailbox_id) == START + CODE_LATER
    names = [name for name, _ in world.log.lines]
    assert names == ["second_factor_asked", "second_factor_refused", "signed_in"]
    assert world.log.lines[-1][1]["mechanism"] == "password+code"
    rechecked = world.page.recheck(whole, at_page())
    assert isinstance(rechecked, SignedIn)
    assert rechecked.factor == whole.factor
    await world.access._uses.writing.settle()


async def test_a_suspension_ends_a_session_and_is_logged(world: World) -> None:
    """Reg. 7.1: the next request is refused with the clause, under a reference that the log has."""
    mailbox = world.add("dvbe")
    await world.access.refresh()
    answer = await world.page.enter("dvbe", PASSWORD, at_page())
    assert isinstance(answer, SignedIn)
    world.directory.append_facts(mailbox.mailbox_id, [SUSPENDED])
    await world.access.refresh()
    refusal = world.page.recheck(answer, at_page())
    assert kind_of(refusal) is RefusalKind.SUSPENDED
    name, fields = world.log.lines[-1]
    assert (name, fields["ref"], fields["mailbox"], fields["door"]) == ("session_cut", refusal.ref, "dvbe@mic.gov.vn", WEB)  # type: ignore[union-attr]
    await world.access._uses.writing.settle()


async def test_of_a_reclaimed_mailbox_the_right_password_alone_learns(world: World) -> None:
    """The page says what the mail services say: after the right password what happened, after a wrong one nothing."""
    world.add("dvbe", RECLAIMED)
    await world.access.refresh()
    assert kind_of(await world.page.enter("dvbe", PASSWORD, at_page())) is RefusalKind.RECLAIMED
    assert kind_of(await world.page.enter("dvbe", "wrong", at_page())) is RefusalKind.WRONG_CREDENTIALS


async def test_a_present_password_that_is_wrong_is_logged_as_that(world: World) -> None:
    """Typed once more to change something: it counts like a sign-in, and the log says what it was for."""
    world.add("dvbe")
    await world.access.refresh()
    answer = await world.page.enter("dvbe", PASSWORD, at_page())
    assert isinstance(answer, SignedIn)
    assert isinstance(await world.page.confirm(answer, PASSWORD, at_page()), SignedIn)
    assert kind_of(await world.page.confirm(answer, "wrong", at_page())) is RefusalKind.WRONG_CREDENTIALS
    assert [name for name, _ in world.log.lines] == ["signed_in", "password_not_confirmed"]
    await world.access._uses.writing.settle()
