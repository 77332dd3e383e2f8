"""Reg. 12.4: units and individuals answer mail within 2 working days. Which mail waits for an answer, and until when.

In: what a message says of itself (`Incoming`), whose mailbox it is in, which messages its people have answered. Out: whether an
answer is owed and when it is due. Pure.

Answered is what a message of the mailbox, or of somebody who may use it, names in In-Reply-To or References (RFC 5322 §3.6.4),
and what a mail program has marked as answered: some leave no other trace (POP3, a sent copy kept on the PC).
"""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, time
from enum import StrEnum

from mic_mail.policy.calendar import WorkingDays

CLAUSE = "12.4"
WORKING_DAYS = 2
DAYS_BACK = 30
"""What came earlier is not asked for any more: a list that nobody can work off urges nobody."""

_NOBODY = frozenset({"noreply", "no-reply", "donotreply", "do-not-reply", "no_reply", "mailer-daemon"})
"""Local parts of senders that read no answers."""
_BULK = frozenset({"bulk", "list", "junk"})


class Addressed(StrEnum):
    """Setting `reply.addressed`: who owes an answer."""

    TO = "to"
    TO_AND_CC = "to_and_cc"


@dataclass(frozen=True, slots=True)
class ReplySettings:
    """How the clause is read here."""

    addressed: Addressed = Addressed.TO
    skip_bulk: bool = True
    own_unit: bool = True
    closes: time = time(17, 30)


@dataclass(frozen=True, slots=True)
class Incoming:
    """A message as far as it matters; addresses and names of fields in lower case."""

    message_id: str
    sender: str
    to: frozenset[str]
    cc: frozenset[str]
    received_at: datetime
    is_marked: bool
    """\\Answered or $Answered."""
    is_automatic: bool
    is_foreign: bool = False
    """It was delivered here and nobody had signed in to send it: anybody may have written what stands in From."""

    def is_from(self, own: Collection[str]) -> bool:
        """Whether one of these addresses, which are of this server, wrote it, and not only somebody who says so."""
        return self.sender in own and not self.is_foreign


def is_automatic(fields: Mapping[str, str], sender: str) -> bool:
    """Whether nobody waits for an answer: automatic mail, lists, bulk mail, reports of delivery and reading, senders that read
    nothing (RFC 3834 §5, RFC 2919, RFC 2369, RFC 3462, RFC 8098). `fields`: the first of each name, in lower case.
    """
    return (
        fields.get("auto-submitted", "no").partition(";")[0].strip() != "no"
        or any(name in fields for name in ("list-id", "list-post", "list-unsubscribe"))
        or fields.get("precedence", "").strip() in _BULK
        or fields.get("content-type", "").strip().startswith("multipart/report")
        or fields.get("return-path", "").strip() == "<>"
        or not sender
        or sender.partition("@")[0] in _NOBODY
    )


def owes_answer(message: Incoming, own: Collection[str], unit: Collection[str], settings: ReplySettings) -> bool:
    """Whether the mailbox with the addresses `own` has to answer; `unit`: the addresses of the same unit's mailboxes."""
    named = message.to | message.cc if settings.addressed is Addressed.TO_AND_CC else message.to
    return (
        not named.isdisjoint(own)
        and message.sender not in own
        and not (settings.skip_bulk and message.is_automatic)
        and (settings.own_unit or message.sender not in unit)
    )


def is_answered(message: Incoming, named: Collection[str]) -> bool:
    """Whether somebody has; `named`: the message ids that answers name."""
    return message.is_marked or (bool(message.message_id) and message.message_id in named)


def due_at(message: Incoming, calendar: WorkingDays, closes: time) -> datetime:
    """The end of office hours of the 2nd working day after it came."""
    return calendar.deadline(message.received_at, WORKING_DAYS, closes)


def unanswered(
    messages: Iterable[Incoming], own: Collection[str], unit: Collection[str], named: Collection[str], settings: ReplySettings
) -> list[Incoming]:
    """Those that wait for an answer, oldest first; a message that lies in two folders waits once."""
    waiting: dict[str, Incoming] = {}
    answered: set[str] = set()
    for number, message in enumerate(messages):
        if not owes_answer(message, own, unit, settings):
            continue
        key = message.message_id or f"#{number}"
        if is_answered(message, named):
            answered.add(key)
        elif key not in waiting or message.received_at < waiting[key].received_at:
            waiting[key] = message
    return sorted((each for key, each in waiting.items() if key not in answered), key=lambda each: each.received_at)
