"""Reg. 12.3.d: a unit's mailbox is handed over as it stands, with its password, to the person whom the head of the unit names.

In: a mailbox's facts. Out: its handovers in order, the one that runs, what nobody may do meanwhile. Pure.

A handover runs from the fact that began it until the one that finished or cancelled it. While it runs nothing of the mailbox
may be expunged, moved out of its folder, renamed or deleted, nor marked for that, whoever asks: what was counted has to be
there when the successor takes over. Mail comes and is read, answered and filed by copies as on any day.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime
from enum import StrEnum

from mic_mail.errors import Refused, Text, in_ascii
from mic_mail.policy.facts import Fact, FactKind
from mic_mail.policy.legal_holds import must_keep

CLAUSE = "12.3.d"

WITHHELD = "xte"
"""Rights of RFC 4314 that nobody holds meanwhile: deleting or renaming a folder, setting \\Deleted, expunging, moving."""


class Standing(StrEnum):
    """How far a handover has come."""

    BEGUN = "begun"
    """Nothing is expunged any more; the inventory is not taken yet, or a kill came before its end."""
    COUNTED = "counted"
    FINISHED = "finished"
    CANCELLED = "cancelled"


STANDINGS = {
    Standing.BEGUN: Text("chưa kiểm kê xong", "inventory not complete"),
    Standing.COUNTED: Text("đang bàn giao", "running"),
    Standing.FINISHED: Text("đã bàn giao", "finished"),
    Standing.CANCELLED: Text("đã hủy", "cancelled"),
}


class BeingHandedOver(Refused):
    """Something would be destroyed, or another handover begun, while one runs."""

    def __init__(self, address: str) -> None:
        super().__init__(
            Text(
                f"{address} đang được bàn giao; phải giữ nguyên trạng.",
                f"{in_ascii(address)} is being handed over and stays as it is.",
            ),
            clause=CLAUSE,
            remedy=Text("Xem: mic-mail handover show.", "See: mic-mail handover show."),
        )


@dataclass(frozen=True, slots=True)
class Handover:
    """One handover of one mailbox."""

    begun: Fact
    counted: Fact | None = None
    """The newest inventory."""
    ended: Fact | None = None

    @property
    def seq(self) -> int:
        """Its number: that of the fact that began it."""
        return self.begun.seq

    @property
    def standing(self) -> Standing:
        if self.ended is not None:
            return Standing.FINISHED if self.ended.kind is FactKind.HANDOVER_FINISHED else Standing.CANCELLED
        return Standing.BEGUN if self.counted is None else Standing.COUNTED

    @property
    def is_running(self) -> bool:
        return self.ended is None

    @property
    def successor_id(self) -> int:
        """The person who takes over; 0 where the fact makes no sense."""
        person = self.begun.data.get("person")
        return person if isinstance(person, int) else 0

    @property
    def successor(self) -> str:
        """The address of that person's own mailbox as it was recorded."""
        return self.begun.text("holder") or ""

    @property
    def predecessor(self) -> str | None:
        """Likewise of who was in charge before; None: nobody was on record."""
        return self.begun.text("from_holder")

    @property
    def until(self) -> date | None:
        """The last day of the successor's term."""
        return _day(self.begun, "until")

    @property
    def named_on(self) -> date | None:
        """The day of the document by which the head named the successor."""
        return _day(self.begun, "named_on")

    @property
    def since(self) -> datetime:
        return self.begun.effective_at


def handovers(facts: Sequence[Fact]) -> tuple[Handover, ...]:
    """All that were ever begun, in order."""
    found: dict[int, Handover] = {}
    for fact in facts:
        if fact.kind is FactKind.HANDOVER_BEGUN:
            found[fact.seq] = Handover(fact)
            continue
        of = fact.data.get("handover")
        known = found.get(of) if isinstance(of, int) else None
        if known is None or not known.is_running:
            continue
        if fact.kind is FactKind.HANDOVER_COUNTED:
            found[known.seq] = replace(known, counted=fact)
        elif fact.kind in {FactKind.HANDOVER_FINISHED, FactKind.HANDOVER_CANCELLED}:
            found[known.seq] = replace(known, ended=fact)
    return tuple(found.values())


def running(facts: Sequence[Fact]) -> Handover | None:
    """The one that runs now."""
    return next((each for each in reversed(handovers(facts)) if each.is_running), None)


def withheld(facts: Sequence[Fact]) -> str:
    """The rights that nobody holds now because of a handover."""
    return WITHHELD if running(facts) is not None else ""


def nothing_may_go(facts: Sequence[Fact]) -> bool:
    """Whether what is expunged has to be kept: by a legal hold (Reg. 9.2), a handover, or a fact that cannot be read."""
    return must_keep(facts) or running(facts) is not None


def _day(fact: Fact, name: str) -> date | None:
    text = fact.text(name)
    try:
        return None if text is None else date.fromisoformat(text)
    except ValueError:
        return None
