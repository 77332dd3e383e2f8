"""The housekeeper's job for reclaimed mailboxes: archive, free when due, finish after a kill.

In: the directory's snapshot, whether the clock is trusted. Out: the acts of `services.mailboxes.reclamation`, log
events, and one notice to the Centre about each mailbox that is due and may not be freed. A mailbox that fails delays no
other; it is retried in the next run. Belongs to the event loop; everything that blocks runs in the I/O executor.
"""

import contextlib
from collections.abc import Awaitable, Callable, Mapping

from mic_mail.directory.records import Superseded
from mic_mail.directory.repository import Directory
from mic_mail.directory.snapshot import Entry
from mic_mail.errors import Text
from mic_mail.i18n.notices import centre
from mic_mail.log.error_fields import failure
from mic_mail.policy.facts import FactKind
from mic_mail.policy.lifecycle import LifecycleSettings
from mic_mail.policy.reclamation import Obstacle, ReclaimStage, is_empty
from mic_mail.process.runtime import Runtime
from mic_mail.services.mailboxes.clock_trust import ClockMark
from mic_mail.services.mailboxes.reclamation import Finished, Reclaimed, Reclaiming
from mic_mail.services.notifications.lifecycle_notices import LifeNotices, NoRecipient
from mic_mail.storage.mailstore import MailStore
from mic_mail.storage.types import AccountRef

_CONCERNS = {FactKind.LEFT, FactKind.RECLAIMED, FactKind.ARCHIVED}
"""Every reclaimed mailbox has one of these facts."""
_LEFT = {
    Finished.NOT_IN_ARCHIVE: Text("có thư không nằm trong bản lưu trữ", "it holds messages that its archive does not have")
}
_STAYS = _LEFT | {Finished.HELD: Obstacle.HELD.label}
"""Results of a deletion that are notified to the Centre; a later hold finds an empty place."""
_TOLD = (Obstacle.HELD, Obstacle.NOT_WARNED)
"""Obstacles of a mailbox that are notified to the Centre; the clock has one notice for all."""


class ReclaimRounds:
    def __init__(
        self,
        runtime: Runtime,
        directory: Directory,
        store: MailStore,
        notices: LifeNotices,
        *,
        refresh: Callable[[], Awaitable[object]],
    ) -> None:
        """`config` is called in each run; `refresh` reloads the directory."""
        self._runtime = runtime
        self._directory = directory
        self._store = store
        self._notices = notices
        self._refresh = refresh

    async def run_once(self) -> None:
        """Do everything that can be done now."""
        snapshot, config = self._runtime.snapshot(), self._runtime.config()
        mark = ClockMark(config.state_dir, self._runtime.clock)
        if not await self._runtime.executors.io(mark.renew, snapshot):
            await self._log_clock(mark)
        reclaiming = Reclaiming(self._directory, self._store, config, self._runtime.clock)
        settings = await self._runtime.executors.io(reclaiming.settings)
        for entry in [entry for entry in snapshot if any(fact.kind in _CONCERNS for fact in entry.facts)]:
            try:
                await self._visit(reclaiming, entry, settings, mark)
            except Superseded:  # something was recorded meanwhile: the next run sees it
                continue
            except Exception as error:  # noqa: BLE001 - a defect in one mailbox must not end the run for the others
                self._runtime.log.event("visit_failed", visit="reclaim", mailbox=entry.address, **failure(error))

    async def _visit(self, reclaiming: Reclaiming, entry: Entry, settings: LifecycleSettings, mark: ClockMark) -> None:
        found = await self._runtime.executors.io(reclaiming.progress_of, entry, settings)
        if found is not None and is_empty(entry.facts):
            await self._finish(reclaiming, found, _LEFT)
        if any(fact.kind is FactKind.ARCHIVE_DROPPED for fact in entry.facts):
            await self._runtime.executors.io(reclaiming.tidy, entry)
        if found is None:
            return
        if found.way.stage is ReclaimStage.RECLAIMED and await self._is_trusted(mark):
            await self._archive(reclaiming, found)
        elif found.way.stage is ReclaimStage.ARCHIVED:
            await self._free(reclaiming, found, mark)

    async def _is_trusted(self, mark: ClockMark) -> bool:
        """Check the clock before each act: a run is long, and the clock may be set meanwhile."""
        return await self._runtime.executors.io(mark.is_trusted, self._runtime.snapshot())

    async def _archive(self, reclaiming: Reclaiming, found: Reclaimed) -> None:
        fact = await self._runtime.executors.io(reclaiming.archive, found)
        self._runtime.log.event("mailbox_archived", mailbox=found.entry.address, **dict(fact.data))

    async def _free(self, reclaiming: Reclaiming, found: Reclaimed, mark: ClockMark) -> None:
        due = found.way.due_at
        if due is None or self._runtime.clock.steady_now() < due:
            return
        trusted = await self._is_trusted(mark)
        against = await self._runtime.executors.io(lambda: reclaiming.obstacles(found, clock_trusted=trusted))
        if against:
            await self._log_obstacles(found, against)
            return
        fact = await self._runtime.executors.io(lambda: reclaiming.free(found, clock_trusted=trusted))
        event = "mailbox_archived_anew" if fact is None else "mailbox_freed"
        self._runtime.log.event(event, mailbox=found.entry.address, archive=found.way.archive)
        if fact is not None:
            await self._refresh()  # so that no visit of this process creates a new store
            await self._finish(reclaiming, found, _STAYS)

    async def _finish(self, reclaiming: Reclaiming, found: Reclaimed, reasons: Mapping[Finished, Text]) -> None:
        entry = found.entry
        ended = await self._runtime.account_executors.write(AccountRef.of(entry), reclaiming.finish, entry)
        if ended in reasons:
            await self._log_not_freed(found, ended, reasons[ended])

    async def _log_obstacles(self, found: Reclaimed, against: list[Obstacle]) -> None:
        for obstacle in (each for each in _TOLD if each in against):
            await self._log_not_freed(found, obstacle, obstacle.label)

    async def _log_not_freed(self, found: Reclaimed, reason: str, why: Text) -> None:
        archived, last = found.way.archived, found.way.keep_until
        assert archived is not None
        assert last is not None
        key = f"not_freed:{found.entry.mailbox_id}:{archived.seq}:{reason}"
        letter = centre.not_freed(found.entry.address, found.reason.clause, last, why)
        if await self._notices.notify_centre(key, letter):
            self._runtime.log.event("mailbox_not_freed", mailbox=found.entry.address, reason=reason)

    async def _log_clock(self, mark: ClockMark) -> None:
        marked, now = await self._runtime.executors.io(mark.read), self._runtime.clock.now()
        letter = centre.clock_untrusted(now, marked)
        self._runtime.log.event("clock_untrusted", marked=marked, now=now)
        with contextlib.suppress(NoRecipient):
            await self._notices.notify_centre(f"clock_untrusted:{marked.isoformat() if marked else '-'}", letter)
