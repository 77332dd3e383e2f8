"""A message from outside, from its octets to the field: at a real name server, with real signatures."""

import asyncio
import json
from collections.abc import Iterator

import pytest

import signed_messages
from dns_server import BROKEN, NameServer, name_server
from mic_mail.clock import SystemClock
from mic_mail.mailauth.arc import Arc
from mic_mail.mailauth.authenticate import examine_client, examine_message
from mic_mail.mailauth.authentication_results import field
from mic_mail.mailauth.dmarc import Dmarc, DmarcPolicy
from mic_mail.mailauth.message_digest import MOST_HEADER_OCTETS, read
from mic_mail.mailauth.result import Origin
from mic_mail.mailauth.spf import Spf, SpfClient
from mic_mail.mailbox_address import parse_reverse_path
from mic_mail.net.dns import Resolver

PLAIN = b"From: An <an@mic.gov.vn>\r\nTo: b@x.example\r\nSubject: Hello\r\n\r\nbody\r\n"
ZONE = signed_messages.zone(signed_messages.records()) | {
    ("mic.gov.vn", "TXT"): ['"v=spf1 ip4:192.0.2.1 -all"'],
    ("mx.mic.gov.vn", "TXT"): ['"v=spf1 a -all"'],
    ("mx.mic.gov.vn", "A"): ["192.0.2.1"],
    ("_dmarc.mic.gov.vn", "TXT"): ['"v=DMARC1; p=reject"'],
}


@pytest.fixture(scope="module")
def server() -> Iterator[NameServer]:
    with name_server(ZONE) as one:
        yield one


async def judge(server: NameServer, message: bytes, *, address: str = "192.0.2.1", sender: str = "an@mic.gov.vn") -> Origin:
    client = SpfClient(address, "mx.mic.gov.vn", "mx.here.example")
    reading = await asyncio.to_thread(read, message)
    resolver, clock = Resolver([server.place], seconds=10), SystemClock()
    about_client = examine_client(resolver, clock, client, parse_reverse_path(sender))
    origin = await examine_message(resolver, clock, about_client, reading, roll=0)
    json.dumps(origin.event())
    assert field(origin, "mx.here.example").endswith(b"\r\n")
    return origin


def author(origin: Origin) -> str | None:
    """The domain in From, where it is proven."""
    return origin.dmarc.domain if origin.dmarc.result is Dmarc.PASS else None


async def test_all_is_well(server: NameServer) -> None:
    origin = await judge(server, signed_messages.seal(signed_messages.sign(PLAIN), 1))
    assert (origin.mail_from.result, origin.helo and origin.helo.result) == (Spf.PASS, Spf.PASS)
    assert (author(origin), origin.signers, origin.arc.result) == ("mic.gov.vn", ("mic.gov.vn",), Arc.PASS)
    assert origin.event() == {
        "spf": "pass", "spf_domain": "mic.gov.vn", "spf_helo": "pass", "dmarc": "pass", "from_domain": "mic.gov.vn",
        "disposition": "none", "arc": "pass", "sealers": "mic.gov.vn", "dkim": "mic.gov.vn=pass", "reason": "ip4",
    }  # fmt: skip


async def test_passed_on(server: NameServer) -> None:
    """SPF fails where mail is passed on, the signature holds."""
    origin = await judge(server, signed_messages.sign(PLAIN), address="198.51.100.1", sender="list@x.example")
    assert (origin.mail_from.result, author(origin)) == (Spf.NONE, "mic.gov.vn")


async def test_forged(server: NameServer) -> None:
    origin = await judge(server, PLAIN, address="198.51.100.1")
    assert (origin.mail_from.result, origin.dmarc.result, origin.dmarc.disposition) == (
        Spf.FAIL,
        Dmarc.FAIL,
        DmarcPolicy.REJECT,
    )
    assert author(origin) is None


async def test_a_null_reverse_path(server: NameServer) -> None:
    """RFC 7489 §3.1.2: the name in HELO counts."""
    origin = await judge(server, PLAIN, sender="")
    assert origin.helo is None
    assert (origin.mail_from.domain, author(origin)) == ("mx.mic.gov.vn", "mic.gov.vn")


@pytest.mark.parametrize(
    "message",
    [
        b"",
        b"\r\n",
        b"no field\r\n" + PLAIN,
        b"X: " + b"y" * MOST_HEADER_OCTETS + b"\r\n\r\n",
        b"\x00" * 1_000,
        PLAIN.replace(b"From", b"Form"),
    ],
)
async def test_no_header(server: NameServer, message: bytes) -> None:
    origin = await judge(server, message)
    assert origin.dmarc.result is Dmarc.PERMERROR
    assert origin.dmarc.reason
    assert author(origin) is None


async def test_a_name_server_that_fails() -> None:
    """All of it is unsettled, in time, and nothing is refused for it."""
    names = ["mic.gov.vn", "mx.mic.gov.vn", "_dmarc.mic.gov.vn", "rsa._domainkey.mic.gov.vn"]
    with name_server(ZONE, troubles=dict.fromkeys(names, BROKEN)) as server:
        origin = await judge(server, signed_messages.seal(signed_messages.sign(PLAIN), 1))
    assert (origin.mail_from.result, origin.dmarc.result, origin.is_unsettled) == (Spf.TEMPERROR, Dmarc.TEMPERROR, True)
    assert origin.dmarc.disposition is DmarcPolicy.NONE
    assert origin.arc.result is Arc.FAIL
