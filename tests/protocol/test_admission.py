"""The gate at real doors."""

import imaplib
import smtplib
import socket
from collections.abc import Callable

import pytest

from harness import MailServer


@pytest.mark.parametrize(("door", "word"), [("smtp", b"421 4.7.0"), ("submission", b"421 4.7.0"), ("imap", b"* BYE")])
def test_who_has_too_many_connections_is_told_so(serve: Callable[..., MailServer], door: str, word: bytes) -> None:
    """The third connection from a network with a limit of two gets the door's word and the end; the two go on."""
    server = serve({"limits": {"connections_per_network": 2, "exempt_networks": ()}})
    place = (server.host, server.ports[door])
    kept = [socket.create_connection(place, timeout=10) for _ in range(2)]
    for client in kept:
        assert client.recv(1000)
    with socket.create_connection(place, timeout=10) as third, third.makefile("rb") as lines:
        assert lines.readline().startswith(word)
        assert lines.readline() == b""
    for client in kept:
        client.sendall(b"NOOP\r\n" if word.startswith(b"4") else b"1 NOOP\r\n")
        assert client.recv(1000)
        client.close()


def test_starttls_and_implicit_tls_pass_the_gate(mail_server: MailServer) -> None:
    """The gate steps aside whole: both ways into TLS work behind it."""
    with smtplib.SMTP("localhost", mail_server.ports["submission"]) as client:
        client.starttls(context=mail_server.tls())
        assert client.ehlo()[0] == 250
    with smtplib.SMTP_SSL("localhost", mail_server.ports["submissions"], context=mail_server.tls()) as client:
        assert client.noop()[0] == 250
    imap = imaplib.IMAP4("localhost", mail_server.ports["imap"])
    imap.starttls(mail_server.tls())
    imap.logout()
