"""Who wants to know when the word on a mailbox may have changed: by a newer directory, or by the clock alone.

In: watches (mailbox, callback, until when the word holds). Out: callbacks on the event loop. One timer for all of them, never
set further than MAX_NAP ahead, so that a clock that is put right is noticed.
"""

import asyncio
from collections.abc import Callable
from datetime import datetime

from mic_mail.clock import Clock

MAX_NAP = 60.0


class Watch:
    """One session's wish; closed at its end."""

    def __init__(self, watches: "Watches", mailbox_id: int, callback: Callable[[], None]) -> None:
        self._watches = watches
        self.mailbox_id = mailbox_id
        self.callback = callback

    def close(self) -> None:
        """Never call back again; harmless when repeated."""
        self._watches.drop(self)


class Watches:
    """All watches of one process; belongs to the event loop."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._of: dict[int, set[Watch]] = {}
        self._until: dict[int, datetime] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._armed_for: datetime | None = None

    def add(self, mailbox_id: int, callback: Callable[[], None], until: datetime | None) -> Watch:
        """Watch a mailbox whose present word holds until `until` (None: for ever, unless the directory changes)."""
        watch = Watch(self, mailbox_id, callback)
        self._of.setdefault(mailbox_id, set()).add(watch)
        self.renew(mailbox_id, until)
        return watch

    def drop(self, watch: Watch) -> None:
        """Forget a watch."""
        group = self._of.get(watch.mailbox_id)
        if group is not None:
            group.discard(watch)
            if not group:
                del self._of[watch.mailbox_id]
                self._until.pop(watch.mailbox_id, None)

    def renew(self, mailbox_id: int, until: datetime | None) -> None:
        """The word was asked anew and holds until `until`."""
        if mailbox_id not in self._of:
            return
        if until is None:
            self._until.pop(mailbox_id, None)
        else:
            self._until[mailbox_id] = until
            if self._armed_for is None or until < self._armed_for:
                self._arm()

    def changed(self, is_changed: Callable[[int], bool]) -> None:
        """Call back those whose mailbox `is_changed`."""
        self._call([mailbox_id for mailbox_id in self._of if is_changed(mailbox_id)])

    def _arm(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = None
        self._armed_for = min(self._until.values(), default=None)
        if self._armed_for is not None:
            ahead = (self._armed_for - self._clock.now()).total_seconds()
            self._timer = asyncio.get_running_loop().call_later(min(max(ahead, 0.0), MAX_NAP), self.look)

    def look(self) -> None:
        """Call back those whose word has run out, and set the timer for the next."""
        now = self._clock.now()
        due = [mailbox_id for mailbox_id, until in self._until.items() if until <= now]
        for mailbox_id in due:
            del self._until[mailbox_id]
        self._call(due)
        self._arm()

    def _call(self, mailbox_ids: list[int]) -> None:
        for mailbox_id in mailbox_ids:
            for watch in tuple(self._of.get(mailbox_id, ())):
                watch.callback()
