"""Answers that a scanner may give, and those that it may not: from a socket that says what the test wants."""

import asyncio
from pathlib import Path

import pytest

from mic_mail.filters.clamd import LONGEST_NAME, Clamd, NotScanned
from unit.filters.stream_server import Behave, listening, pieces
from waiting import wait_on_loop


async def taken(reader: asyncio.StreamReader) -> bytes:
    """A whole stream, as the protocol frames it."""
    assert await reader.readexactly(10) == b"zINSTREAM\0"
    octets = b""
    while length := int.from_bytes(await reader.readexactly(4)):
        octets += await reader.readexactly(length)
    return octets


def answering(octets: bytes) -> Behave:
    async def behave(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await taken(reader)
        writer.write(octets)

    return behave


@pytest.mark.parametrize("by_file", [True, False], ids=["unix", "tcp"])
async def test_what_is_sent_is_what_was_given(tmp_path: Path, by_file: bool) -> None:
    seen: list[bytes] = []

    async def behave(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        seen.append(await taken(reader))
        writer.write(b"stream: OK\0")

    async with listening(behave, tmp_path if by_file else None) as place:
        assert await Clamd(place, seconds=5, connections=1).scan(pieces(b"a" * 300_000, b"b", b"c" * 5)) is None
    assert seen == [b"a" * 300_000 + b"b" + b"c" * 5]


@pytest.mark.parametrize(
    ("answer", "name"),
    [
        (b"stream: Win.Test.EICAR_HDB-1 FOUND\0", "Win.Test.EICAR_HDB-1"),
        (b"stream: a b\r\n250 OK\xff FOUND\0", "a_b__250_OK_"),
        (b"stream: " + b"x" * 2_000 + b" FOUND\0", "x" * LONGEST_NAME),
        (b"stream: OK FOUND\0", "OK"),
    ],
)
async def test_the_name_of_what_was_found(answer: bytes, name: str) -> None:
    """It is told to strangers and written into the log: printable ASCII without spaces, and no longer than a name."""
    async with listening(answering(answer)) as place:
        assert await Clamd(place, seconds=5, connections=1).scan(pieces(b"x")) == name


@pytest.mark.parametrize(
    "answer",
    [b"", b"\0", b"stream: ", b"stream: OK", b"stream: O", b"stream: x FOUN", b"OK\0", b"stream: ok\0", b"stream: OK \0",
     b"INSTREAM size limit exceeded. ERROR\0", b"stream: Can't allocate memory ERROR\0", b"UNKNOWN COMMAND\0", b"\xff\xfe\0",
     b"stream: x FOUNDATION\0", b"stream: " + b"x" * 1_000_000],
)  # fmt: skip
async def test_what_is_no_answer_is_none(answer: bytes) -> None:
    """Nothing but the exact word with its end is taken for clean, or for a finding."""
    async with listening(answering(answer)) as place:
        with pytest.raises(NotScanned):
            await Clamd(place, seconds=5, connections=1).scan(pieces(b"x"))


async def test_an_answer_in_pieces() -> None:
    async def behave(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await taken(reader)
        for letter in b"stream: Evil FOUND\0":
            writer.write(bytes([letter]))
            await writer.drain()
            await asyncio.sleep(0.002)  # each letter is read by itself

    async with listening(behave) as place:
        assert await Clamd(place, seconds=5, connections=1).scan(pieces(b"x")) == "Evil"


async def silence(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await taken(reader)
    await asyncio.sleep(60)


async def deafness(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await asyncio.sleep(60)


@pytest.mark.parametrize("behave", [silence, deafness])
async def test_whoever_is_silent_or_does_not_read(behave: Behave) -> None:
    """Within the time that is set, also for those that only wait for their turn."""
    async with listening(behave) as place:
        clamd = Clamd(place, seconds=0.4, connections=1)
        told = await asyncio.gather(*(clamd.scan(pieces(*[b"x" * 100_000] * 50)) for _ in range(5)), return_exceptions=True)
        assert [str(each) for each in told] == ["no answer within 0.4 s"] * 5


async def test_who_answers_at_once_and_leaves() -> None:
    """The answer is read although the rest could not be sent."""

    async def behave(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readexactly(10)
        writer.write(b"INSTREAM size limit exceeded. ERROR\0")

    async with listening(behave) as place:
        with pytest.raises(NotScanned, match=r"size limit exceeded|Broken pipe|reset"):
            await Clamd(place, seconds=5, connections=1).scan(pieces(*[b"x" * 100_000] * 100))


async def test_a_turn_is_given_back_whatever_happens(tmp_path: Path) -> None:
    """After failures, and after somebody has stopped waiting."""
    clamd = Clamd(f"unix:{tmp_path}/nobody", seconds=5, connections=1)
    for _ in range(3):
        with pytest.raises(NotScanned, match="No such file"):
            await clamd.scan(pieces(b"x"))
    async with listening(silence) as place:
        clamd = Clamd(place, seconds=30, connections=1)
        waiting = asyncio.ensure_future(clamd.scan(pieces(b"x")))
        await wait_on_loop(clamd._turns.locked)
        waiting.cancel()
        await asyncio.wait([waiting])
        assert not clamd._turns.locked()
