"""Letters to and from others, and what comes back of them into a mailbox here."""

import base64
import email
import email.policy
import imaplib
import smtplib
from collections.abc import Sequence
from dataclasses import dataclass, field
from email.message import EmailMessage
from typing import Any

from harness import MailServer
from waiting import wait_for

PASSWORD = "mat khau 2026 dung de thu"
HEAD = (
    "From: =?utf-8?q?=C4=90=E1=BB=97?= <{sender}>\r\nTo: undisclosed:;\r\nSubject: {mark}\r\n"
    "Date: Thu, 26 Nov 2026 09:00:00 +0700\r\nMessage-ID: <{mark}@{domain}>\r\nMIME-Version: 1.0\r\n"
    "Content-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n\r\n"
)
ODD = (
    "Kính gửi các đơn vị,\r\n.\r\n..\r\n.dấu chấm\r\n\r\nFrom the start of a line\r\n>From\r\n \r\n\t\r\n"
    + "dài " * 199 + "\r\n" + "x" * 998 + "\r\n. \r\n\r\n\r\n\r\n.\r\nhết\r\n\r\n"
)  # fmt: skip
"""A body that gateways like to change: dots, `From `, long lines, white space, empty lines at the end."""


def message(mark: str, body: str = "x\r\n", sender: str = "dvbe@mic.gov.vn") -> bytes:
    """One whose subject is `mark`."""
    return (HEAD.format(mark=mark, sender=sender, domain=sender.rpartition("@")[2]) + body).encode()


@dataclass
class Inbox:
    """A mailbox of ours, read by IMAP; each message once."""

    server: MailServer
    local: str
    raw: dict[int, bytes] = field(default_factory=dict)

    def read(self) -> list[bytes]:
        with imaplib.IMAP4_SSL("localhost", self.server.ports["imaps"], ssl_context=self.server.tls()) as imap:
            imap.login(self.local, PASSWORD)
            imap.select("INBOX", readonly=True)
            for uid in map(int, imap.uid("SEARCH", f"UID {max(self.raw, default=0) + 1}:*")[1][0].split()):
                if uid not in self.raw:
                    self.raw[uid] = imap.uid("FETCH", str(uid), "(BODY.PEEK[])")[1][0][1]  # type: ignore[index]
        return list(self.raw.values())

    def having(self, mark: str) -> list[bytes]:
        """Those with this in them."""
        return [octets for octets in self.read() if mark.encode() in octets]

    def parts(self, kind: str) -> list[bytes]:
        """Of all messages, those of this type, decoded."""
        walked = [part for octets in self.read() for part in email.message_from_bytes(octets).walk()]
        return [base64.b64decode(part.get_payload(0).get_payload() if part.is_multipart() else part.get_payload())  # type: ignore[union-attr,arg-type]
                for part in walked if part.get_content_type() == kind]  # fmt: skip

    def reports_on(self, address: str) -> list[EmailMessage]:
        """Reports that name this recipient."""
        found = [email.message_from_bytes(octets, policy=email.policy.default) for octets in self.having(address)]
        return [each for each in found if address in statuses(each)]

    def report_on(self, address: str, seconds: float = 30) -> EmailMessage:
        """The one report that names this recipient."""
        (report,) = wait_for(lambda: self.reports_on(address), f"no report on {address}", seconds=seconds)
        return report  # type: ignore[no-any-return]


def per_recipient(report: EmailMessage) -> list[Any]:
    """The fields of each recipient in it; OpenSMTPD does not call it a report."""
    return [part for part in report.walk() if part["Final-Recipient"]]


def statuses(report: EmailMessage) -> dict[str, str]:
    """Status by address."""
    return {part["Final-Recipient"].partition(";")[2].strip(): str(part["Status"]) for part in per_recipient(report)}


def submit(
    server: MailServer, octets: bytes, *to: str, options: Sequence[str] = ("BODY=8BITMIME",), rcpt: Sequence[str] = ()
) -> None:
    """As dvbe, at our door for people."""
    with smtplib.SMTP_SSL("localhost", server.ports["submissions"], context=server.tls()) as smtp:
        smtp.login("dvbe", PASSWORD)
        assert smtp.sendmail("dvbe@mic.gov.vn", to, octets, list(options), list(rcpt)) == {}
