"""Following the directory and other processes: what this process has to notice that it did not do itself.

The feed asks each `poll_seconds`, and at every hint, for the MODSEQ of the accounts that are watched here and for the
directory's version; a new version is a new snapshot. A directory that cannot be read leaves the last snapshot in force, with
every lock that it holds and every instant at which one falls due; `DirectoryFollower` asks again until it can be read.
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
    """Begin to ask."""
    follower = DirectoryFollower(context.access.refresh, context.spawn, context.log)

    def modseqs(refs: Sequence[AccountRef]) -> dict[int, int]:
        found = {}
        for ref in refs:
            with contextlib.suppress(Exception):  # what cannot be read now is asked for again in two seconds
                found[ref.account_id] = context.store.newest_modseq(ref)
        return found

    async def probe(account_ids: Sequence[int]) -> Mapping[int, int]:
        snapshot = context.access.snapshot
        entries = filter(None, map(snapshot.entry, account_ids))
        return await context.lanes.io(modseqs, [AccountRef(entry.mailbox_id, entry.home) for entry in entries])

    async def version() -> int:
        try:
            return await context.lanes.io(context.directory.version)
        except MicMailError:
            follower.begin()  # it says so in the log, and when the trouble is over
            raise

    context.feed.watch_directory(lambda _version: follower.changed())
    context.feed.start(probe, version)


class DirectoryFollower:
    """Reads the directory anew when it has changed, and goes on trying where it cannot: after 1 s, 2 s, 4 s ... 30 s.

    One try at a time, however many hints come; a hint also ends a pause, since whoever sent it has just used the directory.
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
        """The directory has changed."""
        self._hinted.set()
        self.begin()

    def begin(self) -> None:
        """Read it, unless that is being tried already."""
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
            except Exception as error:  # noqa: BLE001 - whatever it is, the last snapshot stays and the next try comes
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
