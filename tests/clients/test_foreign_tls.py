"""What domains ask of TLS, before real servers: DANE, MTA-STS, each met and not met; what leaves, how, and what waits."""

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization

from harness import read_events
from https_server import WebServer, answer, web
from mic_mail.queue.recipient_log import AdminDecision
from peers.neighbours import ADDRESSES, EACH, Neighbours, neighbours
from unit.services.queue.office import HEAD, Office
from unit.smtpclient.mta_sts import policy
from waiting import wait_on_loop

WEB, NOBODY = "127.0.0.7", "127.0.0.9"
ZEROS = "3 1 1 " + "0" * 64
LEAVES = {
    "ee": "dane",
    "ta": "dane",
    "unsigned": "opportunistic",
    "sts": "sts",
    "testing": "opportunistic",
    "gone": "opportunistic",
}
"""Domains below NAME.example whose mail leaves, and what the server is known by."""
WAITS = {
    "wrongkey": "no TLSA record matches",
    "wrongname": "a TLSA record matches, but",
    "old": "certificate has expired",
    "othername": "ostname mismatch",
    "changed": "not among the mail servers",
}
"""Domains whose mail waits, and why."""


@pytest.fixture(scope="module")
def near() -> Iterator[Neighbours]:
    with neighbours(with_us=False) as near:
        yield near


def key_digest(chain: Path) -> str:
    certificate = x509.load_pem_x509_certificate(chain.read_bytes())
    der, spki = serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    return sha256(certificate.public_key().public_bytes(der, spki)).hexdigest()


def authority_digest(authority: Path) -> str:
    certificate = x509.load_pem_x509_certificate(authority.read_bytes())
    return sha256(certificate.public_bytes(serialization.Encoding.DER)).hexdigest()


@dataclass
class Policies(WebServer):
    """A web server for the policies of many domains, by the host that is asked for."""

    texts: dict[str, bytes] = field(default_factory=dict)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        (host,) = [line[6:].decode() for line in head.split(b"\r\n") if line.lower().startswith(b"host: ")]
        writer.write(answer(self.texts[host.partition(":")[0]]))
        writer.close()


def publish(near: Neighbours, name: str) -> dict[str, bytes]:
    """Zones of that server, and the texts of its policies."""
    below, zone, other = f"{name}.example", near.names.zone, near[name]
    key, authority = f"3 1 1 {key_digest(other.chain)}", f"2 0 1 {authority_digest(near.authority.file)}"
    hosts = {"ee": key, "ta": authority, "wrongkey": ZEROS, "wrongname": authority, "unsigned": ZEROS}
    for host, tlsa in hosts.items():
        zone[f"{host}.{below}", "MX"] = [f"10 {host}.{below}."]
        zone[f"{host}.{below}", "A"] = [ADDRESSES[name]]
        zone[f"_25._tcp.{host}.{below}", "TLSA"] = [tlsa]
        if host != "unsigned":
            near.names.signed |= {f"{host}.{below}", f"_25._tcp.{host}.{below}"}
    texts = {}
    policies = {"sts": ("mx", "enforce", "mx"), "testing": ("othername", "testing", "othername"), "gone": ("mx", "", ""),
                "old": ("expired", "enforce", "expired"), "othername": ("othername", "enforce", "othername"),
                "changed": ("mx", "enforce", "before")}  # fmt: skip
    for domain, (host, mode, listed) in policies.items():
        zone[f"{domain}.{below}", "MX"] = [f"10 {host}.{below}."]
        zone[f"{host}.{below}", "A"] = [ADDRESSES[name]]
        zone[f"_mta-sts.{domain}.{below}", "TXT"] = ['"v=STSv1; id=1"']
        zone[f"mta-sts.{domain}.{below}", "A"] = [WEB if mode else NOBODY]
        if mode:
            texts[f"mta-sts.{domain}.{below}"] = policy(mode, f"{listed}.{below}")
    return texts


@pytest.mark.parametrize("name", EACH)
async def test_what_a_domain_asks_for(near: Neighbours, tmp_path: Path, name: str) -> None:
    """Met: it leaves, and the log says by what the server was known. Not met: nothing of it is said to anybody, it waits, and
    goes once the domain has put it right."""
    below, other = f"{name}.example", near[name]
    texts = publish(near, name)
    pages = Policies(near.authority.context(*texts), None, texts=texts)
    async with web(pages, WEB) as web_port:
        office = Office(tmp_path, near.names, near.port, authorities=near.authority.file, web_port=web_port)
        for domain in (*LEAVES, *WAITS):
            text = f"From: a@mic.gov.vn\r\nSubject: tls-{domain}-{name}\r\n\r\nx\r\n".encode()
            (office.folder / "message").write_bytes(HEAD + text)
            office.put(domain, f"b@{domain}.{below}")
            (office.folder / "message").unlink()
        async with office.sending() as senders:
            for domain in WAITS:
                await office.tried(domain)
            await office.until(*WAITS)
            for domain, why in WAITS.items():
                entry = office.queue.read(domain)
                assert entry is not None
                assert entry.state.recipients[0].reason.startswith("4.7.5 "), entry.state.recipients
                assert why in entry.state.recipients[0].reason
            # The domain has put it right: another policy, another key.
            texts[f"mta-sts.changed.{below}"] = policy("enforce", f"mx.{below}")
            near.names.zone[f"_mta-sts.changed.{below}", "TXT"] = ['"v=STSv1; id=2"']
            near.names.zone[f"_25._tcp.wrongkey.{below}", "TLSA"] = near.names.zone[f"_25._tcp.ee.{below}", "TLSA"]
            for domain in ("changed", "wrongkey"):
                entry = office.queue.read(domain)
                assert entry is not None
                entry.retry(AdminDecision("mai"))
                await senders.apply_decisions(domain)
            await office.until(*sorted(set(WAITS) - {"changed", "wrongkey"}))
    office.log.close()
    events = read_events(tmp_path / "log")
    sent = {e["trace"]: e["secured_by"] for e in events if e["event"] == "message_sent"}
    assert sent == {**LEAVES, "changed": "sts", "wrongkey": "dane"}
    failed = {e["trace"] for e in events if e["event"] == "tls_policy_failed"}
    assert failed == {"testing"}
    await wait_on_loop(lambda: len([o for o in other.stored() if f"-{name}".encode() in o]) == len(sent), "arrived")
    marks = {mark for mark in sent if other.stored_with(f"Subject: tls-{mark}-{name}".encode())}
    assert marks == set(sent)


@pytest.mark.parametrize("name", EACH)
async def test_the_exchanger_changes_between_tries(near: Neighbours, tmp_path: Path, name: str) -> None:
    """Nobody was at the old one; after a retry the new one is asked, and has it once."""
    below = f"moved.{name}.example"
    near.names.zone[below, "MX"] = [f"10 old.{below}."]
    near.names.zone[f"old.{below}", "A"] = [NOBODY]
    near.names.zone[f"new.{below}", "A"] = [ADDRESSES[near[name].name]]
    office = Office(tmp_path, near.names, near.port)
    (office.folder / "message").write_bytes(HEAD + f"Subject: moved-{name}\r\n\r\nx\r\n".encode())
    office.put("A", f"b@{below}")
    async with office.sending() as senders:
        await office.tried("A")
        near.names.zone[below, "MX"] = [f"10 new.{below}.", f"20 old.{below}."]
        entry = office.queue.read("A")
        assert entry is not None
        assert entry.state.recipients[0].reason.startswith("4.4.1 ")
        entry.retry(AdminDecision("mai"))
        await senders.apply_decisions("A")
        await office.until()
    office.log.close()
    await wait_on_loop(lambda: near[name].stored_with(f"moved-{name}".encode()), "arrived")
    assert len(near[name].stored_with(f"moved-{name}".encode())) == 1
