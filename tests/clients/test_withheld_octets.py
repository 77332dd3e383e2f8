"""Clients whose kernel holds back the end of what they say until its beginning is acknowledged (Nagle's algorithm).

Our kernel would wait 40 ms with that acknowledgement, and never less: if each of many exchanges takes that long, it waits. The
quickest one tells, however busy the machine is.
"""

import imaplib
import socket
import time
from collections.abc import Callable

from harness import MailServer
from population import PASSWORD

DELAYED_ACKNOWLEDGEMENT_SECONDS = 0.04
EXCHANGES = 20
MESSAGE = b"From: a@a.example\r\nSubject: hai\r\n\r\nNoi dung.\r\n"


def quickest(exchange: Callable[[], object]) -> float:
    """Seconds."""
    times = []
    for _ in range(EXCHANGES):
        begin = time.perf_counter()
        exchange()
        times.append(time.perf_counter() - begin)
    return min(times)


def test_append_whose_line_end_comes_apart(mail_server: MailServer) -> None:
    """imaplib writes the literal and then the line end, and does not switch Nagle's algorithm off."""
    with imaplib.IMAP4(mail_server.host, mail_server.ports["imap"]) as client:
        client.starttls(mail_server.tls())
        client.authenticate("PLAIN", lambda _: f"\0dvbe@mic.gov.vn\0{PASSWORD}".encode())
        assert quickest(lambda: client.append("INBOX", "", "", MESSAGE)) < DELAYED_ACKNOWLEDGEMENT_SECONDS


def test_message_whose_last_line_comes_apart(mail_server: MailServer) -> None:
    """The lone dot in a write of its own, as many senders have it."""
    with socket.create_connection((mail_server.host, mail_server.ports["smtp"]), timeout=10) as client:
        answers = client.makefile("rb")

        def say(*pieces: bytes) -> bytes:
            for piece in pieces:
                client.sendall(piece)
            while (line := answers.readline())[3:4] == b"-":
                pass
            return line

        def send() -> None:
            say(b"MAIL FROM:<a@a.example>\r\n")
            say(b"RCPT TO:<dvbe@mic.gov.vn>\r\n")
            say(b"DATA\r\n")
            assert say(MESSAGE, b".\r\n").startswith(b"250 ")

        answers.readline()
        say(b"EHLO a.example\r\n")
        assert quickest(send) < DELAYED_ACKNOWLEDGEMENT_SECONDS


def test_pop3_command_whose_end_comes_apart(mail_server: MailServer) -> None:
    """The line and its end in two writes, so often that the kernel no longer acknowledges each at once, as it does at first."""
    with socket.create_connection((mail_server.host, mail_server.ports["pop3"]), timeout=10) as client:
        answers = client.makefile("rb")

        def ask() -> None:
            client.sendall(b"CAPA")
            client.sendall(b"\r\n")
            while answers.readline() != b".\r\n":
                pass

        answers.readline()
        for _ in range(EXCHANGES):
            ask()
        assert quickest(ask) < DELAYED_ACKNOWLEDGEMENT_SECONDS
