"""Reg. 6.4.c: what becomes of the personal mailbox of someone who retires, resigns or leaves for another body.

Everything counts from the official day, never from the notice. Sending is locked at 00:00 of that day (up to division
leaders) or after one month (department leaders and above); the mailbox is reclaimed after six or twelve months.
The notices are read in the order in which they were recorded: a correction replaces the last leave's day and rank, a
withdrawal takes the leave away, a return ends it.

A reclaim that was due already when its notice came waits for `leave.late_grace_days`, once: the first notice that makes it
overdue gives that time. A correction gives no second one, and a reclaim that has happened and is due by the corrected day as
well stays what it is. Only a correction by which it is not due yet opens the mailbox again; if it is deleted from the server
by then, once its mail is back.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from mic_mail.policy.calendar import after_days, after_months, local_day, start_of
from mic_mail.policy.facts import Detail, Fact, FactKind, Level
from mic_mail.policy.states import LifecycleSettings, Span, State

CLAUSE = "6.4.c"


@dataclass(frozen=True, slots=True)
class Terms:
    """Months from the official day; a lock after 0 months comes at its first instant."""

    lock_months: int
    reclaim_months: int


TERMS = {
    Level.DIVISION: Terms(lock_months=0, reclaim_months=6),
    Level.DEPARTMENT: Terms(lock_months=1, reclaim_months=12),
}


@dataclass(frozen=True, slots=True)
class Leave:
    """One leave: the notice that began it, and the corrections; the last of these counts."""

    notices: tuple[Fact, ...]
    returned: Fact | None = None

    @property
    def fact(self) -> Fact:
        return self.notices[-1]

    @property
    def level(self) -> Level:
        return _level(self.fact)


def leaves(facts: Sequence[Fact]) -> list[Leave]:
    """The leaves that the notices, in order of recording, add up to."""
    found: list[Leave] = []
    for fact in facts:
        match fact.kind:
            case FactKind.LEFT if not found or found[-1].returned:
                found.append(Leave((fact,)))
            case FactKind.LEFT | FactKind.LEAVE_CORRECTED if found:
                found[-1] = replace(found[-1], notices=(*found[-1].notices, fact))
            case FactKind.LEAVE_WITHDRAWN if found:
                found.pop()
            case FactKind.RETURNED if found:
                found[-1] = replace(found[-1], returned=fact)
            case FactKind.ISSUED if found and not found[-1].returned:
                # Given again to the same person after a reclaim: as good as a return.
                found[-1] = replace(found[-1], returned=fact)
    return found


def lock_at(leave: Leave, settings: LifecycleSettings) -> datetime:
    """When sending is locked."""
    day, months = local_day(leave.fact.effective_at), TERMS[leave.level].lock_months
    return after_months(day, months, settings.term_end, settings.rest_day) if months else start_of(day)


def reclaim_at(leave: Leave, settings: LifecycleSettings) -> datetime:
    """When the mailbox is reclaimed, by all notices together."""
    reclaim: datetime | None = None
    waits = False
    for notice in leave.notices:
        due, recorded_at = _due(notice, settings), notice.clocked_at
        if due > recorded_at:
            reclaim, waits = due, False
        elif reclaim is not None and reclaim <= recorded_at:  # it has happened, and is due by this notice too
            reclaim = max(reclaim, due)
        elif reclaim is None or not waits:
            reclaim, waits = after_days(local_day(recorded_at), settings.late_grace_days, settings.term_end), True
    assert reclaim is not None, "a leave has a notice"
    return reclaim


def _due(notice: Fact, settings: LifecycleSettings) -> datetime:
    """When the term of one notice is over."""
    months = TERMS[_level(notice)].reclaim_months
    return after_months(local_day(notice.effective_at), months, settings.term_end, settings.rest_day)


def leaving(facts: Sequence[Fact], settings: LifecycleSettings) -> list[Span]:
    """The spans in which a leaver's mailbox is send-locked and reclaimed."""
    spans: list[Span] = []
    for leave in leaves(facts):
        back = leave.returned
        lock, reclaim = lock_at(leave, settings), reclaim_at(leave, settings)
        params: dict[str, Detail] = {
            "level": leave.level.value,
            "left_on": local_day(leave.fact.effective_at).isoformat(),
        }
        if back is not None and back.effective_at < reclaim:
            spans.append(Span(State.SEND_LOCKED, CLAUSE, (leave.fact.seq,), lock, back.effective_at, params))
            continue
        again = _issued_again(facts, reclaim)
        spans.append(Span(State.SEND_LOCKED, CLAUSE, (leave.fact.seq,), lock, again, params))
        spans.append(Span(State.RECLAIMED, CLAUSE, (leave.fact.seq,), reclaim, again, params))
    return spans


def reclaimed_on_request(facts: Sequence[Fact]) -> list[Span]:
    """Reg. 6.1, 6.2: the spans in which a mailbox of any kind is reclaimed because its unit asked for it."""
    return [
        Span(State.RECLAIMED, "6.2", (fact.seq,), fact.effective_at, _issued_again(facts, fact.effective_at, after=fact.seq))
        for fact in facts
        if fact.kind is FactKind.RECLAIMED and not _was_taken_back(fact, facts)
    ]


def _was_taken_back(reclaimed: Fact, facts: Sequence[Fact]) -> bool:
    """Whether a reclaim, which is in force from when it is recorded, was still to come when it was withdrawn, or the mailbox
    was issued again: the clock was ahead."""
    return any(
        later.kind in {FactKind.RECLAIM_WITHDRAWN, FactKind.ISSUED}
        and later.seq > reclaimed.seq
        and later.effective_at < reclaimed.effective_at
        for later in facts
    )


def stays_reclaimed(facts: Sequence[Fact], spans: Sequence[Span]) -> list[Span]:
    """What was deleted from the server stays reclaimed until it is issued again or its mail is back, whatever its day, its term
    or the calendar are said to be by then: a mailbox that opened without its mail would be another one."""
    found: list[Span] = []
    for freed in (fact for fact in facts if fact.kind is FactKind.FREED):
        since, until = freed.effective_at, _had_back(facts, freed.seq)
        reclaimed = (span for span in spans if span.state is State.RECLAIMED and span.since <= since)
        if not any(span.until is None or (until is not None and until <= span.until) for span in reclaimed):
            found.append(Span(State.RECLAIMED, freed.text("clause") or CLAUSE, (freed.seq,), since, until))
    return found


def _had_back(facts: Sequence[Fact], freed: int) -> datetime | None:
    """When a deleted mailbox was opened: by an issue, or by a word on its leave before which its mail came back."""
    returning = False
    for fact in (fact for fact in facts if fact.seq > freed):
        match fact.kind:
            case FactKind.ISSUED | FactKind.IMPORTED:
                return fact.effective_at
            case FactKind.LEAVE_CORRECTED | FactKind.LEAVE_WITHDRAWN if returning:
                return fact.clocked_at
            case FactKind.UNARCHIVED:
                returning = True
    return None


def _issued_again(facts: Sequence[Fact], reclaim: datetime, *, after: int = 0) -> datetime | None:
    """When the mailbox was given to its person again after `reclaim`; only a new issue undoes one."""
    again = (f.effective_at for f in facts if f.kind is FactKind.ISSUED and f.seq > after and f.effective_at >= reclaim)
    return min(again, default=None)


def _level(fact: Fact) -> Level:
    # The use case asks for the rank; a stored fact without one cannot lock or reclaim sooner than the longer terms.
    return Level(fact.text("level") or Level.DEPARTMENT)
