"""Rules for opening the content of somebody else's mailbox (Reg. 4.3).

A recorded basis and a second person are required.

In: a request to read a mailbox, the officers who act on it, an instant. Out: its state, or a refusal. Pure.

An officer of the Centre asks, with reason and document. Another officer of the Centre, who is neither the same person nor the
mailbox's owner, approves with a document. The officer who asked may then export until the approval expires or is withdrawn.
"""

from dataclasses import dataclass
from datetime import date, datetime
from enum import StrEnum

from mic_mail.errors import Refused, Text
from mic_mail.i18n.labels import LabelledEnum

CLAUSE = "4.3"


class DecisionOutcome(StrEnum):
    """The decision on a request."""

    APPROVED = "approved"
    REFUSED = "refused"


class AccessStage(LabelledEnum):
    """The state of a request."""

    ASKED = "asked", "chờ phê duyệt", "waiting for approval"
    APPROVED = "approved", "đã phê duyệt", "approved"
    REFUSED = "refused", "từ chối", "refused"
    EXPIRED = "expired", "hết hạn", "expired"


class ContentRefused(Refused):
    """The content may not be opened."""


@dataclass(frozen=True, slots=True)
class Scope:
    """The content asked for; nothing else is exported."""

    folder: str | None = None
    """One folder; None: all folders."""
    since: date | None = None
    """Limits by the day on which a message arrived, on the ministry's calendar; both days are included."""
    until: date | None = None
    expunged: bool = False
    """Set if expunged messages that can still be restored are included."""


@dataclass(frozen=True, slots=True)
class ContentDecision:
    """The second person's decision."""

    verdict: DecisionOutcome
    officer: str
    login: str
    """The login name under which the officer worked on the machine."""
    at: datetime
    reason: str
    document: str | None


@dataclass(frozen=True, slots=True)
class Access:
    """One request to open the content of a mailbox."""

    access_id: int
    mailbox_id: int
    address: str
    scope: Scope
    officer: str
    login: str
    asked_at: datetime
    reason: str
    document: str
    decision: ContentDecision | None = None
    expires_at: datetime | None = None
    """The end of an approval."""

    def stage(self, now: datetime) -> AccessStage:
        if self.decision is None:
            return AccessStage.ASKED
        if self.decision.verdict is DecisionOutcome.REFUSED:
            return AccessStage.REFUSED
        return AccessStage.APPROVED if self.expires_at is not None and now < self.expires_at else AccessStage.EXPIRED


def must_be_undecided(access: Access, now: datetime) -> None:
    """Refuse a second decision; asking again makes a new request with a new number."""
    if access.stage(now) is not AccessStage.ASKED:
        raise ContentRefused(
            Text(f"Đề nghị {access.access_id} đã được quyết định.", f"Request {access.access_id} has already been decided."),
            clause=CLAUSE,
        )


def must_be_refusable(access: Access, now: datetime) -> None:
    """Refuse to refuse a closed request; an approval that still holds can be withdrawn."""
    if access.stage(now) not in {AccessStage.ASKED, AccessStage.APPROVED}:
        raise ContentRefused(
            Text(f"Đề nghị {access.access_id} không còn hiệu lực.", f"Request {access.access_id} is already closed."),
            clause=CLAUSE,
        )


_CLOSED = {
    AccessStage.ASKED: Text("chưa được phê duyệt", "is not approved yet"),
    AccessStage.REFUSED: Text("đã bị từ chối", "was refused"),
    AccessStage.EXPIRED: Text("đã hết hạn", "has expired"),
}


def must_be_open(access: Access, officer: str, now: datetime) -> None:
    """Refuse an export that is not approved, or that another officer asked for."""
    stage = access.stage(now)
    if stage is not AccessStage.APPROVED:
        why = _CLOSED[stage]
        raise ContentRefused(
            Text(f"Đề nghị {access.access_id} {why.vi}.", f"Request {access.access_id} {why.en}."),
            clause=CLAUSE,
            remedy=Text("mic-mail content approve, hoặc ask lại.", "mic-mail content approve, or ask again."),
        )
    if officer != access.officer:
        raise ContentRefused(
            Text(f"Chỉ {access.officer}, người đề nghị, được xuất.", "Only the officer who made the request may export."),
            clause=CLAUSE,
        )
