"""Lifecycle changes that are due within some days or overdue, for the Centre's daily check.

In: the mailbox's spans, its progress if it is reclaimed, the obstacles to its deletion, the notices that are due and not sent,
two instants. Out: items with instant, clause and, if overdue, the reason. Pure.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from mic_mail.errors import Text
from mic_mail.i18n.labels import LabelledEnum
from mic_mail.policy.calendar import LAST_INSTANT, add_days, start_of
from mic_mail.policy.due_notices import Notable, NoticeKind
from mic_mail.policy.reclamation import Course, Obstacle, ReclaimStage, keeps_until
from mic_mail.policy.states import MailboxState, Span, counting
from mic_mail.policy.unit_mail.handover import CLAUSE as HANDOVER
from mic_mail.policy.unit_mail.keeper_succession import Vacancy

LEAVING = "6.4.c"
SLACK = timedelta(hours=1)
"""The delay after which an item counts as overdue.

The housekeeper sends notices every 10 seconds and checks reclaimed mailboxes every 10 minutes, so a longer delay is not normal.
"""


class AutomaticAct(LabelledEnum):
    """Steps that the server takes by itself."""

    SEND_LOCK = "send_lock", "khóa chức năng gửi", "sending is locked"
    SUSPEND = "suspend", "tạm khóa", "suspended"
    RECLAIM = "reclaim", "thu hồi", "reclaimed"
    PASSWORD_DUE = "password_due", "phải đổi mật khẩu", "password change due"
    REOPEN = "reopen", "hết hạn chế", "a restriction ends"
    """A restriction ends: a leaver returns on a future day."""
    NOTICE = "notice", "gửi thông báo", "a notice is sent"
    ANSWER = "answer", "trả lời đơn vị về yêu cầu", "a unit is answered"
    """A unit is notified of the result of its request (Reg. 6.2)."""
    READING = "reading", "đọc thư có mẫu yêu cầu", "request mail is read"
    """A message with requests could not be read yet (Reg. 6.2)."""
    ARCHIVE = "archive", "lưu trữ", "archived"
    FREE = "free", "xóa khỏi máy chủ", "deleted from the server"
    TERM_END = "term_end", "hết phân công, chưa có người nhận bàn giao", "the keeper's term ends without a successor"
    """A keeper's grant ends and no successor is named (Reg. 12.3.d).

    No state changes, but somebody has to act.
    """


_BEGINS = {
    MailboxState.SEND_LOCKED: AutomaticAct.SEND_LOCK,
    MailboxState.SUSPENDED: AutomaticAct.SUSPEND,
    MailboxState.RECLAIMED: AutomaticAct.RECLAIM,
    MailboxState.PASSWORD_DUE: AutomaticAct.PASSWORD_DUE,
}


@dataclass(frozen=True, slots=True)
class DueItem:
    """One line of the list."""

    at: datetime
    deed: AutomaticAct
    clause: str
    overdue: bool = False
    why: Text | None = None
    """The reason for the delay, or the kind of notice."""


def coming(spans: Sequence[Span], now: datetime, until: datetime) -> Iterator[DueItem]:
    """Yield what begins or ends by the clock after `now` and by `until`."""
    for span in spans:
        if now < span.since <= until and span.state in _BEGINS and span in counting(spans, span.since):
            yield DueItem(span.since, _BEGINS[span.state], span.clause)
        if span.until is not None and span.since <= now < span.until <= until and span.state in _BEGINS:
            yield DueItem(span.until, AutomaticAct.REOPEN, span.clause)


def aftermath(
    reason: Span, way: Course, against: Sequence[Obstacle], now: datetime, until: datetime, *, clock_trusted: bool
) -> Iterator[DueItem]:
    """Yield the steps still to be taken for a reclaimed mailbox."""
    if way.stage is ReclaimStage.RECLAIMED:
        late = now > reason.since + SLACK
        yield DueItem(reason.since, AutomaticAct.ARCHIVE, reason.clause, late, None if clock_trusted else Obstacle.CLOCK.label)
    elif way.stage is ReclaimStage.ARCHIVED and way.due_at is not None and way.due_at <= until:
        standing = [each for each in against if each is not Obstacle.KEPT]
        yield DueItem(
            way.due_at, AutomaticAct.FREE, reason.clause, now > way.due_at + SLACK, standing[0].label if standing else None
        )


def follows_leaving(spans: Sequence[Span], warn_days: Sequence[int], keep_days: int) -> Iterator[DueItem]:
    """Yield every date that follows from a recorded leave (Reg. 6.4.c).

    These are the send lock, the warnings, the reclaim, and the deletion. `warn_days`: the days before the reclaim on which to
    warn; `keep_days`: the days for which the mailbox is kept after it was archived.
    """
    for span in spans:
        if span.clause != LEAVING or span.since >= LAST_INSTANT:
            continue
        if span.state is MailboxState.SEND_LOCKED:
            yield DueItem(span.since, AutomaticAct.SEND_LOCK, span.clause)
        elif span.state is MailboxState.RECLAIMED:
            yield from (
                DueItem(span.since - timedelta(days=days), AutomaticAct.NOTICE, span.clause) for days in sorted(warn_days)[::-1]
            )
            yield DueItem(span.since, AutomaticAct.RECLAIM, span.clause)
            yield DueItem(start_of(add_days(keeps_until(span.since, keep_days), 1)), AutomaticAct.FREE, span.clause)


def vacant(vacancies: Iterable[Vacancy], now: datetime, until: datetime) -> Iterator[DueItem]:
    """Yield units' mailboxes that have nobody in charge, or soon will."""
    for vacancy in vacancies:
        if vacancy.holds(now) or now < vacancy.since <= until:
            holder = vacancy.last.holder
            why = (
                Text(f"{holder}, đang bàn giao", f"{holder}, handover in progress")
                if vacancy.is_being_filled
                else Text(holder, holder)
            )
            yield DueItem(vacancy.since, AutomaticAct.TERM_END, HANDOVER, vacancy.holds(now), why)


def unsent(due: Iterable[Notable], sent: Collection[str], names: Mapping[NoticeKind, Text], now: datetime) -> Iterator[DueItem]:
    """Yield overdue notices by their names: the housekeeper does not run, or nobody could be notified."""
    for notable in due:
        if notable.key not in sent and now > notable.since + SLACK:
            yield DueItem(notable.since, AutomaticAct.NOTICE, notable.clause, overdue=True, why=names[notable.kind])


def waits(since: datetime, deed: AutomaticAct, clause: str, why: str, now: datetime) -> Iterator[DueItem]:
    """Yield an overdue step that something prevents; the housekeeper retries it."""
    if now > since + SLACK:
        yield DueItem(since, deed, clause, overdue=True, why=Text(why, why))
