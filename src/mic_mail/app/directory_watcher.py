"""Reload the directory when it has changed.

A directory that cannot be read leaves the last snapshot in force, with every lock that it holds and every instant at which one
falls due; `DirectoryFollower` tries again until it can be read.
"""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Coroutine

from mic_mail.log.error_fields import failure
from mic_mail.log.maillog import MailLog

FIRST_PAUSE_SECONDS = 1.0
LONGEST_PAUSE_SECONDS = 30.0


class DirectoryFollower:
    """Reload the directory when it has changed; retry where that fails, after 1 s, 2 s, 4 s ... 30 s.

    One try at a time, however many hints arrive. A hint also ends a pause, since its sender has just used the directory.
    """

    def __init__(
        self, refresh: Callable[[], Awaitable[object]], spawn: Callable[[Coroutine[object, object, None]], None], log: MailLog
    ) -> None:
        self._refresh = refresh
        self._spawn = spawn
        self._log = log
        self._hinted = asyncio.Event()
        self._at_work = False

    def changed(self) -> None:
        """Note that the directory has changed, and reload it."""
        self._hinted.set()
        self.begin()

    def begin(self) -> None:
        """Start reloading, unless it is in progress."""
        if not self._at_work:
            self._at_work = True
            self._spawn(self._keep_at_it())

    async def _keep_at_it(self) -> None:
        try:
            await self._until_read()
            while self._hinted.is_set():
                await self._until_read()
        finally:
            self._at_work = False

    async def _until_read(self) -> None:
        pause, tries = FIRST_PAUSE_SECONDS, 0
        while True:
            self._hinted.clear()
            try:
                await self._refresh()
            except Exception as error:  # noqa: BLE001 - whatever it is, the last snapshot stays and the next try follows
                if not tries:
                    self._log.event("directory_unreadable", **failure(error))
            else:
                break
            tries += 1
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._hinted.wait(), pause)
            pause = min(2 * pause, LONGEST_PAUSE_SECONDS)
        if tries:
            self._log.event("directory_readable", tries=tries)
