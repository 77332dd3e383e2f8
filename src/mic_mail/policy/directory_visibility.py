"""The part of a mailbox that the directory shows to everybody (Reg. 2.6), at an instant.

In: the mailbox's facts, the decision on it. Out: a `Visibility`, with the instant until which it holds. Pure.

A suspended, locked or due mailbox stays in the address book: mail still reaches it (Reg. 7.1), and a missing entry would reveal
the suspension. A reclaimed address takes no mail and is not shown. A leaver (Reg. 6.4.c) is not shown from the official day on,
although the mailbox lasts for months.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from mic_mail.policy.facts import Fact
from mic_mail.policy.leavers import leaves
from mic_mail.policy.lifecycle import Decision


@dataclass(frozen=True, slots=True)
class Visibility:
    """The parts of a mailbox that the address book shows: its address, its person."""

    address: bool
    person: bool
    until: datetime | None
    """The instant at which the clock alone may change that; None: never."""


def visibility(facts: Sequence[Fact], decision: Decision, now: datetime) -> Visibility:
    """Return the visibility of a mailbox at `now`.

    For a unit's or group's mailbox only `address` counts: its people leave without it.
    """
    left, instants = False, [decision.valid_until]
    for leave in leaves(facts):
        begins, ends = leave.fact.effective_at, leave.returned.effective_at if leave.returned else None
        left = left or (begins <= now and (ends is None or now < ends))
        instants += [instant for instant in (begins, ends) if instant is not None and instant > now]
    until = min((instant for instant in instants if instant is not None), default=None)
    return Visibility(decision.receives and not left, not left, until)
