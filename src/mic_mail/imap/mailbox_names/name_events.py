"""Events for a NOTIFY client (RFC 5465 §5.4) after folders were created, renamed and deleted.

In: names that changed since the last poll. Out: events in such an order that a client that applies them one by one ends with
the existing names: `old_name` renames a mailbox with all below it, any other event creates or removes one. Much may have
happened between two polls (a name may have passed to another folder), so renames are simulated on the names that the client
knows. Pure.
"""

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from mic_mail.storage.types import DELIMITER, at_and_above

_ROUNDS = 100
"""Most passes over renames that wait for each other.

The remaining ones are sent as deleted and created.
"""

Wants = Callable[[str], bool]
"""A function that returns whether the client watches this name."""


@dataclass(frozen=True, slots=True)
class NameEvent:
    """One LIST line; `gone`: the name does not exist, though a later line may reuse it."""

    name: str
    old_name: str | None = None
    gone: bool = False


@dataclass(frozen=True, slots=True)
class Renamed:
    """A renamed folder; `by_client`: the client knows, since it renamed the folder itself."""

    old: str
    new: str
    by_client: bool = False


def name_events(
    gone: Iterable[str],
    renamed: Iterable[Renamed],
    made: Iterable[tuple[str, str | None]],
    kept: Iterable[str],
    wants: Wants,
) -> list[NameEvent]:
    """Return the events to send.

    `made` pairs a created name with the one that it took over, if any; `kept` are unchanged names. Creating or deleting a
    mailbox affects its parent too, which may not exist itself (RFC 5465 §5.4).
    """
    events = [NameEvent(name, gone=True) for name in gone if wants(name)]
    moves, remade = _in_order(list(renamed), kept, wants)
    events += moves
    events += [NameEvent(name, old) for name, old in (*made, *((name, None) for name in remade)) if wants(name)]
    affected = {event.name for event in events if event.old_name is None}
    parents = dict.fromkeys(name.rpartition(DELIMITER)[0] for name in sorted(affected))
    return events + [NameEvent(name) for name in parents if name and name not in affected and wants(name)]


class _ClientNames:
    """The client's names of the renamed folders, as each rename is sent to it."""

    def __init__(self, renamed: list[Renamed], kept: Iterable[str], wants: Wants) -> None:
        self._unheard = {at for at, move in enumerate(renamed) if not (move.by_client or wants(move.old))}
        self.names = {at: move.old for at, move in enumerate(renamed)}
        self._at_or_below: Counter[str] = Counter()
        for name in self.names.values():
            _count(self._at_or_below, name, 1)
        self._settled: Counter[str] = Counter()
        if renamed:
            for name in kept:
                if wants(name):
                    _count(self._settled, name, 1)

    def forget(self, at: int, new: str | None = None) -> str:
        """Mark a folder as having its new name, or none; return the client's name of it."""
        name = self.names.pop(at)
        _count(self._at_or_below, name, -1)
        if new is not None:
            _count(self._settled, new, 1)
        return name

    def would_drag(self, name: str) -> bool:
        """Return whether renaming this would make the client move a folder that is already in its place."""
        return self._settled[name] > 0

    def move_below(self, old: str, new: str) -> None:
        """Move the names below a renamed mailbox along, where the client knows them."""
        if not self._at_or_below[old]:
            return
        for at, name in self.names.items():
            if name.startswith(old + DELIMITER) and at not in self._unheard:
                _count(self._at_or_below, name, -1)
                self.names[at] = new + name[len(old) :]
                _count(self._at_or_below, self.names[at], 1)

    def taken(self, new: str, own: str) -> bool:
        """Return whether the client knows a folder at or below `new` that is not `own` or below it."""
        if not own.startswith(new + DELIMITER):
            return self._at_or_below[new] > 0
        return self._at_or_below[new] > self._at_or_below[own]


def _count(counter: Counter[str], name: str, times: int) -> None:
    """Count a name for itself and for all its parents."""
    for each in at_and_above(name):
        counter[each] += times


def _in_order(renamed: list[Renamed], kept: Iterable[str], wants: Wants) -> tuple[list[NameEvent], list[str]]:
    """Return renames ordered so that no target is taken at the client, and names to create anew.

    The latter break cycles. Children that move along with a parent whose rename is sent are not reported (RFC 5465 §5.4).
    """
    renamed = [move for move in renamed if move.by_client or wants(move.old) or wants(move.new)]
    beliefs = _ClientNames(renamed, kept, wants)
    waiting = sorted(beliefs.names, key=lambda at: (renamed[at].old.count(DELIMITER), renamed[at].old))
    events: list[NameEvent] = []
    remade: list[str] = []
    for patience in range(_ROUNDS, -1, -1):
        left: list[int] = []
        for at in waiting:
            move, name = renamed[at], beliefs.names[at]
            if name != move.new and beliefs.taken(move.new, name):
                left.append(at)
                continue
            dragging = name != move.new and not move.by_client and beliefs.would_drag(name)
            beliefs.forget(at, None if dragging else move.new)
            if dragging:
                events.append(NameEvent(name, gone=True))
                remade.append(move.new)
            elif name != move.new:
                beliefs.move_below(name, move.new)
                events += [] if move.by_client else [NameEvent(move.new, name)]
        stuck = left if not patience else left[:1] if len(left) == len(waiting) else []
        for at in stuck:  # a cycle: one of them is deleted and created again
            events.append(NameEvent(beliefs.forget(at), gone=True))
            remade.append(renamed[at].new)
        waiting = left[len(stuck) :]
        if not waiting:
            break
    return events, remade
