"""Times sent and received, confirmations and responses, for the keeper's report (Reg. 12.3.b).

In: what a mailbox sent (from the mail log), what this server delivered, what others reported, who answered. Out: a line for
each message and recipient. Pure.

This server knows its own deliveries. Another server's report of delivery (RFC 3464) or a mail program's report of reading (RFC
8098) is shown as reported, with its time of arrival: anybody can write such a message, so it never overrides what the server
knows. A report counts for a message only if it names its Message-ID or envelope id, and for a recipient only if the message had
that recipient or a single one: an address may lead to another one, and a colleague may answer.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

CLAUSE = "12.3.b"


class DeliveryStatus(StrEnum):
    """The progress of a message to one recipient."""

    ACCEPTED = "accepted"
    """On its way, nothing more is known."""
    DEFERRED = "deferred"
    """This server will try again."""
    DELIVERED = "delivered"
    """Delivered to the recipient's mailbox on this server."""
    REPORTED_FAILED = "reported_failed"
    REPORTED_DELAYED = "reported_delayed"
    REPORTED_DELIVERED = "reported_delivered"
    REPORTED_RELAYED = "reported_relayed"


@dataclass(frozen=True, slots=True)
class Submission:
    """A message that the mailbox sent."""

    trace: str
    at: datetime
    message_id: str
    """With its brackets; empty if it had none."""
    envelope_id: str
    recipients: tuple[str, ...]
    actor: str
    """The account that signed in to send it."""


@dataclass(frozen=True, slots=True)
class RecipientOutcome:
    """The outcome of this server's handling of one recipient."""

    trace: str
    recipient: str
    fate: DeliveryStatus
    at: datetime


@dataclass(frozen=True, slots=True)
class Statement:
    """A statement by somebody else about a message: a report of delivery or reading, or an answer."""

    at: datetime
    message_ids: frozenset[str]
    envelope_id: str = ""
    recipients: tuple[str, ...] = ()
    """The recipients that it concerns; for an answer, its author."""


@dataclass(frozen=True, slots=True)
class Reported(Statement):
    """A reported delivery status of one recipient."""

    fate: DeliveryStatus = DeliveryStatus.REPORTED_DELIVERED
    status: str = ""


@dataclass(slots=True)
class CorrespondenceLine:
    """One message and one recipient."""

    submission: Submission
    recipient: str
    fate: DeliveryStatus = DeliveryStatus.ACCEPTED
    fate_at: datetime | None = None
    status: str = ""
    read_at: datetime | None = None
    """The time at which the message was reported as displayed."""
    answered_at: datetime | None = None
    answered_by: str = ""


@dataclass(frozen=True, slots=True)
class MessageKnowledge:
    """The handovers, reports and answers known about the messages."""

    handovers: Sequence[RecipientOutcome] = ()
    reports: Sequence[Reported] = ()
    readings: Sequence[Statement] = ()
    answers: Sequence[Statement] = ()


@dataclass(slots=True)
class _Book:
    """Lines, indexed by what identifies them."""

    by_id: dict[str, list[CorrespondenceLine]] = field(default_factory=dict)
    by_envelope: dict[str, list[CorrespondenceLine]] = field(default_factory=dict)
    by_trace: dict[str, list[CorrespondenceLine]] = field(default_factory=dict)


_WEIGHT: Mapping[DeliveryStatus, int] = {
    DeliveryStatus.ACCEPTED: 0,
    DeliveryStatus.DEFERRED: 1,
    DeliveryStatus.REPORTED_DELAYED: 2,
    DeliveryStatus.REPORTED_RELAYED: 3,
    DeliveryStatus.REPORTED_DELIVERED: 4,
    DeliveryStatus.REPORTED_FAILED: 5,
    DeliveryStatus.DELIVERED: 6,
}
"""The precedence of statuses: a more definite one replaces a less definite one.

What the server did itself stands.
"""


def lines(submissions: Iterable[Submission], heard: MessageKnowledge) -> list[CorrespondenceLine]:
    """Return a line for each message and recipient, by time."""
    found: list[CorrespondenceLine] = []
    book = _Book()
    for submission in sorted(submissions, key=lambda each: each.at):
        own = [CorrespondenceLine(submission, recipient) for recipient in dict.fromkeys(submission.recipients)]
        found += own
        book.by_trace.setdefault(submission.trace, []).extend(own)
        if submission.message_id:
            book.by_id.setdefault(submission.message_id, []).extend(own)
        if submission.envelope_id:
            book.by_envelope.setdefault(submission.envelope_id, []).extend(own)
    for handover in heard.handovers:
        for line in book.by_trace.get(handover.trace, ()):
            if line.recipient == handover.recipient:
                _settle(line, handover.fate, handover.at, "")
    for report in heard.reports:
        for line in _meant(book, report):
            _settle(line, report.fate, report.at, report.status)
    for reading in heard.readings:
        for line in _meant(book, reading):
            if _is_first(line, line.read_at, reading.at):
                line.read_at = reading.at
    for answer in heard.answers:
        for line in _meant(book, answer):
            if _is_first(line, line.answered_at, answer.at):
                line.answered_at, line.answered_by = answer.at, next(iter(answer.recipients), "")
    return found


def _meant(book: _Book, word: Statement) -> list[CorrespondenceLine]:
    """Return the lines that a report or answer concerns, by the messages and recipients it names."""
    named = [line for message_id in word.message_ids for line in book.by_id.get(message_id, ())]
    if not named and word.envelope_id:
        named = book.by_envelope.get(word.envelope_id, [])
    return [line for line in named if line.recipient in word.recipients or len(line.submission.recipients) == 1]


def _settle(line: CorrespondenceLine, fate: DeliveryStatus, at: datetime, status: str) -> None:
    if at < line.submission.at:  # a report cannot precede the message
        return
    if _WEIGHT[fate] > _WEIGHT[line.fate] or (fate is line.fate and (line.fate_at is None or at < line.fate_at)):
        line.fate, line.fate_at, line.status = fate, at, status


def _is_first(line: CorrespondenceLine, known: datetime | None, at: datetime) -> bool:
    return at >= line.submission.at and (known is None or at < known)
