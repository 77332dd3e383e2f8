"""The header of the PROXY protocol: what it names, at every split; what is none; and connections that begin with one."""

import asyncio
import contextlib
import socket
import ssl
import struct
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from mic_mail.clock import SystemClock
from mic_mail.net import proxy_protocol
from mic_mail.net.acceptor import Acceptor
from mic_mail.net.connection_balancer import ConnectionCounts
from mic_mail.net.listeners import Listener, open_listeners
from mic_mail.net.proxy_protocol import MOST_OCTETS, SIGNATURE, BadHeader, ClientAddress, read_header
from mic_mail.net.tls import self_signed, write_pair
from waiting import wait_on_loop

FOUR = socket.inet_aton("203.0.113.7") + socket.inet_aton("192.0.2.1") + struct.pack(">HH", 50000, 993)
SIX = b"".join(socket.inet_pton(socket.AF_INET6, each) for each in ("2001:db8::7", "2001:db8::1")) + struct.pack(
    ">HH", 50000, 25
)
MAPPED = b"".join(socket.inet_pton(socket.AF_INET6, each) for each in ("::ffff:203.0.113.7", "::1")) + FOUR[-4:]
TLV = b"\x20\x00\x05\x01\x00\x00\x00\x00"
CLIENT = ClientAddress("203.0.113.7", 50000)


def block(rest: bytes, *, version: int = 0x21, family: int = 0x11, length: int | None = None) -> bytes:
    """A header of version 2."""
    return SIGNATURE + struct.pack(">BBH", version, family, len(rest) if length is None else length) + rest


def read(octets: bytes, most: int = 1 << 16) -> tuple[ClientAddress | None, bytes]:
    """The client, and what lies behind the header; at most `most` octets arrive together."""
    reading = read_header()
    wanted, at = next(reading), 0
    try:
        while True:
            assert wanted > 0
            piece = octets[at : at + min(wanted, most)]
            if not piece:
                raise EOFError
            at += len(piece)
            wanted = reading.send(piece)
    except StopIteration as complete:
        return complete.value, octets[at:]


GOOD = [
    (b"PROXY TCP4 203.0.113.7 192.0.2.1 50000 993\r\n", CLIENT),
    (b"PROXY TCP4 0.0.0.0 0.0.0.0 0 0\r\n", ClientAddress("0.0.0.0", 0)),
    (b"PROXY TCP4 255.255.255.255 255.255.255.255 65535 65535\r\n", ClientAddress("255.255.255.255", 65535)),
    (b"PROXY TCP6 2001:DB8::7 2001:db8::1 50000 25\r\n", ClientAddress("2001:db8::7", 50000)),
    (b"PROXY TCP6 :: :: 0 0\r\n", ClientAddress("::", 0)),
    (b"PROXY TCP6 ::ffff:203.0.113.7 ::1 50000 993\r\n", CLIENT),
    (
        b"PROXY TCP6 %b %b 65535 65535\r\n" % ((b"ffff:" * 8)[:-1], (b"ffff:" * 8)[:-1]),
        ClientAddress("ffff:" * 7 + "ffff", 65535),
    ),
    (b"PROXY UNKNOWN\r\n", None),
    (b"PROXY UNKNOWN %b %b 65535 65535\r\n" % ((b"ffff:" * 8)[:-1], (b"ffff:" * 8)[:-1]), None),
    (block(FOUR), CLIENT),
    (block(SIX, family=0x21), ClientAddress("2001:db8::7", 50000)),
    (block(MAPPED, family=0x21), CLIENT),
    (block(FOUR + TLV), CLIENT),
    (block(FOUR + bytes(MOST_OCTETS - 16 - len(FOUR))), CLIENT),
    (block(b"", version=0x20, family=0x00), None),
    (block(FOUR, version=0x20), None),
    (block(b"junk", version=0x20, family=0xFF), None),
    (block(b"", family=0x00), None),
    (block(FOUR, family=0x12), None),
    (block(bytes(216), family=0x31), None),
]


@pytest.mark.parametrize(("octets", "client"), GOOD)
def test_a_header_names_the_client(octets: bytes, client: ClientAddress | None) -> None:
    """At every split, and not one octet behind it is taken: that is TLS's, or the protocol's (§2.1, §2.2)."""
    for most in (1, 2, 3, 7, 1 << 16):
        assert read(octets + b"\x16\x03\x01\r\n", most) == (client, b"\x16\x03\x01\r\n")


BAD = [
    ("no-proxy-header", b"EHLO x.example\r\n"),
    ("no-proxy-header", b"GET / HTTP/1.1\r\n"),
    ("no-proxy-header", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc"),
    ("no-proxy-header", b"proxy TCP4 1.2.3.4 1.2.3.4 1 1\r\n"),
    ("no-proxy-header", b"PROXYTCP4"),
    ("no-proxy-header", SIGNATURE[:11] + b"\r"),
    ("proxy-header-malformed", b"PROXY TCP4 1.2.3.4 1.2.3.4 1 1\n" + b"x" * 100),
    ("proxy-header-malformed", b"PROXY TCP4 1.2.3.4 1.2.3.4 1 1\r\r\n"),
    ("proxy-header-malformed", b"PROXY TCP4  1.2.3.4 1.2.3.4 1 1\r\n"),
    ("proxy-header-malformed", b"PROXY TCP4 01.2.3.4 1.2.3.4 1 1\r\n"),
    ("proxy-header-malformed", b"PROXY TCP4 1.2.3.4 1.2.3.256 1 1\r\n"),
    ("proxy-header-malformed", b"PROXY TCP4 2001:db8::1 2001:db8::1 1 1\r\n"),
    ("proxy-header-malformed", b"PROXY TCP6 1.2.3.4 1.2.3.4 1 1\r\n"),
    ("proxy-header-malformed", b"PROXY TCP6 fe80::1%eth0 fe80::1 1 1\r\n"),
    ("proxy-header-malformed", b"PROXY TCP4 1.2.3.4 1.2.3.4 65536 1\r\n"),
    ("proxy-header-malformed", b"PROXY TCP4 1.2.3.4 1.2.3.4 1 65536\r\n"),
    ("proxy-header-malformed", b"PROXY TCP4 1.2.3.4 1.2.3.4 01 1\r\n"),
    ("proxy-header-malformed", b"PROXY TCP4 1.2.3.4 1.2.3.4 -1 1\r\n"),
    ("proxy-header-malformed", b"PROXY TCP4 1.2.3.4 1.2.3.4 1\r\n"),
    ("proxy-header-malformed", b"PROXY TCP5 1.2.3.4 1.2.3.4 1 1\r\n"),
    ("proxy-header-malformed", b"PROXY UNKNOWNX\r\n"),
    ("proxy-header-malformed", b"PROXY UNKNOWN x\ny\r\n"),
    ("proxy-header-too-long", b"PROXY UNKNOWN " + b"x" * 100 + b"\r\n"),
    ("proxy-header-too-long", b"PROXY TCP4 " + b"1" * 200),
    ("proxy-header-malformed", block(FOUR, version=0x11)),
    ("proxy-header-malformed", block(FOUR, version=0x31)),
    ("proxy-header-malformed", block(FOUR, version=0x22)),
    ("proxy-header-malformed", block(FOUR, family=0x41)),
    ("proxy-header-malformed", block(FOUR, family=0x13)),
    ("proxy-header-malformed", block(FOUR[:-1])),
    ("proxy-header-malformed", block(FOUR, family=0x21)),
    ("proxy-header-too-long", block(FOUR, length=MOST_OCTETS - 15)),
    ("proxy-header-too-long", block(b"", length=0xFFFF)),
]


@pytest.mark.parametrize(("reason", "octets"), BAD)
def test_what_is_no_header_is_refused(reason: str, octets: bytes) -> None:
    """As soon as that is clear, with what was wrong."""
    for most in (1, 1 << 16):
        with pytest.raises(BadHeader) as refused:
            read(octets, most)
        assert refused.value.reason == reason


class Door:
    """A listener behind a load balancer, and what has come to it."""

    def __init__(self, listener: Listener, tls: ssl.SSLContext | None = None, *, is_balancer: bool = True) -> None:
        self.port = listener.port
        self.share = ConnectionCounts.alone().share(0)
        self.clients: list[ClientAddress | None] = []
        self.bad: list[tuple[str, str]] = []
        self.begun: list[str] = []
        self.acceptor = Acceptor(
            listener, self.share, self.greet, tls=tls and (lambda: tls), handshake_seconds=5.0, may_begin=self.may_begin,
            exhausted=lambda error: None, is_balancer=lambda address: is_balancer,
            bad_header=lambda address, reason: self.bad.append((address, reason)),
        )  # fmt: skip

    def may_begin(self, address: str) -> "object":
        self.begun.append(address)
        return lambda: None

    def greet(self, passed_on: object, client: ClientAddress | None) -> asyncio.Protocol:
        self.clients.append(client)
        return Echo()


class Echo(asyncio.Protocol):
    """Sends back what it gets."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._transport.write(data)  # type: ignore[attr-defined]


@pytest.fixture
async def listener() -> AsyncIterator[Listener]:
    """One port."""
    [made] = open_listeners(["127.0.0.1"], {"smtp": 0}, backlog=128)
    yield made
    with contextlib.suppress(OSError):
        made.socket.close()


async def ask(door: Door, octets: bytes) -> bytes:
    """What comes back."""
    reader, writer = await asyncio.open_connection("127.0.0.1", door.port)
    writer.write(octets)
    writer.write_eof()
    with contextlib.suppress(ConnectionError):
        return await asyncio.wait_for(reader.read(), 10)
    return b""


async def test_the_protocol_begins_behind_the_header(listener: Listener) -> None:
    """It gets what follows, whole, and the client; for the balancer's own connection there is none."""
    door = Door(listener)
    assert await ask(door, block(FOUR + TLV) + b"EHLO x\r\n") == b"EHLO x\r\n"
    assert await ask(door, b"PROXY TCP4 203.0.113.7 192.0.2.1 50000 993\r\nEHLO y\r\n") == b"EHLO y\r\n"
    assert await ask(door, block(b"", version=0x20, family=0) + b"EHLO z\r\n") == b"EHLO z\r\n"
    assert door.clients == [CLIENT, CLIENT, None]
    assert door.bad == []
    door.acceptor.close()


async def test_a_header_from_anybody_else_is_what_the_protocol_reads(listener: Listener) -> None:
    """Else every client could say who it is (§2, §5)."""
    door = Door(listener, is_balancer=False)
    said = block(FOUR) + b"EHLO x\r\n"
    assert await ask(door, said) == said
    assert door.clients == [None]
    door.acceptor.close()


async def test_a_bad_header_reaches_no_protocol(listener: Listener) -> None:
    """It is told once, with what was wrong; a health check that only connects is told of by nobody."""
    door = Door(listener)
    assert await ask(door, b"EHLO x.example\r\n") == b""
    assert await ask(door, block(FOUR)[:-1]) == b""
    assert await ask(door, b"") == b""
    await wait_on_loop(lambda: door.share.open == 0)
    assert door.bad == [("127.0.0.1", "no-proxy-header"), ("127.0.0.1", "proxy-header-incomplete")]
    assert door.clients == []
    door.acceptor.close()


async def test_who_sends_no_header_waits_for_a_while_only(listener: Listener, monkeypatch: pytest.MonkeyPatch) -> None:
    """A hundred silent ones stop nobody from being served meanwhile; then they are closed."""
    door = Door(listener)
    silent = [await asyncio.open_connection("127.0.0.1", door.port) for _ in range(100)]
    await wait_on_loop(lambda: door.share.open == 100)
    assert await ask(door, block(FOUR) + b"NOOP\r\n") == b"NOOP\r\n"
    monkeypatch.setattr(proxy_protocol, "HEADER_SECONDS", 0.01)
    late, _ = await asyncio.open_connection("127.0.0.1", door.port)
    assert await late.read() == b""
    assert door.bad == [("127.0.0.1", "proxy-header-late")]
    door.acceptor.close()
    for reader, writer in silent:
        assert await reader.read() == b""
        writer.close()
    assert len(door.bad) == 1


async def test_one_without_its_header_may_be_evicted(listener: Listener) -> None:
    """It is closed at once, and nothing is told."""
    door = Door(listener)
    reader, _ = await asyncio.open_connection("127.0.0.1", door.port)
    await wait_on_loop(lambda: len(door.acceptor.coming) == 1)
    [pending] = door.acceptor.coming
    assert (pending.address, pending.evict()) == ("127.0.0.1", True)
    assert await reader.read() == b""
    assert (door.share.open, door.bad, door.clients) == (0, [], [])
    door.acceptor.close()


async def test_tls_begins_behind_the_header(listener: Listener, tmp_path: Path) -> None:
    """And the client it names is who may begin a handshake, or not."""
    certificate, key = tmp_path / "c.pem", tmp_path / "k.pem"
    write_pair(certificate, key, self_signed(["localhost"], SystemClock().now()))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    door = Door(listener, context)
    trusting = ssl.create_default_context(cafile=str(certificate))
    client = socket.create_connection(("127.0.0.1", door.port))
    client.setblocking(False)
    await asyncio.get_running_loop().sock_sendall(client, block(FOUR))
    reader, writer = await asyncio.open_connection(sock=client, ssl=trusting, server_hostname="localhost")
    writer.write(b"a NOOP\r\n")
    assert await reader.readline() == b"a NOOP\r\n"
    assert (door.begun, door.clients) == (["203.0.113.7"], [CLIENT])
    writer.close()
    door.acceptor.close()
