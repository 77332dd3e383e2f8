"""What the domain in From asks for: discovery, alignment, and authors that are none (RFC 7489)."""

import threading
from collections.abc import Iterator, Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dns_server import BROKEN, NameServer, name_server
from mic_mail.mailauth import dmarc
from mic_mail.mailauth.dkim_header import Dkim
from mic_mail.mailauth.dkim_verify import DkimResult
from mic_mail.mailauth.dmarc import (  # fmt: skip
    Dmarc,
    DmarcPolicy,
    DmarcRecord,
    DmarcResult,
    NoAuthor,
    ask_policy,
    author_domain,
    judge_dmarc,
    parse_dmarc,
)
from mic_mail.mailauth.public_suffix import organizational
from mic_mail.mailauth.spf import Identity, Spf, SpfResult
from mic_mail.mime.strict_addresses import Author, read_mailboxes
from mic_mail.net.dns import Resolver

ZONE = {
    ("_dmarc.mic.gov.vn", "TXT"): ['"v=DMARC1; p=reject; sp=quarantine; rua=mailto:a@mic.gov.vn"'],
    ("_dmarc.strict.gov.vn", "TXT"): ['"v=DMARC1;p=reject;adkim=s;aspf=s"'],
    ("_dmarc.half.gov.vn", "TXT"): ['"v=DMARC1; p=reject; pct=50"'],
    ("_dmarc.own.mic.gov.vn", "TXT"): ['"some text"', '"v=DMARC1; p=none"'],
    ("_dmarc.two.gov.vn", "TXT"): ['"v=DMARC1; p=none"', '"v=DMARC1; p=reject"'],
    ("_dmarc.twice.mic.gov.vn", "TXT"): ['"v=DMARC1; p=none"', '"v=DMARC1; p=reject"'],
    ("_dmarc.nop.gov.vn", "TXT"): ['"v=DMARC1; sp=reject"'],
    ("_dmarc.rua.gov.vn", "TXT"): ['"v=DMARC1; p=what; rua=mailto:x@rua.gov.vn"'],
    ("_dmarc.lower.gov.vn", "TXT"): ['"v=dmarc1; p=reject"'],
    ("_dmarc.gov.vn", "TXT"): ['"v=DMARC1; p=reject"'],
    ("_dmarc.np.gov.vn", "TXT"): ['"v=DMARC1; p=quarantine; sp=none; np=reject"'],
    ("_dmarc.npnothing.gov.vn", "TXT"): ['"v=DMARC1; p=reject; np=what"'],
    ("_dmarc.test.gov.vn", "TXT"): ['"v=DMARC1; p=reject; sp=quarantine; t=Y"'],
    ("there.np.gov.vn", "MX"): ["10 mx.mic.gov.vn."],
    ("mx.mic.gov.vn", "A"): ["192.0.2.1"],
}
NO_SPF = SpfResult(Spf.NONE, Identity.MAIL_FROM, "")


@pytest.fixture(scope="module")
def server() -> Iterator[NameServer]:
    with name_server(ZONE, troubles={"_dmarc.broken.gov.vn": BROKEN}) as one:
        yield one


async def ask(
    server: NameServer, author: str, *, spf: SpfResult = NO_SPF, dkim: Sequence[DkimResult] = (), roll: int = 0
) -> DmarcResult:
    asked = await ask_policy(Resolver([server.place], seconds=10), [f"An <an@{author}>".encode()])
    return judge_dmarc(asked, spf, dkim, roll=roll)


def by_spf(domain: str, result: Spf = Spf.PASS) -> SpfResult:
    return SpfResult(result, Identity.MAIL_FROM, domain)


def by_dkim(domain: str, result: Dkim = Dkim.PASS, *, is_testing: bool = False) -> DkimResult:
    return DkimResult(result, domain, is_testing=is_testing)


async def test_from_is_read_beside_the_loop(server: NameServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """A thousand authors in letters beyond ASCII take a while."""
    threads: list[threading.Thread] = []

    def reading(value: bytes) -> list[Author]:
        threads.append(threading.current_thread())
        return read_mailboxes(value)

    monkeypatch.setattr(dmarc, "read_mailboxes", reading)
    assert (await ask(server, "mic.gov.vn")).domain == "mic.gov.vn"
    assert threads
    assert threading.main_thread() not in threads


@pytest.mark.parametrize(
    ("author", "found_at", "published"),
    [
        ("mic.gov.vn", "mic.gov.vn", "reject"),
        ("MIC.gov.vn", "mic.gov.vn", "reject"),
        ("cntt.mic.gov.vn", "mic.gov.vn", "quarantine"),
        ("a.b.c.mic.gov.vn", "mic.gov.vn", "quarantine"),
        ("own.mic.gov.vn", "own.mic.gov.vn", "none"),
        ("rua.gov.vn", "rua.gov.vn", "none"),
        ("gov.vn", "gov.vn", "reject"),
    ],
)
async def test_whose_record_it_is(server: NameServer, author: str, found_at: str, published: str) -> None:
    """§6.6.3; nothing has passed, so what is asked for is done."""
    said = await ask(server, author)
    assert (said.result, said.found_at, said.published, said.disposition) == (Dmarc.FAIL, found_at, published, published)


@pytest.mark.parametrize(
    "author", ["other.gov.vn", "two.gov.vn", "twice.mic.gov.vn", "nop.gov.vn", "npnothing.gov.vn", "lower.gov.vn", "x.example"]
)
async def test_nobody_asks_for_anything(server: NameServer, author: str) -> None:
    """§6.6.3: no record, several, one without p=; and no policy of a public suffix for those below it."""
    assert (await ask(server, author)).result is Dmarc.NONE


@pytest.mark.parametrize(
    ("author", "spf", "dkim", "result"),
    [
        ("mic.gov.vn", by_spf("mic.gov.vn"), [], "pass"),
        ("mic.gov.vn", by_spf("bounce.mic.gov.vn"), [], "pass"),
        ("cntt.mic.gov.vn", by_spf("vp.mic.gov.vn"), [], "pass"),
        ("mic.gov.vn", by_spf("mic.gov.vn", Spf.SOFTFAIL), [], "fail"),
        ("mic.gov.vn", by_spf("other.gov.vn"), [], "fail"),
        ("mic.gov.vn", by_spf("evilmic.gov.vn"), [], "fail"),
        ("mic.gov.vn", by_spf("gov.vn"), [], "fail"),
        ("mic.gov.vn", NO_SPF, [by_dkim("mic.gov.vn")], "pass"),
        ("mic.gov.vn", NO_SPF, [by_dkim("other.example"), by_dkim("a.mic.gov.vn")], "pass"),
        ("mic.gov.vn", NO_SPF, [by_dkim("mic.gov.vn", Dkim.FAIL)], "fail"),
        ("mic.gov.vn", NO_SPF, [by_dkim("gov.vn")], "fail"),
        ("mic.gov.vn", NO_SPF, [by_dkim("mic.gov.vn", is_testing=True)], "fail"),
        ("mic.gov.vn", by_spf("mic.gov.vn", Spf.TEMPERROR), [], "temperror"),
        ("mic.gov.vn", by_spf("x.example", Spf.TEMPERROR), [], "fail"),
        ("mic.gov.vn", NO_SPF, [by_dkim("mic.gov.vn", Dkim.TEMPERROR)], "temperror"),
        ("mic.gov.vn", by_spf("mic.gov.vn"), [by_dkim("mic.gov.vn", Dkim.TEMPERROR)], "pass"),
        ("strict.gov.vn", by_spf("a.strict.gov.vn"), [by_dkim("a.strict.gov.vn")], "fail"),
        ("strict.gov.vn", by_spf("strict.gov.vn"), [], "pass"),
        ("a.strict.gov.vn", NO_SPF, [by_dkim("strict.gov.vn")], "fail"),
    ],
)
async def test_alignment(server: NameServer, author: str, spf: SpfResult, dkim: list[DkimResult], result: str) -> None:
    """§3.1."""
    said = await ask(server, author, spf=spf, dkim=dkim)
    assert str(said.result) == result
    assert (said.disposition is DmarcPolicy.NONE) == (result != "fail")


@pytest.mark.parametrize(
    ("author", "published"), [("np.gov.vn", "quarantine"), ("there.np.gov.vn", "none"), ("a.np.gov.vn", "reject")]
)
async def test_domains_that_are_not_there(server: NameServer, author: str, published: str) -> None:
    """RFC 9989 §4.7, `np=`: else whoever makes a name up below a domain would be told to pass by its `sp=none`."""
    said = await ask(server, author)
    assert (said.published, said.disposition) == (published, published)


@pytest.mark.parametrize(("author", "done"), [("test.gov.vn", "quarantine"), ("a.test.gov.vn", "none")])
async def test_a_policy_that_is_being_tested(server: NameServer, author: str, done: str) -> None:
    """RFC 9989 §4.7, `t=y`: one level below."""
    said = await ask(server, author)
    assert (said.result, said.disposition) == (Dmarc.FAIL, done)


async def test_percent(server: NameServer) -> None:
    """§6.6.4: what is left out gets the next weaker."""
    assert (await ask(server, "half.gov.vn", roll=49)).disposition is DmarcPolicy.REJECT
    assert (await ask(server, "half.gov.vn", roll=50)).disposition is DmarcPolicy.QUARANTINE


async def test_a_name_server_that_fails(server: NameServer) -> None:
    assert (await ask(server, "broken.gov.vn")).result is Dmarc.TEMPERROR


@pytest.mark.parametrize(
    "authors",
    [
        [],
        [b"a@mic.gov.vn", b"a@mic.gov.vn"],
        [b"a@mic.gov.vn, b@x.example"],
        [b""],
        [b"nobody"],
        [b"a@mic.gov.vn <b@x.example>"],
        [b"<a@mic.gov.vn>, <@x.example:b@y.example>"],
        [b"group: a@mic.gov.vn;"],
        [b"a@[192.0.2.1]"],
        [b"a@" + b"x" * 64 + b".vn"],
        [b"\xff@mic.gov.vn"],
        [b"a@mic.gov.vn" * 5_000],
    ],
)
async def test_no_one_author(server: NameServer, authors: list[bytes]) -> None:
    """§6.6.1: no policy can be looked up, and nobody vouches for it."""
    said = judge_dmarc(await ask_policy(Resolver([server.place], seconds=10), authors), by_spf("mic.gov.vn"), [], roll=0)
    assert (said.result, said.domain) == (Dmarc.PERMERROR, "")


def test_several_authors_of_one_domain() -> None:
    assert author_domain([b"a@mic.gov.vn, B <b@MIC.gov.vn>"]) == "mic.gov.vn"
    assert author_domain(["Vũ <vu@bộ.vn>".encode()]) == "xn--b-8xm.vn"


def test_organisational_domains() -> None:
    """The list comes with the library; no question leaves the machine."""
    assert organizational("a.b.mic.gov.vn") == "mic.gov.vn"
    assert organizational("mic.gov.vn") == "mic.gov.vn"
    assert organizational("gov.vn") == "gov.vn"
    assert organizational("a.b.co.uk") == "b.co.uk"
    assert organizational("x.y.nosuchtld") == "y.nosuchtld"
    assert organizational("a.b.xn--fiqs8s") == "b.xn--fiqs8s"
    assert organizational("foo.github.io") == "foo.github.io"


@pytest.mark.parametrize(
    ("text", "record"),
    [
        ("v=DMARC1; p=reject", DmarcRecord(DmarcPolicy.REJECT, DmarcPolicy.REJECT, DmarcPolicy.REJECT)),
        ("v = DMARC1 ; p = Quarantine ;", DmarcRecord(DmarcPolicy.QUARANTINE, DmarcPolicy.QUARANTINE, DmarcPolicy.QUARANTINE)),
        (
            "v=DMARC1; p=none; sp=reject; pct=20; adkim=s",
            DmarcRecord(DmarcPolicy.NONE, DmarcPolicy.REJECT, DmarcPolicy.REJECT, is_dkim_strict=True, percent=20),
        ),
        (
            "v=DMARC1; p=reject; pct=101; aspf=x; fo=1:d; nonsense;;",
            DmarcRecord(DmarcPolicy.REJECT, DmarcPolicy.REJECT, DmarcPolicy.REJECT),
        ),
        ("v=DMARC1; p=reject; p=none", DmarcRecord(DmarcPolicy.REJECT, DmarcPolicy.REJECT, DmarcPolicy.REJECT)),
        ("v=DMARC1; p=reject; sp=what; rua=mailto:a@b.c", DmarcRecord(DmarcPolicy.NONE, DmarcPolicy.NONE, DmarcPolicy.NONE)),
        ("v=DMARC1; p=reject; sp=what", None),
        ("v=DMARC1", None),
    ],
)
def test_records(text: str, record: DmarcRecord | None) -> None:
    """§6.3, §6.6.3 step 6."""
    assert parse_dmarc(text) == record


@settings(max_examples=300, deadline=None)
@given(st.text(max_size=100), st.lists(st.binary(max_size=60), max_size=2))
def test_whatever_stands_there(text: str, authors: list[bytes]) -> None:
    parse_dmarc(f"v=DMARC1;{text}")
    try:
        assert author_domain(authors)
    except NoAuthor:
        pass
