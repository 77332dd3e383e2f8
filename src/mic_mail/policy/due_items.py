"""What the clock will do to a mailbox within some days, and what it should have done already: the Centre's morning look.

In: the mailbox's spans, how far it has come if it is reclaimed, what stands against its freeing, the notices that are due and
were not sent, two instants. Out: items with instant, clause and, where overdue, why. Pure.
"""

from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from mic_mail.errors import Text
from mic_mail.policy.calendar import LAST_INSTANT, add_days, start_of
from mic_mail.policy.due_notices import Notable
from mic_mail.policy.handover import CLAUSE as HANDOVER
from mic_mail.policy.keeper_succession import Vacancy
from mic_mail.policy.reclamation import OBSTACLES, Course, Obstacle, Stage, keeps_until
from mic_mail.policy.states import FINAL, Span, State

LEAVING = "6.4.c"
SLACK = timedelta(hours=1)
"""The housekeeper comes every ten seconds to its notices and every ten to reclaimed mailboxes; later than this it does not."""


class AutomaticAct(StrEnum):
    """What happens by itself."""

    SEND_LOCK = "send_lock"
    SUSPEND = "suspend"
    RECLAIM = "reclaim"
    PASSWORD_DUE = "password_due"  # noqa: S105 - the name of a deed
    REOPEN = "reopen"
    """A state ends: the return of a leaver on a day to come."""
    NOTICE = "notice"
    ANSWER = "answer"
    """A unit is told what became of what it asked for (Reg. 6.2)."""
    READING = "reading"
    """A mail with requests could not be read yet (Reg. 6.2)."""
    ARCHIVE = "archive"
    FREE = "free"
    TERM_END = "term_end"
    """A keeper's authority ends and nobody is named to follow: no state changes, somebody has to act (Reg. 12.3.d)."""


DEEDS = {
    AutomaticAct.SEND_LOCK: Text("khóa chức năng gửi", "sending is locked"),
    AutomaticAct.SUSPEND: Text("tạm khóa", "suspended"),
    AutomaticAct.RECLAIM: Text("thu hồi", "reclaimed"),
    AutomaticAct.PASSWORD_DUE: Text("phải đổi mật khẩu", "password change due"),
    AutomaticAct.REOPEN: Text("hết hạn chế", "a restriction ends"),
    AutomaticAct.NOTICE: Text("gửi thông báo", "a notice is sent"),
    AutomaticAct.ANSWER: Text("trả lời đơn vị về yêu cầu", "a unit is answered"),
    AutomaticAct.READING: Text("đọc thư có mẫu yêu cầu", "a mail with requests is read"),
    AutomaticAct.ARCHIVE: Text("lưu trữ", "archived"),
    AutomaticAct.FREE: Text("xóa khỏi máy chủ", "deleted from the server"),
    AutomaticAct.TERM_END: Text("hết phân công, chưa có người nhận bàn giao", "the keeper's authority ends, nobody follows"),
}
_BEGINS = {
    State.SEND_LOCKED: AutomaticAct.SEND_LOCK,
    State.SUSPENDED: AutomaticAct.SUSPEND,
    State.RECLAIMED: AutomaticAct.RECLAIM,
    State.PASSWORD_DUE: AutomaticAct.PASSWORD_DUE,
}


@dataclass(frozen=True, slots=True)
class Item:
    """One thing on the list."""

    at: datetime
    deed: AutomaticAct
    clause: str
    overdue: bool = False
    why: Text | None = None
    """What it waits for, or which notice it is."""


def coming(spans: Sequence[Span], now: datetime, until: datetime) -> Iterator[Item]:
    """What begins or ends by the clock after `now` and by `until`."""
    for span in spans:
        if now < span.since <= until and span.state in _BEGINS and _counts(span, spans, span.since):
            yield Item(span.since, _BEGINS[span.state], span.clause)
        if span.until is not None and span.since <= now < span.until <= until and span.state in _BEGINS:
            yield Item(span.until, AutomaticAct.REOPEN, span.clause)


def aftermath(
    reason: Span, way: Course, against: Sequence[Obstacle], now: datetime, until: datetime, *, clock_trusted: bool
) -> Iterator[Item]:
    """What is still to be done about a reclaimed mailbox."""
    if way.stage is Stage.RECLAIMED:
        late = now > reason.since + SLACK
        yield Item(
            reason.since, AutomaticAct.ARCHIVE, reason.clause, late, None if clock_trusted else OBSTACLES[Obstacle.CLOCK]
        )
    elif way.stage is Stage.ARCHIVED and way.due_at is not None and way.due_at <= until:
        standing = [each for each in against if each is not Obstacle.KEPT]
        yield Item(
            way.due_at, AutomaticAct.FREE, reason.clause, now > way.due_at + SLACK, OBSTACLES[standing[0]] if standing else None
        )


def follows_leaving(spans: Sequence[Span], warn_days: Sequence[int], keep_days: int) -> Iterator[Item]:
    """Yield every date that follows from a recorded leave (Reg. 6.4.c): the lock, warnings, the reclaim, and the deletion.

    `warn_days`: how long ahead of the reclaim is warned; `keep_days`: how long the mailbox is kept after it was archived.
    """
    for span in spans:
        if span.clause != LEAVING or span.since >= LAST_INSTANT:
            continue
        if span.state is State.SEND_LOCKED:
            yield Item(span.since, AutomaticAct.SEND_LOCK, span.clause)
        elif span.state is State.RECLAIMED:
            yield from (
                Item(span.since - timedelta(days=days), AutomaticAct.NOTICE, span.clause) for days in sorted(warn_days)[::-1]
            )
            yield Item(span.since, AutomaticAct.RECLAIM, span.clause)
            yield Item(start_of(add_days(keeps_until(span.since, keep_days), 1)), AutomaticAct.FREE, span.clause)


def vacant(vacancies: Iterable[Vacancy], now: datetime, until: datetime) -> Iterator[Item]:
    """Mailboxes of units that have nobody in charge, or are about to."""
    for vacancy in vacancies:
        if vacancy.holds(now) or now < vacancy.since <= until:
            holder = vacancy.last.holder
            why = (
                Text(f"{holder}, đang bàn giao", f"{holder}, a handover runs")
                if vacancy.is_being_filled
                else Text(holder, holder)
            )
            yield Item(vacancy.since, AutomaticAct.TERM_END, HANDOVER, vacancy.holds(now), why)


def unsent(due: Iterable[Notable], sent: Collection[str], now: datetime) -> Iterator[Item]:
    """Notices that should have gone out and did not: the housekeeper does not run, or nobody could be told."""
    for notable in due:
        if notable.key not in sent and now > notable.since + SLACK:
            yield Item(notable.since, AutomaticAct.NOTICE, notable.clause, overdue=True, why=Text(notable.kind, notable.kind))


def waits(since: datetime, deed: AutomaticAct, clause: str, why: str, now: datetime) -> Iterator[Item]:
    """What something stands in the way of: the housekeeper tries again and again."""
    if now > since + SLACK:
        yield Item(since, deed, clause, overdue=True, why=Text(why, why))


def _counts(span: Span, spans: Sequence[Span], instant: datetime) -> bool:
    """Whether a final state does not silence it."""
    return span.state in FINAL or not any(other.state in FINAL and other.holds(instant) for other in spans)
