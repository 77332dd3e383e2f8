"""The end of a process that runs on demand: it has had nothing to do for some time (docs/decisions/0120).

In: at intervals, whether there is work. Out: `Idleness.over`, at which `app.child_process` ends the process and the supervisor
starts to wait for work in its place (`process.demand`).
"""

import asyncio

from mic_mail.clock import Clock


class Idleness:
    """The time for which one process has been idle; belongs to its loop."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._since: float | None = None
        self._seen: object = None
        self.over = asyncio.Event()
        """Set when the process has been idle for long enough; it then ends."""
        self.last_word: dict[str, object] = {}
        """The numbers that the supervisor compares to find work that has come since."""

    def has_lasted(self, seconds: float, *, is_busy: bool, seen: object) -> bool:
        """Note whether there is work, and return whether there has been none for so long.

        Another value of `seen` than the last time means that there has been work in between.
        """
        now, before, self._seen = self._clock.monotonic(), self._seen, seen
        if is_busy or seen != before:
            self._since = None
        elif self._since is None:
            self._since = now
        return self._since is not None and now - self._since >= seconds
