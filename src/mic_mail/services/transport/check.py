"""The values that the checks of the pipeline get and return.

A check that needs neither the disk nor another program answers at once; others return an awaitable.
"""

from collections.abc import Awaitable
from dataclasses import dataclass
from pathlib import Path

from mic_mail.directory.snapshot import Entry as Mailbox
from mic_mail.mailbox_address import MailboxAddress, ReversePath
from mic_mail.mime.imap_structure import Answers
from mic_mail.queue.spool import SpoolDraft
from mic_mail.services.transport.delivery_worker import LocalDelivery
from mic_mail.services.transport.envelope import Cause, Client, Envelope, Refusal
from mic_mail.services.transport.inbound.client_lookups import ClientLookups
from mic_mail.storage.delivery import StagedContent

MaybeRefusal = Refusal | None | Awaitable[Refusal | None]
"""The result of a check, at once or soon: None if the message passes."""
Source = bytes | Path
"""A complete message, in memory or as a file.

A file is valid in this process alone, and until the message is accepted or refused.
"""


@dataclass(frozen=True, slots=True)
class MailCommand:
    """A sender that asks to begin."""

    sender: ReversePath
    client: Client
    trace_id: str
    declared_octets: int | None


@dataclass(slots=True)
class RcptCommand:
    """A recipient, and the mailbox that the lookup found for it."""

    address: MailboxAddress
    client: Client
    trace_id: str
    declared_octets: int | None
    lookups: ClientLookups | None
    mailbox: Mailbox | None = None
    """None before the lookup, and for an address on another server."""

    def refusal(self, cause: Cause) -> Refusal:
        """Refuse this recipient."""
        return Refusal(cause, self.trace_id, {"address": str(self.address)})


@dataclass(frozen=True, slots=True)
class ReceivedMessage:
    """A message from another server that is complete and not yet acknowledged."""

    envelope: Envelope
    source: Source
    """The message as it came: no line of ours in front, nothing removed."""
    header: bytes
    """The header as it came, without the empty line."""


@dataclass(slots=True)
class CompleteMessage:
    """A message as it will be stored, our lines in front, and its deliveries."""

    envelope: Envelope
    content: bytes | SpoolDraft | StagedContent
    """The octets of a small message, or the finished file of a large one."""
    received_octets: int
    deliveries: list[LocalDelivery]
    goes_by_spool: bool
    answers: Answers | None = None
    """Its scan, once it was scanned."""
    is_unread: bool = False
    """Set if what it holds is still to be read for markings, behind the reply."""

    @property
    def may_be_passed_over(self) -> bool:
        """Return whether it is given up if its sender leaves before its turn: a small one for one mailbox."""
        return isinstance(self.content, bytes) and not self.goes_by_spool and not self.envelope.checked.held_for

    @property
    def source(self) -> Source:
        return self.content if isinstance(self.content, bytes) else Path(self.content.path)

    @property
    def stored_octets(self) -> int:
        return len(self.content) if isinstance(self.content, bytes) else self.content.size
