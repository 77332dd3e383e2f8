"""SPF at a real name server on loopback: mechanisms, macros, limits and what is wrong in records (RFC 7208)."""

import asyncio
import contextlib
from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from addresses import parsed
from cost_growth import assert_linear
from dns_server import BROKEN, SILENT, NameServer, name_server
from mic_mail.clock import SystemClock
from mic_mail.mailauth import spf, spf_record
from mic_mail.mailauth.spf import MOST_ADDRESSES, Identity, Spf, SpfClient, SpfResult, check_helo, check_mail_from
from mic_mail.mailauth.spf_record import BadRecord, check_explanation, expand, parse_record, shortened
from mic_mail.mailbox_address import NULL_PATH, MailboxAddress
from mic_mail.net.dns import Resolver

RECORDS = {
    "all.example": "v=spf1 -all",
    "plus.example": "V=SPF1 ?all",
    "ip.example": "v=spf1 ip4:192.0.2.0/24 ip6:2001:db8::/32 ~all",
    "a.example": "v=spf1 a -all",
    "prefix.example": "v=spf1 a:a.example/24//64 -all",
    "mx.example": "v=spf1 mx -all",
    "ptr.example": "v=spf1 ptr -all",
    "exists.example": "v=spf1 exists:%{ir}.%{v}._spf.%{d2} -all",
    "include.example": "v=spf1 include:ip.example -all",
    "includesnone.example": "v=spf1 include:none.example -all",
    "redirect.example": "v=spf1 redirect=ip.example",
    "redirectnone.example": "v=spf1 redirect=none.example",
    "loop.example": "v=spf1 include:loop.example -all",
    "turn.example": "v=spf1 redirect=turn.example",
    "neutral.example": "v=spf1 ip4:198.51.100.1",
    "exp.example": "v=spf1 -all exp=why.example",
    "expbad.example": "v=spf1 -all exp=evil.example",
    "many.example": "v=spf1 " + " ".join(f"a:h{n}.h.example" for n in range(10)) + " -all",
    "toomany.example": "v=spf1 " + " ".join(f"a:h{n}.h.example" for n in range(11)) + " -all",
    "void.example": "v=spf1 a:no1.example a:no2.example -all",
    "voids.example": "v=spf1 a:no1.example a:no2.example a:no3.example -all",
    "manymx.example": "v=spf1 mx -all",
    "tempfail.example": "v=spf1 a:broken.example -all",
    "local.example": "v=spf1 exists:%{l}.users.example -all",
    "syntax.example": "v=spf1 ip4:192.0.2.1 nonsense -all",
    "late.example": "v=spf1 a:silent.example -all",
    "slowexp.example": "v=spf1 -all exp=silent.example",
    "why.example": "%{i} may not send for %{d}, see http://%{d}/?s=%{S}",
    "evil.example": "550 no\\r\\n250 yes",
    "p.example": "v=spf1 exists:%{p}.seen.example -all",
    "crowd.example": "v=spf1 a -all",
    "room.example": "v=spf1 a -all",
    "crowdmx.example": "v=spf1 mx -all",
    "existscrowd.example": "v=spf1 exists:crowd.example -all",
}
ZONE = {(name, "TXT"): [f'"{text}"'] for name, text in RECORDS.items()} | {
    ("two.example", "TXT"): ['"v=spf1 -all"', '"v=spf1 +all"'],
    ("others.example", "TXT"): ['"v=spf10 -all"', '"google-site-verification=x"', '"v=spf1 ip4:192.0.2.1 -all"'],
    ("split.example", "TXT"): ['"v=spf1 ip4:192.0" ".2.1 -all"'],
    ("eight.example", "TXT"): ['"v=spf1 a:caf\\233.example -all"'],
    ("evil.example", "TXT"): ['"550 no\\013\\010250 yes"'],
    ("a.example", "A"): ["192.0.2.1"],
    ("a.example", "AAAA"): ["2001:db8::1"],
    ("mx.example", "MX"): ["10 m1.example.", "20 m2.example."],
    ("m1.example", "A"): ["192.0.2.7"],
    ("m2.example", "A"): ["192.0.2.1"],
    ("manymx.example", "MX"): [f"10 h{n}.h.example." for n in range(11)],
    ("1.2.0.192.in-addr.arpa", "PTR"): ["liar.ptr.example.", "host.ptr.example."],
    ("host.ptr.example", "A"): ["192.0.2.1"],
    ("liar.ptr.example", "A"): ["198.51.100.9"],
    ("host.ptr.example.seen.example", "A"): ["127.0.0.2"],
    ("1.2.0.192.in-addr._spf.exists.example", "A"): ["127.0.0.2"],
    ("nobody.example", "A"): ["192.0.2.1"],
    ("crowd.example", "A"): [f"198.51.100.{number}" for number in range(MOST_ADDRESSES)] + ["192.0.2.1"],
    ("room.example", "A"): [f"198.51.100.{number}" for number in range(MOST_ADDRESSES - 1)] + ["192.0.2.1"],
    ("crowdmx.example", "MX"): ["10 crowd.example."],
    ("3.2.0.192.in-addr.arpa", "PTR"): ["crowd.ptr.example.", "calm.ptr.example."],
    ("crowd.ptr.example", "A"): [f"198.51.100.{number}" for number in range(MOST_ADDRESSES)] + ["192.0.2.3"],
    ("calm.ptr.example", "A"): ["192.0.2.3"],
    **{(f"h{n}.h.example", "A"): ["198.51.100.1"] for n in range(11)},
}  # fmt: skip


@pytest.fixture(scope="module")
def server() -> Iterator[NameServer]:
    with name_server(ZONE, troubles={"broken.example": BROKEN, "silent.example": SILENT, "servfail.example": BROKEN}) as one:
        yield one


@pytest.fixture
def resolver(server: NameServer) -> Resolver:
    return Resolver([server.place], seconds=10)


async def ask(resolver: Resolver, domain: str, address: str = "192.0.2.1", sender: str = "an") -> SpfResult:
    client = SpfClient(address, "mail.example.org", "mx.mic.gov.vn")
    return await check_mail_from(resolver, SystemClock(), client, MailboxAddress(sender, domain))


@pytest.mark.parametrize(
    ("domain", "address", "result"),
    [
        ("none.example", "192.0.2.1", "none"),
        ("nobody.example", "192.0.2.1", "none"),
        ("all.example", "192.0.2.1", "fail"),
        ("plus.example", "192.0.2.1", "neutral"),
        ("ip.example", "192.0.2.255", "pass"),
        ("ip.example", "192.0.3.1", "softfail"),
        ("ip.example", "2001:db8:ffff::1", "pass"),
        ("ip.example", "::ffff:192.0.2.1", "pass"),
        ("ip.example", "fe80::1%eth0", "softfail"),
        ("a.example", "192.0.2.1", "pass"),
        ("a.example", "192.0.2.2", "fail"),
        ("a.example", "2001:db8::1", "pass"),
        ("prefix.example", "192.0.2.77", "pass"),
        ("prefix.example", "2001:db8::77", "pass"),
        ("prefix.example", "2001:db8:0:1::77", "fail"),
        ("mx.example", "192.0.2.1", "pass"),
        ("mx.example", "192.0.2.8", "fail"),
        ("ptr.example", "192.0.2.1", "pass"),
        ("ptr.example", "192.0.2.2", "fail"),
        ("p.example", "192.0.2.1", "pass"),
        ("ptr.example", "192.0.2.3", "pass"),
        ("crowd.example", "192.0.2.1", "permerror"),
        ("crowdmx.example", "192.0.2.1", "permerror"),
        ("existscrowd.example", "192.0.2.1", "pass"),
        ("room.example", "192.0.2.1", "pass"),
        ("room.example", "192.0.2.2", "fail"),
        ("exists.example", "192.0.2.1", "pass"),
        ("exists.example", "192.0.2.2", "fail"),
        ("include.example", "192.0.2.9", "pass"),
        ("include.example", "198.51.100.1", "fail"),
        ("includesnone.example", "192.0.2.1", "permerror"),
        ("redirect.example", "198.51.100.1", "softfail"),
        ("redirectnone.example", "192.0.2.1", "permerror"),
        ("loop.example", "192.0.2.1", "permerror"),
        ("turn.example", "192.0.2.1", "permerror"),
        ("neutral.example", "192.0.2.1", "neutral"),
        ("two.example", "192.0.2.1", "permerror"),
        ("others.example", "192.0.2.1", "pass"),
        ("split.example", "192.0.2.1", "pass"),
        ("eight.example", "192.0.2.1", "permerror"),
        ("syntax.example", "192.0.2.1", "permerror"),
        ("many.example", "192.0.2.1", "fail"),
        ("toomany.example", "192.0.2.1", "permerror"),
        ("void.example", "192.0.2.1", "fail"),
        ("voids.example", "192.0.2.1", "permerror"),
        ("manymx.example", "192.0.2.1", "permerror"),
        ("tempfail.example", "192.0.2.1", "temperror"),
        ("servfail.example", "192.0.2.1", "temperror"),
        ("localhost", "192.0.2.1", "none"),
        ("[192.0.2.1]", "192.0.2.1", "none"),
        ("x" * 64 + ".example", "192.0.2.1", "none"),
        ("all.example", "", "none"),
        ("all.example", "somewhere", "none"),
    ],
)  # fmt: skip
async def test_results(resolver: Resolver, domain: str, address: str, result: str) -> None:
    said = await ask(resolver, domain, address)
    assert str(said.result) == result, said


@pytest.mark.parametrize(("helo", "result"), [("ALL.Example.", Spf.FAIL), ("a..example", Spf.NONE), ("", Spf.NONE)])
async def test_names_that_no_address_has(resolver: Resolver, helo: str, result: Spf) -> None:
    """What a client calls itself may be anything (§2.3, §4.3)."""
    assert (await check_helo(resolver, SystemClock(), SpfClient("192.0.2.1", helo, "mx.mic.gov.vn"))).result is result


async def test_identities(resolver: Resolver) -> None:
    """§2.3, §2.4: a null reverse-path is the name in HELO's."""
    client = SpfClient("192.0.2.1", "a.example", "mx.mic.gov.vn")
    assert (await check_helo(resolver, SystemClock(), client)).identity is Identity.HELO
    said = await check_mail_from(resolver, SystemClock(), client, NULL_PATH)
    assert (said.result, said.domain, said.identity) == (Spf.PASS, "a.example", Identity.MAIL_FROM)
    assert (await check_helo(resolver, SystemClock(), SpfClient("192.0.2.1", "[192.0.2.1]", "x"))).result is Spf.NONE
    for sender in (NULL_PATH, parsed("an@none.example")):
        client = SpfClient("192.0.2.1", "x@a.example", "mx.mic.gov.vn")
        assert (await check_helo(resolver, SystemClock(), client)).result is Spf.NONE
        assert (await check_mail_from(resolver, SystemClock(), client, sender)).result is Spf.NONE


async def test_an_explanation(resolver: Resolver) -> None:
    """§6.2; what could begin a line is none."""
    said = await ask(resolver, "exp.example", sender="a b")
    assert said.explanation == "192.0.2.1 may not send for exp.example, see http://exp.example/?s=a%20b%40exp.example"
    assert (await ask(resolver, "expbad.example")).explanation == ""


async def test_letters_beyond_ascii_match_nothing(resolver: Resolver) -> None:
    """RFC 8616 §4: of a local part, in a macro."""
    assert (await ask(resolver, "local.example", sender="vũ")).result is Spf.FAIL


@pytest.mark.parametrize("sender", ["\\", "a\\", "\\999", "x" * 256, 'a"b', "a b", ".", "..", "%{s}"])
async def test_any_local_part(resolver: Resolver, sender: str) -> None:
    assert (await ask(resolver, "local.example", sender=sender)).result is Spf.FAIL


async def test_no_longer_than_a_while(server: NameServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """Though the resolver itself would wait for ten minutes."""
    monkeypatch.setattr(spf, "SECONDS", 0.3)
    async with asyncio.timeout(30):
        assert (await ask(Resolver([server.place], seconds=600), "late.example")).result is Spf.TEMPERROR


async def test_nor_where_all_answers_are_at_hand(resolver: Resolver, monkeypatch: pytest.MonkeyPatch) -> None:
    """They suspend nobody by themselves; then the time would not run out."""
    assert (await ask(resolver, "many.example")).result is Spf.FAIL
    monkeypatch.setattr(spf, "SECONDS", 0)
    assert (await ask(resolver, "many.example")).reason == "timeout"


async def test_an_explanation_that_does_not_come_changes_nothing(resolver: Resolver, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spf, "SECONDS", 0.5)
    said = await ask(resolver, "slowexp.example")
    assert (said.result, said.explanation) == (Spf.FAIL, "")


async def test_ten_at_once(resolver: Resolver) -> None:
    said = await asyncio.gather(*(ask(resolver, "many.example") for _ in range(10)))
    assert {each.result for each in said} == {Spf.FAIL}


async def test_no_more_questions_than_the_bounds(server: NameServer, resolver: Resolver) -> None:
    """§4.6.4: a record that names itself twice in ten ways asks no more than ten times."""
    server.asked.clear()
    await ask(resolver, "loop.example")
    assert len(server.asked) <= 12


@pytest.mark.parametrize(
    "terms",
    [
        "ip4", "ip4:", "ip4:192.0.2", "ip4:192.0.2.256", "ip4:192.0.2.1/33", "ip4:192.0.2.1/01", "ip4:192.0.2.1/",
        "ip4:1.2.3.4:8", "ip6:::1%eth0", "ip6:192.0.2.1", "ip6::", "ip6:::1/129", "a:", "a/33", "a//129", "a/", "a//",
        "a:x.example/", "a:x", "a:x.example:8080", "a:x.123", "a:x.-y", "a:%{x}.example", "a:%{d0}.example", "a:%{d",
        "a:%.example", "a:%{c}.example", "mx:a b", "include", "include:", "include/24", "exists", "exists/24", "all:x",
        "all/8", "-all.", "ptr/24", "redirect=", "redirect=x", "redirect=a.b redirect=a.b", "exp=", "exp=a.b exp=a.b",
        "redirect:a.b", "++all", "!all", "1=2", "x=%{", "=x", "x=%y", "\tall", "a:\u00e9.example", "-", "all\x00",
        "ip4:192.0.2.1 " * 300,
    ],
)  # fmt: skip
def test_records_that_cannot_be_read(terms: str) -> None:
    with pytest.raises(BadRecord):
        parse_record(f"v=spf1 {terms}")


@pytest.mark.parametrize(
    ("spec", "expanded"),
    [
        ("%{s}", "strong-bad@email.example.com"), ("%{o}", "email.example.com"), ("%{d}", "email.example.com"),
        ("%{d4}", "email.example.com"), ("%{d3}", "email.example.com"), ("%{d2}", "example.com"), ("%{d1}", "com"),
        ("%{dr}", "com.example.email"), ("%{d2r}", "example.email"), ("%{l}", "strong-bad"), ("%{l-}", "strong.bad"),
        ("%{lr}", "strong-bad"), ("%{lr-}", "bad.strong"), ("%{l1r-}", "strong"),
        ("%{ir}.%{v}._spf.%{d2}", "3.2.0.192.in-addr._spf.example.com"),
        ("%{lr-}.lp._spf.%{d2}", "bad.strong.lp._spf.example.com"),
        ("%{lr-}.lp.%{ir}.%{v}._spf.%{d2}", "bad.strong.lp.3.2.0.192.in-addr._spf.example.com"),
        ("%{d2}.trusted-domains.example.net", "example.com.trusted-domains.example.net"),
        ("%{l1r.-}", "strong"), ("%{s2.-}", "example.com"),
        ("%{d1}%{d1}.%{d2}", "comcom.example.com"),
        ("%%%_%-", "% %20"), ("%{S}", "strong-bad%40email.example.com"), ("%{d" + "9" * 5000 + "}", "email.example.com"),
    ],
)  # fmt: skip
def test_macros(spec: str, expanded: str) -> None:
    """The examples of §7.4."""
    values = {"s": "strong-bad@email.example.com", "l": "strong-bad", "o": "email.example.com", "d": "email.example.com"}
    assert expand(spec, values | {"i": "192.0.2.3", "v": "in-addr"}) == expanded


def test_a_name_that_is_too_long_loses_its_front() -> None:
    """§7.3."""
    assert len(shortened("x." * 200 + "example.org")) <= 253
    assert shortened("x." * 200 + "example.org").endswith(".x.example.org")


TERMS = "all a mx ptr include exists ip4 ip6 redirect exp example.org 192.0.2.1 ::1 24".split()
SIGNS = [*" :=/%{}.-+~?x", "//", "%{d}", "%{ir}", "%{l1r-}"]


@settings(max_examples=500, deadline=None)
@given(st.lists(st.sampled_from([*TERMS, *SIGNS]), max_size=30) | st.text(max_size=60))
def test_whatever_a_record_says(terms: list[str] | str) -> None:
    """It is read or it is `BadRecord`, and what is read can be expanded."""
    text = "v=spf1 " + "".join(terms)
    try:
        record = parse_record(text)
    except BadRecord:
        return
    for mechanism in record.mechanisms:
        expand(mechanism.target, {"d": "example.org"})
    check_explanation(expand(record.explanation, {}).replace("%", ""))


@pytest.mark.parametrize(
    ("head", "unit", "end"),
    [
        ("a:.", "1", "!"),
        ("a:", "%{d}", ""),
        ("a:", "a.", "b"),
        ("x=", "%", ""),
        ("", "a", ""),
        ("a:", "/", ""),
        ("ip6:", ":", ""),
        ("ip4:", "1", ""),
    ],
)
def test_records_are_read_in_linear_time(head: str, unit: str, end: str) -> None:
    """However long they are, and whatever they are made of."""

    def parse(text: str) -> None:
        with contextlib.suppress(BadRecord):
            parse_record(text)

    assert_linear(lambda size: f"v=spf1 {head}{unit * (size // len(unit))}{end}", parse, (15_000, 60_000))


def test_macros_of_all_kinds_in_linear_time() -> None:
    """As many as a record may hold, no two alike, of a value of which each letter is quoted."""
    value = "!#$%&'*+-/=?^_`{|}~" * 15 + "@" + "a." * 120 + "example"
    macros = "".join(f"%{{S{number}r{sign}}}" for number in range(1, 50) for sign in ".-+,/_=")[: spf_record.LONGEST_RECORD]
    whole = macros[: macros.rindex("}") + 1]
    few = macros[: macros.rindex("}", 0, len(whole) // 16) + 1]
    sizes = (len(few), len(whole))
    assert_linear(lambda size: whole[:size], lambda spec: expand(spec, {"s": value}), sizes)


def test_a_name_of_millions_of_labels_in_linear_time() -> None:
    """A record of 64 KB may say `%{s}` sixteen thousand times, and a sender may be nothing but dots and letters."""
    assert shortened("a." * 200_000 + "example.org").endswith(".a.example.org")
    assert_linear(lambda labels: "a." * labels + "example.org", shortened, (50_000, 200_000))
