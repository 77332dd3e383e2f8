"""Clients on lists of machines that send spam (RFC 5782), and name servers that answer nobody."""

import asyncio
import smtplib
import socket
import tracemalloc
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from dns_server import SILENT, NameServer, name_server
from harness import MailServer
from protocol.mailauth_server import bring, filed, logged, message, results, serving, settings
from waiting import wait_for, wait_on_loop

pytestmark = pytest.mark.clause("10.2")
REFUSED, PUT_ASIDE, UNSERVED, UNLISTED = "127.0.0.21", "127.0.0.22", "127.0.0.23", "127.0.0.24"
ZONE = {
    **{(f"2.0.0.127.{zone}.example", "A"): ["127.0.0.2"] for zone in ("bad", "poor")},
    ("21.0.0.127.bad.example", "A"): ["127.0.0.4"],
    ("22.0.0.127.poor.example", "A"): ["127.0.0.2"],
    ("23.0.0.127.bad.example", "A"): ["127.255.255.254"],
    ("none.example", "TXT"): ['"nothing"'],
}
LISTS = {"dnsbl_refuse": ("bad.example", "gone.example"), "dnsbl_junk": ("poor.example",)}


@pytest.fixture(scope="module")
def names() -> Iterator[NameServer]:
    with name_server(ZONE) as one:
        yield one


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, names: NameServer) -> Iterator[MailServer]:
    with serving(tmp_path_factory.mktemp("lists") / "data", settings(names, **LISTS)) as one:
        yield one


def test_a_client_that_is_listed_is_refused_but_to_postmaster(server: MailServer, names: NameServer) -> None:
    """RFC 5321 §4.5.1, RFC 2142: who is listed may ask why. The list is asked once for a connection."""
    names.asked.clear()
    with smtplib.SMTP(server.host, server.ports["smtp"], "x", timeout=30, source_address=(REFUSED, 0)) as client:
        client.ehlo()
        assert client.mail("lan@none.example")[0] == 250
        for address in ("dvbe@mic.gov.vn", "nobody@mic.gov.vn", "ttlan@mic.gov.vn"):
            code, said = client.rcpt(address)
            assert (code, said[:5]) == (550, b"5.7.1")
            assert b"bad.example" in said
            assert REFUSED.encode() in said
        assert client.rcpt("Postmaster")[0] == client.rcpt("postmaster@mic.gov.vn")[0] == 250
        code, said = client.data(message("lan@none.example"))
        assert filed(server, (code, said), "support")[0] == "INBOX"
        client.mail("lan@none.example")
        assert client.rcpt("dvbe@mic.gov.vn")[0] == 550
    assert sum(name == "21.0.0.127.bad.example" for name, _, _ in names.asked) == 1
    found = wait_for(lambda: [each for each in server.events() if each.get("reason") == "listed"])
    assert (found[0]["event"], found[0]["zone"], found[0]["peer"]) == ("recipient_refused", "bad.example", REFUSED)


def test_a_client_on_the_other_list_goes_to_junk(server: MailServer) -> None:
    reply = bring(server, message("lan@none.example"), peer=PUT_ASIDE)
    assert filed(server, reply)[0] == "Junk"
    event = logged(server, reply)
    assert (event["action"], event["rule"], event["lists"]) == ("junk", "list", ["poor.example"])


def test_who_is_not_listed(server: MailServer) -> None:
    reply = bring(server, message("lan@none.example"), peer=UNLISTED)
    assert filed(server, reply)[0] == "INBOX"
    assert "lists" not in logged(server, reply)


def test_a_list_that_does_not_serve_us_is_told_of_once(server: MailServer) -> None:
    for _ in range(2):
        assert filed(server, bring(server, message("lan@none.example"), peer=UNSERVED))[0] == "INBOX"
    found = wait_for(lambda: [each for each in server.events() if each.get("event") == "list_unusable"])
    assert [(each["zone"], each["reason"]) for each in found] == [("bad.example", "it answers: 127.255.255.254")]


@pytest.mark.slow
def test_a_silent_list_keeps_nobody_waiting_for_long(tmp_path: Path) -> None:
    """Its answer is not waited for, and what is not answered is not held against anybody."""
    silent = {"24.0.0.127.bad.example": SILENT}
    with name_server(ZONE, troubles=silent) as names, serving(tmp_path / "data", settings(names, **LISTS)) as server:
        reply = bring(server, message("lan@none.example"), peer=UNLISTED)
        assert filed(server, reply)[0] == "INBOX"
        assert logged(server, reply)["lists_unanswered"] == ["bad.example"]


# ---------------------------------------------------------------- nobody answers


class _Deaf(asyncio.DatagramProtocol):
    """Takes questions and answers none."""


def test_fifty_at_once_and_no_answer(tmp_path: Path) -> None:
    """All of it comes in, marked: none waits for the 2 s of the others; whoever goes leaves nothing behind."""
    loop = asyncio.new_event_loop()
    transport, _ = loop.run_until_complete(loop.create_datagram_endpoint(_Deaf, local_addr=("127.0.0.1", 0)))
    port = transport.get_extra_info("sockname")[1]
    tree = {"dns": {"nameservers": (f"127.0.0.1:{port}",), "seconds": 1}, "inbound": {"trusted_networks": (), "seconds": 2}}
    with serving(tmp_path / "data", tree) as server:
        octets = {
            small: message("lan@none.example", body=b"x" * (10 if small else 200_000) + b"\r\n") for small in (True, False)
        }
        with ThreadPoolExecutor(50) as pool:
            replies = list(pool.map(lambda n: bring(server, octets[n % 5 > 0], peer=f"127.0.1.{n}"), range(1, 51)))
        for reply in replies:
            folder, stored = filed(server, reply)
            assert folder == "INBOX"
            assert b"dmarc=temperror" in results(stored)[0]
        gone = []
        for number in range(50):
            client = smtplib.SMTP(server.host, server.ports["smtp"], "x", timeout=30, source_address=(f"127.0.2.{number}", 0))
            client.ehlo()
            client.mail(f"a{number}@none.example")
            gone.append(client)
        for client in gone:
            client.close()
        server.call(_nothing_is_asked(server))
    transport.close()
    loop.run_until_complete(asyncio.sleep(0))
    loop.close()


async def _nothing_is_asked(server: MailServer) -> None:
    """Soon after the last connection has ended."""
    lookups = server.running.context.mailflow.checkers.clients._lookup_service
    assert lookups is not None
    await wait_on_loop(lambda: not lookups.clients._networks and not lookups.messages._networks)


PIECE = (b"y" * 70 + b"\r\n") * 1_000


def test_memory_does_not_grow_with_what_is_judged(server: MailServer) -> None:
    """Twelve messages of 4 MB at once, each held in pieces: those of the network, of the disk and of the digests."""

    def send(number: int) -> bytes:
        commands = b"EHLO x\r\nMAIL FROM:<lan@none.example>\r\nRCPT TO:<dvbe@mic.gov.vn>\r\nDATA\r\n"
        with socket.create_connection((server.host, server.ports["smtp"]), 30, (f"127.0.3.{number}", 0)) as client:
            client.sendall(commands + message("lan@none.example"))
            for _ in range(56):
                client.sendall(PIECE)
            client.sendall(b".\r\nQUIT\r\n")
            said = b""
            while octets := client.recv(4096):
                said += octets
        return said

    with ThreadPoolExecutor(12) as pool:
        tracemalloc.start()
        try:
            assert all(b"\r\n250 2.6.0 " in said for said in pool.map(send, range(1, 13)))
            peak = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
    assert peak < 24 << 20, f"{peak >> 20} MiB for 48"
