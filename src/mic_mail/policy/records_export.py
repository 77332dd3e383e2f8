"""Reg. 11.4: documents are kept in a records system outside the mail system. Who may take a unit's mail out to there. Pure.

In: a mailbox's kind, who holds it, who acts, on whose request. Out: nothing, or a refusal. What a unit's mailbox holds is
content that the Centre does not read (4.3): the basis is the request of the unit on record, and the second person is who holds
the mailbox and asks for it, another one than the officer who acts. A personal mailbox opens by `content ask` alone.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date

from mic_mail.errors import Refused, Text
from mic_mail.policy.content_access import CLAUSE as CONTENT_CLAUSE
from mic_mail.policy.facts import MailboxKind
from mic_mail.policy.grounds import must_have_document
from mic_mail.policy.two_persons import Hand, must_be_two

CLAUSE = "11.4"


class ExportRefused(Refused):
    """The mail stays where it is."""


@dataclass(frozen=True, slots=True)
class Selection:
    """What is taken out."""

    folder: str | None = None
    """One folder; None: all of them."""
    since: date | None = None
    """By the day on which a message came, on the ministry's calendar; both days belong to it."""
    until: date | None = None
    passed_on: bool | None = None
    """Only what was passed on to the document system (12.3.c), only what was not; None: both."""

    def has(self, day: date) -> bool:
        """Whether mail that came on a day is among it."""
        return (self.since is None or self.since <= day) and (self.until is None or day <= self.until)


def must_be_exportable(kind: MailboxKind, document: str) -> None:
    """Refuse a personal mailbox, and an export that no document asks for."""
    if kind is MailboxKind.PERSONAL:
        raise ExportRefused(
            Text(
                "Nội dung hộp thư cá nhân không xuất theo cách này.",
                "The content of a personal mailbox is not exported this way.",
            ),
            clause=CONTENT_CLAUSE,
            remedy=Text("Dùng mic-mail content ask.", "Use mic-mail content ask."),
        )
    asked = Text("Phải có văn bản đề nghị của đơn vị.", "The document by which the unit asks for it is needed.")
    must_have_document(document, CLAUSE, asked)


def must_be_asked_for(asker: int, holders: Sequence[Hand], officer: Hand) -> None:
    """Refuse where `asker` (a person) does not hold the mailbox now, or is the officer who acts."""
    holder = next((each for each in holders if each.person_id == asker), None)
    if holder is None:
        raise ExportRefused(
            Text("Người đề nghị không quản lý hộp thư này.", "Who asks for it is not in charge of the mailbox now."),
            clause=CLAUSE,
            remedy=Text("Xem: mic-mail mailbox rights.", "See: mic-mail mailbox rights."),
        )
    must_be_two(holder, officer, clause=CONTENT_CLAUSE)
