"""Whether the name of an address leads back to it (RFC 8601 §3, §2.7.3)."""

from collections.abc import Iterator

import pytest

from dns_server import BROKEN, NameServer, name_server
from mic_mail.mailauth.iprev import MOST_ADDRESSES, MOST_NAMES, Iprev, check_iprev
from mic_mail.net.dns import Resolver

MANY = [f"n{number}.example." for number in range(MOST_NAMES + 5)]
ZONE = {
    ("1.2.0.192.in-addr.arpa", "PTR"): ["elsewhere.example.", "mx.example."],
    ("mx.example", "A"): ["192.0.2.7", "192.0.2.1"],
    ("elsewhere.example", "A"): ["203.0.113.1"],
    ("2.2.0.192.in-addr.arpa", "PTR"): ["elsewhere.example."],
    ("3.2.0.192.in-addr.arpa", "PTR"): ["nowhere.example."],
    ("4.2.0.192.in-addr.arpa", "PTR"): ["broken.example."],
    ("6.2.0.192.in-addr.arpa", "PTR"): ["broken.example.", "six.example."],
    ("six.example", "A"): ["192.0.2.6"],
    ("7.2.0.192.in-addr.arpa", "PTR"): MANY,
    **{(name.rstrip("."), "A"): ["203.0.113.1"] for name in MANY},
    ("1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2.ip6.arpa", "PTR"): ["mx6.example."],
    ("mx6.example", "AAAA"): ["2001:db8::1"],
    ("8.2.0.192.in-addr.arpa", "PTR"): ["crowd.example."],
    ("crowd.example", "A"): ["192.0.2.8", *(f"203.0.113.{number}" for number in range(MOST_ADDRESSES))],
    ("text.example", "TXT"): ['"x"'],
}


@pytest.fixture(scope="module")
def server() -> Iterator[NameServer]:
    with name_server(ZONE, troubles={"broken.example": BROKEN, "5.2.0.192.in-addr.arpa": BROKEN}) as one:
        yield one


@pytest.mark.parametrize(
    ("address", "result", "name"),
    [
        ("192.0.2.1", Iprev.PASS, "mx.example"),
        ("::ffff:192.0.2.1", Iprev.PASS, "mx.example"),
        ("2001:db8::1", Iprev.PASS, "mx6.example"),
        ("192.0.2.2", Iprev.FAIL, ""),
        ("192.0.2.3", Iprev.FAIL, ""),
        ("192.0.2.4", Iprev.TEMPERROR, ""),
        ("192.0.2.5", Iprev.TEMPERROR, ""),
        ("192.0.2.6", Iprev.PASS, "six.example"),
        ("192.0.2.7", Iprev.FAIL, ""),
        ("192.0.2.8", Iprev.FAIL, ""),
        ("192.0.2.9", Iprev.PERMERROR, ""),
        ("2001:db8::2", Iprev.PERMERROR, ""),
        ("", Iprev.PERMERROR, ""),
    ],
)
async def test_addresses(server: NameServer, address: str, result: Iprev, name: str) -> None:
    found = await check_iprev(Resolver([server.place], seconds=10), address)
    assert (found.result, found.name) == (result, name)


async def test_the_names_are_bounded(server: NameServer) -> None:
    server.asked.clear()
    await check_iprev(Resolver([server.place], seconds=10), "192.0.2.7")
    assert sum(kind == "A" for _, kind, _ in server.asked) == MOST_NAMES
