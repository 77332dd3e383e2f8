"""Counters of what each mailbox has sent, shared by all nodes of a database (`queue.sent_amounts`).

In: a mailbox, what it sends, the time. Out: sums over all nodes, as of the last exchange, with what this process has counted
since. They are counted in memory while a message comes, and exchanged once before it is accepted: what two nodes accept
together never passes a limit. Recipients of what never became a message are exchanged soon after.

`SharedCounters` is used as `SendCounters` is, on the loop; exchanges block, and are for threads. One thread at a time exchanges
the amounts of a mailbox, or the answer that was sent first could come last.
"""

import threading
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, NamedTuple

from mic_mail.process.send_counters import (
    LONG_SECONDS,
    LONG_SLOTS,
    SHORT_SECONDS,
    SHORT_SLOTS,
    Amounts,
    Sums,
    Window,
)

if TYPE_CHECKING:  # a server whose mailboxes are files does not load the driver
    from mic_mail.queue.sent_amounts import SentAmounts

EXCHANGE_SECONDS: Final = 5.0
_FORGOTTEN_SECONDS: Final = 3_600.0
_KEPT_SLOTS: Final = LONG_SLOTS * LONG_SECONDS // SHORT_SECONDS


class SentInSlot(NamedTuple):
    """What was sent, and refused, within one slot of time."""

    slot: int
    messages: int = 0
    recipients: int = 0
    octets: int = 0
    refused_messages: int = 0
    refused_recipients: int = 0


@dataclass(slots=True)
class _Mailbox:
    """What this process knows of one mailbox."""

    found: Sums = field(default_factory=Sums)
    """As of the last exchange."""
    counted: dict[int, SentInSlot] = field(default_factory=dict)
    """What this process has counted since, by slot."""
    used_at: float = 0.0
    turn: threading.Lock = field(default_factory=threading.Lock)


class SharedCounters:
    """The counters as one process sees and increments them."""

    def __init__(self, amounts: "SentAmounts") -> None:
        self._amounts = amounts
        self._mailboxes: dict[int, _Mailbox] = {}
        self._lock = threading.Lock()

    def sums(self, mailbox_id: int, now: float) -> Sums:
        """Return what the mailbox has sent lately, as far as this process knows."""
        with self._lock:
            known = self._known(mailbox_id, now)
            return _together(known.found, _sums(known.counted.values(), now), now)

    def totals(self, mailbox_id: int, now: float) -> tuple[Amounts, Amounts]:
        """Return the totals of the hour and the day alone."""
        sums = self.sums(mailbox_id, now)
        return sums.hour.total(), sums.day.total()

    def add(self, mailbox_id: int, now: float, amounts: Amounts, *, refused: bool = False) -> None:
        """Count these amounts; negative ones undo a count at the time at which it was made."""
        slot = int(now // SHORT_SECONDS)
        added = (0, 0, 0, amounts.messages, amounts.recipients) if refused else (*amounts, 0, 0)
        with self._lock:
            counted = self._known(mailbox_id, now).counted
            before = counted.get(slot, SentInSlot(slot))
            counted[slot] = SentInSlot(slot, *(old + new for old, new in zip(before[1:], added, strict=True)))

    def _known(self, mailbox_id: int, now: float) -> _Mailbox:
        known = self._mailboxes.setdefault(mailbox_id, _Mailbox())
        known.used_at = max(known.used_at, now)
        return known

    def exchange(self, mailbox_id: int, now: float) -> None:
        """Pass on what was counted of one mailbox, and learn what others have; after `Unavailable` it is passed on later."""
        with self._lock:
            known = self._known(mailbox_id, now)
        with known.turn:
            with self._lock:
                counted, known.counted = known.counted, {}
            try:
                found = self._amounts.exchange(mailbox_id, sorted(counted.values()), _oldest(now))
            except BaseException:
                with self._lock:
                    for slot, amounts in counted.items():
                        later = known.counted.get(slot, SentInSlot(slot))
                        summed = (old + new for old, new in zip(amounts[1:], later[1:], strict=True))
                        known.counted[slot] = SentInSlot(slot, *summed)
                raise
            with self._lock:
                known.found = _sums(map(SentInSlot._make, found), now)

    def read(self, mailbox_id: int, now: float) -> Sums:
        """Return what all nodes have counted; for a process that counts nothing."""
        return _sums(map(SentInSlot._make, self._amounts.read(mailbox_id, _oldest(now))), now)

    def exchange_all(self, now: float) -> None:
        """Pass on what waits, and forget mailboxes that have sent nothing for a while; every few seconds, and at the end."""
        with self._lock:
            due = [mailbox_id for mailbox_id, known in self._mailboxes.items() if known.counted]
        for mailbox_id in due:
            self.exchange(mailbox_id, now)
        with self._lock:
            for mailbox_id, known in list(self._mailboxes.items()):
                if not known.counted and known.used_at < now - _FORGOTTEN_SECONDS and not known.turn.locked():
                    del self._mailboxes[mailbox_id]

    def has_counted(self) -> bool:
        """Return whether anything waits to be passed on."""
        with self._lock:
            return any(known.counted for known in self._mailboxes.values())

    def close(self) -> None:
        self._amounts.close()


def _oldest(now: float) -> int:
    return int(now // SHORT_SECONDS) - _KEPT_SLOTS


def _sums(slots: Iterable[SentInSlot], now: float) -> Sums:
    """Return the amounts that count now, near ones in the future too: clocks differ."""
    hour, day = int(now // SHORT_SECONDS), int(now // LONG_SECONDS)
    short: dict[int, Amounts] = {}
    long: dict[int, Amounts] = {}
    refused = Amounts()
    for slot, messages, recipients, octets, refused_messages, refused_recipients in slots:
        amounts, number = Amounts(messages, recipients, octets), slot * SHORT_SECONDS // LONG_SECONDS
        if abs(slot - hour) < SHORT_SLOTS:
            short[slot] = amounts
            refused = refused.plus(Amounts(refused_messages, refused_recipients))
        if abs(number - day) < LONG_SLOTS:
            long[number] = long.get(number, Amounts()).plus(amounts)
    return Sums(_window(SHORT_SECONDS, SHORT_SLOTS, short), _window(LONG_SECONDS, LONG_SLOTS, long), refused)


def _window(seconds: int, slots: int, taken: dict[int, Amounts]) -> Window:
    return Window(seconds, slots, tuple(sorted(taken.items())))


def _together(found: Sums, counted: Sums, now: float) -> Sums:
    """Return the sum of what was found and what was counted since, of what was found only what still counts."""
    return Sums(
        _joined(found.hour, counted.hour, int(now // SHORT_SECONDS)),
        _joined(found.day, counted.day, int(now // LONG_SECONDS)),
        found.refused.plus(counted.refused),
    )


def _joined(found: Window, counted: Window, present: int) -> Window:
    taken = {number: amounts for number, amounts in found.taken if abs(number - present) < found.slots}
    for number, amounts in counted.taken:
        taken[number] = taken[number].plus(amounts) if number in taken else amounts
    return _window(found.seconds, found.slots, taken)
