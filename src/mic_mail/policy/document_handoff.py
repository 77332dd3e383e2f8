"""Reg. 12.3.c: what arrives at a unit's mailbox is passed on to the document system without delay. What was not, since when.

In: the messages of the mailbox, which of them bear the mark, the working calendar. Out: those that wait, with the day by whose
end they were to be passed on. Pure.

The mark is a keyword (a tag) or a folder, whichever a mail program can set; a message that lies in two folders is passed on
when one of its copies is. What a machine wrote, what the mailbox wrote itself, and what its keeper threw away or found to be
junk is nothing to pass on.
"""

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import date, datetime, time

from mic_mail.policy.calendar import ONE_DAY, WorkingDays, local_day
from mic_mail.policy.reply_deadlines import Incoming

CLAUSE = "12.3.c"
DAYS_BACK = 90
"""What came earlier is not asked for any more: a list that nobody can work off urges nobody."""


@dataclass(frozen=True, slots=True)
class Mark:
    """What says that a message was passed on."""

    keywords: frozenset[str]
    """In lower case."""
    folder: str
    """Empty: none."""

    def is_folder(self, name: str) -> bool:
        """Whether a folder is the one that says so, or lies below it."""
        wanted, given = self.folder.casefold(), name.casefold()
        return bool(wanted) and (given == wanted or given.startswith(f"{wanted}/"))


@dataclass(frozen=True, slots=True)
class Arrival:
    """A message as far as it matters."""

    message: Incoming
    passed_on: bool
    counts: bool = True
    """Whether it lies where mail waits; a copy among the junk only shows whether it was passed on."""


def has_to_be(message: Incoming, own: Collection[str]) -> bool:
    """Whether a message is one to pass on at all."""
    return not message.is_automatic and not message.is_from(own)


def waiting(arrivals: Iterable[Arrival], own: Collection[str]) -> list[Incoming]:
    """Those that were not passed on, oldest first; one that lies in two folders waits once."""
    found: dict[str, Incoming] = {}
    done: set[str] = set()
    for number, arrival in enumerate(arrivals):
        message = arrival.message
        key = message.message_id or f"#{number}"
        if arrival.passed_on:
            done.add(key)
        elif arrival.counts and has_to_be(message, own):
            known = found.get(key)
            if known is None or message.received_at < known.received_at:
                found[key] = message
    return sorted((message for key, message in found.items() if key not in done), key=lambda each: each.received_at)


def due_at(message: Incoming, calendar: WorkingDays, days: int, closes: time) -> datetime:
    """The end of office hours of the last working day of the term; 0 days: of the day itself, or of the next one of work."""
    came = local_day(message.received_at)
    if days == 0 and calendar.is_rest(came):
        return calendar.deadline(message.received_at, 1, closes)
    return calendar.deadline(message.received_at, days, closes)


def age(received: datetime, now: datetime, calendar: WorkingDays) -> int:
    """Working days since it came, the day itself not counted."""
    day, today, days = local_day(received), local_day(now), 0
    while day < today:
        day = day + ONE_DAY if day < date.max else today
        days += not calendar.is_rest(day)
    return days
