"""The notices that are due for a mailbox: warnings, changes by the clock, and recorded facts.

In: the mailbox's facts and spans (`lifecycle.timeline`), the configured warning days, the instant. Out: the notices that should
have been sent by now, each with its key, and the next instant at which that can change without a new fact. Pure: the sender
knows by the key whether a notice was sent already.

- Warnings (of a reclaim, a suspension for inactivity, an old password): the smallest configured number of days that has been
  reached. If the server was down, one warning makes up for those missed, as long as the event has not come.
- Events that came or were recorded: always, however late, if that happened after this server began to send notices; an outage
  loses none. An older event is notified for `USEFUL` after it; later it is no longer news.
- A key names its event by its day, so that a corrected date warns anew; a recorded fact is named by its number.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum

from mic_mail.policy.calendar import LAST_INSTANT, local_day
from mic_mail.policy.facts import Fact, FactKind
from mic_mail.policy.states import FINAL, MailboxState, Span, counting, holds
from mic_mail.policy.unit_mail.handover import CLAUSE as HANDOVER
from mic_mail.policy.unit_mail.keeper_succession import Vacancy

USEFUL = timedelta(days=7)
"""The age up to which events from before the server began to send notices are still notified."""
LATE = timedelta(days=1)
"""The delay from which a notice says that it is late, and since when its event has held."""


class NoticeKind(StrEnum):
    """The subjects of notices."""

    RECLAIM_COMING = "reclaim_coming"
    INACTIVITY = "inactivity"
    PASSWORD_ENDING = "password_ending"  # noqa: S105 - the name of a notice
    SEND_LOCKED = "send_locked"
    SUSPENDED = "suspended"
    RECLAIMED = "reclaimed"
    PASSWORD_ENDED = "password_ended"  # noqa: S105 - the name of a notice
    RESTORED = "restored"
    APP_PASSWORD = "app_password"  # noqa: S105 - the name of a notice
    FACTOR_SET = "factor_set"
    FACTOR_REMOVED = "factor_removed"
    ABSENCE_NOTED = "absence_noted"
    TRANSFERRED = "transferred"
    REORGANISED = "reorganised"
    READDRESSED = "readdressed"
    ARCHIVED = "archived"
    FREED = "freed"
    TERM_ENDING = "term_ending"
    TERM_ENDED = "term_ended"


@dataclass(frozen=True, slots=True)
class WarnDays:
    """The days ahead of an event on which owners are warned."""

    reclaim: tuple[int, ...] = (30, 14, 7, 1)
    inactivity: tuple[int, ...] = (30, 14, 7, 1)
    password: tuple[int, ...] = (14, 7, 1)
    term: tuple[int, ...] = (30, 14, 7, 1)
    """Before the end of a keeper's term for which no successor is named."""


@dataclass(frozen=True, slots=True)
class Notable:
    """One notice that is due."""

    kind: NoticeKind
    key: str
    since: datetime
    """The instant from which it should have been sent."""
    span: Span | None = None
    """The span whose beginning it announces, past or future."""
    fact: Fact | None = None
    """The recorded fact that it reports, if any."""
    vacancy: Vacancy | None = None
    """The vacancy that it reports, present or future, if any."""

    def is_late(self, now: datetime) -> bool:
        """Return whether at `now` the event came, or was recorded, `LATE` or longer ago."""
        is_ahead = self.span is not None and self.span.since > now
        return self.vacancy is None and not is_ahead and now - self.since >= LATE

    @property
    def clause(self) -> str:
        """The clause that the notice rests on; "" if its text names one itself."""
        return HANDOVER if self.vacancy is not None else self.span.clause if self.span is not None else ""


@dataclass(frozen=True, slots=True)
class DueNotices:
    """The notices of one mailbox."""

    due: tuple[Notable, ...]
    again_at: datetime | None
    """The instant at which to check next if no fact comes; None: never."""


_RECORDED = {
    FactKind.RESTORED: NoticeKind.RESTORED,
    FactKind.APP_PASSWORD_ADDED: NoticeKind.APP_PASSWORD,
    FactKind.SECOND_FACTOR_SET: NoticeKind.FACTOR_SET,
    FactKind.SECOND_FACTOR_REMOVED: NoticeKind.FACTOR_REMOVED,
    FactKind.ABSENCE: NoticeKind.ABSENCE_NOTED,
    FactKind.TRANSFERRED: NoticeKind.TRANSFERRED,
    FactKind.REORGANISED: NoticeKind.REORGANISED,
    FactKind.READDRESSED: NoticeKind.READDRESSED,
    FactKind.ARCHIVED: NoticeKind.ARCHIVED,
    FactKind.FREED: NoticeKind.FREED,
}
_COME = {
    MailboxState.SEND_LOCKED: NoticeKind.SEND_LOCKED,
    MailboxState.SUSPENDED: NoticeKind.SUSPENDED,
    MailboxState.RECLAIMED: NoticeKind.RECLAIMED,
    MailboxState.PASSWORD_DUE: NoticeKind.PASSWORD_ENDED,
}
_DECIDES = {FactKind.SUSPENDED, FactKind.SENDING_LOCKED, FactKind.RECLAIMED}
"""Facts that put a mailbox into a state directly; all other states come by the clock."""


def due_notices(
    mailbox_id: int,
    facts: Sequence[Fact],
    spans: Sequence[Span],
    now: datetime,
    days: WarnDays,
    *,
    vacancies: Sequence[Vacancy] = (),
    begun: datetime | None = None,
) -> DueNotices:
    """Return the notices of a mailbox that are due at `now`.

    `begun`: the instant at which the server began to send notices; None: it has not yet.
    """
    look = _Look(mailbox_id, {fact.seq: fact for fact in facts}, spans, now, days, begun)
    due = [*look.recorded(facts)]
    for span in spans:
        if span.until is not None and span.until <= now:
            continue
        if span.since > now:
            due += look.ahead(span)
        elif span in counting(spans, now):
            due += look.come(span)
    if not any(holds(final, spans, now) for final in FINAL):
        due += [notable for vacancy in vacancies for notable in look.vacant(vacancy)]
    return DueNotices(tuple(due), min(look.turns, default=None))


def warned_keys(mailbox_id: int, reclaimed_at: datetime, at_most: int = 180) -> list[str]:
    """Return the keys of all possible warnings of a reclaim.

    One of them among the sent notices proves that a warning was sent.
    """
    return [_key(NoticeKind.RECLAIM_COMING, mailbox_id, reclaimed_at, ahead) for ahead in range(1, at_most + 1)]


def recorded_key(mailbox_id: int, fact: Fact) -> str:
    return f"{_RECORDED[fact.kind]}:{mailbox_id}:{fact.seq}"


@dataclass(frozen=True, slots=True)
class _Look:
    """One check of one mailbox; `turns` collects the instants at which the result can change."""

    mailbox_id: int
    by_seq: Mapping[int, Fact]
    spans: Sequence[Span]
    now: datetime
    days: WarnDays
    begun: datetime | None = None
    turns: list[datetime] = field(default_factory=list)

    def is_due(self, since: datetime) -> bool:
        """Return whether an event that came, or was recorded, at `since` is still to be notified."""
        return self.now < since + USEFUL or (self.begun is not None and self.begun <= since)

    def recorded(self, facts: Iterable[Fact]) -> Iterator[Notable]:
        """Yield notices about facts, from the time of recording, whenever the fact takes effect."""
        for fact in facts:
            kind = _RECORDED.get(fact.kind)
            if kind is None:
                continue
            if fact.clocked_at > self.now:  # the clock ran back
                self.turns.append(fact.clocked_at)
            elif self.is_due(fact.clocked_at):
                yield Notable(kind, recorded_key(self.mailbox_id, fact), fact.clocked_at, fact=fact)

    def ahead(self, span: Span) -> Iterator[Notable]:
        """Yield the warning of a future span for the smallest number of days reached.

        The instants at which the other numbers are reached go to `turns`.
        """
        self.turns.append(span.since)
        kind, days = self._warned_of(span)
        if kind is None or span.since >= LAST_INSTANT or span not in counting(self.spans, span.since):
            return
        if kind is NoticeKind.INACTIVITY and holds(MailboxState.SUSPENDED, self.spans, self.now):
            return  # nobody can prevent it now
        begins = {number: span.since - timedelta(days=number) for number in days}
        self.turns.extend(begin for begin in begins.values() if begin > self.now)
        reached = [number for number, begin in begins.items() if begin <= self.now]
        if reached:
            nearest = min(reached)
            yield Notable(kind, _key(kind, self.mailbox_id, span.since, nearest), begins[nearest], span)

    def _warned_of(self, span: Span) -> tuple[NoticeKind | None, Sequence[int]]:
        """Return the warning for a span and its days ahead; None: no warning."""
        if span.state is MailboxState.RECLAIMED and self._decided_by(span) is None:
            return NoticeKind.RECLAIM_COMING, self.days.reclaim
        if span.state is MailboxState.SUSPENDED and self._decided_by(span) is None:
            return NoticeKind.INACTIVITY, self.days.inactivity
        if self._grew_old(span):
            return NoticeKind.PASSWORD_ENDING, self.days.password
        return None, ()

    def come(self, span: Span) -> Iterator[Notable]:
        """Yield the notice of a span that holds, from its beginning or from the recording of its facts."""
        kind = _COME.get(span.state)
        if kind is None or (span.state is MailboxState.PASSWORD_DUE and not self._grew_old(span)):
            return
        known_at = max((self.by_seq[seq].clocked_at for seq in span.fact_seqs if seq in self.by_seq), default=span.since)
        since = max(span.since, known_at)
        if not self.is_due(since):
            return
        decided = self._decided_by(span)
        key = _key(kind, self.mailbox_id, span.since, 0) if decided is None else f"{kind}:{self.mailbox_id}:{decided.seq}"
        yield Notable(kind, key, since, span, decided)

    def vacant(self, vacancy: Vacancy) -> Iterator[Notable]:
        """Yield the notice of a vacancy: ahead unless a handover runs, and while the vacancy lasts.

        It is an alarm, so it does not expire: a server that begins to send notices reports every mailbox without a keeper.
        """
        self.turns.extend(at for at in (vacancy.since, vacancy.until) if at is not None and at > self.now)
        if vacancy.holds(self.now):
            key = _key(NoticeKind.TERM_ENDED, self.mailbox_id, vacancy.since, 0)
            yield Notable(NoticeKind.TERM_ENDED, key, vacancy.since, vacancy=vacancy)
        elif vacancy.since > self.now and not vacancy.is_being_filled:
            begins = {number: vacancy.since - timedelta(days=number) for number in self.days.term}
            self.turns.extend(begin for begin in begins.values() if begin > self.now)
            nearest = min((number for number, begin in begins.items() if begin <= self.now), default=None)
            if nearest is not None:
                key = _key(NoticeKind.TERM_ENDING, self.mailbox_id, vacancy.since, nearest)
                yield Notable(NoticeKind.TERM_ENDING, key, max(begins[nearest], vacancy.last.named_at), vacancy=vacancy)

    def _decided_by(self, span: Span) -> Fact | None:
        """Return the fact that put the mailbox into this state directly; None: the clock did."""
        cited = (self.by_seq.get(seq) for seq in span.fact_seqs)
        return next((fact for fact in cited if fact is not None and fact.kind in _DECIDES), None)

    def _grew_old(self, span: Span) -> bool:
        """Return whether a password change is due because the person's own password is old (Reg. 15.2)."""
        cited = [self.by_seq.get(seq) for seq in span.fact_seqs]
        return span.state is MailboxState.PASSWORD_DUE and all(fact and fact.kind is FactKind.PASSWORD_SET for fact in cited)


def _key(kind: NoticeKind, mailbox_id: int, at: datetime, ahead: int) -> str:
    return f"{kind}:{mailbox_id}:{local_day(at).isoformat()}:{ahead}"
