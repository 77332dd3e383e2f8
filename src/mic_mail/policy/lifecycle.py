"""The lifecycle decision: what a mailbox may do at an instant, why, and until when that holds.

A pure function of the mailbox's facts and the time.

In: the mailbox's kind, its facts in order of recording, its person's last activity, the settings, the instant. Out: a
`Decision`. Nothing is stored: every service calls this function, caches the answer until `valid_until`, and calls again once
there is a fact newer than `fact_seq` (Reg. 6.4.c, 7.1-7.3).

A decision may refuse on the clock alone; nothing is ever destroyed on it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from mic_mail.errors import Text, Trouble
from mic_mail.policy.calendar import edges_after
from mic_mail.policy.facts import Fact, FactKind, MailboxKind
from mic_mail.policy.leavers import leaving, reclaimed_on_request, stays_reclaimed
from mic_mail.policy.password_change import password_due
from mic_mail.policy.states import ACCESS, BEGINNING, LifecycleSettings, MailboxState, Reason, Span, counting
from mic_mail.policy.suspension import inactivity, send_locked_by_decision, suspended_by_decision

__all__ = ["Decision", "FactsUnreadable", "LifecycleSettings", "MailboxState", "NextChange", "Reason", "decide", "timeline"]

DEFAULTS = LifecycleSettings()


class FactsUnreadable(Trouble, ValueError):
    """A fact is damaged or was tampered with.

    It may have been a suspension, so nothing is allowed without it and nothing permanently refused.
    """

    def __init__(self) -> None:
        super().__init__(
            Text("Hồ sơ hộp thư có mục không đọc được.", "The mailbox's record contains a fact that cannot be read."),
            remedy=Text(
                "Xem `mic-mail directory check`; lấy lại directory.sqlite từ bản sao lưu.",
                "Run `mic-mail directory check`; restore directory.sqlite from a backup.",
            ),
        )


@dataclass(frozen=True, slots=True)
class NextChange:
    """The next change by the clock alone."""

    at: datetime
    states: frozenset[MailboxState]
    begins: tuple[Reason, ...]
    ends: tuple[Reason, ...]

    @property
    def clause(self) -> str:
        return (self.begins or self.ends)[0].clause


@dataclass(frozen=True, slots=True)
class Decision:
    """The decision for one mailbox at one instant."""

    states: frozenset[MailboxState]
    receives: bool
    signs_in: bool
    sends: bool
    changes_password: bool
    """Set if the person may choose a new password on the page, even while a change is due (Reg. 7.3.c)."""
    reasons: tuple[Reason, ...]
    valid_until: datetime | None
    """The next instant at which the answer changes by the clock alone; None: never."""
    fact_seq: int
    """The number of the newest fact that was read; 0: none."""
    next_change: NextChange | None
    reclaimed_at: datetime | None = None
    """The instant of the next reclaim by the present facts; None: there is none, or it has happened."""

    @property
    def password_change_due(self) -> bool:
        return MailboxState.PASSWORD_DUE in self.states

    def reason(self, state: MailboxState) -> Reason | None:
        """Return the first reason for `state`, if it holds."""
        return next((reason for reason in self.reasons if reason.state is state), None)


def decide(
    kind: MailboxKind,
    facts: Sequence[Fact],
    now: datetime,
    *,
    last_activity: datetime | None = None,
    settings: LifecycleSettings = DEFAULTS,
) -> Decision:
    """Return what the mailbox may do at `now`; `FactsUnreadable` if a fact is damaged or invalid."""
    spans = timeline(kind, facts, last_activity=last_activity, settings=settings)
    reasons = counting(spans, now)
    states = _states(reasons)
    change = _next_change(spans, reasons, now)
    rights = [ACCESS[state] for state in states]
    return Decision(
        states=states,
        receives=all(each.receives for each in rights),
        signs_in=all(each.signs_in for each in rights),
        sends=all(each.sends for each in rights),
        changes_password=all(each.password_page for each in rights),
        reasons=reasons,
        valid_until=None if change is None else change.at,
        fact_seq=facts[-1].seq if facts else 0,
        next_change=change,
        reclaimed_at=min(
            (span.since for span in spans if span.state is MailboxState.RECLAIMED and span.since > now), default=None
        ),
    )


def timeline(
    kind: MailboxKind,
    facts: Sequence[Fact],
    *,
    last_activity: datetime | None = None,
    settings: LifecycleSettings = DEFAULTS,
) -> tuple[Span, ...]:
    """Return every span of the mailbox's life, past and future, in order of beginning.

    `FactsUnreadable` as in `decide`.
    """
    if any(fact.kind is FactKind.UNREADABLE for fact in facts):
        raise FactsUnreadable
    try:
        spans = [
            *_before_issue(facts),
            *(leaving(facts, settings) if kind is MailboxKind.PERSONAL else ()),  # Reg. 6.4.c: personal mailboxes only
            *reclaimed_on_request(facts),
            *suspended_by_decision(facts, settings),
            *inactivity(facts, last_activity, settings),
            *send_locked_by_decision(facts),
            *password_due(facts, settings),
        ]
        spans += stays_reclaimed(facts, spans)
    except (ValueError, OverflowError) as error:  # an invalid detail
        raise FactsUnreadable from error
    lasting = (span for span in spans if span.until is None or span.since < span.until)
    return tuple(sorted(lasting, key=lambda span: (span.since, span.state, span.clause, span.fact_seqs)))


def _before_issue(facts: Sequence[Fact]) -> list[Span]:
    births = (fact.effective_at for fact in facts if fact.kind in {FactKind.ISSUED, FactKind.IMPORTED})
    return [Span(MailboxState.NOT_ISSUED, "6.4.a", (), BEGINNING, min(births, default=None))]


def _states(reasons: Sequence[Reason]) -> frozenset[MailboxState]:
    states = {reason.state for reason in reasons}
    return frozenset(states if states - {MailboxState.PASSWORD_DUE} else {MailboxState.ACTIVE, *states})


def _next_change(spans: Sequence[Span], reasons: tuple[Reason, ...], now: datetime) -> NextChange | None:
    for edge in sorted(edges_after(spans, now)):
        then = counting(spans, edge)
        if then != reasons:
            return NextChange(
                at=edge,
                states=_states(then),
                begins=tuple(reason for reason in then if reason not in reasons),
                ends=tuple(reason for reason in reasons if reason not in then),
            )
    return None
