"""Sessions of SMTP and of submission with a server, and what came of them."""

import contextlib
import smtplib
from collections.abc import Iterator
from email.message import EmailMessage

from harness import MailServer
from population import PASSWORD


def letter(sender: str, *to: str, body: str = "Kính gửi Anh/Chị.") -> EmailMessage:
    message = EmailMessage()
    message["From"], message["To"], message["Subject"] = sender, ", ".join(to), "Công văn"
    message.set_content(body)
    return message


def received_by(server: MailServer, local: str) -> list[bytes]:
    """The messages in a mailbox, as files, once everything under way has arrived."""
    server.call(server.running.context.mailflow.settle())
    folder = server.config.mail_root / "mic.gov.vn" / local / "Maildir" / "cur"
    return [path.read_bytes() for path in sorted(folder.iterdir())] if folder.exists() else []


@contextlib.contextmanager
def mx(server: MailServer) -> Iterator[smtplib.SMTP]:
    with smtplib.SMTP(server.host, server.ports["smtp"], "client.example", timeout=10) as client:
        client.ehlo()
        yield client


@contextlib.contextmanager
def submission(server: MailServer, local: str, password: str = PASSWORD, door: str = "submission") -> Iterator[smtplib.SMTP]:
    client: smtplib.SMTP
    if door == "submission":
        client = smtplib.SMTP("localhost", server.ports[door], "client.example", timeout=10)
        client.starttls(context=server.tls())
    else:
        client = smtplib.SMTP_SSL("localhost", server.ports[door], "client.example", timeout=10, context=server.tls())
    with client:
        client.ehlo()
        # smtplib's own login() speaks ASCII only.
        client.user, client.password = f"{local}@mic.gov.vn", password
        code, text = client.docmd("AUTH", "PLAIN " + _plain(client.user, password))
        if code != 235:
            raise smtplib.SMTPAuthenticationError(code, text)
        yield client


def _plain(user: str, password: str) -> str:
    import base64

    return base64.b64encode(f"\0{user}\0{password}".encode()).decode()
