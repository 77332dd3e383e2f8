"""Mail that waits for an answer, and until when: within 2 working days (Reg. 12.4).

In: a message's own data (`IncomingMail`), whose mailbox it is in, which messages its people have answered. Out: whether an
answer is due, and when. Pure.

A message counts as answered if a message of the mailbox, or of somebody who may use it, names it in In-Reply-To or References
(RFC 5322 §3.6.4), or if a mail program has marked it as answered: some leave no other trace (POP3, a sent copy kept on the PC).
"""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, time
from enum import StrEnum

from mic_mail.policy.calendar import WorkingDays

CLAUSE = "12.4"
WORKING_DAYS = 2
DAYS_BACK = 30
"""The age in days beyond which messages are not reported; a list too long to work off is ignored."""

_NOBODY = frozenset({"noreply", "no-reply", "donotreply", "do-not-reply", "no_reply", "mailer-daemon"})
"""Local parts of senders that read no answers."""
_BULK = frozenset({"bulk", "list", "junk"})


class Addressed(StrEnum):
    """Setting `reply.addressed`: the recipients that have to answer."""

    TO = "to"
    TO_AND_CC = "to_and_cc"


@dataclass(frozen=True, slots=True)
class ReplySettings:
    """The configured reading of the clause."""

    addressed: Addressed = Addressed.TO
    skip_bulk: bool = True
    own_unit: bool = True
    closes: time = time(17, 30)


@dataclass(frozen=True, slots=True)
class IncomingMail:
    """A message with the facts that matter here; addresses and field names in lower case."""

    message_id: str
    sender: str
    to: frozenset[str]
    cc: frozenset[str]
    received_at: datetime
    is_marked: bool
    """Marked as \\Answered or $Answered."""
    is_automatic: bool
    is_foreign: bool = False
    """Set if it was delivered here without a sign-in, so that anybody may have written its From."""

    def is_from(self, own: Collection[str]) -> bool:
        """Return whether one of these addresses of this server wrote it, and not somebody who claims so."""
        return self.sender in own and not self.is_foreign


def is_automatic(fields: Mapping[str, str], sender: str) -> bool:
    """Return whether nobody waits for an answer to a message.

    That holds for automatic mail, lists, bulk mail, reports of delivery and reading, and senders that read nothing (RFC 3834
    §5, RFC 2919, RFC 2369, RFC 3462, RFC 8098). `fields`: the first field of each name, in lower case.
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


def owes_answer(message: IncomingMail, own: Collection[str], unit: Collection[str], settings: ReplySettings) -> bool:
    """Return whether the mailbox with the addresses `own` has to answer.

    `unit`: the addresses of the same unit's mailboxes.
    """
    named = message.to | message.cc if settings.addressed is Addressed.TO_AND_CC else message.to
    return (
        not named.isdisjoint(own)
        and message.sender not in own
        and not (settings.skip_bulk and message.is_automatic)
        and (settings.own_unit or message.sender not in unit)
    )


def is_answered(message: IncomingMail, named: Collection[str]) -> bool:
    """Return whether somebody has answered; `named`: the message ids that answers name."""
    return message.is_marked or (bool(message.message_id) and message.message_id in named)


def due_at(message: IncomingMail, calendar: WorkingDays, closes: time) -> datetime:
    """Return the end of office hours of the 2nd working day after arrival."""
    return calendar.deadline(message.received_at, WORKING_DAYS, closes)


def unanswered(
    messages: Iterable[IncomingMail],
    own: Collection[str],
    unit: Collection[str],
    named: Collection[str],
    settings: ReplySettings,
) -> list[IncomingMail]:
    """Return the messages that wait for an answer, oldest first; one in two folders appears once."""
    owed = (message for message in messages if owes_answer(message, own, unit, settings))
    return not_done((message, is_answered(message, named)) for message in owed)


def not_done(messages: Iterable[tuple[IncomingMail, bool]]) -> list[IncomingMail]:
    """Return the messages of which no copy is done, oldest first; of several copies the oldest."""
    waiting: dict[str, IncomingMail] = {}
    done: set[str] = set()
    for number, (message, is_done) in enumerate(messages):
        key = message.message_id or f"#{number}"
        if is_done:
            done.add(key)
        elif key not in waiting or message.received_at < waiting[key].received_at:
            waiting[key] = message
    return sorted((each for key, each in waiting.items() if key not in done), key=lambda each: each.received_at)
