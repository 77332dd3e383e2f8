"""The explanation of a mailbox's state: the decision, the facts behind it, and what comes next.

In: a mailbox, an instant. Out: an `Explanation` with two sides, which differ where facts came late or were corrected:
*as known now*, from all facts on record, and *as known then*, from those on record at that instant. Only the last use
is stored: a later one proves that the mailbox was not suspended for inactivity before it. Reads only.
"""

from dataclasses import dataclass
from datetime import datetime

from mic_mail.directory.snapshot import Entry
from mic_mail.policy.facts import Fact, first_broken, known_at
from mic_mail.policy.lifecycle import Decision, LifecycleSettings, decide
from mic_mail.policy.states import BEGINNING, MailboxState, Span


@dataclass(frozen=True, slots=True)
class Side:
    decision: Decision
    cited: tuple[Fact, ...]


@dataclass(frozen=True, slots=True)
class Explanation:
    """The explained state of one mailbox at one instant."""

    entry: Entry
    at: datetime
    known_now: Side
    known_then: Side
    course: tuple[Span, ...]
    """Every span of the mailbox's life in which a rule restricts it, past and to come, as known now."""
    chain_broken_at: int | None
    """The number of the first fact that differs from what was recorded; None: the chain is intact."""

    @property
    def hindsight(self) -> bool:
        """True if state, reasons or next change look different now from how they looked then."""
        return _essence(self.known_now.decision) != _essence(self.known_then.decision)


def explain(entry: Entry, at: datetime, settings: LifecycleSettings) -> Explanation:
    course = entry.timeline(settings)
    return Explanation(
        entry=entry,
        at=at,
        known_now=_side(entry, entry.facts, at, settings),
        known_then=_side(entry, known_at(entry.facts, at), at, settings),
        course=tuple(span for span in course if span.state is not MailboxState.NOT_ISSUED or span.since != BEGINNING),
        chain_broken_at=first_broken(entry.facts),
    )


def _essence(decision: Decision) -> tuple[object, ...]:
    """Return the parts of a decision that a reader sees, without the numbers of the facts behind them."""
    change = decision.next_change
    reasons = {(reason.state, reason.clause, reason.since) for reason in decision.reasons}
    return decision.states, reasons, None if change is None else (change.at, change.states)


def _side(entry: Entry, facts: tuple[Fact, ...], at: datetime, settings: LifecycleSettings) -> Side:
    decision = decide(entry.kind, facts, at, last_activity=entry.last_activity, settings=settings)
    seqs = {seq for reason in decision.reasons for seq in reason.fact_seqs}
    if decision.next_change is not None:
        seqs |= {seq for reason in decision.next_change.begins for seq in reason.fact_seqs}
    return Side(decision, tuple(fact for fact in facts if fact.seq in seqs))
