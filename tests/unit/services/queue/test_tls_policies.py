"""What a domain asks of TLS, and servers that fail in it each in their way: what leaves, what waits, and what the log says."""

import json
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization

from certificate_authority import Authority
from https_server import WebServer, answer, web
from mic_mail.mailbox_address import NULL_PATH
from mic_mail.queue.recipient_log import Standing
from unit.services.queue.office import STUFFED, Office, offices
from unit.smtpclient.mta_sts import policy
from unit.smtpclient.server import ALL, HANG, PLAIN, Server
from waiting import wait_on_loop

DOMAIN, MX = "one.example", "mx.one.example"
ZONE = {
    (DOMAIN, "MX"): [f"10 {MX}."],
    (MX, "A"): ["127.0.0.2"],
    (f"_mta-sts.{DOMAIN}", "TXT"): ['"v=STSv1; id=1"'],
    (f"mta-sts.{DOMAIN}", "A"): ["127.0.0.7"],
}
Zone = dict[tuple[str, str], list[str]]


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("ca"))


@asynccontextmanager
async def published(
    folder: Path, servers: dict[str, Server], authority: Authority, text: bytes | None, zone: Zone | None = None
) -> AsyncIterator[tuple[Office, WebServer]]:
    """An office that looks for policies, and the web server of that domain."""
    pages = WebServer(authority.context(f"mta-sts.{DOMAIN}"), answer(text or b"", status="200 OK" if text else "404 Gone"))
    async with web(pages) as port, offices(folder, servers, ZONE if zone is None else zone) as office:
        office.authorities, office.web_port = authority.file, port
        yield office, pages


def events(office: Office, name: str) -> list[dict[str, Any]]:
    office.log.close()
    lines = [line for path in sorted((office.folder / "log").rglob("*.jsonl")) for line in path.read_text().splitlines()]
    return [found for line in lines if (found := json.loads(line))["event"] == name]


BAD: dict[str, Callable[[Authority, Path], Server]] = {
    "ended": lambda authority, folder: Server(context=authority.context(MX, days=-1)),
    "another name": lambda authority, folder: Server(context=authority.context("mx.other.example")),
    "the domain's name": lambda authority, folder: Server(context=authority.context(DOMAIN)),
    "common name alone": lambda authority, folder: Server(context=authority.context(common_name=MX)),
    "another authority": lambda authority, folder: Server(context=Authority(folder / "other", "Other").context(MX)),
    "no STARTTLS": lambda authority, folder: Server(PLAIN),
    "STARTTLS refused": lambda authority, folder: Server(answers={b"STARTTLS": b"454 4.7.0 not now\r\n"}),
    "STARTTLS not known": lambda authority, folder: Server(answers={b"STARTTLS": b"502 5.5.1 what\r\n"}),
    "hangs up at STARTTLS": lambda authority, folder: Server(answers={b"STARTTLS": b""}),
    "no TLS after it": lambda authority, folder: Server(),
    "goes on in the open": lambda authority, folder: Server(answers={b"STARTTLS": b"220 go\r\n250 injected\r\n"}),
}
"""Ways in which a server has not the TLS that a policy asks for."""


async def attempt(office: Office, *addresses: str, **how: Any) -> Any:
    """One try; the entry after it, or None where it has left."""
    office.put("A", *(addresses or (f"b@{DOMAIN}",)), **how)
    async with office.sending():
        await wait_on_loop(
            lambda: (entry := office.queue.read("A")) is None or min(each.attempts for each in entry.state.recipients) >= 1
        )
    return office.queue.read("A")


async def test_a_policy_that_is_met(tmp_path: Path, authority: Authority) -> None:
    for number, mode in enumerate(("enforce", "testing")):
        server = Server(context=authority.context(MX))
        async with published(tmp_path / str(number), {"127.0.0.2": server}, authority, policy(mode, MX)) as (office, _):
            assert await attempt(office) is None
        assert server.messages == [STUFFED]
        (sent,) = events(office, "message_sent")
        assert sent["secured_by"] == "sts"
        assert sent["tls"].startswith("TLSv1.3 ")
        assert events(office, "tls_policy_failed") == []


@pytest.mark.parametrize("way", BAD)
async def test_enforced_and_not_met(tmp_path: Path, authority: Authority, way: str) -> None:
    """RFC 8461 §5: nothing of the message is said, and it waits."""
    server = BAD[way](authority, tmp_path)
    async with published(tmp_path / "x", {"127.0.0.2": server}, authority, policy("enforce", MX)) as (office, _):
        entry = await attempt(office)
    assert [each.standing for each in entry.state.recipients] == [Standing.OPEN]
    assert entry.state.recipients[0].reason.startswith("4.7.")
    assert not [line for line in server.lines if line.startswith((b"MAIL", b"DATA"))]
    assert office.told == []
    assert len(events(office, "sending_deferred")) == 1


@pytest.mark.parametrize("way", BAD)
async def test_tested_and_not_met(tmp_path: Path, authority: Authority, way: str) -> None:
    """RFC 8461 §5: the message leaves as if there were no policy, and the log says what would have been."""
    server = BAD[way](authority, tmp_path)
    async with published(tmp_path / "x", {"127.0.0.2": server}, authority, policy("testing", MX)) as (office, _):
        assert await attempt(office) is None
    assert server.messages == [STUFFED]
    (failed,) = events(office, "tls_policy_failed")
    assert (failed["domain"], failed["server"], failed["trace"]) == (DOMAIN, MX, "A")
    assert failed["error"]
    (sent,) = events(office, "message_sent")
    assert sent["secured_by"] == ("opportunistic" if server.context is not None else "none")


@pytest.mark.parametrize("way", BAD)
async def test_without_a_policy(tmp_path: Path, authority: Authority, way: str) -> None:
    """None, one that is over, one that cannot be fetched: whoever answers (RFC 7435)."""
    for number, text in enumerate((policy("none", MX), None)):
        server = BAD[way](authority, tmp_path / f"ca{number}")
        async with published(tmp_path / str(number), {"127.0.0.2": server}, authority, text) as (office, _):
            assert await attempt(office) is None
        assert server.messages == [STUFFED]
        assert events(office, "tls_policy_failed") == []
        assert len(events(office, "tls_policy_not_fetched")) == (text is None)


async def test_servers_beside_the_policy(tmp_path: Path, authority: Authority) -> None:
    """RFC 8461 §4.1: a host that it does not name gets nothing, whatever its certificate; the next that it names does."""
    zone = {**ZONE, (DOMAIN, "MX"): ["5 thief.example.", f"10 {MX}."], ("thief.example", "A"): ["127.0.0.3"]}
    thief, server = Server(context=authority.context("thief.example")), Server(context=authority.context(MX))
    text = policy("enforce", f"*.{DOMAIN}")
    async with published(tmp_path / "a", {"127.0.0.3": thief, "127.0.0.2": server}, authority, text, zone) as (office, _):
        assert await attempt(office) is None
    assert (thief.connections, server.messages) == (0, [STUFFED])
    zone[DOMAIN, "MX"] = ["5 thief.example."]
    for mode, left in (("enforce", False), ("testing", True)):
        async with published(tmp_path / mode, {"127.0.0.3": thief}, authority, policy(mode, MX), zone) as (office, _):
            assert (await attempt(office) is None) is left
        assert len(events(office, "tls_policy_failed")) == left
    assert thief.messages == [STUFFED]


async def test_another_policy_at_the_next_try(tmp_path: Path, authority: Authority) -> None:
    """RFC 8461 §5.1: what keeps mail back is asked for anew; who has mended the policy has the mail at the next try."""
    server = Server(context=authority.context(MX))
    async with published(tmp_path, {"127.0.0.2": server}, authority, policy("enforce", "old.example")) as (office, pages):
        office.put("A", f"b@{DOMAIN}")
        async with office.sending() as senders:
            await office.tried("A")
            pages.reply = answer(policy("enforce", MX))
            office.names.zone[f"_mta-sts.{DOMAIN}", "TXT"] = ['"v=STSv1; id=2"']
            senders._resolver._resolver.cache.flush()  # type: ignore[union-attr]  # the record's time is over
            entry = office.queue.read("A")
            assert entry is not None
            entry.retry()
            await senders.apply_decisions("A")
            await office.until()
    assert server.messages == [STUFFED]


async def test_a_policy_that_is_gone_is_in_force(tmp_path: Path, authority: Authority) -> None:
    """Record, text and server gone, and a new process: what it says counts until its end."""
    server = Server(context=authority.context(MX))
    async with published(tmp_path, {"127.0.0.2": server}, authority, policy("enforce", MX)) as (office, pages):
        assert await attempt(office) is None
        del office.names.zone[f"_mta-sts.{DOMAIN}", "TXT"]
        pages.reply, server.context, server.ehlo = b"", None, PLAIN
        entry = await attempt(office)
    assert [each.standing for each in entry.state.recipients] == [Standing.OPEN]
    assert server.messages == [STUFFED]


def signed(tlsa: str, **more: list[str]) -> Zone:
    """The same domain with validated records."""
    host, domain = "mx.signed.one.example", "signed.one.example"
    return {
        (domain, "MX"): [f"10 {host}."],
        (host, "A"): ["127.0.0.2"],
        (f"_25._tcp.{host}", "TLSA"): [tlsa],
        (f"_mta-sts.{domain}", "TXT"): ['"v=STSv1; id=1"'],
        (f"mta-sts.{domain}", "A"): ["127.0.0.7"],
    }


async def test_dane_goes_before_a_policy(tmp_path: Path, authority: Authority) -> None:
    """RFC 8461 §2: a policy that would be met does not help a key that is another one, and is not even asked for."""
    server = Server(context=authority.context("mx.signed.one.example"))
    zone = signed("3 1 1 " + "00" * 32)
    text = policy("enforce", "mx.signed.one.example")
    async with published(tmp_path, {"127.0.0.2": server}, authority, text, zone) as (office, pages):
        entry = await attempt(office, "b@signed.one.example")
    assert entry.state.recipients[0].reason.startswith("4.7.5")
    assert (server.messages, pages.asked) == ([], [])


async def test_records_that_nobody_can_use(tmp_path: Path, authority: Authority) -> None:
    """RFC 7672 §2.2: TLS all the same, with whoever answers; a policy counts beside them."""
    host = "mx.signed.one.example"
    for number, (server, left) in enumerate(
        [(Server(context=authority.context("x.example")), True), (Server(PLAIN), False), (Server(), False)]
    ):
        async with published(tmp_path / str(number), {"127.0.0.2": server}, authority, None, signed("0 0 0 00")) as (office, _):
            assert (await attempt(office, "b@signed.one.example") is None) is left
        assert [event["secured_by"] for event in events(office, "message_sent")] == ["opportunistic"] * left
    server = Server(context=authority.context("x.example"))
    pages = WebServer(authority.context("mta-sts.signed.one.example"), answer(policy("enforce", host)))
    async with web(pages) as port, offices(tmp_path / "sts", {"127.0.0.2": server}, signed("0 0 0 00")) as office:
        office.authorities, office.web_port = authority.file, port
        entry = await attempt(office, "b@signed.one.example")
    assert entry.state.recipients[0].reason.startswith("4.7.5")


async def test_records_of_no_use_beside_a_policy_that_is_tested(tmp_path: Path, authority: Authority) -> None:
    """They ask for TLS (RFC 7672 §2.2), and a policy that would let the message go in the open does not make that less."""
    pages = WebServer(authority.context("mta-sts.signed.one.example"), answer(policy("testing", "mx.signed.one.example")))
    for number, (server, left) in enumerate([(Server(context=authority.context("x.example")), True), (Server(PLAIN), False)]):
        async with (
            web(pages) as port,
            offices(tmp_path / str(number), {"127.0.0.2": server}, signed("0 0 0 00")) as office,
        ):
            office.authorities, office.web_port = authority.file, port
            assert (await attempt(office, "b@signed.one.example") is None) is left
        assert [event["secured_by"] for event in events(office, "message_sent")] == ["opportunistic"] * left


@pytest.mark.parametrize(
    ("name", "fits"),
    [("host.signed.example", True), ("signed.example", True), ("mx.signed.example", False), ("x.signed.example", False)],
)
async def test_an_authority_that_the_dns_names(tmp_path: Path, authority: Authority, name: str, fits: bool) -> None:
    """DANE-TA behind an alias: the certificate has the name where the keys are, which is asked for by SNI, or the domain's
    (RFC 7672 §2.2.3, §3.2.2); what the alias itself is called does not count."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*authority.pair(name, with_authority=True))
    asked: list[str | None] = []
    context.sni_callback = lambda _session, wanted, _context: asked.append(wanted)
    digest = sha256(ssl.PEM_cert_to_DER_cert(authority.file.read_text())).hexdigest()
    zone = {
        ("signed.example", "MX"): ["10 mx.signed.example."],
        ("mx.signed.example", "CNAME"): ["host.signed.example."],
        ("host.signed.example", "A"): ["127.0.0.2"],
        ("_25._tcp.host.signed.example", "TLSA"): [f"2 0 1 {digest}"],
    }
    server = Server(context=context)
    async with offices(tmp_path, {"127.0.0.2": server}, zone) as office:
        assert (await attempt(office, "b@signed.example") is None) is fits
    assert server.messages == [STUFFED] * fits
    assert set(asked) == {"host.signed.example"}


async def test_no_name_is_asked_for_where_there_is_none(tmp_path: Path, authority: Authority) -> None:
    """SNI holds no addresses (RFC 6066 §3): some servers end a handshake that names one."""
    context = authority.context("mx.one.example")
    asked: list[str | None] = []
    context.sni_callback = lambda _session, wanted, _context: asked.append(wanted)
    server = Server(context=context)
    async with offices(tmp_path, {"127.0.0.2": server}, {}) as office:
        assert await attempt(office, "b@[127.0.0.2]") is None
    (sent,) = events(office, "message_sent")
    assert (sent["secured_by"], sent["server"]) == ("opportunistic", "[127.0.0.2]")
    assert asked == [None]


async def test_connections_of_different_terms(tmp_path: Path, authority: Authority) -> None:
    """Two domains with one server: what was connected for who asks for nothing does not serve who asks for more."""
    zone = {**ZONE, ("two.example", "MX"): ["10 mx.two.example."], ("mx.two.example", "A"): ["127.0.0.2"]}
    server = Server(context=authority.context("mx.two.example"))
    async with (
        published(tmp_path, {"127.0.0.2": server}, authority, policy("enforce", MX), zone) as (office, _),
        office.sending() as senders,
    ):
        office.put("A", "b@two.example")
        await senders.poll()
        await office.until()
        office.put("B", f"b@{DOMAIN}")
        await senders.poll()
        await office.tried("B")
    assert server.messages == [STUFFED]
    assert office.queue.names() == ["B"]


@pytest.mark.filterwarnings("ignore:ssl.TLSVersion:DeprecationWarning")
@pytest.mark.parametrize("version", ["1.1", "1.2", "1.3"])
async def test_versions_of_tls(tmp_path: Path, authority: Authority, version: str) -> None:
    """RFC 8461 §4.2, RFC 8996: 1.2 at least; older ones are none, and nothing leaves under them."""
    context = authority.context(MX)
    context.set_ciphers("ALL:@SECLEVEL=0")
    number = {"1.1": 0x0302, "1.2": 0x0303, "1.3": 0x0304}[version]
    context.minimum_version = context.maximum_version = number  # type: ignore[assignment]
    server = Server(ALL, context=context)
    async with published(tmp_path, {"127.0.0.2": server}, authority, policy("enforce", MX)) as (office, _):
        left = await attempt(office) is None
    assert left is (version != "1.1")
    assert [event["tls"].split()[0] for event in events(office, "message_sent")] == ([f"TLSv{version}"] if left else [])


@dataclass
class Failing(Server):
    """Answers one command, at its time of coming, in its own way."""

    at: tuple[bytes, int] = (b"", 0)
    how: bytes = b""

    def answer(self, line: bytes) -> bytes:
        verb, number = self.at
        if line.startswith(verb) and len([each for each in self.lines if each.startswith(verb)]) in (number, 0):
            return self.how
        return super().answer(line)


# ------------------------------------------------------------ REQUIRETLS, TLS-Required (RFC 8689)

KEEPS = ALL.replace(b"250 DSN", b"250-REQUIRETLS\r\n250 DSN")
"""What is offered by a server that passes the demand on."""
SIGNED_HOST, SIGNED_DOMAIN = "mx.signed.one.example", "signed.one.example"
SIGNED: Zone = {(SIGNED_DOMAIN, "MX"): [f"10 {SIGNED_HOST}."], (SIGNED_HOST, "A"): ["127.0.0.2"]}
BARE: Zone = {("bare.example", "A"): ["127.0.0.2"]}


@pytest.mark.parametrize(
    ("domain", "host", "text", "zone", "by"),
    [
        (DOMAIN, MX, policy("enforce", MX), ZONE, "sts"),
        (DOMAIN, MX, policy("testing", MX), ZONE, "sts"),
        (SIGNED_DOMAIN, SIGNED_HOST, None, SIGNED, "name"),
        ("bare.example", "bare.example", None, BARE, "name"),
    ],
    ids=["enforce", "testing", "validated MX", "no MX"],
)
@pytest.mark.parametrize("offers", [True, False])
async def test_what_has_to_be_protected(
    tmp_path: Path, authority: Authority, domain: str, host: str, text: bytes | None, zone: Zone, by: str, offers: bool
) -> None:
    """The certificate fits a name that is sure, and the server passes the demand on; else it comes back."""
    server = Server(KEEPS if offers else ALL, context=authority.context(host))
    async with published(tmp_path, {"127.0.0.2": server}, authority, text, zone) as (office, _):
        assert await attempt(office, f"b@{domain}", requires_tls=True) is None
    if offers:
        assert b"MAIL FROM:<a@mic.gov.vn> REQUIRETLS" in server.lines
        (sent,) = events(office, "message_sent")
        assert sent["secured_by"] == by
        assert office.told == []
    else:
        assert server.messages == []
        assert [told.entry.state.recipients[0].reason[:6] for told in office.told] == ["5.7.30"]


async def test_protected_by_dane(tmp_path: Path) -> None:
    """A key that the DNS names is as good."""
    authority = Authority(tmp_path / "ca")
    context = authority.context("whatever.example")
    pem = max((tmp_path / "ca").glob("[0-9]*.pem")).read_bytes()
    digest = sha256(x509.load_pem_x509_certificate(pem).public_bytes(serialization.Encoding.DER)).hexdigest()
    for ehlo, left in ((KEEPS, True), (ALL, False)):
        server = Server(ehlo, context=context)
        zone = {**SIGNED, (f"_25._tcp.{SIGNED_HOST}", "TLSA"): [f"3 0 1 {digest}"]}
        async with published(tmp_path / str(left), {"127.0.0.2": server}, authority, None, zone) as (office, _):
            assert await attempt(office, f"b@{SIGNED_DOMAIN}", requires_tls=True) is None
        assert [event["secured_by"] for event in events(office, "message_sent")] == ["dane"] * left
        assert (server.messages, len(office.told)) == ([STUFFED] * left, not left)


@pytest.mark.parametrize("way", BAD)
@pytest.mark.parametrize("mode", ["enforce", "testing"])
async def test_what_cannot_be_protected(tmp_path: Path, authority: Authority, way: str, mode: str) -> None:
    """5.7.10 where the server is so; where something disturbed the handshake the message waits. Never a word of it."""
    server = BAD[way](authority, tmp_path)
    server.ehlo = server.ehlo.replace(b"250 DSN", b"250-REQUIRETLS\r\n250 DSN")
    async with published(tmp_path / "x", {"127.0.0.2": server}, authority, policy(mode, MX)) as (office, _):
        entry = await attempt(office, requires_tls=True)
    assert not [line for line in server.lines if line.startswith((b"MAIL", b"DATA"))]
    if way in ("ended", "another name", "the domain's name", "common name alone", "another authority", "no STARTTLS"):
        assert [told.entry.state.recipients[0].reason[:6] for told in office.told] == ["5.7.10"]
    else:
        assert [each.standing for each in entry.state.recipients] == [Standing.OPEN]
        assert office.told == []


async def test_names_that_nobody_vouches_for(tmp_path: Path, authority: Authority) -> None:
    """RFC 8689 §4.2.1: without DNSSEC and policy a certificate says nothing, since anybody may have written the MX record;
    where it is not known whether there is a policy the message waits."""
    server = Server(KEEPS, context=authority.context(MX))
    unpublished = {key: value for key, value in ZONE.items() if key[1] != "TXT"}
    for number, (text, zone, waits) in enumerate(
        [
            (None, unpublished, False),
            (policy("none", MX), ZONE, False),
            (policy("testing", "x.example"), ZONE, False),
            (None, ZONE, True),
        ]
    ):
        async with published(tmp_path / str(number), {"127.0.0.2": server}, authority, text, zone) as (office, _):
            entry = await attempt(office, requires_tls=True)
        assert (entry is not None) is waits
        assert [told.entry.state.recipients[0].reason[:6] for told in office.told] == ([] if waits else ["5.7.10"])
    assert server.messages == []


async def test_the_next_server_that_can(tmp_path: Path, authority: Authority) -> None:
    """RFC 8689 §4.2.1: each host is asked; one that is away now keeps the message here, whatever the others cannot."""
    zone = {**ZONE, (DOMAIN, "MX"): ["5 a.one.example.", f"10 {MX}."], ("a.one.example", "A"): ["127.0.0.3"]}
    cannot, can = Server(ALL, context=authority.context("a.one.example")), Server(KEEPS, context=authority.context(MX))
    text = policy("enforce", "*.one.example")
    async with published(tmp_path / "a", {"127.0.0.3": cannot, "127.0.0.2": can}, authority, text, zone) as (office, _):
        assert await attempt(office, requires_tls=True) is None
    assert (cannot.messages, can.messages, office.told) == ([], [STUFFED], [])
    for number, (mine, order) in enumerate([("127.0.0.3", [5, 10]), ("127.0.0.3", [10, 5])]):
        zone[DOMAIN, "MX"] = [f"{order[0]} a.one.example.", f"{order[1]} {MX}."]
        async with published(tmp_path / str(number), {mine: cannot}, authority, text, zone) as (office, _):
            entry = await attempt(office, requires_tls=True)
        assert [each.standing for each in entry.state.recipients] == [Standing.OPEN]
        assert office.told == []


async def test_reports_are_not_lost(tmp_path: Path, authority: Authority) -> None:
    """RFC 8689 §5: what has no sender goes all the same, with the demand where it is understood."""
    for number, ehlo in enumerate((KEEPS, ALL, PLAIN)):
        server = Server(ehlo, context=None if ehlo == PLAIN else authority.context("x.example"))
        async with published(tmp_path / str(number), {"127.0.0.2": server}, authority, None) as (office, _):
            assert await attempt(office, requires_tls=True, sender=NULL_PATH) is None
        (mail,) = [line for line in server.lines if line.startswith(b"MAIL")]
        assert (b"REQUIRETLS" in mail) is (ehlo == KEEPS)


async def test_never_promised_in_the_open(tmp_path: Path, authority: Authority) -> None:
    """RFC 8689 §2: a server that offers it without TLS is not told so."""
    server = Server(KEEPS.replace(b"250-STARTTLS\r\n", b""))
    async with published(tmp_path, {"127.0.0.2": server}, authority, None) as (office, _):
        assert await attempt(office, requires_tls=True, sender=NULL_PATH) is None
    assert server.messages == [STUFFED]
    assert not [line for line in server.lines if b"REQUIRETLS" in line]


@pytest.mark.parametrize("way", BAD)
async def test_tls_is_optional(tmp_path: Path, authority: Authority, way: str) -> None:
    """RFC 8689 §3, §8.4: as if there were neither a policy nor DANE."""
    server = BAD[way](authority, tmp_path)
    async with published(tmp_path / "sts", {"127.0.0.2": server}, authority, policy("enforce", "x.example")) as (office, _):
        assert await attempt(office, tls_optional=True) is None
    assert server.messages == [STUFFED]
    zone = {**SIGNED, (f"_25._tcp.{SIGNED_HOST}", "TLSA"): ["3 1 1 " + "00" * 32]}
    async with published(tmp_path / "dane", {"127.0.0.2": server}, authority, None, zone) as (office, _):
        assert await attempt(office, f"b@{SIGNED_DOMAIN}", tls_optional=True) is None
    assert server.messages == [STUFFED] * 2


STEPS = [(b"EHLO", 1), (b"STARTTLS", 1), (b"EHLO", 2), (b"MAIL", 1), (b"RCPT", 1), (b"DATA", 1), (b"END-OF-DATA", 0)]
HOWS = {"4xx": b"451 4.3.0 later\r\n", "421": b"421 4.3.2 bye\r\n", "5xx": b"550 5.7.1 no\r\n", "reset": b"", "hang": HANG}


@pytest.mark.parametrize("how", HOWS)
@pytest.mark.parametrize("step", STEPS, ids=lambda step: f"{step[0].decode()}-{step[1]}")
async def test_every_step_may_fail(tmp_path: Path, authority: Authority, step: tuple[bytes, int], how: str) -> None:
    """With an enforced policy: whatever goes wrong, at most once, nothing leaves in the open, and only a word on the message
    itself ends it."""
    server = Failing(context=authority.context(MX), at=step, how=HOWS[how])
    async with published(tmp_path, {"127.0.0.2": server}, authority, policy("enforce", MX)) as (office, _):
        if how == "hang":
            office.seconds = 1.0
        entry = await attempt(office)
    began = [number for number, line in enumerate(server.lines) if line.startswith(b"MAIL")]
    secured = [number for number, line in enumerate(server.lines) if line == b"STARTTLS"]
    assert all(any(start < number for start in secured) for number in began)
    of_the_message = how == "5xx" and step[0] in (b"MAIL", b"RCPT", b"DATA", b"END-OF-DATA")
    if step == (b"EHLO", 2) and how in ("4xx", "5xx"):  # HELO under TLS will do
        assert [event["secured_by"] for event in events(office, "message_sent")] == ["sts"]
        return
    if of_the_message:
        assert entry is None
        (told,) = office.told
        assert told.ended == (0,)
    else:
        assert [each.standing for each in entry.state.recipients] == [Standing.OPEN]
        assert office.told == []
    assert events(office, "message_sent") == []
