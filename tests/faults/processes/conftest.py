"""A server of several processes that the tests of a module share, and its clients."""

import imaplib
import os
import signal
import smtplib
import socket
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from harness import STAYING, ProcessServer, Standing, config_for, stopping
from population import PASSWORD

ADDRESS = "dvbe@mic.gov.vn"
GUESSED, WOKEN, INTERRUPTED = "ndan@mic.gov.vn", "ttlan@mic.gov.vn", "pqlong@mic.gov.vn"
"""Whose mailboxes one test each needs for itself."""


@pytest.fixture(scope="module")
def standing(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Standing]:
    """Two workers and some people."""

    def make(number: int) -> ProcessServer:
        folder = tmp_path_factory.mktemp(f"standing{number}")
        made = ProcessServer(config_for(folder / "data", {"process": {"workers": 2}}), folder)
        made.program = ["-c", STAYING]
        for address in (ADDRESS, GUESSED, WOKEN, INTERRUPTED):
            made.population.issue(address.partition("@")[0])
        return made

    one = Standing(make)
    with stopping([one]):
        yield one


@pytest.fixture
def server(standing: Standing) -> ProcessServer:
    return standing.get()


def sign_in(server: ProcessServer, address: str = ADDRESS) -> imaplib.IMAP4_SSL:
    """A signed-in IMAP session."""
    client = imaplib.IMAP4_SSL("localhost", server.ports["imaps"], ssl_context=server.tls(), timeout=30)
    client.authenticate("PLAIN", lambda _: f"\0{address}\0{PASSWORD}".encode())
    return client


def message(name: str) -> bytes:
    return f"From: a@example.org\r\nTo: {ADDRESS}\r\nSubject: {name}\r\n\r\n{name}\r\n".encode()


def stored(server: ProcessServer, address: str = ADDRESS) -> list[tuple[int, str]]:
    """UID and subject of everything in INBOX, by UID."""
    client = sign_in(server, address)
    client.select(readonly=True)
    _, answers = client.uid("FETCH", "1:*", "(UID BODY.PEEK[HEADER.FIELDS (SUBJECT)])")
    client.logout()
    pairs = [answer for answer in answers if isinstance(answer, tuple)]
    return sorted((int(head.split(b"UID ")[1].split()[0]), body.decode().split(": ")[1].strip()) for head, body in pairs)


def kill_and_wait(server: ProcessServer, pid: int) -> None:
    """Kill a process, and wait until another has taken its place."""
    os.kill(pid, signal.SIGKILL)
    server.wait_for(lambda state: state["ready"] and pid not in [one["pid"] for one in state["processes"]])


class Sender(threading.Thread):
    """Delivers messages of distinct names, one after the other, reconnecting when the connection is cut."""

    def __init__(self, server: ProcessServer, name: str) -> None:
        super().__init__(daemon=True)
        self._server = server
        self._label = name
        self.acknowledged: list[str] = []
        self.cuts = 0
        self.ending = threading.Event()

    def run(self) -> None:
        number = 0
        while not self.ending.is_set():
            try:
                with smtplib.SMTP(self._server.host, self._server.ports["smtp"], timeout=30) as client:
                    while not self.ending.is_set():
                        number += 1
                        name = f"{self._label}-{number}"
                        client.sendmail("a@example.org", [ADDRESS], message(name))
                        self.acknowledged.append(name)
            except (OSError, smtplib.SMTPException):
                self.cuts += 1


def wait_until_closed(server: ProcessServer) -> None:
    """Until the port takes no connection any more. One that waited in the backlog of a socket that closed is reset."""
    with suppress(ConnectionRefusedError):
        while True:
            with suppress(ConnectionResetError):
                socket.create_connection((server.host, server.ports["smtp"])).close()


def zombie(pid: int) -> bool:
    """Ended, and only not yet collected by whoever adopted it."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except OSError:
        return True
