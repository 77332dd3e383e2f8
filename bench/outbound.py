"""The queue beside Postfix's: 10,000 messages to 500 domains, a third of them dead; both empty it to one sink, in turns.

    python bench/outbound.py [--messages 10000] [--domains 500] [--runs 3] [--folder DIR] [--connections 100]

The living domains have an address each, on which one process takes mail; the dead refuse connections, or (`--silent 10`: every
tenth of them) take them and say nothing. Both servers start with a full queue; measured are the seconds until everything for
the living has arrived (ours begins with starting Python), until half and nine tenths of it have, the rate between a tenth and
nine tenths, CPU and memory.
Ours asks a name server for each domain; Postfix has a transport map.
As root, with the packages postfix and gcc.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import uvloop

from measure import cpu_seconds, memory_kib
from peers import read_pid, wait_for
from postfix_master import write_master

PORT, DNS_PORT, POSTFIX_PORT = 17025, 17053, 17125
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

    def __init__(self, *, silent: bool) -> None:
        self._silent, self._in_data, self._tail = silent, False, b""

    def connection_made(self, transport: Any) -> None:
        self._transport = transport
        if not self._silent:
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


async def run_sink(domains: int, silent_ones: int, counter: Path) -> None:
    loop = asyncio.get_running_loop()
    for number in range(domains):
        silent = not is_alive(number) and bool(silent_ones) and number % (3 * silent_ones) == 0
        if is_alive(number) or silent:
            await loop.create_server(lambda silent=silent: Sink(silent=silent), address(number), PORT, backlog=200)
    while True:
        counter.with_suffix(".new").write_text(str(Sink.count))
        counter.with_suffix(".new").rename(counter)
        await asyncio.sleep(0.02)


def run_names(domains: int) -> None:
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

        await asyncio.get_running_loop().create_datagram_endpoint(Datagrams, ("127.0.0.1", DNS_PORT))
        await asyncio.Event().wait()

    asyncio.run(serve())


# ------------------------------------------------------------ the two servers


POSTFIX = """\
compatibility_level = 3.10
queue_directory = {d}/queue
data_directory = {d}/data
command_directory = /usr/sbin
daemon_directory = /usr/lib/postfix/sbin
mail_owner = postfix
setgid_group = postdrop
inet_interfaces = 127.0.0.1
inet_protocols = ipv4
mynetworks = 127.0.0.0/8
myhostname = mx.bench.test
mydestination =
smtp_dns_support_level = disabled
transport_maps = texthash:{d}/etc/transport
default_process_limit = {connections}
smtp_tls_security_level = none
smtpd_relay_restrictions = permit_mynetworks, reject_unauth_destination
maillog_file = {d}/postfix.log
maillog_file_prefixes = {d}
"""


class Postfix:
    """A queue full of deferred mail, which is flushed."""

    name = "postfix"

    def __init__(self, folder: Path, messages: int, domains: int, connections: int) -> None:
        self._etc = folder / "etc"
        for name in ("etc", "queue", "data"):
            (folder / name).mkdir(parents=True, exist_ok=True)
        shutil.chown(folder / "data", "postfix")
        (self._etc / "main.cf").write_text(POSTFIX.format(d=folder, connections=connections) + "defer_transports = smtp\n")
        routes = (f"d{n}.example smtp:[{address(n)}]:{PORT}\n" for n in range(domains))
        (self._etc / "transport").write_text("".join(routes))
        write_master(self._etc / "master.cf", str(POSTFIX_PORT))
        self._control("postfix", "start")
        wait_for(POSTFIX_PORT)
        asyncio.run(_submit(messages, domains))
        deferred = folder / "queue" / "deferred"
        while sum(len(files) for _, _, files in os.walk(deferred)) < messages:
            time.sleep(0.2)
        self.pids = [read_pid(folder / "queue" / "pid" / "master.pid")]

    def _control(self, program: str, *words: str) -> None:
        subprocess.run([program, "-c", str(self._etc), *words], check=True, capture_output=True)

    def begin(self) -> None:
        self._control("postconf", "-e", "defer_transports=")
        self._control("postfix", "reload")
        self._control("postqueue", "-f")

    def stop(self) -> None:
        self._control("postfix", "stop")


async def _submit(messages: int, domains: int) -> None:
    """Over twenty connections."""

    async def some(first: int) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", POSTFIX_PORT)

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


class Ours:
    """A full queue, and a server that is started."""

    name = "ours"

    def __init__(self, folder: Path, messages: int, domains: int, connections: int) -> None:
        from mic_mail.mailbox_address import MailboxAddress
        from mic_mail.queue.queue import Queue, QueueEnvelope, QueueRecipient

        data = folder / "data"
        folder.mkdir(parents=True, exist_ok=True)
        self._config = folder / "mic-mail.toml"
        self._command = [sys.executable, "-m", "mic_mail", "--config", str(self._config)]
        init = ["init", "--domain", "bench.test", "--hostname", "mx.bench.test", "--data-dir", str(data), "--yes"]
        subprocess.run([*self._command, *init], check=True, capture_output=True)
        self._config.write_text(
            f'[server]\ndomain = "bench.test"\nhostname = "mx.bench.test"\ndata_dir = "{data}"\n'
            f'[listen]\naddresses = ["127.0.0.1"]\ndoors = ["smtp"]\nsmtp = 0\n[process]\nworkers = 1\n'
            f'[dns]\nnameservers = ["127.0.0.1:{DNS_PORT}"]\n[sending]\nport = {PORT}\nconnections = {connections}\n'
        )
        queue, head = Queue(data / "queue"), b"Return-Path: <a@bench.test>\r\n"
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


def measure(server: Any, counter: Path, wanted: int, most_seconds: float) -> dict[str, float | None]:
    """What is not known because the time was over is None."""
    before, cpu = int(counter.read_text()), cpu_seconds(server.pids)
    begun, most = time.monotonic(), 0
    marks = dict.fromkeys((0.1, 0.5, 0.9, 1.0), 0.0)
    server.begin()
    while not marks[1.0] and time.monotonic() < begun + most_seconds:
        arrived = int(counter.read_text()) - before
        most = max(most, memory_kib(server.pids))
        for share, seen in marks.items():
            if not seen and arrived >= wanted * share:
                marks[share] = time.monotonic()
        time.sleep(0.05)

    def after(share: float) -> float | None:
        return round(marks[share] - begun, 1) if marks[share] else None

    steady = round(0.8 * wanted / (marks[0.9] - marks[0.1])) if marks[0.9] else None
    return {
        "seconds": after(1.0), "half": after(0.5), "most": after(0.9), "arrived": int(counter.read_text()) - before,
        "per_second": steady, "cpu": round(cpu_seconds(server.pids) - cpu, 1), "memory_mib": most >> 10,
    }  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, value in (("messages", 10_000), ("domains", 500), ("runs", 3), ("connections", 100), ("silent", 0)):
        parser.add_argument(f"--{name}", type=int, default=value)
    parser.add_argument(
        "--most-seconds", type=float, default=900, help="for each run; what has not arrived by then counts as it is"
    )
    parser.add_argument("--folder", type=Path, default=None)
    parser.add_argument("--only", default="postfix,ours")
    parser.add_argument("role", nargs="?")
    parser.add_argument("counter", nargs="?", type=Path)
    given = parser.parse_args()
    if given.role == "sink":
        uvloop.run(run_sink(given.domains, given.silent, given.counter))
    if given.role == "names":
        run_names(given.domains)
    folder = given.folder or Path(tempfile.mkdtemp(prefix="outbound-", dir="/var/tmp"))
    folder.mkdir(parents=True, exist_ok=True)
    folder.chmod(0o755)
    counter = folder / "count"
    own = [sys.executable, __file__, "--domains", str(given.domains), "--silent", str(given.silent)]
    helpers = [subprocess.Popen([*own, role, str(counter)]) for role in ("sink", "names")]
    wanted = sum(is_alive(number % given.domains) for number in range(given.messages))
    found: dict[str, list[dict[str, float | None]]] = {}
    try:
        while not counter.exists():
            time.sleep(0.1)
        for run in range(given.runs):
            for make in [each for each in (Postfix, Ours) if each.name in given.only.split(",")]:
                server = make(folder / f"{make.name}{run}", given.messages, given.domains, given.connections)
                time.sleep(2)
                try:
                    found.setdefault(make.name, []).append(measure(server, counter, wanted, given.most_seconds))
                finally:
                    server.stop()
                print(make.name, json.dumps(found[make.name][-1]), flush=True)
    finally:
        for helper in helpers:
            helper.kill()
    middle = {name: statistics.median(row["per_second"] or 0 for row in rows) for name, rows in found.items()}
    if len(middle) == 2 and middle["postfix"]:
        print(f"ours / postfix: {middle['ours'] / middle['postfix']:.2f} (messages a second, medians of {given.runs})")


if __name__ == "__main__":
    main()
