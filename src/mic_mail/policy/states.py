"""The states of a mailbox and the access that each allows, as a table.

A `Span` says from when until when one rule puts a mailbox into one state, by which clause and from which facts. The rules
(`leavers`, `suspension`, `password_change`) make spans; `lifecycle` selects those that hold at an instant. Spans are half-open,
[since, until), and may overlap: a leaver's mailbox can be suspended as well. A rule may make a span that ends before it begins
(a leave that was over before its lock); it never holds, and the timeline omits it.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from mic_mail.i18n.labels import LabelledEnum
from mic_mail.policy.calendar import FIRST_INSTANT, Period, RestDay, TermEnd
from mic_mail.policy.facts import Detail

BEGINNING = FIRST_INSTANT
"""The beginning of the time in which a mailbox is not issued: no fact comes before."""


class MailboxState(LabelledEnum):
    """The states of a mailbox; suspended, send-locked and password-due may hold together."""

    ACTIVE = "active", "đang hoạt động", "active"
    SEND_LOCKED = "send_locked", "khóa chức năng gửi", "send-locked"
    PASSWORD_DUE = "password_due", "phải đổi mật khẩu", "password change due"
    SUSPENDED = "suspended", "tạm khóa", "suspended"
    RECLAIMED = "reclaimed", "đã thu hồi", "reclaimed"
    NOT_ISSUED = "not_issued", "chưa cấp", "not issued yet"


@dataclass(frozen=True, slots=True)
class AccessRights:
    """The access that a state leaves open.

    Inbound mail, sign-in (IMAP, POP3, web), submission, and the page where a password is changed.
    """

    receives: bool
    signs_in: bool
    sends: bool
    password_page: bool


ACCESS: Mapping[MailboxState, AccessRights] = {
    MailboxState.ACTIVE: AccessRights(receives=True, signs_in=True, sends=True, password_page=True),
    # Reg. 6.4.c
    MailboxState.SEND_LOCKED: AccessRights(receives=True, signs_in=True, sends=False, password_page=True),
    # Reg. 7.3.c: the password page only
    MailboxState.PASSWORD_DUE: AccessRights(receives=True, signs_in=False, sends=False, password_page=True),
    # Reg. 7.1
    MailboxState.SUSPENDED: AccessRights(receives=True, signs_in=False, sends=False, password_page=False),
    # Reg. 6.4.c
    MailboxState.RECLAIMED: AccessRights(receives=False, signs_in=False, sends=False, password_page=False),
    MailboxState.NOT_ISSUED: AccessRights(receives=False, signs_in=False, sends=False, password_page=False),
}

FINAL = (MailboxState.NOT_ISSUED, MailboxState.RECLAIMED)
"""States that override all others."""


@dataclass(frozen=True, slots=True)
class Span(Period):
    """A state that one rule sets for a span of time; if it holds, it is a reason of the decision."""

    state: MailboxState
    clause: str
    fact_seqs: tuple[int, ...]
    since: datetime
    until: datetime | None = None
    params: Mapping[str, Detail] = field(default_factory=dict)


Reason = Span


def holds(state: MailboxState, spans: Iterable[Span], instant: datetime) -> bool:
    """Return whether any span of this state holds at `instant`."""
    return any(span.state is state and span.holds(instant) for span in spans)


def counting(spans: Sequence[Span], instant: datetime) -> tuple[Span, ...]:
    """Return the spans that count at `instant`: those that hold, but a final state overrides all others."""
    present = tuple(span for span in spans if span.holds(instant))
    overriding = (tuple(span for span in present if span.state is final) for final in FINAL)
    return next(filter(None, overriding), present)


@dataclass(frozen=True, slots=True)
class LifecycleSettings:
    """The readings and own policies of the lifecycle; the regulation's figures are constants of the rules."""

    term_end: TermEnd = TermEnd.END_OF_DAY
    """`terms.end` (Reg. 6.4.c, 7.2.a): the point of its last day at which a term ends."""
    rest_day: RestDay | None = None
    """`terms.roll`: moves a term's end from a day of rest to the next working day; None: it does not move.

    The default is None because the acts are automatic.
    """
    late_grace_days: int = 7
    """`leave.late_grace_days`: the days for which a reclaim waits that was overdue when the notice came."""
    breach_document: bool = True
    """`restore.breach_document`: a restore lifts a breach (Reg. 7.2.b) only if it names its document."""
    password_days: int | None = None
    """`auth.password_age` (Reg. 15.2): the life of a password that the person chose; None: unlimited."""
