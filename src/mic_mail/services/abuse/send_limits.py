"""The limits of sending per hour and day, against the use of a stolen password (Reg. 7.2.c).

No hour exceeds its limit, wherever it begins, and nobody waits longer for room than an hour and five minutes; for a day's
limit, a day and an hour. The counts are shared by all processes and survive restarts (`process.send_counters`), so the
time is the wall clock's. Nodes of one database count together (`shared_counters`).
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from mic_mail.config.model import Config
from mic_mail.process.send_counters import NAMES, Amounts, SendCounters, Sums
from mic_mail.services.abuse.shared_counters import SharedCounters

HOUR: Final = "hour"
DAY: Final = "day"


@dataclass(frozen=True, slots=True)
class Ceilings:
    """The amounts that one mailbox may send in an hour and in a day."""

    hour: Amounts
    day: Amounts


def is_bulk_sender(config: Config, address: str) -> bool:
    """Return whether the mailbox of this address may send bulk mail."""
    short = address.removesuffix(f"@{config.server.domain}")
    return not {address, short}.isdisjoint(config.limits.bulk_senders)


def ceilings_of(config: Config, address: str) -> Ceilings:
    """Return the amounts that the mailbox of this address may send."""
    limits, times = config.limits, config.limits.bulk_times if is_bulk_sender(config, address) else 1
    return Ceilings(
        Amounts(limits.messages_per_hour * times, limits.recipients_per_hour * times, limits.octets_per_hour * times),
        Amounts(limits.messages_per_day * times, limits.recipients_per_day * times, limits.octets_per_day * times),
    )


@dataclass(frozen=True, slots=True)
class LimitReached:
    """A ceiling is reached."""

    what: str
    """`messages`, `recipients` or `octets`."""
    span: str
    """`hour` or `day`."""
    limit: int
    room_at: float
    """When there is room again, in seconds since 1970."""


@dataclass(frozen=True, slots=True)
class LimitUse:
    """One ceiling and its use."""

    what: str
    span: str
    taken: int
    limit: int

    @property
    def is_full(self) -> bool:
        return self.taken >= self.limit


class SendLimits:
    """The counts of one server, or of all nodes of a database, for one process."""

    def __init__(self, counts: "SendCounters | SharedCounters") -> None:
        self._counts = counts
        self.is_shared = not isinstance(counts, SendCounters)
        """Set where several nodes count: then a message is counted by `take_with_others`, in a thread."""

    def full(self, mailbox_id: int, wanted: Amounts, ceilings: Ceilings, now: float) -> LimitReached | None:
        """Return the ceiling that `wanted` exceeds, of several the longest lasting; nothing is counted."""
        return self._full(mailbox_id, wanted, ceilings, now, counted=Amounts())

    def take(self, mailbox_id: int, wanted: Amounts, ceilings: Ceilings, now: float) -> LimitReached | None:
        """Count the message, unless it exceeds a ceiling.

        Counted first and checked then: of two concurrent processes both may have to wait, but together they never exceed a
        ceiling.
        """
        self._counts.add(mailbox_id, now, wanted)
        full = self._full(mailbox_id, wanted, ceilings, now, counted=wanted)
        if full is not None:
            self.give_back(mailbox_id, wanted, now)
        return full

    def take_with_others(
        self, mailbox_id: int, message: Amounts, named: int, ceilings: Ceilings, now: float
    ) -> LimitReached | None:
        """Count a message over all nodes, unless it or its recipients exceed a ceiling. Blocking.

        `named` are its recipients, which have been counted in this process. Where they do not fit after all, since others were
        named at other nodes, they are given back with the message. Raises `Unavailable`; the message is counted then.
        """
        assert isinstance(self._counts, SharedCounters)
        self._counts.add(mailbox_id, now, message)
        self._counts.exchange(mailbox_id, now)
        whole = message._replace(recipients=named)
        full = self._full(mailbox_id, whole, ceilings, now, counted=whole)
        if full is not None:
            self.give_back(mailbox_id, whole, now)
            self._counts.exchange(mailbox_id, now)
        return full

    def _full(
        self, mailbox_id: int, wanted: Amounts, ceilings: Ceilings, now: float, *, counted: Amounts
    ) -> LimitReached | None:
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
            found.append(LimitReached(what, span, limit, window.free_at(what, more, limit)))
        return max(found, key=lambda full: full.room_at)

    def give_back(self, mailbox_id: int, amounts: Amounts, at: float) -> None:
        """Take back what was counted at `at` and not sent."""
        self._counts.add(mailbox_id, at, Amounts(-amounts.messages, -amounts.recipients, -amounts.octets))

    def refused(self, mailbox_id: int, messages: int, recipients: int, now: float) -> Amounts:
        """Count a refusal; return how much the mailbox tried to send within the hour, refusals included."""
        self._counts.add(mailbox_id, now, Amounts(messages, recipients), refused=True)
        sums = self._counts.sums(mailbox_id, now)
        return sums.hour.total().plus(sums.refused)


def uses(sums: Sums, ceilings: Ceilings) -> Iterator[LimitUse]:
    """Yield every ceiling with its use."""
    for span, window, limits in ((HOUR, sums.hour, ceilings.hour), (DAY, sums.day, ceilings.day)):
        for what, taken, limit in zip(NAMES, window.total(), limits, strict=True):
            yield LimitUse(what, span, taken, limit)


def _over(taken: Amounts, wanted: Amounts, limits: Amounts, counted: Amounts) -> Iterator[str]:
    """Yield the amounts that do not fit; `counted` is part of `taken`."""
    for what, has, more, limit, own in zip(NAMES, taken, wanted, limits, counted, strict=True):
        # One message always passes: a ceiling below the maximum message size must not block it for good.
        if more and has - own + more > limit and (has > own or what != "octets"):
            yield what
