"""Mail programs that set themselves up (Reg. 8.1): what each asks, on a real https port, and what it is told."""

import plistlib
import re
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import httpx
import pytest

from free_ports import free_ports
from harness import MailServer, config_for, stopping
from mic_mail.policy.facts import Draft, FactKind
from mic_mail.process.executors import Executors
from mic_mail.storage.errors import Unavailable
from unit.web.conftest import Browser

pytestmark = pytest.mark.clause("8.1")
DOORS = ("imaps", "imap", "submissions", "submission", "pop3s", "https", "http")
REQUEST = """<?xml version="1.0" encoding="utf-8"?>
<Autodiscover xmlns="http://schemas.microsoft.com/exchange/autodiscover/{kind}/requestschema/2006"><Request>
<EMailAddress>{address}</EMailAddress>
<AcceptableResponseSchema>http://schemas.microsoft.com/exchange/autodiscover/{kind}/responseschema/2006{edition}</AcceptableResponseSchema>
</Request></Autodiscover>"""
ANSWER = "{http://schemas.microsoft.com/exchange/autodiscover/responseschema/2006}"
OUTLOOK = "{http://schemas.microsoft.com/exchange/autodiscover/outlook/responseschema/2006a}"


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MailServer]:
    """Ports are told to programs, so they have to be known beforehand."""
    servers: list[MailServer] = []
    ports = dict(zip(DOORS, free_ports(len(DOORS)), strict=True))
    with stopping(servers):
        settings = {"listen": {"doors": DOORS, **ports}, "server": {"more_domains": ("vnnic.vn",)}}
        servers.append(MailServer(config_for(tmp_path_factory.mktemp("setup"), settings)))
        servers[0].population.issue("dvbe", name="Đỗ Văn Bê\x07 & con")
        yield servers[0]


Ask = Callable[..., httpx.Response]


@pytest.fixture(scope="module")
def ask(site: MailServer) -> Iterator[Ask]:
    """A program: it knows the address, and reaches the server under the name that it asks for."""
    with httpx.Client(verify=False, timeout=20) as client:

        def request(method: str, host: str, path: str, *, door: str = "https", **how: Any) -> httpx.Response:
            headers = {"host": host, **how.pop("headers", {})}
            return client.request(method, f"{door}://127.0.0.1:{site.ports[door]}{path}", headers=headers, **how)

        yield request


def servers_in(text: str) -> list[tuple[str | None, ...]]:
    """Element, type, host, port, socket, authentication, user name of each server in an autoconfig file."""
    fields = ("hostname", "port", "socketType", "authentication", "username")
    root = ElementTree.fromstring(text)
    found = [each for each in root.iter() if each.tag in ("incomingServer", "outgoingServer")]
    return [(each.tag, each.get("type"), *(each.findtext(name) for name in fields)) for each in found]


# ------------------------------------------------------------ Thunderbird


@pytest.mark.parametrize(
    ("host", "path"),
    [
        ("autoconfig.mic.gov.vn", "/mail/config-v1.1.xml?emailaddress=dvbe%40mic.gov.vn"),
        ("mic.gov.vn", "/.well-known/autoconfig/mail/config-v1.1.xml?emailaddress=nobody%40mic.gov.vn"),
        ("autoconfig.mic.gov.vn", "/mail/config-v1.1.xml"),
        ("mail.mic.gov.vn", "/mail/config-v1.1.xml"),
    ],
)
def test_autoconfig(site: MailServer, ask: Ask, host: str, path: str) -> None:
    """TLS first, IMAP before POP3, the whole address as user name; the same with an address that has a mailbox and without."""
    answer = ask("GET", host, path)
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("text/xml")
    rest = ("password-cleartext", "%EMAILADDRESS%")
    incoming, outgoing, ports = "incomingServer", "outgoingServer", site.ports
    assert servers_in(answer.text) == [
        (incoming, "imap", "mail.mic.gov.vn", str(ports["imaps"]), "SSL", *rest),
        (incoming, "imap", "mail.mic.gov.vn", str(ports["imap"]), "STARTTLS", *rest),
        (incoming, "pop3", "mail.mic.gov.vn", str(ports["pop3s"]), "SSL", *rest),
        (outgoing, "smtp", "mail.mic.gov.vn", str(ports["submissions"]), "SSL", *rest),
        (outgoing, "smtp", "mail.mic.gov.vn", str(ports["submission"]), "STARTTLS", *rest),
    ]
    root = ElementTree.fromstring(answer.text)
    assert root.findtext("emailProvider/domain") == "mic.gov.vn"
    assert root.findtext("addressBook/serverURL") == f"https://mail.mic.gov.vn:{ports['https']}/dav/"


def test_autoconfig_of_another_domain(ask: Ask) -> None:
    """One of ours, and one that is not: of that nothing is known here, whatever the host is called."""
    ours = ask("GET", "autoconfig.vnnic.vn", "/mail/config-v1.1.xml")
    assert ElementTree.fromstring(ours.text).findtext("emailProvider/domain") == "vnnic.vn"
    assert ask("GET", "autoconfig.mic.gov.vn", "/mail/config-v1.1.xml?emailaddress=a@example.org").status_code == 404


# ------------------------------------------------------------ Outlook


def post(ask: Ask, body: str | bytes, path: str = "/autodiscover/autodiscover.xml") -> ElementTree.Element:
    answer = ask("POST", "autodiscover.mic.gov.vn", path, content=body, headers={"content-type": "text/xml"})
    assert answer.status_code == 200
    return ElementTree.fromstring(answer.text)


@pytest.mark.parametrize(
    "path", ["/autodiscover/autodiscover.xml", "/Autodiscover/Autodiscover.xml", "/AutoDiscover/AutoDiscover.xml"]
)
def test_autodiscover(site: MailServer, ask: Ask, path: str) -> None:
    """`SSL` on 993 and 465: with `TLS` Outlook would begin in the open there and wait for ever."""
    root = post(ask, REQUEST.format(kind="outlook", edition="a", address="dvbe@mic.gov.vn"), path)
    account = root.find(f"{OUTLOOK}Response/{OUTLOOK}Account")
    assert account is not None
    assert account.findtext(f"{OUTLOOK}AccountType") == "email"
    found = [
        {each.tag.removeprefix(OUTLOOK): each.text for each in protocol} for protocol in account.iter(f"{OUTLOOK}Protocol")
    ]
    assert [
        (each["Type"], each["Port"], each["SSL"], each["Encryption"], each["LoginName"], each["SPA"]) for each in found
    ] == [
        ("IMAP", str(site.ports["imaps"]), "on", "SSL", "dvbe@mic.gov.vn", "off"),
        ("SMTP", str(site.ports["submissions"]), "on", "SSL", "dvbe@mic.gov.vn", "off"),
    ]


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (REQUEST.format(kind="mobilesync", edition="", address="dvbe@mic.gov.vn"), "601"),
        (REQUEST.format(kind="outlook", edition="a", address="a@example.org"), "601"),
        (REQUEST.format(kind="outlook", edition="a", address="dvbe"), "600"),
        ("", "600"),
        ("<Autodiscover/>", "600"),
        ("<not xml", "600"),
        ('<!DOCTYPE x [<!ENTITY a "b">]><Autodiscover>&a;</Autodiscover>', "600"),
        (b"\xff\xfe\x00", "600"),
        ("<a>" * 100_0, "600"),
    ],
)
def test_autodiscover_has_nothing(ask: Ask, body: str | bytes, code: str) -> None:
    """In the words that make a program ask on."""
    assert post(ask, body).findtext(f".//{ANSWER}ErrorCode") == code


def test_what_is_told_back_stays_text(ask: Ask) -> None:
    """An address of angle brackets comes back as an address."""
    sent = "a&lt;/LoginName&gt;&lt;Server&gt;evil@mic.gov.vn"
    root = post(ask, REQUEST.format(kind="outlook", edition="a", address=sent))
    assert root.findtext(f".//{OUTLOOK}LoginName") == "a</LoginName><Server>evil@mic.gov.vn"
    assert {each.text for each in root.iter(f"{OUTLOOK}Server")} == {"mail.mic.gov.vn"}


def test_a_body_without_end(ask: Ask) -> None:
    assert ask("POST", "autodiscover.mic.gov.vn", "/autodiscover/autodiscover.xml", content=b"x" * 20_000).status_code == 413


@pytest.mark.parametrize(
    "path",
    [
        "/autodiscover/autodiscover.json?Email=dvbe@mic.gov.vn&Protocol=Autodiscoverv1",
        "/autodiscover/autodiscover.json/v1.0/dvbe@mic.gov.vn?Protocol=AutodiscoverV1&RedirectCount=1",
        "/Autodiscover/Autodiscover.json/v1.0/dvbe%40mic.gov.vn?protocol=autodiscoverv1",
    ],
)
def test_autodiscover_2(site: MailServer, ask: Ask, path: str) -> None:
    """Where version 1 is; there it answers, under a name for which there is a certificate."""
    place = f"https://mail.mic.gov.vn:{site.ports['https']}/autodiscover/autodiscover.xml"
    answer = ask("GET", "autodiscover.mic.gov.vn", path)
    assert (answer.status_code, answer.json()) == (200, {"Protocol": "AutodiscoverV1", "Url": place})


@pytest.mark.parametrize(("protocol", "error"), [("ActiveSync", "InvalidProtocol"), ("", "MandatoryParameterMissing")])
def test_autodiscover_2_has_nothing_else(ask: Ask, protocol: str, error: str) -> None:
    path = f"/autodiscover/autodiscover.json?Email=dvbe@mic.gov.vn&Protocol={protocol}"
    answer = ask("GET", "autodiscover.mic.gov.vn", path)
    assert (answer.status_code, answer.json()["ErrorCode"]) == (400, error)
    assert ask("GET", "x", "/autodiscover/autodiscover.json?Email=a@example.org&Protocol=AutodiscoverV1").status_code == 404


# ------------------------------------------------------------ both


@pytest.mark.parametrize("path", ["/mail/config-v1.1.xml?emailaddress=a%40mic.gov.vn", "/autodiscover/autodiscover.xml"])
def test_plain_http_leads_to_the_certificate(site: MailServer, ask: Ask, path: str) -> None:
    """Nothing is told in the open; not to the name that was asked, which may be in no certificate."""
    answer = ask("GET", "autodiscover.mic.gov.vn", path, door="http")
    assert (answer.status_code, answer.headers["location"]) == (302, f"https://mail.mic.gov.vn:{site.ports['https']}{path}")


def test_these_names_are_not_the_page(ask: Ask) -> None:
    """Only these paths answer under them."""
    for path in ("/", "/mailbox", "/mail/", "/autodiscover/", "/.well-known/change-password"):
        assert ask("GET", "autoconfig.mic.gov.vn", path).status_code == 421, path
    assert "set-cookie" not in ask("GET", "autoconfig.mic.gov.vn", "/mail/config-v1.1.xml").headers


# ------------------------------------------------------------ Apple


def opened(profile: bytes, certificate: Path, folder: Path) -> dict[str, Any]:
    """What the device reads, once its own check of the signature has passed (by OpenSSL)."""
    file = folder / "p.mobileconfig"
    file.write_bytes(profile)
    command = ["openssl", "cms", "-verify", "-inform", "DER", "-in", str(file), "-CAfile", str(certificate), "-purpose", "any"]
    done = subprocess.run(command, capture_output=True, timeout=30, check=False)
    assert done.returncode == 0, done.stderr
    read: dict[str, Any] = plistlib.loads(done.stdout)
    return read


def test_apples_profile_waits_where_everybody_does(site: MailServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """Too many sign in at the moment: later, and no defect. It goes before nobody: it can be asked for without end."""

    async def busy(executors: Executors, fn: object, source: str) -> None:
        raise Unavailable("too many are waiting")

    browser = Browser(site)
    try:
        browser.signed_in("dvbe")
        monkeypatch.setattr(Executors, "hash", busy)
        answer = browser.get("/mailbox/apple.mobileconfig")
    finally:
        browser.close()
    assert (answer.status_code, answer.headers["content-type"]) == (503, "text/html; charset=utf-8")


@pytest.mark.needs_tool("openssl")
def test_apples_profile(site: MailServer, tmp_path: Path) -> None:
    """Only for who is signed in; signed, with names in any letters, without a password; twice the same identifiers."""
    browser = Browser(site)
    try:
        assert browser.get("/mailbox/apple.mobileconfig").headers["content-type"].startswith("text/html")
        browser.signed_in("dvbe")
        assert re.search(r'href="/mailbox/apple.mobileconfig"', browser.page.text)
        assert f"mail.mic.gov.vn:{site.ports['imaps']} (SSL/TLS)" in browser.page.text
        answer = browser.get("/mailbox/apple.mobileconfig")
        assert answer.headers["content-type"] == "application/x-apple-aspen-config"
        read = opened(answer.content, site.config.certificate, tmp_path)
        again = opened(browser.get("/mailbox/apple.mobileconfig").content, site.config.certificate, tmp_path)
    finally:
        browser.close()
    assert read == again
    mail, contacts = read["PayloadContent"]
    assert (mail["EmailAccountName"], mail["EmailAddress"]) == ("Đỗ Văn Bê & con", "dvbe@mic.gov.vn")
    assert (mail["IncomingMailServerPortNumber"], mail["OutgoingMailServerPortNumber"]) == (
        site.ports["imaps"], site.ports["submissions"],
    )  # fmt: skip
    assert mail["IncomingMailServerUseSSL"] is mail["OutgoingMailServerUseSSL"] is True
    assert (contacts["CardDAVHostName"], contacts["CardDAVPort"]) == ("mail.mic.gov.vn", site.ports["https"])
    assert "Password" not in {name.removeprefix("Incoming").removeprefix("Outgoing") for name in mail}


@pytest.mark.parametrize("path", ["/mailbox", "/mailbox/apple.mobileconfig", "/app-passwords", "/second-factor"])
def test_nothing_opens_while_a_password_change_is_due(site: MailServer, path: str) -> None:
    """Every page of the mailbox leads to the new password first (Reg. 6.4.a, 7.3.c)."""
    local = f"moi{path.rpartition('/')[2].partition('.')[0].replace('-', '')}"
    site.issue(local, facts=[Draft(FactKind.PASSWORD_RESET, site.clock.now(), "test")])
    browser = Browser(site)
    try:
        assert browser.sign_in(local).headers["location"] == "/password"
        answer = browser.get(path)
        assert (answer.status_code, answer.headers.get("location")) == (303, "/password")
    finally:
        browser.close()
