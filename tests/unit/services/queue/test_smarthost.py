"""All mail by one server: TLS and sign-in with real certificates, and what becomes of the mail when either fails."""

import asyncio
import base64
from collections.abc import AsyncGenerator, Callable
from pathlib import Path
from typing import Any

import pytest

from certificate_authority import Authority
from mic_mail.queue.recipient_log import Standing
from unit.services.queue.office import STUFFED
from unit.services.queue.relay import NAME, PASSWORD, Relay, events, relaying


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path / "ca")


@pytest.mark.parametrize("mechanisms", ["SCRAM-SHA-256 PLAIN LOGIN", "LOGIN PLAIN", "LOGIN"])
@pytest.mark.parametrize("implicit", [False, True], ids=["STARTTLS", "implicit"])
async def test_all_mail_goes_there(tmp_path: Path, authority: Authority, mechanisms: str, implicit: bool) -> None:
    """Recipients in three domains are one transaction; the next message has the same connection, and no sign-in more."""
    relay = Relay(context=authority.context(NAME), mechanisms=mechanisms, implicit=implicit)
    async with relaying(tmp_path, relay, authority, is_implicit=implicit) as office:
        office.put("A", "b@one.example", "c@two.example", "d@three.example")
        async with office.sending() as senders:
            await office.until()
            office.put("B", "b@four.example")
            await senders.poll()
            await office.until()
    assert relay.messages == [STUFFED] * 2
    assert [line.split()[0] for line in relay.lines].count(b"MAIL") == 2
    assert relay.signed_in == ["ours"]
    assert relay.lines[-1] == b"QUIT"
    sent = events(office, "message_sent")
    assert len(sent) == 4
    assert sent[0]["secured_by"] == "name"
    assert sent[0]["tls"].startswith("TLSv1.3 TLS_")
    assert sent[0]["server"] == NAME
    assert not any(name for name, _, _ in office.names.asked if "one.example" in name), "nobody asked for its exchangers"


@pytest.mark.parametrize("refusal", [b"535 5.7.8 no\r\n", b"454 4.7.0 later\r\n", b"421 4.7.0 bye\r\n", b"500 what\r\n"])
@pytest.mark.parametrize("mechanisms", ["SCRAM-SHA-256", "PLAIN", "LOGIN"])
async def test_credentials_that_are_refused(tmp_path: Path, authority: Authority, refusal: bytes, mechanisms: str) -> None:
    """The mail waits, an event says why; nothing holds the password. With the right one it leaves."""
    relay = Relay(context=authority.context(NAME), password="other", mechanisms=mechanisms, refusal=refusal)
    async with relaying(tmp_path, relay, authority) as office:
        office.put("A", "b@one.example")
        async with office.sending() as senders:
            await office.tried("A")
            entry = office.queue.read("A")
            assert entry is not None
            assert [each.standing for each in entry.state.recipients] == [Standing.OPEN]
            assert entry.state.recipients[0].reason.startswith("4.7.8")
            assert (relay.messages, office.told) == ([], [])
            relay.password = PASSWORD
            entry.retry()
            await senders.apply_decisions("A")
            await office.until()
    assert relay.messages == [STUFFED]
    (failed,) = events(office, "smarthost_sign_in_failed")
    assert failed["login"] == "ours"
    said = b"".join(path.read_bytes() for path in (tmp_path / "log").rglob("*") if path.is_file())
    assert PASSWORD.encode() not in said
    assert base64.b64encode(PASSWORD.encode()) not in said


@pytest.mark.parametrize("part", [slice(None), slice(0, 24), slice(8, None)], ids=["whole", "beginning", "end"])
@pytest.mark.parametrize("mechanism", ["PLAIN", "LOGIN", "SCRAM-SHA-256"])
async def test_a_smarthost_that_says_back_what_it_was_told(
    tmp_path: Path, authority: Authority, mechanism: str, part: slice
) -> None:
    """Some quote the line that they refuse, or some of it: neither the log, nor the queue, nor the sender may read it."""
    said: list[bytes] = []

    class Echoing(Relay):
        async def exchange(self, line: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bytes:
            said.append(line.split()[-1])
            challenge = {"SCRAM-SHA-256": None}.get(mechanism, b"VXNlcm5hbWU6")
            while mechanism == "LOGIN" and len(said) < 3:
                writer.write(b"334 %b\r\n" % challenge)
                said.append((await reader.readline()).strip())
            return b"535 5.7.8 not so: '%b' (%b)\r\n" % (said[-1][part], PASSWORD.encode())

    relay = Echoing(context=authority.context(NAME), mechanisms=mechanism)
    async with relaying(tmp_path, relay, authority) as office:
        office.put("A", "b@one.example")
        async with office.sending():
            await office.tried("A")
    (failed,) = events(office, "smarthost_sign_in_failed")
    assert failed["error"] == "535 5.7.8 not so: '...' (...)"
    kept = b"".join(path.read_bytes() for path in tmp_path.rglob("*") if path.is_file() and path.name != "password")
    assert said[-1][part] not in kept


@pytest.mark.parametrize("before", [b"", b"235 2.7.0 OK\r\n"], ids=["at once", "after its consent"])
@pytest.mark.parametrize("mechanism", ["PLAIN", "LOGIN"])
async def test_a_smarthost_that_says_it_back_in_no_reply(
    tmp_path: Path, authority: Authority, mechanism: str, before: bytes
) -> None:
    """What is no reply is quoted for others, so that somebody sees what they speak: not after a password."""
    said: list[bytes] = []

    class Echoing(Relay):
        async def exchange(self, line: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bytes:
            said.append(line)
            while mechanism == "LOGIN" and len(said) < 3:
                writer.write(b"334 VXNlcm5hbWU6\r\n")
                said.append(await reader.readline())
            return b"%bunknown: %b" % (before, said[-1])

    relay = Echoing(context=authority.context(NAME), mechanisms=mechanism)
    async with relaying(tmp_path, relay, authority) as office:
        office.put("A", "b@one.example")
        async with office.sending():
            await office.tried("A")
        entry = office.queue.read("A")
        assert entry is not None
        assert "not an SMTP reply" in entry.state.recipients[0].reason
    kept = b"".join(path.read_bytes() for path in tmp_path.rglob("*") if path.is_file() and path.name != "password")
    assert b"not an SMTP reply" in kept
    assert said[-1].split()[-1] not in kept


async def test_a_long_password(tmp_path: Path, authority: Authority) -> None:
    """A line with it would be longer than 512 octets: it follows when it is asked for (RFC 4954 §4)."""
    relay = Relay(context=authority.context(NAME), mechanisms="PLAIN", password="x" * 500)
    async with relaying(tmp_path, relay, authority) as office:
        (tmp_path / "password").write_text("x" * 500)
        office.put("A", "b@one.example")
        async with office.sending():
            await office.until()
    assert relay.messages == [STUFFED]
    assert relay.signed_in == ["ours"]
    assert relay.longest_auth <= 512


async def test_a_challenge_that_is_none(tmp_path: Path, authority: Authority) -> None:
    """RFC 4954 §4: who cannot decode it gives the exchange up with `*`."""
    said: list[bytes] = []

    class Talking(Relay):
        async def exchange(self, line: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bytes:
            writer.write(b"334 ???\r\n")
            said.append(await reader.readline())
            return b"501 5.0.0 given up\r\n"

    relay = Talking(context=authority.context(NAME), mechanisms="SCRAM-SHA-256")
    async with relaying(tmp_path, relay, authority) as office:
        office.put("A", "b@one.example")
        async with office.sending():
            await office.tried("A")
    assert said == [b"*\r\n"]


UNSIGNED: dict[str, Callable[[Authority, Path], Relay]] = {
    "no STARTTLS": lambda authority, folder: Relay(),
    "STARTTLS refused": lambda authority, folder: Relay(
        context=authority.context(NAME), answers={b"STARTTLS": b"454 4.7.0 not now\r\n"}
    ),
    "STARTTLS in vain": lambda authority, folder: Relay(context=authority.context(NAME), answers={b"STARTTLS": b""}),
    "ended": lambda authority, folder: Relay(context=authority.context(NAME, days=-1)),
    "another name": lambda authority, folder: Relay(context=authority.context("other.example")),
    "common name alone": lambda authority, folder: Relay(context=authority.context(common_name=NAME)),
    "another authority": lambda authority, folder: Relay(context=Authority(folder / "other", "Other").context(NAME)),
    "no way to sign in": lambda authority, folder: Relay(context=authority.context(NAME), mechanisms="XOAUTH2"),
    "AUTH hangs up": lambda authority, folder: Relay(context=authority.context(NAME), answers={b"AUTH": b""}),
}


@pytest.mark.parametrize("way", UNSIGNED)
async def test_no_password_without_tls_to_that_name(tmp_path: Path, authority: Authority, way: str) -> None:
    """Each way in which TLS or the sign-in is not to be had: nothing is said of password or mail, and the mail waits."""
    relay = UNSIGNED[way](authority, tmp_path)
    async with relaying(tmp_path, relay, authority) as office:
        office.put("A", "b@one.example")
        async with office.sending():
            await office.tried("A")
    entry = office.queue.read("A")
    assert entry is not None
    assert [each.standing for each in entry.state.recipients] == [Standing.OPEN]
    assert entry.state.recipients[0].reason[:5] in ("4.7.5", "4.7.8")
    assert not [line for line in relay.lines if line.startswith((b"MAIL", b"AUTH P", b"AUTH L"))]
    assert relay.signed_in == []
    assert office.told == []


async def test_a_smarthost_that_does_not_know_the_password(tmp_path: Path, authority: Authority) -> None:
    """Somebody in its place says 235 to anything: SCRAM tells, and no mail goes there."""
    relay = Relay(context=authority.context(NAME), answers={b"AUTH": b"235 2.7.0 of course\r\n"})
    async with relaying(tmp_path, relay, authority) as office:
        office.put("A", "b@one.example")
        async with office.sending():
            await office.tried("A")
    assert relay.messages == []


@pytest.mark.parametrize("at", [b"MAIL", b"RCPT"])
async def test_a_smarthost_that_wants_a_sign_in(tmp_path: Path, authority: Authority, at: bytes) -> None:
    """530 is said of us and not of the message: it waits, and nobody insists over the connection that was kept."""
    relay = Relay(context=authority.context(NAME), answers={at: b"530 5.7.0 Authentication required\r\n"})
    async with relaying(tmp_path, relay, authority, login="", password_file=None) as office, office.sending() as senders:
        for entry_id in ("A", "B"):
            office.put(entry_id, "b@one.example")
            await senders.poll()
            await office.tried(entry_id)
    assert len([line for line in relay.lines if line.startswith(at)]) == 2
    entry = office.queue.read("A")
    assert entry is not None
    assert entry.state.recipients[0].reason.startswith("4.7.8")
    assert office.told == []


async def test_signed_in_on_each_connection(tmp_path: Path, authority: Authority) -> None:
    """Where it has hung up meanwhile, too; with the password that the file has then."""
    relay = Relay(context=authority.context(NAME))
    async with relaying(tmp_path, relay, authority) as office, office.sending() as senders:
        office.put("A", "b@one.example")
        await senders.poll()
        await office.until()
        relay.hang_up_at, relay.password = b"MAIL", "new"
        (tmp_path / "password").write_text("new\n")
        office.put("B", "b@one.example")
        await senders.poll()
        await office.until()
    assert relay.messages == [STUFFED] * 2
    assert relay.signed_in == ["ours"] * 2


async def test_no_greeting_is_waited_for_where_tls_comes_first(tmp_path: Path, authority: Authority) -> None:
    """`offered` at a port with TLS from the first octet: nothing is said in the open where that fails."""
    relay = Relay()
    how: dict[str, Any] = {"login": "", "password_file": None, "needs_tls": False, "is_implicit": True}
    async with relaying(tmp_path, relay, authority, **how) as office:
        office.put("A", "b@one.example")
        async with office.sending():
            await office.tried("A")
    entry = office.queue.read("A")
    assert entry is not None
    assert entry.state.recipients[0].reason.startswith("4.7.5")
    assert (relay.messages, relay.connections) == ([], 1)


async def test_what_it_says_of_a_message_counts(tmp_path: Path, authority: Authority) -> None:
    """Its refusals of recipients are theirs; a limit on recipients makes two transactions, at once."""
    relay = Relay(context=authority.context(NAME), answers={b"RCPT TO:<bad": b"550 5.1.1 who\r\n"})
    async with relaying(tmp_path, relay, authority) as office:
        office.put("A", "b@one.example", "bad@two.example")
        async with office.sending():
            await office.until()
    (told,) = office.told
    assert told.ended == (1,)
    assert relay.messages == [STUFFED]


async def test_more_recipients_than_one_transaction_takes(tmp_path: Path, authority: Authority) -> None:
    """RFC 5321 §4.5.3.1.10: the rest has another one, over the same connection and not five minutes later."""
    relay = Relay(context=authority.context(NAME))
    usual, taken = relay.answer, [0]

    def answer(line: bytes) -> bytes:
        taken[0] = 0 if line.startswith(b"MAIL") else taken[0] + line.startswith(b"RCPT")
        return b"452 4.5.3 too many\r\n" if line.startswith(b"RCPT") and taken[0] > 3 else usual(line)

    relay.answer = answer  # type: ignore[method-assign]
    async with relaying(tmp_path, relay, authority) as office:
        office.put("A", *(f"u{number}@d{number}.example" for number in range(8)))
        async with office.sending():
            await office.until()
    assert relay.messages == [STUFFED] * 3
    assert relay.connections == 1
    assert len(events(office, "message_sent")) == 8


async def test_what_has_to_be_protected(tmp_path: Path, authority: Authority) -> None:
    """RFC 8689: the configuration names the server, so its certificate is enough, if it passes the demand on."""
    for number, more in enumerate((b"250-REQUIRETLS\r\n", b"")):
        relay = Relay(context=authority.context(NAME), more=more)
        folder = tmp_path / str(number)
        folder.mkdir()
        how: dict[str, Any] = {"login": "", "password_file": None, "needs_tls": False}
        async with relaying(folder, relay, authority, **how) as office:
            office.put("A", "b@one.example", requires_tls=True)
            async with office.sending():
                await office.until()
        assert relay.messages == [STUFFED] * bool(more)
        assert [told.entry.state.recipients[0].reason[:6] for told in office.told] == ([] if more else ["5.7.30"])


async def test_without_a_name_in_the_dns(tmp_path: Path, authority: Authority) -> None:
    """A slip in the configuration sends no mail back."""
    async with relaying(tmp_path, None, authority, name="gone.example") as office:
        office.put("A", "b@one.example")
        async with office.sending():
            await office.tried("A")
    assert office.queue.names() == ["A"]
    assert office.told == []


async def test_tls_as_it_is_offered(tmp_path: Path, authority: Authority) -> None:
    """Where the configuration asks for no more, and nobody signs in."""
    for number, context in enumerate((None, authority.context("other.example"))):
        relay = Relay(context=context)
        folder = tmp_path / str(number)
        folder.mkdir()
        async with relaying(folder, relay, authority, login="", password_file=None, needs_tls=False) as office:
            office.put("A", "b@one.example")
            async with office.sending():
                await office.until()
        assert relay.messages == [STUFFED]
        assert events(office, "message_sent")[0]["secured_by"] == ("none" if context is None else "opportunistic")


async def test_a_file_that_is_not_there(tmp_path: Path, authority: Authority) -> None:
    """The mail waits, and the log says what is missing."""
    relay = Relay(context=authority.context(NAME))
    async with relaying(tmp_path, relay, authority, password_file=tmp_path / "gone") as office:
        office.put("A", "b@one.example")
        async with office.sending():
            await office.tried("A")
    assert relay.messages == []
    (missing,) = events(office, "smarthost_without_password")
    assert "gone" in missing["error"]["en"]


@pytest.mark.parametrize("how", ["hangs up", "disk"])
async def test_trouble_in_the_second_transaction(tmp_path: Path, authority: Authority, how: str) -> None:
    """Those who have the message are not sent it again; the rest comes later."""
    relay = Relay(context=authority.context(NAME))
    usual, begun = relay.answer, [0]

    def answer(line: bytes) -> bytes:
        begun[0] += line.startswith(b"MAIL")
        if line.startswith(b"MAIL") and begun[0] == 2 and how == "hangs up":
            return b""
        is_second = line.startswith(b"RCPT TO:<c") and begun[0] == 1
        return b"452 4.5.3 too many\r\n" if is_second else usual(line)

    relay.answer = answer  # type: ignore[method-assign]
    async with relaying(tmp_path, relay, authority) as office:
        office.put("A", "b@one.example", "c@two.example")
        senders = office.senders()
        pieces = senders._attempt._delivery._chunks

        async def broken(message: Any) -> AsyncGenerator[bytes]:
            if begun[0] == 2 and how == "disk":
                raise OSError(5, "Input/output error")
            async for piece in pieces(message):
                yield piece

        senders._attempt._delivery._chunks = broken  # type: ignore[method-assign]  # a disk that fails under a file that is open
        running = asyncio.create_task(senders.run())
        await office.tried("A")
        await senders.end()
        await running
    entry = office.queue.read("A")
    assert entry is not None
    assert [each.standing for each in entry.state.recipients] == [Standing.DELIVERED, Standing.OPEN]
