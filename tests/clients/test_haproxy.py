"""HAProxy in front of the listeners: the client is whoever connected to it, at every one of them."""

import contextlib
import http.client
import imaplib
import smtplib
import socket
import ssl
import subprocess
from base64 import b64encode
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import programs
from free_ports import free_ports
from harness import MailServer
from population import PASSWORD
from waiting import wait_for

pytestmark = [pytest.mark.needs_tool("haproxy"), pytest.mark.clause("10.1")]

SEND = {
    "smtp": "send-proxy",
    "submission": "send-proxy-v2",
    "imaps": "send-proxy-v2 proxy-v2-options crc32c,unique-id",
    "https": "send-proxy-v2 set-proxy-v2-tlv-fmt(0xE0) x",
}
"""How each listener is told of the client: by a line, by a block, and with TLVs behind it."""
RULES = """
global
    stats socket {folder}/stats level user
defaults
    mode tcp
    timeout connect 10s
    timeout client 60s
    timeout server 60s
"""
ROUTE = """
listen {door}
    bind 127.0.0.1:{front}
    server node 127.0.0.1:{back} check inter 100ms {send}
"""
CLIENT = "127.0.1.9"
OTHER = "127.0.2.9"


@contextlib.contextmanager
def haproxy(server: MailServer, folder: Path) -> Iterator[dict[str, int]]:
    """An HAProxy before this server, once it has found each listener alive; its port for each."""
    fronts = dict(zip(SEND, free_ports(len(SEND)), strict=True))
    file = folder / "haproxy.cfg"
    routes = [ROUTE.format(door=door, front=fronts[door], back=server.ports[door], send=send) for door, send in SEND.items()]
    file.write_text(RULES.format(folder=folder) + "".join(routes))
    process = subprocess.Popen([programs.need("haproxy"), "-f", str(file), "-db"])

    def is_alive() -> bool:
        with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX) as stats:
            stats.connect(str(folder / "stats"))
            stats.sendall(b"show stat\n")
            rows = [line.split(",") for line in stats.makefile().read().splitlines()]
            checks = [row[rows[0].index("check_status")] for row in rows if row[1:2] == ["node"]]
            return checks == ["L4OK"] * len(SEND)
        return False

    try:
        wait_for(is_alive)
        yield fronts
    finally:
        process.terminate()
        process.wait(10)


@pytest.fixture
def server(serve: Callable[..., MailServer]) -> MailServer:
    """One that takes the word of 127.0.0.1."""
    return serve(
        {
            "listen": {"balancers": ("127.0.0.1/32",), "doors": tuple(SEND)},
            "limits": {"connections_per_network": 2, "exempt_networks": ("127.0.0.0/24",)},
        }
    )


def imap(port: int, server: MailServer, source: str) -> imaplib.IMAP4_SSL:
    """A client at an address of its own."""

    class From(imaplib.IMAP4_SSL):
        def _create_socket(self, timeout: float | None) -> socket.socket:
            plain = socket.create_connection(("127.0.0.1", port), timeout, (source, 0))
            return server.tls().wrap_socket(plain, server_hostname="localhost")

    return From("localhost", port, timeout=30)


def test_the_client_is_who_connected_to_the_balancer(server: MailServer, tmp_path: Path) -> None:
    """In the trace of a message, in the log of sign-ins by IMAP over TLS, by submission after STARTTLS and by the pages; limits
    count its network and not the balancer's."""
    person = server.issue("bedv")
    plain = f"\0{person.address}\0{PASSWORD}".encode()
    with haproxy(server, tmp_path) as fronts:
        with smtplib.SMTP("127.0.0.1", fronts["smtp"], source_address=(CLIENT, 0)) as smtp:
            smtp.sendmail("a@vnpt.example", [person.address], b"From: a@vnpt.example\r\nSubject: x\r\n\r\nx\r\n")
        with smtplib.SMTP("127.0.0.1", fronts["submission"], source_address=(CLIENT, 0)) as smtp:
            smtp._host = "localhost"  # type: ignore[attr-defined]  # whose certificate it is
            smtp.starttls(context=server.tls())
            smtp.ehlo()
            assert smtp.docmd("AUTH", "PLAIN " + b64encode(plain).decode())[0] == 235
        with imap(fronts["imaps"], server, CLIENT) as reader:
            reader.authenticate("PLAIN", lambda _: plain)
            reader.select("INBOX")
            _, [(_, header), *_] = reader.fetch("1", "(BODY[HEADER.FIELDS (RECEIVED)])")
            assert f"[{CLIENT}]".encode() in header
            with imap(fronts["imaps"], server, CLIENT):
                with pytest.raises((imaplib.IMAP4.abort, ssl.SSLError, ConnectionError)):
                    imap(fronts["imaps"], server, CLIENT)
                imap(fronts["imaps"], server, OTHER).logout()
        page = http.client.HTTPSConnection(
            "localhost", fronts["https"], context=server.tls(), source_address=(OTHER, 0), timeout=30
        )
        wrong = b64encode(f"{person.address}:wrong".encode()).decode()
        page.request("PROPFIND", "/dav/", headers={"Authorization": f"Basic {wrong}", "Host": "mail.mic.gov.vn"})
        assert page.getresponse().status == 401
        page.close()

    events = server.events()
    told = [
        (each["event"], each.get("door", each.get("protocol")), each["peer"])
        for each in events
        if each["event"].startswith("sign")
    ]
    assert told == [
        ("signed_in", "submission", CLIENT),
        ("signed_in", "imap", CLIENT),
        ("sign_in_refused", "carddav", OTHER),
    ]
    refused = [(each["peer"], each["reason"]) for each in events if each["event"] == "connection_refused"]
    assert refused == [(CLIENT, "network")]


def test_without_the_header_nobody_comes_in(server: MailServer) -> None:
    """A program on the balancer's machine that says nothing of a client is no client."""
    with socket.create_connection(("127.0.0.1", server.ports["smtp"]), 30) as direct:
        direct.sendall(b"EHLO me.example\r\n")
        with contextlib.suppress(ConnectionResetError):
            assert direct.recv(100) == b""
    [refused] = [each for each in server.events() if each["event"] == "connection_refused"]
    assert (refused["peer"], refused["door"], refused["reason"]) == ("127.0.0.1", "smtp", "no-proxy-header")


def test_nobody_else_can_claim_an_address(server: MailServer) -> None:
    """Whoever the configuration does not name is greeted, and its header is no command."""
    with (
        socket.create_connection(("127.0.0.1", server.ports["smtp"]), 30, (CLIENT, 0)) as client,
        client.makefile("rb") as lines,
    ):
        client.sendall(b"PROXY TCP4 203.0.113.7 192.0.2.1 5000 25\r\n")
        assert lines.readline().startswith(b"220 ")
        assert lines.readline().startswith(b"500")
