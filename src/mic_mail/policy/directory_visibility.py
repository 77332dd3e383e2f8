"""What of a mailbox the directory shows to everybody (Reg. 2.6), at an instant and until when.

In: the mailbox's facts, the decision on it. Out: a `Shown`. Pure.

A suspended, locked or due mailbox stays in the book: mail still comes to it (Reg. 7.1), and who went missing from the book
would be known to be suspended. A reclaimed address takes no mail and is not shown. Who has left (Reg. 6.4.c) is shown no more
from the official day on, although the mailbox lasts for months.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from mic_mail.policy.facts import Fact
from mic_mail.policy.leavers import leaves
from mic_mail.policy.lifecycle import Decision


@dataclass(frozen=True, slots=True)
class Visibility:
    """Whether the book has the address, and its person."""

    address: bool
    person: bool
    until: datetime | None
    """When that may change by the clock alone; None: never."""


def visibility(facts: Sequence[Fact], decision: Decision, now: datetime) -> Visibility:
    """Of a personal mailbox; of a unit's or group's, whose people leave without it, only `address` counts."""
    left, instants = False, [decision.valid_until]
    for leave in leaves(facts):
        begins, ends = leave.fact.effective_at, leave.returned.effective_at if leave.returned else None
        left = left or (begins <= now and (ends is None or now < ends))
        instants += [instant for instant in (begins, ends) if instant is not None and instant > now]
    until = min((instant for instant in instants if instant is not None), default=None)
    return Visibility(decision.receives and not left, not left, until)
