"""Reg. 12.3.b: times sent, received, confirmations and responses of recipients, for the keeper's report to the head.

In: what a mailbox sent (as the mail log has it), what this server delivered, what others reported of it, who answered. Out: a
line for each message and recipient. Pure.

What this server did itself it knows; what another one reports of delivery (RFC 3464) or a mail program of reading (RFC 8098) is
told as reported, with the time it came: anybody can write such a message, so it never undoes what the server knows. A report
counts for a message only where it names its Message-ID or envelope id, and for a recipient only where the message had that one,
or no other: behind an address may be another one, and a colleague may answer.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

CLAUSE = "12.3.b"


class DeliveryStatus(StrEnum):
    """How far a message has come to one recipient."""

    ACCEPTED = "accepted"
    """On its way, and nothing is known of it."""
    DEFERRED = "deferred"
    """This server tries again."""
    DELIVERED = "delivered"
    """In the recipient's mailbox here."""
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
    """With its brackets; empty where it had none."""
    envelope_id: str
    recipients: tuple[str, ...]
    actor: str
    """Whose sign-in sent it."""


@dataclass(frozen=True, slots=True)
class Handover:
    """What this server did about one recipient."""

    trace: str
    recipient: str
    fate: DeliveryStatus
    at: datetime


@dataclass(frozen=True, slots=True)
class Word:
    """What somebody else said of a message: a report of its delivery or reading, or an answer."""

    at: datetime
    message_ids: frozenset[str]
    envelope_id: str = ""
    recipients: tuple[str, ...] = ()
    """The recipients that it speaks of; of an answer, who wrote it."""


@dataclass(frozen=True, slots=True)
class Reported(Word):
    """A delivery status of one recipient."""

    fate: DeliveryStatus = DeliveryStatus.REPORTED_DELIVERED
    status: str = ""


@dataclass(slots=True)
class Line:
    """One message and one recipient."""

    submission: Submission
    recipient: str
    fate: DeliveryStatus = DeliveryStatus.ACCEPTED
    fate_at: datetime | None = None
    status: str = ""
    read_at: datetime | None = None
    """Reported as displayed."""
    answered_at: datetime | None = None
    answered_by: str = ""


@dataclass(frozen=True, slots=True)
class MessageKnowledge:
    """What is known of the messages."""

    handovers: Sequence[Handover] = ()
    reports: Sequence[Reported] = ()
    readings: Sequence[Word] = ()
    answers: Sequence[Word] = ()


@dataclass(slots=True)
class _Book:
    """Lines by what names them."""

    by_id: dict[str, list[Line]] = field(default_factory=dict)
    by_envelope: dict[str, list[Line]] = field(default_factory=dict)
    by_trace: dict[str, list[Line]] = field(default_factory=dict)


_WEIGHT: Mapping[DeliveryStatus, int] = {
    DeliveryStatus.ACCEPTED: 0,
    DeliveryStatus.DEFERRED: 1,
    DeliveryStatus.REPORTED_DELAYED: 2,
    DeliveryStatus.REPORTED_RELAYED: 3,
    DeliveryStatus.REPORTED_DELIVERED: 4,
    DeliveryStatus.REPORTED_FAILED: 5,
    DeliveryStatus.DELIVERED: 6,
}
"""What says more takes the place of what says less; what the server did itself stands."""


def lines(submissions: Iterable[Submission], heard: MessageKnowledge) -> list[Line]:
    """A line for each message and recipient, by time."""
    found: list[Line] = []
    book = _Book()
    for submission in sorted(submissions, key=lambda each: each.at):
        own = [Line(submission, recipient) for recipient in dict.fromkeys(submission.recipients)]
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


def _meant(book: _Book, word: Word) -> list[Line]:
    """The lines of which somebody speaks: of a message that it names, the recipients that it names."""
    named = [line for message_id in word.message_ids for line in book.by_id.get(message_id, ())]
    if not named and word.envelope_id:
        named = book.by_envelope.get(word.envelope_id, [])
    return [line for line in named if line.recipient in word.recipients or len(line.submission.recipients) == 1]


def _settle(line: Line, fate: DeliveryStatus, at: datetime, status: str) -> None:
    if at < line.submission.at:  # nobody can know before
        return
    if _WEIGHT[fate] > _WEIGHT[line.fate] or (fate is line.fate and (line.fate_at is None or at < line.fate_at)):
        line.fate, line.fate_at, line.status = fate, at, status


def _is_first(line: Line, known: datetime | None, at: datetime) -> bool:
    return at >= line.submission.at and (known is None or at < known)
