"""Submission by people of a server, and what was done about abuse of their mailboxes."""

import asyncio
import base64
import email
import email.policy
import smtplib
from typing import Any

from harness import MailServer
from mic_mail.policy.facts import Fact, FactKind
from mic_mail.storage.types import INBOX, AccountRef
from population import PASSWORD


def submission(server: MailServer, local: str = "dvbe") -> smtplib.SMTP_SSL:
    client = smtplib.SMTP_SSL(server.host, server.ports["submissions"], context=server.tls())
    client.ehlo()
    plain = base64.b64encode(f"\0{local}@mic.gov.vn\0{PASSWORD}".encode()).decode()
    reply = client.docmd("AUTH", f"PLAIN {plain}")
    assert reply[0] == 235, reply
    return client


async def _settled() -> None:
    """Suspensions that are under way are recorded."""
    for task in [task for task in asyncio.all_tasks() if task.get_name().startswith("suspend ")]:
        await task


def suspensions(server: MailServer, address: str) -> list[Fact]:
    server.call(_settled())
    directory = server.population.directory
    facts = directory.facts(directory.mailbox(address).mailbox_id)
    return [fact for fact in facts if fact.kind is FactKind.SUSPENDED]


def subjects(server: MailServer, mailbox: Any) -> list[bytes]:
    account = server.running.context.store.account(AccountRef(mailbox.mailbox_id, mailbox.home))
    view = account.view(account.folder(INBOX).folder_id)
    return [row[0] for row in account.rows(view.info.folder_id, view.uids, ["header"])]


def letters(server: MailServer, local: str) -> list[str]:
    """The texts of what lies in a mailbox."""
    folder = server.config.mail_root / "mic.gov.vn" / local / "Maildir" / "cur"
    found = folder.iterdir() if folder.exists() else ()
    parsed = [email.message_from_bytes(path.read_bytes(), policy=email.policy.default) for path in found]
    return [str(message.get_body().get_content()).replace("\n", " ") for message in parsed]  # type: ignore[attr-defined]
