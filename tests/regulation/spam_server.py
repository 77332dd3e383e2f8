"""A server that asks a content filter, mail that comes to it, and where it was filed."""

import smtplib
from typing import Any

from harness import MailServer
from mic_mail.policy.facts import MailboxKind
from mic_mail.storage.types import AccountRef
from regulation.abuse_setup import submission

STRANGER, SENDER, READER, SECOND = "a@example.org", "dvbe@mic.gov.vn", "ttlan@mic.gov.vn", "nvhung@mic.gov.vn"
SUPPORT = "support@mic.gov.vn"
OUTSIDE = {"trusted_networks": (), "authenticate": False}
"""Loopback is where other servers are, and nobody asks the DNS about them."""


def furnished(server: MailServer) -> MailServer:
    server.population.issue("support", kind=MailboxKind.GROUP, name="Trung tâm Thông tin")
    for name in ("dvbe", "nvhung"):
        server.population.issue(name)
    server.issue("ttlan")
    return server


def message(subject: str = "x", *, fields: str = "", padding: int = 0) -> bytes:
    head = f"From: {STRANGER}\r\nTo: {READER}\r\nSubject: {subject}\r\n{fields}\r\n"
    return head.encode() + b"From here on\r\n.\r\n \r\n" + (b"x" * 70 + b"\r\n") * (padding // 72)


def sent(server: MailServer, octets: bytes, *recipients: str) -> tuple[int, str]:
    """The reply to the end of the message, from outside."""
    with smtplib.SMTP(server.host, server.ports["smtp"], timeout=60) as client:
        client.ehlo("mx.example.org")
        client.mail(STRANGER)
        for recipient in recipients or (READER,):
            client.rcpt(recipient)
        code, words = client.data(octets)
    return code, words.decode()


def submitted(server: MailServer, octets: bytes) -> int:
    with submission(server) as client:
        client.mail(SENDER)
        client.rcpt(READER)
        return client.data(octets.replace(STRANGER.encode(), SENDER.encode()))[0]


def found(server: MailServer, folder: str, address: str = READER) -> list[bytes]:
    box = server.population.directory.mailbox(address)
    account = server.running.context.store.account(AccountRef(box.mailbox_id, box.home))
    folder_id = account.folder(folder).folder_id
    octets = []
    for uid in account.view(folder_id).uids:
        with account.open_message(folder_id, uid) as one:
            octets.append(one.pread(0, one.size))
    return octets


def one_of(server: MailServer, folder: str, subject: str, address: str = READER) -> bytes:
    (octets,) = [each for each in found(server, folder, address) if f"Subject: {subject}\r\n".encode() in each]
    return octets


def events(server: MailServer, name: str) -> list[dict[str, Any]]:
    server.running.context.log.flush()
    return [event for event in server.events() if event.get("event") == name]
