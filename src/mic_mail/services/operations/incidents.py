"""The use of the register of incidents (Reg. 14.4, 16.3, 10.1): open, add, close, examine.

In: reports of a unit or the Centre, the log, the facts of mailboxes. Out: records; the suspensions under 7.2.c and the
downtimes that belong to an incident; the lines of the log about it. Blocking: commands only.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from mic_mail.clock import Clock
from mic_mail.directory.instants import to_microseconds
from mic_mail.directory.records import NotFound
from mic_mail.directory.repository import Directory
from mic_mail.errors import BadInput, Text
from mic_mail.log.query import Query
from mic_mail.log.search import FoundLine, LogSearch
from mic_mail.policy import incidents as rules
from mic_mail.policy.downtime import Downtime
from mic_mail.policy.facts import Fact, FactKind, SuspensionCause
from mic_mail.policy.incidents import Incident, IncidentChange, IncidentReport, Note
from mic_mail.services.operations.log_maintenance import excerpt


@dataclass(frozen=True, slots=True)
class Suspension:
    """A suspension of one of the incident's mailboxes while it went on (Reg. 7.2.c)."""

    address: str
    fact: Fact


class Incidents:
    def __init__(self, directory: Directory, clock: Clock) -> None:
        self._directory = directory
        self._clock = clock

    def open(self, report: IncidentReport, actor: str) -> Incident:
        """Record a new incident; its mailboxes must be known and are stored by their own address."""
        report = replace(report, title=" ".join(report.title.split()), mailboxes=self._known(report.mailboxes))
        now = self._clock.now()
        rules.check(report, now)
        return self._directory.incidents.add(report, actor, now)

    def note(self, incident: Incident, actor: str, text: str, change: IncidentChange, *, measure: bool) -> Incident:
        now = self._clock.now()
        rules.still_open(incident)
        if not text.strip():
            raise BadInput(Text("Thiếu nội dung ghi chú.", "The note is empty."), clause=rules.CLAUSE)
        change = replace(change, mailboxes=self._known(change.mailboxes))
        rules.check(replace(rules.changed(incident.told, change), ended_at=None), now)
        rules.check_end(incident.told.began_at, change.ended_at, now)
        return self._directory.incidents.note(incident, Note(now, actor, text.strip(), measure), change)

    def close(self, incident: Incident, actor: str, result: str, report: str | None, ended_at: datetime | None) -> Incident:
        """Close an incident with its result; a report also covers its downtimes (Reg. 10.3)."""
        now = self._clock.now()
        rules.still_open(incident)
        if not result.strip():
            raise BadInput(
                Text("Phải nêu kết quả xử lý.", "The result is missing."),
                clause=rules.CLAUSE,
                remedy=Text("Thêm --result.", "Add --result."),
            )
        ends = ended_at or incident.told.ended_at or now
        rules.check_end(incident.told.began_at, ends, now)
        document = report.strip() if report and report.strip() else None
        return self._directory.incidents.close(incident, actor, now, result=result.strip(), report=document, ended_at=ends)

    def _known(self, addresses: Sequence[str]) -> tuple[str, ...]:
        return tuple(dict.fromkeys(self._directory.mailbox(address).address for address in addresses))

    def suspensions(self, incident: Incident) -> list[Suspension]:
        """Return the suspensions of its mailboxes under 7.2.c, from its beginning until it was closed."""
        until = incident.closed_at or self._clock.now()
        return [
            Suspension(address, fact)
            for address, facts in self._facts(incident)
            for fact in facts
            if fact.kind is FactKind.SUSPENDED
            and (fact.text("cause") or SuspensionCause.COMPROMISED) == SuspensionCause.COMPROMISED
            and incident.told.began_at <= fact.effective_at <= until
        ]

    def _facts(self, incident: Incident) -> Iterator[tuple[str, Sequence[Fact]]]:
        for address in incident.told.mailboxes:
            try:
                mailbox = self._directory.mailbox(address)
            except NotFound:  # another unit's, hidden from the caller; or an alias that ended
                continue
            yield mailbox.address, self._directory.facts(mailbox.mailbox_id)

    def downtimes(self, incident: Incident) -> list[Downtime]:
        """Return the downtimes taken because of the incident (Reg. 10.3)."""
        return [each for each in self._directory.downtimes.all() if each.downtime_id in incident.downtimes]

    def log(self, search: LogSearch, incident: Incident, span: tuple[datetime, datetime]) -> list[FoundLine]:
        """Return the log of its mailboxes in the span, or the whole log where it names none (Reg. 14.4, 16.3)."""
        since, until = map(to_microseconds, span)
        mailboxes: Sequence[str | None] = incident.told.mailboxes or (None,)
        return excerpt(search, *(Query(mailbox=mailbox, since_us=since, until_us=until) for mailbox in mailboxes))

    def span(self, incident: Incident) -> tuple[datetime, datetime]:
        return incident.told.began_at, incident.told.ended_at or self._clock.now()
