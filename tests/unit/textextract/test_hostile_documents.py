"""Documents made to hurt: each is answered within its bounds, in the process that is there for it, and so is the next."""

import asyncio
import io
import os
import signal
import struct
import zipfile
import zlib
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from markings.documents import FORMATS, docx, pdf, rtf, tnef, txt, zipped
from markings.sample import Sample
from mic_mail.process.executors import Executors
from mic_mail.textextract.limits import Bounds
from mic_mail.textextract.result import Missed, Unread
from mic_mail.textextract.worker import look_into
from mic_mail.textextract.worker_pool import ReadingCosts, WorkerPool

MARKED = txt(["MẬT"])
SMALL = Bounds(seconds=20, part_octets=1 << 20, unpacked_octets=4 << 20, depth=4, parts=60)
"""Seconds are no matter in these: what they try ends by other bounds."""


def mail(name: str, content: bytes) -> bytes:
    return Sample("", None, files={name: content}).octets()


def reasons(octets: bytes, bounds: Bounds = SMALL) -> set[Unread]:
    return {missed.reason for missed in look_into(octets, bounds).missed}


def nested(levels: int) -> bytes:
    content = zipped({"a.txt": MARKED})
    for _ in range(levels - 1):
        content = zipped({"a.zip": content})
    return content


def flat(members: int) -> bytes:
    return zipped({f"{number}.txt": b"" for number in range(members)})


def overlapping(content: bytes, times: int) -> bytes:
    """Many names for one and the same member: little on the disk, much unpacked (42.zip of our days)."""
    octets = io.BytesIO()
    with zipfile.ZipFile(octets, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a", content)
        [info] = archive.filelist
        archive.filelist.extend([info] * times)
    return octets.getvalue()


def quoting(content: bytes, times: int) -> bytes:
    """Members that lie within one another: each quotes the header of the next in a stored block, and goes on as that one does.

    David Fifield, A better zip bomb, 2019.
    """
    kernel, size, checksum = zlib.compress(content, wbits=-15), len(content), zlib.crc32(content)
    local = [struct.pack("<4s5H3I2H", b"PK\x03\x04", 20, 0, 8, 0, 0, checksum, len(kernel), size, 1, 0) + b"z"]
    data, body, entries = [kernel], content, [(b"z", checksum, len(kernel), size)]
    for number in range(times):
        body = local[0] + body
        packed = struct.pack("<BHH", 0, len(local[0]), 0xFFFF ^ len(local[0])) + local[0] + data[0]
        name, told = bytes([ord("a") + number]), (zlib.crc32(body), len(packed), len(body))
        local.insert(0, struct.pack("<4s5H3I2H", b"PK\x03\x04", 20, 0, 8, 0, 0, *told, 1, 0) + name)
        data.insert(0, packed)
        entries.insert(0, (name, *told))
    whole, directory, at = local[0] + data[0], b"", 0
    for entry, (name, *told) in zip(local, entries, strict=True):
        directory += struct.pack("<4s6H3I5H2I", b"PK\x01\x02", 20, 20, 0, 8, 0, 0, *told, 1, 0, 0, 0, 0, 0, at) + name
        at += len(entry) + 5
    end = struct.pack("<4s4H2IH", b"PK\x05\x06", 0, 0, len(entries), len(entries), len(directory), len(whole), 0)
    return whole + directory + end


def lying() -> bytes:
    """A member that says that it is small."""
    octets = bytearray(zipped({"a.txt": bytes(3 << 20)}))
    at = octets.index(b"PK\x01\x02")
    octets[at + 24 : at + 28] = (10).to_bytes(4, "little")
    return bytes(octets)


def with_entities() -> bytes:
    """A billion laughs, in the document of a DOCX."""
    entities = "".join(f'<!ENTITY e{n} "{f"&e{n - 1};" * 10}">' for n in range(1, 10))
    xml = f'<?xml version="1.0"?><!DOCTYPE w [<!ENTITY e0 "ha">{entities}]><w><t>&e9;</t></w>'
    return zipped({"[Content_Types].xml": "<a/>", "word/document.xml": xml})


def deep_xml() -> bytes:
    xml = "<p>" * 100_000 + "</p>" * 100_000
    return zipped({"[Content_Types].xml": "<a/>", "word/document.xml": xml})


def circular_pdf() -> bytes:
    """Pages that are their own parents and children."""
    return pdf(["a"]).replace(b"/Kids[3 0 R]", b"/Kids[2 0 R]")


HOSTILE = {
    "a zip bomb": (zipped({"a": bytes(50 << 20)}), Unread.OVER_BOUNDS),
    "overlapping members": (overlapping(bytes(1 << 20), 40), Unread.OVER_BOUNDS),
    "members within one another": (quoting(bytes(1 << 20), 20), Unread.OVER_BOUNDS),
    "a member larger than it says": (lying(), None),
    "deep": (nested(30), Unread.OVER_BOUNDS),
    "ten thousand members": (flat(10_000), Unread.OVER_BOUNDS),
    "entities": (with_entities(), Unread.DAMAGED),
    "a deep tree": (deep_xml(), None),
    "a PDF in a circle": (circular_pdf(), None),
    "half a PDF": (pdf(["MẬT"])[:300], None),
    "half a zip": (zipped({"a": MARKED})[:-30], Unread.DAMAGED),
    "half an office document": (docx(["a"])[:200], Unread.DAMAGED),
    "no document": (b"PK\x03\x04" + os.urandom(4000), Unread.DAMAGED),
    "RTF of nothing but braces": (b"{\\rtf1" + b"{" * 100_000, None),
    "a TNEF of wrong lengths": (b"\x78\x9f\x3e\x22\0\0" + b"\x01\x0f\x80\x06\0\xff\xff\xff\x7f", Unread.DAMAGED),
    "a RAR": (b"Rar!\x1a\x07\x00", Unread.UNKNOWN_ARCHIVE),
}
SLOWEST = {"a deep tree": pytest.mark.slow}


@pytest.mark.parametrize("what", [pytest.param(each, marks=SLOWEST.get(each, ())) for each in HOSTILE])
def test_bounded(what: str) -> None:
    """Answered, with the reason in the log where something was left out; nothing escapes."""
    content, reason = HOSTILE[what]
    found = reasons(mail("a.bin", content))
    assert reason is None or reason in found


def test_what_was_found_before_a_bound_counts() -> None:
    """A marking in the first member is found, whatever the others do."""
    octets = mail("a.zip", zipped({"a.txt": MARKED, "bomb": bytes(50 << 20)}))
    verdict = look_into(octets, SMALL)
    assert verdict.worst is not None
    assert verdict.missed == (Missed(Unread.OVER_BOUNDS, "zip"),)


def test_one_member_twice() -> None:
    """Members that share octets are read as if each were alone, whatever the release of Python thinks of such an archive."""
    verdict = look_into(mail("a.zip", overlapping(MARKED, times=1)), SMALL)
    assert verdict.worst is not None
    assert verdict.missed == ()


def test_a_member_without_a_name() -> None:
    """It hides nothing that lies behind it."""
    packed = zipped({"@@": "nothing", "a.txt": MARKED}).replace(b"@@", b"\0@")
    verdict = look_into(mail("a.zip", packed), SMALL)
    assert verdict.worst is not None


def test_messages_within_messages() -> None:
    """Thousands of enclosed messages end at the bounds of parts and depth."""
    octets = b"Content-Type: text/plain\r\n\r\nx"
    for _ in range(300):
        octets = b"Content-Type: message/rfc822\r\n\r\n" + octets
    assert look_into(octets, SMALL).worst is None
    many = b"".join(b"--x\r\nContent-Type: text/plain\r\n\r\na\r\n" for _ in range(10_000))
    assert reasons(b"Content-Type: multipart/mixed; boundary=x\r\n\r\n" + many + b"--x--\r\n") == {Unread.OVER_BOUNDS}


@pytest.fixture
async def executors() -> AsyncIterator[Executors]:
    made = Executors(io_threads=2, hash_threads=1)
    yield made
    made.close()


async def readers_of(executors: Executors, **bounds: float) -> WorkerPool:
    return WorkerPool(Bounds(**bounds), executors)  # type: ignore[arg-type]


def test_what_nobody_waits_for_is_never_given_less_time(executors: Executors) -> None:
    for seconds in (0.5, 5, 30, 60):
        waited, behind = (
            WorkerPool(Bounds(seconds=seconds), executors, most_seconds=most).answer_seconds for most in (None, 60.0)
        )
        assert behind >= max(waited, 60.0)
        assert waited >= seconds


async def test_the_process_reads(executors: Executors, tmp_path: Path) -> None:
    """From memory and from a file, one after the other, by one process."""
    readers = await readers_of(executors, seconds=20)
    octets = mail("a.docx", docx(["TỐI MẬT"]))
    path = tmp_path / "message"
    path.write_bytes(octets)
    for source in (octets, path, octets):
        worst = (await readers.extract(source)).worst
        assert worst is not None
        assert worst.where == "stamp/docx"
    await readers.close()


@pytest.mark.slow
async def test_what_takes_too_long_is_killed(executors: Executors) -> None:
    """A reader that does not come back is killed, the message is not looked into, and the next one is."""
    readers = await readers_of(executors, seconds=0.5)
    slow = rtf(["a"]).replace(b"a", b"\\'41" * 2_000_000)
    [missed] = (await readers.extract(mail("a.rtf", slow))).missed
    assert missed.reason in (Unread.TOO_SLOW, Unread.CRASHED)
    assert (await readers.extract(mail("a.txt", MARKED))).worst is not None
    await readers.close()


async def test_who_dies_is_replaced(executors: Executors) -> None:
    """A reader that is killed while it waits or reads costs one message at most."""
    readers = await readers_of(executors, seconds=20)
    await readers.extract(mail("a.txt", MARKED))
    [reader] = readers._free
    reader.process.kill()
    reader.process.wait()
    assert (await readers.extract(mail("a.txt", MARKED))).missed == (Missed(Unread.CRASHED, "message"),)
    assert (await readers.extract(mail("a.txt", MARKED))).worst is not None
    await readers.close()


@pytest.mark.slow
async def test_memory_is_bounded(executors: Executors) -> None:
    """What wants more memory than there is for it ends there."""
    readers = await readers_of(executors, seconds=20, memory_octets=256 << 20, part_octets=1 << 30, unpacked_octets=1 << 30)
    verdict = await readers.extract(mail("a.zip", zipped({"a.txt": bytes(250 << 20)})))
    assert verdict.missed
    assert (await readers.extract(mail("a.txt", MARKED))).worst is not None
    await readers.close()


@settings(max_examples=60, deadline=None)
@given(
    form=st.sampled_from([*FORMATS, "zip", "tnef"]),
    cuts=st.lists(st.tuples(st.floats(0, 1), st.binary(max_size=8)), max_size=6),
)
def test_damage_is_no_error(form: str, cuts: list[tuple[float, bytes]]) -> None:
    """Whatever is changed in a document, there is an answer."""
    lines = ["Số: 12/BC", "MẬT", "Độ mật\tMật"]
    content = zipped({"a.txt": MARKED}) if form == "zip" else tnef(lines) if form == "tnef" else FORMATS[form](lines)
    for place, octets in cuts:
        at = int(place * len(content))
        content = content[:at] + octets + content[at + len(octets) :]
    look_into(mail(f"a.{form}", content), SMALL)


async def test_turns(executors: Executors) -> None:
    """Many at once wait for their turn; who waits longer than a look may take is told so."""
    readers = await readers_of(executors, seconds=20)
    verdicts = await asyncio.gather(*(readers.extract(mail("a.txt", MARKED)) for _ in range(20)))
    assert all(verdict.worst for verdict in verdicts)
    assert len(readers._free) == 1
    await readers.close()


@pytest.mark.parametrize(
    ("tag", "member"),
    [("<title ", "docProps/core.xml"), ("<property ", "docProps/custom.xml"), ("<sheet ", "xl/workbook.xml")],
)
def test_properties_that_do_not_end(tag: str, member: str) -> None:
    """Tags that are never closed are looked at once each: from every one to the end of the file would take an hour."""
    content = zipped({"[Content_Types].xml": b"<a/>", member: tag.encode() * (1_000_000 // len(tag))})
    assert not look_into(mail("a.docx", content), SMALL).found


async def test_senders_take_turns(executors: Executors) -> None:
    """A sender with many documents in line delays itself: the document of another sender is read after its second one."""
    readers = await readers_of(executors, seconds=20)
    await readers.extract(mail("a.txt", MARKED))
    [reader] = readers._free
    reader.process.send_signal(signal.SIGSTOP)
    order: list[str] = []

    async def look(sender: str) -> None:
        await readers.extract(mail("a.txt", MARKED), sender)
        order.append(sender)

    tasks = [asyncio.create_task(look(sender)) for sender in ["many"] * 10 + ["one"]]
    await asyncio.sleep(0)
    reader.process.send_signal(signal.SIGCONT)
    await asyncio.gather(*tasks)
    assert order == ["many", "many", "one", *["many"] * 8]
    await readers.close()


async def test_a_reader_that_starts_late_is_for_the_next(executors: Executors, monkeypatch: pytest.MonkeyPatch) -> None:
    """A message does not wait for a start beyond its patience, and the reader is not lost."""
    monkeypatch.setattr("mic_mail.textextract.worker_pool.ANSWER_SECONDS", 0.0)
    readers = await readers_of(executors, seconds=0)
    assert (await readers.extract(mail("a.txt", MARKED))).missed == (Missed(Unread.UNAVAILABLE, "message"),)
    readers.bounds = Bounds(seconds=20)
    [starting] = readers._starting
    await readers.extract(mail("a.txt", MARKED))
    assert starting.done()
    assert readers._free == [starting.result()]
    await readers.close()


@given(spent=st.lists(st.tuples(st.sampled_from("ab"), st.floats(0, 10), st.floats(0, 100))))
def test_costs(spent: list[tuple[str, float, float]]) -> None:
    """What a sender cost makes it suspected, and nobody else; it is forgotten by halves, and after an hour nothing is left."""
    costs, now = ReadingCosts(), 0.0
    for sender, seconds, later in spent:
        now += later
        costs.add(sender, seconds, now)
    assert costs.suspicion("c", now) == 0
    assert costs.suspicion("a", now) >= costs.suspicion("a", now + costs.HALF_LIFE_SECONDS)
    assert costs.suspicion("a", now + 3600) == 0
    costs.add("a", 100.0, now)
    assert costs.suspicion("a", now) >= 6


def test_costs_are_bounded() -> None:
    """Of senders without end the latest are remembered."""
    costs = ReadingCosts()
    for number in range(costs.MOST_SENDERS + 10):
        costs.add(str(number), 10.0, 0.0)
    assert costs.suspicion("9", 0.0) == 0
    assert costs.suspicion("10", 0.0) > 0
