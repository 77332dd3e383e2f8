"""Legal holds: an authority's demand to keep a mailbox, until another document lifts it (Reg. 9.2).

In: a mailbox's facts. Out: the holds in force. Pure. A hold changes nothing for the mailbox's person; while it is in force,
nothing of the mailbox is destroyed: expunged messages stay, and a reclaimed mailbox is not freed.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from mic_mail.errors import BadInput, Refused, Text, in_ascii
from mic_mail.policy.facts import Fact, FactKind

CLAUSE = "9.2"


class UnderLegalHold(Refused):
    """The operation would destroy something that must be kept."""

    def __init__(self, address: str) -> None:
        super().__init__(
            Text(f"{address} đang được lưu giữ theo yêu cầu; không được hủy.", f"{in_ascii(address)} is under a legal hold."),
            clause=CLAUSE,
            remedy=Text("Xem: mic-mail mailbox show.", "See: mic-mail mailbox show."),
        )


@dataclass(frozen=True, slots=True)
class Hold:
    """One demand to keep a mailbox."""

    seq: int
    """The number of the fact that recorded it."""
    since: datetime
    document: str
    reason: str


def holds(facts: Sequence[Fact]) -> tuple[Hold, ...]:
    """Return the holds recorded and not lifted.

    A fact that cannot be read may have been one: see `must_keep`.
    """
    on: dict[int, Hold] = {}
    for fact in facts:
        if fact.kind is FactKind.HELD:
            on[fact.seq] = Hold(fact.seq, fact.effective_at, fact.document or "", fact.reason)
        elif fact.kind is FactKind.HOLD_RELEASED:
            lifted = fact.data.get("hold")
            if isinstance(lifted, int):
                on.pop(lifted, None)
    return tuple(on.values())


def must_keep(facts: Sequence[Fact]) -> bool:
    """Return whether nothing may be destroyed; a damaged fact may have been a hold."""
    return bool(holds(facts)) or any(fact.kind is FactKind.UNREADABLE for fact in facts)


def the_hold(on: Sequence[Hold], seq: int | None) -> Hold:
    """Return the hold with this fact number; without a number, the only one."""
    if not on:
        raise BadInput(Text("Không có yêu cầu lưu giữ nào.", "The mailbox is not under a hold."), clause=CLAUSE)
    if seq is None and len(on) > 1:
        known = ", ".join(f"{hold.seq}" for hold in on)
        raise BadInput(
            Text(f"Có nhiều yêu cầu lưu giữ: mục {known}.", f"The mailbox has several holds: facts {known}."),
            clause=CLAUSE,
            remedy=Text("Nêu --hold MỤC.", "Select one with --hold FACT."),
        )
    found = next((hold for hold in on if seq is None or hold.seq == seq), None)
    if found is None:
        raise BadInput(
            Text(f"Mục {seq} không phải yêu cầu lưu giữ còn hiệu lực.", f"Fact {seq} is not an active hold."), clause=CLAUSE
        )
    return found
