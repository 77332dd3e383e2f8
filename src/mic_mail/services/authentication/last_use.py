"""The last use of mailboxes and app passwords: known in memory immediately, recorded once a day."""

import asyncio
from dataclasses import replace
from datetime import date, datetime, timedelta

from mic_mail.directory.app_passwords import LastUse
from mic_mail.directory.repository import Directory
from mic_mail.directory.snapshot import Entry
from mic_mail.errors import Trouble
from mic_mail.log.error_fields import described
from mic_mail.policy.calendar import local_day
from mic_mail.process.background_tasks import BackgroundTasks
from mic_mail.process.runtime import Runtime

LOOK_AGAIN_SECONDS = 1.0


class LastUses:
    """The uses that one process has seen."""

    def __init__(self, runtime: Runtime, directory: Directory) -> None:
        self._runtime = runtime
        self._directory = directory
        self._used: dict[int, float] = {}
        """By mailbox: the time since boot of its last use."""
        self._used_apps: dict[tuple[int, int], date] = {}
        self._waiting: set[int] = set()
        """The mailboxes whose use is not yet recorded."""
        self._waiting_apps: dict[tuple[int, int], tuple[float, LastUse]] = {}
        self._look_again: asyncio.TimerHandle | None = None
        self.writing = BackgroundTasks()
        """The uses that are being recorded."""

    def last(self, entry: Entry, now: datetime) -> datetime | None:
        """Return the last use of a mailbox, also where the directory does not know it yet."""
        used = self._used.get(entry.mailbox_id)
        return max(filter(None, (entry.last_activity, None if used is None else self._instant(used, now))), default=None)

    def _instant(self, used: float, now: datetime | None = None) -> datetime:
        """Return the instant of a use, counted back from `now`; by default from the wall clock."""
        return (now or self._runtime.clock.now()) - timedelta(seconds=self._runtime.clock.boottime() - used)

    def used(self, mailbox_id: int, entry: Entry | None) -> bool:
        """Record that a mailbox is used now; return whether that is the first use of the day."""
        now, used = self._runtime.clock.now(), self._used.get(mailbox_id)
        known = self._instant(used) if used is not None else entry.last_activity if entry else None
        if known is not None and local_day(known) == local_day(now):
            return False
        self._used[mailbox_id] = self._runtime.clock.boottime()
        self._waiting.add(mailbox_id)
        self.record_pending()
        return True

    def used_app(self, mailbox_id: int, number: int, use: LastUse) -> None:
        if self._used_apps.get((mailbox_id, number)) != local_day(use.at):
            self._used_apps[mailbox_id, number] = local_day(use.at)
            self._waiting_apps[mailbox_id, number] = self._runtime.clock.boottime(), use
            self.record_pending()

    def record_pending(self) -> None:
        """Write every pending use to the directory, as soon as the clock is settled.

        A clock that is right again within a second makes no callback, so it is polled while a use is pending.
        """
        if not self._runtime.clock.is_settled():
            if self._look_again is None and (self._waiting or self._waiting_apps):
                self._look_again = asyncio.get_running_loop().call_later(LOOK_AGAIN_SECONDS, self._look)
            return
        waiting, self._waiting = self._waiting, set()
        for mailbox_id in waiting:
            self.writing.start(self._record_use(mailbox_id, self._instant(self._used[mailbox_id])))
        waiting_apps, self._waiting_apps = self._waiting_apps, {}
        for (mailbox_id, number), (used, use) in waiting_apps.items():
            self.writing.start(self._record_app_use(mailbox_id, number, replace(use, at=self._instant(used))))

    def _look(self) -> None:
        self._look_again = None
        self.record_pending()

    async def _record_use(self, mailbox_id: int, now: datetime) -> None:
        try:
            await self._runtime.executors.io(self._directory.touch_activity, mailbox_id, now)
        except Trouble as trouble:  # tomorrow's use is written again; a day more or less in six months does not matter
            self._runtime.log.event("activity_not_recorded", mailbox_id=mailbox_id, error=described(trouble))

    async def _record_app_use(self, mailbox_id: int, number: int, use: LastUse) -> None:
        try:
            await self._runtime.executors.io(self._directory.app_passwords.used, mailbox_id, number, use)
        except Trouble as trouble:
            self._used_apps.pop((mailbox_id, number), None)
            self._runtime.log.event(
                "activity_not_recorded", mailbox_id=mailbox_id, app_password=number, error=described(trouble)
            )
