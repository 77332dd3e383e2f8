"""Suspension by decision (Reg. 7.2.b, 7.2.c) or for inactivity (7.2.a), and the send-lock by decision (10.2).

Reg. 7.1-7.3; a suspension under 7.2.a may be recorded as a decision too. A send-lock by decision ends by the unlock recorded
after it; the send-lock of leavers is in `leavers`.

A suspension ends only by a restore recorded after it (Reg. 7.3.b). A restore lifts every suspension recorded before it, but one
for a breach (7.2.b) only if it names the document that lifts it (`restore.breach_document`).

The clock of 7.2.a counts from the last of: the day of issue or import, the last activity of the person, a restore, the end of a
notified absence. A reason counts if it was notified before the suspension came; later it is a ground to ask for a restore. Days
on which the service was down are not counted, whenever that was recorded.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime

from mic_mail.i18n.labels import LabelledEnum
from mic_mail.policy.calendar import ONE_DAY, add_days, after_months, later, local_day
from mic_mail.policy.facts import Fact, FactKind, SuspensionCause
from mic_mail.policy.states import LifecycleSettings, MailboxState, Span

INACTIVITY_MONTHS = 6
"""The months of Reg. 7.2.a."""


class QueuedMail(LabelledEnum):
    """The choice for the undelivered messages of a suspended mailbox, when it is restored (Reg. 7.2.c)."""

    SEND = "send", "gửi", "send"
    DROP = "drop", "hủy", "drop"


def suspended_by_decision(facts: Sequence[Fact], settings: LifecycleSettings) -> list[Span]:
    """Return the spans of recorded suspensions."""
    spans: list[Span] = []
    for fact in facts:
        if fact.kind is not FactKind.SUSPENDED:
            continue
        cause = SuspensionCause(fact.text("cause") or SuspensionCause.COMPROMISED)
        until = min((r.effective_at for r in _restores(facts, fact, cause, settings)), default=None)
        if until is not None and until < fact.effective_at:
            continue  # withdrawn before its time came
        spans.append(Span(MailboxState.SUSPENDED, f"7.2.{cause}", (fact.seq,), fact.effective_at, until, fact.data))
    return spans


def ahead(facts: Sequence[Fact], spans: Sequence[Span], now: datetime) -> list[Span]:
    """Return the spans still in the future because a clock that was ahead recorded their facts."""
    from_ahead = {fact.seq for fact in facts if fact.clocked_at > now}
    return [span for span in spans if span.since > now and from_ahead & set(span.fact_seqs)]


def _takes_back(undo: Fact, act: Fact) -> bool:
    """Return whether `undo` takes back `act`, which it follows in the record.

    It does if it is in force at or after the beginning of `act`, or if the clock recorded it at an earlier time: the clock was
    ahead at `act`, which would otherwise come into force by itself.
    """
    return undo.seq > act.seq and (undo.effective_at >= act.effective_at or undo.clocked_at < act.clocked_at)


def _restores(facts: Sequence[Fact], suspended: Fact, cause: SuspensionCause, settings: LifecycleSettings) -> Iterator[Fact]:
    """Yield the restores that lift `suspended`: recorded after it, with the document that a breach needs."""
    for fact in facts:
        if fact.kind is FactKind.RESTORED and _takes_back(fact, suspended):
            if cause is SuspensionCause.BREACH and settings.breach_document and not fact.document:
                continue
            yield fact


def send_locked_by_decision(facts: Sequence[Fact]) -> list[Span]:
    """Return the spans in which the Centre locked sending manually (Reg. 10.2)."""
    spans: list[Span] = []
    for fact in facts:
        if fact.kind is not FactKind.SENDING_LOCKED:
            continue
        unlocks = (f.effective_at for f in facts if f.kind is FactKind.SENDING_UNLOCKED and _takes_back(f, fact))
        until = min(unlocks, default=None)
        if until is not None and until < fact.effective_at:
            continue  # withdrawn before its time came
        spans.append(Span(MailboxState.SEND_LOCKED, fact.text("clause") or "10.2", (fact.seq,), fact.effective_at, until))
    return spans


def absent_until(facts: Sequence[Fact], now: datetime) -> date | None:
    """Return the last day of the notified absence that has begun and not ended; None: there is none."""
    until: date | None = None
    for fact in facts:
        if fact.kind is FactKind.ABSENCE and fact.effective_at <= now:
            until = max(until or date.min, _last_day(fact))
        elif fact.kind is FactKind.ABSENCE_ENDED:
            until = None
    return until if until is not None and until >= local_day(now) else None


@dataclass(frozen=True, slots=True)
class _Mark:
    """An event that moves the clock of 7.2.a, at the instant from which the server could know it."""

    at: datetime
    seq: int
    kind: FactKind | None
    """None: activity of the person."""
    day: date
    """The day from which the months count."""


@dataclass(slots=True)
class _Clock:
    """The clock of 7.2.a during the pass over the marks."""

    settings: LifecycleSettings
    stops: Sequence[tuple[date, date]]
    used: date = date.min
    absent_until: date = date.min
    seqs: tuple[int, ...] = ()

    def due(self) -> datetime:
        start = max(self.used, self.absent_until)
        due = after_months(start, INACTIVITY_MONTHS, self.settings.term_end, self.settings.rest_day)
        for first, last in self.stops:  # in order of their beginnings, so that one stop can bring in the next
            counted_from = max(first, add_days(start, 1))
            if counted_from <= last and counted_from < local_day(due):
                due = later(due, last - counted_from + ONE_DAY)
        return due


def inactivity(facts: Sequence[Fact], last_activity: datetime | None, settings: LifecycleSettings) -> list[Span]:
    """Return the spans in which the mailbox is suspended for inactivity."""
    marks = _marks(facts, last_activity)
    if not any(mark.kind in {FactKind.ISSUED, FactKind.IMPORTED} for mark in marks):
        return []
    clock = _Clock(settings, _stops(facts))
    spans: list[Span] = []
    since: datetime | None = None
    for mark in marks:
        # Earlier activity is not stored; the last one proves that the clock had not suspended the mailbox by then.
        in_use = last_activity is not None and mark.at <= last_activity
        if since is None and not in_use and clock.used > date.min and clock.due() <= mark.at:
            since = clock.due()
        if since is not None:
            if mark.kind not in {FactKind.RESTORED, FactKind.ISSUED}:
                continue
            spans.append(_inactive(since, mark.at, clock))
            since = None
        _move(clock, mark)
    if clock.used > date.min:
        spans.append(_inactive(clock.due() if since is None else since, None, clock))
    return spans


def _move(clock: _Clock, mark: _Mark) -> None:
    match mark.kind:
        case FactKind.ABSENCE:
            clock.absent_until = max(clock.absent_until, mark.day)
            clock.seqs = (*clock.seqs, mark.seq)
        case FactKind.ABSENCE_ENDED:
            if mark.day < clock.absent_until:
                clock.used, clock.absent_until = max(clock.used, mark.day), date.min
                clock.seqs = (mark.seq,)
        case _:
            clock.used = max(clock.used, mark.day)
            clock.seqs = (mark.seq,) if mark.seq else ()


def _inactive(since: datetime, until: datetime | None, clock: _Clock) -> Span:
    start = max(clock.used, clock.absent_until)
    return Span(
        MailboxState.SUSPENDED,
        "7.2.a",
        clock.seqs,
        since,
        until,
        {"cause": SuspensionCause.INACTIVE.value, "counted_from": start.isoformat()},
    )


_MOVES = {
    FactKind.ISSUED,
    FactKind.IMPORTED,
    FactKind.RESTORED,
    FactKind.RETURNED,
    FactKind.ABSENCE,
    FactKind.ABSENCE_ENDED,
}


def _marks(facts: Sequence[Fact], last_activity: datetime | None) -> list[_Mark]:
    marks: list[_Mark] = []
    for fact in facts:
        if fact.kind not in _MOVES:
            continue
        at = fact.effective_at
        if fact.kind in {FactKind.ABSENCE, FactKind.ABSENCE_ENDED}:
            at = max(at, fact.clocked_at)
        day = _last_day(fact) if fact.kind is FactKind.ABSENCE else local_day(at)
        marks.append(_Mark(at, fact.seq, fact.kind, day))
    if last_activity is not None:
        marks.append(_Mark(last_activity, 0, None, local_day(last_activity)))
    return sorted(marks, key=lambda mark: (mark.at, mark.seq))


def _stops(facts: Sequence[Fact]) -> list[tuple[date, date]]:
    """Return the days on which the service was down, overlaps joined, in order."""
    days = sorted((local_day(f.effective_at), _last_day(f)) for f in facts if f.kind is FactKind.CLOCK_STOPPED)
    joined: list[tuple[date, date]] = []
    for first, last in days:
        if joined and first <= add_days(joined[-1][1], 1):
            joined[-1] = (joined[-1][0], max(joined[-1][1], last))
        else:
            joined.append((first, last))
    return joined


def _last_day(fact: Fact) -> date:
    until = fact.text("until")
    return date.fromisoformat(until) if until else local_day(fact.effective_at)
