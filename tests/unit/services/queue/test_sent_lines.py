"""What leaves by the sender is legal for how it goes: a strict server on loopback looks at every message (decision 0099)."""

import asyncio
import random
import re
from dataclasses import dataclass, field
from pathlib import Path

from unit.services.queue.office import HEAD, offices

STRICT = "127.0.0.51", b"250-mx\r\n250-PIPELINING\r\n250-8BITMIME\r\n250 CHUNKING\r\n"
BINARY = "127.0.0.52", b"250-mx\r\n250-PIPELINING\r\n250-8BITMIME\r\n250-CHUNKING\r\n250 BINARYMIME\r\n"
OLD = "127.0.0.53", b"250 mx\r\n"
ZONE = {
    ("strict.example", "A"): [STRICT[0]],
    ("binary.example", "A"): [BINARY[0]],
    ("old.example", "A"): [OLD[0]],
}
PARTS = (
    b"short\r\n",
    b".\r\n",
    b"..x\r\n",
    "Hà Nội\r\n".encode(),
    b"m" * 998 + b"\r\n",
    b"n" * 997 + b"\r\n",
    b"k" * 76 + b"\r\n",
)
FAULTS = (b"a\0b\r\n", b"o" * 999 + b"\r\n", b"p" * 200_000 + b"\r\n", b"q" * 999)
MESSAGES = 60


def is_legal(octets: bytes) -> bool:
    """RFC 5321 §2.3.8, §4.5.3.1.6, RFC 2045 §2.8, by the words of these."""
    return b"\0" not in octets and not re.search(rb"(?<!\r)\n|\r(?!\n)", octets) and max(map(len, octets.split(b"\r\n"))) <= 998


@dataclass
class Strict:
    """Takes what is legal by the way it comes, and nothing else."""

    ehlo: bytes
    taken: list[bytes] = field(default_factory=list)
    wrong: list[bytes] = field(default_factory=list)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"220 mx\r\n")
        body, chunks = "", b""
        while line := await reader.readline():
            match line.split()[0].upper():
                case b"EHLO":
                    writer.write(self.ehlo)
                case b"MAIL":
                    body, chunks = line.decode().partition("BODY=")[2].split(" ")[0].strip(), b""
                    writer.write(b"250 ok\r\n")
                case b"DATA":
                    writer.write(b"354 go\r\n")
                    lines = []
                    while (text := await reader.readuntil(b"\r\n")) != b".\r\n":
                        lines.append(text.removeprefix(b"."))
                    writer.write(self.verdict(b"".join(lines), is_binary=False))
                case b"BDAT":
                    chunks += await reader.readexactly(int(line.split()[1]))
                    last = line.split()[2:] == [b"LAST"]
                    writer.write(self.verdict(chunks, is_binary=body == "BINARYMIME") if last else b"250 ok\r\n")
                case b"QUIT":
                    writer.write(b"221 bye\r\n")
                    break
                case _:
                    writer.write(b"250 ok\r\n")
        writer.close()

    def verdict(self, octets: bytes, *, is_binary: bool) -> bytes:
        is_right = is_legal(octets) if not is_binary else b"250-CHUNKING" in self.ehlo
        (self.taken if is_right else self.wrong).append(octets)
        return b"250 2.0.0 ok\r\n" if is_right else b"554 5.6.0 not legal\r\n"


def message(rng: random.Random, number: int, *, may_be_faulty: bool) -> bytes:
    """Small or of several pieces; a fault at its beginning, its end or across two pieces of the file."""
    parts = rng.choices(PARTS, k=rng.choice([1, 5, 60, 2_000]))
    if may_be_faulty:
        parts.insert(rng.randrange(len(parts) + 1), rng.choice(FAULTS))
    end = b"" if rng.random() < 0.2 else b"\r\n"
    return b"From: a@mic.gov.vn\r\nSubject: %d\r\n\r\n" % number + b"".join(parts) + b"last" + end


async def test_whatever_is_in_the_queue(tmp_path: Path) -> None:
    """NUL and lines over 998 octets leave by BINARYMIME to who offers it, unchanged, and bounce with 5.6.1 and the line
    elsewhere; what is legal reaches everybody."""
    rng = random.Random(7)
    places = {name: Strict(ehlo) for name, ehlo in (STRICT, BINARY, OLD)}
    sent: dict[str, bytes] = {}
    async with offices(tmp_path, places, ZONE) as office:  # type: ignore[arg-type]
        for number in range(MESSAGES):
            octets = message(rng, number, may_be_faulty=number % 2 == 1)
            sent[f"E{number}"] = octets
            (tmp_path / "message").unlink()
            (tmp_path / "message").write_bytes(HEAD + octets)
            declared = rng.choice(["7BIT", "8BITMIME", "BINARYMIME" if number % 2 else "7BIT"])
            office.put(f"E{number}", "a@strict.example", "b@binary.example", "c@old.example", body=declared)
        async with office.sending():
            await office.until()
    assert all(not place.wrong for place in places.values())
    complete = {name: octets if octets.endswith(b"\r\n") else octets + b"\r\n" for name, octets in sent.items()}
    faulty = {name for name, octets in sent.items() if not is_legal(octets)}
    assert len(faulty) == MESSAGES // 2
    legal = sorted(octets for name, octets in complete.items() if name not in faulty)
    assert sorted(places[STRICT[0]].taken) == sorted(places[OLD[0]].taken) == legal
    assert sorted(places[BINARY[0]].taken) == sorted([*legal, *(sent[name] for name in faulty)])
    refused = {}
    for told in office.told:
        state, recipients = told.entry.state, told.entry.envelope.recipients
        for place in told.ended:
            refused[told.entry.entry_id, str(recipients[place].address)] = state.recipients[place].reason
    assert set(refused) == {(name, address) for name in faulty for address in ("a@strict.example", "c@old.example")}
    for (name, _), reason in refused.items():
        number = next(at for at, line in enumerate(sent[name].split(b"\r\n"), 1) if b"\0" in line or len(line) > 998)
        assert reason.startswith("5.6.1 "), reason
        assert f"line {number} " in reason
