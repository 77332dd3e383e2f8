"""What people find in their mailboxes."""

import email
import email.policy

from harness import MailServer
from mic_mail.storage.types import INBOX, AccountRef


def letters(server: MailServer, local: str) -> list[str]:
    """Subjects and texts in INBOX."""
    entry = server.running.context.access.snapshot.resolve(f"{local}@mic.gov.vn")
    assert entry is not None
    account = server.running.context.store.account(AccountRef(entry.mailbox_id, entry.home))
    view = account.view(account.folder(INBOX).folder_id)
    found = []
    for uid in view.uids:
        message = account.open_message(view.info.folder_id, uid)
        parsed = email.message_from_bytes(message.pread(0, message.size), policy=email.policy.default)
        message.close()
        found.append(f"{parsed['Subject']}\n{parsed.get_content()}")
    return found
