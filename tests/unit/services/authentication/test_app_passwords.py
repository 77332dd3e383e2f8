"""App passwords at the doors: what they open, what they cost, and when they end."""

import asyncio
import threading
from dataclasses import replace
from datetime import timedelta

import pytest

from cost_growth import assert_linear
from mic_mail.auth import totp
from mic_mail.directory.records import Superseded
from mic_mail.errors import BadInput, MicMailError
from mic_mail.policy.authorization.grounds import ActContext
from mic_mail.policy.credentials.app_passwords import NUMBER, AppPasswordScope, living
from mic_mail.policy.facts import Detail, Draft, Fact, FactKind
from mic_mail.services.authentication.app_passwords import AppPasswords
from mic_mail.services.authentication.identity import SignedIn
from mic_mail.services.authentication.own_password import OwnPassword
from mic_mail.services.authentication.refusals import Refusal, RefusalKind
from mic_mail.services.authentication.second_factors import SecondFactors
from mic_mail.services.mailboxes.credentials import set_password
from mic_mail.services.mailboxes.lifecycle_actions import NotAllowed
from unit.services.authentication.app_passwords import add, service
from unit.services.authentication.conftest import PASSWORD, START, World, peer
from unit.services.authentication.sign_in import kind_of, login, scram

DOORS = ("imap", "imaps", "pop3", "pop3s", "submission", "submissions", "smtp", "ldap", "ldaps", "carddav")


async def test_it_opens_every_door_but_the_page(world: World) -> None:
    """Each door, in any spelling without a hash; the page takes the mailbox's own alone; log and session say which it was."""
    added = add(world, world.add("dvbe"))
    for door in DOORS:
        answer = await login(world, "dvbe", added.password, door=door)
        assert isinstance(answer, SignedIn), door
        assert answer.app_password == added.fact.seq
    assert isinstance(await login(world, "dvbe", added.password.replace("-", "").upper()), SignedIn)
    assert isinstance(await login(world, "dvbe", added.password.replace("-", " ")), SignedIn)
    assert {fields["app_password"] for name, fields in world.log.lines if name == "signed_in"} == {added.fact.seq}
    refused = await world.page.enter("dvbe", added.password, peer(door="web"))
    assert kind_of(refused) is RefusalKind.WRONG_CREDENTIALS
    assert isinstance(await login(world, "dvbe", added.password), SignedIn)  # the page's refusal is not remembered here
    own = await login(world, "dvbe")
    assert isinstance(own, SignedIn)
    assert own.app_password is None
    assert added.password not in repr(added)
    assert not any(added.password in str(line) for line in world.log.lines)


async def test_a_right_one_waits_for_no_hash_and_a_wrong_one_does(world: World) -> None:
    """While the hash lane is busy: in. Another mailbox's, a mistyped and a revoked one wait for argon2 as all that is wrong."""
    mailbox, other = world.add("dvbe"), world.add("ttlan")
    added, revoked, foreign = add(world, mailbox), add(world, mailbox, "cũ"), add(world, other)
    service(world).revoke(mailbox.mailbox_id, [revoked.fact.seq], ActContext("test"))
    await world.access.refresh()
    waiting = threading.Event()
    busy = [asyncio.ensure_future(world.executors.hash(waiting.wait, "elsewhere")) for _ in range(2)]
    try:
        assert isinstance(await world.access.login("dvbe", added.password, peer()), SignedIn)
        wrong = (foreign.password, added.password[:-1] + ("a" if added.password[-1] != "a" else "b"), revoked.password)
        tries = [asyncio.ensure_future(world.access.login("dvbe", password, peer())) for password in wrong]
        done, _ = await asyncio.wait(tries, timeout=0.1)
        assert not done
    finally:
        waiting.set()
        await asyncio.gather(*busy)
    for answer in await asyncio.gather(*tries):
        assert kind_of(answer) is RefusalKind.WRONG_CREDENTIALS


async def test_one_that_is_revoked_while_it_waits_for_others_of_its_network(world: World) -> None:
    """As many as may be wrong from there are being looked at: it waits for them, in vain if it lives no more by then."""
    auth = world.config.auth.model_copy(update={"failures_per_network": 3})
    world.reload(world.config.model_copy(update={"auth": auth}))
    mailbox, others = world.add("dvbe"), [world.add(f"m{number}") for number in range(3)]
    kept, revoked = add(world, mailbox), add(world, mailbox, "cũ")
    await world.access.refresh()
    waiting = threading.Event()
    busy = [asyncio.ensure_future(world.executors.hash(waiting.wait, "elsewhere")) for _ in range(2)]
    passwords = [(other.address, PASSWORD) for other in others] + [("dvbe", kept.password), ("dvbe", revoked.password)]
    tries = [asyncio.ensure_future(world.access.login(user, password, peer())) for user, password in passwords]
    done, _ = await asyncio.wait(tries, timeout=0.1)
    assert not done
    service(world).revoke(mailbox.mailbox_id, [revoked.fact.seq], ActContext("test"))
    await world.access.refresh()
    waiting.set()
    *living, ended = await asyncio.gather(*tries)
    await asyncio.gather(*busy)
    assert all(isinstance(answer, SignedIn) for answer in living)
    assert kind_of(ended) is RefusalKind.WRONG_CREDENTIALS


async def test_a_revoked_one_counts_once(world: World) -> None:
    """An old telephone that goes on for days with it: one wrong password, and its office goes on signing in."""
    mailbox = world.add("dvbe")
    added = add(world, mailbox)
    service(world).revoke(mailbox.mailbox_id, None, ActContext("test"))
    for _ in range(2 * world.config.auth.failures_per_mailbox):
        assert kind_of(await login(world, "dvbe", added.password)) is RefusalKind.WRONG_CREDENTIALS
    details = [fields["detail"] for name, fields in world.log.lines if name == "sign_in_refused"]
    assert details == ["password", *["password-again"] * (len(details) - 1)]
    assert isinstance(await login(world, "dvbe"), SignedIn)


@pytest.mark.clause("4.3")
async def test_it_buys_no_guesses_at_the_own_password(world: World) -> None:
    """Who has a stolen telephone signs in between the guesses: they stay counted, by password and by SCRAM."""
    added = add(world, world.add("dvbe"))
    limit = world.config.auth.failures_per_mailbox
    for number in range(limit):
        assert kind_of(await login(world, "dvbe", f"guess {number}")) is RefusalKind.WRONG_CREDENTIALS
        if number < limit - 1:
            signed_in = await (
                login(world, "dvbe", added.password) if number % 2 else scram(world.access, "dvbe@mic.gov.vn", added.password)
            )
            assert isinstance(signed_in, SignedIn)
    assert kind_of(await login(world, "dvbe", "guess again")) is RefusalKind.TOO_MANY
    assert kind_of(await login(world, "dvbe", added.password)) is RefusalKind.TOO_MANY  # the throttle holds for all alike
    assert isinstance(await login(world, "dvbe", added.password, address="198.51.100.9"), SignedIn)


async def test_only_the_doors_it_was_made_for(world: World) -> None:
    """Elsewhere it is refused, with a sentence that says so, and is no wrong password."""
    added = add(world, world.add("dvbe"), "Danh bạ", AppPasswordScope.CARDDAV, AppPasswordScope.LDAP)
    assert isinstance(await login(world, "dvbe", added.password, door="ldaps"), SignedIn)
    for _ in range(2 * world.config.auth.failures_per_mailbox):
        answer = await login(world, "dvbe", added.password, door="imaps")
        assert kind_of(answer) is RefusalKind.NOT_HERE
    assert isinstance(answer, Refusal)
    assert "another service" in answer.text.en
    assert "dịch vụ khác" in answer.text.vi
    assert kind_of(await scram(world.access, "dvbe@mic.gov.vn", added.password)) is RefusalKind.NOT_HERE


@pytest.mark.parametrize("number", [0, 1, 2])
async def test_scram_knows_which_password_it_was(world: World, number: int) -> None:
    """RFC 5802: of the own one and several app passwords each is proved as itself; a wrong one is wrong (§3)."""
    mailbox = world.add("dvbe")
    apps = [add(world, mailbox, name) for name in ("một", "hai")]
    await world.access.refresh()
    password = [PASSWORD, *(each.password for each in apps)][number]
    answer = await scram(world.access, "dvbe@mic.gov.vn", password)
    assert isinstance(answer, SignedIn)
    assert answer.app_password == (apps[number - 1].fact.seq if number else None)
    assert kind_of(await scram(world.access, "dvbe@mic.gov.vn", apps[0].password[:-1])) is RefusalKind.WRONG_CREDENTIALS
    service(world).revoke(mailbox.mailbox_id, None, ActContext("test"))
    await world.access.refresh()
    assert kind_of(await scram(world.access, "dvbe@mic.gov.vn", apps[0].password)) is RefusalKind.WRONG_CREDENTIALS
    assert isinstance(await scram(world.access, "dvbe@mic.gov.vn", PASSWORD), SignedIn)


@pytest.mark.clause("15.2")
@pytest.mark.parametrize("ends_apps", [False, True])
async def test_a_change_by_the_person_leaves_them_unless_asked(world: World, ends_apps: bool) -> None:
    """They go on, by PLAIN and by SCRAM, and so does a session that one opened; or all of them end with the change."""
    mailbox = world.add("dvbe")
    added = add(world, mailbox)
    by_app, by_own = await login(world, "dvbe", added.password), await login(world, "dvbe")
    assert isinstance(by_app, SignedIn)
    assert isinstance(by_own, SignedIn)
    new = "bảy con vịt xiêm bơi ngang"
    OwnPassword(world.directory, world.config, world.clock).change(mailbox.mailbox_id, 1, new, ends_apps=ends_apps)
    await world.access.refresh()
    assert kind_of(world.access.recheck(by_own, peer())) is RefusalKind.WRONG_CREDENTIALS
    if ends_apps:
        answer = world.access.recheck(by_app, peer())
        assert kind_of(answer) is RefusalKind.WRONG_CREDENTIALS
        assert isinstance(answer, Refusal)
        assert "app password" in answer.text.en
        assert world.access.check_send(by_app, peer()) is not None
        assert kind_of(await login(world, "dvbe", added.password)) is RefusalKind.WRONG_CREDENTIALS
    else:
        assert isinstance(world.access.recheck(by_app, peer()), SignedIn)
        assert world.access.check_send(by_app, peer()) is None
        assert isinstance(await scram(world.access, "dvbe@mic.gov.vn", added.password), SignedIn)
        another = add(world, mailbox, "nữa")
        await world.access.refresh()
        assert isinstance(await scram(world.access, "dvbe@mic.gov.vn", another.password), SignedIn)
    assert isinstance(await scram(world.access, "dvbe@mic.gov.vn", new), SignedIn)


FALLS = {
    "7.1": (Draft(FactKind.SUSPENDED, START, "test", "virus", data={"cause": "c"}), RefusalKind.SUSPENDED),
    "7.3.b": (Draft(FactKind.RESTORED, START, "test"), RefusalKind.PASSWORD_DUE),
    "15.2": (Draft(FactKind.PASSWORD_RESET, START, "test", document="5/CV"), RefusalKind.PASSWORD_DUE),
    "6.4.c": (Draft(FactKind.LEFT, START, "test", data={"level": "department"}), RefusalKind.WRONG_CREDENTIALS),
    "6.2": (Draft(FactKind.RECLAIMED, START, "test"), RefusalKind.RECLAIMED),
    "6.4.a": (Draft(FactKind.ISSUED, START, "test", data={"address": "dvbe@mic.gov.vn"}), RefusalKind.PASSWORD_DUE),
}


@pytest.mark.clause("7.1", "7.3.b", "15.2", "6.4.c", "6.2", "6.4.a")
@pytest.mark.parametrize("clause", FALLS)
async def test_they_fall_with_what_takes_the_mailbox_out_of_use(world: World, clause: str) -> None:
    """No new sign-in, the open session ends with the state told, and they do not rise again with a new password."""
    fact, told = FALLS[clause]
    mailbox = world.add("dvbe")
    added = add(world, mailbox)
    session = await login(world, "dvbe", added.password)
    assert isinstance(session, SignedIn)
    called = asyncio.Event()
    watch = world.access.watch(mailbox.mailbox_id, called.set)
    world.directory.append_fact(mailbox.mailbox_id, fact)
    assert isinstance(await login(world, "dvbe", added.password), Refusal)
    assert called.is_set()
    assert kind_of(world.access.recheck(session, peer())) is told
    watch.close()
    world.clock.move_to(START + timedelta(minutes=5))
    world.directory.append_fact(mailbox.mailbox_id, Draft(FactKind.RESTORED, world.clock.now(), "test"))
    set_password(
        world.directory, world.config, mailbox, "sáu con trâu cày ruộng", at=world.clock.now(), origin=ActContext("x"),
        must_change=False,
    )  # fmt: skip
    assert isinstance(await login(world, "dvbe", added.password), Refusal)
    assert [each.app.ended_at for each in service(world).listed(mailbox.mailbox_id)] == [START]


@pytest.mark.clause("6.4.c")
async def test_they_fall_on_the_day_of_a_leave_to_come(world: World) -> None:
    """The session that one opened ends at that instant, by the clock; a leave withdrawn before its day ends nothing."""
    mailbox = world.add("dvbe")
    added = add(world, mailbox)
    session = await login(world, "dvbe", added.password)
    assert isinstance(session, SignedIn)
    day = START + timedelta(days=3)
    leave = Draft(FactKind.LEFT, day, "test", data={"level": "department"})
    world.directory.append_facts(mailbox.mailbox_id, [leave, Draft(FactKind.LEAVE_WITHDRAWN, START, "test"), leave])
    await world.access.refresh()
    called = asyncio.Event()
    watch = world.access.watch(mailbox.mailbox_id, called.set)
    assert isinstance(world.access.recheck(session, peer()), SignedIn)
    world.clock.move_to(day)
    world.access.clock_moved()
    assert called.is_set()
    assert kind_of(world.access.recheck(session, peer())) is RefusalKind.WRONG_CREDENTIALS
    watch.close()
    world.directory.append_fact(mailbox.mailbox_id, Draft(FactKind.LEAVE_WITHDRAWN, day, "test"))
    assert kind_of(await login(world, "dvbe", added.password)) is RefusalKind.WRONG_CREDENTIALS
    later = add(world, mailbox, "sau")
    assert isinstance(await login(world, "dvbe", later.password), SignedIn)


@pytest.mark.clause("15.2")
async def test_a_password_that_grew_too_old_keeps_them_out_and_its_change_ends_them(world: World) -> None:
    """What is due for change cannot be used on by a copy."""
    mailbox = world.add("dvbe")
    config = world.config.model_copy(update={"auth": world.config.auth.model_copy(update={"password_age": 90 * 86_400.0})})
    world.reload(config)
    added = add(world, mailbox)
    session = await login(world, "dvbe", added.password)
    assert isinstance(session, SignedIn)
    world.clock.move_to(START + timedelta(days=120))
    assert kind_of(world.access.recheck(session, peer())) is RefusalKind.PASSWORD_DUE
    assert kind_of(await login(world, "dvbe", added.password)) is RefusalKind.PASSWORD_DUE
    OwnPassword(world.directory, config, world.clock).change(mailbox.mailbox_id, 1, "bảy con vịt xiêm bơi ngang")
    assert kind_of(await login(world, "dvbe", added.password)) is RefusalKind.WRONG_CREDENTIALS


async def test_one_that_was_made_a_moment_ago_is_not_refused(world: World) -> None:
    """The page made it, this worker has not heard: it looks, and the first refusal is not remembered."""
    mailbox = world.add("dvbe")
    await world.access.refresh()
    added = add(world, mailbox)
    assert isinstance(await world.access.login("dvbe", added.password, peer()), SignedIn)
    another = add(world, mailbox, "nữa")
    assert isinstance(await scram(world.access, "dvbe@mic.gov.vn", added.password), SignedIn)
    world.access._newer_than = _nothing_newer  # type: ignore[method-assign]  # the database does not answer just now
    assert kind_of(await world.access.login("dvbe", another.password, peer())) is RefusalKind.WRONG_CREDENTIALS
    await world.access.refresh()
    assert isinstance(await world.access.login("dvbe", another.password, peer()), SignedIn)


async def _nothing_newer(seen: object) -> bool:
    return False


async def test_its_last_use_is_told_once_a_day(world: World) -> None:
    """Day, door and network; a telephone that signs in each minute writes one row a day."""
    mailbox = world.add("dvbe")
    added = add(world, mailbox)
    await login(world, "dvbe", added.password, door="imaps")
    await world.access._uses.writing.settle()
    version = world.directory.version()
    for _ in range(5):
        await login(world, "dvbe", added.password, door="submission", address="198.51.100.7")
    await world.access._uses.writing.settle()
    assert world.directory.version() == version
    (listed,) = service(world).listed(mailbox.mailbox_id)
    assert listed.use is not None
    assert (listed.use.at, listed.use.door, listed.use.network) == (START, "imaps", "203.0.113.7")
    world.clock.move_to(START + timedelta(days=1))
    await login(world, "dvbe", added.password, door="submission", address="2001:db8::1")
    await world.access._uses.writing.settle()
    (listed,) = service(world).listed(mailbox.mailbox_id)
    assert listed.use is not None
    assert (listed.use.door, listed.use.network) == ("submission", "2001:db8::/64")


@pytest.mark.parametrize(
    ("fact", "name", "error"),
    [
        (None, "", BadInput),
        (None, "a\r\nb" * 30, BadInput),
        (None, " điện  THOẠI ", BadInput),
        (FALLS["7.1"][0], "x", NotAllowed),
        (FALLS["15.2"][0], "x", NotAllowed),
        (FALLS["6.2"][0], "x", NotAllowed),
    ],
)
async def test_what_gets_none(world: World, fact: Draft | None, name: str, error: type[MicMailError]) -> None:
    """A name that is none or there already, and a mailbox that may not be used now (Reg. 7.1, 7.3.c, 6.4.c)."""
    mailbox = world.add("dvbe")
    add(world, mailbox)
    if fact is not None:
        world.directory.append_fact(mailbox.mailbox_id, fact)
    with pytest.raises(error):
        add(world, mailbox, name)


async def test_a_password_that_was_changed_since_it_was_shown_gets_none(world: World) -> None:
    """Neither an app password nor a second factor: by such a lasting way in a thief would outlive the owner's change."""
    mailbox = world.add("dvbe")
    thief = await world.page.enter("dvbe", PASSWORD, peer(door="web"))
    assert isinstance(thief, SignedIn)
    shown, origin = thief.credential_version, ActContext(mailbox.address)
    OwnPassword(world.directory, world.config, world.clock).change(mailbox.mailbox_id, shown, "bảy con vịt xiêm bơi ngang")
    with pytest.raises(Superseded, match="just been changed"):
        service(world).add(mailbox.mailbox_id, "x", (), origin, confirmed_version=shown)
    factors, secret = SecondFactors(world.directory, world.config, world.clock), totp.make_secret()
    code = totp.code(secret, int(START.timestamp() // 30))
    with pytest.raises(Superseded, match="just been changed"):
        factors.enrol(mailbox.mailbox_id, shown, secret, code, origin)
    assert service(world).add(mailbox.mailbox_id, "x", (), origin, confirmed_version=shown + 1).name == "x"
    factors.enrol(mailbox.mailbox_id, shown + 1, secret, code, origin)


async def test_their_number_is_bounded(world: World) -> None:
    """`auth.app_passwords` at once; revoked ones make room, until too many were made in a day; 0 closes all."""
    mailbox = world.add("dvbe")
    config = world.config.model_copy(update={"auth": world.config.auth.model_copy(update={"app_passwords": 2})})
    apps = AppPasswords(world.directory, config, world.clock)
    for name in ("một", "hai"):
        added = apps.add(mailbox.mailbox_id, name, (), ActContext("x"))
    with pytest.raises(NotAllowed, match="at most 2"):
        apps.add(mailbox.mailbox_id, "ba", (), ActContext("x"))
    apps.revoke(mailbox.mailbox_id, [added.fact.seq], ActContext("x"))
    for number in range(18):
        again = apps.add(mailbox.mailbox_id, f"{number}", (), ActContext("x"))
        apps.revoke(mailbox.mailbox_id, [again.fact.seq], ActContext("x"))
    with pytest.raises(NotAllowed, match="Too many"):
        apps.add(mailbox.mailbox_id, "thêm", (), ActContext("x"))
    world.clock.move_to(START + timedelta(days=1, seconds=1))
    kept = apps.add(mailbox.mailbox_id, "mai", (), ActContext("x"))
    assert isinstance(await login(world, "dvbe", kept.password), SignedIn)
    closed = config.model_copy(update={"auth": config.auth.model_copy(update={"app_passwords": 0})})
    world.reload(closed)
    assert kind_of(await login(world, "dvbe", kept.password)) is RefusalKind.WRONG_CREDENTIALS


async def test_who_revoked_it_is_on_record(world: World) -> None:
    """When and by whom; revoked twice it ended once; an unknown number is refused and changes nothing."""
    mailbox = world.add("dvbe")
    first, second = add(world, mailbox), add(world, mailbox, "nữa")
    assert len(service(world).revoke(mailbox.mailbox_id, [first.fact.seq], ActContext("mai", "mất máy"))) == 1
    assert service(world).revoke(mailbox.mailbox_id, [first.fact.seq], ActContext("minh")) == []
    with pytest.raises(BadInput):
        service(world).revoke(mailbox.mailbox_id, [second.fact.seq, 99], ActContext("minh"))
    one, two = service(world).listed(mailbox.mailbox_id)
    assert one.app.ended_by is not None
    assert (one.app.ended_at, one.app.ended_by.actor, one.app.ended_by.reason) == (START, "mai", "mất máy")
    assert two.app.ended_at is None


async def test_after_a_fact_from_a_clock_that_was_ahead(world: World) -> None:
    """What is revoked ends at once, and what was made counts for one day only."""
    mailbox = world.add("dvbe")
    world.clock.move_to(START + timedelta(days=365))
    world.directory.append_fact(mailbox.mailbox_id, Draft(FactKind.QUOTA_SET, world.clock.now(), "x"))
    world.clock.move_to(START)
    for number in range(20):
        added = add(world, mailbox, f"{number}")
        service(world).revoke(mailbox.mailbox_id, [added.fact.seq], ActContext("mai"))
        assert living(world.directory.facts(mailbox.mailbox_id), START) == []
    assert kind_of(await login(world, "dvbe", added.password)) is RefusalKind.WRONG_CREDENTIALS
    world.clock.move_to(START + timedelta(days=1, seconds=1))
    assert isinstance(await login(world, "dvbe", add(world, mailbox).password), SignedIn)


async def test_a_mailbox_that_was_taken_over_without_scram_keys(world: World) -> None:
    """Reg. 5.5: its own password has none; app passwords are proved all the same, also beside a new own one that has some."""
    mailbox = world.add("dvbe")
    own = world.directory.entry(mailbox.mailbox_id).credential
    assert own is not None
    world.directory.set_credential(mailbox.mailbox_id, replace(own, scram=None))
    first, second = add(world, mailbox), add(world, mailbox, "nữa")
    await world.access.refresh()
    for added in (first, second):
        assert isinstance(await scram(world.access, "dvbe@mic.gov.vn", added.password), SignedIn)
    new = "bảy con vịt xiêm bơi ngang"
    OwnPassword(world.directory, world.config, world.clock).change(mailbox.mailbox_id, 2, new)
    await world.access.refresh()
    for password in (first.password, new):
        assert isinstance(await scram(world.access, "dvbe@mic.gov.vn", password), SignedIn)


async def test_keys_of_other_rounds_are_left_to_plain(world: World) -> None:
    """`auth.scram_iterations` was raised and the Centre set a password: what cannot be proved beside it is not tried."""
    mailbox = world.add("dvbe")
    added = add(world, mailbox)
    entry = world.directory.entry(mailbox.mailbox_id)
    assert entry.credential is not None
    assert entry.credential.scram is not None
    world.directory.set_credential(
        mailbox.mailbox_id, replace(entry.credential, scram=replace(entry.credential.scram, salt=b"x"))
    )
    await world.access.refresh()
    assert kind_of(await scram(world.access, "dvbe@mic.gov.vn", added.password)) is RefusalKind.WRONG_CREDENTIALS
    assert isinstance(await login(world, "dvbe", added.password), SignedIn)


async def test_with_a_second_factor_the_own_password_sends_nothing_more(world: World) -> None:
    """Also in a session that is open, between MAIL and the end of a message; one by an app password goes on."""
    mailbox = world.add("dvbe")
    added = add(world, mailbox)
    by_own, by_app = await login(world, "dvbe", door="submission"), await login(world, "dvbe", added.password)
    assert isinstance(by_own, SignedIn)
    assert isinstance(by_app, SignedIn)
    factors, secret = SecondFactors(world.directory, world.config, world.clock), totp.make_secret()
    code = totp.code(secret, int(START.timestamp() // 30))
    factors.enrol(mailbox.mailbox_id, 1, secret, code, ActContext("dvbe@mic.gov.vn"))
    await world.access.refresh()
    refusal = world.access.check_send(by_own, peer(door="submission"))
    assert refusal is not None
    assert refusal.kind is RefusalKind.NOT_HERE
    assert world.access.check_send(by_app, peer()) is None
    assert kind_of(world.access.recheck(by_own, peer())) is RefusalKind.NOT_HERE
    assert kind_of(await scram(world.access, "dvbe@mic.gov.vn", PASSWORD)) is RefusalKind.NOT_HERE
    for door in DOORS:
        assert kind_of(await login(world, "dvbe", door=door)) is RefusalKind.NOT_HERE
    loose = world.config.model_copy(update={"auth": world.config.auth.model_copy(update={"app_passwords_only": False})})
    world.reload(loose)
    assert isinstance(await login(world, "dvbe"), SignedIn)


def test_a_record_of_thousands_is_walked_once() -> None:
    """What a person adds and revokes for years, by one look at each; the newest lives and the others do not."""

    def record(size: int) -> list[Fact]:
        facts: list[Fact] = []
        for number in range(1, size + 1):
            data: dict[str, Detail] = {"name": "x"} if number % 2 else {NUMBER: number - 1}
            kind = FactKind.APP_PASSWORD_ADDED if number % 2 else FactKind.APP_PASSWORD_REVOKED
            at = START + timedelta(seconds=number)
            facts.append(Fact(1, number, kind, at, at, "x", "", None, data, b""))
        tomorrow = START + timedelta(days=1)
        return [*facts, replace(facts[0], seq=size + 1, effective_at=tomorrow, recorded_at=tomorrow)]

    def numbers(facts: list[Fact]) -> list[int]:
        return [app.number for app in living(facts, START + timedelta(days=2))]

    assert numbers(record(8_000)) == [8_001]
    assert_linear(record, numbers, (2_000, 8_000))
