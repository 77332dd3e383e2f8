"""Follow the directory and other processes: notice changes that this process did not make itself.

The feed polls, each `poll_seconds` and at every hint, the MODSEQ of the accounts that are watched here and the directory's
version; a new version is loaded as a new snapshot. A directory that cannot be read leaves the last snapshot in force, with
every lock that it holds and every instant at which one falls due; `DirectoryFollower` tries again until it can be read.
"""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence

from mic_mail.app.context import ServerContext
from mic_mail.errors import MicMailError
from mic_mail.log.error_fields import failure
from mic_mail.log.maillog import MailLog
from mic_mail.storage.types import AccountRef

FIRST_PAUSE_SECONDS = 1.0
LONGEST_PAUSE_SECONDS = 30.0


def follow_the_directory(context: ServerContext) -> None:
    follower = DirectoryFollower(context.access.refresh, context.spawn, context.log)

    def modseqs(refs: Sequence[AccountRef]) -> dict[int, int]:
        found = {}
        for ref in refs:
            with contextlib.suppress(Exception):  # an account that cannot be read now is polled again in two seconds
                found[ref.account_id] = context.store.newest_modseq(ref)
        return found

    async def probe(account_ids: Sequence[int]) -> Mapping[int, int]:
        snapshot = context.access.snapshot
        entries = filter(None, map(snapshot.entry, account_ids))
        return await context.executors.io(modseqs, [AccountRef.of(entry) for entry in entries])

    async def version() -> int:
        try:
            return await context.executors.io(context.directory.version)
        except MicMailError:
            follower.begin()  # it logs the failure, and when it is over
            raise

    context.feed.watch_directory(lambda _version: follower.changed())
    context.feed.start(probe, version)


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
