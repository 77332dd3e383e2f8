"""Limit how much of a message is read: octets, parts, depth, steps, seconds.

Readers check the limits before each step. Steps and octets are counted in proportion to the size of the message: a small one
costs little whatever is in it, and the result is the same on a busy machine. Seconds guard against anything unforeseen, and
are processor time in the worker process; a caller that waits for it has a limit of its own (`is_cut_off`).

In: bounds and a clock. Out: `CannotRead` where one is exceeded. Findings until then count.
"""

from collections.abc import Callable
from dataclasses import dataclass

from mic_mail.textextract.result import Unread


@dataclass(frozen=True, slots=True)
class Bounds:
    """The limits for one message."""

    seconds: float = 5.0
    """Measured by the clock of the budget."""
    memory_octets: int = 512 << 20
    """Address space of the worker process."""
    part_octets: int = 64 << 20
    """Octets of one part, unpacked."""
    unpacked_octets: int = 256 << 20
    """Octets of all parts together."""
    depth: int = 5
    """Depth of nested documents."""
    parts: int = 1_000
    text_chars: int = 16 << 20
    """Characters of one document's text."""
    work: int = 500_000
    """Steps allowed for any message: tags, lines, operators of a PDF; each costs about a microsecond."""
    work_per_octet: int = 3
    """Further steps for each octet of a message: a small one never takes long."""
    least_unpacked: int = 16 << 20
    unpacked_per_octet: int = 100
    """Unpacked octets per message octet, beyond `least_unpacked`: text packs by 5 to 20."""
    hints: int = 1 << 30
    """Most places at which a marking may be: each costs some microseconds to check."""
    whole_octets: int = 1 << 30
    """Most octets of a text that are decoded at once, in one call that lets no other thread run."""


class CannotRead(Exception):
    """A document, or the rest of it, cannot be read."""

    def __init__(self, reason: Unread) -> None:
        super().__init__(reason)
        self.reason = reason


class Budget:
    """The remaining budget within the bounds."""

    def __init__(
        self, bounds: Bounds, now: Callable[[], float], octets: int = 0, is_cut_off: Callable[[], bool] = lambda: False
    ) -> None:
        """Start with a message of `octets`; `is_cut_off` returns whether the caller has stopped waiting."""
        self.bounds = bounds
        self._now = now
        self._is_cut_off = is_cut_off
        self._until = now() + bounds.seconds
        self._parts = bounds.parts
        self._octets = min(bounds.unpacked_octets, bounds.least_unpacked + bounds.unpacked_per_octet * octets)
        self.work = bounds.work + bounds.work_per_octet * octets
        """Remaining steps."""
        self._hints = bounds.hints

    def check_time(self) -> None:
        """Check the time; called in every loop over untrusted data."""
        if self._now() > self._until or self._is_cut_off():
            raise CannotRead(Unread.TOO_SLOW)

    def take_part(self) -> None:
        """Count one part."""
        self.check_time()
        self._parts -= 1
        if self._parts < 0:
            raise CannotRead(Unread.OVER_BOUNDS)

    def take_work(self, steps: int) -> None:
        """Count steps, before or after they are taken."""
        self.work -= steps
        if self.work < 0:
            raise CannotRead(Unread.OVER_BOUNDS)

    def take_hints(self, hints: int) -> None:
        """Count places to be checked for a marking."""
        self._hints -= hints
        if self._hints < 0:
            raise CannotRead(Unread.OVER_BOUNDS)

    def check_whole(self, octets: int) -> None:
        """Check how much is to be decoded at once."""
        if octets > self.bounds.whole_octets:
            raise CannotRead(Unread.OVER_BOUNDS)

    def remaining(self) -> int:
        """Return how many octets the next part may unpack to."""
        return min(self.bounds.part_octets, self._octets)

    def take_octets(self, octets: int) -> None:
        """Count unpacked octets."""
        if octets > self.remaining():
            raise CannotRead(Unread.OVER_BOUNDS)
        self._octets -= octets
