"""The log of a queue entry, and the state of its recipients that it adds up to. Pure.

    line of the log                                         written by
    try (places, standing, reason, server, next_try_us)     the process that sends; `reason_vi` with a sentence of this server
    warned, told (places)                                   the process that sends: what it notified the sender of
    kept (is_so, at_us)                                     the process that sends: its mailbox may not send, or may again
    hold, retry, drop (places), each with `said`            administrators

Places are indexes of recipients in the envelope.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import Any

from mic_mail.errors import Text
from mic_mail.i18n.labels import LabelledEnum


class Standing(LabelledEnum):
    """The status of one recipient."""

    OPEN = "open", "đang chờ", "waits"
    DELIVERED = "delivered", "đã chuyển", "delivered"
    FAILED = "failed", "không chuyển được", "failed"
    """Failed permanently."""
    DROPPED = "dropped", "đã dừng", "dropped"
    """Dropped by an administrator. A recipient delivered by an attempt then in progress is DELIVERED."""
    RELAYED = "relayed", "đã chuyển tiếp", "passed on"
    """Delivered to a server that sends no success reports, which the sender wants (RFC 3461 §5.2.2).

    We send one instead.
    """


REPORTED = frozenset({Standing.FAILED, Standing.DROPPED, Standing.RELAYED})
"""Final statuses that the sender gets a report on."""


HELD, RELEASED = "person", ""
"""The values of `hold` in the log: an administrator holds the entry, or nobody."""
_ARRIVED = frozenset({Standing.DELIVERED, Standing.RELAYED})


@dataclass(frozen=True, slots=True)
class AdminDecision:
    """The person who made a decision, the reason and the time."""

    actor: str = ""
    reason: str = ""
    at_us: int = 0
    document: str | None = None
    clause: str | None = None
    """The clause of the regulation that the decision follows from, if any (7.2.c)."""


NOBODY = AdminDecision()
"""The decision of an unknown person for an unknown reason."""


@dataclass(frozen=True, slots=True)
class QueueDecision:
    """An administrator's decision on an entry, or on some of its recipients."""

    did: str
    """The kind: hold, release, retry or drop."""
    by: AdminDecision
    places: tuple[int, ...] = ()
    """The recipients it concerns, if not all."""


@dataclass(frozen=True, slots=True)
class RecipientState:
    """The state of one recipient."""

    standing: Standing = Standing.OPEN
    reason: str = ""
    """The last result, an enhanced status code first."""
    reason_vi: str | None = None
    """The same in Vietnamese if it is a sentence of this server; None if it is another server's reply."""
    server: str | None = None
    """The server that gave the result; None if none was reached."""
    attempts: int = 0
    next_try_us: int = 0
    """The earliest instant of the next attempt; 0: at once."""

    @property
    def text(self) -> Text | str:
        """The last result for a reader: a sentence of this server in both languages."""
        return self.reason if self.reason_vi is None else Text(self.reason_vi, self.reason)

    def takes(self, standing: Standing) -> bool:
        """Return whether a result counts: it is open, or was dropped during an attempt that delivered it."""
        return self.standing is Standing.OPEN or (self.standing is Standing.DROPPED and standing in _ARRIVED)


@dataclass(frozen=True, slots=True)
class EntryState:
    """The state of an entry according to its log."""

    recipients: tuple[RecipientState, ...]
    is_held: bool = False
    """Set while an administrator holds it: it waits though it is due."""
    warned: bool = False
    """Set once the sender was notified of the delay."""
    reported: frozenset[int] = frozenset()
    """Recipients whose end the sender was notified of."""
    is_kept_back: bool = False
    """Set while it waits for its mailbox, which may not send."""
    free_since_us: int = 0
    """The time of the last release, or when its mailbox could send again; 0: it was never held."""
    decisions: tuple[QueueDecision, ...] = ()
    """Administrators' decisions in their order."""
    retries: int = 0
    """The number of retries that were decided."""

    @classmethod
    def fresh(cls, recipients: int) -> "EntryState":
        return cls((RecipientState(),) * recipients)

    @property
    def unreported(self) -> tuple[int, ...]:
        """Recipients whose end the sender is still to be notified of."""
        ended = (place for place, recipient in enumerate(self.recipients) if recipient.standing in REPORTED)
        return tuple(place for place in ended if place not in self.reported)

    @property
    def open(self) -> tuple[int, ...]:
        """Recipients that are not settled."""
        return tuple(place for place, recipient in enumerate(self.recipients) if recipient.standing is Standing.OPEN)

    @property
    def next_try_us(self) -> int:
        """The earliest next attempt of an open recipient."""
        return min((self.recipients[place].next_try_us for place in self.open), default=0)

    @property
    def held_by(self) -> AdminDecision | None:
        """The decision that holds the entry."""
        holds = (each.by for each in reversed(self.decisions) if each.did == "hold")
        return next(holds, None) if self.is_held else None

    def dropped_by(self, place: int) -> AdminDecision | None:
        """Return the decision that dropped this recipient; the first one counts."""
        return next((each.by for each in self.decisions if each.did == "drop" and place in each.places), None)

    def after(self, line: dict[str, Any]) -> "EntryState":
        """Return the state after one more line; `ValueError`, `KeyError` or `TypeError` if it means nothing."""
        match line["did"]:
            case "try":
                return self._tried(line)
            case "hold" if line["hold"] == HELD:
                return replace(self._decided("hold", line), is_held=True)
            case "hold" if line["hold"] == RELEASED:
                released = self._decided("release", line)
                since_us = max(self.free_since_us, released.decisions[-1].by.at_us)
                return replace(released, is_held=False, free_since_us=since_us)
            case "kept":
                since_us = self.free_since_us if line["is_so"] else max(self.free_since_us, int(line["at_us"]))
                return replace(self, is_kept_back=bool(line["is_so"]), free_since_us=since_us)
            case "retry":
                due = tuple(each if not each.next_try_us else replace(each, next_try_us=0) for each in self.recipients)
                return replace(self._decided("retry", line), recipients=due, retries=self.retries + 1)
            case "drop":
                return self._dropped(line)._decided("drop", line)
            case "warned":
                return replace(self, warned=True)
            case "told":
                return replace(self, reported=self.reported | {int(place) for place in line["places"]})
        raise ValueError("unknown line")

    def _decided(self, did: str, line: dict[str, Any]) -> "EntryState":
        decision = QueueDecision(did, AdminDecision(**line["said"]), tuple(int(place) for place in line.get("places", ())))
        # Of consecutive retries only the last is stored: a command may ask for one each minute.
        again = did == "retry" and self.decisions and self.decisions[-1].did == "retry"
        return replace(self, decisions=(*(self.decisions[:-1] if again else self.decisions), decision))

    def _tried(self, line: dict[str, Any]) -> "EntryState":
        server, vi = line["server"], line.get("reason_vi")
        # A retry that was decided during the attempt stands: what it was decided about may have been mended since.
        next_try_us = int(line["next_try_us"]) if line.get("retries", 0) == self.retries else 0
        standing, reason = Standing(line["standing"]), str(line["reason"])
        reason_vi, server = vi and str(vi), server and str(server)

        def tried(old: RecipientState) -> RecipientState:
            if old.takes(standing):  # made anew, since `replace` takes ten times as long
                return RecipientState(standing, reason, reason_vi, server, old.attempts + 1, next_try_us)
            return replace(old, attempts=old.attempts + 1, next_try_us=next_try_us)

        return self._changed(line["places"], tried)

    def _dropped(self, line: dict[str, Any]) -> "EntryState":
        reason = AdminDecision(**line["said"]).reason

        def dropped(old: RecipientState) -> RecipientState:
            if not old.takes(Standing.DROPPED):
                return old
            return replace(old, standing=Standing.DROPPED, reason=reason, reason_vi=None, server=None)

        return self._changed(line["places"], dropped)

    def _changed(self, places: Iterable[int], change: Callable[[RecipientState], RecipientState]) -> "EntryState":
        recipients = list(self.recipients)
        for place in set(places):
            recipients[place] = change(recipients[place])
        return replace(self, recipients=tuple(recipients))
