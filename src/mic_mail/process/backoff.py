"""Growing pauses for what fails again and again, in the memory of one process.

They are for errors that the disk cannot record, such as its own. Keyed by what failed: 15 s, then twice as long each time, up
to an hour; a success or a restart of the process ends them. Belongs to the event loop; `is_due` may be called by a thread.
"""

from collections.abc import Hashable

from mic_mail.clock import Clock

FIRST_SECONDS = 15.0
"""Less than the period of the jobs that ask, so that the first retry is in the next round."""
LONGEST_SECONDS = 3600.0


class Backoff:
    """The pauses of everything of one kind that failed."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._pauses: dict[Hashable, tuple[float, float]] = {}
        """The present pause of each and its end, by the monotonic clock."""

    def failed(self, key: Hashable) -> None:
        """Begin the next pause."""
        before, _ = self._pauses.get(key, (0.0, 0.0))
        seconds = min(2 * before, LONGEST_SECONDS) if before else FIRST_SECONDS
        self._pauses[key] = seconds, self._clock.monotonic() + seconds

    def succeeded(self, key: Hashable) -> None:
        self._pauses.pop(key, None)

    def is_due(self, key: Hashable) -> bool:
        """Return whether there is no pause now."""
        _, until = self._pauses.get(key, (0.0, 0.0))
        return not until or self._clock.monotonic() >= until
