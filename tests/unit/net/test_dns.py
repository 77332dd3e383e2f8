"""Names looked up at a real name server on loopback: what it says, fails to say, and says in a way not to be believed."""

import asyncio

import pytest

from dns_server import BROKEN, SILENT, name_server
from mic_mail.domain_name import NotAName, to_ascii
from mic_mail.net import dns
from mic_mail.net.dns import DnsAnswer, DnsUnavailable, Mx, NoSuchName, Resolver, Srv, Tlsa
from waiting import PATIENCE_SECONDS

ZONE = {
    ("mic.gov.vn", "MX"): ["20 mx2.mic.gov.vn.", "10 MX1.mic.gov.vn."],
    ("mx1.mic.gov.vn", "A"): ["192.0.2.1", "192.0.2.2"],
    ("mx1.mic.gov.vn", "AAAA"): ["2001:db8::1"],
    ("mx2.mic.gov.vn", "A"): ["192.0.2.9"],
    ("null.example", "MX"): ["0 ."],
    ("mic.gov.vn", "TXT"): ['"v=spf1 " "mx -all"', '"caf\\233"'],
    ("_imaps._tcp.mic.gov.vn", "SRV"): ["0 1 993 mail.mic.gov.vn."],
    ("_25._tcp.mx1.mic.gov.vn", "TLSA"): ["3 1 1 " + "ab" * 32],
    ("1.2.0.192.in-addr.arpa", "PTR"): ["mx1.mic.gov.vn."],
    ("www.mic.gov.vn", "CNAME"): ["mx1.mic.gov.vn."],
    ("large.example", "TXT"): [f'"{number:03} {"x" * 200}"' for number in range(30)],
    ("xn--mi-5ia.vn", "A"): ["192.0.2.77"],
}


@pytest.fixture(scope="module")
def server():
    with name_server(
        ZONE, signed=["mic.gov.vn", "mx1.mic.gov.vn"], troubles={"slow.example": SILENT, "bad.example": BROKEN}
    ) as one:
        yield one


@pytest.fixture
def resolver(server) -> Resolver:
    return server.resolver()


async def test_mail_exchangers_best_first(resolver: Resolver) -> None:
    found = await resolver.mx("MIC.gov.vn.")
    assert found == DnsAnswer((Mx(10, "mx1.mic.gov.vn"), Mx(20, "mx2.mic.gov.vn")), True, 300)


async def test_an_answer_at_hand_lets_others_have_their_turn(resolver: Resolver) -> None:
    await resolver.mx("mic.gov.vn")
    turns: list[int] = []
    asyncio.get_running_loop().call_soon(turns.append, 1)
    await resolver.mx("mic.gov.vn")
    assert turns


async def test_null_mx(resolver: Resolver) -> None:
    """RFC 7505: a domain that takes no mail."""
    assert (await resolver.mx("null.example")).values == (Mx(0, ""),)


async def test_addresses_of_both_kinds(resolver: Resolver) -> None:
    found = await resolver.addresses("mx1.mic.gov.vn")
    assert set(found.values) == {"2001:db8::1", "192.0.2.1", "192.0.2.2"}
    assert found.values[0] == "2001:db8::1"
    assert found.secure
    assert not (await resolver.addresses("mx2.mic.gov.vn")).secure


async def test_through_an_alias(resolver: Resolver) -> None:
    assert set((await resolver.addresses("www.mic.gov.vn")).values) == {"2001:db8::1", "192.0.2.1", "192.0.2.2"}


async def test_other_types(resolver: Resolver) -> None:
    assert set((await resolver.txt("mic.gov.vn")).values) == {"v=spf1 mx -all", "caf\udce9"}
    assert (await resolver.srv("_imaps._tcp.mic.gov.vn")).values == (Srv(0, 1, 993, "mail.mic.gov.vn"),)
    assert (await resolver.tlsa("mx1.mic.gov.vn", 25)).values == (Tlsa(3, 1, 1, b"\xab" * 32),)
    assert (await resolver.names_of("192.0.2.1")).values == ("mx1.mic.gov.vn",)


async def test_nothing_of_this_type_is_an_answer(resolver: Resolver) -> None:
    assert (await resolver.mx("mx2.mic.gov.vn")).values == ()


async def test_a_name_that_is_not_there(resolver: Resolver) -> None:
    with pytest.raises(NoSuchName, match=r"gone\.example does not exist"):
        await resolver.mx("gone.example")


@pytest.mark.parametrize("name", ["slow.example", "bad.example"])
async def test_no_answer_is_not_a_name_that_is_not_there(server, name: str) -> None:
    """Silence and SERVFAIL (also of a signature that is wrong): mail waits."""
    with pytest.raises(DnsUnavailable, match=name):
        await server.resolver(name).mx(name)


async def test_an_answer_too_long_for_a_datagram_comes_by_tcp(server, resolver: Resolver) -> None:
    assert len((await resolver.txt("large.example")).values) == 30
    assert ("large.example", "TXT", "tcp") in server.asked


async def test_answers_are_kept(server, resolver: Resolver) -> None:
    server.asked.clear()
    for _ in range(3):
        await resolver.mx("mic.gov.vn")
    assert server.asked == [("mic.gov.vn", "MX", "udp")]


async def test_what_is_kept_is_bounded_in_octets(monkeypatch: pytest.MonkeyPatch) -> None:
    """A stranger's zone can say 64 KiB under as many names as he likes: large answers are asked for anew, the oldest go."""
    zone = {(f"n{number}.example", "TXT"): [f'"{number:03} {"x" * 200}"'] * 1 for number in range(20)}
    zone["large.example", "TXT"] = [f'"{number:03} {"x" * 200}"' for number in range(30)]
    monkeypatch.setattr(dns, "KEPT_OCTETS", 2_000)
    with name_server(zone) as server:
        resolver = server.resolver()
        for _ in range(2):
            await resolver.txt("large.example")
        assert server.asked.count(("large.example", "TXT", "tcp")) == 2
        server.asked.clear()
        for number in (*range(20), 19, 18, 0, 19):
            await resolver.txt(f"n{number}.example")
        assert [name for name, _, _ in server.asked[20:]] == ["n0.example"]


async def test_an_answer_is_believed_as_who_gave_it(server, monkeypatch: pytest.MonkeyPatch) -> None:
    """A distant server's word is none of the local one's that is asked since (RFC 7672 §2.2.1)."""
    resolver = server.resolver()
    resolver.is_trusted = False
    asked = asyncio.create_task(resolver.mx("mic.gov.vn"))
    await asyncio.sleep(0)
    resolver.configure([server.place], PATIENCE_SECONDS)
    assert resolver.is_trusted
    assert not (await asked).secure
    assert (await resolver.mx("mic.gov.vn")).secure


async def test_other_name_servers(server) -> None:
    """From a reload on; what the former ones said counts no longer."""
    resolver = server.resolver()
    await resolver.mx("mic.gov.vn")
    with name_server({("mic.gov.vn", "MX"): ["10 other.mic.gov.vn."]}) as other:
        resolver.configure([other.place], PATIENCE_SECONDS)
        assert (await resolver.mx("mic.gov.vn")).values == (Mx(10, "other.mic.gov.vn"),)


async def test_many_at_once_cost_one_time_limit(server) -> None:
    """A silent server does not make each question wait for the one before."""
    resolver = server.resolver("slow.example")
    async with asyncio.timeout(PATIENCE_SECONDS):  # one after the other they would take 150 s
        told = await asyncio.gather(*(resolver.mx("slow.example") for _ in range(50)), return_exceptions=True)
    assert all(isinstance(each, DnsUnavailable) for each in told)


async def test_what_a_distant_server_calls_validated_is_not_believed(server, monkeypatch: pytest.MonkeyPatch) -> None:
    """RFC 7672 §2.2.1; the address of the same server, seen as another machine's."""
    resolver = server.resolver()
    assert resolver.is_trusted
    assert not Resolver(["192.0.2.53"]).is_trusted
    assert not Resolver([server.place, "[2001:db8::53]:5353"]).is_trusted
    resolver.is_trusted = False
    assert not (await resolver.mx("mic.gov.vn")).secure


async def test_names_in_other_letters(resolver: Resolver) -> None:
    assert (await resolver.addresses("miç.vn")).values == ("192.0.2.77",)


@pytest.mark.parametrize("name", ["", ".", "a..b", "x" * 64 + ".vn", "a." * 127 + "vn", "mic gov.vn\u3002\u3002", "\ud800.vn"])
async def test_what_is_no_name(resolver: Resolver, name: str) -> None:
    with pytest.raises(NotAName):
        await resolver.mx(name)


def test_to_ascii() -> None:
    assert to_ascii("Bộ.VN.") == "xn--b-8xm.vn"
    assert to_ascii("_dmarc.MIC.gov.vn") == "_dmarc.mic.gov.vn"
