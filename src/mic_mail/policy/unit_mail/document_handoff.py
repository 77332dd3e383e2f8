"""Mail of a unit's mailbox not yet passed on to the document system (Reg. 12.3.c).

The clause requires that it is passed on without delay.

In: the messages of the mailbox, which of them bear the mark, the working calendar. Out: those that wait, with the day by whose
end they should have been passed on. Pure.

The mark is a keyword (a tag) or a folder, whichever a mail program can set. A message that lies in two folders is passed on if
one of its copies is. Automatic mail, mail that the mailbox wrote itself, and mail that its keeper deleted or marked as junk
need not be passed on.
"""

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import date, datetime, time

from mic_mail.policy.calendar import ONE_DAY, WorkingDays, local_day
from mic_mail.policy.unit_mail.reply_deadlines import IncomingMail, not_done

CLAUSE = "12.3.c"
DAYS_BACK = 90
"""The age in days beyond which messages are not reported; a list too long to work off is ignored."""


@dataclass(frozen=True, slots=True)
class HandoffMark:
    """The mark of a message that was passed on."""

    keywords: frozenset[str]
    """In lower case."""
    folder: str
    """Empty: no folder."""

    def is_folder(self, name: str) -> bool:
        """Return whether a folder is the marking folder or lies below it."""
        wanted, given = self.folder.casefold(), name.casefold()
        return bool(wanted) and (given == wanted or given.startswith(f"{wanted}/"))


@dataclass(frozen=True, slots=True)
class HandoffMessage:
    """A message with the facts that matter here."""

    message: IncomingMail
    passed_on: bool
    counts: bool = True
    """Set if it lies where mail waits; a copy in the junk folder only shows whether it was passed on."""


def has_to_be(message: IncomingMail, own: Collection[str]) -> bool:
    """Return whether a message needs to be passed on at all."""
    return not message.is_automatic and not message.is_from(own)


def waiting(arrivals: Iterable[HandoffMessage], own: Collection[str]) -> list[IncomingMail]:
    """Return the messages not passed on, oldest first; one that lies in two folders appears once."""
    return not_done(
        (each.message, each.passed_on) for each in arrivals if each.passed_on or (each.counts and has_to_be(each.message, own))
    )


def due_at(message: IncomingMail, calendar: WorkingDays, days: int, closes: time) -> datetime:
    """Return the end of office hours of the term's last working day.

    0 days: of the day itself, or of the next working day.
    """
    came = local_day(message.received_at)
    if days == 0 and calendar.is_rest(came):
        return calendar.deadline(message.received_at, 1, closes)
    return calendar.deadline(message.received_at, days, closes)


def age(received: datetime, now: datetime, calendar: WorkingDays) -> int:
    """Return the working days since arrival, the day itself not counted."""
    day, today, days = local_day(received), local_day(now), 0
    while day < today:
        day = day + ONE_DAY if day < date.max else today
        days += not calendar.is_rest(day)
    return days
