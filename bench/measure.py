"""What the benchmarks read from the machine and from IMAP: CPU and memory of process trees, and a lean blocking client."""

from __future__ import annotations

import os
import re
import socket
import ssl
import time
from pathlib import Path


def tree(pids: list[int]) -> list[int]:
    """`pids` and all their descendants that live now."""
    children: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                parent = int((entry / "stat").read_text().rsplit(")", 1)[1].split()[1])
            except OSError:
                continue
            children.setdefault(parent, []).append(int(entry.name))
    todo, found = list(pids), []
    while todo:
        pid = todo.pop()
        found.append(pid)
        todo += children.get(pid, [])
    return found


def cpu_seconds(pids: list[int]) -> float:
    """CPU time of the tree and of its children that ended."""
    ticks = 0
    for pid in tree(pids):
        try:
            fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
        except OSError:
            continue
        ticks += sum(map(int, fields[11:15]))
    return ticks / os.sysconf("SC_CLK_TCK")


def memory_kib(pids: list[int], what: str = "Pss") -> int:
    """KiB over the tree: Pss from smaps_rollup, or RssAnon from status."""
    source = "status" if what == "RssAnon" else "smaps_rollup"
    total = 0
    for pid in tree(pids):
        try:
            match = re.search(rf"^{what}:\s+(\d+)", Path(f"/proc/{pid}/{source}").read_text(), re.MULTILINE)
        except OSError:
            continue
        total += int(match[1]) if match else 0
    return total


def sleeps(pids: list[int]) -> int:
    """How often the threads of the tree have gone to sleep so far: each wakes up again."""
    total = 0
    for pid in tree(pids):
        for task in Path(f"/proc/{pid}/task").glob("*/status"):
            try:
                match = re.search(r"^voluntary_ctxt_switches:\s+(\d+)", task.read_text(), re.MULTILINE)
            except OSError:
                continue
            total += int(match[1]) if match else 0
    return total


class ImapClient:
    """One blocking connection that only looks for the tagged line, so that the client costs little."""

    def __init__(self, port: int, *, tls: bool = False, timeout: float = 120) -> None:
        self._socket: socket.socket = socket.create_connection(("127.0.0.1", port), timeout)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if tls:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
            self._socket = context.wrap_socket(self._socket)
        self._number = 0
        self._socket.recv(4096)

    def login(self, user: str, password: str) -> ImapClient:
        """Sign in; RuntimeError when refused."""
        self.command(f'LOGIN "{user}" "{password}"')
        return self

    def command(self, line: str, *literals: bytes, keep: bool = False) -> tuple[float, int, bytes]:
        """Send one command, `{}` in it standing for the literals in turn (LITERAL+). Seconds, octets read, and the
        response (its last 64 KiB unless `keep`); RuntimeError unless the answer is OK."""
        self._number += 1
        tag = b"B%d " % self._number
        pieces = line.split("{}")
        data = bytearray(tag + pieces[0].encode())
        for literal, rest in zip(literals, pieces[1:], strict=True):
            data += b"{%d+}\r\n" % len(literal) + literal + rest.encode()
        start = time.perf_counter()
        self._socket.sendall(bytes(data + b"\r\n"))
        octets, tail = 0, bytearray()
        while True:
            chunk = self._socket.recv(1 << 20)
            if not chunk:
                raise EOFError(f"closed during {line[:60]}")
            octets += len(chunk)
            tail += chunk
            if not keep and len(tail) > 1 << 17:
                del tail[: -(1 << 16)]
            if tail.endswith(b"\r\n"):
                last = tail.rfind(b"\r\n", 0, len(tail) - 2) + 2 if tail.count(b"\r\n", -4096) > 1 else 0
                if tail.startswith(tag, last):
                    seconds = time.perf_counter() - start
                    if not tail.startswith(tag + b"OK", last):
                        raise RuntimeError(bytes(tail[last:]).decode("utf-8", "replace").strip())
                    return seconds, octets, bytes(tail)

    def close(self) -> None:
        """Drop the connection."""
        self._socket.close()
