"""Lists of machines that send spam (RFC 5782): what they say, and when they are not believed."""

import asyncio
import ipaddress
from collections.abc import Iterator

import pytest

from dns_server import BROKEN, SILENT, NameServer, name_server
from mic_mail.filters.dnsbl import DnsblResult, look_up, question
from mic_mail.net.dns import Resolver
from waiting import PATIENCE_SECONDS

SIX = "2001:db8::1:2"
HEALTHY = {
    ("2.0.0.127.good.example", "A"): ["127.0.0.2"],
    ("9.2.0.192.good.example", "A"): ["127.0.0.4", "127.0.0.10"],
    ("2.0.0.0.0.0.f.7.f.f.f.f.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.good.example", "A"): ["127.0.0.2"],
    ("2.0.0.0.1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2.good.example", "A"): ["127.0.0.2"],
}
ODD = {
    # lists everybody: its name was sold, or expired
    **{(f"{name}.everybody.example", "A"): ["127.0.0.2"] for name in ("2.0.0.127", "1.0.0.127", "9.2.0.192")},
    ("9.2.0.192.untested.example", "A"): ["127.0.0.2"],
    ("9.2.0.192.page.example", "A"): ["203.0.113.5"],
    ("9.2.0.192.blocked.example", "A"): ["127.255.255.254"],
    ("9.2.0.192.one.example", "A"): ["127.0.0.1"],
    ("9.2.0.192.text.example", "TXT"): ['"only words"'],
    ("silent.example", "TXT"): ['"x"'],
}


@pytest.fixture(scope="module")
def server() -> Iterator[NameServer]:
    troubles = {"9.2.0.192.silent.example": SILENT, "9.2.0.192.broken.example": BROKEN}
    with name_server({**HEALTHY, **ODD}, troubles=troubles) as one:
        yield one


async def ask(server: NameServer, address: str, *zones: str, seconds: float = PATIENCE_SECONDS) -> DnsblResult:
    return await look_up(Resolver([server.place], seconds=PATIENCE_SECONDS), address, zones, seconds)


def test_questions() -> None:
    """§2.1 and §2.4, to the letter."""

    assert question(ipaddress.ip_address("192.0.2.99"), "bad.example.com") == "99.2.0.192.bad.example.com"
    assert question(ipaddress.ip_address("2001:db8:1:2:3:4:567:89ab"), "ugly.example.com") == (
        "b.a.9.8.7.6.5.0.4.0.0.0.3.0.0.0.2.0.0.0.1.0.0.0.8.b.d.0.1.0.0.2.ugly.example.com"
    )


@pytest.mark.parametrize("address", ["192.0.2.9", "::ffff:192.0.2.9", SIX, f"{SIX}%eth0"])
async def test_listed(server: NameServer, address: str) -> None:
    assert await ask(server, address, "good.example") == DnsblResult(zones=("good.example",))


@pytest.mark.parametrize("address", ["192.0.2.10", "2001:db8::9", "", "nonsense"])
async def test_not_listed(server: NameServer, address: str) -> None:
    assert await ask(server, address, "good.example", "text.example") == DnsblResult()


async def test_lists_that_are_not_believed(server: NameServer) -> None:
    """They list everybody, have no test entry, answer outside of 127.0.0.0/8, or say that they do not serve us."""
    zones = ("everybody", "untested", "page", "blocked", "one")
    found = await ask(server, "192.0.2.9", *(f"{zone}.example" for zone in zones), "good.example")
    assert found.zones == ("good.example",)
    assert dict(found.unusable) == {
        "everybody.example": "it lists everybody",
        "untested.example": "it has no test entry",
        "page.example": "it answers: 203.0.113.5",
        "blocked.example": "it answers: 127.255.255.254",
        "one.example": "it answers: 127.0.0.1",
    }


async def test_lists_that_do_not_answer(server: NameServer) -> None:
    """They are not waited for any longer than is said, and nothing follows from it; the others are heard."""
    async with asyncio.timeout(30):
        asked = look_up(
            Resolver([server.place], seconds=600), "192.0.2.9", ("silent.example", "broken.example", "good.example"), 0.5
        )
        found = await asked
    assert found.zones == ("good.example",)
    assert "silent.example" in found.unanswered
    left = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
    await asyncio.wait(left, timeout=5) if left else None
    assert all(task.done() for task in left)
