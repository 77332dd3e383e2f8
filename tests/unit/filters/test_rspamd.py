"""Answers that Rspamd may give, and those that it may not: from a socket that says what the test wants."""

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from mic_mail.filters import rspamd
from mic_mail.filters.rspamd import (
    About,
    NotScored,
    Rspamd,
    RspamdAction,
    Scored,
    Symbol,
    TrainingResult,
    Unwilling,
    read_scored,
)
from unit.filters.stream_server import Behave, listening, pieces

SAID: dict[str, Any] = {
    "is_skipped": False,
    "score": 7.251,
    "required_score": 15.0,
    "action": "add header",
    "symbols": {
        "FEW": {"name": "FEW", "score": 0.5},
        "MUCH": {"name": "MUCH", "score": -6.0, "options": ["a b", "c"]},
    },
}


def answer(body: bytes, status: str = "200 OK", *fields: str) -> bytes:
    head = [f"HTTP/1.1 {status}", "Connection: close", f"Content-Length: {len(body)}", *fields]
    return "\r\n".join([*head, "", ""]).encode() + body


async def request(reader: asyncio.StreamReader) -> tuple[bytes, bytes]:
    head = await reader.readuntil(b"\r\n\r\n")
    (length,) = [int(line.split(b":")[1]) for line in head.split(b"\r\n") if line.lower().startswith(b"content-length:")]
    return head, await reader.readexactly(length)


def answering(octets: bytes) -> Behave:
    async def behave(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await request(reader)
        writer.write(octets)
        await writer.drain()

    return behave


def at(place: str, seconds: float = 5, connections: int = 1) -> Rspamd:
    return Rspamd(place, seconds=seconds, connections=connections)


async def asked(place: str, *octets: bytes, about: About | None = None) -> Scored:
    return await at(place).check(about or About(), pieces(*octets), sum(map(len, octets)))


@pytest.mark.parametrize("by_file", [True, False], ids=["unix", "tcp"])
async def test_what_is_sent_is_what_was_given(tmp_path: Path, by_file: bool) -> None:
    """The octets of the message, and the envelope as Rspamd's protocol names its parts."""
    seen: list[tuple[bytes, bytes]] = []

    async def behave(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        seen.append(await request(reader))
        writer.write(answer(json.dumps(SAID).encode()))

    about = About(
        "fe80::1%eth0", "mx.example.org", "", "a@example.org", ("b@mic.gov.vn", "đ@mic.gov.vn"), "", "01JD", "TLSv1.3"
    )
    async with listening(behave, tmp_path if by_file else None) as place:
        scored = await asked(place, b"a" * 300_000, b"b\r\n", about=about)
    assert scored == Scored(RspamdAction.ADD_HEADER, 7.25, 15.0, (Symbol("MUCH", -6.0, ("a_b", "c")), Symbol("FEW", 0.5)))
    ((head, body),) = seen
    assert body == b"a" * 300_000 + b"b\r\n"
    line, *fields = head.strip().split(b"\r\n")
    assert line == b"POST /checkv2 HTTP/1.1"
    assert [field for field in fields if field.split(b":")[0] not in (b"Host", b"User-Agent", b"Connection")] == [
        b"IP: fe80::1",
        b"Helo: mx.example.org",
        b"From: <a@example.org>",
        b"Rcpt: <b@mic.gov.vn>",
        "Rcpt: <đ@mic.gov.vn>".encode(),
        b"Queue-Id: 01JD",
        b"TLS-Version: TLSv1.3",
        b"Content-Length: 300003",
    ]


async def test_what_strangers_say_ends_no_field() -> None:
    """Nobody writes a field of the question by a HELO or an address."""
    told = About("192.0.2.1", "x\r\nUser: admin\n\x00\x85", sender='"\r\nUser: y"@example.org', recipients=("\r",)).fields()
    assert [name for name, _ in told] == [b"IP", b"Helo", b"From", b"Rcpt"]
    assert not any(octet in value for _, value in told for octet in (b"\r", b"\n", b"\0"))


@pytest.mark.parametrize("action", list(RspamdAction))
def test_every_action_is_known(action: RspamdAction) -> None:
    assert read_scored(json.dumps({**SAID, "action": action.value}).encode()).action is action


def test_an_action_that_somebody_made_up_is_none() -> None:
    """It is kept for the log: printable, short."""
    scored = read_scored(json.dumps({**SAID, "action": "fold\r\nspindle" * 50}).encode())
    assert (scored.action, scored.unknown_action) == (RspamdAction.NONE, ("fold__spindle" * 50)[: rspamd.LONGEST_NAME])


def test_names_and_options_are_printable_and_few() -> None:
    """They go into a header and into the log."""
    many = {f"S{number}\r\nBcc: x ": {"score": number, "options": ["x\n" * 500] * 10} for number in range(1_000)}
    scored = read_scored(json.dumps({**SAID, "symbols": many}).encode())
    assert len(scored.symbols) == rspamd.MOST_SYMBOLS
    assert scored.symbols[0] == Symbol("S999__Bcc:_x_", 999.0, (("x_" * 500)[: rspamd.LONGEST_OPTION],) * rspamd.MOST_OPTIONS)


@pytest.mark.parametrize(
    "body",
    [b"", b"{}", b"[]", b"null", b"7", b'"x"', b"{", b"\xff", b"[" * 100_000, b'{"a":' * 100_000, b'{"error":"x"}',
     *(json.dumps({**SAID, **wrong}).encode() for wrong in (
        {"action": None}, {"action": 7}, {"action": ["no action"]}, {"score": "7"}, {"score": None}, {"score": True},
        {"score": 10**400}, {"score": float("nan")}, {"required_score": float("inf")}, {"required_score": None},
        {"symbols": []}, {"symbols": None}, {"symbols": {"A": 1}}, {"symbols": {"A": {"score": "1"}}}, {"score": 1e300})),
     json.dumps({**SAID, "score": 1}).replace('"score": 1', '"score": 1e999').encode(),
     json.dumps({**SAID, "score": 1}).replace('"score": 1', '"score": ' + "9" * 5_000).encode()],
)  # fmt: skip
def test_what_is_no_answer_is_none(body: bytes) -> None:
    """A guess would let spam pass, or refuse mail."""
    with pytest.raises(NotScored):
        read_scored(body)


GOOD = json.dumps(SAID).encode()


@pytest.mark.parametrize(
    "octets",
    [b"", b"\r\n", b"220 smtp\r\n", b"HTTP/1.1 200 OK\r\n\r\n", answer(GOOD)[:-1], answer(GOOD, "500 x"),
     answer(GOOD, "302 Found"),
     answer(b'{"error":"too large"}', "413 x"), answer(GOOD, "204 No Content"), b"HTTP/1.1 100 Continue\r\n\r\n" * 1_000,
     b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 100_000, b"HTTP/1.1 200 OK\r\nX: " + b"y" * 1_000_000,
     b"HTTP/1.1 200 OK\r\nContent-Length: 99999999999\r\n\r\n" + b" " * 2_000_000,
     b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nffffffff\r\n" + b"x" * 1_000_000,
     b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
     b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nxx",
     b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n" + GOOD],
)  # fmt: skip
async def test_what_is_no_http_is_no_answer(octets: bytes) -> None:
    async with listening(answering(octets)) as place:
        with pytest.raises(NotScored):
            await asked(place, b"x")


async def test_an_answer_in_pieces() -> None:
    async def behave(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await request(reader)
        for octet in b"HTTP/1.1 100 Continue\r\n\r\n" + answer(GOOD):
            writer.write(bytes([octet]))
            await writer.drain()

    async with listening(behave) as place:
        assert (await asked(place, b"x")).action is RspamdAction.ADD_HEADER


async def silence(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await request(reader)
    await asyncio.sleep(60)


async def deafness(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await asyncio.sleep(60)


async def trickle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await request(reader)
    while True:
        writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        await asyncio.sleep(0.05)  # less than the silence that is borne


@pytest.mark.parametrize("behave", [silence, deafness, trickle])
async def test_whoever_is_silent_or_does_not_read_or_never_ends(behave: Behave) -> None:
    """Within the time that is set, also for those that only wait for their turn."""
    async with listening(behave) as place:
        one = at(place, seconds=0.4)
        asking = (one.check(About(), pieces(*[b"x" * 100_000] * 50), 5_000_000) for _ in range(5))
        told = await asyncio.gather(*asking, return_exceptions=True)
        assert [str(each) for each in told] == ["no answer within 0.4 s"] * 5


async def test_who_answers_at_once_and_leaves() -> None:
    """The answer counts although the rest could not be sent."""

    async def behave(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(answer(b'{"error":"too large"}', "413 Too large"))

    async with listening(behave) as place:
        with pytest.raises(NotScored, match=r"too large|Broken pipe|reset"):
            await asked(place, *[b"x" * 100_000] * 100)


async def test_a_turn_is_given_back_whatever_happens(tmp_path: Path) -> None:
    """After failures, and after somebody has stopped waiting."""
    one = at(f"unix:{tmp_path}/nobody")
    for _ in range(3):
        with pytest.raises(NotScored, match="No such file"):
            await one.check(About(), pieces(b"x"), 1)
    async with listening(silence) as place:
        one = at(place, seconds=30)
        waiting = asyncio.ensure_future(one.check(About(), pieces(b"x"), 1))
        await asyncio.sleep(0.05)  # it has a turn by then, or waits for one
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)
        second = at(place, seconds=0.2)
        with pytest.raises(NotScored, match="within"):
            await second.check(About(), pieces(b"x"), 1)
    assert not one._turns.locked()


async def test_a_file_that_fails_while_it_is_sent_is_no_answer() -> None:
    """It raises what it raises; nothing waits for an answer that will not come."""

    async def broken() -> Any:
        yield b"x"
        raise OSError("the disk")

    async with listening(silence) as place:
        with pytest.raises(NotScored, match="the disk"):
            await at(place).check(About(), broken(), 10)


@pytest.mark.parametrize(
    ("status", "trained"),
    [("200 OK", TrainingResult.LEARNED), ("208 already", TrainingResult.KNOWN), ("204 no", TrainingResult.UNFIT),
     ("400 x", TrainingResult.UNFIT), ("404 x", NotScored), ("404 already learned", TrainingResult.KNOWN),
     ("401 x", NotScored), ("403 x", NotScored), ("500 x", Unwilling), ("503 x", Unwilling),
     ("302 x", Unwilling)],
)  # fmt: skip
@pytest.mark.parametrize("spam", [True, False])
async def test_what_comes_of_training(status: str, trained: Any, spam: bool) -> None:
    """What will never be learned is told apart from what comes later; the password is in the question alone."""
    heads: list[bytes] = []

    async def behave(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heads.append((await request(reader))[0])
        said = b'{"error":"<1@x> has been already learned as spam, ignore it"}' if "already learned" in status else b"{}"
        writer.write(answer(b"" if "204" in status else said, status))

    async with listening(behave) as place:
        training = at(place).train(pieces(b"x"), 1, spam=spam, password="pass word")
        if isinstance(trained, TrainingResult):
            assert await training is trained
        else:
            with pytest.raises(trained) as error:
                await training
            assert error.type is trained
            assert "pass word" not in str(error.value)
    assert heads[0].startswith(b"POST /learnspam " if spam else b"POST /learnham ")
    assert b"Password: pass word\r\n" in heads[0]
