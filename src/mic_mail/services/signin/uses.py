"""When mailboxes and app passwords were used last: known here at once, told to the directory once a day in the background.

Belongs to the event loop; writing happens in the lane. What cannot be told now is told by the next use.
"""

import asyncio
from collections.abc import Coroutine
from datetime import date, datetime
from typing import Protocol

from mic_mail.clock import Clock
from mic_mail.directory.apppasswords import Use
from mic_mail.directory.repository import Directory
from mic_mail.directory.snapshot import Entry
from mic_mail.errors import Trouble
from mic_mail.policy.calendar import local_day
from mic_mail.process.lanes import Lanes


class Events(Protocol):
    """The part of the mail log that is needed here."""

    def event(self, name: str, /, **fields: str | int | float | bool | None) -> None:
        """One line of the log."""


class Uses:
    """The uses that one process has seen."""

    def __init__(self, directory: Directory, *, lanes: Lanes, log: Events, clock: Clock) -> None:
        self._directory = directory
        self._lanes = lanes
        self._log = log
        self._clock = clock
        self._used: dict[int, datetime] = {}
        self._used_apps: dict[tuple[int, int], date] = {}
        self.errands: set[asyncio.Task[None]] = set()
        """What is being told now."""

    def last(self, entry: Entry) -> datetime | None:
        """The last use of a mailbox, also where the directory does not know it yet."""
        return max(filter(None, (entry.last_activity, self._used.get(entry.mailbox_id))), default=None)

    def used(self, mailbox_id: int, entry: Entry | None) -> bool:
        """A mailbox is used now; whether that is the first use of the day."""
        now = self._clock.now()
        known = self._used.get(mailbox_id) or (entry.last_activity if entry else None)
        if known is not None and local_day(known) == local_day(now):
            return False
        self._used[mailbox_id] = now
        self._send_out(self._tell_used(mailbox_id, now))
        return True

    def used_app(self, mailbox_id: int, number: int, use: Use) -> None:
        """An app password is used."""
        if self._used_apps.get((mailbox_id, number)) != local_day(use.at):
            self._used_apps[mailbox_id, number] = local_day(use.at)
            self._send_out(self._tell_used_app(mailbox_id, number, use))

    def _send_out(self, errand: Coroutine[None, None, None]) -> None:
        task = asyncio.get_running_loop().create_task(errand)
        self.errands.add(task)
        task.add_done_callback(self.errands.discard)

    async def _tell_used(self, mailbox_id: int, now: datetime) -> None:
        try:
            await self._lanes.io(self._directory.touch_activity, mailbox_id, now)
        except Trouble as trouble:  # tomorrow's use tells it again; a day more or less in six months is nothing
            self._log.event("activity_not_recorded", mailbox_id=mailbox_id, error=str(trouble))

    async def _tell_used_app(self, mailbox_id: int, number: int, use: Use) -> None:
        try:
            await self._lanes.io(self._directory.app_passwords.used, mailbox_id, number, use)
        except Trouble as trouble:
            self._used_apps.pop((mailbox_id, number), None)
            self._log.event("activity_not_recorded", mailbox_id=mailbox_id, app_password=number, error=str(trouble))
