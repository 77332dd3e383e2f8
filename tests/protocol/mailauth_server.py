"""A server that authenticates incoming mail by a real name server, a client that brings it mail, and what it filed."""

import contextlib
import re
import smtplib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import signed_messages
from dns_server import BROKEN, SILENT, NameServer
from harness import MailServer, config_for
from mic_mail.mailauth.message_digest import MOST_SIGNATURES
from mic_mail.policy.facts import MailboxKind
from waiting import wait_for

OURS, STRANGER = "127.0.0.1", "127.0.0.9"
"""Where mail of the domains below may come from, and where not."""
MX = "mail.mic.gov.vn"
ZONE = {
    ("mic.gov.vn", "TXT"): ['"v=spf1 ip4:127.0.0.3 -all"'],
    ("one.example", "TXT"): [f'"v=spf1 ip4:{OURS} -all"'],
    ("_dmarc.one.example", "TXT"): ['"v=DMARC1; p=reject"'],
    ("two.example", "TXT"): [f'"v=spf1 ip4:{OURS} -all"'],
    ("_dmarc.two.example", "TXT"): ['"v=DMARC1; p=quarantine"'],
    ("plain.example", "TXT"): [f'"v=spf1 ip4:{OURS} -all"'],
    ("none.example", "TXT"): ['"nothing"'],
    ("1.0.0.127.in-addr.arpa", "PTR"): ["mx.one.example."],
    ("mx.one.example", "A"): [OURS],
    **signed_messages.zone(signed_messages.records("one.example")),
    **signed_messages.zone(signed_messages.records()),
}
TROUBLES = {
    "silent.example": SILENT,
    "_dmarc.silent.example": SILENT,
    **{f"s{number}._domainkey.silent.example": SILENT for number in range(MOST_SIGNATURES)},
    "broken.example": BROKEN,
    "_dmarc.broken.example": BROKEN,
}


def settings(names: NameServer, **inbound: Any) -> dict[str, Any]:
    return {"dns": {"nameservers": (names.place,)}, "inbound": {"trusted_networks": (), "seconds": 2, **inbound}}


@contextlib.contextmanager
def serving(folder: Path, tree: Mapping[str, Any]) -> Iterator[MailServer]:
    server = MailServer(config_for(folder, tree))
    server.population.issue("dvbe", name="Đỗ Văn Bê")
    server.population.issue("support", kind=MailboxKind.GROUP, name="Trung tâm Thông tin")
    server.issue("ttlan", name="Trần Thị Lan")
    try:
        yield server
    finally:
        server.stop()


def message(sender: str, *more: bytes, body: bytes = b"Hello\r\n", subject: str = "x") -> bytes:
    head = f"From: Lan <{sender}>\r\nTo: dvbe@mic.gov.vn\r\nSubject: {subject}\r\n".encode()
    return head + b"".join(more) + b"\r\n" + body


def bring(
    server: MailServer, octets: bytes, sender: str | None = None, *to: str, peer: str = OURS, helo: str = "mx.one.example"
) -> tuple[int, bytes]:
    """The last reply: to the end of the message, or to what was refused before; `sender` is that of From unless given."""
    if sender is None:
        found = re.search(rb"From: Lan <([^>]*)>", octets)
        assert found is not None
        sender = found[1].decode()
    with smtplib.SMTP(server.host, server.ports["smtp"], helo, timeout=60, source_address=(peer, 0)) as client:
        client.ehlo()
        for code, said in (client.mail(sender), *(client.rcpt(each) for each in to or ("dvbe@mic.gov.vn",))):
            if code != 250:
                return code, said
        return client.data(octets)


def filed(server: MailServer, reply: tuple[int, bytes], local: str = "dvbe") -> tuple[str, bytes]:
    """The folder in which the message lies that was accepted with this reply, and its octets."""
    assert reply[0] == 250, reply
    trace = reply[1].split()[-1]
    server.call(server.running.context.mailflow.settle())
    maildir = server.config.mail_root / "mic.gov.vn" / local / "Maildir"
    found = [
        (path, octets) for path in maildir.rglob("cur/*") if trace in (octets := path.read_bytes()).partition(b"\r\n\r\n")[0]
    ]
    ((path, octets),) = found
    return ("INBOX" if path.parent.parent == maildir else path.parent.parent.name.lstrip(".")), octets


def logged(server: MailServer, reply: tuple[int, bytes], event: str = "message_judged") -> dict[str, Any]:
    """What the log says of it."""
    trace = reply[1].split()[-1].decode().rstrip(".")
    return wait_for(
        lambda: next((each for each in server.events() if (each.get("event"), each.get("trace")) == (event, trace)), None),
        lambda: server.events()[-5:],
    )


def results(octets: bytes) -> list[bytes]:
    """The fields Authentication-Results, unfolded."""
    header = re.sub(rb"\r\n[ \t]+", b" ", octets.partition(b"\r\n\r\n")[0])
    return [
        line.partition(b":")[2].strip() for line in header.split(b"\r\n") if line.lower().startswith(b"authentication-results")
    ]
