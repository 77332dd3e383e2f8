"""How much of a message is looked into: octets, parts, depth, steps, seconds. Whoever reads a document asks before each step.

Steps and octets are counted in proportion to the size of the message: a small one costs little whatever is in it, and the
answer is the same on a busy machine. Seconds are for what nobody has thought of, and are those of the processor where a process
reads alone; whoever waits for it has a limit of its own (`is_cut_off`).

In: bounds and a clock. Out: `CannotRead` where one is passed. What was found until then stands.
"""

from collections.abc import Callable
from dataclasses import dataclass

from mic_mail.textextract.result import Unread


@dataclass(frozen=True, slots=True)
class Bounds:
    """Of one message."""

    seconds: float = 5.0
    """By the clock that the budget is given."""
    memory_octets: int = 512 << 20
    """Address space of the process that reads documents."""
    part_octets: int = 64 << 20
    """Of one part, unpacked."""
    unpacked_octets: int = 256 << 20
    """Of all parts together."""
    depth: int = 5
    """Of documents within documents."""
    parts: int = 1_000
    text_chars: int = 16 << 20
    """Of one document's text."""
    work: int = 500_000
    """Steps that any message may take: tags, lines, operators of a PDF; each costs about a microsecond."""
    work_per_octet: int = 3
    """And so many more for each octet of it, so that little never takes long, whatever it unpacks to."""
    least_unpacked: int = 16 << 20
    unpacked_per_octet: int = 100
    """A message may unpack to `least_unpacked`, and to so many octets for each one of it: text packs by 5 to 20."""
    hints: int = 1 << 30
    """Of places at which a marking may stand: each costs the judge some microseconds."""


class CannotRead(Exception):
    """A document, or the rest of it, is not looked into."""

    def __init__(self, reason: Unread) -> None:
        super().__init__(reason)
        self.reason = reason


class Budget:
    """What is left of the bounds."""

    def __init__(
        self, bounds: Bounds, now: Callable[[], float], octets: int = 0, is_cut_off: Callable[[], bool] = lambda: False
    ) -> None:
        """`octets` is the size of the message; `is_cut_off`: whether nobody waits any longer."""
        self.bounds = bounds
        self._now = now
        self._is_cut_off = is_cut_off
        self._until = now() + bounds.seconds
        self._parts = bounds.parts
        self._octets = min(bounds.unpacked_octets, bounds.least_unpacked + bounds.unpacked_per_octet * octets)
        self.work = bounds.work + bounds.work_per_octet * octets
        """Steps that are left."""
        self._hints = bounds.hints

    def check_time(self) -> None:
        """Asked in every loop over somebody else's data."""
        if self._now() > self._until or self._is_cut_off():
            raise CannotRead(Unread.TOO_SLOW)

    def take_part(self) -> None:
        """One more part."""
        self.check_time()
        self._parts -= 1
        if self._parts < 0:
            raise CannotRead(Unread.OVER_BOUNDS)

    def take_work(self, steps: int) -> None:
        """So many steps follow, or were taken."""
        self.work -= steps
        if self.work < 0:
            raise CannotRead(Unread.OVER_BOUNDS)

    def take_hints(self, hints: int) -> None:
        """So many places are to be judged."""
        self._hints -= hints
        if self._hints < 0:
            raise CannotRead(Unread.OVER_BOUNDS)

    def remaining(self) -> int:
        """How many octets the next part may unpack to."""
        return min(self.bounds.part_octets, self._octets)

    def take_octets(self, octets: int) -> None:
        """So many were unpacked."""
        if octets > self.remaining():
            raise CannotRead(Unread.OVER_BOUNDS)
        self._octets -= octets
