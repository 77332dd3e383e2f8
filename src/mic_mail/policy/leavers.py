"""The personal mailbox of someone who retires, resigns or leaves for another body (Reg. 6.4.c).

Terms count from the official day, never from the notice. Sending is locked at 00:00 of that day (up to division leaders) or
after one month (department leaders and above); the mailbox is reclaimed after six or twelve months. Notices are read in the
order in which they were recorded: a correction replaces the last leave's day and rank, a withdrawal removes the leave, a return
ends it.

A reclaim that is already overdue when its notice comes waits for `leave.late_grace_days`, once: the first notice that makes it
overdue grants that time. A correction grants no second one, and a reclaim that has happened and is due by the corrected day too
stands. Only a correction by which it is not due yet opens the mailbox again; if the mailbox has been deleted from the server by
then, it opens once its mail is restored.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from mic_mail.policy.calendar import after_days, after_months, local_day, start_of
from mic_mail.policy.facts import Detail, Fact, FactKind, Level
from mic_mail.policy.states import LifecycleSettings, MailboxState, Span

CLAUSE = "6.4.c"


@dataclass(frozen=True, slots=True)
class LeaveTerms:
    """Terms in months from the official day; a lock after 0 months begins at 00:00 of that day."""

    lock_months: int
    reclaim_months: int


TERMS = {
    Level.DIVISION: LeaveTerms(lock_months=0, reclaim_months=6),
    Level.DEPARTMENT: LeaveTerms(lock_months=1, reclaim_months=12),
}


@dataclass(frozen=True, slots=True)
class Leave:
    """One leave: the notice that began it and its corrections; the last one counts."""

    notices: tuple[Fact, ...]
    returned: Fact | None = None

    @property
    def fact(self) -> Fact:
        return self.notices[-1]

    @property
    def level(self) -> Level:
        return _level(self.fact)


def leaves(facts: Sequence[Fact]) -> list[Leave]:
    """Return the leaves recorded by the notices, in order of recording."""
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
                # Issued again to the same person after a reclaim, which counts as a return.
                found[-1] = replace(found[-1], returned=fact)
    return found


def lock_at(leave: Leave, settings: LifecycleSettings) -> datetime:
    day, months = local_day(leave.fact.effective_at), TERMS[leave.level].lock_months
    return after_months(day, months, settings.term_end, settings.rest_day) if months else start_of(day)


def reclaim_at(leave: Leave, settings: LifecycleSettings) -> datetime:
    """Return when the mailbox is reclaimed, by all notices together."""
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
    months = TERMS[_level(notice)].reclaim_months
    return after_months(local_day(notice.effective_at), months, settings.term_end, settings.rest_day)


def leaving(facts: Sequence[Fact], settings: LifecycleSettings) -> list[Span]:
    """Return the spans in which a leaver's mailbox is send-locked and reclaimed."""
    spans: list[Span] = []
    for leave in leaves(facts):
        back = leave.returned
        lock, reclaim = lock_at(leave, settings), reclaim_at(leave, settings)
        params: dict[str, Detail] = {
            "level": leave.level.value,
            "left_on": local_day(leave.fact.effective_at).isoformat(),
        }
        if back is not None and back.effective_at < reclaim:
            spans.append(Span(MailboxState.SEND_LOCKED, CLAUSE, (leave.fact.seq,), lock, back.effective_at, params))
            continue
        again = _issued_again(facts, reclaim)
        spans.append(Span(MailboxState.SEND_LOCKED, CLAUSE, (leave.fact.seq,), lock, again, params))
        spans.append(Span(MailboxState.RECLAIMED, CLAUSE, (leave.fact.seq,), reclaim, again, params))
    return spans


def reclaimed_on_request(facts: Sequence[Fact]) -> list[Span]:
    """Return the spans in which a mailbox of any kind is reclaimed on its unit's request (Reg. 6.1, 6.2)."""
    return [
        Span(
            MailboxState.RECLAIMED,
            "6.2",
            (fact.seq,),
            fact.effective_at,
            _issued_again(facts, fact.effective_at, after=fact.seq),
        )
        for fact in facts
        if fact.kind is FactKind.RECLAIMED and not _was_taken_back(fact, facts)
    ]


def _was_taken_back(reclaimed: Fact, facts: Sequence[Fact]) -> bool:
    """Return whether a reclaim was withdrawn, or the mailbox issued again, before the reclaim's instant.

    A reclaim is in force from its recording, so this happens only if the clock was ahead.
    """
    return any(
        later.kind in {FactKind.RECLAIM_WITHDRAWN, FactKind.ISSUED}
        and later.seq > reclaimed.seq
        and later.effective_at < reclaimed.effective_at
        for later in facts
    )


def stays_reclaimed(facts: Sequence[Fact], spans: Sequence[Span]) -> list[Span]:
    """Return the spans that keep a deleted mailbox reclaimed until it is issued again or restored.

    They hold whatever day, term or calendar is recorded by then: a mailbox opened without its mail would be another one.
    """
    found: list[Span] = []
    for freed in (fact for fact in facts if fact.kind is FactKind.FREED):
        since, until = freed.effective_at, _had_back(facts, freed.seq)
        reclaimed = (span for span in spans if span.state is MailboxState.RECLAIMED and span.since <= since)
        if not any(span.until is None or (until is not None and until <= span.until) for span in reclaimed):
            found.append(Span(MailboxState.RECLAIMED, freed.text("clause") or CLAUSE, (freed.seq,), since, until))
    return found


def _had_back(facts: Sequence[Fact], freed: int) -> datetime | None:
    """Return when a deleted mailbox was opened again; None: not yet.

    It opens by an issue, or by a correction or withdrawal of its leave after its mail was restored.
    """
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
    """Return when the mailbox was issued again after `reclaim`; only a new issue undoes a reclaim."""
    again = (f.effective_at for f in facts if f.kind is FactKind.ISSUED and f.seq > after and f.effective_at >= reclaim)
    return min(again, default=None)


def _level(fact: Fact) -> Level:
    # The use case requires the rank; a stored fact without one gets the longer terms, so that it never locks or reclaims too
    # soon.
    return Level(fact.text("level") or Level.DEPARTMENT)
