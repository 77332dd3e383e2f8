"""Fuzz target: mail that comes from elsewhere: mbox, folders of files, what readpst writes, flags, the answers of IMAP servers.

    python tests/fuzz/atheris_importers.py [-max_total_time=600] [CORPUS_DIR]

Allowed: `SourceFailed`, `SourceWrong`. Besides, each an assertion here:
    messages of an mbox that overlap, lie outside of it, or are others at another pass; fewer than were written into it
    a message with a bare LF; flags that IMAP could not say
    answers of a server that depend on how the octets were cut, or of which more is held than there may be
"""

import asyncio
import json
import os
import re
import sys
import tempfile
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path

import atheris

sys.path.insert(0, str(Path(__file__).parent.parent))
with atheris.instrument_imports(include=["mic_mail.services.importers"]):
    from mic_mail.services.importers import imap_connection, imap_responses, mbox, pst
    from mic_mail.services.importers.content import mark_of, parts_with_crlf, with_crlf
    from mic_mail.services.importers.eml import EmlSource
    from mic_mail.services.importers.flags import of_header, read_flags
    from mic_mail.services.importers.folder_mapping import is_virtual, target
    from mic_mail.services.importers.imap_connection import ImapCommand, Wire
    from mic_mail.services.importers.mbox import MboxFile, MboxSource
    from mic_mail.services.importers.source import SourceFailed, SourceMessage, SourceWrong

from fuzzing import pieces, run

from mic_mail.imap.parser.number_set import parse_set, ranges_of
from mic_mail.storage.canonical_name import canonical

LOOP = asyncio.new_event_loop()
FOLDER = tempfile.mkdtemp()
BARE = re.compile(rb"(?<!\r)\n")


def written(name: str, octets: bytes) -> str:
    path = f"{FOLDER}/{name}"
    with open(path, "wb") as file:
        file.write(octets)
    return path


def content_of(item: SourceMessage) -> bytes:
    assert item.content is not None
    return item.content if isinstance(item.content, bytes) else b"".join(item.content())


# ------------------------------------------------------------ files


def fuzz_mbox(octets: bytes) -> None:
    fd = os.open(written("box", octets), os.O_RDONLY)
    try:
        spans = list(MboxFile(fd).spans())
        box = MboxFile(fd)
        at = 0
        for span in box.spans():
            assert at <= span.begins <= span.ends <= len(octets), (spans, len(octets))
            at = span.ends
            message = box.octets(span)
            assert not BARE.search(message) or not BARE.search(octets)
            assert message == with_crlf(b"".join(box.parts(span)))
        assert list(MboxFile(fd).spans()) == spans
        assert not spans or octets.lstrip(b"\r\n").startswith(b"From ")
    finally:
        os.close(fd)
    try:
        source = MboxSource(f"{FOLDER}/box")
        (folder,) = source.folders()
        items = list(source.messages(folder, ()))
    except SourceWrong:
        assert not spans
        return
    assert len(items) == len(spans)


def fuzz_mbox_written(octets: bytes) -> None:
    """What a program writes that quotes (mboxrd) is read as what it was."""
    bodies = [body.rstrip(b"\n") + b"\n" for body in octets.replace(b"\r", b"").split(b"\0")[:5]]
    file = b""
    for body in bodies:
        file += b"From a@b Thu Nov 26 17:00:00 2026\nX: y\n\n" + re.sub(rb"(?m)^(>*From )", rb">\1", body) + b"\n"
    fd = os.open(written("box", file), os.O_RDONLY)
    try:
        box = MboxFile(fd)
        read = [b"".join(box.parts(span)) for span in box.spans()]
    finally:
        os.close(fd)
    if not box.has_lengths:
        assert read == [b"X: y\n\n" + body for body in bodies], (file, read)


def fuzz_eml(octets: bytes) -> None:
    """A manifest and a message beside it."""
    manifest, _, message = octets.partition(b"\0")
    folder = f"{FOLDER}/eml"
    os.makedirs(folder, exist_ok=True)
    written("eml/manifest.json", manifest)
    written("eml/a.eml", message)
    try:
        source = EmlSource(folder)
    except SourceWrong:
        return
    for found in source.folders():
        assert found.name
        for item in source.messages(found, ()):
            if item.skip is None:
                assert content_of(item) == with_crlf(message)
                read_flags(item.flags)


def fuzz_pst(octets: bytes) -> None:
    """What is drawn by lot is made the same, whatever stands around it; a second time changes nothing."""
    path = written("made", octets)
    pst._make_lasting(path)
    once = Path(path).read_bytes()
    pst._make_lasting(path)
    assert Path(path).read_bytes() == once
    assert len(once) <= len(octets) + 64
    if b"LibPST" not in octets and b"DTSTAMP" not in octets and b"name=" not in octets:
        assert once == octets


def fuzz_text(octets: bytes) -> None:
    found, _deleted = of_header(octets)
    if found is not None:
        bits, keywords = read_flags(found)
        assert 0 <= bits < 32
        assert all(keyword.isascii() and keyword.isprintable() and " " not in keyword for keyword in keywords)
    read_flags(imap_responses.flags([octets]))
    mbox.written_at(octets)
    for step in (1, 7):
        if BARE.search(octets):
            assert b"".join(parts_with_crlf(iter(pieces(octets, step)))) == with_crlf(octets)
    mark_of(octets)
    levels = octets.decode("utf-8", "replace").split("|")
    name = target(levels, None, {"\\Sent": "Sent"})
    assert canonical(name, max_octets=800, max_depth=20) == name, (levels, name)
    assert ".." not in name.split("/")
    is_virtual(levels, None)


# ------------------------------------------------------------ an IMAP server


def fuzz_answers(octets: bytes) -> None:
    """Lines and literals, parted by NUL."""
    parts = octets.split(b"\0")
    told = imap_responses.values(parts)
    json.dumps(told, default=repr) if _depth(parts) < 500 else None
    if (found := imap_responses.fetched(parts)) is not None:
        for value in found.values():
            assert 0 <= imap_responses.number(value) < 1 << 63
            assert "\\recent" not in {flag.lower() for flag in imap_responses.flags(value)}
    uids = sorted({octet + 1 for octet in octets})
    if uids:
        assert parse_set(imap_responses.sequence(uids).encode()).ranges == ranges_of(uids)


def _depth(parts: list[bytes]) -> int:
    return sum(part.count(b"(") for part in parts)


class _Transport(asyncio.Transport):
    def __init__(self) -> None:
        super().__init__()
        self.wrote = b""
        self.aborted = False

    def write(self, data: bytes) -> None:
        self.wrote += data

    def abort(self) -> None:
        self.aborted = True

    def close(self) -> None:
        self.aborted = True


async def _heard(parts: list[bytes]) -> tuple[object, ...]:
    wire, transport = Wire(asyncio.get_running_loop(), 5.0), _Transport()
    wire.transport = transport
    asked = ImapCommand("NOOP", "A1", timeout=5.0, replies=[b"x\r\n"])
    asked.most = 4_096
    wire._running = asked
    for part in parts:
        if not transport.aborted:
            wire.data_received(part)
            assert len(wire._buffer) <= max(imap_connection.MAX_LINE, 4_096)
    asked._timer.cancel()
    greeting = wire._greeting
    said = greeting.result() if greeting.done() and greeting.exception() is None else None
    assert wire.lost is None or isinstance(wire.lost, SourceFailed), wire.lost
    return said, asked.untagged, transport.wrote, repr(wire.lost)


def fuzz_wire(octets: bytes) -> None:
    whole = LOOP.run_until_complete(_heard([octets]))
    assert LOOP.run_until_complete(_heard(pieces(octets, 5))) == whole, octets


TARGETS = (fuzz_mbox, fuzz_mbox_written, fuzz_eml, fuzz_pst, fuzz_text, fuzz_answers, fuzz_wire)


def fuzz(octets: bytes) -> None:
    if octets:
        TARGETS[octets[0] % len(TARGETS)](octets[1:])


FROM = b"From a@b Thu Nov 26 17:00:00 2026\n"
MANIFEST = (
    b'{"messages": [{"file": "a.eml", "folder": "A/B", "sha256": "x", "arrived_at": "2026-11-26", "flags": "\\\\Seen $x"}]}'
)
DIGEST = sha256(b"x").hexdigest().encode()
SEEDS: dict[Callable[[bytes], None], tuple[bytes, ...]] = {
    fuzz_mbox: (
        FROM + b"Subject: x\nStatus: RO\n\nbody\n>From here\n\n" + FROM + b"X: y\n\n\n",
        FROM + b"Content-Length: 4\n\nabc\n\n" + FROM + b"Content-Length: 0\n\n",
        b"\r\nFrom - Thu Nov 26 17:00:00 2026\r\nX-Mozilla-Status: 0001\r\n\r\n",
    ),
    fuzz_mbox_written: (b"hello\n>From x\nFrom y\0\n\0a\n\n" + FROM + b"A: b",),
    fuzz_eml: (MANIFEST + b"\0Subject: x\n\nbody\n", MANIFEST.replace(b'"x"', b'"' + DIGEST + b'"') + b"\0x"),
    fuzz_pst: (b'x boundary-LibPST-iamunique-123-_-_-y\nname="i77.ics"\nDTSTAMP:20261126T170000Z\n',),
    fuzz_text: (
        b"Status: RO\r\nX-Status: AF\r\nX-Keywords: a b\r\nX-Mozilla-Status: 1008\r\n",
        b"From a Thu Nov 26 17:00 2026",
    ),
    fuzz_answers: (b'* 12 FETCH (UID 7 FLAGS (\\Seen $x) BODY[] {3}\0abc\0 INTERNALDATE "x")', b'* LIST () "/" {2}\0ab\0'),
    fuzz_wire: (b"* OK hi\r\n* 1 FETCH (BODY[] {3}\r\nabc FLAGS ())\r\n+ go\r\nA1 OK done\r\n", b"* PREAUTH\r\n* BYE\r\n"),
}


if __name__ == "__main__":
    run(fuzz, [bytes([number]) + seed for number, target in enumerate(TARGETS) for seed in SEEDS[target]])
