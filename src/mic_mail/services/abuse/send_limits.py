"""How much a mailbox may send in an hour and in a day: what a stolen password is good for before somebody looks (Reg. 7.2.c).

In: whose mailbox, what it wants to send, the ceilings, the time. Out: counted, or `Full`: which ceiling, and when there is
room. No hour sees more than its limit, wherever it begins, and nobody waits longer than an hour and five minutes for it; of a
day likewise, and an hour. The same in all processes and over restarts (`process.sentcounts`), so the time is the wall's.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from mic_mail.process.send_counters import NAMES, Amounts, SentCounts, Sums
from mic_mail.services.settings.ceilings import Ceilings

HOUR: Final = "hour"
DAY: Final = "day"


@dataclass(frozen=True, slots=True)
class Full:
    """A ceiling is reached."""

    what: str
    """`messages`, `recipients` or `octets`."""
    span: str
    """`hour` or `day`."""
    limit: int
    room_at: float
    """From when on there is room, in seconds since 1970."""


@dataclass(frozen=True, slots=True)
class Use:
    """One ceiling, and what of it is taken."""

    what: str
    span: str
    taken: int
    limit: int

    @property
    def is_full(self) -> bool:
        return self.taken >= self.limit


class Rates:
    """The counts of one server, as one process asks for them."""

    def __init__(self, counts: SentCounts) -> None:
        self._counts = counts

    def full(self, mailbox_id: int, wanted: Amounts, ceilings: Ceilings, now: float) -> Full | None:
        """The ceiling that `wanted` does not fit under; of several the one that lasts longest. Nothing is counted."""
        return self._full(mailbox_id, wanted, ceilings, now, counted=Amounts())

    def take(self, mailbox_id: int, wanted: Amounts, ceilings: Ceilings, now: float) -> Full | None:
        """Count it, unless it does not fit. Counted first and looked at then: of two processes at once both may be told to
        wait, but they never pass a ceiling together."""
        self._counts.add(mailbox_id, now, wanted)
        full = self._full(mailbox_id, wanted, ceilings, now, counted=wanted)
        if full is not None:
            self.give_back(mailbox_id, wanted, now)
        return full

    def _full(self, mailbox_id: int, wanted: Amounts, ceilings: Ceilings, now: float, *, counted: Amounts) -> Full | None:
        hour, day = self._counts.totals(mailbox_id, now)
        over = [(HOUR, what) for what in _over(hour, wanted, ceilings.hour, counted)]
        over += [(DAY, what) for what in _over(day, wanted, ceilings.day, counted)]
        if not over:
            return None
        sums = self._counts.sums(mailbox_id, now)
        found = []
        for span, what in over:
            window, limits = (sums.hour, ceilings.hour) if span == HOUR else (sums.day, ceilings.day)
            more, limit = getattr(wanted, what) - getattr(counted, what), getattr(limits, what)
            found.append(Full(what, span, limit, window.free_at(what, more, limit)))
        return max(found, key=lambda full: full.room_at)

    def give_back(self, mailbox_id: int, amounts: Amounts, at: float) -> None:
        """What was counted `at` that time was not sent after all."""
        self._counts.add(mailbox_id, at, Amounts(-amounts.messages, -amounts.recipients, -amounts.octets))

    def refused(self, mailbox_id: int, messages: int, recipients: int, now: float) -> Amounts:
        """Count what was refused; how much the mailbox has tried to send within the hour, the refused included."""
        self._counts.add(mailbox_id, now, Amounts(messages, recipients), refused=True)
        sums = self._counts.sums(mailbox_id, now)
        return sums.hour.total().plus(sums.refused)


def uses(sums: Sums, ceilings: Ceilings) -> Iterator[Use]:
    """Every ceiling with what is taken of it."""
    for span, window, limits in ((HOUR, sums.hour, ceilings.hour), (DAY, sums.day, ceilings.day)):
        for what, taken, limit in zip(NAMES, window.total(), limits, strict=True):
            yield Use(what, span, taken, limit)


def _over(taken: Amounts, wanted: Amounts, limits: Amounts, counted: Amounts) -> Iterator[str]:
    """What does not fit; `counted` is in what is taken already."""
    for what, has, more, limit, own in zip(NAMES, taken, wanted, limits, counted, strict=True):
        # One message passes always: a ceiling below the largest one must not keep it out for good.
        if more and has - own + more > limit and (has > own or what != "octets"):
            yield what
