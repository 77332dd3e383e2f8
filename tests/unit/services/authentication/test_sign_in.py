"""Who gets in, through which door, and what the others are told."""

import asyncio
import base64
import hashlib
import hmac
import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from mic_mail.auth import password_hash
from mic_mail.auth.sasl import Challenge
from mic_mail.clock import HO_CHI_MINH
from mic_mail.config.listeners import Listen
from mic_mail.directory.snapshot import Entry
from mic_mail.policy.facts import Draft, FactKind
from mic_mail.process.executors import Executors
from mic_mail.process.fair_queue import Suspicion
from mic_mail.services.authentication.identity import SignedIn
from mic_mail.services.authentication.refusals import Refusal, RefusalKind
from mic_mail.services.authentication.sasl_exchange import SaslExchange
from mic_mail.services.authentication.sign_in import SignInService
from mic_mail.services.mailboxes.credentials import ActContext, set_password
from unit.services.authentication.conftest import PASSWORD, START, World, peer

SUSPENDED = Draft(FactKind.SUSPENDED, START - timedelta(hours=1), "test", "virus", data={"cause": "c"})
LEFT = Draft(FactKind.LEFT, datetime(2026, 11, 20, tzinfo=HO_CHI_MINH), "test", document="12/QĐ", data={"level": "division"})
RESET = Draft(FactKind.PASSWORD_RESET, START - timedelta(hours=1), "test", document="5/CV")
RECLAIMED = Draft(FactKind.RECLAIMED, START - timedelta(hours=1), "test", document="7/CV")


async def login(world: World, local: str, password: str = PASSWORD, **where: object) -> SignedIn | Refusal:
    await world.access.refresh()
    return await world.access.login(f"{local}@mic.gov.vn", password, peer(**where))  # type: ignore[arg-type]


def kind_of(answer: SignedIn | Refusal | Challenge | None) -> RefusalKind:
    assert isinstance(answer, Refusal), answer
    return answer.kind


async def test_the_right_password_lets_in(world: World) -> None:
    """An active mailbox signs in, is told which account is its own, and the log says so."""
    mailbox = world.add("dvbe")
    answer = await login(world, "dvbe")
    assert isinstance(answer, SignedIn)
    assert (answer.mailbox_id, answer.account.home) == (mailbox.mailbox_id, "mic.gov.vn/dvbe")
    assert answer.decision.sends
    assert [name for name, _ in world.log.lines] == ["signed_in"]


@pytest.mark.parametrize("user", ["DVBE@MIC.GOV.VN", "dvbe", " dvbe@mic.gov.vn "])
async def test_spellings_of_a_name(world: World, user: str) -> None:
    """Capitals, blanks around and a missing domain are what people type; they mean the same mailbox."""
    world.add("dvbe")
    await world.access.refresh()
    assert isinstance(await world.access.login(user, PASSWORD, peer()), SignedIn)


@pytest.mark.parametrize(
    ("fact", "kind", "clause"),
    [
        (SUSPENDED, RefusalKind.SUSPENDED, "7.2.c"),
        (RESET, RefusalKind.PASSWORD_DUE, "15.2"),
        (RECLAIMED, RefusalKind.RECLAIMED, "6.2"),
    ],
)
async def test_a_state_is_told_only_after_the_right_password(world: World, fact: Draft, kind: RefusalKind, clause: str) -> None:
    """Who knows the password learns the state, the clause and where to turn; who does not learns nothing."""
    world.add("pqkhanh", fact)
    stranger, owner = await login(world, "pqkhanh", "wrong password"), await login(world, "pqkhanh")
    assert kind_of(stranger) is RefusalKind.WRONG_CREDENTIALS
    assert isinstance(stranger, Refusal)
    assert isinstance(owner, Refusal)
    assert (owner.kind, owner.clause, stranger.clause) == (kind, clause, None)
    for text in (owner.text.vi, owner.text.en):
        assert owner.ref in text
        assert "support@mic.gov.vn" in text
    assert f"Reg. {clause}" in owner.text.en
    assert "Quy chế" in owner.text.vi


async def test_a_due_password_names_no_page_that_is_not_there(world: World) -> None:
    """Where the https door is closed the refusal sends people to the Centre, not to a link that nobody answers."""
    world.reload(world.config.model_copy(update={"listen": Listen(doors=("imaps",))}))
    world.add("lthoa", RESET)
    answer = await login(world, "lthoa")
    assert isinstance(answer, Refusal)
    assert "https://" not in answer.text.vi + answer.text.en
    assert answer.text.vi.startswith("Phải đổi mật khẩu tại Trung tâm Thông tin trước khi sử dụng hộp thư")


@pytest.mark.parametrize(
    ("listen", "page"),
    [
        (Listen(), "https://mail.mic.gov.vn/"),
        (Listen(https=2443), "https://mail.mic.gov.vn:2443/"),
    ],
)
async def test_a_due_password_is_changed_at_the_servers_own_page(world: World, listen: Listen, page: str) -> None:
    """Unless another one is named: the refusal points there, with its port where that is not the usual one (Reg. 7.3.c)."""
    world.reload(world.config.model_copy(update={"listen": listen}))
    world.add("lthoa", RESET)
    answer = await login(world, "lthoa")
    assert isinstance(answer, Refusal)
    assert f" {page} " in answer.text.vi
    assert f" {page} " in answer.text.en


async def test_every_refusal_is_in_the_log_under_its_reference(world: World) -> None:
    """The reference that a person reads out finds the line, which has no password in it."""
    world.add("pqkhanh", SUSPENDED)
    answer = await login(world, "pqkhanh")
    assert isinstance(answer, Refusal)
    name, fields = world.log.lines[-1]
    assert (name, fields["ref"], fields["reason"], fields["mailbox"]) == (
        "sign_in_refused",
        answer.ref,
        "suspended",
        "pqkhanh@mic.gov.vn",
    )
    await login(world, "matkhau123", "x")
    assert "matkhau123" not in repr(world.log.lines), "a password typed into the name field stays out of the log"
    assert PASSWORD not in repr(world.log.lines)


async def test_a_send_locked_mailbox_reads_and_does_not_send(world: World) -> None:
    """Reg. 6.4.c: a leaver signs in, and sending is refused with the clause and the last day of reading."""
    world.add("nvhung", LEFT)
    answer = await login(world, "nvhung", door="submission")
    assert isinstance(answer, SignedIn)
    assert not answer.decision.sends
    refusal = world.access.check_send(answer, peer(door="submission"))
    assert kind_of(refusal) is RefusalKind.SEND_LOCKED
    assert refusal is not None
    assert "20/05/2027" in refusal.text.vi
    assert "Reg. 6.4.c" in refusal.text.en


async def test_without_tls_nobody_signs_in(world: World) -> None:
    """No mechanism is offered in the open, and a client that tries all the same is told to encrypt."""
    world.add("dvbe")
    open_peer = peer(tls=False)
    await world.access.refresh()
    assert world.access.mechanisms(open_peer) == ()
    assert kind_of(await login(world, "dvbe", tls=False)) is RefusalKind.TLS_REQUIRED
    answer = await SaslExchange(world.access, "PLAIN", open_peer).step(f"\0dvbe@mic.gov.vn\0{PASSWORD}".encode())
    assert kind_of(answer) is RefusalKind.TLS_REQUIRED  # type: ignore[arg-type]


async def test_plain_and_unknown_mechanisms(world: World) -> None:
    """PLAIN signs in through a dialog; a mechanism that is not offered is refused."""
    world.add("dvbe")
    await world.access.refresh()
    response = f"\0dvbe@mic.gov.vn\0{PASSWORD}".encode()
    assert isinstance(await SaslExchange(world.access, "plain", peer()).step(response), SignedIn)
    assert kind_of(await SaslExchange(world.access, "CRAM-MD5", peer()).step(None)) is RefusalKind.BAD_MECHANISM  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("mechanism", "response"),
    [("PLAIN", b"u\0p"), ("PLAIN", b""), ("LOGIN", b""), ("SCRAM-SHA-256", b"nonsense"), ("PLAIN", b"\0" * 12_289)],
)
async def test_what_makes_no_sense_is_no_unknown_mechanism(world: World, mechanism: str, response: bytes) -> None:
    """A client that speaks a mechanism wrongly is told so, and not that the mechanism is missing."""
    assert kind_of(await SaslExchange(world.access, mechanism, peer()).step(response)) is RefusalKind.MALFORMED  # type: ignore[arg-type]


async def test_channel_binding_can_be_withdrawn(world: World) -> None:
    """-PLUS is offered over TLS unless the administrator withdraws it."""
    assert world.access.mechanisms(peer())[0] == "SCRAM-SHA-256-PLUS"
    auth = world.config.auth.model_copy(update={"channel_binding": False})
    world.reload(world.config.model_copy(update={"auth": auth}))
    assert world.access.mechanisms(peer())[0] == "SCRAM-SHA-256"
    answer = await SaslExchange(world.access, "SCRAM-SHA-256", peer()).step(b"y,,n=dvbe,r=abc")
    assert isinstance(answer, Challenge), "no downgrade"


async def test_a_foreign_binding_is_no_question_of_syntax(world: World) -> None:
    """Who binds in a way that we have not is told so, and what else works."""
    foreign = await SaslExchange(world.access, "SCRAM-SHA-256-PLUS", peer()).step(b"p=tls-exporter,,n=dvbe,r=abc")
    assert isinstance(foreign, Refusal)
    assert kind_of(foreign) is RefusalKind.WRONG_CREDENTIALS
    assert "set its authentication method to PLAIN" in foreign.text.en


async def test_nobody_acts_as_another(world: World) -> None:
    """Reg. 4.3, 15.2: an authorization identity other than one's own is refused as wrong."""
    world.add("dvbe")
    world.add("ttlan")
    await world.access.refresh()
    response = f"ttlan@mic.gov.vn\0dvbe@mic.gov.vn\0{PASSWORD}".encode()
    assert kind_of(await SaslExchange(world.access, "PLAIN", peer()).step(response)) is RefusalKind.WRONG_CREDENTIALS  # type: ignore[arg-type]


async def scram(access: SignInService, user: str, password: str) -> SignedIn | Refusal:
    """A SCRAM-SHA-256 client."""
    dialog = SaslExchange(access, "SCRAM-SHA-256", peer())
    bare = f"n={user},r=clientnonce"
    first = await dialog.step(f"n,,{bare}".encode())
    if not isinstance(first, Challenge):
        return first
    fields = dict(part.split("=", 1) for part in first.data.decode().split(","))
    salted = hashlib.pbkdf2_hmac("sha256", password.encode(), base64.b64decode(fields["s"]), int(fields["i"]))
    key = hmac.digest(salted, b"Client Key", "sha256")
    final = f"c=biws,r={fields['r']}"
    message = f"{bare},{first.data.decode()},{final}".encode()
    signature = hmac.digest(hashlib.sha256(key).digest(), message, "sha256")
    proof = base64.b64encode(bytes(a ^ b for a, b in zip(key, signature, strict=True))).decode()
    second = await dialog.step(f"{final},p={proof}".encode())
    if not isinstance(second, Challenge):
        return second
    last = await dialog.step(b"")
    assert not isinstance(last, Challenge)
    return last


async def test_scram_through_the_use_case(world: World) -> None:
    """SCRAM signs in, tells a state, and answers a ghost as it answers a wrong password."""
    world.add("dvbe")
    world.add("pqkhanh", SUSPENDED)
    await world.access.refresh()
    assert isinstance(await scram(world.access, "dvbe@mic.gov.vn", PASSWORD), SignedIn)
    assert kind_of(await scram(world.access, "pqkhanh@mic.gov.vn", PASSWORD)) is RefusalKind.SUSPENDED
    assert kind_of(await scram(world.access, "dvbe@mic.gov.vn", "wrong")) is RefusalKind.WRONG_CREDENTIALS
    assert kind_of(await scram(world.access, "ghost@mic.gov.vn", "wrong")) is RefusalKind.WRONG_CREDENTIALS


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

    async def told(name: str) -> tuple[int, str]:
        assert kind_of(await login(world, name, f"wrong {len(asked)}")) is RefusalKind.WRONG_CREDENTIALS
        first = await SaslExchange(world.access, "SCRAM-SHA-256", peer()).step(f"n,,n={name}@mic.gov.vn,r=x".encode())
        assert isinstance(first, Challenge)
        return int(first.data.rpartition(b"i=")[2]), asked[-1]

    assert await told("ghost") == await told("dvbe") == (65_536, "m=8192,t=1,p=1")
    set_password(world.directory, raised, mailbox, "ngựa pin kẹp ghim", at=START, origin=ActContext("test"), must_change=False)
    assert await told("ghost") == await told("dvbe") == (70_000, "m=9216,t=2,p=1")


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


async def test_use_is_told_once_a_day(world: World) -> None:
    """Reg. 7.2.a: signing in counts as use; the directory hears of it once on each day of Ho Chi Minh City."""
    mailbox = world.add("dvbe")
    await world.access.refresh()
    for _ in range(3):
        await login(world, "dvbe")
    await world.access._uses.writing.settle()
    before = world.directory.version()
    await login(world, "dvbe")
    assert world.directory.version() == before
    await world.access.refresh()
    entry = world.access.snapshot.entry(mailbox.mailbox_id)
    assert entry is not None
    assert entry.last_activity == START
    world.clock.move_to(datetime(2026, 11, 24, 17, 0, tzinfo=UTC))  # midnight in Ha Noi
    await login(world, "dvbe")
    await world.access._uses.writing.settle()
    assert world.directory.version() > before


async def test_a_database_that_does_not_answer_stops_no_sign_in(world: World) -> None:
    """The snapshot answers while the directory is away."""
    world.add("dvbe")
    await world.access.refresh()
    world.directory.close()
    (world.config.directory_dir / "directory.sqlite").rename(world.config.server.data_dir / "away")
    (world.config.directory_dir / "directory.sqlite").mkdir()
    assert isinstance(await world.access.login("dvbe", PASSWORD, peer()), SignedIn)
    assert kind_of(await world.access.login("dvbe", "wrong", peer())) is RefusalKind.WRONG_CREDENTIALS
    await world.access._uses.writing.settle()
