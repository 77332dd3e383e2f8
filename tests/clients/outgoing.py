"""A server whose mail goes to another server of the test."""

import asyncio
import email
import email.policy
import imaplib
import smtplib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from email.message import EmailMessage
from pathlib import Path
from typing import Any

from dns_server import name_server
from event_loops import loop_thread
from harness import MailServer, config_for
from mic_mail.clock import Clock
from unit.smtpclient.server import Server
from waiting import wait_for

PASSWORD = "mat khau 2026 dung de thu"
OFFER = b"250-mx.example\r\n250-PIPELINING\r\n250 SIZE 1000000\r\n"
ZONE = {
    ("one.example", "MX"): ["10 mx.one.example."],
    ("mx.one.example", "A"): ["127.0.0.1"],
    ("null.example", "MX"): ["0 ."],
    ("silent.example", "A"): ["127.0.0.9"],
}


@contextmanager
def elsewhere(answers: dict[bytes, bytes] | None = None, server: Server | None = None) -> Iterator[tuple[Server, int]]:
    """Another mail server, in a thread of its own; its port."""
    server = server or Server(OFFER, answers=answers or {})
    with loop_thread() as loop:
        listening = loop.call(asyncio.start_server(server.serve, "127.0.0.1", 0))
        yield server, listening.sockets[0].getsockname()[1]


@contextmanager
def office(
    folder: Path,
    answers: dict[bytes, bytes] | None = None,
    other: Server | None = None,
    sending: dict[str, Any] | None = None,
    clock: Clock | None = None,
    confirms: bool = False,
) -> Iterator[tuple[MailServer, Server]]:
    """Our server, and the other one; in texts of `sending` PORT is where that listens."""
    with elsewhere(answers, other) as (other, port), name_server(ZONE) as names:
        more = {
            key: value.replace("PORT", str(port)) if isinstance(value, str) else value for key, value in (sending or {}).items()
        }
        config = config_for(
            folder, {"dns": {"nameservers": (names.place,)}, "sending": {"port": port, **more}, "smtp": {"confirms": confirms},
             "limits": {"recipients_per_hour": 1_000_000, "recipients_per_day": 1_000_000, "messages_per_day": 1_000_000}},
        )  # fmt: skip
        server = MailServer(config, clock)
        try:
            server.issue("dvbe", password=PASSWORD)
            server.issue("ttlan", password=PASSWORD)
            yield server, other
        finally:
            server.stop()


def letter(*to: str, subject: str = "Báo cáo", cc: str | None = None) -> EmailMessage:
    message = EmailMessage(policy=email.policy.SMTP)
    if cc is not None:
        message["Cc"] = cc
    message["From"], message["To"], message["Subject"] = "dvbe@mic.gov.vn", ", ".join(to), subject
    message.set_content("Dear all\n.\n")
    return message


def submit(
    server: MailServer, message: EmailMessage, *, options: list[str] | None = None, mail_options: Sequence[str] = ()
) -> dict[str, Any]:
    to = [address.addr_spec for field in ("To", "Cc", "Bcc") if message[field] for address in message[field].addresses]
    with smtplib.SMTP_SSL("localhost", server.ports["submissions"], context=server.tls()) as smtp:
        smtp.login("dvbe", PASSWORD)
        return smtp.send_message(message, to_addrs=to, mail_options=list(mail_options), rcpt_options=options or [])


def sent_events(server: MailServer, count: int) -> list[dict[str, Any]]:
    """So many messages have left, says the log, which is written a moment later."""
    return wait_for(lambda: (found := [e for e in server.events() if e["event"] == "message_sent"])[count - 1 :] and found)


def inbox(server: MailServer, local: str) -> list[EmailMessage]:
    with imaplib.IMAP4_SSL("localhost", server.ports["imaps"], ssl_context=server.tls()) as imap:
        imap.login(local, PASSWORD)
        imap.select("INBOX")
        numbers = imap.search(None, "ALL")[1][0].split()
        octets = [imap.fetch(number, "(BODY.PEEK[])")[1][0][1] for number in numbers]  # type: ignore[index]
    return [email.message_from_bytes(each, policy=email.policy.default) for each in octets]


def reports(server: MailServer, local: str) -> list[EmailMessage]:
    return [each for each in inbox(server, local) if each.get_content_type() == "multipart/report"]
