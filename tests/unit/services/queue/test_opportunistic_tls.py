"""TLS to servers that offer it: with DANE, without, and in the open where that is allowed."""

import ssl
from hashlib import sha256
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization

from mic_mail.clock import SystemClock
from mic_mail.net.tls import self_signed, write_pair
from mic_mail.queue.recipient_log import AdminDecision
from unit.services.queue.office import STUFFED, ZONE, offices
from unit.smtpclient.server import PLAIN, Server

# ------------------------------------------------------------ TLS


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> tuple[ssl.SSLContext, bytes]:
    folder = tmp_path_factory.mktemp("tls")
    write_pair(folder / "cert.pem", folder / "key.pem", self_signed(["mx.signed.example"], SystemClock().now()))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "cert.pem", folder / "key.pem")
    key = x509.load_pem_x509_certificate((folder / "cert.pem").read_bytes()).public_key()
    der, spki = serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    return context, sha256(key.public_bytes(der, spki)).digest()


def signed(digest: bytes) -> dict[tuple[str, str], list[str]]:
    return {
        ("signed.example", "MX"): ["10 mx.signed.example."],
        ("mx.signed.example", "A"): ["127.0.0.4"],
        ("_25._tcp.mx.signed.example", "TLSA"): [f"3 1 1 {digest.hex()}"],
    }


async def test_with_the_key_that_the_dns_names(tmp_path: Path, pair: tuple[ssl.SSLContext, bytes]) -> None:
    server = Server(context=pair[0])
    async with offices(tmp_path, {"127.0.0.4": server}, signed(pair[1])) as office:
        office.put("A", "b@signed.example")
        async with office.sending():
            await office.until()
    assert server.messages == [STUFFED]
    assert server.lines[:3] == [b"EHLO mail.mic.gov.vn", b"STARTTLS", b"EHLO mail.mic.gov.vn"]


@pytest.mark.parametrize("offers", [True, False])
async def test_another_key_or_none(tmp_path: Path, pair: tuple[ssl.SSLContext, bytes], offers: bool) -> None:
    """RFC 7672: nothing is sent, not in the open either."""
    server = Server(context=pair[0]) if offers else Server(PLAIN)
    async with offices(tmp_path, {"127.0.0.4": server}, signed(b"\0" * 32 if offers else pair[1])) as office:
        office.put("A", "b@signed.example")
        async with office.sending():
            await office.tried("A")
    assert server.messages == []
    entry = office.queue.read("A")
    assert entry is not None
    assert entry.state.recipients[0].reason.startswith("4.7.5")
    assert not any(line.startswith(b"MAIL") for line in server.lines)


async def test_in_the_open_where_the_handshake_fails(tmp_path: Path) -> None:
    """RFC 7435: TLS that nobody has asked for keeps no mail back."""
    server = Server(answers={b"STARTTLS": b"454 not now\r\n"})
    async with offices(tmp_path, {"127.0.0.4": server}, ZONE) as office:
        office.put("A", "b@two.example")
        async with office.sending():
            await office.until()
    assert server.messages == [STUFFED]
    assert server.connections == 2


@pytest.mark.parametrize("by_line", [b"MAIL", b"RCPT"])
async def test_in_the_open_where_it_may_not_be(tmp_path: Path, by_line: bytes) -> None:
    """The handshake fails today and the server takes nothing without TLS (530, RFC 3207 §4): no word on the message, which
    waits, and goes when TLS works again."""
    server = Server(
        answers={b"STARTTLS": b"454 4.7.0 not now\r\n", by_line: b"530 5.7.0 Must issue a STARTTLS command first\r\n"}
    )
    async with offices(tmp_path, {"127.0.0.4": server}, ZONE) as office, office.sending() as senders:
        office.put("A", "b@two.example", "c@two.example")
        await senders.poll()
        await office.tried("A")
        entry = office.queue.read("A")
        assert entry is not None
        assert entry.state.recipients[0].reason.startswith("4.7.5 454 ")
        server.answers.clear()
        entry.retry(AdminDecision("mai"))
        senders.on_message("A")
        await office.until()
    assert office.told == []


async def test_a_server_that_takes_nothing_in_the_open_is_asked_once_a_message(tmp_path: Path) -> None:
    """Not again and again over the connection that was kept."""
    no_tls = b"530 5.7.0 Must issue a STARTTLS command first\r\n"
    server = Server(answers={b"STARTTLS": b"454 4.7.0 not now\r\n", b"MAIL": no_tls})
    async with offices(tmp_path, {"127.0.0.4": server}, ZONE) as office, office.sending() as senders:
        for entry_id in ("A", "B"):
            office.put(entry_id, "b@two.example")
            await senders.poll()
            await office.tried(entry_id)
    assert [line[:4] for line in server.lines].count(b"MAIL") == 2
