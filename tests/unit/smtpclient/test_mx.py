"""The way to a domain, asked of a real name server: every kind of zone that mail meets."""

import random
from collections.abc import Iterator

import pytest

from dns_server import BROKEN, DENIED, SILENT, NameServer, name_server
from mic_mail.net.dns import DnsUnavailable, Tlsa
from mic_mail.smtpclient import mx
from mic_mail.smtpclient.mx import Host, NoRoute, Route

OWN = {"mail.mic.gov.vn"}
KEY = "3 1 1 " + "ab" * 32
LONG = ".".join(["x" * 61] * 3 + ["x" * 60])
"""With `_25._tcp.` in front it is longer than a name may be."""
ZONE = {
    ("plain.example", "MX"): ["20 b.plain.example.", "10 a.plain.example."],
    ("a.plain.example", "A"): ["192.0.2.1"],
    ("b.plain.example", "A"): ["192.0.2.2"],
    ("bare.example", "A"): ["192.0.2.3"],
    ("null.example", "MX"): ["0 ."],
    ("nothing.example", "TXT"): ['"no mail, no web"'],
    ("dead.example", "MX"): ["10 gone.dead.example.", "20 nowhere.dead.example."],
    ("nowhere.dead.example", "TXT"): ['"x"'],
    ("half.example", "MX"): ["10 gone.half.example.", "20 b.plain.example."],
    ("slowhost.example", "MX"): ["10 slow.example.", "20 gone.half.example."],
    ("slowfirst.example", "MX"): ["10 slow.example.", "20 b.plain.example."],
    ("ours.example", "MX"): ["10 a.plain.example.", "20 mail.mic.gov.vn.", "20 b.plain.example.", "30 b.plain.example."],
    ("loop.example", "MX"): ["10 MAIL.mic.gov.vn.", "20 b.plain.example."],
    ("mixed.example", "MX"): ["0 .", "10 a.plain.example."],
    ("same.example", "MX"): [f"10 h{number}.same.example." for number in range(40)],
    **{(f"h{number}.same.example", "A"): [f"192.0.2.{number}"] for number in range(40)},
    ("six.example", "AAAA"): ["2001:db8::1", "2001:db8::2", "2001:db8::3"],
    ("six.example", "A"): ["192.0.2.4"],
    ("signed.example", "MX"): ["10 mx.signed.example.", "20 half.signed.example.", "30 lost.signed.example."],
    ("mx.signed.example", "A"): ["192.0.2.5"],
    ("mx.signed.example", "AAAA"): ["2001:db8::5"],
    ("_25._tcp.mx.signed.example", "TLSA"): [KEY],
    ("half.signed.example", "A"): ["192.0.2.6"],
    ("_25._tcp.half.signed.example", "TLSA"): [KEY],
    ("lost.signed.example", "A"): ["192.0.2.7"],
    ("_25._tcp.lost.signed.example", "TLSA"): [KEY],
    ("unsigned.example", "MX"): ["10 mx.signed.example."],
    ("number.example", "MX"): ["10 192.0.2.9."],
    ("www.example", "CNAME"): ["plain.example."],
    ("nulls.example", "MX"): ["0 .", "10 ."],
    ("escapes.example", "MX"): ["10 " + r"\200" * 20 + ".escapes.example.", "20 a.plain.example."],
    ("escapes-alone.example", "MX"): ["10 " + r"\200" * 20 + ".escapes-alone.example."],
    ("long.signed.example", "MX"): [f"10 {LONG}."],
    (LONG, "A"): ["192.0.2.13"],
    ("one-kind.example", "MX"): ["10 host.one-kind.example."],
    ("host.one-kind.example", "A"): ["192.0.2.10"],
    ("alias.signed.example", "MX"): ["10 name.signed.example."],
    ("name.signed.example", "CNAME"): ["host.signed.example."],
    ("host.signed.example", "A"): ["192.0.2.11"],
    ("_25._tcp.host.signed.example", "TLSA"): [KEY],
    ("office.signed.example", "CNAME"): ["ministry.signed.example."],
    ("ministry.signed.example", "MX"): ["10 own.signed.example."],
    ("own.signed.example", "CNAME"): ["keyless.signed.example."],
    ("keyless.signed.example", "A"): ["192.0.2.12"],
    ("_25._tcp.own.signed.example", "TLSA"): [KEY],
}
SIGNED = [
    "signed.example", "mx.signed.example", "_25._tcp.mx.signed.example", "lost.signed.example", "alias.signed.example",
    "name.signed.example", "_25._tcp.host.signed.example", "office.signed.example", "own.signed.example",
    "_25._tcp.keyless.signed.example", "_25._tcp.own.signed.example", "long.signed.example", LONG,
]  # fmt: skip
TROUBLES = {"slow.example": SILENT, "broken.example": BROKEN, "_25._tcp.lost.signed.example": BROKEN}


@pytest.fixture(scope="module")
def server() -> Iterator[NameServer]:
    with name_server(ZONE, signed=SIGNED, troubles=TROUBLES) as one:
        yield one


async def way(server: NameServer, domain: str, seed: int = 1) -> Route:
    may_be_silent = "slow.example" if domain.startswith("slow") else f"host.{domain}"
    return await mx.find_route(domain, server.resolver(may_be_silent), OWN, random.Random(seed).shuffle)


async def names(server: NameServer, domain: str) -> list[str]:
    return [host.name for host in (await way(server, domain)).hosts]


async def test_by_preference(server: NameServer) -> None:
    expected = (Host("a.plain.example", ("192.0.2.1",)), Host("b.plain.example", ("192.0.2.2",)))
    assert await way(server, "Plain.Example.") == Route("plain.example", expected)


async def test_a_domain_that_is_its_own_exchanger(server: NameServer) -> None:
    assert await way(server, "bare.example") == Route(
        "bare.example", (Host("bare.example", ("192.0.2.3",)),), names_are_sure=True
    )


@pytest.mark.parametrize(
    ("domain", "status"),
    [
        ("gone.example", "5.1.2"),
        ("null.example", "5.1.10"),
        ("nulls.example", "5.1.10"),
        ("nothing.example", "5.4.4"),
        ("dead.example", "5.4.4"),
        ("number.example", "5.4.4"),
        ("escapes-alone.example", "5.4.4"),
        ("loop.example", "5.4.6"),
        ("a..b", "5.1.2"),
        ("[192.0.2.999]", "5.1.2"),
        ("[IPv6:xyz]", "5.1.2"),
    ],
)
async def test_no_way_and_never_will_be(server: NameServer, domain: str, status: str) -> None:
    with pytest.raises(NoRoute) as refused:
        await way(server, domain)
    assert refused.value.status == status


@pytest.mark.parametrize("domain", ["slow.example", "broken.example", "slowhost.example"])
async def test_nobody_knows_now(server: NameServer, domain: str) -> None:
    """Not even where another exchanger certainly has no address: the first may have one."""
    with pytest.raises(DnsUnavailable):
        await way(server, domain)


async def test_hosts_that_cannot_be_found_are_left_out(server: NameServer) -> None:
    assert await names(server, "half.example") == ["b.plain.example"]
    assert await names(server, "slowfirst.example") == ["b.plain.example"]
    assert await names(server, "escapes.example") == ["a.plain.example"]
    assert await names(server, "long.signed.example") == [LONG]


async def test_never_to_ourselves_nor_behind(server: NameServer) -> None:
    """RFC 5321 §5.1: equal and worse ones would bring it back here."""
    assert await names(server, "ours.example") == ["a.plain.example"]


async def test_a_null_among_others_is_none(server: NameServer) -> None:
    assert await names(server, "mixed.example") == ["a.plain.example"]


async def test_of_one_preference_in_any_order_and_not_too_many(server: NameServer) -> None:
    orders = {tuple(host.name for host in (await way(server, "same.example", seed)).hosts) for seed in range(5)}
    assert len(orders) == 5
    assert {len(order) for order in orders} == {mx.MOST_HOSTS}


async def test_addresses_of_both_kinds_in_turn(server: NameServer) -> None:
    (host,) = (await way(server, "six.example")).hosts
    assert [":" in address for address in host.addresses] == [True, False, True, True]


async def test_through_an_alias(server: NameServer) -> None:
    assert await names(server, "www.example") == ["a.plain.example", "b.plain.example"]


@pytest.mark.parametrize(("domain", "address"), [("[192.0.2.8]", "192.0.2.8"), ("[IPv6:2001:db8::8]", "2001:db8::8")])
async def test_an_address_in_the_place_of_a_domain(server: NameServer, domain: str, address: str) -> None:
    server.asked.clear()
    assert await way(server, domain) == Route(domain, (Host(domain, (address,)),))
    assert server.asked == []


async def test_keys_only_where_everything_was_validated(server: NameServer) -> None:
    """The zone of the domain, the addresses, the keys: all three; of a host whose keys nobody tells nothing is believed."""
    with_keys, without = (await way(server, "signed.example")).hosts
    assert (with_keys.name, with_keys.tlsa) == ("mx.signed.example", (Tlsa(3, 1, 1, b"\xab" * 32),))
    assert (without.name, without.tlsa) == ("half.signed.example", ())
    (host,) = (await way(server, "unsigned.example")).hosts
    assert host.tlsa == ()


async def test_keys_where_an_alias_leads_or_at_the_own_name(server: NameServer) -> None:
    """RFC 7672 §2.2.3; and what a certificate may name: where the keys stand, the domain, what that is an alias of (§3.2.2)."""
    (host,) = (await way(server, "alias.signed.example")).hosts
    assert host == Host(
        "name.signed.example", ("192.0.2.11",), (Tlsa(3, 1, 1, b"\xab" * 32),), ("host.signed.example", "alias.signed.example")
    )
    (host,) = (await way(server, "office.signed.example")).hosts
    assert host.tlsa
    assert host.known_as == ("own.signed.example", "office.signed.example", "ministry.signed.example")
    (mx, _) = (await way(server, "signed.example")).hosts
    assert mx.known_as == ("mx.signed.example", "signed.example")


@pytest.mark.parametrize("trouble", [BROKEN, SILENT])
@pytest.mark.parametrize("kind", ["A", "AAAA"])
async def test_addresses_of_one_kind_that_cannot_be_asked_for(server: NameServer, kind: str, trouble: str) -> None:
    """Name servers that fail at AAAA alone are many: the others will do. Where these are none, nobody knows."""
    server.troubles["host.one-kind.example", kind] = trouble
    try:
        if kind == "AAAA":
            (host,) = (await way(server, "one-kind.example")).hosts
            assert host.addresses == ("192.0.2.10",)
        else:
            with pytest.raises(DnsUnavailable):
                await way(server, "one-kind.example")
    finally:
        del server.troubles["host.one-kind.example", kind]


async def test_a_name_that_is_denied_to_who_asks_for_the_other_kind(server: NameServer) -> None:
    """RFC 4074 §4.2: its addresses count, also while the denial is remembered; where they cannot be asked for nobody knows."""
    denied, asked_for = ("host.one-kind.example", "AAAA"), ("host.one-kind.example", "A")
    server.troubles[denied] = DENIED
    resolver = server.resolver()
    server.ttl = 0
    try:
        for _ in range(2):
            (host,) = (await mx.find_route("one-kind.example", resolver, OWN, random.Random(1).shuffle)).hosts
            assert host.addresses == ("192.0.2.10",)
        server.troubles[asked_for] = BROKEN
        with pytest.raises(DnsUnavailable):
            await way(server, "one-kind.example")
        server.troubles[asked_for] = DENIED
        with pytest.raises(NoRoute):
            await way(server, "one-kind.example")
    finally:
        server.ttl = 300
        server.troubles.pop(asked_for, None)
        del server.troubles[denied]
