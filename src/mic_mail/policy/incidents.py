"""The content of an incident record, and when it is complete (Reg. 14.4, 16.3, 10.1).

In: a report of an incident, instants. Out: a refusal, or an `IncidentReport` that can be recorded; names of kinds and
severities; a unit's request as an incident. Pure.

A unit records its serious incidents and sends them to the Centre (14.4), which finds others by itself (10.1). The record is
given to VNCERT (16.3), so it is extended and closed, never altered: a corrected severity is a note that says so.
"""

import json
from dataclasses import asdict, dataclass, replace
from datetime import date, datetime
from hashlib import sha256

from mic_mail.errors import BadInput, Refused, Text
from mic_mail.i18n.labels import LabelledEnum
from mic_mail.policy.calendar import local_day, start_of
from mic_mail.policy.requests import Filing, Item, RequestChannel

CLAUSE = "14.4"
LONGEST_TITLE = 1_000
MOST_MAILBOXES = 200


class IncidentKind(LabelledEnum):
    """The kinds of incidents."""

    MALWARE = "malware", "mã độc", "malware"
    TAKEOVER = "takeover", "chiếm quyền hộp thư", "mailbox taken over"
    """Somebody else used a mailbox (Reg. 7.2.c)."""
    PHISHING = "phishing", "lừa đảo", "phishing"
    SPAM = "spam", "phát tán thư rác", "spam sent"
    LEAK = "leak", "lộ, lọt thông tin", "leak"
    """A leak of documents or passwords (Reg. 4.1, 15.2)."""
    INTRUSION = "intrusion", "tấn công, xâm nhập", "attack, intrusion"
    OUTAGE = "outage", "gián đoạn dịch vụ", "outage"
    """An outage of the service (Reg. 10.1, 10.3)."""
    LOSS = "loss", "mất dữ liệu thư", "mail lost"
    """A loss of mail."""
    OTHER = "other", "khác", "other"


class IncidentSeverity(LabelledEnum):
    """The severity of an incident."""

    MINOR = "minor", "nhẹ", "minor"
    SERIOUS = "serious", "nghiêm trọng", "serious"
    """The severity from which Reg. 14.4 requires units to record it."""
    CRITICAL = "critical", "đặc biệt nghiêm trọng", "critical"
    """The whole ministry is affected, or state secrets are."""


class IncidentState(LabelledEnum):
    """The state of an incident: open while something remains to be done."""

    OPEN = "open", "đang xử lý", "open"
    CLOSED = "closed", "đã kết thúc", "closed"


class IncidentRefused(Refused):
    """The step is not allowed in the incident's state."""


@dataclass(frozen=True, slots=True)
class IncidentReport:
    """An incident as reported, before it is recorded."""

    kind: IncidentKind
    severity: IncidentSeverity
    title: str
    reporter: str
    """The name of the person who noticed it."""
    unit_id: int | None
    """The unit that reports it; None: the Centre found it by itself."""
    began_at: datetime
    ended_at: datetime | None = None
    """None: it still goes on, or the end is unknown."""
    channel: RequestChannel | None = None
    document: str | None = None
    units: frozenset[int] = frozenset()
    """Other units that it concerns."""
    mailboxes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Note:
    """A finding about an incident, or a measure taken (`measure`)."""

    at: datetime
    actor: str
    text: str
    measure: bool


@dataclass(frozen=True, slots=True)
class IncidentChange:
    """The corrections and additions of a note; None leaves a value as it is."""

    kind: IncidentKind | None = None
    severity: IncidentSeverity | None = None
    ended_at: datetime | None = None
    units: frozenset[int] = frozenset()
    mailboxes: tuple[str, ...] = ()

    @property
    def assesses(self) -> bool:
        """Return whether it changes kind, severity or units, which only the Centre may do."""
        return self.kind is not None or self.severity is not None or bool(self.units)


@dataclass(frozen=True, slots=True)
class Incident:
    """A recorded incident."""

    incident_id: int
    told: IncidentReport
    """The incident as it is known now."""
    opened_at: datetime
    opened_by: str
    request_id: int | None = None
    """The unit's request that reported it."""
    closed_at: datetime | None = None
    closed_by: str | None = None
    result: str | None = None
    report: str | None = None
    """The number of the document that reports it."""
    notes: tuple[Note, ...] = ()
    downtimes: tuple[int, ...] = ()
    """Downtimes taken because of it (Reg. 10.3)."""

    @property
    def state(self) -> IncidentState:
        return IncidentState.OPEN if self.closed_at is None else IncidentState.CLOSED

    @property
    def number(self) -> str:
        return number(self.incident_id)

    @property
    def concerns(self) -> frozenset[int]:
        """All units that may read the record."""
        return self.told.units if self.told.unit_id is None else self.told.units | {self.told.unit_id}

    @property
    def digest(self) -> str:
        """A digest by which a signed document is matched to this record."""
        return sha256(json.dumps(asdict(self), default=_plain, sort_keys=True).encode()).hexdigest()[:32]

    def within(self, begins: datetime, ends: datetime) -> bool:
        """Return whether any part of the incident lies in the span."""
        return self.told.began_at < ends and (self.told.ended_at is None or begins <= self.told.ended_at)


def _plain(value: object) -> object:
    """Convert a value for JSON; equal records give equal octets."""
    return sorted(value) if isinstance(value, frozenset) else str(value)


def number(incident_id: int) -> str:
    """Return the number as documents, letters and the register of requests show it."""
    return f"SC-{incident_id}"


def check(told: IncidentReport, now: datetime) -> None:
    if not told.title.strip():
        raise _incomplete(Text("Thiếu nội dung sự cố.", "A description of what happened is missing."))
    if len(told.title) > LONGEST_TITLE:
        raise _incomplete(
            Text(f"Nội dung dài quá {LONGEST_TITLE} ký tự.", f"The title is longer than {LONGEST_TITLE} characters.")
        )
    if not told.reporter.strip():
        raise _incomplete(Text("Thiếu người báo sự cố.", "The reporter of the incident is missing."))
    if told.began_at > now:
        raise _incomplete(Text("Sự cố bắt đầu trong tương lai.", "The incident's start is in the future."))
    if len(told.mailboxes) > MOST_MAILBOXES:
        raise _incomplete(Text(f"Quá {MOST_MAILBOXES} hộp thư.", f"More than {MOST_MAILBOXES} mailboxes."))
    check_end(told.began_at, told.ended_at, now)


def check_end(began_at: datetime, ended_at: datetime | None, now: datetime) -> None:
    if ended_at is not None and not began_at <= ended_at <= now:
        raise _incomplete(
            Text("Thời điểm kết thúc trước khi bắt đầu, hoặc ở tương lai.", "The end is before the start, or in the future.")
        )


def still_open(incident: Incident) -> None:
    """Refuse to add to a closed incident: its document is signed."""
    if incident.state is IncidentState.CLOSED:
        raise IncidentRefused(
            Text(f"Sự cố {incident.number} đã kết thúc.", f"Incident {incident.number} is closed."),
            clause=CLAUSE,
            remedy=Text("Ghi sự cố mới: mic-mail incident open.", "Open a new incident: mic-mail incident open."),
        )


def changed(told: IncidentReport, change: IncidentChange) -> IncidentReport:
    """Return the report as a note changes it."""
    return replace(
        told,
        kind=change.kind or told.kind,
        severity=change.severity or told.severity,
        ended_at=change.ended_at or told.ended_at,
        units=told.units | change.units,
        mailboxes=tuple(dict.fromkeys((*told.mailboxes, *change.mailboxes))),
    )


def of_request(filing: Filing) -> IncidentReport:
    """Return a unit's request as an incident report, serious until the Centre has checked it (Reg. 14.4)."""
    day, address = filing.items.get(Item.DAY), filing.items.get(Item.ADDRESS)
    began = filing.received_at
    if day is not None and date.fromisoformat(day) != local_day(began):
        began = start_of(date.fromisoformat(day))
    return IncidentReport(
        IncidentKind.OTHER,
        IncidentSeverity.SERIOUS,
        filing.items.get(Item.NOTE, ""),
        filing.asker,
        filing.unit_id,
        began,
        channel=filing.channel,
        document=filing.document,
        mailboxes=(address,) if address else (),
    )


def _incomplete(text: Text) -> BadInput:
    return BadInput(text, clause=CLAUSE)
