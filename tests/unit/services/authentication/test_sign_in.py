"""Who gets in, through which door, and what the others are told."""

from datetime import UTC, datetime

import pytest

from mic_mail.auth.sasl import Challenge
from mic_mail.config.listeners import Listen
from mic_mail.policy.facts import Draft
from mic_mail.services.authentication.identity import SignedIn
from mic_mail.services.authentication.refusals import Refusal, RefusalKind
from mic_mail.services.authentication.sasl_exchange import SaslExchange
from unit.services.authentication.conftest import PASSWORD, START, World, peer
from unit.services.authentication.sign_in import LEFT, RECLAIMED, RESET, SUSPENDED, kind_of, login, scram


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


async def test_scram_through_the_use_case(world: World) -> None:
    """SCRAM signs in, tells a state, and answers a ghost as it answers a wrong password."""
    world.add("dvbe")
    world.add("pqkhanh", SUSPENDED)
    await world.access.refresh()
    assert isinstance(await scram(world.access, "dvbe@mic.gov.vn", PASSWORD), SignedIn)
    assert kind_of(await scram(world.access, "pqkhanh@mic.gov.vn", PASSWORD)) is RefusalKind.SUSPENDED
    assert kind_of(await scram(world.access, "dvbe@mic.gov.vn", "wrong")) is RefusalKind.WRONG_CREDENTIALS
    assert kind_of(await scram(world.access, "ghost@mic.gov.vn", "wrong")) is RefusalKind.WRONG_CREDENTIALS


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
