"""Reg. 7.1, 7.2.c on the real processes: one act ends everything that a mailbox has open, on every worker."""

import base64
import os
import socket
import ssl
import subprocess
import sys
from collections.abc import Callable

import pytest

from harness import ProcessServer
from population import PASSWORD
from waiting import wait_for

PLAIN = base64.b64encode(f"\0dvbe@mic.gov.vn\0{PASSWORD}".encode()).decode()
MESSAGE = b"From: dvbe@mic.gov.vn\r\nTo: ttlan@mic.gov.vn\r\nSubject: giua chung\r\n\r\n" + b"x" * 5_000
PATIENCE_SECONDS = 60


class Wire:
    """A client that sends lines and reads until something comes, or the end."""

    def __init__(self, server: ProcessServer, door: str) -> None:
        bare = socket.create_connection((server.host, server.ports[door]), PATIENCE_SECONDS)
        self.socket: ssl.SSLSocket = server.tls().wrap_socket(bare, server_hostname="localhost")
        self.read = b""

    def send(self, octets: bytes) -> None:
        self.socket.sendall(octets)

    def until(self, wanted: bytes) -> bytes:
        """What was read by the time that `wanted` stood in it."""
        while wanted not in self.read:
            octets = self.socket.recv(65_536)
            assert octets, self.read
            self.read += octets
        read, self.read = self.read, b""
        return read

    def end(self) -> bytes:
        """Everything until the server closes."""
        try:
            while octets := self.socket.recv(65_536):
                self.read += octets
        except ConnectionError:
            pass
        return self.read


def idling(server: ProcessServer) -> Wire:
    wire = signed_in(server)
    wire.send(b"b SELECT INBOX\r\nc IDLE\r\n")
    wire.until(b"+ ")
    return wire


def signed_in(server: ProcessServer) -> Wire:
    wire = Wire(server, "imaps")
    wire.send(f"a AUTHENTICATE PLAIN {PLAIN}\r\n".encode())
    wire.until(b"a OK")
    return wire


def appending(server: ProcessServer) -> Wire:
    """Half of a literal is sent."""
    wire = signed_in(server)
    wire.send(b"d APPEND INBOX {%d}\r\n" % len(MESSAGE))
    wire.until(b"+ ")
    wire.send(MESSAGE[:1_000])
    return wire


def popping(server: ProcessServer) -> Wire:
    wire = Wire(server, "pop3s")
    wire.until(b"+OK")
    wire.send(f"AUTH PLAIN {PLAIN}\r\n".encode())
    wire.until(b"+OK")
    return wire


def sending(server: ProcessServer) -> Wire:
    """Half of a message is sent."""
    wire = Wire(server, "submissions")
    wire.until(b"220 ")
    wire.send(b"EHLO [127.0.0.1]\r\n")
    wire.until(b"250 ")
    wire.send(f"AUTH PLAIN {PLAIN}\r\n".encode())
    wire.until(b"235 ")
    wire.send(b"MAIL FROM:<dvbe@mic.gov.vn>\r\nRCPT TO:<ttlan@mic.gov.vn>\r\nDATA\r\n")
    wire.until(b"354 ")
    wire.send(MESSAGE[:1_000])
    return wire


@pytest.fixture
def server(serve_processes: Callable[..., ProcessServer]) -> ProcessServer:
    server = serve_processes({"process": {"workers": 2}})
    server.population.issue("dvbe", name="Đỗ Văn Bê")
    server.population.issue("ttlan", name="Trần Thị Lan")
    server.start()
    return server


def command(server: ProcessServer, *words: str) -> str:
    """`mic-mail WORDS` as an administrator runs it."""
    env = {**os.environ, "LC_ALL": "C.UTF-8"}
    program = [sys.executable, "-m", "mic_mail", "--config", str(server.file), *words]
    done = subprocess.run(program, env=env, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def cut_on(server: ProcessServer) -> set[str]:
    """The workers whose logs tell of a session that was cut, once they had time to write it."""

    def found() -> set[str]:
        logs = [path for path in server.config.log_dir.glob("*.worker*.jsonl") if b'"session_cut"' in path.read_bytes()]
        return {path.name.split(".")[1] for path in logs}

    return wait_for(lambda: len(workers := found()) > 1 and workers, found)


@pytest.mark.slow
def test_clause_7_1_one_act_ends_everything(server: ProcessServer) -> None:
    """Suspended while it idles, appends, sends, on both workers: each session ends, and nothing half-done stays."""
    idle = [idling(server) for _ in range(6)]
    append, pop, data = appending(server), popping(server), sending(server)
    command(server, "mailbox", "suspend", "dvbe@mic.gov.vn", "--cause", "c", "--reason", "lộ mật khẩu")
    for wire in idle:
        assert b"* BYE" in wire.end()
    pop.end()
    for wire, rest in ((append, MESSAGE[1_000:] + b"\r\n"), (data, MESSAGE[1_000:] + b"\r\n.\r\n")):
        try:
            wire.send(rest)
        except OSError:  # it is closed already
            continue
    told = data.end()
    assert b"250 " not in told
    assert b"d OK" not in append.end()
    assert cut_on(server) == {"worker0", "worker1"}
    assert {event["clause"] for event in server.events() if event.get("event") == "session_cut"} == {"7.2.c"}
    refused = Wire(server, "imaps")
    refused.send(f"a AUTHENTICATE PLAIN {PLAIN}\r\n".encode())
    assert b"a NO [CONTACTADMIN]" in refused.until(b"a NO")
    delivered = [event for event in server.events() if event.get("event") == "message_delivered"]
    assert delivered == []
