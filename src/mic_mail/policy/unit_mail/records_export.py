"""Export of a unit's mail to the records system (Reg. 11.4). Pure.

Documents are kept there, outside the mail system. In: a mailbox's kind, who holds it, who acts, on whose request. Out: nothing,
or a refusal. The content of a unit's mailbox is not read by the Centre (4.3): the basis is the unit's recorded request, and the
second person is the holder of the mailbox who asks, somebody other than the acting officer. A personal mailbox is opened by
`content ask` only.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date

from mic_mail.errors import Refused, Text
from mic_mail.policy.authorization.content_access import CLAUSE as CONTENT_CLAUSE
from mic_mail.policy.authorization.grounds import must_have_document
from mic_mail.policy.authorization.two_persons import Hand, must_be_two
from mic_mail.policy.facts import MailboxKind

CLAUSE = "11.4"


class ExportRefused(Refused):
    """The export is refused."""


@dataclass(frozen=True, slots=True)
class Selection:
    """The messages to export."""

    folder: str | None = None
    """One folder; None: all folders."""
    since: date | None = None
    """Limits by the day on which a message arrived, on the ministry's calendar; both days are included."""
    until: date | None = None
    passed_on: bool | None = None
    """Only messages passed on to the document system (12.3.c), or only those not passed on; None: both."""

    def has(self, day: date) -> bool:
        return (self.since is None or self.since <= day) and (self.until is None or day <= self.until)


def must_be_exportable(kind: MailboxKind, document: str) -> None:
    """Refuse a personal mailbox, and an export without a document that asks for it."""
    if kind is MailboxKind.PERSONAL:
        raise ExportRefused(
            Text(
                "Nội dung hộp thư cá nhân không xuất theo cách này.",
                "The content of a personal mailbox cannot be exported this way.",
            ),
            clause=CONTENT_CLAUSE,
            remedy=Text("Dùng mic-mail content ask.", "Use mic-mail content ask."),
        )
    asked = Text("Phải có văn bản đề nghị của đơn vị.", "The unit's document is required.")
    must_have_document(document, CLAUSE, asked)


def must_be_asked_for(asker: int, holders: Sequence[Hand], officer: Hand) -> None:
    """Refuse if the person `asker` does not hold the mailbox now, or is the acting officer."""
    holder = next((each for each in holders if each.person_id == asker), None)
    if holder is None:
        raise ExportRefused(
            Text("Người đề nghị không quản lý hộp thư này.", "The person who asks is not the mailbox's keeper now."),
            clause=CLAUSE,
            remedy=Text("Xem: mic-mail mailbox rights.", "See: mic-mail mailbox rights."),
        )
    must_be_two(holder, officer, clause=CONTENT_CLAUSE)
