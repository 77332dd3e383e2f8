"""The handover of a unit's mailbox, unchanged and with its password, to a successor (Reg. 12.3.d).

The head of the unit names the successor.

In: a mailbox's facts. Out: its handovers in order, the running one, the rights withheld meanwhile. Pure.

A handover runs from the fact that began it until the one that finished or cancelled it. Meanwhile nobody may expunge, move,
rename or delete anything in the mailbox, or mark it for that: what was counted must be there when the successor takes over.
Mail arrives and is read, answered and filed by copies as usual.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime

from mic_mail.errors import Refused, Text, in_ascii
from mic_mail.i18n.labels import LabelledEnum
from mic_mail.policy.facts import Fact, FactKind
from mic_mail.policy.legal_holds import must_keep

CLAUSE = "12.3.d"

WITHHELD = "xte"
"""The rights of RFC 4314 that nobody holds meanwhile.

They allow deleting or renaming a folder, setting \\Deleted, expunging, moving.
"""


class HandoverStanding(LabelledEnum):
    """The progress of a handover."""

    BEGUN = "begun", "chưa kiểm kê xong", "inventory not complete"
    """Nothing is expunged any more; the inventory is not taken yet, or was cut off by a kill."""
    COUNTED = "counted", "đang bàn giao", "running"
    FINISHED = "finished", "đã bàn giao", "finished"
    CANCELLED = "cancelled", "đã hủy", "cancelled"


class BeingHandedOver(Refused):
    """A change would destroy something, or begin another handover, while one runs."""

    def __init__(self, address: str) -> None:
        super().__init__(
            Text(
                f"{address} đang được bàn giao; phải giữ nguyên trạng.",
                f"{in_ascii(address)} is being handed over and cannot be changed.",
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
        """The number of the handover: that of the fact that began it."""
        return self.begun.seq

    @property
    def standing(self) -> HandoverStanding:
        if self.ended is not None:
            return HandoverStanding.FINISHED if self.ended.kind is FactKind.HANDOVER_FINISHED else HandoverStanding.CANCELLED
        return HandoverStanding.BEGUN if self.counted is None else HandoverStanding.COUNTED

    @property
    def is_running(self) -> bool:
        return self.ended is None

    @property
    def successor_id(self) -> int:
        """The person who takes over; 0 if the fact is invalid."""
        person = self.begun.data.get("person")
        return person if isinstance(person, int) else 0

    @property
    def successor(self) -> str:
        """The address of the successor's own mailbox as recorded."""
        return self.begun.text("holder") or ""

    @property
    def predecessor(self) -> str | None:
        """The recorded address of the previous keeper's own mailbox; None: nobody was recorded."""
        return self.begun.text("from_holder")

    @property
    def until(self) -> date | None:
        """The last day of the successor's term."""
        return _day(self.begun, "until")

    @property
    def named_on(self) -> date | None:
        """The date of the document by which the head named the successor."""
        return _day(self.begun, "named_on")

    @property
    def since(self) -> datetime:
        return self.begun.effective_at


def handovers(facts: Sequence[Fact]) -> tuple[Handover, ...]:
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
    return next((each for each in reversed(handovers(facts)) if each.is_running), None)


def withheld(facts: Sequence[Fact]) -> str:
    """Return the rights that nobody holds now because of a handover."""
    return WITHHELD if running(facts) is not None else ""


def nothing_may_go(facts: Sequence[Fact]) -> bool:
    """Return whether expunged messages must be kept.

    The reason is a legal hold (Reg. 9.2), a handover, or a fact that cannot be read.
    """
    return must_keep(facts) or running(facts) is not None


def _day(fact: Fact, name: str) -> date | None:
    text = fact.text(name)
    try:
        return None if text is None else date.fromisoformat(text)
    except ValueError:
        return None
