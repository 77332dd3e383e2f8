"""TLS at every door: the certificate of the name that is asked for, sign-in bound to it, reloads, and what the Centre hears.

A door takes testssl half a minute: one with each of the two contexts and HTTPS are slow tests, all are a campaign.
"""

import base64
import contextlib
import email
import email.policy
import hashlib
import hmac
import json
import socket
import ssl
import subprocess
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509

from harness import MailServer
from mic_mail.clock import ManualClock
from mic_mail.net.tls import self_signed, write_pair
from mic_mail.policy.facts import MailboxKind
from population import PASSWORD

ALL = (
    "smtp", "submission", "submissions", "imap", "imaps", "pop3", "pop3s", "ldap", "ldaps", "https",
)  # fmt: skip
LDAP_STARTTLS = bytes.fromhex("301d02010177188016312e332e362e312e342e312e313436362e3230303337")
STARTTLS: dict[str, list[tuple[bytes, bytes]]] = {
    "smtp": [(b"", b"220 "), (b"EHLO x\r\n", b"LIMITS"), (b"STARTTLS\r\n", b"220 ")],
    "submission": [(b"", b"220 "), (b"EHLO x\r\n", b"LIMITS"), (b"STARTTLS\r\n", b"220 ")],
    "imap": [(b"", b"* OK"), (b"a STARTTLS\r\n", b"a OK")],
    "pop3": [(b"", b"+OK"), (b"STLS\r\n", b"+OK")],
    "ldap": [(LDAP_STARTTLS, b"\x0a\x01\x00")],
}
GREETS = frozenset({"imaps", "pop3s", "submissions"})
OTHER = "mail.bo.example"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MailServer]:
    """With two certificates, at all doors."""
    from harness import config_for

    folder = tmp_path_factory.mktemp("tls")
    more = folder / "more.pem", folder / "more.key"
    write_pair(*more, self_signed([OTHER, "*.chung.example"], datetime.now(UTC)))
    settings = {"listen": {"doors": ALL}, "tls": {"more": [{"certificate": more[0], "key": more[1]}]}}
    server = MailServer(config_for(folder / "data", settings))
    server.issue("dvbe")
    yield server
    server.stop()


@contextlib.contextmanager
def tls_at(server: MailServer, door: str, name: str | None, client: ssl.SSLContext | None = None) -> Iterator[ssl.SSLSocket]:
    """A connection under TLS that asked for `name`."""
    if client is None:
        client = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        client.check_hostname, client.verify_mode = False, ssl.CERT_NONE
    with socket.create_connection((server.host, server.ports[door]), 20) as bare:
        for line, wanted in STARTTLS.get(door, ()):
            bare.sendall(line)
            read = b""
            while wanted not in read:
                octets = bare.recv(65_536)
                assert octets, read
                read += octets
        with client.wrap_socket(bare, server_hostname=name) as wire:
            if door in GREETS:
                wire.recv(65_536)
            yield wire


def names_seen(server: MailServer, door: str, name: str | None) -> str:
    with tls_at(server, door, name) as wire:
        octets = wire.getpeercert(binary_form=True)
    assert octets is not None
    found = x509.load_der_x509_certificate(octets).extensions.get_extension_for_class(x509.SubjectAlternativeName)
    return found.value.get_values_for_type(x509.DNSName)[0]


@pytest.mark.clause("10.2")
@pytest.mark.parametrize("door", ALL)
def test_each_door_shows_the_certificate_of_the_name(server: MailServer, door: str) -> None:
    """SNI at every door, TLS from the first octet or later; the first certificate for names that nobody knows, and for none."""
    assert names_seen(server, door, OTHER) == OTHER
    assert names_seen(server, door, "x.chung.example") == OTHER
    for name in ("mail.mic.gov.vn", "localhost", "nobody.example", None):
        assert names_seen(server, door, name) == "mail.mic.gov.vn"


@pytest.mark.parametrize(("name", "door"), [(OTHER, "imaps"), ("localhost", "imaps"), (OTHER, "imap")])
def test_scram_binds_to_the_certificate_that_is_shown(server: MailServer, name: str, door: str) -> None:
    """RFC 5929 §4: a client that binds to what it saw gets in, and one that saw another certificate does not."""
    for is_true in (True, False):
        with tls_at(server, door, name) as wire:
            octets = wire.getpeercert(binary_form=True)
            assert octets is not None
            digest = hashlib.sha256(octets if is_true else octets + b"x").digest()
            assert scram_plus(wire, digest) == is_true


def scram_plus(wire: ssl.SSLSocket, binding: bytes) -> bool:
    """Whether a sign-in by SCRAM-SHA-256-PLUS (RFC 5802, 7677) that is bound to this succeeds."""
    header, bare = b"p=tls-server-end-point,,", b"n=dvbe@mic.gov.vn,r=abcdefgh"
    said = ctx(wire, b"a AUTHENTICATE SCRAM-SHA-256-PLUS " + base64.b64encode(header + bare) + b"\r\n", b"+ ")
    first = base64.b64decode(said.rpartition(b"+ ")[2])
    nonce, salt, rounds = (field.partition(b"=")[2] for field in first.split(b","))
    without = b"c=" + base64.b64encode(header + binding) + b",r=" + nonce
    salted = hashlib.pbkdf2_hmac("sha256", PASSWORD.encode(), base64.b64decode(salt), int(rounds))
    key = hmac.digest(salted, b"Client Key", "sha256")
    sign = hmac.digest(hashlib.sha256(key).digest(), b",".join([bare, first, without]), "sha256")
    proof = bytes(a ^ b for a, b in zip(key, sign, strict=True))
    final = base64.b64encode(without + b",p=" + base64.b64encode(proof))
    return b"a NO" not in ctx(wire, final + b"\r\n", b"\r\n")


def ctx(wire: ssl.SSLSocket, line: bytes, wanted: bytes) -> bytes:
    wire.sendall(line)
    read = b""
    while wanted not in read or not read.endswith(b"\r\n"):
        octets = wire.recv(65_536)
        assert octets, read
        read += octets
    return read


def test_only_other_servers_may_be_old(server: MailServer) -> None:
    """CBC at the MX door alone: whoever finds no suite there sends in clear; people's programs have better ones."""
    client = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    client.check_hostname, client.verify_mode = False, ssl.CERT_NONE
    client.maximum_version = ssl.TLSVersion.TLSv1_2
    client.set_ciphers("ECDHE-ECDSA-AES128-SHA256")
    spoken = set()
    for door in ALL:
        with contextlib.suppress(ssl.SSLError, ConnectionError), tls_at(server, door, None, client):
            spoken.add(door)
    assert spoken == {"smtp"}
    servers = server.running.server.servers
    assert servers is not None
    assert servers.tls is not servers.tls_for_servers


def test_a_reload_cuts_nobody_off(server: MailServer) -> None:
    """Connections that are open go on under what they shook hands with; new ones see the new certificate, at every door."""
    certificate, key = server.config.tls.more[0].certificate, server.config.tls.more[0].key
    with contextlib.ExitStack() as open_ones:
        wires = {
            door: open_ones.enter_context(tls_at(server, door, OTHER)) for door in ("imaps", "imap", "submission", "pop3s")
        }
        write_pair(certificate, key, self_signed(["new.example", OTHER, "*.chung.example"], datetime.now(UTC)))

        async def reload() -> None:
            server.running.server.configure(server.config)

        server.call(reload())
        try:
            assert {names_seen(server, door, OTHER) for door in ALL} == {"new.example"}
            for door, wire in wires.items():
                noop = {"submission": b"NOOP\r\n", "pop3s": b"CAPA\r\n"}.get(door, b"z NOOP\r\n")
                assert ctx(wire, noop, b"OK")
        finally:
            write_pair(certificate, key, self_signed([OTHER, "*.chung.example"], datetime.now(UTC)))
            server.call(reload())


@pytest.mark.clause("10.2")
def test_the_centre_hears_of_certificates_that_end(serve: Callable[..., MailServer], tmp_path: Path) -> None:
    """Once when the warning is due, a week and a day ahead, and when it has ended; of each certificate; status knows each."""
    now = datetime.now(UTC)
    more = tmp_path / "more.pem", tmp_path / "more.key"
    write_pair(*more, self_signed([OTHER], now - timedelta(days=800)))  # ends in 25 days
    clock = ManualClock(now)
    server = serve({"tls": {"more": [{"certificate": more[0], "key": more[1]}]}}, clock=clock)
    server.issue("support", kind=MailboxKind.GROUP)
    more[1].chmod(0o644)
    told = []
    for days in (0, 5, 5, 19, 20, 24.5, 26, 27):
        server.move_clock_to(now + timedelta(days=days))
        server.housekeep()
        told.append(sorted(letters(server)))
    assert [len(each) for each in told] == [0, 1, 1, 2, 2, 3, 4, 4]
    assert sum("has expired" in text for text in told[-1]) == 1
    assert all(OTHER in text and str(more[0]) in text for text in told[-1])
    report = server.running.server.report()
    assert list(report["certificates"]) == [str(server.config.certificate), str(more[0])]  # type: ignore[call-overload]
    assert report["certificate_ends_at"] == report["certificates"][str(more[0])]["ends_at"]  # type: ignore[index]
    server.stop()
    events = server.events()
    assert {event["certificate"] for event in events if event["event"] == "certificate_ending"} == {str(more[0])}
    assert {event["file"] for event in events if event["event"] == "certificate_key_open"} == {str(more[1])}


def letters(server: MailServer) -> list[str]:
    folder = server.config.mail_root / "mic.gov.vn" / "support" / "Maildir" / "cur"
    found = folder.iterdir() if folder.exists() else ()
    parsed = [email.message_from_bytes(path.read_bytes(), policy=email.policy.default) for path in found]
    return [
        str(message["Subject"]) + str(message.get_body().get_content()).replace("\n", " ")  # type: ignore[attr-defined]
        for message in parsed
        if "chứng thư số" in str(message["Subject"]).lower()
    ]


# ------------------------------------------------------------ testssl

OF_THE_AUTHORITY = frozenset(
    {
        "cert_chain_of_trust",  # made by the test
        "cert_trust",  # for other names than that of the machine
        "cert_revocation",  # with neither a list nor a responder
        "DNS_CAArecord",  # nor a name server
        "cert_extlifeSpan",  # 825 days
    }
)
NOT_TRIED = frozenset({"engine_problem", "RC4", "starttls_injection", "sessionresumption_ticket"})
"""What testssl could not try, without an old library or socat or on a busy machine. Suites it lists by itself; injection and
sessions that are resumed are tests of their own here."""
DIFFERENT = frozenset({"smtp", "imaps", "https"})
"""Other servers' context, with STARTTLS; people's; and what is tried with HTTP alone."""
STARTTLS_NAME = {"smtp": "smtp", "submission": "smtp", "imap": "imap", "pop3": "pop3", "ldap": "ldap"}


@pytest.fixture(scope="module")
def rows_of(
    server: MailServer, tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest
) -> dict[str, list[dict[str, Any]]]:
    """What testssl says of each door that is tried in this run; four at a time, as it mostly waits."""
    doors = [item.callspec.params["door"] for item in request.session.items if "rows_of" in item.fixturenames]  # type: ignore[attr-defined]
    folder = tmp_path_factory.mktemp("testssl")
    with ThreadPoolExecutor(4) as threads:
        return dict(
            zip(doors, threads.map(lambda door: look_with_testssl(server, door, folder / f"{door}.json"), doors), strict=True)
        )


def look_with_testssl(server: MailServer, door: str, told: Path) -> list[dict[str, Any]]:
    command = ["testssl", "--quiet", "--color", "0", "--warnings", "batch", "--openssl-timeout", "20",
               "--ip", "127.0.0.1", "--nodns", "none", "--fast", "--jsonfile", str(told)]  # fmt: skip
    command += ["-p", "-s", "-f", "-S", "-U"]
    if door in STARTTLS_NAME:
        command += ["--starttls", STARTTLS_NAME[door]]
    subprocess.run([*command, f"localhost:{server.ports[door]}"], capture_output=True, timeout=600, check=False)
    rows: list[dict[str, Any]] = json.loads(told.read_text())
    return rows


@pytest.mark.timeout(600)
@pytest.mark.needs_tool("testssl")
@pytest.mark.parametrize(
    "door", [pytest.param(door, marks=pytest.mark.slow if door in DIFFERENT else pytest.mark.campaign) for door in ALL]
)
def test_testssl_finds_nothing_above_low(rows_of: dict[str, list[dict[str, Any]]], door: str) -> None:
    """Protocols, suites, known weaknesses: what is worse than LOW has to do with the authority of the test alone."""
    rows = rows_of[door]
    assert {"TLS1_2", "TLS1_3", "heartbleed", "secure_client_renego", "CRIME_TLS", "FS"} <= {row["id"] for row in rows}
    worse = {
        (row["id"], row["severity"], row["finding"])
        for row in rows
        if row["severity"] not in {"OK", "INFO", "LOW", "DEBUG"}
        and row["id"].partition(" ")[0] not in OF_THE_AUTHORITY
        and not (row["severity"] == "WARN" and row["id"] in NOT_TRIED)
    }
    assert worse == set()
