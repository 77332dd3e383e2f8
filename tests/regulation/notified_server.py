"""A server, and the notices that it has written into mailboxes."""

import email
import email.policy
from datetime import UTC, datetime
from typing import Any

from harness import MailServer
from mic_mail.policy.facts import Draft, FactKind
from mic_mail.storage.types import INBOX, AccountRef

NOW = datetime(2026, 11, 24, 2, 0, tzinfo=UTC)


class NotifiedServer:
    """A server, and what it has written into whose mailbox."""

    def __init__(self, server: MailServer) -> None:
        self.server = server
        self.directory = server.population.directory

    def act(self, mailbox: Any, kind: FactKind, document: str | None = None, **data: str) -> None:
        self.server.record(mailbox, Draft(kind, self.server.clock.now(), "test", "", document, data))
        self.server.housekeep()

    def subjects(self, mailbox: Any) -> list[str]:
        account = self.server.running.context.store.account(AccountRef(mailbox.mailbox_id, mailbox.home))
        view = account.view(account.folder(INBOX).folder_id)
        return [_subject(row[0]) for row in account.rows(view.info.folder_id, view.uids, ["header"])]

    def text(self, mailbox: Any) -> str:
        """The Vietnamese text of the newest message."""
        account = self.server.running.context.store.account(AccountRef(mailbox.mailbox_id, mailbox.home))
        view = account.view(account.folder(INBOX).folder_id)
        with account.open_message(view.info.folder_id, view.uids[-1]) as message:
            octets = message.pread(0, 1 << 20)
        body = email.message_from_bytes(octets, policy=email.policy.default).get_body(("plain",))
        assert body is not None
        return str(body.get_content())


def _subject(header: bytes) -> str:
    """Its Vietnamese half."""
    return str(email.message_from_bytes(header, policy=email.policy.default)["Subject"]).split(" / ")[0]
