"""A unit mailbox's sent and received mail over some days, and its results (Reg. 12.3.b, 11.1 to 11.3).

In: the mail log (submissions with their senders, deliveries), the mailbox's index and the reports in it, the Sent
folders of its users. Out: lines for messages sent, and arrivals with their answers; evidence for 11.1 to 11.3. Nothing
is changed or marked as read. Subjects come from the index, never from the log; the command decides who may see them
(Reg. 4.3). Blocking.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from mic_mail.config.model import Config
from mic_mail.directory.snapshot import Entry, Snapshot
from mic_mail.errors import MicMailError
from mic_mail.log.query import Fields, Query
from mic_mail.log.search import Search
from mic_mail.mime.dsn_mdn import MOST_OCTETS, Action, DeliveryReport, DispositionReport, read_report
from mic_mail.mime.encoded_words import decode_text
from mic_mail.policy.calendar import add_days, start_of
from mic_mail.policy.date_ranges import DateRange
from mic_mail.policy.naming.transliteration import excerpt
from mic_mail.policy.reclamation import is_empty
from mic_mail.policy.unit_mail import correspondence, delegation
from mic_mail.policy.unit_mail.correspondence import (
    CorrespondenceLine,
    DeliveryStatus,
    MessageKnowledge,
    RecipientOutcome,
    Reported,
    Statement,
    Submission,
)
from mic_mail.services.unit_mail.message_facts import DRAFTS, NOT_INCOMING, SENT, Letter, letters_since
from mic_mail.storage.mailstore import Account, MailStore
from mic_mail.storage.types import AccountRef, FolderInfo

DELIVERY_DAYS = 6
"""The days after its acceptance in which a message is searched for in the log.

Deferred mail is delivered or given up by then.
"""
_FATES = {
    Action.FAILED: DeliveryStatus.REPORTED_FAILED,
    Action.DELAYED: DeliveryStatus.REPORTED_DELAYED,
    Action.DELIVERED: DeliveryStatus.REPORTED_DELIVERED,
    Action.RELAYED: DeliveryStatus.REPORTED_RELAYED,
    Action.EXPANDED: DeliveryStatus.REPORTED_DELIVERED,
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
    """Messages delivered in the span by the log.

    More than `received` where some were moved out or expunged since.
    """


@dataclass(slots=True)
class _Found:
    """The contents of the folders."""

    arrivals: list[Letter] = field(default_factory=list)
    own: list[tuple[str, Letter]] = field(default_factory=list)
    """The messages that the mailbox's people wrote, with the writer."""
    reports: list[Reported] = field(default_factory=list)
    readings: list[Statement] = field(default_factory=list)


class Correspondences:
    """The correspondence of the mailboxes of one server."""

    def __init__(self, store: MailStore, snapshot: Snapshot, config: Config) -> None:
        self._store = store
        self._snapshot = snapshot
        self._search = Search(config.log_dir)
        self._hostname = config.server.hostname

    def of(self, entry: Entry, span: DateRange) -> Correspondence:
        """Return one mailbox's correspondence over the days of the span."""
        begins, ends = start_of(span.first), start_of(add_days(span.last, 1))
        own = frozenset(entry.addresses)
        found = self._in_folders(entry, begins, own)
        submissions = list(self._submissions(entry, own, begins, ends))
        handovers = [handover for each in submissions for handover in self._handovers(each)]
        answers = [
            Statement(letter.incoming.received_at, letter.refers, recipients=(letter.incoming.sender,))
            for letter in found.arrivals
            if letter.refers and not letter.incoming.is_automatic and not self._is_disguised(letter, letter.incoming.sender)
        ]
        heard = MessageKnowledge(handovers, found.reports, found.readings, answers)
        return Correspondence(
            correspondence.lines(submissions, heard),
            {letter.incoming.message_id: excerpt(decode_text(letter.subject)) for _, letter in found.own},
            _received(found, begins, ends),
            self._delivered(entry, begins, ends),
        )

    # ------------------------------------------------------------ the log

    def _events(self, query: Query) -> Iterator[tuple[datetime, Fields]]:
        for at_us, fields in self._search.each(query):
            yield datetime.fromtimestamp(at_us // 1_000_000, UTC), fields

    def _submissions(self, entry: Entry, own: frozenset[str], begins: datetime, ends: datetime) -> Iterator[Submission]:
        seen: set[str] = set()
        for address in entry.addresses:
            for at, fields in self._events(_query(begins, ends, mailbox=address, event="message_accepted")):
                written = {str(fields.get("sender")).lower(), *_texts(fields.get("written_as"))}
                trace = str(fields.get("trace"))
                if not fields.get("login") or not written & own or trace in seen:
                    continue
                seen.add(trace)
                name = fields.get("message_id")
                yield Submission(
                    trace,
                    at,
                    f"<{name}>" if name else "",
                    str(fields.get("envid") or ""),
                    tuple(_texts(fields.get("recipients"))),
                    str(fields.get("login")),
                )

    def _handovers(self, submission: Submission) -> Iterator[RecipientOutcome]:
        until = submission.at + timedelta(days=DELIVERY_DAYS)
        for at, fields in self._events(_query(submission.at - timedelta(minutes=5), until, trace=submission.trace)):
            fate = _HANDOVERS.get(str(fields.get("event")))
            if fate is not None:  # a sole recipient has the message just before its acceptance is logged
                recipient = str(fields.get("recipient")).lower()
                yield RecipientOutcome(submission.trace, recipient, fate, max(at, submission.at))

    def _delivered(self, entry: Entry, begins: datetime, ends: datetime) -> int:
        return sum(
            str(fields.get("mailbox")) == entry.address
            for _, fields in self._events(_query(begins, ends, mailbox=entry.address, event="message_delivered"))
        )

    # ------------------------------------------------------------ the mailbox

    def _in_folders(self, entry: Entry, since: datetime, own: frozenset[str]) -> _Found:
        found = _Found()
        account = self._account(entry)
        for folder in account.folders():
            if not folder.selectable or folder.special_use == DRAFTS:
                continue
            for letter in letters_since(account, folder, since, self._hostname):
                if letter.is_from(own, folder):
                    found.own.append((entry.address, letter))
                elif letter.is_report:
                    self._take_report(found, account, folder, letter)
                elif (folder.special_use not in NOT_INCOMING and not letter.is_junk) or letter.refers:
                    found.arrivals.append(letter)
        found.own += self._of_holders(entry, since)
        return found

    def _of_holders(self, entry: Entry, since: datetime) -> Iterator[tuple[str, Letter]]:
        """Yield the mail that the mailbox's users sent from their own mailboxes.

        Only answers to this mailbox's messages are used.
        """
        for person in delegation.names(entry.facts):
            holder = self._snapshot.entries.get(self._snapshot.own.get(person, 0))
            if holder is None or is_empty(holder.facts):
                continue
            account = self._account(holder)
            for folder in account.folders():
                if folder.special_use == SENT:
                    for letter in letters_since(account, folder, since, self._hostname):
                        yield holder.address, letter

    def _take_report(self, found: _Found, account: Account, folder: FolderInfo, letter: Letter) -> None:
        try:
            with account.open_message(folder.folder_id, letter.uid) as message:
                report = read_report(message.pread(0, MOST_OCTETS))
        except MicMailError:  # expunged meanwhile
            return
        at = letter.incoming.received_at
        match report:
            case DeliveryReport():
                message_ids = report.message_ids or letter.refers
                found.reports += [
                    Reported(at, message_ids, report.envelope_id, (each.original, each.final), _FATES[each.action], each.status)
                    for each in report.recipients
                ]
            case DispositionReport() if report.disposition == _DISPLAYED:
                recipient = report.recipient or letter.incoming.sender
                if self._is_disguised(letter, recipient) or self._is_disguised(letter, letter.incoming.sender):
                    return
                found.readings.append(
                    Statement(at, report.message_ids or letter.refers, recipients=(recipient, letter.incoming.sender))
                )
            case _:
                pass

    def _is_disguised(self, letter: Letter, address: str) -> bool:
        """Return whether a message from outside speaks for a mailbox of this server, without proof."""
        return letter.incoming.is_foreign and self._snapshot.resolve(address) is not None

    def _account(self, entry: Entry) -> Account:
        return self._store.account(AccountRef(entry.mailbox_id, entry.home))


def _query(
    begins: datetime, ends: datetime, *, mailbox: str | None = None, event: str | None = None, trace: str | None = None
) -> Query:
    since_us, until_us = (int(edge.timestamp() * 1_000_000) for edge in (begins, ends))
    return Query(mailbox=mailbox, event=event, trace=trace, since_us=since_us, until_us=until_us)


def _texts(value: object) -> list[str]:
    return [str(each).lower() for each in value] if isinstance(value, list) else []


def _received(found: _Found, begins: datetime, ends: datetime) -> list[Arrival]:
    """Return the arrivals of the span, each with the first answer that names it."""
    first: dict[str, tuple[datetime, str]] = {}
    for writer, letter in found.own:
        for name in letter.refers:
            known = first.get(name)
            if known is None or letter.incoming.received_at < known[0]:
                first[name] = letter.incoming.received_at, writer
    arrivals: dict[str, Arrival] = {}
    for number, letter in enumerate(found.arrivals):
        message = letter.incoming
        if not begins <= message.received_at < ends:
            continue
        answered_at, answered_by = first.get(message.message_id, (None, ""))
        key = message.message_id or f"#{number}"
        arrivals.setdefault(
            key,
            Arrival(
                message.received_at,
                message.sender,
                excerpt(decode_text(letter.subject)),
                message.is_automatic,
                answered_at,
                answered_by,
                message.is_marked,
            ),
        )
    return sorted(arrivals.values(), key=lambda each: each.at)
