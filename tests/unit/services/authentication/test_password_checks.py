"""Hashing of passwords: for whom, how often, what changes meanwhile, and how many wrong ones are taken."""

import asyncio
import threading
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from mic_mail.auth import password_hash
from mic_mail.auth.sasl import Challenge
from mic_mail.directory.snapshot import Entry
from mic_mail.policy.authorization.grounds import ActContext
from mic_mail.policy.facts import Draft, FactKind
from mic_mail.process.executors import Executors
from mic_mail.process.fair_queue import Suspicion
from mic_mail.services.authentication.identity import SignedIn
from mic_mail.services.authentication.refusals import Refusal, RefusalKind
from mic_mail.services.authentication.sasl_exchange import SaslExchange
from mic_mail.services.mailboxes.credentials import set_password
from unit.services.authentication.conftest import PASSWORD, START, World, peer
from unit.services.authentication.sign_in import SUSPENDED, kind_of, login, scram


async def known(world: World) -> None:
    """The newest directory is known, whoever was the first to look."""
    await world.access.refresh()
    assert world.access.snapshot.version == world.directory.version()


async def test_a_mailbox_that_came_while_its_password_was_hashed(world: World) -> None:
    """Somebody else has loaded the newer directory before the old one's answer is there: that answer is not given."""
    world.add("dvbe", password="cu ky lam roi")
    await world.access.refresh()
    waiting = threading.Event()
    busy = [asyncio.ensure_future(world.executors.hash(waiting.wait, "elsewhere")) for _ in range(2)]
    await asyncio.sleep(0)
    signing_in = asyncio.ensure_future(world.access.login("dvbe@mic.gov.vn", PASSWORD, peer()))
    await asyncio.sleep(0)
    mailbox = world.directory.load_snapshot().find("dvbe@mic.gov.vn")
    assert isinstance(mailbox, Entry)
    set_password(world.directory, world.config, mailbox, PASSWORD, at=START, origin=ActContext("test"), must_change=False)
    await known(world)
    waiting.set()
    assert isinstance(await signing_in, SignedIn)
    await asyncio.gather(*busy)


async def hashed_while(world: World, *facts: Draft, password: str | None = None) -> SignedIn | Refusal:
    """The answer to a right password that waits for its hash while these facts are recorded, and known here."""
    waiting = threading.Event()
    busy = [asyncio.ensure_future(world.executors.hash(waiting.wait, "elsewhere")) for _ in range(2)]
    await asyncio.sleep(0)
    signing_in = asyncio.ensure_future(login(world, "dvbe"))
    await asyncio.sleep(0)
    mailbox = world.directory.mailbox("dvbe@mic.gov.vn")
    world.directory.append_facts(mailbox.mailbox_id, facts)
    if password is not None:
        set_password(world.directory, world.config, mailbox, password, at=START, origin=ActContext("test"), must_change=False)
    await known(world)
    waiting.set()
    await asyncio.gather(*busy)
    return await signing_in


async def test_a_suspension_while_its_password_was_hashed(world: World) -> None:
    """Reg. 7.1: who waits in the queue of hashes when the mailbox is suspended does not get in by what was true before."""
    world.add("dvbe")
    await world.access.refresh()
    assert kind_of(await hashed_while(world, SUSPENDED)) is RefusalKind.SUSPENDED


async def test_a_change_of_the_password_that_is_hashed(world: World) -> None:
    """It was right when it was typed, and is worth nothing when it is found so."""
    world.add("dvbe")
    await world.access.refresh()
    assert kind_of(await hashed_while(world, password="ngựa pin kẹp ghim")) is RefusalKind.WRONG_CREDENTIALS


@pytest.fixture
def hashed(monkeypatch: pytest.MonkeyPatch) -> list[object]:
    """What went to be hashed; to be asked for before the world."""
    went: list[object] = []
    for way in ("hash", "hash_ahead"):
        original = getattr(Executors, way)

        async def counting(
            self: Executors, fn: Callable[[], bool], source: str, suspicion: Suspicion, original: Any = original
        ) -> Any:
            went.append(fn)
            return await original(self, fn, source, suspicion)

        monkeypatch.setattr(Executors, way, counting)
    return went


async def test_a_ghost_is_hashed_like_a_user(hashed: list[object], world: World) -> None:
    """A name that does not exist goes through the hash lane once, as a wrong password does."""
    world.add("dvbe")
    assert kind_of(await login(world, "ghost", "whatever")) is RefusalKind.WRONG_CREDENTIALS
    assert kind_of(await login(world, "dvbe", "whatever")) is RefusalKind.WRONG_CREDENTIALS
    assert len(hashed) == 2


async def test_costs_that_were_raised_tell_nobody_who_has_a_mailbox(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Passwords keep the costs with which they were made: a name that nobody has costs what those cost, and what new ones cost
    once everybody has a new one."""
    asked: list[str] = []
    original = password_hash.verify

    def verifying(encoded: str, password: str) -> bool:
        asked.append(encoded.split("$")[3])
        return original(encoded, password)

    monkeypatch.setattr(password_hash, "verify", verifying)
    mailbox = world.add("dvbe")
    auth = world.config.auth.model_copy(update={"argon2_memory": 9 << 20, "argon2_time": 2, "scram_iterations": 70_000})
    raised = world.config.model_copy(update={"auth": auth})
    world.reload(raised)

    async def cost_of(name: str) -> tuple[int, str]:
        assert kind_of(await login(world, name, f"wrong {len(asked)}")) is RefusalKind.WRONG_CREDENTIALS
        first = await SaslExchange(world.access, "SCRAM-SHA-256", peer()).step(f"n,,n={name}@mic.gov.vn,r=x".encode())
        assert isinstance(first, Challenge)
        return int(first.data.rpartition(b"i=")[2]), asked[-1]

    assert await cost_of("ghost") == await cost_of("dvbe") == (65_536, "m=8192,t=1,p=1")
    set_password(world.directory, raised, mailbox, "ngựa pin kẹp ghim", at=START, origin=ActContext("test"), must_change=False)
    assert await cost_of("ghost") == await cost_of("dvbe") == (70_000, "m=9216,t=2,p=1")


async def test_a_verified_password_is_not_hashed_again(hashed: list[object], world: World) -> None:
    """Five connections at once and the phone's next visits cost one hash; a changed password is checked anew."""
    mailbox = world.add("dvbe")
    await world.access.refresh()
    answers = await asyncio.gather(*(login(world, "dvbe") for _ in range(5)))
    assert all(isinstance(answer, SignedIn) for answer in answers)
    assert isinstance(await login(world, "dvbe"), SignedIn)
    world.reload(world.config)
    assert isinstance(await login(world, "dvbe"), SignedIn)
    assert len(hashed) == 1, "a certificate that is renewed makes nobody wait"
    world.reload(world.config.model_copy(update={"auth": world.config.auth.model_copy(update={"cache_seconds": 60.0})}))
    assert isinstance(await login(world, "dvbe"), SignedIn)
    assert len(hashed) == 2, "it shall be known for less long"
    set_password(
        world.directory, world.config, mailbox, "ngựa pin kẹp ghim", at=START, origin=ActContext("test"), must_change=False
    )
    assert kind_of(await login(world, "dvbe")) is RefusalKind.WRONG_CREDENTIALS
    assert isinstance(await login(world, "dvbe", "ngựa pin kẹp ghim"), SignedIn)


async def test_a_password_set_a_moment_ago_is_not_refused(world: World) -> None:
    """The snapshot is seconds old, the refusal is not: what was set or lifted just now counts."""
    mailbox = world.add("dvbe", SUSPENDED)
    await world.access.refresh()
    assert kind_of(await world.access.login("dvbe", PASSWORD, peer())) is RefusalKind.SUSPENDED
    world.directory.append_fact(mailbox.mailbox_id, Draft(FactKind.RESTORED, START, "test"))
    set_password(
        world.directory, world.config, mailbox, "ngựa pin kẹp ghim", at=START, origin=ActContext("test"), must_change=False
    )
    assert isinstance(await world.access.login("dvbe", "ngựa pin kẹp ghim", peer()), SignedIn)


async def test_too_many_wrong_passwords_wait(world: World) -> None:
    """After the limit even the right password waits there; elsewhere and later it does not."""
    world.add("dvbe")
    for n in range(world.config.auth.failures_per_mailbox):
        assert kind_of(await login(world, "dvbe", f"guess {n}")) is RefusalKind.WRONG_CREDENTIALS
    assert kind_of(await login(world, "dvbe")) is RefusalKind.TOO_MANY
    assert kind_of(await scram(world.access, "dvbe@mic.gov.vn", PASSWORD)) is RefusalKind.TOO_MANY
    assert isinstance(await login(world, "dvbe", address="198.51.100.1"), SignedIn)
    world.clock.move_to(START + timedelta(seconds=world.config.auth.failure_window + 1))
    assert isinstance(await login(world, "dvbe"), SignedIn)


async def test_many_connections_at_once_get_no_more_tries(world: World) -> None:
    """Guesses that arrive together are counted together."""
    world.add("dvbe")
    await world.access.refresh()
    answers = await asyncio.gather(*(world.access.login("dvbe", f"guess {n}", peer()) for n in range(40)))
    tried = [a for a in answers if kind_of(a) is RefusalKind.WRONG_CREDENTIALS]
    assert len(tried) == world.config.auth.failures_per_mailbox


async def test_an_office_signs_in_by_all_ways_at_once(world: World) -> None:
    """A few more than a network may have wrong, of which some prove their password: none is sent away, and a reload in the
    middle changes nothing for those who come with the same password once more."""
    auth = world.config.auth.model_copy(update={"failures_per_network": 3})
    config = world.config.model_copy(update={"auth": auth})
    names = [f"m{number}" for number in range(9)]
    for name in names:
        world.add(name)
    await world.access.refresh()
    world.reload(config)
    tasks = [asyncio.create_task(world.access.login(name, PASSWORD, peer())) for name in names[:7]]
    tasks += [asyncio.create_task(scram(world.access, f"{name}@mic.gov.vn", PASSWORD)) for name in names[7:]]
    await asyncio.sleep(0)
    held = world.access.verifier
    world.reload(config)
    assert world.access.verifier is held, "who checks codes at the page goes by the same"
    again = [asyncio.create_task(world.access.login(name, PASSWORD, peer())) for name in names[:7]]
    assert all(isinstance(answer, SignedIn) for answer in await asyncio.gather(*tasks, *again))


async def test_scram_guesses_count(world: World) -> None:
    """Wrong proofs run into the same limit as wrong passwords."""
    world.add("dvbe")
    await world.access.refresh()
    kinds = [kind_of(await scram(world.access, "dvbe@mic.gov.vn", f"guess {n}")) for n in range(12)]
    assert kinds[9:11] == [RefusalKind.WRONG_CREDENTIALS, RefusalKind.TOO_MANY]
