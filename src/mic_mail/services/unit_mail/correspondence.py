"""A unit mailbox's sent and received mail over some days, and its results (Reg. 12.3.b, 11.1 to 11.3).

In: the mail log (submissions with their senders, deliveries), the mailbox's index and the reports in it, the Sent
folders of its users. Out: lines for messages sent, and arrivals with their answers; evidence for 11.1 to 11.3. Nothing
is changed or marked as read. Subjects come from the index, never from the log; the command decides who may see them
(Reg. 4.3). Blocking.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta

from mic_mail.config.model import Config
from mic_mail.directory.instants import to_microseconds
from mic_mail.directory.snapshot import Entry, Snapshot
from mic_mail.errors import MicMailError
from mic_mail.log.query import Fields, Query
from mic_mail.log.search import LogSearch
from mic_mail.mime.dsn_mdn import MOST_OCTETS, DeliveryReport, DispositionReport, DsnAction, read_report
from mic_mail.mime.encoded_words import decode_text
from mic_mail.policy.date_ranges import DateRange
from mic_mail.policy.naming.transliteration import excerpt
from mic_mail.policy.unit_mail import correspondence
from mic_mail.policy.unit_mail.correspondence import (
    CorrespondenceLine,
    DeliveryStatus,
    MessageKnowledge,
    RecipientOutcome,
    Reported,
    Statement,
    Submission,
)
from mic_mail.services.unit_mail.message_facts import NOT_INCOMING, MessageFacts, account_facts, holders_of
from mic_mail.storage.mailstore import Account, MailStore
from mic_mail.storage.types import FolderInfo

DELIVERY_DAYS = 6
"""Days after its acceptance in which a message is looked up; it is delivered or given up by then."""
_FATES = {
    DsnAction.FAILED: DeliveryStatus.REPORTED_FAILED,
    DsnAction.DELAYED: DeliveryStatus.REPORTED_DELAYED,
    DsnAction.DELIVERED: DeliveryStatus.REPORTED_DELIVERED,
    DsnAction.RELAYED: DeliveryStatus.REPORTED_RELAYED,
    DsnAction.EXPANDED: DeliveryStatus.REPORTED_DELIVERED,
}
_HANDOVERS = {
    "message_delivered": DeliveryStatus.DELIVERED,
    "delivery_found": DeliveryStatus.DELIVERED,
    "delivery_deferred": DeliveryStatus.DEFERRED,
    "delivery_given_up": DeliveryStatus.REPORTED_FAILED,
}
_DISPLAYED = "displayed"


@dataclass(frozen=True, slots=True)
class Arrival:
    """A message that the mailbox received."""

    at: datetime
    sender: str
    subject: str
    automatic: bool
    answered_at: datetime | None
    answered_by: str
    is_marked: bool
    """Answered by its flag only."""


@dataclass(frozen=True, slots=True)
class Correspondence:
    """Both directions over a span."""

    sent: list[CorrespondenceLine]
    subjects: dict[str, str]
    """By Message-ID, of sent messages that are still in the mailbox."""
    received: list[Arrival]
    delivered: int
    """Deliveries by the log: more than `received` where some were moved out or expunged since."""


@dataclass(slots=True)
class _Found:
    arrivals: list[MessageFacts] = field(default_factory=list)
    own: list[tuple[str, MessageFacts]] = field(default_factory=list)
    """The messages that the mailbox's people wrote, with the writer."""
    reports: list[Reported] = field(default_factory=list)
    readings: list[Statement] = field(default_factory=list)


class Correspondences:
    def __init__(self, store: MailStore, snapshot: Snapshot, config: Config) -> None:
        self._store = store
        self._snapshot = snapshot
        self._search = LogSearch(config.log_dir)
        self._hostname = config.server.hostname

    def of(self, entry: Entry, span: DateRange) -> Correspondence:
        begins, ends = span.instants
        own = frozenset(entry.addresses)
        found = self._in_folders(entry, begins, own)
        submissions = list(self._submissions(entry, own, begins, ends))
        handovers = [handover for each in submissions for handover in self._handovers(each)]
        answers = [
            Statement(facts.incoming.received_at, facts.refers, recipients=(facts.incoming.sender,))
            for facts in found.arrivals
            if facts.refers and not facts.incoming.is_automatic and not self._is_disguised(facts, facts.incoming.sender)
        ]
        knowledge = MessageKnowledge(handovers, found.reports, found.readings, answers)
        return Correspondence(
            correspondence.lines(submissions, knowledge),
            {facts.incoming.message_id: excerpt(decode_text(facts.subject)) for _, facts in found.own},
            _received(found, begins, ends),
            self._delivered(entry, begins, ends),
        )

    def _events(self, query: Query, begins: datetime, ends: datetime) -> Iterator[tuple[datetime, Fields]]:
        within = replace(query, since_us=to_microseconds(begins), until_us=to_microseconds(ends))
        for at_us, fields in self._search.each(within):
            yield datetime.fromtimestamp(at_us // 1_000_000, UTC), fields

    def _submissions(self, entry: Entry, own: frozenset[str], begins: datetime, ends: datetime) -> Iterator[Submission]:
        seen: set[str] = set()
        for address in entry.addresses:
            for at, fields in self._events(Query(mailbox=address, event="message_accepted"), begins, ends):
                written = {str(fields.get("sender")).lower(), *_texts(fields.get("written_as"))}
                trace = str(fields.get("trace"))
                if not fields.get("login") or not written & own or trace in seen:
                    continue
                seen.add(trace)
                name, recipients = fields.get("message_id"), tuple(_texts(fields.get("recipients")))
                message_id, envid = f"<{name}>" if name else "", str(fields.get("envid") or "")
                yield Submission(trace, at, message_id, envid, recipients, str(fields.get("login")))

    def _handovers(self, submission: Submission) -> Iterator[RecipientOutcome]:
        until = submission.at + timedelta(days=DELIVERY_DAYS)
        for at, fields in self._events(Query(trace=submission.trace), submission.at - timedelta(minutes=5), until):
            fate = _HANDOVERS.get(str(fields.get("event")))
            if fate is not None:  # a sole recipient has the message just before its acceptance is logged
                recipient = str(fields.get("recipient")).lower()
                yield RecipientOutcome(submission.trace, recipient, fate, max(at, submission.at))

    def _delivered(self, entry: Entry, begins: datetime, ends: datetime) -> int:
        return sum(
            str(fields.get("mailbox")) == entry.address
            for _, fields in self._events(Query(mailbox=entry.address, event="message_delivered"), begins, ends)
        )

    def _in_folders(self, entry: Entry, since: datetime, own: frozenset[str]) -> _Found:
        found = _Found()
        account = self._store.account_of(entry)
        for folder, facts in account_facts(account, since, self._hostname):
            if facts.is_from(own, folder):
                found.own.append((entry.address, facts))
            elif facts.is_report:
                self._take_report(found, account, folder, facts)
            elif (folder.special_use not in NOT_INCOMING and not facts.is_junk) or facts.refers:
                found.arrivals.append(facts)
        for holder in holders_of(entry, self._snapshot):  # of their own mail only answers to this mailbox's messages count
            sent = account_facts(self._store.account_of(holder), since, self._hostname, sent_only=True)
            found.own += [(holder.address, facts) for _, facts in sent]
        return found

    def _take_report(self, found: _Found, account: Account, folder: FolderInfo, facts: MessageFacts) -> None:
        try:
            with account.open_message(folder.folder_id, facts.uid) as message:
                report = read_report(message.pread(0, MOST_OCTETS))
        except MicMailError:  # expunged meanwhile
            return
        at = facts.incoming.received_at
        match report:
            case DeliveryReport():
                message_ids = report.message_ids or facts.refers
                found.reports += [
                    Reported(at, message_ids, report.envelope_id, (each.original, each.final), _FATES[each.action], each.status)
                    for each in report.recipients
                ]
            case DispositionReport() if report.disposition == _DISPLAYED:
                recipient = report.recipient or facts.incoming.sender
                if self._is_disguised(facts, recipient) or self._is_disguised(facts, facts.incoming.sender):
                    return
                found.readings.append(
                    Statement(at, report.message_ids or facts.refers, recipients=(recipient, facts.incoming.sender))
                )
            case _:
                pass

    def _is_disguised(self, facts: MessageFacts, address: str) -> bool:
        """Return whether a message from outside speaks for a mailbox of this server, without proof."""
        return facts.incoming.is_foreign and self._snapshot.resolve(address) is not None


def _texts(value: object) -> list[str]:
    return [str(each).lower() for each in value] if isinstance(value, list) else []


def _received(found: _Found, begins: datetime, ends: datetime) -> list[Arrival]:
    """Return the arrivals of the span, each with the first answer that names it."""
    first: dict[str, tuple[datetime, str]] = {}
    for writer, facts in found.own:
        for name in facts.refers:
            known = first.get(name)
            if known is None or facts.incoming.received_at < known[0]:
                first[name] = facts.incoming.received_at, writer
    arrivals: dict[str, Arrival] = {}
    for number, facts in enumerate(found.arrivals):
        message = facts.incoming
        if not begins <= message.received_at < ends:
            continue
        answered_at, answered_by = first.get(message.message_id, (None, ""))
        key = message.message_id or f"#{number}"
        arrival = Arrival(
            message.received_at, message.sender, excerpt(decode_text(facts.subject)), message.is_automatic,
            answered_at, answered_by, message.is_marked,
        )  # fmt: skip
        arrivals.setdefault(key, arrival)
    return sorted(arrivals.values(), key=lambda each: each.at)
