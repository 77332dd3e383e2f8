"""Clients whose kernel holds back the end of what they say until its beginning is acknowledged (Nagle's algorithm).

Our kernel would wait 40 ms with that acknowledgement, which is many times what the same exchange takes in one write: the
quickest ones of both are compared.
"""

import imaplib
import socket
import time

from cost_growth import assert_about_equal
from harness import MailServer
from population import PASSWORD

MESSAGE = b"From: a@a.example\r\nSubject: hai\r\n\r\nNoi dung.\r\n"


def test_append_whose_line_end_comes_apart(mail_server: MailServer) -> None:
    """imaplib writes the literal and then the line end, and does not switch Nagle's algorithm off."""
    with imaplib.IMAP4(mail_server.host, mail_server.ports["imap"]) as client:
        client.starttls(mail_server.tls())
        client.authenticate("PLAIN", lambda _: f"\0dvbe@mic.gov.vn\0{PASSWORD}".encode())

        def together() -> None:
            client.send(b"x APPEND INBOX {%d}\r\n" % len(MESSAGE))
            assert client.readline().startswith(b"+")
            client.send(MESSAGE + b"\r\n")
            while not client.readline().startswith(b"x OK"):
                pass

        assert_about_equal(lambda: client.append("INBOX", "", "", MESSAGE), together, clock=time.perf_counter)


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

        def send(*pieces: bytes) -> None:
            say(b"MAIL FROM:<a@a.example>\r\n")
            say(b"RCPT TO:<dvbe@mic.gov.vn>\r\n")
            say(b"DATA\r\n")
            assert say(*pieces).startswith(b"250 ")

        answers.readline()
        say(b"EHLO a.example\r\n")
        assert_about_equal(lambda: send(MESSAGE, b".\r\n"), lambda: send(MESSAGE + b".\r\n"), clock=time.perf_counter)


def test_pop3_command_whose_end_comes_apart(mail_server: MailServer) -> None:
    """The line and its end in two writes, so often that the kernel no longer acknowledges each at once, as it does at first."""
    with socket.create_connection((mail_server.host, mail_server.ports["pop3"]), timeout=10) as client:
        answers = client.makefile("rb")

        def ask(*pieces: bytes) -> None:
            for piece in pieces:
                client.sendall(piece)
            while answers.readline() != b".\r\n":
                pass

        answers.readline()
        for _ in range(20):
            ask(b"CAPA", b"\r\n")
        assert_about_equal(lambda: ask(b"CAPA", b"\r\n"), lambda: ask(b"CAPA\r\n"), times=10, clock=time.perf_counter)
