"""A name server on loopback with a zone of the test's own, by UDP and TCP; it can be silent, fail, cut short and sign."""

import asyncio
import contextlib
import struct
from collections.abc import Iterator, Mapping, Sequence

import dns.flags
import dns.message
import dns.rcode
import dns.rdatatype
import dns.rrset

from event_loops import loop_thread
from mic_mail.net.dns import Resolver
from waiting import PATIENCE_SECONDS

Zone = Mapping[tuple[str, str], Sequence[str]]
SILENT, BROKEN, DENIED, ALIAS = "silent", "broken", "denied", "CNAME"
SILENCE_SECONDS = 3.0
"""How long an answer is waited for that never comes."""


class NameServer:
    """Answers for names without their last dot, in lower case: `{("example.org", "MX"): ["10 mx.example.org."]}`."""

    def __init__(self, zone: Zone, *, signed: Sequence[str] = (), troubles: Mapping[str, str] | None = None) -> None:
        """`signed`: names whose answers it calls validated; `troubles`: names to which it is SILENT or BROKEN (SERVFAIL) or
        which it says are DENIED (NXDOMAIN), or a name with a type."""
        self.zone = dict(zone)
        self.signed = set(signed)
        self.troubles: dict[str | tuple[str, str], str] = {**(troubles or {})}
        self.asked: list[tuple[str, str, str]] = []
        """Name, type, and by which transport."""
        self.port = 0
        self.ttl = 300
        """Seconds that each answer has."""

    @property
    def place(self) -> str:
        return f"127.0.0.1:{self.port}"

    def resolver(self, *names: str) -> Resolver:
        """Return one that asks this server; one that is to ask for `names` that have no answer gives up soon."""
        silent = {key if isinstance(key, str) else key[0] for key, trouble in self.troubles.items() if trouble == SILENT}
        return Resolver([self.place], seconds=SILENCE_SECONDS if silent.intersection(names) else PATIENCE_SECONDS)

    def answer(self, octets: bytes, transport: str) -> bytes | None:
        query = dns.message.from_wire(octets)
        question = query.question[0]
        name, kind = question.name.to_text(omit_final_dot=True).lower(), dns.rdatatype.to_text(question.rdtype)
        self.asked.append((name, kind, transport))
        trouble = self.troubles.get(name) or self.troubles.get((name, kind))
        if trouble == SILENT:
            return None
        response = dns.message.make_response(query)
        response.flags |= dns.flags.RA
        if trouble == BROKEN:
            response.set_rcode(dns.rcode.SERVFAIL)
            return response.to_wire()
        if trouble == DENIED:
            response.set_rcode(dns.rcode.NXDOMAIN)
            return response.to_wire()
        if name in self.signed:
            response.flags |= dns.flags.AD
        seen = name
        while (seen, ALIAS) in self.zone and kind != ALIAS:
            (target,) = self.zone[seen, ALIAS]
            response.answer.append(dns.rrset.from_text(f"{seen}.", self.ttl, "IN", ALIAS, target))
            seen = target.rstrip(".")
        if records := self.zone.get((seen, kind)):
            response.answer.append(dns.rrset.from_text(f"{seen}.", self.ttl, "IN", kind, *records))
        elif not any(known == seen or known.endswith(f".{seen}") for known, _ in self.zone):
            response.set_rcode(dns.rcode.NXDOMAIN)
        if transport == "udp" and len(response.to_wire(max_size=65_535)) > max(query.payload, 512):
            response.answer.clear()
            response.flags |= dns.flags.TC
        return response.to_wire(max_size=65_535)

    async def start(self) -> None:
        server = self

        class Datagrams(asyncio.DatagramProtocol):
            def connection_made(self, transport: asyncio.BaseTransport) -> None:
                self._transport = transport

            def datagram_received(self, data: bytes, address: tuple[str, int]) -> None:
                if (told := server.answer(data, "udp")) is not None:
                    self._transport.sendto(told, address)  # type: ignore[attr-defined]  # a DatagramTransport

        async def stream(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            with contextlib.suppress(asyncio.IncompleteReadError, OSError):
                while True:
                    (length,) = struct.unpack("!H", await reader.readexactly(2))
                    if (told := self.answer(await reader.readexactly(length), "tcp")) is not None:
                        writer.write(struct.pack("!H", len(told)) + told)
            writer.close()

        loop = asyncio.get_running_loop()
        while True:  # the port that is free for streams may be taken for datagrams
            listening = await asyncio.start_server(stream, "127.0.0.1", 0)
            self.port = listening.sockets[0].getsockname()[1]
            try:
                await loop.create_datagram_endpoint(Datagrams, local_addr=("127.0.0.1", self.port))
            except OSError:
                listening.close()
            else:
                return


@contextlib.contextmanager
def name_server(zone: Zone, *, signed: Sequence[str] = (), troubles: Mapping[str, str] | None = None) -> Iterator[NameServer]:
    """One that runs in a thread of its own."""
    server = NameServer(zone, signed=signed, troubles=troubles)
    with loop_thread() as loop:
        loop.call(server.start())
        yield server
