"""Callbacks for a decision on a mailbox that may have changed, by a newer directory or by the clock.

In: watches (a key: a mailbox, or a person and a mailbox; a callback; the validity of the decision). Out: callbacks on
the event loop. One timer for all of them, by the steady time: a clock step that is not believed ends nothing. The
caller that notices a step calls `run_once`, which also finds decisions from a time still to come, and sets the timer
anew.
"""

import asyncio
from collections.abc import Callable
from datetime import datetime
from typing import Generic, TypeVar

from mic_mail.clock import Clock, Validity

MAX_NAP = 60.0
"""Maximum seconds between two checks of the clock, even if nobody notices that it was set."""

K = TypeVar("K")


class Watch(Generic[K]):
    """One session's subscription; closed at its end."""

    def __init__(self, watches: "Watches[K]", key: K, callback: Callable[[], None]) -> None:
        self._watches = watches
        self.key = key
        self.callback = callback

    def close(self) -> None:
        """Never call back again; repeated calls are harmless."""
        self._watches.drop(self)


class Watches(Generic[K]):
    """All watches of one process; belongs to the event loop."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._of: dict[K, set[Watch[K]]] = {}
        self._valid: dict[K, Validity] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._armed_for: datetime | None = None

    def add(self, key: K, callback: Callable[[], None], validity: Validity) -> Watch[K]:
        """Watch a key whose present decision has this validity, unless the directory changes."""
        watch = Watch(self, key, callback)
        self._of.setdefault(key, set()).add(watch)
        self.renew(key, validity)
        return watch

    def drop(self, watch: Watch[K]) -> None:
        """Forget a watch."""
        group = self._of.get(watch.key)
        if group is not None:
            group.discard(watch)
            if not group:
                del self._of[watch.key]
                self._valid.pop(watch.key, None)

    def renew(self, key: K, validity: Validity) -> None:
        """Set the validity of a decision that was made anew."""
        if key not in self._of:
            return
        self._valid[key] = validity
        if validity.until is not None and (self._armed_for is None or validity.until < self._armed_for):
            self._arm()

    def changed(self, is_changed: Callable[[K], bool]) -> None:
        """Call back the watches whose key `is_changed`."""
        self._call([key for key in self._of if is_changed(key)])

    def _arm(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = None
        self._armed_for = min((valid.until for valid in self._valid.values() if valid.until is not None), default=None)
        if self._armed_for is not None:
            ahead = (self._armed_for - self._clock.steady_now()).total_seconds()
            self._timer = asyncio.get_running_loop().call_later(min(max(ahead, 0.0), MAX_NAP), self.run_once)

    def run_once(self) -> None:
        """Call back the watches whose decision no longer holds, and set the timer for the next."""
        now = self._clock.steady_now()
        due = [key for key, validity in self._valid.items() if not validity.holds(now)]
        for key in due:
            del self._valid[key]
        self._call(due)
        self._arm()

    def _call(self, keys: list[K]) -> None:
        for key in keys:
            for watch in tuple(self._of.get(key, ())):
                watch.callback()
