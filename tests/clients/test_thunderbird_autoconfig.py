"""A real Thunderbird that is given an address and a password and finds everything else by itself (Reg. 8.1)."""

import contextlib
import select
import smtplib
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from clients.thunderbird import Thunderbird
from free_ports import free_ports
from harness import MailServer, config_for, stopping
from population import PASSWORD

pytestmark = [
    pytest.mark.slow,
    pytest.mark.needs_tool("Xvfb", "thunderbird"),
    pytest.mark.clause("8.1"),
]
DVBE, HOST = "dvbe@mic.gov.vn", "mail.mic.gov.vn"
DOORS = ("smtp", "imaps", "submissions", "https", "http")

DISCOVER = """
    const [domain, address, password] = args;
    const load = name => ChromeUtils.importESModule("resource:///modules/accountcreation/" + name + ".sys.mjs");
    const main = Services.wm.getMostRecentWindow("mail:3pane");
    const config = await load("FetchConfig").FetchConfig.fromISP(domain, address, new main.AbortController().signal);
    load("AccountConfig").AccountConfig.replaceVariables(config, "Đỗ Văn Bê", address, password);
    const found = [config.incoming, config.outgoing].map(s => [s.type, s.hostname, s.port, s.socketType, s.username]);
    const verifier = new (load("ConfigVerifier").ConfigVerifier)(main.msgWindow, new main.AbortController().signal);
    await verifier.verifyConfig(config, false);
    await load("CreateInBackend").CreateInBackend.createAccountInBackend(config);
    server(address).performExpand(main.msgWindow);
    await until("inbox", () => server(address)?.rootFolder.getFolderWithFlags(Ci.nsMsgFolderFlags.Inbox));
    return found;
"""


class ForwardProxy:
    """Brings port 443 and 80 of any host to the server's own, as the router of a ministry does."""

    def __init__(self, https: int, http: int) -> None:
        self._ports = {443: https, 80: http}
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.port = self._listening.getsockname()[1]
        self.asked: list[str] = []
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listening.accept()
                threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        with client, contextlib.suppress(OSError):
            head = b""
            while b"\r\n\r\n" not in head:
                if not (more := client.recv(65_536)):
                    return
                head += more
            method, target = head.split(b" ", 2)[:2]
            self.asked.append(f"{method.decode()} {target.decode()}")
            with socket.create_connection(("127.0.0.1", self._ports[443 if method == b"CONNECT" else 80])) as server:
                if method == b"CONNECT":
                    client.sendall(b"HTTP/1.1 200 Connected\r\n\r\n")
                else:  # the absolute form of RFC 9112 §3.2.2 becomes the one that a server gets
                    place = target.split(b"/", 3)
                    server.sendall(head.replace(target, b"/" + (place[3] if len(place) > 3 else b""), 1))
                self._join(client, server)

    @staticmethod
    def _join(client: socket.socket, server: socket.socket) -> None:
        while True:
            for ready in select.select([client, server], [], [], 30)[0]:
                if not (octets := ready.recv(65_536)):
                    return
                (server if ready is client else client).sendall(octets)

    def close(self) -> None:
        self._listening.close()


@pytest.fixture
def server(tmp_path: Path) -> Iterator[MailServer]:
    ports = dict(zip(DOORS, free_ports(len(DOORS)), strict=True))
    server = MailServer(config_for(tmp_path / "server", {"listen": {"doors": DOORS, **ports}}))
    with stopping([server]):
        server.population.issue("dvbe", name="Đỗ Văn Bê")
        server.refresh()
        yield server


def test_an_address_and_a_password_are_enough(server: MailServer, tmp_path: Path) -> None:
    """What it finds is what stands in the file; with it it signs in, and shows the mail that is there."""
    with smtplib.SMTP("127.0.0.1", server.ports["smtp"], timeout=20) as mx:
        mx.sendmail("a@example.org", [DVBE], f"From: a@example.org\r\nTo: {DVBE}\r\nSubject: found\r\n\r\nx\r\n".encode())
    proxy = ForwardProxy(server.ports["https"], server.ports["http"])
    preferences = {
        "network.proxy.type": 1,
        **{f"network.proxy.{kind}": "127.0.0.1" for kind in ("http", "ssl")},
        **{f"network.proxy.{kind}_port": proxy.port for kind in ("http", "ssl")},
        "network.dns.localDomains": HOST,
    }
    program = Thunderbird(tmp_path / "thunderbird", preferences)
    try:
        certificate = server.config.certificate.read_text()
        for host in ("autoconfig.mic.gov.vn", "mic.gov.vn", HOST):
            program.trust(certificate, host, [443, *server.ports.values()])
        found = program.script(DISCOVER, "mic.gov.vn", DVBE, PASSWORD)
        assert found == [
            ["imap", HOST, server.ports["imaps"], 3, DVBE],
            ["smtp", HOST, server.ports["submissions"], 3, DVBE],
        ]
        assert program.open_message(DVBE, "INBOX", "found")["text"].endswith("\nx")
        assert any("autoconfig.mic.gov.vn" in each for each in proxy.asked)
    finally:
        program.screenshot(tmp_path / "end.png")
        program.close()
        proxy.close()
