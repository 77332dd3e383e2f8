"""Peers that mean harm or are broken, on the running processes: others are served, memory stays bounded, nobody dies.

Memory is the resident set of all workers as the kernel counts it. After each attack a witness delivers and reads.
All attacks come upon the same server.
"""

import contextlib
import os
import select
import socket
import ssl
import struct
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from faults.wire import Imap, Line, Smtp
from harness import ProcessServer, config_for, stopping
from population import PASSWORD
from waiting import wait_for

pytestmark = pytest.mark.slow

ADDRESS = "dvbe@mic.gov.vn"
MIB = 1 << 20
ROOM = 1 << 16
RESET = struct.pack("ii", 1, 0)
"""SO_LINGER: close by RST."""
BOUND = 64 * MIB
"""What any of these attacks may add to the memory of two workers."""
ANSWER_SECONDS = 20.0
"""For which a witness waits for each answer; all take well under one second on a machine that is not busy."""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ProcessServer]:
    """Two workers and one person."""
    folder = tmp_path_factory.mktemp("hostile")
    made = ProcessServer(config_for(folder / "data", {"process": {"workers": 2}, "auth": {"cleartext": True}}), folder)
    with stopping([made]):
        made.population.issue("dvbe")
        made.start()
        witness(made)
        yield made


def witness(server: ProcessServer) -> None:
    """Deliver and read, as any person does."""
    smtp = Smtp(server.ports["smtp"], ANSWER_SECONDS)
    smtp.deliver([ADDRESS], b"Subject: witness\r\n\r\nx\r\n")
    smtp.close()
    imap = Imap(server.ports["imap"], ADDRESS, PASSWORD, ANSWER_SECONDS)
    imap.command(b"SELECT INBOX")
    imap.command(b"FETCH * (UID BODY.PEEK[])")
    imap.close()


def memory(server: ProcessServer) -> int:
    """Resident octets of all workers."""
    total = 0
    for pid in server.workers():
        [line] = [one for one in Path(f"/proc/{pid}/status").read_text().splitlines() if one.startswith("VmRSS")]
        total += int(line.split()[1]) << 10
    return total


@contextlib.contextmanager
def attacked(server: ProcessServer) -> Iterator[None]:
    """Around an attack that is still going on at the end of the block: the same processes, bounded memory, others served."""
    workers, before = server.workers(), memory(server)
    yield
    witness(server)
    grown = memory(server) - before
    assert grown < BOUND, f"{grown / MIB:.0f} MiB more"
    assert server.workers() == workers


def connect(server: ProcessServer, door: str) -> socket.socket:
    return socket.create_connection((server.host, server.ports[door]), ANSWER_SECONDS)


def connect_deaf(server: ProcessServer, door: str) -> socket.socket:
    """A connection that has hardly any room for answers that nobody reads, and shows soon how much the server has taken."""
    client = socket.socket()
    client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)  # before the window is told
    client.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, ROOM)
    client.settimeout(ANSWER_SECONDS)
    client.connect((server.host, server.ports[door]))
    return client


def push(client: socket.socket, octets: bytes, times: int = 1) -> int:
    """Write until the server takes no more or hangs up; how much it took."""
    client.settimeout(2)
    sent = 0
    with contextlib.suppress(OSError):
        for _ in range(times):
            sent += client.send(octets)
    return sent


def rush(clients: list[socket.socket], octets: bytes) -> None:
    """The same by all of them side by side, until the server takes no more from anybody or has hung up."""
    left = dict.fromkeys(clients, memoryview(octets))
    for client in clients:
        client.setblocking(False)
    while left:
        _, ready, _ = select.select([], list(left), [], 2)
        if not ready:
            return
        for client in ready:
            try:
                left[client] = left[client][client.send(left[client][:ROOM]) :]
            except OSError:
                left[client] = memoryview(b"")
            if not left[client]:
                del left[client]


def reset(client: socket.socket) -> None:
    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
    client.close()


def drained(client: socket.socket) -> bytes:
    """All that comes until the server hangs up."""
    client.settimeout(ANSWER_SECONDS)
    said = b""
    with contextlib.suppress(OSError):
        while octets := client.recv(65536):
            said += octets
    return said


@pytest.mark.parametrize("door", ["smtp", "imap"])
def test_five_hundred_connections_that_never_sign_in(server: ProcessServer, door: str) -> None:
    """Each drips an octet now and then; the others are served in time."""
    clients = [connect(server, door) for _ in range(500)]
    with attacked(server):
        for octet in (b"N", b"O", b"O"):
            for client in clients:
                client.send(octet)
    for client in clients:
        client.close()


def test_a_client_that_asks_for_everything_and_never_reads(server: ProcessServer) -> None:
    """FETCH of 40 MiB again and again with the window closed: the server holds no more than it can send."""
    imap = Imap(server.ports["imap"], ADDRESS, PASSWORD)
    large = b"Subject: x\r\n\r\n" + b"large\r\n" * (4 * MIB // 7)
    for _ in range(10):
        imap.command(b"APPEND INBOX {%d+}\r\n%s" % (len(large), large))
    deaf = []
    for _ in range(8):
        client = Imap(server.ports["imap"], ADDRESS, PASSWORD)
        client.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        client.command(b"SELECT INBOX")
        deaf.append(client)
    with attacked(server):
        for client in deaf:
            push(client.socket, b"X FETCH 1:* BODY.PEEK[]\r\n" * 50)
        time.sleep(2)  # the attack goes on while others work
    for client in deaf:
        client.close()


FLOODS = {
    "SMTP commands": ("smtp", b"EHLO x\r\n", b"NOOP\r\n" * 10_000),
    "SMTP recipients": ("smtp", b"EHLO x\r\nMAIL FROM:<>\r\n", b"RCPT TO:<dvbe@mic.gov.vn>\r\n" * 2_000),
    "SMTP nonsense": ("smtp", b"EHLO x\r\n", b"WAT\r\n" * 10_000),
    "SMTP a line without end": ("smtp", b"EHLO x\r\n", b"x" * MIB),
    "SMTP a message line without end": (
        "smtp",
        b"EHLO x\r\nMAIL FROM:<>\r\nRCPT TO:<dvbe@mic.gov.vn>\r\nDATA\r\n",
        b"x" * MIB,
    ),
    "SMTP BDAT of 4 GB": ("smtp", b"EHLO x\r\nMAIL FROM:<>\r\nRCPT TO:<dvbe@mic.gov.vn>\r\nBDAT 4000000000\r\n", b"x" * MIB),
    "IMAP commands": ("imap", b"", b"A NOOP\r\n" * 10_000),
    "IMAP nonsense": ("imap", b"", b"WAT\r\n" * 10_000),
    "IMAP a line without end": ("imap", b"", b"x" * MIB),
    "IMAP a literal of 4 GB": ("imap", b"A LOGIN {4000000000+}\r\n", b"x" * MIB),
    "IMAP literals before sign-in": ("imap", b"", b"A LOGIN {8000+}\r\n%s {8000+}\r\n%s\r\n" % (b"x" * 8000, b"y" * 8000)),
    "IMAP nesting": ("imap", b"", b"A SEARCH " + b"(" * MIB),
    "IMAP many capabilities": ("imap", b"", b"A CAPABILITY\r\n" * 10_000),
}


@pytest.mark.parametrize("name", FLOODS)
def test_a_flood(server: ProcessServer, name: str) -> None:
    """16 MiB from each of four strangers who do not read the answers."""
    door, opening, flood = FLOODS[name]
    clients = [connect_deaf(server, door) for _ in range(4)]
    with attacked(server):
        rush(clients, opening + flood * (16 * MIB // len(flood)))
    for client in clients:
        client.close()


@pytest.mark.parametrize("command", [b"A SEARCH " + b"(NOT " * 5000, b"A FETCH 1 (" + b"BODY[1.1" * 5000, b"A LIST (" * 5000])
def test_nesting_after_sign_in(server: ProcessServer, command: bytes) -> None:
    """A parser's depth is bounded, and so is its time."""
    client = Imap(server.ports["imap"], ADDRESS, PASSWORD)
    client.command(b"SELECT INBOX")
    with attacked(server):
        for _ in range(20):
            push(client.socket, command + b"\r\n")
    client.close()


@pytest.mark.parametrize("how", ["reset", "half-closed", "closed"])
def test_messages_that_break_off(server: ProcessServer, how: str) -> None:
    """In DATA and in APPEND, small and large: no message comes of it, and no file stays behind."""
    before = messages(server)
    broken: list[Line] = []
    with attacked(server):
        for octets in (100, 3 * MIB):
            for _ in range(10):
                smtp = Smtp(server.ports["smtp"])
                smtp.command(b"MAIL FROM:<a@a.example>", 250)
                smtp.command(b"RCPT TO:<dvbe@mic.gov.vn>", 250)
                smtp.command(b"DATA", 354)
                push(smtp.socket, b"Subject: x\r\n\r\n" + b"x\r\n" * (octets // 3))
                imap = Imap(server.ports["imap"], ADDRESS, PASSWORD)
                push(imap.socket, b"A APPEND INBOX {%d+}\r\n" % (2 * octets) + b"x" * octets)
                broken += [smtp, imap]
        for one in broken:
            if how == "half-closed":
                one.socket.shutdown(socket.SHUT_WR)
                continue
            if how == "reset":
                one.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
            one.close()
    for path in (server.config.mail_root / "mic.gov.vn/dvbe/Maildir/tmp", server.config.spool_dir / "tmp"):
        wait_for(lambda path=path: not list(path.iterdir()))
    assert messages(server) == before + 1  # the witness's
    for one in broken:
        one.close()


def messages(server: ProcessServer) -> int:
    reader = Imap(server.ports["imap"], ADDRESS, PASSWORD)
    found = reader.command(b"STATUS INBOX (MESSAGES)")
    reader.close()
    return int(found[-1][0].rpartition(b" ")[2].rstrip(b")\r\n"))


def test_nothing_said_in_the_open_counts_after_starttls(server: ProcessServer) -> None:
    """What somebody in the middle puts behind STARTTLS is thrown away, on every door that has it."""
    for door, before, injected, probe, answers in (
        (
            "smtp",
            b"EHLO x\r\nSTARTTLS\r\n",
            b"MAIL FROM:<evil@a.example>\r\n",
            b"RCPT TO:<dvbe@mic.gov.vn>\r\nQUIT\r\n",
            [b"503", b"221"],
        ),
        ("submission", b"EHLO x\r\nSTARTTLS\r\n", b"EHLO y\r\nNOOP\r\n", b"NOOP\r\nQUIT\r\n", [b"250", b"221"]),
        (
            "imap",
            b"A STARTTLS\r\n",
            b"B LOGIN dvbe@mic.gov.vn wrong\r\nC CAPABILITY\r\n",
            b"D NOOP\r\nE LOGOUT\r\n",
            [b"D OK", b"* BYE", b"E OK"],
        ),
    ):
        client = connect(server, door)
        client.sendall(before + injected)
        wanted = b"A OK" if door == "imap" else b"220 2."
        said = b""
        while wanted not in said:
            said += client.recv(4096)
        context = server.tls()
        try:
            secure = context.wrap_socket(client, server_hostname="localhost")
        except (ssl.SSLError, OSError):
            continue  # refusing the handshake is right as well
        secure.sendall(probe)
        lines = drained(secure).splitlines()
        assert len(lines) == len(answers), lines
        assert all(line.startswith(answer) for line, answer in zip(lines, answers, strict=True)), lines
        secure.close()
    witness(server)


def test_a_slow_reader_of_a_large_message_costs_nobody_else(server: ProcessServer) -> None:
    """Twenty clients that take a large message octet by octet, and twenty that drip one in."""
    imap = Imap(server.ports["imap"], ADDRESS, PASSWORD)
    large = b"Subject: x\r\n\r\n" + b"large\r\n" * (4 * MIB // 7)
    imap.command(b"APPEND INBOX {%d+}\r\n%s" % (len(large), large))
    readers: list[Line] = []
    for _ in range(20):
        reader = Imap(server.ports["imap"], ADDRESS, PASSWORD)
        reader.command(b"SELECT INBOX")
        reader.send(b"X FETCH 1:* BODY.PEEK[]\r\n")
        readers.append(reader)
    drips = [connect(server, "smtp") for _ in range(20)]
    for drip in drips:
        push(drip, b"EHLO x\r\nMAIL FROM:<>\r\nRCPT TO:<dvbe@mic.gov.vn>\r\nDATA\r\nSubject: ")
    with attacked(server):
        for _ in range(50):
            for reader in readers:
                reader.socket.recv(1)
            for drip in drips:
                drip.send(b"x")
    for one in (*readers, *drips):
        one.close()


def test_descriptors_come_back(server: ProcessServer) -> None:
    """Four hundred connections that are opened and reset leave no descriptor behind."""

    def descriptors() -> int:
        return sum(len(os.listdir(f"/proc/{pid}/fd")) for pid in server.workers())

    before = descriptors()
    for _ in range(200):
        for door in ("smtp", "imap"):
            reset(connect(server, door))
    witness(server)
    wait_for(lambda: descriptors() <= before + 20)
