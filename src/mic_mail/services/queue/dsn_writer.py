"""Writes a delivery report (RFC 3464), and finds the local mailbox that gets it.

In: the stored transaction, the beginning of the message, the text for people, the result of each recipient. Out: the
octets of a message with the null sender. Pure but for the directory in memory.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from mic_mail.directory.snapshot import Entry as Owner
from mic_mail.i18n.notices.notice import NoticeText
from mic_mail.mailbox_address import ReversePath
from mic_mail.mime import headers
from mic_mail.mime.compose import Mailbox
from mic_mail.mime.encoded_words import decode_text
from mic_mail.policy.facts import MailboxKind
from mic_mail.policy.naming.addresses import candidates
from mic_mail.policy.naming.transliteration import excerpt
from mic_mail.queue import dsn
from mic_mail.queue.esmtp_options import Transaction
from mic_mail.services.authentication.sign_in import SignInService
from mic_mail.services.notifications.notices import Notices

READ_OCTETS = dsn.RETURNED_OCTETS + 1
"""Octets read from the message."""


@dataclass(frozen=True, slots=True)
class Original:
    """The message that is reported on."""

    hostname: str
    """The name of this server."""
    transaction: Transaction
    content: bytes
    """Its first READ_OCTETS, without Return-Path."""


def accepted(transaction: Transaction) -> datetime:
    return datetime.fromtimestamp(transaction.accepted_at_us // 1_000_000, UTC)


def write(
    notices: Notices,
    to: Mailbox,
    original: Original,
    letter: Callable[[str], NoticeText],
    reports: Sequence[dsn.Report],
    *,
    kind: MailboxKind | None,
) -> bytes:
    """Write a report.

    `letter` takes the message's subject; `kind` is that of the mailbox `to`, None if it is not local.
    """
    transaction = original.transaction
    header = original.content.partition(b"\r\n\r\n")[0]
    subject = excerpt(decode_text(headers.field(header, b"subject") or b"")) or "-"
    ret = "HDRS" if transaction.requires_tls else transaction.ret  # RFC 8689 §5
    reported = dsn.Original(transaction.envid, accepted(transaction), original.content, ret)
    message_id = headers.field(header, b"message-id")
    return notices.compose(
        to.name,
        to.address,
        letter(subject),
        kind=kind,
        in_reply_to=message_id.strip().strip(b"<>").decode("ascii", "replace") if message_id else None,
        report=dsn.parts(original.hostname, reported, reports, utf8=transaction.smtputf8),
    )


def reader(access: SignInService, sender: ReversePath, separator: str) -> Owner | None:
    """Return the mailbox of the sender's address, if it still receives mail."""
    return if_it_receives(access, owner_of(access, sender, separator))


def owner_of(access: SignInService, address: ReversePath, separator: str) -> Owner | None:
    """Return the mailbox with this address, whatever its state."""
    found = (access.snapshot.resolve(known) for known in candidates(str(address), separator) if known)
    return next((entry for entry in found if entry is not None), None)


def if_it_receives(access: SignInService, mailbox: Owner | None) -> Owner | None:
    decision = access.decide(mailbox.mailbox_id) if mailbox is not None else None
    return mailbox if decision is not None and decision.receives else None
