"""Servers that fail at one stage in one way, all stages and all ways: what becomes of each message, then and afterwards.

Each pair of stage and way is a domain with two exchangers: the first fails so, the second takes everything. All are tried
at once. Only servers that hang are given up after a time; those that answer are waited for as long as the test is, since a
busy machine may need long for an answer.
"""

import asyncio
import re
import socket
import ssl
import struct
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from certificate_authority import Authority
from dns_server import name_server
from mic_mail.queue.recipient_log import AdminDecision, Standing
from unit.services.queue.office import STUFFED, Office
from unit.smtpclient.server import message_of
from waiting import PATIENCE_SECONDS, wait_on_loop

STAGES = ("greeting", "EHLO", "STARTTLS", "TLS", "EHLO2", "MAIL", "RCPT", "DATA", "END")
HANG, CLOSE, RESET = b"hang", b"close", b"reset"
HANGS = {
    "hang": (HANG,),
    "half a code": (b"25", HANG),
    "half of its lines": (b"250-one\r\n", HANG),
}
TROUBLES = {
    "close": (CLOSE,),
    "reset": (RESET,),
    "half a reply": (b"250 2.0", CLOSE),
    "half, then reset": (b"250-one\r\n", RESET),
    "another protocol": (b"HTTP/1.1 200 OK\r\n\r\n",),
    "no text": (b"\xff\xfe\x00\x01\x80\r\n",),
    "two codes in one": (b"250-yes\r\n550 no\r\n",),
    "lines without end": (b"250-x\r\n" * 300,),
    "megabytes": (b"x" * 3_000_000,),
    "a code that is none": (b"999 what\r\n",),
    "busy": (b"421 4.3.2 come back\r\n", CLOSE),
}
"""After these, and after HANGS, nothing is to be had of the server."""
REPLIES = {
    "later": b"451 4.3.0 later\r\n",
    "never": b"554 5.7.1 never\r\n",
    "never, in Latin-1": b"554 5.7.1 T\xe4glich \xff\xfe nein\r\n",
    "never, without a word": b"554\r\n",
    "go on": b"354 go on\r\n",
}
"""With these it goes on."""
FIRST, NEXT, WAITS, FAILED = "first", "next", "waits", "failed"


def expected(stage: str, way: str) -> str:
    """FIRST or NEXT exchanger has it; it WAITS; it has FAILED."""
    if stage in ("STARTTLS", "TLS"):  # RFC 7435: in the open, since nobody has asked for TLS
        return FIRST
    if way in HANGS | TROUBLES:
        return WAITS if stage == "END" else NEXT  # it may have been taken: another server would make two of it
    if stage == "greeting":
        return NEXT
    if stage in ("EHLO", "EHLO2") or (stage, way) == ("DATA", "go on"):
        return FIRST
    return FAILED if way.startswith("never") else WAITS


@dataclass
class Failing:
    """Fails at its stage, in its way, until it is `well`."""

    stage: str
    how: tuple[bytes, ...]
    pipelining: bool
    context: ssl.SSLContext
    well: bool = False
    messages: list[bytes] = field(default_factory=list)
    open: set[asyncio.StreamWriter] = field(default_factory=set)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.open.add(writer)
        try:
            await self._serve(reader, writer)
        except (OSError, asyncio.IncompleteReadError, ssl.SSLError):
            pass
        finally:
            self.open.discard(writer)
            writer.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        secured = False
        if not await self._say("greeting", b"220 mx\r\n", reader, writer):
            return
        while line := await reader.readline():
            verb = line.split()[0].upper().decode("ascii", "replace")
            stage = "EHLO2" if verb == "EHLO" and secured else verb
            if not await self._say(stage, self._usual(verb, secured), reader, writer):
                return
            if verb == "STARTTLS" and (self.stage != "STARTTLS" or self.well):
                if not await self._say("TLS", b"", reader, writer):
                    return
                if self.stage == "TLS" and not self.well:
                    continue
                await writer.start_tls(self.context)
                secured = True
            elif verb == "DATA" and (self.stage != "DATA" or self.well or self.how[0].startswith(b"354")):
                self.messages.append(await message_of(reader))
                if not await self._say("END", b"250 2.0.0 taken\r\n", reader, writer):
                    return
            elif verb == "QUIT":
                return

    def _usual(self, verb: str, secured: bool) -> bytes:
        if verb == "EHLO":
            more = (b"250-PIPELINING\r\n" if self.pipelining else b"") + (b"" if secured else b"250-STARTTLS\r\n")
            return b"250-mx\r\n" + more + b"250 8BITMIME\r\n"
        return {"DATA": b"354 go\r\n", "STARTTLS": b"220 go\r\n", "QUIT": b"221 bye\r\n"}.get(verb, b"250 2.0.0 OK\r\n")

    async def _say(self, stage: str, usual: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        """Whether it goes on."""
        for octets in (usual,) if self.well or stage != self.stage else self.how:
            if octets == HANG:
                await reader.read(-1)
                return False
            if octets == RESET:
                linger = struct.pack("ii", 1, 0)
                writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
            if octets in (RESET, CLOSE):
                return False
            writer.write(octets)
            await writer.drain()
        return True


@pytest.fixture(scope="module")
def context(tmp_path_factory: pytest.TempPathFactory) -> ssl.SSLContext:
    return Authority(tmp_path_factory.mktemp("ca")).context("mx.example")


@pytest.mark.slow
@pytest.mark.parametrize("pipelining", [True, False], ids=["pipelined", "one by one"])
@pytest.mark.parametrize(
    ("ways", "seconds"),
    [
        pytest.param({**TROUBLES, **{way: (reply,) for way, reply in REPLIES.items()}}, PATIENCE_SECONDS, id="answers"),
        pytest.param(HANGS, 15.0, id="hangs"),
    ],
)
async def test_every_stage_in_every_way(
    tmp_path: Path, context: ssl.SSLContext, ways: dict[str, tuple[bytes, ...]], seconds: float, pipelining: bool
) -> None:
    """Nothing is lost, nothing doubled where it can be helped, who failed is told of once, nobody waits for another; and when
    all are well again what waits is delivered, and every destination has its turn."""
    cases = {f"d{number}.example": (stage, way) for number, (stage, way) in enumerate((s, w) for s in STAGES for w in ways)}
    firsts = {domain: Failing(stage, ways[way], pipelining, context) for domain, (stage, way) in cases.items()}
    second, port, listening = Failing("", (), pipelining, context), 0, []
    zone: dict[tuple[str, str], list[str]] = {("mx2.example", "A"): ["127.0.0.3"]}
    for number, (domain, first) in enumerate([("", second), *firsts.items()]):
        address = f"127.1.{number // 200}.{number % 200 + 1}" if domain else "127.0.0.3"
        listening.append(await asyncio.start_server(first.serve, address, port))
        port = port or listening[0].sockets[0].getsockname()[1]
        zone |= {(domain, "MX"): [f"10 mx.{domain}.", "20 mx2.example."], (f"mx.{domain}", "A"): [address]}
    with name_server(zone) as names:
        office = Office(tmp_path, names, port, seconds=seconds)
        for domain in cases:
            (office.folder / "message").write_bytes(
                f"Return-Path: <a@mic.gov.vn>\r\nX: {domain}\r\n".encode() + STUFFED[:-6] + b".x\r\n"
            )
            office.put(domain, f"b@{domain}")
            (office.folder / "message").unlink()
        async with office.sending() as senders:
            await wait_on_loop(
                lambda: not senders.under_way and all(e.state.recipients[0].attempts for e in office.queue.entries())
            )
            found = {}
            told = {each.entry.entry_id: each for each in office.told}
            for domain in cases:
                entry = office.queue.read(domain)
                if entry is not None:
                    assert [each.standing for each in entry.state.recipients] == [Standing.OPEN]
                    assert re.match(r"4\.\d\.\d .", entry.state.recipients[0].reason), entry.state.recipients
                    found[domain] = WAITS
                elif domain in told:
                    assert re.match(r"5\.\d\.\d 554", told[domain].entry.state.recipients[0].reason)
                    assert told[domain].entry.state.recipients[0].reason.isprintable()
                    found[domain] = FAILED
                else:
                    found[domain] = NEXT if any(f"X: {domain}\r".encode() in each for each in second.messages) else FIRST
            wrong = {cases[d]: (was, expected(*cases[d])) for d, was in found.items() if was != expected(*cases[d])}
            reasons = {
                cases[e.entry_id]: e.state.recipients[0].reason for e in office.queue.entries() if cases[e.entry_id] in wrong
            }
            assert wrong == {}, reasons
            assert len(office.told) == len(told), "once"
            for first in firsts.values():
                first.well = True
            for entry in office.queue.entries():
                entry.retry(AdminDecision("mai"))
            senders.on_message("")
            await office.until()
            before = {domain: len(first.messages) for domain, first in firsts.items()}
            for domain in cases:  # its turn comes as if nothing had been
                (office.folder / "message").write_bytes(b"Return-Path: <a@mic.gov.vn>\r\nX: again\r\n\r\nx\r\n")
                office.put(f"again-{domain}", f"b@{domain}")
                (office.folder / "message").unlink()
            senders.on_message("")
            await senders.poll()
            await office.until()
            assert {domain: len(first.messages) - before[domain] for domain, first in firsts.items()} == dict.fromkeys(cases, 1)
            await wait_on_loop(lambda: senders.under_way == 0)
        await wait_on_loop(lambda: not any(each.open for each in firsts.values()))
    for each in listening:
        each.close()
    arrived = Counter(
        found[1].decode()
        for each in (second, *firsts.values())
        for octets in each.messages
        if octets.endswith(b"\r\n.\r\n") and (found := re.search(rb"X: (d\S+)", octets)) is not None  # type: ignore[assignment,index]
    )
    for domain, (stage, way) in cases.items():
        times = 1 + (stage == "END" and expected(stage, way) == WAITS) - (expected(stage, way) == FAILED and stage != "END")
        assert arrived[domain] == times, (stage, way)
