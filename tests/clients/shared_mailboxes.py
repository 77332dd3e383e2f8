"""IMAP sessions in which people meet in a shared mailbox."""

import imaplib
import re
import smtplib
from typing import Any

from clients.smtp_sessions import letter
from harness import MailServer
from population import PASSWORD
from waiting import wait_for

CNTT, DVBE, TTLAN = "cntt@mic.gov.vn", "dvbe@mic.gov.vn", "ttlan@mic.gov.vn"
SECONDS = 10.0
"""A generous "within seconds": the change feed tells at once, the poll each two."""


def sign_in(server: MailServer, address: str = DVBE) -> imaplib.IMAP4_SSL:
    client = imaplib.IMAP4_SSL("localhost", server.ports["imaps"], ssl_context=server.tls(), timeout=20)
    client.authenticate("PLAIN", lambda _: f"\0{address}\0{PASSWORD}".encode())
    return client


def deliver(server: MailServer, to: str, subject: str = "Công văn") -> None:
    with smtplib.SMTP(server.host, server.ports["smtp"], "client.example", timeout=10) as client:
        client.send_message(letter("a@a.example", to, body=subject))


def events_named(server: MailServer, name: str, count: int) -> list[dict[str, Any]]:
    """The events of this name; the log is written in a thread of its own, so at least so many are waited for."""
    return wait_for(
        lambda: len(found := [event for event in server.events() if event["event"] == name]) >= count and found, name
    )


def idle(client: imaplib.IMAP4_SSL) -> None:
    """Begin IDLE, by hand: imaplib of Python 3.11 has none."""
    client.send(b"x1 IDLE\r\n")
    assert client.readline().startswith(b"+ ")


def read_until(client: imaplib.IMAP4_SSL, expression: bytes) -> bytes:
    """The first line that matches, within SECONDS."""
    client.socket().settimeout(SECONDS)
    while line := client.readline():
        if re.match(expression, line):
            return line
    raise AssertionError(f"closed before {expression!r}")
