"""The queue beside Postfix's: 10,000 messages to 500 domains, a third of them dead; both empty it to one sink.

The living domains have an address each, on which one process takes mail; the dead refuse connections. Both servers start with a
full queue; ours begins with starting Python. Ours asks a name server for each domain; Postfix has a transport map.
"""

from __future__ import annotations

import asyncio
import atexit
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import uvloop

from measure import cpu_seconds, memory_kib
from servers import POSTFIX, Postfix, Server
from work import Bench, Figures

CONNECTIONS = 100
"""At most, of each server."""
BODY = b"From: a@bench.test\r\nTo: b@example.org\r\nSubject: queue\r\nMessage-ID: <%d@bench.test>\r\n\r\n" + b"x" * 70 + b"\r\n"
BODY = BODY + (b"y" * 70 + b"\r\n") * 40
TESTS = Path(__file__).parents[1] / "tests"


def is_alive(number: int) -> bool:
    """Every third domain is dead."""
    return number % 3 != 0


def address(number: int) -> str:
    return f"127.{10 if is_alive(number) else 20}.{number // 200 + 1}.{number % 200 + 1}"


# ------------------------------------------------------------ the sink


class Sink(asyncio.Protocol):
    """Takes everything; counts the messages of all connections."""

    count = 0

    def __init__(self) -> None:
        self._in_data, self._tail = False, b""

    def connection_made(self, transport: Any) -> None:
        self._transport = transport
        transport.write(b"220 mx ESMTP\r\n")

    def data_received(self, data: bytes) -> None:
        data, self._tail = self._tail + data, b""
        while data:
            if self._in_data:
                head, end, data = data.partition(b"\r\n.\r\n")
                if not end:
                    self._tail = head[-4:]
                    return
                self._in_data = False
                Sink.count += 1
                self._transport.write(b"250 2.0.0 taken\r\n")
                continue
            line, end, data = data.partition(b"\r\n")
            if not end:
                self._tail = line
                return
            self._answer(line[:4].upper())

    def _answer(self, verb: bytes) -> None:
        if verb == b"EHLO":
            self._transport.write(b"250-mx\r\n250-PIPELINING\r\n250-8BITMIME\r\n250 SIZE 100000000\r\n")
        elif verb == b"DATA":
            self._in_data = True
            self._transport.write(b"354 go\r\n")
        elif verb == b"QUIT":
            self._transport.write(b"221 bye\r\n")
            self._transport.close()
        else:
            self._transport.write(b"250 2.0.0 OK\r\n")


async def run_sink(domains: int, counter: Path, port: int) -> None:
    loop = asyncio.get_running_loop()
    for number in filter(is_alive, range(domains)):
        await loop.create_server(Sink, address(number), port, backlog=200)
    while True:
        counter.with_suffix(".new").write_text(str(Sink.count))
        counter.with_suffix(".new").rename(counter)
        await asyncio.sleep(0.02)


def run_names(domains: int, port: int) -> None:
    sys.path.insert(0, str(TESTS))
    from dns_server import NameServer

    server = NameServer({(f"d{n}.example", "A"): [address(n)] for n in range(domains)})

    async def serve() -> None:
        class Datagrams(asyncio.DatagramProtocol):
            def connection_made(self, transport: Any) -> None:
                self.transport = transport

            def datagram_received(self, data: bytes, addr: Any) -> None:
                answer = server.answer(data, "udp")
                if answer is not None:
                    self.transport.sendto(answer, addr)

        await asyncio.get_running_loop().create_datagram_endpoint(Datagrams, ("127.0.0.1", port))
        await asyncio.Event().wait()

    asyncio.run(serve())


# ------------------------------------------------------------ the two servers


class PostfixQueue:
    """A queue full of deferred mail, which is flushed."""

    def __init__(self, folder: Path, messages: int, domains: int, ports: int) -> None:
        self._postfix = Postfix(folder, ports + 125)
        (folder / "etc").mkdir(parents=True)
        routes = (f"d{n}.example smtp:[{address(n)}]:{ports + 25}\n" for n in range(domains))
        (folder / "etc" / "transport").write_text("".join(routes))
        pid = self._postfix.start(
            f"transport_maps = texthash:{folder}/etc/transport\ndefault_process_limit = {CONNECTIONS}\n"
            "smtp_tls_security_level = none\ndefer_transports = smtp\n"
        )
        asyncio.run(_submit(messages, domains, ports + 125))
        deferred = folder / "queue" / "deferred"
        while sum(len(files) for _, _, files in os.walk(deferred)) < messages:
            time.sleep(0.2)
        self.pids = [pid]

    def begin(self) -> None:
        self._postfix.control("postconf", "-e", "defer_transports=")
        self._postfix.control("postfix", "reload")
        self._postfix.control("postqueue", "-f")

    def stop(self) -> None:
        self._postfix.stop()


async def _submit(messages: int, domains: int, port: int) -> None:
    """Over twenty connections."""

    async def some(first: int) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)

        async def ask(octets: bytes, replies: int = 1) -> None:
            writer.write(octets)
            for _ in range(replies):
                while (line := await reader.readline())[3:4] == b"-":
                    pass
                assert line[:1] in b"23", line

        await ask(b"")
        await ask(b"EHLO bench\r\n")
        for number in range(first, messages, 20):
            to = b"b@d%d.example" % (number % domains)
            await ask(b"MAIL FROM:<a@bench.test>\r\nRCPT TO:<%b>\r\nDATA\r\n" % to, 3)
            await ask(BODY % number + b".\r\n")
        writer.close()

    await asyncio.gather(*(some(first) for first in range(20)))


class OurQueue:
    """A full queue, and a server that is started."""

    def __init__(self, folder: Path, messages: int, domains: int, ports: int) -> None:
        from mic_mail.mailbox_address import MailboxAddress
        from mic_mail.queue.local_queue import LocalQueue
        from mic_mail.queue.queue import QueueEnvelope, QueueRecipient

        data = folder / "data"
        folder.mkdir(parents=True, exist_ok=True)
        self._config = folder / "mic-mail.toml"
        self._command = [sys.executable, "-m", "mic_mail", "--config", str(self._config)]
        init = ["init", "--domain", "bench.test", "--hostname", "mx.bench.test", "--data-dir", str(data), "--yes"]
        subprocess.run([*self._command, *init], check=True, capture_output=True)
        self._config.write_text(
            f'[server]\ndomain = "bench.test"\nhostname = "mx.bench.test"\ndata_dir = "{data}"\n'
            f'[listen]\naddresses = ["127.0.0.1"]\ndoors = ["smtp"]\nsmtp = 0\n[process]\nworkers = 1\n'
            f'[dns]\nnameservers = ["127.0.0.1:{ports + 53}"]\n[sending]\nport = {ports + 25}\nconnections = {CONNECTIONS}\n'
        )
        queue, head = LocalQueue(data / "queue"), b"Return-Path: <a@bench.test>\r\n"
        for number in range(messages):
            message = data / f"m{number}"
            message.write_bytes(head + BODY % number)
            recipients = (QueueRecipient(MailboxAddress.parse(f"b@d{number % domains}.example")),)
            envelope = QueueEnvelope(
                trace_id=f"{number:08}",
                sender=MailboxAddress.parse("a@bench.test"),
                recipients=recipients,
                accepted_at_us=time.time_ns() // 1000,
                return_path_octets=len(head),
            )
            queue.put(f"{number:08}", message, envelope)
            message.unlink()
        queue.close()
        self.pids: list[int] = []

    def begin(self) -> None:
        log = self._config.with_suffix(".log").open("wb")
        self._process = subprocess.Popen([*self._command, "serve"], stdout=log, stderr=log)
        self.pids = [self._process.pid]

    def stop(self) -> None:
        self._process.terminate()
        self._process.wait(60)


# ------------------------------------------------------------ the run


def prepare(bench: Bench, servers: Sequence[Server]) -> None:
    """Start the sink and the name server, which end with this process."""
    counter = bench.folder / "arrived"
    for role in ("sink", "names"):
        helper = subprocess.Popen(
            [sys.executable, __file__, role, str(bench.sizes.domains), str(counter), str(bench.ports_from)]
        )
        atexit.register(helper.kill)
    while not counter.exists():
        time.sleep(0.1)


def turn(bench: Bench, server: Server) -> Figures:
    """Empty a full queue: the rate between a tenth and nine tenths of what can arrive, CPU and memory of the whole."""
    counter, sizes = bench.folder / "arrived", bench.sizes
    folder = Path(tempfile.mkdtemp(prefix=f"queue-{server.name}-", dir=bench.folder))
    queue = (PostfixQueue if server.name == POSTFIX else OurQueue)(folder, sizes.queued, sizes.domains, bench.ports_from)
    time.sleep(2)
    try:
        return _watch(queue, counter, sum(is_alive(number % sizes.domains) for number in range(sizes.queued)))
    finally:
        queue.stop()


def _watch(queue: PostfixQueue | OurQueue, counter: Path, wanted: int, most_seconds: float = 300) -> Figures:
    before, cpu = int(counter.read_text()), cpu_seconds(queue.pids)
    begun, most = time.monotonic(), 0
    marks = dict.fromkeys((0.1, 0.9, 1.0), 0.0)
    queue.begin()
    while not marks[1.0]:
        arrived = int(counter.read_text()) - before
        most = max(most, memory_kib(queue.pids))
        for share, seen in marks.items():
            if not seen and arrived >= wanted * share:
                marks[share] = time.monotonic()
        if time.monotonic() > begun + most_seconds:
            raise TimeoutError(f"{arrived} of {wanted} messages arrived")
        time.sleep(0.05)
    return {
        "per_s": 0.8 * wanted / max(0.05, marks[0.9] - marks[0.1]),
        "seconds": marks[1.0] - begun,
        "cpu_s": cpu_seconds(queue.pids) - cpu,
        "pss_mib": most / 1024,
    }


if __name__ == "__main__":
    role, count, place, ports = sys.argv[1:]
    if role == "sink":
        uvloop.run(run_sink(int(count), Path(place), int(ports) + 25))
    else:
        run_names(int(count), int(ports) + 53)
