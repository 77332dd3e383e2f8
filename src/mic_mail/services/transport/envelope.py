"""The envelope of a message, and the outcome of its transaction.

Plain values: no I/O, no clock, no policy. A refusal names its `Cause`; the listener chooses the reply code and text that
the client sees (`smtp.reply_table`).
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
    """The kind of client: another mail server, or a person's mail program."""

    MX = "mx"
    SUBMISSION = "submission"


class Cause(StrEnum):
    """The reason why a sender, a recipient or a message is refused."""

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
    # the server itself
    DISK_FULL = "disk-full"
    UNAVAILABLE = "unavailable"


JUNK = "junk"
"""The verdict that files a message in Junk."""


class InboundAction(StrEnum):
    """The action taken on a message from another server."""

    PASS = "pass"  # noqa: S105 - the name of an act
    JUNK = "junk"
    LATER = "later"
    HOLD = "quarantine"
    REFUSE = "refuse"


BINARYMIME = "BINARYMIME"
"""The `body` parameter of a message that is not made of lines (RFC 3030 §3)."""

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
"""Causes after which the client should try again; all others are permanent."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """A refusal: its cause, the parameters of its text, and the id under which it is logged."""

    cause: Cause
    trace_id: str
    params: Mapping[str, object] = field(default_factory=dict)
    text: Text | None = None
    """The complete text, reference included, if the use case has already worded it."""

    @property
    def temporary(self) -> bool:
        return self.cause in TEMPORARY


@dataclass(frozen=True, slots=True)
class Client:
    """The remote end of the connection, as the trace header and the log describe it."""

    role: Role
    peer: Peer
    helo: str
    protocol: str
    """The `with` keyword of RFC 3848 and RFC 6531 §4.3: SMTP, ESMTP, ESMTPS, ESMTPA, ESMTPSA, UTF8SMTP ..."""
    signed_in: SignedIn | None = None
    """The signed-in mailbox; None on the MX."""


@dataclass(frozen=True, slots=True)
class Recipient:
    """One accepted recipient and the mailboxes it leads to.

    There is one, or those of an alias or group; none if the address belongs to another server.
    """

    address: MailboxAddress
    """The address as the client named it, for the log and for delivery reports."""
    mailboxes: tuple[int, ...]
    detail: str | None = None
    """The subaddress after `+`, if any (RFC 5233)."""
    notify: frozenset[str] = frozenset()
    orcpt: OriginalRecipient | None = None

    @property
    def is_elsewhere(self) -> bool:
        """Return whether the address belongs to another server, so that the message is relayed."""
        return not self.mailboxes


@dataclass(slots=True)
class HeaderFacts:
    """Facts from the header, for the log; filled once it has been read."""

    message_id: str | None = None
    """The Message-ID without angle brackets."""
    tls_optional: bool = False
    """Set by `TLS-Required: No` (RFC 8689 §3)."""
    refers_to: tuple[str, ...] = ()
    """Message-IDs that a submitted message answers, without angle brackets (Reg. 12.4)."""
    added: bytes = b""
    """Fields that submission adds, with CRLF."""


@dataclass(slots=True)
class Counted:
    """The amount counted against its sender's limits (`services.abuse.send_limits`)."""

    octets: int = 0
    at: float = 0.0
    """Time of the count in seconds since 1970; a refund is booked to the same time."""
    is_counted: bool = False


@dataclass(frozen=True, slots=True)
class CheckResult:
    """The result of one check of mail from another server (`services.transport.inbound`), or of several."""

    refusal: Refusal | None = None
    """The refusal, permanent or temporary."""
    verdict: str = ""
    """The verdict that decides the folder: `JUNK`, or empty."""
    held_for: str = ""
    """The reason for quarantine instead of delivery (`quarantine.quarantine.Reason`); else empty."""
    finding: str = ""
    """The finding of the check that holds the message: a malware name, or an action and a score."""
    symbols: tuple[str, ...] = ()
    """The symbols of the spam filter, with their scores."""
    rule: str = ""
    """The name of the rule that decided, for the log; empty if none applied."""
    authenticates_sender: bool = False
    """Set if SPF or DKIM passes for the domain of MAIL FROM, so that reports may go there."""
    fields: bytes = b""
    """Whole lines to put in front of the message, with CRLF."""
    log_fields: Mapping[str, object] = field(default_factory=dict)

    @property
    def _severity(self) -> int:
        """The severity of the outcome: accepted as usual, into Junk, held, refused."""
        return 3 if self.refusal is not None else 2 if self.held_for else 1 if self.verdict else 0

    def and_then(self, later: "CheckResult") -> "CheckResult":
        """Combine two results.

        The fields of the earlier one come first. The first refusal, verdict and reason stand, and the rule of the
        stricter result.
        """
        by_strictness = (later, self) if later._severity > self._severity else (self, later)
        return CheckResult(
            self.refusal or later.refusal,
            self.verdict or later.verdict,
            self.held_for or later.held_for,
            self.finding or later.finding,
            self.symbols or later.symbols,
            next((one.rule for one in by_strictness if one.rule), ""),
            self.authenticates_sender or later.authenticates_sender,
            self.fields + later.fields,
            {**self.log_fields, **later.log_fields},
        )


@dataclass(slots=True)
class Envelope:
    """The envelope of a transaction whose DATA or BDAT begins."""

    trace_id: str
    client: Client
    sender: ReversePath
    recipients: tuple[Recipient, ...]
    smtputf8: bool = False
    body: str = "7BIT"
    ret: str | None = None
    envid: str | None = None
    requires_tls: bool = False
    """Set by REQUIRETLS (RFC 8689): the message is relayed under TLS or not at all."""
    written_as: set[int] = field(default_factory=set)
    """Mailboxes of units and groups that the person writes as (Reg. 12.3); known once the header is read."""
    header: HeaderFacts = field(default_factory=HeaderFacts)
    counted: Counted = field(default_factory=Counted)
    checked: CheckResult = CheckResult()
    """The results of the checks, once they are done."""
    lookups: "ClientLookups | None" = None
    """Lookups about the client, started at its MAIL (`inbound.client_lookups`); None if there are none."""

    def refusal(self, cause: Cause, **words: object) -> Refusal:
        """Refuse this transaction."""
        return Refusal(cause, self.trace_id, words)

    def over_quota(self) -> Refusal:
        """Refuse this transaction, whose only mailbox is full."""
        return self.refusal(Cause.OVER_QUOTA, address=str(self.recipients[0].address))

    @property
    def elsewhere(self) -> list[Recipient]:
        """Return the recipients on other servers."""
        return [recipient for recipient in self.recipients if recipient.is_elsewhere]

    @property
    def is_submitted(self) -> bool:
        return self.client.role is Role.SUBMISSION

    @property
    def is_strange(self) -> bool:
        """Return whether the message came from a server other than our own (`inbound.trusted_networks`)."""
        return self.client.role is Role.MX and self.lookups is not None

    @property
    def may_be_reported(self) -> bool:
        """Return whether reports may go to its sender (decision 0100); known once the checks are done."""
        return not self.is_strange or self.checked.authenticates_sender

    @property
    def wants_success(self) -> bool:
        """Return whether a sender is to be notified of successful delivery (RFC 3461 §4.1)."""
        wanted = any("SUCCESS" in recipient.notify for recipient in self.recipients)
        return wanted and bool(self.sender) and self.may_be_reported


@dataclass(frozen=True, slots=True)
class Accepted:
    """The message is durable."""

    trace_id: str
    octets: int


Outcome = Accepted | Refusal
