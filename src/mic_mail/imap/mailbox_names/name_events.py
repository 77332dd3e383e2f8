"""What to tell a client that watches names (RFC 5465 §5.4) when several folders were made, renamed and deleted since it heard.

In: what is called otherwise than before. Out: events in an order in which a client that carries them out one by one ends with
the names that there are: `old_name` renames a mailbox with all below it, everything else makes or takes away one. Between two
looks much may have happened (a name may have changed hands), so renames are played on what the client believes. Pure.
"""

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from mic_mail.storage.types import DELIMITER

_ROUNDS = 100
"""Of renames that wait for each other; what is left then is told as gone and made."""

Wants = Callable[[str], bool]
"""Whether the client wants to hear of this name."""


@dataclass(frozen=True, slots=True)
class NameEvent:
    """One LIST line; `gone` says that the name is none any more, whatever it will be in a later line."""

    name: str
    old_name: str | None = None
    gone: bool = False


@dataclass(frozen=True, slots=True)
class Renamed:
    """A folder that has another name; `told`: the client knows, since it did that itself."""

    old: str
    new: str
    told: bool = False


def name_events(
    gone: Iterable[str],
    renamed: Iterable[Renamed],
    made: Iterable[tuple[str, str | None]],
    kept: Iterable[str],
    wants: Wants,
) -> list[NameEvent]:
    """The events to tell; `change_result` pairs a name with the one that it took over, if any, `kept` are called as before.

    A mailbox that is made or goes affects its parent too, which may be none itself (RFC 5465 §5.4).
    """
    events = [NameEvent(name, gone=True) for name in gone if wants(name)]
    moves, remade = _in_order(list(renamed), kept, wants)
    events += moves
    events += [NameEvent(name, old) for name, old in (*made, *((name, None) for name in remade)) if wants(name)]
    affected = {event.name for event in events if event.old_name is None}
    parents = dict.fromkeys(name.rpartition(DELIMITER)[0] for name in sorted(affected))
    return events + [NameEvent(name) for name in parents if name and name not in affected and wants(name)]


class _ClientNames:
    """What the client calls the folders that were renamed, as it is told one rename after the other."""

    def __init__(self, renamed: list[Renamed], kept: Iterable[str], wants: Wants) -> None:
        self._unheard = {at for at, move in enumerate(renamed) if not (move.told or wants(move.old))}
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
        """This folder has its name, or none."""
        name = self.names.pop(at)
        _count(self._at_or_below, name, -1)
        if new is not None:
            _count(self._settled, new, 1)
        return name

    def would_drag(self, name: str) -> bool:
        """Whether a client that renames this would take something along that is where it belongs."""
        return self._settled[name] > 0

    def move_below(self, old: str, new: str) -> None:
        """Those below a mailbox that the client renames go along, if it has heard of them."""
        if not self._at_or_below[old]:
            return
        for at, name in self.names.items():
            if name.startswith(old + DELIMITER) and at not in self._unheard:
                _count(self._at_or_below, name, -1)
                self.names[at] = new + name[len(old) :]
                _count(self._at_or_below, self.names[at], 1)

    def taken(self, new: str, own: str) -> bool:
        """Whether another folder than `own` and those below it is believed to be called `new`, or to lie below that."""
        if not own.startswith(new + DELIMITER):
            return self._at_or_below[new] > 0
        return self._at_or_below[new] > self._at_or_below[own]


def _count(counter: Counter[str], name: str, times: int) -> None:
    """Count a name for itself and for all above it."""
    cut = len(name)
    while cut > 0:
        counter[name[:cut]] += times
        cut = name.rfind(DELIMITER, 0, cut)


def _in_order(renamed: list[Renamed], kept: Iterable[str], wants: Wants) -> tuple[list[NameEvent], list[str]]:
    """Renames, none onto a name that the client still believes taken; and names to be made anew where they go in a circle.

    Children that went along with a parent of which the client hears are not told (RFC 5465 §5.4).
    """
    renamed = [move for move in renamed if move.told or wants(move.old) or wants(move.new)]
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
            dragging = name != move.new and not move.told and beliefs.would_drag(name)
            beliefs.forget(at, None if dragging else move.new)
            if dragging:
                events.append(NameEvent(name, gone=True))
                remade.append(move.new)
            elif name != move.new:
                beliefs.move_below(name, move.new)
                events += [] if move.told else [NameEvent(move.new, name)]
        stuck = left if not patience else left[:1] if len(left) == len(waiting) else []
        for at in stuck:  # a circle: one of them goes and comes again
            events.append(NameEvent(beliefs.forget(at), gone=True))
            remade.append(renamed[at].new)
        waiting = left[len(stuck) :]
        if not waiting:
            break
    return events, remade
