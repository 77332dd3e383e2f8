"""Writes delivery reports (RFC 3464), and delivers them to local mailboxes.

In: the stored transaction, the beginning of the message, the text for people, the result of each recipient. Out: a
message with the null sender, in the mailbox that gets it.
"""

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

from mic_mail.directory.snapshot import Entry as Owner
from mic_mail.i18n.notices.notice import NoticeText
from mic_mail.mailbox_address import ReversePath
from mic_mail.mime import headers
from mic_mail.mime.compose import Mailbox
from mic_mail.mime.encoded_words import decode_text
from mic_mail.policy.facts import MailboxKind
from mic_mail.policy.naming.addresses import candidates
from mic_mail.policy.naming.transliteration import excerpt
from mic_mail.process.runtime import Runtime
from mic_mail.queue import dsn
from mic_mail.queue.esmtp_options import QueuedTransaction
from mic_mail.services.authentication.sign_in import SignInService
from mic_mail.services.notifications.notices import Notices
from mic_mail.storage.types import AccountRef, Published


def accepted(transaction: QueuedTransaction) -> datetime:
    return datetime.fromtimestamp(transaction.accepted_at_us // 1_000_000, UTC)


def beginning(message: Path, transaction: QueuedTransaction) -> bytes:
    """Return as much of a message as a report may return, without Return-Path.

    Nothing if it cannot be read: that may be why it was not delivered, and its sender is notified all the same.
    """
    try:
        with open(message, "rb", buffering=0) as file:
            file.seek(transaction.return_path_octets)
            return file.read(dsn.RETURNED_OCTETS + 1)
    except OSError:
        return b""


class DsnWriter:
    """The delivery reports of one process."""

    def __init__(self, runtime: Runtime, access: SignInService, notices: Callable[[], Notices]) -> None:
        """`notices` is called when they are needed, since a reload replaces them."""
        self._runtime = runtime
        self._access = access
        self.notices = notices

    def write(
        self,
        to: Mailbox,
        transaction: QueuedTransaction,
        content: bytes,
        letter: Callable[[str], NoticeText],
        reports: Sequence[dsn.RecipientReport],
        *,
        kind: MailboxKind | None,
    ) -> bytes:
        """Write a report.

        `content` is the `beginning` of the message, without Return-Path. `letter` takes the message's subject; `kind` is
        that of the mailbox `to`, None if it is not local.
        """
        header = content.partition(b"\r\n\r\n")[0]
        subject = excerpt(decode_text(headers.field(header, b"subject") or b"")) or "-"
        ret = "HDRS" if transaction.requires_tls else transaction.ret  # RFC 8689 §5
        original = dsn.ReportedMessage(transaction.envid, accepted(transaction), content, ret)
        message_id = headers.field(header, b"message-id")
        hostname = self._runtime.config().server.hostname
        return self.notices().compose(
            to.name,
            to.address,
            letter(subject),
            kind=kind,
            in_reply_to=message_id.strip().strip(b"<>").decode("ascii", "replace") if message_id else None,
            report=dsn.parts(hostname, original, reports, utf8=transaction.smtputf8),
        )

    async def deliver(self, mailbox: Owner, message: bytes, origin: str) -> Published:
        """Deliver a report, durably; once per `origin`."""
        put = partial(self.notices().put, mailbox, message, origin=origin)
        return await self._runtime.account_executors.write(AccountRef.of(mailbox), put)

    def log_sent(self, trace: str, mailbox: Owner, action: str, recipients: Sequence[object], published: Published) -> None:
        self._runtime.log.event(
            "report_sent", trace=trace, mailbox=mailbox.address, action=action, recipients=recipients, uid=published.uid
        )

    def log_unreported(self, trace: str, sender: ReversePath, action: str, recipients: Sequence[object]) -> None:
        """Log that a report has no reader (Reg. 4.2)."""
        self._runtime.log.event("report_without_reader", trace=trace, sender=sender, action=action, recipients=recipients)

    # ------------------------------------------------------------ readers

    def reader(self, sender: ReversePath) -> Owner | None:
        """Return the mailbox of the sender's address, if it still receives mail."""
        return self.if_it_receives(self.owner_of(sender))

    def owner_of(self, address: ReversePath) -> Owner | None:
        """Return the mailbox with this address, whatever its state."""
        known = candidates(str(address), self._runtime.config().smtp.subaddress)
        return next(filter(None, map(self._access.snapshot.resolve, filter(None, known))), None)

    def if_it_receives(self, mailbox: Owner | None) -> Owner | None:
        decision = self._access.decide(mailbox.mailbox_id) if mailbox is not None else None
        return mailbox if decision is not None and decision.receives else None
