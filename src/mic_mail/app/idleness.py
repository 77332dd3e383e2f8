"""The end of a process that runs on demand: it has had nothing to do for some time (docs/decisions/0120).

In: at intervals, whether there is work. Out: `Idleness.over`, at which `app.child_process` ends the process and the supervisor
starts to wait for work in its place (`process.demand`).
"""

import asyncio

from mic_mail.clock import Clock


class Idleness:
    """How long one process has been idle; belongs to its loop."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._since: float | None = None
        self._seen: object = None
        self.over = asyncio.Event()
        """Set when the process has been idle for long enough; it then ends."""
        self.last_word: dict[str, object] = {}
        """What the supervisor compares to find work that has come since."""

    def note(self, *, is_busy: bool, seen: object, seconds: float) -> None:
        """Note whether there is work; `seconds` without any are long enough.

        Another value of `seen` than the last time means that there has been work in between.
        """
        now, before, self._seen = self._clock.monotonic(), self._seen, seen
        if is_busy or seen != before:
            self._since = None
        elif self._since is None:
            self._since = now
        elif now - self._since >= seconds:
            self.over.set()
