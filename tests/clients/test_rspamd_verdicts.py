"""Who a message is from, as we and Rspamd have it: SPF, DKIM, DMARC and ARC of the same messages, at the same name server."""

import asyncio
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

import pytest

import rspamd_server
import signed_messages
from arc_chains import BROKEN as BROKEN_CHAINS
from arc_chains import chain
from dns_server import BROKEN, NameServer, name_server
from mic_mail.clock import SystemClock
from mic_mail.filters.rspamd import About, Rspamd, Scored
from mic_mail.mailauth.arc import Arc
from mic_mail.mailauth.authenticate import examine_client, examine_message
from mic_mail.mailauth.dkim_header import Dkim
from mic_mail.mailauth.dmarc import Dmarc
from mic_mail.mailauth.message_digest import read
from mic_mail.mailauth.result import Origin
from mic_mail.mailauth.spf import Spf, SpfClient
from mic_mail.mailbox_address import parse_reverse_path

pytestmark = [
    pytest.mark.needs_tool("rspamd"),
    pytest.mark.slow,
]
HOME, MX = "192.0.2.1", "mx.mic.gov.vn"
SPF_RECORDS = {
    "pass.example": "v=spf1 ip4:192.0.2.0/24 -all",
    "fail.example": "v=spf1 -all",
    "soft.example": "v=spf1 ~all",
    "neutral.example": "v=spf1 ?all",
    "silent.example": "v=spf1 ip4:198.51.100.1",
    "a.example": "v=spf1 a -all",
    "mx.example": "v=spf1 mx -all",
    "include.example": "v=spf1 include:pass.example -all",
    "include-fail.example": "v=spf1 include:fail.example ~all",
    "include-none.example": "v=spf1 include:none.example -all",
    "redirect.example": "v=spf1 redirect=pass.example",
    "redirect-none.example": "v=spf1 redirect=none.example",
    "exists.example": "v=spf1 exists:%{i}.sp.exists.example -all",
    "macro.example": "v=spf1 exists:%{l}.%{d2}.users.exists.example -all",
    "broken.example": "v=spf1 ip4:1.2.3 -all",
    "unknown.example": "v=spf1 frobnicate:x -all",
    "loop.example": "v=spf1 include:loop.example -all",
    "deep0.example": "v=spf1 include:deep1.example -all",
    **{f"deep{number}.example": f"v=spf1 include:deep{number + 1}.example -all" for number in range(1, 12)},
    "deep12.example": "v=spf1 +all",
    "ptr.example": "v=spf1 ptr -all",
    "six.example": "v=spf1 ip6:2001:db8::/32 -all",
    "cidr.example": "v=spf1 a:pass.example/24 -all",
    "temp.example": "v=spf1 include:servfail.example -all",
}
ZONE = {
    **signed_messages.zone(signed_messages.records()),
    ("mic.gov.vn", "TXT"): [f'"v=spf1 ip4:{HOME} -all"'],
    (MX, "A"): [HOME],
    **{(name, "TXT"): [f'"{text}"'] for name, text in SPF_RECORDS.items()},
    ("two.example", "TXT"): ['"v=spf1 +all"', '"v=spf1 -all"'],
    ("a.example", "A"): [HOME],
    ("mx.example", "MX"): ["10 mail.mx.example."],
    ("mail.mx.example", "A"): [HOME],
    ("pass.example", "A"): ["192.0.2.77"],
    (f"{HOME}.sp.exists.example", "A"): ["127.0.0.2"],
    ("an.macro.example.users.exists.example", "A"): ["127.0.0.2"],
    ("1.2.0.192.in-addr.arpa", "PTR"): ["host.ptr.example."],
    ("host.ptr.example", "A"): [HOME],
    ("none.example", "A"): ["192.0.2.9"],
}
TROUBLES = {"servfail.example": BROKEN, "_dmarc.brokenpolicy.vn": BROKEN}
POLICIES = {
    "reject": "v=DMARC1; p=reject",
    "quarantine": "v=DMARC1; p=quarantine",
    "none": "v=DMARC1; p=none",
    "strict": "v=DMARC1; p=reject; adkim=s; aspf=s",
    "sub": "v=DMARC1; p=none; sp=reject",
    "odd": "v=DMARC1; p=whatever",
    "noversion": "p=reject",
    "absent": "",
}
SPF = {
    Spf.PASS: "R_SPF_ALLOW", Spf.FAIL: "R_SPF_FAIL", Spf.SOFTFAIL: "R_SPF_SOFTFAIL", Spf.NEUTRAL: "R_SPF_NEUTRAL",
    Spf.NONE: "R_SPF_NA", Spf.PERMERROR: "R_SPF_PERMFAIL", Spf.TEMPERROR: "R_SPF_DNSFAIL",
}  # fmt: skip


class Compared(NamedTuple):
    """Of one message."""

    ours: Origin
    theirs: Scored

    def has(self, *names: str) -> list[str]:
        return sorted(symbol.name for symbol in self.theirs.symbols if symbol.name.startswith(names))


class Bench:
    """Both, at one name server."""

    def __init__(self, folder: Path, names: NameServer) -> None:
        self.names = names
        more = "spf {} dmarc {} arc {} dkim {} actions { greylist = null; }"
        self.daemon = rspamd_server.Rspamd(
            folder, nameserver=names.place, plugins=("spf", "dmarc", "arc"), more=more, filters="dkim"
        )
        self.daemon.start()

    def compare(self, message: bytes, sender: str = "an@mic.gov.vn", address: str = HOME, helo: str = MX) -> Compared:
        return asyncio.run(self._compare(message, sender, address, helo))

    async def _compare(self, message: bytes, sender: str, address: str, helo: str) -> Compared:
        async def pieces() -> object:
            yield message

        client = SpfClient(address, helo, "mx.here.example")
        reading = await asyncio.to_thread(read, message)
        resolver, clock = self.names.resolver(), SystemClock()
        about_client = examine_client(resolver, clock, client, parse_reverse_path(sender))
        ours = await examine_message(resolver, clock, about_client, reading, roll=0)
        asking = Rspamd(self.daemon.place, seconds=20, connections=1)
        theirs = await asking.check(About(address, helo, helo, sender, ("b@x.example",)), pieces(), len(message))  # type: ignore[arg-type]
        return Compared(ours, theirs)


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    zone = dict(ZONE)
    for name, text in POLICIES.items():
        zone[f"{name}.vn", "TXT"] = [f'"v=spf1 ip4:{HOME} -all"']
        zone[f"deep.{name}.vn", "TXT"] = [f'"v=spf1 ip4:{HOME} -all"']
        if text:
            zone[f"_dmarc.{name}.vn", "TXT"] = [f'"{text}"']
    with name_server(zone, troubles=TROUBLES) as names:
        one = Bench(tmp_path_factory.mktemp("bench") / "rspamd", names)
        yield one
        one.daemon.stop()


def assert_known(differ: Mapping[str, object], known: set[str]) -> None:
    """Every difference is one that is known, and every known one is there."""
    for name, about in differ.items():
        print(f"{name}: {about}")
    assert differ.keys() == known


def test_spf(bench: Bench) -> None:
    differ = {}
    for name in [*SPF_RECORDS, "two.example", "none.example", "nowhere.example"]:
        both = bench.compare(f"From: an@{name}\r\nSubject: x\r\n\r\nx\r\n".encode(), f"an@{name}")
        theirs = [symbol.replace("PLUSALL", "ALLOW") for symbol in both.has("R_SPF")]  # a pass, by `+all`
        if theirs != [SPF[both.ours.mail_from.result]]:
            differ[name] = (str(both.ours.mail_from.result), theirs)
    assert_known(differ, LENIENT)


LENIENT = {
    "include-none.example", "broken.example", "unknown.example", "loop.example", "deep0.example", "deep1.example",
    "two.example",
}  # fmt: skip
"""Records with an error (RFC 7208 §4.5, §4.6, §4.6.4, §5.2: permerror): Rspamd goes on with the rest of the record."""


def dkim_of(both: Compared) -> tuple[bool, bool]:
    """Whether some signature verifies, by us and by Rspamd."""
    return any(each.result is Dkim.PASS for each in both.ours.dkim), "R_DKIM_ALLOW" in both.has("R_DKIM")


def test_dkim_of_what_was_signed(bench: Bench) -> None:
    messages = list(signed_messages.signed())
    differ = {name: both.has("R_DKIM") for name, message in messages if dkim_of(both := bench.compare(message)) != (True, True)}
    assert len(messages) > 300
    assert_known(differ, NOT_READ_ALIKE)


FORMS = ("relaxed/relaxed", "simple/simple", "relaxed/simple", "simple/relaxed", "l=")
NOT_READ_ALIKE = {
    # Of a field that is there more often than it is signed Rspamd takes another one (RFC 6376 §5.4.2: the lowest).
    *(f"{name}, {form}" for name in ("two of To and Cc", "two subjects", "three signed once") for form in FORMS),
    # Lines of nothing but blanks at the end of a body are empty when they are relaxed (§3.4.4).
    *(f"only spaces, {form}" for form in FORMS if form.endswith("/relaxed")),
    # Blanks are spaces and tabs, not form feeds (§2.8).
    *(f"all octets but CR, LF and NUL, {form}" for form in ("relaxed/relaxed", "simple/relaxed", "l=")),
    # It has no word for a signature by `l=` that leaves something out.
    "no line end at the end, l=", "20,000 empty lines at the end, l=",
}  # fmt: skip
LONGER = ("a footer", "empty lines behind")
"""Likewise."""


def test_dkim_of_what_was_changed(bench: Bench) -> None:
    messages = list(signed_messages.broken())
    differ = {}
    for name, message in messages:
        ours, theirs = dkim_of(both := bench.compare(message))
        if ours != theirs:
            differ[name] = (str(both.ours.dkim[0].result), both.ours.dkim[0].reason, both.has("R_DKIM"))
    assert len(messages) > 150
    assert_known(differ, {f"{form} l=: {what}" for form in ("simple/simple", "relaxed/simple") for what in LONGER})


def test_arc(bench: Bench) -> None:
    differ = {}
    whole = {f"{sets} sets": chain(sets) for sets in (1, 2, 3, 5)}
    for name, message in {"none": b"From: a@mic.gov.vn\r\n\r\nx\r\n", **whole, **BROKEN_CHAINS}.items():
        both = bench.compare(message)
        ours = {Arc.PASS: "ARC_ALLOW", Arc.NONE: "ARC_NA", Arc.FAIL: "bad"}[both.ours.arc.result]
        theirs = [symbol if symbol in {"ARC_ALLOW", "ARC_NA"} else "bad" for symbol in both.has("ARC_")]
        if theirs != [ours]:
            differ[name] = (str(both.ours.arc.result), both.ours.arc.reason, both.has("ARC_"))
    assert_known(
        differ, {"a seal with h=", "the seal in the signature of the message", "only a seal"}
    )  # RFC 8617 §4.1.2, §4.1.3, §5.2


@pytest.mark.parametrize("place", ["from home", "from elsewhere"])
def test_dmarc(bench: Bench, place: str) -> None:
    address = HOME if place == "from home" else "198.51.100.7"
    differ = {}
    for name in [*POLICIES, "brokenpolicy"]:
        for domain in (f"{name}.vn", f"deep.{name}.vn"):
            for sender in (f"an@{domain}", f"an@{name}.vn", "an@pass.example", ""):
                plain = f"From: An <an@{domain}>\r\nTo: b@x.example\r\nSubject: Hello\r\n\r\nbody\r\n".encode()
                both = bench.compare(plain, sender, address)
                ours, theirs = dmarc_of(both), both.has("DMARC")
                if theirs not in ours:
                    differ[f"{domain} by <{sender}>"] = (str(both.ours.dmarc.result), both.ours.dmarc.disposition, theirs)
    assert_known(differ, set())


def dmarc_of(both: Compared) -> list[list[str]]:
    """What Rspamd calls our result; more than one where its words are coarser or finer."""
    found = both.ours.dmarc
    match found.result:
        case Dmarc.PASS:
            return [["DMARC_POLICY_ALLOW"]]
        case Dmarc.FAIL:
            named = {"reject": "DMARC_POLICY_REJECT", "quarantine": "DMARC_POLICY_QUARANTINE", "none": "DMARC_POLICY_SOFTFAIL"}
            return [[named[str(found.disposition)]]]
        case Dmarc.TEMPERROR:
            return [["DMARC_DNSFAIL"]]
        case Dmarc.PERMERROR:
            return [["DMARC_BAD_POLICY"]]
        case _:
            return [["DMARC_NA"], ["DMARC_BAD_POLICY"]]
