"""What travels with a message but is not in it, and what became of it. Plain values: no I/O, no time, no policy.

A door fills an `Envelope` and hands it to `mailflow`; an `Outcome` or a `Refusal` comes back.
A refusal names its `Cause`; which code and which words a client sees is the door's business (`smtp.replytable`).
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING

from mic_mail.errors import Text
from mic_mail.mailbox_address import MailboxAddress, ReversePath
from mic_mail.mime.original_recipient import OriginalRecipient
from mic_mail.services.authentication.identity import Peer, SignedIn

if TYPE_CHECKING:
    from mic_mail.services.transport.inbound.client_lookups import ClientLookups


class Role(StrEnum):
    """Who stands at the door: another mail server, or a person's mail program."""

    MX = "mx"
    SUBMISSION = "submission"


class Cause(StrEnum):
    """Why a sender, a recipient or a message is refused."""

    # the recipient
    NO_SUCH_MAILBOX = "no-such-mailbox"
    RECLAIMED = "reclaimed"
    RECLAIMED_ON_REQUEST = "reclaimed-on-request"
    RELAY_DENIED = "relay-denied"
    BAD_DOMAIN = "bad-domain"
    OVER_QUOTA = "over-quota"
    ONE_IS_FULL = "one-is-full"
    # the sender
    NOT_SIGNED_IN = "not-signed-in"
    SENDER_NOT_YOURS = "sender-not-yours"
    SENDING_RATE = "sending-rate"
    SEND_LOCKED = "send-locked"
    SUSPENDED = "suspended"
    PASSWORD_DUE = "password-due"  # noqa: S105 - the name of a state, not a password
    # the message
    ATTACHMENTS_TOO_LARGE = "attachments-too-large"
    MESSAGE_TOO_LARGE = "message-too-large"
    HEADER_TOO_LARGE = "header-too-large"
    HEADER_UNREADABLE = "header-unreadable"
    NO_VALID_AUTHOR = "no-valid-author"
    AUTHOR_TWICE = "author-twice"
    AUTHOR_UNREADABLE = "author-unreadable"
    NAME_NOT_YOURS = "name-not-yours"
    MARKED_SECRET = "marked-secret"  # noqa: S105 - the name of a cause
    NOT_INSPECTED = "not-inspected"
    NOT_INSPECTED_NOW = "not-inspected-now"
    TOO_MUCH_TO_INSPECT = "too-much-to-inspect"
    MALWARE = "malware"
    NOT_SCANNED = "not-scanned"
    FORGED = "forged"
    NOT_OF_AUTHOR = "not-of-author"
    LISTED = "listed"
    NOT_JUDGED = "not-judged"
    SPAM = "spam"
    SPAM_SENT = "spam-sent"
    PUT_OFF = "put-off"
    NOT_SCORED = "not-scored"
    LOOP = "loop"
    BARE_LINE_END = "bare-line-end"
    NUL_OCTET = "nul-octet"
    TEXT_LINE_TOO_LONG = "text-line-too-long"
    # the machine
    DISK_FULL = "disk-full"
    UNAVAILABLE = "unavailable"


BINARYMIME = "BINARYMIME"
"""The `body` of a message whose octets are no lines (RFC 3030 §3)."""

TEMPORARY = frozenset(
    {
        Cause.OVER_QUOTA,
        Cause.ONE_IS_FULL,
        Cause.SENDING_RATE,
        Cause.NOT_INSPECTED_NOW,
        Cause.NOT_SCANNED,
        Cause.NOT_JUDGED,
        Cause.PUT_OFF,
        Cause.NOT_SCORED,
        Cause.DISK_FULL,
        Cause.UNAVAILABLE,
    }
)
"""Causes after which the client should try again; every other one is final."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """A no, with what its sentence needs (`address`, `size_octets`, `limit_octets`) and the id under which the log knows it."""

    cause: Cause
    trace_id: str
    params: Mapping[str, object] = field(default_factory=dict)
    text: Text | None = None
    """Where the use case has worded it whole, reference and all."""

    @property
    def temporary(self) -> bool:
        return self.cause in TEMPORARY


@dataclass(frozen=True, slots=True)
class Client:
    """The far end of the connection that hands a message in, as the trace header and the log describe it."""

    role: Role
    peer: "Peer"
    helo: str
    protocol: str
    """The `with` word of RFC 3848 and RFC 6531 §4.3: SMTP, ESMTP, ESMTPS, ESMTPA, ESMTPSA, UTF8SMTP ..."""
    signed_in: "SignedIn | None" = None
    """Whose mail program it is; None on the MX."""


@dataclass(frozen=True, slots=True)
class Recipient:
    """One accepted recipient and the mailboxes that it leads to (one, or those of an alias or group; none: it is elsewhere)."""

    address: MailboxAddress
    """As the client named it, for the log and for delivery reports."""
    mailboxes: tuple[int, ...]
    detail: str | None = None
    """What stood behind the `+`, if anything (RFC 5233)."""
    notify: frozenset[str] = frozenset()
    orcpt: OriginalRecipient | None = None

    @property
    def is_elsewhere(self) -> bool:
        """Whether other servers have it: it is sent on."""
        return not self.mailboxes


@dataclass(slots=True)
class HeaderFacts:
    """What the header said, for the log; known once it has been read."""

    message_id: str | None = None
    """Without its brackets."""
    tls_optional: bool = False
    """`TLS-Required: No` (RFC 8689 §3)."""
    refers_to: tuple[str, ...] = ()
    """Message-IDs that a submitted message answers, without brackets (Reg. 12.4)."""


@dataclass(slots=True)
class Counted:
    """Whether the message stands in its sender's counts (`services.abuse.rates`), and with how much."""

    octets: int = 0
    at: float = 0.0
    """When, in seconds since 1970: there it is given back."""
    is_counted: bool = False


@dataclass(slots=True)
class Judged:
    """What the checks of mail from outside came to (`services.transport.inbound`); known once they are done."""

    verdict: str = ""
    """By which it is filed: `junk`, or nothing."""
    held_for: str = ""
    """Why it goes to the quarantine in place of its mailboxes (`outbound.quarantine.Reason`); nothing: it does not."""
    said: str = ""
    """What the check said that wants it held: malware's name, an action and a score."""
    symbols: tuple[str, ...] = ()
    """Of the filter, with their scores."""
    authenticates_sender: bool = False
    """SPF or DKIM passes for the domain of MAIL FROM."""


@dataclass(frozen=True, slots=True)
class Envelope:
    """A transaction whose DATA or BDAT begins."""

    trace_id: str
    client: Client
    sender: ReversePath
    recipients: tuple[Recipient, ...]
    smtputf8: bool = False
    body: str = "7BIT"
    declared_octets: int | None = None
    ret: str | None = None
    envid: str | None = None
    requires_tls: bool = False
    """RFC 8689: it goes on as it came, under TLS, or not at all."""
    written_as: set[int] = field(default_factory=set)
    """The mailboxes of units and groups that the person writes as (Reg. 12.3); known once the header has been read."""
    header: HeaderFacts = field(default_factory=HeaderFacts)
    counted: Counted = field(default_factory=Counted)
    judged: Judged = field(default_factory=Judged)
    enquiry: "ClientLookups | None" = None
    """What was asked about the client since its MAIL (`services.transport.inbound.enquiries`); None: nothing is asked about
    it."""

    def refusal(self, cause: Cause, **words: object) -> Refusal:
        """A no to this transaction."""
        return Refusal(cause, self.trace_id, words)

    @property
    def elsewhere(self) -> list[Recipient]:
        """The recipients to whom it is sent on."""
        return [recipient for recipient in self.recipients if recipient.is_elsewhere]

    @property
    def is_strange(self) -> bool:
        """Whether it came from another server that is not one of our own hosts (`inbound.trusted_networks`)."""
        return self.client.role is Role.MX and self.enquiry is not None

    @property
    def may_be_reported(self) -> bool:
        """Whether reports on it may go to its sender (decision 0100); known once the message is judged."""
        return not self.is_strange or self.judged.authenticates_sender

    @property
    def wants_success(self) -> bool:
        """Whether there is a sender who is to hear that it was delivered (RFC 3461 §4.1)."""
        wanted = any("SUCCESS" in recipient.notify for recipient in self.recipients)
        return wanted and bool(self.sender) and self.may_be_reported


@dataclass(frozen=True, slots=True)
class Accepted:
    """The message is durable. `delivered` counts mailboxes that have it already; the rest follows from the spool."""

    trace_id: str
    octets: int
    delivered: int
    spooled: int = 0


Outcome = Accepted | Refusal
